package outbox

import (
	"fmt"
	"time"

	"triggerd/actions"
)

// An action is to end with its context. One that does not would keep its slot,
// its lane and the end of triggerd waiting for ever, so that somebody else ends
// its attempt in its place. What comes of it later is nobody's.

// abandonAfter is how long after its time is up an attempt is waited for, beside
// what its action says that it may take.
const abandonAfter = 5 * time.Second

// endGrace is how long an action may take to end after its context is done.
func endGrace(a actions.Action) time.Duration {
	if g, ok := a.(interface{ Grace() time.Duration }); ok {
		return abandonAfter + g.Grace()
	}
	return abandonAfter
}

// setEnd sees to it that a worker's attempt, which begins now, ends. The caller
// holds the lock.
func (ep *endpoint) setEnd(w *worker) {
	w.ends = time.Now().Add(w.timeout + endGrace(w.action))
	ep.checkOverdueAt(w.ends)
}

// checkOverdueAt has the endpoint's attempts looked at at t, or before. There is one
// timer for all of them, which goes off once in a timeout and finds nothing.
func (ep *endpoint) checkOverdueAt(t time.Time) {
	if !ep.overdueAt.IsZero() && !t.Before(ep.overdueAt) {
		return
	}
	ep.overdueAt = t
	if ep.overdueTimer != nil {
		ep.overdueTimer.Reset(time.Until(t))
		return
	}
	ep.overdueTimer = time.AfterFunc(time.Until(t), ep.abandonOverdue)
}

// abandonOverdue abandons those of an endpoint's attempts that should have ended.
func (ep *endpoint) abandonOverdue() {
	var overdue []*worker
	ep.mu.Lock()
	ep.overdueAt = time.Time{}
	for now, i := time.Now(), 0; i < len(ep.crew); i++ {
		switch w := ep.crew[i]; {
		case w.ends.IsZero(), w.abandoned:
		case w.ends.After(now):
			ep.checkOverdueAt(w.ends)
		default:
			w.abandoned = true
			for _, other := range w.batched {
				other.abandoned = true
			}
			overdue = append(overdue, w)
		}
	}
	ep.mu.Unlock()
	for _, w := range overdue {
		w.abandon()
	}
}

// abandon ends an attempt in the place of its action, and its worker's work.
func (w *worker) abandon() {
	ep := w.ep
	ep.log.Error("attempt abandoned: it does not end", "action", ep.name, "firing", w.firing.ID, "timeout", w.timeout, "firings", 1+len(w.batched))
	err := fmt.Errorf("%w, and had not ended %s later: it was abandoned", timeoutError(w.timeout), endGrace(w.action))
	w.finish(actions.Result{}, err, true)
	for _, other := range w.batched {
		other.finish(actions.Result{}, err, true)
	}
	ep.mu.Lock()
	defer ep.mu.Unlock()
	ep.tally.abandoned += int64(1 + len(w.batched))
	ep.removeWorker(w)
	ep.dispatch()
}
