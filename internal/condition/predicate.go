package condition

import (
	"fmt"
	"slices"
	"strings"
	"unique"

	"github.com/expr-lang/expr/ast"

	"triggerd/internal/event"
)

// Predicates over before and after. What one says of the elements has no order:
// any holds if one element is found, even if another cannot be told. So it can
// be counted, and where a value keeps counts (event.Counter) it costs what has
// changed. There are three cheap ways, and one that is not:
//
//	any(after, # == X), .member == X     X reads no element: a lookup, but in a list
//	any(after, num(.score) >= X)         X reads no element: a rank in a sorted set
//	any(after, BODY)                     BODY reads nothing else: counted
//	any(after, BODY) with key, args ...  each element is looked at, at each event

// valuePredicate is any(after, ...) and its like.
type valuePredicate struct {
	side    sideFunc
	holds   boolFunc         // of the element in the scope
	counted *event.Predicate // nil: it reads more than the element
	lookup  *lookup          // nil: it is none
	rank    *rank            // nil: it is none
}

// lookup is # == X, #.member == X and the like.
type lookup struct {
	part string // "" for the element itself
	x    textFunc
}

// rank is num(#.score) < X and the like.
type rank struct {
	op string // as if the score stood left of it
	x  numberFunc
}

// outcome is what a predicate says of a value's elements.
type outcome struct {
	event.Counts
	all int   // elements
	err error // of one that cannot be told
}

// valuePredicateOf compiles the parts of a predicate over a value; nil for all
// else, and for what is left to the machine.
func valuePredicateOf(n *ast.BuiltinNode) *valuePredicate {
	body, side := overValue(n)
	if side == nil {
		return nil
	}
	p := &valuePredicate{side: side, holds: compileBool(body)}
	if p.holds == nil {
		return nil
	}
	p.lookup, p.rank = lookupOf(body), rankOf(body)
	if readsOnlyElement(body) {
		p.counted = countedPredicate(body, p.holds)
	}
	return p
}

// overValue returns the body of a predicate over before or after; nil for all
// else.
func overValue(n *ast.BuiltinNode) (body ast.Node, side sideFunc) {
	if len(n.Arguments) != 2 {
		return nil, nil
	}
	p, ok := n.Arguments[1].(*ast.PredicateNode)
	over := sideOfElements(n.Arguments[0])
	if !ok || over == nil {
		return nil, nil
	}
	return p.Node, compileSide(over)
}

// sideOfElements returns the name in value.elements(before); nil for all else.
func sideOfElements(n ast.Node) ast.Node {
	if c, ok := isCall(n, "value.elements"); ok {
		return c.Arguments[0]
	}
	return nil
}

// compile compiles any, all, none or one.
func (p *valuePredicate) compile(name string) boolFunc {
	fold := map[string]func(outcome) (truth, error){
		"any":  outcome.any,
		"none": func(o outcome) (truth, error) { t, err := o.any(); return t.not(), err },
		"all":  outcome.every,
		"one":  outcome.one,
	}[name]
	return func(s *scope) truth {
		o := p.ask(s)
		t, err := fold(o)
		return result(s, t, err)
	}
}

// compileCount compiles count.
func (p *valuePredicate) compileCount() intFunc {
	return func(s *scope) int {
		o := p.ask(s)
		return result(s, o.Yes, o.err)
	}
}

// any is yes if one element is, whatever the others are.
func (o outcome) any() (truth, error) {
	if o.Yes > 0 {
		return yes, nil
	}
	return o.unless(no), o.err
}

// every is no if one element is, whatever the others are.
func (o outcome) every() (truth, error) {
	if o.Yes+o.Missing+o.Unknown+o.Failed < o.all {
		return no, nil
	}
	return o.unless(yes), o.err
}

// unless returns t, unless elements are neither yes nor no.
func (o outcome) unless(t truth) truth {
	switch {
	case o.Unknown > 0:
		return unknown
	case o.Missing > 0:
		return missing
	}
	return t
}

