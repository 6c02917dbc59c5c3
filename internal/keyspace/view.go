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
	kind kind
	text []byte     // of a string; what patches have overwritten is in undo
	obj  collection // of all else
	undo *undo      // nil: as it is

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
	return v.obj.len()
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
	was, changed := v.undone(string(name))
	if changed && !was.had {
		return nil, false
	}
	switch o := v.obj.(type) {
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
	switch o := v.obj.(type) {
	case *list:
		return v.list(o)
	case *set:
		return v.named(func(yield func(event.Element) bool) {
			for m := range o.members {
				if !yield(event.Element{Name: m}) {
					return
				}
			}
		})
	case *hash:
		return v.named(func(yield func(event.Element) bool) {
			for f, value := range o.fields {
				if !yield(event.Element{Name: f, Value: value}) {
					return
				}
			}
		})
	case *zset:
		return v.zset(o)
	case *stream:
		return v.stream(o)
	}
	return func(func(event.Element) bool) {}
}

func (v *view) list(l *list) iter.Seq[event.Element] {
	return func(yield func(event.Element) bool) {
		var u undo
		if v.undo != nil {
			u = *v.undo
		}
		if u.whole {
			for _, item := range u.items {
				if !yield(event.Element{Name: item}) {
					return
				}
			}
			return
		}
		for _, item := range u.front {
			if !yield(event.Element{Name: item}) {
				return
			}
		}
		for i := u.addFront; i < l.n-u.addBack; i++ {
			item := l.at(i)
			if u.replaced && i == u.slot {
				item = u.old
			}
			if !yield(event.Element{Name: item}) {
				return
			}
		}
		for _, item := range u.back {
			if !yield(event.Element{Name: item}) {
				return
			}
		}
	}
}

// named gives the elements of live, with what was undone in place of what
// changed.
func (v *view) named(live iter.Seq[event.Element]) iter.Seq[event.Element] {
	if v.undo == nil || len(v.undo.elements) == 0 {
		return live
	}
	return func(yield func(event.Element) bool) {
		for e := range live {
			if _, changed := v.undone(e.Name); !changed && !yield(e) {
				return
			}
		}
		for i := range v.undo.elements {
			e := &v.undo.elements[i]
			if first, _ := v.undone(e.name); first != e || !e.had {
				continue
			}
			if !yield(event.Element{Name: e.name, Value: e.value, Score: e.score}) {
				return
			}
		}
	}
}

// zset merges the tree, which is sorted, with what was undone.
func (v *view) zset(z *zset) iter.Seq[event.Element] {
	return func(yield func(event.Element) bool) {
		var was []scored
		if v.undo != nil {
			for i := range v.undo.elements {
				e := &v.undo.elements[i]
				if first, _ := v.undone(e.name); first == e && e.had {
					was = append(was, scored{e.score, e.name})
				}
			}
			slices.SortFunc(was, func(a, b scored) int {
				if before(a, b) {
					return -1
				}
				return 1
			})
		}
		more := true
		z.order.Scan(func(s scored) bool {
			if _, changed := v.undone(s.member); changed {
				return true
			}
			for more && len(was) > 0 && before(was[0], s) {
				more = yield(event.Element{Name: was[0].member, Score: was[0].score})
				was = was[1:]
			}
			more = more && yield(event.Element{Name: s.member, Score: s.score})
			return more
		})
		for _, s := range was {
			if !more {
				return
			}
			more = yield(event.Element{Name: s.member, Score: s.score})
		}
	}
}

// stream merges the entries with those removed, but for what was added.
func (v *view) stream(s *stream) iter.Seq[event.Element] {
	return func(yield func(event.Element) bool) {
		give := func(e *entry) bool { return yield(event.Element{Name: e.id.String(), Fields: e.fields}) }
		var removed []*entry
		for _, e := range v.undoneEntries() {
			if !less(v.undo.last, e.id) {
				removed = append(removed, e)
			}
		}
		slices.SortFunc(removed, func(a, b *entry) int {
			if less(a.id, b.id) {
				return -1
			}
			return 1
		})
		for _, e := range s.entries {
			if v.undo != nil && less(v.undo.last, e.id) {
				break
			}
			for len(removed) > 0 && less(removed[0].id, e.id) {
				if !give(removed[0]) {
					return
				}
				removed = removed[1:]
			}
			if !give(e) {
				return
			}
		}
		for _, e := range removed {
			if !give(e) {
				return
			}
		}
	}
}

func (v *view) undoneEntries() []*entry {
	if v.undo == nil {
		return nil
	}
	return v.undo.entries
}
