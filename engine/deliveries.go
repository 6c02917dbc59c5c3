package engine

import (
	"context"
	"errors"
	"fmt"
	"iter"

	"triggerd/internal/admin"
	"triggerd/internal/outbox"
	"triggerd/internal/store"
)

// unknownError turns the store's ErrNotFound into admin.ErrUnknown.
func unknownError(err error) error {
	if errors.Is(err, store.ErrNotFound) {
		return fmt.Errorf("%w: %w", admin.ErrUnknown, err)
	}
	return err
}

func toAdmin(list []outbox.Delivery, next uint64, err error) ([]admin.Delivery, uint64, error) {
	var shown []admin.Delivery
	for i := range list {
		shown = append(shown, admin.Delivery(list[i]))
	}
	return shown, next, err
}

// Pending lists firings that wait, the oldest first. next is the Before of the
// query for the following ones, 0 at the end.
func (e *Engine) Pending(q admin.Query) (list []admin.Delivery, next uint64, err error) {
	return toAdmin(e.outbox.Pending(outbox.Query(q)))
}

// Delivered lists deliveries that succeeded, the latest first. next is the
// Before of the query for the following ones, 0 at the end.
func (e *Engine) Delivered(q admin.Query) (list []admin.Delivery, next uint64, err error) {
	return toAdmin(e.outbox.Delivered(outbox.Query(q)))
}

// Delivery returns a firing that is pending or delivered, by its number or by
// its ID. By its ID a pending one is found only among the first 100,000 of its
// action. The error is admin.ErrUnknown if there is none.
func (e *Engine) Delivery(number uint64, id string) (*admin.Delivery, error) {
	d, err := e.outbox.Delivery(number, id)
	return (*admin.Delivery)(d), unknownError(err)
}

// RetryNow has firings that wait for their next attempt attempted as soon as
// their turn comes.
//
// If number is not 0, that is the pending firing of this number. It is the next
// to be attempted, whatever the state of its endpoint.
//
// If number is 0, it is all firings of an action. Earlier failures then no
// longer count against the action's endpoint, nor against keys. A pause stays.
//
// n is how many keys go on. A firing that is not in memory counts as one key.
// pending is how many firings wait.
func (e *Engine) RetryNow(action string, number uint64) (n, pending int, err error) {
	if action == "" {
		pending, ok := e.outbox.RetryFiring(number)
		if !ok {
			return 0, 0, fmt.Errorf("%w: delivery %d does not wait for its next attempt: it is delivered, being attempted, behind another of its key, or one of very many", admin.ErrUnknown, number)
		}
		return 1, pending, nil
	}
	n, pending, ok := e.outbox.RetryEndpoint(action)
	if !ok {
		return 0, 0, fmt.Errorf("%w: no action is called %q; there are %s", admin.ErrUnknown, action, listNames(e.outbox.Names()))
	}
	return n, pending, nil
}

// DeadLetters lists dead letters, the latest first. next is the Before of the
// query for the following ones, 0 at the end.
func (e *Engine) DeadLetters(q admin.Query) (list []admin.DeadLetter, next uint64, err error) {
	letters, next, err := e.outbox.DeadLetters(outbox.Query(q))
	for i := range letters {
		list = append(list, admin.DeadLetter(letters[i]))
	}
	return list, next, err
}

// AllDead iterates over the dead letters that q selects, the latest first; the
// limit of q does not count. If whole is set, each has its payload. If there is
// an error, it is the last that is yielded.
func (e *Engine) AllDead(q admin.Query, whole bool) iter.Seq2[*admin.DeadLetter, error] {
	return func(yield func(*admin.DeadLetter, error) bool) {
		for d, err := range e.outbox.AllDead(outbox.Query(q), whole) {
			if !yield((*admin.DeadLetter)(d), err) {
				return
			}
		}
	}
}

// DeadLetter returns a dead letter with its payload. The error is
// admin.ErrUnknown if there is none of that number.
func (e *Engine) DeadLetter(number uint64) (*admin.DeadLetter, error) {
	d, err := e.outbox.DeadLetter(number)
	return (*admin.DeadLetter)(d), unknownError(err)
}

// RetryDead turns dead letters into pending firings that count as never
// attempted, and returns how many. They keep their IDs, and are attempted after
// the firings that already wait for the same keys.
//
// The error is admin.ErrUnknown if a number is of no dead letter, or of one
// that stands for dropped firings, whose payloads were not kept. Letters before
// it in numbers have been retried. Run has to be running.
func (e *Engine) RetryDead(ctx context.Context, numbers ...uint64) (n int, err error) {
	n, err = e.outbox.RetryDead(ctx, numbers...)
	return n, unknownError(err)
}

// RetryAllDead does RetryDead for all dead letters that q selects. The limit of
// q does not count.
func (e *Engine) RetryAllDead(ctx context.Context, q admin.Query) (n int, err error) {
	numbers, err := e.outbox.SelectDead(outbox.Query(q), true)
	if err != nil {
		return 0, err
	}
	return e.RetryDead(ctx, numbers...)
}

// DropDead deletes dead letters, and returns how many. The error is
// admin.ErrUnknown if a number is of no dead letter.
func (e *Engine) DropDead(numbers ...uint64) (n int, err error) {
	n, err = e.outbox.DropDead(numbers...)
	return n, unknownError(err)
}

// DropAllDead does DropDead for all dead letters that q selects. The limit of q
// does not count.
func (e *Engine) DropAllDead(q admin.Query) (n int, err error) {
	numbers, err := e.outbox.SelectDead(outbox.Query(q), false)
	if err != nil {
		return 0, err
	}
	return e.DropDead(numbers...)
}
