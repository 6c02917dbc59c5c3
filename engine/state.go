package engine

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
	"time"

	"triggerd/internal/keyspace"
	"triggerd/internal/store"
	"triggerd/source"
)

// standalone is the name of the one stream that there is.
const standalone = store.Standalone

// The spaces of the stream. stateSpace keeps what is true of the others as a
// whole.
var (
	mirrorSpace = store.Mirror(standalone)
	timersSpace = store.Timers(standalone)
	stateSpace  = store.State(standalone)
)

// mirrorEntry says, by its value, for which needs the entries of the mirror are
// complete: a text of rules.Set.NeedText. It is missing while they are not.
var mirrorEntry = []byte("mirror")

// serverEntry is what is known of the server: "redis 7", "valkey 9".
var serverEntry = []byte("server")

// clockEntry is the reader's clock, in milliseconds since 1970.
var clockEntry = []byte("clock")

// flushAfter is how long changes of the reader's state may gather before they
// go into a commit with the position behind them. What fires goes at once.
const flushAfter = 50 * time.Millisecond

// flushKeys is how many changed keys and states may gather.
const flushKeys = 4096

// state is the reader's side of what is kept over a restart beside firings: the
// mirror, and what time rules wait for. Both gather their changes, and give
// them out together with the position behind them, so that a key that changes
// a thousand times in a moment is written once.
type state struct {
	kept bool // there is a store that outlives the process
	ch   changes

	at     source.Position // behind the last complete record; zero: nothing new
	ended  bool            // all that was read is complete
	fired  bool            // and something fired
	since  time.Time       // when the first change that waits was made; zero: none waits
	inside bool            // of a transaction or a snapshot
	fresh  bool            // inside a snapshot, or the mirror otherwise not complete
	saved  string          // value of mirrorEntry, as last given out
	server server          // as last given out
}

// restore takes over what an earlier process has left, which belongs to the
// position from.
func (r *reader) restore(from source.Position) error {
	r.st.kept = r.e.cfg.Store != nil
	r.st.fresh = true
	if !r.st.kept {
		return nil
	}
	saved, found, err := get(r.e.store, stateSpace, clockEntry)
	if err != nil {
		return err
	}
	if ms, err := strconv.ParseInt(string(saved), 10, 64); found && err == nil {
		r.timing.clock.start(time.UnixMilli(ms))
	}
	if err := r.timing.restore(r.e.store, &r.st.ch); err != nil {
		return err
	}
	if saved, _, err = get(r.e.store, stateSpace, serverEntry); err != nil {
		return err
	}
	r.setServer(parseServer(string(saved)))
	r.st.server = r.server
	r.in.Journal(true)
	return r.restoreMirror(from)
}

// restoreMirror loads the mirror. Where it is not complete for the present
// rules, what it does not have is not known, and a snapshot is asked for.
func (r *reader) restoreMirror(from source.Position) error {
	st := r.e.store
	saved, found, err := get(st, stateSpace, mirrorEntry)
	if err != nil {
		return err
	}
	need := r.gen.need
	if !found || from.IsZero() || need == "" {
		r.forgetMirror()
		return nil
	}
	began, n := time.Now(), 0
	for entry, err := range st.Scan(mirrorSpace, nil, nil) {
		if err == nil {
			err = r.in.Restore(entry.Key, entry.Value)
		}
		if err != nil {
			r.e.log.Error("the values of keys that were kept cannot be read: they are asked for anew", "err", err)
			r.in.SetNeed(nil, keyspace.Classes{})
			r.use(r.gen)
			r.forgetMirror()
			return nil
		}
		n++
	}
	complete := string(saved) == need
	r.in.RestoreEnd(complete)
	r.st.saved, r.st.fresh = string(saved), !complete
	r.e.restored.Store(complete)
	r.e.log.Info("values of keys are as they were", "entries", n, "took", time.Since(began).Round(time.Millisecond), "complete", complete)
	return nil
}

func (s server) String() string {
	name := "redis"
	if s.dialect == keyspace.Valkey {
		name = "valkey"
	}
	return name + " " + strconv.Itoa(s.major)
}

// parseServer undoes String; what it cannot read is not known.
func parseServer(text string) (s server) {
	name, major, _ := strings.Cut(text, " ")
	if name == "valkey" {
		s.dialect = keyspace.Valkey
	}
	s.major = majorOf(major)
	return s
}

