package condition

import (
	"math"
	"slices"

	"github.com/expr-lang/expr/ast"
)

// Ends compares a condition with another one that is to end what it has begun.
// never: the other cannot hold. always: it holds whenever the condition does.
// Both are false where that cannot be told: what is compared are bounds of
// numbers, constants, and what is written in the same way. The conditions are ones
// that compile.
func (c *Compiler) Ends(when, until string, captures []string) (never, always bool) {
	var r Report
	w, u := c.checked(when, captures, true, &r), c.checked(until, captures, true, &r)
	if w == nil || u == nil {
		return false, false
	}
	begins, okW := cases(w.Node, false)
	ends, okU := cases(u.Node, false)
	if !okU {
		return false, false
	}
	if len(ends) == 0 {
		return true, false
	}
	always = okW && len(begins) > 0 && !slices.ContainsFunc(begins, func(b bounds) bool {
		return !slices.ContainsFunc(ends, b.within)
	})
	return false, always
}

// bounds say what parts of a condition are, by their text, in one of its cases.
type bounds struct {
	numbers map[string]numberBounds
	texts   map[string]textBounds
	truths  map[string]bool
}

// numberBounds are the numbers from low to high, without one of both where it is
// open, and without others.
type numberBounds struct {
	low, high         float64
	lowOpen, highOpen bool
	not               []float64
}

// textBounds are texts: those of only, or all if that is nil, without others.
type textBounds struct{ only, not []string }

// maxCases limits the cases of a condition.
const maxCases = 32

// cases returns the cases in which a condition holds, or with not its negation;
// false if there are too many.
func cases(n ast.Node, not bool) ([]bounds, bool) {
	switch n := n.(type) {
	case *ast.BoolNode:
		if n.Value == not {
			return nil, true
		}
		return []bounds{{}}, true
	case *ast.UnaryNode:
		if n.Operator == "!" || n.Operator == "not" {
			return cases(n.Node, !not)
		}
	case *ast.BinaryNode:
		switch n.Operator {
		case "&&", "and", "||", "or":
			return joined(n, not)
		}
		if b, ok := compared(n, not); ok {
			return b, true
		}
	}
	return []bounds{{truths: map[string]bool{n.String(): !not}}}, true
}

// joined returns the cases of two conditions that are joined.
func joined(n *ast.BinaryNode, not bool) (all []bounds, ok bool) {
	a, okA := cases(n.Left, not)
	b, okB := cases(n.Right, not)
	if !okA || !okB {
		return nil, false
	}
	if (n.Operator == "||" || n.Operator == "or") != not {
		all = append(a, b...)
		return all, len(all) <= maxCases
	}
	for _, x := range a {
		for _, y := range b {
			if both, ok := x.and(y); ok {
				all = append(all, both)
			}
		}
	}
	return all, len(all) <= maxCases
}

var (
	mirrored = map[string]string{"<": ">", "<=": ">=", ">": "<", ">=": "<=", "==": "==", "!=": "!="}
	negated  = map[string]string{"<": ">=", "<=": ">", ">": "<=", ">=": "<", "==": "!=", "!=": "=="}
)

// compared returns what a comparison with a constant says.
func compared(n *ast.BinaryNode, not bool) ([]bounds, bool) {
	if n.Operator == "in" {
		values := onlyTexts(n.Right)
		if values == nil {
			return nil, false
		}
		b := textBounds{only: values}
		if not {
			b = textBounds{not: values}
		}
		return []bounds{{texts: map[string]textBounds{n.Left.String(): b}}}, true
	}
	subject, constant, op := n.Left, n.Right, n.Operator
	if isConstant(subject) {
		subject, constant, op = constant, subject, mirrored[op]
	}
	if not {
		op = negated[op]
	}
	if text, ok := constant.(*ast.StringNode); ok && (op == "==" || op == "!=") {
		b := textBounds{only: []string{text.Value}}
		if op == "!=" {
			b = textBounds{not: b.only}
		}
		return []bounds{{texts: map[string]textBounds{subject.String(): b}}}, true
	}
	x, ok := constantNumber(constant)
	if !ok {
		return nil, false
	}
	b := numberBounds{low: math.Inf(-1), high: math.Inf(1)}
	switch op {
	case "<", "<=":
		b.high, b.highOpen = x, op == "<"
	case ">", ">=":
		b.low, b.lowOpen = x, op == ">"
	case "==":
		b.low, b.high = x, x
	case "!=":
		b.not = []float64{x}
	default:
		return nil, false
	}
	return []bounds{{numbers: map[string]numberBounds{subject.String(): b}}}, true
}

