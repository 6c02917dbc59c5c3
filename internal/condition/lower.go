package condition

import (
	"reflect"
	"regexp"
	"strconv"

	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/builtin"
)

// expr's machine knows neither what is no number nor truths of three values,
// wraps around where a sum leaves 64 bits, and rounds whole numbers that it
// compares with others. So a tree is rewritten for it once its types are
// checked: what may meet these becomes a call of a function that does as the
// closures do, on boxed values (see number.boxed and truth.boxed).
//
//	a < b             number.less(a, b)
//	a == b            truth.equal(a, b)
//	a && b            let t = a; truth.isNo(t) ? false : truth.and(t, b)
//	a ? b : c         truth.isYes(a) ? b : c
//	any(list, p)      reduce(list, truth.isYes(#acc) ? #acc : truth.or(#acc, p), false)
//	count(list, p)    count(list, truth.isYes(p))
//
// And what a predicate asks of each element becomes a call of loop.step, so that a
// long list can be given up: see Evaluator.Stopped.
//
// All else stays as it is written.

// lowering rewrites one tree. A node that is in the tree twice is rewritten
// once, and stays shared.
type lowering struct {
	made map[ast.Node]ast.Node
	vars int
}

func lower(n ast.Node) ast.Node {
	l := &lowering{made: map[ast.Node]ast.Node{}}
	return l.node(n)
}

func (l *lowering) node(n ast.Node) ast.Node {
	if n == nil {
		return nil
	}
	if m, ok := l.made[n]; ok {
		return m
	}
	m := l.rewritten(n)
	l.made[n] = m
	return m
}

// rewritten returns what takes a node's place. What decides about it is asked
// of the node as it was checked, before what is below it is rewritten.
func (l *lowering) rewritten(n ast.Node) ast.Node {
	switch n := n.(type) {
	case *ast.UnaryNode:
		return l.unary(n)
	case *ast.BinaryNode:
		return l.binary(n)
	case *ast.ConditionalNode:
		cond := l.truth(n.Cond)
		n.Cond, n.Exp1, n.Exp2 = cond, l.node(n.Exp1), l.node(n.Exp2)
	case *ast.BuiltinNode:
		return l.builtin(n)
	case *ast.CallNode:
		at := isName(n.Callee, "arg")
		for i := range n.Arguments {
			if at && i == 1 {
				n.Arguments[i] = l.place(n.Arguments[i])
			} else {
				n.Arguments[i] = l.node(n.Arguments[i])
			}
		}
	case *ast.MemberNode:
		n.Node = l.node(n.Node)
		if isNumeric(n.Property) {
			n.Property = l.place(n.Property)
		} else {
			n.Property = l.node(n.Property)
		}
	case *ast.SliceNode:
		n.Node = l.node(n.Node)
		if n.From != nil {
			n.From = l.place(n.From)
		}
		if n.To != nil {
			n.To = l.place(n.To)
		}
	case *ast.ArrayNode:
		for i := range n.Nodes {
			n.Nodes[i] = l.node(n.Nodes[i])
		}
	case *ast.PredicateNode:
		n.Node = l.step(n.Node)
	}
	return n
}

// truth rewrites a node that something goes one way or the other by.
func (l *lowering) truth(n ast.Node) ast.Node {
	if !undecided(n) {
		return l.node(n)
	}
	return call(n, "truth.isYes", l.node(n))
}

// place rewrites a number that says where in a list or a text.
func (l *lowering) place(n ast.Node) ast.Node {
	if isMachineInt(n) {
		return l.node(n)
	}
	return call(n, "number.place", l.node(n))
}

// named evaluates a node once, for an expression that needs it more often.
func (l *lowering) named(n ast.Node, expr func(name func() ast.Node) ast.Node) ast.Node {
	l.vars++
	name := "t" + strconv.Itoa(l.vars) + "."
	let := &ast.VariableDeclaratorNode{Name: name, Value: l.node(n)}
	let.Expr = expr(func() ast.Node { return &ast.IdentifierNode{Value: name} })
	let.SetLocation(n.Location())
	return let
}

func (l *lowering) unary(n *ast.UnaryNode) ast.Node {
	switch {
	case n.Operator == "-" && !isMachineInt(n):
		return call(n, "number.negate", l.node(n.Node))
	case (n.Operator == "!" || n.Operator == "not") && undecided(n.Node):
		return call(n, "truth.not", l.node(n.Node))
	}
	n.Node = l.node(n.Node)
	return n
}

