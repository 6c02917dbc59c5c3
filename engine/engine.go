package engine

import (
	"cmp"
	"context"
	"errors"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"triggerd/actions"
	"triggerd/internal/event"
	"triggerd/internal/outbox"
	"triggerd/internal/store"
	"triggerd/rules"
	"triggerd/source"
)

// Config configures an Engine. Rules and Source, or Streams, have to be set.
type Config struct {
	Rules   *rules.Set
	Source  source.Source // what is followed, as the stream Standalone
	Streams []Stream      // what is followed where there are several; Source is nil then
	Store   *store.Store  // where firings and positions are kept; nil: in memory

	// Start is where reading begins: after the checkpoint ("resume", the
	// default), or afresh ("live", "snapshot").
	Start   rules.Start
	Actions ActionOptions

	// Replay makes this a run over a recording, which can wait: firings over
	// MaxPending hold reading up instead of being dropped, all are seen through
	// to the end, and no event tells of a resync.
	Replay    bool
	Empty     bool                  // the recording is of a server that had no keys
	DryRun    bool                  // deliver nothing
	OnEvent   func(*event.Event)    // told of each event, before rules see it; borrowed
	OnFiring  func(*actions.Firing) // told of each firing as it is planned; borrowed
	OnProfile func(Profile)         // told at the end where the reader's time went

	MaxMirror          int64         // bytes of memory for values of keys; default 1 GiB
	MaxPending         int           // firings that may wait; default that of Rules
	DrainTimeout       time.Duration // for what is in flight at the end; default 10 s
	CheckpointInterval time.Duration // default 1 s

	Logger *slog.Logger // nil: none
}

// ActionOptions is what actions get from outside of the rules file.
type ActionOptions struct {
	Kinds     actions.Kinds // that rules may have; nil: kinds.All
	Stdout    io.Writer     // of the print action
	Logger    *slog.Logger  // of the log action
	NoExec    bool          // refuse exec actions
	UserAgent string        // of webhooks
}

// Engine is one running triggerd. Its methods may be called from any
// goroutine; Run once.
type Engine struct {
	cfg     Config
	log     *slog.Logger
	store   *store.Store
	outbox  *outbox.Outbox
	streams []*stream // at least one; the first runs the schedules
	gen     atomic.Pointer[generation]
	reload  sync.Mutex // one Reload at a time

	started time.Time
	states  ruleStates
	reloads reloads

	instruments *instruments
}

// New makes an Engine. Rules whose actions cannot be made are an error, which
// leaves nothing open but what the caller gave.
func New(cfg Config) (*Engine, error) {
	cfg.Start = cmp.Or(cfg.Start, rules.StartResume)
	cfg.MaxPending = cmp.Or(cfg.MaxPending, cfg.Rules.Store.MaxPending, 1_000_000)
	cfg.DrainTimeout = cmp.Or(cfg.DrainTimeout, 10*time.Second)
	cfg.CheckpointInterval = cmp.Or(cfg.CheckpointInterval, time.Second)
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	e := &Engine{cfg: cfg, log: cfg.Logger, store: cfg.Store, started: time.Now(), instruments: newInstruments()}
	if e.store == nil {
		var err error
		if e.store, err = store.OpenInMemory(); err != nil {
			return nil, err
		}
	}
	if err := e.addStreams(); err != nil {
		return nil, errors.Join(err, e.closeOwnStore())
	}
	e.outbox = outbox.New(outbox.Options{
		Store: e.store, Logger: e.log, MaxPending: cfg.MaxPending, Interval: cfg.CheckpointInterval, Patient: cfg.Replay,
		Acked: e.acked, Committed: e.instruments.committed,
	})
	err := e.loadPauses()
	if err == nil {
		err = e.Reload(cfg.Rules)
	}
	if err != nil {
		return nil, errors.Join(err, e.closeOwnStore())
	}
	return e, nil
}

// closeOwnStore closes the store that New made since it was given none.
func (e *Engine) closeOwnStore() error {
	if e.cfg.Store != nil {
		return nil
	}
	return e.store.Close()
}

