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
	e, ok := v.find(string(name))
	if !ok {
		return nil, false
	}
	switch v.kind {
	case kindHash:
		return []byte(e.Value), true
	case kindZset:
		return event.AppendScore(nil, e.Score), true
	}
	return name, true
}

// find returns what a hash, set or sorted set has under a name, without the name
// itself.
func (v *view) find(name string) (e event.Element, ok bool) {
	if was, changed := v.changed(name); changed {
		return event.Element{Value: was.value, Score: was.score}, was.had
	}
	switch o := v.elements.(type) {
	case *set:
		ok = o.has(name)
	case *hash:
		e.Value, ok = o.fields[name]
	case *zset:
		e.Score, ok = o.scores[name]
	}
	return e, ok
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

// Count is that of event.Counter.
func (v *view) Count(judge func(*event.Element) event.Verdict) (holds, unknown int) {
	v.each(func(e *event.Element) bool {
		switch judge(e) {
		case event.VerdictYes:
			holds++
		case event.VerdictUnknown:
			unknown++
		case event.VerdictStop:
			return false
		}
		return true
	})
	return holds, unknown
}

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

// giveOldElements gives what firstUndone does as elements.
func (v *view) giveOldElements(give func(*event.Element) bool) {
	if v.undo == nil || len(v.undo.elements) == 0 {
		return
	}
	var e event.Element
	for was := range v.oldElements() {
		if e = (event.Element{Name: was.name, Value: was.value, Score: was.score}); !give(&e) {
			return
		}
	}
}
