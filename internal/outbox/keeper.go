package outbox

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"triggerd/actions"
	"triggerd/internal/delivered"
	"triggerd/internal/delivered/form"
	"triggerd/internal/event"
	"triggerd/internal/failpoint"
	"triggerd/internal/firing"
	"triggerd/internal/store"
)

// ledger is what the keeper has to write beside what streams submit. Its lock
// is the last to be taken, like the intake's.
type ledger struct {
	mu        sync.Mutex // guards all that follows
	settled   []settlement
	settledAt time.Time            // when settlements were last written
	holds     map[string]time.Time // until when endpoints are held, if the store does not know it yet; zero: no longer
	orders    []*keeperOrder
}

// settlement is the end of an attempt or of a firing, which is not written yet.
type settlement struct {
	what     Outcome
	evidence evidence
	endpoint string
	job      job
	id       string
	text     string // status, or error
	excerpt  string // of the response
	took     time.Duration
	reason   string

	began     time.Time         // of the attempt; zero: there was none
	code      int               // of the answer
	status    status            // its class
	cancelled bool              // during the attempt, and the store says so
	uncounted bool              // the endpoint was down: it is no attempt of the firing
	record    *delivered.Record // what is kept of a delivery; nil: nothing
}

// wakeKeeper tells the keeper that there is something to write.
func (o *Outbox) wakeKeeper() {
	select {
	case o.keeperWake <- struct{}{}:
	default:
	}
}

// runKeeper is the keeper's goroutine. It ends after keeperQuit is closed, when
// all is written.
func (o *Outbox) runKeeper() {
	defer close(o.keeperDone)
	tick := time.NewTicker(o.interval)
	defer tick.Stop()
	for last := false; !last; {
		sync := false
		select {
		case <-o.keeperWake:
		case <-tick.C:
			sync = !o.unsynced.IsZero() && time.Since(o.unsynced) >= settleSync
			if o.kept != nil {
				o.kept.Sweep()
			}
		case <-o.keeperQuit:
			last = true
		}
		o.turns.Add(1)
		if err := o.write(last); err != nil {
			o.fail(err)
			return
		}
		if sync && !o.unsynced.IsZero() {
			if err := o.syncLedger(); err != nil {
				o.fail(err)
				return
			}
		}
		o.carryOutOrders()
		o.turns.Add(1)
	}
}

// Turns returns a number that grows with each step of the keeper. It is odd
// while the keeper is at work.
func (o *Outbox) Turns() uint64 { return o.turns.Load() }

// commitPart is the part of a stream's queue that is being committed.
type commitPart struct {
	feed     *streamQueue
	jobs     []planned
	weight   int
	changes  Changes
	done     []func()
	position string
	moved    bool // position differs from the one in the store
}

// takeCommitParts takes what is to be committed now. With all set, positions
// are committed too if there are no firings.
func (in *intake) takeCommitParts(all bool) (list []commitPart) {
	in.mu.Lock()
	defer in.mu.Unlock()
	for _, f := range in.queues {
		moved := f.position != f.saved
		due := f.committable > 0 || f.changes.Size() >= in.bounds.changes/4 ||
			(moved || len(f.changes.ops) > 0) && (all || f.now || time.Since(f.savedAt) >= in.bounds.interval)
		if !due {
			continue
		}
		p := commitPart{feed: f, jobs: f.planned[:f.committable:f.committable], changes: f.changes, done: f.done, position: f.position, moved: moved}
		f.planned, f.committable = append([]planned(nil), f.planned[f.committable:]...), 0
		for i := range p.jobs {
			p.weight += p.jobs[i].size()
		}
		f.committing, f.changes, f.done, f.now = p.changes.Size(), Changes{}, nil, false
		list = append(list, p)
	}
	return list
}

// finishCommit marks parts as being on disk.
func (in *intake) finishCommit(list []commitPart) {
	in.mu.Lock()
	defer in.mu.Unlock()
	for i := range list {
		p := &list[i]
		p.feed.saved, p.feed.savedAt, p.feed.committing = p.position, time.Now(), 0
		in.bytes -= p.weight
		in.committableBytes -= p.weight
	}
	in.room.Broadcast()
}

