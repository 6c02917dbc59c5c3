package outbox

import (
	"context"
	"errors"
	"fmt"
	"time"

	"triggerd/internal/store"
)

// ErrDelivering is returned by what cannot be done while an outbox delivers.
var ErrDelivering = errors.New("it delivers")

// errTrimLater says that an endpoint has attempts or reads in flight.
var errTrimLater = errors.New("something is under way")

// trimPause is how long Trim waits before it tries again.
const trimPause = 5 * time.Millisecond

// Trim deletes firings that wait for an endpoint and have a number up to last,
// without delivering them: somebody else has. It returns how many. The outbox
// has to run, but must not deliver, else the error is ErrDelivering. Trim waits
// for attempts in flight until ctx is done. After an error some firings may be
// deleted.
func (o *Outbox) Trim(ctx context.Context, endpoint string, last uint64) (n int, err error) {
	for {
		done, err := o.runOrder(ctx, &keeperOrder{trim: endpoint, upTo: last})
		n += done
		if err != errTrimLater {
			return n, err
		}
		select {
		case <-time.After(trimPause):
		case <-ctx.Done():
			return n, context.Cause(ctx)
		}
	}
}

// trim is the keeper's part of Trim: nothing is committed meanwhile, and all
// outcomes were written before.
func (o *Outbox) trim(name string, last uint64) (n int, err error) {
	o.mu.Lock()
	ep, delivers := o.endpoints[name], !o.standby.Load()
	o.mu.Unlock()
	switch {
	case delivers:
		return 0, ErrDelivering
	case ep == nil:
		return 0, fmt.Errorf("%w: no endpoint is called %q", store.ErrNotFound, name)
	case !ep.beginTrim():
		return 0, errTrimLater
	}
	if err = o.writeLedger(); err == nil {
		n, err = o.removeWaiting(name, last)
	}
	o.in.addPending(ep.account, -n)
	ep.endTrim()
	return n, err
}

// removeWaiting deletes jobs of an endpoint from the store.
func (o *Outbox) removeWaiting(endpoint string, last uint64) (n int, err error) {
	b := o.store.NewBatch()
	in := 0 // the batch
	for p, err := range o.store.Pending(endpoint, 0) {
		if err != nil {
			return n, err
		}
		if p.Seq > last {
			break
		}
		b.Settle(endpoint, p.Seq, p.Attempts+1)
		if in++; in < maxOrderSize {
			continue
		}
		if _, err := b.Commit(); err != nil {
			return n, err
		}
		n, in = n+in, 0
	}
	if in == 0 {
		return n, nil
	}
	if _, err := b.Commit(); err != nil {
		return n, err
	}
	return n + in, nil
}

// beginTrim stops attempts and reads from beginning. It reports whether none is
// in flight.
func (ep *endpoint) beginTrim() bool {
	ep.mu.Lock()
	defer ep.mu.Unlock()
	if ep.running > 0 || ep.reading || ep.filling {
		return false
	}
	for _, l := range ep.lanes {
		if l.filling {
			return false
		}
	}
	ep.trimming, ep.filling = true, true
	return true
}

// endTrim empties the index. What is left in the store is read again, as after
// a start.
func (ep *endpoint) endTrim() {
	ep.mu.Lock()
	defer ep.mu.Unlock()
	for _, a := range ep.byAge.all() {
		if a.gone() {
			continue
		}
		if j := a.lane.find(a.seq); j != nil {
			ep.unload(j)
		}
	}
	clear(ep.lanes)
	for i := range ep.lines {
		ep.lines[i] = line{place: place(i)}
	}
	ep.recent, ep.asleep, ep.byAge = fifo[*lane]{}, nil, fifo[agedJob]{}
	ep.failing, ep.indexed, ep.loaded = 0, 0, 0
	ep.next, ep.lastUnindexed, ep.hasUnindexed = 1, 0, true // all that is committed is there to be found
	ep.trimming, ep.filling = false, false
	ep.expelOldest()
	ep.dispatch()
}
