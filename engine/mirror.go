package engine

import (
	"time"

	"triggerd/internal/event"
	"triggerd/internal/keyspace"
	"triggerd/rules"
	"triggerd/source"
)

// expiryGrace is how long after a key's deadline the clock announces its
// expiry, if a rule asks for expiries on time. In that time what the primary
// did before the deadline arrives.
const expiryGrace = 100 * time.Millisecond

// clockGrace is how much earlier than its deadline a key may be removed and
// still count as expired. Our clock may be behind the primary's. And redis 6.0
// says how long a key has to live, not until when, so the time on the way adds
// to it.
const clockGrace = 20 * time.Millisecond

// useRules takes over the rules of a new generation: the mirror keeps the keys
// and values that they need.
func (s *stream) useRules(gen *generation) {
	setNeed := s.interpreter.SetNeed
	switch {
	case s.gen == nil:
	case gen.set.NeedsNoMoreThan(s.gen.set):
		setNeed = s.interpreter.NarrowNeed
	default:
		s.unsaved.mirrorIncomplete, s.unsaved.needsGrew = true, true
	}
	if s.gen != gen {
		s.gen, s.matcher = gen, gen.set.Matcher()
		s.matcher.Stopped, s.matcher.Lookup = s.stopped, s.interpreter.Lookup
		s.matcher.ConditionError = func(r *rules.Rule, ev *event.Event, err error) {
			s.e.logConditionError(r, ev, gen.secrets.Mask(err.Error()))
		}
	}
	s.keepsSpool.Store(s.writeback.replay != nil && gen.set.NeedsSomething())
	s.writeback.asked = true // what is kept is of other needs
	if !gen.set.NeedsSomething() {
		s.writeback.forget()
		s.interpreter.SetNeed(nil, keyspace.Classes{})
		return
	}
	matcher := s.matcher // the mirror asks what was needed before a reload, too
	need := func(db int, key []byte) keyspace.Need { return keyspace.Need(matcher.Need(db, key)) }
	s.interpreter.SetCounted(matcher.Counted)
	setNeed(need, keyspace.Classes{
		New:         gen.set.AsksFor("new"),
		Overwritten: gen.set.AsksFor("overwritten") || gen.set.AsksFor("type_changed"),
	})
}

// addSnapshotKey adds the event of a snapshot's key, and the event of its
// change if the mirror knew the key otherwise.
func (s *stream) addSnapshotKey(rec *source.Record) {
	k := rec.Entry
	s.detectServer(rec)
	s.keyInput = keyspace.SnapshotKey{
		Key: k.Key, DB: k.DB, Type: k.Type.String(), ExpireAt: k.ExpireAt, Value: rec.RDB,
		ReplID: rec.ReplID, Offset: rec.Offset, Time: rec.Time, Source: s.addr,
	}
	s.events = s.interpreter.SnapshotKey(s.events, &s.keyInput)
	s.timing.seeKey(k.DB, k.Key)
	if rec.Side || !s.firesSnapshots() && !s.e.cfg.Replay {
		if s.timing.judges && len(s.events) == 1 && s.events[0].Name == event.Snapshot {
			s.judging = true // a second one would tell the change
		} else {
			s.events = withoutSnapshot(s.events)
		}
	}
	s.numberEvents()
}

// detectServer tells the interpreter which server wrote the snapshot.
func (s *stream) detectServer(rec *source.Record) {
	if rec.RDB == nil {
		return
	}
	if version, ok := rec.RDB.Aux("valkey-ver"); ok {
		s.setServer(serverVersion{keyspace.Valkey, keyspace.ParseVersion(version)})
	} else if version, ok := rec.RDB.Aux("redis-ver"); ok {
		s.setServer(serverVersion{keyspace.Redis, keyspace.ParseVersion(version)})
	}
}

// serverVersion is what events depend on: commands of other servers and
// versions do other things.
type serverVersion struct {
	dialect keyspace.Dialect
	version keyspace.Version
}

// name returns the server's name for people.
func (v *serverVersion) name() string {
	if v.dialect == keyspace.Valkey {
		return "Valkey"
	}
	return "Redis"
}

func (s *stream) setServer(of serverVersion) {
	if of != s.server {
		s.server = of
		s.sharedServer.Store(&of)
		s.interpreter.SetServer(of.dialect, of.version)
	}
}

// withoutSnapshot removes the events that only say that a key exists.
func withoutSnapshot(events []event.Event) []event.Event {
	kept := events[:0]
	for i := range events {
		if events[i].Name != event.Snapshot {
			kept = append(kept, events[i])
		}
	}
	return kept
}

// endSnapshot adds the events of keys that the snapshot no longer has, and
// after a full resync the events that tell of it.
func (s *stream) endSnapshot(rec *source.Record) {
	s.detectServer(rec)
	if rec.Side || s.wantedKeys.Load() {
		s.knownKeys.Store(s.snapshotKeys)
	}
	if rec.Incomplete {
		s.interpreter.SnapshotAbort()
	} else {
		s.keyInput = keyspace.SnapshotKey{ReplID: rec.ReplID, Offset: rec.Offset, Time: rec.Time, Source: s.addr}
		s.events = s.interpreter.SnapshotEnd(s.events, &s.keyInput)
	}
	if !s.e.cfg.Replay && !rec.Side {
		s.addResyncEvents(rec)
	}
	s.numberEvents()
	s.endAttachment(rec)
}

// expireKeys adds the expiry events of keys whose deadline, and expiryGrace,
// have passed. It waits until everything that the server sent before is known.
func (s *stream) expireKeys(rec *source.Record) {
	at, ok := s.interpreter.NextDeadline()
	if !ok || rec.Kind != source.Command && rec.Kind != source.Heartbeat && rec.Kind != source.Woken {
		return
	}
	now := s.timing.clock.knownUntil
	if !s.e.cfg.Replay {
		now = now.Add(-expiryGrace)
	}
	if at.After(now) {
		return
	}
	s.commandInput = keyspace.Command{Time: now, ReplID: rec.ReplID, Offset: rec.Offset, Source: s.addr}
	before := len(s.events)
	if s.events = s.interpreter.Expire(s.events, &s.commandInput); len(s.events) > before {
		s.writeback.noteTick(s.offset, now)
	}
}

// beginWithoutKeys tells the mirror that the server has no keys.
func (s *stream) beginWithoutKeys() {
	s.interpreter.SnapshotBegin()
	s.events = s.interpreter.SnapshotEnd(s.events[:0], &keyspace.SnapshotKey{})
}
