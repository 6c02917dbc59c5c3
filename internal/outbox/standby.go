package outbox

import (
	"iter"
	"time"

	"triggerd/actions"
	"triggerd/internal/firing"
)

// SetDelivering switches delivering off, or on again. An outbox delivers unless
// this is called, which may be before Start. While it is off, firings are taken
// in and committed as ever, but no attempt begins; attempts in flight end as
// usual. When it is on again, what waits is delivered in its order. Paused
// endpoints stay paused.
//
// If there is no room for a firing while delivering is off, its policy's
// Overflow applies as for an endpoint that is paused.
func (o *Outbox) SetDelivering(on bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.standby.Store(!on)
	for _, ep := range o.endpoints {
		ep.mu.Lock()
		o.publishCondition(ep, time.Now())
		ep.dispatch()
		ep.mu.Unlock()
	}
}

// Waiting is a firing that waits for an endpoint.
type Waiting struct {
	Number   uint64 // never used again; numbers rise in the order of commits
	Attempts int    // made so far
	Firing   *actions.Firing
}

// Waiting iterates over the firings that wait for an endpoint and have a number
// above after, in the order in which they were committed. It yields what was
// committed when it began; a firing that is delivered meanwhile may be left
// out. The caller owns what is yielded. If there is an error, it is the last
// that is yielded.
func (o *Outbox) Waiting(endpoint string, after uint64) iter.Seq2[Waiting, error] {
	return func(yield func(Waiting, error) bool) {
		for p, err := range o.store.Pending(endpoint, after+1) {
			if err != nil {
				yield(Waiting{}, err)
				return
			}
			f, err := o.readWaiting(p.Seq)
			switch {
			case isMissing(err):
				continue // delivered meanwhile
			case err != nil:
				yield(Waiting{}, err)
				return
			}
			if !yield(Waiting{Number: p.Seq, Attempts: p.Attempts, Firing: f}, nil) {
				return
			}
		}
	}
}

func (o *Outbox) readWaiting(number uint64) (*actions.Firing, error) {
	j, err := o.store.Load(number)
	if err != nil {
		return nil, err
	}
	return firing.ParseBinary(firing.ID(j.ID), j.Payload)
}
