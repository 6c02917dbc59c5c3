package engine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"time"

	"triggerd/actions"
	"triggerd/internal/firing"
	"triggerd/internal/store"
	"triggerd/rules"
	"triggerd/source"
)

// outbox takes firings in, keeps them in the store together with the position
// behind them, and delivers them.
//
// The reader only adds to the intake. One goroutine, the keeper, does all that
// writes: it commits whatever has gathered while the commit before was on its
// way to the disk, and what has settled meanwhile. Workers, goroutines that an
// endpoint has as many of as it may and needs, attempt what is committed.
type outbox struct {
	log      *slog.Logger
	store    *store.Store
	interval time.Duration // between checkpoints when nothing fires
	patient  bool          // wait for room however long it takes
	ack      func(source.Position)
	fatal    context.CancelCauseFunc // told of a store that has failed
	reading  context.Context         // of the reader; set by start
	attempts context.Context         // of the attempts; set by start

	batch    *store.Batch // what was taken in; the keeper's
	settling *store.Batch // what has settled; the keeper's

	wake   chan struct{} // capacity 1: the keeper has something to do
	kept   chan struct{} // closed when the keeper has ended
	quit   chan struct{} // closed to end the keeper
	loop   loop          // the keeper's
	wg     sync.WaitGroup
	events deliveryEvents

	instruments *instruments

	bounds bounds

	mu        sync.Mutex // guards all that follows, endpoints and lanes
	shares    shares
	uneven    bool       // shares have to be divided anew: endpoints have come or gone
	room      *sync.Cond // there is less in the intake or pending, or something ended
	intake    []planned
	whole     int             // of the intake, what may be committed: the position is behind it
	weight    int             // bytes of the intake, and of what is being committed
	changes   changes         // of the reader's state, up to the position
	writing   int             // bytes of changes that are being committed
	position  source.Position // behind the whole part of the intake
	saved     source.Position
	savedAt   time.Time
	settled   []settlement
	settledAt time.Time // when some were written last
	endpoints map[string]*endpoint
	specs     map[specKey]*rules.Action
	pending   int // firings in the intake and in the store
	cached    int // bytes of firings of jobs that are in memory
	workers   int
	stopping  bool          // no lane is taken any more
	closed    bool          // what still happens is not noted any more
	blocked   time.Duration // how long the reader has waited for room since there was plenty
	dropped   map[string]*droppings
	droppedBy map[string]int64     // since the start, by rule
	paused    map[string]bool      // endpoints, also those that are not there
	holds     map[string]time.Time // of endpoints, that the store does not know of yet; zero: ended
	heldFound map[string]time.Time // those of an earlier process, of endpoints that are not there yet
	orders    []*order             // for the keeper
	stats     Stats
}

// planned is a firing that is not on disk yet.
type planned struct {
	endpoint string
	lane     uint64
	firing   *actions.Firing
	payload  []byte
	born     time.Time
}

// settlement is the end of a job, or of an attempt, that the store does not
// know of yet.
type settlement struct {
	what     outcome
	evidence evidence
	endpoint string
	job      job
	id       string
	text     string // status, or error
	excerpt  string // of the response
	took     time.Duration
	reason   string
}

type outcome uint8

const (
	delivered outcome = iota
	retried
	givenUp
	expelled   // dropped for a newer one
	superseded // a newer one is attempted in its place
)

type specKey struct{ rule, action string }

func newOutbox(st *store.Store, cfg *Config) *outbox {
	o := &outbox{
		log: cfg.Logger, store: st, interval: cfg.CheckpointInterval, patient: cfg.Replay, ack: cfg.Source.Ack,
		wake: make(chan struct{}, 1), kept: make(chan struct{}), quit: make(chan struct{}),
		bounds:    defaultBounds,
		shares:    shares{max: cfg.MaxPending},
		holds:     map[string]time.Time{},
		endpoints: map[string]*endpoint{}, dropped: map[string]*droppings{},
		instruments: newInstruments(), droppedBy: map[string]int64{}, paused: map[string]bool{},
	}
	o.batch, o.settling = st.NewBatch(), st.NewBatch()
	o.room = sync.NewCond(&o.mu)
	return o
}

// recover finds what an earlier process left in the store.
func (o *outbox) recover() error {
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
	o.heldFound = holds
	for _, ep := range o.endpoints {
		o.restoreHold(ep)
	}
	for _, e := range list {
		ep := o.endpoint(e.Name)
		o.count(ep, e.Pending)
		ep.next, ep.more = e.First, true
	}
	return nil
}

