package engine

import (
	"context"
	"strconv"

	"triggerd/actions"
	"triggerd/internal/event"
	"triggerd/internal/keyspace"
	"triggerd/rules"
	"triggerd/source"
)

// reader is the goroutine that turns records into firings.
type reader struct {
	e       *Engine
	addr    string
	origin  event.Origin
	in      *keyspace.Interpreter
	cmd     keyspace.Command
	events  []event.Event
	matches []rules.Match
	gen     *generation // that the mirror keeps keys for
	keys    int         // events of the present snapshot
	passed  int         // records
	profile *profiler

	snapshot keyspace.SnapshotKey
}

// read hands records on until there are no more.
func (e *Engine) read(ctx context.Context, from source.Position) error {
	r := reader{e: e, in: keyspace.New(keyspace.Config{ExpiryGrace: clockGrace, MaxMirror: e.cfg.MaxMirror}), addr: e.cfg.Source.Status().Addr, origin: event.FromStream}
	if e.cfg.Replay {
		r.origin = event.FromReplay
	}
	e.reader = &r
	r.use(e.gen.Load())
	if e.cfg.Empty {
		r.beginEmpty()
	}
	if e.cfg.OnProfile != nil {
		r.profile = newProfiler()
		defer func() { e.cfg.OnProfile(r.profile.result()) }()
	}
	for rec, err := range e.cfg.Source.Records(ctx, from) {
		if err != nil {
			return err
		}
		r.profile.begin()
		r.interpret(rec)
		r.profile.interpreted()
		if len(r.events) > 0 {
			r.fire()
		}
		r.pass(rec)
		r.profile.end()
	}
	return nil
}

// interpret makes the record's events.
func (r *reader) interpret(rec *source.Record) {
	r.events = r.events[:0]
	if gen := r.e.gen.Load(); gen != r.gen {
		r.use(gen)
	}
	if r.e.cfg.Replay {
		r.expire(rec, rec.Time)
	}
	switch rec.Kind {
	case source.Command:
		r.e.counts.records.Add(1)
		r.e.counts.bytes.Add(int64(rec.Bytes))
		r.cmd = keyspace.Command{
			Args: rec.Args, DB: rec.DB, ReplID: rec.ReplID, Offset: rec.Offset, Bytes: rec.Bytes,
			Tx: event.Tx(rec.Tx), Time: rec.Time, Origin: r.origin, Source: r.addr,
		}
		r.events = r.in.Command(r.events, &r.cmd)
	case source.Heartbeat:
		r.expire(rec, rec.Time.Add(-expiryGrace))
	case source.SnapshotBegin:
		r.keys = 0
		r.in.SnapshotBegin()
	case source.Key:
		r.e.counts.records.Add(1)
		r.snapshotKey(rec)
	case source.SnapshotEnd:
		r.snapshotEnd(rec)
	}
}

// pass moves the position behind the record.
func (r *reader) pass(rec *source.Record) {
	// After an attach at once: a crash before the first regular checkpoint would
	// start afresh, and miss what lies between.
	r.e.outbox.pass(rec.Pos, complete(rec), rec.Kind == source.SnapshotEnd, nil)
	if r.passed++; r.passed%statsEvery == 0 || rec.Kind != source.Command && rec.Kind != source.Key {
		st := r.in.Stats()
		r.e.mirror.Store(&st)
	}
	if cap(r.events) > keepEvents {
		r.events = nil
	}
}

// complete reports whether nothing that belongs to the record follows: neither
// commands of its transaction, nor keys of its snapshot.
func complete(rec *source.Record) bool {
	return !rec.Pos.IsZero() || rec.Kind == source.SnapshotEnd || rec.Kind == source.Command && rec.Tx.Index == rec.Tx.Size
}

// statsEvery is after how many records the interpreter's counts are told; the
// server's keepalive tells them too.
const statsEvery = 4096

