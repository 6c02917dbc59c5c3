package outbox

import (
	"cmp"
	"context"
	"io"
	"log/slog"
	"maps"
	"sync"
	"sync/atomic"
	"time"

	"triggerd/actions"
	"triggerd/internal/delivered"
	"triggerd/internal/failpoint"
	"triggerd/internal/store"
)

// Options configure an Outbox. Store and Logger have to be set.
type Options struct {
	Store      *store.Store
	Logger     *slog.Logger
	MaxPending int           // firings that may wait
	Interval   time.Duration // between checkpoints when nothing fires; default 1 s
	Patient    bool          // a stream waits for room as long as it takes

	// Saving is called with each stream's position before it is committed, by one
	// goroutine: what leads up to it is to outlive the process by then.
	//
	// Acked is called with each stream's position once it is on disk, by one
	// goroutine. Committed is called with how long a commit took, and how many
	// firings it had. nil: none of them is called.
	Saving    func(stream, position string)
	Acked     func(stream, position string)
	Committed func(took time.Duration, firings int)

	Watcher Watcher // is told of attempts; nil: nobody is

	// Rewound reports whether what made a firing is no part of the server's history
	// any more, and if so whether the firing is not to be delivered. It is called
	// before each attempt, with a lock held. nil: nothing is so.
	Rewound func(*actions.Firing) (rewound, cancel bool)
	Kept    *delivered.Log // keeps deliveries whole; nil: only a line of each is kept
}

// Outbox takes firings in, keeps them in a store together with the positions
// after them, and delivers them. Any goroutine may call its methods, except
// that Add and Submit of one stream are called by one goroutine at a time.
type Outbox struct {
	*host
	in        *intake
	ledger    ledger
	store     *store.Store
	kept      *delivered.Log // of deliveries; nil: none is kept
	interval  time.Duration
	saving    func(stream, position string)
	acked     func(stream, position string)
	committed func(took time.Duration, firings int)
	fatal     context.CancelCauseFunc // called when the store has failed
	reading   context.Context         // done when streams add no more; set by Start

	batch       *store.Batch // of what streams submit; the keeper's
	settling    *store.Batch // of settlements; the keeper's
	lastDropLog time.Time    // when dropped firings were last logged; the keeper's
	lastTry     []byte       // a buffer of the keeper's
	unsynced    time.Time    // since when the disk may not have all settlements; zero: it has; the keeper's

	keeperWake chan struct{} // capacity 1: the keeper has something to write
	keeperDone chan struct{} // closed when the keeper has ended
	keeperQuit chan struct{} // closed to end the keeper

	turns atomic.Uint64 // see Turns

	mu            sync.Mutex // guards what follows; taken before an endpoint's, and never by a stream
	endpoints     map[string]*endpoint
	paused        map[string]bool      // by endpoint, also those that do not exist at the moment
	restoredHolds map[string]time.Time // holds of an earlier process, for endpoints that do not exist yet
	stopping      bool                 // no attempt begins any more
}

// host is what the endpoints of an Outbox, or of a Deliverer, share.
type host struct {
	log      *slog.Logger
	bounds   bounds
	source   jobSource
	owner    owner
	watcher  Watcher // nil: there is none
	rewound  func(*actions.Firing) (rewound, cancel bool)
	attempts context.Context // done when attempts have to end; set before started is
	started  atomic.Bool
	closed   atomic.Bool // outcomes are no longer recorded
	standby  atomic.Bool // firings are taken in and committed, but not attempted
	policies atomic.Pointer[map[PolicyKey]*Policy]

	keepDelivered bool // what was delivered is kept whole

	delivered, retried, givenUp, superseded atomic.Int64 // counts
	rewoundMarked, rewoundCancelled         atomic.Int64 // of rewound firings: delivered, and not

	cached    atomic.Int64 // bytes of the firings that are in memory
	workers   atomic.Int64
	wg        sync.WaitGroup // of workers and readers
	asideLogs sync.WaitGroup
	progress  chan struct{} // capacity 1: something has ended that may be waited for
}

// owner is told what becomes of an endpoint's firings. It is called under the
// endpoint's lock, and must not wait.
type owner interface {
	recordSettlement(*settlement)
	addPending(*endpoint, int)             // so many firings were added, or removed if negative
	saveHold(name string, until time.Time) // zero: the hold has ended
	publishCondition(ep *endpoint, now time.Time)
	fail(error)
}

// logAside logs on a goroutine of its own, for callers that must not wait for a
// slow reader of the log.
func (h *host) logAside(log func()) { h.asideLogs.Go(log) }

// signalProgress wakes the goroutine that waits for something to end.
func (h *host) signalProgress() {
	select {
	case h.progress <- struct{}{}:
	default:
	}
}

