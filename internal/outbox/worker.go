package outbox

import (
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
	"triggerd/internal/firing"
	"triggerd/internal/store"
)

// dispatch starts attempts of all whose turn it is. The caller holds the lock.
func (ep *endpoint) dispatch() {
	for {
		w := &worker{ep: ep}
		if !ep.take(w) {
			return
		}
		ep.crew = append(ep.crew, w)
		ep.running++
		ep.workers.Add(1)
		ep.wg.Go(w.work)
	}
}

// worker is a goroutine that makes attempts of an endpoint, and the one that it
// is making.
type worker struct {
	ep        *endpoint
	lane      *lane
	job       job
	action    actions.Action
	attempt   attempt
	began     time.Time
	firing    *actions.Firing // nil: to be read, or it could not be
	policy    *Policy         // how to deliver it; nil: as firing
	timeout   time.Duration   // of the attempt: the policy's, in a batch the shortest
	with      []*worker       // whose attempts are made in one batch with this one, and which are no goroutines
	ends      time.Time       // when it has to have ended; zero: there is no attempt to end. The lock guards it
	abandoned bool            // it has not: its lane and its place are another's. The lock guards it
}

// work makes an attempt, and then others of the same endpoint, until it is
// nobody's turn.
func (w *worker) work() {
	for w.try() && w.goOn() {
	}
}

// goOn gives a worker whose attempt has ended its next lane, or ends the worker.
func (w *worker) goOn() bool {
	ep := w.ep
	ep.mu.Lock()
	defer ep.mu.Unlock()
	if ep.take(w) {
		ep.dispatch() // there may be room for one more than before
		return true
	}
	ep.dismiss(w)
	return false
}

// dismiss counts a worker out. The caller holds the lock.
func (ep *endpoint) dismiss(w *worker) {
	i := slices.Index(ep.crew, w)
	ep.crew = slices.Delete(ep.crew, i, i+1)
	ep.running--
	ep.workers.Add(-1)
	ep.stir()
}

// take gives a worker the attempt whose turn it is, if it is anybody's; if not,
// the endpoint is looked at again when it may be. The caller holds the lock.
func (ep *endpoint) take(w *worker) bool {
	if ep.action == nil || ep.paused || ep.stopping || !ep.started.Load() || ep.standby.Load() || ep.trimming {
		return false
	}
	ep.refill()
	now := time.Now()
	ep.rouse(now)
	l, a, again := ep.turn(now)
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
	w.with = w.with[:0]
	if ep.batches {
		ep.gather(w, now)
	}
	return true
}

// begin gives a worker an attempt of a lane. The caller holds the lock.
func (ep *endpoint) begin(w *worker, l *lane, a attempt, now time.Time) {
	ep.lines[l.place].leave(l)
	ep.supersede(l) // of a lane from before a reload
	l.busy = true
	first := l.jobs.first()
	f := ep.unload(first)
	w.lane, w.job, w.action, w.attempt, w.began = l, *first, ep.action, ep.gate.begin(now, a), now
	w.firing, w.policy, w.ends = nil, nil, time.Time{}
	if f != nil {
		ep.hand(w, f)
	}
}

// hand gives a worker the firing that it is to attempt. The caller holds the
// lock.
func (ep *endpoint) hand(w *worker, f *actions.Firing) {
	f.Attempt = int(w.job.attempts) + 1
	w.firing, w.policy = f, ep.policyOf(f)
	w.timeout = w.policy.Timeout
	ep.watch(w)
}

// policyOf returns how a firing is to be delivered: as its own rule says, or, if
// that is gone, as another of the endpoint's. The caller holds the lock.
func (ep *endpoint) policyOf(f *actions.Firing) *Policy {
	if all := ep.policies.Load(); all != nil {
		if p := (*all)[PolicyKey{f.Rule, f.Action}]; p != nil {
			return p
		}
	}
	return ep.policy
}

// wakeAt has an endpoint looked at again at t, or before. It has one timer: each
// look at a closed gate setting one of its own would double them each time. The
// caller holds the lock.
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

// timeoutError is why an attempt was ended that took longer than it may.
type timeoutError time.Duration

func (e timeoutError) Error() string {
	return fmt.Sprintf("attempt took longer than its timeout of %s", time.Duration(e))
}

func (timeoutError) Unwrap() error { return context.DeadlineExceeded }

// maxDeliveredExcerpt is how much of what a receiver said is kept of a firing
// that was delivered. There may be many of these.
const maxDeliveredExcerpt = 512

// try makes one attempt of a job, and settles it. It returns false if the
// attempt was abandoned: then there is nothing left to do for the worker.
func (w *worker) try() bool {
	var res actions.Result
	var err error
	if w.firing == nil {
		err = w.readJob()
	}
	if err == nil {
		if len(w.with) > 0 {
			return w.tryBatch()
		}
		res, err = do(w.ep.attempts, w.action, w.firing, w.timeout)
	}
	return w.conclude(res, err, false)
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
		w.policy = ep.policy
		return err
	}
	ep.hand(w, f)
	return nil
}

