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

// view is a value as it is, or, with an undo, as it was before the command. It is
// an event.Value, and an event.Counter, Changer, Finder, Ranker and Comparer.
type view struct {
	kind     kind
	text     []byte     // of a string; what patches have overwritten is in undo
	elements collection // of all else
	undo     *undo      // nil: as it is

	from *operand // of whose key it is; nil: of none, and it counts for nothing new

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
	if v.patched() {
		v.text, v.undo = v.Prefix(len(v.text)), nil
	}
	return v.text
}

// patched reports whether a string was written into in place.
func (v *view) patched() bool { return v.undo != nil && len(v.undo.patches) > 0 }

// Prefix is that of event.Value. It undoes what was written into these bytes.
func (v *view) Prefix(n int) []byte {
	if v.kind != kindString {
		return nil
	}
	n = min(max(n, 0), len(v.text))
	head := v.text[:n:n]
	if !v.patched() {
		return head
	}
	head = bytes.Clone(head)
	for _, p := range slices.Backward(v.undo.patches) {
		if p.at < n {
			copy(head[p.at:], p.old)
		}
	}
	return head
}

// At is that of event.Value.
func (v *view) At(i int) (event.Element, bool) {
	if i < 0 || i >= v.Len() {
		return event.Element{}, false
	}
	switch o := v.elements.(type) {
	case *list:
		return event.Element{Name: o.viewAt(v.undo, i)}, true
	case *stream:
		if n := o.viewAt(v, i); n != nil {
			return n.element(), true
		}
	}
	return event.Element{}, false
}

// changed finds what the command has changed of a named element: its first
// record tells how it was before.
func (v *view) changed(name string) (was *oldElement, ok bool) {
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
	was, changed := v.changed(string(name))
	if changed && !was.had {
		return nil, false
	}
	switch o := v.elements.(type) {
	case *set:
		return name, changed || o.has(string(name))
	case *hash:
		if changed {
			return []byte(was.value), true
		}
		value, ok := o.fields[string(name)]
		if !ok {
			return nil, false
		}
		return []byte(value), true
	case *zset:
		score, ok := o.scores[string(name)]
		if changed {
			score, ok = was.score, true
		}
		if !ok {
			return nil, false
		}
		return event.AppendScore(nil, score), true
	case *stream:
		return name, o.viewHas(v, name)
	}
	return nil, false
}

func (v *view) All() iter.Seq[event.Element] {
	if v.elements == nil {
		return func(func(event.Element) bool) {}
	}
	return func(yield func(event.Element) bool) { v.elements.each(v, yield) }
}

// asItIs reports whether the view shows the elements as they are now.
func (v *view) asItIs() bool { return v.undo == nil || len(v.undo.elements) == 0 }

// oldElements gives the elements that the view shows and that have changed
// since, each as it was before its first change.
func (v *view) oldElements() iter.Seq[*oldElement] {
	return func(yield func(*oldElement) bool) {
		if v.undo == nil {
			return
		}
		for i := range v.undo.elements {
			e := &v.undo.elements[i]
			if first, _ := v.changed(e.name); first == e && e.had && !yield(e) {
				return
			}
		}
	}
}

// giveOldElements gives what oldElements does as elements.
func (v *view) giveOldElements(give func(event.Element) bool) {
	for was := range v.oldElements() {
		if !give(event.Element{Name: was.name, Value: was.value, Score: was.score}) {
			return
		}
	}
}

// elementsWith gives the elements; a stream's without names, if these are not
// asked for.
func (v *view) elementsWith(names bool) iter.Seq[event.Element] {
	s, ok := v.elements.(*stream)
	if names || !ok || v.undo != nil {
		return v.All()
	}
	return func(yield func(event.Element) bool) {
		for _, n := range s.entries {
			if !yield(n.elementWith(false)) {
				return
			}
		}
	}
}
