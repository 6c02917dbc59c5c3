package condition

import (
	"fmt"
	"net/netip"
	"reflect"
	"regexp"
	"strings"

	"github.com/expr-lang/expr/ast"

	"triggerd/internal/event"
	"triggerd/internal/glob"
)

// Conditions are compiled to Go closures, typed where the tree is: that is ten
// times as fast as expr's machine, which boxes every value, and allocates
// nothing. What is not known here is left to the machine, which is also what
// the tests compare with: for every event both give the same value, or both
// give an error.

// scope is one event as closures see it.
type scope struct {
	ev       *event.Event
	captures *Captures
	lookup   Lookup            // nil: values of other keys are not known
	params   map[string]string // what captures captures; nil until that is asked for
	elem     string            // # of the predicate we are in, over texts
	element  *event.Element    // # of the one we are in, over a value
	typ      string            // of that value
	scratch  event.Element     // what element is, while elements are looked at
	err      error             // the first error; the condition's value means nothing then
	stopped  func() bool       // see Evaluator.Stopped
	looked   uint              // at how many elements; it wraps around
	stopping func() bool       // stops, once it was needed as a function
	texts    textMemory        // that closures have made
	changes  changes           // what the command has changed, if that was asked
	crossing scoreCrossing     // under way
}

type (
	boolFunc   func(*scope) truth // missing and unknown: neither, as truth says
	textFunc   func(*scope) string
	intFunc    func(*scope) int
	numberFunc func(*scope) number
	anyFunc    func(*scope) any
)

// fail notes the first error of an evaluation.
func (s *scope) fail(format string, args ...any) {
	if s.err == nil {
		s.err = fmt.Errorf(format, args...)
	}
}

// stops counts an element that is looked at. Now and then it asks whether the
// evaluation is to be given up, which is an error then.
func (s *scope) stops() bool {
	if s.looked++; s.looked%1024 == 0 && s.stopped != nil && s.stopped() {
		s.err = ErrStopped
	}
	return s.err == ErrStopped
}