// unreadableError is of a job that could not be read, which is no fault of the
// endpoint's.
type unreadableError struct {
	err     error
	damaged bool   // and never will be
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

// lateError returns the error of an attempt, which says so if its time was up.
func lateError(ctx context.Context, err error) error {
	if err == nil || actions.IsPermanent(err) {
		return err
	}
	if late, ok := errors.AsType[timeoutError](context.Cause(ctx)); ok && !errors.Is(err, late) {
		err = fmt.Errorf("%w: %w", late, err)
	}
	return err
}

// verdict tells whether, and after which pause, a firing is attempted again: a
// random part of a time that doubles, or what the receiver asked for.
func verdict(p *Policy, j *job, err error) (what Outcome, reason string, pause time.Duration) {
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

// tooOld gives a firing up that would be too old at its next attempt.
func tooOld(p *Policy, j *job, pause time.Duration) (what Outcome, reason string, _ time.Duration) {
	if r := p.Retry; r.MaxAge > 0 && time.Since(j.born.time())+pause > r.MaxAge {
		return GivenUp, "age", 0
	}
	return Retried, "", pause
}

// conclude judges a worker's attempt, settles its job, and tells. It does
// nothing, and returns false, if the attempt has been abandoned, and it is not
// for that that it is called.
func (w *worker) conclude(res actions.Result, err error, abandoned bool) bool {
	l, ep := w.lane, w.ep
	s := settlement{endpoint: ep.name, job: w.job, what: Delivered, text: res.Status, excerpt: res.Excerpt, took: time.Since(w.began), evidence: evidenceOf(err)}
	s.job.firing = nil
	s.id = w.idOf(err)
	asked := time.Duration(0)
	if err != nil {
		s.text = err.Error()
		asked, _ = actions.RetryDelay(err)
	} else {
		s.excerpt = strings.ToValidUTF8(s.excerpt[:min(len(s.excerpt), maxDeliveredExcerpt)], "")
		failpoint("delivered")
	}

	ep.mu.Lock()
	if w.abandoned != abandoned {
		ep.mu.Unlock()
		return false
	}
	w.ends = time.Time{}
	if ep.closed.Load() || err != nil && ep.attempts.Err() != nil {
		ep.mu.Unlock() // triggerd is stopping, which is no fault of the attempt: it waits for the next start
		return true
	}
	now := time.Now()
	before := ep.gate.condition(now)
	v := ep.end(now, l, w.attempt, s.evidence, asked)
	pause := w.judge(&s, v, err)
	if s.job.due = 0; pause > 0 {
		s.job.due = momentOf(now.Add(pause))
	}
	if w.job.attempts == 0 && !v.down && ep.meter != nil {
		ep.meter.Waited(max(w.began.Sub(w.job.born.time()), 0))
	}
	ep.noteHold(now)
	ep.settle(l, &s, v)
	after := ep.gate.condition(now)
	ep.owner.condition(ep, now)
	ep.mu.Unlock()
	ep.tell(before, after, s.text)
	ep.report(w.firing, &s, err, pause)
	return true
}

// judge says what comes of an attempt that ended with err, and after which pause
// there is another.
func (w *worker) judge(s *settlement, v verdicts, err error) (pause time.Duration) {
	if isDamaged(err) {
		s.what, s.reason = GivenUp, "damaged"
		return 0
	}
	if v.down { // no attempt of this firing: one more of the endpoint
		s.what, s.reason, pause = tooOld(w.policy, &s.job, 0)
		return pause
	}
	s.job.attempts++
	if err != nil {
		s.what, s.reason, pause = verdict(w.policy, &s.job, err)
	}
	return pause
}

// settle deals with the outcome of an attempt. The caller holds the lock.
func (ep *endpoint) settle(l *lane, s *settlement, v verdicts) {
	l.busy = false
	ep.tally.note(s)
	if ep.meter != nil {
		ep.meter.Attempted(s.what, s.took)
	}
	switch s.what {
	case Retried:
		ep.retried.Add(1)
		ep.owner.note(s)
		ep.again(l, s, v)
		return
	case GivenUp:
		ep.givenUp.Add(1)
	default:
		ep.delivered.Add(1)
	}
	ep.unindex(l)
	ep.owner.note(s)
	ep.went()
	ep.advance(l)
}

// again puts a lane back whose first job is attempted again. The caller holds
// the lock.
func (ep *endpoint) again(l *lane, s *settlement, v verdicts) {
	first := l.jobs.first()
	first.attempts, first.due = s.job.attempts, s.job.due
	ep.supersede(l)
	l.jobs.first().due = s.job.due // a newer one waits as long
	if v.down {
		ep.line(l).pushFront(l) // it keeps its turn
		return
	}
	ep.queue(l, time.Now())
}

// advance brings a lane, of which a job is done, to the next. The caller holds
// the lock.
func (ep *endpoint) advance(l *lane) {
	switch {
	case l.jobs.len() > 0:
		ep.queue(l, time.Now()) // behind the others: a busy key does not starve them
	case l.skipped > 0:
		ep.rescan(l)
	default:
		ep.forget(l)
	}
}

// tell logs what has changed with an endpoint by an attempt.
func (ep *endpoint) tell(before, after condition, text string) {
	if before == after {
		return
	}
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

func (ep *endpoint) report(f *actions.Firing, s *settlement, err error, pause time.Duration) {
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
		ep.log.Warn("delivery failed, trying again", append(about, "err", err, "pause", pause.Round(time.Millisecond))...)
	case GivenUp:
		ep.log.Error("delivery given up", append(about, "err", err, "key", string(event.AppendText(nil, f.Event.Key)))...)
	}
}
