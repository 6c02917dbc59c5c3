package engine

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"time"

	"triggerd/internal/admin"
	"triggerd/internal/disk"
	"triggerd/internal/failpoint"
	"triggerd/internal/keyspace"
	"triggerd/internal/mirrorfile"
	"triggerd/internal/outbox"
	"triggerd/internal/wire"
	"triggerd/source"
)

// filesEntry is the key of the entry that says which files have the mirror, and
// of which position it is. It is committed with that position, or a later one:
// what is between is in the spool, and is interpreted again by the next process.
var filesEntry = []byte("files")

// tickEntry is what the keys of the ticks begin with, see tick; all are before
// tickEnd.
var tickEntry, tickEnd = []byte("tick/"), []byte("tick0")

// When the mirror is written back. Replaying what came since has to be done
// before the next start goes on, so that is what counts; see replayCost.
const (
	cutAfterCost = 1500 * time.Millisecond
	cutAfter     = 30 * time.Second
	cutRetry     = 5 * time.Second // after a failure

	// cutAfterSpool is after which part of the spool's room values are written back:
	// there has to be room for what comes until that is done.
	cutAfterSpool = 8
)

// What interpreting takes again, at the most of what was measured on a slow
// machine: each command, each event, each byte.
const (
	commandCost = 150 * time.Nanosecond
	eventCost   = time.Microsecond
	byteCost    = time.Nanosecond
)

// How a cut is told: so many bytes after so many records, or so many bytes of
// records, or as often as the stream is idle, and no more while the file is so far
// behind.
const (
	tellEvery      = 256
	tellEveryBytes = 256 << 10
	tellBytes      = 16 << 10
	idleBytes      = 256 << 10
	maxUntold      = 32 << 20
	untoldWait     = 10 * time.Millisecond
)

// A new base is written when the deltas have become so many times as long as the
// base, or so many.
const (
	maxDeltaBytes = 2
	minDeltaBytes = 1 << 20
	maxFiles      = 256
)

// replayVersion is another number whenever the same commands lead to another
// mirror than before.
const replayVersion = 1

// mirrorState is the value of filesEntry.
type mirrorState struct {
	files   []mirrorfile.File // the base, and its deltas
	meta    mirrorfile.Meta
	version int // the replayVersion of who wrote it
}

const mirrorStateFormat = 1

func (m *mirrorState) append(dst []byte) []byte {
	dst = append(dst, mirrorStateFormat)
	dst = binary.AppendUvarint(dst, replayVersion)
	dst = binary.AppendUvarint(dst, uint64(len(m.files)))
	for _, f := range m.files {
		dst = f.Append(dst)
	}
	return m.meta.Append(dst)
}

func parseMirrorState(b []byte) (m mirrorState, err error) {
	in := wire.NewCursor(b)
	if format := in.Byte(); format > mirrorStateFormat {
		return m, fmt.Errorf("%w: it is of format %d", mirrorfile.ErrNewer, format)
	}
	m.version = int(in.Uvarint())
	for range in.Count(1) {
		m.files = append(m.files, mirrorfile.ParseFile(&in))
	}
	m.meta = mirrorfile.ParseMeta(&in)
	if err := in.End(); err != nil {
		return m, err
	}
	if len(m.files) == 0 || !m.files[0].Base {
		return m, wire.ErrDamaged
	}
	return m, nil
}

// tick is an expiry that the stream's clock has made: nothing that a replay finds
// in the stream. Its entry is committed with the position that it belongs to.
type tick struct {
	offset int64 // of the last record before it
	at     int64 // milliseconds since 1970
}

func (t tick) append(dst []byte) []byte {
	return binary.AppendVarint(binary.AppendVarint(dst, t.offset), t.at)
}

func parseTick(b []byte) (t tick, err error) {
	in := wire.NewCursor(b)
	t.offset, t.at = in.Varint(), in.Varint()
	return t, in.End()
}

func tickKey(number uint64) []byte {
	return binary.BigEndian.AppendUint64(append([]byte(nil), tickEntry...), number)
}

// phase is what a writeback is at.
type phase uint8

const (
	idle    phase = iota
	telling       // a cut, to the writer
	writing       // all is told, and not on disk
)