// arithmetic are the functions that calculate.
var arithmetic = map[string]string{
	"+": "number.add", "-": "number.subtract", "*": "number.multiply", "/": "number.divide", "%": "number.remainder", "**": "number.power", "^": "number.power",
}

func (l *lowering) binary(n *ast.BinaryNode) ast.Node {
	if f := arithmetic[n.Operator]; f != "" && isNumeric(n.Left) && isNumeric(n.Right) {
		return call(n, f, l.node(n.Left), l.node(n.Right))
	}
	if n.Operator == "+" && kindOf(n.Left) == reflect.String && kindOf(n.Right) == reflect.String {
		return call(n, "text.join", l.node(n.Left), l.node(n.Right))
	}
	switch n.Operator {
	case "&&", "and":
		if undecided(n.Left) {
			return l.named(n.Left, func(t func() ast.Node) ast.Node {
				return choice(n, call(n, "truth.isNo", t()), &ast.BoolNode{}, call(n, "truth.and", t(), l.node(n.Right)))
			})
		}
	case "||", "or":
		if undecided(n.Left) {
			return l.named(n.Left, func(t func() ast.Node) ast.Node {
				return choice(n, call(n, "truth.isYes", t()), &ast.BoolNode{Value: true}, call(n, "truth.or", t(), l.node(n.Right)))
			})
		}
	case "??":
		if maybeNeither(n.Left) {
			return l.named(n.Left, func(t func() ast.Node) ast.Node {
				return choice(n, call(n, "truth.isNothing", t()), l.node(n.Right), t())
			})
		}
	case "==", "!=", "<", "<=", ">", ">=", "in":
		if comparesNumbers(n) {
			return l.comparison(n)
		}
	case "matches":
		if c, ok := n.Right.(*ast.StringNode); ok {
			re := &ast.ConstantNode{Value: regexp.MustCompile(c.Value)} // checked by the resolver
			return call(n, "text.matches", &ast.IdentifierNode{Value: "$env"}, l.node(n.Left), re)
		}
	}
	if n.Operator == "contains" {
		return call(n, "text.contains", &ast.IdentifierNode{Value: "$env"}, l.node(n.Left), l.node(n.Right))
	}
	n.Left, n.Right = l.node(n.Left), l.node(n.Right)
	return n
}

// comparison rewrites a comparison that may be neither true nor false.
func (l *lowering) comparison(n *ast.BinaryNode) ast.Node {
	left, right := l.node(n.Left), l.node(n.Right)
	switch n.Operator {
	case "==":
		return call(n, "truth.equal", left, right)
	case "!=":
		return call(n, "truth.not", call(n, "truth.equal", left, right))
	case "<":
		return call(n, "number.less", left, right)
	case "<=":
		return call(n, "number.atMost", left, right)
	case ">":
		return call(n, "number.more", left, right)
	case ">=":
		return call(n, "number.atLeast", left, right)
	}
	return call(n, "truth.in", left, right)
}

func (l *lowering) builtin(n *ast.BuiltinNode) ast.Node {
	args := make([]ast.Node, len(n.Arguments))
	for i, a := range n.Arguments {
		args[i] = a
		if c, ok := a.(*ast.ConstantNode); ok {
			if set, ok := c.Value.(*numberSet); ok {
				args[i] = &ast.ConstantNode{Value: set.list}
			}
		}
	}
	if calculates(n) {
		return call(n, "number."+n.Name, l.node(args[0]))
	}
	if letterCases[n.Name] != nil && len(args) == 1 {
		return call(n, "text."+n.Name, &ast.IdentifierNode{Value: "$env"}, l.node(args[0]))
	}
	body, ok := predicateBody(n)
	if !ok || !undecided(body) {
		for i := range args {
			n.Arguments[i] = l.node(args[i])
		}
		return n
	}
	list := l.node(args[0])
	switch n.Name {
	case "any":
		return l.fold(n, list, call(body, "truth.or", accumulated(), l.step(body)))
	case "none":
		return call(n, "truth.not", l.fold(n, list, call(body, "truth.or", accumulated(), l.step(body))))
	case "all":
		return call(n, "truth.not", l.fold(n, list, call(body, "truth.or", accumulated(), call(body, "truth.not", l.step(body)))))
	}
	n.Arguments[0], n.Arguments[1] = list, &ast.PredicateNode{Node: call(body, "truth.isYes", l.step(body))}
	return n
}

// step rewrites what is asked of each element.
func (l *lowering) step(body ast.Node) ast.Node {
	return call(body, "loop.step", &ast.IdentifierNode{Value: "$env"}, l.node(body))
}

