package timing

import (
	"crypto/sha256"
	"hash/fnv"
	"hash/maphash"
	"iter"
	"math"
	"slices"
	"time"
)

// Machine is what all rules count and wait for. It is used by one goroutine at
// a time. The zero value is not ready for use: see New.
//
// It is set up by SetRules, and by Restore of each entry that an earlier one
// has left. From then on its owner advances it as time passes, and to the time
// of each match before it tells it of that match. What fires and what Changes
// says belong into one atomic write.
type Machine struct {
	seed       maphash.Seed
	states     map[string]*State
	order      []*State // as the rules were given
	now        int64    // as far as it was advanced
	wallOffset int64    // what to add for what a clock on the wall shows

	changeCount uint64 // counts changes, from firstChange on
	timers      timers // of all but Absent
	absent      timers

	tables     []*timerTable // by their id
	freeTables []uint32

	rulesSet    bool // rules were set
	restoreDone bool // and nothing is restored any more
	restored    restored

	dirty         []*table // with states to be written
	dirtyHeld     []*State
	dirtyLines    []*summaryLine
	dirtyExpected []*State
	deletes       [][]byte // entries that are no longer there
	unsaved       int

	key, value []byte // scratch
	blob       []byte // scratch
}

// State is what a Machine knows of a rule, and says whose a Match is.
type State struct {
	m    *Machine
	rule *Rule
	gone bool // the rules were set anew without it

	hash, shape   uint64 // of the name, and of the shape
	index         uint64 // in Machine.order
	since         int64  // when the rule was new
	begun         bool
	expectedArmed bool // what is expected was armed, and that was noted

	dedupeTTL, absentRepeat, forLength, debounceWait, debounceMax, batchWait, absentFor int64 // milliseconds
	expected                                                                            map[string]bool

	tables              stageTables
	queue               queue          // what waits for the windows to open
	closedFrom, opensAt int64          // by the wall: the windows are closed from, and open at
	lines               []*summaryLine // of Summarize
	feeds               []*summaryLine // of the rules that sum this one up
	suppressed          Suppressed
}

// Suppressed counts what did not fire, by reason, since the Machine was made.
type Suppressed struct {
	Sample      uint64 // matches left out by Sample
	Dedupe      uint64 // matches of a value that had come
	Outside     uint64 // firings outside the windows
	Once        uint64 // firings of a value that had fired
	Throttle    uint64 // firings that were too many
	Missed      uint64 // runs that were late, and not made up
	Evicted     uint64 // states that gave way to others, MaxKeys being reached
	HeldDropped uint64 // firings that waited for the windows to open, and were too many
}

// StateReport is what became of the state of a rule over a reload or a restart.
type StateReport struct {
	Rule    string
	Kept    bool // else it was dropped: the rule is gone, or has another shape
	States  int  // values by which something was counted or waited for
	Waiting int  // matches that were kept to fire later
}

// New returns a Machine that has no rules.
func New() *Machine {
	return &Machine{seed: maphash.MakeSeed(), states: map[string]*State{}, now: math.MinInt64, changeCount: firstChange}
}

// SetRules sets the rules. A rule whose name and shape are as they were goes on
// with the state it has, all others begin at now. It returns what was kept and
// what was dropped, of those that had any.
func (m *Machine) SetRules(rules []*Rule, now time.Time) []StateReport {
	if m.rulesSet {
		m.endRestore()
	}
	m.rulesSet = true
	m.now = max(m.now, now.UnixMilli())
	old := m.order
	states := make(map[string]*State, len(rules))
	m.order = make([]*State, 0, len(rules))
	var fates []StateReport
	for _, r := range rules {
		s := m.states[r.Name]
		if s != nil && s.rule.Shape == r.Shape {
			s.rule = r
			fates = s.appendReport(fates, true)
		} else {
			s = m.newState(r)
		}
		states[r.Name] = s
		m.order = append(m.order, s)
	}
	for _, s := range old {
		if states[s.rule.Name] != s {
			fates = s.appendReport(fates, false)
			s.discard()
		}
	}
	m.states = states
	m.linkSummaries()
	if m.restoreDone {
		m.beginNewRules()
		m.rearmWallTimers()
	}
	return fates
}

// State returns what is known of the rule of a name, nil if there is none. It
// is good until the rules are set without it, or with another shape.
func (m *Machine) State(rule string) *State { return m.states[rule] }

// States returns what is known of the rules, in their order.
func (m *Machine) States() iter.Seq[*State] { return slices.Values(m.order) }

// Rule returns the rule.
func (s *State) Rule() *Rule { return s.rule }

// Suppressed returns what did not fire.
func (s *State) Suppressed() Suppressed { return s.suppressed }

