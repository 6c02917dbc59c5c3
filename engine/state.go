package engine

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"triggerd/internal/keyspace"
	"triggerd/internal/outbox"
	"triggerd/internal/store"
	"triggerd/source"
)

// spaces are the parts of the store that belong to one stream. The space state
// says what is true of the other two as a whole.
type spaces struct{ mirror, timers, state store.Space }

func spacesOf(stream string) spaces {
	return spaces{mirror: store.Mirror(stream), timers: store.Timers(stream), state: store.State(stream)}
}

// mirrorEntry is the key of the entry with which an earlier version said that
// the space mirror has the mirror of the saved position, for the needs that are
// its value.
var mirrorEntry = []byte("mirror")

// serverEntry is the key of the entry with the server's name and version:
// "redis 8.0.2", and "valkey 9" of an earlier triggerd.
var serverEntry = []byte("server")

// clockEntry is the key of the entry with the stream's clock, in milliseconds
// since 1970.
var clockEntry = []byte("clock")

// flushChangesAfter is how long changes of the stream's state may gather before
// they are committed with the position after them. Firings are committed at
// once.
const flushChangesAfter = 50 * time.Millisecond

// flushPositionAfter is the same for a position without any change of the
// state.
const flushPositionAfter = 10 * time.Millisecond

// maxUnsaved is how many changed keys and timing states may gather.
const maxUnsaved = 4096

// unsavedState is what a stream has not yet handed to the outbox: changes of
// timing states, and the position after them. Both are handed over together.
// The mirror is written back by itself, see writeback.
type unsavedState struct {
	durable bool // there is a store that outlives the process
	changes outbox.Changes
	done    func() // called when changes are committed; nil: not

	position         source.Position // after the last complete record; zero: as in the last commit
	complete         bool            // everything read since the last commit belongs to complete records
	fired            bool            // firings were added since the last commit
	waitingSince     time.Time       // when the first change or position that is not committed came; zero: there is none
	dirty            bool            // a change is not committed
	inside           bool            // reading is inside a transaction or a snapshot
	mirrorIncomplete bool            // a snapshot is being read, or the mirror lacks keys for another reason
	needsGrew        bool            // rules have come to need more keys since the present snapshot began
	adrift           bool            // records without positions have come since the last one that had: the server has only SYNC
	savedServer      serverVersion   // in the last commit

	// A command or transaction that fires very much is committed in parts. The
	// position of a part is base and a number of events after it.
	base            source.Position // the position of the last commit, without events
	eventsAfterBase int             // events that commands after base have made
	skipEvents      int             // how many of the next events an earlier process has dealt with
	partDue         bool            // so many firings wait for a commit that they go as a part
	inSnapshot      bool            // reading is inside a snapshot, whose events are not counted after base
}

// restore loads what an earlier process has saved with the position from.
func (s *stream) restore(ctx context.Context, from source.Position) error {
	s.unsaved.durable = s.e.cfg.Store != nil
	s.unsaved.base, s.unsaved.skipEvents = from, from.Events
	s.unsaved.base.Events = 0
	s.unsaved.mirrorIncomplete = true
	s.offset = from.Offset
	if !s.unsaved.durable {
		return nil
	}
	saved, found, err := readEntry(s.e.store, s.spaces.state, clockEntry)
	if err != nil {
		return err
	}
	if ms, err := strconv.ParseInt(string(saved), 10, 64); found && err == nil {
		s.timing.clock.setStart(time.UnixMilli(ms))
	}
	if err := s.loadDead(); err != nil {
		return err
	}
	if err := s.timing.restore(s.e.store, &s.unsaved.changes); err != nil {
		return err
	}
	if saved, _, err = readEntry(s.e.store, s.spaces.state, serverEntry); err != nil {
		return err
	}
	s.setServer(parseServer(string(saved)))
	s.unsaved.savedServer = s.server
	if _, s.renewal.stored, err = readEntry(s.e.store, s.spaces.state, renewEntry); err != nil {
		return err
	}
	s.renewal.wanted = s.renewal.stored
	s.interpreter.Journal(s.writeback.enabled())
	err = s.restoreMirror(ctx, from)
	s.setServer(s.unsaved.savedServer) // the mirror may have been of an earlier one
	return err
}

// restoreMirror loads the mirror of a position. Where that cannot be done, or is
// not complete for the present rules, the missing keys count as unknown, and a
// snapshot is asked for.
func (s *stream) restoreMirror(ctx context.Context, from source.Position) error {
	if s.writeback.enabled() && !from.IsZero() && s.gen.needText != "" {
		found, err := s.restoreOldMirror()
		if !found && err == nil {
			found, err = s.writeback.restore(ctx, from)
		}
		if found && err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return nil // and nothing is given up
		}
		if err != nil {
			s.counts.forgotten.Add(1)
			s.e.log.Error("the values of keys cannot be restored: they are not known, and asked for anew", "stream", s.name, "position", from.String(), "err", err)
			s.interpreter.SetNeed(nil, keyspace.Classes{})
			s.useRules(s.gen)
		}
	}
	s.writeback.forget()
	return s.deleteOldMirror()
}

