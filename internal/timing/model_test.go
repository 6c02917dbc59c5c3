package timing_test

import (
	"math"
	"slices"
	"strings"
	"time"

	"triggerd/internal/timing"
)

// model is a plain and slow machine: lists that are looked through from end to
// end. It knows nothing of restarts: what fires must not tell of them.
type model struct {
	rules []*modelRule
	now   int64 // milliseconds
	wall  int64
	ticks int
	ended []out // by the rules that were set last
}

type modelRule struct {
	r       *timing.Rule
	states  map[string][]*modelState // by stage, the one idle for longest first
	queue   []modelFiring
	lines   []*modelLine
	lastRun int64 // by the wall
	putOff  bool
	counts  timing.Suppressed
	opening map[int64]int64 // by minutes of the wall, see opens
}

type modelState struct {
	key      string
	until    int64
	times    []int64
	newest   int64
	above    bool
	armed    int // 0: not
	deadline int64
	fired    bool
	told     bool
	expected bool
	since    int64 // of an absence
	seen     bool
	f        modelFiring // what it has kept
	items    []modelFiring
	dropped  int
}

type modelFiring struct {
	kind        timing.Kind
	by          string
	at          int64
	first, last int64
	count       int
	suppressed  int
	tag         int64
	keys        timing.Keys
	live, empty bool
	data, slim  string
	since       int64
	cause       timing.Cause
	hash        int64
}

type modelLine struct {
	rule              string
	count, suppressed int
	first, last       int64
	data              string
}

// out is a firing in a form that can be compared.
type out struct {
	Rule        string
	Kind        timing.Kind
	By          string
	At, Tag     int64
	Items       []outItem
	Count       int
	First, Last int64
	Suppressed  int
	Since       int64
	Cause       timing.Cause
	Summary     []modelLine
}

type outItem struct {
	Kind    timing.Kind
	By      string
	At, Tag int64
	Data    string
	Since   int64
	Cause   timing.Cause
}

const none = math.MinInt64

func ms(d time.Duration) int64 { return int64((d + time.Millisecond - 1) / time.Millisecond) }

func (m *model) rule(name string) *modelRule {
	for _, r := range m.rules {
		if r.r.Name == name {
			return r
		}
	}
	return nil
}

func (m *model) setRules(rules []*timing.Rule, now int64) {
	m.now = max(m.now, now)
	var list []*modelRule
	m.ended = nil
	for _, r := range m.rules {
		if i := slices.IndexFunc(rules, func(n *timing.Rule) bool { return n.Name == r.r.Name }); i < 0 || rules[i].Shape != r.r.Shape {
			m.dropped(r)
		}
	}
	for _, r := range rules {
		mr := m.rule(r.Name)
		if mr == nil || mr.r.Shape != r.Shape {
			mr = &modelRule{states: map[string][]*modelState{}, lastRun: m.now + m.wall}
			for _, by := range r.Absent.Expect {
				if mr.find("absent", by) == nil {
					s := &modelState{key: by, expected: true, deadline: m.now + ms(r.Absent.For), f: modelFiring{empty: true, last: m.now, keys: timing.Keys{Once: by, Throttle: by}}}
					m.arm(s)
					mr.states["absent"] = append(mr.states["absent"], s)
				}
			}
			for _, name := range r.Summarize {
				mr.lines = append(mr.lines, &modelLine{rule: name})
			}
		}
		mr.r = r
		list = append(list, mr)
	}
	m.rules = list
	m.checkWall()
}

func (m *model) setWall(wall int64) {
	m.wall = wall
	m.checkWall()
}

func (m *model) checkWall() {
	for _, r := range m.rules {
		if r.lastRun > m.now+m.wall+3600_000 {
			r.lastRun = m.now + m.wall
		}
	}
}

func (m *model) arm(s *modelState) {
	m.ticks++
	s.armed = m.ticks
}

func (r *modelRule) find(stage, key string) *modelState {
	for _, s := range r.states[stage] {
		if s.key == key {
			return s
		}
	}
	return nil
}

