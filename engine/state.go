package engine

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
	"time"

	"triggerd/internal/keyspace"
	"triggerd/internal/outbox"
	"triggerd/internal/store"
	"triggerd/source"
)

// spaces are those of a stream in the store. That of the state keeps what is
// true of the others as a whole.
type spaces struct{ mirror, timers, state store.Space }

func spacesOf(stream string) spaces {
	return spaces{mirror: store.Mirror(stream), timers: store.Timers(stream), state: store.State(stream)}
}

// mirrorEntry says, by its value, for which needs the entries of the mirror are
// complete: a text of rules.Set.NeedText. It is missing while they are not.
var mirrorEntry = []byte("mirror")

// serverEntry is what is known of the server: "redis 8.0.2", and "valkey 9" of
// an earlier triggerd.
var serverEntry = []byte("server")

// clockEntry is the reader's clock, in milliseconds since 1970.
var clockEntry = []byte("clock")

// flushAfter is how long changes of the reader's state may gather before they
// go into a commit with the position behind them. What fires goes at once.
const flushAfter = 50 * time.Millisecond

// moveAfter is the same where nothing has changed, and only the position is
// another.
const moveAfter = 10 * time.Millisecond

// flushKeys is how many changed keys and states may gather.
const flushKeys = 4096

// state is the reader's side of what is kept over a restart beside firings: the
// mirror, and what time rules wait for. Both gather their changes, and give
// them out together with the position behind them, so that a key that changes
// a thousand times in a moment is written once.
type state struct {
	kept bool // there is a store that outlives the process
	ch   outbox.Changes

	at     source.Position // behind the last complete record; zero: nothing new
	ended  bool            // all that was read is complete
	fired  bool            // and something fired
	since  time.Time       // when the first change that waits was made, or the position moved; zero: nothing waits
	dirty  bool            // a change waits
	inside bool            // of a transaction or a snapshot
	fresh  bool            // inside a snapshot, or the mirror otherwise not complete
	saved  string          // value of mirrorEntry, as last given out
	server server          // as last given out

	// A part of what one command or transaction fires may be given out before
	// the rest: with base, and how many events after it are dealt with.
	base   source.Position // as last given out
	events int             // that commands after base have made
	skip   int             // of the next that they make, what an earlier process has dealt with
	much   bool            // what fired and was not given out is much
	loads  bool            // inside a snapshot, whose events base does not know
}

// restore takes over what an earlier process has left, which belongs to the
// position from.
func (s *stream) restore(from source.Position) error {
	s.st.kept = s.e.cfg.Store != nil
	s.st.base, s.st.skip = from, from.Events
	s.st.base.Events = 0
	s.st.fresh = true
	if !s.st.kept {
		return nil
	}
	saved, found, err := get(s.e.store, s.spaces.state, clockEntry)
	if err != nil {
		return err
	}
	if ms, err := strconv.ParseInt(string(saved), 10, 64); found && err == nil {
		s.timing.clock.start(time.UnixMilli(ms))
	}
	if err := s.timing.restore(s.e.store, &s.st.ch); err != nil {
		return err
	}
	if saved, _, err = get(s.e.store, s.spaces.state, serverEntry); err != nil {
		return err
	}
	s.setServer(parseServer(string(saved)))
	s.st.server = s.server
	s.in.Journal(true)
	return s.restoreMirror(from)
}

// restoreMirror loads the mirror. Where it is not complete for the present
// rules, what it does not have is not known, and a snapshot is asked for.
func (s *stream) restoreMirror(from source.Position) error {
	st := s.e.store
	saved, found, err := get(st, s.spaces.state, mirrorEntry)
	if err != nil {
		return err
	}
	need := s.gen.need
	if !found || from.IsZero() || need == "" {
		s.forgetMirror()
		return nil
	}
	began, n := time.Now(), 0
	for entry, err := range st.Scan(s.spaces.mirror, nil, nil) {
		if err == nil {
			err = s.in.Restore(entry.Key, entry.Value)
		}
		if err != nil {
			s.e.log.Error("the values of keys that were kept cannot be read: they are asked for anew", "err", err)
			s.in.SetNeed(nil, keyspace.Classes{})
			s.use(s.gen)
			s.forgetMirror()
			return nil
		}
		n++
	}
	complete := string(saved) == need
	s.in.RestoreEnd(complete)
	s.st.saved, s.st.fresh = string(saved), !complete
	if _, s.renewal.stored, err = get(st, s.spaces.state, renewEntry); err != nil {
		return err
	}
	s.renewal.wanted = s.renewal.stored
	if complete && !s.renewal.wanted {
		s.had.Store(s.needs.Load())
	}
	s.e.log.Info("values of keys are as they were", "entries", n, "took", time.Since(began).Round(time.Millisecond), "complete", complete)
	return nil
}

