package rules

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/parser"
	"github.com/expr-lang/expr/vm"
)

// by is what a stage keeps its states apart by: expressions that are compiled
// like conditions. No parts are one state for all matches.
type by struct {
	field   string   // "throttle.by"
	sources []string // as they are written
	parts   []byPart
}

// byPart is one expression of a by.
type byPart struct {
	text       textFunc    // nil: it is no text, or closures do not know it
	value      anyFunc     // nil, and no text: program has to be run
	program    *vm.Program // gives what value would
	usesParams bool
}

// value compiles an expression that gives a text, an integer, true or false.
// Without problems the part is of use, except where a macro that it uses is
// broken.
func (c *conditions) value(src string, captures []string) (part byPart, problems []problem) {
	defer recovered(&problems)
	tree, problems := c.checked(src, captures, false)
	if tree == nil || len(problems) > 0 {
		return part, problems
	}
	if p := keepsApart(tree.Node); p != nil {
		return part, []problem{*p}
	}
	part = byPart{text: closeString(tree.Node), value: closeValue(tree.Node), usesParams: c.usesParams}
	if part.text != nil || part.value != nil {
		return part, nil
	}
	program, p := c.program(src, tree)
	if p != nil {
		return part, []problem{*p}
	}
	part.program = program
	return part, nil
}

// keepsApart refuses what is no value to keep states apart by.
func keepsApart(n ast.Node) *problem {
	switch kindOf(n) {
	case reflect.String, reflect.Int, reflect.Bool, reflect.Interface:
		return nil
	case reflect.Float64:
		return &problem{msg: "states are kept apart by text or integers, not by a number that may have a fraction", hint: "int(x) is an integer; or take the text as it is"}
	case reflect.Invalid:
		return &problem{msg: "nil keeps nothing apart", hint: "leave by out for one state of all"}
	}
	return &problem{msg: "states are kept apart by one text or integer, not by several values", hint: `by = ["params.a", "params.b"] joins several`}
}

// closeValue compiles an expression that gives something else than text; nil
// if that is left to the machine.
func closeValue(n ast.Node) anyFunc {
	if i := closeInt(n); i != nil {
		return func(s *scope) any { return i(s) }
	}
	if kindOf(n) == reflect.Bool {
		if b := closeBool(n); b != nil {
			return func(s *scope) any { return b(s) }
		}
	}
	return closeAny(n)
}

// of returns the value of a by for the event that e was prepared for: of one
// expression its own text, of several these joined, so that different values
// have different texts. The text borrows the event, or buf, which it extends.
func (b *by) of(e *evaluator, buf *[]byte) (string, error) {
	start := len(*buf)
	for i := range b.parts {
		s, err := b.parts[i].of(e)
		if err != nil {
			return "", fmt.Errorf("%s: %w", b.field, err)
		}
		if len(b.parts) == 1 {
			return s, nil
		}
		if i > 0 {
			*buf = append(*buf, ',')
		}
		*buf = appendEscaped(*buf, s)
	}
	return text((*buf)[start:]), nil
}

// appendEscaped appends s with a backslash before each comma and backslash.
func appendEscaped(dst []byte, s string) []byte {
	if !strings.ContainsAny(s, `,\`) {
		return append(dst, s...)
	}
	for i := range len(s) {
		if s[i] == ',' || s[i] == '\\' {
			dst = append(dst, '\\')
		}
		dst = append(dst, s[i])
	}
	return dst
}

func (p *byPart) of(e *evaluator) (string, error) {
	if p.text != nil {
		s := p.text(&e.scope)
		return s, e.scope.err
	}
	if p.value != nil {
		return asText(p.value(&e.scope), e.scope.err)
	}
	return asText(e.machineRun(p.program, p.usesParams))
}

var errNothing = errors.New("there is no such value to keep a state by")

// asText returns a value as the text that tells it from others.
func asText(v any, err error) (string, error) {
	switch v := v.(type) {
	case nil:
		if err == nil {
			err = errNothing
		}
	case string:
		return v, err
	case int:
		return strconv.Itoa(v), err
	case bool:
		return strconv.FormatBool(v), err
	case float64: // of JSON: 42 is "42"
		return strconv.FormatFloat(v, 'f', -1, 64), err
	default:
		if err == nil {
			err = fmt.Errorf("a %T is no text or number to keep a state by", v)
		}
	}
	return "", err
}

// canonical returns an expression in one spelling, followed by what the macros
// and lists in it stand for: texts are equal only of expressions that mean the
// same. The expression is one that compiles.
func (c *conditions) canonical(src string) string {
	parts := map[string]string{}
	text := c.spell(src, parts)
	for name := range sortedKeys(parts) {
		text += "; " + name + ": " + parts[name]
	}
	return text
}

// spell returns an expression in one spelling, and adds to parts what its
// macros and lists stand for.
func (c *conditions) spell(src string, parts map[string]string) string {
	tree, err := parser.ParseWithConfig(src, c.config)
	if err != nil {
		return src
	}
	v := &references{c: c, parts: parts}
	ast.Walk(&tree.Node, v)
	return tree.Node.String()
}

// references finds the macros and lists that an expression names.
type references struct {
	c     *conditions
	parts map[string]string
}

// Visit is ast.Visitor's.
func (r *references) Visit(n *ast.Node) {
	m, ok := (*n).(*ast.MemberNode)
	if !ok || !isName(m.Node, "macros") && !isName(m.Node, "lists") {
		return
	}
	name := m.String()
	if _, have := r.parts[name]; have {
		return
	}
	member, _ := m.Property.(*ast.StringNode)
	if member == nil {
		return
	}
	r.parts[name] = ""
	if isName(m.Node, "macros") {
		r.parts[name] = r.c.spell(r.c.macros[member.Value], r.parts)
		return
	}
	switch list := r.c.lists[member.Value].(type) {
	case []string:
		r.parts[name] = fmt.Sprintf("%q", sorted(list))
	case []int:
		list = slices.Clone(list)
		slices.Sort(list)
		r.parts[name] = fmt.Sprint(list)
	}
}
