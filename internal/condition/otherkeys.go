package condition

import (
	"errors"
	"slices"

	"github.com/expr-lang/expr/ast"

	"triggerd/internal/event"
	"triggerd/internal/glob"
)

// value(K) is the value of another key of the event's database, as it is after
// the command. It is a side of its own, of which all may be asked that is asked
// of before and after:
//
//	value("limit:" + params.id)               value.whole(key.value(keys., "limit:" + params.id))
//	value("user:" + params.id).email          value.at(key.value(...), "email")
//	field("user:" + params.id, "email")       the same
//
// That needs the value to be kept. Of which keys is told by the shape of K: the
// texts that are written in it, with anything between them.

// Lookup returns the value of a key of a database at this moment: event.None if
// there is no such key, nil if it is not known. It is borrowed as the event is.
type Lookup func(db int, key []byte) event.Value

// otherKeys is what expr's machine asks for values of other keys.
type otherKeys struct{ scope *scope }

// keysName is its name in the environment, which no condition can write.
const keysName = "keys."

// side returns the value of a key as a side.
func (k *otherKeys) side(key string) *side {
	s := k.scope.otherKey(key)
	return &s
}

// otherKey returns the value of a key as a side.
func (s *scope) otherKey(key string) side {
	other := side{key: key, other: true, scope: s}
	if s.lookup != nil {
		other.v = s.lookup(s.ev.DB, bytesOf(key))
	}
	return other
}

// errUnknownKey says that the value of another key is not known.
func (s *side) errUnknownKey(how string) error { return errors.New(s.String() + " is not known" + how) }

// otherKey resolves value(K) and field(K, f).
func (r *resolver) otherKey(node *ast.Node, n *ast.CallNode, name string) {
	key := n.Arguments[0]
	switch key.(type) {
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.NilNode, *ast.ArrayNode:
		r.problem(key, `value("limit:" + params.id)`, "%s takes the name of a key, which is text", name)
		return
	}
	r.warnBraces(key)
	r.textOf(&n.Arguments[0])
	key = n.Arguments[0]
	if slices.Contains(keysOf(key), nil) {
		r.problem(key, `write what all these keys have in common: value("limit:" + params.id)`, "%s of any key at all would keep every value", name)
		return
	}
	r.nodes += 2
	keys := &ast.IdentifierNode{Value: keysName}
	keys.SetLocation(n.Location())
	side := call(n, "key.value", keys, key)
	if name == "value" {
		r.patch(node, "value.whole", side)
		return
	}
	r.textOf(&n.Arguments[1])
	r.patch(node, "value.at", side, n.Arguments[1])
}

// isOtherKey reports whether a node is a side that is another key's value.
func isOtherKey(n ast.Node) bool { _, ok := isCall(n, "key.value"); return ok }

// sideText returns a side as it is written, or nearly so.
func sideText(n ast.Node) string {
	if isOtherKey(n) {
		return "value(...)"
	}
	return n.String()
}

// maxShapes is how many shapes of keys an expression may have, before it counts
// as any.
const maxShapes = 16

// keysOf returns patterns of which each key that an expression can come to
// matches one; nil among them if that may be any key.
func keysOf(n ast.Node) []*glob.Pattern {
	var patterns []*glob.Pattern
	for _, s := range shapesOf(n) {
		patterns = append(patterns, glob.OfPieces(s...))
	}
	return patterns
}

// shapesOf returns the shapes of a text: pieces with anything between two of
// them.
func shapesOf(n ast.Node) [][]string {
	anything := [][]string{{"", ""}}
	switch n := n.(type) {
	case *ast.StringNode:
		return [][]string{{n.Value}}
	case *ast.ConditionalNode:
		all := append(shapesOf(n.Exp1), shapesOf(n.Exp2)...)
		if len(all) > maxShapes {
			return anything
		}
		return all
	case *ast.BinaryNode:
		if n.Operator != "+" {
			return anything
		}
		left, right := shapesOf(n.Left), shapesOf(n.Right)
		if len(left)*len(right) > maxShapes {
			return anything
		}
		var all [][]string
		for _, l := range left {
			for _, r := range right {
				last := len(l) - 1
				s := append(append([]string{}, l[:last]...), l[last]+r[0])
				all = append(all, append(s, r[1:]...))
			}
		}
		return all
	}
	return anything
}
