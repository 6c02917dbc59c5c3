package condition

import (
	"math"
	"slices"
	"strconv"

	"github.com/expr-lang/expr/ast"

	"triggerd/internal/glob"
)

// A Conjunct is what an event must be for a condition to hold, or for a rule to
// match, as far as an index can tell: there are several where something says
// "or". Conjuncts are necessary, not sufficient, so each may say less than the
// condition does: what is found by them is checked with the condition itself.
type Conjunct struct {
	Keys  []*glob.Pattern // the key matches one of them; nil: any key
	Field bool            // Keys are the rule's own field, so that a hit is a match of it; never so of a condition's
	Equal []Equality      // all of them hold
}

// Equality says that its subject, a value of the event, is one of a few.
type Equality struct {
	Subject Subject
	Values  []string // sorted; numbers in decimal
}

// Subject is where a value of an event is found.
type Subject struct {
	Kind SubjectKind
	Arg  int    // of OfArg: its index
	Name string // of OfParam
}

// SubjectKind is what a Subject is.
type SubjectKind uint8

// The kinds of subjects, in order of preference where two tell events apart
// equally well.
const (
	OfArg SubjectKind = iota
	OfParam
	OfCommand // or the one that the command is a subcommand of
	OfEvent
	OfType
	OfDB
)

// String returns the subject as a condition names it.
func (s Subject) String() string {
	switch s.Kind {
	case OfArg:
		return "args[" + strconv.Itoa(s.Arg) + "]"
	case OfParam:
		return "params." + s.Name
	case OfCommand:
		return "command"
	case OfEvent:
		return "event"
	case OfType:
		return "type"
	}
	return "db"
}

// MaxValues is how many values an Equality of a condition has at most.
const MaxValues = 64

// Limits of what a condition says; beyond them it says less.
const (
	maxConjuncts = 64   // of one rule
	maxKeys      = 1024 // exact keys of one conjunct
)

// Everything returns the conjuncts of what says nothing.
func Everything() []Conjunct { return []Conjunct{{}} }

// Empty reports whether the conjunct says nothing.
func (c *Conjunct) Empty() bool { return c.Keys == nil && c.Equal == nil }

// And joins what two things say that are both asked for. None of it is left
// where no event is like that.
func And(a, b []Conjunct) []Conjunct {
	switch {
	case len(a) == 1 && a[0].Empty():
		return b
	case len(b) == 1 && b[0].Empty():
		return a
	}
	if len(a)*len(b) > maxConjuncts {
		if len(a) > len(b) {
			a, b = b, a
		}
		return a // saying less is sound
	}
	var out []Conjunct
	for i := range a {
		for j := range b {
			if c, ok := both(a[i], b[j]); ok {
				out = append(out, c)
			}
		}
	}
	return out
}

// both joins two conjuncts; false if no event is like that.
func both(a, b Conjunct) (Conjunct, bool) {
	c := Conjunct{Keys: a.Keys, Field: a.Field, Equal: slices.Clone(a.Equal)}
	if selectivity(b.Keys) > selectivity(a.Keys) {
		c.Keys, c.Field = b.Keys, b.Field
	}
	for _, e := range b.Equal {
		i := slices.IndexFunc(c.Equal, func(have Equality) bool { return have.Subject == e.Subject })
		switch {
		case i < 0:
			c.Equal = append(c.Equal, e)
		case e.Subject.Kind == OfCommand: // a name stands for its subcommands too, so names do not intersect
		default:
			common := slices.DeleteFunc(slices.Clone(c.Equal[i].Values), func(v string) bool {
				_, found := slices.BinarySearch(e.Values, v)
				return !found
			})
			if len(common) == 0 {
				return Conjunct{}, false
			}
			c.Equal[i].Values = common
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
func extract(n ast.Node, not bool) []Conjunct {
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
				return And(a, b)
			}
			if len(a)+len(b) > maxConjuncts {
				return Everything()
			}
			return append(a, b...)
		case "!=":
			if !not {
				return Everything()
			}
			return comparison(n, "==")
		}
		if !not {
			return comparison(n, n.Operator)
		}
	}
	return Everything()
}

// comparison returns what a comparison with constants says.
func comparison(n *ast.BinaryNode, op string) []Conjunct {
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
	return Everything()
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
		case *numberSet:
			values = set.texts()
		default:
			return nil
		}
	default:
		return nil
	}
	return sorted(values)
}

// equals says that x is one of values.
func equals(x ast.Node, values []string) []Conjunct {
	if isName(x, "key") {
		if len(values) > maxKeys {
			return Everything()
		}
		keys := []*glob.Pattern{}
		for _, v := range values {
			keys = append(keys, glob.Literal(v))
		}
		return []Conjunct{{Keys: keys}}
	}
	subject, ok := subjectOf(x)
	if !ok || len(values) > MaxValues {
		return Everything()
	}
	return []Conjunct{{Equal: []Equality{{subject, values}}}}
}

// subjectOf returns where the value of a node is found in an event.
func subjectOf(n ast.Node) (Subject, bool) {
	switch n := n.(type) {
	case *ast.IdentifierNode:
		kind, ok := map[string]SubjectKind{"command": OfCommand, "event": OfEvent, "type": OfType, "db": OfDB}[n.Value]
		return Subject{Kind: kind}, ok
	case *ast.MemberNode:
		if i, ok := n.Property.(*ast.IntegerNode); ok && isName(n.Node, "args") && i.Value >= 0 {
			return Subject{Kind: OfArg, Arg: i.Value}, true
		}
		if name, ok := n.Property.(*ast.StringNode); ok && isName(n.Node, "params") {
			return Subject{Kind: OfParam, Name: name.Value}, true
		}
	case *ast.CallNode:
		if isName(n.Callee, "arg") {
			if i, ok := n.Arguments[1].(*ast.IntegerNode); ok && i.Value >= 0 {
				return Subject{Kind: OfArg, Arg: i.Value}, true
			}
		}
	}
	return Subject{}, false
}

// keyLike returns the pattern of keys that a condition on the key selects.
func keyLike(op, s string) []Conjunct {
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
		return Everything()
	}
	return []Conjunct{{Keys: []*glob.Pattern{p}}}
}
