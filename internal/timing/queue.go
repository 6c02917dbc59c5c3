package timing

// The limits of what waits for the windows of a rule to open.
const (
	maxQueued     = 10_000
	maxQueueBytes = 64 << 20
)

// queue holds the candidates that wait for a rule's windows to open, the oldest
// first.
type queue struct {
	items       []queued
	bytes       int
	nextNumber  uint64 // of the next candidate
	savedBefore uint64 // candidates with smaller numbers are written
	listed      bool   // in Machine.dirtyHeld
}

type queued struct {
	number uint64
	at     int64
	blob   []byte // see candidate.append
}

// enqueue adds a candidate to the queue. If the queue is over its limits, the
// oldest are dropped.
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

// dequeue removes the oldest candidate.
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

// armQueue sets the queue's timer to when the windows open after the time of
// its oldest candidate.
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
	case open: // the time of day was set
		t.armAs(slot, at, s.index)
	case opens == never:
		t.disarm(slot)
	default:
		t.armAs(slot, opens-s.m.wallOffset, s.index)
	}
}

// releaseQueue releases the candidates that are no younger than at, a time of
// the machine at which the windows are open.
func (s *State) releaseQueue(dst []Release, at int64) []Release {
	for len(s.queue.items) > 0 && s.queue.items[0].at <= at {
		f, _ := parseCandidate(s.dequeue())
		f.at = at
		dst, _ = s.throttleAndEmit(dst, &f)
	}
	s.armQueue()
	return dst
}

// whenOpen reports whether the windows are open at a time of day, and if not
// when they open.
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
