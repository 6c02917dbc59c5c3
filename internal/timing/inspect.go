package timing

import (
	"cmp"
	"slices"
	"time"
)

// Inspection is what a rule counts and waits for. Times are the Machine's.
type Inspection struct {
	Rule       *Rule
	States     int       // values by which something is counted or waited for, of all stages together
	Armed      int       // timers of Absent, Debounce, For and Batch
	Timers     []Timer   // of these, those due first
	Counts     []Tally   // of Count and Throttle, the largest
	Held       int       // firings that wait for the windows to open
	Opens      time.Time // when these fire; zero: there are none
	NextRun    time.Time // of the schedule; zero: there is none
	Suppressed Suppressed
}

// Timer is one that is armed, or has fired and waits for what ends that.
type Timer struct {
	Stage string // "absent", "debounce", "for" or "batch"
	By    string
	Due   time.Time // zero: it has fired, and does not repeat
	Fired bool
	Count int // matches that wait for it
}

// Tally is how many are in a window.
type Tally struct {
	Stage      string // "count" or "throttle"
	By         string
	Count      int // what is more than is needed to tell that it is too much is not counted
	Suppressed int // of Throttle, since the last that passed
}

// Inspect returns what a rule counts and waits for, with up to limit timers and
// counts; false if there is no such rule. It looks at all states of the rule.
func (m *Machine) Inspect(rule string, limit int) (Inspection, bool) {
	m.endRestore()
	s := m.states[rule]
	if s == nil {
		return Inspection{}, false
	}
	in := Inspection{Rule: s.rule, States: s.Len(), Armed: s.Armed(), Held: len(s.queue.items), NextRun: s.NextRun(), Suppressed: s.suppressed}
	in.Opens = s.tables.queue.due()
	for _, t := range s.tables.timed {
		if t.stage.hasKeys() {
			in.addTimers(t, limit)
		}
	}
	for _, t := range [...]*windowTable{s.tables.count, s.tables.throttle} {
		if t != nil {
			in.addCounts(t, limit)
		}
	}
	return in, true
}

// Armed returns how many timers of Absent, Debounce, For and Batch run.
func (s *State) Armed() int {
	n := 0
	for _, t := range s.tables.timed {
		if t.stage.hasKeys() {
			n += t.armed
		}
	}
	return n
}

// NextRun returns when the schedule has its next run, zero if there is none.
func (s *State) NextRun() time.Time { return s.tables.run.due() }

// due returns when the timer of the table's only state is due; zero: it is not
// armed.
func (t *timerTable) due() time.Time {
	if t == nil {
		return time.Time{}
	}
	if slot, ok := t.find(""); ok && t.waits.at(slot).timer != 0 {
		return timeOf(t.waits.at(slot).deadline)
	}
	return time.Time{}
}

func (in *Inspection) addTimers(t *timerTable, limit int) {
	t.each(func(slot uint32, n *node) {
		w := t.waits.at(slot)
		timer := Timer{Stage: t.stage.String(), By: t.key(slot), Fired: n.flags&fired != 0, Count: int(w.count)}
		if b, ok := t.family.(*batchTable); ok {
			timer.Count = len(b.batches.at(slot).items)
		}
		if w.timer != 0 {
			timer.Due = timeOf(w.deadline)
		}
		in.Timers = keepFirst(in.Timers, timer, limit, earlierTimer)
	})
}

func (in *Inspection) addCounts(t *windowTable, limit int) {
	t.each(func(slot uint32, n *node) {
		row := t.cells.row(slot)
		tally := Tally{Stage: t.stage.String(), By: t.key(slot), Count: t.window.count(row, n.times, t.window.unitOf(t.m.now)), Suppressed: int(row[countCell])}
		in.Counts = keepFirst(in.Counts, tally, limit, largerTally)
	})
}

// earlierTimer orders timers: those that are armed by when they are due, then the
// others.
func earlierTimer(a, b Timer) int {
	if a.Due.IsZero() != b.Due.IsZero() {
		if a.Due.IsZero() {
			return 1
		}
		return -1
	}
	return cmp.Or(a.Due.Compare(b.Due), cmp.Compare(a.By, b.By))
}

func largerTally(a, b Tally) int {
	return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(b.Suppressed, a.Suppressed), cmp.Compare(a.By, b.By))
}

// keepFirst puts an element where it belongs in a sorted list of at most limit.
func keepFirst[T any](list []T, e T, limit int, compare func(a, b T) int) []T {
	if len(list) >= limit {
		if limit <= 0 || compare(e, list[len(list)-1]) >= 0 {
			return list
		}
		list = list[:len(list)-1]
	}
	i, _ := slices.BinarySearchFunc(list, e, compare)
	return slices.Insert(list, i, e)
}

func (s stage) String() string {
	switch s {
	case stageAbsent:
		return "absent"
	case stageDebounce:
		return "debounce"
	case stageFor:
		return "for"
	case stageBatch:
		return "batch"
	case stageCount:
		return "count"
	case stageThrottle:
		return "throttle"
	}
	return ""
}
