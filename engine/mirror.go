package engine

import (
	"strconv"
	"strings"
	"time"

	"triggerd/internal/event"
	"triggerd/internal/keyspace"
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

// refresher is a source that can hand out all keys anew.
type refresher interface{ Refresh() }

// poker is a source that can be woken, so that it asks Wake again.
type poker interface{ Poke() }

// WantsSnapshot reports whether the present rules look at the keys of
// snapshots, or need to know them. It is what source.Config.Snapshot asks for.
func (e *Engine) WantsSnapshot() bool { return e.firesSnapshots() || e.needsMirror() }

// firesSnapshots reports whether rules fire for the keys of a snapshot.
func (e *Engine) firesSnapshots() bool {
	gen := e.gen.Load()
	return gen != nil && e.cfg.Start != "live" && gen.set.WantsSnapshot()
}

func (e *Engine) needsMirror() bool {
	gen := e.gen.Load()
	return gen != nil && gen.set.NeedsSomething()
}

// LacksMirror reports whether the present rules need to know keys as they are,
// and those are not known from an earlier process. It is what
// source.Config.Mirror asks for.
func (e *Engine) LacksMirror() bool { return e.needsMirror() && !e.restored.Load() }

// refresh has all keys handed out anew, if the source can do that.
func (e *Engine) refresh() {
	e.restored.Store(false)
	if src, ok := e.cfg.Source.(refresher); ok {
		src.Refresh()
	}
}

// Wake returns when the reader has something to do though nothing arrives: a
// key expires of which a rule wants to know on time, a time that a rule waits
// for has come, or changes have to be given out. It is what source.Config.Wake
// asks for, and for the goroutine that runs the source only.
func (e *Engine) Wake() time.Time {
	r := e.reader
	if r == nil {
		return time.Time{}
	}
	var at time.Time
	if t, ok := r.in.NextDeadline(); ok {
		at = r.timing.clock.wake(t.Add(expiryGrace))
	}
	if !r.st.since.IsZero() {
		at = earlier(at, r.st.since.Add(flushAfter))
	}
	return earlier(at, r.timing.wake())
}

// earlier returns the earlier of two times, of which a zero one is never.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// use begins to match the rules of a new generation, and has the mirror keep
// what they need.
func (r *reader) use(gen *generation) {
	if r.gen != nil && !gen.set.NeedsNoMoreThan(r.gen.set) {
		r.st.fresh = true
	}
	if r.gen != gen {
		r.gen, r.matcher = gen, gen.set.Matcher()
		r.matcher.ConditionError = r.e.conditionError
	}
	if !gen.set.NeedsSomething() {
		r.in.SetNeed(nil, keyspace.Classes{})
		return
	}
	need := func(db int, key []byte) keyspace.Need { return keyspace.Need(r.matcher.Need(db, key)) }
	r.in.SetNeed(need, keyspace.Classes{
		New:         gen.set.AsksFor("new"),
		Overwritten: gen.set.AsksFor("overwritten") || gen.set.AsksFor("type_changed"),
	})
}

// snapshotKey makes the event of a snapshot's key, and, where the mirror had
// known it otherwise, of its change. The events of one snapshot share its
// offset, so they are numbered to tell their IDs apart.
func (r *reader) snapshotKey(rec *source.Record) {
	k := rec.Entry
	r.learn(rec)
	r.snapshot = keyspace.SnapshotKey{
		Key: k.Key, DB: k.DB, Type: k.Type.String(), ExpireAt: k.ExpireAt, Value: rec.RDB,
		ReplID: rec.ReplID, Offset: rec.Offset, Time: rec.Time, Source: r.addr,
	}
	r.events = r.in.SnapshotKey(r.events, &r.snapshot)
	if rec.Side || !r.e.firesSnapshots() && !r.e.cfg.Replay {
		r.events = withoutSnapshot(r.events)
	}
	r.number(0)
}

// learn tells the interpreter which server it is, as the snapshot says.
func (r *reader) learn(rec *source.Record) {
	if rec.RDB == nil {
		return
	}
	if version, ok := rec.RDB.Aux("valkey-ver"); ok {
		r.setServer(server{keyspace.Valkey, majorOf(version)})
	} else if version, ok := rec.RDB.Aux("redis-ver"); ok {
		r.setServer(server{keyspace.Redis, majorOf(version)})
	}
}

// server is what events depend on of the server that is read.
type server struct {
	dialect keyspace.Dialect
	major   int // 0: not known
}

func majorOf(version string) int {
	text, _, _ := strings.Cut(version, ".")
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 {
		return 0
	}
	return n
}

func (r *reader) setServer(s server) {
	if s != r.server {
		r.server = s
		r.in.SetServer(s.dialect, s.major)
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
func (r *reader) number(i int) {
	for ; i < len(r.events); i++ {
		r.events[i].Index = r.keys
		r.keys++
	}
}

// snapshotEnd makes the events of keys that are gone, and, of a full resync,
// those that tell of it.
func (r *reader) snapshotEnd(rec *source.Record) {
	r.learn(rec)
	if rec.Broken {
		r.in.SnapshotAbort()
	} else {
		r.snapshot = keyspace.SnapshotKey{ReplID: rec.ReplID, Offset: rec.Offset, Time: rec.Time, Source: r.addr}
		r.events = r.in.SnapshotEnd(r.events, &r.snapshot)
	}
	if !r.e.cfg.Replay && !rec.Side {
		r.resync(rec)
	}
	r.number(0)
}

// expire makes the events of keys whose deadline has passed, and the grace with
// it: not before all that the server sent until then is known.
func (r *reader) expire(rec *source.Record) {
	at, ok := r.in.NextDeadline()
	if !ok || rec.Kind != source.Command && rec.Kind != source.Heartbeat {
		return
	}
	now := r.timing.clock.seen
	if !r.e.cfg.Replay {
		now = now.Add(-expiryGrace)
	}
	if at.After(now) {
		return
	}
	r.cmd = keyspace.Command{Time: now, ReplID: rec.ReplID, Offset: rec.Offset, Source: r.addr}
	r.events = r.in.Expire(r.events, &r.cmd)
}

// beginEmpty tells the mirror that there are no keys.
func (r *reader) beginEmpty() {
	r.in.SnapshotBegin()
	r.events = r.in.SnapshotEnd(r.events[:0], &keyspace.SnapshotKey{})
}
