package outbox

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"triggerd/actions"
	"triggerd/internal/event"
	"triggerd/internal/failpoint"
	"triggerd/internal/firing"
	"triggerd/internal/store"
)

// dispatch starts workers for all attempts that may be made now. The caller
// holds the lock.
func (ep *endpoint) dispatch() {
	for {
		w := &worker{ep: ep}
		if !ep.takeTurn(w) {
			return
		}
		ep.crew = append(ep.crew, w)
		ep.running++
		ep.workers.Add(1)
		ep.wg.Go(w.work)
	}
}

// worker is a goroutine that makes attempts of an endpoint, one after another,
// and the attempt that it is making.
type worker struct {
	ep        *endpoint
	lane      *lane
	job       job
	action    actions.Action
	attempt   attempt
	began     time.Time
	firing    *actions.Firing // nil: it has to be read, or cannot be
	policy    *Policy         // nil: as firing
	rewound   bool            // the attempt is not made: see Options.Rewound
	timeout   time.Duration   // of the attempt: the policy's; for a batch the shortest
	batched   []*worker       // attempts in one batch with this one; they are not goroutines
	ends      time.Time       // when the attempt has to have ended; zero: there is none. The lock guards it
	cancels   []*cancelWait   // the firing was cancelled during the attempt, by each of these. The lock guards it
	abandoned bool            // it has not ended in time, and others have its lane and slot. The lock guards it
}

// work makes an attempt, and then others of the same endpoint, as long as there
// are any.
func (w *worker) work() {
	for w.makeAttempt() && w.takeNext() {
	}
}

// takeNext gives a worker whose attempt has ended its next one, or ends the
// worker.
func (w *worker) takeNext() bool {
	ep := w.ep
	ep.mu.Lock()
	defer ep.mu.Unlock()
	if ep.takeTurn(w) {
		ep.dispatch() // there may be room for one more than before
		return true
	}
	ep.removeWorker(w)
	return false
}

// removeWorker removes a worker that ends. The caller holds the lock.
func (ep *endpoint) removeWorker(w *worker) {
	i := slices.Index(ep.crew, w)
	ep.crew = slices.Delete(ep.crew, i, i+1)
	ep.running--
	ep.workers.Add(-1)
	ep.signalProgress()
}

// takeTurn gives a worker the next attempt, and reports whether there is one
// now. If not, a timer is set for when there may be. The caller holds the lock.
func (ep *endpoint) takeTurn(w *worker) bool {
	if ep.paused || ep.stopping || !ep.started.Load() || ep.standby.Load() || ep.trimming {
		return false
	}
	if ep.action == nil {
		return ep.takeExpired(w)
	}
	ep.refill()
	now := time.Now()
	ep.wakeDue(now)
	l, a, again := ep.nextTurn(now)
	if l == nil || ep.readAhead(l, a.turn) {
		if !again.IsZero() {
			ep.wakeAt(again)
		}
		if len(ep.asleep) > 0 {
			ep.wakeAt(ep.asleep[0].wakes.time())
		}
		return false
	}
	ep.begin(w, l, a, now)
	w.batched = w.batched[:0]
	if ep.batches {
		ep.fillBatch(w, now)
	}
	return true
}

// begin begins a lane's attempt with a worker. The caller holds the lock.
func (ep *endpoint) begin(w *worker, l *lane, a attempt, now time.Time) {
	ep.lines[l.place].remove(l)
	ep.supersede(l) // a reload may have set latestOnly
	l.busy = true
	first := l.jobs.first()
	f := ep.unload(first)
	w.lane, w.job, w.action, w.attempt, w.began = l, *first, ep.action, ep.gate.begin(now, a), now
	w.firing, w.policy, w.ends, w.cancels = nil, nil, time.Time{}, nil
	if f != nil {
		ep.setFiring(w, f)
	}
}

// setFiring gives a worker the firing that it is to attempt. The caller holds
// the lock.
func (ep *endpoint) setFiring(w *worker, f *actions.Firing) {
	f.Attempt = int(w.job.attempts) + 1
	w.firing, w.policy = f, ep.policyOf(f)
	w.timeout, w.rewound = w.policy.Timeout, false
	if ep.rewound != nil {
		f.Rewound, w.rewound = ep.rewound(f)
	}
	ep.setEnd(w)
}