// New returns an outbox on a store. It begins with Recover, SetActions and
// Start.
func New(op Options) *Outbox {
	o := &Outbox{
		host:  &host{log: op.Logger, bounds: defaultBounds, source: op.Store, progress: make(chan struct{}, 1), watcher: op.Watcher, rewound: op.Rewound, keepDelivered: op.Kept != nil},
		store: op.Store, kept: op.Kept, interval: cmp.Or(op.Interval, time.Second), saving: op.Saving, acked: op.Acked, committed: op.Committed,
		keeperWake: make(chan struct{}, 1), keeperDone: make(chan struct{}), keeperQuit: make(chan struct{}),
		endpoints: map[string]*endpoint{}, paused: map[string]bool{},
	}
	if o.saving == nil {
		o.saving = func(string, string) {}
	}
	if o.acked == nil {
		o.acked = func(string, string) {}
	}
	if o.committed == nil {
		o.committed = func(time.Duration, int) {}
	}
	o.owner = o
	o.bounds.interval = o.interval
	o.in = newIntake(op.MaxPending, op.Patient, &o.bounds)
	o.ledger.holds = map[string]time.Time{}
	o.batch, o.settling = op.Store.NewBatch(), op.Store.NewBatch()
	return o
}

// Recover reads what an earlier process has left in the store.
func (o *Outbox) Recover() error {
	if err := o.buryCancelled(); err != nil {
		return err
	}
	list, err := o.store.Endpoints()
	if err != nil {
		return err
	}
	holds, err := readHolds(o.store)
	if err != nil {
		return err
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.restoredHolds = holds
	for _, ep := range o.endpoints {
		o.restoreHold(ep)
	}
	for _, e := range list {
		ep := o.endpoint(e.Name)
		o.in.addPending(ep.account, e.Pending)
		ep.mu.Lock()
		ep.next, ep.hasUnindexed = e.First, true
		ep.mu.Unlock()
	}
	return nil
}

// Start starts the keeper and the deliveries. Streams may add firings until
// reading is done. Attempts are made until attempts is done. fatal is called if
// the store fails.
func (o *Outbox) Start(reading, attempts context.Context, fatal context.CancelCauseFunc) {
	o.reading, o.attempts, o.fatal = reading, attempts, fatal
	context.AfterFunc(reading, o.in.wakeAll)
	o.started.Store(true)
	go o.runKeeper()
	for _, ep := range o.all() {
		ep.mu.Lock()
		lost := ep.action == nil
		if ep.hasUnindexed { // left by an earlier process
			ep.dispatch()
		}
		ep.mu.Unlock()
		if lost {
			o.warnRemoved(ep)
		}
	}
}

// warnRemoved tells what waits for an endpoint that no rule has any more.
func (o *Outbox) warnRemoved(ep *endpoint) {
	if n := o.in.pendingOf(ep.account); n > 0 {
		o.log.Warn("firings wait for an action that no rule has any more; they are delivered if it comes back", "action", ep.name, "pending", n, "given_up_after", o.removedPolicy().Retry.MaxAge)
	}
}

// wakeAll wakes all streams that wait for room.
func (in *intake) wakeAll() {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.room.Broadcast()
}

func (in *intake) pendingOf(a *account) int {
	in.mu.Lock()
	defer in.mu.Unlock()
	return a.pending
}

// all returns the endpoints, in no order.
func (o *Outbox) all() []*endpoint {
	o.mu.Lock()
	defer o.mu.Unlock()
	list := make([]*endpoint, 0, len(o.endpoints))
	for _, ep := range o.endpoints {
		list = append(list, ep)
	}
	return list
}

// endpoint returns the endpoint of a name, and makes it if there is none. The
// caller holds the outbox's lock.
func (o *Outbox) endpoint(name string) *endpoint {
	ep := o.endpoints[name]
	if ep == nil {
		ep = newEndpoint(o.host, name)
		ep.account = o.in.openAccount(name)
		ep.others = o.all
		ep.paused, ep.stopping = o.paused[name], o.stopping
		o.restoreHold(ep)
		o.publishCondition(ep, time.Now())
		o.endpoints[name] = ep
	}
	return ep
}

// SetActions sets the actions of a new generation of rules, by endpoint, and
// the policies of its rules, and under Removed that for what no rule has any
// more. Firings that wait are delivered with the new action of the same endpoint.
// If there is none they wait on.
func (o *Outbox) SetActions(all map[string]*Action, policies map[PolicyKey]*Policy) {
	o.policies.Store(&policies)
	for _, old := range o.replaceActions(all) {
		closeAction(old)
	}
}

func (o *Outbox) replaceActions(all map[string]*Action) (old []actions.Action) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for name, a := range all {
		failpoint.Here("reloading")
		ep := o.endpoint(name)
		ep.mu.Lock()
		old = append(old, ep.action)
		ep.setAction(a)
		o.publishCondition(ep, time.Now())
		if o.started.Load() {
			ep.dispatch()
		}
		ep.mu.Unlock()
	}
	for name, ep := range o.endpoints {
		if _, stays := all[name]; stays {
			continue
		}
		ep.mu.Lock()
		idle := ep.running == 0
		if a := ep.remove(); a != nil {
			old = append(old, a)
		}
		ep.dispatch() // sees when what waits is too old
		ep.mu.Unlock()
		if idle && o.in.closeAccount(name) {
			delete(o.endpoints, name)
		} else if o.started.Load() {
			o.warnRemoved(ep)
		}
	}
	return old
}

