package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"triggerd/actions"
	"triggerd/internal/event"
	"triggerd/internal/firing"
	"triggerd/internal/timing"
	"triggerd/rules"
)

// Trace is what a rule made of the feed of a test, step by step.
type Trace struct {
	Rule  *rules.Rule
	Steps []TracedStep
	Cut   bool // events and firings are missing: see ActionOptions.MaxTraced
}

// TracedStep is one step of a feed: a command, which may stand in a transaction
// and then does something at the EXEC only, or a pause.
type TracedStep struct {
	Step     rules.Step
	At       time.Time // of the feed's clock, after the step
	Events   []TracedEvent
	Fired    []TracedFiring // by time alone
	Withheld string         // why something that was due by time alone did not fire
}

// TracedEvent is an event, and what the rule made of it.
type TracedEvent struct {
	Event    *event.Event // owned
	Checks   []rules.Check
	Fired    []TracedFiring
	Withheld string // what became of a match that does not fire now
}

// TracedFiring is one firing of the rule.
type TracedFiring struct {
	DryRun   bool      // the rule's dry_run: nothing is delivered
	Resolved bool      // it tells of the end of what has fired
	Requests []Request // what each action of the rule would send

	firing firing.Firing // what all of them are given
}

// Request is what an action would send, without secrets.
type Request struct {
	Action  string // its name within the rule
	Preview actions.Preview
	Err     error // why there is no preview
}

// Matches reports whether the rule matches the event.
func (e *TracedEvent) Matches() bool {
	for _, c := range e.Checks {
		if !c.OK {
			return false
		}
	}
	return true
}

// Fired returns all firings of the rule, in their order.
func (t *Trace) Fired() []TracedFiring {
	var all []TracedFiring
	for i := range t.Steps {
		all = append(all, t.Steps[i].Fired...)
		for j := range t.Steps[i].Events {
			all = append(all, t.Steps[i].Events[j].Fired...)
		}
	}
	return all
}

// Explain plays the steps of a test, in a database, to all rules of its set, and
// returns what one of them makes of it. Nothing is delivered. The set must not
// be in use by another engine.
func Explain(ctx context.Context, set *rules.Set, rule *rules.Rule, test *rules.Test, db int, o ActionOptions) (*Trace, error) {
	f := newFeed(test, db, []*rules.Rule{rule})
	if err := f.play(ctx, set, o, nil); err != nil {
		return nil, err
	}
	return f.traces[0].Trace, nil
}

// tracer makes a Trace.
type tracer struct {
	*Trace
	feed []rules.Step

	atStep, atEvent timing.Inspection // what the rule waited for, when these began
	skips           bool              // the event at hand is not told of
}

func (t *tracer) step() *TracedStep { return &t.Steps[len(t.Steps)-1] }

func (t *tracer) event() *TracedEvent {
	s := t.step()
	return &s.Events[len(s.Events)-1]
}

func (t *tracer) beginStep(f *feed, c *chunk) {
	if c.step >= 0 {
		t.Steps = append(t.Steps, TracedStep{Step: t.feed[c.step], At: c.at})
		t.atStep = f.inspect(t.Rule)
	}
}

// endStep tells what was withheld of what time alone released.
func (t *tracer) endStep(f *feed) {
	if f.playing() && len(t.step().Events) == 0 && len(t.step().Fired) == 0 {
		t.step().Withheld = suppressedBy(&t.atStep, f.inspectNow(t.Rule))
	}
}

func (t *tracer) beginEvent(f *feed, ev *event.Event) {
	s := t.step()
	if t.skips = !f.mayTrace(); t.skips {
		t.Cut = true
		return
	}
	s.Events = append(s.Events, TracedEvent{Event: ev.Clone(), Checks: f.e.gen.Load().set.Explain(t.Rule, ev, f.e.streams[0].interpreter.Lookup)})
	t.atEvent = f.inspect(t.Rule)
}

func (t *tracer) endEvent(f *feed) {
	if t.skips {
		return
	}
	e := t.event()
	if len(e.Fired) > 0 || t.Rule.Time == nil {
		return
	}
	after := f.inspectNow(t.Rule)
	if !e.Matches() {
		e.Withheld = endedWait(&t.atEvent, after)
		return
	}
	if e.Withheld = suppressedBy(&t.atEvent, after); e.Withheld == "" {
		e.Withheld = waitsFor(t.Rule.Time, &t.atEvent, after)
	}
}

func (t *tracer) fire(f *feed, by firing.Trigger, fired firing.Firing) {
	if !f.playing() {
		return
	}
	if f.inside && t.skips || !f.mayTrace() {
		t.Cut = true
		return
	}
	gen := f.e.gen.Load()
	fired.Rule, fired.Attempt = t.Rule.Name, 1
	out := TracedFiring{DryRun: t.Rule.DryRun, Resolved: fired.Status == event.StatusResolved, firing: fired}
	for _, a := range t.Rule.Actions {
		one := fired
		one.Action, one.ID = a.Name, by.Firing(t.Rule.Name, a.Name)
		r := Request{Action: a.Name}
		r.Preview, r.Err = f.render(gen.endpoints[gen.endpointOf[a]].Action, &one)
		out.Requests = append(out.Requests, r)
	}
	if f.inside {
		e := t.event()
		e.Fired = append(e.Fired, out)
		return
	}
	t.step().Fired = append(t.step().Fired, out)
}

