package webhook

import (
	"net/url"
	"strings"

	"triggerd/internal/secret"
)

// secrets are a webhook's own: what is written in its fields, and looks like a
// credential by the name of the field. What came from the environment or from
// files is known by its value (Options.Secrets).
type secrets []string

// add adds values.
func (s secrets) add(values ...string) secrets { return append(s, values...) }

// ofHeader adds the value of a header that carries a credential, and the
// credential alone ("Bearer abc": abc).
func (s secrets) ofHeader(name, value string) secrets {
	if !secret.Named(name) {
		return s
	}
	return s.add(value).add(strings.Fields(value)[min(1, len(strings.Fields(value))):]...)
}

// addLong adds those values that are as long as a token is.
func (s secrets) addLong(values ...string) secrets {
	for _, v := range values {
		if len(v) >= 16 {
			s = append(s, v)
		}
	}
	return s
}

// ofURL adds what in a URL may well be a credential: long values in its query
// and long segments of its path, as in https://hooks.slack.com/services/T0/B0/token.
func (s secrets) ofURL(u *url.URL) secrets {
	for _, values := range u.Query() {
		s = s.addLong(values...)
	}
	for pair := range strings.SplitSeq(u.RawQuery, "&") {
		_, value, _ := strings.Cut(pair, "=")
		s = s.addLong(value)
	}
	for segment := range strings.SplitSeq(u.EscapedPath(), "/") {
		s = s.addLong(segment)
	}
	return s
}