// errRewound ends an attempt that is not made.
var errRewound = actions.Unsent(errors.New("cancelled: what it is of was lost in a failover, the server's history went back before it"))

// policyOf returns the policy of a firing: that of its own rule, or, if the
// rule is gone, another one of the endpoint. The caller holds the lock.
func (ep *endpoint) policyOf(f *actions.Firing) *Policy {
	if all := ep.policies.Load(); all != nil {
		if p := (*all)[PolicyKey{f.Rule, f.Action}]; p != nil {
			return p
		}
	}
	return cmp.Or(ep.policy, ep.removedPolicy())
}

// wakeAt has dispatch called at t or before. An endpoint has one timer. If each
// look at a closed gate set its own, they would double each time. The caller
// holds the lock.
func (ep *endpoint) wakeAt(t time.Time) {
	if !ep.wake.IsZero() && !t.Before(ep.wake) {
		return
	}
	ep.wake = t
	if ep.timer != nil {
		ep.timer.Reset(time.Until(t))
		return
	}
	ep.timer = time.AfterFunc(time.Until(t), func() {
		ep.mu.Lock()
		defer ep.mu.Unlock()
		ep.wake = time.Time{}
		ep.dispatch()
	})
}

// timeoutError is the cause when an attempt is ended at its timeout.
type timeoutError time.Duration

func (e timeoutError) Error() string {
	return fmt.Sprintf("attempt took longer than its timeout of %s", time.Duration(e))
}

func (timeoutError) Unwrap() error { return context.DeadlineExceeded }

// maxDeliveredExcerpt is how many bytes of a receiver's answer are kept of a
// firing that was delivered. There may be many of these.
const maxDeliveredExcerpt = 512

// makeAttempt makes one attempt of a job, and settles it. It returns false if
// the attempt was abandoned: then the worker has nothing left to do.
func (w *worker) makeAttempt() bool {
	var res actions.Result
	var err error
	if w.firing == nil {
		err = w.readJob()
	}
	switch {
	case err != nil:
	case w.rewound:
		w.ep.rewoundCancelled.Add(1)
		err = errRewound
	case len(w.batched) > 0:
		return w.makeBatch()
	default:
		res, err = do(w.ep.attempts, w.action, w.firing, w.timeout)
	}
	return w.finish(res, err, false)
}

// readJob reads a worker's job.
func (w *worker) readJob() error {
	var f *actions.Firing
	ep := w.ep
	stored, err := ep.source.Load(w.job.seq)
	if err != nil {
		err = &unreadableError{err: fmt.Errorf("read the job: %w", err), damaged: isMissing(err) || store.IsDamaged(err)}
	} else if f, err = firing.ParseBinary(firing.ID(stored.ID), stored.Payload); err != nil {
		err = &unreadableError{err: fmt.Errorf("read the job: %w", err), damaged: true, id: stored.ID}
	}
	ep.mu.Lock()
	defer ep.mu.Unlock()
	if err != nil {
		w.policy = cmp.Or(ep.policy, ep.removedPolicy())
		return err
	}
	ep.setFiring(w, f)
	return nil
}

// unreadableError says that a job could not be read, which is no fault of the
// endpoint.
type unreadableError struct {
	err     error
	damaged bool   // the job is damaged, and will never be readable
	id      string // of the firing; "": not known
}

func (e *unreadableError) Error() string { return e.err.Error() }
func (e *unreadableError) Unwrap() error { return e.err }

func isUnreadable(err error) bool {
	_, ok := errors.AsType[*unreadableError](err)
	return ok
}

// isDamaged reports whether an attempt ended because there is nothing left that
// could be attempted.
func isDamaged(err error) bool {
	unreadable, ok := errors.AsType[*unreadableError](err)
	return ok && unreadable.damaged
}

// idOf returns the ID of the firing of an attempt, as far as it is known.
func (w *worker) idOf(err error) string {
	if w.firing != nil {
		return w.firing.ID.String()
	}
	if unreadable, ok := errors.AsType[*unreadableError](err); ok {
		return unreadable.id
	}
	return ""
}

func do(ctx context.Context, action actions.Action, f *actions.Firing, timeout time.Duration) (actions.Result, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, timeout, timeoutError(timeout))
	defer cancel()
	res, err := action.Do(ctx, f)
	return res, lateError(ctx, err)
}

