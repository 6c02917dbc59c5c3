package engine

import (
	"triggerd/internal/event"
	"triggerd/internal/firing"
	"triggerd/internal/keyspace"
	"triggerd/internal/outbox"
	"triggerd/internal/timing"
	"triggerd/rules"
	"triggerd/source"
)

// adopt begins to use the present generation, and returns the needs that it
// meets.
func (s *stream) adopt(rec *source.Record) (needs int64) {
	needs = s.needs.Load() // before the generation: needs of a later one are not met by this
	gen := s.e.gen.Load()
	if gen != s.gen {
		s.use(gen)
	}
	if gen != s.timing.gen {
		s.timing.use(gen, rec.Time)
	}
	return needs
}

// interpret makes the record's events. It returns how many of them the clock has
// made: they are the first.
func (s *stream) interpret(rec *source.Record, needs int64) (clocked int) {
	s.expire(rec)
	clocked = len(s.events)
	switch rec.Kind {
	case source.Command:
		s.counts.records.Add(1)
		s.counts.bytes.Add(int64(rec.Bytes))
		s.cmd = keyspace.Command{
			Args: rec.Args, DB: rec.DB, ReplID: rec.ReplID, Offset: rec.Offset, Bytes: rec.Bytes,
			Tx: event.Tx(rec.Tx), Time: rec.Time, Origin: s.origin, Source: s.addr,
		}
		s.events = s.in.Command(s.events, &s.cmd)
	case source.SnapshotBegin:
		s.learn(rec)
		s.keys, s.begun = 0, needs
		s.in.SnapshotBegin()
	case source.Key:
		s.counts.records.Add(1)
		s.snapshotKey(rec)
	case source.SnapshotEnd:
		s.snapshotEnd(rec)
	case source.Detached:
		if s.st.inside {
			s.lost()
		}
	}
	if rec.Kind != source.Command {
		return len(s.events)
	}
	return clocked
}

// rest makes further events of the record's command, and reports whether there
// are any.
func (s *stream) rest() bool {
	s.events = s.in.Rest(s.events[:0])
	return len(s.events) > 0
}

// tellStats tells the interpreter's counts now and then, gives up what the
// events have needed, and makes no room for more than there are likely to be.
func (s *stream) tellStats(rec *source.Record) {
	if s.passed++; s.passed%statsEvery == 0 || rec.Kind != source.Command && rec.Kind != source.Key {
		st := s.in.Stats()
		s.mirror.Store(&st)
	}
	s.in.Release()
	if cap(s.events) > keepEvents {
		s.events = nil
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
func (s *stream) resync(rec *source.Record) {
	args := [][]byte{[]byte(rec.From.String()), []byte(rec.Pos.String())}
	ev := event.Event{
		Name: event.Resync, Origin: event.FromResync, Args: args, Time: rec.Time,
		ReplID: rec.ReplID, Offset: rec.Offset, Source: s.addr,
	}
	s.events = append(s.events, ev)
	if rec.Gap {
		s.counts.gaps.Add(1)
		ev.Name = event.Gap
		s.events = append(s.events, ev)
	}
}

// fire matches the events and plans what they fire. All but the first, clocked,
// are those of a command, of which an earlier process may have planned some.
func (s *stream) fire(clocked int) {
	s.counts.events.Add(int64(len(s.events)))
	for i := range s.events {
		ev := &s.events[i]
		planned := false
		if i >= clocked {
			s.st.events++
			if planned = s.st.skip > 0; planned {
				s.st.skip--
			}
		}
		if s.e.cfg.OnEvent != nil {
			s.e.cfg.OnEvent(ev)
		}
		if ev.Key == nil {
			s.timing.emptied(ev)
		}
		s.matches = s.matcher.Match(s.matches[:0], ev)
		if len(s.matches) > 0 {
			s.fireMatches(ev, planned)
			s.flushPart()
		}
	}
}

// fireMatches plans what the matches of an event fire, unless that was planned
// before: then it only moves what rules say of time.
func (s *stream) fireMatches(ev *event.Event, planned bool) {
	var owned *event.Event
	for j := range s.matches {
		m := &s.matches[j]
		if m.Role == timing.Fires {
			s.counts.matches.Add(1)
			s.gen.states[m.Rule].matches.Add(1)
		}
		if m.Rule.Time == nil {
			if planned {
				continue
			}
			owned = s.own(ev, owned)
			s.plan(m.Rule, firing.TriggerOf(owned), firing.Firing{Event: owned, Params: m.Params()})
			continue
		}
		for _, f := range s.timing.match(m) {
			if planned {
				continue
			}
			owned = s.own(ev, owned)
			s.timing.plan(&f, m, owned)
		}
	}
}

// own returns owned, or a copy of ev if there is none yet.
func (s *stream) own(ev, owned *event.Event) *event.Event {
	if owned == nil {
		return ev.Clone()
	}
	return owned
}

// plan makes the firings of a rule, one for each of its actions, and puts them
// into the outbox. f has what they share; by is what fired.
func (s *stream) plan(rule *rules.Rule, by firing.Trigger, f firing.Firing) {
	e, state := s.e, s.gen.states[rule]
	switch {
	case state.paused.Load():
		state.skipped.Add(1)
		return
	case rule.DryRun:
		s.counts.dryRuns.Add(1)
		state.dryRuns.Add(1)
		e.log.Debug("dry run: would fire", "rule", rule.Name, "key", text(f.Event.Key), "event", f.Event.Name, "offset", f.Event.Offset)
		return
	}
	f.Rule = rule.Name
	for _, a := range rule.Actions {
		one := f
		one.Action, one.ID = a.Name, by.Firing(rule.Name, a.Name)
		if e.cfg.OnFiring != nil {
			e.cfg.OnFiring(&one)
		}
		state.firings.Add(1)
		if !e.cfg.DryRun {
			s.st.fired = true
			name := s.gen.endpointOf[a]
			much := e.outbox.Add(outbox.Planned{Stream: s.name, Endpoint: name, Action: s.gen.endpoints[name], Policy: s.gen.policyOf[a], Firing: &one})
			s.st.much = s.st.much || much
		}
	}
}