// write commits what has settled, and what streams have submitted. With all
// set, positions are committed too if there are no firings.
func (o *Outbox) write(all bool) error {
	if err := o.writeLedger(); err != nil {
		return err
	}
	list := o.in.takeCommitParts(all)
	if len(list) == 0 {
		return nil
	}
	failpoint.Here("matched")
	for i := range list {
		if p := &list[i]; p.moved {
			o.saving(p.feed.stream, p.position)
		}
	}
	failpoint.Here("saved")
	b := o.batch
	for i := range list {
		list[i].addTo(b)
	}
	first, err := o.commit(b)
	if err != nil {
		return err
	}
	o.unsynced = time.Time{}
	failpoint.Here("committed")
	for i := range list {
		o.admit(list[i].jobs, first)
		first += uint64(len(list[i].jobs))
	}
	o.in.finishCommit(list)
	o.signalProgress()
	for i := range list {
		p := &list[i]
		for _, done := range p.done {
			done()
		}
		if p.position != "" {
			o.acked(p.feed.stream, p.position)
		}
	}
	return nil
}

// addTo adds a portion to a batch.
func (p *commitPart) addTo(b *store.Batch) {
	p.changes.apply(b)
	for i := range p.jobs {
		j := &p.jobs[i]
		b.Enqueue(store.Job{Endpoint: j.endpoint, Lane: j.lane, ID: j.firing.ID.String(), Born: j.born, Payload: j.payload})
	}
	if p.moved {
		b.SetCheckpoint(p.feed.stream, p.position)
	}
}

// commit commits a batch, and waits for space where there is none.
func (o *Outbox) commit(b *store.Batch) (first uint64, err error) {
	for told := false; ; told = true {
		began, jobs := time.Now(), b.Jobs()
		first, err = b.Commit()
		if err == nil {
			o.committed(time.Since(began), jobs)
		}
		if !errors.Is(err, store.ErrNoSpace) {
			if told && err == nil {
				o.logAside(func() { o.log.Info("firings are taken in again") })
			}
			return first, err
		}
		if full := err; !told {
			o.logAside(func() {
				o.log.Error("the store is full: nothing more is taken in until there is space", "err", full)
			})
		}
		select {
		case <-o.keeperQuit:
			return 0, err
		case <-time.After(500 * time.Millisecond):
		}
		o.turns.Add(2) // it waits for space, and is not stuck
		if err := o.writeLedger(); err != nil {
			return 0, err
		}
	}
}

// writeLedger commits ends of jobs, what was dropped, and holds. The store takes
// these always, and does not wait for the disk: after a crash those of the last
// second or so are attempted again.
func (o *Outbox) writeLedger() error {
	g := &o.ledger
	g.mu.Lock()
	settled, holds := g.settled, g.holds
	g.settled, g.holds = nil, map[string]time.Time{}
	if len(settled) > 0 {
		g.settledAt = time.Now()
	}
	g.mu.Unlock()
	o.dropExpelled(settled)
	o.in.mu.Lock()
	drops, dropped := o.in.dropSummaries, o.in.dropped
	o.in.dropSummaries = nil
	o.in.mu.Unlock()
	if len(settled) == 0 && len(drops) == 0 && len(holds) == 0 {
		return nil
	}
	b, now := o.settling, time.Now()
	for i := range settled {
		o.addSettlement(b, &settled[i], now)
	}
	if o.kept != nil {
		o.kept.Flush()
	}
	for _, d := range drops {
		b.Bury(d.letter(now))
	}
	writeHolds(b, holds)
	_, err := b.Commit()
	if o.unsynced.IsZero() {
		o.unsynced = time.Now()
	}
	o.logDropped(drops, dropped)
	return err
}

