package outbox

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"triggerd/actions"
	"triggerd/internal/delivered"
	"triggerd/internal/delivered/form"
	"triggerd/internal/failpoint"
	"triggerd/internal/firing"
	"triggerd/internal/store"
)

// ErrRefused is of something that is understood, and not done as things are.
var ErrRefused = errors.New("not done")

// Redeliver has deliveries that were made and are kept made once more, by their
// numbers, and returns how many. Each becomes a pending firing with the ID that
// it had, which is marked as redelivered, goes to the action as it now is, and
// comes after what waits for its key.
//
// The error is store.ErrNotFound if one of them is not kept, and ErrRefused if it
// cannot be delivered: no rule has its action any more, or, unless changed is
// set, the action goes elsewhere now. Then none is delivered. The outbox has to
// run.
func (o *Outbox) Redeliver(ctx context.Context, numbers []uint64, changed bool) (n int, err error) {
	jobs := make([]store.Job, 0, len(numbers))
	for _, number := range numbers {
		r, err := o.keptRecord(number)
		if err != nil {
			return 0, err
		}
		j, err := o.jobAgain(r, changed)
		if err != nil {
			return 0, err
		}
		jobs = append(jobs, j)
	}
	for chunk := range slices.Chunk(jobs, maxOrderSize) {
		done, err := o.runOrder(ctx, &keeperOrder{run: func() (int, error) { return o.enqueueAgain(chunk) }})
		n += done
		if err != nil {
			return n, err
		}
	}
	return n, nil
}

// SelectDelivered returns the numbers of the deliveries that are kept and that q
// selects, the oldest first, each firing once. The limit of q does not count.
func (o *Outbox) SelectDelivered(ctx context.Context, q Query) (numbers []uint64, err error) {
	if o.kept == nil {
		return nil, errNotKept
	}
	seen := map[string]bool{}
	for r, err := range o.kept.Latest(o.keptQuery(&q)) {
		if err != nil {
			return nil, err
		}
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		if seen[r.ID] {
			continue
		}
		seen[r.ID] = true
		numbers = append(numbers, r.Seq)
	}
	slices.Reverse(numbers)
	return numbers, nil
}

// errNotKept is of an outbox that keeps no deliveries.
var errNotKept = fmt.Errorf("%w: deliveries are not kept: [store] keep_delivered is 0", ErrRefused)

// keptRecord returns what is kept of a delivery.
func (o *Outbox) keptRecord(number uint64) (*delivered.Record, error) {
	if o.kept == nil {
		return nil, errNotKept
	}
	for r, err := range o.kept.Latest(delivered.Query{Seq: number}) {
		return r, err
	}
	return nil, fmt.Errorf("%w: delivery %d was not delivered, or is no longer kept", store.ErrNotFound, number)
}

// jobAgain returns the job with which a delivery is made once more.
func (o *Outbox) jobAgain(r *delivered.Record, changed bool) (j store.Job, err error) {
	if len(r.Payload) == 0 {
		return j, fmt.Errorf("%w: delivery %d was too large to be kept whole", ErrRefused, r.Seq)
	}
	a := o.actionOf(r.Endpoint)
	if a == nil {
		return j, fmt.Errorf("%w: delivery %d was made by %s, which no rule has any more", ErrRefused, r.Seq, r.Endpoint)
	}
	if request, err := form.ParseRequest(r.Request); err == nil && !changed {
		if now := actions.Destination(a); now != request.Destination {
			return j, fmt.Errorf("%w: delivery %d went to %s, and %s goes to %s now; ask for it with changed (--changed)", ErrRefused, r.Seq, request.Destination, r.Endpoint, now)
		}
	}
	f, err := firing.ParseBinary(firing.ID(r.ID), r.Payload)
	if err != nil {
		return j, fmt.Errorf("%w: delivery %d: %w", ErrRefused, r.Seq, err)
	}
	f.Redelivered = true
	return store.Job{Endpoint: r.Endpoint, Lane: r.Lane, ID: r.ID, Born: time.Now(), Payload: firing.AppendBinary(nil, f)}, nil
}

// enqueueAgain commits jobs. The keeper calls it.
func (o *Outbox) enqueueAgain(jobs []store.Job) (int, error) {
	b := o.store.NewBatch()
	for i := range jobs {
		b.Enqueue(jobs[i])
	}
	failpoint.Here("redelivering")
	first, err := b.Commit()
	if err != nil {
		return 0, err
	}
	failpoint.Here("redelivered")
	added := addedJobs{}
	for i := range jobs {
		added.add(jobs[i].Endpoint, first+uint64(i))
	}
	o.admitStored(added, first)
	return len(jobs), nil
}

// addedJobs has, by endpoint, how many jobs were added to the store, and the last
// of their numbers.
type addedJobs map[string]struct {
	n    int
	last uint64
}

func (a addedJobs) add(endpoint string, number uint64) {
	one := a[endpoint]
	one.n, one.last = one.n+1, max(one.last, number)
	a[endpoint] = one
}

// admitStored has endpoints find jobs that are in the store, from a number on.
func (o *Outbox) admitStored(added addedJobs, first uint64) {
	for name, jobs := range added {
		o.mu.Lock()
		ep := o.endpoint(name)
		o.in.addPending(ep.account, jobs.n)
		o.mu.Unlock()
		ep.addRequeued(first, jobs.last)
	}
}
