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

// timeKeeper passes a stream's matches through a timing.Machine, for rules with
// time fields, and plans what the machine releases.
type timeKeeper struct {
	stream  *stream
	gen     *generation
	clock   clock
	states  map[*rules.Rule]*timing.State
	firings []timing.Release

	mu      sync.Mutex      // guards machine: status reads it
	machine *timing.Machine // changed by the stream's goroutine only; nil: no rule has ever had time fields
}

// matchData is a match as the timing machine keeps it.
type matchData struct {
	*rules.Match
	elements []string // see rules.Set.Elements
}

// Append implements timing.Data.
func (m matchData) Append(dst []byte) []byte {
	return firing.AppendEvent(dst, m.Event, m.elements)
}

// AppendSlim implements timing.Data.
func (m matchData) AppendSlim(dst []byte) []byte {
	return firing.AppendSlimEvent(dst, m.Event)
}

// setRules takes over the rules of a generation, at now by the machine's clock.
func (t *timeKeeper) setRules(gen *generation, now time.Time) {
	t.gen = gen
	var list []*timing.Rule
	for _, r := range gen.set.Rules {
		if t.keeps(r) {
			list = append(list, r.Time)
		}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if list == nil && t.machine == nil {
		return
	}
	if t.machine == nil {
		t.machine = timing.New()
	}
	t.logStateReports("rules with time fields after a reload", t.machine.SetRules(list, t.clock.fromMachine(now)))
	t.states = make(map[*rules.Rule]*timing.State, len(list))
	for _, r := range gen.set.Rules {
		if t.keeps(r) {
			t.states[r] = t.machine.State(r.Name)
		}
	}
}

// keeps reports whether this stream keeps the time of a rule. Only the first
// stream keeps schedules, since each run is to be made once.
func (t *timeKeeper) keeps(r *rules.Rule) bool {
	s := t.stream
	return r.Enabled && r.Time != nil && (r.Schedule == nil || s == s.e.streams[0])
}

// logStateReports logs, for each rule, whether its state was kept.
func (t *timeKeeper) logStateReports(msg string, reports []timing.StateReport) {
	for _, f := range reports {
		level, what := slog.LevelInfo, "kept"
		if !f.Kept {
			level, what = slog.LevelWarn, "dropped: the rule is gone, or its time fields have changed"
		}
		t.stream.e.log.Log(context.Background(), level, msg, "rule", f.Rule, "state", what, "values", f.States, "waiting", f.Waiting)
	}
}

// match passes a match of a rule with time fields to the machine. It returns
// what fires now, which is valid until the next call.
func (t *timeKeeper) match(m *rules.Match) []timing.Release {
	x := timing.Arrival{State: t.states[m.Rule], Role: m.Role, At: t.clock.fromMachine(m.Event.Time), Data: matchData{m, t.gen.set.Elements()}}
	if !t.stream.matcher.Keys(&x.Keys, m) {
		return nil // counted as a failed condition
	}
	if m.Rule.Time.Sample != 0 {
		x.Hash = eventHash(m.Event)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.firings = t.machine.Arrive(t.firings[:0], &x)
	return t.firings
}

// eventHash returns a hash of an event's identity.
func eventHash(ev *event.Event) uint64 {
	h := fnv.New64a()
	h.Write([]byte(firing.TriggerOf(ev)))
	return h.Sum64()
}

// endHolds handles an event after which a database has no keys, or others. What
// had to hold for some time no longer does.
func (t *timeKeeper) endHolds(ev *event.Event) {
	if t.machine == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	switch ev.Name {
	case event.FlushAll:
		t.machine.EndAll("")
	case event.FlushDB:
		t.machine.EndAll(strconv.Itoa(ev.DB) + "/")
	case event.SwapDB:
		for _, db := range ev.Args {
			t.machine.EndAll(string(db) + "/")
		}
	}
}

// fireDue fires what was due before a record.
func (t *timeKeeper) fireDue(rec *source.Record) {
	if t.machine == nil {
		return
	}
	if rec.Kind == source.Heartbeat || rec.Kind == source.Woken || rec.Kind == source.Attached { // each ten seconds, at least
		t.setWallOffset()
	}
	now, seen := t.clock.fromMachine(rec.Time), t.clock.fromMachine(t.clock.knownUntil)
	for {
		t.mu.Lock()
		deadline, absent := t.machine.Next()
		next := earlierTime(deadline, absent)
		if next.IsZero() || next.After(now) {
			t.mu.Unlock()
			return
		}
		to := now
		if t.clock.replay {
			to, seen = next, next // each repetition, each run of a schedule
		}
		t.firings = t.machine.Advance(t.firings[:0], to, seen)
		t.mu.Unlock()
		if len(t.firings) == 0 && !t.clock.replay {
			return
		}
		for i := range t.firings {
			t.plan(&t.firings[i], nil, nil)
			t.stream.flushPart()
		}
		t.stream.flushTimers(rec)
	}
}

// setWallOffset tells the timing machine the time of day, which windows and
// schedules need.
func (t *timeKeeper) setWallOffset() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.machine.SetWallOffset(t.clock.wallOffset(time.Now()))
}

// plan plans the firings of a release of the timing machine. m is the match
// that was just passed in, and owned its event; both are nil if time alone
// released it.
func (t *timeKeeper) plan(f *timing.Release, m *rules.Match, owned *event.Event) {
	rule := t.stream.gen.ruleByName[f.Rule.Name]
	out := firing.Firing{Event: owned, Timing: event.Timing{By: f.By, Suppressed: f.Suppressed}}
	var by firing.Trigger
	switch {
	case f.Kind == timing.Run:
		out.Event = t.clockEvent(event.Schedule, f)
		by = firing.RunTrigger(f.Tag)
		out.Summary = t.decodeSummary(f.Summary)
		t.stream.counts.matches.Add(1)
		t.stream.gen.states[rule].matches.Add(1)
	case len(f.Items) == 0 && owned == nil: // what was expected never came
		out.Event = t.clockEvent(event.Absent, f)
		by = firing.AbsentTrigger(f.Tag, f.By)
	case len(f.Items) == 0:
		out.Params, by = m.Params(), firing.TriggerOf(owned)
	default:
		for i := range f.Items {
			item, ok := t.decodeItem(f, &f.Items[i])
			if ok {
				out.Event, out.Params, by = item.Event, item.Params, firing.Trigger(item.ID)
				out.Batch = append(out.Batch, item)
			} else if f.Kind == timing.Batched {
				f.Count--
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

// decodeItem returns the match or absence that the machine kept as an item.
func (t *timeKeeper) decodeItem(f *timing.Release, it *timing.Item) (event.Item, bool) {
	if it.Data == nil {
		return event.Item{Event: t.clockEvent(event.Absent, f), ID: firing.AbsentTrigger(it.Tag, it.By).String()}, true
	}
	ev, params, err := t.decodeMatch(t.stream.gen.ruleByName[f.Rule.Name], it.Data)
	if err == nil && (f.Kind == timing.Batched || f.Count <= 1) && t.stream.dead.hasEvent(ev) {
		t.stream.counts.undone.Add(1) // it was lost in a failover since
		return event.Item{}, false
	}
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

// decodeMatch decodes a match that the machine kept. rule is nil if it is gone.
func (t *timeKeeper) decodeMatch(rule *rules.Rule, data []byte) (ev *event.Event, params map[string]string, err error) {
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

// clockEvent returns an event that has no key, made by the clock.
func (t *timeKeeper) clockEvent(name string, f *timing.Release) *event.Event {
	return &event.Event{Name: name, Origin: event.FromClock, Time: f.At, Source: t.stream.addr}
}

func (t *timeKeeper) decodeSummary(lines []timing.Line) []event.Line {
	out := make([]event.Line, len(lines))
	for i, l := range lines {
		out[i] = event.Line{Rule: l.Rule, Count: l.Count, Suppressed: l.Suppressed, First: l.First, Last: l.Last}
		if l.Data == nil {
			continue
		}
		ev, params, err := t.decodeMatch(t.stream.gen.ruleByName[l.Rule], l.Data)
		if err != nil {
			t.stream.e.log.Error("the last event of a summary cannot be read", "rule", l.Rule, "err", err)
			continue
		}
		out[i].Event, out[i].Params = ev, params
	}
	return out
}

// nextWake returns when the stream has to be woken for something due; zero:
// never.
func (t *timeKeeper) nextWake() time.Time {
	if t.machine == nil || t.clock.replay {
		return time.Time{}
	}
	t.mu.Lock()
	due, absent := t.machine.Next()
	t.mu.Unlock()
	return earlierTime(t.clock.toMachine(due), t.clock.wakeFor(t.clock.toMachine(absent)))
}

func (t *timeKeeper) unsaved() int {
	if t.machine == nil {
		return 0
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.machine.Dirty()
}

// collectChanges adds the machine's changed states, and the clock, to ch.
func (t *timeKeeper) collectChanges(ch *outbox.Changes) {
	if t.machine == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.machine.Dirty() == 0 {
		return
	}
	t.machine.Changes(
		func(key, value []byte) { ch.Add(t.stream.spaces.timers, outbox.PutEntry, key, value) },
		func(key []byte) { ch.Add(t.stream.spaces.timers, outbox.DeleteEntry, key, nil) },
	)
	ch.Add(t.stream.spaces.state, outbox.PutEntry, clockEntry, strconv.AppendInt(nil, t.clock.fromMachine(time.Now()).UnixMilli(), 10))
}

// restore loads the states that an earlier process has saved.
func (t *timeKeeper) restore(st *store.Store, ch *outbox.Changes) error {
	if t.machine == nil {
		ch.Add(t.stream.spaces.timers, outbox.DeleteFrom, nil, nil)
		return nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for entry, err := range st.Scan(t.stream.spaces.timers, nil, nil) {
		if err != nil {
			return err
		}
		if err := t.machine.Restore(entry.Key, entry.Value); err != nil {
			t.stream.e.log.Error("state of a rule with time fields cannot be read, it begins anew", "err", err)
		}
	}
	t.logStateReports("rules with time fields after the start", t.machine.Restored())
	return nil
}
