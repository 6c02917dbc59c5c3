package rules

import (
	"cmp"
	"math"
	"regexp"
	"slices"
	"strconv"

	"github.com/expr-lang/expr/ast"

	"triggerd/internal/event"
	"triggerd/internal/glob"
)

// A conjunct is what an event must be for a rule to match it, as far as the
// index can tell: a rule has several if it says "or". Conjuncts are necessary,
// not sufficient, so each may say less than the rule does: what the index
// finds is checked with the rule itself.
type conjunct struct {
	keys  []*glob.Pattern // the key matches one of them; nil: any key
	field bool            // keys are the rule's own field, so that a hit is a match of it
	equal []equality      // all of them hold
}

// equality says that a value of the event is one of a few.
type equality struct {
	of     origin
	values []string // sorted
}

// origin is where a value of an event is found.
type origin struct {
	kind originKind
	arg  int    // of fromArg
	name string // of fromParam
}

type originKind uint8

// In order of preference where two tell events apart equally well.
const (
	fromArg originKind = iota
	fromParam
	fromCommand
	fromEvent
	fromType
	fromDB
)

// Limits of what the index is told; beyond them it is told less.
const (
	maxConjuncts = 64   // of one rule
	maxValues    = 64   // of one equality
	maxKeys      = 1024 // exact keys of one conjunct
)

// everything is the condition of a rule that says nothing.
func everything() []conjunct { return []conjunct{{}} }

// conjuncts returns the conjuncts of a rule: its fields, and what its
// condition says beyond them.
func (r *Rule) conjuncts(condition []conjunct) []conjunct {
	stream := conjunct{keys: r.keys, field: true}
	if r.lasts() {
		return r.placeConjuncts(stream, condition)
	}
	if r.dbs != nil {
		stream.equal = append(stream.equal, equality{origin{kind: fromDB}, decimals(r.dbs)})
	}
	if r.types != nil {
		stream.equal = append(stream.equal, equality{origin{kind: fromType}, sorted(r.types)})
	}
	snapshot := stream
	snapshot.equal = slices.Clone(stream.equal)
	if r.commands != nil {
		stream.equal = append(stream.equal, equality{origin{kind: fromCommand}, r.commands.list()})
	}
	if r.events != nil && !r.anyWrite {
		stream.equal = append(stream.equal, equality{origin{kind: fromEvent}, r.events.list()})
	}
	fields := []conjunct{stream}
	if r.Snapshot { // a key of a snapshot has no command, and its event is known
		snapshot.equal = append(snapshot.equal, equality{origin{kind: fromEvent}, []string{event.Snapshot}})
		fields = append(fields, snapshot)
	}
	if keys := regexKeys(r.regexes); keys != nil {
		fields = and(fields, []conjunct{{keys: keys}})
	}
	return and(fields, condition)
}

// placeConjuncts returns those of a rule with for, which every event of its
// keys concerns: only what is said of the key and the database counts.
func (r *Rule) placeConjuncts(place conjunct, condition []conjunct) []conjunct {
	if r.dbs != nil {
		place.equal = append(place.equal, equality{origin{kind: fromDB}, decimals(r.dbs)})
	}
	fields := []conjunct{place}
	if keys := regexKeys(r.regexes); keys != nil {
		fields = and(fields, []conjunct{{keys: keys}})
	}
	var ofPlace []conjunct
	for _, c := range condition {
		c.equal = slices.DeleteFunc(slices.Clone(c.equal), func(e equality) bool { return e.of.kind != fromDB && e.of.kind != fromParam })
		if len(c.equal) == 0 {
			c.equal = nil
		}
		ofPlace = append(ofPlace, c)
	}
	return and(fields, ofPlace)
}

func sorted(list []string) []string {
	list = slices.Clone(list)
	slices.Sort(list)
	return slices.Compact(list)
}

func decimals(list []int) []string {
	var out []string
	for _, n := range list {
		out = append(out, strconv.Itoa(n))
	}
	return sorted(out)
}

// and joins two alternatives of conjuncts.
func and(a, b []conjunct) []conjunct {
	switch {
	case len(a) == 1 && a[0].empty():
		return b
	case len(b) == 1 && b[0].empty():
		return a
	}
	if len(a)*len(b) > maxConjuncts {
		if len(a) > len(b) {
			a, b = b, a
		}
		return a // saying less is sound
	}
	var out []conjunct
	for i := range a {
		for j := range b {
			if c, ok := both(a[i], b[j]); ok {
				out = append(out, c)
			}
		}
	}
	return out
}

func (c *conjunct) empty() bool { return c.keys == nil && c.equal == nil }

// both joins two conjuncts; false if no event is like that.
func both(a, b conjunct) (conjunct, bool) {
	c := conjunct{keys: a.keys, field: a.field, equal: slices.Clone(a.equal)}
	if selectivity(b.keys) > selectivity(a.keys) {
		c.keys, c.field = b.keys, b.field
	}
	for _, e := range b.equal {
		i := slices.IndexFunc(c.equal, func(have equality) bool { return have.of == e.of })
		switch {
		case i < 0:
			c.equal = append(c.equal, e)
		case e.of.kind == fromCommand: // a name stands for its subcommands too, so names do not intersect
		default:
			common := slices.DeleteFunc(slices.Clone(c.equal[i].values), func(v string) bool {
				_, found := slices.BinarySearch(e.values, v)
				return !found
			})
			if len(common) == 0 {
				return conjunct{}, false
			}
			c.equal[i].values = common
		}
	}
	return c, true
}

