package timing

import (
	"math"
	"math/bits"
)

// timers is what is due when. What is due soon is in a heap, four children to a
// parent; what is due later in buckets, the further off the wider: a timer is
// in that of the highest bit in which its time, in units of about a second,
// differs from when soon ends. As time passes the nearest bucket is spread over
// those before it and the heap, so that a timer is moved a few times at most.
//
// A state that is armed anew for later, which is what nearly all do, stays where
// it is, and is put where it belongs when it would have been moved.
type timers struct {
	soon []due
	end  uint64                // soon has all up to this unit
	far  [64 - unitBits]bucket // ids, by the bit
	full uint64                // the bits whose buckets are not empty

	at   []place // by a timer's id
	free []uint32
}

type bucket []uint32

// due is an entry of the heap. Of those at the same time that which was armed
// first comes first.
type due struct {
	at    int64
	armed uint64
	id    uint32
}

// place says of a timer whose it is and where.
type place struct {
	ref
	index  uint32 // in the heap, or the bucket
	bucket uint8  // isSoon: the heap
}

const isSoon = 255

// ref is a slot of a table of the Machine.
type ref struct{ table, slot uint32 }

// unitBits is how many bits of a time in milliseconds are below a unit.
const unitBits = 10

// unit returns the unit of a time, which is greater for later times, also those
// before 1970.
func unit(at int64) uint64 { return (uint64(at) ^ 1<<63) >> unitBits }

// begins returns when a unit begins.
func begins(unit uint64) int64 { return int64(unit<<unitBits ^ 1<<63) }

func (d *due) before(o *due) bool { return d.at < o.at || d.at == o.at && d.armed < o.armed }

// add puts in a timer and returns its id.
func (h *timers) add(at int64, armed uint64, r ref) uint32 {
	id := uint32(len(h.at))
	if n := len(h.free); n > 0 {
		id, h.free = h.free[n-1], h.free[:n-1]
	} else {
		h.at = append(h.at, place{})
	}
	h.at[id].ref = r
	h.put(id, at, armed)
	return id
}

// put puts a timer where it belongs.
func (h *timers) put(id uint32, at int64, armed uint64) {
	p := &h.at[id]
	u := unit(at)
	if u <= h.end {
		p.bucket = isSoon
		h.soon = append(h.soon, due{at, armed, id})
		h.up(len(h.soon) - 1)
		return
	}
	b := bits.Len64(u^h.end) - 1
	p.bucket, p.index = uint8(b), uint32(len(h.far[b]))
	h.far[b] = append(h.far[b], id)
	h.full |= 1 << b
}

// sooner moves a timer that may be due sooner than where it is.
func (h *timers) sooner(id uint32, at int64, armed uint64) {
	h.take(id)
	h.put(id, at, armed)
}

// remove takes a timer out for good.
func (h *timers) remove(id uint32) {
	h.take(id)
	h.free = append(h.free, id)
}

// take takes a timer from where it is.
func (h *timers) take(id uint32) {
	p := h.at[id]
	if p.bucket == isSoon {
		h.cut(int(p.index))
		return
	}
	b := &h.far[p.bucket]
	last := len(*b) - 1
	moved := (*b)[last]
	(*b)[p.index] = moved
	h.at[moved].index = p.index
	if *b = (*b)[:last]; last == 0 {
		h.full &^= 1 << p.bucket
	}
}

// next returns the nearest bucket, and the first unit it may have.
func (h *timers) next() (b int, first uint64, ok bool) {
	b = bits.TrailingZeros64(h.full)
	return b, (h.end>>b | 1) << b, h.full != 0
}

// reach has soon end at a unit, as far as there is none between.
func (h *timers) reach(u uint64) {
	if _, first, ok := h.next(); ok {
		u = min(u, first-1)
	}
	h.end = max(h.end, u)
}

// cut takes an entry out of the heap.
func (h *timers) cut(i int) {
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
	h.at[e.id].index = uint32(i)
}

// top returns the timer that is due first, of those that are due by limit; and
// maybe one that is due later.
func (m *Machine) top(h *timers, limit int64) (d *due, ok bool) {
	for {
		for len(h.soon) > 0 {
			d := &h.soon[0]
			w := m.wait(h, d.id)
			if w.deadline == d.at && w.armed == d.armed {
				return d, true
			}
			id := d.id
			h.cut(0)
			h.put(id, w.deadline, w.armed)
		}
		b, first, ok := h.next()
		if !ok || first > unit(limit) {
			return nil, false
		}
		m.spread(h, b, first)
	}
}

// spread moves all in a bucket to where they belong.
func (m *Machine) spread(h *timers, b int, first uint64) {
	h.end = first
	h.full &^= 1 << b
	for _, id := range h.far[b] {
		w := m.wait(h, id)
		h.put(id, w.deadline, w.armed) // never into this bucket
	}
	h.far[b] = h.far[b][:0]
}

// wait returns the state of a timer.
func (m *Machine) wait(h *timers, id uint32) *wait {
	p := &h.at[id]
	return m.tables[p.table].waits.at(p.slot)
}

// nextDue returns a time before which nothing is due: that at which something
// is, or for what is due later one some time before.
func (m *Machine) nextDue(h *timers) int64 {
	if d, ok := m.top(h, math.MinInt64); ok {
		return d.at
	}
	if _, first, ok := h.next(); ok {
		return begins(first)
	}
	return never
}

// never is a time that does not come.
const never = math.MaxInt64

// after returns at + d, or the last time there is.
func after(at, d int64) int64 {
	if at > never-1-d {
		return never - 1
	}
	return at + d
}
