package webhook

import (
	"net/url"
	"strings"
	"testing"
)

// FuzzEncodeAttribute: whatever an attribute is, its header is printable ASCII
// that needs no quotes, and a receiver reads the attribute back from it.
func FuzzEncodeAttribute(f *testing.F) {
	for _, s := range []string{"", "Euro € 😀", "100%", "a\r\nce-id: x", "\xff\x00", "a+b"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got := encodeAttribute(s)
		if strings.ContainsFunc(got, func(r rune) bool { return r <= ' ' || r >= 0x7f || r == '"' }) {
			t.Fatalf("%q became %q", s, got)
		}
		if back, err := url.PathUnescape(got); err != nil || back != s {
			t.Fatalf("%q became %q and then %q, %v", s, got, back, err)
		}
	})
}
