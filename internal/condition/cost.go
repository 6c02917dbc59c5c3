package condition

import (
	"reflect"

	"github.com/expr-lang/expr/ast"
)

// What a condition costs must be linear in the event, for the event is
// anybody's. A predicate over args runs once an argument, so inside it nothing
// may cost what the rest of the event decides: `any(args, # in args)` of a
// command with a million arguments would be a million million steps.

// perElement checks the body of a predicate over what the event decides the
// length of. Over a value it is warned of where each element is looked at, at
// each event.
func (l *linter) perElement(n *ast.BuiltinNode, body ast.Node) {
	of, side := valuePredicateOf(n), sideOfElements(n.Arguments[0])
	once := of != nil && (of.lookup != nil || of.rank != nil) // what it compares with is evaluated once
	if !once {
		l.perArgument(body)
	}
	if side != nil && !once && (of == nil || of.counted == nil || isOtherKey(side)) {
		l.warnings = append(l.warnings, Problem{n.Location().From, "at each event this looks at every element of " + sideText(side),
			"a predicate that reads nothing but the element is counted once, and the count kept up to date", "every-element"})
	}
}

// perArgument checks the body of such a predicate, and reports the parts whose
// cost is not bounded by the element's.
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
	_, search := isCall(n, "value.has") // of a list it looks at each item
	_, crossing := isCall(n, "value.crossed_score")
	b, binary := n.(*ast.BinaryNode)
	join := binary && b.Operator == "+" && kindOf(n) == reflect.String
	switch {
	case reads.event && !reads.element, search, crossing,
		join && (readingOf(b.Left).event && !readingOf(b.Left).element || readingOf(b.Right).event && !readingOf(b.Right).element),
		binary && (b.Operator == "contains" || b.Operator == "matches") && !readingOf(b.Left).element && reads.event,
		binary && b.Operator == "in" && readingOf(b.Right).event:
		l.problem(n, "outside of the predicate it is evaluated once", "this is evaluated for every element, at a cost that the rest of the event decides")
		return
	}
	for _, child := range operands(n) {
		l.perArgument(child)
	}
}

// eventSized reports whether a predicate over a node runs as often as the
// event says.
func eventSized(n ast.Node) bool { _, constant := n.(*ast.ConstantNode); return !constant }

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
		if callee, ok := n.Callee.(*ast.IdentifierNode); ok {
			switch callee.Value {
			case "arg", "value.at", "value.score":
				if isOtherKey(n.Arguments[0]) {
					return false
				}
				_, constant := intConstant(n.Arguments[1])
				_, named := n.Arguments[1].(*ast.StringNode)
				return constant || named
			case "value.whole", "value.ttl", "value.size", "value.num":
				return !isOtherKey(n.Arguments[0])
			case "value.text":
				return isVariable(n.Arguments[0])
			}
		}
		return isName(n.Callee, "size") && isVariable(n.Arguments[0])
	case *ast.BuiltinNode:
		return n.Name == "len" && textsOf(n.Arguments[0]) != nil
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
		case "key", "args", "params", "command", "event", "before", "after", "changed", keysName:
			r.event = true
		}
	}
}
