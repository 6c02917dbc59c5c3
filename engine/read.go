package engine

import (
	"slices"

	"triggerd/actions"
	"triggerd/internal/event"
	"triggerd/internal/firing"
	"triggerd/internal/outbox"
	"triggerd/internal/tap"
	"triggerd/internal/timing"
	"triggerd/rules"
	"triggerd/source"
)

// useCurrentRules takes over the present generation if it is new. It returns
// the neededKeys of that generation, or of an earlier one.
func (s *stream) useCurrentRules(rec *source.Record) (neededKeys int64) {
	neededKeys = s.neededKeys.Load() // before the generation is loaded: a later one may need more keys
	gen := s.e.gen.Load()
	if gen != s.gen {
		s.useRules(gen)
	}
	if gen != s.timing.gen {
		s.timing.setRules(gen, rec.Time)
	}
	return neededKeys
}

// addEvents adds the record's events, after the expiries that came before it.
// It returns the index of the first event that a command has made; for other
// records that is the number of events.
func (s *stream) addEvents(rec *source.Record, neededKeys int64) (commandStart int) {
	s.expireKeys(rec)
	commandStart = len(s.events)
	switch rec.Kind {
	case source.Command:
		s.counts.records.Add(1)
		s.unpublished.bytes += int64(rec.Bytes)
		in := &s.commandInput
		in.Args, in.DB, in.ReplID, in.Offset, in.Bytes = rec.Args, rec.DB, rec.ReplID, rec.Offset, rec.Bytes
		in.Tx, in.Time, in.Origin, in.Source = event.Tx(rec.Tx), rec.Time, s.origin, s.addr
		s.events = s.interpreter.Command(s.events, in)
	case source.SnapshotBegin:
		s.detectServer(rec)
		s.snapshotEvents, s.snapshotKeys = 0, neededKeys
		s.timing.beginSnapshot()
		s.beginAttachment(rec)
		s.interpreter.SnapshotBegin()
	case source.Key:
		s.counts.records.Add(1)
		s.addSnapshotKey(rec)
	case source.SnapshotEnd:
		s.endSnapshot(rec)
	case source.Rewound:
		s.rewind(rec)
	case source.Detached:
		if rec.Aborted && s.unsaved.inside {
			s.discardIncomplete()
		}
	}
	if rec.Kind != source.Command {
		return len(s.events)
	}
	return commandStart
}

// addMoreEvents replaces the events by further ones of the same command, and
// reports whether there are any.
func (s *stream) addMoreEvents() bool {
	s.events = s.interpreter.Rest(s.events[:0])
	if len(s.events) > 0 {
		s.publishProgress() // the command takes long, and goes on
	}
	return len(s.events) > 0
}

// publishStats publishes the interpreter's counts every publishStatsEvery
// records, and frees what the events have needed: values that were removed, and
// the events' own memory if a command has made very many.
func (s *stream) publishStats(rec *source.Record) {
	if s.recordCount++; s.recordCount%publishStatsEvery == 0 || rec.Kind != source.Command && rec.Kind != source.Key {
		st := s.interpreter.Stats()
		s.mirrorStats.Store(&st)
	}
	s.interpreter.Release()
	if cap(s.events) > maxKeptEvents {
		s.events = nil
	}
}

// publishStatsEvery is after how many records the counts are published. They
// are published at each PING of the server too.
const publishStatsEvery = 4096

// maxKeptEvents is how many events' memory is kept for the next command.
// Without a limit a DEL of a million keys would leave a gigabyte allocated.
const maxKeptEvents = 4096

// addResyncEvents adds the events that tell of a full resync, and of the gap
// that it left. Their arguments are the positions before and after.
func (s *stream) addResyncEvents(rec *source.Record) {
	args := [][]byte{[]byte(rec.From.String()), []byte(rec.Pos.String())}
	ev := event.Event{
		Name: event.Resync, Origin: event.FromResync, Args: args, Time: rec.Time,
		ReplID: rec.ReplID, Offset: rec.Offset, Source: s.addr,
	}
	s.e.tellState(s.name, event.Resync, rec.Pos.String())
	s.events = append(s.events, ev)
	if rec.Gap {
		s.e.tellState(s.name, event.Gap, rec.From.String()+" to "+rec.Pos.String())
		s.counts.gaps.Add(1)
		ev.Name = event.Gap
		s.events = append(s.events, ev)
	}
}

// fireEvents matches the events and plans their firings. Events before
// commandStart are not a command's: the clock or a snapshot made them. Of the
// others, an earlier process may have planned the first ones. It returns false if
// reading is to end before the last one.
func (s *stream) fireEvents(commandStart int) bool {
	s.unpublished.events += int64(len(s.events))
	if s.judging {
		s.unpublished.events--
	}
	for i := range s.events {
		ev := &s.events[i]
		s.subject.ev = nil // the one before may have lain where this one does
		planned := false
		if i >= commandStart {
			s.unsaved.eventsAfterBase++
			if planned = s.unsaved.skipEvents > 0; planned {
				s.unsaved.skipEvents--
			}
		}
		if s.judging && ev.Name == event.Snapshot {
			s.judge(ev)
			if s.stopped() {
				return false
			}
			continue
		}
		if s.e.cfg.OnEvent != nil {
			s.e.cfg.OnEvent(ev)
		}
		if f := s.e.cfg.feed; f != nil && !f.beginEvent(ev) {
			continue
		}
		if s.e.tap.Level() == tap.All {
			s.tellEvent(ev)
		}
		if ev.Key == nil {
			if !s.endHolds(ev, planned) {
				return false
			}
		}
		s.matches = s.matcher.Match(s.matches[:0], ev)
		if s.stopped() { // what was found may not be all
			return false
		}
		if len(s.matches) > 0 {
			s.fireMatches(ev, planned)
			s.flushPart()
		}
		if f := s.e.cfg.feed; f != nil {
			f.endEvent()
		}
	}
	return true
}