// selectivity estimates how few keys match one of the patterns.
func selectivity(patterns []*glob.Pattern) int {
	if patterns == nil {
		return -1 // every key
	}
	least := math.MaxInt
	for _, p := range patterns {
		least = min(least, p.Selectivity())
	}
	return least
}

// extract returns what a condition says, or with not what its negation says.
func extract(n ast.Node, not bool) []conjunct {
	switch n := n.(type) {
	case *ast.BoolNode:
		if n.Value == not {
			return nil // never
		}
	case *ast.UnaryNode:
		if n.Operator == "!" || n.Operator == "not" {
			return extract(n.Node, !not)
		}
	case *ast.BinaryNode:
		switch n.Operator {
		case "&&", "and", "||", "or":
			a, b := extract(n.Left, not), extract(n.Right, not)
			if (n.Operator == "&&" || n.Operator == "and") != not {
				return and(a, b)
			}
			if len(a)+len(b) > maxConjuncts {
				return everything()
			}
			return append(a, b...)
		case "!=":
			if !not {
				return everything()
			}
			return comparison(n, "==")
		}
		if !not {
			return comparison(n, n.Operator)
		}
	}
	return everything()
}

// comparison returns what a comparison with constants says.
func comparison(n *ast.BinaryNode, op string) []conjunct {
	switch op {
	case "==":
		if values := constants(n.Right); values != nil {
			return equals(n.Left, values)
		}
		if values := constants(n.Left); values != nil {
			return equals(n.Right, values)
		}
	case "in":
		if values := constantSet(n.Right); values != nil {
			return equals(n.Left, values)
		}
	case "startsWith", "endsWith", "contains", "matches":
		c, ok := n.Right.(*ast.StringNode)
		if ok && isName(n.Left, "key") {
			return keyLike(op, c.Value)
		}
	}
	return everything()
}

// constants returns the value of a constant as the index holds it.
func constants(n ast.Node) []string {
	if s, ok := n.(*ast.StringNode); ok {
		return []string{s.Value}
	}
	if i, ok := intConstant(n); ok {
		return []string{strconv.Itoa(i)}
	}
	return nil
}

// constantSet returns the values of a list; nil if they are not constants.
func constantSet(n ast.Node) []string {
	values := []string{}
	switch n := n.(type) {
	case *ast.ArrayNode:
		for _, e := range n.Nodes {
			v := constants(e)
			if v == nil {
				return nil
			}
			values = append(values, v...)
		}
	case *ast.ConstantNode:
		switch set := n.Value.(type) {
		case map[string]struct{}:
			for v := range set {
				values = append(values, v)
			}
		case map[int]struct{}:
			for v := range set {
				values = append(values, strconv.Itoa(v))
			}
		default:
			return nil
		}
	default:
		return nil
	}
	return sorted(values)
}

// equals says that x is one of values.
func equals(x ast.Node, values []string) []conjunct {
	if isName(x, "key") {
		if len(values) > maxKeys {
			return everything()
		}
		keys := []*glob.Pattern{}
		for _, v := range values {
			keys = append(keys, glob.Literal(v))
		}
		return []conjunct{{keys: keys}}
	}
	of, ok := originOf(x)
	if !ok || len(values) > maxValues {
		return everything()
	}
	return []conjunct{{equal: []equality{{of, values}}}}
}

// originOf returns where the value of a node is found in an event.
func originOf(n ast.Node) (origin, bool) {
	switch n := n.(type) {
	case *ast.IdentifierNode:
		kind, ok := map[string]originKind{"command": fromCommand, "event": fromEvent, "type": fromType, "db": fromDB}[n.Value]
		return origin{kind: kind}, ok
	case *ast.MemberNode:
		if i, ok := n.Property.(*ast.IntegerNode); ok && isName(n.Node, "args") && i.Value >= 0 {
			return origin{kind: fromArg, arg: i.Value}, true
		}
		if name, ok := n.Property.(*ast.StringNode); ok && isName(n.Node, "params") {
			return origin{kind: fromParam, name: name.Value}, true
		}
	case *ast.CallNode:
		if isName(n.Callee, "arg") {
			if i, ok := n.Arguments[1].(*ast.IntegerNode); ok && i.Value >= 0 {
				return origin{kind: fromArg, arg: i.Value}, true
			}
		}
	}
	return origin{}, false
}

// keyLike returns the pattern of keys that a condition on the key selects.
func keyLike(op, s string) []conjunct {
	var p *glob.Pattern
	switch op {
	case "startsWith":
		p = glob.Prefix(s)
	case "endsWith":
		p = glob.Suffix(s)
	case "contains":
		p = glob.Containing(s)
	case "matches":
		p = glob.OfRegexp(s)
	}
	if p == nil {
		return everything()
	}
	return []conjunct{{keys: []*glob.Pattern{p}}}
}

// regexKeys returns patterns that together match every key in which one of the
// expressions finds a match; nil if that would be every key.
func regexKeys(exprs []*regexp.Regexp) []*glob.Pattern {
	var keys []*glob.Pattern
	for _, re := range exprs {
		p := glob.OfRegexp(re.String())
		if p == nil {
			return nil
		}
		keys = append(keys, p)
	}
	return keys
}

// byPreference orders origins.
func byPreference(a, b origin) int {
	return cmp.Or(cmp.Compare(a.kind, b.kind), cmp.Compare(a.arg, b.arg), cmp.Compare(a.name, b.name))
}
