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
	orders    []*order
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

// nudge tells the keeper that there is something to do.
func (o *Outbox) nudge() {
	select {
	case o.wake <- struct{}{}:
	default:
	}
}

// keep is the keeper. It ends after quit, when all is written.
func (o *Outbox) keep() {
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
		o.turns.Add(1)
		if err := o.write(last); err != nil {
			o.fail(err)
			return
		}
		o.obey()
		o.turns.Add(1)
	}
}

// Turns is odd while the keeper is at a piece of work, and another number at each
// step that it takes.
func (o *Outbox) Turns() uint64 { return o.turns.Load() }

// portion is what of a feed is being committed.
type portion struct {
	feed     *feed
	jobs     []planned
	weight   int
	changes  Changes
	position string
	moved    bool // the position is not what the store has
}

// portions takes what is to be committed now. With all set that is also a
// position, though nothing was taken in.
func (in *intake) portions(all bool) (list []portion) {
	in.mu.Lock()
	defer in.mu.Unlock()
	for _, f := range in.feeds {
		moved := f.position != f.saved
		due := f.whole > 0 || f.changes.Size() >= in.bounds.changes/4 ||
			(moved || len(f.changes.ops) > 0) && (all || time.Since(f.savedAt) >= in.bounds.interval)
		if !due {
			continue
		}
		p := portion{feed: f, jobs: f.planned[:f.whole:f.whole], changes: f.changes, position: f.position, moved: moved}
		f.planned, f.whole = append([]planned(nil), f.planned[f.whole:]...), 0
		for i := range p.jobs {
			p.weight += p.jobs[i].size()
		}
		f.writing, f.changes = p.changes.Size(), Changes{}
		list = append(list, p)
	}
	return list
}

// committed notes that portions are on disk.
func (in *intake) committed(list []portion) {
	in.mu.Lock()
	defer in.mu.Unlock()
	for i := range list {
		p := &list[i]
		p.feed.saved, p.feed.savedAt, p.feed.writing = p.position, time.Now(), 0
		in.weight -= p.weight
		in.leaving -= p.weight
	}
	in.room.Broadcast()
}

// write commits what has settled, and what was taken in. With all set positions
// are saved too, though nothing was taken in.
func (o *Outbox) write(all bool) error {
	if err := o.writeLedger(); err != nil {
		return err
	}
	list := o.in.portions(all)
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
	o.in.committed(list)
	o.stir()
	for i := range list {
		if p := &list[i]; p.position != "" {
			o.acked(p.feed.stream, p.position)
		}
	}
	return nil
}

// addTo adds a portion to a batch.
func (p *portion) addTo(b *store.Batch) {
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
			o.metered(time.Since(began), jobs)
		}
		if !errors.Is(err, store.ErrNoSpace) {
			if told && err == nil {
				o.say(func() { o.log.Info("firings are taken in again") })
			}
			return first, err
		}
		if full := err; !told {
			o.say(func() {
				o.log.Error("the store is full: nothing more is taken in until there is space", "err", full)
			})
		}
		select {
		case <-o.quit:
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
	drops, dropped := o.in.droppings, o.in.dropped
	o.in.droppings = nil
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
	o.sayDropped(drops, dropped)
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
	settleTime = 2 * time.Millisecond
	settleMost = 256
)

// note has the keeper write down what has settled, at once if the last time is
// a while ago.
func (o *Outbox) note(s *settlement) {
	g := &o.ledger
	g.mu.Lock()
	defer g.mu.Unlock()
	g.settled = append(g.settled, *s)
	switch n := len(g.settled); {
	case n >= settleMost, time.Since(g.settledAt) >= settleTime:
		o.nudge()
	case n == 1:
		time.AfterFunc(settleTime, o.nudge)
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

// sayDropped tells of what was dropped, not often.
func (o *Outbox) sayDropped(drops map[string]*droppings, dropped int64) {
	for _, d := range drops {
		if time.Since(o.toldDropped) < 10*time.Second {
			return
		}
		o.toldDropped = time.Now()
		o.say(func() {
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
		ep.use(p.action)
	}
	return ep
}

// fail ends the process for a store that has failed.
func (o *Outbox) fail(err error) { o.fatal(fmt.Errorf("store: %w", err)) }