// fold runs over a list until what it comes to is yes.
func (l *lowering) fold(at *ast.BuiltinNode, list, next ast.Node) ast.Node {
	step := choice(at, call(at, "truth.isYes", accumulated()), accumulated(), next)
	fold := &ast.BuiltinNode{Name: "reduce", Arguments: []ast.Node{list, &ast.PredicateNode{Node: step}, &ast.BoolNode{}}}
	fold.SetLocation(at.Location())
	return fold
}

// accumulated is what a fold has come to so far.
func accumulated() ast.Node { return &ast.PointerNode{Name: "acc"} }

// call makes a call of a function at the place of a node.
func call(at ast.Node, function string, args ...ast.Node) ast.Node {
	callee := &ast.IdentifierNode{Value: function}
	c := &ast.CallNode{Callee: callee, Arguments: args}
	callee.SetLocation(at.Location())
	c.SetLocation(at.Location())
	return c
}

func choice(at, cond, then, otherwise ast.Node) ast.Node {
	c := &ast.ConditionalNode{Ternary: true, Cond: cond, Exp1: then, Exp2: otherwise}
	c.SetLocation(at.Location())
	return c
}

// predicateBody returns what any(args, ...) and its like ask of each element.
func predicateBody(n *ast.BuiltinNode) (ast.Node, bool) {
	if len(n.Arguments) != 2 {
		return nil, false
	}
	p, ok := n.Arguments[1].(*ast.PredicateNode)
	if !ok {
		return nil, false
	}
	return p.Node, true
}

// isNumeric reports whether a node is a number, or none.
func isNumeric(n ast.Node) bool {
	k := kindOf(n)
	return k == reflect.Int || k == reflect.Float64
}

// isMachineInt reports whether a node is always an int, so that expr's machine
// may do with it as it does.
func isMachineInt(n ast.Node) bool {
	if kindOf(n) != reflect.Int {
		return false
	}
	switch n := n.(type) {
	case *ast.BinaryNode:
		return false
	case *ast.UnaryNode:
		_, constant := intConstant(n)
		return constant
	case *ast.BuiltinNode:
		return !calculates(n)
	case *ast.ConditionalNode:
		return isMachineInt(n.Exp1) && isMachineInt(n.Exp2)
	}
	return true
}

// calculates reports whether a function of expr is one that makes a number of
// a number. int and float of text fail where that is none.
func calculates(n *ast.BuiltinNode) bool {
	switch n.Name {
	case "abs", "ceil", "floor", "round":
		return true
	case "int", "float":
		return kindOf(n.Arguments[0]) != reflect.String
	}
	return false
}

// comparesNumbers reports whether a comparison may be one of numbers, or of
// what is none.
func comparesNumbers(n *ast.BinaryNode) bool {
	if n.Operator == "in" {
		switch r := n.Right.(type) {
		case *ast.ConstantNode:
			_, numbers := r.Value.(*numberSet)
			return numbers || kindOf(n.Left) == reflect.Interface
		case *ast.ArrayNode:
			return kindOf(n.Left) != reflect.String || maybeNeitherIn(r.Nodes)
		}
		return false
	}
	if isMachineInt(n.Left) && isMachineInt(n.Right) {
		return false
	}
	l, r := kindOf(n.Left), kindOf(n.Right)
	return isNumeric(n.Left) || isNumeric(n.Right) || l == reflect.Interface && r == reflect.Interface ||
		maybeNeither(n.Left) || maybeNeither(n.Right)
}

func maybeNeitherIn(list []ast.Node) bool {
	for _, n := range list {
		if maybeNeither(n) {
			return true
		}
	}
	return false
}

// maybeNeither reports whether a node may be no number, or neither true nor
// false.
func maybeNeither(n ast.Node) bool {
	switch kindOf(n) {
	case reflect.Int, reflect.Float64:
		return !isMachineInt(n)
	case reflect.Bool:
		return undecided(n)
	case reflect.Interface:
		switch n := n.(type) {
		case *ast.ConditionalNode:
			return maybeNeither(n.Exp1) || maybeNeither(n.Exp2)
		case *ast.BinaryNode:
			return maybeNeither(n.Left) || maybeNeither(n.Right)
		}
	}
	return false
}