// start lets the keeper and the workers begin. The reader reads until reading
// is done, attempts are made until the context of that name is; fatal is told
// if the store fails.
func (o *outbox) start(reading, attempts context.Context, fatal context.CancelCauseFunc) {
	o.reading, o.attempts, o.fatal = reading, attempts, fatal
	context.AfterFunc(reading, o.room.Broadcast)
	go o.keep()
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, ep := range o.endpoints {
		if ep.action == nil && ep.pending > 0 {
			o.log.Warn("firings wait for an action that no rule has any more; they are delivered if it comes back", "action", ep.name, "pending", ep.pending)
		}
		o.dispatch(ep)
	}
}

// endpoint returns the endpoint of a name, which is made if it is not there.
// The caller holds the lock.
func (o *outbox) endpoint(name string) *endpoint {
	ep := o.endpoints[name]
	if ep == nil {
		ep = newEndpoint(name)
		ep.paused = o.paused[name]
		o.restoreHold(ep)
		o.endpoints[name] = ep
		o.uneven = true
	}
	return ep
}

// divide divides the room among the endpoints that are there. The caller holds
// the lock.
func (o *outbox) divide() {
	o.uneven = false
	o.shares.divide(len(o.endpoints))
	for _, ep := range o.endpoints {
		o.shares.count(0, ep.pending)
	}
}

// count counts firings of an endpoint that came, or went. The caller holds the
// lock.
func (o *outbox) count(ep *endpoint, n int) {
	o.shares.count(ep.pending, n)
	ep.pending += n
	o.pending += n
}

// setGeneration brings in the actions of a new generation. What waits is
// delivered with the new action of the same name, or with the old one where
// there is none.
func (o *outbox) setGeneration(g *generation) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.specs = g.specs
	for name, c := range g.endpoints {
		failpoint("reloading")
		ep := o.endpoint(name)
		closeAction(ep.action)
		ep.use(c)
		if o.attempts != nil {
			o.dispatch(ep)
		}
	}
	for name, ep := range o.endpoints {
		if _, kept := g.endpoints[name]; !kept && ep.pending == 0 && ep.workers == 0 {
			closeAction(ep.action)
			delete(o.endpoints, name)
			o.uneven = true
		}
	}
}

// closeAction lets an action that was replaced give up what it keeps ready; an
// attempt that is under way is not disturbed.
func closeAction(a actions.Action) {
	if c, ok := a.(io.Closer); ok {
		c.Close()
	}
}

// add takes a firing in. The reader calls it.
//
// A firing is not committed before pass has told that the reader
// is through with what made it: committed together with the position behind it,
// it is enqueued once, whenever the process dies.
func (o *outbox) add(name string, c endpointConfig, spec *rules.Action, overflow string, f *actions.Firing) {
	p := planned{endpoint: name, lane: laneOf(f, spec.Order), firing: f, payload: firing.AppendBinary(nil, f), born: time.Now()}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.stats.Firings++
	if len(p.payload) > store.MaxPayload || len(f.ID) > store.MaxName {
		o.drop(f, tooLarge)
		return
	}
	ep := o.endpoint(name)
	if ep.action == nil { // forgotten by a reload after this firing was matched
		ep.use(c)
	}
	if o.lacksRoom(ep, overflow) && !o.makeRoom(ep, overflow, f) {
		o.drop(f, noRoom)
		return
	}
	ep = o.endpoint(name) // a reload may have come while there was none
	o.count(ep, 1)
	o.weight += p.size()
	o.intake = append(o.intake, p)
	if len(o.intake)-o.whole >= o.bounds.unpassed {
		o.release()
	}
}

// size is about what a firing takes in the intake: itself, and its payload.
func (p *planned) size() int { return 2*len(p.payload) + 512 }

// release lets all of the intake be committed. The caller holds the lock.
func (o *outbox) release() {
	if o.whole < len(o.intake) {
		o.whole = len(o.intake)
		o.nudge()
	}
}

// maxBlock is how long the reader may stand still for room, and for how long an
// endpoint may exceed its own: a server cuts off a replica that has left 64 MB
// unread for a minute.
const maxBlock = 10 * time.Second

// lacksRoom reports whether a firing may not be taken in. The caller holds the
// lock.
func (o *outbox) lacksRoom(ep *endpoint, overflow string) bool {
	if o.pending <= o.shares.max/2 && o.weight <= o.bounds.intake/2 {
		o.blocked = 0
	}
	return o.weight >= o.bounds.intake || o.isFull(ep, overflow)
}

// maxOver is by how many firings an endpoint may exceed its room.
const maxOver = 10_000