// Len returns how many values there are by which something is counted or
// waited for, of all stages together.
func (s *State) Len() int {
	n := 0
	for _, t := range s.tables.all {
		if t.stage.hasKeys() {
			n += t.n
		}
	}
	return n
}

// SetWallOffset says how far the clocks on walls are ahead of the Machine's times,
// which go on evenly. Windows and schedules go by them.
func (m *Machine) SetWallOffset(ahead time.Duration) {
	if wall := ahead.Milliseconds(); wall != m.wallOffset {
		m.wallOffset = wall
		if m.restoreDone {
			m.rearmWallTimers()
		}
	}
}

func (m *Machine) newState(r *Rule) *State {
	s := &State{
		m: m, rule: r, since: m.now, hash: hash64(r.Name), shape: hash64(r.Shape),
		closedFrom: never, opensAt: never,
		dedupeTTL: millis(r.Dedupe), absentRepeat: millis(r.Absent.Repeat), forLength: millis(r.For),
		debounceWait: millis(r.Debounce.Wait), debounceMax: millis(r.Debounce.MaxWait),
		batchWait: millis(r.Batch.Wait), absentFor: millis(r.Absent.For),
		expected: map[string]bool{},
	}
	s.newTables()
	for _, by := range r.Absent.Expect {
		s.expected[shortKey(by)] = true
	}
	for _, name := range r.Summarize {
		s.lines = append(s.lines, &summaryLine{owner: s, rule: name})
	}
	return s
}

// linkSummaries tells each rule which lines of summaries it counts for.
func (m *Machine) linkSummaries() {
	for i, s := range m.order {
		s.index, s.feeds = uint64(i), nil
	}
	for _, s := range m.order {
		for _, l := range s.lines {
			if of := m.states[l.rule]; of != nil {
				of.feeds = append(of.feeds, l)
			}
		}
	}
}

// endRestore ends what is restored: from now on it counts.
func (m *Machine) endRestore() {
	if m.restoreDone || !m.rulesSet {
		return
	}
	m.restoreDone = true
	m.orderRestored()
	m.beginNewRules()
	m.rearmWallTimers()
}

// beginNewRules has the rules begin that are new.
func (m *Machine) beginNewRules() {
	for _, s := range m.order {
		if s.begun {
			continue
		}
		s.begun = true
		s.armExpected()
		s.startSchedule()
	}
}

func (s *State) appendReport(fates []StateReport, kept bool) []StateReport {
	f := StateReport{Rule: s.rule.Name, Kept: kept, States: s.Len(), Waiting: s.waiting()}
	if f.States+f.Waiting == 0 {
		return fates
	}
	return append(fates, f)
}

// waiting counts the matches that are kept to fire later.
func (s *State) waiting() int {
	n := len(s.queue.items)
	if t := s.tables.debounce; t != nil {
		n += t.n
	}
	if t := s.tables.batch; t != nil {
		t.each(func(slot uint32, _ *node) { n += len(t.batches.at(slot).items) })
	}
	return n
}

// discard takes away all that there is of a rule.
func (s *State) discard() {
	s.gone = true
	for _, t := range s.tables.all {
		t.forgetAll(func(uint32) bool { return true })
	}
	for _, t := range s.tables.timed {
		s.m.tables[t.id] = nil
		s.m.freeTables = append(s.m.freeTables, t.id)
	}
	s.tables = stageTables{}
	for len(s.queue.items) > 0 {
		s.dequeue()
	}
	for _, l := range s.lines {
		l.delete()
	}
	if s.expectedArmed {
		s.m.delete(appendKey(nil, s.rule.Name, stageExpected, ""))
	}
}

// The changes of a Machine are counted between these. Of timers at the same time
// the first are those of windows that open, then all others in the order in
// which they were armed, then the runs: each has such a number.
const (
	firstChange = 1 << 32
	maxClock    = 1 << 62
)

// tick counts a change.
func (m *Machine) tick() uint64 {
	m.changeCount++
	return m.changeCount
}

func (m *Machine) delete(key []byte) {
	m.deletes = append(m.deletes, key)
	m.unsaved++
}

// millis rounds a duration up to milliseconds.
func millis(d time.Duration) int64 {
	if d <= 0 {
		return 0
	}
	return int64((d-1)/time.Millisecond) + 1
}

func timeOf(ms int64) time.Time { return time.UnixMilli(ms).UTC() }

func hash64(text string) uint64 {
	h := fnv.New64a()
	h.Write([]byte(text))
	return h.Sum64()
}

// maxKey is the length up to which a key is kept as it is.
const maxKey = 256

// shortKey returns a key that is not too long: of a longer one as much as there is
// room for, and a hash. It is longer than those that are kept as they are.
func shortKey(key string) string {
	if len(key) <= maxKey {
		return key
	}
	sum := sha256.Sum256([]byte(key))
	return key[:maxKey+1-16] + string(sum[:16])
}