// maxRenderTime is how long requests may take to be rendered where MaxRendered is
// set.
const maxRenderTime = 500 * time.Millisecond

// render returns what an action would send, unless too much was rendered before.
func (f *feed) render(a actions.Action, one *firing.Firing) (actions.Preview, error) {
	if most := f.limits.MaxRendered; most > 0 && (f.rendered > most || f.took > maxRenderTime) {
		return actions.Preview{}, errors.New("so much is sent before it that this is not shown")
	}
	began := time.Now()
	p, err := actions.Render(f.ctx, a, one)
	f.rendered += len(p.Body)
	f.took += time.Since(began)
	return p, err
}

// maxInspected is how many timers and counts of a rule a trace looks at.
const maxInspected = 1000

// inspect returns what a rule counts and waits for.
func (f *feed) inspect(r *rules.Rule) timing.Inspection {
	m := f.e.streams[0].timing.machine
	if m == nil || r.Time == nil {
		return timing.Inspection{}
	}
	in, _ := m.Inspect(r.Name, timing.Inspected{Limit: maxInspected})
	return in
}

func (f *feed) inspectNow(r *rules.Rule) *timing.Inspection {
	in := f.inspect(r)
	return &in
}

// suppressedBy says which stage of a rule has dropped a match between two
// inspections; "" if none has.
func suppressedBy(before, after *timing.Inspection) string {
	b, a := &before.Suppressed, &after.Suppressed
	switch {
	case a.Sample > b.Sample:
		return "sample leaves it out"
	case a.Dedupe > b.Dedupe:
		return "dedupe drops it: the same value came before, within its ttl"
	case a.Once > b.Once:
		return "once drops it: it has fired before"
	case a.Throttle > b.Throttle:
		return "throttle holds it back: there were as many firings as it lets through"
	case a.Outside > b.Outside:
		return "active or mute drops it: it is outside the windows"
	case a.HeldDropped > b.HeldDropped:
		return "too many wait for the windows to open, the oldest is dropped"
	}
	return ""
}

// waitsFor says what became of a match that was neither released nor dropped.
func waitsFor(x *timing.Rule, before, after *timing.Inspection) string {
	if after.Held > before.Held {
		return "it waits for the windows to open, at " + clockText(after.Opens)
	}
	if x.Count.Within > 0 {
		return countText(x, before, after)
	}
	if x.Episode.On && (x.For == 0 || slices.Equal(before.Timers, after.Timers)) {
		return "it is open, and fires no more until it ends"
	}
	if t := newTimer(before, after); t != nil {
		if t.Stage == "batch" {
			return fmt.Sprintf("batch has %d of %d%s, and fires at %s at the latest", t.Count, x.Batch.Max, ofBy(t.By), clockText(t.Due))
		}
		return fmt.Sprintf("%s waits%s until %s", t.Stage, ofBy(t.By), clockText(t.Due))
	}
	if x.For > 0 {
		return "for has fired, and does not again while it holds"
	}
	return "it waits still"
}

// newTimer returns the timer that an event has set, or else the only one that is
// armed; nil if there is none.
func newTimer(before, after *timing.Inspection) *timing.Timer {
	var armed []*timing.Timer
	for i := range after.Timers {
		t := &after.Timers[i]
		if t.Due.IsZero() || t.Fired {
			continue
		}
		if !slices.Contains(before.Timers, *t) {
			return t
		}
		armed = append(armed, t)
	}
	if len(armed) == 1 {
		return armed[0]
	}
	return nil
}

// countText says how many matches a count has. One that is above its limit has
// fired, and goes no further.
func countText(x *timing.Rule, before, after *timing.Inspection) string {
	for _, c := range after.Counts {
		if c.Stage == "count" && !slices.Contains(before.Counts, c) && c.Count <= x.Count.Over {
			return fmt.Sprintf("count has %d%s, and fires with more than %d", c.Count, ofBy(c.By), x.Count.Over)
		}
	}
	return fmt.Sprintf("count has fired, and does not again before there were %d or fewer", x.Count.Over)
}

// ofBy names the value that a stage counts apart.
func ofBy(by string) string {
	if by == "" {
		return ""
	}
	return " for " + string(event.AppendText(nil, by))
}

func clockText(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// endedWait says that an event which does not match has ended a wait; "" if it
// has not.
func endedWait(before, after *timing.Inspection) string {
	for _, t := range before.Timers {
		gone := true
		for _, left := range after.Timers {
			gone = gone && (left.Stage != t.Stage || left.By != t.By)
		}
		switch {
		case gone && t.Stage == "open":
			return "is open no more" + ofBy(t.By)
		case gone:
			return fmt.Sprintf("%s waits no more%s", t.Stage, ofBy(t.By))
		}
	}
	return ""
}
