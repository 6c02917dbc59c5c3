package form

import (
	"fmt"
	"testing"
	"time"

	"triggerd/actions"
)

// What is kept of attempts and requests is read as it was written, and nothing
// else is read.
func FuzzForms(f *testing.F) {
	a := Attempt{Number: 3, Uncounted: true, At: time.Unix(1_700_000_000, 5), Took: time.Second, Outcome: GivenUp, Code: 503, Text: "text", Excerpt: "excerpt"}
	f.Add(AppendAttempt(nil, &a))
	f.Add(AppendRequest(nil, "http://a", &actions.Sent{Preview: actions.Preview{Call: []string{"POST", "http://a/b"}, Named: []actions.Named{{Name: "A", Value: "b"}}, Body: "x"}, EventBody: true}))
	f.Add([]byte{})
	if got, err := ParseAttempt(AppendAttempt(nil, &a)); err != nil || got != a {
		f.Fatalf("got %+v, %v", got, err)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if a, err := ParseAttempt(b); err == nil && len(a.Text) <= maxAttemptText && len(a.Excerpt) <= maxAttemptExcerpt {
			if again, err := ParseAttempt(AppendAttempt(nil, &a)); err != nil || again != a {
				t.Errorf("%+v became %+v, %v", a, again, err)
			}
		}
		if r, err := ParseRequest(b); err == nil {
			again, err := ParseRequest(AppendRequest(nil, r.Destination, &actions.Sent{Preview: r.Preview, EventBody: r.EventBody}))
			if err != nil || fmt.Sprint(*again) != fmt.Sprint(*r) {
				t.Errorf("%+v became %+v, %v", r, again, err)
			}
		}
	})
}
