package timing

import "time"

// candidate is a release on its way through the last stages: windows, Once,
// Throttle and Batch.
type candidate struct {
	kind        Kind
	by          string
	at          int64
	first, last int64
	count       int
	suppressed  int
	tag         int64
	since       int64 // unknownTime: not known, or none
	cause       Cause
	keys        Keys // Once, Throttle and Batch

	match *Arrival // the match that has just arrived; nil: it was kept
	data  []byte   // the match that was kept
	empty bool     // there never was a match
}

// Arrive passes a match through the stages of its rule, and appends to dst what
// is released. The machine has to be advanced to the time of the match before.
func (m *Machine) Arrive(dst []Release, x *Arrival) []Release {
	m.endRestore()
	s := x.State
	if s.gone {
		return dst
	}
	at := x.At.UnixMilli()
	r := s.rule
	switch {
	case x.Role == Cancels && r.Absent.For > 0:
		return s.cancelAbsence(dst, x, at)
	case x.Role == Ends || x.Role == Lapses:
		return s.endHold(dst, x, at)
	case x.Role != Fires:
		return dst
	case r.Sample > 0 && !s.isSampled(x.Hash):
		s.suppressed.Sample++
		return dst
	}
	if r.Dedupe > 0 {
		var again bool
		if dst, again = s.isDuplicate(dst, x, at); again {
			s.suppressed.Dedupe++
			return dst
		}
	}
	switch {
	case r.Count.Within > 0:
		return s.countMatch(dst, x, at)
	case r.Absent.For > 0:
		return s.restartAbsence(dst, x, at)
	case r.Debounce.Wait > 0:
		return s.addToDebounce(dst, x, at)
	case r.For > 0:
		return s.addToFor(dst, x, at)
	case r.Episode.On:
		return s.beginEpisode(dst, x, at)
	}
	return s.release(dst, &candidate{kind: Passed, at: at, first: at, last: at, count: 1, keys: x.Keys, match: x})
}

// isSampled reports whether Sample lets a match through, by its hash. Each rule
// gets another part of the matches.
func (s *State) isSampled(hash uint64) bool {
	h := hash ^ s.hash
	h = (h ^ h>>30) * 0xbf58476d1ce4e5b9
	h = (h ^ h>>27) * 0x94d049bb133111eb
	h ^= h >> 31
	return float64(h>>11)/(1<<53) < s.rule.Sample
}

// findOrAdd returns the state of a key, and reports whether it was added. If there
// are as many states as there may be, another gives way, and what it fires by
// that is appended to dst.
func (t *stateTable) findOrAdd(dst []Release, key string, at int64) (after []Release, slot uint32, added bool) {
	key = shortKey(key)
	if slot, ok := t.find(key); ok {
		return dst, slot, false
	}
	for t.s.known(t) >= max(t.s.rule.MaxKeys, 1) {
		dst = t.s.givesWay(t).evict(dst, at)
	}
	return dst, t.add(key), true
}

// evict deletes the state that has been idle for longest. If it has kept
// matches to release later, they are released now.
func (t *stateTable) evict(dst []Release, at int64) []Release {
	slot := t.longestIdle()
	if !t.family.isSpent(slot) {
		t.s.suppressed.Evicted++
	}
	switch t.stage {
	case stageDebounce:
		return t.s.fireDebounce(dst, slot, at)
	case stageBatch:
		return t.s.closeBatch(dst, slot, at)
	case stageEpisode:
		return t.s.endEpisode(dst, slot, at, Displaced, nil)
	}
	t.forget(slot)
	return dst
}

// isDuplicate reports whether a match of the same value was let through within
// the ttl.
func (s *State) isDuplicate(dst []Release, x *Arrival, at int64) ([]Release, bool) {
	t := s.tables.dedupe
	dst, slot, made := t.findOrAdd(dst, x.Keys.Dedupe, at)
	row := t.cells.row(slot)
	if !made && at < newest(row) {
		return dst, true
	}
	setNewest(row, addTime(at, s.dedupeTTL))
	t.touch(slot)
	return dst, false
}