func (r *modelRule) forget(stage string, s *modelState) {
	r.states[stage] = slices.DeleteFunc(r.states[stage], func(o *modelState) bool { return o == s })
}

func (r *modelRule) touch(stage string, s *modelState) {
	r.forget(stage, s)
	r.states[stage] = append(r.states[stage], s)
}

// get returns a state, which is made if it is not there.
func (m *model) get(outs *[]out, r *modelRule, stage, key string, at int64) (s *modelState, made bool) {
	if s := r.find(stage, key); s != nil {
		return s, false
	}
	var may []*modelState
	for _, s := range r.states[stage] {
		if !s.expected {
			may = append(may, s)
		}
	}
	victims, of := may, stage
	if r.r.Episode.On && (stage == "for" || stage == "open") {
		if may = slices.Concat(r.states["for"], r.states["open"]); len(may) > 0 {
			victims, of = may, "open"
			if len(r.states["for"]) > 0 {
				of = "for"
			}
		}
	}
	if len(may) >= r.r.MaxKeys {
		m.evict(outs, r, of, victims[0], at)
	}
	s = &modelState{key: key, seen: true}
	r.states[stage] = append(r.states[stage], s)
	return s, true
}

func (m *model) evict(outs *[]out, r *modelRule, stage string, s *modelState, at int64) {
	over := false
	switch stage {
	case "dedupe":
		over = s.until <= m.now
	case "count":
		over = isOut(s.newest, m.now, r.r.Count.Over+1, r.r.Count.Within)
	case "throttle":
		over = isOut(s.newest, m.now, r.r.Throttle.Max, r.r.Throttle.Per) && s.dropped == 0
	}
	if !over {
		r.counts.Evicted++
	}
	switch stage {
	case "debounce":
		m.settle(outs, r, s, at)
	case "batch":
		m.closeBatch(outs, r, s, at)
	default:
		m.forget(outs, r, stage, s, at, timing.Displaced, nil)
	}
}

// scale tells how a window sees time.
func scale(limit int, within time.Duration) (unit, span int64) {
	if limit <= 33 {
		return 1, ms(within)
	}
	unit = (ms(within) + 31) / 32
	return unit, (ms(within)+unit-1)/unit + 1
}

func floor(at, unit int64) int64 { return int64(math.Floor(float64(at) / float64(unit))) }

func isOut(newest, now int64, limit int, within time.Duration) bool {
	unit, span := scale(limit, within)
	return floor(now, unit)-newest >= span
}

// turn moves a window on, and returns how many are in it.
func (s *modelState) turn(q, span int64) int {
	if len(s.times) == 0 {
		s.newest = q
	}
	s.newest = max(s.newest, q)
	s.times = slices.DeleteFunc(s.times, func(t int64) bool { return s.newest-t >= span })
	return len(s.times)
}

// forget deletes a state. That of an episode ends it, by a match if x is one.
func (m *model) forget(outs *[]out, r *modelRule, stage string, s *modelState, at int64, cause timing.Cause, x *modelFiring) {
	r.forget(stage, s)
	if stage == "open" && s.told {
		m.leave(outs, r, s.ended(at, cause, x))
	}
}

func (s *modelState) ended(at int64, cause timing.Cause, x *modelFiring) modelFiring {
	f := modelFiring{data: s.f.slim, slim: s.f.slim}
	if x != nil {
		f = *x
	}
	f.kind, f.by, f.at, f.first, f.last, f.count, f.tag, f.keys, f.since, f.cause = timing.Resolved, s.key, at, at, at, 1, s.f.hash, s.f.keys, s.f.since, cause
	return f
}

// dropped tells of the ends that a rule which is gone still had to tell.
func (m *model) dropped(r *modelRule) {
	for _, s := range r.states["open"] {
		if s.told {
			m.ended = append(m.ended, r.out(s.ended(m.now, timing.Dropped, nil)))
		}
	}
	waiting := r.queue
	for _, s := range r.states["batch"] {
		waiting = append(waiting, s.items...)
	}
	for _, f := range waiting {
		if f.kind == timing.Resolved {
			m.ended = append(m.ended, r.out(f))
		}
	}
}

