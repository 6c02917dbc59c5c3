package keyspace

import (
	"container/heap"
	"time"

	"triggerd/internal/event"
)

// schedule holds when keys with NeedOnTime expire, the next one first. A key
// whose deadline is put off keeps its place until its turn comes, and gets a new
// one then. So a session that is prolonged all the time costs no more than one
// that is not.
type schedule []turn

// turn is the time at which a key is looked at. It counts if it is that of the
// key's state.
type turn struct {
	at  int64 // ms
	db  int
	key string
}

func (s schedule) Len() int      { return len(s) }
func (s schedule) Swap(i, j int) { s[i], s[j] = s[j], s[i] }
func (s *schedule) Push(x any)   { *s = append(*s, x.(turn)) }

// Less orders those of one moment too, so that the same history makes the same
// events in the same order.
func (s schedule) Less(i, j int) bool {
	a, b := &s[i], &s[j]
	switch {
	case a.at != b.at:
		return a.at < b.at
	case a.db != b.db:
		return a.db < b.db
	}
	return a.key < b.key
}

func (s *schedule) Pop() any {
	old := *s
	last := old[len(old)-1]
	old[len(old)-1] = turn{}
	*s = old[:len(old)-1]
	return last
}

// pending reports whether the expiry at the present deadline is still to be
// announced by the schedule.
func (s *keyState) pending() bool {
	e := &s.expiry
	return e.onTime && s.value.exists == yes && e.known && e.at != 0 && e.announced != e.at
}

// scheduleExpiry sees to it that a key's turn comes at its deadline.
func (mi *mirror) scheduleExpiry(s *keyState, db int, key []byte) {
	e := &s.expiry
	if !s.pending() || e.turn != 0 && e.turn <= e.at {
		return
	}
	e.turn = e.at
	heap.Push(&mi.due, turn{e.at, db, string(key)})
	const few = 1024
	if int64(len(mi.due)) > few+4*mi.count { // of deadlines that came nearer again and again
		mi.rebuildSchedule()
	}
}

// rebuildSchedule makes the schedule anew.
func (mi *mirror) rebuildSchedule() {
	mi.due = nil
	for db, d := range mi.dbs {
		for key, s := range d.keys {
			s.expiry.turn = 0
			if s.pending() {
				s.expiry.turn = s.expiry.at
				mi.due = append(mi.due, turn{s.expiry.at, db, key})
			}
		}
	}
	heap.Init(&mi.due)
}

// NextDeadline returns when Expire should be called next, by our clock: never
// later than the next deadline of a key with NeedOnTime, but perhaps earlier.
// false: there is none.
func (in *Interpreter) NextDeadline() (time.Time, bool) {
	if in.mirror == nil || len(in.mirror.due) == 0 {
		return time.Time{}, false
	}
	return time.UnixMilli(in.mirror.due[0].at - in.clock.ahead), true
}

// maxExpired is how many events one call of Expire makes at most.
const maxExpired = 4096

// Expire appends an event "expired" for keys with NeedOnTime whose deadline is
// not after c.Time, in the order of their deadlines: each once, with its last
// value in Before, the deadline as its Time and the origin FromClock. The
// server's removal of such a key, which comes later, makes no event. If there
// is more than one call should make, NextDeadline stays in the past.
//
// A PERSIST or a new deadline cancels it if it was interpreted before. So c.Time,
// which is by our clock, has to be the time less a grace in which what the
// primary did before the deadline arrives. Of c only Time, ReplID, Offset and
// Source are looked at.
func (in *Interpreter) Expire(dst []event.Event, c *Command) []event.Event {
	mi := in.mirror
	if mi == nil {
		return dst
	}
	now := c.Time.UnixMilli()
	now += mi.clock.at(now)
	from := len(dst)
	for len(mi.due) > 0 && mi.due[0].at <= now && len(dst)-from < maxExpired {
		next := heap.Pop(&mi.due).(turn)
		d := mi.database(next.db)
		s := d.keys[next.key]
		if s == nil || s.expiry.turn != next.at {
			continue
		}
		e := &s.expiry
		e.turn = 0
		if s.value.exists != yes || !e.known || e.at == 0 {
			continue
		}
		if e.at > next.at { // it was put off: its turn comes again, in order
			mi.scheduleExpiry(s, next.db, []byte(next.key))
			continue
		}
		if mi.journal != nil {
			mi.journal.touch(d, []byte(next.key), s)
			mi.journal.mark(d, []byte(next.key), s)
		}
		e.announced = e.at
		dst = append(dst, event.Event{
			Name: "expired", Origin: event.FromClock, Cause: event.CauseExpired, DB: next.db, Key: []byte(next.key), Type: typeNone,
			Time: time.UnixMilli(e.at), ReplID: c.ReplID, Offset: c.Offset, Source: c.Source, Index: len(dst) - from,
			Before: in.lastView(&s.value), After: event.None, TTL: event.TTLGone,
		})
	}
	in.stats.Events += int64(len(dst) - from)
	return dst
}
