package condition

import (
	"math"
	"reflect"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/expr-lang/expr/ast"
)

// closeString compiles a node of type string.
func closeString(n ast.Node) textFunc {
	switch n := n.(type) {
	case *ast.StringNode:
		v := n.Value
		return func(*scope) string { return v }
	case *ast.IdentifierNode:
		return closeVariable(n.Value)
	case *ast.PointerNode:
		if kindOf(n) == reflect.String {
			return func(s *scope) string { return s.elem }
		}
	case *ast.MemberNode:
		return closeMember(n)
	case *ast.SliceNode:
		return closeSlice(n)
	case *ast.CallNode:
		if isName(n.Callee, "value.text") {
			return closeValueText(n)
		}
		if isName(n.Callee, "arg") {
			if i := closeInt(n.Arguments[1]); i != nil {
				return func(s *scope) string {
					if i := i(s); i >= 0 && i < len(s.ev.Args) {
						return text(s.ev.Args[i])
					}
					return ""
				}
			}
		}
	case *ast.BuiltinNode:
		return closeTextBuiltin(n)
	case *ast.ConditionalNode:
		c, a, b := closeBool(n.Cond), closeString(n.Exp1), closeString(n.Exp2)
		if c != nil && a != nil && b != nil {
			return func(s *scope) string {
				if c(s) {
					return a(s)
				}
				return b(s)
			}
		}
	}
	return nil
}

func closeVariable(name string) textFunc {
	switch name {
	case "key":
		return func(s *scope) string { return text(s.ev.Key) }
	case "command":
		return func(s *scope) string { return s.ev.Command }
	case "event":
		return func(s *scope) string { return s.ev.Name }
	case "type":
		return func(s *scope) string { return s.ev.Type }
	case "origin":
		return func(s *scope) string { return string(s.ev.Origin) }
	case "cause":
		return func(s *scope) string { return string(s.ev.Cause) }
	}
	return nil
}

func closeMember(n *ast.MemberNode) textFunc {
	base, ok := n.Node.(*ast.IdentifierNode)
	if !ok {
		return nil
	}
	name, named := n.Property.(*ast.StringNode)
	switch {
	case base.Value == "params" && named:
		return func(s *scope) string { return s.param(name.Value) }
	case base.Value == "tx" && named && name.Value == "id":
		return func(s *scope) string { return s.ev.Tx.ID }
	case base.Value == "args":
		if c, ok := intConstant(n.Property); ok {
			return func(s *scope) string {
				if c >= 0 && c < len(s.ev.Args) {
					return text(s.ev.Args[c])
				}
				return s.argument(c)
			}
		}
		if i := closeInt(n.Property); i != nil {
			return func(s *scope) string { return s.argument(i(s)) }
		}
	}
	return nil
}

func closeSlice(n *ast.SliceNode) textFunc {
	x := closeString(n.Node)
	from, to := intFunc(func(*scope) int { return 0 }), intFunc(func(*scope) int { return math.MaxInt })
	if n.From != nil {
		from = closeInt(n.From)
	}
	if n.To != nil {
		to = closeInt(n.To)
	}
	if x == nil || from == nil || to == nil {
		return nil
	}
	clamp := func(i, length int) int {
		if i < 0 {
			i += length
		}
		return min(max(i, 0), length)
	}
	return func(s *scope) string {
		v := x(s)
		a, b := clamp(from(s), len(v)), clamp(to(s), len(v))
		return v[min(a, b):b]
	}
}

func closeTextBuiltin(n *ast.BuiltinNode) textFunc {
	if len(n.Arguments) == 0 {
		return nil
	}
	x := closeString(n.Arguments[0])
	if x == nil {
		return nil
	}
	if len(n.Arguments) == 2 {
		y := closeString(n.Arguments[1])
		f := map[string]func(string, string) string{"trimPrefix": strings.TrimPrefix, "trimSuffix": strings.TrimSuffix, "trim": strings.Trim}[n.Name]
		if f == nil || y == nil {
			return nil
		}
		return func(s *scope) string { return f(x(s), y(s)) }
	}
	f := map[string]func(string) string{"lower": strings.ToLower, "upper": strings.ToUpper, "trim": strings.TrimSpace}[n.Name]
	if f == nil {
		return nil
	}
	return func(s *scope) string { return f(x(s)) }
}

// closeInt compiles a node of type int.
func closeInt(n ast.Node) intFunc {
	if kindOf(n) != reflect.Int {
		return nil
	}
	switch n := n.(type) {
	case *ast.IntegerNode:
		v := n.Value
		return func(*scope) int { return v }
	case *ast.IdentifierNode:
		switch n.Value {
		case "db":
			return func(s *scope) int { return s.ev.DB }
		case "bytes":
			return func(s *scope) int { return s.ev.Bytes }
		case "offset":
			return func(s *scope) int { return int(s.ev.Offset) }
		}
	case *ast.MemberNode:
		if name, ok := n.Property.(*ast.StringNode); ok && isName(n.Node, "tx") {
			if name.Value == "index" {
				return func(s *scope) int { return s.ev.Tx.Index }
			}
			return func(s *scope) int { return s.ev.Tx.Size }
		}
	case *ast.UnaryNode:
		if x := closeInt(n.Node); x != nil && n.Operator == "-" {
			return func(s *scope) int { return -x(s) }
		}
	case *ast.BinaryNode:
		return closeIntBinary(n)
	case *ast.BuiltinNode:
		return closeIntBuiltin(n)
	case *ast.CallNode:
		return closeIntCall(n)
	}
	return nil
}

