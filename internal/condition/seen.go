package condition

import (
	"fmt"
	"slices"
	"strings"

	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/parser"

	"triggerd/internal/event"
)

// Seen is one of the values that a condition compares, and what it is of an
// event.
type Seen struct {
	Source string // as it is written: num(before)
	Value  string // for people: "paid" in quotes, 5, nothing
}

// maxSeen is how many values of a condition are told at most.
const maxSeen = 8

// Seen returns the values that a condition which compiles looks at, in their
// order: what stands on either side of a comparison, without constants, and what
// its functions are given. lookup gives the values of other keys. It is made for people, and slow.
func (c *Compiler) Seen(src string, captures *Captures, ev *event.Event, lookup Lookup) []Seen {
	tree, err := parser.ParseWithConfig(src, c.config)
	if err != nil {
		return nil
	}
	var list lookedAt
	list.whole(tree.Node)
	var seen []Seen
	for _, source := range list {
		if value, ok := c.valueOf(source, captures, ev, lookup); ok && len(seen) < maxSeen {
			seen = append(seen, Seen{source, value})
		}
	}
	return seen
}

// valueOf evaluates a part of a condition. It returns false if the part says
// nothing by itself, or cannot be told: the condition's own error says why.
func (c *Compiler) valueOf(src string, captures *Captures, ev *event.Event, lookup Lookup) (value string, ok bool) {
	switch src {
	case "before":
		return shownSide(ev.Before), true
	case "after":
		return shownSide(ev.After), true
	}
	var problems []Problem
	var made *any
	defer func() { ok = ok && len(problems) == 0 }()
	defer recovered(&made, &problems)
	var r Report
	tree := c.checked(src, captures.Names(), false, &r)
	if tree == nil {
		return "", false
	}
	program, p := c.program(src, tree.Tree)
	if p != nil {
		return "", false
	}
	e := Evaluator{Lookup: lookup}
	e.Begin(ev)
	e.of(captures)
	v, err := e.run(program, tree.usesParams)
	return readable(v), err == nil
}

// shownSide returns the value of a key for people.
func shownSide(v event.Value) string {
	switch {
	case v == nil:
		return "not known"
	case absent(v):
		return "nothing"
	}
	return cutShown(string(event.AppendJSONValue(nil, v)))
}

// readable returns what a part of a condition came to for people.
func readable(v any) string {
	switch v := v.(type) {
	case nil:
		return "nothing"
	case string:
		return cutShown(string(event.AppendJSONBytes(nil, v)))
	case []string:
		texts := make([]string, len(v))
		for i, s := range v {
			texts[i] = string(event.AppendJSONBytes(nil, s))
		}
		return cutShown("[" + strings.Join(texts, ",") + "]")
	case float64:
		return ofFloat(v).text()
	case number:
		return v.text()
	case truth:
		if v.decided() {
			return fmt.Sprint(v == yes)
		}
		return "no number"
	case *side:
		return shownSide(v.v)
	}
	return cutShown(fmt.Sprint(v))
}

// maxShown is how many bytes of a value are shown.
const maxShown = 200

func cutShown(s string) string {
	if len(s) <= maxShown {
		return s
	}
	return strings.ToValidUTF8(s[:maxShown], "") + "…"
}

// lookedAt are the parts of a condition whose values decide it, as they are
// written.
type lookedAt []string

// add adds a part, once.
func (o *lookedAt) add(n ast.Node) {
	if s := n.String(); !slices.Contains(*o, s) {
		*o = append(*o, s)
	}
}

// whole adds the operands of a part that is true or false.
func (o *lookedAt) whole(n ast.Node) {
	switch n := n.(type) {
	case *ast.UnaryNode:
		o.whole(n.Node)
	case *ast.BinaryNode:
		o.binary(n)
	case *ast.ConditionalNode:
		o.whole(n.Cond)
		o.whole(n.Exp1)
		o.whole(n.Exp2)
	case *ast.CallNode:
		o.call(n)
	case *ast.BuiltinNode:
		if len(n.Arguments) > 0 {
			o.side(n.Arguments[0])
		}
	default:
		o.side(n)
	}
}

func (o *lookedAt) binary(n *ast.BinaryNode) {
	switch n.Operator {
	case "&&", "||", "and", "or", "??":
		o.whole(n.Left)
		o.whole(n.Right)
	default:
		o.side(n.Left)
		o.side(n.Right)
	}
}

// call adds what a function is given that is true or false itself.
func (o *lookedAt) call(n *ast.CallNode) {
	switch name, _ := n.Callee.(*ast.IdentifierNode); {
	case name == nil:
	case slices.Contains([]string{"crossed", "changed_to", "became", "crossed_score"}, name.Value):
		o.side(&ast.IdentifierNode{Value: "before"})
		o.side(&ast.IdentifierNode{Value: "after"})
		return
	case (name.Value == "differs" || name.Value == "moved") && len(n.Arguments) > 0:
		for _, side := range []string{"before", "after"} {
			o.side(&ast.MemberNode{Node: &ast.IdentifierNode{Value: side}, Property: n.Arguments[0]})
		}
		return
	case name.Value == "within" && len(n.Arguments) == 5:
		o.side(&ast.CallNode{Callee: &ast.IdentifierNode{Value: "score"}, Arguments: n.Arguments[:2]})
		for _, a := range n.Arguments[2:] {
			o.side(a)
		}
		return
	case helpers[name.Value] == [2]int{2, 2} && name.Value != "json": // has, glob, cidr
		o.side(n.Arguments[0])
		return
	}
	o.side(n)
}

// side adds one side of a comparison, or its parts where something is calculated.
func (o *lookedAt) side(n ast.Node) {
	switch n := n.(type) {
	case *ast.UnaryNode:
		o.side(n.Node)
	case *ast.BinaryNode:
		o.side(n.Left)
		o.side(n.Right)
	case *ast.ConditionalNode:
		o.whole(n)
	case *ast.IdentifierNode, *ast.CallNode, *ast.SliceNode:
		o.add(n)
	case *ast.MemberNode:
		if !isName(n.Node, "lists") && !isName(n.Node, "macros") {
			o.add(n)
		}
	case *ast.BuiltinNode:
		if len(n.Arguments) == 2 { // any, count: a predicate says nothing by itself
			o.side(n.Arguments[0])
			return
		}
		o.add(n)
	}
}
