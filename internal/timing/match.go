package timing

import "time"

// firing is one on its way through the stages.
type firing struct {
	kind        Kind
	by          string
	at          int64
	first, last int64
	count       int
	suppressed  int
	tag         int64
	keys        Keys // Once, Throttle and Batch

	match *Match // the match in hand; nil: it was kept
	data  []byte // that was kept
	empty bool   // there never was a match
}

// Match takes a match, and appends what fires of it to dst. The Machine has to
// be advanced to its time before.
func (m *Machine) Match(dst []Firing, x *Match) []Firing {
	m.begin()
	s := x.State
	if s.gone {
		return dst
	}
	at := x.At.UnixMilli()
	r := s.rule
	switch {
	case x.Role == Cancels && r.Absent.For > 0:
		return s.cancel(dst, x, at)
	case x.Role == Ends && r.For > 0:
		if t := s.tables[stageFor]; t != nil {
			if slot, ok := t.find(short(x.Keys.Gather)); ok {
				t.forget(slot)
			}
		}
		return dst
	case x.Role != Fires:
		return dst
	case r.Sample > 0 && !s.samples(x.Hash):
		s.suppressed.Sample++
		return dst
	}
	if r.Dedupe > 0 {
		var again bool
		if dst, again = s.isRepeated(dst, x, at); again {
			s.suppressed.Dedupe++
			return dst
		}
	}
	switch {
	case r.Count.Within > 0:
		return s.countMatch(dst, x, at)
	case r.Absent.For > 0:
		return s.beat(dst, x, at)
	case r.Debounce.Wait > 0:
		return s.fold(dst, x, at)
	case r.For > 0:
		return s.hold(dst, x, at)
	}
	return s.let(dst, &firing{kind: Passed, at: at, first: at, last: at, count: 1, keys: x.Keys, match: x})
}

// samples decides on a match by its hash, differently for each rule.
func (s *State) samples(hash uint64) bool {
	h := hash ^ s.hash
	h = (h ^ h>>30) * 0xbf58476d1ce4e5b9
	h = (h ^ h>>27) * 0x94d049bb133111eb
	h ^= h >> 31
	return float64(h>>11)/(1<<53) < s.rule.Sample
}

// state returns the state of a key, which is made if it is not there: another
// gives way then if there are as many as there may be.
func (s *State) state(dst []Firing, st stage, key string, at int64) (after []Firing, t *table, slot uint32, made bool) {
	t = s.table(st)
	key = short(key)
	if slot, ok := t.find(key); ok {
		return dst, t, slot, false
	}
	for t.n-t.fixed >= max(s.rule.MaxKeys, 1) {
		dst = t.evict(dst, at)
	}
	return dst, t, t.add(key), true
}

// evict has the state give way that is idle for longest. What it has kept to
// fire later fires now.
func (t *table) evict(dst []Firing, at int64) []Firing {
	slot := t.oldest()
	if !t.isOver(slot) {
		t.s.suppressed.Evicted++
	}
	switch t.stage {
	case stageDebounce:
		return t.s.settle(dst, slot, at)
	case stageBatch:
		return t.s.closeBatch(dst, slot, at)
	}
	t.forget(slot)
	return dst
}

// isOver reports whether a state says nothing any more.
func (t *table) isOver(slot uint32) bool {
	now := t.m.now
	switch t.stage {
	case stageDedupe:
		return newest(t.cells.row(slot)) <= now
	case stageCount:
		return isPast(t.s.within, t.cells.row(slot), now)
	case stageThrottle:
		return isPast(t.s.per, t.cells.row(slot), now) && t.cells.row(slot)[countCell] == 0
	}
	return false
}

func isPast(w sliding, row []uint32, now int64) bool {
	return w.unitOf(now)-newest(row) >= w.span
}

// isRepeated tells of a match whether its value has come.
func (s *State) isRepeated(dst []Firing, x *Match, at int64) ([]Firing, bool) {
	dst, t, slot, made := s.state(dst, stageDedupe, x.Keys.Dedupe, at)
	row := t.cells.row(slot)
	if !made && at < newest(row) {
		return dst, true
	}
	setNewest(row, after(at, s.dedupe))
	t.touch(slot)
	return dst, false
}

// countMatch counts a match, which fires if there are too many with it.
func (s *State) countMatch(dst []Firing, x *Match, at int64) []Firing {
	dst, t, slot, _ := s.state(dst, stageCount, x.Keys.Gather, at)
	row, n := t.cells.row(slot), t.node(slot)
	q := s.within.unitOf(at)
	before := s.within.turn(row, &n.n, q)
	t.touch(slot)
	if before <= s.rule.Count.Over {
		n.flags &^= above
	}
	if !s.within.add(row, &n.n, q) || before < s.rule.Count.Over || n.flags&above != 0 {
		return dst
	}
	n.flags |= above
	return s.let(dst, &firing{
		kind: Passed, by: t.key(slot), at: at, keys: x.Keys, match: x,
		first: min(s.within.oldest(row), at), last: max(newest(row)*s.within.unit, at), count: before + 1,
	})
}

