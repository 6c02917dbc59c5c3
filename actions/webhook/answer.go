package webhook

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"triggerd/actions"
	"triggerd/internal/event"
	"triggerd/internal/excerpt"
)

// Limits on what is read of an answer after its status decided: enough for a
// small body to end, so that the connection can be used again, also where this
// machine is busy.
const (
	drainBytes = 64 << 10
	drainTime  = time.Second

	maxErrorExcerpt     = 512 // of an excerpt, in an error's text
	maxDeliveredExcerpt = 480 // of the answer to what was delivered, of which 512 bytes are kept
)

// errSwitched is the answer 101 Switching Protocols. Nothing was asked for that
// it could be the answer to, and what follows it has no end: net/http hands the
// connection over, whose reads no context ends, for a body.
var errSwitched = errors.New("101 Switching Protocols, which was not asked for; the connection was closed")

// endAnswer has the end of ctx close an answer, which ends a read of it, until
// the function it returns is called. It is for every answer of which something
// is read: it is not left to the transport whether a read heeds ctx.
func endAnswer(ctx context.Context, resp *http.Response) (stop func() bool) {
	return context.AfterFunc(ctx, func() { resp.Body.Close() })
}

// answer judges a response and closes it.
func (w *webhook) answer(ctx context.Context, resp *http.Response, r *request) (actions.Result, error) {
	defer resp.Body.Close()
	if resp.StatusCode == http.StatusSwitchingProtocols {
		return actions.Result{Code: resp.StatusCode}, fmt.Errorf("%s: %w", w.label(), errSwitched)
	}
	defer endAnswer(ctx, resp)()
	if resp.ContentLength != 0 {
		slow := time.AfterFunc(drainTime, func() { resp.Body.Close() }) // which ends a read
		defer slow.Stop()
	}
	rest := io.LimitReader(resp.Body, drainBytes)

	v := w.statuses.of(resp.StatusCode)
	if v == delivered {
		res := actions.Result{Status: strconv.Itoa(resp.StatusCode), Code: resp.StatusCode, Sent: func() actions.Sent { return w.sent(r) }}
		if resp.ContentLength != 0 {
			res.Excerpt = w.deliveredExcerpt(rest, r) // however the body ends, the status has decided
		}
		return res, nil
	}
	body, broken := io.ReadAll(rest) // what came of it is shown
	secrets := w.secretsOf(r)
	text := fmt.Sprintf("%s: %d %s", w.label(), resp.StatusCode, http.StatusText(resp.StatusCode))
	if to, err := resp.Location(); err == nil && resp.StatusCode/100 == 3 {
		text += fmt.Sprintf(", a redirect to %s, which is not followed", event.AppendText(nil, secrets.Mask(to.Scheme+"://"+to.Host)))
	}
	res := actions.Result{Code: resp.StatusCode}
	if said := bytes.TrimSpace(body); len(said) > 0 {
		shown, left := excerpt.Masked(secrets, said, broken != nil || len(body) == drainBytes)
		text += ": " + excerpt.ShortOf(shown, maxErrorExcerpt, left)
		res.Excerpt = excerpt.ShortOf(shown, excerpt.Max, left)
	}
	if aborted(resp.Header) {
		return res, actions.Permanent(errors.New(text + " (the receiver asked not to be sent it again: webhook-delivery: abort-message)"))
	}
	err := errors.New(text)
	if v == drop {
		return res, actions.Permanent(err)
	}
	if wait := parseRetryAfter(resp.Header.Get("Retry-After"), time.Now()); wait > 0 {
		return res, actions.RetryAfter(wait, err)
	}
	return res, err
}

// deliveredExcerpt reads what was answered to a request that was delivered, and
// returns the beginning of it.
func (w *webhook) deliveredExcerpt(body io.Reader, r *request) string {
	head := make([]byte, 2*maxDeliveredExcerpt) // what is masked gets shorter
	n, _ := io.ReadFull(body, head)
	left, err := io.Copy(io.Discard, body)
	said := bytes.TrimSpace(head[:n])
	if len(said) == 0 {
		return ""
	}
	secrets := w.shown // which has what is in each request, and is made once
	if !w.isPlain() {
		secrets = w.secretsOf(r)
	}
	shown, more := excerpt.Masked(secrets, said, n == len(head) || err != nil)
	return excerpt.ShortOf(shown, maxDeliveredExcerpt, more+int(left))
}

// aborted reports whether a receiver asks for no more attempts of this firing.
func aborted(h http.Header) bool {
	return slices.ContainsFunc(h.Values("Webhook-Delivery"), func(v string) bool {
		return strings.EqualFold(strings.TrimSpace(v), "abort-message")
	})
}
