package webhook

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// asking is a token server that takes a minute per answer. It works in virtual
// time, where a real one cannot.
type asking struct{ n int }

func (a *asking) RoundTrip(req *http.Request) (*http.Response, error) {
	a.n++ // one at a time, or the race detector tells
	body := fmt.Sprintf(`{"access_token":"t%d","expires_in":3600}`, a.n)
	select {
	case <-time.After(time.Minute):
	case <-req.Context().Done():
		return nil, context.Cause(req.Context())
	}
	return &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(body)), Request: req}, nil
}

func newTokens() (*tokens, *asking) {
	a := &asking{}
	return &tokens{client: &http.Client{Transport: a}, url: "https://idp/token", label: "https://idp"}, a
}

// TestTokensExpire: a token is used until shortly before it expires.
func TestTokensExpire(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _ := newTokens()
		for _, step := range []struct {
			wait  time.Duration // since the token was asked for, or the step before
			token string
			kept  bool
		}{
			{0, "t1", false}, {0, "t1", true},
			{3600*time.Second - 60*time.Second - 31*time.Second, "t1", true},
			{time.Second, "t2", false}, {time.Hour, "t3", false}, {0, "t3", true},
		} {
			time.Sleep(step.wait)
			token, kept, err := s.get(t.Context())
			if token != step.token || kept != step.kept || err != nil {
				t.Errorf("got %q, kept %v, %v; want %q, %v", token, kept, err, step.token, step.kept)
			}
		}
	})
}

// TestTokensSingleFlight: many wait for the one who asks, and take what it
// gets.
func TestTokensSingleFlight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, server := newTokens()
		got := make(chan string, 8)
		for range cap(got) {
			go func() {
				token, _, err := s.get(t.Context())
				got <- fmt.Sprint(token, err)
			}()
		}
		for range cap(got) {
			if g := <-got; g != "t1<nil>" {
				t.Errorf("got %s", g)
			}
		}
		if server.n != 1 {
			t.Errorf("%d requests for a token", server.n)
		}
	})
}

// TestTokensGiveUp: when the one who asks is canceled, one of those who wait
// asks; one who waits and is canceled leaves alone.
func TestTokensGiveUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, server := newTokens()
		get := func(ctx context.Context) chan error {
			done := make(chan error, 1)
			go func() {
				token, _, err := s.get(ctx)
				if err == nil && token != "t2" {
					err = fmt.Errorf("token %q", token)
				}
				done <- err
			}()
			synctest.Wait()
			return done
		}
		first, cancelFirst := context.WithCancel(t.Context())
		second, cancelSecond := context.WithCancel(t.Context())
		asks, waits, stays := get(first), get(second), get(t.Context())
		also := get(t.Context())
		cancelSecond()
		if err := <-waits; !errors.Is(err, context.Canceled) {
			t.Errorf("one who waits and is canceled got %v", err)
		}
		cancelFirst()
		if err := <-asks; !errors.Is(err, context.Canceled) {
			t.Errorf("one who asks and is canceled got %v", err)
		}
		if err := errors.Join(<-stays, <-also); err != nil {
			t.Errorf("those who stay got %v", err)
		}
		if server.n != 2 {
			t.Errorf("%d requests for a token, want 2", server.n)
		}
	})
}

// TestTokensDrop: only the token that was refused is forgotten.
func TestTokensDrop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _ := newTokens()
		for _, step := range []struct{ drop, want string }{{"", "t1"}, {"t0", "t1"}, {"t1", "t2"}, {"t1", "t2"}} {
			s.drop(step.drop)
			if token, _, err := s.get(t.Context()); token != step.want || err != nil {
				t.Errorf("after %q was refused: got %q, %v; want %q", step.drop, token, err, step.want)
			}
		}
	})
}

func TestParseToken(t *testing.T) {
	now := time.Unix(1000, 0)
	for name, test := range map[string]struct {
		body string
		want time.Duration // for which the token is kept; 0: until it is refused
	}{
		"an hour":         {`{"access_token":"x","token_type":"Bearer","expires_in":3600}`, 3570 * time.Second},
		"a string":        {`{"access_token":"x","expires_in":"3600"}`, 3570 * time.Second},
		"short":           {`{"access_token":"x","expires_in":10}`, 9 * time.Second},
		"a fraction":      {`{"access_token":"x","expires_in":0.5}`, 450 * time.Millisecond},
		"for ever":        {`{"access_token":"x","expires_in":1e300}`, 24*time.Hour - 30*time.Second},
		"not said":        {`{"access_token":"x"}`, 0},
		"null":            {`{"access_token":"x","expires_in":null,"token_type":null}`, 0},
		"zero":            {`{"access_token":"x","expires_in":0}`, 0},
		"negative":        {`{"access_token":"x","expires_in":-5}`, 0},
		"out of range":    {`{"access_token":"x","expires_in":1e999}`, 0},
		"something extra": {`{"access_token":"x","scope":["a"],"refresh_token":"y"}`, 0},
	} {
		got, err := parseToken([]byte(test.body), now)
		if err != nil || got.value != "x" {
			t.Errorf("%s: got %+v, %v", name, got, err)
			continue
		}
		want := time.Time{}
		if test.want > 0 {
			want = now.Add(test.want)
		}
		if !got.until.Equal(want) {
			t.Errorf("%s: kept until %v, want %v", name, got.until, want)
		}
	}
}

// FuzzParseToken: whatever a server answers, either there is a token that can
// be sent as a header and ends within a day, or an error that quotes nothing.
func FuzzParseToken(f *testing.F) {
	f.Add(`{"access_token":"x","token_type":"Bearer","expires_in":3600}`)
	f.Add(`{"access_token":"a\nb"}`)
	f.Add(`{"error":"invalid_client"}`)
	f.Add(`[]`)
	now := time.Unix(1000, 0)
	f.Fuzz(func(t *testing.T, body string) {
		got, err := parseToken([]byte(body), now)
		if err != nil {
			if got != (accessToken{}) || len(body) > 40 && strings.Contains(err.Error(), body) {
				t.Fatalf("%+v, %v", got, err)
			}
			return
		}
		if got.value == "" || len(got.value) > maxHeader || !validHeaderValue(got.value) {
			t.Fatalf("token %q", got.value)
		}
		if !got.until.IsZero() && (got.until.Before(now) || got.until.After(now.Add(24*time.Hour))) {
			t.Fatalf("kept until %v", got.until)
		}
	})
}