// addSettlement adds a settlement to a batch.
func (o *Outbox) addSettlement(b *store.Batch, s *settlement, now time.Time) {
	j := &s.job
	if s.cancelled {
		b.Delete(store.Cancels, cancelKey(j.seq))
	}
	if (s.what == Retried || s.what == GivenUp) && !s.began.IsZero() {
		a := s.attempt()
		b.Attempt(j.seq, a.Number, form.AppendAttempt(nil, &a))
	}
	switch s.what {
	case Delivered:
		o.addDelivered(b, s, now)
	case Retried:
		b.Retry(s.endpoint, j.seq, int(j.attempts), j.due.time(), s.text, s.excerpt)
	case expelled, superseded:
		b.Settle(s.endpoint, j.seq, max(int(j.attempts)+1, j.marks())) // one attempt that failed has left its mark, too
	case GivenUp:
		failpoint.Here("burying")
		b.Bury(store.DeadLetter{Seq: j.seq, Endpoint: s.endpoint, ID: s.id, Reason: s.reason, Error: s.text, Excerpt: s.excerpt, Attempts: int(j.attempts), Born: j.born.time(), At: now})
	}
}

// Nobody waits for a settlement, so those of a short time are written together.
// Where no firing is committed after them, the disk gets them at the first tick
// after settleSync: till then the process has their last 32 KiB to itself, and
// kill -9 has them delivered again.
const (
	settleDelay  = 2 * time.Millisecond
	settleAtMost = 256
	settleSync   = 500 * time.Millisecond
)

// recordSettlement has the keeper write a settlement: at once if it has written
// none for a while.
func (o *Outbox) recordSettlement(s *settlement) {
	g := &o.ledger
	g.mu.Lock()
	defer g.mu.Unlock()
	g.settled = append(g.settled, *s)
	switch n := len(g.settled); {
	case n >= settleAtMost, time.Since(g.settledAt) >= settleDelay:
		o.wakeKeeper()
	case n == 1:
		time.AfterFunc(settleDelay, o.wakeKeeper)
	}
}

// dropExpelled counts jobs as dropped that gave way to newer ones. It reads
// those that are not in memory before they are deleted, to tell which firings
// they were.
func (o *Outbox) dropExpelled(settled []settlement) {
	for i := range settled {
		s := &settled[i]
		if s.what != expelled {
			continue
		}
		f := s.job.firing
		if f == nil {
			f = o.readExpelled(s)
		}
		o.in.mu.Lock()
		o.drop(f, wasOldest)
		o.in.mu.Unlock()
	}
}

// readExpelled reads the firing of a job that gave way. If it cannot be read,
// it returns one that has the rule of the newer firing.
func (o *Outbox) readExpelled(s *settlement) *actions.Firing {
	if j, err := o.store.Load(s.job.seq); err == nil {
		if f, err := firing.ParseBinary(firing.ID(j.ID), j.Payload); err == nil {
			return f
		}
	}
	return &actions.Firing{ID: firing.ID(s.id), Rule: s.text, Event: &event.Event{}}
}

// logDropped logs what was dropped, at most once in ten seconds.
func (o *Outbox) logDropped(drops map[string]*dropSummary, dropped int64) {
	for _, d := range drops {
		if time.Since(o.lastDropLog) < 10*time.Second {
			return
		}
		o.lastDropLog = time.Now()
		o.logAside(func() {
			o.log.Error("firings are dropped", "why", string(d.why), "max_pending", o.in.shares.max, "rule", d.rule, "firing", d.firing, "dropped", dropped)
		})
	}
}

// admit hands committed jobs to their endpoints.
func (o *Outbox) admit(jobs []planned, first uint64) {
	for len(jobs) > 0 {
		n := 1
		for n < len(jobs) && jobs[n].endpoint == jobs[0].endpoint {
			n++
		}
		ep := o.endpointFor(&jobs[0])
		ep.admit(jobs[:n], first)
		jobs, first = jobs[n:], first+uint64(n)
	}
}

// endpointFor returns the endpoint of a firing. It makes it again if a reload
// has removed it.
func (o *Outbox) endpointFor(p *planned) *endpoint {
	o.mu.Lock()
	defer o.mu.Unlock()
	ep := o.endpoint(p.endpoint)
	ep.mu.Lock()
	defer ep.mu.Unlock()
	if ep.action == nil && p.action != nil && p.action.Action != nil {
		ep.setAction(p.action)
	}
	return ep
}

// fail ends the process because the store has failed.
func (o *Outbox) fail(err error) { o.fatal(fmt.Errorf("store: %w", err)) }
