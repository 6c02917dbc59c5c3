package engine

import (
	"fmt"
	"unicode/utf8"

	"triggerd/internal/admin"
	"triggerd/internal/timing"
)

// InspectRule returns what a rule counts and waits for, with up to limit
// timers and counts. The reader waits meanwhile: for a rule with a million
// states some ten milliseconds.
func (e *Engine) InspectRule(name string, limit int) (*admin.RuleDetail, error) {
	status, err := e.oneRule(name)
	if err != nil {
		return nil, err
	}
	d := &admin.RuleDetail{RuleStatus: *status}
	for _, s := range e.streams {
		t := s.shown.Load()
		if t == nil {
			continue
		}
		in, ok := t.inspect(name, limit)
		if !ok {
			continue
		}
		d.Held += in.Held
		d.Opens = earlier(d.Opens, in.Opens)
		for _, timer := range in.Timers {
			d.Timers = append(d.Timers, admin.TimerStatus{Stream: s.name, Stage: timer.Stage, By: byText(timer.By), Due: timer.Due, Fired: timer.Fired, Count: timer.Count})
		}
		for _, c := range in.Counts {
			d.Windows = append(d.Windows, admin.WindowCount{Stream: s.name, Stage: c.Stage, By: byText(c.By), Count: c.Count, Suppressed: c.Suppressed})
		}
	}
	return d, nil
}

func (e *Engine) oneRule(name string) (*admin.RuleStatus, error) {
	for _, r := range e.ruleStatus(e.pausedSince()) {
		if r.Name == name {
			return &r, nil
		}
	}
	return nil, fmt.Errorf("rule %q: %w", name, admin.ErrUnknown)
}

// byText shows a value of a by to people: that of for is a database and a key.
func byText(by string) string {
	if utf8.ValidString(by) {
		return by
	}
	return text([]byte(by))
}

// inspect asks the machine about a rule. Its times become the machine's clock's.
func (t *timer) inspect(rule string, limit int) (timing.Inspection, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.m == nil {
		return timing.Inspection{}, false
	}
	in, ok := t.m.Inspect(rule, limit)
	in.Opens = t.clock.machine(in.Opens)
	for i := range in.Timers {
		in.Timers[i].Due = t.clock.machine(in.Timers[i].Due)
	}
	return in, ok
}

// Reasons for which what matched does not fire.
func suppressedBy(s timing.Suppressed) map[string]int64 {
	all := map[string]uint64{
		"sample": s.Sample, "dedupe": s.Dedupe, "outside": s.Outside, "once": s.Once, "throttle": s.Throttle,
		"missed": s.Missed, "evicted": s.Evicted, "held_dropped": s.Dropped,
	}
	out := map[string]int64{}
	for reason, n := range all {
		if n > 0 {
			out[reason] = int64(n)
		}
	}
	return out
}

// addTo adds what is known of time to the status of rules.
func (t *timer) addTo(list []admin.RuleStatus) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.m == nil {
		return
	}
	for i := range list {
		if s := t.m.State(list[i].Name); s != nil {
			r := &list[i]
			r.Timed = true
			r.States += s.Len()
			r.Armed += s.Armed()
			for reason, n := range suppressedBy(s.Suppressed()) {
				if r.Suppressed == nil {
					r.Suppressed = map[string]int64{}
				}
				r.Suppressed[reason] += n
			}
			r.NextRun = earlier(r.NextRun, t.clock.machine(s.NextRun()))
		}
	}
}
