package keyspace

import (
	"bytes"
	"cmp"
	"maps"
	"slices"

	"triggerd/internal/event"
)

// same reports whether two states of a key are the same, as far as both are
// known: what is not known is no difference.
func same(a, b *item) bool {
	if a.exists != b.exists || a.timed && b.timed && a.expireAt != b.expireAt ||
		a.kind != b.kind && a.kind != kindUnknown && b.kind != kindUnknown {
		return false
	}
	if !a.known || !b.known || a.kind != b.kind {
		return true
	}
	if a.kind == kindString {
		return a.texts != b.texts || bytes.Equal(a.text, b.text) || sameHLL(a.text, b.text)
	}
	return sameCollection(a.obj, b.obj)
}

func sameCollection(a, b collection) bool {
	if a == nil || b == nil {
		return a == b
	}
	if a.len() != b.len() {
		return false
	}
	switch a := a.(type) {
	case *list:
		for i := range a.n {
			if a.at(i) != b.(*list).at(i) {
				return false
			}
		}
	case *set:
		return maps.Equal(a.members, b.(*set).members)
	case *hash:
		return maps.Equal(a.fields, b.(*hash).fields) && maps.Equal(a.expires, b.(*hash).expires)
	case *zset:
		return maps.Equal(a.scores, b.(*zset).scores)
	case *stream:
		return slices.EqualFunc(a.entries, b.(*stream).entries, func(a, b *entry) bool {
			return a.id == b.id && slices.Equal(a.fields, b.fields)
		})
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
