package timing

import (
	"cmp"
	"slices"
	"time"
)

// Inspection is what a rule counts and waits for. Times are the machine's.
type Inspection struct {
	Rule       *Rule
	States     int       // values by which something is counted or waited for, in all stages
	Armed      int       // timers of Absent, Debounce, For and Batch
	Timers     []Timer   // of these, those due first
	Counts     []Tally   // of Count and Throttle, the largest first
	Open       int       // episodes that have not ended
	Held       int       // candidates that wait for the windows to open
	Opens      time.Time // when the windows open for them; zero: none waits
	NextRun    time.Time // of the schedule; zero: there is none
	Suppressed Suppressed
}

// Inspected says how much of a rule is looked at.
type Inspected struct {
	Limit int                  // timers, and counts, at most
	Wants func(by string) bool // by the value that they are of; nil: all
}

// wants reports whether a value's states are looked at.
func (o *Inspected) wants(by string) bool { return o.Wants == nil || o.Wants(by) }

// Timer is a timer that is armed, or an Absent, For or Episode that has fired and
// waits for its end.
type Timer struct {
	Stage string // "absent", "debounce", "for", "open" for an Episode, or "batch"
	By    string
	Due   time.Time // zero: it has fired, and does not repeat
	Fired bool
	Count int       // matches that it will release
	Since time.Time // of an Episode: when it began
}

// Tally is the count of a window.
type Tally struct {
	Stage      string // "count" or "throttle"
	By         string
	Count      int // no larger than it has to be to tell that the limit is reached
	Suppressed int // by Throttle, since the release before
}

// Inspect returns what a rule counts and waits for. It returns false if there is no such rule. It reads all
// states of the rule.
func (m *Machine) Inspect(rule string, of Inspected) (Inspection, bool) {
	m.endRestore()
	s := m.states[rule]
	if s == nil {
		return Inspection{}, false
	}
	in := Inspection{Rule: s.rule, States: s.Len(), Armed: s.Armed(), Open: s.Open(), Held: len(s.queue.items), NextRun: s.NextRun(), Suppressed: s.suppressed}
	in.Opens = s.tables.queue.due()
	for _, t := range s.tables.timed {
		if t.stage.hasKeys() {
			in.addTimers(t, &of)
		}
	}
	if t := s.tables.episodes; t != nil {
		in.addEpisodes(t, &of)
	}
	for _, t := range [...]*windowTable{s.tables.count, s.tables.throttle} {
		if t != nil {
			in.addCounts(t, &of)
		}
	}
	return in, true
}

// Armed returns how many timers of Absent, Debounce, For and Batch are armed.
func (s *State) Armed() int {
	n := 0
	for _, t := range s.tables.timed {
		if t.stage.hasKeys() {
			n += t.armed
		}
	}
	return n
}

// NextRun returns when the schedule has its next run; zero: it has none.
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

func (in *Inspection) addTimers(t *timerTable, of *Inspected) {
	t.each(func(slot uint32, n *node) {
		if !of.wants(t.key(slot)) {
			return
		}
		w := t.waits.at(slot)
		timer := Timer{Stage: t.stage.String(), By: t.key(slot), Fired: n.flags&fired != 0, Count: int(w.count)}
		if b, ok := t.family.(*batchTable); ok {
			timer.Count = len(b.batches.at(slot).items)
		}
		if w.timer != 0 {
			timer.Due = timeOf(w.deadline)
		}
		in.Timers = keepFirst(in.Timers, timer, of.Limit, earlierTimer)
	})
}

func (in *Inspection) addEpisodes(t *episodeTable, of *Inspected) {
	t.each(func(slot uint32, n *node) {
		if !of.wants(t.key(slot)) {
			return
		}
		timer := Timer{Stage: t.stage.String(), By: t.key(slot), Fired: true, Since: timeOf(t.cells.at(slot).since)}
		in.Timers = keepFirst(in.Timers, timer, of.Limit, earlierTimer)
	})
}

func (in *Inspection) addCounts(t *windowTable, of *Inspected) {
	t.each(func(slot uint32, n *node) {
		if !of.wants(t.key(slot)) {
			return
		}
		row := t.cells.row(slot)
		tally := Tally{Stage: t.stage.String(), By: t.key(slot), Count: t.window.count(row, n.times, t.window.unitOf(t.m.now)), Suppressed: int(row[countCell])}
		in.Counts = keepFirst(in.Counts, tally, of.Limit, largerTally)
	})
}

// earlierTimer orders timers: first the armed ones, by when they are due.
func earlierTimer(a, b Timer) int {
	if a.Due.IsZero() != b.Due.IsZero() {
		if a.Due.IsZero() {
			return 1
		}
		return -1
	}
	return cmp.Or(a.Due.Compare(b.Due), a.Since.Compare(b.Since), cmp.Compare(a.By, b.By))
}

func largerTally(a, b Tally) int {
	return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(b.Suppressed, a.Suppressed), cmp.Compare(a.By, b.By))
}

// keepFirst inserts an element into a sorted list that has at most limit
// elements.
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
	case stageEpisode:
		return "open"
	case stageBatch:
		return "batch"
	case stageCount:
		return "count"
	case stageThrottle:
		return "throttle"
	}
	return ""
}
