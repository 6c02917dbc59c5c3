package rules

import (
	"fmt"
	"math"
	"net/netip"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/expr-lang/expr/ast"

	"triggerd/internal/event"
)

// Conditions are compiled to Go closures, typed where the tree is: that is ten
// times as fast as expr's machine, which boxes every value, and allocates
// nothing. What is not known here is left to the machine, which is also what
// the tests compare with: for every event both give the same value, or both
// give an error.

// scope is one event as closures see it.
type scope struct {
	ev     *event.Event
	rule   *Rule
	params map[string]string // of rule; nil until one is asked for
	elem   string            // # of the predicate we are in
	err    error             // the first error; the condition's value means nothing then
}

type (
	boolFunc  func(*scope) bool
	textFunc  func(*scope) string
	intFunc   func(*scope) int
	floatFunc func(*scope) float64
	anyFunc   func(*scope) any
)

// fail notes the first error of an evaluation.
func (s *scope) fail(format string, args ...any) {
	if s.err == nil {
		s.err = fmt.Errorf(format, args...)
	}
}

// param returns what the rule's patterns captured as name.
func (s *scope) param(name string) string {
	if g := s.rule.only; g != nil {
		v, _ := g.captured(s.ev.Key, name)
		return text(v)
	}
	if s.params == nil {
		s.params = s.rule.params(s.ev.Key)
	}
	return s.params[name]
}

// argument returns args[i]; an index below 0 counts from the end.
func (s *scope) argument(i int) string {
	n := i
	if n < 0 {
		n += len(s.ev.Args)
	}
	if n < 0 || n >= len(s.ev.Args) {
		s.fail("args[%d]: index out of range, there are %d; arg(%d) is \"\" then", i, len(s.ev.Args), i)
		return ""
	}
	return text(s.ev.Args[n])
}

// closeBool compiles a node of type bool; nil if that is left to the machine.
func closeBool(n ast.Node) boolFunc {
	switch n := n.(type) {
	case *ast.BoolNode:
		v := n.Value
		return func(*scope) bool { return v }
	case *ast.UnaryNode:
		if x := closeBool(n.Node); x != nil && (n.Operator == "!" || n.Operator == "not") {
			return func(s *scope) bool { return !x(s) }
		}
	case *ast.BinaryNode:
		return closeBinary(n)
	case *ast.BuiltinNode:
		return closePredicate(n)
	case *ast.ConditionalNode:
		c, a, b := closeBool(n.Cond), closeBool(n.Exp1), closeBool(n.Exp2)
		if c != nil && a != nil && b != nil {
			return func(s *scope) bool {
				if c(s) {
					return a(s)
				}
				return b(s)
			}
		}
	case *ast.CallNode:
		return closeBoolCall(n)
	}
	return nil
}

func closeBinary(n *ast.BinaryNode) boolFunc {
	switch n.Operator {
	case "&&", "and", "||", "or":
		a, b := closeBool(n.Left), closeBool(n.Right)
		if a == nil || b == nil {
			return nil
		}
		if n.Operator == "&&" || n.Operator == "and" {
			return func(s *scope) bool { return a(s) && b(s) }
		}
		return func(s *scope) bool { return a(s) || b(s) }
	case "==":
		return closeEqual(n.Left, n.Right)
	case "!=":
		if eq := closeEqual(n.Left, n.Right); eq != nil {
			return func(s *scope) bool { return !eq(s) }
		}
	case "<", "<=", ">", ">=":
		return closeOrder(n)
	case "in":
		return closeIn(n)
	case "startsWith", "endsWith", "contains", "matches":
		return closeText(n)
	}
	return nil
}

func closeEqual(l, r ast.Node) boolFunc {
	if c, ok := r.(*ast.StringNode); ok {
		if a := closeString(l); a != nil {
			want := c.Value
			return func(s *scope) bool { return a(s) == want }
		}
	}
	if a, b := closeString(l), closeString(r); a != nil && b != nil {
		return func(s *scope) bool { return a(s) == b(s) }
	}
	if a, b := closeInt(l), closeInt(r); a != nil && b != nil {
		return func(s *scope) bool { return a(s) == b(s) }
	}
	if a, b := closeNumber(l), closeNumber(r); a != nil && b != nil {
		return func(s *scope) bool { return a(s) == b(s) }
	}
	if kindOf(l) == reflect.Bool && kindOf(r) == reflect.Bool {
		if a, b := closeBool(l), closeBool(r); a != nil && b != nil {
			return func(s *scope) bool { return a(s) == b(s) }
		}
	}
	return closeEqualAny(l, r)
}