// forgetMirror has the entries of the mirror removed.
func (r *reader) forgetMirror() {
	r.st.saved, r.st.fresh = "", true
	r.st.ch.add(mirrorSpace, deleteFrom, nil, nil)
	r.st.ch.add(stateSpace, deleteEntry, mirrorEntry, nil)
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
func (r *reader) pass(rec *source.Record) {
	r.enter(rec)
	if !r.st.inside {
		r.st.ended = true
		if !rec.Pos.IsZero() {
			r.st.at = rec.Pos
		}
	}
	// After an attach at once: a crash before the first regular checkpoint would
	// start afresh, and miss what lies between.
	attached := rec.Kind == source.SnapshotEnd
	switch {
	case attached || !r.st.inside && r.due(rec.Time):
		r.flush(attached)
	case rec.Kind == source.Key && r.in.Dirty() >= flushKeys:
		r.flushMirror()
	}
}

// enter follows where transactions and snapshots begin and end.
func (r *reader) enter(rec *source.Record) {
	st := &r.st
	switch rec.Kind {
	case source.Command:
		st.inside = rec.Pos.IsZero() && rec.Tx.Index != rec.Tx.Size
	case source.SnapshotBegin:
		st.inside, st.fresh = true, true
	case source.SnapshotEnd:
		st.inside, st.fresh = false, rec.Broken
	}
}

// due reports whether what has changed has to be given out now.
func (r *reader) due(now time.Time) bool {
	st := &r.st
	dirty := 0
	if st.kept {
		dirty = r.in.Dirty() + r.timing.dirty()
	}
	if dirty == 0 || st.fired || dirty >= flushKeys {
		return true
	}
	if st.since.IsZero() {
		st.since = now
	}
	return now.Sub(st.since) >= flushAfter
}

// flush gives out what has changed, with the position behind it.
func (r *reader) flush(now bool) {
	st := &r.st
	if st.kept {
		r.gatherMirror()
		r.timing.gather(&st.ch)
		if r.server != st.server {
			st.server = r.server
			st.ch.add(stateSpace, putEntry, serverEntry, []byte(r.server.String()))
		}
	}
	r.e.outbox.pass(st.at, st.ended, now, &st.ch)
	st.at, st.ended, st.fired, st.since = source.Position{}, false, false, time.Time{}
}

// flushFired gives out what a multitude of timers has changed, and what fired
// of it, before the next of them: where the record changes nothing itself.
func (r *reader) flushFired(rec *source.Record) {
	quiet := rec.Kind == source.Heartbeat || rec.Kind == source.Attached || rec.Kind == source.Detached
	if quiet && !r.st.inside && len(r.events) == 0 && r.timing.dirty() >= flushKeys {
		r.st.ended = true
		r.flush(false)
	}
}

// flushMirror gives out what of a snapshot was read, whose end is not in sight.
// Until it is the entries are not complete, which the missing mirrorEntry says.
func (r *reader) flushMirror() {
	if !r.st.kept {
		return
	}
	r.gatherMirror()
	r.e.outbox.pass(source.Position{}, false, false, &r.st.ch)
}

// gatherMirror adds what of the mirror has changed.
func (r *reader) gatherMirror() {
	st := &r.st
	need := ""
	if !st.fresh {
		need = r.gen.need
	}
	r.in.Changes(func(op keyspace.Op, key, value []byte) {
		st.ch.add(mirrorSpace, changeKind(op), key, value)
	})
	switch {
	case need == st.saved:
	case need == "":
		st.ch.add(stateSpace, deleteEntry, mirrorEntry, nil)
	default:
		st.ch.add(stateSpace, putEntry, mirrorEntry, []byte(need))
	}
	st.saved = need
}

// lost deals with a link that was lost inside of a transaction or a snapshot:
// what of it was seen will come again, or never, so that nothing is known.
func (r *reader) lost() {
	r.st.inside = false
	if !r.e.needsMirror() {
		return
	}
	r.in.SnapshotBegin()
	r.in.SnapshotAbort()
	r.st.fresh = true
	r.e.refresh()
}

// end gives out the rest, unless that is in the midst of something.
func (r *reader) end() {
	if !r.st.inside {
		r.flush(true)
	}
}
