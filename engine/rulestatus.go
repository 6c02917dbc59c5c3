package engine

import (
	"fmt"
	"unicode/utf8"

	"triggerd/internal/admin"
	"triggerd/internal/timing"
)

// InspectRule returns what a rule counts and waits for, with at most limit
// timers and limit counts. The stream waits meanwhile: for a rule with a
// million states, some ten milliseconds.
func (e *Engine) InspectRule(name string, limit int) (*admin.RuleDetail, error) {
	status, err := e.findRuleStatus(name)
	if err != nil {
		return nil, err
	}
	d := &admin.RuleDetail{RuleStatus: *status}
	for _, s := range e.streams {
		t := s.sharedTiming.Load()
		if t == nil {
			continue
		}
		in, ok := t.inspect(name, limit)
		if !ok {
			continue
		}
		d.Held += in.Held
		d.Opens = earlierTime(d.Opens, in.Opens)
		for _, timer := range in.Timers {
			d.Timers = append(d.Timers, admin.TimerStatus{Stream: s.name, Stage: timer.Stage, By: printableBy(timer.By), Due: timer.Due, Fired: timer.Fired, Count: timer.Count, Since: timer.Since})
		}
		for _, c := range in.Counts {
			d.Windows = append(d.Windows, admin.WindowCount{Stream: s.name, Stage: c.Stage, By: printableBy(c.By), Count: c.Count, Suppressed: c.Suppressed})
		}
	}
	return d, nil
}

func (e *Engine) findRuleStatus(name string) (*admin.RuleStatus, error) {
	for _, r := range e.ruleStatus(e.pauses()) {
		if r.Name == name {
			return &r, nil
		}
	}
	return nil, fmt.Errorf("rule %q: %w", name, admin.ErrUnknown)
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
func (t *timeKeeper) inspect(rule string, limit int) (timing.Inspection, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.machine == nil {
		return timing.Inspection{}, false
	}
	in, ok := t.machine.Inspect(rule, limit)
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
