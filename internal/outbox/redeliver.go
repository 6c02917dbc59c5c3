package outbox

import (
	"context"
	"errors"
	"fmt"
	"maps"
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
// numbers, each of them given once, and returns how many. Each becomes a pending firing with the ID that
// it had, which is marked as redelivered, goes to the action as it now is, and
// comes after what waits for its key.
//
// The error is store.ErrNotFound if one of them is not kept, and ErrRefused if it
// cannot be delivered: no rule has its action any more, or, unless changed is
// set, the action goes elsewhere now. Then none is delivered. The outbox has to
// run.
func (o *Outbox) Redeliver(ctx context.Context, numbers []uint64, changed bool) (n int, err error) {
	if err := o.jobsAgain(ctx, numbers, changed, func(int, store.Job) {}); err != nil {
		return 0, err
	}
	for chunk := range slices.Chunk(numbers, maxOrderSize) { // all at once may be more than memory has room for
		jobs := make([]store.Job, len(chunk))
		if err := o.jobsAgain(ctx, chunk, changed, func(i int, j store.Job) { jobs[i] = j }); err != nil {
			return n, err
		}
		done, err := o.runOrder(ctx, &keeperOrder{run: func() (int, error) { return o.enqueueAgain(jobs) }})
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
	for r, err := range o.kept.Latest(ctx, o.keptQuery(&q)) {
		if err != nil {
			return nil, err
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

// jobsAgain calls add with the job of each of some deliveries, by its place in
// numbers, in the order in which it finds them.
func (o *Outbox) jobsAgain(ctx context.Context, numbers []uint64, changed bool, add func(int, store.Job)) error {
	if o.kept == nil {
		return errNotKept
	}
	at, failed := make(map[uint64]int, len(numbers)), make(map[uint64]error)
	for i, number := range numbers {
		at[number] = i
	}
	for r, err := range o.kept.Latest(ctx, delivered.Query{Seqs: slices.Sorted(maps.Keys(at))}) {
		if err != nil {
			return err
		}
		i, wanted := at[r.Seq]
		if !wanted {
			continue // it is there twice, and the latest counts
		}
		delete(at, r.Seq)
		j, err := o.jobAgain(r, changed)
		if err != nil {
			failed[r.Seq] = err
			continue
		}
		add(i, j)
	}
	for _, number := range numbers { // of several errors the first that was asked for
		if err := failed[number]; err != nil {
			return err
		}
		if _, missing := at[number]; missing {
			return fmt.Errorf("%w: delivery %d was not delivered, or is no longer kept", store.ErrNotFound, number)
		}
	}
	return nil
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
