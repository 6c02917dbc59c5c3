package condition

import "github.com/expr-lang/expr/ast"

// before, after and ttl are replaced by calls of functions, so that what is
// not known is an error where it is read and nowhere else, and so that what
// is asked of a value need not make it whole:
//
//	before              value.whole(before)
//	before.f            value.at(before, "f")
//	num(before)         value.num(before), and likewise has, size, len
//	x in before         value.has(before, x)
//	crossed(3)          value.crossed(before, after, 3)
//	before startsWith x value.text(before) startsWith x
//
// The name before itself stays only as an argument of these functions.

func isSideName(n ast.Node) bool { return isName(n, "before") || isName(n, "after") }

// isCall reports whether a node is a call of a function, and returns it.
func isCall(n ast.Node, name string) (*ast.CallNode, bool) {
	c, ok := n.(*ast.CallNode)
	return c, ok && isName(c.Callee, name)
}

// sideOf returns the name in value.whole(before); nil if n is something else.
func sideOf(n ast.Node) ast.Node {
	if c, ok := isCall(n, "value.whole"); ok {
		return c.Arguments[0]
	}
	return nil
}

// patch replaces a node by a call.
func (r *resolver) patch(node *ast.Node, function string, args ...ast.Node) {
	r.nodes++
	callee := &ast.IdentifierNode{Value: function}
	callee.SetLocation((*node).Location())
	ast.Patch(node, &ast.CallNode{Callee: callee, Arguments: args})
}

// sides returns the names before and after, as a call at a node takes them.
func (r *resolver) sides(at ast.Node) (before, after ast.Node) {
	before, after = &ast.IdentifierNode{Value: "before"}, &ast.IdentifierNode{Value: "after"}
	before.SetLocation(at.Location())
	after.SetLocation(at.Location())
	return before, after
}

// isValue reports whether a node is a value or a part of one, whose kind only
// the event decides.
func (r *resolver) isValue(n ast.Node) bool {
	switch n := n.(type) {
	case *ast.PointerNode:
		return r.anyElement
	case *ast.MemberNode:
		return r.isValue(n.Node)
	case *ast.CallNode:
		_, part := isCall(n, "value.at")
		return part || sideOf(n) != nil
	}
	return false
}

// textOf makes a value text, where text has to be.
func (r *resolver) textOf(node *ast.Node) {
	n := *node
	if !r.isValue(n) {
		return
	}
	if s := sideOf(n); s != nil {
		n = s
	}
	r.patch(node, "value.text", n)
}

// valueIn resolves "x in before", and "before in [texts]".
func (r *resolver) valueIn(node *ast.Node, n *ast.BinaryNode) {
	if s := sideOf(n.Right); s != nil {
		r.textOf(&n.Left)
		r.patch(node, "value.has", s, n.Left)
		return
	}
	if isName(n.Right, "args") || isName(n.Right, "changed") || madeTexts(n.Right) {
		r.textOf(&n.Left)
		return
	}
	list, ok := n.Right.(*ast.ArrayNode)
	if !ok || !r.isValue(n.Left) {
		return
	}
	if texts := textConstants(list); texts != nil {
		c := &ast.ConstantNode{Value: setOf(texts)}
		c.SetLocation(list.Location())
		r.patch(node, "value.in", n.Left, c)
	}
}

// elementsOf makes a value what a predicate can run over. It reports whether
// the elements may be of any kind.
func (r *resolver) elementsOf(node *ast.Node) bool {
	if s := sideOf(*node); s != nil {
		r.patch(node, "value.elements", s)
		return true
	}
	_, part := isCall(*node, "value.at")
	return part
}

// valueHelper resolves a helper that is about values, or is given one.
func (r *resolver) valueHelper(node *ast.Node, n *ast.CallNode, name string) bool {
	switch name {
	case "crossed":
		switch n.Arguments[0].(type) {
		case *ast.StringNode, *ast.BoolNode, *ast.NilNode, *ast.ArrayNode:
			r.problem(n.Arguments[0], "crossed(5)", "crossed takes a number")
			return true
		}
		if r.isValue(n.Arguments[0]) {
			r.patch(&n.Arguments[0], "num", n.Arguments[0])
		}
	case "changed_to", "became":
		for i, a := range n.Arguments {
			switch a.(type) {
			case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.NilNode, *ast.ArrayNode:
				r.problem(a, `values are text: "5"`, "%s takes text", name)
				return true
			}
			r.textOf(&n.Arguments[i])
		}
	case "value", "field":
		r.otherKey(node, n, name)
		return true
	case "score", "within", "crossed_score", "differs", "was", "moved":
		r.memberHelper(node, n, name)
		return true
	case "num", "has", "size":
		s := sideOf(n.Arguments[0])
		if s == nil {
			break
		}
		if name == "has" {
			r.textOf(&n.Arguments[1])
		}
		r.patch(node, "value."+name, append([]ast.Node{s}, n.Arguments[1:]...)...)
		return true
	}
	switch name {
	case "crossed", "changed_to", "became":
		before, after := r.sides(n)
		r.patch(node, "value."+name, append([]ast.Node{before, after}, n.Arguments...)...)
		return true
	case "json", "glob", "cidr", "size":
		r.textOf(&n.Arguments[0])
	}
	return false
}

// valueBuiltin resolves a function of expr that is given a value.
func (r *resolver) valueBuiltin(node *ast.Node, n *ast.BuiltinNode) {
	switch n.Name {
	case "len":
		if len(n.Arguments) != 1 {
			return // the checker says so
		}
		if s := sideOf(n.Arguments[0]); s != nil {
			r.patch(node, "value.len", s)
		}
	case "lower", "upper", "trim", "trimPrefix", "trimSuffix":
		for i := range n.Arguments {
			r.textOf(&n.Arguments[i])
		}
	}
}
