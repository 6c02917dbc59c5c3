package outbox

import (
	"context"
	"errors"
	"time"

	"triggerd/actions"
	"triggerd/internal/firing"
)

// What waits for an endpoint that no rule has any more is held: it is delivered
// if the endpoint comes back, and given up once it is older than the rules
// allow. That is the same whether the endpoint has gone with a reload or while
// triggerd was not running, so nothing of the old rules counts.

// Removed is the key of the policy for what no rule has any more.
var Removed = PolicyKey{}

// keptRemoved is the policy where the rules have none under Removed.
var keptRemoved = &Policy{Timeout: 5 * time.Second, Retry: Retry{MaxAttempts: 1, MaxAge: 24 * time.Hour}, Order: firing.OrderKey, Overflow: firing.Block}

// removedPolicy returns the policy for what no rule has any more.
func (h *host) removedPolicy() *Policy {
	if all := h.policies.Load(); all != nil {
		if p := (*all)[Removed]; p != nil {
			return p
		}
	}
	return keptRemoved
}

var errRemoved = errors.New("no rule has the action any more")

// removed is the action of an endpoint that no rule has any more.
type removed struct{}

func (removed) Do(context.Context, *actions.Firing) (actions.Result, error) {
	return actions.Result{}, actions.Unsent(errRemoved)
}

// remove takes the endpoint's action away, and returns it. The caller holds the
// lock.
func (ep *endpoint) remove() actions.Action {
	old := ep.action
	ep.action, ep.policy, ep.batches, ep.latestOnly = nil, nil, false, false
	return old
}

// takeExpired gives a worker the oldest firing that waits for an endpoint without
// an action, if it is too old, and reports whether it is. If not, it is looked at
// again when it will be. The caller holds the lock.
func (ep *endpoint) takeExpired(w *worker) bool {
	maxAge := ep.removedPolicy().Retry.MaxAge
	if maxAge == 0 || ep.gate.busy > 0 {
		return false
	}
	ep.refill()
	now := time.Now()
	ep.wakeDue(now)
	for ep.byAge.len() > 0 && ep.byAge.first().gone() {
		ep.byAge.pop()
	}
	if ep.byAge.len() == 0 {
		return false
	}
	l := ep.byAge.first().lane
	if at := l.jobs.first().born.time().Add(maxAge); now.Before(at) {
		ep.wakeAt(at)
		return false
	}
	if l.place == asleep {
		ep.wakeMatching(func(other *lane) bool { return other == l })
	}
	if l.place == away {
		return false // it is looked at again when it is back
	}
	ep.begin(w, l, attempt{turn: urgent}, now)
	w.action = removed{}
	w.batched = w.batched[:0]
	return true
}