// keepEvents is how many events of one command are made room for: a DEL of a
// million keys leaves no gigabyte behind.
const keepEvents = 4096

// resync makes the events that tell of a full resync, and of what it missed:
// their arguments are the positions before and after.
func (r *reader) resync(rec *source.Record) {
	args := [][]byte{[]byte(rec.From.String()), []byte(rec.Pos.String())}
	ev := event.Event{
		Name: event.Resync, Origin: event.FromResync, Args: args, Time: rec.Time,
		ReplID: rec.ReplID, Offset: rec.Offset, Source: r.addr,
	}
	r.events = append(r.events, ev)
	if rec.Gap {
		r.e.counts.gaps.Add(1)
		ev.Name = event.Gap
		r.events = append(r.events, ev)
	}
}

// fire matches the events and plans what they fire.
func (r *reader) fire() {
	e := r.e
	gen := e.gen.Load()
	e.counts.events.Add(int64(len(r.events)))
	for i := range r.events {
		ev := &r.events[i]
		if e.cfg.OnEvent != nil {
			e.cfg.OnEvent(ev)
		}
		r.matches = gen.set.Match(r.matches[:0], ev)
		if len(r.matches) == 0 {
			continue
		}
		e.counts.matches.Add(int64(len(r.matches)))
		owned := ev.Clone()
		for j := range r.matches {
			e.plan(gen, &r.matches[j], owned)
		}
	}
}

// plan makes the firings of a match and puts them into the outbox.
func (e *Engine) plan(gen *generation, m *rules.Match, owned *event.Event) {
	state := gen.states[m.Rule]
	state.matches.Add(1)
	if state.paused.Load() {
		state.skipped.Add(1)
		return
	}
	if m.Rule.DryRun {
		e.counts.dryRuns.Add(1)
		state.dryRuns.Add(1)
		e.log.Debug("dry run: would fire", "rule", m.Rule.Name, "key", text(owned.Key), "event", owned.Name, "offset", owned.Offset)
		return
	}
	params := m.Params()
	for _, a := range m.Rule.Actions {
		f := &actions.Firing{
			ID:   firingID(owned, m.Rule.Name, a.Name),
			Rule: m.Rule.Name, Action: a.Name, Event: owned, Params: params,
		}
		if e.cfg.OnFiring != nil {
			e.cfg.OnFiring(f)
		}
		state.firings.Add(1)
		if !e.cfg.DryRun {
			e.outbox.add(gen.endpointOf[a], gen.endpoints[gen.endpointOf[a]], a, m.Rule.Overflow, f)
		}
	}
}

// firingID is "replid:offset/n:rule/action", and the clock's time in place of
// a position for what the clock fires: the same for the same input.
func firingID(ev *event.Event, rule, action string) string {
	id := make([]byte, 0, 96)
	switch {
	case ev.Origin == event.FromClock && ev.Key != nil: // an expiry on time
		id = append(id, "expired:"...)
		id = strconv.AppendInt(id, ev.Time.UnixMilli(), 10)
		id = append(id, '/')
		id = strconv.AppendUint(id, keyHash(ev.DB, ev.Key), 36)
		id = append(append(id, ':'), rule...)
		return string(append(append(id, '/'), action...))
	case ev.Origin == event.FromClock:
		id = append(id, "clock:"...)
		id = strconv.AppendInt(id, ev.Time.UnixMilli(), 10)
	default:
		id = append(append(id, ev.ReplID...), ':')
		id = strconv.AppendInt(id, ev.Offset, 10)
	}
	id = append(id, '/')
	if ev.Origin == event.FromSnapshot || ev.Origin == event.FromResync {
		id = append(id, 's') // numbers of a snapshot's events, apart from those of a command
	}
	id = strconv.AppendInt(id, int64(ev.Index), 10)
	id = append(append(id, ':'), rule...)
	return string(append(append(id, '/'), action...))
}
