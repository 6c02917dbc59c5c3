package engine

import (
	"context"
	"hash/fnv"
	"log/slog"
	"strconv"
	"sync"
	"time"

	"triggerd/internal/event"
	"triggerd/internal/firing"
	"triggerd/internal/outbox"
	"triggerd/internal/store"
	"triggerd/internal/timing"
	"triggerd/rules"
	"triggerd/source"
)

// timer has the reader's matches wait for what their rules say of time.
type timer struct {
	stream  *stream
	gen     *generation
	clock   clock
	states  map[*rules.Rule]*timing.State
	firings []timing.Firing

	mu sync.Mutex      // guards m, which others look at
	m  *timing.Machine // set by the reader alone; nil: no rule has ever said anything of time
}

// match is a match in hand, of which the machine keeps what it needs.
type match struct{ *rules.Match }

// Append implements timing.Data.
func (m match) Append(dst []byte) []byte {
	return firing.AppendEvent(dst, m.Event)
}

// AppendSlim implements timing.Data.
func (m match) AppendSlim(dst []byte) []byte {
	return firing.AppendSlimEvent(dst, m.Event)
}

// use takes over the rules of a generation, at now by the machine's clock.
func (t *timer) use(gen *generation, now time.Time) {
	t.gen = gen
	var list []*timing.Rule
	for _, r := range gen.set.Rules {
		if t.follows(r) {
			list = append(list, r.Time)
		}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if list == nil && t.m == nil {
		return
	}
	if t.m == nil {
		t.m = timing.New()
	}
	t.report("rules with time fields after a reload", t.m.SetRules(list, t.clock.now(now)))
	t.states = make(map[*rules.Rule]*timing.State, len(list))
	for _, r := range gen.set.Rules {
		if t.follows(r) {
			t.states[r] = t.m.State(r.Name)
		}
	}
}

// follows reports whether a rule has time fields that this stream keeps. A
// schedule is the first stream's: each run is to be made once.
func (t *timer) follows(r *rules.Rule) bool {
	s := t.stream
	return r.Enabled && r.Time != nil && (r.Schedule == nil || s == s.e.streams[0])
}

// report tells what became of the state of rules.
func (t *timer) report(msg string, fates []timing.Fate) {
	for _, f := range fates {
		level, what := slog.LevelInfo, "kept"
		if !f.Kept {
			level, what = slog.LevelWarn, "dropped: the rule is gone, or its time fields have changed"
		}
		t.stream.e.log.Log(context.Background(), level, msg, "rule", f.Rule, "state", what, "values", f.States, "waiting", f.Waiting)
	}
}

// match takes a match of a rule with time fields. It returns what fires by it,
// which is valid until the next call.
func (t *timer) match(m *rules.Match) []timing.Firing {
	x := timing.Match{State: t.states[m.Rule], Role: m.Role, At: t.clock.now(m.Event.Time), Data: match{m}}
	if !t.stream.matcher.Keys(&x.Keys, m) {
		return nil // counted as a condition that failed
	}
	if m.Rule.Time.Sample != 0 {
		x.Hash = identity(m.Event)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.firings = t.m.Match(t.firings[:0], &x)
	return t.firings
}

// identity is a hash of what identifies an event.
func identity(ev *event.Event) uint64 {
	h := fnv.New64a()
	h.Write([]byte(firing.TriggerOf(ev)))
	return h.Sum64()
}

// emptied tells of a database whose keys are all gone, or others: what has to
// hold for some time does not any more.
func (t *timer) emptied(ev *event.Event) {
	if t.m == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	switch ev.Name {
	case event.FlushAll:
		t.m.EndAll("")
	case event.FlushDB:
		t.m.EndAll(strconv.Itoa(ev.DB) + "/")
	case event.SwapDB:
		for _, db := range ev.Args {
			t.m.EndAll(string(db) + "/")
		}
	}
}

// advance fires what was due before a record.
func (t *timer) advance(rec *source.Record) {
	if t.m == nil {
		return
	}
	if rec.Kind == source.Heartbeat || rec.Kind == source.Woken || rec.Kind == source.Attached { // each ten seconds, at least
		t.setWall()
	}
	now, seen := t.clock.now(rec.Time), t.clock.now(t.clock.seen)
	for {
		t.mu.Lock()
		deadline, absent := t.m.Next()
		next := earlier(deadline, absent)
		if next.IsZero() || next.After(now) {
			t.mu.Unlock()
			return
		}
		to := now
		if t.clock.replay {
			to, seen = next, next // each repetition, each run of a schedule
		}
		t.firings = t.m.Advance(t.firings[:0], to, seen)
		t.mu.Unlock()
		if len(t.firings) == 0 && !t.clock.replay {
			return
		}
		for i := range t.firings {
			t.plan(&t.firings[i], nil, nil)
			t.stream.flushPart()
		}
		t.stream.flushFired(rec)
	}
}

// setWall tells how the computer's clock stands, by which windows and schedules
// go.
func (t *timer) setWall() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.m.SetWall(t.clock.wall(time.Now()))
}

// plan makes the firings of what fired: by the match in hand, of which owned is
// the event, or nil.
func (t *timer) plan(f *timing.Firing, m *rules.Match, owned *event.Event) {
	rule := t.stream.gen.byName[f.Rule.Name]
	out := firing.Firing{Event: owned, Timing: event.Timing{By: f.By, Suppressed: f.Suppressed}}
	var by firing.Trigger
	switch {
	case f.Kind == timing.Run:
		out.Event = t.clockEvent(event.Schedule, f)
		by = firing.RunTrigger(f.Tag)
		out.Summary = t.summary(f.Summary)
		t.stream.counts.matches.Add(1)
		t.stream.gen.states[rule].matches.Add(1)
	case len(f.Items) == 0 && owned == nil: // what was expected never came
		out.Event = t.clockEvent(event.Absent, f)
		by = firing.AbsentTrigger(f.Tag, f.By)
	case len(f.Items) == 0:
		out.Params, by = m.Params(), firing.TriggerOf(owned)
	default:
		for i := range f.Items {
			item, ok := t.item(f, &f.Items[i])
			if ok {
				out.Event, out.Params, by = item.Event, item.Params, firing.Trigger(item.ID)
				out.Batch = append(out.Batch, item)
			}
		}
		if out.Event == nil {
			return
		}
		if f.Kind != timing.Batched {
			out.Batch = nil
		}
	}
	if f.Rule.For > 0 {
		out.By = "" // it is the key
	}
	switch f.Kind {
	case timing.Missing:
		out.Status = "firing"
	case timing.Resolved:
		out.Status = "resolved"
	}
	if r := f.Rule; r.Count.Over > 0 || r.Debounce.Wait > 0 || r.Batch.Max > 0 {
		out.Count, out.First, out.Last = f.Count, f.First, f.Last
	}
	t.stream.plan(rule, by, out)
}

// item makes what was kept whole again.
func (t *timer) item(f *timing.Firing, it *timing.Item) (event.Item, bool) {
	if it.Data == nil {
		return event.Item{Event: t.clockEvent(event.Absent, f), ID: firing.AbsentTrigger(it.Tag, it.By).String()}, true
	}
	ev, params, err := t.recall(t.stream.gen.byName[f.Rule.Name], it.Data)
	if err != nil {
		t.stream.e.log.Error("a match that was kept cannot be read, it does not fire", "rule", f.Rule.Name, "err", err)
		return event.Item{}, false
	}
	id := firing.TriggerOf(ev)
	if it.Kind == timing.Missing {
		ev.Name, ev.Origin, ev.Cause, ev.Command, ev.Time = event.Absent, event.FromClock, event.CauseUnknown, "", it.At
		id = firing.AbsentTrigger(it.Tag, it.By)
	}
	return event.Item{Event: ev, Params: params, ID: id.String()}, true
}

// recall makes a match of a rule, which may be gone, whole again.
func (t *timer) recall(rule *rules.Rule, data []byte) (ev *event.Event, params map[string]string, err error) {
	if ev, err = firing.ParseEvent(data); err != nil {
		return nil, nil, err
	}
	ev.Source = t.stream.addr
	if rule != nil {
		m := rules.Match{Rule: rule, Event: ev}
		params = m.Params()
	}
	return ev, params, nil
}

// clockEvent is an event of no key.
func (t *timer) clockEvent(name string, f *timing.Firing) *event.Event {
	return &event.Event{Name: name, Origin: event.FromClock, Time: f.At, Source: t.stream.addr}
}

func (t *timer) summary(lines []timing.Line) []event.Line {
	out := make([]event.Line, len(lines))
	for i, l := range lines {
		out[i] = event.Line{Rule: l.Rule, Count: l.Count, Suppressed: l.Suppressed, First: l.First, Last: l.Last}
		if l.Data == nil {
			continue
		}
		ev, params, err := t.recall(t.stream.gen.byName[l.Rule], l.Data)
		if err != nil {
			t.stream.e.log.Error("the last event of a summary cannot be read", "rule", l.Rule, "err", err)
			continue
		}
		out[i].Event, out[i].Params = ev, params
	}
	return out
}

// wake is when a record is wanted for something that is due; zero: never.
func (t *timer) wake() time.Time {
	if t.m == nil || t.clock.replay {
		return time.Time{}
	}
	t.mu.Lock()
	due, absent := t.m.Next()
	t.mu.Unlock()
	return earlier(t.clock.machine(due), t.clock.wake(t.clock.machine(absent)))
}

func (t *timer) dirty() int {
	if t.m == nil {
		return 0
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.m.Dirty()
}

// gather adds what has changed to ch.
func (t *timer) gather(ch *outbox.Changes) {
	if t.m == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.m.Dirty() == 0 {
		return
	}
	t.m.Changes(
		func(key, value []byte) { ch.Add(t.stream.spaces.timers, outbox.PutEntry, key, value) },
		func(key []byte) { ch.Add(t.stream.spaces.timers, outbox.DeleteEntry, key, nil) },
	)
	ch.Add(t.stream.spaces.state, outbox.PutEntry, clockEntry, strconv.AppendInt(nil, t.clock.now(time.Now()).UnixMilli(), 10))
}

// restore takes over what an earlier process has left.
func (t *timer) restore(st *store.Store, ch *outbox.Changes) error {
	if t.m == nil {
		ch.Add(t.stream.spaces.timers, outbox.DeleteFrom, nil, nil)
		return nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for entry, err := range st.Scan(t.stream.spaces.timers, nil, nil) {
		if err != nil {
			return err
		}
		if err := t.m.Restore(entry.Key, entry.Value); err != nil {
			t.stream.e.log.Error("state of a rule with time fields cannot be read, it begins anew", "err", err)
		}
	}
	t.report("rules with time fields after the start", t.m.Restored())
	return nil
}
