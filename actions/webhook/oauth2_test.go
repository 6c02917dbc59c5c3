package webhook_test

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"triggerd/actions"
	"triggerd/actions/actionstest"
)

// tokenServer gives tokens t1, t2, ... and keeps the requests for them.
type tokenServer struct {
	*httptest.Server

	mu    sync.Mutex // guards what follows
	asked []*http.Request
}

func newTokenServer(t *testing.T, answer func(w http.ResponseWriter, req *http.Request, n int)) *tokenServer {
	t.Helper()
	actionstest.CheckLeaks(t)
	s := &tokenServer{}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		_ = req.ParseForm()
		s.mu.Lock()
		s.asked = append(s.asked, req)
		n := len(s.asked)
		s.mu.Unlock()
		answer(w, req, n)
	}))
	t.Cleanup(s.Close)
	return s
}

func (s *tokenServer) requests() []*http.Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asked
}

// give writes token number n, which lives for an hour.
func give(w http.ResponseWriter, _ *http.Request, n int) {
	w.Header().Set("Content-Type", "application/json")
	fmt.Fprintf(w, `{"access_token":"t%d-access","token_type":"bearer","expires_in":3600}`, n)
}

func oauth2(u string, more table) table {
	m := table{"token_url": u, "client_id": "me", "client_secret": "pa:55/wörd", "scopes": list("a", "b")}
	for k, v := range more {
		m[k] = v
	}
	return m
}

// endless answers without end.
func endless(w http.ResponseWriter, _ *http.Request) {
	piece := make([]byte, 4096) // once: what we allocate counts too
	for _, err := w.Write(piece); err == nil; {
		_, err = w.Write(piece)
	}
}

// authorized answers 401 unless the token is one of those.
func authorized(valid func(token string) bool) http.HandlerFunc {
	return func(w http.ResponseWriter, req *http.Request) {
		if token, ok := strings.CutPrefix(req.Header.Get("Authorization"), "Bearer "); !ok || !valid(token) {
			w.WriteHeader(http.StatusUnauthorized)
		}
	}
}

func TestOAuth2Request(t *testing.T) {
	for name, test := range map[string]struct {
		fields table
		form   url.Values
		pair   string
	}{
		"basic": {nil, url.Values{"grant_type": {"client_credentials"}, "scope": {"a b"}}, "me:pa%3A55%2Fw%C3%B6rd"},
		"body": {table{"auth": "body", "scopes": list(), "params": table{"audience": "https://api/?x=1&y"}},
			url.Values{"grant_type": {"client_credentials"}, "audience": {"https://api/?x=1&y"}, "client_id": {"me"}, "client_secret": {"pa:55/wörd"}}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			s := newTokenServer(t, give)
			r := newReceiver(t, authorized(func(token string) bool { return token == "t1-access" }))
			a := newWebhook(t, table{"url": r.URL, "oauth2": oauth2(s.URL+"/token?tenant=x", test.fields)}, actions.Options{})
			for range 3 {
				if _, err := a.Do(t.Context(), actionstest.Firing()); err != nil {
					t.Fatal(err)
				}
			}
			asked := s.requests()
			if len(asked) != 1 {
				t.Fatalf("%d requests for a token that lives an hour", len(asked))
			}
			req := asked[0]
			if req.Method != "POST" || req.RequestURI != "/token?tenant=x" || req.PostForm.Encode() != test.form.Encode() {
				t.Errorf("got %s %s with %v, want %v", req.Method, req.RequestURI, req.PostForm, test.form)
			}
			pair, _ := base64.StdEncoding.DecodeString(strings.TrimPrefix(req.Header.Get("Authorization"), "Basic "))
			if string(pair) != test.pair {
				t.Errorf("got basic authentication %q, want %q", pair, test.pair)
			}
		})
	}
}