// open begins an episode.
func (m *model) open(outs *[]out, r *modelRule, f modelFiring) {
	s, _ := m.get(outs, r, "open", f.by, f.at)
	s.f = f
	s.f.since = f.at
	r.touch("open", s)
	f.since = f.at
	if f.kind == timing.Late {
		f.slim = f.data // what is kept has one form
	}
	s.told = m.leave(outs, r, f) && r.r.Episode.Resolved
}

// snapshot ends what holds for keys that a snapshot does not have.
func (m *model) snapshot(at int64, keys []string) (outs []out) {
	return m.endHolds(at, timing.Unseen, func(key string) bool { return !slices.Contains(keys, key) })
}

func (m *model) endHolds(at int64, cause timing.Cause, match func(key string) bool) (outs []out) {
	for _, r := range m.rules {
		for _, stage := range []string{"for", "open"} {
			for _, s := range slices.Clone(r.states[stage]) {
				if match(s.key) {
					m.forget(&outs, r, stage, s, at, cause, nil)
				}
			}
		}
	}
	return outs
}

func (m *model) match(name string, role timing.Role, at int64, hash uint64, keys timing.Keys, data string) (outs []out) {
	r := m.rule(name)
	if r == nil {
		return nil
	}
	live := modelFiring{kind: timing.Passed, at: at, first: at, last: at, count: 1, keys: keys, live: true, data: data, slim: "slim " + data, hash: int64(hash)}
	switch {
	case role == timing.Cancels && r.r.Absent.For > 0:
		if s := r.find("absent", keys.Gather); s != nil {
			r.forget("absent", s)
			if s.told && r.r.Absent.Resolved {
				live.kind, live.by, live.since = timing.Resolved, s.key, s.since
				m.leave(&outs, r, live)
			}
		}
		return outs
	case role == timing.Ends || role == timing.Lapses:
		if s := r.find("for", keys.Gather); s != nil {
			r.forget("for", s)
		}
		if s := r.find("open", keys.Gather); s != nil && role == timing.Ends {
			m.forget(&outs, r, "open", s, at, timing.ByMatch, &live)
		}
		return outs
	case role != timing.Fires:
		return nil
	}
	if r.r.Dedupe > 0 {
		s, made := m.get(&outs, r, "dedupe", keys.Dedupe, at)
		if !made && at < s.until {
			r.counts.Dedupe++
			return outs
		}
		s.until = at + ms(r.r.Dedupe)
		r.touch("dedupe", s)
	}
	switch {
	case r.r.Count.Within > 0:
		m.count(&outs, r, live)
	case r.r.Absent.For > 0:
		m.beat(&outs, r, live)
	case r.r.Debounce.Wait > 0:
		s, made := m.get(&outs, r, "debounce", keys.Gather, at)
		s.f = s.f.folded(live, made)
		s.deadline = s.f.last + ms(r.r.Debounce.Wait)
		if r.r.Debounce.MaxWait > 0 {
			s.deadline = min(s.deadline, s.f.first+ms(r.r.Debounce.MaxWait))
		}
		m.arm(s)
		r.touch("debounce", s)
	case r.r.Episode.On && r.find("open", keys.Gather) != nil:
	case r.r.For > 0:
		s, made := m.get(&outs, r, "for", keys.Gather, at)
		if made {
			s.deadline = at + ms(r.r.For)
			m.arm(s)
		}
		if !s.fired {
			s.f = s.f.folded(live, made)
		}
		r.touch("for", s)
	case r.r.Episode.On:
		live.by = keys.Gather
		m.open(&outs, r, live)
	default:
		m.leave(&outs, r, live)
	}
	return outs
}

// endAll ends what holds for keys with a prefix.
func (m *model) endAll(at int64, prefix string) []out {
	return m.endHolds(at, timing.Flushed, func(key string) bool { return strings.HasPrefix(key, prefix) })
}

