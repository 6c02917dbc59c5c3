package keyspace

import (
	"maps"
	"slices"

	"triggerd/internal/event"
)

// maxTrimmed is how many keys one step of a trim takes: a node that gives all
// its slots away has as many events as keys, and these are never all in memory.
const maxTrimmed = 1024

// slotTrim takes the keys of slots out of the mirror, in steps: database by
// database, and in the order of their names, so that the same history makes
// the same events in the same order.
type slotTrim struct {
	cmd    *command
	sent   Command // its bytes are borrowed
	slots  *slotSet
	dbs    []int // that are still to be gone through
	db     int
	keys   []string // of db, that are still to be taken
	events int      // so far
}

func (c *call) trimslots() { c.trimSlots(trimmedSlots(c.args)) }
func (c *call) flushslot() { c.trimSlots(flushedSlot(c.args)) }

// trimSlots begins to take the keys of slots, and makes the events of the first
// of them; Rest goes on. If the slots are not known any key may have gone.
func (c *call) trimSlots(slots *slotSet, known, ok bool) {
	switch {
	case !known:
		c.mi.loseAll(&c.lost.Undecided)
	case !ok:
		c.malformed = true
	default:
		c.mi.slotTrim = &slotTrim{cmd: c.cmd, sent: *c.sent, slots: slots, dbs: slices.Sorted(maps.Keys(c.mi.dbs))}
		c.trimStep()
	}
}

// trimStep takes up to maxTrimmed keys, and makes the event of each that is
// there.
func (c *call) trimStep() {
	c.cause = event.CauseTrimmed
	t := c.mi.slotTrim
	for left := maxTrimmed; left > 0; left-- {
		if len(t.keys) == 0 && !t.nextDatabase(c.mi) {
			c.mi.slotTrim = nil
			return
		}
		k := c.keyIn(t.db, []byte(t.keys[0]))
		t.keys = t.keys[1:]
		if k.needed() && k.mayBeThere() && !k.expiry.wasAnnounced() {
			c.emitOn(k, "del", typeNone)
			c.events[len(c.events)-1].Args = nil // up to 32,768 words, and none of them the key
		}
		k.remove()
	}
	t.events = c.number + len(c.events) - c.base
}

// mayBeThere reports whether a key is there, or, as far as is known, of a type.
func (k *operand) mayBeThere() bool {
	return k.value.exists == yes || k.value.exists == maybe && k.value.kind != kindUnknown
}

// nextDatabase finds the keys of the next database that has any in the slots.
func (t *slotTrim) nextDatabase(mi *mirror) bool {
	for len(t.dbs) > 0 {
		t.db, t.dbs = t.dbs[0], t.dbs[1:]
		t.keys = nil
		for key := range mi.dbs[t.db].keys {
			if mi.pace.stops() {
				return false
			}
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

// nextTrim takes the next keys of a trim that is not done.
func (in *Interpreter) nextTrim(dst []event.Event) []event.Event {
	t, c := in.mirror.slotTrim, &in.call
	c.start(t.cmd, &t.sent, dst)
	c.number = t.events
	c.begin(t.sent.Time)
	c.trimStep()
	c.finish()
	return c.end()
}