// restoreOldMirror loads the mirror that an earlier version has kept in the
// store, which is of the saved position, and puts it into files. found: there is
// one.
func (s *stream) restoreOldMirror() (found bool, err error) {
	saved, found, err := readEntry(s.e.store, s.spaces.state, mirrorEntry)
	if err != nil || !found {
		return false, err
	}
	n := 0
	for entry, err := range s.e.store.Scan(s.spaces.mirror, nil, nil) {
		if err == nil {
			err = s.interpreter.Restore(keyspace.Put, entry.Key, entry.Value)
		}
		if err != nil {
			return true, err
		}
		n++
	}
	complete := string(saved) == s.gen.needText
	if err := s.interpreter.RestoreEnd(complete); err != nil {
		return true, err
	}
	s.unsaved.mirrorIncomplete = !complete
	if complete && !s.renewal.wanted {
		s.knownKeys.Store(s.neededKeys.Load())
	}
	if !s.writeback.now(time.Now()) {
		s.writeback.forget() // what is in the store is of no use from the next commit on
	}
	s.e.log.Info("values of keys are as they were, and go from the store to files", "stream", s.name, "entries", n, "complete", complete)
	return true, s.deleteOldMirror()
}

// deleteOldMirror has the mirror that an earlier version has kept in the store
// deleted with the next commit.
func (s *stream) deleteOldMirror() error {
	_, found, err := readEntry(s.e.store, s.spaces.state, mirrorEntry)
	for _, scanErr := range s.e.store.Scan(s.spaces.mirror, nil, nil) {
		found, err = true, errors.Join(err, scanErr)
		break
	}
	if found && err == nil {
		s.unsaved.changes.Add(s.spaces.mirror, outbox.DeleteFrom, nil, nil)
		s.unsaved.changes.Add(s.spaces.state, outbox.DeleteEntry, mirrorEntry, nil)
	}
	return err
}

func (s serverVersion) String() string {
	name := "redis"
	if s.dialect == keyspace.Valkey {
		name = "valkey"
	}
	return name + " " + s.version.String()
}

// parseServer parses what String returns. What it cannot parse is left unknown.
func parseServer(text string) (s serverVersion) {
	name, version, _ := strings.Cut(text, " ")
	if name == "valkey" {
		s.dialect = keyspace.Valkey
	}
	s.version = keyspace.ParseVersion(version)
	return s
}

// readEntry returns the value of one entry of the store.
func readEntry(st *store.Store, space store.Space, key []byte) (value []byte, found bool, err error) {
	for entry, err := range st.Scan(space, key, append(bytes.Clone(key), 0)) {
		if err != nil {
			return nil, false, fmt.Errorf("read the state: %w", err)
		}
		return bytes.Clone(entry.Value), true, nil
	}
	return nil, false, nil
}

// finishRecord moves the position after the record, and commits it with all
// changes if it is time.
func (s *stream) finishRecord(rec *source.Record) {
	s.trackBoundaries(rec)
	if !s.unsaved.inside {
		s.unsaved.complete = true
		if rec.Kind == source.Command && rec.Pos.IsZero() && !s.unsaved.adrift {
			s.unsaved.adrift = true
			s.writeback.forget()
		}
		if !rec.Pos.IsZero() && (rec.Pos != s.unsaved.base || s.unsaved.eventsAfterBase > 0) {
			s.unsaved.position = rec.Pos
		}
	}
	// After a full resync at once: a crash before the first regular checkpoint
	// would need another one, and miss what lies between.
	attached := rec.Kind == source.SnapshotEnd
	if attached {
		s.unsaved.adrift = false
		if !s.writeback.now(rec.Time) && !rec.Side {
			s.writeback.forget() // what is kept is of before the snapshot
		}
	}
	if !s.unsaved.inside {
		s.writeback.step(rec)
	}
	attached = attached || rec.Kind == source.Rewound
	if attached || !s.unsaved.inside && s.flushDue(rec.Time) {
		s.flush(attached)
	}
}

// trackBoundaries notes where transactions and snapshots begin and end.
func (s *stream) trackBoundaries(rec *source.Record) {
	st := &s.unsaved
	switch rec.Kind {
	case source.Command:
		st.inside = rec.Pos.IsZero() && rec.Tx.Index != rec.Tx.Size
	case source.SnapshotBegin:
		st.inside, st.mirrorIncomplete, st.inSnapshot, st.needsGrew = true, true, true, false
		if !rec.Side { // a full resync: what follows is another history
			st.eventsAfterBase, st.skipEvents = 0, 0
		}
	case source.SnapshotEnd:
		st.inside, st.mirrorIncomplete, st.inSnapshot = false, rec.Incomplete || st.needsGrew, false
	}
}