// folded is what is kept of matches that fire as one: the last.
func (f modelFiring) folded(x modelFiring, first bool) modelFiring {
	n := x
	n.kind, n.live = timing.Late, false
	if !first {
		n.first, n.last, n.count = min(f.first, x.at), max(f.last, x.at), f.count+1
	}
	return n
}

func (m *model) count(outs *[]out, r *modelRule, live modelFiring) {
	s, _ := m.get(outs, r, "count", live.keys.Gather, live.at)
	unit, span := scale(r.r.Count.Over+1, r.r.Count.Within)
	q := floor(live.at, unit)
	before := s.turn(q, span)
	r.touch("count", s)
	if before <= r.r.Count.Over {
		s.above = false
	}
	if s.newest-q >= span {
		return
	}
	s.times = append(s.times, q)
	if before+1 <= r.r.Count.Over || s.above {
		return
	}
	s.above = true
	live.by, live.count = s.key, before+1
	live.first, live.last = min(slices.Min(s.times)*unit, live.at), max(slices.Max(s.times)*unit, live.at)
	m.leave(outs, r, live)
}

func (m *model) beat(outs *[]out, r *modelRule, live modelFiring) {
	s, made := m.get(outs, r, "absent", live.keys.Gather, live.at)
	if made {
		s.expected = slices.Contains(r.r.Absent.Expect, s.key)
	} else if live.at < s.f.last || live.at == s.f.last && s.fired {
		return
	}
	back, since := s.told && r.r.Absent.Resolved, s.since
	s.fired, s.told, s.since = false, false, 0
	s.f = live
	s.f.live, s.f.data = false, live.slim
	s.deadline = live.at + ms(r.r.Absent.For)
	m.arm(s)
	r.touch("absent", s)
	if back {
		live.kind, live.by, live.since = timing.Resolved, s.key, since
		m.leave(outs, r, live)
	}
}

func (m *model) leave(outs *[]out, r *modelRule, f modelFiring) bool {
	opens := m.opens(r, f.at)
	switch {
	case opens == f.at:
		return m.pass(outs, r, f)
	case r.r.Hold && opens != none:
		if f.kind == timing.Passed {
			f.kind = timing.Late
		}
		f.live, f.slim = false, f.data
		r.queue = append(r.queue, f)
		return true
	case f.kind == timing.Resolved:
		return m.pass(outs, r, f)
	}
	r.counts.Outside++
	return false
}

// opens returns the first time, from at on, at which a rule may fire. It looks
// at each minute once.
func (m *model) opens(r *modelRule, at int64) int64 {
	minute := floor(at+m.wall, 60_000)
	opens, known := r.opening[minute]
	if !known {
		opens = none
		if t, ok := naiveOpens(r.r, time.UnixMilli(minute*60_000)); ok {
			opens = floor(t.UnixMilli(), 60_000)
		}
		if r.opening == nil {
			r.opening = map[int64]int64{}
		}
		r.opening[minute] = opens
	}
	switch opens {
	case none:
		return none
	case minute:
		return at
	}
	return opens*60_000 - m.wall
}

func (m *model) pass(outs *[]out, r *modelRule, f modelFiring) bool {
	var lines []*modelLine
	for _, o := range m.rules {
		for _, l := range o.lines {
			if l.rule == r.r.Name {
				lines = append(lines, l)
			}
		}
	}
	for _, l := range lines {
		if l.count == 0 {
			l.first, l.last = f.first, f.last
		}
		l.count++
		l.first, l.last, l.data = min(l.first, f.first), max(l.last, f.last), f.slim
	}
	suppress := func(counter *uint64) bool {
		*counter++
		for _, l := range lines {
			l.suppressed++
		}
		return false
	}
	if f.kind != timing.Resolved {
		if r.r.Once {
			s, made := m.get(outs, r, "once", f.keys.Once, f.at)
			r.touch("once", s)
			if !made {
				return suppress(&r.counts.Once)
			}
		}
		if r.r.Throttle.Max > 0 {
			s, _ := m.get(outs, r, "throttle", f.keys.Throttle, f.at)
			r.touch("throttle", s)
			unit, span := scale(r.r.Throttle.Max, r.r.Throttle.Per)
			if s.turn(floor(f.at, unit), span) >= r.r.Throttle.Max {
				s.dropped++
				return suppress(&r.counts.Throttle)
			}
			s.times = append(s.times, s.newest)
			f.suppressed += s.dropped
			s.dropped = 0
		}
	}
	if r.r.Batch.Max > 0 {
		m.gather(outs, r, f)
	} else {
		*outs = append(*outs, r.out(f))
	}
	return true
}

