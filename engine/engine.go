package engine

import (
	"cmp"
	"context"
	"errors"
	"io"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"triggerd/actions"
	"triggerd/internal/admin"
	"triggerd/internal/delivered"
	"triggerd/internal/disk"
	"triggerd/internal/event"
	"triggerd/internal/outbox"
	"triggerd/internal/store"
	"triggerd/internal/tap"
	"triggerd/rules"
	"triggerd/source"
)

// Config configures an Engine. Rules and Source, or Streams, have to be set.
type Config struct {
	Rules   *rules.Set
	Source  source.Source // what is followed, as the stream Standalone
	Streams []Stream      // what is followed if there are several; Source is nil then
	Store   *store.Store  // keeps firings and positions; nil: they are kept in memory

	// Start says where reading begins: at the checkpoint ("resume", the
	// default), or with a full resync ("live", "snapshot").
	Start   rules.Start
	Actions ActionOptions

	// Replay makes this a run over a recording, which can wait. Reading stops
	// while MaxPending firings wait, and none is dropped. Run ends only when
	// all firings are settled. There are no events that tell of a resync.
	Replay    bool
	Empty     bool                  // the recording is of a server that had no keys
	DryRun    bool                  // deliver nothing
	OnEvent   func(*event.Event)    // called with each event before rules match it; the event is borrowed
	OnFiring  func(*actions.Firing) // called with each firing when it is planned; the firing is borrowed
	OnProfile func(Profile)         // called at the end with where the streams' time went

	// CancelRewound has firings of commands that were lost in a failover not be
	// delivered any more: they become dead letters. Otherwise they are marked.
	CancelRewound bool

	MaxBehind          time.Duration // how old what is received and not handled may be for Ready; 0: no matter
	MaxMirror          int64         // bytes of memory for keys and their values; default 1 GiB
	MaxPending         int           // firings that may wait; default that of Rules
	DrainTimeout       time.Duration // how long attempts in flight may take after Run is told to stop; default: what the rules say
	CheckpointInterval time.Duration // how often a position without firings is committed; default 1 s

	// Kept keeps deliveries whole; nil: only a line of each is kept. The caller
	// closes it after Run.
	Kept *delivered.Log

	Logger *slog.Logger // nil: none

	feed *feed   // what is read, if it is the feed of a test
	disk disk.FS // that the files of the mirror are on; nil: the operating system's
}

// ActionOptions are settings of actions that do not come from the rules file.
type ActionOptions struct {
	Kinds     actions.Kinds // that rules may have; nil: kinds.All
	Stdout    io.Writer     // where the print action writes
	Logger    *slog.Logger  // where the log action writes
	NoExec    bool          // refuse exec actions
	UserAgent string        // that webhooks send

	Allow   []string                          // codes of warnings that LoadRules leaves out; see rules.WarningCodes
	Offline bool                              // LoadRules looks up no variables, files and programs; see rules.Options. What is tried of such rules is made without them
	Reads   func(path string, isPattern bool) // see rules.Options

	// Of what is only tried: Explain, RunTest.
	NoInclude   bool  // refuse to include files
	MaxMistakes int   // as rules.Options.MaxMistakes
	MaxPatterns int   // as rules.Options.MaxPatterns
	MaxMirror   int64 // as Config.MaxMirror
	MaxTraced   int   // events, and firings, of which a Trace tells; 0: all
	MaxRendered int   // bytes of requests in a Trace; 0: no limit
}

// Engine is one running triggerd. Any goroutine may call its methods, Run once.
type Engine struct {
	cfg     Config
	log     *slog.Logger
	store   *store.Store
	outbox  *outbox.Outbox
	streams []*stream // at least one; the first runs the schedules
	gen     atomic.Pointer[generation]
	reload  sync.Mutex // one Reload at a time

	trimming sync.Mutex // held while what no state needs is removed, and while a backup is made

	started time.Time
	states  ruleStates
	budget  budget

	pauseEnds chan struct{} // capacity 1: a pause has another end
	reloads   reloads
	tap       tap.Feed
	disowned  disowned
	watchers  watchers
	rates     rates
	recent    recent

	instruments *instruments
}

// New makes an Engine. It returns an error if an action of the rules cannot be
// made; then nothing is left open but what the caller passed in.
func New(cfg Config) (*Engine, error) {
	cfg.Start = cmp.Or(cfg.Start, rules.StartResume)
	cfg.MaxPending = cmp.Or(cfg.MaxPending, cfg.Rules.Store.MaxPending, 1_000_000)
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
		Saving: e.saveReceived, Acked: e.ackSource, Committed: e.instruments.observeCommit, Watcher: watcher{&e.tap, &e.watchers}, Kept: cfg.Kept,
		Rewound: e.isRewound,
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

// closeOwnStore closes the store if New opened it.
func (e *Engine) closeOwnStore() error {
	if e.cfg.Store != nil {
		return nil
	}
	return e.store.Close()
}

// Reload replaces the rules and actions. On an error nothing has changed.
// Another engine must not use the same set.
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
	e.reloads.record(file, err)
	if err != nil {
		e.tellState(file, "refused", err.Error())
		return err
	}
	if old != nil {
		e.warnEmptied(set, old)
	}
	if old != nil {
		e.logKept(set, old)
	}
	gen.states = e.states.replace(set, old)
	e.outbox.SetActions(gen.endpoints, gen.policies)
	e.gen.Store(gen)
	e.tellState(file, "reloaded", "")
	for _, s := range e.streams {
		if old != nil && !set.NeedsNoMoreThan(old) {
			s.requestKeys()
		}
		s.notifyChanged() // the source has to ask again: the new rules may need other keys and times
	}
	return nil
}

