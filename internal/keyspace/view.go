package keyspace

import (
	"bytes"
	"iter"
	"slices"

	"triggerd/internal/event"
)

// kind is the type of a mirrored key.
type kind uint8

const (
	kindUnknown kind = iota // also of types that are not mirrored
	kindString
	kindList
	kindSet
	kindHash
	kindZset
	kindStream
)

var kindNames = [...]string{"", typeString, typeList, typeSet, typeHash, typeZset, typeStream}

func (k kind) String() string { return kindNames[k] }

// view is a value as it is, or, with an undo, as it was before the command.
type view struct {
	kind     kind
	text     []byte     // of a string; what patches have overwritten is in undo
	elements collection // of all else
	undo     *undo      // nil: as it is

	index map[string]int // of undo.elements, made when they are many
}

func (v *view) Type() string    { return v.kind.String() }
func (v *view) Truncated() bool { return false }

func (v *view) Len() int {
	switch {
	case v.kind == kindString:
		return len(v.text)
	case v.undo != nil:
		return v.undo.count
	}
	return v.elements.len()
}

// Bytes undoes what was written into a string in place, in a copy.
func (v *view) Bytes() []byte {
	if v.kind != kindString {
		return nil
	}
	if v.undo != nil && len(v.undo.patches) > 0 {
		text := bytes.Clone(v.text)
		for _, p := range slices.Backward(v.undo.patches) {
			copy(text[p.at:], p.old)
		}
		v.text, v.undo = text, nil
	}
	return v.text
}

// undone finds what the command has changed of a named element: its first
// record tells how it was before.
func (v *view) undone(name string) (was *undone, ok bool) {
	if v.undo == nil {
		return nil, false
	}
	all := v.undo.elements
	const few = 8
	if len(all) <= few {
		for i := range all {
			if all[i].name == name {
				return &all[i], true
			}
		}
		return nil, false
	}
	if v.index == nil {
		v.index = make(map[string]int, len(all))
		for i := range slices.Backward(all) {
			v.index[all[i].name] = i
		}
	}
	i, ok := v.index[name]
	if !ok {
		return nil, false
	}
	return &all[i], true
}

func (v *view) Get(name []byte) ([]byte, bool) {
	elements, ok := v.elements.(named)
	if !ok {
		return nil, false
	}
	was, changed := v.undone(string(name))
	if changed && !was.had {
		return nil, false
	}
	return elements.get(was, name)
}

func (v *view) All() iter.Seq[event.Element] {
	return func(yield func(event.Element) bool) {
		v.each(func(e *event.Element) bool { return yield(*e) })
	}
}

// each gives the elements, all in the same memory, until give returns false.
func (v *view) each(give func(*event.Element) bool) {
	if v.elements != nil {
		v.elements.each(v, give)
	}
}

// firstUndone gives the elements that the view shows and that have changed
// since, each as it was before its first change.
func (v *view) firstUndone() iter.Seq[*undone] {
	return func(yield func(*undone) bool) {
		if v.undo == nil {
			return
		}
		for i := range v.undo.elements {
			e := &v.undo.elements[i]
			if first, _ := v.undone(e.name); first == e && e.had && !yield(e) {
				return
			}
		}
	}
}

// eachUndone gives what firstUndone does as elements.
func (v *view) eachUndone(give func(*event.Element) bool) {
	if v.undo == nil || len(v.undo.elements) == 0 {
		return
	}
	var e event.Element
	for was := range v.firstUndone() {
		if e = (event.Element{Name: was.name, Value: was.value, Score: was.score}); !give(&e) {
			return
		}
	}
}