// closeEqualAny compares what json() returns with a constant.
func closeEqualAny(l, r ast.Node) boolFunc {
	a := closeAny(l)
	if a == nil {
		return nil
	}
	switch c := r.(type) {
	case *ast.NilNode:
		return func(s *scope) bool { return a(s) == nil }
	case *ast.StringNode:
		return func(s *scope) bool { v, ok := a(s).(string); return ok && v == c.Value }
	case *ast.BoolNode:
		return func(s *scope) bool { v, ok := a(s).(bool); return ok && v == c.Value }
	case *ast.IntegerNode:
		return func(s *scope) bool { v, ok := a(s).(float64); return ok && v == float64(c.Value) }
	case *ast.FloatNode:
		return func(s *scope) bool { v, ok := a(s).(float64); return ok && v == c.Value }
	}
	return nil
}

func closeAny(n ast.Node) anyFunc {
	c, ok := n.(*ast.CallNode)
	if !ok || !isName(c.Callee, "json") {
		return nil
	}
	x := closeString(c.Arguments[0])
	path, ok := c.Arguments[1].(*ast.ConstantNode)
	if x == nil || !ok {
		return nil
	}
	p, _ := path.Value.(jsonPath)
	return func(s *scope) any {
		v, err := jsonAt(x(s), p)
		if err != nil {
			s.fail("%w", err)
		}
		return v
	}
}

func closeOrder(n *ast.BinaryNode) boolFunc {
	if a, b := closeInt(n.Left), closeInt(n.Right); a != nil && b != nil {
		return orderOf(n.Operator, a, b)
	}
	if a, b := closeNumber(n.Left), closeNumber(n.Right); a != nil && b != nil {
		return orderOf(n.Operator, a, b)
	}
	if a, b := closeString(n.Left), closeString(n.Right); a != nil && b != nil {
		return orderOf(n.Operator, a, b)
	}
	return nil
}

func orderOf[F ~func(*scope) T, T int | float64 | string](op string, a, b F) boolFunc {
	switch op {
	case "<":
		return func(s *scope) bool { return a(s) < b(s) }
	case "<=":
		return func(s *scope) bool { return a(s) <= b(s) }
	case ">":
		return func(s *scope) bool { return a(s) > b(s) }
	}
	return func(s *scope) bool { return a(s) >= b(s) }
}

func closeText(n *ast.BinaryNode) boolFunc {
	a := closeString(n.Left)
	if a == nil {
		return nil
	}
	if n.Operator == "matches" {
		re := regexp.MustCompile(n.Right.(*ast.StringNode).Value) // checked by the resolver
		return func(s *scope) bool { return re.MatchString(a(s)) }
	}
	b := closeString(n.Right)
	if b == nil {
		return nil
	}
	switch n.Operator {
	case "startsWith":
		return func(s *scope) bool { return strings.HasPrefix(a(s), b(s)) }
	case "endsWith":
		return func(s *scope) bool { return strings.HasSuffix(a(s), b(s)) }
	}
	return func(s *scope) bool { return strings.Contains(a(s), b(s)) }
}

func closeIn(n *ast.BinaryNode) boolFunc {
	switch r := n.Right.(type) {
	case *ast.ConstantNode:
		if set, ok := r.Value.(map[string]struct{}); ok {
			return inSet(closeString(n.Left), set)
		}
		if set, ok := r.Value.(map[int]struct{}); ok {
			return inSet(closeInt(n.Left), set)
		}
	case *ast.ArrayNode:
		return closeInArray(n.Left, r)
	case *ast.IdentifierNode:
		x := closeString(n.Left)
		if x != nil && r.Value == "args" {
			return func(s *scope) bool {
				want := x(s)
				for _, a := range s.ev.Args {
					if text(a) == want {
						return true
					}
				}
				return false
			}
		}
	}
	return nil
}