// TestOAuth2SingleFlight: of many attempts that need a token, one asks.
func TestOAuth2SingleFlight(t *testing.T) {
	const at = 8
	release := make(chan struct{})
	s := newTokenServer(t, func(w http.ResponseWriter, req *http.Request, n int) {
		<-release
		give(w, req, n)
	})
	r := newReceiver(t, authorized(func(token string) bool { return token == "t1-access" }))
	a := newWebhook(t, table{"url": r.URL, "oauth2": oauth2(s.URL, nil)}, actions.Options{})
	done := make(chan error, at)
	for range at {
		go func() {
			_, err := a.Do(t.Context(), actionstest.Firing())
			done <- err
		}()
	}
	close(release)
	for range at {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	if n := len(s.requests()); n != 1 {
		t.Errorf("%d requests for a token", n)
	}
}

// TestOAuth2Refused: a token may be revoked before it expires. One attempt
// tries one more token, and only if the first was not got for itself.
func TestOAuth2Refused(t *testing.T) {
	for name, test := range map[string]struct {
		fields        table
		valid         string // the one token that the receiver takes from the second attempt on
		delivered     bool
		tokens, tries int64 // in both attempts together
	}{
		"revoked":            {nil, "t2-access", true, 2, 3},
		"no token is taken":  {nil, "none", false, 2, 3},
		"401 is a success":   {table{"success_on": list(int64(401))}, "none", true, 1, 2},
		"revoked, drop_on":   {table{"drop_on": list(int64(401))}, "t2-access", true, 2, 3},
		"still good":         {nil, "t1-access", true, 1, 2},
		"refused for good":   {table{"drop_on": list("4xx")}, "none", false, 2, 3},
		"with a binary body": {table{"format": "binary", "compress": "gzip", "sign": "secret"}, "t2-access", true, 2, 3},
	} {
		t.Run(name, func(t *testing.T) {
			s := newTokenServer(t, give)
			valid := "t1-access"
			var bodies []string
			r := newReceiver(t, nil)
			r.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
				r.requests.Add(1)
				body, _ := io.ReadAll(req.Body)
				bodies = append(bodies, string(body))
				authorized(func(token string) bool { return token == valid })(w, req)
			})
			fields := table{"url": r.URL, "oauth2": oauth2(s.URL, nil)}
			for k, v := range test.fields {
				fields[k] = v
			}
			a := newWebhook(t, fields, actions.Options{Concurrency: 1}) // the second request waits for the first one's connection
			if _, err := a.Do(t.Context(), actionstest.Firing()); err != nil {
				t.Fatal(err)
			}
			valid = test.valid
			_, err := a.Do(t.Context(), actionstest.Firing())
			if (err == nil) != test.delivered || err != nil && !strings.Contains(err.Error(), "401 Unauthorized") {
				t.Errorf("got %v, want delivered %v", err, test.delivered)
			}
			if tokens, tries := int64(len(s.requests())), r.requests.Load(); tokens != test.tokens || tries != test.tries {
				t.Errorf("%d tokens and %d requests, want %d and %d", tokens, tries, test.tokens, test.tries)
			}
			for _, b := range bodies {
				if b != bodies[0] || b == "" {
					t.Errorf("the body differs: %q, %q", b, bodies[0])
				}
			}
		})
	}
	t.Run("401 without end", func(t *testing.T) {
		s := newTokenServer(t, give)
		refuse := false
		r := newReceiver(t, func(w http.ResponseWriter, req *http.Request) {
			if refuse && req.Header.Get("Authorization") != "Bearer t2-access" {
				w.WriteHeader(http.StatusUnauthorized)
				endless(w, req)
			}
		})
		a := newWebhook(t, table{"url": r.URL, "oauth2": oauth2(s.URL, nil)}, actions.Options{Concurrency: 1, Timeout: time.Hour})
		for range 2 {
			if _, err := a.Do(t.Context(), actionstest.Firing()); err != nil {
				t.Error(err)
			}
			refuse = true
		}
	})
	t.Run("the first token", func(t *testing.T) {
		s := newTokenServer(t, give)
		r := newReceiver(t, authorized(func(string) bool { return false }))
		a := newWebhook(t, table{"url": r.URL, "oauth2": oauth2(s.URL, nil)}, actions.Options{})
		for range 2 {
			_, err := a.Do(t.Context(), actionstest.Firing())
			actionstest.WantRetry(t, err)
		}
		if tokens, tries := len(s.requests()), r.requests.Load(); tokens != 2 || tries != 2 {
			t.Errorf("%d tokens and %d requests, want one each per attempt", tokens, tries)
		}
	})
}

