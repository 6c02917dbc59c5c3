package condition

import (
	"reflect"
	"strings"

	"github.com/expr-lang/expr/ast"
)

// linter finds what has a type but can never work. Its offsets count runes.
type linter struct {
	config   *Config
	problems []Problem // mistakes
	warnings []Problem
}

func (l *linter) problem(n ast.Node, hint, msg string) {
	l.problems = append(l.problems, Problem{Offset: n.Location().From, Msg: msg, Hint: hint})
}

// boolean visits a node whose value is used as true or false.
func (l *linter) boolean(n ast.Node) {
	if kindOf(n) == reflect.Interface {
		hint := "write == true"
		if s := sideOf(n); s != nil {
			hint = sideText(s) + " != nil tells whether the key is there"
		}
		l.problem(n, hint, "a value of any kind is used as true or false")
	}
	l.node(n)
}

func (l *linter) node(n ast.Node) {
	switch n := n.(type) {
	case *ast.UnaryNode:
		if n.Operator == "!" || n.Operator == "not" {
			l.boolean(n.Node)
		} else {
			l.number(n.Node)
		}
	case *ast.BinaryNode:
		l.binary(n)
	case *ast.ConditionalNode:
		l.boolean(n.Cond)
		l.node(n.Exp1)
		l.node(n.Exp2)
	case *ast.BuiltinNode:
		for _, a := range n.Arguments {
			l.node(a)
			if p, ok := a.(*ast.PredicateNode); ok && eventSized(n.Arguments[0]) {
				l.perElement(n, p.Node)
			}
		}
	case *ast.PredicateNode:
		l.boolean(n.Node)
	case *ast.CallNode:
		l.call(n)
		for i, a := range n.Arguments {
			if i == 1 && (isName(n.Callee, "num") || isName(n.Callee, "value.num")) {
				l.number(a)
				continue
			}
			l.node(a)
		}
	case *ast.MemberNode:
		l.node(n.Node)
		l.node(n.Property)
	case *ast.SliceNode:
		l.node(n.Node)
		if n.From != nil {
			l.node(n.From)
		}
		if n.To != nil {
			l.node(n.To)
		}
	case *ast.ArrayNode:
		for _, e := range n.Nodes {
			l.node(e)
		}
	}
}

// call checks what a function is given that takes any kind.
func (l *linter) call(n *ast.CallNode) {
	switch {
	case isName(n.Callee, "text.string"):
		if k := kindOf(n.Arguments[0]); k == reflect.Slice || k == reflect.Map || k == reflect.Struct {
			l.problem(n.Arguments[0], "", "string takes a text, a number, true or false")
		}
	case isName(n.Callee, "list.has"):
		for _, x := range n.Arguments[0].(*ast.ArrayNode).Nodes {
			if k := kindOf(x); k != reflect.String && k != reflect.Interface {
				l.problem(x, "string(x) makes a text of it", "a list of lists has texts")
			}
		}
	}
}

// number visits a node whose value is calculated with or ordered.
func (l *linter) number(n ast.Node) {
	if kindOf(n) == reflect.Interface {
		l.problem(n, "num(x) makes it a number", "a value of any kind cannot be ordered or calculated with")
	}
	l.node(n)
}

func (l *linter) binary(n *ast.BinaryNode) {
	switch n.Operator {
	case "&&", "||", "and", "or":
		l.boolean(n.Left)
		l.boolean(n.Right)
		return
	case "+":
		for _, operand := range []ast.Node{n.Left, n.Right} {
			if kindOf(operand) == reflect.Interface {
				l.problem(operand, "num(x) makes it a number, string(x) a text", "a value of any kind cannot be calculated with or joined")
			}
			l.node(operand)
		}
		return
	case "<", "<=", ">", ">=", "-", "*", "/", "%", "**", "^":
		l.number(n.Left)
		l.number(n.Right)
		return
	case "==", "!=":
		l.constants(n, n.Left, n.Right)
		l.constants(n, n.Right, n.Left)
	case "in":
		for _, c := range stringConstants(n.Right) {
			l.spelling(n.Left, c)
		}
	case "startsWith", "endsWith", "contains", "matches":
		if kindOf(n.Left) == reflect.Interface || kindOf(n.Right) == reflect.Interface {
			l.problem(n, "compare it with ==", "a value of any kind is not always text")
		}
	}
	l.node(n.Left)
	l.node(n.Right)
}

// constants checks a comparison with a constant that can never be equal.
func (l *linter) constants(at, x, constant ast.Node) {
	switch c := constant.(type) {
	case *ast.NilNode:
		if _, also := x.(*ast.NilNode); !also && kindOf(x) != reflect.Interface {
			l.problem(at, nilHint(x), "this is never nil")
		}
	case *ast.StringNode:
		l.spelling(x, c)
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode:
		if sideOf(x) != nil {
			l.problem(at, "values are text: compare num(x), or with \"5\"", "a value is never a number, true or false")
		}
	}
}

func nilHint(x ast.Node) string {
	switch kindOf(x) {
	case reflect.String:
		return `what is not there is ""`
	case reflect.Float64:
		return "num(x, 0) gives 0 where x is no number"
	}
	return ""
}

// spelling checks the case of names that are always spelled one way.
func (l *linter) spelling(x ast.Node, c *ast.StringNode) {
	id, ok := x.(*ast.IdentifierNode)
	if !ok {
		return
	}
	want := c.Value
	switch id.Value {
	case "command":
		want = strings.ToUpper(c.Value)
	case "event", "type", "origin", "cause":
		want = strings.ToLower(c.Value)
	}
	if id.Value == "type" && strings.Contains(c.Value, "-") {
		return // a module's type keeps its case
	}
	if want != c.Value {
		l.problem(c, "write \""+want+"\"", id.Value+" is never spelled like this")
		return
	}
	l.known(id.Value, c)
}

// known checks that a command or an event that a condition waits for exists.
func (l *linter) known(what string, c *ast.StringNode) {
	check := map[string]func(string) (mistake, warning, hint string){"command": l.config.Command, "event": l.config.Event}[what]
	if check == nil {
		return
	}
	mistake, warning, hint := check(c.Value)
	if mistake != "" {
		l.problem(c, hint, mistake)
	}
	if warning != "" {
		l.warnings = append(l.warnings, Problem{c.Location().From, warning, hint, "never-arrives"})
	}
}

func stringConstants(n ast.Node) []*ast.StringNode {
	a, ok := n.(*ast.ArrayNode)
	if !ok {
		return nil
	}
	var list []*ast.StringNode
	for _, e := range a.Nodes {
		if s, ok := e.(*ast.StringNode); ok {
			list = append(list, s)
		}
	}
	return list
}

// kindOf is the kind of a node's type: reflect.Interface where anything can be.
func kindOf(n ast.Node) reflect.Kind {
	if _, isNil := n.(*ast.NilNode); isNil {
		return reflect.Invalid
	}
	return n.Type().Kind()
}
