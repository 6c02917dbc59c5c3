package condition

import (
	"fmt"
	"strings"

	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/file"
	"github.com/expr-lang/expr/parser/lexer"
)

// Canonical returns an expression in one spelling, followed by what the macros
// and lists in it stand for: texts are equal only of expressions that mean the
// same. The expression is one that compiles.
func (c *Compiler) Canonical(src string) string {
	parts := map[string]string{}
	text := c.spell(src, parts)
	for name := range sortedKeys(parts) {
		text += "; " + name + ": " + parts[name]
	}
	return text
}

// spell returns an expression in one spelling, and adds to parts what its
// macros and lists stand for.
func (c *Compiler) spell(src string, parts map[string]string) string {
	tree, _, p := c.parse(src)
	if p != nil {
		return src
	}
	v := &references{c: c, parts: parts}
	ast.Walk(&tree.Node, v)
	return tree.Node.String()
}

// references finds the macros and lists that an expression names.
type references struct {
	c     *Compiler
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
		r.parts[name] = r.c.spell(r.c.of.Macros[member.Value], r.parts)
		return
	}
	switch list := r.c.lists[member.Value].(type) {
	case []string:
		r.parts[name] = fmt.Sprintf("%q", sorted(list))
	case *rows:
		r.parts[name] = fmt.Sprintf("lists %q", list.texts())
	case *numberSet:
		r.parts[name] = fmt.Sprint(sorted(list.texts()))
	}
}

// Split takes a condition apart at its outermost "&&" and "and": it holds if
// all parts do.
func Split(src string) []string {
	whole := []string{strings.TrimSpace(src)}
	tokens, err := lexer.Lex(file.NewSource(src))
	if err != nil {
		return whole
	}
	var parts []string
	depth, from := 0, 0
	for _, t := range tokens {
		switch {
		case t.Is(lexer.Bracket, "(") || t.Is(lexer.Bracket, "[") || t.Is(lexer.Bracket, "{"):
			depth++
		case t.Kind == lexer.Bracket:
			depth--
		case depth > 0 || t.Kind != lexer.Operator:
		case t.Value == "||" || t.Value == "or" || t.Value == "?" || t.Value == "if": // they bind weaker
			return whole
		case t.Value == "&&" || t.Value == "and":
			at := byteOffset(src, t.From)
			parts = append(parts, strings.TrimSpace(src[from:at]))
			from = at + len(t.Value)
		}
	}
	return append(parts, strings.TrimSpace(src[from:]))
}
