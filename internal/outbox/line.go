package outbox

import "container/heap"

// place says where a lane is.
type place uint8

const (
	away        place = iota // nowhere: it is being attempted, or deleted
	fresh                    // had nothing pending before, and waits for its turn
	going                    // its last attempt succeeded, or it was asked to wait: waits for its turn
	failed                   // its last attempt failed: waits for its turn
	prioritized              // waits to be attempted next, whatever the gate says
	asleep                   // waits until its first job is due
)

// line is a queue of lanes that wait for their turn.
//
// Invariant: n counts the lanes that wait here, each of which has an entry. The
// entry of a lane that was removed out of turn stays until it comes to the
// front.
type line struct {
	place   place
	entries fifo[*lane]
	n       int
}

func (q *line) push(l *lane) {
	if q.entries.len() > 2*q.n+64 {
		q.entries.filter(func(l *lane) bool { return l.place == q.place })
	}
	q.entries.push(l)
	l.place = q.place
	q.n++
}

func (q *line) pushFront(l *lane) {
	q.entries.pushFront(l)
	l.place = q.place
	q.n++
}

// first returns the lane whose turn it is; there has to be one.
func (q *line) first() *lane {
	for (*q.entries.first()).place != q.place {
		q.entries.pop()
	}
	return *q.entries.first()
}

// remove removes a lane, wherever in the line it is.
func (q *line) remove(l *lane) {
	l.place = away
	q.n--
	if q.n == 0 {
		q.entries.skip(q.entries.len())
	}
}

// sleepers is a heap of lanes, by when they wake.
type sleepers []*lane

func (s sleepers) Len() int           { return len(s) }
func (s sleepers) Less(i, j int) bool { return s[i].wakes < s[j].wakes }
func (s sleepers) Swap(i, j int)      { s[i], s[j] = s[j], s[i] }
func (s *sleepers) Push(l any)        { *s = append(*s, l.(*lane)) }
func (s *sleepers) Pop() any {
	all := *s
	n := len(all) - 1
	l := all[n]
	all[n] = nil
	*s = all[:n]
	return l
}

func (s *sleepers) push(l *lane) {
	l.place = asleep
	heap.Push(s, l)
}

func (s *sleepers) pop() *lane {
	l := heap.Pop(s).(*lane)
	l.place = away
	return l
}

// wake removes the lanes that match, and returns them in no order.
func (s *sleepers) wake(which func(*lane) bool) (woken []*lane) {
	kept := (*s)[:0]
	for _, l := range *s {
		if which(l) {
			l.place = away
			woken = append(woken, l)
		} else {
			kept = append(kept, l)
		}
	}
	clear((*s)[len(kept):])
	*s = kept
	heap.Init(s)
	return woken
}