func (m *model) gather(outs *[]out, r *modelRule, f modelFiring) {
	f.live = false
	s, made := m.get(outs, r, "batch", f.keys.Batch, f.at)
	size := len(f.data)
	for _, i := range s.items {
		size += len(i.data)
	}
	if !made && size > 1<<20 {
		m.closeBatch(outs, r, s, f.at)
		s, made = m.get(outs, r, "batch", f.keys.Batch, f.at)
		size = len(f.data)
	}
	if made {
		s.deadline = f.at + ms(r.r.Batch.Wait)
		m.arm(s)
	}
	r.touch("batch", s)
	s.items = append(s.items, f)
	if len(s.items) >= r.r.Batch.Max || size > 1<<20 {
		m.closeBatch(outs, r, s, f.at)
	}
}

func (m *model) closeBatch(outs *[]out, r *modelRule, s *modelState, at int64) {
	o := out{Rule: r.r.Name, Kind: timing.Batched, By: s.key, At: at, First: none, Last: none, Since: none}
	for _, f := range s.items {
		i := r.out(f).item(f)
		o.Items = append(o.Items, i)
		o.Tag = i.Tag
		o.Count += f.count
		o.Suppressed += f.suppressed
		if f.empty {
			continue
		}
		if o.First == none {
			o.First, o.Last = f.first, f.last
		}
		o.First, o.Last = min(o.First, f.first), max(o.Last, f.last)
	}
	r.forget("batch", s)
	*outs = append(*outs, o)
}

func (r *modelRule) out(f modelFiring) out {
	o := out{Rule: r.r.Name, Kind: f.kind, By: f.by, At: f.at, Tag: f.tag, Count: f.count, First: f.first, Last: f.last, Suppressed: f.suppressed, Since: sinceOf(f), Cause: f.cause}
	if f.empty {
		o.First, o.Last = none, none
	} else if !f.live {
		o.Items = []outItem{o.item(f)}
	}
	return o
}

func (o out) item(f modelFiring) outItem {
	i := outItem{Kind: f.kind, By: f.by, At: f.last, Tag: f.tag, Data: f.data, Since: sinceOf(f), Cause: f.cause}
	if f.empty {
		i.At, i.Data = none, ""
	}
	return i
}

func sinceOf(f modelFiring) int64 {
	if f.since == 0 {
		return none
	}
	return f.since
}

func (m *model) settle(outs *[]out, r *modelRule, s *modelState, at int64) {
	f := s.f
	f.by, f.at, f.slim = s.key, at, f.data
	r.forget("debounce", s)
	m.leave(outs, r, f)
}

// due is something that is due, in the order in which it comes.
type modelDue struct {
	at, class, order int64
	do               func(outs *[]out)
}

// advance fires all that is due.
func (m *model) advance(now, seen int64) (outs []out) {
	m.now = max(m.now, now)
	limit := min(m.now, seen)
	for {
		var next *modelDue
		for _, d := range m.dues(limit) {
			if next == nil || d.at < next.at || d.at == next.at && (d.class < next.class || d.class == next.class && d.order < next.order) {
				next = &d
			}
		}
		if next == nil {
			return outs
		}
		next.do(&outs)
	}
}

