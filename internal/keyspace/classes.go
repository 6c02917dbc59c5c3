package keyspace

import "triggerd/internal/event"

// Classes are events that servers announce only when asked to. They take the
// state of the key: of one that is not needed, or not known, there are none.
type Classes struct {
	New bool // "new": a key is made (flag n, since Redis 7.0)
	// Overwritten: "overwritten" and, if it has another type then,
	// "type_changed": a command puts a new value in place of the old one
	// (flags o and c, since Redis 8.2; Valkey does not have them).
	Overwritten bool
}

// addOptionalEvents puts the events of the optional classes among those of the
// command: before the first of their key, but a key that is renamed or moved is
// new first of all, and one that was removed for it was overwritten last.
func (c *call) addOptionalEvents() {
	classes, replaces := c.mi.classes, c.cmd.replaces
	c.plain = append(c.plain[:0], c.events[c.base:]...)
	c.events = c.events[:c.base]
	insert := func(ev event.Event, name string) {
		ev.Name = name
		c.events = append(c.events, ev)
	}
	insertOverwritten := func(ev *event.Event, k *operand) {
		if !classes.Overwritten || replaces&overwrites == 0 || k.existed != yes || ev.Name == "incrbyfloat" {
			return
		}
		insert(*ev, "overwritten")
		if k.kindWas != k.value.kind && k.kindWas != kindUnknown && k.value.kind != kindUnknown {
			insert(*ev, "type_changed")
		}
	}
	insertNew := func(ev *event.Event, k *operand) {
		if classes.New && (k.existed == no || replaces&removesFirst != 0 && k.existed == yes) {
			insert(*ev, "new")
		}
	}
	at := 0
	if replaces&moves != 0 {
		for i := range c.plain {
			if k := c.operandOf(&c.plain[i], &at); k != nil && k.value.exists == yes {
				insertNew(&c.plain[i], k)
			}
		}
	}
	for i := range c.plain {
		ev := &c.plain[i]
		k := c.operandOf(ev, &at)
		first := k != nil && !k.optional && k.value.exists == yes
		if first {
			k.optional = true
			if replaces&removesFirst == 0 {
				insertOverwritten(ev, k)
			}
			if replaces&moves == 0 {
				insertNew(ev, k)
			}
		}
		c.events = append(c.events, *ev)
		if first && replaces&removesFirst != 0 {
			insertOverwritten(ev, k)
		}
	}
	for i := c.base; i < len(c.events); i++ {
		c.events[i].Index = c.number + i - c.base
	}
	const keep = 256
	if clear(c.plain); cap(c.plain) > keep {
		c.plain = nil
	}
}
