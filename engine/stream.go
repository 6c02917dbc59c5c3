package engine

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"triggerd/internal/event"
	"triggerd/internal/keyspace"
	"triggerd/internal/store"
	"triggerd/rules"
	"triggerd/source"
)

// Standalone is the name of the stream of a server that stands alone.
const Standalone = store.Standalone

// Stream is what one followed stream is made of.
type Stream struct {
	Name   string // its own among the streams of an engine; what is kept of it is kept under that name
	Source source.Source
}

// stream is one followed stream: a source, and all that follows from what the
// source has delivered. Its state is of one goroutine, which turns records into
// firings: the interpreter with its mirror, the matches, what rules wait for,
// the clock, and what of all this has changed since it was last given out.
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

	in      *keyspace.Interpreter
	timing  timer
	st      state
	cmd     keyspace.Command
	events  []event.Event
	matches []rules.Match
	gen     *generation    // that the mirror keeps keys for
	matcher *rules.Matcher // of gen
	keys    int            // events of the present snapshot
	passed  int            // records
	offset  int64          // of the last record
	server  server         // as last heard of
	profile *profiler

	snapshot keyspace.SnapshotKey
	wanted   bool  // keys, at the last attempt to attach
	begun    int64 // needs, when the present snapshot began

	// What others look at.
	counts  counts
	mirror  atomic.Pointer[keyspace.Stats] // as last told
	shown   atomic.Pointer[timer]          // timing; nil before run
	handled atomic.Int64                   // the offset up to which all is planned
	needs   atomic.Int64                   // how often the rules have come to need more keys, or keys were lost
	had     atomic.Int64                   // needs, when the keys that are known were handed out
	changed chan struct{}                  // capacity 1; see source.Consumer
}

type counts struct {
	records, bytes, events, matches, dryRuns, gaps atomic.Int64
}

// addStreams makes the streams of the configuration.
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
		s.had.Store(-1)
		e.streams = append(e.streams, s)
	}
	return nil
}

// startAt finds where to begin to read.
func (s *stream) startAt() error {
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

// run hands records on until ctx is done or there are no more.
func (s *stream) run(ctx context.Context) error {
	e := s.e
	s.in = keyspace.New(keyspace.Config{ExpiryGrace: clockGrace, MaxMirror: e.cfg.MaxMirror / int64(len(e.streams))})
	s.origin = event.FromStream
	if e.cfg.Replay {
		s.origin = event.FromReplay
	}
	s.timing.stream, s.timing.clock.replay = s, e.cfg.Replay
	s.timing.clock.start(time.Time{})
	s.use(e.gen.Load())
	if !e.cfg.Replay { // a recording's clock begins with it
		s.timing.use(s.gen, time.Now())
	}
	if err := s.restore(s.from); err != nil {
		return err
	}
	s.shown.Store(&s.timing)
	if e.cfg.Empty {
		s.beginEmpty()
	}
	if e.cfg.OnProfile != nil {
		s.profile = newProfiler()
		defer func() { e.cfg.OnProfile(s.profile.result()) }()
	}
	for rec, err := range s.src.Records(ctx, s.from, s) {
		if err != nil {
			return err
		}
		s.handle(rec)
	}
	s.end()
	return nil
}

// handle does all that a record leads to, up to planning.
func (s *stream) handle(rec *source.Record) {
	s.profile.begin()
	s.timing.clock.follow(rec)
	needs := s.adopt(rec)
	s.events = s.events[:0]
	if s.isVast(rec) {
		s.clear(rec)
	}
	clocked := s.interpret(rec, needs)
	s.profile.interpreted()
	s.timing.advance(rec)
	for len(s.events) > 0 || s.rest() {
		s.fire(clocked)
		clear(s.events) // what they have of values is not kept until others take their place
		s.events, clocked = s.events[:0], 0
	}
	s.offset = rec.Offset
	s.pass(rec)
	if rec.Kind != source.Command || s.passed%tellHandled == 0 {
		s.handled.Store(rec.Offset)
	}
	s.tellStats(rec)
	s.profile.end()
}

// tellHandled is after how many commands others are told how far the stream is
// handled. A flush tells them too, and so does a pause of the stream.
const tellHandled = 64

// WantsKeys implements source.Consumer: the rules fire for the keys of a
// snapshot, or need to know them.
func (s *stream) WantsKeys() bool {
	s.wanted = s.firesSnapshots() || s.needsMirror()
	return s.wanted
}

// firesSnapshots reports whether rules fire for the keys of a snapshot.
func (s *stream) firesSnapshots() bool {
	return s.e.cfg.Start != rules.StartLive && s.e.gen.Load().set.WantsSnapshot()
}

func (s *stream) needsMirror() bool { return s.e.gen.Load().set.NeedsSomething() }

// LacksKeys implements source.Consumer: the rules need to know keys as they
// are, and these were handed out neither in this process nor, complete, in an
// earlier one.
func (s *stream) LacksKeys() bool { return s.needsMirror() && s.had.Load() != s.needs.Load() }

// lackKeys has all keys handed out anew. Any goroutine may call it.
func (s *stream) lackKeys() {
	s.needs.Add(1)
	s.tellChanged()
}

// Changed implements source.Consumer.
func (s *stream) Changed() <-chan struct{} { return s.changed }

func (s *stream) tellChanged() {
	select {
	case s.changed <- struct{}{}:
	default: // it is about to look
	}
}

// NextWake implements source.Consumer: a key expires of which a rule wants to
// know on time, a time that a rule waits for has come, or changes have to be
// given out.
func (s *stream) NextWake() time.Time {
	var at time.Time
	if t, ok := s.in.NextDeadline(); ok {
		at = s.timing.clock.wake(t.Add(expiryGrace))
	}
	return earlier(earlier(at, s.st.flushAt()), s.timing.wake())
}

// earlier returns the earlier of two times, of which a zero one is never.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// stats returns what of Stats is a stream's.
func (s *stream) stats() StreamStats {
	c := StreamStats{Records: s.counts.records.Load(), Bytes: s.counts.bytes.Load(), Events: s.counts.events.Load(), Gaps: s.counts.gaps.Load()}
	if m := s.mirror.Load(); m != nil {
		l := m.Lost
		c.MirrorKeys, c.MirrorBytes = m.MirrorKeys, m.MirrorBytes
		c.ValuesLost = l.Limit + l.Source + l.Mismatch + l.Malformed + l.Undecided
	}
	return c
}
