package webhook

import (
	"context"
	"net/http/httptrace"
	"sync/atomic"

	"triggerd/actions"
)

// connection tells whether a request has a connection that it can be sent over.
// A request that is sent again over another, because the kept one was dead,
// begins anew.
type connection struct{ made atomic.Bool }

// watch returns a context for a request that c is to tell of.
func (c *connection) watch(ctx context.Context) context.Context {
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GetConn: func(string) { c.made.Store(false) },
		GotConn: func(httptrace.GotConnInfo) { c.made.Store(true) },
	})
}

// failure marks err, of a request without an answer.
func (c *connection) failure(err error) error {
	if c.made.Load() {
		return actions.Unanswered(err)
	}
	return actions.Unreached(err)
}