// TestOAuth2Fails: without a token nothing is sent, the firing is tried again
// later, and the error says why without the secret.
func TestOAuth2Fails(t *testing.T) {
	const secret = "Kx7-client-secret"
	for name, test := range map[string]struct {
		answer func(w http.ResponseWriter, req *http.Request)
		want   string
	}{
		"refused": {func(w http.ResponseWriter, req *http.Request) {
			w.WriteHeader(http.StatusUnauthorized)
			fmt.Fprintf(w, `{"error":"invalid_client","error_description":"no client with %s"}`, secret)
		}, ": 401 Unauthorized: invalid_client: no client with ***"},
		"echo": {func(w http.ResponseWriter, req *http.Request) {
			w.WriteHeader(http.StatusBadRequest)
			fmt.Fprintf(w, "you sent %s\n\x1b[31m and %s", req.Header.Get("Authorization"), req.PostForm.Encode())
		}, `: 400 Bad Request: you sent Basic ***\n\x1b[31m and api_key=***&grant_type`},
		"only error": {func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(400)
			io.WriteString(w, `{"error":"invalid_scope"}`)
		}, `: 400 Bad Request: invalid_scope`},
		"silent": {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500) }, `: 500 Internal Server Error`},
		"redirect": {func(w http.ResponseWriter, req *http.Request) {
			http.Redirect(w, req, "/elsewhere", http.StatusTemporaryRedirect)
		}, `: 307 Temporary Redirect`},
		"no content": {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(204) }, `: 204 No Content`},
		"not JSON":   {func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "access_token="+secret) }, `the answer is not the JSON object`},
		"other name": {func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintf(w, `{"accessToken":%q}`, secret) }, `the answer has no access_token`},
		"a list":     {func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintf(w, `[%q]`, secret) }, `the answer is not the JSON object`},
		"other type": {func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprintf(w, `{"access_token":%q,"token_type":"mac"}`, secret)
		}, `the token_type is not Bearer`},
		"line break": {func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, `{"access_token":"a\r\nX-Forged: 1"}`) }, `has a control character`},
		"long token": {func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprintf(w, `{"access_token":%q}`, strings.Repeat("x", 20<<10))
		}, `too long for a header`},
		"endless": {endless, `more than 65536 bytes`},
		"breaks off": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "100")
			io.WriteString(w, "{")
		}, `unexpected EOF`},
		"no response": {func(w http.ResponseWriter, _ *http.Request) {
			c, _, _ := http.NewResponseController(w).Hijack()
			c.Close()
		}, `: EOF`},
	} {
		t.Run(name, func(t *testing.T) {
			s := newTokenServer(t, func(w http.ResponseWriter, req *http.Request, _ int) { test.answer(w, req) })
			r := newReceiver(t, func(http.ResponseWriter, *http.Request) {})
			a := newWebhook(t, table{"url": r.URL, "oauth2": oauth2(s.URL+"/?k=0123456789abcdef", table{"client_secret": secret, "params": table{"api_key": secret + "-2"}})}, actions.Options{})
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			_, err := a.Do(t.Context(), actionstest.Firing())
			runtime.ReadMemStats(&after)
			if grown := after.TotalAlloc - before.TotalAlloc; grown > 4<<20 {
				t.Errorf("%d bytes were allocated", grown)
			}
			actionstest.WantRetry(t, err)
			prefix := "POST " + r.URL + ": access token from " + s.URL + ": "
			if err != nil && (!strings.HasPrefix(err.Error(), prefix) || !strings.Contains(err.Error(), test.want)) {
				t.Errorf("got %v, want %q in it", err, test.want)
			}
			for _, hidden := range []string{secret, "0123456789abcdef", base64.StdEncoding.EncodeToString([]byte("me:" + secret)), "\x1b"} {
				if err != nil && strings.Contains(err.Error(), hidden) {
					t.Errorf("%q is in %v", hidden, err)
				}
			}
			if n := r.requests.Load(); n != 0 {
				t.Errorf("%d requests without a token", n)
			}
		})
	}
	t.Run("Retry-After", func(t *testing.T) {
		s := newTokenServer(t, func(w http.ResponseWriter, _ *http.Request, _ int) {
			w.Header().Set("Retry-After", "7")
			w.WriteHeader(http.StatusTooManyRequests)
		})
		_, err := newWebhook(t, table{"url": "http://127.0.0.1:1", "oauth2": oauth2(s.URL, nil)}, actions.Options{}).Do(t.Context(), actionstest.Firing())
		if wait, ok := actions.RetryDelay(err); !ok || wait != 7*time.Second {
			t.Errorf("got %v, %v (%v)", wait, ok, err)
		}
	})
	t.Run("timeout", func(t *testing.T) {
		u := rawServer(t, func(net.Conn, int) {})
		_, err := newWebhook(t, table{"url": "http://127.0.0.1:1", "oauth2": oauth2(u, nil)}, actions.Options{Timeout: 20 * time.Millisecond}).Do(t.Context(), actionstest.Firing())
		actionstest.WantRetry(t, err)
		if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "access token from "+u+": no answer within 20ms") {
			t.Errorf("got %v", err)
		}
	})
	t.Run("private", func(t *testing.T) {
		s := newTokenServer(t, give)
		u, _ := url.Parse(s.URL)
		_, err := newWebhook(t, table{"url": "http://receiver.invalid/", "deny_private": true, "oauth2": oauth2("http://localhost:"+u.Port(), nil)}, actions.Options{}).Do(t.Context(), actionstest.Firing())
		if err == nil || !strings.Contains(err.Error(), "deny_private is set") || len(s.requests()) != 0 {
			t.Errorf("got %v", err)
		}
	})
}

