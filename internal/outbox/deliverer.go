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
// and gates, but keeps them in memory only. It is for a process that has no
// store: the firings are kept by somebody else until they are settled. It does
// not limit how many it holds. Any goroutine may call its methods.
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

	// Settle is called once for each firing, when it is delivered or given up.
	// It is called under an endpoint's lock, and must neither wait nor call the
	// Deliverer.
	Settle func(Settlement)
}

// Settlement is the end of a firing.
type Settlement struct {
	Endpoint string
	ID       firing.ID
	Outcome  Outcome // Delivered or GivenUp
	Reason   string  // why it was given up: attempts, age, permanent, damaged; or superseded, by a newer one of an action that wants only the latest
	Text     string  // status, or error
	Excerpt  string  // of the response
	Attempts int
}

// NewDeliverer returns a Deliverer that runs until Stop.
func NewDeliverer(op DelivererOptions) *Deliverer {
	b := defaultBounds
	b.window, b.lane = 1<<62, 1<<62 // there is no store that has more
	d := &Deliverer{settled: op.Settle, endpoints: map[string]*endpoint{}, actions: map[string]*Action{}, jobs: map[uint64]*store.Job{}}
	d.host = &host{log: op.Logger, bounds: b, source: (*memory)(d), owner: (*delivererOwner)(d), progress: make(chan struct{}, 1)}
	d.attempts, d.cancel = context.WithCancel(context.Background())
	d.policies.Store(&map[PolicyKey]*Policy{})
	d.started.Store(true)
	return d
}

// Deliver takes a firing to be delivered with Planned.Action, which has to be
// set, and by Planned.Policy. Both also apply to firings of the endpoint that
// wait already. Firings of one lane are delivered in the order of the calls.
// After Stop it does nothing.
func (d *Deliverer) Deliver(p Planned) {
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
	d.updateEndpoint(ep, &p)
	d.last++
	job := planned{endpoint: p.Endpoint, lane: laneOf(p.Firing, p.Policy), firing: p.Firing, payload: firing.AppendBinary(nil, p.Firing), born: time.Now()}
	d.jobsMu.Lock()
	d.jobs[d.last] = &store.Job{Seq: d.last, Endpoint: p.Endpoint, Lane: job.lane, ID: p.Firing.ID.String(), Born: job.born, Payload: job.payload}
	d.jobsMu.Unlock()
	ep.admit([]planned{job}, d.last)
}

// updateEndpoint sets the action and policy of a new firing. The caller holds
// the lock.
func (d *Deliverer) updateEndpoint(ep *endpoint, p *Planned) {
	key, all := PolicyKey{p.Firing.Rule, p.Firing.Action}, *d.policies.Load()
	if all[key] != p.Policy {
		all = maps.Clone(all)
		all[key] = p.Policy
		d.policies.Store(&all)
	}
	if d.actions[ep.name] != p.Action {
		d.actions[ep.name] = p.Action
		ep.mu.Lock()
		ep.setAction(p.Action)
		ep.mu.Unlock()
	}
}

// Stop begins no more attempts, waits for those in flight until ctx is done,
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
		case <-d.progress:
		case <-ctx.Done():
		}
	}
	d.cancel()
	d.awaitWorkers()
	d.closed.Store(true)
	d.asideLogs.Wait()
	d.jobsMu.Lock()
	defer d.jobsMu.Unlock()
	return len(d.jobs)
}

// awaitWorkers waits for attempts whose context is done. One that does not end
// is abandoned.
func (d *Deliverer) awaitWorkers() {
	longest := abandonAfter
	d.mu.Lock()
	for _, a := range d.actions {
		longest = max(longest, endGrace(a.Action))
	}
	d.mu.Unlock()
	awaitAttempts(&d.wg, longest, d.log)
}

// delivererOwner is a Deliverer as the owner of its endpoints.
type delivererOwner Deliverer

func (d *delivererOwner) recordSettlement(s *settlement) {
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

func (d *delivererOwner) addPending(*endpoint, int)             { d.signalProgress() }
func (d *delivererOwner) saveHold(string, time.Time)            {}
func (d *delivererOwner) publishCondition(*endpoint, time.Time) {}
func (d *delivererOwner) fail(err error)                        { d.log.Error("firings cannot be read", "err", err) }

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