// one is yes if just one element is.
func (o outcome) one() (truth, error) {
	if o.Yes > 1 {
		return no, nil
	}
	return truthOf(o.Yes == 1), o.err
}

// ask asks the predicate of all elements.
func (p *valuePredicate) ask(s *scope) outcome {
	side := p.side(s)
	v, err := side.all()
	switch {
	case s.err != nil: // nothing matters any more
		return outcome{}
	case err != nil:
		return outcome{err: err, Counts: event.Counts{Failed: 1}, all: 1}
	case v.Type() == "string":
		return outcome{err: side.noElements(), Counts: event.Counts{Failed: 1}, all: 1}
	case v.Len() == 0: // or the key is not there
		return outcome{}
	}
	typ := v.Type()
	if p.lookup != nil && p.lookup.direct(typ) {
		return p.lookup.ask(s, v, typ)
	}
	if p.counted != nil {
		if o, ok := p.count(v, side.String()); ok {
			return o
		}
	}
	switch {
	case p.rank != nil && typ == "zset":
		return p.rank.ask(s, v)
	case p.lookup != nil:
		return p.lookup.ask(s, v, typ)
	}
	return p.scan(s, v, typ)
}

// count asks a value for what it has counted. false: it does not count.
func (p *valuePredicate) count(v event.Value, side string) (outcome, bool) {
	c, ok := v.(event.Counter)
	if !ok {
		return outcome{}, false
	}
	n, ok := c.Count(p.counted)
	o := outcome{Counts: n, all: v.Len()}
	if n.Failed > 0 {
		o.err = fmt.Errorf("%d of the %d elements of %s cannot be told", n.Failed, o.all, side)
	}
	return o, ok
}

// scan looks at each element.
func (p *valuePredicate) scan(s *scope, v event.Value, typ string) outcome {
	o := outcome{all: v.Len()}
	s.typ, s.element = typ, &s.scratch
	for s.scratch = range v.All() {
		if s.stops() {
			break
		}
		mark := s.texts.bytes
		o.Add(s.verdict(p.holds), 1)
		s.texts.rewind(mark)
		if s.err != nil {
			if o.err == nil {
				o.err = s.err
			}
			s.err = nil
		}
	}
	s.element, s.scratch = nil, event.Element{}
	return o
}

// verdict is what a condition says of the element in the scope.
func (s *scope) verdict(holds boolFunc) event.Verdict {
	t := holds(s)
	if s.err != nil {
		return event.VerdictFailed
	}
	switch t {
	case yes:
		return event.VerdictYes
	case missing:
		return event.VerdictMissing
	case unknown:
		return event.VerdictUnknown
	}
	return event.VerdictNo
}

// counted is a predicate that a condition may ask a value to count for.
type counted struct {
	predicate *event.Predicate
	never     func(typ string) bool // of values of a type it is never asked
}

// Counted returns the predicates that the condition asks values of a type to count
// for.
func (c *Condition) Counted(typ string) (list []*event.Predicate) {
	for _, p := range c.counted {
		if !p.never(typ) {
			list = append(list, p.predicate)
		}
	}
	return list
}

// countedIn returns the predicates in a tree that are counted.
func countedIn(n ast.Node) []counted {
	var found countedFinder
	ast.Walk(&n, &found)
	return found
}

type countedFinder []counted

// Visit is ast.Visitor's.
func (f *countedFinder) Visit(n *ast.Node) {
	switch n := (*n).(type) {
	case *ast.BuiltinNode:
		if p := valuePredicateOf(n); p != nil && p.counted != nil {
			*f = append(*f, counted{p.counted, func(typ string) bool { return p.lookup != nil && p.lookup.direct(typ) }})
		}
	case *ast.CallNode:
		if _, ok := isCall(n, "value.has"); ok {
			if p := isItem(n.Arguments[1]); p != nil {
				*f = append(*f, counted{p, func(typ string) bool { return typ != "list" }})
			}
		}
	}
}

