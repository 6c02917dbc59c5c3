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
	case *ast.BinaryNode:
		if kindOf(n) == reflect.String {
			return compileJoin(n)
		}
	case *ast.SliceNode:
		return compileSlice(n)
	case *ast.CallNode:
		if isName(n.Callee, "value.text") {
			return compileValueText(n)
		}
		if t := compileTextCall(n); t != nil {
			return t
		}
		if isName(n.Callee, "arg") {
			if i := compilePlace(n.Arguments[1]); i != nil {
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
		return compileTextAt(n)
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
		if i := compilePlace(n.Property); i != nil {
			return func(s *scope) string { return s.argument(i(s)) }
		}
	}
	return nil
}

func compileSlice(n *ast.SliceNode) textFunc {
	x := compileString(n.Node)
	from, to := intFunc(func(*scope) int { return 0 }), intFunc(func(*scope) int { return math.MaxInt })
	if n.From != nil {
		from = compilePlace(n.From)
	}
	if n.To != nil {
		to = compilePlace(n.To)
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
	switch f := letterCases[n.Name]; {
	case f != nil:
		return func(s *scope) string { return s.cased(f, x(s)) }
	case n.Name == "trim":
		return func(s *scope) string { return strings.TrimSpace(x(s)) }
	}
	return nil
}

// letterCases are what changes the case of a text.
var letterCases = map[string]func(string) string{"lower": strings.ToLower, "upper": strings.ToUpper}

// compileInt compiles a node that is an int as a machine has them: not what is
// calculated, which may leave 64 bits.
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
		return compileIntMember(n)
	case *ast.UnaryNode:
		if v, ok := intConstant(n); ok {
			return func(*scope) int { return v }
		}
	case *ast.BuiltinNode:
		return compileIntBuiltin(n)
	case *ast.CallNode:
		return compileIntCall(n)
	}
	return nil
}

// compileIntMember compiles tx.index, part.size and the like.
func compileIntMember(n *ast.MemberNode) intFunc {
	name, ok := n.Property.(*ast.StringNode)
	switch {
	case !ok:
		return nil
	case isName(n.Node, "tx") && name.Value == "index":
		return func(s *scope) int { return s.ev.Tx.Index }
	case isName(n.Node, "tx"):
		return func(s *scope) int { return s.ev.Tx.Size }
	case isName(n.Node, "part") && name.Value == "index":
		return func(s *scope) int { return s.ev.Part.Index }
	case isName(n.Node, "part"):
		return func(s *scope) int { return s.ev.Part.Size }
	}
	return nil
}

// compilePlace compiles a number that says where in a list or a text.
func compilePlace(n ast.Node) intFunc {
	if i := compileInt(n); i != nil {
		return i
	}
	x := compileNumber(n)
	if x == nil {
		return nil
	}
	return func(s *scope) int { i, err := x(s).place(); return result(s, i, err) }
}