// writeback writes the mirror to files: now and then, and while the stream goes
// on. Only the stream's goroutine uses it.
type writeback struct {
	s      *stream
	writer *mirrorfile.Writer // nil: the mirror is not kept
	replay source.Spooler     // what came since can be had again; nil: it cannot

	phase phase
	state mirrorState // as was handed to the outbox last; no files: there is none
	cut   struct {    // that is being told or written
		meta  mirrorfile.Meta
		whole bool
		ticks uint64 // those before it are in it
	}
	asked bool // a cut is to be made soon

	// Since the last cut.
	commands, events int64
	bytes            int64
	at               time.Time       // when it was made
	position         source.Position // that it is of
	maxBytes         int64           // of the stream; 0: no matter

	ticks       uint64 // number of the next
	made        []tick // those that a replay from the state on would need
	records     int    // since the last step
	recordBytes int64  // of these
	failures    int
	nextTry     time.Time // not before, after a failure
}

// enabled reports whether the mirror is kept.
func (w *writeback) enabled() bool { return w.writer != nil }

// start makes the writer of a stream whose store outlives the process. The
// function it returns ends it, when all is written.
func (w *writeback) start(s *stream) (stop func(), err error) {
	w.s = s
	dir := ""
	if s.e.cfg.Store != nil {
		dir = s.e.cfg.Store.Dir()
	}
	if dir == "" {
		return func() {}, nil
	}
	w.writer, err = mirrorfile.NewWriter(cmp.Or(s.e.cfg.disk, disk.System), mirrorfile.Dir(dir, s.name), s.e.log.With("stream", s.name), s.notifyChanged)
	if err != nil {
		return nil, err
	}
	if r, ok := s.src.(source.Spooler); ok {
		if spool := s.src.Status().Spool; spool.Files {
			w.replay, w.maxBytes = r, spool.Limit/cutAfterSpool
		}
	}
	s.keepsSpool.Store(w.replay != nil && s.gen.set.NeedsSomething())
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() { w.writer.Run(ctx); close(ended) }()
	return func() { cancel(); <-ended }, nil
}

// step does what there is to do after a record, when reading is inside of
// nothing.
func (w *writeback) step(rec *source.Record) {
	if !w.enabled() {
		return
	}
	quiet := true
	if rec.Kind == source.Command {
		w.commands++
		w.bytes += int64(rec.Bytes)
		w.records++
		w.recordBytes += int64(rec.Bytes)
		if w.records < tellEvery && w.recordBytes < tellEveryBytes {
			return
		}
		w.records, w.recordBytes = 0, 0
		quiet = false
	}
	switch w.phase {
	case telling:
		bytes := tellBytes
		if quiet {
			bytes = idleBytes
		}
		if w.writer.Behind() < maxUntold {
			w.tell(bytes)
		}
	case writing:
		if f, done, err := w.writer.Poll(); done {
			w.note(f, err)
		}
	default:
		if w.due(rec.Time) {
			w.begin(rec.Time)
		}
	}
}

// due reports whether it is time for a cut.
func (w *writeback) due(now time.Time) bool {
	switch {
	case w.replay == nil || !w.s.needsKeeping() || now.Before(w.nextTry):
		return false
	case w.asked:
		return true
	case !w.moved():
		return false
	case w.at.IsZero():
		w.at = now
	}
	return now.Sub(w.at) >= cutAfter || w.cost() >= cutAfterCost || w.maxBytes > 0 && w.bytes >= w.maxBytes
}

// moved reports whether a cut would be another than the last.
func (w *writeback) moved() bool {
	return w.s.completePosition() != w.position || w.s.interpreter.Dirty() > 0
}

// cost is about what it takes to interpret again what came since the last cut.
func (w *writeback) cost() time.Duration {
	events := w.s.interpreter.Stats().Events - w.events
	return time.Duration(w.commands)*commandCost + time.Duration(events)*eventCost + time.Duration(w.bytes)*byteCost
}

// nextWake is when a step has to be made though no record comes; zero: never.
func (w *writeback) nextWake() time.Time {
	switch {
	case !w.enabled() || w.s.unsaved.inside:
	case w.phase == telling && w.writer.Behind() >= maxUntold:
		return time.Now().Add(untoldWait)
	case w.phase == telling, w.phase == idle && w.due(time.Now()):
		return time.Now()
	case w.phase == idle && w.replay != nil && !w.at.IsZero() && w.s.needsKeeping() && w.moved():
		return laterTime(w.at.Add(cutAfter), w.nextTry)
	}
	return time.Time{}
}

