package timing

import (
	"math"
	"math/bits"
)

// timers holds timers in the order in which they are due. Those that are due
// soon are in a heap with four children to a parent. Those that are due later
// are in buckets, which are the wider the later they are. A timer's bucket is
// the highest bit in which its time, in units of about a second, differs from
// the end of soon. As time passes the nearest bucket is spread over the nearer
// ones and the heap. So a timer is moved a few times at most.
//
// A timer that is set to a later time, as nearly all are, stays where it is. It
// is moved when its old time comes.
type timers struct {
	soon     []due
	soonEnd  uint64                // the heap has all timers up to this unit
	far      [64 - unitBits]bucket // ids, by the bit
	nonEmpty uint64                // a bit for each bucket that is not empty

	places []timerPlace // by a timer's id
	free   []uint32
}

type bucket []uint32

// due is an entry of the heap. Entries of the same time are in the order of
// armed.
type due struct {
	at    int64
	armed uint64
	id    uint32
}

// timerPlace says which state a timer belongs to, and where the timer is.
type timerPlace struct {
	stateRef
	index  uint32 // in the heap, or the bucket
	bucket uint8  // isSoon: the heap
}

const isSoon = 255

// stateRef is a slot of a table of the Machine.
type stateRef struct{ table, slot uint32 }

// unitBits is how many bits of a time in milliseconds are below a unit.
const unitBits = 10

// unit returns the unit that a time is in. Later times have greater units, also
// before 1970.
func unit(at int64) uint64 { return (uint64(at) ^ 1<<63) >> unitBits }

// unitStart returns the first time of a unit.
func unitStart(unit uint64) int64 { return int64(unit<<unitBits ^ 1<<63) }

func (d *due) before(o *due) bool { return d.at < o.at || d.at == o.at && d.armed < o.armed }

// add adds a timer and returns its id.
func (h *timers) add(at int64, armed uint64, r stateRef) uint32 {
	id := uint32(len(h.places))
	if n := len(h.free); n > 0 {
		id, h.free = h.free[n-1], h.free[:n-1]
	} else {
		h.places = append(h.places, timerPlace{})
	}
	h.places[id].stateRef = r
	h.place(id, at, armed)
	return id
}

// place puts a timer into the heap, or into its bucket.
func (h *timers) place(id uint32, at int64, armed uint64) {
	p := &h.places[id]
	u := unit(at)
	if u <= h.soonEnd {
		p.bucket = isSoon
		h.soon = append(h.soon, due{at, armed, id})
		h.up(len(h.soon) - 1)
		return
	}
	b := bits.Len64(u^h.soonEnd) - 1
	p.bucket, p.index = uint8(b), uint32(len(h.far[b]))
	h.far[b] = append(h.far[b], id)
	h.nonEmpty |= 1 << b
}

// moveSooner moves a timer that may be due sooner than before.
func (h *timers) moveSooner(id uint32, at int64, armed uint64) {
	h.takeOut(id)
	h.place(id, at, armed)
}

// remove deletes a timer.
func (h *timers) remove(id uint32) {
	h.takeOut(id)
	h.free = append(h.free, id)
}

// takeOut takes a timer out of the heap, or out of its bucket.
func (h *timers) takeOut(id uint32) {
	p := h.places[id]
	if p.bucket == isSoon {
		h.removeFromHeap(int(p.index))
		return
	}
	b := &h.far[p.bucket]
	last := len(*b) - 1
	moved := (*b)[last]
	(*b)[p.index] = moved
	h.places[moved].index = p.index
	if *b = (*b)[:last]; last == 0 {
		h.nonEmpty &^= 1 << p.bucket
	}
}

// nextBucket returns the nearest bucket that is not empty, and its first unit.
func (h *timers) nextBucket() (b int, first uint64, ok bool) {
	b = bits.TrailingZeros64(h.nonEmpty)
	return b, (h.soonEnd>>b | 1) << b, h.nonEmpty != 0
}

// extendSoon moves the end of the heap to a unit, but not into a bucket that
// has timers.
func (h *timers) extendSoon(u uint64) {
	if _, first, ok := h.nextBucket(); ok {
		u = min(u, first-1)
	}
	h.soonEnd = max(h.soonEnd, u)
}

// removeFromHeap removes an entry of the heap.
func (h *timers) removeFromHeap(i int) {
	last := len(h.soon) - 1
	moved := h.soon[last]
	h.soon = h.soon[:last]
	if i == last {
		return
	}
	h.soon[i] = moved
	h.down(i)
	if h.soon[i].id == moved.id {
		h.up(i)
	}
}

func (h *timers) up(i int) {
	e := h.soon[i]
	for i > 0 {
		parent := (i - 1) / 4
		if !e.before(&h.soon[parent]) {
			break
		}
		h.set(i, h.soon[parent])
		i = parent
	}
	h.set(i, e)
}

func (h *timers) down(i int) {
	e := h.soon[i]
	for {
		first := 4*i + 1
		if first >= len(h.soon) {
			break
		}
		least := first
		for c := first + 1; c < min(first+4, len(h.soon)); c++ {
			if h.soon[c].before(&h.soon[least]) {
				least = c
			}
		}
		if !h.soon[least].before(&e) {
			break
		}
		h.set(i, h.soon[least])
		i = least
	}
	h.set(i, e)
}

func (h *timers) set(i int, e due) {
	h.soon[i] = e
	h.places[e.id].index = uint32(i)
}

// earliest returns the first timer of those that are due by limit. It may also
// return one that is due later.
func (m *Machine) earliest(h *timers, limit int64) (d *due, ok bool) {
	for {
		for len(h.soon) > 0 {
			d := &h.soon[0]
			w := m.waitOf(h, d.id)
			if w.deadline == d.at && w.armed == d.armed {
				return d, true
			}
			id := d.id
			h.removeFromHeap(0)
			h.place(id, w.deadline, w.armed)
		}
		b, first, ok := h.nextBucket()
		if !ok || first > unit(limit) {
			return nil, false
		}
		m.spread(h, b, first)
	}
}

// spread moves the timers of a bucket into nearer buckets and the heap.
func (m *Machine) spread(h *timers, b int, first uint64) {
	h.soonEnd = first
	h.nonEmpty &^= 1 << b
	for _, id := range h.far[b] {
		w := m.waitOf(h, id)
		h.place(id, w.deadline, w.armed) // never into this bucket
	}
	h.far[b] = h.far[b][:0]
}

// waitOf returns the state that a timer belongs to.
func (m *Machine) waitOf(h *timers, id uint32) *wait {
	p := &h.places[id]
	return m.tables[p.table].waits.at(p.slot)
}

// nextDueTime returns a time before which nothing is due. For timers in a
// bucket it may be too early.
func (m *Machine) nextDueTime(h *timers) int64 {
	if d, ok := m.earliest(h, math.MinInt64); ok {
		return d.at
	}
	if _, first, ok := h.nextBucket(); ok {
		return unitStart(first)
	}
	return never
}

// never is a time that does not come.
const never = math.MaxInt64

// addTime returns at + d, or the last possible time if that is beyond it.
func addTime(at, d int64) int64 {
	if at > never-1-d {
		return never - 1
	}
	return at + d
}
