package timing

import (
	"hash/maphash"
	"slices"
	"strings"
)

// stage is what a state belongs to. The numbers are part of the durable form.
type stage uint8

const (
	stageDedupe stage = iota + 1
	stageCount
	stageAbsent
	stageDebounce
	stageFor
	stageOnce
	stageThrottle
	stageBatch
	stageItem     // a match in a batch
	stageHeld     // a firing that waits for the windows to open
	stageRun      // the schedule
	stageLine     // of a summary
	stageExpected // the rule itself: what it expects was armed

	stages
)

// timed reports whether the states of a stage have timers.
func (s stage) timed() bool {
	switch s {
	case stageAbsent, stageDebounce, stageFor, stageBatch, stageHeld, stageRun:
		return true
	}
	return false
}

// table holds the states of a stage of a rule, by the value of its by.
type table struct {
	m     *Machine
	s     *State
	stage stage
	timed bool   // its states have timers
	id    uint32 // in m.tables

	index []uint64 // open addressing, a power of two: low half of the key's hash, slot + 1
	free  []uint32
	n     int // states
	fixed int // of these, that never give way
	armed int // of these, whose timer runs

	// The states: of a stage with timers in waits, of any other in nodes.
	waits   slab[wait]
	nodes   slab[node]
	batches slab[batch]  // beside waits, of Batch
	long    slab[string] // keys that are not in their nodes, if there are any
	rows    slab[byte]   // what an Absent has kept, if it fits
	kept    slab[[]byte] // what any other has kept
	cells   slab[uint32] // beside nodes: when a Dedupe ends; the window of Count and Throttle

	dirty  []uint32 // slots to be written
	listed bool     // in m.dirty

	idle []idleState // oldest first: what gives way next, unless it has changed since
}

// counts reports whether the states of a stage are kept by values of a by.
func (s stage) counts() bool { return s >= stageDedupe && s <= stageBatch }

// node is what every state has. A short key is in it, so that a match has to
// look at as few places in memory as can be: they are most of what it costs.
type node struct {
	inline     [23]byte
	size       uint8  // of the key; isLong: it is in table.long, and short is how it begins
	lastChange uint64 // of its last change, counted by the Machine: the order in which states are idle
	dirty      uint32 // index + 1 in table.dirty; 0: it is as last written
	flags      uint8
	times      uint8 // of a window: how many times it holds
}

const isLong = 255

// The flags of a node.
const (
	used     = 1 << iota
	durable  // it has been written
	fired    // Absent, For: it has fired
	released // Absent: and that was let through
	expected // Absent: it never gives way
	above    // Count: it has fired and there were not fewer since
	putOff   // Run: a run waits for the windows to open
)

// written are the flags that are part of the durable form.
const written = fired | released | above | putOff

// wait is a state with a timer.
type wait struct {
	node
	deadline    int64
	armed       uint64 // when it was armed, counted by the Machine
	first, last int64  // Debounce: of the matches folded in; Absent: last; Run: last is the last run, by the wall
	timer       uint32 // id + 1; 0: not armed
	count       uint32 // Debounce, For: matches folded in
	size        uint32 // of what is kept
}

type idleState struct {
	seq  uint64
	slot uint32
}

func (m *Machine) newTable(s *State, st stage) *table {
	t := &table{m: m, s: s, stage: st, timed: st.timed(), cells: slab[uint32]{width: s.cells(st)}}
	if t.timed {
		if n := len(m.freeTables); n > 0 {
			t.id, m.freeTables = m.freeTables[n-1], m.freeTables[:n-1]
			m.tables[t.id] = t
		} else {
			t.id = uint32(len(m.tables))
			m.tables = append(m.tables, t)
		}
	}
	return t
}

