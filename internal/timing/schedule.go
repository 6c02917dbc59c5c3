package timing

import "sort"

const (
	// maxLateness is how late a run may be, in milliseconds, before it is
	// missed.
	maxLateness = 60_000
	// maxSetBack is how far the time of day may be set back, in milliseconds,
	// before runs that have been may come again. Without this limit a clock
	// that was years ahead would stop all runs for years.
	maxSetBack = 3600_000
	// maxCountedRuns is how many missed runs are walked through one by one.
	maxCountedRuns = 1000
)

// startSchedule makes the state of a schedule, from which its runs are
// reckoned.
func (s *State) startSchedule() {
	t := s.tables.run
	if t == nil || t.n > 0 {
		return
	}
	slot := t.add("")
	t.waits.at(slot).last = s.since + s.m.wallOffset
	t.touch(slot)
}

// rearmWallTimers sets all timers that go by the time of day, which has been
// set.
func (m *Machine) rearmWallTimers() {
	for _, s := range m.order {
		if len(s.queue.items) > 0 {
			s.armQueue()
		}
		if s.tables.run != nil {
			s.armRun()
		}
	}
}

// armRun sets the timer to the rule's next run, or to when the windows open if
// a run was put off until then.
func (s *State) armRun() {
	t := s.tables.run
	slot, ok := t.find("")
	if !ok {
		return
	}
	n, w := t.node(slot), t.waits.at(slot)
	if wall := s.m.now + s.m.wallOffset; w.last > wall+maxSetBack {
		w.last = wall
		t.touch(slot)
	}
	next := s.nextRun(w.last)
	if n.flags&putOff != 0 {
		opens, open := s.whenOpen(w.last)
		if open {
			opens = w.last
		}
		next = min(next, opens)
	}
	if next == never {
		t.disarm(slot)
		return
	}
	t.armAs(slot, next-s.m.wallOffset, maxClock+s.index)
}

// fireRun makes the run that is due, or the one that was put off. at is the
// machine's time.
func (s *State) fireRun(dst []Release, at int64) []Release {
	t := s.tables.run
	slot, _ := t.find("")
	n, w := t.node(slot), t.waits.at(slot)
	now := s.m.now + s.m.wallOffset
	last, ok := s.lastRun(w.last, now)
	if ok && last > at+s.m.wallOffset {
		t.armAs(slot, last-s.m.wallOffset, maxClock+s.index) // the runs before it were missed
		return dst
	}
	if ok {
		w.last = last
		opens, open := s.whenOpen(last)
		switch {
		case now-last > maxLateness && !s.rule.CatchUp:
			s.suppressed.Missed++
		case open:
			n.flags &^= putOff
			dst = append(dst, s.newRun(last-s.m.wallOffset, last))
		case s.rule.Hold && opens != never:
			n.flags |= putOff
		default:
			s.suppressed.Outside++
		}
	} else if n.flags&putOff != 0 {
		n.flags &^= putOff
		dst = append(dst, s.newRun(at, w.last))
	}
	t.touch(slot)
	s.armRun()
	return dst
}

// newRun makes the Release of a run.
func (s *State) newRun(at, run int64) Release {
	f := Release{Rule: s.rule, Kind: Run, At: timeOf(at), Tag: run}
	for _, l := range s.lines {
		f.Summary = append(f.Summary, l.cut())
	}
	return f
}

// nextRun returns the first run after a time of day.
func (s *State) nextRun(wall int64) int64 {
	next := s.rule.Schedule.Next(timeOf(wall))
	if next.IsZero() || next.UnixMilli() <= wall {
		return never
	}
	return next.UnixMilli()
}

// lastRun returns the last run after last and not after now, both times of day.
func (s *State) lastRun(last, now int64) (run int64, ok bool) {
	for range maxCountedRuns {
		next := s.nextRun(last)
		if next > now {
			return last, ok
		}
		last, ok = next, true
	}
	// Find the last moment whose next run has come.
	i := sort.Search(int(now-last), func(i int) bool { return s.nextRun(last+int64(i)) > now })
	if i == 0 {
		return last, ok
	}
	return s.nextRun(last + int64(i) - 1), true
}
