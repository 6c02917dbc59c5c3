package form

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"triggerd/actions"
)

// A request that is like another is stored as it would be by itself.
func TestLike(t *testing.T) {
	for n := range 300 { // their number has a second byte from 128 on
		like := &actions.Preview{Call: []string{"POST", "http://a/b"}, Body: strings.Repeat("b", n)}
		for i := range n {
			like.Named = append(like.Named, actions.Named{Name: fmt.Sprint("name-", i), Value: strings.Repeat("v", i)})
		}
		s := &actions.Sent{EventBody: n%2 == 0, Like: like}
		for i := range min(n, len(s.Values)) {
			s.Values[i] = actions.Value{Place: max(i, i*n/len(s.Values)), Text: strings.Repeat("x", 1+i*100)}
		}
		l := NewLike("http://a", s)
		whole := actions.Sent{Preview: s.Shown(), EventBody: s.EventBody}
		got, want := AppendLike(nil, l, s), AppendRequest(nil, "http://a", &whole)
		if !bytes.Equal(got, want) || !bytes.Equal(AppendRequest(nil, "http://a", s), want) {
			t.Fatalf("%d names: got\n%q, want\n%q", n, got, want)
		}
		if !l.IsOf(s) || l.IsOf(&whole) || (*Like)(nil).IsOf(s) {
			t.Error("what it is of")
		}
	}
}

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
