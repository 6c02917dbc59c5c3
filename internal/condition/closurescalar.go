package condition

import (
	"math"
	"reflect"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/expr-lang/expr/ast"
)

// compileString compiles a node of type string.
func compileString(n ast.Node) textFunc {
	switch n := n.(type) {
	case *ast.StringNode:
		v := n.Value
		return func(*scope) string { return v }
	case *ast.IdentifierNode:
		return compileVariable(n.Value)
	case *ast.PointerNode:
		if kindOf(n) == reflect.String {
			return func(s *scope) string { return s.elem }
		}
	case *ast.MemberNode:
		return compileMember(n)
	case *ast.SliceNode:
		return compileSlice(n)
	case *ast.CallNode:
		if isName(n.Callee, "value.text") {
			return compileValueText(n)
		}
		if isName(n.Callee, "arg") {
			if i := compileInt(n.Arguments[1]); i != nil {
				return func(s *scope) string {
					if i := i(s); i >= 0 && i < len(s.ev.Args) {
						return text(s.ev.Args[i])
					}
					return ""
				}
			}
		}
	case *ast.BuiltinNode:
		return compileTextBuiltin(n)
	case *ast.ConditionalNode:
		c, a, b := compileBool(n.Cond), compileString(n.Exp1), compileString(n.Exp2)
		if c != nil && a != nil && b != nil {
			return func(s *scope) string {
				if c(s) == yes {
					return a(s)
				}
				return b(s)
			}
		}
	}
	return nil
}

func compileVariable(name string) textFunc {
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

func compileMember(n *ast.MemberNode) textFunc {
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
		if i := compileInt(n.Property); i != nil {
			return func(s *scope) string { return s.argument(i(s)) }
		}
	}
	return nil
}

func compileSlice(n *ast.SliceNode) textFunc {
	x := compileString(n.Node)
	from, to := intFunc(func(*scope) int { return 0 }), intFunc(func(*scope) int { return math.MaxInt })
	if n.From != nil {
		from = compileInt(n.From)
	}
	if n.To != nil {
		to = compileInt(n.To)
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

func compileTextBuiltin(n *ast.BuiltinNode) textFunc {
	if len(n.Arguments) == 0 {
		return nil
	}
	x := compileString(n.Arguments[0])
	if x == nil {
		return nil
	}
	if len(n.Arguments) == 2 {
		y := compileString(n.Arguments[1])
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

// compileInt compiles a node of type int.
func compileInt(n ast.Node) intFunc {
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
		if x := compileInt(n.Node); x != nil && n.Operator == "-" {
			return func(s *scope) int { return -x(s) }
		}
	case *ast.BinaryNode:
		return compileIntBinary(n)
	case *ast.BuiltinNode:
		return compileIntBuiltin(n)
	case *ast.CallNode:
		return compileIntCall(n)
	}
	return nil
}

func compileIntBinary(n *ast.BinaryNode) intFunc {
	a, b := compileInt(n.Left), compileInt(n.Right)
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

func compileIntBuiltin(n *ast.BuiltinNode) intFunc {
	switch n.Name {
	case "len":
		if list := textsOf(n.Arguments[0]); list != nil {
			return func(s *scope) int { return len(list(s)) }
		}
		if e := compileElement(n.Arguments[0]); e != nil {
			return func(s *scope) int { return e(s).length(s) }
		}
		if x := compileString(n.Arguments[0]); x != nil {
			return func(s *scope) int { return utf8.RuneCountInString(x(s)) }
		}
	case "count":
		if p := valuePredicateOf(n); p != nil {
			return p.compileCount()
		}
		if each, p := predicateOf(n); each != nil {
			return func(s *scope) int { return countOf(s, each, p) }
		}
	case "int":
		if x := compileString(n.Arguments[0]); x != nil {
			return func(s *scope) int { return intOf(s, x(s)) }
		}
		if e := compileElement(n.Arguments[0]); e != nil {
			return func(s *scope) int { return e(s).integer(s) }
		}
		if x := compileFloat(n.Arguments[0]); x != nil {
			return func(s *scope) int { return int(x(s)) }
		}
		return compileInt(n.Arguments[0])
	}
	return nil
}

func compileIntCall(n *ast.CallNode) intFunc {
	callee, ok := n.Callee.(*ast.IdentifierNode)
	if !ok {
		return nil
	}
	if name, ok := strings.CutPrefix(callee.Value, "time."); ok {
		part := timeParts[name]
		return func(s *scope) int { return part(s.ev.Time.In(time.UTC)) }
	}
	if strings.HasPrefix(callee.Value, "value.") {
		return compileValueInt(n, callee.Value)
	}
	if callee.Value == "size" {
		if x := compileString(n.Arguments[0]); x != nil {
			return func(s *scope) int { return len(x(s)) }
		}
	}
	return nil
}

// compileNumber compiles a node of type int or float64 as a float64.
func compileNumber(n ast.Node) floatFunc {
	if f := compileFloat(n); f != nil {
		return f
	}
	if i := compileInt(n); i != nil {
		return func(s *scope) float64 { return float64(i(s)) }
	}
	return nil
}

// compileFloat compiles a node of type float64.
func compileFloat(n ast.Node) floatFunc {
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
		if x := compileNumber(n.Node); x != nil && n.Operator == "-" {
			return func(s *scope) float64 { return -x(s) }
		}
	case *ast.BinaryNode:
		return compileFloatBinary(n)
	case *ast.BuiltinNode:
		if n.Name == "float" {
			if x := compileString(n.Arguments[0]); x != nil {
				return func(s *scope) float64 { return floatOf(s, x(s)) }
			}
			if e := compileElement(n.Arguments[0]); e != nil {
				return func(s *scope) float64 { return e(s).float(s) }
			}
			return compileNumber(n.Arguments[0])
		}
	case *ast.CallNode:
		return compileNumCall(n)
	}
	return nil
}

func compileFloatBinary(n *ast.BinaryNode) floatFunc {
	a, b := compileNumber(n.Left), compileNumber(n.Right)
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

// compileNumCall compiles num(x) and num(x, otherwise).
func compileNumCall(n *ast.CallNode) floatFunc {
	if isName(n.Callee, "value.num") {
		return compileValueNum(n)
	}
	if !isName(n.Callee, "num") {
		return nil
	}
	otherwise := floatFunc(func(*scope) float64 { return math.NaN() })
	if len(n.Arguments) == 2 {
		if otherwise = compileNumber(n.Arguments[1]); otherwise == nil {
			return nil
		}
	}
	if x := compileString(n.Arguments[0]); x != nil {
		return func(s *scope) float64 { return numText(x(s), otherwise(s)) }
	}
	if e := compileElement(n.Arguments[0]); e != nil {
		return func(s *scope) float64 { return e(s).num(otherwise(s)) }
	}
	if x := compileAny(n.Arguments[0]); x != nil {
		return func(s *scope) float64 { return numOr(x(s), otherwise(s)) }
	}
	x := compileNumber(n.Arguments[0])
	if x == nil || len(n.Arguments) == 1 {
		return x
	}
	return func(s *scope) float64 { // what it is otherwise may fail, and does in the machine
		v := x(s)
		otherwise(s)
		return v
	}
}

// compileBoxed compiles an expression that gives something else than text; nil
// if that is left to the machine.
func compileBoxed(n ast.Node) anyFunc {
	if i := compileInt(n); i != nil {
		return func(s *scope) any { return i(s) }
	}
	if kindOf(n) == reflect.Bool {
		if b := compileBool(n); b != nil {
			return func(s *scope) any { return b(s) == yes }
		}
	}
	return compileAny(n)
}