// Reload replaces the rules and actions. On an error nothing has changed. The
// set must not be in use by another engine.
func (e *Engine) Reload(set *rules.Set) error {
	e.reload.Lock()
	defer e.reload.Unlock()
	var old *rules.Set
	var secrets []string
	if g := e.gen.Load(); g != nil {
		old, secrets = g.set, g.secrets.Values()
	}
	gen, err := newGeneration(set, secrets, e.cfg.Actions, e.instruments)
	file := ""
	if len(set.Files) > 0 {
		file = set.Files[0]
	}
	e.reloads.note(file, err)
	if err != nil {
		return err
	}
	gen.states = e.states.of(set, old)
	e.outbox.SetActions(gen.endpoints, gen.policies)
	e.gen.Store(gen)
	for _, s := range e.streams {
		if old != nil && !set.NeedsNoMoreThan(old) {
			s.lackKeys()
		}
		s.tellChanged() // what the rules wait for
	}
	return nil
}

func (e *Engine) conditionError(r *rules.Rule, ev *event.Event, shown string) {
	e.states.conditionFailed(r.Name, shown)
	e.log.Warn("condition failed, the rule does not fire; later failures of it are only counted", "rule", r.Name, "key", text(ev.Key), "event", ev.Name, "offset", ev.Offset, "err", shown)
}

// acked tells a stream's source that all up to a position is on disk.
func (e *Engine) acked(stream, position string) {
	p, err := source.ParsePosition(position)
	if err != nil {
		return // it is one of ours
	}
	p.Events = 0
	for _, s := range e.streams {
		if s.name == stream {
			s.src.Ack(p)
		}
	}
}

// Stats returns the counts so far.
func (e *Engine) Stats() Stats {
	var sum Stats
	for _, s := range e.streams {
		c := s.stats()
		sum.Records += c.Records
		sum.Bytes += c.Bytes
		sum.Events += c.Events
		sum.Gaps += c.Gaps
		sum.MirrorKeys += c.MirrorKeys
		sum.MirrorBytes += c.MirrorBytes
		sum.ValuesLost += c.ValuesLost
		sum.Matches += s.counts.matches.Load()
		sum.DryRuns += s.counts.dryRuns.Load()
	}
	o := e.outbox.Stats()
	sum.Firings, sum.Delivered, sum.Failed, sum.GivenUp = o.Firings, o.Delivered, o.Failed, o.GivenUp
	sum.Dropped, sum.Superseded, sum.Pending = o.Dropped, o.Superseded, o.Pending
	return sum
}

// Run reads and delivers until ctx is done or the source has ended. What is in
// flight then has DrainTimeout to settle; what is left is delivered after the
// next start. All that Run started has ended when it returns.
func (e *Engine) Run(ctx context.Context) error {
	if err := e.outbox.Recover(); err != nil {
		return err
	}
	for _, s := range e.streams {
		if err := s.startAt(); err != nil {
			return err
		}
	}
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	attempts, stopAttempts := context.WithCancelCause(context.WithoutCancel(ctx))
	defer stopAttempts(nil)
	e.outbox.Start(ctx, attempts, func(err error) {
		fail(err)
		stopAttempts(err)
	})
	var side sync.WaitGroup
	sideCtx, stopSide := context.WithCancel(ctx)
	side.Go(func() {
		if err := e.store.Run(sideCtx); err != nil {
			fail(err)
		}
	})
	err := e.read(ctx)
	if cause := context.Cause(ctx); cause != nil && !errors.Is(cause, context.Canceled) {
		err = errors.Join(err, cause)
	}
	left := e.drain(ctx)
	stopSide()
	stopAttempts(errors.New("triggerd is stopping"))
	side.Wait()
	e.outbox.Close()
	if left > 0 && !e.cfg.Replay {
		e.log.Warn("stopped before everything was delivered", "pending", left, "resumes", e.cfg.Store != nil)
	}
	return errors.Join(err, e.closeOwnStore())
}

// drain lets attempts end, and returns how many firings are left. Without a
// store that is kept, what is ready is attempted first; a replay has no next
// start at all, and sees everything through.
func (e *Engine) drain(ctx context.Context) int {
	if e.cfg.Replay && ctx.Err() == nil {
		e.outbox.Finish(ctx)
	}
	limit, cancel := context.WithTimeout(context.Background(), e.cfg.DrainTimeout)
	defer cancel()
	return e.outbox.Stop(limit, e.cfg.Store == nil)
}

// read runs all streams until ctx is done, or all have ended. A stream that
// fails ends the others.
func (e *Engine) read(ctx context.Context) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	var all sync.WaitGroup
	errs := make([]error, len(e.streams))
	for i, s := range e.streams {
		all.Go(func() {
			if errs[i] = s.run(ctx); errs[i] != nil {
				stop()
			}
		})
	}
	all.Wait()
	return errors.Join(errs...)
}

func text(b []byte) string { return string(event.AppendText(nil, b)) }
