package timing

import "time"

// maxReleases is about how many releases Advance returns at once.
const maxReleases = 1024

// Advance moves the machine's time to now, and appends to dst what is released
// by that, in the order in which it was due. Time never goes back.
//
// seen is the time up to which all matches are known. An absence is released
// only up to seen: while nothing is read, that no match came means nothing.
//
// It stops after about a thousand releases. Call it until there are none.
//
// What recurs is not made up for. Repetitions of an Absent that were due
// between two calls are left out. So are runs of a schedule, except that the
// last is made if it is less than a minute late, or if Rule.CatchUp is set. In
// a replay, whose time is not the real one, advance from Next to Next.
func (m *Machine) Advance(dst []Release, now, seen time.Time) []Release {
	m.endRestore()
	m.now = max(m.now, now.UnixMilli())
	limit := min(m.now, seen.UnixMilli())
	m.timers.extendSoon(unit(m.now))
	m.absent.extendSoon(unit(limit))
	for full := len(dst) + maxReleases; len(dst) < full; {
		t, slot, at, ok := m.firstDue(limit)
		if !ok {
			break
		}
		t.disarm(slot)
		dst = t.fireTimer(dst, slot, at, limit)
	}
	return dst
}

// firstDue returns the state that is due first, if one is due.
func (m *Machine) firstDue(limit int64) (t *timerTable, slot uint32, at int64, ok bool) {
	h := &m.timers
	d, ok := m.earliest(h, m.now)
	ok = ok && d.at <= m.now
	if a, okA := m.earliest(&m.absent, limit); okA && a.at <= limit && (!ok || a.before(d)) {
		h, d, ok = &m.absent, a, true
	}
	if !ok {
		return nil, 0, 0, false
	}
	p := &h.places[d.id]
	return m.tables[p.table], p.slot, d.at, true
}

// Next returns when Advance has something to do: deadline for all but Absent,
// and absent for Absent, which also needs seen to get there. Nothing is due
// before. A time more than a second ahead may be too early. The zero time means
// never.
func (m *Machine) Next() (deadline, absent time.Time) {
	m.endRestore()
	if at := m.nextDueTime(&m.timers); at != never {
		deadline = timeOf(at)
	}
	if at := m.nextDueTime(&m.absent); at != never {
		absent = timeOf(at)
	}
	return deadline, absent
}

// fireTimer handles a state whose timer is due.
func (t *timerTable) fireTimer(dst []Release, slot uint32, at, limit int64) []Release {
	switch t.stage {
	case stageAbsent:
		return t.s.fireAbsence(dst, slot, at, limit)
	case stageDebounce:
		return t.s.fireDebounce(dst, slot, at)
	case stageFor:
		return t.s.fireFor(dst, slot, at)
	case stageBatch:
		return t.s.closeBatch(dst, slot, at)
	case stageHeld:
		return t.s.releaseQueue(dst, at)
	case stageRun:
		return t.s.fireRun(dst, at)
	}
	return dst
}

// fireAbsence releases the absence of a value.
func (s *State) fireAbsence(dst []Release, slot uint32, at, limit int64) []Release {
	t := s.tables.absent
	n, w := t.node(slot), t.waits.at(slot)
	if n.flags&fired == 0 {
		w.first = at
	}
	f := candidate{kind: Missing, by: t.key(slot), at: at, first: w.last, last: w.last, count: 1, tag: at, since: w.since()}
	if w.size == 0 { // no match was kept: it is expected, and never came
		f.empty, f.count = true, 0
		f.keys = Keys{Once: f.by, Throttle: f.by}
	} else {
		f.decodeKept(append([]byte(nil), t.keptData(slot)...))
	}
	repeat := s.absentRepeat
	if repeat == 0 && !s.rule.Absent.Resolved && n.flags&expected == 0 {
		t.forget(slot)
		return s.release(dst, &f)
	}
	if repeat > 0 {
		next := addTime(at, repeat)
		if next <= limit {
			next += ((limit-next)/repeat + 1) * repeat
		}
		t.arm(slot, next)
	}
	n.flags |= fired
	dst, ok := s.checkWindows(dst, &f)
	if ok {
		n.flags |= released
	}
	t.touch(slot)
	return dst
}

// fireDebounce releases the matches that a Debounce has gathered, as one.
func (s *State) fireDebounce(dst []Release, slot uint32, at int64) []Release {
	t := s.tables.debounce
	w := t.waits.at(slot)
	f := candidate{kind: Late, by: t.key(slot), at: at, first: w.first, last: w.last, count: int(w.count)}
	f.decodeKept(t.takeKept(slot))
	t.forget(slot)
	return s.release(dst, &f)
}

// fireFor releases a match whose condition has held for long enough.
func (s *State) fireFor(dst []Release, slot uint32, at int64) []Release {
	t := s.tables.holding
	n, w := t.node(slot), t.waits.at(slot)
	f := candidate{kind: Late, by: t.key(slot), at: at, first: w.first, last: w.last, count: int(w.count)}
	if s.rule.Episode.On {
		return s.beginHeld(dst, slot, &f)
	}
	f.decodeKept(t.takeKept(slot))
	n.flags |= fired
	t.touch(slot)
	return s.release(dst, &f)
}

// armExpected arms the timers of values that are expected when the rule is new.
func (s *State) armExpected() {
	if len(s.rule.Absent.Expect) == 0 || s.expectedArmed {
		return
	}
	s.expectedArmed = true
	s.m.dirtyExpected = append(s.m.dirtyExpected, s)
	s.m.unsaved++
	t := s.tables.absent
	for _, by := range s.rule.Absent.Expect {
		by = shortKey(by)
		if _, ok := t.find(by); ok {
			continue
		}
		slot := t.add(by)
		t.node(slot).flags |= expected
		t.fixed++
		t.waits.at(slot).last = s.since
		t.arm(slot, addTime(s.since, s.absentFor))
		t.touch(slot)
	}
}
