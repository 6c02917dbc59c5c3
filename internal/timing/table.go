package timing

import (
	"hash/maphash"
	"slices"
	"strings"
)

// stage is the stage of a rule that a state or an entry belongs to. The numbers
// are part of the durable form.
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
	stageHeld     // a candidate that waits for the windows to open
	stageRun      // the schedule
	stageLine     // of a summary
	stageExpected // the rule itself: its expected values were armed
	stageEpisode

	stages
)

// stateTable holds the states of a stage of a rule, by key: the value of the stage's
// by. It is the part that the tables of all families have.
type stateTable struct {
	family family // what the states have beside their nodes
	m      *Machine
	s      *State
	stage  stage
	timed  bool // it is the base of a timerTable

	index []uint64 // open addressing, a power of two: low half of the key's hash, slot + 1
	free  []uint32
	n     int // states
	fixed int // states that never give way

	// The nodes of a table with timers are in waits, of any other in nodes.
	waits slab[wait]
	nodes slab[node]
	long  slab[string] // keys that do not fit into their nodes

	dirty  []uint32 // slots to be written
	listed bool     // in m.dirty

	idle []idleState // oldest first: what gives way next, unless it has changed since
}

// hasKeys reports whether the states of a stage are kept by the values of a by.
func (s stage) hasKeys() bool { return s >= stageDedupe && s <= stageBatch || s == stageEpisode }

// node is the part that every state has. A short key is in it, so that a match
// reads as few places in memory as possible: that is most of its cost.
type node struct {
	inline     [23]byte // the key, or the beginning of a long one
	size       uint8    // of the key; isLong: all of the key is in table.long
	lastChange uint64   // when it changed, counted by the Machine: states are idle in this order
	dirty      uint32   // index + 1 in table.dirty; 0: it is as it was written
	flags      uint8
	times      uint8 // of a window: how many times its row has
}

const isLong = 255

// The flags of a node.
const (
	used     = 1 << iota
	durable  // it has an entry in the store
	fired    // Absent, For: it has fired
	released // Absent: the absence was released; Episode: its begin was, and its end is to be
	expected // Absent: it never gives way
	above    // Count: it has fired, and there were not fewer since
	putOff   // Run: a run waits for the windows to open
	seen     // For, Episode: its key was in the present snapshot, or the state is younger
)

// written are the flags that an entry has.
const written = fired | released | above | putOff

// wait is a state that has a timer.
type wait struct {
	node
	deadline    int64
	armed       uint64 // when it was armed, counted by the Machine
	first, last int64  // Debounce, For: of its matches; Absent: last, and when its absence was due first (0: not, or not known); Run: last is the last run, a time of day
	timer       uint32 // id + 1; 0: not armed
	count       uint32 // Debounce, For: its matches
	size        uint32 // of the match that is kept
}

type idleState struct {
	seq  uint64
	slot uint32
}

// find returns the slot of a key, if there is a state of it.
func (t *stateTable) find(key string) (slot uint32, ok bool) {
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

// add adds a state of a key that has none. The key is copied.
func (t *stateTable) add(key string) uint32 {
	if 4*(t.n+1) > 3*len(t.index) {
		t.resize(max(8, 2*len(t.index)))
	}
	var slot uint32
	if n := len(t.free); n > 0 {
		slot, t.free = t.free[n-1], t.free[:n-1]
	} else {
		slot = uint32(t.n)
		t.growNodes(t.n)
	}
	t.n++
	t.insert(uint32(maphash.String(t.m.seed, key)), slot)
	n := t.node(slot)
	*n = node{flags: used | seen}
	if n.size = uint8(copy(n.inline[:], key)); len(key) > len(n.inline) {
		n.size = isLong
		t.long.grow(int(slot))
		*t.long.at(slot) = strings.Clone(key)
	}
	return slot
}

func (t *stateTable) hasKey(slot uint32, key string) bool {
	n := t.node(slot)
	if n.size == isLong {
		return len(key) > len(n.inline) && string(n.inline[:]) == key[:len(n.inline)] && *t.long.at(slot) == key
	}
	return string(n.inline[:n.size]) == key
}

// key returns a copy of the key of a state.
func (t *stateTable) key(slot uint32) string {
	n := t.node(slot)
	if n.size == isLong {
		return *t.long.at(slot)
	}
	return string(n.inline[:n.size])
}

// node returns a state's node.
func (t *stateTable) node(slot uint32) *node {
	if t.timed {
		return &t.waits.at(slot).node
	}
	return t.nodes.at(slot)
}

func (t *stateTable) growNodes(n int) {
	if t.timed {
		t.waits.grow(n)
	} else {
		t.nodes.grow(n)
	}
	t.family.grow(n)
}

func (t *stateTable) insert(h, slot uint32) {
	mask := uint32(len(t.index) - 1)
	i := h & mask
	for t.index[i] != 0 {
		i = (i + 1) & mask
	}
	t.index[i] = uint64(h)<<32 | uint64(slot+1)
}

func (t *stateTable) resize(n int) {
	old := t.index
	t.index = make([]uint64, n)
	for _, e := range old {
		if e != 0 {
			t.insert(uint32(e>>32), uint32(e)-1)
		}
	}
}

// forget deletes a state, its timer and its entry.
func (t *stateTable) forget(slot uint32) {
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
	t.family.clear(slot)
	t.unindex(slot)
	if n.size == isLong {
		*t.long.at(slot) = ""
	}
	if t.timed {
		*t.waits.at(slot) = wait{}
	} else {
		*n = node{}
	}
	t.n--
	t.free = append(t.free, slot)
}

// unindex removes an entry of the index, and moves up those after it that would
// otherwise not be found.
func (t *stateTable) unindex(slot uint32) {
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

// touch marks a state as changed: it is to be written, and it is not idle.
func (t *stateTable) touch(slot uint32) {
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

// unmarkDirty removes a state from those that are to be written.
func (t *stateTable) unmarkDirty(slot uint32) {
	n := t.node(slot)
	last := len(t.dirty) - 1
	moved := t.dirty[last]
	t.dirty[n.dirty-1] = moved
	t.node(moved).dirty = n.dirty
	t.dirty = t.dirty[:last]
	n.dirty = 0
	t.m.unsaved--
}

// longestIdle returns the state that has been idle for longest, of those that
// may give way. There must be one.
//
// t.idle is sorted by the time of the last change, as it was when the list was
// made. A state that has changed since is younger than all others in it, and is
// skipped.
func (t *stateTable) longestIdle() uint32 {
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

// each calls f for every state, in no order. f must not add or forget states.
func (t *stateTable) each(f func(slot uint32, n *node)) {
	for _, e := range t.index {
		if e != 0 {
			f(uint32(e)-1, t.node(uint32(e)-1))
		}
	}
}

// forgetAll forgets the states that match.
func (t *stateTable) forgetAll(match func(slot uint32) bool) {
	var slots []uint32
	t.each(func(slot uint32, _ *node) {
		if match(slot) {
			slots = append(slots, slot)
		}
	})
	for _, slot := range slots {
		t.forget(slot)
	}
}
