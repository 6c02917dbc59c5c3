package engine

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strings"
	"time"

	"triggerd/internal/admin"
	"triggerd/internal/outbox"
	"triggerd/internal/store"
)

// adminError turns errors of the outbox and the store into those of admin.
func adminError(err error) error {
	switch {
	case errors.Is(err, store.ErrNotFound):
		return &statedError{err, strings.TrimPrefix(err.Error(), store.ErrNotFound.Error()+": "), admin.ErrUnknown}
	case errors.Is(err, outbox.ErrRefused), errors.Is(err, store.ErrNoSpace):
		return &statedError{err, strings.TrimPrefix(err.Error(), outbox.ErrRefused.Error()+": "), admin.ErrRefused}
	}
	return err
}

// statedError is an error of admin, with the text of a cause that says more.
type statedError struct {
	cause error
	text  string
	is    error
}

func (e *statedError) Error() string { return e.text }
func (e *statedError) Unwrap() []error {
	if e.cause == nil {
		return []error{e.is}
	}
	return []error{e.is, e.cause}
}

func toAdmin(list []outbox.Delivery, next uint64, err error) ([]admin.Delivery, uint64, error) {
	var shown []admin.Delivery
	for i := range list {
		shown = append(shown, *adminDelivery(&list[i]))
	}
	return shown, next, err
}

func adminDelivery(d *outbox.Delivery) *admin.Delivery {
	return &admin.Delivery{
		Number: d.Number, State: d.State, Action: d.Action, Rule: d.Rule, ID: d.ID, Event: d.Event, Key: d.Key, Attempts: d.Attempts, Planned: d.Planned, Due: d.Due,
		LastError: d.LastError, Excerpt: d.Excerpt, Delivered: d.Delivered, Status: d.Status, Code: d.Code, Seconds: d.Took.Seconds(),
		DeadLetter: d.DeadLetter, Reason: d.Reason, Redelivered: d.Redelivered, Firing: d.Firing, Timeline: adminTimeline(d.Timeline), Request: adminRequest(d.Request),
	}
}

func adminTimeline(list []outbox.AttemptRecord) (shown []admin.Attempt) {
	for i := range list {
		a := &list[i]
		shown = append(shown, admin.Attempt{
			Number: a.Number, Uncounted: a.Uncounted, At: a.At, Seconds: a.Took.Seconds(), Outcome: outcomes[a.Outcome], Code: a.Code, Text: a.Text, Excerpt: a.Excerpt,
		})
	}
	return shown
}

func adminRequest(r *outbox.Request) *admin.Request {
	if r == nil {
		return nil
	}
	shown := &admin.Request{Sent: r.Sent, Call: r.Call, EventBody: r.EventBody, Body: r.Body}
	for _, n := range r.Named {
		shown.Headers = append(shown.Headers, admin.Header(n))
	}
	return shown
}

func adminDead(d *outbox.DeadLetter) *admin.DeadLetter {
	return &admin.DeadLetter{
		Number: d.Number, Action: d.Action, Rule: d.Rule, ID: d.ID, Reason: d.Reason, Error: d.Error, Excerpt: d.Excerpt, Event: d.Event, Key: d.Key,
		Attempts: d.Attempts, Planned: d.Planned, GivenUp: d.GivenUp, Firing: d.Firing, Timeline: adminTimeline(d.Timeline), Request: adminRequest(d.Request),
	}
}

// Pending lists firings that wait, the oldest first. next is the Before of the
// query for the following ones, 0 at the end.
func (e *Engine) Pending(ctx context.Context, q admin.Query) (list []admin.Delivery, next uint64, err error) {
	return toAdmin(e.outbox.Pending(ctx, outbox.Query(q)))
}

// Delivered lists deliveries that succeeded, the latest first. next is the
// Before of the query for the following ones, 0 at the end.
func (e *Engine) Delivered(ctx context.Context, q admin.Query) (list []admin.Delivery, next uint64, err error) {
	return toAdmin(e.outbox.Delivered(ctx, outbox.Query(q)))
}

