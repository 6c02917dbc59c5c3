package condition

import (
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/expr-lang/expr/ast"

	"triggerd/internal/event"
	"triggerd/internal/suggest"
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
		if len(n.Arguments) == 2 {
			if _, ok := n.Arguments[1].(*ast.PredicateNode); ok && l.fieldIsText(n.Arguments[0], n.Name+`(split(%s, ","), # == "a") is about the parts of a text`, "no elements") {
				return // which a predicate cannot be of
			}
		}
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
		hint := `json(%s, "a.b") reads JSON in it`
		if s, ok := n.Property.(*ast.StringNode); ok {
			hint = strings.Replace(hint, "a.b", s.Value, 1)
		}
		l.fieldIsText(n.Node, hint, "no parts")
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
		if s, ok := n.Right.(*ast.StringNode); ok {
			l.problem(n, inListHint(s.Value), "in looks into a list, and this is text")
			return
		}
		if kindOf(n.Right) == reflect.String {
			l.problem(n, "x contains "+sourceOf(n.Left)+"; or "+sourceOf(n.Left)+` in split(x, ",")`, "in looks into a list, and this is text")
			return
		}
		if l.fieldIsText(n.Right, `%s contains `+sourceOf(n.Left)+`; or `+sourceOf(n.Left)+` in split(%[1]s, ",")`, "no elements") {
			return
		}
		if neverNumber(n.Left) && numbersOnly(n.Right) {
			l.problem(n, "num(x) in it, or texts: \"5\"", "a value is text, and never in a list of numbers")
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
		if sideOf(x) != nil || neverNumber(x) {
			l.problem(at, "values are text: compare num(x), or with \"5\"", "a value is never a number, true or false")
		}
	}
}

// fieldOf returns the side and the name in value.at(before, "name"), and false if n is
// something else.
func fieldOf(n ast.Node) (side ast.Node, name string, ok bool) {
	c, ok := isCall(n, "value.at")
	if !ok {
		return nil, "", false
	}
	s, ok := c.Arguments[1].(*ast.StringNode)
	if !ok {
		return nil, "", false
	}
	return c.Arguments[0], s.Value, true
}

// fieldIsText reports a field that is taken for something that has elements, or
// parts with names. The hint has a place for how the field is written.
func (l *linter) fieldIsText(n ast.Node, hint, has string) bool {
	side, name, ok := fieldOf(n)
	if !ok {
		return false
	}
	l.problem(n, fmt.Sprintf(hint, partText(side, name)), "a field is text, and has "+has)
	return true
}

// partText is how a field of a side is written.
func partText(side ast.Node, name string) string {
	text := "x"
	if isSideName(side) {
		text = sideText(side)
	}
	if plainName.MatchString(name) {
		return text + "." + name
	}
	return text + "[" + strconv.Quote(name) + "]"
}

var plainName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// sourceOf is how a constant is written; x for all else.
func sourceOf(n ast.Node) string {
	if s, ok := n.(*ast.StringNode); ok {
		return strconv.Quote(s.Value)
	}
	return "x"
}

// inListHint is the list that a text with commas was meant to be.
func inListHint(text string) string {
	parts := strings.Split(text, ",")
	for i, p := range parts {
		parts[i] = strconv.Quote(strings.TrimSpace(p))
	}
	if len(parts) > 5 {
		parts = append(parts[:5], "...")
	}
	return "in [" + strings.Join(parts, ", ") + "]"
}

// neverNumber reports whether a node of any kind is text or nothing at all: a field, an
// element, or a part of one that is no number.
func neverNumber(n ast.Node) bool {
	switch n := n.(type) {
	case *ast.PointerNode:
		return kindOf(n) == reflect.Interface
	case *ast.MemberNode:
		s, ok := n.Property.(*ast.StringNode)
		_, ofElement := n.Node.(*ast.PointerNode)
		return ok && ofElement && kindOf(n) == reflect.Interface && (s.Value == "member" || s.Value == "field" || s.Value == "value" || s.Value == "id")
	}
	_, _, ok := fieldOf(n)
	return ok
}

// numbersOnly reports whether a node is a list of numbers.
func numbersOnly(n ast.Node) bool {
	switch n := n.(type) {
	case *ast.ArrayNode:
		for _, e := range n.Nodes {
			if k := kindOf(e); k != reflect.Int && k != reflect.Float64 {
				return false
			}
		}
		return len(n.Nodes) > 0
	case *ast.ConstantNode:
		_, ok := n.Value.(*numberSet)
		return ok
	}
	return false
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

// words are what these names can be. A type may also be that of a module, which has
// nine characters.
var words = map[string][]string{
	"type":   {"string", "list", "set", "zset", "hash", "stream", "none"},
	"origin": {string(event.FromStream), string(event.FromSnapshot), string(event.FromResync), string(event.FromReplay)},
	"cause":  {string(event.CauseCommand), string(event.CauseDeleted), string(event.CauseExpired), string(event.CauseTrimmed), string(event.CauseUnknown)},
}

// known checks that a command or an event that a condition waits for exists, and
// what can only be one of a few words.
func (l *linter) known(what string, c *ast.StringNode) {
	other := map[string]string{"sortedset": "zset", "sorted_set": "zset", "hashtable": "hash"}[c.Value]
	if list := words[what]; list != nil && !slices.Contains(list, c.Value) && (what != "type" || len(c.Value) != 9 || other != "") {
		hint := suggest.DidYouMean(c.Value, slices.Values(list))
		if other != "" {
			hint = "did you mean " + strconv.Quote(other) + "?"
		}
		if hint == "" {
			hint = "it is one of " + strings.Join(list, ", ")
		}
		l.problem(c, hint, what+" is never "+strconv.Quote(c.Value))
		return
	}
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