// dues returns all that is due.
func (m *model) dues(limit int64) (dues []modelDue) {
	add := func(at, class, order int64, do func(outs *[]out)) {
		dues = append(dues, modelDue{at, class, order, do})
	}
	for i, r := range m.rules {
		if len(r.queue) > 0 {
			if at := m.opens(r, r.queue[0].at); at != none && at <= m.now {
				add(at, 0, int64(i), func(outs *[]out) { m.release(outs, r, at) })
			}
		}
		if at, do := m.run(r); do != nil {
			add(at, 2, int64(i), do)
		}
		for stage, until := range map[string]int64{"absent": limit, "debounce": m.now, "for": m.now, "batch": m.now} {
			for _, s := range r.states[stage] {
				if s.armed != 0 && s.deadline <= until {
					add(s.deadline, 1, int64(s.armed), func(outs *[]out) { m.expire(outs, r, stage, s, limit) })
				}
			}
		}
	}
	return dues
}

func (m *model) release(outs *[]out, r *modelRule, at int64) {
	for len(r.queue) > 0 && r.queue[0].at <= at {
		f := r.queue[0]
		r.queue = r.queue[1:]
		f.at = at
		m.pass(outs, r, f)
	}
}

func (m *model) expire(outs *[]out, r *modelRule, stage string, s *modelState, limit int64) {
	at := s.deadline
	s.armed = 0
	switch stage {
	case "debounce":
		m.settle(outs, r, s, at)
	case "batch":
		m.closeBatch(outs, r, s, at)
	case "for":
		f := s.f
		f.by, f.at, f.slim = s.key, at, f.data
		if r.r.Episode.On {
			f.slim = s.f.slim
			r.forget(stage, s)
			m.open(outs, r, f)
			break
		}
		s.fired = true
		r.touch(stage, s)
		m.leave(outs, r, f)
	case "absent":
		f := s.f
		if !s.fired {
			s.since = at
		}
		f.kind, f.by, f.at, f.tag, f.first, f.since = timing.Missing, s.key, at, at, f.last, s.since
		if r.r.Absent.Repeat == 0 && !r.r.Absent.Resolved && !s.expected {
			r.forget(stage, s)
		} else {
			s.fired = true
			if repeat := ms(r.r.Absent.Repeat); repeat > 0 {
				for s.deadline += repeat; s.deadline <= limit; {
					s.deadline += repeat
				}
				m.arm(s)
			}
			r.touch(stage, s)
		}
		if m.leave(outs, r, f) {
			s.told = true
		}
	}
}

// run returns what a schedule has due, and when.
func (m *model) run(r *modelRule) (at int64, do func(outs *[]out)) {
	if r.r.Schedule == nil {
		return 0, nil
	}
	wall := m.now + m.wall
	var runs []int64
	for t := r.r.Schedule.Next(time.UnixMilli(r.lastRun)); t.UnixMilli() <= wall; t = r.r.Schedule.Next(t) {
		runs = append(runs, t.UnixMilli())
	}
	if len(runs) == 0 {
		if opens := m.opens(r, r.lastRun-m.wall); r.putOff && opens != none && opens <= m.now {
			return opens, func(outs *[]out) {
				r.putOff = false
				*outs = append(*outs, r.summary(opens, r.lastRun))
			}
		}
		return 0, nil
	}
	run := runs[len(runs)-1] // those before it, and one that was put off, are left out
	return run - m.wall, func(outs *[]out) {
		r.lastRun = run
		opens := m.opens(r, run-m.wall)
		switch {
		case wall-run > 60_000 && !r.r.CatchUp:
			r.counts.Missed++
		case opens == run-m.wall:
			r.putOff = false
			*outs = append(*outs, r.summary(run-m.wall, run))
		case r.r.Hold && opens != none:
			r.putOff = true
		default:
			r.counts.Outside++
		}
	}
}

func (r *modelRule) summary(at, run int64) out {
	o := out{Rule: r.r.Name, Kind: timing.Run, At: at, Tag: run, First: none, Last: none, Since: none}
	for _, l := range r.lines {
		sum := *l
		if l.count == 0 {
			sum.first, sum.last = none, none
		}
		o.Summary = append(o.Summary, sum)
		*l = modelLine{rule: l.rule}
	}
	return o
}