func compileIntBuiltin(n *ast.BuiltinNode) intFunc {
	switch n.Name {
	case "len":
		if list := textsOf(n.Arguments[0]); list != nil {
			return func(s *scope) int { return len(list(s)) }
		}
		if count := countTexts(n.Arguments[0]); count != nil {
			return count
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
			return func(s *scope) int {
				v := x(s)
				i, err := strconv.Atoi(v)
				if err != nil {
					s.note(notInteger(v))
				}
				return i
			}
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

// compileNumber compiles a node that is a number, or none.
func compileNumber(n ast.Node) numberFunc {
	if i := compileInt(n); i != nil {
		return func(s *scope) number { return ofInt(i(s)) }
	}
	if !isNumeric(n) {
		return nil
	}
	switch n := n.(type) {
	case *ast.FloatNode:
		v := ofFloat(n.Value)
		return func(*scope) number { return v }
	case *ast.UnaryNode:
		x := compileNumber(n.Node)
		if x == nil || n.Operator == "+" {
			return x
		}
		return func(s *scope) number { return negate(x(s)) }
	case *ast.BinaryNode:
		return compileArithmetic(n)
	case *ast.BuiltinNode:
		return compileNumberBuiltin(n)
	case *ast.CallNode:
		return compileNumCall(n)
	case *ast.ConditionalNode:
		c, a, b := compileBool(n.Cond), compileNumber(n.Exp1), compileNumber(n.Exp2)
		if c != nil && a != nil && b != nil {
			return func(s *scope) number {
				if c(s) == yes {
					return a(s)
				}
				return b(s)
			}
		}
	}
	return nil
}

func compileArithmetic(n *ast.BinaryNode) numberFunc {
	if f := compileIntArithmetic(n); f != nil {
		return f
	}
	a, b := compileNumber(n.Left), compileNumber(n.Right)
	if a == nil || b == nil {
		return nil
	}
	switch n.Operator {
	case "+":
		return func(s *scope) number { return add(a(s), b(s)) }
	case "-":
		return func(s *scope) number { return subtract(a(s), b(s)) }
	case "*":
		return func(s *scope) number { return multiply(a(s), b(s)) }
	case "/":
		return func(s *scope) number { return divide(a(s), b(s)) }
	case "%":
		return func(s *scope) number { n, err := remainder(a(s), b(s)); return result(s, n, err) }
	case "**", "^":
		return func(s *scope) number { return power(a(s), b(s)) }
	}
	return nil
}

// compileIntArithmetic compiles a sum or difference of ints.
func compileIntArithmetic(n *ast.BinaryNode) numberFunc {
	a, b := compileInt(n.Left), compileInt(n.Right)
	if a == nil || b == nil {
		return nil
	}
	switch n.Operator {
	case "+":
		return func(s *scope) number {
			x, y := a(s), b(s)
			if sum := x + y; (sum < x) == (y < 0) {
				return ofInt(sum)
			}
			return add(ofInt(x), ofInt(y))
		}
	case "-":
		return func(s *scope) number {
			x, y := a(s), b(s)
			if diff := x - y; (diff > x) == (y < 0) {
				return ofInt(diff)
			}
			return subtract(ofInt(x), ofInt(y))
		}
	}
	return nil
}

// compileNumberBuiltin compiles the functions of expr that make a number.
func compileNumberBuiltin(n *ast.BuiltinNode) numberFunc {
	if text := compileString(n.Arguments[0]); text != nil && n.Name == "float" {
		return func(s *scope) number { f, err := floatText(text(s)); return result(s, f, err) }
	}
	f := map[string]func(number) number{"int": truncate, "float": inexact, "abs": absolute, "ceil": ceiling, "floor": floor, "round": round}[n.Name]
	if x := compileNumber(n.Arguments[0]); x != nil && f != nil {
		return func(s *scope) number { return f(x(s)) }
	}
	x := compileAny(n.Arguments[0])
	strict := map[string]func(any) (number, error){"int": intOf, "float": floatOf}[n.Name]
	if x == nil || strict == nil {
		return nil
	}
	return func(s *scope) number {
		v := x(s)
		if s.err != nil {
			return number{}
		}
		f, err := strict(v)
		return result(s, f, err)
	}
}

// compileNumCall compiles num(x) and num(x, otherwise).
func compileNumCall(n *ast.CallNode) numberFunc {
	var x numberFunc
	switch {
	case isName(n.Callee, "value.num"):
		x = compileValueNum(n)
	case isName(n.Callee, "num"):
		x = compileNum(n.Arguments[0])
	case isName(n.Callee, "value.score"):
		return compileScore(n)
	}
	if x == nil || len(n.Arguments) == 1 {
		return x
	}
	otherwise := compileNumber(n.Arguments[1])
	if otherwise == nil {
		return nil
	}
	return func(s *scope) number { // what it is otherwise may fail, and does in the machine
		v := x(s)
		return v.or(otherwise(s))
	}
}

// compileNum compiles num(x) of what is no side of the event.
func compileNum(n ast.Node) numberFunc {
	if x := compileString(n); x != nil {
		return func(s *scope) number { return numberOf(x(s)) }
	}
	if e := compileElement(n); e != nil {
		return func(s *scope) number { return e(s).num() }
	}
	if x := compileAny(n); x != nil {
		return func(s *scope) number { return numberFrom(x(s)) }
	}
	return compileNumber(n)
}

// compileBoxed compiles an expression that gives something else than text; nil
// if that is left to the machine.
func compileBoxed(n ast.Node) anyFunc {
	if x := compileNumber(n); x != nil {
		return func(s *scope) any { return x(s).boxed() }
	}
	if kindOf(n) == reflect.Bool {
		if b := compileBool(n); b != nil {
			return func(s *scope) any { return b(s).boxed() }
		}
	}
	return compileAny(n)
}
