package engine

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"sync/atomic"
	"time"

	"triggerd/internal/admin"
	"triggerd/internal/event"
	"triggerd/internal/keyspace"
	"triggerd/internal/store"
	"triggerd/internal/tap"
	"triggerd/rules"
	"triggerd/source"
)

// Standalone is the name of the stream of a server that stands alone.
const Standalone = store.Standalone

// Stream configures one followed stream.
type Stream struct {
	Name   string // differs from those of other streams; its state is stored under it
	Source source.Source
}

// stream is one followed stream: a source, and everything made from its
// records. One goroutine turns records into firings. It alone uses the
// interpreter with its mirror, the matcher, the timing machine, the clock, and
// the unsaved state.
//
// A stream is the Consumer of its source.
type stream struct {
	e      *Engine
	name   string
	spaces spaces
	src    source.Source
	addr   string
	origin event.Origin
	from   source.Position // where reading begins

	stopped func() bool // reading is to end within this record
	ended   func() bool // reading is to end
	mayStop bool        // of a command or a key, or while state is restored; what other records say is dealt with first

	interpreter    *keyspace.Interpreter
	timing         timeKeeper
	unsaved        unsavedState
	writeback      writeback
	commandInput   keyspace.Command
	events         []event.Event
	matches        []rules.Match
	gen            *generation    // that the mirror and the matcher serve
	matcher        *rules.Matcher // of gen
	snapshotEvents int            // events of the present snapshot so far
	judging        bool           // the first event is a key of a snapshot for which no rule fires
	attachment     int64          // number of the present attachment; 0: not known yet
	recordCount    int            // commands and keys so far
	unpublished    unpublished
	offset         int64                         // of the last record
	server         serverVersion                 // as the last snapshot said, or an earlier process
	eventGate      tap.Gate                      // of events that those who watch are told of
	subject        subject                       // the present event, for those who watch; about none if nobody does
	firingSubject  subject                       // the event of a firing that is of another
	sharedServer   atomic.Pointer[serverVersion] // server, for those who ask; nil: not known yet
	profile        *profiler
	renewal        renewal
	valueRequests  valueRequests
	dead           deadSpans // what of its histories is dead
	recent         recentFirings
	replID         string // the name of the history of the last record

	keyInput     keyspace.SnapshotKey // reused for each key
	wantedKeys   atomic.Bool          // WantsKeys, at the last attempt to attach
	snapshotKeys int64                // neededKeys, when the present snapshot began

	// Other goroutines read these.
	counts       counts
	mirrorStats  atomic.Pointer[keyspace.Stats] // published by publishStats
	mirrorKeys   atomic.Int64                   // published by publishProgress
	mirrorBytes  atomic.Int64
	sharedTiming atomic.Pointer[timeKeeper]         // timing; nil before run
	handled      atomic.Int64                       // the offset up to which all firings are planned
	neededKeys   atomic.Int64                       // how often it has happened that more keys are needed, or that keys were lost
	knownKeys    atomic.Int64                       // neededKeys, when the keys that are known were handed out; -1: they never were
	savedValues  atomic.Pointer[admin.ValuesStatus] // nil: none are saved; Forgotten is not set
	keepsSpool   atomic.Bool                        // the writeback says up to where the spool may go
	changed      chan struct{}                      // capacity 1; see source.Consumer
}

type counts struct {
	records, bytes, events, matches, dryRuns, gaps, forgotten, undone atomic.Int64
}

// addStreams makes the streams that are configured.
func (e *Engine) addStreams() error {
	list := e.cfg.Streams
	if e.cfg.Source != nil {
		list = append([]Stream{{Standalone, e.cfg.Source}}, list...)
	}
	if len(list) == 0 {
		return errors.New("nothing to follow: no source")
	}
	names := map[string]bool{}
	for _, c := range list {
		if c.Name == "" || names[c.Name] {
			return fmt.Errorf("stream %q: a stream needs a name of its own", c.Name)
		}
		names[c.Name] = true
		s := &stream{e: e, name: c.Name, spaces: spacesOf(c.Name), src: c.Source, addr: c.Source.Status().Addr, changed: make(chan struct{}, 1)}
		s.knownKeys.Store(-1)
		e.streams = append(e.streams, s)
	}
	return nil
}

