package webhook_test

import (
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"triggerd/actions"
	"triggerd/actions/actionstest"
	"triggerd/actions/webhook"
	"triggerd/internal/secret"
)

// A receiver repeats all that it got, in every form, and no form comes back: of
// values that neither their names nor their length give away. It got them as
// they are.
func TestWebhookMasksByValue(t *testing.T) {
	values := map[string]string{"header": `pläin "v\lue`, "path": "T0 B0", "query": "q&r=s", "body": "two\nlines", "basic": "p@ss w/rd"}
	arrived := make(chan map[string]string, 1)
	actionstest.CheckLeaks(t)
	r := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		body, _ := io.ReadAll(req.Body)
		_, password, _ := req.BasicAuth()
		got := map[string]string{"header": req.Header.Get("X-Trace"), "path": strings.TrimPrefix(req.URL.Path, "/in/"), "query": req.URL.Query().Get("x"), "body": strings.TrimPrefix(string(body), "it is "), "basic": password}
		arrived <- got
		w.WriteHeader(http.StatusTeapot)
		fmt.Fprintln(w, req.Header, req.RequestURI, string(body))
		for _, v := range got {
			fmt.Fprintln(w, strings.Join(actionstest.FormsOf(v), " "))
		}
	}))
	t.Cleanup(r.Close)
	var all []string
	for _, v := range values {
		all = append(all, v)
	}
	a := newWebhook(t, table{
		"url": r.URL + "/in/" + url.PathEscape(values["path"]) + "?x=" + url.QueryEscape(values["query"]), "body": "it is " + values["body"],
		"headers": table{"X-Trace": values["header"]}, "basic": table{"user": "me", "password": values["basic"]},
	}, actions.Options{Secrets: secret.New(all...)})
	res, err := a.Do(t.Context(), actionstest.Firing())
	if err == nil || !strings.Contains(res.Excerpt, secret.Mark) {
		t.Fatalf("%v, %q", err, res.Excerpt)
	}
	got := <-arrived
	for name, v := range values {
		if got[name] != v {
			t.Errorf("%s: the receiver got %q, want %q", name, got[name], v)
		}
		actionstest.CheckMasked(t, res, err, v)
	}
}

// A receiver that takes a request and repeats it is not shown with what the
// request had to be kept from others.
func TestWebhookMasksDeliveredExcerpt(t *testing.T) {
	const token, name = "abcdefghijklmnopqrstuvwxyz", "s3cret p4ssword"
	r := newReceiver(t, func(w http.ResponseWriter, req *http.Request) {
		fmt.Fprintln(w, "thanks for", req.RequestURI, req.Header.Get("X-Api-Key"), req.Header.Get("Authorization"))
	})
	for what, fields := range map[string]table{
		"fixed":     {"url": r.URL + "/in/" + token, "headers": table{"X-Api-Key": name}},
		"templates": {"url": r.URL + "/in/" + token + "?k={{.key}}", "headers": table{"X-Api-Key": name + "{{.event}}"}},
		"basic":     {"url": r.URL, "basic": table{"user": "me", "password": name}},
	} {
		t.Run(what, func(t *testing.T) {
			res, err := newWebhook(t, fields, actions.Options{}).Do(t.Context(), actionstest.Firing())
			if err != nil || !strings.HasPrefix(res.Excerpt, "thanks for /") || !strings.Contains(res.Excerpt, secret.Mark) {
				t.Errorf("got %q, %v", res.Excerpt, err)
			}
			actionstest.CheckMasked(t, res, err, token)
			actionstest.CheckMasked(t, res, err, name)
		})
	}
}

// A secret at the place where an excerpt is cut is not shown in part.
func TestWebhookMasksBeforeCutting(t *testing.T) {
	const value = "abcdefghijklmnopqrstuvwxyz-0123456789"
	for at, status := range map[int]int{480: 200, 512: 418, 960: 200, 4 << 10: 418, 8 << 10: 418, 64 << 10: 418} {
		for shown := 1; shown < len(value); shown += 6 {
			r := newReceiver(t, func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(status)
				io.WriteString(w, strings.Repeat("#", at-shown)+value+strings.Repeat("#", 1000))
			})
			a := newWebhook(t, table{"url": r.URL}, actions.Options{Secrets: secret.New(value)})
			res, err := a.Do(t.Context(), actionstest.Firing())
			for _, text := range []string{res.Excerpt, fmt.Sprint(err)} {
				if strings.Contains(text, value[:4]) {
					t.Errorf("%d bytes before %d: %s", shown, at, strings.ReplaceAll(text, "#", ""))
				}
			}
		}
	}
}