// countMatch counts a match, and releases it if it is the one that exceeds
// Over.
func (s *State) countMatch(dst []Release, x *Arrival, at int64) []Release {
	t := s.tables.count
	dst, slot, _ := t.findOrAdd(dst, x.Keys.Gather, at)
	row, n := t.cells.row(slot), t.node(slot)
	q := t.window.unitOf(at)
	before := t.window.moveTo(row, &n.times, q)
	t.touch(slot)
	if before <= s.rule.Count.Over {
		n.flags &^= above
	}
	if !t.window.add(row, &n.times, q) || before < s.rule.Count.Over || n.flags&above != 0 {
		return dst
	}
	n.flags |= above
	return s.release(dst, &candidate{
		kind: Passed, by: t.key(slot), at: at, keys: x.Keys, match: x,
		first: min(t.window.oldest(row), at), last: max(newest(row)*t.window.unit, at), count: before + 1,
	})
}

// restartAbsence handles a match of an Absent: its timer begins again. If the
// absence was released, the match is released as Resolved.
func (s *State) restartAbsence(dst []Release, x *Arrival, at int64) []Release {
	t := s.tables.absent
	dst, slot, made := t.findOrAdd(dst, x.Keys.Gather, at)
	n, w := t.node(slot), t.waits.at(slot)
	switch {
	case made && s.expected[shortKey(x.Keys.Gather)]:
		n.flags |= expected
		t.fixed++
	case !made && (at < w.last || at == w.last && n.flags&fired != 0):
		return dst // the absence began after this match, or was released after it
	}
	back, since := n.flags&released != 0 && s.rule.Absent.Resolved, w.since()
	n.flags &^= fired | released
	w.last, w.first = at, 0
	t.keepMatch(slot, x)
	t.arm(slot, addTime(at, s.absentFor))
	t.touch(slot)
	if !back {
		return dst
	}
	return s.release(dst, s.newResolved(x, t.key(slot), at, since))
}

func (s *State) newResolved(x *Arrival, by string, at, since int64) *candidate {
	return &candidate{kind: Resolved, by: by, at: at, first: at, last: at, count: 1, since: since, keys: x.Keys, match: x}
}

// cancelAbsence ends the wait of an Absent until the next match. If the absence
// was released, the canceling match is released as Resolved.
func (s *State) cancelAbsence(dst []Release, x *Arrival, at int64) []Release {
	t := s.tables.absent
	slot, ok := t.find(shortKey(x.Keys.Gather))
	if !ok {
		return dst
	}
	n := t.node(slot)
	by, back, since := t.key(slot), n.flags&released != 0 && s.rule.Absent.Resolved, t.waits.at(slot).since()
	t.forget(slot)
	if !back {
		return dst
	}
	return s.release(dst, s.newResolved(x, by, at, since))
}

// addToDebounce adds a match to those that are released as one.
func (s *State) addToDebounce(dst []Release, x *Arrival, at int64) []Release {
	t := s.tables.debounce
	dst, slot, made := t.findOrAdd(dst, x.Keys.Gather, at)
	w := t.waits.at(slot)
	if made {
		w.first, w.last = at, at
	}
	w.first, w.last = min(w.first, at), max(w.last, at)
	w.count++
	t.keepMatch(slot, x)
	deadline := addTime(w.last, s.debounceWait)
	if s.debounceMax > 0 {
		deadline = min(deadline, addTime(w.first, s.debounceMax))
	}
	t.arm(slot, deadline)
	t.touch(slot)
	return dst
}

