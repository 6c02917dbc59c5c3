package outbox

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"triggerd/actions"
	"triggerd/internal/event"
	"triggerd/internal/firing"
	"triggerd/internal/store"
)

// ledger is what the keeper has to write down beside what comes from streams.
// Its lock is the last that is taken, as the intake's.
type ledger struct {
	mu        sync.Mutex // guards all that follows
	settled   []settlement
	settledAt time.Time            // when some were written last
	holds     map[string]time.Time // of endpoints, that the store does not know of yet; zero: ended
	orders    []*keeperOrder
}

// settlement is the end of a job, or of an attempt, that the store does not
// know of yet.
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
}

// wakeKeeper tells the keeper that there is something to do.
func (o *Outbox) wakeKeeper() {
	select {
	case o.keeperWake <- struct{}{}:
	default:
	}
}

// runKeeper is the keeper. It ends after quit, when all is written.
func (o *Outbox) runKeeper() {
	defer close(o.keeperDone)
	tick := time.NewTicker(o.interval)
	defer tick.Stop()
	for last := false; !last; {
		select {
		case <-o.keeperWake:
		case <-tick.C:
		case <-o.keeperQuit:
			last = true
		}
		o.turns.Add(1)
		if err := o.write(last); err != nil {
			o.fail(err)
			return
		}
		o.carryOutOrders()
		o.turns.Add(1)
	}
}

// Turns is odd while the keeper is at a piece of work, and another number at each
// step that it takes.
func (o *Outbox) Turns() uint64 { return o.turns.Load() }

// commitPart is what of a feed is being committed.
type commitPart struct {
	feed     *streamQueue
	jobs     []planned
	weight   int
	changes  Changes
	position string
	moved    bool // the position is not what the store has
}

// takeCommitParts takes what is to be committed now. With all set that is also a
// position, though nothing was taken in.
func (in *intake) takeCommitParts(all bool) (list []commitPart) {
	in.mu.Lock()
	defer in.mu.Unlock()
	for _, f := range in.queues {
		moved := f.position != f.saved
		due := f.committable > 0 || f.changes.Size() >= in.bounds.changes/4 ||
			(moved || len(f.changes.ops) > 0) && (all || time.Since(f.savedAt) >= in.bounds.interval)
		if !due {
			continue
		}
		p := commitPart{feed: f, jobs: f.planned[:f.committable:f.committable], changes: f.changes, position: f.position, moved: moved}
		f.planned, f.committable = append([]planned(nil), f.planned[f.committable:]...), 0
		for i := range p.jobs {
			p.weight += p.jobs[i].size()
		}
		f.committing, f.changes = p.changes.Size(), Changes{}
		list = append(list, p)
	}
	return list
}

// finishCommit notes that portions are on disk.
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

// write commits what has settled, and what was taken in. With all set positions
// are saved too, though nothing was taken in.
func (o *Outbox) write(all bool) error {
	if err := o.writeLedger(); err != nil {
		return err
	}
	list := o.in.takeCommitParts(all)
	if len(list) == 0 {
		return nil
	}
	failpoint("matched")
	b := o.batch
	for i := range list {
		list[i].addTo(b)
	}
	first, err := o.commit(b)
	if err != nil {
		return err
	}
	failpoint("committed")
	for i := range list {
		o.admit(list[i].jobs, first)
		first += uint64(len(list[i].jobs))
	}
	o.in.finishCommit(list)
	o.signalProgress()
	for i := range list {
		if p := &list[i]; p.position != "" {
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
// these always, and does not wait for the disk: after a crash some are attempted
// again.
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
		settled[i].addTo(b, now)
	}
	for _, d := range drops {
		b.Bury(d.letter(now))
	}
	writeHolds(b, holds)
	_, err := b.Commit()
	o.logDropped(drops, dropped)
	return err
}

// addTo adds a settlement to a batch.
func (s *settlement) addTo(b *store.Batch, now time.Time) {
	j := &s.job
	switch s.what {
	case Delivered:
		b.SettleListed(store.Settled{Seq: j.seq, Endpoint: s.endpoint, ID: s.id, Status: s.text, Excerpt: s.excerpt, Attempts: int(j.attempts), Born: j.born.time(), At: now})
	case Retried:
		b.Retry(s.endpoint, j.seq, int(j.attempts), j.due.time(), s.text, s.excerpt)
	case expelled, superseded:
		b.Settle(s.endpoint, j.seq, int(j.attempts)+1) // one attempt that failed has left its mark, too
	case GivenUp:
		failpoint("burying")
		b.Bury(store.DeadLetter{Seq: j.seq, Endpoint: s.endpoint, ID: s.id, Reason: s.reason, Error: s.text, Excerpt: s.excerpt, Attempts: int(j.attempts), Born: j.born.time(), At: now})
	}
}

// A settlement is not waited for by anyone: those of a short time are written
// together.
const (
	settleDelay  = 2 * time.Millisecond
	settleAtMost = 256
)

// recordSettlement has the keeper write down what has settled, at once if the last time is
// a while ago.
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

// dropExpelled counts jobs that gave way to newer ones as dropped. It reads
// those that are not in memory, to tell which they were, before they are removed.
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

// readExpelled reads the firing of a job that gave way. Where it cannot be read
// it is told of the rule of the newer one.
func (o *Outbox) readExpelled(s *settlement) *actions.Firing {
	if j, err := o.store.Load(s.job.seq); err == nil {
		if f, err := firing.ParseBinary(firing.ID(j.ID), j.Payload); err == nil {
			return f
		}
	}
	return &actions.Firing{ID: firing.ID(s.id), Rule: s.text, Event: &event.Event{}}
}

// logDropped tells of what was dropped, not often.
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

// admit lets committed jobs be delivered.
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

// endpointFor returns the endpoint of a firing. If a reload has forgotten it,
// it is there again, as it was.
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

// fail ends the process for a store that has failed.
func (o *Outbox) fail(err error) { o.fatal(fmt.Errorf("store: %w", err)) }