// maxKeptLines is how many patterns are logged of whose keys something is kept.
const maxKeptLines = 20

// logKept logs what is kept in memory of keys: at the start all of it, and after a
// reload what is new.
func (e *Engine) logKept(set, old *rules.Set) {
	if e.cfg.Replay || e.cfg.feed != nil {
		return
	}
	had := map[string]bool{}
	if old != nil {
		for _, k := range old.Kept() {
			had[k.String()] = true
		}
	}
	lines := 0
	for _, k := range set.Kept() {
		if had[k.String()] {
			continue
		}
		if lines++; lines <= maxKeptLines {
			e.log.Info("kept in memory", "what", k.String())
		}
	}
	if lines > maxKeptLines {
		e.log.Info("kept in memory, as triggerd check --json lists", "more_patterns", lines-maxKeptLines)
	}
}

// warnEmptied tells which files of the rules say nothing any more. They may be
// about to be written, or what wrote them has failed.
func (e *Engine) warnEmptied(set, old *rules.Set) {
	for _, file := range set.EmptyFiles {
		if slices.Contains(old.Files, file) && !slices.Contains(old.EmptyFiles, file) {
			e.log.Warn("a rules file has become empty, its rules are gone", "file", file)
		}
	}
}

func (e *Engine) logConditionError(r *rules.Rule, ev *event.Event, shown string) {
	e.states.conditionFailed(r.Name, shown)
	e.log.Warn("condition failed, the rule does not fire; later failures of it are only counted", "rule", r.Name, "key", printable(ev.Key), "event", ev.Name, "offset", ev.Offset, "err", shown)
}

// saveReceived has what a stream has received up to a position outlive the
// process: it is about to be committed. Where that cannot be, the next start
// finds out, and values are not known then.
func (e *Engine) saveReceived(stream, position string) {
	p, err := source.ParsePosition(position)
	if err != nil {
		return // it is one of ours
	}
	for _, s := range e.streams {
		if spooler, ok := s.src.(source.Spooler); ok && s.name == stream && s.keepsSpool.Load() {
			spooler.Keep(context.Background(), p, false)
		}
	}
}

// ackSource tells a stream's source that everything up to a position is on
// disk.
func (e *Engine) ackSource(stream, position string) {
	p, err := source.ParsePosition(position)
	if err != nil {
		return // the text comes from positionAfter, so it parses
	}
	p.Events = 0
	for _, s := range e.streams {
		if s.name != stream {
			continue
		}
		s.src.Ack(p)
		if !s.keepsSpool.Load() {
			s.trim(position)
		}
	}
}

// Stats returns the counts so far.
func (e *Engine) Stats() admin.Stats {
	var sum admin.Stats
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

// Run reads and delivers until ctx is done or all sources have ended. Attempts
// in flight then have DrainTimeout to end. Firings that are left are delivered
// after the next start. All goroutines that Run started have ended when it
// returns.
func (e *Engine) Run(ctx context.Context) error {
	e.logKept(e.gen.Load().set, nil)
	if err := e.outbox.Recover(); err != nil {
		return err
	}
	for _, s := range e.streams {
		if err := s.loadPosition(); err != nil {
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
	side.Go(func() { e.watchBudget(sideCtx) })
	side.Go(func() { e.endPauses(sideCtx) })
	side.Go(func() { e.watchLinks(sideCtx) })
	if !e.cfg.Replay {
		side.Go(func() { e.sampleRates(sideCtx) })
	}
	err := e.runStreams(ctx)
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

// drain waits for attempts in flight, and returns how many firings are left. If
// the store is in memory, firings that are ready are attempted first. A replay
// has no next start, so all its firings are delivered.
func (e *Engine) drain(ctx context.Context) int {
	if e.cfg.Replay && ctx.Err() == nil {
		e.outbox.Finish(ctx)
	}
	limit, cancel := context.WithTimeout(context.Background(), e.ShutdownTimeout())
	defer cancel()
	return e.outbox.Stop(limit, e.cfg.Store == nil)
}

// ShutdownTimeout returns how long attempts in flight may take once Run was told
// to stop.
func (e *Engine) ShutdownTimeout() time.Duration {
	return cmp.Or(e.cfg.DrainTimeout, e.gen.Load().set.ShutdownTimeout)
}

// runStreams runs all streams until ctx is done or all have ended. If one
// fails, it stops the others.
func (e *Engine) runStreams(ctx context.Context) error {
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

func printable(b []byte) string { return string(event.AppendText(nil, b)) }
