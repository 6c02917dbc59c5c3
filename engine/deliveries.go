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

// unknown makes admin.ErrUnknown of what the store does not have.
func unknown(err error) error {
	if errors.Is(err, store.ErrNotFound) {
		return fmt.Errorf("%w: %w", admin.ErrUnknown, err)
	}
	return err
}

func deliveries(list []outbox.Delivery, next uint64, err error) ([]admin.Delivery, uint64, error) {
	var shown []admin.Delivery
	for i := range list {
		shown = append(shown, admin.Delivery(list[i]))
	}
	return shown, next, err
}

// Pending lists firings that wait, the oldest first, and returns the Before to
// go on with, 0 at the end.
func (e *Engine) Pending(q admin.Query) (list []admin.Delivery, next uint64, err error) {
	return deliveries(e.outbox.Pending(outbox.Query(q)))
}

// Delivered lists deliveries that were made, the latest first, and returns the
// Before to go on with, 0 at the end.
func (e *Engine) Delivered(q admin.Query) (list []admin.Delivery, next uint64, err error) {
	return deliveries(e.outbox.Delivered(outbox.Query(q)))
}

// Delivery returns one, pending or delivered, by its number or by the firing's
// ID. By its ID a pending one is found only among the first 100,000 of its
// action. The error is admin.ErrUnknown if there is none.
func (e *Engine) Delivery(number uint64, id string) (*admin.Delivery, error) {
	d, err := e.outbox.Delivery(number, id)
	return (*admin.Delivery)(d), unknown(err)
}

// RetryNow makes what waits for its next attempt be attempted as soon as its
// turn comes: the pending firing of a number, next and whatever its endpoint's
// state, or, if number is 0, all that an action has. Then what is held against
// the action's endpoint, and against its keys, is forgotten too; its pause is
// not. It returns how many keys go on, each firing that is not in memory counted
// as one, and how many firings wait.
func (e *Engine) RetryNow(action string, number uint64) (n, pending int, err error) {
	if action == "" {
		pending, ok := e.outbox.Hurry(number)
		if !ok {
			return 0, 0, fmt.Errorf("%w: delivery %d does not wait for its next attempt: it is delivered, being attempted, behind another of its key, or one of very many", admin.ErrUnknown, number)
		}
		return 1, pending, nil
	}
	n, pending, ok := e.outbox.Renew(action)
	if !ok {
		return 0, 0, fmt.Errorf("%w: no action is called %q; there are %s", admin.ErrUnknown, action, some(e.outbox.Names()))
	}
	return n, pending, nil
}

// DeadLetters lists dead letters, the latest first, and returns the Before to
// go on with, 0 at the end.
func (e *Engine) DeadLetters(q admin.Query) (list []admin.DeadLetter, next uint64, err error) {
	letters, next, err := e.outbox.DeadLetters(outbox.Query(q))
	for i := range letters {
		list = append(list, admin.DeadLetter(letters[i]))
	}
	return list, next, err
}

// AllDead iterates over the dead letters that q selects, whatever its limit,
// the latest first. With whole set they come with what was to be delivered. An
// error is the last of what it yields.
func (e *Engine) AllDead(q admin.Query, whole bool) iter.Seq2[*admin.DeadLetter, error] {
	return func(yield func(*admin.DeadLetter, error) bool) {
		for d, err := range e.outbox.AllDead(outbox.Query(q), whole) {
			if !yield((*admin.DeadLetter)(d), err) {
				return
			}
		}
	}
}

// DeadLetter returns one, with what was to be delivered. The error is
// admin.ErrUnknown if it is not there.
func (e *Engine) DeadLetter(number uint64) (*admin.DeadLetter, error) {
	d, err := e.outbox.DeadLetter(number)
	return (*admin.DeadLetter)(d), unknown(err)
}

// RetryDead makes pending firings of dead letters, as if they had never been
// attempted, and returns of how many. They keep their IDs and are attempted
// after what already waits for their keys. Where one is not there, or is of
// dropped firings, of which nothing was kept, the error is admin.ErrUnknown; those
// before it have been retried. Run has to be running.
func (e *Engine) RetryDead(ctx context.Context, numbers ...uint64) (n int, err error) {
	n, err = e.outbox.RetryDead(ctx, numbers...)
	return n, unknown(err)
}

// RetryAllDead is RetryDead for all that q selects, whatever its limit.
func (e *Engine) RetryAllDead(ctx context.Context, q admin.Query) (n int, err error) {
	numbers, err := e.outbox.SelectDead(outbox.Query(q), true)
	if err != nil {
		return 0, err
	}
	return e.RetryDead(ctx, numbers...)
}

// DropDead removes dead letters for good, and returns how many. Where one is
// not there the error is admin.ErrUnknown.
func (e *Engine) DropDead(numbers ...uint64) (n int, err error) {
	n, err = e.outbox.DropDead(numbers...)
	return n, unknown(err)
}

// DropAllDead is DropDead for all that q selects, whatever its limit.
func (e *Engine) DropAllDead(q admin.Query) (n int, err error) {
	numbers, err := e.outbox.SelectDead(outbox.Query(q), false)
	if err != nil {
		return 0, err
	}
	return e.DropDead(numbers...)
}
