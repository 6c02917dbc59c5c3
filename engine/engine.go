package engine

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"triggerd/actions"
	"triggerd/internal/event"
	"triggerd/internal/store"
	"triggerd/rules"
	"triggerd/source"
)

// Config configures an Engine. Rules and Source have to be set.
type Config struct {
	Rules  *rules.Set
	Source source.Source
	Store  *store.Store // where the checkpoint is kept; nil: nowhere

	// Start is where reading begins: after the checkpoint ("resume", the
	// default), or afresh ("live", "snapshot").
	Start   string
	Actions ActionOptions

	// Replay makes this a run over a recording, which can wait: firings over
	// MaxPending hold reading up instead of being dropped, all are seen through
	// to the end, and no event tells of a resync.
	Replay    bool
	DryRun    bool                  // deliver nothing
	OnEvent   func(*event.Event)    // told of each event, before rules see it; borrowed
	OnFiring  func(*actions.Firing) // told of each firing as it is planned; borrowed
	OnProfile func(Profile)         // told at the end where the reader's time went

	MaxPending         int           // firings that may wait; default that of Rules
	DrainTimeout       time.Duration // for what is in flight at the end; default 10 s
	CheckpointInterval time.Duration // default 1 s

	Logger *slog.Logger // nil: none
}

// ActionOptions is what actions get from outside of the rules file.
type ActionOptions struct {
	Stdout    io.Writer    // of the print action
	Logger    *slog.Logger // of the log action
	NoExec    bool         // refuse exec actions
	UserAgent string       // of webhooks
}

// Engine is one running triggerd. Its methods may be called from any
// goroutine; Run once.
type Engine struct {
	cfg    Config
	log    *slog.Logger
	outbox *outbox
	marks  *watermark
	gen    atomic.Pointer[generation]
	reload sync.Mutex    // one Reload at a time
	clock  chan struct{} // capacity 1: the schedules have changed
	counts counts

	saving  sync.Mutex  // one checkpoint at a time
	failing atomic.Bool // the last one could not be saved
}

type counts struct {
	records, bytes, events, matches, dryRuns, gaps atomic.Int64
}

// Stats counts what an engine has done since it was made.
type Stats struct {
	Records   int64 // commands and snapshot keys read
	Bytes     int64 // of these commands, on the wire
	Events    int64 // changes of keys they made
	Matches   int64 // rules that matched them
	DryRuns   int64 // of these, in rules that only count
	Firings   int64 // deliveries planned
	Delivered int64
	Failed    int64 // attempts that failed
	GivenUp   int64 // firings not delivered in all their attempts
	Dropped   int64 // firings not even attempted, since too many waited
	Pending   int64 // firings that wait now
	Gaps      int64 // full resyncs that missed something
}

// New makes an Engine. Rules whose actions cannot be made are an error.
func New(cfg Config) (*Engine, error) {
	cfg.Start = cmp.Or(cfg.Start, "resume")
	cfg.MaxPending = cmp.Or(cfg.MaxPending, cfg.Rules.Store.MaxPending, 1_000_000)
	cfg.DrainTimeout = cmp.Or(cfg.DrainTimeout, 10*time.Second)
	cfg.CheckpointInterval = cmp.Or(cfg.CheckpointInterval, time.Second)
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	e := &Engine{cfg: cfg, log: cfg.Logger, clock: make(chan struct{}, 1), marks: &watermark{}}
	e.outbox = newOutbox(cfg.MaxPending, e.marks, cfg.Logger)
	e.outbox.patient = cfg.Replay
	if err := e.Reload(cfg.Rules); err != nil {
		return nil, err
	}
	return e, nil
}

// Reload replaces the rules and actions. On an error nothing has changed. The
// set must not be in use by another engine.
func (e *Engine) Reload(set *rules.Set) error {
	e.reload.Lock()
	defer e.reload.Unlock()
	gen, err := newGeneration(set, e.cfg.Actions)
	if err != nil {
		return err
	}
	set.ConditionError = e.conditionError
	e.outbox.setEndpoints(gen.endpoints)
	e.gen.Store(gen)
	select {
	case e.clock <- struct{}{}:
	default:
	}
	return nil
}

func (e *Engine) conditionError(r *rules.Rule, ev *event.Event, err error) {
	e.log.Warn("condition failed, the rule does not fire; later failures of it are only counted", "rule", r.Name, "key", text(ev.Key), "event", ev.Name, "offset", ev.Offset, "err", err)
}

