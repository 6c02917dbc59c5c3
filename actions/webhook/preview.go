package webhook

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"triggerd/actions"
	"triggerd/internal/firing"
	"triggerd/internal/secret"
)

// Render shows the request that Do would send. No access token is got for it.
//
// A header that carries a credential by its name is shown without what the user
// wrote into it; one that has nothing but data in it is shown. The rest is masked
// by value.
func (w *webhook) Render(ctx context.Context, f *firing.Firing) (actions.Preview, error) {
	r, err := w.newRequest(ctx, f, time.Now())
	if err != nil {
		return actions.Preview{}, actions.Unsent(fmt.Errorf("%s: %w", w.label(), err))
	}
	return w.preview(r, r.plain), nil
}

// sent tells what was sent with a request that is no longer needed. The JSON of
// the firing is left out.
//
// It is called for each delivery. Where nothing but the body has data in it, as
// for most webhooks, what it tells of the first request is told of the others,
// with what differs put in.
func (w *webhook) sent(r *request) actions.Sent {
	if w.body != nil || w.binary || w.service != nil || w.contentType == "" {
		return actions.Sent{Preview: w.preview(r, r.plain)}
	}
	if first := w.first.Load(); first != nil {
		if s, ok := first.alike(r); ok {
			return s
		}
	}
	p := w.preview(r, nil)
	if w.isPlain() {
		w.first.Store(newSentPreview(p, len(r.header)))
	}
	return actions.Sent{Preview: p, EventBody: true}
}

// isPlain reports whether no templates are in URL and headers, and no access
// token is sent.
func (w *webhook) isPlain() bool {
	if w.fixed == "" || w.tokens != nil {
		return false
	}
	for i := range w.headers {
		if _, fixed := w.headers[i].value.Fixed(); !fixed {
			return false
		}
	}
	return true
}

// sentPreview is what was told of a request.
type sentPreview struct {
	actions.Preview
	headers int    // how many headers the request had
	places  [3]int // of each of differing; -1: it has none
}

// differing are the headers that are not the same in each request, in the order of
// their names.
var differing = [...]string{"Traceparent", "Webhook-Id", "Webhook-Timestamp"}

func newSentPreview(p actions.Preview, headers int) *sentPreview {
	s := &sentPreview{Preview: p, headers: headers}
	for i, name := range differing {
		s.places[i] = slices.IndexFunc(p.Named, func(n actions.Named) bool { return n.Name == name })
	}
	return s
}

// alike returns what is to be told of another request, and false if that has
// other headers.
func (s *sentPreview) alike(r *request) (sent actions.Sent, ok bool) {
	if len(r.header) != s.headers {
		return sent, false
	}
	sent.EventBody, sent.Like = true, &s.Preview
	for i, place := range s.places {
		values := r.header[differing[i]]
		if place < 0 || len(values) != 1 {
			return sent, false
		}
		sent.Values[i] = actions.Value{Place: place, Text: values[0]}
	}
	return sent, true
}

// preview shows a request with a body, and takes secrets out of the request.
func (w *webhook) preview(r *request, body []byte) actions.Preview {
	if len(w.signers) > 0 {
		r.header.Set("Webhook-Signature", secret.Mark)
	}
	for i := range w.headers {
		if h := &w.headers[i]; len(h.written()) > 0 {
			r.header.Set(h.name, maskedCredential(r.header.Get(h.name)))
		}
	}
	masker := w.shown
	if w.tokens != nil {
		r.header.Set("Authorization", "Bearer "+secret.Mark)
		masker = masker.With(w.tokens.recent()...)
	}
	headers := make([]actions.Named, 0, len(r.header))
	for _, name := range slices.Sorted(maps.Keys(r.header)) {
		for _, value := range r.header[name] {
			headers = append(headers, actions.Named{Name: name, Value: value})
		}
	}
	return actions.NewPreview([]string{w.method, r.url}, headers, body, masker)
}
