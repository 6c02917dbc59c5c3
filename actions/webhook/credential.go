package webhook

import (
	"net/url"
	"slices"
	"strings"

	"triggerd/internal/secret"
	"triggerd/internal/tmpl"
)

// credentials are texts that are written in a webhook's fields, or sent, and look
// like a credential by their place. What came from the environment or from files
// is known by its value (Options.Secrets).
type credentials []string

func (c credentials) add(values ...string) credentials { return append(c, values...) }

// minToken is how many bytes a text has at least that may well be a token.
const minToken = 16

// addLong adds those values that are as long as a token is.
func (c credentials) addLong(values ...string) credentials {
	for _, v := range values {
		if len(v) >= minToken {
			c = append(c, v)
		}
	}
	return c
}

// ofHeader adds the value of a header that carries a credential, and the
// credential alone ("Bearer abc": abc).
func (c credentials) ofHeader(name, value string) credentials {
	if !secret.NamesCredential(name) {
		return c
	}
	return c.add(value).add(strings.Fields(value)[min(1, len(strings.Fields(value))):]...)
}

// ofURL adds what in a URL may well be a credential: long values in its query
// and long segments of its path, as in https://hooks.slack.com/services/T0/B0/token.
func (c credentials) ofURL(u *url.URL) credentials {
	for _, values := range u.Query() {
		c = c.addLong(values...)
	}
	for pair := range strings.SplitSeq(u.RawQuery, "&") {
		_, value, _ := strings.Cut(pair, "=")
		c = c.addLong(value)
	}
	for segment := range strings.SplitSeq(u.EscapedPath(), "/") {
		c = c.addLong(segment)
	}
	return c
}

// ofTarget adds what the user wrote into path and query, and may well be a
// credential: what is long, and the value of a parameter with the name of one.
// Data is none of it.
func (c credentials) ofTarget(target *tmpl.Template) credentials {
	for _, literal := range target.Literals() {
		for part := range strings.FieldsFuncSeq(literal, func(r rune) bool { return strings.ContainsRune("/?&", r) }) {
			name, value, ok := strings.Cut(part, "=")
			if !ok {
				name, value = "", part
			}
			plain, err := url.QueryUnescape(value)
			if err != nil {
				plain = value
			}
			if secret.NamesCredential(name) {
				c = c.add(value, plain)
			} else {
				c = c.addLong(value, plain)
			}
		}
	}
	return c
}

// schemes are words that stand before a credential and say what it is.
var schemes = []string{"Basic", "Bearer", "Token", "Digest", "ApiKey", "Key", "GenieKey", "Splunk"}

func isScheme(word string) bool {
	return slices.ContainsFunc(schemes, func(s string) bool { return strings.EqualFold(s, word) })
}

// maskedCredential returns what is shown of the value of a header that carries a
// credential.
func maskedCredential(value string) string {
	if scheme, _, ok := strings.Cut(value, " "); ok && isScheme(scheme) {
		return scheme + " " + secret.Mark
	}
	return secret.Mark
}

// written returns what the user wrote into the value of a header that carries a
// credential by its name: the words, without schemes, and where that is all of
// the value, all of it. Nothing of a header that has only data in it.
func (h *header) written() credentials {
	if !secret.NamesCredential(h.name) {
		return nil
	}
	var words credentials
	for _, literal := range h.value.Literals() {
		words = words.add(strings.Fields(literal)...)
	}
	words = slices.DeleteFunc(words, isScheme)
	if text, fixed := h.value.Fixed(); fixed {
		words = words.add(text)
	}
	return words
}