// Delivery returns a firing that is pending, delivered or dead, by its number or by
// its ID. By its ID a pending one is found only among the first 100,000 of its
// action. The error is admin.ErrUnknown if there is none.
func (e *Engine) Delivery(ctx context.Context, number uint64, id string) (*admin.Delivery, error) {
	d, err := e.outbox.Delivery(ctx, number, id)
	if err != nil {
		return nil, adminError(err)
	}
	return adminDelivery(d), nil
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
func (e *Engine) DeadLetters(ctx context.Context, q admin.Query) (list []admin.DeadLetter, next uint64, err error) {
	letters, next, err := e.outbox.DeadLetters(ctx, outbox.Query(q))
	for i := range letters {
		list = append(list, *adminDead(&letters[i]))
	}
	return list, next, err
}

// AllDead iterates over the dead letters that q selects, the latest first; the
// limit of q does not count. If whole is set, each has its payload. If there is
// an error, it is the last that is yielded.
func (e *Engine) AllDead(ctx context.Context, q admin.Query, whole bool) iter.Seq2[*admin.DeadLetter, error] {
	return func(yield func(*admin.DeadLetter, error) bool) {
		for d, err := range e.outbox.AllDead(ctx, outbox.Query(q), whole) {
			if err != nil {
				yield(nil, err)
				return
			}
			if !yield(adminDead(d), nil) {
				return
			}
		}
	}
}

// DeadLetter returns a dead letter with its payload. The error is
// admin.ErrUnknown if there is none of that number.
func (e *Engine) DeadLetter(ctx context.Context, number uint64) (*admin.DeadLetter, error) {
	d, err := e.outbox.DeadLetter(ctx, number)
	if err != nil {
		return nil, adminError(err)
	}
	return adminDead(d), nil
}

// Causes groups the dead letters that q selects by action and cause, the largest
// group first. The limit of q does not count.
func (e *Engine) Causes(ctx context.Context, q admin.Query) (list []admin.Cause, more bool, err error) {
	causes, more, err := e.outbox.Causes(ctx, outbox.Query(q))
	for _, c := range causes {
		list = append(list, admin.Cause(c))
	}
	return list, more, err
}

// checkExpected returns an error if there are more than were expected.
func checkExpected(s *admin.Selection, n int) error {
	if s.Expect != nil && n > *s.Expect {
		return &statedError{nil, fmt.Sprintf("there are %d by now, and %d were expected: nothing was done", n, *s.Expect), admin.ErrRefused}
	}
	return nil
}

// selectDead returns the numbers of the dead letters that are meant. If jobs is
// set, those that cannot be retried are left out where all are meant.
func (e *Engine) selectDead(ctx context.Context, s *admin.Selection, jobs bool) (numbers []uint64, err error) {
	if numbers = s.Numbers; s.All {
		if numbers, err = e.outbox.SelectDead(ctx, outbox.Query(s.Query), jobs); err != nil {
			return nil, err
		}
	}
	return numbers, checkExpected(s, len(numbers))
}

// RetryDead turns dead letters into pending firings that count as never
// attempted, and returns how many. They keep their IDs, and are attempted after
// the firings that already wait for the same keys.
//
// The error is admin.ErrUnknown if a number is of no dead letter, or of one
// that stands for dropped firings, whose payloads were not kept. Letters before
// it in numbers have been retried. Run has to be running.
func (e *Engine) RetryDead(ctx context.Context, s admin.Selection) (n int, err error) {
	numbers, err := e.selectDead(ctx, &s, true)
	if err != nil {
		return 0, err
	}
	n, err = e.outbox.RetryDead(ctx, numbers...)
	return n, adminError(err)
}

// DropDead deletes dead letters, and returns how many. The error is
// admin.ErrUnknown if a number is of no dead letter.
func (e *Engine) DropDead(ctx context.Context, s admin.Selection) (n int, err error) {
	numbers, err := e.selectDead(ctx, &s, false)
	if err != nil {
		return 0, err
	}
	n, err = e.outbox.DropDead(numbers...)
	return n, adminError(err)
}

// cancelPatience is how long Cancel waits for attempts in flight.
const cancelPatience = 30 * time.Second

// Cancel has pending firings not attempted any more: they are dead letters with
// the reason cancelled when it returns, on disk. Attempts in flight are waited for
// up to half a minute. The error is admin.ErrUnknown if a number is of no pending
// firing: then nothing is cancelled. Run has to be running.
func (e *Engine) Cancel(ctx context.Context, s admin.Selection, by string) (admin.Cancelled, error) {
	var list []outbox.Candidate
	var err error
	if s.All {
		list, err = e.outbox.SelectPending(ctx, outbox.Query(s.Query))
	} else {
		list, err = e.outbox.PendingByNumber(s.Numbers)
	}
	if err == nil && len(list) == 0 {
		err = &statedError{nil, "nothing that waits is selected", admin.ErrUnknown}
	}
	if err == nil {
		err = checkExpected(&s, len(list))
	}
	if err != nil {
		return admin.Cancelled{}, adminError(err)
	}
	done, err := e.outbox.Cancel(ctx, list, by, cancelPatience)
	return admin.Cancelled(done), adminError(err)
}

// Redeliver has deliveries that were made and are kept made once more, and
// returns how many: see outbox.Outbox.Redeliver. The error is admin.ErrUnknown if
// one is not kept, and admin.ErrRefused if one cannot be delivered: then none is.
// Run has to be running.
func (e *Engine) Redeliver(ctx context.Context, s admin.Selection, changed bool) (n int, err error) {
	numbers := s.Numbers
	if s.All {
		if numbers, err = e.outbox.SelectDelivered(ctx, outbox.Query(s.Query)); err != nil {
			return 0, adminError(err)
		}
	}
	if len(numbers) == 0 {
		return 0, &statedError{nil, "nothing that was delivered and is kept is selected", admin.ErrUnknown}
	}
	if err := checkExpected(&s, len(numbers)); err != nil {
		return 0, err
	}
	n, err = e.outbox.Redeliver(ctx, numbers, changed)
	return n, adminError(err)
}
