package engine

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
	"triggerd/internal/firing"
	"triggerd/rules"
)

// deliveryEvents keeps what is said rarely from being said often.
type deliveryEvents struct{ dropped time.Time }

func (e *deliveryEvents) droppedLately() bool {
	if time.Since(e.dropped) < 10*time.Second {
		return true
	}
	e.dropped = time.Now()
	return false
}

// dispatch starts attempts of all whose turn it is. The caller holds the lock.
func (o *outbox) dispatch(ep *endpoint) {
	for {
		w := &worker{ep: ep}
		if !o.take(w) {
			return
		}
		ep.crew = append(ep.crew, w)
		ep.workers++
		o.workers++
		o.wg.Add(1)
		go o.work(w)
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
	spec      *rules.Action   // how to deliver it; nil: as firing
	ends      time.Time       // when it has to have ended; zero: there is no attempt to end. The lock guards it
	abandoned bool            // it has not: its lane and its place are another's. The lock guards it
}

// work makes an attempt, and then others of the same endpoint, until it is
// nobody's turn.
func (o *outbox) work(w *worker) {
	for o.attempt(w) {
		if !o.workOn(w) {
			return
		}
	}
}

// workOn gives a worker whose attempt has ended its next lane, or ends the
// worker.
func (o *outbox) workOn(w *worker) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.take(w) {
		o.dispatch(w.ep) // there may be room for one more than before
		return true
	}
	o.dismiss(w)
	return false
}

// dismiss counts a worker out. The caller holds the lock.
func (o *outbox) dismiss(w *worker) {
	i := slices.Index(w.ep.crew, w)
	w.ep.crew = slices.Delete(w.ep.crew, i, i+1)
	w.ep.workers--
	o.workers--
	o.room.Broadcast()
	o.wg.Done()
}

// take gives a worker the attempt whose turn it is, if it is anybody's; if not,
// the endpoint is looked at again when it may be. The caller holds the lock.
func (o *outbox) take(w *worker) bool {
	ep := w.ep
	if ep.action == nil || ep.paused || o.stopping {
		return false
	}
	if err := o.refill(ep); err != nil {
		o.fatal(fmt.Errorf("store: %w", err))
		return false
	}
	now := time.Now()
	ep.rouse(now)
	l, a, again := ep.turn(now)
	if l == nil || o.readAhead(l, a.turn) {
		if !again.IsZero() {
			o.wakeAt(ep, again)
		}
		if len(ep.asleep) > 0 {
			o.wakeAt(ep, ep.asleep[0].wakes.time())
		}
		return false
	}
	ep.lines[l.place].leave(l)
	o.supersede(l) // of a lane from before a reload
	l.busy = true
	first := l.jobs.first()
	f := o.unload(ep, first)
	w.lane, w.job, w.action, w.attempt, w.began = l, *first, ep.action, ep.gate.begin(now, a), now
	w.firing, w.spec, w.ends = nil, nil, time.Time{}
	if f != nil {
		o.hand(w, f, o.specOf(ep, f))
	}
	return true
}

// hand gives a worker the firing that it is to attempt. The caller holds the
// lock.
func (o *outbox) hand(w *worker, f *actions.Firing, spec *rules.Action) {
	f.Attempt = int(w.job.attempts) + 1
	w.firing, w.spec = f, spec
	o.watch(w)
}

// specOf returns how a firing is to be delivered: as its own rule says, or, if
// that is gone, as another of the endpoint's. The caller holds the lock.
func (o *outbox) specOf(ep *endpoint, f *actions.Firing) *rules.Action {
	if spec := o.specs[specKey{f.Rule, f.Action}]; spec != nil {
		return spec
	}
	return ep.spec
}