// WantsSnapshot reports whether the present rules look at the keys of
// snapshots.
func (e *Engine) WantsSnapshot() bool {
	gen := e.gen.Load()
	return gen != nil && e.cfg.Start != "live" && gen.set.WantsSnapshot()
}

// Stats returns the counts so far.
func (e *Engine) Stats() Stats {
	s := Stats{
		Records: e.counts.records.Load(), Bytes: e.counts.bytes.Load(), Events: e.counts.events.Load(),
		Matches: e.counts.matches.Load(), DryRuns: e.counts.dryRuns.Load(), Gaps: e.counts.gaps.Load(),
	}
	e.outbox.addStats(&s)
	return s
}

// Run reads and delivers until ctx is done or the source has ended. It then
// gives what waits a chance to be delivered, for DrainTimeout at most; what is
// left is delivered after the next start. All that Run started has ended when
// it returns.
func (e *Engine) Run(ctx context.Context) error {
	from, err := e.startAt()
	if err != nil {
		return err
	}
	attempts, stopAttempts := context.WithCancelCause(context.Background())
	defer stopAttempts(nil)
	e.outbox.start(attempts)

	var side sync.WaitGroup
	sideCtx, stopSide := context.WithCancel(ctx)
	side.Go(func() { e.runClock(sideCtx) })
	side.Go(func() { e.runCheckpoints(sideCtx) })

	err = e.read(ctx, from)
	stopSide()
	side.Wait()

	left := e.drain(ctx)
	stopAttempts(errors.New("triggerd is stopping"))
	e.outbox.wait()
	err = errors.Join(err, e.checkpoint())
	if left > 0 {
		e.log.Warn("stopped before everything was delivered", "pending", left, "resumes", e.cfg.Store != nil)
	}
	return err
}

// drain lets what waits be delivered, and returns how many firings are left. A
// replay has no next start that would deliver them.
func (e *Engine) drain(ctx context.Context) int {
	if e.cfg.Replay {
		e.outbox.finish(ctx)
	}
	return e.outbox.drain(e.cfg.DrainTimeout)
}

// startAt returns the position to read from.
func (e *Engine) startAt() (source.Position, error) {
	if e.cfg.Store == nil || e.cfg.Start != "resume" {
		return source.Position{}, nil
	}
	saved, err := e.cfg.Store.Checkpoint()
	if err != nil || saved == "" {
		return source.Position{}, err
	}
	from, err := source.ParsePosition(saved)
	if err != nil {
		return from, fmt.Errorf("checkpoint: %w", err)
	}
	e.marks.resume(from)
	return from, nil
}

func (e *Engine) runCheckpoints(ctx context.Context) {
	tick := time.NewTicker(e.cfg.CheckpointInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			e.saveCheckpoint()
		}
	}
}

// saveCheckpoint is checkpoint for those who have nobody to return an error
// to: the first in a row is logged.
func (e *Engine) saveCheckpoint() {
	err := e.checkpoint()
	if err != nil && !e.failing.Load() {
		e.log.Error("checkpoint not saved, trying again; after a crash more would be delivered twice", "err", err)
	}
	e.failing.Store(err != nil)
}

// checkpoint saves the position up to which everything has settled, if it has
// moved, and then tells the source.
func (e *Engine) checkpoint() error {
	e.saving.Lock()
	defer e.saving.Unlock()
	pos, moved := e.marks.position()
	if !moved {
		return nil
	}
	if e.cfg.Store != nil {
		if err := e.cfg.Store.SaveCheckpoint(pos.String()); err != nil {
			return err
		}
	}
	e.marks.setSaved(pos)
	e.cfg.Source.Ack(pos)
	return nil
}

// runClock fires the rules that have a schedule.
func (e *Engine) runClock(ctx context.Context) {
	for {
		gen := e.gen.Load()
		rule, at := gen.nextScheduled(time.Now())
		var due <-chan time.Time // never, without a schedule
		if rule != nil {
			due = time.After(time.Until(at))
		}
		select {
		case <-ctx.Done():
			return
		case <-e.clock:
		case <-due:
			e.fireScheduled(gen, at)
		}
	}
}

func (e *Engine) fireScheduled(gen *generation, at time.Time) {
	for _, r := range gen.scheduledAt(at) {
		e.counts.matches.Add(1)
		ev := &event.Event{Name: event.Schedule, Origin: event.FromClock, Time: at, Source: e.cfg.Source.Status().Addr}
		e.plan(gen, &rules.Match{Rule: r, Event: ev}, ev, false)
	}
}

func text(b []byte) string { return string(event.AppendText(nil, b)) }