// isFull reports whether an endpoint has as many firings as it may. Those that
// are to wait for room, by their rule, wait in the store, beyond the limit, as
// long as their endpoint delivers and not for longer than maxBlock: the reader,
// which is that of all endpoints, cannot wait for one of them. The caller holds
// the lock.
func (o *outbox) isFull(ep *endpoint, overflow string) bool {
	if o.uneven {
		o.divide()
	}
	limit := o.shares.limit(ep.pending)
	if ep.pending < limit {
		if ep.pending <= limit/2 {
			ep.full = time.Time{}
		}
		return false
	}
	if overflow != "block" || o.alone() {
		return true
	}
	now := time.Now()
	if ep.full.IsZero() {
		ep.full = now
	}
	return ep.paused || ep.gate.closed(now) || now.Sub(ep.full) >= maxBlock || ep.pending >= limit+maxOver
}

// alone reports whether the reader reads for one endpoint, and nobody else
// would wait with it. The caller holds the lock.
func (o *outbox) alone() bool { return o.shares.among <= 1 || o.patient }

// makeRoom finds room for a firing as its rule wishes, and reports whether
// there is some. The reader waits no longer than maxBlock in all before there
// is plenty of room again: many short pauses would hold it up as one long one
// does. It waits for the disk, and for an endpoint only if that is the only one.
// The caller holds the lock.
func (o *outbox) makeRoom(ep *endpoint, overflow string, f *actions.Firing) bool {
	limit := time.AfterFunc(maxBlock, o.room.Broadcast)
	defer limit.Stop()
	for o.lacksRoom(ep, overflow) {
		heavy := o.weight >= o.bounds.intake
		switch {
		case overflow == "drop_old" && !heavy && o.dropOldest(ep, f):
			continue
		case overflow == "drop_new", o.attempts.Err() != nil, !heavy && !o.alone(), o.blocked >= maxBlock && !o.patient:
			return false
		}
		o.release() // what waits for its position may be all there is
		began := time.Now()
		o.room.Wait()
		o.blocked += time.Since(began)
	}
	return true
}

// pass tells that reading has passed p; a zero p is no place to resume at. With
// end set, what was taken in before is complete and may be committed. If now is
// set, p is saved at once. ch is what the reader's state has changed since the
// pass before, nil for nothing: it is committed together with p, and taken.
func (o *outbox) pass(p source.Position, end, now bool, ch *changes) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if ch != nil {
		o.changes.take(ch)
		if o.changes.size() >= o.bounds.changes/4 {
			o.nudge()
		}
		for o.changes.size()+o.writing >= o.bounds.changes && o.reading.Err() == nil {
			o.room.Wait() // there is no dropping state: the disk sets the pace
		}
	}
	if end {
		o.release()
	}
	if p.IsZero() {
		return
	}
	if p.ReplID != o.position.ReplID {
		now = true // after a failover: a server knows the history before its own, and none before that
	}
	o.position = p
	if now {
		o.savedAt = time.Time{}
		o.nudge()
	}
}

// resume says what the store has for a position.
func (o *outbox) resume(p source.Position) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.position, o.saved = p, p
}

// nudge tells the keeper that there is something to do.
func (o *outbox) nudge() {
	select {
	case o.wake <- struct{}{}:
	default:
	}
}

// keep is the keeper. It ends after quit, when all is written.
func (o *outbox) keep() {
	defer close(o.kept)
	tick := time.NewTicker(o.interval)
	defer tick.Stop()
	for last := false; !last; {
		select {
		case <-o.wake:
		case <-tick.C:
		case <-o.quit:
			last = true
		}
		o.loop.begin()
		if err := o.write(last); err != nil {
			o.fatal(fmt.Errorf("store: %w", err))
			return
		}
		o.obey()
		o.loop.end()
	}
}