// lateError returns the error of an attempt. If the attempt has timed out, the
// error says so.
func lateError(ctx context.Context, err error) error {
	if err == nil || actions.IsPermanent(err) {
		return err
	}
	if late, ok := errors.AsType[timeoutError](context.Cause(ctx)); ok && !errors.Is(err, late) {
		err = fmt.Errorf("%w: %w", late, err)
	}
	return err
}

// outcomeOfFailure returns whether a firing is attempted again, and after which
// pause: what the receiver asked for, or more, at random up to a limit that
// doubles with each attempt.
func outcomeOfFailure(p *Policy, j *job, err error) (what Outcome, reason string, pause time.Duration) {
	r := p.Retry
	switch {
	case actions.IsPermanent(err):
		return GivenUp, "permanent", 0
	case int(j.attempts) >= r.MaxAttempts:
		return GivenUp, "attempts", 0
	}
	limit := r.MaxBackoff
	if n := j.attempts - 1; n < 32 {
		limit = min(limit, r.Backoff<<n)
	}
	pause = time.Duration(rand.Int64N(int64(limit) + 1))
	if asked, ok := actions.RetryDelay(err); ok {
		pause = max(pause, asked)
	}
	return tooOld(p, j, pause)
}

// tooOld returns GivenUp if a firing would be too old at its next attempt.
func tooOld(p *Policy, j *job, pause time.Duration) (what Outcome, reason string, _ time.Duration) {
	if r := p.Retry; r.MaxAge > 0 && time.Since(j.born.time())+pause > r.MaxAge {
		return GivenUp, "age", 0
	}
	return Retried, "", pause
}

// finish ends a worker's attempt: it settles the job, and logs the outcome.
// abandoned says that the attempt is being abandoned. If it was abandoned
// before, finish does nothing and returns false.
func (w *worker) finish(res actions.Result, err error, abandoned bool) bool {
	l, ep := w.lane, w.ep
	s := settlement{endpoint: ep.name, job: w.job, what: Delivered, text: res.Status, excerpt: res.Excerpt, took: time.Since(w.began), evidence: evidenceOf(err)}
	s.job.firing = nil
	s.id = w.idOf(err)
	s.began, s.code, s.status = w.began, res.Code, answerClassOf(&res)
	asked := time.Duration(0)
	if err != nil {
		s.text = err.Error()
		asked, _ = actions.RetryDelay(err)
	} else {
		s.excerpt = strings.ToValidUTF8(s.excerpt[:min(len(s.excerpt), maxDeliveredExcerpt)], "")
		s.record = w.recordOf(&res)
		failpoint.Here("delivered")
	}

	ep.mu.Lock()
	if w.abandoned != abandoned {
		ep.mu.Unlock()
		return false
	}
	w.ends = time.Time{}
	if ep.closed.Load() || err != nil && ep.attempts.Err() != nil && len(w.cancels) == 0 {
		ep.mu.Unlock() // triggerd is stopping, so the attempt does not count: the firing waits for the next start
		return true
	}
	now := time.Now()
	before := ep.gate.condition(now)
	v := ep.endAttempt(now, l, w.attempt, s.evidence, asked)
	pause := w.decideOutcome(&s, v, err)
	s.cancelled = len(w.cancels) > 0
	if s.cancelled && s.what == Retried {
		s.what, s.reason, pause = GivenUp, reasonCancelled, 0
		s.text = "cancelled by " + w.cancels[0].by + " during an attempt: " + s.text
	}
	s.uncounted = s.job.attempts == w.job.attempts
	if s.job.due = 0; pause > 0 {
		s.job.due = momentOf(now.Add(pause))
	}
	if w.job.attempts == 0 && !v.down && ep.meter != nil {
		ep.meter.Waited(max(w.began.Sub(w.job.born.time()), 0))
	}
	if s.what == Delivered && w.firing.Rewound {
		ep.rewoundMarked.Add(1)
	}
	if s.what == Delivered && ep.meter != nil && !w.firing.Redelivered {
		ep.meter.Delivered(max(now.Sub(w.firing.Event.Time), 0))
	}
	ep.updateSavedHold(now)
	ep.settle(l, &s, v)
	for _, c := range w.cancels {
		c.end(s.job.seq, s.what == Delivered)
	}
	after := ep.gate.condition(now)
	ep.owner.publishCondition(ep, now)
	ep.mu.Unlock()
	ep.logCondition(before, after, s.text)
	ep.logOutcome(w.firing, &s, err, pause)
	ep.tell(w.firing, &s)
	return true
}

