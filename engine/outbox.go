package engine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"triggerd/actions"
	"triggerd/rules"
)

// outbox holds the firings that are not delivered yet, and delivers them.
//
// Each endpoint has lanes, one for each key that something waits for. The
// first firing of a lane is attempted until it is delivered or given up, and
// only then the next. A lane is in one of three places: in its endpoint's
// ready queue, with a worker, or with a timer that will put it back into the
// queue. A worker is a goroutine that takes ready lanes one after another; an
// endpoint has as many as its concurrency allows and its queue needs.
type outbox struct {
	log     *slog.Logger
	max     int
	patient bool // add waits for room instead of dropping
	marks   *watermark

	ctx context.Context // of the attempts; set by start, before the first

	mu        sync.Mutex // guards all that follows, endpoints and lanes
	started   bool
	endpoints map[string]*endpoint
	pending   int           // firings in lanes
	workers   int           // goroutines
	retrying  int           // lanes with a timer
	draining  bool          // no new attempts after a failed one
	idle      chan struct{} // closed when draining and no worker is left
	room      *sync.Cond    // pending has become less
	dropped   droppings
	stats     Stats

	wg sync.WaitGroup // workers
}

// endpoint is one action that firings are delivered with: a target, or a rule's
// own action.
type endpoint struct {
	name        string
	action      actions.Action
	concurrency int

	lanes   map[laneKey]*lane
	ready   fifo[*lane]
	workers int
}

// laneKey is what keeps its order: a key of a database, or, for events without
// a key, a rule.
type laneKey struct {
	db   int
	key  string
	rule string
}

type lane struct {
	ep   *endpoint
	key  laneKey
	jobs fifo[*job]
	own  bool // of one job that need not keep any order, and is in no map
}

// job is a firing that waits.
type job struct {
	firing *actions.Firing
	spec   *rules.Action
	mark   *mark // nil: no position waits for it
	since  time.Time
}

func newOutbox(maxPending int, marks *watermark, log *slog.Logger) *outbox {
	o := &outbox{log: log, max: maxPending, marks: marks, endpoints: map[string]*endpoint{}, idle: make(chan struct{})}
	o.room = sync.NewCond(&o.mu)
	return o
}

// start allows attempts, until ctx is done.
func (o *outbox) start(ctx context.Context) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.ctx, o.started = ctx, true
	for _, ep := range o.endpoints {
		o.dispatch(ep)
	}
}

// setEndpoints brings in the actions of a new generation. Firings that wait
// are delivered with the new action of the same name, or with the old one
// where there is none.
func (o *outbox) setEndpoints(next map[string]endpointConfig) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for name, c := range next {
		ep := o.endpoints[name]
		if ep == nil {
			ep = &endpoint{name: name, lanes: map[laneKey]*lane{}}
			o.endpoints[name] = ep
		}
		closeAction(ep.action)
		ep.action, ep.concurrency = c.action, c.concurrency
		o.dispatch(ep)
	}
	for name, ep := range o.endpoints {
		if _, kept := next[name]; !kept && len(ep.lanes) == 0 && ep.ready.len() == 0 && ep.workers == 0 {
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

// add puts a firing into its lane. The reader calls it and never waits here,
// unless the outbox is patient. marked tells that the position of what is being read waits for the firing.
func (o *outbox) add(name string, spec *rules.Action, f *actions.Firing, marked bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.stats.Firings++
	for o.patient && o.pending >= o.max && o.ctx.Err() == nil {
		o.room.Wait()
	}
	if o.pending >= o.max {
		o.stats.Dropped++
		o.dropped.report(o.log, f, o.max)
		return
	}
	j := &job{firing: f, spec: spec, since: time.Now()}
	if marked {
		j.mark = o.marks.add()
	}
	o.pending++
	ep := o.endpoints[name]
	l, waits := ep.lane(f, spec)
	l.jobs.push(j)
	if !waits {
		ep.ready.push(l)
		o.dispatch(ep)
	}
}

// lane returns the lane of a firing, and whether others wait in it already.
func (ep *endpoint) lane(f *actions.Firing, spec *rules.Action) (l *lane, waits bool) {
	if spec.Order == "none" {
		return &lane{ep: ep, own: true}, false
	}
	k := laneKey{db: f.Event.DB, key: string(f.Event.Key)}
	if f.Event.Key == nil {
		k.rule = f.Rule
	}
	if l := ep.lanes[k]; l != nil {
		return l, true
	}
	l = &lane{ep: ep, key: k}
	ep.lanes[k] = l
	return l, false
}

// dispatch starts workers for the ready lanes. The caller holds the lock.
func (o *outbox) dispatch(ep *endpoint) {
	if !o.started {
		return
	}
	for n := ep.ready.len(); n > 0 && ep.workers < ep.concurrency; n-- {
		ep.workers++
		o.workers++
		o.wg.Go(func() { o.work(ep) })
	}
}

// work delivers for ep until nothing is ready.
func (o *outbox) work(ep *endpoint) {
	for {
		l, j, action := o.take(ep)
		if l == nil {
			return
		}
		j.firing.Attempt++
		res, err := attempt(o.ctx, action, j)
		o.settle(l, j, res, err)
	}
}

// take gives a worker its next lane with its first job, or ends the worker.
func (o *outbox) take(ep *endpoint) (*lane, *job, actions.Action) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if ep.ready.len() > 0 && ep.workers <= ep.concurrency && o.ctx.Err() == nil {
		l := ep.ready.pop()
		j, _ := l.jobs.first()
		return l, j, ep.action
	}
	ep.workers--
	o.workers--
	o.checkIdle()
	return nil, nil, nil
}

var errTimeout = errors.New("attempt took longer than its timeout")

func attempt(ctx context.Context, action actions.Action, j *job) (actions.Result, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, j.spec.Timeout, fmt.Errorf("%w of %s", errTimeout, j.spec.Timeout))
	defer cancel()
	res, err := action.Do(ctx, j.firing)
	if err != nil && errors.Is(context.Cause(ctx), errTimeout) && !actions.IsPermanent(err) {
		err = fmt.Errorf("%w: %w", context.Cause(ctx), err)
	}
	return res, err
}

