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
	max      int           // firings that may wait
	interval time.Duration // between checkpoints when nothing fires
	patient  bool          // wait for room however long it takes
	ack      func(source.Position)
	fatal    context.CancelCauseFunc // told of a store that has failed
	attempts context.Context         // of the attempts; set by start

	wake   chan struct{} // capacity 1: the keeper has something to do
	kept   chan struct{} // closed when the keeper has ended
	quit   chan struct{} // closed to end the keeper
	wg     sync.WaitGroup
	events deliveryEvents

	mu        sync.Mutex // guards all that follows, endpoints and lanes
	room      *sync.Cond // pending has become less, or something ended
	intake    []planned
	position  source.Position // behind what is in the intake
	saved     source.Position
	savedAt   time.Time
	settled   []settlement
	endpoints map[string]*endpoint
	specs     map[specKey]*rules.Action
	pending   int // firings in the intake and in the store
	cached    int // jobs whose firing is in memory
	workers   int
	stopping  bool // no lane is taken any more
	draining  bool // stop when nothing is ready
	blocked   bool // the reader has waited for room in vain
	dropped   map[string]*droppings
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
	endpoint string
	job      job
	id       string
	text     string // status, or error
	reason   string
}

type outcome uint8

const (
	delivered outcome = iota
	retried
	givenUp
)

type specKey struct{ rule, action string }

func newOutbox(st *store.Store, cfg *Config) *outbox {
	o := &outbox{
		log: cfg.Logger, store: st, max: cfg.MaxPending, interval: cfg.CheckpointInterval, patient: cfg.Replay, ack: cfg.Source.Ack,
		wake: make(chan struct{}, 1), kept: make(chan struct{}), quit: make(chan struct{}),
		endpoints: map[string]*endpoint{}, dropped: map[string]*droppings{},
	}
	o.room = sync.NewCond(&o.mu)
	return o
}

// recover finds what an earlier process left in the store.
func (o *outbox) recover() error {
	list, err := o.store.Endpoints()
	if err != nil {
		return err
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, e := range list {
		ep := o.endpoint(e.Name)
		ep.pending, ep.next, ep.more = e.Pending, e.First, true
		o.pending += e.Pending
	}
	return nil
}

// start lets the keeper and the workers begin. Attempts are made until ctx is
// done; fatal is told if the store fails.
func (o *outbox) start(ctx context.Context, fatal context.CancelCauseFunc) {
	o.attempts, o.fatal = ctx, fatal
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
		ep = &endpoint{name: name, lanes: map[uint64]*lane{}}
		o.endpoints[name] = ep
	}
	return ep
}

