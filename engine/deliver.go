package engine

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
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

// dispatch starts workers for what is ready. The caller holds the lock.
func (o *outbox) dispatch(ep *endpoint) {
	if ep.action == nil || ep.paused || o.stopping {
		return
	}
	if err := o.refill(ep); err != nil {
		o.fatal(fmt.Errorf("store: %w", err))
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
		t, ok := o.take(ep)
		if !ok {
			return
		}
		o.attempt(t)
	}
}

// taken is a lane that a worker has, with its first job and what to do with it.
type taken struct {
	lane   *lane
	job    job
	action actions.Action
	spec   *rules.Action // nil: known once the job was read
}

// take gives a worker its next lane, or ends the worker.
func (o *outbox) take(ep *endpoint) (t taken, ok bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.stopping && !ep.paused && ep.workers <= ep.concurrency {
		if err := o.refill(ep); err != nil {
			o.fatal(fmt.Errorf("store: %w", err))
		}
		for ep.ready.len() > 0 && (*ep.ready.first()).jobs.len() == 0 {
			ep.ready.pop() // all of its jobs were dropped
		}
		if ep.ready.len() > 0 && !o.readAhead(ep) {
			again := ep.gate.pass(time.Now())
			if again.IsZero() {
				l := ep.ready.pop()
				o.supersede(l) // of a lane from before a reload
				l.busy = true
				first := l.jobs.first()
				t = taken{lane: l, job: *first, action: ep.action}
				if f := o.unload(ep, first); f != nil {
					t.spec = o.specOf(ep, f)
				}
				return t, true
			}
			o.wakeAt(ep, again)
		}
	}
	ep.workers--
	o.workers--
	o.room.Broadcast()
	return taken{}, false
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

// attempt makes one attempt of a job, and settles it.
func (o *outbox) attempt(t taken) {
	l, j, f, spec := t.lane, t.job, t.job.firing, t.spec
	j.attempts++
	j.firing = nil
	began := time.Now()
	var err error
	if f == nil {
		f, spec, err = o.readJob(l.ep, j.seq)
	}
	var res actions.Result
	if err == nil {
		f.Attempt = int(j.attempts)
		res, err = do(o.attempts, t.action, f, spec.Timeout)
	}
	if err != nil && o.attempts.Err() != nil {
		return // triggerd is stopping, which is no fault of the attempt: it waits for the next start
	}
	s := settlement{endpoint: l.ep.name, job: j, what: delivered, text: res.Status, excerpt: res.Excerpt, took: time.Since(began)}
	if f != nil {
		s.id = f.ID.String()
	}
	pause := time.Duration(0)
	if err != nil {
		s.text = err.Error()
		s.what, s.reason, pause = verdict(spec, &j, err)
		s.job.due = momentOf(time.Now().Add(pause))
	}
	if s.what == delivered {
		s.excerpt = strings.ToValidUTF8(s.excerpt[:min(len(s.excerpt), maxDeliveredExcerpt)], "")
		failpoint("delivered")
	}
	o.report(f, &s, err, pause)
	o.settle(l, &s, err)
}

// readJob reads a job, and returns its firing and how it is to be delivered.
func (o *outbox) readJob(ep *endpoint, seq uint64) (*actions.Firing, *rules.Action, error) {
	var f *actions.Firing
	stored, err := o.store.Load(seq)
	if err != nil {
		err = fmt.Errorf("read the job: %w", err)
	} else if f, err = firing.ParseBinary(firing.ID(stored.ID), stored.Payload); err != nil {
		err = actions.Permanent(err)
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if err != nil {
		return nil, ep.spec, err
	}
	return f, o.specOf(ep, f), nil
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
	if r.MaxAge > 0 && time.Since(j.born.time())+pause > r.MaxAge {
		return givenUp, "age", 0
	}
	return retried, "", pause
}

// settle deals with the outcome of an attempt.
func (o *outbox) settle(l *lane, s *settlement, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	l.busy = false
	o.settled = append(o.settled, *s)
	o.nudgeSettled()
	o.judge(l.ep, s, err)
	o.observed(l.ep, s)
	if s.what == retried {
		o.stats.Failed++
		first := l.jobs.first()
		first.attempts, first.due = s.job.attempts, s.job.due
		o.supersede(l)
		l.jobs.first().due = s.job.due // a newer one waits as long
		o.queue(l, time.Now())
		o.dispatch(l.ep)
		return
	}
	if s.what == givenUp {
		o.stats.Failed++
		o.stats.GivenUp++
	} else {
		o.stats.Delivered++
	}
	o.unindex(l)
	l.ep.pending--
	o.pending--
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
		o.queue(l, time.Now()) // behind the others: a busy key does not starve them
	default:
		l.ep.forget(l)
	}
}

// judge tells the endpoint's gate how it went. The caller holds the lock.
func (o *outbox) judge(ep *endpoint, s *settlement, err error) {
	if err == nil || actions.IsPermanent(err) { // it is there, and answers
		if ep.gate.succeeded() {
			o.log.Info("endpoint answers again", "action", ep.name)
			o.dispatch(ep)
		}
		return
	}
	asked, _ := actions.RetryDelay(err)
	if ep.gate.failed(time.Now(), asked) {
		o.log.Warn("endpoint fails again and again: only one attempt at a time is made until one succeeds", "action", ep.name, "pending", ep.pending, "err", s.text)
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
	for _, ep := range o.endpoints {
		if ep.ready.len() > 0 && !ep.paused && ep.action != nil && !ep.gate.open {
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

// close waits for the workers, whose context is done, and for the keeper.
func (o *outbox) close() {
	o.wg.Wait()
	close(o.quit)
	<-o.kept
}
