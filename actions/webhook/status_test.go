package webhook

import (
	"net/http"
	"testing"
	"time"
)

func FuzzParseRetryAfter(f *testing.F) {
	for _, s := range []string{"", "0", "120", "-1", "99999999999999999999", "Fri, 31 Dec 1999 23:59:59 GMT", "Friday, 31-Dec-99 23:59:59 GMT", "Fri Dec 31 23:59:59 1999", "1e3", "٣", "0.65", "12.5", "1.2.3", "."} {
		f.Add(s)
	}
	now := time.Date(1999, 12, 31, 23, 0, 0, 0, time.UTC)
	f.Fuzz(func(t *testing.T, s string) {
		got := parseRetryAfter(s, now)
		if got < 0 || got > maxRetryAfter {
			t.Fatalf("%q: %v is out of bounds", s, got)
		}
		// A time that is honoured can be asked for again in either form.
		if got >= time.Second {
			date := now.Add(got).Format(http.TimeFormat)
			if again := parseRetryAfter(date, now); again != got.Truncate(time.Second) {
				t.Fatalf("%q: %v, but as the date %q %v", s, got, date, again)
			}
		}
	})
}
