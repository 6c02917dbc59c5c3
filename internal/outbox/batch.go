package outbox

import (
	"context"
	"fmt"
	"time"

	"triggerd/actions"
)

// An action that is a Batcher gets the first jobs of several lanes at once, if
// they are ready. Each is an attempt of its own: it is settled by itself, and
// its lane goes on by itself.

// fillBatch adds attempts to the batch of a worker: those that are ready, as
// far as the gate allows. A lane is never in a batch twice, since a lane that
// is being attempted is in no line. The caller holds the lock.
func (ep *endpoint) fillBatch(w *worker, now time.Time) {
	if w.firing == nil || w.rewound || w.attempt.turn == nextFailed || w.attempt.turn == urgent {
		return
	}
	for len(w.batched) < actions.BatchLimit-1 {
		a := ep.gate.nextInBatch(now, ep.waiting())
		l := ep.laneFor(a.turn)
		if l == nil {
			return
		}
		ep.supersede(l)
		first := l.jobs.first().firing
		if first == nil {
			return // it has to be read first; the others do not wait for that
		}
		if ep.rewound != nil {
			if _, cancel := ep.rewound(first); cancel {
				return // it is settled by itself
			}
		}
		other := &worker{ep: ep}
		ep.begin(other, l, a, now)
		w.batched = append(w.batched, other)
		if other.ends.Before(w.ends) {
			w.ends, w.timeout = other.ends, other.timeout
		}
	}
}

// makeBatch makes the attempts of a worker and of those in its batch, and
// settles each. It returns false if they were abandoned.
func (w *worker) makeBatch() bool {
	fs := make([]*actions.Firing, 0, 1+len(w.batched))
	fs = append(fs, w.firing)
	for _, other := range w.batched {
		fs = append(fs, other.firing)
	}
	errs := w.doBatch(fs)
	if !w.finish(actions.Result{}, errs[0], false) {
		return false
	}
	for i, other := range w.batched {
		other.finish(actions.Result{}, errs[i+1], false)
	}
	return true
}

// doBatch returns an error for each firing. If the action returns another
// number of errors, it is not known which firings were delivered, and none
// counts as such.
func (w *worker) doBatch(fs []*actions.Firing) []error {
	ctx, cancel := context.WithTimeoutCause(w.ep.attempts, w.timeout, timeoutError(w.timeout))
	defer cancel()
	n := len(fs)
	errs := w.action.(actions.Batcher).Batch(ctx, fs)
	if len(errs) != n {
		err := fmt.Errorf("the action returned %d errors for a batch of %d firings", len(errs), n)
		w.ep.log.Error("a batch is made again, one by one", "action", w.ep.name, "err", err)
		errs = make([]error, n)
		for i := range errs {
			errs[i] = err
		}
		return errs
	}
	for i, err := range errs {
		errs[i] = lateError(ctx, err)
	}
	return errs
}
