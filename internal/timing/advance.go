package timing

import "time"

// burst is about how many firings Advance gives at once.
const burst = 1024

// Advance says what time it is, and appends to dst what fires by that, in the
// order of the times at which it was due. Time never goes back.
//
// What is absent fires only as far as seen, up to when the matches are known:
// that none came while nothing was heard says nothing.
//
// It stops after about a thousand firings: call it until there are none.
//
// What recurs does not catch up: repetitions of an Absent that were due while
// it was not called are left out, and so are runs of a schedule but for the
// last, if that is less than a minute late or Rule.CatchUp says so. In a time
// that is not the real one, go from Next to Next.
func (m *Machine) Advance(dst []Firing, now, seen time.Time) []Firing {
	m.begin()
	m.now = max(m.now, now.UnixMilli())
	limit := min(m.now, seen.UnixMilli())
	m.timers.reach(unit(m.now))
	m.absent.reach(unit(limit))
	for full := len(dst) + burst; len(dst) < full; {
		t, slot, at, ok := m.due(limit)
		if !ok {
			break
		}
		t.disarm(slot)
		dst = t.expire(dst, slot, at, limit)
	}
	return dst
}

// due returns the state that is due first, if one is.
func (m *Machine) due(limit int64) (t *table, slot uint32, at int64, ok bool) {
	h := &m.timers
	d, ok := m.top(h, m.now)
	ok = ok && d.at <= m.now
	if a, okA := m.top(&m.absent, limit); okA && a.at <= limit && (!ok || a.before(d)) {
		h, d, ok = &m.absent, a, true
	}
	if !ok {
		return nil, 0, 0, false
	}
	p := &h.at[d.id]
	return m.tables[p.table], p.slot, d.at, true
}

// Next returns when Advance has something to do next: for anything but what is
// absent, and for what is absent, for which seen has to get there too. Nothing
// fires before; what is due in more than a second may fire later. A zero time
// is never.
func (m *Machine) Next() (deadline, absent time.Time) {
	m.begin()
	if at := m.nextDue(&m.timers); at != never {
		deadline = timeOf(at)
	}
	if at := m.nextDue(&m.absent); at != never {
		absent = timeOf(at)
	}
	return deadline, absent
}

// expire has a state's time come.
func (t *table) expire(dst []Firing, slot uint32, at, limit int64) []Firing {
	switch t.stage {
	case stageAbsent:
		return t.s.miss(dst, slot, at, limit)
	case stageDebounce:
		return t.s.settle(dst, slot, at)
	case stageFor:
		return t.s.held(dst, slot, at)
	case stageBatch:
		return t.s.closeBatch(dst, slot, at)
	case stageHeld:
		return t.s.release(dst, at)
	case stageRun:
		return t.s.run(dst, at)
	}
	return dst
}

// miss fires that nothing came.
func (s *State) miss(dst []Firing, slot uint32, at, limit int64) []Firing {
	t := s.tables[stageAbsent]
	n, w := t.node(slot), t.waits.at(slot)
	f := firing{kind: Missing, by: t.key(slot), at: at, first: w.last, last: w.last, count: 1, tag: at}
	if w.size == 0 { // expected from the start
		f.empty, f.count = true, 0
		f.keys = Keys{Once: f.by, Throttle: f.by}
	} else {
		f.recall(append([]byte(nil), t.blob(slot)...))
	}
	repeat := s.repeat
	if repeat == 0 && !s.rule.Absent.Resolved && n.flags&expected == 0 {
		t.forget(slot)
		return s.let(dst, &f)
	}
	if repeat > 0 {
		next := after(at, repeat)
		if next <= limit {
			next += ((limit-next)/repeat + 1) * repeat
		}
		t.arm(slot, next)
	}
	n.flags |= fired
	dst, ok := s.leave(dst, &f)
	if ok {
		n.flags |= told
	}
	t.touch(slot)
	return dst
}

// settle fires what a Debounce has folded together.
func (s *State) settle(dst []Firing, slot uint32, at int64) []Firing {
	t := s.tables[stageDebounce]
	w := t.waits.at(slot)
	f := firing{kind: Late, by: t.key(slot), at: at, first: w.first, last: w.last, count: int(w.count)}
	f.recall(t.take(slot))
	t.forget(slot)
	return s.let(dst, &f)
}

// held fires what has held for long enough.
func (s *State) held(dst []Firing, slot uint32, at int64) []Firing {
	t := s.tables[stageFor]
	n, w := t.node(slot), t.waits.at(slot)
	f := firing{kind: Late, by: t.key(slot), at: at, first: w.first, last: w.last, count: int(w.count)}
	f.recall(t.take(slot))
	n.flags |= fired
	t.touch(slot)
	return s.let(dst, &f)
}

// expect arms what is waited for from the start.
func (s *State) expect() {
	if len(s.rule.Absent.Expect) == 0 || s.known {
		return
	}
	s.known = true
	s.m.dirtyKnown = append(s.m.dirtyKnown, s)
	s.m.unsaved++
	t := s.table(stageAbsent)
	for _, by := range s.rule.Absent.Expect {
		by = short(by)
		if _, ok := t.find(by); ok {
			continue
		}
		slot := t.add(by)
		t.node(slot).flags |= expected
		t.fixed++
		t.waits.at(slot).last = s.since
		t.arm(slot, after(s.since, s.absentFor))
		t.touch(slot)
	}
}
