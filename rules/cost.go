package rules

import (
	"reflect"

	"github.com/expr-lang/expr/ast"
)

// What a condition costs must be linear in the event, for the event is
// anybody's. A predicate over args runs once an argument, so inside it nothing
// may cost what the rest of the event decides: `any(args, # in args)` of a
// command with a million arguments would be a million million steps.

// perArgument checks the body of a predicate over args, and reports the parts
// whose cost is not bounded by the element's.
func (l *linter) perArgument(n ast.Node) {
	switch n := n.(type) {
	case *ast.UnaryNode:
		l.perArgument(n.Node)
		return
	case *ast.ConditionalNode:
		l.perArgument(n.Cond)
		l.perArgument(n.Exp1)
		l.perArgument(n.Exp2)
		return
	case *ast.BinaryNode:
		switch n.Operator {
		case "&&", "and", "||", "or":
			l.perArgument(n.Left)
			l.perArgument(n.Right)
			return
		}
		if k := kindOf(n.Left); n.Operator != "in" && (k == reflect.Int || k == reflect.Float64) {
			l.perArgument(n.Left) // numbers cost nothing to compare, only to make
			l.perArgument(n.Right)
			return
		}
	}
	if isVariable(n) {
		return
	}
	reads := readingOf(n)
	b, binary := n.(*ast.BinaryNode)
	switch {
	case reads.event && !reads.element,
		binary && (b.Operator == "contains" || b.Operator == "matches") && !readingOf(b.Left).element && reads.event,
		binary && b.Operator == "in" && readingOf(b.Right).event:
		l.problem(n, "outside of the predicate it is evaluated once", "this is evaluated for every argument, at a cost that the rest of the event decides")
		return
	}
	for _, child := range operands(n) {
		l.perArgument(child)
	}
}

// isVariable reports whether a node is a value that costs nothing to get.
func isVariable(n ast.Node) bool {
	switch n := n.(type) {
	case *ast.IdentifierNode, *ast.PointerNode:
		return true
	case *ast.MemberNode:
		_, constant := intConstant(n.Property)
		_, named := n.Property.(*ast.StringNode)
		_, variable := n.Node.(*ast.IdentifierNode)
		return variable && (constant || named)
	case *ast.CallNode:
		if isName(n.Callee, "arg") {
			_, constant := intConstant(n.Arguments[1])
			return constant
		}
		return isName(n.Callee, "size") && isVariable(n.Arguments[0])
	case *ast.BuiltinNode:
		return n.Name == "len" && isName(n.Arguments[0], "args")
	}
	return false
}

func operands(n ast.Node) []ast.Node {
	switch n := n.(type) {
	case *ast.BinaryNode:
		return []ast.Node{n.Left, n.Right}
	case *ast.CallNode:
		return n.Arguments
	case *ast.BuiltinNode:
		return n.Arguments
	case *ast.MemberNode:
		return []ast.Node{n.Property}
	case *ast.SliceNode:
		list := []ast.Node{n.Node}
		if n.From != nil {
			list = append(list, n.From)
		}
		if n.To != nil {
			list = append(list, n.To)
		}
		return list
	case *ast.ArrayNode:
		return n.Nodes
	}
	return nil
}

// reading is what a part of a condition reads: the element of the predicate
// that it is in, and texts of the event, which may be long.
type reading struct{ element, event bool }

func readingOf(n ast.Node) reading {
	var r reading
	ast.Walk(&n, &r)
	return r
}

// Visit is ast.Visitor's.
func (r *reading) Visit(n *ast.Node) {
	switch n := (*n).(type) {
	case *ast.PointerNode:
		r.element = true
	case *ast.IdentifierNode:
		switch n.Value {
		case "key", "args", "params", "command", "event":
			r.event = true
		}
	}
}