func closeIntBinary(n *ast.BinaryNode) intFunc {
	a, b := closeInt(n.Left), closeInt(n.Right)
	if a == nil || b == nil {
		return nil
	}
	switch n.Operator {
	case "+":
		return func(s *scope) int { return a(s) + b(s) }
	case "-":
		return func(s *scope) int { return a(s) - b(s) }
	case "*":
		return func(s *scope) int { return a(s) * b(s) }
	case "%":
		return func(s *scope) int {
			x, y := a(s), b(s)
			if y == 0 {
				s.fail("integer divide by zero")
				return 0
			}
			return x % y
		}
	}
	return nil
}

func closeIntBuiltin(n *ast.BuiltinNode) intFunc {
	switch n.Name {
	case "len":
		if list := textsOf(n.Arguments[0]); list != nil {
			return func(s *scope) int { return len(list(s)) }
		}
		if x := closeString(n.Arguments[0]); x != nil {
			return func(s *scope) int { return utf8.RuneCountInString(x(s)) }
		}
	case "count":
		if each, p := predicateOf(n); each != nil {
			return func(s *scope) int { return countOf(s, each, p) }
		}
	case "int":
		if x := closeString(n.Arguments[0]); x != nil {
			return func(s *scope) int {
				v := x(s)
				i, err := strconv.Atoi(v)
				if err != nil {
					s.fail("int(%.40q): not an integer; num(x) is for text that may be none", v)
					return 0
				}
				return i
			}
		}
		if x := closeFloat(n.Arguments[0]); x != nil {
			return func(s *scope) int { return int(x(s)) }
		}
		return closeInt(n.Arguments[0])
	}
	return nil
}

func closeIntCall(n *ast.CallNode) intFunc {
	callee, ok := n.Callee.(*ast.IdentifierNode)
	if !ok {
		return nil
	}
	if name, ok := strings.CutPrefix(callee.Value, "time."); ok {
		part := timeParts[name]
		return func(s *scope) int { return part(s.ev.Time.In(time.UTC)) }
	}
	if strings.HasPrefix(callee.Value, "value.") {
		return closeValueInt(n, callee.Value)
	}
	if callee.Value == "size" {
		if x := closeString(n.Arguments[0]); x != nil {
			return func(s *scope) int { return len(x(s)) }
		}
	}
	return nil
}

// closeNumber compiles a node of type int or float64 as a float64.
func closeNumber(n ast.Node) floatFunc {
	if f := closeFloat(n); f != nil {
		return f
	}
	if i := closeInt(n); i != nil {
		return func(s *scope) float64 { return float64(i(s)) }
	}
	return nil
}

// closeFloat compiles a node of type float64.
func closeFloat(n ast.Node) floatFunc {
	if kindOf(n) != reflect.Float64 {
		return nil
	}
	switch n := n.(type) {
	case *ast.FloatNode:
		v := n.Value
		return func(*scope) float64 { return v }
	case *ast.IntegerNode: // typed as float64 where a function wants one
		v := float64(n.Value)
		return func(*scope) float64 { return v }
	case *ast.UnaryNode:
		if x := closeNumber(n.Node); x != nil && n.Operator == "-" {
			return func(s *scope) float64 { return -x(s) }
		}
	case *ast.BinaryNode:
		return closeFloatBinary(n)
	case *ast.BuiltinNode:
		if n.Name == "float" {
			if x := closeString(n.Arguments[0]); x != nil {
				return func(s *scope) float64 {
					v := x(s)
					f, err := strconv.ParseFloat(v, 64)
					if err != nil {
						s.fail("float(%.40q): not a number; num(x) is for text that may be none", v)
					}
					return f
				}
			}
			return closeNumber(n.Arguments[0])
		}
	case *ast.CallNode:
		return closeNum(n)
	}
	return nil
}

func closeFloatBinary(n *ast.BinaryNode) floatFunc {
	a, b := closeNumber(n.Left), closeNumber(n.Right)
	if a == nil || b == nil {
		return nil
	}
	switch n.Operator {
	case "+":
		return func(s *scope) float64 { return a(s) + b(s) }
	case "-":
		return func(s *scope) float64 { return a(s) - b(s) }
	case "*":
		return func(s *scope) float64 { return a(s) * b(s) }
	case "/":
		return func(s *scope) float64 { return a(s) / b(s) }
	case "**", "^":
		return func(s *scope) float64 { return math.Pow(a(s), b(s)) }
	}
	return nil
}

// closeNum compiles num(x) and num(x, otherwise).
func closeNum(n *ast.CallNode) floatFunc {
	if isName(n.Callee, "value.num") {
		return closeValueNum(n)
	}
	if !isName(n.Callee, "num") {
		return nil
	}
	otherwise := floatFunc(func(*scope) float64 { return math.NaN() })
	if len(n.Arguments) == 2 {
		if otherwise = closeNumber(n.Arguments[1]); otherwise == nil {
			return nil
		}
	}
	if x := closeString(n.Arguments[0]); x != nil {
		return func(s *scope) float64 { return numText(x(s), otherwise(s)) }
	}
	if x := closeAny(n.Arguments[0]); x != nil {
		return func(s *scope) float64 { return numOr(x(s), otherwise(s)) }
	}
	x := closeNumber(n.Arguments[0])
	if x == nil || len(n.Arguments) == 1 {
		return x
	}
	return func(s *scope) float64 { // what it is otherwise may fail, and does in the machine
		v := x(s)
		otherwise(s)
		return v
	}
}

// closeValue compiles an expression that gives something else than text; nil
// if that is left to the machine.
func closeValue(n ast.Node) anyFunc {
	if i := closeInt(n); i != nil {
		return func(s *scope) any { return i(s) }
	}
	if kindOf(n) == reflect.Bool {
		if b := closeBool(n); b != nil {
			return func(s *scope) any { return b(s) }
		}
	}
	return closeAny(n)
}