// decideOutcome sets the outcome of an attempt that ended with err, and returns
// the pause before the next one.
func (w *worker) decideOutcome(s *settlement, v gateResult, err error) (pause time.Duration) {
	switch {
	case isDamaged(err):
		s.what, s.reason = GivenUp, "damaged"
		return 0
	case errors.Is(err, errRemoved):
		s.what, s.reason = GivenUp, "age"
		return 0
	case err == errRewound:
		s.what, s.reason = GivenUp, "rewound"
		return 0
	}
	if v.down { // this was not an attempt of the firing, but another one at an endpoint that is down
		s.what, s.reason, pause = tooOld(w.policy, &s.job, 0)
		return pause
	}
	s.job.attempts++
	if err != nil {
		s.what, s.reason, pause = outcomeOfFailure(w.policy, &s.job, err)
	}
	return pause
}

// settle applies the outcome of an attempt to its lane. The caller holds the
// lock.
func (ep *endpoint) settle(l *lane, s *settlement, v gateResult) {
	l.busy = false
	ep.tally.count(s)
	if ep.meter != nil {
		ep.meter.Attempted(s.what, s.took)
	}
	switch s.what {
	case Retried:
		ep.retried.Add(1)
		ep.owner.recordSettlement(s)
		ep.retryLater(l, s, v)
		return
	case GivenUp:
		ep.givenUp.Add(1)
	default:
		ep.delivered.Add(1)
	}
	ep.unindex(l)
	ep.owner.recordSettlement(s)
	ep.countDone()
	ep.continueLane(l)
}

// retryLater puts a lane back whose first job is attempted again. The caller
// holds the lock.
func (ep *endpoint) retryLater(l *lane, s *settlement, v gateResult) {
	first := l.jobs.first()
	first.attempts, first.due, first.tried = s.job.attempts, s.job.due, true
	ep.supersede(l)
	l.jobs.first().due = s.job.due // a newer job that took its place waits as long
	if v.down {
		ep.lineOf(l).pushFront(l) // it keeps its turn
		return
	}
	ep.enqueueLane(l, time.Now())
}

// continueLane puts a lane whose first job is settled back for its next job.
// The caller holds the lock.
func (ep *endpoint) continueLane(l *lane) {
	switch {
	case l.jobs.len() > 0:
		ep.enqueueLane(l, time.Now()) // after the others: a busy key does not starve them
	case l.skipped > 0:
		ep.refillLane(l)
	default:
		ep.forget(l)
	}
}

// logCondition logs a change of the endpoint's condition.
func (ep *endpoint) logCondition(before, after condition, text string) {
	if before == after {
		return
	}
	ep.tellCondition(ep.name, after, text)
	trouble := func(c condition) bool { return c == down || c == suspect }
	switch {
	case after == onHold:
		ep.log.Warn("endpoint asked to be left alone: it is only probed until then", "action", ep.name, "err", text)
	case trouble(after):
		ep.log.Warn("endpoint fails again and again: few attempts are made until one succeeds", "action", ep.name, "state", string(after), "err", text)
	case trouble(before) || before == onHold:
		ep.log.Info("endpoint answers again", "action", ep.name)
	}
}

func (ep *endpoint) logOutcome(f *actions.Firing, s *settlement, err error, pause time.Duration) {
	if f == nil {
		what := "firing cannot be read, trying again"
		if s.what == GivenUp {
			what = "firing given up: what was kept of it is damaged"
		}
		ep.log.Error(what, "action", s.endpoint, "delivery", s.job.seq, "err", err)
		return
	}
	if s.what == Delivered && !ep.log.Enabled(context.Background(), slog.LevelDebug) {
		return
	}
	about := []any{"rule", f.Rule, "action", f.Action, "firing", f.ID, "attempt", f.Attempt}
	switch s.what {
	case Delivered:
		ep.log.Debug("delivered", append(about, "status", s.text)...)
	case Retried:
		about = append(about, "err", err)
		if !s.uncounted { // else the endpoint decides when, not the firing
			about = append(about, "pause", pause.Round(time.Millisecond))
		}
		ep.log.Warn("delivery failed, trying again", about...)
	case GivenUp:
		ep.log.Error("delivery given up", append(about, "err", err, "key", string(event.AppendText(nil, f.Event.Key)))...)
	}
}