// closeAction frees what a replaced action keeps ready. An attempt in flight is
// not disturbed.
func closeAction(a actions.Action) {
	if c, ok := a.(io.Closer); ok {
		c.Close()
	}
}

// addPending implements owner.
func (o *Outbox) addPending(ep *endpoint, n int) {
	o.in.addPending(ep.account, n)
	o.signalProgress()
}

// saveHold implements owner.
func (o *Outbox) saveHold(name string, until time.Time) {
	o.ledger.mu.Lock()
	defer o.ledger.mu.Unlock()
	o.ledger.holds[name] = until
	o.wakeKeeper()
}

// publishCondition implements owner: it tells the intake, and so the streams,
// whether an endpoint delivers.
func (o *Outbox) publishCondition(ep *endpoint, now time.Time) {
	c := ep.gate.condition(now)
	down, paused := c == down || c == suspect, ep.paused || ep.standby.Load()
	if ep.published.paused == paused && ep.published.down == down && ep.published.held.Equal(ep.gate.holdUntil) {
		return
	}
	ep.published.paused, ep.published.down, ep.published.held = paused, down, ep.gate.holdUntil
	o.in.mu.Lock()
	defer o.in.mu.Unlock()
	a := ep.account
	a.paused, a.down, a.held = paused, down, ep.gate.holdUntil
}

// SetPaused pauses an endpoint, or ends its pause.
func (o *Outbox) SetPaused(name string, paused bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if paused {
		o.paused[name] = true
	} else {
		delete(o.paused, name)
	}
	if ep := o.endpoints[name]; ep != nil {
		ep.setPaused(paused)
	}
}

// Finish waits until nothing is pending, or ctx is done.
func (o *Outbox) Finish(ctx context.Context) {
	o.await(ctx, func() bool { return o.pending() == 0 })
}

func (o *Outbox) pending() int {
	o.in.mu.Lock()
	defer o.in.mu.Unlock()
	return o.in.pending
}

// await waits until done returns true, or ctx is done. One goroutine at a time
// may call it.
func (o *Outbox) await(ctx context.Context, done func() bool) {
	for !done() {
		select {
		case <-o.progress:
		case <-ctx.Done():
			return
		}
	}
}

// Stop begins no more attempts, and waits until those in flight have ended or
// ctx is done. With drain set, what is ready is attempted first. It returns how
// many firings are left.
func (o *Outbox) Stop(ctx context.Context, drain bool) (left int) {
	if !drain {
		o.stopTaking()
	}
	o.await(ctx, func() bool { return o.workers.Load() == 0 && !(drain && o.busy()) })
	o.stopTaking()
	return o.pending()
}

// stopTaking has no more attempts begin.
func (o *Outbox) stopTaking() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.stopping = true
	for _, ep := range o.endpoints {
		ep.mu.Lock()
		ep.stopping = true
		ep.mu.Unlock()
	}
}

// busy reports whether there are firings that will be attempted soon.
func (o *Outbox) busy() bool {
	o.in.mu.Lock()
	weight := o.in.bytes
	o.in.mu.Unlock()
	if weight > 0 {
		return true
	}
	for _, ep := range o.all() {
		if ep.busy() {
			return true
		}
	}
	return false
}

// Close waits for the workers, whose context is done, and for the keeper, which
// writes what is left. An attempt that does not end is abandoned.
func (o *Outbox) Close() {
	o.stopTaking()
	o.in.wakeAll()
	awaitAttempts(&o.wg, o.longestEndGrace(), o.log)
	o.closed.Store(true)
	close(o.keeperQuit)
	<-o.keeperDone
	o.asideLogs.Wait()
}

// longestEndGrace returns how long Close waits for attempts to end.
func (o *Outbox) longestEndGrace() time.Duration {
	longest := abandonAfter
	for _, ep := range o.all() {
		ep.mu.Lock()
		longest = max(longest, endGrace(ep.action))
		ep.mu.Unlock()
	}
	return longest
}

// Stats counts what an outbox has done since it was made.
type Stats struct {
	Firings    int64 // planned
	Delivered  int64
	Failed     int64 // attempts
	GivenUp    int64
	Dropped    int64
	Superseded int64
	Pending    int64 // now
}

// Stats returns the counts so far.
func (o *Outbox) Stats() Stats {
	o.in.mu.Lock()
	s := Stats{Firings: o.in.firings, Dropped: o.in.dropped, Pending: int64(o.in.pending)}
	o.in.mu.Unlock()
	s.Delivered, s.GivenUp, s.Superseded = o.delivered.Load(), o.givenUp.Load(), o.superseded.Load()
	s.Failed = o.retried.Load() + s.GivenUp
	return s
}

// Dropped returns how many firings of each rule were dropped. Rules without any
// are left out.
func (o *Outbox) Dropped() map[string]int64 {
	o.in.mu.Lock()
	defer o.in.mu.Unlock()
	return maps.Clone(o.in.droppedBy)
}
