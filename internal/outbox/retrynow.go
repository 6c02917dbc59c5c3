package outbox

import "time"

// RetryEndpoint forgets what earlier failures say against an endpoint and its
// lanes, and has what waits attempted as soon as its turn comes. A pause stays.
// It returns how many lanes go on, with each firing that is not in memory
// counted as one, and how many firings wait. ok is false if there is no such
// endpoint.
func (o *Outbox) RetryEndpoint(name string) (n, pending int, ok bool) {
	o.mu.Lock()
	ep := o.endpoints[name]
	o.mu.Unlock()
	if ep == nil {
		return 0, 0, false
	}
	pending = o.in.pendingOf(ep.account)
	ep.mu.Lock()
	defer ep.mu.Unlock()
	ep.forgetTrouble()
	ep.updateSavedHold(time.Now())
	ep.owner.publishCondition(ep, time.Now())
	n = ep.inLine() + ep.running + max(pending-ep.indexed, 0)
	ep.dispatch()
	return n, pending, true
}

// RetryFiring has the pending firing of a number attempted next, whatever the
// state of its endpoint, and returns how many wait for that endpoint. ok is
// false if the firing does not wait for an attempt: it is delivered, being
// attempted, after another of its lane, or not in memory.
func (o *Outbox) RetryFiring(number uint64) (pending int, ok bool) {
	for _, ep := range o.all() {
		if ep.prioritizeNow(number) {
			return o.in.pendingOf(ep.account), true
		}
	}
	return 0, false
}

func (ep *endpoint) prioritizeNow(number uint64) bool {
	ep.mu.Lock()
	defer ep.mu.Unlock()
	if !ep.prioritize(number) {
		return false
	}
	ep.dispatch()
	return true
}
