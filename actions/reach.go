package actions

import (
	"context"
	"errors"
	"fmt"
)

// What an error says of the receiver, beside IsPermanent and RetryDelay. An
// error that none of these functions knows is an answer: the receiver was
// reached, and said no.

// Unreached marks err as one of an attempt that did not come as far as the
// receiver: its name or address was not found, it refused the connection, TLS or
// the proxy failed, there was no access token, the program could not be started.
func Unreached(err error) error { return &reachError{err, unreached} }

// IsUnreached reports whether an attempt did not come as far as the receiver.
func IsUnreached(err error) bool { return reached(err, unreached) }

// Unanswered marks err as one of an attempt that was sent, and of which it is
// not known what became of it: the connection broke.
func Unanswered(err error) error { return &reachError{err, unanswered} }

// IsUnanswered reports whether an attempt was sent and got no answer: in time,
// or at all. It is false for what is unreached.
func IsUnanswered(err error) bool {
	return reached(err, unanswered) || errors.Is(err, context.DeadlineExceeded) && !IsUnreached(err)
}

// Unsent marks err as permanent, and as one that nothing was sent for: a
// template failed, or what it made cannot be sent. It says nothing of the
// receiver.
func Unsent(err error) error { return &reachError{Permanent(err), unsent} }

// Unrendered is Unsent of what a template came to, unless ctx has ended: then
// another attempt may have the time.
func Unrendered(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return fmt.Errorf("%w: %w", err, ContextError(ctx))
	}
	return Unsent(err)
}

// IsUnsent reports whether nothing was sent because of the firing itself.
func IsUnsent(err error) bool { return reached(err, unsent) }

type reachKind uint8

const (
	unreached reachKind = iota
	unanswered
	unsent
)

type reachError struct {
	err  error
	kind reachKind
}

func (e *reachError) Error() string { return e.err.Error() }
func (e *reachError) Unwrap() error { return e.err }

func reached(err error, kind reachKind) bool {
	e, ok := errors.AsType[*reachError](err)
	return ok && e.kind == kind
}