// onlyTexts returns the texts of a list; nil if it has something else.
func onlyTexts(n ast.Node) []string {
	switch n := n.(type) {
	case *ast.ArrayNode:
		for _, e := range n.Nodes {
			if _, ok := e.(*ast.StringNode); !ok {
				return nil
			}
		}
	case *ast.ConstantNode:
		if _, ok := n.Value.(map[string]struct{}); !ok {
			return nil
		}
	}
	return constantSet(n)
}

func isConstant(n ast.Node) bool {
	_, isText := n.(*ast.StringNode)
	_, isNumber := constantNumber(n)
	return isText || isNumber
}

func constantNumber(n ast.Node) (float64, bool) {
	switch n := n.(type) {
	case *ast.IntegerNode:
		return float64(n.Value), true
	case *ast.FloatNode:
		return n.Value, true
	case *ast.UnaryNode:
		x, ok := constantNumber(n.Node)
		switch n.Operator {
		case "-":
			return -x, ok
		case "+":
			return x, ok
		}
	}
	return 0, false
}

// and returns what both say; false if that cannot be.
func (b bounds) and(o bounds) (both bounds, ok bool) {
	both = bounds{numbers: map[string]numberBounds{}, texts: map[string]textBounds{}, truths: map[string]bool{}}
	for _, x := range []bounds{b, o} {
		for subject, n := range x.numbers {
			if have, twice := both.numbers[subject]; twice {
				n = n.and(have)
			}
			if n.empty() {
				return bounds{}, false
			}
			both.numbers[subject] = n
		}
		for subject, t := range x.texts {
			if have, twice := both.texts[subject]; twice {
				t = t.and(have)
			}
			if t.only != nil && len(t.only) == 0 {
				return bounds{}, false
			}
			both.texts[subject] = t
		}
		for subject, holds := range x.truths {
			if have, twice := both.truths[subject]; twice && have != holds {
				return bounds{}, false
			}
			both.truths[subject] = holds
		}
	}
	return both, true
}

func (n numberBounds) and(o numberBounds) numberBounds {
	if o.low > n.low || o.low == n.low && o.lowOpen {
		n.low, n.lowOpen = o.low, o.lowOpen
	}
	if o.high < n.high || o.high == n.high && o.highOpen {
		n.high, n.highOpen = o.high, o.highOpen
	}
	n.not = slices.Concat(n.not, o.not)
	return n
}

func (n numberBounds) empty() bool {
	return n.low > n.high || n.low == n.high && (n.lowOpen || n.highOpen || slices.Contains(n.not, n.low))
}

func (n numberBounds) has(x float64) bool {
	return (x > n.low || x == n.low && !n.lowOpen) && (x < n.high || x == n.high && !n.highOpen) && !slices.Contains(n.not, x)
}

func (t textBounds) and(o textBounds) textBounds {
	both := textBounds{only: t.only, not: slices.Concat(t.not, o.not)}
	if t.only == nil {
		both.only = o.only
	}
	if both.only != nil {
		both.only = slices.DeleteFunc(slices.Clone(both.only), func(s string) bool {
			return o.only != nil && !slices.Contains(o.only, s) || slices.Contains(both.not, s)
		})
	}
	return both
}

// within reports whether whatever is as b says is as o says.
func (b bounds) within(o bounds) bool {
	for subject, want := range o.numbers {
		have, ok := b.numbers[subject]
		if !ok || have.low < want.low || have.low == want.low && want.lowOpen && !have.lowOpen ||
			have.high > want.high || have.high == want.high && want.highOpen && !have.highOpen ||
			slices.ContainsFunc(want.not, have.has) {
			return false
		}
	}
	for subject, want := range o.texts {
		have, ok := b.texts[subject]
		switch {
		case !ok:
			return false
		case have.only != nil:
			if slices.ContainsFunc(have.only, func(s string) bool {
				return want.only != nil && !slices.Contains(want.only, s) || slices.Contains(want.not, s)
			}) {
				return false
			}
		case want.only != nil || slices.ContainsFunc(want.not, func(s string) bool { return !slices.Contains(have.not, s) }):
			return false
		}
	}
	for subject, want := range o.truths {
		if have, ok := b.truths[subject]; !ok || have != want {
			return false
		}
	}
	return true
}
