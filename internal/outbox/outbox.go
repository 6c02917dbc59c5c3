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
	"triggerd/internal/store"
)

// Options configure an Outbox. Store and Logger have to be set.
type Options struct {
	Store      *store.Store
	Logger     *slog.Logger
	MaxPending int           // firings that may wait
	Interval   time.Duration // between checkpoints when nothing fires; default 1 s
	Patient    bool          // a stream waits for room however long it takes

	// Acked is told of each stream's position that is on disk, by one goroutine;
	// Committed how long a commit took, and of how many firings. nil: nobody.
	Acked     func(stream, position string)
	Committed func(took time.Duration, firings int)
}

// Outbox takes firings in, keeps them in a store together with the positions
// behind them, and delivers them. Its methods may be called from any goroutine,
// but those of one stream, Add and Pass, from one at a time.
type Outbox struct {
	*host
	in        *intake
	ledger    ledger
	store     *store.Store
	interval  time.Duration
	acked     func(stream, position string)
	committed func(took time.Duration, firings int)
	fatal     context.CancelCauseFunc // told of a store that has failed
	reading   context.Context         // of the streams; set by Start

	batch       *store.Batch // what was taken in; the keeper's
	settling    *store.Batch // what has settled; the keeper's
	lastDropLog time.Time    // the keeper's

	keeperWake chan struct{} // capacity 1: the keeper has something to do
	keeperDone chan struct{} // closed when the keeper has ended
	keeperQuit chan struct{} // closed to end the keeper

	turns atomic.Uint64 // see Turns

	mu            sync.Mutex // guards what follows; taken before an endpoint's, and never by a stream
	endpoints     map[string]*endpoint
	paused        map[string]bool      // endpoints, also those that are not there
	restoredHolds map[string]time.Time // holds of an earlier process, of endpoints that are not there yet
	stopping      bool                 // no lane is taken any more
}

// host is what endpoints share, and whom they tell.
type host struct {
	log      *slog.Logger
	bounds   bounds
	source   jobSource
	owner    owner
	attempts context.Context // of the attempts; set before started is
	started  atomic.Bool
	closed   atomic.Bool // what still happens is not noted any more
	standby  atomic.Bool // firings are taken in and committed, and none is attempted
	policies atomic.Pointer[map[PolicyKey]*Policy]

	delivered, retried, givenUp, superseded atomic.Int64 // counts

	cached    atomic.Int64 // bytes of firings of jobs that are in memory
	workers   atomic.Int64
	wg        sync.WaitGroup // of workers and readers
	asideLogs sync.WaitGroup
	progress  chan struct{} // capacity 1: there may be less to wait for
}

// owner is told what endpoints come to. It is called under an endpoint's lock,
// and does not wait.
type owner interface {
	recordSettlement(*settlement)
	addPending(*endpoint, int)             // so many firings came, or went
	saveHold(name string, until time.Time) // zero: ended
	publishCondition(ep *endpoint, now time.Time)
	fail(error)
}

// logAside logs, by a goroutine of its own, for those who cannot wait for whoever
// reads the log.
func (h *host) logAside(log func()) { h.asideLogs.Go(log) }

// signalProgress has those looked again who wait for an end.
func (h *host) signalProgress() {
	select {
	case h.progress <- struct{}{}:
	default:
	}
}

// New returns an outbox on a store. Recover, SetActions and Start have it begin.
func New(op Options) *Outbox {
	o := &Outbox{
		host:  &host{log: op.Logger, bounds: defaultBounds, source: op.Store, progress: make(chan struct{}, 1)},
		store: op.Store, interval: cmp.Or(op.Interval, time.Second), acked: op.Acked, committed: op.Committed,
		keeperWake: make(chan struct{}, 1), keeperDone: make(chan struct{}), keeperQuit: make(chan struct{}),
		endpoints: map[string]*endpoint{}, paused: map[string]bool{},
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

// Recover finds what an earlier process left in the store.
func (o *Outbox) Recover() error {
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

// Start lets the keeper and the workers begin. Streams add until reading is
// done, attempts are made until the context of that name is; fatal is told if
// the store fails.
func (o *Outbox) Start(reading, attempts context.Context, fatal context.CancelCauseFunc) {
	o.reading, o.attempts, o.fatal = reading, attempts, fatal
	context.AfterFunc(reading, o.in.wakeAll)
	o.started.Store(true)
	go o.runKeeper()
	for _, ep := range o.all() {
		ep.mu.Lock()
		lost := ep.action == nil
		if ep.hasUnindexed { // what an earlier process left: nothing else is there yet
			ep.dispatch()
		}
		ep.mu.Unlock()
		if n := o.in.pendingOf(ep.account); lost && n > 0 {
			o.log.Warn("firings wait for an action that no rule has any more; they are delivered if it comes back", "action", ep.name, "pending", n)
		}
	}
}

// wakeAll has all look again who wait for room.
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

// endpoint returns the endpoint of a name, which is made if it is not there.
// The caller holds the outbox's lock.
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

// SetActions brings in the actions of a new generation, by endpoint, and what
// their rules say. What waits is delivered with the new action of the same
// name, or with the old one where there is none.
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
		failpoint("reloading")
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
		if _, stays := all[name]; !stays && ep.idle() && o.in.closeAccount(name) {
			old = append(old, ep.action)
			delete(o.endpoints, name)
		}
	}
	return old
}

// closeAction lets an action that was replaced give up what it keeps ready; an
// attempt that is under way is not disturbed.
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

// publishCondition implements owner: streams know how an endpoint is.
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

// SetPaused holds an endpoint, or lets it go on.
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

// await waits until done is, or ctx. One goroutine at a time may.
func (o *Outbox) await(ctx context.Context, done func() bool) {
	for !done() {
		select {
		case <-o.progress:
		case <-ctx.Done():
			return
		}
	}
}

// Stop ends attempts: what is under way gets until ctx is done to settle. With
// drain set, what is ready is attempted first. It returns how many firings are
// left.
func (o *Outbox) Stop(ctx context.Context, drain bool) (left int) {
	if !drain {
		o.stopTaking()
	}
	o.await(ctx, func() bool { return o.workers.Load() == 0 && !(drain && o.busy()) })
	o.stopTaking()
	return o.pending()
}

// stopTaking has no lane taken any more.
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

// busy reports whether something is on its way to an attempt.
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
// writes what is left. It does not wait for ever for an attempt that does not
// end.
func (o *Outbox) Close() {
	o.stopTaking()
	o.in.wakeAll()
	ended := make(chan struct{})
	go func() {
		o.wg.Wait()
		close(ended)
	}()
	limit := time.NewTimer(o.longestEndGrace())
	defer limit.Stop()
	select {
	case <-ended:
	case <-limit.C:
		o.log.Error("attempts abandoned at the end: they do not end")
	}
	o.closed.Store(true)
	close(o.keeperQuit)
	<-o.keeperDone
	o.asideLogs.Wait()
}

// longestEndGrace is how long the end is waited for.
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
	Firings    int64 // that were planned
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

// Dropped returns how many firings of each rule were dropped, of those of which
// any was.
func (o *Outbox) Dropped() map[string]int64 {
	o.in.mu.Lock()
	defer o.in.mu.Unlock()
	return maps.Clone(o.in.droppedBy)
}