// What tells errors apart is told of a masked one too.
func TestMaskedErrorsAreTheSame(t *testing.T) {
	r := newReceiver(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "7")
		http.Error(w, "not value-1 again", http.StatusServiceUnavailable)
	})
	o := actions.Options{Secrets: secret.New("value-1")}
	_, err := newWebhook(t, table{"url": r.URL}, o).Do(t.Context(), actionstest.Firing())
	if _, asked := actions.RetryDelay(err); !asked || !strings.Contains(err.Error(), "not *** again") {
		t.Errorf("got %v", err)
	}
	_, err = newWebhook(t, table{"url": r.URL, "drop_on": list(int64(503))}, o).Do(t.Context(), actionstest.Firing())
	if !actions.IsPermanent(err) {
		t.Errorf("got %v", err)
	}
	r.Close()
	_, err = newWebhook(t, table{"url": r.URL}, actions.Options{Secrets: secret.New("refused")}).Do(t.Context(), actionstest.Firing())
	if opErr := (interface{ Timeout() bool })(nil); !errors.As(err, &opErr) || strings.Contains(err.Error(), "refused") {
		t.Errorf("got %v", err)
	}
}

// A mistake in a field quotes no secret either.
func TestMistakesAreMasked(t *testing.T) {
	_, err := actions.Kinds{&webhook.Kind}.New("webhook", table{"url": "http://h/", "method": "value-1", "tls": table{"ca": "/nowhere/value-1"}}, actions.Options{Secrets: secret.New("value-1")})
	if field := (*actions.FieldError)(nil); !errors.As(err, &field) || strings.Contains(err.Error(), "value-1") || strings.Count(err.Error(), secret.Mark) != 2 {
		t.Errorf("got %v", err)
	}
}

// Access tokens are masked: the one at hand, those before it, and those that a
// server grants with an error.
func TestAccessTokensAreMasked(t *testing.T) {
	n, say := 0, ""
	s := newReceiver(t, func(w http.ResponseWriter, _ *http.Request) {
		n++
		if say != "" {
			w.WriteHeader(http.StatusCreated)
			io.WriteString(w, say)
			return
		}
		fmt.Fprintf(w, `{"access_token":"access-%d-abc"}`, n)
	})
	status := http.StatusUnauthorized
	r := newReceiver(t, func(w http.ResponseWriter, req *http.Request) {
		w.WriteHeader(status)
		fmt.Fprintf(w, "%s and access-1-abc before it, %s", req.Header.Get("Authorization"), base64.StdEncoding.EncodeToString([]byte("access-1-abc")))
	})
	a := newWebhook(t, table{"url": r.URL, "oauth2": oauth2(s.URL, nil)}, actions.Options{})
	for range 3 {
		res, err := a.Do(t.Context(), actionstest.Firing())
		if !strings.Contains(res.Excerpt, "*** and *** before it") {
			t.Errorf("%d tokens: got %q", n, res.Excerpt)
		}
		for i := range n {
			actionstest.CheckMasked(t, res, err, fmt.Sprintf("access-%d-abc", i+1))
		}
	}
	say = `{"access_token":"late-access-abc","refresh_token":"late-refresh-abc","error":"late-access-abc"}`
	res, err := a.Do(t.Context(), actionstest.Firing())
	if err == nil || !strings.Contains(err.Error(), "201") {
		t.Errorf("got %v", err)
	}
	actionstest.CheckMasked(t, res, err, "late-access-abc")
	actionstest.CheckMasked(t, res, err, "late-refresh-abc")
}

// The key behind whsec_ is masked without its prefix, and in the other alphabet.
func TestSigningKeysAreMasked(t *testing.T) {
	key := []byte("0123456789\xff\xfe\xfd?>~0123456789")
	encoded := base64.StdEncoding.EncodeToString(key)
	r := newReceiver(t, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusTeapot)
		fmt.Fprintln(w, "whsec_"+encoded, encoded, base64.RawURLEncoding.EncodeToString(key), hex.EncodeToString(key))
	})
	res, _ := newWebhook(t, table{"url": r.URL, "sign": "whsec_" + encoded}, actions.Options{}).Do(t.Context(), actionstest.Firing())
	if res.Excerpt != "*** *** *** ***" {
		t.Errorf("got %q", res.Excerpt)
	}
}
