package outbox

import (
	"fmt"
	"log/slog"
	"sync"
	"time"

	"triggerd/actions"
)

// An action has to end when its context is done. One that does not would keep
// its slot, its lane and the end of triggerd waiting for ever. So its attempt
// is abandoned: it counts as failed, and what it does later is ignored.

// abandonAfter is how long an attempt is waited for after its timeout, beside
// what its action says that it may take.
const abandonAfter = 5 * time.Second

// endGrace returns how long an action may take to end after its context is
// done.
func endGrace(a actions.Action) time.Duration {
	if g, ok := a.(interface{ Grace() time.Duration }); ok {
		return abandonAfter + g.Grace()
	}
	return abandonAfter
}

// awaitAttempts waits, at the end, for workers whose attempts' context is done.
// An attempt that takes longer is abandoned, which is logged.
func awaitAttempts(workers *sync.WaitGroup, longest time.Duration, log *slog.Logger) {
	ended := make(chan struct{})
	go func() {
		workers.Wait()
		close(ended)
	}()
	limit := time.NewTimer(longest)
	defer limit.Stop()
	select {
	case <-ended:
		return
	case <-limit.C:
	}
	select {
	case <-ended: // at the same moment
	default:
		log.Error("attempts abandoned at the end: they do not end")
	}
}

// setEnd sets the time by which a worker's attempt, which begins now, has to
// have ended. The caller holds the lock.
func (ep *endpoint) setEnd(w *worker) {
	w.ends = time.Now().Add(w.timeout + endGrace(w.action))
	ep.checkOverdueAt(w.ends)
}

// checkOverdueAt has the endpoint's attempts checked at t or before. One timer
// serves them all. It usually fires once in a timeout, and finds nothing.
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

// abandonOverdue abandons the attempts that should have ended.
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

// abandon settles the attempts of a worker in place of the worker, which still
// waits for the action.
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