// settle deals with the outcome of an attempt.
func (o *outbox) settle(l *lane, j *job, res actions.Result, err error) {
	if err != nil && o.ctx.Err() != nil {
		return // triggerd is stopping, which is no fault of the attempt: it waits for the next start
	}
	pause, again := retry(j, err)
	o.report(j, res, err, pause, again)

	o.mu.Lock()
	defer o.mu.Unlock()
	switch {
	case again:
		o.stats.Failed++
		o.retrying++
		time.AfterFunc(pause, func() { o.wake(l) })
		return
	case err != nil:
		o.stats.Failed++
		o.stats.GivenUp++
	default:
		o.stats.Delivered++
	}
	l.jobs.pop()
	o.pending--
	o.room.Broadcast()
	if j.mark != nil {
		o.marks.settle(j.mark)
	}
	switch {
	case l.jobs.len() > 0:
		l.ep.ready.push(l) // behind the others: a busy key does not starve them
	case !l.own:
		delete(l.ep.lanes, l.key)
	}
}

// wake ends a lane's wait for its next attempt.
func (o *outbox) wake(l *lane) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.retrying--
	if o.draining {
		return
	}
	l.ep.ready.push(l)
	o.dispatch(l.ep)
}

// retry tells whether, and after which pause, a firing is attempted again: a
// random part of a time that doubles, or what the receiver asked for.
func retry(j *job, err error) (pause time.Duration, again bool) {
	r := j.spec.Retry
	if err == nil || actions.IsPermanent(err) || j.firing.Attempt >= r.MaxAttempts {
		return 0, false
	}
	limit := r.MaxBackoff
	if n := j.firing.Attempt - 1; n < 32 {
		limit = min(limit, r.Backoff<<n)
	}
	pause = time.Duration(rand.Int64N(int64(limit) + 1))
	if asked, ok := actions.RetryDelay(err); ok {
		pause = max(pause, asked)
	}
	if r.MaxAge > 0 && time.Since(j.since)+pause > r.MaxAge {
		return 0, false
	}
	return pause, true
}

func (o *outbox) report(j *job, res actions.Result, err error, pause time.Duration, again bool) {
	f := j.firing
	about := []any{"rule", f.Rule, "action", f.Action, "firing", f.ID, "attempt", f.Attempt}
	switch {
	case err == nil:
		o.log.Debug("delivered", append(about, "status", res.Status)...)
	case again:
		o.log.Warn("delivery failed, trying again", append(about, "err", err, "pause", pause.Round(time.Millisecond))...)
	default:
		o.log.Error("delivery given up", append(about, "err", err, "key", text(f.Event.Key))...)
	}
}

// finish waits until nothing is pending, or ctx is done.
func (o *outbox) finish(ctx context.Context) {
	defer context.AfterFunc(ctx, o.room.Broadcast)()
	o.mu.Lock()
	defer o.mu.Unlock()
	for o.pending > 0 && ctx.Err() == nil {
		o.room.Wait()
	}
}

// drain waits until everything that can be delivered without a retry is, but
// not longer than timeout, and returns how many firings are left.
func (o *outbox) drain(timeout time.Duration) int {
	o.mu.Lock()
	o.draining = true
	o.checkIdle()
	o.mu.Unlock()
	timer := time.NewTimer(timeout)
	defer timer.Stop()
	select {
	case <-o.idle:
	case <-timer.C:
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.pending
}

// checkIdle ends drain when nothing is left to wait for. The caller holds the
// lock.
func (o *outbox) checkIdle() {
	if !o.draining || o.workers > 0 {
		return
	}
	select {
	case <-o.idle:
	default:
		close(o.idle)
	}
}

// wait waits for the workers to end, once their context is done.
func (o *outbox) wait() { o.wg.Wait() }

func (o *outbox) addStats(s *Stats) {
	o.mu.Lock()
	defer o.mu.Unlock()
	s.Firings, s.Delivered, s.Failed = o.stats.Firings, o.stats.Delivered, o.stats.Failed
	s.GivenUp, s.Dropped, s.Pending = o.stats.GivenUp, o.stats.Dropped, int64(o.pending)
}

// droppings reports dropped firings: the first at once, then at most every ten
// seconds how many there were.
type droppings struct {
	count int64
	last  time.Time
}

func (d *droppings) report(log *slog.Logger, f *actions.Firing, limit int) {
	d.count++
	if time.Since(d.last) < 10*time.Second {
		return
	}
	log.Error("too many firings wait, new ones are dropped", "max_pending", limit, "dropped", d.count, "rule", f.Rule, "firing", f.ID)
	d.count, d.last = 0, time.Now()
}