// loadPosition sets where reading begins.
func (s *stream) loadPosition() error {
	e := s.e
	if e.cfg.Store == nil || e.cfg.Start != rules.StartResume {
		return nil
	}
	if lost := e.store.LostTail(); lost != nil {
		e.log.Error("the store has lost its newest part; what was in it is read again, if the server still has it", "err", lost)
	}
	saved, err := e.store.Checkpoint(s.name)
	if err != nil || saved == "" {
		return err
	}
	if s.from, err = source.ParsePosition(saved); err != nil {
		return fmt.Errorf("checkpoint: %w", err)
	}
	s.handled.Store(s.from.Offset)
	e.outbox.Resume(s.name, saved)
	return nil
}

// run handles records until ctx is done or there are no more.
func (s *stream) run(ctx context.Context) error {
	e := s.e
	s.ended = func() bool { return ctx.Err() != nil }
	s.stopped = func() bool { return s.mayStop && s.ended() }
	s.interpreter = keyspace.New(keyspace.Config{ExpiryGrace: clockGrace, MaxMirror: e.cfg.MaxMirror / int64(len(e.streams)), Stopped: s.stopped})
	s.origin = event.FromStream
	if e.cfg.Replay {
		s.origin = event.FromReplay
	}
	s.timing.stream, s.timing.clock.replay = s, e.cfg.Replay
	s.timing.clock.setStart(time.Time{})
	s.useRules(e.gen.Load())
	if !e.cfg.Replay { // a recording's clock begins at its first record
		s.timing.setRules(s.gen, time.Now())
	}
	stop, err := s.writeback.start(s)
	if err != nil {
		return fmt.Errorf("files of the mirror: %w", err)
	}
	defer stop()
	defer s.interpreter.AbandonCut()
	s.mayStop = true
	if err := s.restore(ctx, s.from); err != nil || ctx.Err() != nil {
		return err
	}
	s.mayStop = false
	s.sharedTiming.Store(&s.timing)
	if e.cfg.Empty {
		s.beginWithoutKeys()
	}
	if e.cfg.OnProfile != nil {
		s.profile = newProfiler()
		defer func() { e.cfg.OnProfile(s.profile.result()) }()
	}
	for rec, err := range s.src.Records(ctx, s.from, s) {
		if err != nil {
			return err
		}
		if !s.handle(rec) {
			s.unsaved.inside = true // of the record
			break
		}
	}
	s.publishProgress()
	s.flushRest()
	return nil
}

// handle does everything that a record leads to, up to planning its firings. If
// reading is to end meanwhile it returns false: what the record has changed and
// fired, but for the parts that are committed, is left to the next process, which
// reads it again.
func (s *stream) handle(rec *source.Record) bool {
	s.profile.begin()
	s.mayStop = rec.Kind == source.Command || rec.Kind == source.Key
	s.timing.clock.observe(rec)
	neededKeys := s.useCurrentRules(rec)
	s.events, s.judging = s.events[:0], false
	if s.mayFireInParts(rec) && !s.flushBefore(rec) {
		return false
	}
	commandStart := s.addEvents(rec, neededKeys)
	if rec.ReplID != s.replID {
		s.followName(rec)
	}
	if s.interpreter.GaveUp() {
		return false
	}
	s.profile.interpreted()
	s.timing.fireDue(rec)
	for len(s.events) > 0 || s.addMoreEvents() {
		if !s.fireEvents(commandStart) {
			return false
		}
		s.events, commandStart = s.events[:0], 0
	}
	if s.interpreter.GaveUp() { // in a later part of the command
		return false
	}
	if rec.Kind == source.SnapshotEnd {
		s.timing.endSnapshot(rec)
	}
	s.offset = rec.Offset
	s.noteLosses(rec)
	s.answerValues(rec)
	s.finishRecord(rec)
	s.askRenewal(rec)
	if rec.Kind != source.Command || s.recordCount%publishEvery == 0 {
		s.publishProgress()
	}
	s.publishStats(rec)
	s.profile.end()
	return true
}

