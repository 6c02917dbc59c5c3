package keyspace

import (
	"bytes"
	"cmp"
	"slices"

	"triggerd/internal/event"
)

// sameState reports whether two states of a key are the same, as far as both
// are known: what is not known is no difference.
func sameState(a, b *keyState, p *pace) bool {
	v, w := &a.value, &b.value
	if v.exists != w.exists || a.expiry.known && b.expiry.known && a.expiry.at != b.expiry.at ||
		v.kind != w.kind && v.kind != kindUnknown && w.kind != kindUnknown {
		return false
	}
	if !v.known || !w.known || v.kind != w.kind {
		return true
	}
	if v.kind == kindString {
		return v.texts != w.texts || bytes.Equal(v.text, w.text) || sameHLL(v.text, w.text)
	}
	if v.elements == nil || w.elements == nil {
		return v.elements == w.elements
	}
	return v.elements.len() == w.elements.len() && v.elements.equal(w.elements, p)
}

// sameMaps is maps.Equal, but may be given up, and says no then.
func sameMaps[V comparable](a, b map[string]V, p *pace) bool {
	if len(a) != len(b) {
		return false
	}
	for name, x := range a {
		if y, ok := b[name]; !ok || x != y || p.stops() {
			return false
		}
	}
	return true
}

// sortEvents puts events that came from a map in an order: by database and
// key, so that the same snapshot gives the same events.
func sortEvents(events []event.Event) {
	slices.SortFunc(events, func(a, b event.Event) int {
		if c := cmp.Compare(a.DB, b.DB); c != 0 {
			return c
		}
		return bytes.Compare(a.Key, b.Key)
	})
}