// readsOnlyElement reports whether a body reads nothing of the event, so that
// what it says of an element is the same whenever it is asked.
func readsOnlyElement(body ast.Node) bool {
	r := elementOnly(true)
	ast.Walk(&body, &r)
	return bool(r)
}

type elementOnly bool

// Visit is ast.Visitor's.
func (r *elementOnly) Visit(n *ast.Node) {
	if id, ok := (*n).(*ast.IdentifierNode); ok && (variables[id.Value] || id.Value == keysName) {
		*r = false
	}
}

// readsElement reports whether a node reads the element.
func readsElement(n ast.Node) bool { return readingOf(n).element }

// countedPredicate makes what values count for.
func countedPredicate(body ast.Node, holds boolFunc) *event.Predicate {
	return &event.Predicate{
		Text: unique.Make(canonical(body)), Names: readsName(body),
		Judge: func(typ string) event.Judge {
			s := &scope{typ: typ}
			return func(e *event.Element) event.Verdict {
				s.element, s.err = e, nil
				s.texts.reset()
				return s.verdict(holds)
			}
		},
	}
}

// isItem returns the predicate # == X, for elements that are texts, where X is a
// constant; nil where it is none.
func isItem(x ast.Node) *event.Predicate {
	c, ok := x.(*ast.StringNode)
	if !ok {
		return nil
	}
	body := &ast.BinaryNode{Operator: "==", Left: &ast.PointerNode{}, Right: c}
	return &event.Predicate{
		Text: unique.Make(canonical(body)), Names: true,
		Judge: func(string) event.Judge {
			return func(e *event.Element) event.Verdict {
				if e.Name == c.Value {
					return event.VerdictYes
				}
				return event.VerdictNo
			}
		},
	}
}

// canonical spells a resolved body: texts are equal only of bodies that mean the
// same.
func canonical(body ast.Node) string {
	var c constantTexts
	ast.Walk(&body, &c)
	return body.String() + strings.Join(c, "")
}

// constantTexts are what the constants stand for that the resolver has made, in
// the order in which they are met: the spelling of expr does not tell.
type constantTexts []string

// Visit is ast.Visitor's.
func (c *constantTexts) Visit(n *ast.Node) {
	k, ok := (*n).(*ast.ConstantNode)
	if !ok {
		return
	}
	text := ""
	switch v := k.Value.(type) {
	case map[string]struct{}:
		text = fmt.Sprintf("%q", slices.Collect(sortedKeys(v)))
	case *numberSet:
		text = fmt.Sprint(sorted(v.texts()))
	case *rows:
		text = fmt.Sprintf("%q", v.texts())
	case jsonPath:
		text = fmt.Sprintf("json %q", []string(v))
	default:
		text = fmt.Sprintf("%T %q", v, fmt.Sprint(v))
	}
	*c = append(*c, "; "+text)
}

// lookupOf compiles # == X and the like, where X is text that reads no element;
// nil for all else.
func lookupOf(body ast.Node) *lookup {
	n, ok := body.(*ast.BinaryNode)
	if !ok || n.Operator != "==" {
		return nil
	}
	for _, sides := range [][2]ast.Node{{n.Left, n.Right}, {n.Right, n.Left}} {
		part, ok := partName(sides[0])
		if !ok || readsElement(sides[1]) {
			continue
		}
		if x := compileString(sides[1]); x != nil {
			return &lookup{part, x}
		}
	}
	return nil
}

// partName returns the name of the part of the element that a node is; "" for
// the element itself.
func partName(n ast.Node) (name string, ok bool) {
	if m, is := n.(*ast.MemberNode); is {
		property, is := m.Property.(*ast.StringNode)
		if !is || m.Optional {
			return "", false
		}
		name, n = property.Value, m.Node
		if name == "" {
			return "", false
		}
	}
	_, ok = n.(*ast.PointerNode)
	return name, ok && compileElement(n) != nil
}

// direct reports whether the element is found by its name in a value of a type,
// or cannot be there.
func (l *lookup) direct(typ string) bool {
	switch l.part {
	case "":
		return typ != "list"
	case "value":
		return typ != "hash" && !named(typ)
	}
	return !named(typ)
}