// TestOAuth2TLS: the token server has TLS settings of its own, and sees
// nothing of the webhook's.
func TestOAuth2TLS(t *testing.T) {
	actionstest.CheckLeaks(t)
	var certificates int
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		certificates = len(req.TLS.PeerCertificates)
		give(w, req, 1)
	}))
	s.TLS = &tls.Config{ClientAuth: tls.RequestClientCert}
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.StartTLS()
	t.Cleanup(s.Close)
	cert, key := writePair(t, s)
	r := httptest.NewUnstartedServer(authorized(func(token string) bool { return token == "t1-access" }))
	r.StartTLS() // with the same certificate
	t.Cleanup(r.Close)
	for name, test := range map[string]struct {
		tls          table
		certificates int
		want         string // "" is success
	}{
		"none of its own": {nil, 0, "certificate"},
		"ca":              {table{"ca": cert}, 0, ""},
		"client":          {table{"ca": cert, "cert": cert, "key": key}, 1, ""},
	} {
		t.Run(name, func(t *testing.T) {
			o := oauth2(s.URL, nil)
			if test.tls != nil {
				o["tls"] = test.tls
			}
			certificates = 0
			a := newWebhook(t, table{"url": r.URL, "tls": table{"ca": cert, "cert": cert, "key": key}, "oauth2": o}, actions.Options{})
			_, err := a.Do(t.Context(), actionstest.Firing())
			if (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %q", err, test.want)
			}
			if certificates != test.certificates {
				t.Errorf("the token server saw %d certificates, want %d", certificates, test.certificates)
			}
		})
	}
}

// TestOAuth2ProxySecret: a proxy that repeats how it was asked for a token.
func TestOAuth2ProxySecret(t *testing.T) {
	pair := base64.StdEncoding.EncodeToString([]byte("me:proxy-pass"))
	proxy := newReceiver(t, func(w http.ResponseWriter, req *http.Request) {
		http.Error(w, "not with "+req.Header.Get("Proxy-Authorization")+" and proxy-pass", http.StatusProxyAuthRequired)
	})
	u := strings.Replace(proxy.URL, "http://", "http://me:proxy-pass@", 1)
	for name, fields := range map[string]table{
		"token":   {"url": "http://receiver.invalid/", "proxy": u, "oauth2": oauth2("http://idp.invalid/", nil)},
		"webhook": {"url": "http://receiver.invalid/", "proxy": u},
	} {
		_, err := newWebhook(t, fields, actions.Options{}).Do(t.Context(), actionstest.Firing())
		actionstest.WantRetry(t, err)
		if err != nil && (!strings.Contains(err.Error(), "not with Basic *** and ***") || strings.Contains(err.Error(), pair)) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

// TestOAuth2TokenIsSecret: a receiver that repeats the token does not make us.
func TestOAuth2TokenIsSecret(t *testing.T) {
	s := newTokenServer(t, give)
	r := newReceiver(t, func(w http.ResponseWriter, req *http.Request) {
		w.WriteHeader(http.StatusForbidden)
		io.WriteString(w, "not for "+req.Header.Get("Authorization"))
	})
	_, err := newWebhook(t, table{"url": r.URL, "oauth2": oauth2(s.URL, nil)}, actions.Options{}).Do(t.Context(), actionstest.Firing())
	actionstest.WantRetry(t, err)
	if err != nil && (strings.Contains(err.Error(), "t1-access") || !strings.HasSuffix(err.Error(), "not for ***")) {
		t.Errorf("got %v", err)
	}
}

func TestOAuth2Suite(t *testing.T) {
	actionstest.Run(t, func(t *testing.T) actions.Action {
		s := newTokenServer(t, give)
		r := newReceiver(t, authorized(func(token string) bool { return token == "t1-access" }))
		return newWebhook(t, table{"url": r.URL, "format": "binary", "compress": "gzip", "oauth2": oauth2(s.URL, table{"client_secret": actionstest.Secret})}, actions.Options{})
	})
	actionstest.RunWaiting(t, func(t *testing.T) (actions.Action, <-chan struct{}) {
		started := make(chan struct{})
		u := rawServer(t, func(net.Conn, int) { close(started) })
		return newWebhook(t, table{"url": "http://127.0.0.1:1", "oauth2": oauth2(u, table{"client_secret": actionstest.Secret})}, actions.Options{}), started
	})
}
