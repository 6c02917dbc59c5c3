package actions

import (
	"context"
	"errors"
	"slices"
	"time"

	"triggerd/internal/firing"
)

// Action does one thing with a firing: posts it, runs a command, writes a line.
//
// Do is called from many goroutines at once. It returns when the firing is
// delivered, when it failed, or soon after ctx is done. An error means "try
// again later" unless IsPermanent says otherwise. The firing is borrowed: Do
// keeps nothing of it after it returned.
//
// An Action that is also an io.Closer holds something between calls (a webhook
// its idle connections): Close lets go of it, and is called after the last Do.
// One with a method Grace() time.Duration may take that much longer to end after
// ctx is done (a command that does not heed SIGTERM).
//
// An Action may tell more of itself: see Destination, Reads, Render, Rate, Tracks,
// LatestOnly and Batcher.
type Action interface {
	Do(ctx context.Context, f *Firing) (Result, error)
}

// Batcher is an Action that delivers several firings at once for less than one by
// one.
//
// Batch returns an error for each firing, in their order, nil if that one is
// delivered, and says with each what Do would say. It is given one firing or
// more, BatchLimit at most, of which no two need an order. All else is as for Do:
// Batch is called from many goroutines at once, ends soon after ctx is done, and
// the firings, and the slice, are borrowed. A firing that has failed is
// delivered by Do when its turn comes again.
type Batcher interface {
	Action
	Batch(ctx context.Context, fs []*Firing) []error
}

// BatchLimit is how many firings a Batcher is given at once, at most.
const BatchLimit = 256

// Firing is what is delivered; see firing.Firing.
type Firing = firing.Firing

// Result tells what a delivered firing got for an answer, for logs and listings.
type Result struct {
	Status string // short: "200", "exit 0"; "" if there is nothing to say

	// Code is the status of the answer, or the exit code of the program, also with
	// an error; 0: there was none, or it was 0.
	Code int
	Exit bool // Code is an exit code

	// Sent tells what was sent, of a firing that was delivered. It is called at
	// most once, soon after Do has returned, while the firing is still borrowed.
	// nil: Render tells.
	Sent func() Sent

	// Excerpt is the beginning of what the receiver answered, or the program
	// wrote, fit to be shown: printable, without secrets, 4 KiB at most. With an
	// error too, whose text has it as well. "" where nothing was said.
	Excerpt string
}

// Sent is what an action has sent.
type Sent struct {
	Preview
	EventBody bool // the body is the JSON of the firing, and Body is left out

	// Like, if it is not nil, is what was sent except for Values, and Preview is
	// left out: so that what is the same of many requests is handled once. It is
	// never changed.
	Like   *Preview
	Values [3]Value // in the order of their places; those without a text do not count
}

// Value is a value of something that goes by name.
type Value struct {
	Place int // in Named
	Text  string
}

// Shown returns what was sent.
func (s *Sent) Shown() Preview {
	if s.Like == nil {
		return s.Preview
	}
	p := Preview{Call: s.Like.Call, Named: slices.Clone(s.Like.Named), Body: s.Like.Body}
	for _, v := range s.Values {
		if v.Text != "" {
			p.Named[v.Place].Value = v.Text
		}
	}
	return p
}

// Permanent marks err as one that no later attempt can mend.
func Permanent(err error) error { return &permanentError{err} }

// IsPermanent reports whether retrying after err is pointless.
func IsPermanent(err error) bool {
	_, ok := errors.AsType[*permanentError](err)
	return ok
}

// RetryAfter marks err as one after which the receiver asked to be left alone
// for d.
func RetryAfter(d time.Duration, err error) error { return &retryAfterError{d, err} }

// RetryDelay returns how long the receiver asked to be left alone, and false
// if it did not ask.
func RetryDelay(err error) (time.Duration, bool) {
	r, ok := errors.AsType[*retryAfterError](err)
	if !ok {
		return 0, false
	}
	return r.after, true
}

type permanentError struct{ err error }

func (e *permanentError) Error() string { return e.err.Error() }
func (e *permanentError) Unwrap() error { return e.err }

type retryAfterError struct {
	after time.Duration
	err   error
}

func (e *retryAfterError) Error() string { return e.err.Error() }
func (e *retryAfterError) Unwrap() error { return e.err }

// FieldError is a mistake in one field of an action's configuration. Errors
// returned by New are FieldErrors, joined by errors.Join, in the order of their
// names.
type FieldError struct {
	Name string // the field as the user wrote it: "url", "headers.Authorization"; "type" for the kind itself
	Err  error  // what is wrong and what to write instead
	Code string // of a warning, by which it is silenced; "" of a mistake
}

func (e *FieldError) Error() string { return e.Name + ": " + e.Err.Error() }
func (e *FieldError) Unwrap() error { return e.Err }

// Field returns the name of the wrong field.
func (e *FieldError) Field() string { return e.Name }

// WarningCode returns the code of a warning.
func (e *FieldError) WarningCode() string { return e.Code }

// Unknown reports whether the kind has no such field, whatever its value is.
func (e *FieldError) Unknown() bool { return errors.Is(e.Err, errUnknownField) }

var errUnknownField = errors.New("unknown field")
