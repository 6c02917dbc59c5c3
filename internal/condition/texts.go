package condition

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/expr-lang/expr/ast"
)

// Text that conditions make: x + y, split, replace and string. What closures
// make is in memory of the evaluator, which the next event uses again. Nothing
// that is made, or taken to pieces, is longer than maxText, so that a condition
// stays linear in the event.

// maxText bounds a text that is made, and one that split takes to pieces.
const maxText = 1 << 20

var (
	errLongText   = fmt.Errorf("a text of more than %d bytes is not made", maxText)
	errLongSplit  = fmt.Errorf("split() of a text of more than %d bytes", maxText)
	errNotANumber = errors.New("string() of what is no number")
)

// textMemory holds the texts that closures make for one event.
type textMemory struct {
	bytes []byte
	parts []string // of the joins that are under way
}

// keepText is how much memory is kept from one event to the next.
const keepText = 64 << 10

// reset gives up all texts.
func (m *textMemory) reset() {
	if m.bytes = m.bytes[:0]; cap(m.bytes) > keepText {
		m.bytes = nil
	}
}

// room returns memory for a text of n bytes, of no length.
func (m *textMemory) room(n int) []byte {
	if cap(m.bytes)-len(m.bytes) < n {
		m.bytes = make([]byte, 0, max(n, 2*cap(m.bytes), 256)) // what there is stays with its texts
	}
	at := len(m.bytes)
	return m.bytes[at:at:cap(m.bytes)]
}

// keep makes text of what room has been filled with, in place.
func (m *textMemory) keep(b []byte) string {
	m.bytes = m.bytes[:len(m.bytes)+len(b)]
	return text(b)
}

// rewind gives up the texts that were made since mark, which was m.bytes then.
func (m *textMemory) rewind(mark []byte) {
	if cap(mark) == cap(m.bytes) && len(mark) <= len(m.bytes) {
		m.bytes = m.bytes[:len(mark)]
		return
	}
	m.bytes = m.bytes[:0] // others have the memory of before
}

// joinTexts is x + y, for expr's machine.
func joinTexts(x, y string) (string, error) {
	if len(x)+len(y) > maxText {
		return "", errLongText
	}
	return x + y, nil
}

// splitText is split(x, sep), for expr's machine.
func splitText(x, sep string) ([]string, error) {
	if len(x) > maxText {
		return nil, errLongSplit
	}
	return strings.Split(x, sep), nil
}

// replacedLen is how long replace(x, old, with) is.
func replacedLen(x, old, with string) (n int, err error) {
	if n = len(x) + strings.Count(x, old)*(len(with)-len(old)); n > maxText {
		return 0, errLongText
	}
	return n, nil
}

// replaceText is replace(x, old, with), for expr's machine.
func replaceText(x, old, with string) (string, error) {
	if _, err := replacedLen(x, old, with); err != nil {
		return "", err
	}
	return strings.ReplaceAll(x, old, with), nil
}

// stringOf is string(x), for expr's machine: "" for nil.
func stringOf(x any) (string, error) {
	switch x := x.(type) {
	case nil:
		return "", nil
	case string:
		return x, nil
	case bool:
		return strconv.FormatBool(x), nil
	case int, float64:
		return numberFrom(x).text(), nil
	case truth, number:
		return "", errNotANumber
	}
	return "", fmt.Errorf("string() of a %s", valueKind(x))
}

// seemsText reports whether a node is text, as far as that is seen before types
// are checked.
func seemsText(n ast.Node) bool {
	switch n := n.(type) {
	case *ast.StringNode, *ast.SliceNode:
		return true
	case *ast.IdentifierNode:
		return compileVariable(n.Value) != nil
	case *ast.MemberNode:
		return isName(n.Node, "params") || isName(n.Node, "args")
	case *ast.CallNode:
		for _, name := range []string{"arg", "text.string", "text.replace", "value.text"} {
			if isName(n.Callee, name) {
				return true
			}
		}
	case *ast.BuiltinNode:
		switch n.Name {
		case "lower", "upper", "trim", "trimPrefix", "trimSuffix":
			return true
		}
	case *ast.BinaryNode:
		return n.Operator == "+" && (seemsText(n.Left) || seemsText(n.Right))
	case *ast.ConditionalNode:
		return seemsText(n.Exp1) || seemsText(n.Exp2)
	}
	return false
}

// textHelper resolves split, replace and string.
func (r *resolver) textHelper(node *ast.Node, n *ast.CallNode, name string) {
	switch name {
	case "split", "replace":
		r.textOf(&n.Arguments[0])
		for i := range n.Arguments[1:] {
			if s, ok := r.constant(n, i+1); ok && s == "" && i == 0 {
				r.problem(n.Arguments[1], "", "argument 2 of %s must not be empty", name)
			}
		}
	case "string":
		if s := sideOf(n.Arguments[0]); s != nil {
			r.textOf(&n.Arguments[0])
			*node = n.Arguments[0]
			return
		}
	}
	r.patch(node, "text."+name, n.Arguments...)
}

