package engine

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"triggerd/internal/admin"
	"triggerd/internal/timing"
	"triggerd/rules"
)

// InspectRule returns what a rule counts and waits for, as q selects it. The
// stream waits meanwhile: for a rule with a million states, some ten milliseconds.
func (e *Engine) InspectRule(name string, q admin.RuleQuery) (*admin.RuleDetail, error) {
	status, err := e.findRuleStatus(name)
	if err != nil {
		return nil, err
	}
	d := &admin.RuleDetail{RuleStatus: *status}
	gen := e.gen.Load()
	if r := e.ruleNamed(name); r != nil {
		d.Source, d.Whole = gen.set.Text(r), gen.set.TextWithNeeds(r)
		if last := gen.states[r].lastEvent.Load(); last != nil {
			d.LastEvent = last.show()
		}
	}
	place, err := parseCursor(q.Cursor)
	if err != nil {
		return nil, err
	}
	limit := max(q.Limit, 1)
	more := false
	for _, s := range e.streams {
		t := s.sharedTiming.Load()
		if t == nil {
			continue
		}
		in, ok := t.inspect(name, timing.Inspected{Limit: place + limit + 1, Wants: wantsBy(q.By)})
		if !ok {
			continue
		}
		d.Held += in.Held
		d.Opens = earlierTime(d.Opens, in.Opens)
		timers, moreTimers := page(in.Timers, place, limit)
		counts, moreCounts := page(in.Counts, place, limit)
		more = more || moreTimers || moreCounts
		for _, timer := range timers {
			d.Timers = append(d.Timers, admin.TimerStatus{Stream: s.name, Stage: timer.Stage, By: printableBy(timer.By), Due: timer.Due, Fired: timer.Fired, Count: timer.Count, Since: timer.Since})
		}
		for _, c := range counts {
			d.Windows = append(d.Windows, admin.WindowCount{Stream: s.name, Stage: c.Stage, By: printableBy(c.By), Count: c.Count, Suppressed: c.Suppressed})
		}
	}
	if more {
		d.Next = strconv.Itoa(place + limit)
	}
	return d, nil
}

// maxPlace is how many states of a rule can be gone through.
const maxPlace = 1000

// parseCursor returns how many states were seen before. What waits and counts
// changes all the time, so a cursor is a place in the order of the moment.
func parseCursor(text string) (place int, err error) {
	if text == "" {
		return 0, nil
	}
	if place, err = strconv.Atoi(text); err != nil || place < 0 || place > maxPlace {
		return 0, fmt.Errorf("%w: cursor is the next of an answer, and at most %d, not %q", admin.ErrQuery, maxPlace, text)
	}
	return place, nil
}

// wantsBy returns what selects states whose value, as text, has a text in it; nil
// for all.
func wantsBy(having string) func(by string) bool {
	if having == "" {
		return nil
	}
	return func(by string) bool { return strings.Contains(printableBy(by), having) }
}

// page returns limit elements of a list from a place on, and whether more follow.
func page[T any](list []T, place, limit int) (part []T, more bool) {
	if place >= len(list) {
		return nil, false
	}
	list = list[place:]
	return list[:min(limit, len(list))], len(list) > limit
}

func (e *Engine) findRuleStatus(name string) (*admin.RuleStatus, error) {
	for _, r := range e.ruleStatus(e.pauses()) {
		if r.Name == name {
			return &r, nil
		}
	}
	return nil, unknownRule(name)
}

func unknownRule(name string) error { return fmt.Errorf("rule %q: %w", name, admin.ErrUnknown) }

// ruleNamed returns a rule of the present generation; nil if there is none.
func (e *Engine) ruleNamed(name string) *rules.Rule {
	for _, r := range e.gen.Load().set.Rules {
		if r.Name == name {
			return r
		}
	}
	return nil
}

// printableBy returns a value of a rule's by as text. For a rule with the field
// for, that is a database and a key.
func printableBy(by string) string {
	if utf8.ValidString(by) {
		return by
	}
	return printable([]byte(by))
}

// inspect asks the timing machine about a rule. The times that it returns are
// the machine's clock's.
func (t *timeKeeper) inspect(rule string, of timing.Inspected) (timing.Inspection, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.machine == nil {
		return timing.Inspection{}, false
	}
	in, ok := t.machine.Inspect(rule, of)
	in.Opens = t.clock.toMachine(in.Opens)
	for i := range in.Timers {
		in.Timers[i].Due, in.Timers[i].Since = t.clock.toMachine(in.Timers[i].Due), t.clock.toMachine(in.Timers[i].Since)
	}
	return in, ok
}

// suppressedByReason returns how many matches and firings were suppressed, by
// the reason's name in status and metrics.
func suppressedByReason(s timing.Suppressed) map[string]int64 {
	all := map[string]uint64{
		"sample": s.Sample, "dedupe": s.Dedupe, "outside": s.Outside, "once": s.Once, "throttle": s.Throttle,
		"missed": s.Missed, "evicted": s.Evicted, "held_dropped": s.HeldDropped,
	}
	out := map[string]int64{}
	for reason, n := range all {
		if n > 0 {
			out[reason] = int64(n)
		}
	}
	return out
}

// addStatus adds to the status of each rule what the timing machine knows of
// it.
func (t *timeKeeper) addStatus(list []admin.RuleStatus) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.machine == nil {
		return
	}
	for i := range list {
		if s := t.machine.State(list[i].Name); s != nil {
			r := &list[i]
			r.Timed = true
			r.States += s.Len()
			r.Armed += s.Armed()
			r.Open += s.Open()
			for reason, n := range suppressedByReason(s.Suppressed()) {
				if r.Suppressed == nil {
					r.Suppressed = map[string]int64{}
				}
				r.Suppressed[reason] += n
			}
			r.NextRun = earlierTime(r.NextRun, t.clock.toMachine(s.NextRun()))
		}
	}
}
