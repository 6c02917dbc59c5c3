package keyspace

import (
	"bytes"
	"maps"
	"slices"

	"triggerd/internal/event"
)

// Same is that of event.Comparer. Of the two sides of one change only what the
// command has changed is looked at.
func (v *view) Same(other event.Value) (same, ok bool) {
	w, ok := other.(*view)
	switch {
	case !ok || v.kind != w.kind:
		return false, false
	case v.Len() != w.Len():
		return false, true
	case v.kind == kindString:
		return v.sameText(w)
	case v.elements != w.elements:
		if !v.unchanged() || !w.unchanged() {
			return false, false
		}
		return sameElements(v.elements, w.elements), true
	case v.undo != nil && w.undo != nil:
		return false, false
	case v.undo == nil:
		v = w
	}
	return v.asBefore(), true
}

// sameText compares two strings of the same length. Where they are in the same
// memory, it is only what was written there in place.
func (v *view) sameText(w *view) (same, ok bool) {
	if v.patched() == w.patched() || len(v.text) == 0 || &v.text[0] != &w.text[0] {
		return false, false
	}
	if !v.patched() {
		v = w
	}
	from, to := len(v.text), 0
	for _, p := range v.undo.patches {
		from, to = min(from, p.at), max(to, p.at+len(p.old))
	}
	was := bytes.Clone(v.text[from:to])
	for _, p := range slices.Backward(v.undo.patches) {
		copy(was[p.at-from:], p.old)
	}
	return bytes.Equal(was, v.text[from:to]), true
}

// unchanged reports whether the command has changed nothing of the elements.
func (v *view) unchanged() bool {
	if v.undo == nil {
		return true
	}
	u := &v.undo.list
	s, isStream := v.elements.(*stream)
	return len(v.undo.elements) == 0 && len(v.undo.entries) == 0 && (!isStream || s.last == v.undo.last) &&
		len(u.front) == 0 && len(u.back) == 0 && u.addFront == 0 && u.addBack == 0 && u.edited == 0 && !u.replaced
}

// asBefore reports whether the elements, which are as many as before the
// command, are those that there were.
func (v *view) asBefore() bool {
	if v.unchanged() {
		return true
	}
	if l, ok := v.elements.(*list); ok { // an item may have been taken and put where it was
		for i := range l.n {
			if l.viewAt(v.undo, i) != l.at(i) {
				return false
			}
		}
		return true
	}
	same := true
	v.eachChange(false, &changedElement{}, func(_, _ *event.Element) bool {
		same = false
		return false
	})
	return same
}

// sameElements compares two collections of one type and length.
func sameElements(a, b collection) bool {
	if a, ok := a.(*hash); ok { // whose deadlines are not its elements
		return maps.Equal(a.fields, b.(*hash).fields)
	}
	return a.equal(b, nil)
}
