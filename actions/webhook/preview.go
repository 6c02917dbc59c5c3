package webhook

import (
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"

	"triggerd/actions"
	"triggerd/internal/firing"
	"triggerd/internal/secret"
	"triggerd/internal/tmpl"
)

// Render shows the request that Do would send. No access token is got for it.
//
// A header that carries a credential by its name is shown without what the user
// wrote into it; one that has nothing but data in it is shown. The rest is masked
// by value.
func (w *webhook) Render(f *firing.Firing) (actions.Preview, error) {
	r, err := w.newRequest(f, time.Now())
	if err != nil {
		return actions.Preview{}, actions.Unsent(fmt.Errorf("%s: %w", w.label(), err))
	}
	if len(w.signers) > 0 {
		r.header.Set("Webhook-Signature", secret.Mark)
	}
	var hidden secrets
	for _, h := range w.headers {
		own := h.credential()
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
	return actions.NewPreview([]string{w.method, r.url}, headers, r.plain, w.secrets.With(hidden...)), nil
}

// schemes are words that come before a credential and tell how it is one.
var schemes = []string{"Basic", "Bearer", "Token", "Digest", "ApiKey", "Key", "GenieKey", "Splunk"}

func isScheme(word string) bool {
	return slices.ContainsFunc(schemes, func(s string) bool { return strings.EqualFold(s, word) })
}

// credential returns what the user wrote into the value of a header that carries
// a credential by its name: all of it and its words, without schemes.
func (h *webhookHeader) credential() []string {
	if !secret.Named(h.name) {
		return nil
	}
	var words []string
	for _, literal := range h.value.Literals() {
		words = append(words, strings.Fields(literal)...)
	}
	words = slices.DeleteFunc(words, isScheme)
	if text, fixed := h.value.Fixed(); fixed {
		words = append(words, text)
	}
	return words
}

// maskedCredential returns what is shown of a credential.
func maskedCredential(value string) string {
	if scheme, _, ok := strings.Cut(value, " "); ok && isScheme(scheme) {
		return scheme + " " + secret.Mark
	}
	return secret.Mark
}

// ofTarget adds what the user wrote into path and query and may well be a
// credential: what is long, as in ofURL, and what is the value of a parameter
// with the name of one.
func (s secrets) ofTarget(target *tmpl.Template) secrets {
	for _, literal := range target.Literals() {
		for part := range strings.FieldsFuncSeq(literal, func(r rune) bool { return strings.ContainsRune("/?&", r) }) {
			name, value, ok := strings.Cut(part, "=")
			switch {
			case !ok:
				s = s.addLong(part)
			case secret.Named(name):
				s = s.add(value)
			default:
				s = s.addLong(value)
			}
			if plain, err := url.QueryUnescape(value); err == nil && secret.Named(name) {
				s = s.add(plain)
			}
		}
	}
	return s
}
