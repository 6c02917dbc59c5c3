package timing

import "math"

// timers is a heap of what is due when, four children to a parent.
//
// A state that is armed anew for later, which is what nearly all do, leaves its
// entry where it is: the entry is moved when it comes to the top.
type timers struct {
	heap []due
	pos  []uint32 // by a timer's id: where it is in heap
	refs []ref    // by a timer's id: whose it is
	free []uint32 // ids
}

// due is an entry of the heap. Of those at the same time that which was armed
// first comes first.
type due struct {
	at    int64
	armed uint64
	id    uint32
}

// ref is a slot of a table of the Machine.
type ref struct{ table, slot uint32 }

func (d *due) before(o *due) bool { return d.at < o.at || d.at == o.at && d.armed < o.armed }

// add puts in a timer and returns its id.
func (h *timers) add(at int64, armed uint64, r ref) uint32 {
	var id uint32
	if n := len(h.free); n > 0 {
		id, h.free = h.free[n-1], h.free[:n-1]
		h.refs[id] = r
	} else {
		id = uint32(len(h.refs))
		h.refs = append(h.refs, r)
		h.pos = append(h.pos, 0)
	}
	h.heap = append(h.heap, due{at, armed, id})
	h.up(len(h.heap) - 1)
	return id
}

// sooner moves a timer that may be due sooner than its entry says.
func (h *timers) sooner(id uint32, at int64, armed uint64) {
	i := int(h.pos[id])
	if e := (due{at, armed, id}); e.before(&h.heap[i]) {
		h.heap[i] = e
		h.up(i)
	}
}

// later moves the timer at the top.
func (h *timers) later(at int64, armed uint64) {
	h.heap[0].at, h.heap[0].armed = at, armed
	h.down(0)
}

func (h *timers) remove(id uint32) {
	i, last := int(h.pos[id]), len(h.heap)-1
	h.free = append(h.free, id)
	moved := h.heap[last]
	h.heap = h.heap[:last]
	if i == last {
		return
	}
	h.heap[i] = moved
	h.down(i)
	if h.heap[i].id == moved.id {
		h.up(i)
	}
}

func (h *timers) up(i int) {
	e := h.heap[i]
	for i > 0 {
		parent := (i - 1) / 4
		if !e.before(&h.heap[parent]) {
			break
		}
		h.set(i, h.heap[parent])
		i = parent
	}
	h.set(i, e)
}

func (h *timers) down(i int) {
	e := h.heap[i]
	for {
		first := 4*i + 1
		if first >= len(h.heap) {
			break
		}
		least := first
		for c := first + 1; c < min(first+4, len(h.heap)); c++ {
			if h.heap[c].before(&h.heap[least]) {
				least = c
			}
		}
		if !h.heap[least].before(&e) {
			break
		}
		h.set(i, h.heap[least])
		i = least
	}
	h.set(i, e)
}

func (h *timers) set(i int, e due) {
	h.heap[i] = e
	h.pos[e.id] = uint32(i)
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
