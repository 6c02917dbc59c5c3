package keyspace

import (
	"maps"
	"slices"

	"triggerd/internal/event"
)

// maxTrimmed is how many keys one step of a trim takes: a node that gives all
// its slots away has as many events as keys, and these are never all in memory.
const maxTrimmed = 1024

// trim takes the keys of slots out of the mirror, in steps: database by
// database, and in the order of their names, so that the same history makes
// the same events in the same order.
type trim struct {
	c      Command // its bytes are borrowed
	name   string  // of the command
	origin event.Origin
	slots  *slotSet
	dbs    []int // that are still to be gone through
	db     int
	keys   []string // of db, that are still to be taken
	events int      // so far
}

// trimSlots begins to take the keys of a command's slots, and makes the events
// of the first of them; Rest goes on.
func (mi *mirror) trimSlots(m *maker, id ID) {
	slots, known, ok := slotsOf(id, m.args)
	switch {
	case !known:
		mi.loseDatabases()
	case !ok:
		m.malformed = true
	default:
		mi.trim = &trim{c: *m.c, name: m.command, origin: m.origin, slots: slots, dbs: slices.Sorted(maps.Keys(mi.dbs))}
		m.cause = event.CauseTrimmed
		mi.trimStep(m)
	}
}

// trimStep takes up to maxTrimmed keys, and makes the event of each that is
// there.
func (mi *mirror) trimStep(m *maker) {
	t := mi.trim
	for left := maxTrimmed; left > 0; left-- {
		if len(t.keys) == 0 && !t.nextDatabase(mi) {
			mi.trim = nil
			return
		}
		r := mi.open(t.db, []byte(t.keys[0]))
		t.keys = t.keys[1:]
		if it := r.it; it != nil && (it.exists == yes || it.exists == maybe && it.kind != kindUnknown) && !it.announced() {
			m.emitKey(r.key, t.db, "del", typeNone)
			m.dst[len(m.dst)-1].Args = nil // up to 32,768 words, and none of them the key
		}
		r.remove()
	}
	t.events = m.number + len(m.dst) - m.base
}

// nextDatabase finds the keys of the next database that has any in the slots.
func (t *trim) nextDatabase(mi *mirror) bool {
	for len(t.dbs) > 0 {
		t.db, t.dbs = t.dbs[0], t.dbs[1:]
		t.keys = nil
		for key := range mi.dbs[t.db].items {
			if t.slots.has(slotOf(key)) {
				t.keys = append(t.keys, key)
			}
		}
		if len(t.keys) > 0 {
			slices.Sort(t.keys)
			return true
		}
	}
	return false
}

// abandonRest takes what nobody has asked for.
func (in *Interpreter) abandonRest() {
	for len(in.Rest(nil)) > 0 {
	}
}

// Rest appends the next events of the command that Command was given last:
// TRIMSLOTS of many keys makes them a thousand at a time. It has to be called,
// while that command's bytes are valid, until it appends nothing; the next
// Command would take the rest without events.
func (in *Interpreter) Rest(dst []event.Event) []event.Event {
	mi, base := in.mirror, len(dst)
	for mi != nil && mi.trim != nil && len(dst) == base {
		t := mi.trim
		in.maker = maker{
			dst: dst, c: &t.c, args: t.c.Args, base: base, number: t.events,
			command: t.name, cause: event.CauseTrimmed, origin: t.origin,
		}
		mi.begin(&t.c)
		mi.trimStep(&in.maker)
		mi.finish(&in.maker)
		dst, in.maker = in.maker.dst, maker{}
	}
	in.stats.Events += int64(len(dst) - base)
	return dst
}