// flushDue reports whether the position and the changes have to be committed
// now.
func (s *stream) flushDue(now time.Time) bool {
	st := &s.unsaved
	dirty := 0
	if st.durable {
		dirty = s.timing.unsaved()
		if st.changes.Size() > 0 {
			dirty++
		}
	}
	st.dirty = dirty > 0
	switch {
	case st.fired, st.done != nil, dirty >= maxUnsaved, !st.position.IsZero() && st.position.ReplID != st.base.ReplID:
		return true
	case dirty == 0 && st.position.IsZero():
		return false
	}
	if st.waitingSince.IsZero() {
		st.waitingSince = now
	}
	return !now.Before(st.flushAt())
}

// flushAt returns when they have to be committed; zero: there are none.
func (st *unsavedState) flushAt() time.Time {
	switch {
	case st.waitingSince.IsZero():
		return time.Time{}
	case st.dirty:
		return st.waitingSince.Add(flushChangesAfter)
	}
	return st.waitingSince.Add(flushPositionAfter)
}

// flush hands the changes and the position after them to the outbox. If now is
// set, they are committed without waiting for the checkpoint interval.
func (s *stream) flush(now bool) {
	st := &s.unsaved
	if st.durable {
		s.timing.collectChanges(&st.changes)
		s.keepRenewal()
		if s.server != st.savedServer {
			st.savedServer = s.server
			st.changes.Add(s.spaces.state, outbox.PutEntry, serverEntry, []byte(s.server.String()))
		}
	}
	c := outbox.Commit{Stream: s.name, Whole: st.complete, Now: now || st.done != nil, Changes: &st.changes, Done: st.done}
	st.done = nil
	if !st.position.IsZero() {
		// After a failover at once: a server remembers one earlier replication
		// ID, and none before that.
		c.Now = c.Now || st.position.ReplID != st.base.ReplID
		st.base, st.eventsAfterBase = st.position, 0
		c.Position = s.positionAfter(0)
	}
	s.e.outbox.Submit(c)
	s.handled.Store(s.offset)
	st.position, st.complete, st.fired, st.partDue, st.waitingSince = source.Position{}, false, false, false, time.Time{}
}

// positionAfter returns the position so many events after base, as text.
func (s *stream) positionAfter(events int) string {
	p := s.unsaved.base
	p.Events = events + s.unsaved.skipEvents
	return p.String()
}

// flushPart commits the firings of a command or transaction that has not ended,
// if they are many. The stream's state stays that of base. The next process
// reads again from base, and skips as many events.
func (s *stream) flushPart() {
	st := &s.unsaved
	if !st.partDue {
		return
	}
	st.partDue = false
	c := outbox.Commit{Stream: s.name, Whole: true}
	if !st.base.IsZero() && !st.inSnapshot {
		c.Position = s.positionAfter(st.eventsAfterBase)
	}
	s.e.outbox.Submit(c)
}

// A command with more arguments, or a transaction with more commands, may fire
// so much that it is committed in parts.
const (
	manyArgs     = 1000
	manyCommands = 100
)

// mayFireInParts reports whether a record begins a command or a transaction
// that may be committed in parts.
func (s *stream) mayFireInParts(rec *source.Record) bool {
	if rec.Kind != source.Command || s.unsaved.inside {
		return false
	}
	return len(rec.Args) > manyArgs || rec.Tx.Size > manyCommands || rec.Tx.Index == 1 && rec.Tx.Size == 0
}

// flushBefore commits everything before a record, so that base is just before
// it. It returns false if reading is to end before that.
func (s *stream) flushBefore(rec *source.Record) bool {
	s.expireKeys(rec)
	s.timing.fireDue(rec)
	if !s.fireEvents(len(s.events)) {
		return false
	}
	s.events = s.events[:0]
	s.unsaved.complete = true
	s.flush(false)
	return true
}

// flushTimers commits what fired timers have changed, before more of them fire.
// It does so only if the record itself changes nothing.
func (s *stream) flushTimers(rec *source.Record) {
	quiet := rec.Kind == source.Heartbeat || rec.Kind == source.Woken || rec.Kind == source.Attached || rec.Kind == source.Detached
	if quiet && !s.unsaved.inside && len(s.events) == 0 && s.timing.unsaved() >= maxUnsaved {
		s.unsaved.complete = true
		s.flush(false)
	}
}

// discardIncomplete is called when the link was lost inside a transaction or a
// snapshot. What was read of it will come again, or never. So the mirror is
// emptied, and all keys are asked for.
func (s *stream) discardIncomplete() {
	s.unsaved.inside, s.unsaved.eventsAfterBase = false, 0
	if !s.needsMirror() {
		return
	}
	s.interpreter.SnapshotBegin()
	s.interpreter.SnapshotAbort()
	s.unsaved.mirrorIncomplete = true
	s.requestKeys()
}

// flushRest commits what is left at the end, unless reading stopped inside a
// transaction or a snapshot.
func (s *stream) flushRest() {
	if !s.unsaved.inside {
		s.unsaved.adrift = false
		s.writeback.now(time.Now())
		s.flush(true)
	}
}