// undecided reports whether a node may be neither true nor false.
func undecided(n ast.Node) bool {
	switch n := n.(type) {
	case *ast.UnaryNode:
		return undecided(n.Node)
	case *ast.BinaryNode:
		switch n.Operator {
		case "&&", "and", "||", "or", "??":
			return undecided(n.Left) || undecided(n.Right)
		case "==", "!=", "<", "<=", ">", ">=", "in":
			return comparesNumbers(n)
		}
	case *ast.ConditionalNode:
		return undecided(n.Exp1) || undecided(n.Exp2)
	case *ast.BuiltinNode:
		body, ok := predicateBody(n)
		return ok && undecided(body) && (n.Name == "any" || n.Name == "all" || n.Name == "none")
	case *ast.CallNode:
		return isName(n.Callee, "value.crossed") || isName(n.Callee, "value.crossed_score") || isName(n.Callee, "value.within")
	}
	return false
}

// loweredFunctions are those that a tree is rewritten to.
func loweredFunctions() []*builtin.Function {
	fns := []*builtin.Function{
		function("loop.step", func(p ...any) (any, error) {
			if p[0].(*environment).scope.stops() {
				return nil, ErrStopped
			}
			return p[1], nil
		}),
		function("text.matches", func(p ...any) (any, error) {
			s := p[0].(*environment).scope
			t, err := textOf(p[1])
			ok := p[1] != nil && err == nil && s.matches(p[2].(*regexp.Regexp), t)
			if s.err == ErrStopped {
				return nil, ErrStopped
			}
			return ok, err
		}),
		function("text.contains", func(p ...any) (any, error) {
			s := p[0].(*environment).scope
			if p[1] == nil || p[2] == nil {
				return false, nil
			}
			t, err := textOf(p[1])
			if err != nil {
				return nil, err
			}
			part, err := textOf(p[2])
			if err != nil {
				return nil, err
			}
			ok := s.contains(t, part)
			if s.err == ErrStopped {
				return nil, ErrStopped
			}
			return ok, nil
		}),
		function("number.place", func(p ...any) (any, error) { return numberFrom(p[0]).place() }),
		function("number.remainder", func(p ...any) (any, error) {
			n, err := remainder(numberFrom(p[0]), numberFrom(p[1]))
			return n.boxed(), err
		}),
		function("number.int", func(p ...any) (any, error) { n, err := intOf(p[0]); return n.boxed(), err }),
		function("number.float", func(p ...any) (any, error) { n, err := floatOf(p[0]); return n.boxed(), err }),
		function("text.join", func(p ...any) (any, error) { return joinTexts(p[0].(string), p[1].(string)) }),
		function("truth.equal", func(p ...any) (any, error) { return equalAny(p[0], p[1]).boxed(), nil }),
		function("truth.in", func(p ...any) (any, error) { return inAny(p[0], p[1]).boxed(), nil }),
		function("truth.not", func(p ...any) (any, error) { return truthFrom(p[0]).not().boxed(), nil }),
		function("truth.and", func(p ...any) (any, error) { return truthFrom(p[0]).and(truthFrom(p[1])).boxed(), nil }),
		function("truth.or", func(p ...any) (any, error) { return truthFrom(p[0]).or(truthFrom(p[1])).boxed(), nil }),
		function("truth.isYes", func(p ...any) (any, error) { return truthFrom(p[0]) == yes, nil }),
		function("truth.isNo", func(p ...any) (any, error) { return truthFrom(p[0]) == no, nil }),
		function("truth.isNothing", func(p ...any) (any, error) { _, neither := p[0].(truth); return neither || p[0] == nil, nil }),
	}
	for name, f := range letterCases {
		fns = append(fns, function("text."+name, func(p ...any) (any, error) {
			s := p[0].(*environment).scope
			t, err := textOf(p[1])
			if err != nil {
				return nil, err
			}
			if t = s.cased(f, t); s.err == ErrStopped {
				return nil, ErrStopped
			}
			return t, nil
		}))
	}
	for name, f := range map[string]func(a, b number) number{"add": add, "subtract": subtract, "multiply": multiply, "divide": divide, "power": power} {
		fns = append(fns, function("number."+name, func(p ...any) (any, error) { return f(numberFrom(p[0]), numberFrom(p[1])).boxed(), nil }))
	}
	for name, f := range map[string]func(n number) number{"negate": negate, "abs": absolute, "ceil": ceiling, "floor": floor, "round": round} {
		fns = append(fns, function("number."+name, func(p ...any) (any, error) { return f(numberFrom(p[0])).boxed(), nil }))
	}
	for name, f := range map[string]func(a, b number) truth{"less": less, "atMost": atMost, "more": more, "atLeast": atLeast} {
		fns = append(fns, function("number."+name, func(p ...any) (any, error) { return f(numberFrom(p[0]), numberFrom(p[1])).boxed(), nil }))
	}
	return fns
}
