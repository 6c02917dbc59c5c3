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

// Machine holds what all rules count and wait for. One goroutine may use it at
// a time. Make it with New.
//
// It is set up by SetRules, and by Restore for each entry that an earlier
// machine has left. From then on the owner advances it as time passes, and
// before each match to the time of that match. What is released, and the
// entries of Changes, belong into one atomic write.
type Machine struct {
	seed       maphash.Seed
	states     map[string]*State
	order      []*State // in the order of the rules
	now        int64    // the time that it was advanced to
	wallOffset int64    // what to add to get the time of day

	changeCount uint64 // changes so far, from firstChange on
	timers      timers // of all stages but Absent
	absent      timers

	tables     []*timerTable // by their id
	freeTables []uint32

	rulesSet    bool // SetRules was called
	restoreDone bool // something other than SetRules and Restore was called after that
	restored    restored

	dirty         []*stateTable // with states to be written
	dirtyHeld     []*State
	dirtyLines    []*summaryLine
	dirtyExpected []*State
	deletes       [][]byte  // keys of entries to be deleted
	ended         []Release // see Ended
	lasting       []*State  // of rules with For or Episode, in the order of the rules
	unsaved       int       // entries to be put or deleted

	key, value []byte // scratch
	blob, slim []byte // scratch
}

// State is what a Machine knows of a rule. An Arrival names its rule by it.
type State struct {
	m    *Machine
	rule *Rule
	gone bool // the rules were set without it

	hash, shape   uint64 // of the name, and of the shape
	index         uint64 // in Machine.order
	since         int64  // when the rule was new
	begun         bool
	expectedArmed bool // armExpected has run, perhaps in an earlier process

	dedupeTTL, absentRepeat, forLength, debounceWait, debounceMax, batchWait, absentFor int64 // milliseconds
	expected                                                                            map[string]bool

	tables              stageTables
	queue               queue          // candidates that wait for the windows to open
	closedFrom, opensAt int64          // by the wall: the windows are closed from, and open at
	lines               []*summaryLine // of Summarize
	feeds               []*summaryLine // lines of other rules that count this one
	suppressed          Suppressed
}

// Suppressed counts what was not released, by reason, since the Machine was
// made.
type Suppressed struct {
	Sample      uint64 // matches left out by Sample
	Dedupe      uint64 // matches of a value that had come within the ttl
	Outside     uint64 // candidates outside the windows
	Once        uint64 // candidates of a value that had been released
	Throttle    uint64 // candidates over the limit
	Missed      uint64 // runs that were too late, and not made up
	Evicted     uint64 // states that gave way because MaxKeys was reached
	HeldDropped uint64 // candidates that waited for the windows to open, and were too many
}

// StateReport says whether the state of a rule was kept over a reload or a
// restart.
type StateReport struct {
	Rule    string
	Kept    bool // false: it was dropped, since the rule is gone or has another shape
	States  int  // values by which something was counted or waited for
	Waiting int  // matches that were kept to be released later
	Open    int  // of the states that were dropped, episodes that were released and have to be resolved
}

// New returns a Machine that has no rules.
func New() *Machine {
	return &Machine{seed: maphash.MakeSeed(), states: map[string]*State{}, now: math.MinInt64, changeCount: firstChange}
}

// SetRules sets the rules. A rule with the name and shape of an earlier one
// keeps its state. All others begin at now. It reports, for each rule that had
// any state, whether that was kept.
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

// State returns what is known of a rule, nil if there is no such rule. It is
// valid until the rules are set without the rule, or with another shape of it.
func (m *Machine) State(rule string) *State { return m.states[rule] }

// States returns what is known of each rule, in their order.
func (m *Machine) States() iter.Seq[*State] { return slices.Values(m.order) }

// Rule returns the rule.
func (s *State) Rule() *Rule { return s.rule }

// Suppressed returns what was not released.
func (s *State) Suppressed() Suppressed { return s.suppressed }

// Len returns by how many values something is counted or waited for, in all
// stages together.
func (s *State) Len() int {
	n := 0
	for _, t := range s.tables.all {
		if t.stage.hasKeys() {
			n += t.n
		}
	}
	return n
}

// SetWallOffset says how far the time of day is ahead of the machine's time,
// which passes evenly. Windows and schedules go by the time of day.
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

// linkSummaries gives each rule the summary lines that count it.
func (m *Machine) linkSummaries() {
	m.lasting = nil
	for i, s := range m.order {
		s.index, s.feeds = uint64(i), nil
		if s.rule.For > 0 || s.rule.Episode.On {
			m.lasting = append(m.lasting, s)
		}
	}
	for _, s := range m.order {
		for _, l := range s.lines {
			if of := m.states[l.rule]; of != nil {
				of.feeds = append(of.feeds, l)
			}
		}
	}
}

// endRestore is called by everything that needs the state complete. After its
// first call nothing is restored any more.
func (m *Machine) endRestore() {
	if m.restoreDone || !m.rulesSet {
		return
	}
	m.restoreDone = true
	m.orderRestored()
	m.beginNewRules()
	m.rearmWallTimers()
}

// beginNewRules arms what a new rule waits for from its start.
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
	if !kept {
		f.Open = s.toResolve()
	}
	if f.States+f.Waiting == 0 {
		return fates
	}
	return append(fates, f)
}

// waiting returns how many matches are kept to be released later.
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

// discard deletes the state of a rule. What is told of is resolved.
func (s *State) discard() {
	s.gone = true
	s.m.ended = s.appendEnded(s.m.ended)
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

// A Machine counts its changes from firstChange to maxClock. The count is also
// the place of a timer among those with the same deadline: in the order in
// which they were armed. The timer of windows that open has a smaller number,
// so it comes before them, and that of a run a larger one.
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

// maxKey is the longest key that is kept as it is.
const maxKey = 256

// shortKey returns a key that is at most maxKey+1 bytes long. A longer key is
// cut and gets a hash at its end. That makes it one byte longer than any that
// is kept as it is, so the two cannot be equal.
func shortKey(key string) string {
	if len(key) <= maxKey {
		return key
	}
	sum := sha256.Sum256([]byte(key))
	return key[:maxKey+1-16] + string(sum[:16])
}
