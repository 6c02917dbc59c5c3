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
	"triggerd/internal/keyspace"
	"triggerd/internal/store"
	"triggerd/rules"
	"triggerd/source"
)

// Config configures an Engine. Rules and Source have to be set.
type Config struct {
	Rules  *rules.Set
	Source source.Source
	Store  *store.Store // where firings and the position are kept; nil: in memory

	// Start is where reading begins: after the checkpoint ("resume", the
	// default), or afresh ("live", "snapshot").
	Start   string
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
	store  *store.Store
	outbox *outbox
	reader *reader // of the goroutine that reads; nil before
	gen    atomic.Pointer[generation]
	reload sync.Mutex // one Reload at a time
	counts counts
	mirror atomic.Pointer[keyspace.Stats] // as the reader last told

	timing   atomic.Pointer[timer] // the reader's; nil before it reads
	restored atomic.Bool           // the mirror is known from an earlier process

	started time.Time
	states  ruleStates
	reloads reloads
}

type counts struct {
	records, bytes, events, matches, dryRuns, gaps atomic.Int64
}

// Stats counts what an engine has done since it was made.
type Stats struct {
	Records    int64 `json:"records"`  // commands and snapshot keys read
	Bytes      int64 `json:"bytes"`    // of these commands, on the wire
	Events     int64 `json:"events"`   // changes of keys they made
	Matches    int64 `json:"matches"`  // rules that matched them
	DryRuns    int64 `json:"dry_runs"` // of these, in rules that only count
	Firings    int64 `json:"firings"`  // deliveries planned
	Delivered  int64 `json:"delivered"`
	Failed     int64 `json:"failed"`     // attempts that failed
	GivenUp    int64 `json:"given_up"`   // firings not delivered in all their attempts
	Dropped    int64 `json:"dropped"`    // firings not even attempted, since too many waited
	Superseded int64 `json:"superseded"` // firings not even attempted, or not again, since of those of a key only the last is wanted
	Pending    int64 `json:"pending"`    // firings that wait now
	Gaps       int64 `json:"gaps"`       // full resyncs that missed something

	MirrorKeys  int64 `json:"mirror_keys"`  // keys that are kept for rules
	MirrorBytes int64 `json:"mirror_bytes"` // memory for them, estimated
	ValuesLost  int64 `json:"values_lost"`  // times that a value became unknown
}

// New makes an Engine. Rules whose actions cannot be made are an error, which
// leaves nothing open but what the caller gave.
func New(cfg Config) (*Engine, error) {
	cfg.Start = cmp.Or(cfg.Start, "resume")
	cfg.MaxPending = cmp.Or(cfg.MaxPending, cfg.Rules.Store.MaxPending, 1_000_000)
	cfg.DrainTimeout = cmp.Or(cfg.DrainTimeout, 10*time.Second)
	cfg.CheckpointInterval = cmp.Or(cfg.CheckpointInterval, time.Second)
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	e := &Engine{cfg: cfg, log: cfg.Logger, store: cfg.Store, started: time.Now()}
	if e.store == nil {
		var err error
		if e.store, err = store.OpenInMemory(); err != nil {
			return nil, err
		}
	}
	e.outbox = newOutbox(e.store, &e.cfg)
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
	gen, err := newGeneration(set, e.cfg.Actions)
	file := ""
	if len(set.Files) > 0 {
		file = set.Files[0]
	}
	e.reloads.note(file, err)
	if err != nil {
		return err
	}
	var old *rules.Set
	if g := e.gen.Load(); g != nil {
		old = g.set
	}
	gen.states = e.states.of(set, old)
	set.ConditionError = e.conditionError
	e.outbox.setGeneration(gen)
	e.gen.Store(gen)
	if old != nil && !set.NeedsNoMoreThan(old) {
		e.refresh()
	}
	if src, ok := e.cfg.Source.(poker); ok {
		src.Poke() // what the rules wait for has changed
	}
	return nil
}

func (e *Engine) conditionError(r *rules.Rule, ev *event.Event, err error) {
	e.states.conditionFailed(r.Name, err)
	e.log.Warn("condition failed, the rule does not fire; later failures of it are only counted", "rule", r.Name, "key", text(ev.Key), "event", ev.Name, "offset", ev.Offset, "err", err)
}

// Stats returns the counts so far.
func (e *Engine) Stats() Stats {
	s := Stats{
		Records: e.counts.records.Load(), Bytes: e.counts.bytes.Load(), Events: e.counts.events.Load(),
		Matches: e.counts.matches.Load(), DryRuns: e.counts.dryRuns.Load(), Gaps: e.counts.gaps.Load(),
	}
	if m := e.mirror.Load(); m != nil {
		l := m.Lost
		s.MirrorKeys, s.MirrorBytes = m.MirrorKeys, m.MirrorBytes
		s.ValuesLost = l.Limit + l.Source + l.Mismatch + l.Malformed + l.Undecided
	}
	e.outbox.addStats(&s)
	return s
}

// Run reads and delivers until ctx is done or the source has ended. What is in
// flight then has DrainTimeout to settle; what is left is delivered after the
// next start. All that Run started has ended when it returns.
func (e *Engine) Run(ctx context.Context) error {
	if err := e.outbox.recover(); err != nil {
		return err
	}
	from, err := e.startAt()
	if err != nil {
		return err
	}
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	attempts, stopAttempts := context.WithCancelCause(context.WithoutCancel(ctx))
	defer stopAttempts(nil)
	e.outbox.start(ctx, attempts, func(err error) {
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
	err = e.read(ctx, from)
	if cause := context.Cause(ctx); cause != nil && !errors.Is(cause, context.Canceled) {
		err = errors.Join(err, cause)
	}
	left := e.drain(ctx)
	stopSide()
	stopAttempts(errors.New("triggerd is stopping"))
	side.Wait()
	e.outbox.close()
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
		e.outbox.finish(ctx)
	}
	limit, cancel := context.WithTimeout(context.Background(), e.cfg.DrainTimeout)
	defer cancel()
	return e.outbox.stop(limit, e.cfg.Store == nil)
}

// startAt returns the position to read from.
func (e *Engine) startAt() (source.Position, error) {
	if e.cfg.Store == nil || e.cfg.Start != "resume" {
		return source.Position{}, nil
	}
	if lost := e.store.LostTail(); lost != nil {
		e.log.Error("the store has lost its newest part; what was in it is read again, if the server still has it", "err", lost)
	}
	saved, err := e.store.Checkpoint(standalone)
	if err != nil || saved == "" {
		return source.Position{}, err
	}
	from, err := source.ParsePosition(saved)
	if err != nil {
		return from, fmt.Errorf("checkpoint: %w", err)
	}
	e.outbox.resume(from)
	return from, nil
}

func text(b []byte) string { return string(event.AppendText(nil, b)) }