// fireMatches plans the firings of an event's matches. If planned is set an
// earlier process has planned them, and only the states of time fields are
// updated.
func (s *stream) fireMatches(ev *event.Event, planned bool) {
	var owned *event.Event
	for j := range s.matches {
		m := &s.matches[j]
		if m.Role == timing.Fires {
			s.counts.matches.Add(1)
			state := s.gen.states[m.Rule]
			state.matches.Add(1)
			state.lastMatch.Store(ev.Time.UnixNano())
			if s.e.tap.Level() != tap.Nobody {
				s.tellMatch(m.Rule, state, ev)
			}
		}
		if m.Rule.Time == nil {
			if planned {
				continue
			}
			owned = s.cloneOnce(ev, owned)
			s.plan(m.Rule, firing.TriggerOf(owned), firing.Firing{Event: owned, Params: m.Params()})
			continue
		}
		for _, f := range s.timing.match(m) {
			if planned {
				continue
			}
			owned = s.cloneOnce(ev, owned)
			s.timing.plan(s.gen, &f, m, owned)
		}
	}
}

// endHolds handles an event that concerns no key, and may end what lasts of keys.
// A part of what that fires is committed as of before the event, which is the
// reason of all of it. It returns false if reading is to end before the last one.
func (s *stream) endHolds(ev *event.Event, planned bool) bool {
	return s.timing.endHolds(ev, func(f *timing.Release) bool {
		if planned {
			return true
		}
		s.timing.plan(s.gen, f, nil, nil)
		if s.unsaved.partDue {
			s.unsaved.eventsAfterBase--
			s.flushPart()
			s.unsaved.eventsAfterBase++
			return !s.stopped()
		}
		return true
	})
}

// judge has a key of a snapshot for which no rule fires end what lasts of it.
func (s *stream) judge(ev *event.Event) {
	s.matches = s.matcher.Match(s.matches[:0], ev)
	s.matches = slices.DeleteFunc(s.matches, func(m rules.Match) bool { return m.Role == timing.Fires })
	s.fireMatches(ev, false)
}

// cloneOnce returns owned, or a copy of ev if owned is nil.
func (s *stream) cloneOnce(ev, owned *event.Event) *event.Event {
	if owned == nil {
		return ev.CloneKeeping(s.gen.set.Elements())
	}
	return owned
}

// plan makes the firings of a rule, one for each of its actions, and adds them
// to the outbox. f has what they share; by is what fired.
func (s *stream) plan(rule *rules.Rule, by firing.Trigger, f firing.Firing) {
	s.planBy(s.gen, rule, by, f)
}

// planBy does the same for a rule of a generation. An earlier one has its own
// actions, which the outbox makes again if no rule has them any more.
func (s *stream) planBy(gen *generation, rule *rules.Rule, by firing.Trigger, f firing.Firing) {
	e, state := s.e, gen.states[rule]
	s.note(rule.Name, state, f.Event)
	if gen.readsKeys[rule] {
		f.Others = s.otherKeys(gen, rule, &f)
	}
	if e.cfg.feed != nil {
		e.cfg.feed.fire(rule, by, f)
	}
	switch {
	case state.paused.Load() && f.Status != event.StatusResolved: // who was told is told of the end
		state.skipped.Add(1)
		return
	case rule.DryRun:
		s.counts.dryRuns.Add(1)
		state.dryRuns.Add(1)
		e.log.Debug("dry run: would fire", "rule", rule.Name, "key", printable(f.Event.Key), "event", f.Event.Name, "offset", f.Event.Offset)
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
		if e.tap.Level() != tap.Nobody {
			s.tellFiring(rule, state, gen.endpointOf[a], &one)
		}
		if !e.cfg.DryRun {
			if !e.cfg.Replay && one.Event.Origin == event.FromStream {
				s.recent.add(one.Event, one.ID)
			}
			s.unsaved.fired = true
			name := gen.endpointOf[a]
			much := e.outbox.Add(outbox.Planned{Stream: s.name, Endpoint: name, Action: gen.endpoints[name], Policy: gen.policyOf[a], Firing: &one})
			s.unsaved.partDue = s.unsaved.partDue || much
		}
	}
}

// otherKeys reads the values of other keys that templates of a rule's actions
// want of a firing, as they are at this moment.
func (s *stream) otherKeys(gen *generation, rule *rules.Rule, f *firing.Firing) (list []firing.OtherKey) {
	db := f.Event.DB
	if f.Event.Key == nil && f.Event.Origin == event.FromClock {
		db = rule.ClockDB()
	}
	for _, a := range rule.Actions {
		for _, key := range actions.OtherKeys(gen.endpoints[gen.endpointOf[a]].Action, f) {
			if slices.ContainsFunc(list, func(o firing.OtherKey) bool { return o.Key == key }) {
				continue
			}
			value := s.interpreter.Lookup(db, []byte(key))
			list = append(list, firing.OtherKey{Key: key, Value: event.CloneKeeping(value, event.DefaultMaxValue, gen.set.Elements())})
		}
	}
	return list
}