// write commits what has settled, and what was taken in. With all set the
// position is saved too, though nothing was taken in.
func (o *outbox) write(all bool) error {
	o.mu.Lock()
	settled, drops, holds, pos := o.settled, o.dropped, o.holds, o.position
	jobs := o.intake[:o.whole:o.whole]
	o.intake, o.whole = append([]planned(nil), o.intake[o.whole:]...), 0
	o.settled, o.dropped, o.holds = nil, map[string]*droppings{}, map[string]time.Time{}
	if len(settled) > 0 {
		o.settledAt = time.Now()
	}
	due := len(jobs) > 0 || o.changes.size() >= o.bounds.changes/4 ||
		(pos != o.saved || len(o.changes.ops) > 0) && (all || time.Since(o.savedAt) >= o.interval)
	var ch changes
	if due {
		ch, o.changes = o.changes, changes{}
		o.writing = ch.size()
	}
	o.mu.Unlock()
	if err := o.writeSettled(settled, drops, holds); err != nil {
		return err
	}
	if !due {
		return nil
	}
	failpoint("matched")
	b := o.batch
	ch.apply(b)
	for i := range jobs {
		p := &jobs[i]
		b.Enqueue(store.Job{Endpoint: p.endpoint, Lane: p.lane, ID: p.firing.ID.String(), Born: p.born, Payload: p.payload})
	}
	if pos != o.saved {
		b.SetCheckpoint(Standalone, pos.String())
	}
	first, err := o.commit(b)
	if err != nil {
		return err
	}
	failpoint("committed")
	o.admit(jobs, first)
	o.mu.Lock()
	o.saved, o.savedAt, o.writing = pos, time.Now(), 0
	o.room.Broadcast()
	o.mu.Unlock()
	if !pos.IsZero() {
		o.ack(pos)
	}
	return nil
}

// commit commits a batch, and waits for space where there is none.
func (o *outbox) commit(b *store.Batch) (first uint64, err error) {
	for told := false; ; told = true {
		began, jobs := time.Now(), b.Jobs()
		first, err = b.Commit()
		if err == nil {
			o.instruments.committed(began, jobs)
		}
		if !errors.Is(err, store.ErrNoSpace) {
			if told && err == nil {
				o.log.Info("firings are taken in again")
			}
			return first, err
		}
		if !told {
			o.log.Error("the store is full: nothing more is taken in until there is space", "err", err)
		}
		select {
		case <-o.quit:
			return 0, err
		case <-time.After(500 * time.Millisecond):
		}
		o.loop.step() // it waits for space, and is not stuck
		o.mu.Lock()
		settled := o.settled
		o.settled = nil
		o.mu.Unlock()
		if err := o.writeSettled(settled, nil, nil); err != nil {
			return 0, err
		}
	}
}

// writeSettled commits ends of jobs. The store takes these always, and does
// not wait for the disk: after a crash some are attempted again.
func (o *outbox) writeSettled(list []settlement, drops map[string]*droppings, holds map[string]time.Time) error {
	if len(list) == 0 && len(drops) == 0 && len(holds) == 0 {
		return nil
	}
	b, now := o.settling, time.Now()
	for i := range list {
		s := &list[i]
		j := &s.job
		switch s.what {
		case delivered:
			b.SettleListed(store.Settled{Seq: j.seq, Endpoint: s.endpoint, ID: s.id, Status: s.text, Excerpt: s.excerpt, Attempts: int(j.attempts), Born: j.born.time(), At: now})
		case retried:
			b.Retry(s.endpoint, j.seq, int(j.attempts), j.due.time(), s.text, s.excerpt)
		case expelled, superseded:
			b.Settle(s.endpoint, j.seq, int(j.attempts)+1) // one attempt that failed has left its mark, too
		case givenUp:
			failpoint("burying")
			b.Bury(store.DeadLetter{Seq: j.seq, Endpoint: s.endpoint, ID: s.id, Reason: s.reason, Error: s.text, Excerpt: s.excerpt, Attempts: int(j.attempts), Born: j.born.time(), At: now})
		}
	}
	for _, d := range drops {
		b.Bury(d.letter(now))
	}
	writeHolds(b, holds)
	_, err := b.Commit()
	return err
}

// admit lets committed jobs be delivered.
func (o *outbox) admit(jobs []planned, first uint64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.room.Broadcast()
	for i := range jobs {
		p := &jobs[i]
		o.weight -= p.size()
		ep := o.endpoint(p.endpoint)
		seq := first + uint64(i)
		if ep.indexed >= o.bounds.window && !ep.more {
			ep.more, ep.next = true, seq
		}
		if ep.more || seq < ep.next {
			continue // refill finds it, or has
		}
		ep.next = seq + 1
		j := newJob(seq, p)
		if ep.indexed < o.bounds.fresh && o.cached+j.cost() <= o.bounds.cached/2 { // the other half is for reading ahead
			j.firing = p.firing
		}
		if o.put(ep, p.lane, j, time.Now()) {
			o.dispatch(ep)
		}
	}
}