// compileJoin compiles what is joined by "+".
func compileJoin(n *ast.BinaryNode) textFunc {
	if n.Operator != "+" {
		return nil
	}
	var parts []textFunc
	for _, operand := range summands(nil, n) {
		p := compileString(operand)
		if p == nil {
			return nil
		}
		parts = append(parts, p)
	}
	return func(s *scope) string {
		m, at, size := &s.texts, len(s.texts.parts), 0
		for _, p := range parts {
			v := p(s)
			size += len(v)
			m.parts = append(m.parts, v)
		}
		list := m.parts[at:]
		m.parts = m.parts[:at]
		if size > maxText {
			s.note(errLongText)
			return ""
		}
		b := m.room(size)
		for i, v := range list {
			b = append(b, v...)
			list[i] = ""
		}
		return m.keep(b)
	}
}

// summands appends what is joined by "+", in its order.
func summands(dst []ast.Node, n ast.Node) []ast.Node {
	b, ok := n.(*ast.BinaryNode)
	if !ok || b.Operator != "+" {
		return append(dst, n)
	}
	return summands(summands(dst, b.Left), b.Right)
}

// compileTextCall compiles replace and string.
func compileTextCall(n *ast.CallNode) textFunc {
	switch {
	case isName(n.Callee, "text.replace"):
		return compileReplace(n)
	case isName(n.Callee, "text.string"):
		return compileStringOf(n.Arguments[0])
	}
	return nil
}

func compileReplace(n *ast.CallNode) textFunc {
	x, old, with := compileString(n.Arguments[0]), n.Arguments[1].(*ast.StringNode).Value, n.Arguments[2].(*ast.StringNode).Value
	if x == nil {
		return nil
	}
	return func(s *scope) string {
		v := x(s)
		if !strings.Contains(v, old) && len(v) <= maxText {
			return v
		}
		size, err := replacedLen(v, old, with)
		if err != nil {
			s.note(err)
			return ""
		}
		b := s.texts.room(size)
		for {
			head, rest, found := strings.Cut(v, old)
			if b = append(b, head...); !found {
				return s.texts.keep(b)
			}
			b, v = append(b, with...), rest
		}
	}
}

func compileStringOf(n ast.Node) textFunc {
	if x := compileString(n); x != nil {
		return x
	}
	if x := compileNumber(n); x != nil {
		return func(s *scope) string {
			v := x(s)
			if v.none() {
				s.note(errNotANumber)
				return ""
			}
			return s.numberText(v)
		}
	}
	if x := compileBool(n); x != nil {
		return func(s *scope) string {
			switch x(s) {
			case yes:
				return "true"
			case no:
				return "false"
			}
			s.note(errNotANumber)
			return ""
		}
	}
	x := compileAny(n)
	if x == nil {
		return nil
	}
	return func(s *scope) string {
		v := x(s)
		if s.err != nil {
			return ""
		}
		t, err := stringOf(v)
		return result(s, t, err)
	}
}

// numberText is a number as text.
func (s *scope) numberText(n number) string {
	if n.kind == whole {
		return s.texts.keep(strconv.AppendInt(s.texts.room(20), n.i, 10))
	}
	return n.text()
}

// splitOf is split(x, sep) as closures have it: the parts are not made into a
// list.
type splitOf struct {
	x   textFunc
	sep string
}

// compileSplit compiles split(x, sep); nil for all else.
func compileSplit(n ast.Node) *splitOf {
	c, ok := isCall(n, "text.split")
	if !ok {
		return nil
	}
	if x := compileString(c.Arguments[0]); x != nil {
		return &splitOf{x, c.Arguments[1].(*ast.StringNode).Value}
	}
	return nil
}

// text returns the text that is split.
func (p *splitOf) text(s *scope) string {
	v := p.x(s)
	if len(v) > maxText {
		s.note(errLongSplit)
		return ""
	}
	return v
}

// has reports whether a text is one of the parts.
func (p *splitOf) has(s *scope, want string) bool {
	for rest, found := p.text(s), true; found; {
		var part string
		if part, rest, found = strings.Cut(rest, p.sep); part == want {
			return true
		}
	}
	return false
}

// count is len(split(x, sep)).
func (p *splitOf) count(s *scope) int { return strings.Count(p.text(s), p.sep) + 1 }

// at is split(x, sep)[i]; an index below 0 counts from the end.
func (p *splitOf) at(s *scope, i int) string {
	rest := p.text(s)
	n := strings.Count(rest, p.sep) + 1
	at := i
	if at < 0 {
		at += n
	}
	if at < 0 || at >= n {
		s.fail("[%d]: index out of range, there are %d", i, n)
		return ""
	}
	for ; ; at-- {
		part, tail, _ := strings.Cut(rest, p.sep)
		if at == 0 {
			return part
		}
		rest = tail
	}
}
