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
// an event.Value and an event.Counter.
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
	}
	return nil, false
}

func (v *view) All() iter.Seq[event.Element] {
	if v.elements == nil {
		return func(func(event.Element) bool) {}
	}
	return func(yield func(event.Element) bool) { v.elements.each(v, yield) }
}

// Count is that of event.Counter.
func (v *view) Count(judge func(*event.Element) event.Verdict) (holds, unknown int) {
	var e event.Element // judge keeps its address: so that there is one, and not one an element
	for e = range v.All() {
		switch judge(&e) {
		case event.VerdictYes:
			holds++
		case event.VerdictUnknown:
			unknown++
		case event.VerdictStop:
			return holds, unknown
		}
	}
	return holds, unknown
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