// find returns the slot of a key.
func (t *table) find(key string) (slot uint32, ok bool) {
	if t == nil || t.n == 0 {
		return 0, false
	}
	h := uint32(maphash.String(t.m.seed, key))
	mask := uint32(len(t.index) - 1)
	for i := h & mask; t.index[i] != 0; i = (i + 1) & mask {
		if e := t.index[i]; uint32(e>>32) == h {
			if slot := uint32(e) - 1; t.hasKey(slot, key) {
				return slot, true
			}
		}
	}
	return 0, false
}

// add makes a state, whose key is not there. The key is copied.
func (t *table) add(key string) uint32 {
	if 4*(t.n+1) > 3*len(t.index) {
		t.resize(max(8, 2*len(t.index)))
	}
	var slot uint32
	if n := len(t.free); n > 0 {
		slot, t.free = t.free[n-1], t.free[:n-1]
	} else {
		slot = uint32(t.n)
		t.grow(t.n)
	}
	t.n++
	t.insert(uint32(maphash.String(t.m.seed, key)), slot)
	n := t.node(slot)
	*n = node{flags: used}
	if n.size = uint8(copy(n.inline[:], key)); len(key) > len(n.inline) {
		n.size = isLong
		t.long.grow(int(slot))
		*t.long.at(slot) = strings.Clone(key)
	}
	return slot
}

func (t *table) hasKey(slot uint32, key string) bool {
	n := t.node(slot)
	if n.size == isLong {
		return len(key) > len(n.inline) && string(n.inline[:]) == key[:len(n.inline)] && *t.long.at(slot) == key
	}
	return string(n.inline[:n.size]) == key
}

// key returns a copy of the key of a state.
func (t *table) key(slot uint32) string {
	n := t.node(slot)
	if n.size == isLong {
		return *t.long.at(slot)
	}
	return string(n.inline[:n.size])
}

// node returns a state's node.
func (t *table) node(slot uint32) *node {
	if t.timed {
		return &t.waits.at(slot).node
	}
	return t.nodes.at(slot)
}

func (t *table) grow(n int) {
	if t.timed {
		t.waits.grow(n)
	} else {
		t.nodes.grow(n)
	}
	if t.cells.width > 0 {
		t.cells.grow(n)
	}
	if t.stage == stageBatch {
		t.batches.grow(n)
	}
}

func (t *table) insert(h, slot uint32) {
	mask := uint32(len(t.index) - 1)
	i := h & mask
	for t.index[i] != 0 {
		i = (i + 1) & mask
	}
	t.index[i] = uint64(h)<<32 | uint64(slot+1)
}

func (t *table) resize(n int) {
	old := t.index
	t.index = make([]uint64, n)
	for _, e := range old {
		if e != 0 {
			t.insert(uint32(e>>32), uint32(e)-1)
		}
	}
}

// forget takes a state away, its timer, and what was written of it.
func (t *table) forget(slot uint32) {
	n := t.node(slot)
	if n.flags&durable != 0 {
		t.m.delete(appendKey(nil, t.s.rule.Name, t.stage, t.key(slot)))
	}
	if n.dirty != 0 {
		t.unmarkDirty(slot)
	}
	if n.flags&expected != 0 {
		t.fixed--
	}
	if t.stage == stageBatch {
		t.forgetItems(slot)
	}
	if t.cells.width > 0 {
		clear(t.cells.row(slot))
	}
	t.unindex(slot)
	if n.size == isLong {
		*t.long.at(slot) = ""
	}
	if t.timed {
		t.disarm(slot)
		t.dropKept(slot)
		*t.waits.at(slot) = wait{}
	} else {
		*n = node{}
	}
	t.n--
	t.free = append(t.free, slot)
}

func (t *table) forgetItems(slot uint32) {
	b, key := t.batches.at(slot), t.key(slot)
	for i := range b.saved {
		t.m.delete(appendNumberedKey(nil, t.s.rule.Name, stageItem, key, uint64(i)))
	}
	t.m.unsaved -= len(b.items) - int(b.saved)
	*b = batch{}
}

