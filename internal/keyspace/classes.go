package keyspace

import "triggerd/internal/event"

// Classes are events that servers announce only when asked to. They take the
// state of the key: of one that is not needed, or not known, there are none.
type Classes struct {
	New bool // "new": a key is made (flag n, since Redis 7.0)
	// Overwritten: "overwritten" and, if it has another type then,
	// "type_changed": a command puts a new value in place of the old one
	// (flags o and c, since Redis 8.2; Valkey has them not).
	Overwritten bool
}

// replaces tells how a command replaces a key's value: not at all, in place, or
// by removing the old key first, which makes the key new too.
func replaces(id ID) (overwrites, removes bool) {
	switch id {
	case cmdSet, cmdSetex, cmdPsetex, cmdGetset, cmdMset, cmdMsetex, cmdBitop, cmdSetnx, cmdMsetnx,
		cmdSinterstore, cmdSunionstore, cmdSdiffstore, cmdSort, cmdZunionstore, cmdZinterstore, cmdZdiffstore, cmdZrangestore,
		cmdGeosearchstore, cmdGeoradius, cmdGeoradiusbymember:
		return true, false
	case cmdRename, cmdRenamenx, cmdCopy, cmdRestore, cmdRestoreAsking:
		return true, true
	}
	return false, false
}

// announce puts the events of the optional classes among those of the command:
// before the first of their key, but a key that is renamed or moved is new
// first of all, and one that was removed for it was overwritten last.
func (mi *mirror) announce(m *maker, id ID) {
	mi.plain = append(mi.plain[:0], m.dst[m.base:]...)
	m.dst = m.dst[:m.base]
	overwrites, removes := replaces(id)
	moves := id == cmdRename || id == cmdRenamenx || id == cmdMove
	add := func(ev event.Event, name string) {
		ev.Name = name
		m.dst = append(m.dst, ev)
	}
	changed := func(ev *event.Event, r *ref) {
		if !mi.classes.Overwritten || !overwrites || r.existed != yes || ev.Name == "incrbyfloat" {
			return
		}
		add(*ev, "overwritten")
		if r.kind != r.it.kind && r.kind != kindUnknown && r.it.kind != kindUnknown {
			add(*ev, "type_changed")
		}
	}
	fresh := func(ev *event.Event, r *ref) {
		if mi.classes.New && (r.existed == no || removes && r.existed == yes) {
			add(*ev, "new")
		}
	}
	at := 0
	for i := range mi.plain {
		if r := mi.refOf(&mi.plain[i], &at); moves && r != nil && r.it.exists == yes {
			fresh(&mi.plain[i], r)
		}
	}
	for i := range mi.plain {
		ev := &mi.plain[i]
		r := mi.refOf(ev, &at)
		first := r != nil && !r.told && r.it.exists == yes
		if first {
			r.told = true
			if !removes {
				changed(ev, r)
			}
			if !moves {
				fresh(ev, r)
			}
		}
		m.dst = append(m.dst, *ev)
		if first && removes {
			changed(ev, r)
		}
	}
	for i := m.base; i < len(m.dst); i++ {
		m.dst[i].Index = i - m.base
	}
	const keep = 256
	if clear(mi.plain); cap(mi.plain) > keep {
		mi.plain = nil
	}
}
