package keyspace

import (
	"bytes"
	"slices"
)

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

// announce puts the events of the optional classes among those of the command.
func (mi *mirror) announce(m *maker, id ID) {
	overwrites, removes := replaces(id)
	for _, r := range mi.refs[:mi.used] {
		it := r.it
		if it == nil || it.exists != yes {
			continue
		}
		first, last := m.eventsOf(r)
		if first < 0 {
			continue
		}
		if mi.classes.Overwritten && overwrites && r.existed == yes && m.dst[first].Name != "incrbyfloat" {
			at := first
			if removes {
				at = last + 1
			}
			m.insert(at, first, "overwritten")
			if r.kind != it.kind && r.kind != kindUnknown && it.kind != kindUnknown {
				at++
				if at <= first {
					first++
				}
				m.insert(at, first, "type_changed")
			}
		}
		if mi.classes.New && (r.existed == no || removes && r.existed == yes) {
			at := first
			if id == cmdRename || id == cmdRenamenx || id == cmdMove {
				at = m.base
			}
			m.insert(at, first, "new")
		}
	}
	for i := m.base; i < len(m.dst); i++ {
		m.dst[i].Index = i - m.base
	}
}

// eventsOf returns the first and the last event of a key, -1 if there is none.
func (m *maker) eventsOf(r *ref) (first, last int) {
	first = -1
	for i := m.base; i < len(m.dst); i++ {
		if ev := &m.dst[i]; ev.DB == r.db && ev.Key != nil && bytes.Equal(ev.Key, r.key) {
			if first < 0 {
				first = i
			}
			last = i
		}
	}
	return first, last
}

// insert puts an event like the one at like before the one at at.
func (m *maker) insert(at, like int, name string) {
	ev := m.dst[like]
	ev.Name = name
	m.dst = slices.Insert(m.dst, at, ev)
}