// publishEvery is after how many commands the stream's progress is published, and
// after any other record, and when all is read.
const publishEvery = 64

// unpublished is what was counted since the progress was published.
type unpublished struct{ bytes, events int64 }

// publishProgress publishes how much of the stream is handled.
func (s *stream) publishProgress() {
	s.handled.Store(s.offset)
	keys, bytes := s.interpreter.MirrorSize()
	s.mirrorKeys.Store(keys)
	s.mirrorBytes.Store(bytes)
	if u := &s.unpublished; *u != (unpublished{}) {
		s.counts.bytes.Add(u.bytes)
		s.counts.events.Add(u.events)
		*u = unpublished{}
	}
}

// WantsKeys implements source.Consumer: rules fire for the keys of a snapshot,
// or need to know them.
func (s *stream) WantsKeys() bool {
	wants := s.firesSnapshots() || s.needsMirror()
	s.wantedKeys.Store(wants)
	return wants
}

// firesSnapshots reports whether rules fire for the keys of a snapshot.
func (s *stream) firesSnapshots() bool {
	return s.e.cfg.Start != rules.StartLive && s.e.gen.Load().set.WantsSnapshot()
}

func (s *stream) needsMirror() bool { return s.e.gen.Load().set.NeedsSomething() }

// Prepare implements source.Preparer.
func (s *stream) Prepare(db int, commands [][][]byte) { s.interpreter.Prepare(db, commands) }

// LacksKeys implements source.Consumer: rules need to know all keys, and
// neither this process nor an earlier one has been handed all of them.
func (s *stream) LacksKeys() bool {
	return s.needsMirror() && s.knownKeys.Load() != s.neededKeys.Load()
}

// requestKeys has the source hand out all keys again. Any goroutine may call
// it.
func (s *stream) requestKeys() {
	s.neededKeys.Add(1)
	s.notifyChanged()
}

// Changed implements source.Consumer.
func (s *stream) Changed() <-chan struct{} { return s.changed }

func (s *stream) notifyChanged() {
	select {
	case s.changed <- struct{}{}:
	default: // a signal waits already
	}
}

// NextWake implements source.Consumer. It is the earliest of: the next expiry
// that a rule wants to know on time, the next time that a rule waits for, the
// next flush, the time to ask for a snapshot, and the next step of writing the
// mirror back. It is asked when all that was received is handled. With rules that
// the stream has not taken over it is now: what they end is told.
func (s *stream) NextWake() time.Time {
	s.publishProgress()
	var at time.Time
	if t, ok := s.interpreter.NextDeadline(); ok {
		at = s.timing.clock.wakeFor(t.Add(expiryGrace))
	}
	if s.timing.machine != nil && s.timing.gen != s.e.gen.Load() {
		return time.Now()
	}
	at = earlierTime(earlierTime(at, s.unsaved.flushAt()), s.timing.nextWake())
	return earlierTime(earlierTime(at, s.renewal.due), s.writeback.nextWake())
}

// earlierTime returns the earlier of two times, of which a zero one is never.
func earlierTime(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// stats returns the stream's own part of the counts.
func (s *stream) stats() admin.StreamStats {
	c := admin.StreamStats{Records: s.counts.records.Load(), Bytes: s.counts.bytes.Load(), Events: s.counts.events.Load(), Gaps: s.counts.gaps.Load()}
	c.MirrorKeys, c.MirrorBytes = s.mirrorKeys.Load(), s.mirrorBytes.Load()
	if m := s.mirrorStats.Load(); m != nil {
		c.ValuesLost, c.LostBy = m.Lost.Total(), maps.Collect(m.Lost.All())
	}
	return c
}