// ask looks up the element; or looks at all, where that is not how it is found.
func (l *lookup) ask(s *scope, v event.Value, typ string) outcome {
	want := l.x(s)
	switch {
	case s.err != nil:
		return s.failed(v.Len())
	case l.part != "" && named(typ):
		s.noPart(l.part, typ)
		return s.failed(v.Len())
	}
	o := outcome{all: v.Len()}
	switch {
	case l.part == "" && typ == "set", l.part == "member" && typ == "zset", l.part == "field" && typ == "hash", l.part == "id" && typ == "stream":
		if _, ok := v.Get(bytesOf(want)); ok {
			o.Yes = 1
		}
	case typ == "list":
		o.Yes = s.countElements(v, func(e event.Element) bool { return e.Name == want })
	case l.part == "value" && typ == "hash":
		o.Yes = s.countElements(v, func(e event.Element) bool { return e.Value == want })
	}
	return o // all else is an entry or nil, and equals no text
}

// countElements looks at each element.
func (s *scope) countElements(v event.Value, is func(event.Element) bool) (n int) {
	for e := range v.All() {
		if s.stops() {
			break
		}
		if is(e) {
			n++
		}
	}
	return n
}

// failed is what a predicate says that failed for all elements.
func (s *scope) failed(all int) outcome {
	o := outcome{all: all, err: s.err, Counts: event.Counts{Failed: all}}
	s.err = nil
	return o
}

// rankOf compiles num(#.score) < X and the like, where X is a number that reads
// no element; nil for all else.
func rankOf(body ast.Node) *rank {
	n, ok := body.(*ast.BinaryNode)
	if !ok {
		return nil
	}
	turned := map[string]string{"<": ">", "<=": ">=", ">": "<", ">=": "<=", "==": "==", "!=": "!="}
	if turned[n.Operator] == "" {
		return nil
	}
	score, x, op := n.Left, n.Right, n.Operator
	if !isScore(score) {
		score, x, op = x, score, turned[op]
	}
	if !isScore(score) || readsElement(x) {
		return nil
	}
	if x := compileNumber(x); x != nil {
		return &rank{op, x}
	}
	return nil
}

// isScore reports whether a node is num(#.score).
func isScore(n ast.Node) bool {
	c, ok := isCall(n, "num")
	if !ok {
		return false
	}
	part, ok := partName(c.Arguments[0])
	return ok && part == "score" && len(c.Arguments) == 1
}

// ask counts the scores of a sorted set.
func (r *rank) ask(s *scope, v event.Value) outcome {
	x := r.x(s)
	if s.err != nil {
		return s.failed(v.Len())
	}
	o := outcome{all: v.Len()}
	switch x.kind {
	case nothing:
		o.Missing = o.all
		return o
	case notOne:
		o.Unknown = o.all
		return o
	}
	switch r.op {
	case "<":
		o.Yes = s.below(v, x, false)
	case "<=":
		o.Yes = s.below(v, x, true)
	case ">":
		o.Yes = o.all - s.below(v, x, true)
	case ">=":
		o.Yes = o.all - s.below(v, x, false)
	case "==":
		o.Yes = s.below(v, x, true) - s.below(v, x, false)
	case "!=":
		o.Yes = o.all - (s.below(v, x, true) - s.below(v, x, false))
	}
	return o
}

// below counts the scores of a sorted set that are below a number, or at most
// that.
func (s *scope) below(v event.Value, x number, orEqual bool) int {
	f := x.float()
	if c := compare(ofFloat(f), x); c != 0 { // of 64 bits, and rounded: no score is between the two
		orEqual = c < 0
	}
	if r, ok := v.(event.Ranker); ok {
		if n, ok := r.Below(f, orEqual); ok {
			return n
		}
	}
	return s.countElements(v, func(e event.Element) bool { return e.Score < f || orEqual && e.Score == f })
}