// refill indexes more of what waits in the store, if there is room for it. The
// caller holds the lock.
func (o *outbox) refill(ep *endpoint) error {
	if !ep.more || ep.indexed > o.bounds.window/2 {
		return nil
	}
	n, now := 0, time.Now()
	for p, err := range o.store.Pending(ep.name, ep.next) {
		if err != nil {
			return err
		}
		if n >= o.bounds.chunk && (!ep.latestOnly || ep.indexed >= o.bounds.window) { // what is latest is known at the end
			if ep.inLine() == 0 { // all of full lanes: what comes behind them must not wait for these
				o.wakeAt(ep, now)
			}
			return nil
		}
		n++
		ep.next = p.Seq + 1
		j := storedJob(&p)
		if ep.undue {
			j.due = 0
		}
		o.put(ep, p.Lane, j, now)
	}
	ep.more, ep.undue = false, false
	return nil
}

// rescan indexes what was left out of a lane that was full. The caller holds
// the lock.
func (o *outbox) rescan(l *lane) error {
	from := l.skipped
	l.skipped = 0
	for p, err := range o.store.Pending(l.ep.name, from) {
		if err != nil {
			return err
		}
		if p.Seq >= l.ep.next {
			return nil
		}
		if p.Lane != l.id {
			continue
		}
		if l.jobs.len() >= o.bounds.lane {
			l.skipped = p.Seq
			return nil
		}
		o.index(l, storedJob(&p))
	}
	return nil
}

func (o *outbox) addStats(s *Stats) {
	o.mu.Lock()
	defer o.mu.Unlock()
	s.Firings, s.Delivered, s.Failed = o.stats.Firings, o.stats.Delivered, o.stats.Failed
	s.GivenUp, s.Dropped, s.Superseded, s.Pending = o.stats.GivenUp, o.stats.Dropped, o.stats.Superseded, int64(o.pending)
}

// dropping is why firings are dropped.
type dropping string

const (
	noRoom    dropping = "too many waited"
	wasOldest dropping = "they were the oldest where too many waited"
	tooLarge  dropping = "they were too large"
)

// droppings are firings of one rule that were dropped for one reason.
type droppings struct {
	why         dropping
	rule        string
	firing      string // ID of the first
	first, last int64  // offsets
	count       int
}

// drop counts a firing that is not delivered. What was dropped is written down
// as a dead letter that stands for all of it since the last one. The caller
// holds the lock.
func (o *outbox) drop(f *actions.Firing, why dropping) {
	o.stats.Dropped++
	o.droppedBy[f.Rule]++
	d := o.dropped[string(why)+f.Rule]
	if d == nil {
		d = &droppings{why: why, rule: f.Rule, firing: f.ID.String()[:min(len(f.ID), store.MaxName)], first: f.Event.Offset}
		o.dropped[string(why)+f.Rule] = d
		o.nudge()
		if !o.events.droppedLately() {
			o.log.Error("firings are dropped", "why", string(why), "max_pending", o.shares.max, "rule", f.Rule, "firing", d.firing, "dropped", o.stats.Dropped)
		}
	}
	d.count++
	d.last = f.Event.Offset
}

func (d *droppings) letter(now time.Time) store.DeadLetter {
	return store.DeadLetter{
		Endpoint: "rule/" + d.rule, ID: d.firing, Reason: "dropped", Born: now, At: now,
		Error: fmt.Sprintf("%d firings of rule %s, offsets %d to %d, were dropped: %s", d.count, d.rule, d.first, d.last, d.why),
	}
}

// dropOldest drops the oldest job of an endpoint of which no attempt is under
// way, for the newer firing f, and reports whether there was one. The caller
// holds the lock.
func (o *outbox) dropOldest(ep *endpoint, f *actions.Firing) bool {
	l, gone := o.unindexOldest(ep)
	if l == nil {
		return false
	}
	o.count(ep, -1)
	o.settled = append(o.settled, settlement{what: expelled, endpoint: ep.name, job: gone})
	o.drop(o.expelled(gone, f), wasOldest)
	if l.jobs.len() == 0 && l.skipped > 0 { // the lane stays where it is: in line, or asleep
		if err := o.rescan(l); err != nil {
			o.fatal(fmt.Errorf("store: %w", err))
		}
	}
	if l.jobs.len() == 0 {
		ep.forget(l)
	}
	return true
}

// expelled returns the firing of a job that gave way to f.
func (o *outbox) expelled(gone job, f *actions.Firing) *actions.Firing {
	if gone.firing != nil {
		return gone.firing
	}
	stored, err := o.store.Load(gone.seq)
	if err != nil {
		return f // it cannot be told which one it was
	}
	if old, err := firing.ParseBinary(firing.ID(stored.ID), stored.Payload); err == nil {
		return old
	}
	return f
}
