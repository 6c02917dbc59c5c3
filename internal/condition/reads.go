package condition

import (
	"github.com/expr-lang/expr/ast"

	"triggerd/internal/glob"
)

// Reads is what an expression reads of an event that no command tells by
// itself, so that it may have to be kept.
type Reads struct {
	State  bool     // whether the key is there, its type, deadline, or the names of what changed
	Value  bool     // before or after
	Events []string // the names that it compares event with

	Others []*glob.Pattern // what keys match whose value it reads beside that of the event's own
}

// readsOf finds what a resolved expression reads.
func readsOf(n ast.Node) Reads {
	var v reader
	ast.Walk(&n, &v)
	return v.reads
}

// reader finds what an expression reads.
type reader struct{ reads Reads }

// Visit is ast.Visitor's.
func (v *reader) Visit(n *ast.Node) {
	switch n := (*n).(type) {
	case *ast.IdentifierNode:
		switch n.Value {
		case "before", "after":
			v.reads.Value = true
		case "changed", "ttl", "type", "cause":
			v.reads.State = true
		}
	case *ast.CallNode:
		if isName(n.Callee, "key.value") {
			v.reads.Others = append(v.reads.Others, keysOf(n.Arguments[1])...)
		}
	case *ast.BinaryNode:
		if isName(n.Left, "event") {
			v.compared(n.Operator, n.Right)
		}
		if isName(n.Right, "event") {
			v.compared(n.Operator, n.Left)
		}
	}
}

// compared notes what event is compared with.
func (v *reader) compared(op string, with ast.Node) {
	names := constantSet(with)
	if s, ok := with.(*ast.StringNode); ok {
		names = []string{s.Value}
	}
	if op == "!=" || op == "==" || op == "in" {
		v.reads.Events = append(v.reads.Events, names...)
		return
	}
	v.reads.State = true // startsWith and the like: which names it wants is not known
}

// Momentary returns the names in a condition that tell only of the change at
// hand, each as a problem whose message is the name, and whether the condition
// reads the state of the key at all. ok is false for a condition that does not
// compile.
func (c *Compiler) Momentary(src string, captures []string) (names []Problem, state, ok bool) {
	var r Report
	tree := c.checked(src, captures, true, &r)
	if tree == nil {
		return nil, false, false
	}
	var m momentary
	ast.Walk(&tree.Node, &m)
	for i := range m.names {
		m.names[i].Offset = byteOffset(src, m.names[i].Offset)
	}
	return m.names, m.state, true
}

// ofKey are the variables that tell of the key as it is, and not of what has
// just changed it.
var ofKey = map[string]bool{"key": true, "db": true, "type": true, "after": true, "ttl": true, "params": true}

// momentaryCalls are the functions that tell only of the change at hand, as they
// are written.
var momentaryCalls = map[string]string{
	"arg": "arg()", "value.crossed": "crossed()", "value.changed_to": "changed_to()", "value.became": "became()", "value.at": "was()",
	"value.crossed_score": "crossed_score()", "value.differs": "differs()", "value.moved": "moved()", "value.added": "added", "value.removed": "removed",
}

// momentary finds the names in a resolved condition that tell only of the
// change at hand, and whether it reads the key's state at all.
type momentary struct {
	names []Problem // offsets count runes
	state bool
}

// Visit is ast.Visitor's.
func (m *momentary) Visit(n *ast.Node) {
	switch n := (*n).(type) {
	case *ast.IdentifierNode:
		if n.Value == "after" || n.Value == "ttl" || n.Value == "type" {
			m.state = true
		}
		if variables[n.Value] && !ofKey[n.Value] {
			m.names = append(m.names, Problem{Offset: n.Location().From, Msg: n.Value})
		}
	case *ast.CallNode: // the names in it are from the helper that it stands for
		callee, _ := n.Callee.(*ast.IdentifierNode)
		if callee != nil && callee.Value == "key.value" { // whose changes are no events of the key
			m.names = append(m.names, Problem{Offset: n.Location().From, Msg: "value()"})
		}
		if i := len(m.names) - 1; i >= 0 && callee != nil && momentaryCalls[callee.Value] != "" && m.names[i].Offset == n.Location().From {
			m.names[i].Msg = momentaryCalls[callee.Value]
		}
	}
}