// beat says that what an Absent waits for has come.
func (s *State) beat(dst []Firing, x *Match, at int64) []Firing {
	dst, t, slot, made := s.state(dst, stageAbsent, x.Keys.Gather, at)
	n, w := t.node(slot), t.waits.at(slot)
	switch {
	case made && s.expected[short(x.Keys.Gather)]:
		n.flags |= expected
		t.fixed++
	case !made && (at < w.last || at == w.last && n.flags&fired != 0):
		return dst // the absence began, or was found, after it
	}
	back := n.flags&told != 0 && s.rule.Absent.Resolved
	n.flags &^= fired | told
	w.last = at
	t.keep(slot, x)
	t.arm(slot, after(at, s.absentFor))
	t.touch(slot)
	if !back {
		return dst
	}
	return s.let(dst, s.resolved(x, t.key(slot), at))
}

func (s *State) resolved(x *Match, by string, at int64) *firing {
	return &firing{kind: Resolved, by: by, at: at, first: at, last: at, count: 1, keys: x.Keys, match: x}
}

// cancel says that what an Absent waits for is not waited for any more.
func (s *State) cancel(dst []Firing, x *Match, at int64) []Firing {
	t := s.tables[stageAbsent]
	if t == nil {
		return dst
	}
	slot, ok := t.find(short(x.Keys.Gather))
	if !ok {
		return dst
	}
	n := t.node(slot)
	by, back := t.key(slot), n.flags&told != 0 && s.rule.Absent.Resolved
	t.forget(slot)
	if !back {
		return dst
	}
	return s.let(dst, s.resolved(x, by, at))
}

// fold adds a match to those that a Debounce lets pass as one.
func (s *State) fold(dst []Firing, x *Match, at int64) []Firing {
	dst, t, slot, made := s.state(dst, stageDebounce, x.Keys.Gather, at)
	w := t.waits.at(slot)
	if made {
		w.first, w.last = at, at
	}
	w.first, w.last = min(w.first, at), max(w.last, at)
	w.count++
	t.keep(slot, x)
	deadline := after(w.last, s.wait)
	if s.maxWait > 0 {
		deadline = min(deadline, after(w.first, s.maxWait))
	}
	t.arm(slot, deadline)
	t.touch(slot)
	return dst
}

// hold says that the condition of a For holds.
func (s *State) hold(dst []Firing, x *Match, at int64) []Firing {
	dst, t, slot, made := s.state(dst, stageFor, x.Keys.Gather, at)
	w := t.waits.at(slot)
	if made {
		w.first, w.last = at, at
		t.arm(slot, after(at, s.holds))
	}
	if t.node(slot).flags&fired == 0 {
		w.first, w.last = min(w.first, at), max(w.last, at)
		w.count++
		t.keep(slot, x)
	}
	t.touch(slot)
	return dst
}

// let is leave for who need not know.
func (s *State) let(dst []Firing, f *firing) []Firing {
	dst, _ = s.leave(dst, f)
	return dst
}

// leave takes what was gathered to the windows, and reports whether it was, or
// may be, let through.
func (s *State) leave(dst []Firing, f *firing) ([]Firing, bool) {
	opens, open := s.opening(f.at + s.m.wall)
	switch {
	case open:
		return s.pass(dst, f)
	case s.rule.Hold && opens != never:
		s.enqueue(f)
		return dst, true
	}
	s.suppressed.Outside++
	return dst, false
}

// pass takes what the windows let through to the last stages.
func (s *State) pass(dst []Firing, f *firing) ([]Firing, bool) {
	for _, l := range s.feeds {
		l.add(f)
	}
	var ok bool
	if f.kind != Resolved { // who was told of the absence is told of its end
		if dst, ok = s.isFresh(dst, f); !ok {
			s.suppress(&s.suppressed.Once)
			return dst, false
		}
		if dst, ok = s.isAllowed(dst, f); !ok {
			s.suppress(&s.suppressed.Throttle)
			return dst, false
		}
	}
	if s.rule.Batch.Max > 0 {
		return s.gather(dst, f), true
	}
	return append(dst, s.fire(f)), true
}

func (s *State) suppress(counter *uint64) {
	*counter++
	for _, l := range s.feeds {
		l.suppressed++
	}
}

// isFresh reports whether it is the first of its value.
func (s *State) isFresh(dst []Firing, f *firing) ([]Firing, bool) {
	if !s.rule.Once {
		return dst, true
	}
	dst, t, slot, made := s.state(dst, stageOnce, f.keys.Once, f.at)
	t.touch(slot)
	return dst, made
}

// isAllowed reports whether Throttle lets it pass.
func (s *State) isAllowed(dst []Firing, f *firing) ([]Firing, bool) {
	if s.rule.Throttle.Max == 0 {
		return dst, true
	}
	dst, t, slot, made := s.state(dst, stageThrottle, f.keys.Throttle, f.at)
	row, n := t.cells.row(slot), t.node(slot)
	q := s.per.unitOf(f.at)
	if !made && n.n > 0 {
		q = max(q, newest(row))
	}
	t.touch(slot)
	if s.per.turn(row, &n.n, q) >= s.rule.Throttle.Max {
		row[countCell]++
		return dst, false
	}
	s.per.add(row, &n.n, q)
	f.suppressed += int(row[countCell])
	row[countCell] = 0
	return dst, true
}

// fire makes the Firing.
func (s *State) fire(f *firing) Firing {
	out := Firing{
		Rule: s.rule, Kind: f.kind, By: f.by, At: timeOf(f.at), Tag: f.tag,
		Count: f.count, First: timeOf(f.first), Last: timeOf(f.last), Suppressed: f.suppressed,
	}
	if f.empty {
		out.First, out.Last = time.Time{}, time.Time{}
	} else if f.match == nil {
		out.Items = []Item{f.item()}
	}
	return out
}
