package actions

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// WithTimeout returns the context of an attempt, which ends after d, or with ctx
// where that ends before. What did not come in time, "no answer", is what its
// cause says.
func WithTimeout(ctx context.Context, d time.Duration, what string) (context.Context, context.CancelFunc) {
	if at, ok := ctx.Deadline(); ok && time.Until(at) <= d {
		return ctx, func() {}
	}
	return context.WithTimeoutCause(ctx, d, fmt.Errorf("%s within %s: %w", what, d, context.DeadlineExceeded))
}

// ContextError returns the cause of ctx's end, as an error that is ctx.Err()
// too. ctx has ended.
func ContextError(ctx context.Context) error {
	cause := context.Cause(ctx)
	if errors.Is(cause, ctx.Err()) {
		return cause
	}
	return fmt.Errorf("%w: %w", ctx.Err(), cause)
}
