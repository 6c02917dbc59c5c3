package engine

import (
	"context"
	"log/slog"
	"slices"
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
	judges  bool   // something lasts of keys, which a snapshot that is being read may end
	place   []byte // scratch

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
	old := t.gen
	t.gen = gen
	var list []*timing.Rule
	for _, r := range gen.set.Rules {
		if t.keeps(r) {
			list = append(list, r.Time)
		}
	}
	if list == nil && t.machine == nil {
		return
	}
	ended := t.replaceRules(gen, list, now)
	for i := range ended {
		t.plan(old, &ended[i], nil, nil)
	}
}

// replaceRules sets the machine's rules, and returns what has to be resolved of
// rules that are gone.
func (t *timeKeeper) replaceRules(gen *generation, list []*timing.Rule, now time.Time) []timing.Release {
	t.mu.Lock()
	defer t.mu.Unlock()
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
	return t.machine.Ended(nil)
}

// keeps reports whether this stream keeps the time of a rule. Only the first
// stream keeps schedules, since each run is to be made once.
func (t *timeKeeper) keeps(r *rules.Rule) bool {
	s := t.stream
	return r.Enabled && r.Time != nil && (r.Schedule == nil || s == s.e.streams[0])
}

// maxNamed is how many rules a line of the log names.
const maxNamed = 10

// counted returns the names of the rules that count, or time, by what has matched,
// in order; at most maxNamed.
func (t *timeKeeper) counted() (names []string) {
	for r := range t.states {
		if r.Schedule == nil {
			names = append(names, r.Name)
		}
	}
	slices.Sort(names)
	return names[:min(len(names), maxNamed)]
}

// logStateReports logs, for each rule, whether its state was kept.
func (t *timeKeeper) logStateReports(msg string, reports []timing.StateReport) {
	for _, f := range reports {
		level, what := slog.LevelInfo, "kept"
		if !f.Kept {
			level, what = slog.LevelWarn, "dropped: the rule is gone, or its time fields have changed"
		}
		attrs := []any{"rule", f.Rule, "state", what, "values", f.States, "waiting", f.Waiting}
		if f.Open > 0 {
			attrs = append(attrs, "open", f.Open)
		}
		t.stream.e.log.Log(context.Background(), level, msg, attrs...)
	}
}