// setGeneration brings in the actions of a new generation. What waits is
// delivered with the new action of the same name, or with the old one where
// there is none.
func (o *outbox) setGeneration(g *generation) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.specs = g.specs
	for name, c := range g.endpoints {
		ep := o.endpoint(name)
		closeAction(ep.action)
		ep.action, ep.spec, ep.concurrency = c.action, c.spec, c.concurrency
		ep.gate.max, ep.gate.per = c.rate.Max, c.rate.Per
		if o.attempts != nil {
			o.dispatch(ep)
		}
	}
	for name, ep := range o.endpoints {
		if _, kept := g.endpoints[name]; !kept && ep.pending == 0 && ep.workers == 0 {
			closeAction(ep.action)
			delete(o.endpoints, name)
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
func (o *outbox) add(endpoint string, spec *rules.Action, overflow string, f *actions.Firing) {
	p := planned{endpoint: endpoint, lane: laneOf(f, spec.Order), firing: f, payload: appendPayload(nil, f), born: time.Now()}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.stats.Firings++
	if !o.hasRoom(overflow) {
		o.drop(f)
		return
	}
	o.pending++
	o.endpoint(endpoint).pending++
	o.intake = append(o.intake, p)
	o.nudge()
}

// maxBlock is how long the reader may stand still for room: a server cuts off
// a replica that has left 64 MB unread for a minute.
const maxBlock = 10 * time.Second

// hasRoom reports whether a firing may be taken in, after waiting for room if
// that is its rule's wish. Once the reader has waited in vain it does not wait
// again before there is room. The caller holds the lock.
func (o *outbox) hasRoom(overflow string) bool {
	if o.pending < o.max {
		o.blocked = false
		return true
	}
	if overflow == "drop_new" || o.blocked && !o.patient {
		return false
	}
	limit := time.AfterFunc(maxBlock, o.room.Broadcast)
	defer limit.Stop()
	began := time.Now()
	for o.pending >= o.max && o.attempts.Err() == nil && (o.patient || time.Since(began) < maxBlock) {
		o.room.Wait()
	}
	o.blocked = o.pending >= o.max
	return !o.blocked
}

// pass tells that reading has passed p; a zero p is no place to resume at. If
// now is set, p is saved at once.
func (o *outbox) pass(p source.Position, now bool) {
	if p.IsZero() {
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
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
		if err := o.write(last); err != nil {
			o.fatal(fmt.Errorf("store: %w", err))
			return
		}
	}
}

// write commits what has settled, and what was taken in. With all set the
// position is saved too, though nothing was taken in.
func (o *outbox) write(all bool) error {
	o.mu.Lock()
	settled, jobs, pos := o.settled, o.intake, o.position
	drops := o.dropped
	o.settled, o.intake, o.dropped = nil, nil, map[string]*droppings{}
	due := len(jobs) > 0 || pos != o.saved && (all || time.Since(o.savedAt) >= o.interval)
	o.mu.Unlock()
	if err := o.writeSettled(settled, drops); err != nil {
		return err
	}
	if !due {
		return nil
	}
	b := o.store.NewBatch()
	for i := range jobs {
		p := &jobs[i]
		b.Enqueue(store.Job{Endpoint: p.endpoint, Lane: p.lane, ID: p.firing.ID, Born: p.born, Payload: p.payload})
	}
	if pos != o.saved {
		b.SetCheckpoint(pos.String())
	}
	first, err := o.commit(b)
	if err != nil {
		return err
	}
	o.admit(jobs, first)
	o.mu.Lock()
	o.saved, o.savedAt = pos, time.Now()
	o.mu.Unlock()
	if !pos.IsZero() {
		o.ack(pos)
	}
	return nil
}

// commit commits a batch, and waits for space where there is none.
func (o *outbox) commit(b *store.Batch) (first uint64, err error) {
	for told := false; ; told = true {
		first, err = b.Commit()
		if !errors.Is(err, store.ErrNoSpace) {
			if told && err == nil {
				o.log.Info("the store has space again")
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
		o.mu.Lock()
		settled := o.settled
		o.settled = nil
		o.mu.Unlock()
		if err := o.writeSettled(settled, nil); err != nil {
			return 0, err
		}
	}
}

// writeSettled commits ends of jobs. The store takes these always, and does
// not wait for the disk: after a crash some are attempted again.
func (o *outbox) writeSettled(list []settlement, drops map[string]*droppings) error {
	if len(list) == 0 && len(drops) == 0 {
		return nil
	}
	b, now := o.store.NewBatch(), time.Now()
	for i := range list {
		s := &list[i]
		j := &s.job
		switch s.what {
		case delivered:
			b.SettleListed(store.Settled{Seq: j.seq, Endpoint: s.endpoint, ID: s.id, Status: s.text, Attempts: j.attempts, Born: j.born, At: now})
		case retried:
			b.Retry(s.endpoint, j.seq, j.attempts, j.due, s.text)
		case givenUp:
			b.Bury(store.DeadLetter{Seq: j.seq, Endpoint: s.endpoint, ID: s.id, Reason: s.reason, Error: s.text, Attempts: j.attempts, Born: j.born, At: now})
		}
	}
	for _, d := range drops {
		b.Bury(d.letter(now))
	}
	_, err := b.Commit()
	return err
}

// admit lets committed jobs be delivered.
func (o *outbox) admit(jobs []planned, first uint64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for i := range jobs {
		p := &jobs[i]
		ep := o.endpoint(p.endpoint)
		seq := first + uint64(i)
		if ep.indexed >= indexWindow && !ep.more {
			ep.more, ep.next = true, seq
		}
		if ep.more || seq < ep.next {
			continue // refill finds it, or has
		}
		ep.next = seq + 1
		j := job{seq: seq, born: p.born}
		if o.cached < cachedJobs {
			o.cached++
			j.firing = p.firing
		}
		if l, ready := ep.put(p.lane, j); ready {
			ep.ready.push(l)
			o.dispatch(ep)
		}
	}
}

// refill indexes more of what waits in the store, if there is room for it. The
// caller holds the lock.
func (o *outbox) refill(ep *endpoint) error {
	if !ep.more || ep.indexed > indexWindow/2 {
		return nil
	}
	n, now := 0, time.Now()
	for p, err := range o.store.Pending(ep.name, ep.next) {
		if err != nil {
			return err
		}
		if n == refillChunk {
			return nil
		}
		n++
		ep.next = p.Seq + 1
		j := job{seq: p.Seq, attempts: p.Attempts, born: p.Born, due: p.Due}
		if l, ready := ep.put(p.Lane, j); ready {
			o.queue(l, now)
		}
	}
	ep.more = false
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
		if l.jobs.len() >= laneWindow {
			l.skipped = p.Seq
			return nil
		}
		l.jobs.push(job{seq: p.Seq, attempts: p.Attempts, born: p.Born, due: p.Due})
		l.ep.indexed++
	}
	return nil
}

// queue makes a lane ready, at once or when its first job is due. The caller
// holds the lock.
func (o *outbox) queue(l *lane, now time.Time) {
	if pause := l.jobs.first().due.Sub(now); pause > 0 {
		time.AfterFunc(pause, func() {
			o.mu.Lock()
			defer o.mu.Unlock()
			l.ep.ready.push(l)
			o.dispatch(l.ep)
		})
		return
	}
	l.ep.ready.push(l)
}

func (o *outbox) addStats(s *Stats) {
	o.mu.Lock()
	defer o.mu.Unlock()
	s.Firings, s.Delivered, s.Failed = o.stats.Firings, o.stats.Delivered, o.stats.Failed
	s.GivenUp, s.Dropped, s.Pending = o.stats.GivenUp, o.stats.Dropped, int64(o.pending)
}

// droppings are firings of one rule that there was no room for.
type droppings struct {
	rule     string
	first    *actions.Firing
	last     int64 // offset
	count    int
	lastSeen time.Time
}

// drop counts a firing that there is no room for. What was dropped is written
// down as a dead letter that stands for all of it since the last one. The
// caller holds the lock.
func (o *outbox) drop(f *actions.Firing) {
	o.stats.Dropped++
	d := o.dropped[f.Rule]
	if d == nil {
		d = &droppings{rule: f.Rule, first: f}
		o.dropped[f.Rule] = d
		if o.stats.Dropped == 1 || !o.events.droppedLately() {
			o.log.Error("too many firings wait, new ones are dropped", "max_pending", o.max, "rule", f.Rule, "dropped", o.stats.Dropped)
		}
	}
	d.count++
	d.last = f.Event.Offset
}

func (d *droppings) letter(now time.Time) store.DeadLetter {
	return store.DeadLetter{
		Endpoint: "rule/" + d.rule, ID: d.first.ID, Reason: "dropped", Born: now, At: now,
		Error: fmt.Sprintf("%d firings of rule %s, offsets %d to %d, were dropped: too many waited", d.count, d.rule, d.first.Event.Offset, d.last),
	}
}