// unindex takes an entry out of the index, and moves those behind it up, which
// are not where they belong.
func (t *table) unindex(slot uint32) {
	mask := uint32(len(t.index) - 1)
	i := uint32(maphash.String(t.m.seed, t.key(slot))) & mask
	for uint32(t.index[i]) != slot+1 {
		i = (i + 1) & mask
	}
	for j := (i + 1) & mask; t.index[j] != 0; j = (j + 1) & mask {
		home := uint32(t.index[j]>>32) & mask
		if (j-home)&mask >= (j-i)&mask {
			t.index[i] = t.index[j]
			i = j
		}
	}
	t.index[i] = 0
}

// touch says that a state has changed: it is to be written, and no longer idle.
func (t *table) touch(slot uint32) {
	n := t.node(slot)
	n.lastChange = t.m.tick()
	if n.dirty == 0 {
		t.dirty = append(t.dirty, slot)
		n.dirty = uint32(len(t.dirty))
		t.m.unsaved++
		if !t.listed {
			t.listed = true
			t.m.dirty = append(t.m.dirty, t)
		}
	}
}

// unmarkDirty takes a state off what is to be written.
func (t *table) unmarkDirty(slot uint32) {
	n := t.node(slot)
	last := len(t.dirty) - 1
	moved := t.dirty[last]
	t.dirty[n.dirty-1] = moved
	t.node(moved).dirty = n.dirty
	t.dirty = t.dirty[:last]
	n.dirty = 0
	t.m.unsaved--
}

// longestIdle returns the state that is idle for longest, of those that may give
// way. There is one.
//
// Those that were oldest when it was looked last are sorted; what has changed
// since then is younger than all of them.
func (t *table) longestIdle() uint32 {
	for {
		for len(t.idle) > 0 {
			a := t.idle[0]
			t.idle = t.idle[1:]
			if n := t.node(a.slot); n.flags&used != 0 && n.lastChange == a.seq {
				return a.slot
			}
		}
		t.idle = make([]idleState, 0, t.n)
		for _, e := range t.index {
			if e == 0 {
				continue
			}
			slot := uint32(e) - 1
			if n := t.node(slot); n.flags&expected == 0 {
				t.idle = append(t.idle, idleState{n.lastChange, slot})
			}
		}
		slices.SortFunc(t.idle, func(a, b idleState) int {
			if a.seq < b.seq {
				return -1
			}
			return 1
		})
	}
}

// heap returns the timers that the table's are among: what is absent waits for
// the stream to be read, too.
func (t *table) heap() *timers {
	if t.stage == stageAbsent {
		return &t.m.absent
	}
	return &t.m.timers
}

// arm sets the timer of a state.
func (t *table) arm(slot uint32, deadline int64) {
	t.armAs(slot, deadline, t.m.tick())
}

// armAs is arm, with a place among the timers at the same time.
func (t *table) armAs(slot uint32, deadline int64, armed uint64) {
	w := t.waits.at(slot)
	later := w.timer != 0 && (w.deadline < deadline || w.deadline == deadline && w.armed <= armed)
	w.deadline, w.armed = deadline, armed
	if !later {
		t.startTimer(slot)
	}
}

// startTimer puts the timer among the others, by the deadline the state has.
func (t *table) startTimer(slot uint32) {
	w := t.waits.at(slot)
	if w.timer == 0 {
		t.armed++
		w.timer = t.heap().add(w.deadline, w.armed, ref{t.id, slot}) + 1
	} else {
		t.heap().moveSooner(w.timer-1, w.deadline, w.armed)
	}
}

func (t *table) disarm(slot uint32) {
	if w := t.waits.at(slot); w.timer != 0 {
		t.heap().remove(w.timer - 1)
		w.timer = 0
		t.armed--
	}
}

// each calls f for every state, in no order. f does not add or forget any.
func (t *table) each(f func(slot uint32, n *node)) {
	if t == nil {
		return
	}
	for _, e := range t.index {
		if e != 0 {
			f(uint32(e)-1, t.node(uint32(e)-1))
		}
	}
}