// match passes a match of a rule with time fields to the machine. It returns
// what fires now, which is valid until the next call.
func (t *timeKeeper) match(m *rules.Match) []timing.Release {
	x := timing.Arrival{State: t.states[m.Rule], Role: m.Role, At: t.clock.fromMachine(m.Event.Time), Data: matchData{m, t.gen.set.Elements()}}
	if !t.stream.matcher.Keys(&x.Keys, m) {
		return nil // counted as a failed condition
	}
	if r := m.Rule.Time; m.Role == timing.Fires && (r.Sample != 0 || r.Episode.On) {
		x.Hash = firing.TriggerHash(m.Event)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.firings = t.machine.Arrive(t.firings[:0], &x)
	return t.firings
}

// endHolds handles an event after which a database has no keys, or others: what
// had to hold for some time no longer does, and what was open is not. It calls f
// with what fires, until f returns false.
func (t *timeKeeper) endHolds(ev *event.Event, f func(*timing.Release) bool) bool {
	if t.machine == nil {
		return true
	}
	var prefixes []string
	switch ev.Name {
	case event.FlushAll:
		prefixes = []string{""}
	case event.FlushDB:
		prefixes = []string{strconv.Itoa(ev.DB) + "/"}
	case event.SwapDB:
		for _, db := range ev.Args {
			prefixes = append(prefixes, string(db)+"/")
		}
	}
	for _, prefix := range prefixes {
		t.mu.Lock()
		ends := t.machine.EndAll(prefix, t.clock.fromMachine(ev.Time))
		t.mu.Unlock()
		if !t.fireEnds(ends, f) {
			return false
		}
	}
	return true
}

// fireEnds calls f with what fires by what ends, until f returns false.
func (t *timeKeeper) fireEnds(ends *timing.Endings, f func(*timing.Release) bool) bool {
	for more := true; more; {
		t.mu.Lock()
		t.firings, more = ends.Next(t.firings[:0])
		t.mu.Unlock()
		for i := range t.firings {
			if !f(&t.firings[i]) {
				return false
			}
		}
	}
	return true
}

// beginSnapshot is told that the keys of a snapshot follow. What lasts of keys is
// judged by them.
func (t *timeKeeper) beginSnapshot() {
	if t.machine == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.judges = t.machine.Holds(); t.judges {
		t.machine.BeginSnapshot()
	}
}

// seeKey is told of a key of the snapshot.
func (t *timeKeeper) seeKey(db int, key []byte) {
	if !t.judges {
		return
	}
	t.place = rules.AppendPlace(t.place[:0], db, key)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.machine.SeeKey(t.place)
}

// endSnapshot fires what has ended since its key is not in the snapshot. Keys
// that were known to be there had events of their own before.
func (t *timeKeeper) endSnapshot(rec *source.Record) {
	if !t.judges {
		return
	}
	t.judges = false
	if rec.Incomplete {
		return
	}
	t.mu.Lock()
	ends := t.machine.EndSnapshot(t.clock.fromMachine(rec.Time))
	t.mu.Unlock()
	t.fireEnds(ends, func(f *timing.Release) bool {
		t.plan(t.gen, f, nil, nil)
		t.stream.flushPart()
		return true
	})
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
			if t.stream.ended() { // there may be years of them
				t.mu.Unlock()
				return
			}
		}
		t.firings = t.machine.Advance(t.firings[:0], to, seen)
		t.mu.Unlock()
		if len(t.firings) == 0 && !t.clock.replay {
			return
		}
		for i := range t.firings {
			t.plan(t.gen, &t.firings[i], nil, nil)
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

// plan plans the firings of a release of the timing machine, by the rules of a
// generation: the present one, or for what a reload has ended the one before. m is
// the match that was just passed in, and owned its event; both are nil if no match
// released it.
func (t *timeKeeper) plan(gen *generation, f *timing.Release, m *rules.Match, owned *event.Event) {
	rule := gen.ruleByName[f.Rule.Name]
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
		if endsEpisode(f.Kind, f.Tag) {
			by = firing.ResolvedTrigger(uint64(f.Tag), f.By)
		}
	default:
		for i := range f.Items {
			item, ok := t.decodeItem(gen, f, &f.Items[i])
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
	}
	if f.Kind == timing.Batched {
		out.Status, out.Since, out.Duration = statusOfBatch(out.Batch)
	} else {
		out.Batch = nil
		out.Status, out.Since, out.Duration = statusOf(f.Rule, f.Kind, f.Since, f.Last)
		if f.Rule.For > 0 || f.Rule.Episode.On || endsEpisode(f.Kind, f.Tag) {
			out.By = "" // it is the key
		}
	}
	if r := f.Rule; r.Count.Over > 0 || r.Debounce.Wait > 0 || r.Batch.Max > 0 {
		out.Count, out.First, out.Last = f.Count, f.First, f.Last
	}
	t.stream.planBy(gen, rule, by, out)
}

// endsEpisode reports whether a release is the end of an episode, which has the
// hash of what began it.
func endsEpisode(kind timing.Kind, tag int64) bool { return kind == timing.Resolved && tag != 0 }

// statusOf returns the status of a release. last is when what it stands for
// happened.
func statusOf(r *timing.Rule, kind timing.Kind, since, last time.Time) (string, time.Time, time.Duration) {
	switch {
	case kind == timing.Resolved && since.IsZero():
		return event.StatusResolved, since, 0
	case kind == timing.Resolved:
		return event.StatusResolved, since, last.Sub(since)
	case kind == timing.Missing || r.Episode.Resolved:
		return event.StatusFiring, since, 0
	}
	return "", time.Time{}, 0
}

// statusOfBatch returns the status of the last of a batch if all have the same.
func statusOfBatch(items []event.Item) (string, time.Time, time.Duration) {
	last := &items[len(items)-1]
	for i := range items {
		if items[i].Status != last.Status {
			return "", time.Time{}, 0
		}
	}
	return last.Status, last.Since, last.Duration
}

// decodeItem returns the match or absence that the machine kept as an item.
func (t *timeKeeper) decodeItem(gen *generation, f *timing.Release, it *timing.Item) (out event.Item, ok bool) {
	last := it.At
	if f.Kind != timing.Batched {
		last = f.Last
	}
	out.Status, out.Since, out.Duration = statusOf(f.Rule, it.Kind, it.Since, last)
	if it.Data == nil {
		out.Event, out.ID = t.clockEvent(event.Absent, f), firing.AbsentTrigger(it.Tag, it.By).String()
		return out, true
	}
	ev, params, err := t.decodeMatch(gen.ruleByName[f.Rule.Name], it.Data)
	if err == nil && (f.Kind == timing.Batched || f.Count <= 1) && t.stream.dead.hasEvent(ev) {
		t.stream.counts.undone.Add(1) // it was lost in a failover since
		return out, false
	}
	if err != nil {
		t.stream.e.log.Error("a match that was kept cannot be read, it does not fire", "rule", f.Rule.Name, "err", err)
		return out, false
	}
	id := firing.TriggerOf(ev)
	switch {
	case it.Kind == timing.Missing:
		ev.Name, ev.Origin, ev.Cause, ev.Command, ev.Time = event.Absent, event.FromClock, event.CauseUnknown, "", it.At
		id = firing.AbsentTrigger(it.Tag, it.By)
	case endsEpisode(it.Kind, it.Tag):
		id = firing.ResolvedTrigger(uint64(it.Tag), it.By)
		if it.Cause != timing.ByMatch {
			ev = resolvedEvent(ev, it)
		}
	}
	out.Event, out.Params, out.ID = ev, params, id.String()
	return out, true
}

// causeOf are the causes of events that tell of an end which no event of the key
// has brought.
var causeOf = map[timing.Cause]event.Cause{
	timing.Flushed: event.CauseFlushed, timing.Unseen: event.CauseResync, timing.Dropped: event.CauseReload, timing.Displaced: event.CauseMaxKeys,
}

// resolvedEvent returns the event of an end which no event of the key has
// brought. began is the one that began it, in its slim form.
func resolvedEvent(began *event.Event, it *timing.Item) *event.Event {
	ev := &event.Event{
		Name: event.Resolved, Origin: event.FromClock, Cause: causeOf[it.Cause], Time: it.At,
		DB: began.DB, Key: began.Key, ReplID: began.ReplID, Offset: began.Offset, Source: began.Source,
	}
	if it.Cause == timing.Flushed || it.Cause == timing.Unseen {
		ev.Type, ev.After, ev.TTL = event.None.Type(), event.None, event.TTLGone
	}
	return ev
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

// restore loads the states that an earlier process has saved. What was open of a
// rule that has changed meanwhile is resolved with its present actions. Of one that
// is gone that is only logged: nothing is known of its actions.
func (t *timeKeeper) restore(st *store.Store, ch *outbox.Changes) error {
	ended, err := t.restoreEntries(st, ch)
	gone := map[string]int{}
	for i := range ended {
		if name := ended[i].Rule.Name; t.gen.ruleByName[name] == nil {
			gone[name]++
			continue
		}
		t.plan(t.gen, &ended[i], nil, nil)
	}
	for name, n := range gone {
		t.stream.e.log.Warn("a rule with open keys is gone: nothing says any more where their end is to be told", "rule", name, "open", n)
	}
	return err
}

// restoreEntries does that, and returns what has to be resolved.
func (t *timeKeeper) restoreEntries(st *store.Store, ch *outbox.Changes) ([]timing.Release, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	m := t.machine
	if m == nil { // no rule has time fields any more
		ch.Add(t.stream.spaces.timers, outbox.DeleteFrom, nil, nil)
		m = timing.New()
		m.SetRules(nil, t.clock.fromMachine(time.Now()))
	}
	for entry, err := range st.Scan(t.stream.spaces.timers, nil, nil) {
		if err != nil {
			return nil, err
		}
		if err := m.Restore(entry.Key, entry.Value); err != nil {
			t.stream.e.log.Error("state of a rule with time fields cannot be read, it begins anew", "err", err)
		}
	}
	t.logStateReports("rules with time fields after the start", m.Restored())
	return m.Ended(nil), nil
}
