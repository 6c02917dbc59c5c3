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
func (w *webhook) Render(f *firing.Firing) (actions.Preview, error) {
	r, err := w.newRequest(context.Background(), f, time.Now())
	if err != nil {
		return actions.Preview{}, actions.Unsent(fmt.Errorf("%s: %w", w.label(), err))
	}
	if len(w.signers) > 0 {
		r.header.Set("Webhook-Signature", secret.Mark)
	}
	var hidden credentials
	for _, h := range w.headers {
		own := h.written()
		if len(own) > 0 {
			r.header.Set(h.name, maskedCredential(r.header.Get(h.name)))
		}
		hidden = hidden.add(own...)
	}
	if w.tokens != nil {
		r.header.Set("Authorization", "Bearer "+secret.Mark)
		hidden = hidden.add(w.tokens.recent()...)
	}
	hidden = hidden.ofTarget(w.target)
	var headers []actions.Named
	for _, name := range slices.Sorted(maps.Keys(r.header)) {
		for _, value := range r.header[name] {
			headers = append(headers, actions.Named{Name: name, Value: value})
		}
	}
	return actions.NewPreview([]string{w.method, r.url}, headers, r.plain, w.masker.With(hidden...)), nil
}
