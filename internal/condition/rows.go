package condition

import (
	"reflect"
	"slices"
	"strconv"

	"github.com/expr-lang/expr/ast"
)

// rows is a list of lists of texts, of which each has as many: what "in" finds a
// list in.
type rows struct {
	width int
	set   map[string]struct{} // what appendCell makes of each
}

// rowsOf returns the rows of lists that have as many texts each.
func rowsOf(lists [][]string) *rows {
	r := &rows{set: map[string]struct{}{}}
	for _, list := range lists {
		r.width = len(list)
		var b []byte
		for _, t := range list {
			b = appendCell(b, t)
		}
		r.set[string(b)] = struct{}{}
	}
	return r
}

// appendCell appends a text so that different lists of texts give different
// bytes.
func appendCell(b []byte, t string) []byte {
	b = strconv.AppendInt(b, int64(len(t)), 10)
	return append(append(b, ':'), t...)
}

// texts returns the rows in one order, each as appendCell makes them.
func (r *rows) texts() []string { return slices.Collect(sortedKeys(r.set)) }

// has is [x, y] in rows, for expr's machine: what is no text is in none.
func (r *rows) has(list []any) bool {
	var b []byte
	for _, x := range list {
		t, ok := x.(string)
		if !ok {
			return false
		}
		b = appendCell(b, t)
	}
	_, ok := r.set[string(b)]
	return ok
}

// inRows resolves "[x, y] in lists.name" and "[x, y] in [["a", "b"]]"; false for
// all else.
func (r *resolver) inRows(node *ast.Node, n *ast.BinaryNode) bool {
	left, ok := n.Left.(*ast.ArrayNode)
	if !ok {
		return false
	}
	var in *rows
	if m, ok := n.Right.(*ast.MemberNode); ok && isName(m.Node, "lists") {
		switch l := r.list(m).(type) {
		case nil:
			return true // reported
		case *rows:
			in = l
		default:
			r.problem(n, "", "a list is never in a list of texts or numbers")
			return true
		}
	} else if in = r.constantRows(n.Right); in == nil {
		return false
	}
	if len(left.Nodes) != in.width && len(in.set) > 0 {
		r.problem(left, "", "each of these lists has %d texts, not %d", in.width, len(left.Nodes))
		return true
	}
	c := &ast.ConstantNode{Value: in}
	c.SetLocation(n.Right.Location())
	r.patch(node, "list.has", left, c)
	return true
}

// constantRows returns the rows of a list of lists of constant texts; nil for
// all else.
func (r *resolver) constantRows(n ast.Node) *rows {
	array, ok := n.(*ast.ArrayNode)
	if !ok || len(array.Nodes) == 0 {
		return nil
	}
	var lists [][]string
	for _, e := range array.Nodes {
		inner, ok := e.(*ast.ArrayNode)
		if !ok {
			return nil
		}
		r.nodes += 1 + len(inner.Nodes)
		texts := textConstants(inner)
		if len(texts) == 0 || len(lists) > 0 && len(texts) != len(lists[0]) {
			r.problem(e, `[before.status, after.status] in [["new", "paid"], ["paid", "void"]]`, "a list in a list has constant texts, as many as the others")
			return &rows{}
		}
		for _, t := range inner.Nodes {
			r.str(t.(*ast.StringNode))
		}
		lists = append(lists, texts)
	}
	return rowsOf(lists)
}

// compileRows compiles "[x, y] in rows".
func compileRows(n *ast.CallNode) boolFunc {
	in := n.Arguments[1].(*ast.ConstantNode).Value.(*rows)
	var cells []func(*scope) (string, bool)
	for _, x := range n.Arguments[0].(*ast.ArrayNode).Nodes {
		c := compileCell(x)
		if c == nil {
			return nil
		}
		cells = append(cells, c)
	}
	return func(s *scope) truth {
		m, at, all := &s.texts, len(s.texts.parts), true
		size := 0
		for _, c := range cells {
			t, ok := c(s)
			all = all && ok
			size += len(t) + 20
			m.parts = append(m.parts, t)
		}
		list := m.parts[at:]
		m.parts = m.parts[:at]
		if !all || s.err != nil {
			return no
		}
		b := m.room(size)
		for i, t := range list {
			b = appendCell(b, t)
			list[i] = ""
		}
		_, ok := in.set[text(b)]
		return truthOf(ok)
	}
}

// compileCell compiles what is looked for in one place of the rows. It is false
// for what is no text.
func compileCell(n ast.Node) func(*scope) (string, bool) {
	if x := compileString(n); x != nil {
		return func(s *scope) (string, bool) { return x(s), true }
	}
	if kindOf(n) != reflect.Interface {
		return nil
	}
	x := compileAny(n)
	if x == nil {
		return nil
	}
	return func(s *scope) (string, bool) { t, ok := x(s).(string); return t, ok }
}
