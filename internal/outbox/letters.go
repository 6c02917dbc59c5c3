package outbox

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"triggerd/internal/store"
)

// keeperOrder is something that the keeper is asked to do, because it has to
// happen in order with the keeper's commits.
type keeperOrder struct {
	numbers []uint64            // of dead letters to requeue
	trim    string              // or the endpoint whose firings are to be deleted
	upTo    uint64              // up to this number
	run     func() (int, error) // or what the keeper is to do; it returns how many were handled
	done    chan int            // capacity 1: how many were handled
	err     error               // set before done
}

// ErrNotRunning is returned by an outbox that was not started, or has ended.
var ErrNotRunning = errors.New("the engine does not run")

// maxOrderSize is how many dead letters are requeued or dropped in one batch.
const maxOrderSize = 200

// RetryDead turns dead letters into pending firings that count as never
// attempted, and returns how many. They keep their IDs, and are attempted after
// the firings that already wait for the same keys.
//
// The error is store.ErrNotFound if a number is of no dead letter, or of one
// that stands for dropped firings, whose payloads were not kept. Letters before
// it in numbers have been retried. The outbox has to run.
func (o *Outbox) RetryDead(ctx context.Context, numbers ...uint64) (n int, err error) {
	for chunk := range slices.Chunk(numbers, maxOrderSize) {
		done, err := o.runOrder(ctx, &keeperOrder{numbers: chunk})
		n += done
		if err != nil {
			return n, err
		}
	}
	return n, nil
}

// DropDead deletes dead letters, and returns how many. The error is
// store.ErrNotFound if a number is of no dead letter.
func (o *Outbox) DropDead(numbers ...uint64) (n int, err error) {
	for chunk := range slices.Chunk(numbers, maxOrderSize) {
		b := o.store.NewBatch()
		for _, number := range chunk {
			b.DropDead(number)
		}
		if _, err := b.Commit(); err != nil {
			return n, o.missingLetter(err, chunk)
		}
		n += len(chunk)
	}
	return n, nil
}

// missingLetter returns the error for the one of some dead letters that is not
// there, if err says that one is not.
func (o *Outbox) missingLetter(err error, numbers []uint64) error {
	if !isMissing(err) {
		return err
	}
	for _, number := range numbers {
		d, err := o.store.DeadLetter(number)
		switch {
		case isMissing(err):
			return fmt.Errorf("%w: no dead letter has the number %d", store.ErrNotFound, number)
		case err == nil && nothingToRetry(d):
			return fmt.Errorf("%w: of the dead letter %d nothing is left that could be delivered: %s", store.ErrNotFound, number, d.Reason)
		}
	}
	return err
}

// runOrder has the keeper carry out an order, and waits for it.
func (o *Outbox) runOrder(ctx context.Context, r *keeperOrder) (int, error) {
	r.done = make(chan int, 1)
	o.ledger.mu.Lock()
	o.ledger.orders = append(o.ledger.orders, r)
	o.ledger.mu.Unlock()
	o.wakeKeeper()
	return o.awaitOrder(ctx, r)
}

// awaitOrder waits until an order is carried out. The keeper may end, and ctx be
// done, at the same moment: the order counts then.
func (o *Outbox) awaitOrder(ctx context.Context, r *keeperOrder) (int, error) {
	var err error
	select {
	case n := <-r.done:
		return n, r.err
	case <-o.keeperDone:
		err = ErrNotRunning
	case <-ctx.Done():
		err = context.Cause(ctx)
	}
	select {
	case n := <-r.done:
		return n, r.err
	default:
		return 0, err
	}
}

// carryOutOrders carries out the orders that wait. The keeper calls it.
func (o *Outbox) carryOutOrders() {
	o.ledger.mu.Lock()
	orders := o.ledger.orders
	o.ledger.orders = nil
	o.ledger.mu.Unlock()
	for _, r := range orders {
		n := 0
		switch {
		case r.run != nil:
			n, r.err = r.run()
		case r.trim != "":
			n, r.err = o.trim(r.trim, r.upTo)
		default:
			n, r.err = o.requeue(r.numbers)
		}
		r.done <- n
	}
}

// requeue turns dead letters into jobs: all at once, or one by one up to the
// first that is missing.
func (o *Outbox) requeue(numbers []uint64) (n int, err error) {
	err = o.requeueBatch(numbers)
	if err == nil {
		return len(numbers), nil
	}
	if !errors.Is(err, store.ErrNotFound) {
		return 0, err
	}
	for _, number := range numbers {
		if err := o.requeueBatch([]uint64{number}); err != nil {
			return n, o.missingLetter(err, []uint64{number})
		}
		n++
	}
	return n, nil
}

func (o *Outbox) requeueBatch(numbers []uint64) error {
	b := o.store.NewBatch()
	endpoints := make([]string, len(numbers))
	for i, number := range numbers {
		d, err := o.store.DeadLetter(number)
		if err != nil {
			return err
		}
		endpoints[i] = d.Endpoint
		b.Requeue(number)
	}
	first, err := b.Commit()
	if err != nil {
		return err
	}
	added := addedJobs{}
	for i, name := range endpoints {
		added.add(name, first+uint64(i))
	}
	o.admitStored(added, first)
	return nil
}

// addRequeued has readMore find jobs between two numbers that are in the store,
// unless it has found them already.
func (ep *endpoint) addRequeued(first, last uint64) {
	ep.mu.Lock()
	defer ep.mu.Unlock()
	if last < ep.next {
		return
	}
	if !ep.hasUnindexed {
		ep.hasUnindexed, ep.next = true, max(first, ep.next)
	}
	ep.lastUnindexed = max(ep.lastUnindexed, last)
	ep.dispatch()
}