// param returns what was captured as name.
func (s *scope) param(name string) string {
	if s.params == nil {
		if p := s.captures.simple(s.ev.Key); p != nil {
			v, _ := p.Captured(s.ev.Key, name)
			return text(v)
		}
		s.params = s.captures.Params(s.ev.Key)
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

// compileBool compiles a node of type bool; nil if that is left to the machine.
func compileBool(n ast.Node) boolFunc {
	switch n := n.(type) {
	case *ast.BoolNode:
		v := truthOf(n.Value)
		return func(*scope) truth { return v }
	case *ast.UnaryNode:
		if x := compileBool(n.Node); x != nil && (n.Operator == "!" || n.Operator == "not") {
			return func(s *scope) truth { return x(s).not() }
		}
	case *ast.BinaryNode:
		return compileBinary(n)
	case *ast.BuiltinNode:
		return compilePredicate(n)
	case *ast.ConditionalNode:
		c, a, b := compileBool(n.Cond), compileBool(n.Exp1), compileBool(n.Exp2)
		if c != nil && a != nil && b != nil {
			return func(s *scope) truth {
				if c(s) == yes {
					return a(s)
				}
				return b(s)
			}
		}
	case *ast.CallNode:
		return compileBoolCall(n)
	}
	return nil
}

func compileBinary(n *ast.BinaryNode) boolFunc {
	switch n.Operator {
	case "&&", "and":
		return compileAnd(n)
	case "||", "or":
		a, b := compileBool(n.Left), compileBool(n.Right)
		if a == nil || b == nil {
			return nil
		}
		return func(s *scope) truth {
			switch t := a(s); t {
			case no:
				return b(s)
			case yes:
				return yes
			default:
				return t.or(b(s))
			}
		}
	case "==":
		return compileEqual(n.Left, n.Right)
	case "!=":
		if eq := compileEqual(n.Left, n.Right); eq != nil {
			return func(s *scope) truth { return eq(s).not() }
		}
	case "<", "<=", ">", ">=":
		return compileOrder(n)
	case "in":
		return compileIn(n)
	case "startsWith", "endsWith", "contains", "matches":
		return compileText(n)
	}
	return nil
}

// compileAnd compiles all that is joined by "and": one after the other, which is
// faster than inside one another.
func compileAnd(n *ast.BinaryNode) boolFunc {
	var parts []boolFunc
	for _, operand := range andOperands(nil, n) {
		p := compileBool(operand)
		if p == nil {
			return nil
		}
		parts = append(parts, p)
	}
	if len(parts) == 2 {
		a, b := parts[0], parts[1]
		return func(s *scope) truth {
			switch t := a(s); t {
			case yes:
				return b(s)
			case no:
				return no
			default:
				return t.and(b(s))
			}
		}
	}
	return func(s *scope) truth {
		all := yes
		for _, p := range parts {
			t := p(s)
			if t == no {
				return no
			}
			all = all.and(t)
		}
		return all
	}
}

// andOperands appends what is joined by "and", in its order.
func andOperands(dst []ast.Node, n ast.Node) []ast.Node {
	b, ok := n.(*ast.BinaryNode)
	if !ok || b.Operator != "&&" && b.Operator != "and" {
		return append(dst, n)
	}
	return andOperands(andOperands(dst, b.Left), b.Right)
}

func compileEqual(l, r ast.Node) boolFunc {
	if c, ok := r.(*ast.StringNode); ok {
		if a := compileString(l); a != nil {
			want := c.Value
			return func(s *scope) truth { return truthOf(a(s) == want) }
		}
	}
	if a, b := compileString(l), compileString(r); a != nil && b != nil {
		return func(s *scope) truth { return truthOf(a(s) == b(s)) }
	}
	if a, b := compileInt(l), compileInt(r); a != nil && b != nil {
		if c, ok := intConstant(r); ok {
			return func(s *scope) truth { return truthOf(a(s) == c) }
		}
		return func(s *scope) truth { return truthOf(a(s) == b(s)) }
	}
	if a, b := compileNumber(l), compileNumber(r); a != nil && b != nil {
		if c := numberConstant(r); !c.none() {
			return func(s *scope) truth { return equal(a(s), c) }
		}
		return func(s *scope) truth { return equal(a(s), b(s)) }
	}
	if kindOf(l) == reflect.Bool && kindOf(r) == reflect.Bool {
		if a, b := compileBool(l), compileBool(r); a != nil && b != nil {
			return func(s *scope) truth { return a(s).same(b(s)) }
		}
	}
	for _, compile := range []func(l, r ast.Node) boolFunc{compileEqualSide, compileEqualElement, compileEqualAny} {
		if eq := compile(l, r); eq != nil {
			return eq
		}
		if eq := compile(r, l); eq != nil {
			return eq
		}
	}
	return compileEqualAnys(l, r)
}

// compileEqualAny compares what json() returns, or a part of a value, with a
// constant or a text.
func compileEqualAny(l, r ast.Node) boolFunc {
	a := compileAny(l)
	if a == nil {
		return nil
	}
	switch c := r.(type) {
	case *ast.NilNode:
		return func(s *scope) truth { return truthOf(a(s) == nil) }
	case *ast.StringNode:
		return func(s *scope) truth { v, ok := a(s).(string); return truthOf(ok && v == c.Value) }
	case *ast.BoolNode:
		return func(s *scope) truth { v, ok := a(s).(bool); return truthOf(ok && v == c.Value) }
	}
	if b := compileNumber(r); b != nil {
		return func(s *scope) truth { x, n := a(s), b(s); return equalNumber(x, n) }
	}
	if b := compileString(r); b != nil {
		return func(s *scope) truth {
			v, want := a(s), b(s)
			t, ok := v.(string)
			return truthOf(ok && t == want)
		}
	}
	return nil
}

// compileAny compiles a node of any kind: a value, a part of one, or json().
func compileAny(n ast.Node) anyFunc {
	if v := compileWhole(n); v != nil {
		return func(s *scope) any { side := v(s); x, err := side.materialise(); return result(s, x, err) }
	}
	if c, ok := isCall(n, "value.at"); ok {
		return compileAt(c)
	}
	if e := compileElement(n); e != nil {
		return func(s *scope) any { return e(s).value(s) }
	}
	c, ok := n.(*ast.CallNode)
	if !ok || !isName(c.Callee, "json") {
		return nil
	}
	x := compileString(c.Arguments[0])
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

func compileOrder(n *ast.BinaryNode) boolFunc {
	if a, b := compileInt(n.Left), compileInt(n.Right); a != nil && b != nil {
		if c, ok := intConstant(n.Right); ok {
			return orderTo(n.Operator, a, c)
		}
		return orderOf(n.Operator, a, b)
	}
	if a, b := compileNumber(n.Left), compileNumber(n.Right); a != nil && b != nil {
		if c := numberConstant(n.Right); c.kind == whole {
			return orderNumberTo(n.Operator, a, c)
		}
		return orderNumbers(n.Operator, a, b)
	}
	if a, b := compileString(n.Left), compileString(n.Right); a != nil && b != nil {
		return orderOf(n.Operator, a, b)
	}
	return nil
}

func orderOf[F ~func(*scope) T, T int | string](op string, a, b F) boolFunc {
	switch op {
	case "<":
		return func(s *scope) truth { return truthOf(a(s) < b(s)) }
	case "<=":
		return func(s *scope) truth { return truthOf(a(s) <= b(s)) }
	case ">":
		return func(s *scope) truth { return truthOf(a(s) > b(s)) }
	}
	return func(s *scope) truth { return truthOf(a(s) >= b(s)) }
}

// orderTo compares with a constant.
func orderTo(op string, a intFunc, c int) boolFunc {
	switch op {
	case "<":
		return func(s *scope) truth { return truthOf(a(s) < c) }
	case "<=":
		return func(s *scope) truth { return truthOf(a(s) <= c) }
	case ">":
		return func(s *scope) truth { return truthOf(a(s) > c) }
	}
	return func(s *scope) truth { return truthOf(a(s) >= c) }
}

// orderNumberTo compares with a constant that is whole.
func orderNumberTo(op string, a numberFunc, c number) boolFunc {
	switch op {
	case "<":
		return func(s *scope) truth {
			n := a(s)
			if n.kind == whole {
				return truthOf(n.i < c.i)
			}
			return less(n, c)
		}
	case "<=":
		return func(s *scope) truth {
			n := a(s)
			if n.kind == whole {
				return truthOf(n.i <= c.i)
			}
			return atMost(n, c)
		}
	case ">":
		return func(s *scope) truth {
			n := a(s)
			if n.kind == whole {
				return truthOf(n.i > c.i)
			}
			return more(n, c)
		}
	}
	return func(s *scope) truth {
		n := a(s)
		if n.kind == whole {
			return truthOf(n.i >= c.i)
		}
		return atLeast(n, c)
	}
}

func orderNumbers(op string, a, b numberFunc) boolFunc {
	switch op {
	case "<":
		return func(s *scope) truth { return less(a(s), b(s)) }
	case "<=":
		return func(s *scope) truth { return atMost(a(s), b(s)) }
	case ">":
		return func(s *scope) truth { return more(a(s), b(s)) }
	}
	return func(s *scope) truth { return atLeast(a(s), b(s)) }
}

func compileText(n *ast.BinaryNode) boolFunc {
	a := compileString(n.Left)
	if a == nil {
		return nil
	}
	if n.Operator == "matches" {
		re := regexp.MustCompile(n.Right.(*ast.StringNode).Value) // checked by the resolver
		return func(s *scope) truth { return truthOf(s.matches(re, a(s))) }
	}
	b := compileString(n.Right)
	if b == nil {
		return nil
	}
	switch n.Operator {
	case "startsWith":
		return func(s *scope) truth { return truthOf(strings.HasPrefix(a(s), b(s))) }
	case "endsWith":
		return func(s *scope) truth { return truthOf(strings.HasSuffix(a(s), b(s))) }
	}
	return func(s *scope) truth { return truthOf(s.contains(a(s), b(s))) }
}

func compileIn(n *ast.BinaryNode) boolFunc {
	switch r := n.Right.(type) {
	case *ast.ConstantNode:
		switch set := r.Value.(type) {
		case map[string]struct{}:
			if e := compileElement(n.Left); e != nil {
				return func(s *scope) truth { return e(s).in(set) }
			}
			if x := compileAny(n.Left); x != nil {
				return func(s *scope) truth { return truthOf(inTexts(x(s), set)) }
			}
			return inSet(compileString(n.Left), set)
		case *numberSet:
			return inNumbers(n.Left, set)
		}
	case *ast.ArrayNode:
		return compileInArray(n.Left, r)
	case *ast.CallNode:
		return compileInTexts(n.Left, r)
	case *ast.IdentifierNode:
		if x, list := compileString(n.Left), textsOf(r); x != nil && list != nil {
			return func(s *scope) truth {
				want := x(s)
				for _, a := range list(s) {
					if text(a) == want {
						return yes
					}
				}
				return no
			}
		}
	}
	return nil
}

// textsOf returns the list of texts that a name stands for: args or changed.
func textsOf(n ast.Node) func(*scope) [][]byte {
	switch {
	case isName(n, "args"):
		return func(s *scope) [][]byte { return s.ev.Args }
	case isName(n, "changed"):
		return func(s *scope) [][]byte { return s.ev.Changed }
	}
	return nil
}

func inSet(x textFunc, set map[string]struct{}) boolFunc {
	if x == nil {
		return nil
	}
	return func(s *scope) truth { _, ok := set[x(s)]; return truthOf(ok) }
}

func inNumbers(x ast.Node, set *numberSet) boolFunc {
	if i := compileInt(x); i != nil {
		return func(s *scope) truth { return set.hasWhole(int64(i(s))) }
	}
	if n := compileNumber(x); n != nil {
		return func(s *scope) truth { return set.has(n(s)) }
	}
	if v := compileAny(x); v != nil {
		return func(s *scope) truth { return set.hasAny(v(s)) }
	}
	return nil
}

// compileInArray compiles "x in [constants]": a few are compared one by one,
// which is faster than a map.
func compileInArray(x ast.Node, array *ast.ArrayNode) boolFunc {
	const few = 8
	texts, numbers := textConstants(array), numberConstants(array)
	switch a := compileString(x); {
	case a != nil && texts != nil && len(texts) <= few:
		return func(s *scope) truth {
			v := a(s)
			for _, t := range texts {
				if v == t {
					return yes
				}
			}
			return no
		}
	case a != nil && texts != nil:
		return inSet(a, setOf(texts))
	case numbers != nil:
		return inNumbers(x, setOfNumbers(numbers))
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

func numberConstants(array *ast.ArrayNode) []any {
	var list []any
	for _, n := range array.Nodes {
		c := numberConstant(n)
		if c.none() {
			return nil
		}
		list = append(list, c.boxed())
	}
	return list
}

// numberConstant returns the number that a constant is, or none.
func numberConstant(n ast.Node) number {
	switch n := n.(type) {
	case *ast.IntegerNode:
		return ofInt(n.Value)
	case *ast.FloatNode:
		return ofFloat(n.Value)
	case *ast.UnaryNode:
		if n.Operator == "-" {
			return negate(numberConstant(n.Node))
		}
	}
	return number{kind: notOne}
}

// elements returns what a predicate runs over: args, changed or a list. The
// body is called with each in turn until it returns false.
func elements(n ast.Node) func(s *scope, body func() bool) {
	if list := textsOf(n); list != nil {
		return func(s *scope, body func() bool) {
			for _, a := range list(s) {
				if !s.eachElement(text(a), body) {
					return
				}
			}
		}
	}
	if list := compileChanges(n); list != nil {
		return func(s *scope, body func() bool) {
			for _, t := range list(s) {
				if !s.eachElement(t, body) {
					return
				}
			}
		}
	}
	if p := compileSplit(n); p != nil {
		return func(s *scope, body func() bool) {
			for rest, found := p.text(s), true; found; {
				var part string
				if part, rest, found = strings.Cut(rest, p.sep); !s.eachElement(part, body) {
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
		for _, t := range list {
			if !s.eachElement(t, body) {
				return
			}
		}
	}
}

// eachElement has a predicate look at one element, and gives up the texts that it
// makes for that. It reports whether to go on.
func (s *scope) eachElement(t string, body func() bool) bool {
	mark := s.texts.bytes
	s.elem = t
	more := !s.stops() && body()
	s.texts.rewind(mark)
	return more
}

func compilePredicate(n *ast.BuiltinNode) boolFunc {
	if p := valuePredicateOf(n); p != nil {
		return p.compile(n.Name)
	}
	each, p := predicateOf(n)
	if each == nil {
		return nil
	}
	// any folds what the predicate gives for each element with "or", until one
	// is yes; all is not any of not, and none is not any.
	any := func(p boolFunc) boolFunc {
		return func(s *scope) (found truth) {
			each(s, func() bool {
				found = found.or(p(s))
				return found != yes && s.err == nil
			})
			return found
		}
	}
	switch n.Name {
	case "any":
		return any(p)
	case "all":
		fails := any(func(s *scope) truth { return p(s).not() })
		return func(s *scope) truth { return fails(s).not() }
	case "none":
		some := any(p)
		return func(s *scope) truth { return some(s).not() }
	case "one":
		return func(s *scope) truth { return truthOf(countOf(s, each, p) == 1) }
	}
	return nil
}

// countOf counts the elements for which the predicate is yes: one that is no
// number where it should be is not among them.
func countOf(s *scope, each func(*scope, func() bool), p boolFunc) (n int) {
	each(s, func() bool {
		if p(s) == yes {
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
	if p = compileBool(body.Node); p == nil {
		return nil, nil
	}
	return elements(n.Arguments[0]), p
}

func compileBoolCall(n *ast.CallNode) boolFunc {
	callee, ok := n.Callee.(*ast.IdentifierNode)
	if !ok {
		return nil
	}
	if strings.HasPrefix(callee.Value, "value.") {
		if b := compileMemberBool(n, callee.Value); b != nil {
			return b
		}
		return compileValueBool(n, callee.Value)
	}
	if callee.Value == "list.has" {
		return compileRows(n)
	}
	if len(n.Arguments) != 2 {
		return nil
	}
	x := compileString(n.Arguments[0])
	switch callee.Value {
	case "glob":
		if g, ok := n.Arguments[1].(*ast.ConstantNode).Value.(*glob.Pattern); ok && x != nil {
			return func(s *scope) truth { return truthOf(g.Match(bytesOf(x(s)))) }
		}
	case "cidr":
		if p, ok := n.Arguments[1].(*ast.ConstantNode).Value.(netip.Prefix); ok && x != nil {
			return func(s *scope) truth { return truthOf(inPrefix(x(s), p)) }
		}
	}
	return nil
}