func laterTime(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// needsKeeping reports whether there is a mirror, and a position that it belongs
// to.
func (s *stream) needsKeeping() bool {
	return s.gen.needText != "" && !s.completePosition().IsZero() && !s.unsaved.adrift
}

// completePosition is behind the last complete record.
func (s *stream) completePosition() source.Position {
	if !s.unsaved.position.IsZero() {
		return s.unsaved.position
	}
	return s.unsaved.base
}

// begin makes a cut: the mirror as it is now is what will be in the files.
func (w *writeback) begin(now time.Time) {
	s := w.s
	w.cut.whole = w.wantsBase()
	w.cut.ticks = w.ticks
	w.cut.meta = mirrorfile.Meta{Position: s.completePosition().String(), Server: s.server.String(), Other: s.interpreter.AppendClock(nil)}
	if !s.unsaved.mirrorIncomplete {
		w.cut.meta.Need = s.gen.needText
	}
	w.phase, w.asked = telling, false
	w.commands, w.bytes, w.events = 0, 0, s.interpreter.Stats().Events
	w.at, w.position = now, s.completePosition()
	if !w.cut.whole && s.interpreter.Dirty() == 0 { // only the position is another
		w.phase = idle
		w.commit()
		return
	}
	w.writer.Begin(w.cut.whole)
	s.interpreter.Cut(w.cut.whole, w.writer.Add)
	failpoint.Here("cut")
}

// wantsBase reports whether all of the mirror is to be written, and not only what
// has changed.
func (w *writeback) wantsBase() bool {
	files := w.state.files
	if len(files) == 0 || len(files) >= maxFiles {
		return true
	}
	deltas := int64(0)
	for _, f := range files[1:] {
		deltas += f.Bytes
	}
	return deltas > max(maxDeltaBytes*files[0].Bytes, minDeltaBytes)
}

// tell tells some of the cut, and ends the file with all of it.
func (w *writeback) tell(bytes int) {
	if !w.s.interpreter.TellCut(bytes) {
		return
	}
	failpoint.Here("told")
	w.writer.End(&w.cut.meta)
	w.phase = writing
}

// note takes over a file that is on disk.
func (w *writeback) note(f mirrorfile.File, err error) {
	w.phase = idle
	failpoint.Here("written")
	if err != nil {
		w.fail(err)
		return
	}
	w.failures, w.nextTry = 0, time.Time{}
	if w.cut.whole {
		w.state.files = nil
	}
	w.state.files = append(w.state.files[:len(w.state.files):len(w.state.files)], f)
	w.commit()
}

// commit hands the state to the outbox, to be committed: from then on the next
// process begins with it, and what the spool has before it may go.
func (w *writeback) commit() {
	s, st := w.s, &w.s.unsaved
	w.state.meta = w.cut.meta
	st.changes.Add(s.spaces.state, outbox.PutEntry, filesEntry, w.state.append(nil))
	if w.cut.ticks > 0 {
		st.changes.Add(s.spaces.state, outbox.DeleteFrom, tickEntry, tickKey(w.cut.ticks))
	}
	w.made = append(w.made[:0], w.made[max(0, len(w.made)-int(w.ticks-w.cut.ticks)):]...)
	files, position := w.state.files, w.state.meta.Position
	st.done = func() { w.published(files, position) }
}

// fail gives up a cut. What it told is in no file, so the next one tells all.
func (w *writeback) fail(err error) {
	w.failures++
	v := admin.ValuesStatus{}
	if saved := w.s.savedValues.Load(); saved != nil {
		v = *saved
	}
	v.LastError = err.Error()
	w.s.savedValues.Store(&v)
	w.state.files = nil // those that are noted stay so, until a base takes their place
	w.nextTry = time.Now().Add(cutRetry)
	w.asked = true
	if w.failures == 1 {
		w.s.e.log.Error("the values of keys cannot be written to the data directory: it is tried again, and until then more of the stream has to be kept", "stream", w.s.name, "err", err)
	}
}

// published is called by the keeper when a state is committed.
func (w *writeback) published(files []mirrorfile.File, position string) {
	failpoint.Here("published")
	w.tellSaved(files, position, time.Now())
	w.s.trim(position)
	if !w.s.e.trimming.TryLock() { // they are being copied; the next time is as good
		return
	}
	defer w.s.e.trimming.Unlock()
	w.writer.Keep(files, files[len(files)-1].Number)
}

// tellSaved has the status show what is saved.
func (w *writeback) tellSaved(files []mirrorfile.File, position string, at time.Time) {
	v := admin.ValuesStatus{Position: position, At: at, Files: len(files)}
	for _, f := range files {
		v.Bytes += f.Bytes
	}
	w.s.savedValues.Store(&v)
}

// trim says that the spool is not needed up to a position.
func (s *stream) trim(position string) {
	spooler, ok := s.src.(source.Spooler)
	if !ok || !s.e.trimming.TryLock() { // a backup is made; the next time is as good
		return
	}
	defer s.e.trimming.Unlock()
	if p, err := source.ParsePosition(position); err == nil { // it is one of ours
		p.Events = 0
		spooler.Trim(p)
	}
}

// now makes a cut, and waits until it is in a file and noted: ok. It is for the
// end of a snapshot, which a replay cannot get past, and for a clean end.
func (w *writeback) now(at time.Time) (ok bool) {
	if !w.enabled() || !w.s.needsKeeping() {
		return false
	}
	w.finish()
	if len(w.state.files) > 0 && !w.moved() {
		return true
	}
	w.begin(at)
	w.finish()
	return w.failures == 0
}

// finish brings a cut that is under way to its end.
func (w *writeback) finish() {
	for w.phase == telling {
		w.tell(1 << 20)
		w.writer.Drain(maxUntold)
	}
	if w.phase == writing {
		f, err := w.writer.Wait(context.Background())
		w.note(f, err)
	}
}

// forget has the state removed: the mirror that it is of is not the stream's.
func (w *writeback) forget() {
	s := w.s
	if !w.enabled() {
		return
	}
	if w.phase == writing {
		w.writer.Wait(context.Background()) // what became of it does not matter
	}
	w.phase, w.state.files = idle, nil
	s.savedValues.Store(nil)
	st := &s.unsaved
	st.changes.Add(s.spaces.state, outbox.DeleteEntry, filesEntry, nil)
	st.changes.Add(s.spaces.state, outbox.DeleteFrom, tickEntry, tickEnd)
	w.made = nil
	last := w.writer.Last()
	st.done = func() { w.writer.Keep(nil, last) }
}

// noteTick has an expiry made again by a replay.
func (w *writeback) noteTick(offset int64, at time.Time) {
	if !w.enabled() {
		return
	}
	t := tick{offset, at.UnixMilli()}
	w.s.unsaved.changes.Add(w.s.spaces.state, outbox.PutEntry, tickKey(w.ticks), t.append(nil))
	w.ticks++
	if w.replay != nil {
		w.made = append(w.made, t)
	}
}

// errNoReplay: what came since the files were written cannot be had again.
var errNoReplay = errors.New("what came since is not kept")

// restore loads the mirror out of the files, and interprets again what came since,
// up to a position. found: there is a state. An error leaves the interpreter with
// some of it.
func (w *writeback) restore(ctx context.Context, to source.Position) (found bool, err error) {
	s := w.s
	saved, found, err := readEntry(s.e.store, s.spaces.state, filesEntry)
	if err != nil || !found {
		return false, err
	}
	state, err := parseMirrorState(saved)
	if err != nil {
		return true, fmt.Errorf("the note of its files: %w", err)
	}
	from, err := source.ParsePosition(state.meta.Position)
	if err != nil {
		return true, err
	}
	began := time.Now()
	entries, err := w.load(ctx, &state)
	if err != nil {
		return true, err
	}
	loaded := time.Now()
	to.Events = 0
	commands, err := w.playAgain(ctx, from, to)
	if err != nil {
		return true, err
	}
	w.state, w.position = state, from
	complete := state.meta.Need != "" && state.meta.Need == s.gen.needText
	s.unsaved.mirrorIncomplete = !complete
	if complete && !s.renewal.wanted {
		s.knownKeys.Store(s.neededKeys.Load())
	}
	if state.version != replayVersion && commands > 0 {
		s.e.log.Info("another version of triggerd has read what was read again now", "commands", commands)
	}
	s.e.log.Info("values of keys are as they were", "entries", entries, "took", loaded.Sub(began).Round(time.Millisecond),
		"commands_since", commands, "took_again", time.Since(loaded).Round(time.Millisecond), "complete", complete)
	w.tellSaved(state.files, state.meta.Position, time.Time{})
	w.writer.Keep(state.files, w.writer.Last())
	s.trim(state.meta.Position)
	return true, nil
}

// load gives the interpreter what the files have.
func (w *writeback) load(ctx context.Context, state *mirrorState) (entries int, err error) {
	s := w.s
	dir := mirrorfile.Dir(s.e.cfg.Store.Dir(), s.name)
	for _, f := range state.files {
		_, err := mirrorfile.Read(dir, f, func(block []byte) error {
			n, err := s.interpreter.RestoreBlock(block)
			entries += n
			return errors.Join(err, ctx.Err())
		})
		if err != nil {
			return entries, err
		}
	}
	s.setServer(parseServer(state.meta.Server))
	s.interpreter.RestoreClock(state.meta.Other)
	return entries, s.interpreter.RestoreEnd(state.meta.Need != "" && state.meta.Need == s.gen.needText)
}

// playAgain interprets again what is between two positions. No rule sees it.
func (w *writeback) playAgain(ctx context.Context, from, to source.Position) (commands int, err error) {
	ticks, err := w.loadTicks()
	if err != nil {
		return 0, err
	}
	return w.play(ctx, from, to, ticks)
}

// play does that with the ticks between them. The database of the later position
// may be -1: it is not known.
func (w *writeback) play(ctx context.Context, from, to source.Position, ticks []tick) (commands int, err error) {
	s := w.s
	end := from
	if from.Offset != to.Offset {
		if w.replay == nil {
			return 0, fmt.Errorf("it is of position %s, and reading stopped at %s: %w", from, to, errNoReplay)
		}
		for rec, err := range w.replay.Replay(ctx, from, to, s) {
			if err != nil {
				return commands, err
			}
			if ticks, err = s.replayRecord(rec, ticks); err != nil {
				return commands, err
			}
			if rec.Kind == source.Command {
				commands++
			}
			if !rec.Pos.IsZero() {
				end = rec.Pos
			}
		}
	}
	if end.Offset != to.Offset || to.DB >= 0 && end.DB != to.DB {
		return commands, fmt.Errorf("reading it again ends at %s, and not at %s", end, to)
	}
	s.replayTicks(ticks, to.Offset+1)
	return commands, nil
}

// replayRecord does to the mirror what a record did.
func (s *stream) replayRecord(rec *source.Record, ticks []tick) ([]tick, error) {
	switch rec.Kind {
	case source.Command:
		ticks = s.replayTicks(ticks, rec.Offset)
		s.commandInput = keyspace.Command{Args: rec.Args, DB: rec.DB, ReplID: rec.ReplID, Offset: rec.Offset, Bytes: rec.Bytes, Time: rec.Time}
		s.events = s.interpreter.Command(s.events[:0], &s.commandInput)
		for s.addMoreEvents() {
		}
		s.events = s.events[:0]
		if s.interpreter.GaveUp() {
			return ticks, context.Canceled
		}
	case source.Heartbeat:
		ticks = s.replayTicks(ticks, rec.Offset)
	case source.Rewound:
		return ticks, fmt.Errorf("at offset %d: the stream went back before the values", rec.Offset)
	case source.Detached:
		if rec.Aborted {
			return ticks, fmt.Errorf("at offset %d: what was read of a transaction was given up", rec.Offset)
		}
	}
	return ticks, nil
}

// replayTicks makes the expiries that came before the record that ends at an
// offset, and returns the others.
func (s *stream) replayTicks(ticks []tick, offset int64) []tick {
	for len(ticks) > 0 && ticks[0].offset < offset {
		s.commandInput = keyspace.Command{Time: time.UnixMilli(ticks[0].at)}
		s.events = s.interpreter.Expire(s.events[:0], &s.commandInput)
		s.events = s.events[:0]
		ticks = ticks[1:]
	}
	return ticks
}

// loadTicks reads the ticks since the state was cut.
func (w *writeback) loadTicks() (ticks []tick, err error) {
	s := w.s
	for entry, err := range s.e.store.Scan(s.spaces.state, tickEntry, tickEnd) {
		if err != nil {
			return nil, err
		}
		t, err := parseTick(entry.Value)
		if err != nil || len(entry.Key) != len(tickEntry)+8 {
			return nil, fmt.Errorf("a tick: %w", errors.Join(err, wire.ErrDamaged))
		}
		ticks = append(ticks, t)
		w.ticks = binary.BigEndian.Uint64(entry.Key[len(tickEntry):]) + 1
	}
	w.made = slices.Clone(ticks)
	return ticks, nil
}
