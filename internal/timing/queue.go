package timing

// The bounds of what waits for the windows of a rule to open.
const (
	maxQueued     = 10_000
	maxQueueBytes = 64 << 20
)

// queue is what waits for a rule's windows to open, the oldest first.
type queue struct {
	items       []queued
	bytes       int
	nextNumber  uint64 // number of the next
	savedBefore uint64 // those below are written
	listed      bool   // in Machine.dirtyHeld
}

type queued struct {
	number uint64
	at     int64
	blob   []byte // see firing.append
}

// enqueue has a firing wait until the windows open. The oldest are dropped if
// it is too much.
func (s *State) enqueue(f *candidate) {
	if f.kind == Passed {
		f.kind = Late
	}
	q := &s.queue
	q.items = append(q.items, queued{q.nextNumber, f.at, s.m.packed(f)})
	q.bytes += len(q.items[len(q.items)-1].blob)
	q.nextNumber++
	s.m.unsaved++
	if !q.listed {
		q.listed = true
		s.m.dirtyHeld = append(s.m.dirtyHeld, s)
	}
	for len(q.items) > maxQueued || q.bytes > maxQueueBytes {
		s.dequeue()
		s.suppressed.HeldDropped++
	}
	s.armQueue()
}

// dequeue takes the oldest out.
func (s *State) dequeue() []byte {
	q := &s.queue
	i := q.items[0]
	q.items[0] = queued{}
	q.items = q.items[1:]
	q.bytes -= len(i.blob)
	if i.number < q.savedBefore {
		s.m.delete(appendNumberedKey(nil, s.rule.Name, stageHeld, "", i.number))
	} else {
		s.m.unsaved--
	}
	return i.blob
}

// armQueue has the queue wait until the windows open after the oldest in it.
func (s *State) armQueue() {
	t := s.tables.queue
	slot, ok := t.find("")
	if !ok {
		slot = t.add("")
	}
	if len(s.queue.items) == 0 {
		t.disarm(slot)
		return
	}
	at := s.queue.items[0].at
	switch opens, open := s.whenOpen(at + s.m.wallOffset); {
	case open: // the clock on the wall was set
		t.armAs(slot, at, s.index)
	case opens == never:
		t.disarm(slot)
	default:
		t.armAs(slot, opens-s.m.wallOffset, s.index)
	}
}

// releaseQueue lets through what has waited for the windows to open, at a time by
// the Machine.
func (s *State) releaseQueue(dst []Release, at int64) []Release {
	for len(s.queue.items) > 0 && s.queue.items[0].at <= at {
		f, _ := parseCandidate(s.dequeue())
		f.at = at
		dst, _ = s.throttleAndEmit(dst, &f)
	}
	s.armQueue()
	return dst
}

// whenOpen reports whether the windows are open at a time by the wall, and else
// when they will be.
func (s *State) whenOpen(wall int64) (opens int64, open bool) {
	if len(s.rule.Active)+len(s.rule.Mute) == 0 {
		return 0, true
	}
	if s.closedFrom <= wall && wall < s.opensAt {
		return s.opensAt, false
	}
	t := timeOf(wall)
	if s.rule.Allows(t) {
		return 0, true
	}
	s.closedFrom, s.opensAt = wall, never
	if t, ok := s.rule.Opens(t); ok {
		s.opensAt = t.UnixMilli()
	}
	return s.opensAt, false
}
