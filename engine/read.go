package engine

import (
	"context"
	"strconv"
	"time"

	"triggerd/actions"
	"triggerd/internal/event"
	"triggerd/internal/keyspace"
	"triggerd/internal/timing"
	"triggerd/rules"
	"triggerd/source"
)

// reader is the goroutine that turns records into firings.
type reader struct {
	e       *Engine
	addr    string
	origin  event.Origin
	in      *keyspace.Interpreter
	timing  timer
	st      state
	cmd     keyspace.Command
	events  []event.Event
	matches []rules.Match
	gen     *generation // that the mirror keeps keys for
	keys    int         // events of the present snapshot
	passed  int         // records
	server  server      // as last heard of
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
	r.timing.r, r.timing.clock.replay = &r, e.cfg.Replay
	r.timing.clock.start(time.Time{})
	r.use(e.gen.Load())
	if !e.cfg.Replay { // a recording's clock begins with it
		r.timing.use(r.gen, time.Now())
	}
	if err := r.restore(from); err != nil {
		return err
	}
	e.timing.Store(&r.timing)
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
		r.timing.clock.follow(rec)
		r.interpret(rec)
		r.profile.interpreted()
		r.timing.advance(rec)
		if len(r.events) > 0 {
			r.fire()
		}
		for r.rest() {
			r.fire()
		}
		r.pass(rec)
		r.tellStats(rec)
		r.profile.end()
	}
	r.end()
	return nil
}

// interpret makes the record's events.
func (r *reader) interpret(rec *source.Record) {
	r.events = r.events[:0]
	gen := r.e.gen.Load()
	if gen != r.gen {
		r.use(gen)
	}
	if gen != r.timing.gen {
		r.timing.use(gen, rec.Time)
	}
	r.expire(rec)
	switch rec.Kind {
	case source.Command:
		r.e.counts.records.Add(1)
		r.e.counts.bytes.Add(int64(rec.Bytes))
		r.cmd = keyspace.Command{
			Args: rec.Args, DB: rec.DB, ReplID: rec.ReplID, Offset: rec.Offset, Bytes: rec.Bytes,
			Tx: event.Tx(rec.Tx), Time: rec.Time, Origin: r.origin, Source: r.addr,
		}
		r.events = r.in.Command(r.events, &r.cmd)
	case source.SnapshotBegin:
		r.learn(rec)
		r.keys = 0
		r.in.SnapshotBegin()
	case source.Key:
		r.e.counts.records.Add(1)
		r.snapshotKey(rec)
	case source.SnapshotEnd:
		r.snapshotEnd(rec)
	case source.Detached:
		if r.st.inside {
			r.lost()
		}
	}
}

// rest makes further events of the record's command, and reports whether there
// are any.
func (r *reader) rest() bool {
	r.events = r.in.Rest(r.events[:0])
	return len(r.events) > 0
}

// tellStats tells the interpreter's counts now and then, and makes no room for
// more events than there are likely to be.
func (r *reader) tellStats(rec *source.Record) {
	if r.passed++; r.passed%statsEvery == 0 || rec.Kind != source.Command && rec.Kind != source.Key {
		st := r.in.Stats()
		r.e.mirror.Store(&st)
	}
	if cap(r.events) > keepEvents {
		r.events = nil
	}
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
	gen := r.gen
	e.counts.events.Add(int64(len(r.events)))
	for i := range r.events {
		ev := &r.events[i]
		if e.cfg.OnEvent != nil {
			e.cfg.OnEvent(ev)
		}
		if ev.Key == nil {
			r.timing.emptied(ev)
		}
		r.matches = gen.set.Match(r.matches[:0], ev)
		if len(r.matches) == 0 {
			continue
		}
		var owned *event.Event
		for j := range r.matches {
			m := &r.matches[j]
			if m.Role == timing.Fires {
				e.counts.matches.Add(1)
				gen.states[m.Rule].matches.Add(1)
			}
			if m.Rule.Time == nil {
				owned = r.own(ev, owned)
				r.plan(m.Rule, eventID(owned), actions.Firing{Event: owned, Params: m.Params()})
				continue
			}
			for _, f := range r.timing.match(m) {
				owned = r.own(ev, owned)
				r.timing.plan(&f, m, owned)
			}
		}
	}
}

// own returns owned, or a copy of ev if there is none yet.
func (r *reader) own(ev, owned *event.Event) *event.Event {
	if owned == nil {
		return ev.Clone()
	}
	return owned
}

// plan makes the firings of a rule, one for each of its actions, and puts them
// into the outbox. f has what they share; id is what their IDs begin with.
func (r *reader) plan(rule *rules.Rule, id string, f actions.Firing) {
	e, state := r.e, r.gen.states[rule]
	switch {
	case state.paused.Load():
		state.skipped.Add(1)
		return
	case rule.DryRun:
		e.counts.dryRuns.Add(1)
		state.dryRuns.Add(1)
		e.log.Debug("dry run: would fire", "rule", rule.Name, "key", text(f.Event.Key), "event", f.Event.Name, "offset", f.Event.Offset)
		return
	}
	f.Rule = rule.Name
	for _, a := range rule.Actions {
		one := f
		one.Action, one.ID = a.Name, id+":"+rule.Name+"/"+a.Name
		if e.cfg.OnFiring != nil {
			e.cfg.OnFiring(&one)
		}
		state.firings.Add(1)
		if !e.cfg.DryRun {
			r.st.fired = true
			name := r.gen.endpointOf[a]
			e.outbox.add(name, r.gen.endpoints[name], a, rule.Overflow, &one)
		}
	}
}

// eventID is what the IDs of an event's firings begin with: "replid:offset/n",
// and for what a clock makes its time in place of a position. It is the same
// for the same input.
func eventID(ev *event.Event) string {
	id := make([]byte, 0, 64)
	if ev.Origin == event.FromClock { // an expiry on time
		id = append(id, "expired:"...)
		id = strconv.AppendInt(id, ev.Time.UnixMilli(), 10)
		id = append(id, '/')
		return string(strconv.AppendUint(id, keyHash(ev.DB, ev.Key), 36))
	}
	id = append(append(id, ev.ReplID...), ':')
	id = strconv.AppendInt(id, ev.Offset, 10)
	id = append(id, '/')
	if ev.Origin == event.FromSnapshot || ev.Origin == event.FromResync {
		id = append(id, 's') // numbers of a snapshot's events, apart from those of a command
	}
	return string(strconv.AppendInt(id, int64(ev.Index), 10))
}