func inSet[F ~func(*scope) T, T comparable](x F, set map[T]struct{}) boolFunc {
	if x == nil {
		return nil
	}
	return func(s *scope) bool { _, ok := set[x(s)]; return ok }
}

// closeInArray compiles "x in [constants]": a few are compared one by one,
// which is faster than a map.
func closeInArray(x ast.Node, array *ast.ArrayNode) boolFunc {
	const few = 8
	texts, ints := textConstants(array), intConstants(array)
	switch a := closeString(x); {
	case a != nil && texts != nil && len(texts) <= few:
		return func(s *scope) bool {
			v := a(s)
			for _, t := range texts {
				if v == t {
					return true
				}
			}
			return false
		}
	case a != nil && texts != nil:
		return inSet(a, setOf(texts))
	case ints != nil:
		return inSet(closeInt(x), setOf(ints))
	}
	return nil
}

func textConstants(array *ast.ArrayNode) []string {
	var list []string
	for _, n := range array.Nodes {
		c, ok := n.(*ast.StringNode)
		if !ok {
			return nil
		}
		list = append(list, c.Value)
	}
	return list
}

func intConstants(array *ast.ArrayNode) []int {
	var list []int
	for _, n := range array.Nodes {
		c, ok := intConstant(n)
		if !ok {
			return nil
		}
		list = append(list, c)
	}
	return list
}

// elements returns what a predicate runs over: the arguments or a list. The
// body is called with each in turn until it returns false.
func elements(n ast.Node) func(s *scope, body func() bool) {
	if isName(n, "args") {
		return func(s *scope, body func() bool) {
			for _, a := range s.ev.Args {
				if s.elem = text(a); !body() {
					return
				}
			}
		}
	}
	c, ok := n.(*ast.ConstantNode)
	if !ok {
		return nil
	}
	list, ok := c.Value.([]string)
	if !ok {
		return nil
	}
	return func(s *scope, body func() bool) {
		for _, s.elem = range list {
			if !body() {
				return
			}
		}
	}
}

func closePredicate(n *ast.BuiltinNode) boolFunc {
	each, p := predicateOf(n)
	if each == nil {
		return nil
	}
	// until runs over the elements until the predicate gives stop or errs.
	until := func(stop bool) boolFunc {
		return func(s *scope) (found bool) {
			each(s, func() bool {
				found = p(s) == stop
				return !found && s.err == nil
			})
			return found
		}
	}
	switch n.Name {
	case "any":
		return until(true)
	case "all":
		some := until(false)
		return func(s *scope) bool { return !some(s) }
	case "none":
		some := until(true)
		return func(s *scope) bool { return !some(s) }
	case "one":
		return func(s *scope) bool { return countOf(s, each, p) == 1 }
	}
	return nil
}

func countOf(s *scope, each func(*scope, func() bool), p boolFunc) (n int) {
	each(s, func() bool {
		if p(s) {
			n++
		}
		return s.err == nil
	})
	return n
}

// predicateOf returns the parts of any(args, ...) and its like.
func predicateOf(n *ast.BuiltinNode) (each func(*scope, func() bool), p boolFunc) {
	if len(n.Arguments) != 2 {
		return nil, nil
	}
	body, ok := n.Arguments[1].(*ast.PredicateNode)
	if !ok {
		return nil, nil
	}
	if p = closeBool(body.Node); p == nil {
		return nil, nil
	}
	return elements(n.Arguments[0]), p
}

func closeBoolCall(n *ast.CallNode) boolFunc {
	callee, ok := n.Callee.(*ast.IdentifierNode)
	if !ok || len(n.Arguments) != 2 {
		return nil
	}
	x := closeString(n.Arguments[0])
	switch callee.Value {
	case "glob":
		if g, ok := n.Arguments[1].(*ast.ConstantNode).Value.(*glob); ok && x != nil {
			return func(s *scope) bool { return g.match(bytesOf(x(s))) }
		}
	case "cidr":
		if p, ok := n.Arguments[1].(*ast.ConstantNode).Value.(netip.Prefix); ok && x != nil {
			return func(s *scope) bool { return inPrefix(x(s), p) }
		}
	}
	return nil
}

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
		if isName(n.Arguments[0], "args") {
			return func(s *scope) int { return len(s.ev.Args) }
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
	return closeNumber(n.Arguments[0])
}