// wakeAt has an endpoint looked at again at t, or before. It has one timer: each
// look at a closed gate setting one of its own would double them each time. The
// caller holds the lock.
func (o *outbox) wakeAt(ep *endpoint, t time.Time) {
	if !ep.wake.IsZero() && !t.Before(ep.wake) {
		return
	}
	ep.wake = t
	if ep.timer != nil {
		ep.timer.Reset(time.Until(t))
		return
	}
	ep.timer = time.AfterFunc(time.Until(t), func() {
		o.mu.Lock()
		defer o.mu.Unlock()
		ep.wake = time.Time{}
		o.dispatch(ep)
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

// attempt makes one attempt of a job, and settles it. It returns false if the
// attempt was abandoned: then there is nothing left to do for the worker.
func (o *outbox) attempt(w *worker) bool {
	var res actions.Result
	var err error
	if w.firing == nil {
		err = o.readJob(w)
	}
	if err == nil {
		res, err = do(o.attempts, w.action, w.firing, w.spec.Timeout)
	}
	return o.conclude(w, res, err, false)
}

// readJob reads a worker's job.
func (o *outbox) readJob(w *worker) error {
	var f *actions.Firing
	stored, err := o.store.Load(w.job.seq)
	if err != nil {
		err = &unreadableError{fmt.Errorf("read the job: %w", err)}
	} else if f, err = firing.ParseBinary(firing.ID(stored.ID), stored.Payload); err != nil {
		err = &unreadableError{actions.Permanent(err)}
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if err != nil {
		w.spec = w.ep.spec
		return err
	}
	o.hand(w, f, o.specOf(w.ep, f))
	return nil
}

// unreadableError is of a job that could not be read, which is no fault of the
// endpoint's.
type unreadableError struct{ err error }

func (e *unreadableError) Error() string { return e.err.Error() }
func (e *unreadableError) Unwrap() error { return e.err }

func isUnreadable(err error) bool {
	_, ok := errors.AsType[*unreadableError](err)
	return ok
}

func do(ctx context.Context, action actions.Action, f *actions.Firing, timeout time.Duration) (actions.Result, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, timeout, timeoutError(timeout))
	defer cancel()
	res, err := action.Do(ctx, f)
	if err == nil || actions.IsPermanent(err) {
		return res, err
	}
	if late, ok := errors.AsType[timeoutError](context.Cause(ctx)); ok && !errors.Is(err, late) {
		err = fmt.Errorf("%w: %w", late, err)
	}
	return res, err
}

// verdict tells whether, and after which pause, a firing is attempted again: a
// random part of a time that doubles, or what the receiver asked for.
func verdict(spec *rules.Action, j *job, err error) (what outcome, reason string, pause time.Duration) {
	r := spec.Retry
	switch {
	case actions.IsPermanent(err):
		return givenUp, "permanent", 0
	case int(j.attempts) >= r.MaxAttempts:
		return givenUp, "attempts", 0
	}
	limit := r.MaxBackoff
	if n := j.attempts - 1; n < 32 {
		limit = min(limit, r.Backoff<<n)
	}
	pause = time.Duration(rand.Int64N(int64(limit) + 1))
	if asked, ok := actions.RetryDelay(err); ok {
		pause = max(pause, asked)
	}
	return tooOld(spec, j, pause)
}

// tooOld gives a firing up that would be too old at its next attempt.
func tooOld(spec *rules.Action, j *job, pause time.Duration) (what outcome, reason string, _ time.Duration) {
	if r := spec.Retry; r.MaxAge > 0 && time.Since(j.born.time())+pause > r.MaxAge {
		return givenUp, "age", 0
	}
	return retried, "", pause
}

// conclude judges a worker's attempt, settles its job, and tells. It does
// nothing, and returns false, if the attempt has been abandoned, and it is not
// for that that it is called.
func (o *outbox) conclude(w *worker, res actions.Result, err error, abandoned bool) bool {
	l, ep := w.lane, w.ep
	s := settlement{endpoint: ep.name, job: w.job, what: delivered, text: res.Status, excerpt: res.Excerpt, took: time.Since(w.began), evidence: evidenceOf(err)}
	s.job.firing = nil
	if w.firing != nil {
		s.id = w.firing.ID.String()
	}
	asked := time.Duration(0)
	if err != nil {
		s.text = err.Error()
		asked, _ = actions.RetryDelay(err)
	} else {
		s.excerpt = strings.ToValidUTF8(s.excerpt[:min(len(s.excerpt), maxDeliveredExcerpt)], "")
		failpoint("delivered")
	}

	o.mu.Lock()
	if w.abandoned != abandoned {
		o.mu.Unlock()
		return false
	}
	w.ends = time.Time{}
	if o.closed || err != nil && o.attempts.Err() != nil {
		o.mu.Unlock() // triggerd is stopping, which is no fault of the attempt: it waits for the next start
		return true
	}
	now := time.Now()
	before := ep.gate.condition(now)
	v := ep.end(now, l, w.attempt, s.evidence, asked)
	pause := time.Duration(0)
	switch {
	case v.down: // no attempt of this firing: one more of the endpoint
		s.what, s.reason, pause = tooOld(w.spec, &s.job, 0)
	case err != nil:
		s.job.attempts++
		s.what, s.reason, pause = verdict(w.spec, &s.job, err)
	default:
		s.job.attempts++
	}
	if s.job.due = 0; pause > 0 {
		s.job.due = momentOf(now.Add(pause))
	}
	if w.job.attempts == 0 && !v.down {
		o.instruments.waited(ep, w.began.Sub(w.job.born.time()))
	}
	o.noteHold(ep, now)
	o.settle(l, &s, v)
	after := ep.gate.condition(now)
	o.mu.Unlock()
	o.tell(ep.name, before, after, s.text)
	o.report(w.firing, &s, err, pause)
	return true
}

// settle deals with the outcome of an attempt. The caller holds the lock.
func (o *outbox) settle(l *lane, s *settlement, v verdicts) {
	ep := l.ep
	l.busy = false
	o.settled = append(o.settled, *s)
	o.nudgeSettled()
	o.observed(ep, s)
	if s.what == retried {
		o.stats.Failed++
		first := l.jobs.first()
		first.attempts, first.due = s.job.attempts, s.job.due
		o.supersede(l)
		l.jobs.first().due = s.job.due // a newer one waits as long
		if v.down {
			ep.line(l).pushFront(l) // it keeps its turn
			return
		}
		ep.queue(l, time.Now())
		return
	}
	if s.what == givenUp {
		o.stats.Failed++
		o.stats.GivenUp++
	} else {
		o.stats.Delivered++
	}
	o.unindex(l)
	o.count(ep, -1)
	o.room.Broadcast()
	o.advance(l)
}

// A settlement is not waited for by anyone: those of a short time are written
// together.
const (
	settleTime = 2 * time.Millisecond
	settleMost = 256
)

// nudgeSettled has the keeper write what has settled, at once if the last time
// is a while ago. The caller holds the lock.
func (o *outbox) nudgeSettled() {
	switch n := len(o.settled); {
	case n >= settleMost, time.Since(o.settledAt) >= settleTime:
		o.nudge()
	case n == 1:
		time.AfterFunc(settleTime, o.nudge)
	}
}

// advance brings a lane, of which a job is done, to the next. The caller holds
// the lock.
func (o *outbox) advance(l *lane) {
	if l.jobs.len() == 0 && l.skipped > 0 {
		if err := o.rescan(l); err != nil {
			o.fatal(fmt.Errorf("store: %w", err))
			return
		}
	}
	switch {
	case l.jobs.len() > 0:
		l.ep.queue(l, time.Now()) // behind the others: a busy key does not starve them
	default:
		l.ep.forget(l)
	}
}

// tell logs what has changed with an endpoint by an attempt.
func (o *outbox) tell(name string, before, after condition, text string) {
	if before == after {
		return
	}
	trouble := func(c condition) bool { return c == down || c == suspect }
	switch {
	case after == onHold:
		o.log.Warn("endpoint asked to be left alone: it is only probed until then", "action", name, "err", text)
	case trouble(after):
		o.log.Warn("endpoint fails again and again: few attempts are made until one succeeds", "action", name, "state", string(after), "err", text)
	case trouble(before) || before == onHold:
		o.log.Info("endpoint answers again", "action", name)
	}
}

func (o *outbox) report(f *actions.Firing, s *settlement, err error, pause time.Duration) {
	if f == nil {
		o.log.Error("job cannot be read", "action", s.endpoint, "seq", s.job.seq, "err", err)
		return
	}
	if s.what == delivered && !o.log.Enabled(context.Background(), slog.LevelDebug) {
		return
	}
	about := []any{"rule", f.Rule, "action", f.Action, "firing", f.ID, "attempt", f.Attempt}
	switch s.what {
	case delivered:
		o.log.Debug("delivered", append(about, "status", s.text)...)
	case retried:
		o.log.Warn("delivery failed, trying again", append(about, "err", err, "pause", pause.Round(time.Millisecond))...)
	case givenUp:
		o.log.Error("delivery given up", append(about, "err", err, "key", text(f.Event.Key))...)
	}
}

// stop ends the outbox: what was taken in is written, what is under way gets
// until ctx is done to settle. With drain set, what is ready is attempted too.
// It returns how many firings are left.
func (o *outbox) stop(ctx context.Context, drain bool) (left int) {
	defer context.AfterFunc(ctx, o.room.Broadcast)()
	o.mu.Lock()
	if !drain {
		o.stopping = true
	}
	for ctx.Err() == nil && (o.workers > 0 || drain && o.busy()) {
		o.room.Wait()
	}
	o.stopping = true
	defer o.mu.Unlock()
	return o.pending
}

// busy reports whether something is on its way to an attempt. The caller holds
// the lock.
func (o *outbox) busy() bool {
	if len(o.intake) > 0 {
		return true
	}
	now := time.Now()
	for _, ep := range o.endpoints {
		if ep.inLine() > 0 && !ep.paused && ep.action != nil && !ep.gate.closed(now) {
			return true
		}
	}
	return false
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

// close waits for the workers, whose context is done, and for the keeper. It
// does not wait for ever for an attempt that does not end.
func (o *outbox) close() {
	o.mu.Lock()
	o.stopping = true
	o.mu.Unlock()
	ended := make(chan struct{})
	go func() {
		o.wg.Wait()
		close(ended)
	}()
	limit := time.NewTimer(o.longestGrace())
	defer limit.Stop()
	select {
	case <-ended:
	case <-limit.C:
		o.log.Error("attempts abandoned at the end: they do not end")
	}
	o.mu.Lock()
	o.closed = true
	o.mu.Unlock()
	close(o.quit)
	<-o.kept
}
