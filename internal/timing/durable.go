package timing

import (
	"encoding/binary"
	"slices"

	"triggerd/internal/wire"
)

// The durable form has an entry for each state, and for each match that waits
// in a batch or for the windows to open. Its key is
//
//	rule stage by [number]
//
// The rule and the by are each their length (a uvarint) and their bytes. The
// number is eight bytes, big-endian, and only there if a stage has several
// entries of one by. The value is
//
//	version (1) shape (8) changed fields…
//
// changed is the state's place in the order in which all states changed.
const durableVersion = 1

func appendKey(dst []byte, rule string, st stage, by string) []byte {
	return wire.AppendText(append(wire.AppendText(dst, rule), byte(st)), by)
}

func appendNumberedKey(dst []byte, rule string, st stage, by string, number uint64) []byte {
	return binary.BigEndian.AppendUint64(appendKey(dst, rule, st, by), number)
}

// numbered reports whether the stage's keys have a number.
func (s stage) numbered() bool { return s == stageItem || s == stageHeld }

// single reports whether a rule has at most one state of the stage.
func (s stage) single() bool { return s == stageHeld || s == stageRun || s == stageExpected }

func (s *State) appendHeader(dst []byte, changed uint64) []byte {
	dst = append(dst, durableVersion)
	dst = binary.BigEndian.AppendUint64(dst, s.shape)
	return binary.AppendUvarint(dst, changed)
}

// Dirty returns about how many entries Changes would put and delete.
func (m *Machine) Dirty() int {
	m.endRestore()
	return m.unsaved
}

// Changes calls del and put for all entries that have changed since its last
// call: first del for those that are gone, then put for those that are new or
// changed, each once. Keys and values are borrowed until put or del returns.
func (m *Machine) Changes(put func(key, value []byte), del func(key []byte)) {
	m.endRestore()
	for _, key := range m.deletes {
		del(key)
	}
	if clear(m.deletes); cap(m.deletes) > chunkSlots {
		m.deletes = nil
	}
	m.deletes = m.deletes[:0]
	for _, t := range m.dirty {
		t.save(put)
	}
	m.dirty = m.dirty[:0]
	for _, s := range m.dirtyHeld {
		s.saveQueue(put)
	}
	m.dirtyHeld = m.dirtyHeld[:0]
	for _, l := range m.dirtyLines {
		l.save(put)
	}
	m.dirtyLines = m.dirtyLines[:0]
	for _, s := range m.dirtyExpected {
		if !s.gone {
			m.key = appendKey(m.key[:0], s.rule.Name, stageExpected, "")
			m.value = s.appendHeader(m.value[:0], 0)
			put(m.key, m.value)
		}
	}
	m.dirtyExpected = m.dirtyExpected[:0]
	m.value = reusable(m.value)
	m.unsaved = 0
}

// save puts the entries of a table's states that have changed.
func (t *stateTable) save(put func(key, value []byte)) {
	m := t.m
	for _, slot := range t.dirty {
		n := t.node(slot)
		n.dirty = 0
		n.flags |= durable
		key := t.key(slot)
		m.key = appendKey(m.key[:0], t.s.rule.Name, t.stage, key)
		m.value = t.family.appendState(t.s.appendHeader(m.value[:0], n.lastChange), slot, n)
		put(m.key, m.value)
		if b, ok := t.family.(*batchTable); ok {
			b.saveItems(put, slot, key)
		}
	}
	t.dirty = t.dirty[:0]
	t.listed = false
}

func (s *State) saveQueue(put func(key, value []byte)) {
	m, q := s.m, &s.queue
	q.listed = false
	i, _ := slices.BinarySearchFunc(q.items, q.savedBefore, func(i queued, n uint64) int { return int(i.number - n) })
	for _, item := range q.items[i:] {
		m.key = appendNumberedKey(m.key[:0], s.rule.Name, stageHeld, "", item.number)
		m.value = append(s.appendHeader(m.value[:0], 0), item.blob...)
		put(m.key, m.value)
	}
	q.savedBefore = q.nextNumber
}

func (l *summaryLine) save(put func(key, value []byte)) {
	l.dirty = false
	if l.gone {
		return
	}
	l.durable = true
	m := l.owner.m
	m.key = appendKey(m.key[:0], l.owner.rule.Name, stageLine, l.rule)
	v := l.owner.appendHeader(m.value[:0], 0)
	for _, n := range [...]int64{int64(l.count), int64(l.suppressed), l.first, l.last} {
		v = binary.AppendVarint(v, n)
	}
	m.value = append(v, l.data...)
	put(m.key, m.value)
}

// append appends the state of a window: its newest time, and the distances of the
// others to it; or, of one with slices, the distance and count of each slice that
// is not 0.
func (s sliding) append(dst []byte, row []uint32, n uint8) []byte {
	end := newest(row)
	dst = binary.AppendVarint(dst, end)
	if n == 0 {
		return dst
	}
	if s.times != 0 {
		for _, c := range row[firstCell : firstCell+int(n)] {
			dst = binary.AppendUvarint(dst, uint64(age(c, end)))
		}
		return dst
	}
	for d := range s.span {
		if c := row[firstCell+s.slice(end-d)]; c != 0 {
			dst = binary.AppendUvarint(dst, uint64(d))
			dst = binary.AppendUvarint(dst, uint64(c))
		}
	}
	return dst
}
