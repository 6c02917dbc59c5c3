package actions

import (
	"net/url"
	"slices"
	"strings"
)

// secrets are texts that must not appear where people read: passwords, signing
// secrets, credentials in headers.
type secrets []string

// minSecret is the length below which a text is no secret worth hiding: to
// replace every "a" would only spoil the message.
const minSecret = 4

// add adds values; short ones are left out.
func (s secrets) add(values ...string) secrets {
	for _, v := range values {
		if len(v) >= minSecret {
			s = append(s, v)
		}
	}
	return s
}

// hide replaces every secret in text.
func (s secrets) hide(text string) string {
	longestFirst := slices.SortedFunc(slices.Values(s), func(a, b string) int { return len(b) - len(a) })
	for _, v := range longestFirst {
		text = strings.ReplaceAll(text, v, "***")
	}
	return text
}

// sensitive reports whether a header or variable of this name carries a
// credential, going by what such names are called.
func sensitive(name string) bool {
	name = strings.ToLower(name)
	for _, word := range []string{"auth", "cookie", "token", "secret", "key", "passw", "signature", "credential"} {
		if strings.Contains(name, word) {
			return true
		}
	}
	return false
}

// ofHeader adds the value of a header that carries a credential, and the
// credential alone ("Bearer abc": abc).
func (s secrets) ofHeader(name, value string) secrets {
	if !sensitive(name) {
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