func (s server) String() string {
	name := "redis"
	if s.dialect == keyspace.Valkey {
		name = "valkey"
	}
	return name + " " + s.version.String()
}

// parseServer undoes String; what it cannot read is not known.
func parseServer(text string) (s server) {
	name, version, _ := strings.Cut(text, " ")
	if name == "valkey" {
		s.dialect = keyspace.Valkey
	}
	s.version = keyspace.ParseVersion(version)
	return s
}

// forgetMirror has the entries of the mirror removed.
func (s *stream) forgetMirror() {
	s.st.saved, s.st.fresh = "", true
	s.st.ch.Add(s.spaces.mirror, outbox.DeleteFrom, nil, nil)
	s.st.ch.Add(s.spaces.state, outbox.DeleteEntry, mirrorEntry, nil)
}

// get returns an entry of a space.
func get(st *store.Store, space store.Space, key []byte) (value []byte, found bool, err error) {
	for entry, err := range st.Scan(space, key, append(bytes.Clone(key), 0)) {
		if err != nil {
			return nil, false, fmt.Errorf("read the state: %w", err)
		}
		return bytes.Clone(entry.Value), true, nil
	}
	return nil, false, nil
}

// pass moves the position behind the record, and gives out with it what has
// changed, if it is time.
func (s *stream) pass(rec *source.Record) {
	s.enter(rec)
	if !s.st.inside {
		s.st.ended = true
		if !rec.Pos.IsZero() && (rec.Pos != s.st.base || s.st.events > 0) {
			s.st.at = rec.Pos
		}
	}
	// After an attach at once: a crash before the first regular checkpoint would
	// start afresh, and miss what lies between.
	attached := rec.Kind == source.SnapshotEnd
	switch {
	case attached || !s.st.inside && s.due(rec.Time):
		s.flush(attached)
	case rec.Kind == source.Key && s.in.Dirty() >= flushKeys:
		s.flushMirror()
	}
}

// enter follows where transactions and snapshots begin and end.
func (s *stream) enter(rec *source.Record) {
	st := &s.st
	switch rec.Kind {
	case source.Command:
		st.inside = rec.Pos.IsZero() && rec.Tx.Index != rec.Tx.Size
	case source.SnapshotBegin:
		st.inside, st.fresh, st.loads = true, true, true
		if !rec.Side { // what follows is another history
			st.events, st.skip = 0, 0
		}
	case source.SnapshotEnd:
		st.inside, st.fresh, st.loads = false, rec.Broken, false
	}
}

// due reports whether what has changed has to be given out now.
func (s *stream) due(now time.Time) bool {
	st := &s.st
	dirty := 0
	if st.kept {
		dirty = s.in.Dirty() + s.timing.dirty()
	}
	st.dirty = dirty > 0
	switch {
	case st.fired, dirty >= flushKeys, !st.at.IsZero() && st.at.ReplID != st.base.ReplID:
		return true
	case dirty == 0 && st.at.IsZero():
		return false
	}
	if st.since.IsZero() {
		st.since = now
	}
	return !now.Before(st.flushAt())
}

// flushAt is when what waits has to be given out; zero: nothing waits.
func (st *state) flushAt() time.Time {
	switch {
	case st.since.IsZero():
		return time.Time{}
	case st.dirty:
		return st.since.Add(flushAfter)
	}
	return st.since.Add(moveAfter)
}

