package outbox

import (
	"context"
	"iter"
	"log/slog"
	"maps"
	"sync"
	"time"

	"triggerd/internal/firing"
	"triggerd/internal/store"
)

// Deliverer delivers firings as an Outbox does, with the same endpoints, lanes
// and gates, and keeps them in memory only: for a process that has no store, and
// whose firings somebody else keeps until it is told that they are settled.
// Nothing bounds how many it has but who hands them to it. Its methods may be
// called from any goroutine.
type Deliverer struct {
	*host
	settled func(Settlement)
	cancel  context.CancelFunc

	mu        sync.Mutex // guards what follows; taken before an endpoint's
	endpoints map[string]*endpoint
	actions   map[string]*Action // by endpoint
	last      uint64             // number of a firing
	stopping  bool

	jobsMu sync.Mutex // guards jobs; the last that is taken
	jobs   map[uint64]*store.Job
}

// DelivererOptions configure a Deliverer. Both have to be set.
type DelivererOptions struct {
	Logger *slog.Logger

	// Settle is told of each firing once, when it is delivered or given up. It is
	// called under an endpoint's lock, and must neither wait nor call the
	// Deliverer.
	Settle func(Settlement)
}

// Settlement is the end of a firing.
type Settlement struct {
	Endpoint string
	ID       firing.ID
	Outcome  Outcome // Delivered or GivenUp
	Reason   string  // of one that was given up: attempts, age, permanent, damaged; superseded by a newer one, where only the last counts
	Text     string  // status, or error
	Excerpt  string  // of the response
	Attempts int
}

// NewDeliverer returns a Deliverer that runs until Stop.
func NewDeliverer(op DelivererOptions) *Deliverer {
	b := defaultBounds
	b.window, b.lane = 1<<62, 1<<62 // there is no store that has more
	d := &Deliverer{settled: op.Settle, endpoints: map[string]*endpoint{}, actions: map[string]*Action{}, jobs: map[uint64]*store.Job{}}
	d.host = &host{log: op.Logger, bounds: b, source: (*memory)(d), owner: (*delivererOwner)(d), quiet: make(chan struct{}, 1)}
	d.attempts, d.cancel = context.WithCancel(context.Background())
	d.policies.Store(&map[PolicyKey]*Policy{})
	d.started.Store(true)
	return d
}

// Take has a firing delivered with Planned.Action, which has to be set, and as
// Policy says; each holds for what waits, too. Those of one lane are delivered in the order of the calls. After
// Stop it does nothing.
func (d *Deliverer) Take(p Planned) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.stopping {
		return
	}
	ep := d.endpoints[p.Endpoint]
	if ep == nil {
		ep = newEndpoint(d.host, p.Endpoint)
		d.endpoints[p.Endpoint] = ep
	}
	d.know(ep, &p)
	d.last++
	job := planned{endpoint: p.Endpoint, lane: laneOf(p.Firing, p.Policy.Order), firing: p.Firing, payload: firing.AppendBinary(nil, p.Firing), born: time.Now()}
	d.jobsMu.Lock()
	d.jobs[d.last] = &store.Job{Seq: d.last, Endpoint: p.Endpoint, Lane: job.lane, ID: p.Firing.ID.String(), Born: job.born, Payload: job.payload}
	d.jobsMu.Unlock()
	ep.admit([]planned{job}, d.last)
}

// know has an endpoint deliver as a firing says that comes for it. The caller
// holds the lock.
func (d *Deliverer) know(ep *endpoint, p *Planned) {
	key, all := PolicyKey{p.Firing.Rule, p.Firing.Action}, *d.policies.Load()
	if all[key] != p.Policy {
		all = maps.Clone(all)
		all[key] = p.Policy
		d.policies.Store(&all)
	}
	if d.actions[ep.name] != p.Action {
		d.actions[ep.name] = p.Action
		ep.mu.Lock()
		ep.use(p.Action)
		ep.mu.Unlock()
	}
}

// Stop begins no more attempts, gives those that are under way until ctx is done,
// ends them then, and returns how many firings are not settled. It does not
// close actions.
func (d *Deliverer) Stop(ctx context.Context) (left int) {
	d.mu.Lock()
	d.stopping = true
	for _, ep := range d.endpoints {
		ep.mu.Lock()
		ep.stopping = true
		ep.mu.Unlock()
	}
	d.mu.Unlock()
	for d.workers.Load() > 0 && ctx.Err() == nil {
		select {
		case <-d.quiet:
		case <-ctx.Done():
		}
	}
	d.cancel()
	d.awaitWorkers()
	d.closed.Store(true)
	d.sayings.Wait()
	d.jobsMu.Lock()
	defer d.jobsMu.Unlock()
	return len(d.jobs)
}

// awaitWorkers waits for attempts whose context is done, but not for ever.
func (d *Deliverer) awaitWorkers() {
	longest := abandonAfter
	d.mu.Lock()
	for _, a := range d.actions {
		longest = max(longest, grace(a.Action))
	}
	d.mu.Unlock()
	ended := make(chan struct{})
	go func() {
		d.wg.Wait()
		close(ended)
	}()
	limit := time.NewTimer(longest)
	defer limit.Stop()
	select {
	case <-ended:
	case <-limit.C:
		d.log.Error("attempts abandoned at the end: they do not end")
	}
}

// delivererOwner is a Deliverer as its endpoints see it.
type delivererOwner Deliverer

func (d *delivererOwner) note(s *settlement) {
	if s.what == Retried {
		return
	}
	d.jobsMu.Lock()
	j := d.jobs[s.job.seq]
	delete(d.jobs, s.job.seq)
	d.jobsMu.Unlock()
	out := Settlement{Endpoint: s.endpoint, ID: firing.ID(j.ID), Outcome: s.what, Reason: s.reason, Text: s.text, Excerpt: s.excerpt, Attempts: int(s.job.attempts)}
	if s.what == superseded {
		out.Outcome, out.Reason = GivenUp, "superseded"
	}
	d.settled(out)
}

func (d *delivererOwner) came(*endpoint, int)            { d.stir() }
func (d *delivererOwner) hold(string, time.Time)         {}
func (d *delivererOwner) condition(*endpoint, time.Time) {}
func (d *delivererOwner) fail(err error)                 { d.log.Error("firings cannot be read", "err", err) }

// memory is a Deliverer as where jobs are read from.
type memory Deliverer

// Pending yields nothing: all jobs are indexed.
func (*memory) Pending(string, uint64) iter.Seq2[store.Pending, error] {
	return maps.All(map[store.Pending]error(nil))
}

func (m *memory) Jobs(seqs []uint64) iter.Seq2[*store.Job, error] {
	return func(yield func(*store.Job, error) bool) {
		for _, seq := range seqs {
			if j, err := m.Load(seq); err == nil && !yield(j, nil) {
				return
			}
		}
	}
}

func (m *memory) Load(seq uint64) (*store.Job, error) {
	m.jobsMu.Lock()
	defer m.jobsMu.Unlock()
	if j := m.jobs[seq]; j != nil {
		return j, nil
	}
	return nil, store.ErrNotFound
}