// addToFor handles a match of a rule with For: the condition holds.
func (s *State) addToFor(dst []Release, x *Arrival, at int64) []Release {
	if s.isOpen(x.Keys.Gather) {
		return dst
	}
	t := s.tables.holding
	dst, slot, made := t.findOrAdd(dst, x.Keys.Gather, at)
	w := t.waits.at(slot)
	if made {
		w.first, w.last = at, at
		t.arm(slot, addTime(at, s.forLength))
	}
	if t.node(slot).flags&fired == 0 {
		w.first, w.last = min(w.first, at), max(w.last, at)
		w.count++
		t.keepMatch(slot, x)
	}
	t.touch(slot)
	return dst
}

// release is checkWindows for callers that do not need its report.
func (s *State) release(dst []Release, f *candidate) []Release {
	dst, _ = s.checkWindows(dst, f)
	return dst
}

// checkWindows passes a candidate on if the windows are open, and has it wait
// or drops it if they are not; a Resolved is never dropped. It reports whether the candidate was released,
// or still may be.
func (s *State) checkWindows(dst []Release, f *candidate) ([]Release, bool) {
	opens, open := s.whenOpen(f.at + s.m.wallOffset)
	switch {
	case open:
		return s.throttleAndEmit(dst, f)
	case s.rule.Hold && opens != never:
		s.enqueue(f)
		return dst, true
	case f.kind == Resolved:
		return s.throttleAndEmit(dst, f)
	}
	s.suppressed.Outside++
	return dst, false
}

// throttleAndEmit passes a candidate through Once and Throttle, and releases it
// or adds it to its batch. It reports whether it did.
func (s *State) throttleAndEmit(dst []Release, f *candidate) ([]Release, bool) {
	for _, l := range s.feeds {
		l.add(f)
	}
	var ok bool
	if f.kind != Resolved { // who was told of the absence is told of its end
		if dst, ok = s.passesOnce(dst, f); !ok {
			s.countSuppressed(&s.suppressed.Once)
			return dst, false
		}
		if dst, ok = s.passesThrottle(dst, f); !ok {
			s.countSuppressed(&s.suppressed.Throttle)
			return dst, false
		}
	}
	if s.rule.Batch.Max > 0 {
		return s.addToBatch(dst, f), true
	}
	return append(dst, s.newRelease(f)), true
}

func (s *State) countSuppressed(counter *uint64) {
	*counter++
	for _, l := range s.feeds {
		l.suppressed++
	}
}

// passesOnce reports whether the candidate is the first of its value.
func (s *State) passesOnce(dst []Release, f *candidate) ([]Release, bool) {
	if !s.rule.Once {
		return dst, true
	}
	t := s.tables.once
	dst, slot, made := t.findOrAdd(dst, f.keys.Once, f.at)
	t.touch(slot)
	return dst, made
}

// passesThrottle reports whether the candidate is within Throttle's limit.
func (s *State) passesThrottle(dst []Release, f *candidate) ([]Release, bool) {
	if s.rule.Throttle.Max == 0 {
		return dst, true
	}
	t := s.tables.throttle
	dst, slot, made := t.findOrAdd(dst, f.keys.Throttle, f.at)
	row, n := t.cells.row(slot), t.node(slot)
	q := t.window.unitOf(f.at)
	if !made && n.times > 0 {
		q = max(q, newest(row))
	}
	t.touch(slot)
	if t.window.moveTo(row, &n.times, q) >= s.rule.Throttle.Max {
		row[countCell]++
		return dst, false
	}
	t.window.add(row, &n.times, q)
	f.suppressed += int(row[countCell])
	row[countCell] = 0
	return dst, true
}

// newRelease makes the Release of a candidate.
func (s *State) newRelease(f *candidate) Release {
	out := Release{
		Rule: s.rule, Kind: f.kind, By: f.by, At: timeOf(f.at), Tag: f.tag,
		Count: f.count, First: timeOf(f.first), Last: timeOf(f.last), Suppressed: f.suppressed,
		Since: f.sinceTime(), Cause: f.cause,
	}
	if f.empty {
		out.First, out.Last = time.Time{}, time.Time{}
	} else if f.match == nil {
		out.Items = []Item{f.item()}
	}
	return out
}