// flush gives out what has changed, with the position behind it.
func (s *stream) flush(now bool) {
	st := &s.st
	if st.kept {
		s.gatherMirror()
		s.timing.gather(&st.ch)
		s.keepRenewal()
		if s.server != st.server {
			st.server = s.server
			st.ch.Add(s.spaces.state, outbox.PutEntry, serverEntry, []byte(s.server.String()))
		}
	}
	c := outbox.Commit{Stream: s.name, Whole: st.ended, Changes: &st.ch}
	if !st.at.IsZero() {
		// After a failover at once: a server knows the history before its own, and
		// none before that.
		c.Now = now || st.at.ReplID != st.base.ReplID
		st.base, st.events = st.at, 0
		c.Position = s.behind(0)
	}
	s.e.outbox.Pass(c)
	s.handled.Store(s.offset)
	st.at, st.ended, st.fired, st.much, st.since = source.Position{}, false, false, false, time.Time{}
}

// behind is the position so many events after base.
func (s *stream) behind(events int) string {
	p := s.st.base
	p.Events = events + s.st.skip
	return p.String()
}

// flushPart gives out what fired, if that is much, though the command or
// transaction that makes it go on has not ended. The state of the stream stays
// that of base: from there the next process reads again, and leaves out as many
// events.
func (s *stream) flushPart() {
	st := &s.st
	if !st.much {
		return
	}
	st.much = false
	c := outbox.Commit{Stream: s.name, Whole: true}
	if !st.base.IsZero() && !st.loads {
		c.Position = s.behind(st.events)
	}
	s.e.outbox.Pass(c)
}

// A command, or a transaction, with more words, or commands, than these may fire
// so much that it is given out in parts.
const (
	manyWords    = 1000
	manyCommands = 100
)

// isVast reports whether a record begins something that may be given out in
// parts.
func (s *stream) isVast(rec *source.Record) bool {
	if rec.Kind != source.Command || s.st.inside {
		return false
	}
	return len(rec.Args) > manyWords || rec.Tx.Size > manyCommands || rec.Tx.Index == 1 && rec.Tx.Size == 0
}

// clear deals with all that comes before a record, so that base is just before
// it.
func (s *stream) clear(rec *source.Record) {
	s.expire(rec)
	s.timing.advance(rec)
	s.fire(len(s.events))
	s.events = s.events[:0]
	s.st.ended = true
	s.flush(false)
}

// flushFired gives out what a multitude of timers has changed, and what fired
// of it, before the next of them: where the record changes nothing itself.
func (s *stream) flushFired(rec *source.Record) {
	quiet := rec.Kind == source.Heartbeat || rec.Kind == source.Woken || rec.Kind == source.Attached || rec.Kind == source.Detached
	if quiet && !s.st.inside && len(s.events) == 0 && s.timing.dirty() >= flushKeys {
		s.st.ended = true
		s.flush(false)
	}
}

// flushMirror gives out what of a snapshot was read, whose end is not in sight.
// Until it is the entries are not complete, which the missing mirrorEntry says.
func (s *stream) flushMirror() {
	if !s.st.kept {
		return
	}
	s.gatherMirror()
	s.e.outbox.Pass(outbox.Commit{Stream: s.name, Changes: &s.st.ch})
}

// gatherMirror adds what of the mirror has changed.
func (s *stream) gatherMirror() {
	st := &s.st
	need := ""
	if !st.fresh {
		need = s.gen.need
	}
	s.in.Changes(func(op keyspace.Op, key, value []byte) {
		st.ch.Add(s.spaces.mirror, outbox.ChangeKind(op), key, value)
	})
	switch {
	case need == st.saved:
	case need == "":
		st.ch.Add(s.spaces.state, outbox.DeleteEntry, mirrorEntry, nil)
	default:
		st.ch.Add(s.spaces.state, outbox.PutEntry, mirrorEntry, []byte(need))
	}
	st.saved = need
}

// lost deals with a link that was lost inside of a transaction or a snapshot:
// what of it was seen will come again, or never, so that nothing is known.
func (s *stream) lost() {
	s.st.inside, s.st.events = false, 0
	if !s.needsMirror() {
		return
	}
	s.in.SnapshotBegin()
	s.in.SnapshotAbort()
	s.st.fresh = true
	s.lackKeys()
}

// end gives out the rest, unless that is in the midst of something.
func (s *stream) end() {
	if !s.st.inside {
		s.flush(true)
	}
}
