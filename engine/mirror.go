package engine

import (
	"time"

	"triggerd/internal/event"
	"triggerd/internal/keyspace"
	"triggerd/rules"
	"triggerd/source"
)

// expiryGrace is how long after its deadline a key's expiry is announced by
// the clock, where a rule asks for it on time: what the primary did before the
// deadline has to arrive first.
const expiryGrace = 100 * time.Millisecond

// clockGrace is how much earlier than its deadline the removal of a key still
// counts as its expiry: how far our clock may be behind the primary's, and how
// long a command may have been on its way from a server that says how long a
// key has to live, and not until when (redis 6.0).
const clockGrace = 20 * time.Millisecond

// use begins to match the rules of a new generation, and has the mirror keep
// what they need.
func (s *stream) use(gen *generation) {
	if s.gen != nil && !gen.set.NeedsNoMoreThan(s.gen.set) {
		s.st.fresh = true
	}
	if s.gen != gen {
		s.gen, s.matcher = gen, gen.set.Matcher()
		s.matcher.ConditionError = func(r *rules.Rule, ev *event.Event, err error) {
			s.e.conditionError(r, ev, gen.secrets.Mask(err.Error()))
		}
	}
	if !gen.set.NeedsSomething() {
		s.in.SetNeed(nil, keyspace.Classes{})
		return
	}
	need := func(db int, key []byte) keyspace.Need { return keyspace.Need(s.matcher.Need(db, key)) }
	s.in.SetNeed(need, keyspace.Classes{
		New:         gen.set.AsksFor("new"),
		Overwritten: gen.set.AsksFor("overwritten") || gen.set.AsksFor("type_changed"),
	})
}

// snapshotKey makes the event of a snapshot's key, and, where the mirror had
// known it otherwise, of its change. The events of one snapshot share its
// offset, so they are numbered to tell their IDs apart.
func (s *stream) snapshotKey(rec *source.Record) {
	k := rec.Entry
	s.learn(rec)
	s.snapshot = keyspace.SnapshotKey{
		Key: k.Key, DB: k.DB, Type: k.Type.String(), ExpireAt: k.ExpireAt, Value: rec.RDB,
		ReplID: rec.ReplID, Offset: rec.Offset, Time: rec.Time, Source: s.addr,
	}
	s.events = s.in.SnapshotKey(s.events, &s.snapshot)
	if rec.Side || !s.firesSnapshots() && !s.e.cfg.Replay {
		s.events = withoutSnapshot(s.events)
	}
	s.number(0)
}

// learn tells the interpreter which server it is, as the snapshot says.
func (s *stream) learn(rec *source.Record) {
	if rec.RDB == nil {
		return
	}
	if version, ok := rec.RDB.Aux("valkey-ver"); ok {
		s.setServer(server{keyspace.Valkey, keyspace.ParseVersion(version)})
	} else if version, ok := rec.RDB.Aux("redis-ver"); ok {
		s.setServer(server{keyspace.Redis, keyspace.ParseVersion(version)})
	}
}

// server is what events depend on of the server that is read.
type server struct {
	dialect keyspace.Dialect
	version keyspace.Version
}

func (s *stream) setServer(of server) {
	if of != s.server {
		s.server = of
		s.in.SetServer(of.dialect, of.version)
	}
}

// withoutSnapshot drops the events that only say that a key is there.
func withoutSnapshot(events []event.Event) []event.Event {
	kept := events[:0]
	for i := range events {
		if events[i].Name != event.Snapshot {
			kept = append(kept, events[i])
		}
	}
	return kept
}

// number gives the events from the i-th on the next numbers of the snapshot.
func (s *stream) number(i int) {
	for ; i < len(s.events); i++ {
		s.events[i].Index = s.keys
		s.keys++
	}
}

// snapshotEnd makes the events of keys that are gone, and, of a full resync,
// those that tell of it.
func (s *stream) snapshotEnd(rec *source.Record) {
	s.learn(rec)
	if rec.Side || s.wanted {
		s.had.Store(s.begun)
	}
	if rec.Broken {
		s.in.SnapshotAbort()
	} else {
		s.snapshot = keyspace.SnapshotKey{ReplID: rec.ReplID, Offset: rec.Offset, Time: rec.Time, Source: s.addr}
		s.events = s.in.SnapshotEnd(s.events, &s.snapshot)
	}
	if !s.e.cfg.Replay && !rec.Side {
		s.resync(rec)
	}
	s.number(0)
}

// expire makes the events of keys whose deadline has passed, and the grace with
// it: not before all that the server sent until then is known.
func (s *stream) expire(rec *source.Record) {
	at, ok := s.in.NextDeadline()
	if !ok || rec.Kind != source.Command && rec.Kind != source.Heartbeat && rec.Kind != source.Woken {
		return
	}
	now := s.timing.clock.seen
	if !s.e.cfg.Replay {
		now = now.Add(-expiryGrace)
	}
	if at.After(now) {
		return
	}
	s.cmd = keyspace.Command{Time: now, ReplID: rec.ReplID, Offset: rec.Offset, Source: s.addr}
	s.events = s.in.Expire(s.events, &s.cmd)
}

// beginEmpty tells the mirror that there are no keys.
func (s *stream) beginEmpty() {
	s.in.SnapshotBegin()
	s.events = s.in.SnapshotEnd(s.events[:0], &keyspace.SnapshotKey{})
}
