package webhook_test

import (
	"bytes"
	"compress/gzip"
	"crypto/ed25519"
	"encoding/base64"
	"io"
	"log"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"triggerd/actions"
	"triggerd/actions/actionstest"
)

// TestWebhookStandard has the specification's own library receive: whatever
// the format, with the old and the new secret, and not with another.
func TestWebhookStandard(t *testing.T) {
	key := []byte("0123456789abcdef0123456789abcdef")
	whsec := "whsec_" + base64.StdEncoding.EncodeToString(key)
	receiver := func(secret string) *standardwebhooks.Webhook {
		wh, err := standardwebhooks.NewWebhook(secret)
		if err != nil {
			t.Fatal(err)
		}
		return wh
	}
	raw, err := standardwebhooks.NewWebhookRaw([]byte("the old secret"))
	if err != nil {
		t.Fatal(err)
	}
	for name, fields := range map[string]table{
		"structured": {},
		"binary":     {"format": "binary"},
		"compressed": {"compress": "gzip"},
		"template":   {"body": "{{.key}} ünïcode \xff\n"},
		"empty":      {"body": ""},
		"GET":        {"method": "GET"},
	} {
		t.Run(name, func(t *testing.T) {
			r, header, body := capture(t)
			fields["url"], fields["sign"] = r.URL, list(whsec, "the old secret")
			f := actionstest.Firing()
			f.Event.Args = append(f.Event.Args, bytes.Repeat([]byte("x"), 4<<10))
			if _, err := newWebhook(t, fields, actions.Options{}).Do(t.Context(), f); err != nil {
				t.Fatal(err)
			}
			if err := receiver(whsec).Verify(*body, *header); err != nil {
				t.Errorf("with the new secret: %v", err)
			}
			if err := raw.Verify(*body, *header); err != nil {
				t.Errorf("with the old secret: %v", err)
			}
			if receiver("whsec_AAAA").Verify(*body, *header) == nil {
				t.Error("another secret verifies")
			}
			if receiver(whsec).Verify(append(*body, ' '), *header) == nil {
				t.Error("another body verifies")
			}
		})
	}
}

// TestWebhookStandardAsymmetric verifies with the public key alone, beside a
// secret that the same receiver may still have. The library above does not
// know such keys yet.
func TestWebhookStandardAsymmetric(t *testing.T) {
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	r, header, body := capture(t)
	a := newWebhook(t, table{"url": r.URL, "sign": list("whsk_"+base64.StdEncoding.EncodeToString(private), "the old secret")}, actions.Options{})
	if _, err := a.Do(t.Context(), actionstest.Firing()); err != nil {
		t.Fatal(err)
	}
	first, second, _ := strings.Cut(header.Get("Webhook-Signature"), " ")
	encoded, ok := strings.CutPrefix(first, "v1a,")
	if !ok || !strings.HasPrefix(second, "v1,") {
		t.Fatalf("got %q, %q", first, second)
	}
	sig, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil {
		t.Fatal(err)
	}
	signed := header.Get("Webhook-Id") + "." + header.Get("Webhook-Timestamp") + "."
	if !ed25519.Verify(public, append([]byte(signed), *body...), sig) || ed25519.Verify(public, []byte(signed), sig) {
		t.Error("the signature is not that of id, timestamp and body")
	}
	wh, err := standardwebhooks.NewWebhookRaw([]byte("the old secret"))
	if err != nil {
		t.Fatal(err)
	}
	if err := wh.Verify(*body, *header); err != nil {
		t.Errorf("with the old secret: %v", err)
	}
}

func TestWebhookCompress(t *testing.T) {
	random := make([]byte, 4<<10)
	for i := range random {
		random[i] = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-_!?"[rand.IntN(64)]
	}
	noise := make([]byte, 4<<10)
	for i := range noise {
		noise[i] = byte(rand.IntN(256))
	}
	for name, test := range map[string]struct {
		body string
		gzip bool
	}{
		"long":           {strings.Repeat("compress me. ", 1000), true},
		"text at random": {string(random), true}, // 6 bits of 8
		"noise":          {string(noise), false}, // longer, if it were
		"1 KiB":          {strings.Repeat("x", 1<<10), false},
		"over 1 KiB":     {strings.Repeat("x", 1<<10+1), true},
		"nothing":        {"", false},
	} {
		t.Run(name, func(t *testing.T) {
			r, header, body := capture(t)
			a := newWebhook(t, table{"url": r.URL, "body": "{{.key}}", "compress": "gzip"}, actions.Options{})
			f := actionstest.Firing()
			f.Event.Key = []byte(test.body)
			for range 2 { // the second with a compressor that was used
				if _, err := a.Do(t.Context(), f); err != nil {
					t.Fatal(err)
				}
				got := *body
				if encoding := header.Get("Content-Encoding"); (encoding == "gzip") != test.gzip || !test.gzip && encoding != "" {
					t.Fatalf("content-encoding %q", encoding)
				}
				if test.gzip {
					z, err := gzip.NewReader(bytes.NewReader(got))
					if err != nil {
						t.Fatal(err)
					}
					if len(got) >= len(test.body) {
						t.Errorf("%d bytes became %d", len(test.body), len(got))
					}
					if got, err = io.ReadAll(z); err != nil {
						t.Fatal(err)
					}
				}
				if string(got) != test.body {
					t.Errorf("got %d bytes that differ from the %d that were to be sent", len(got), len(test.body))
				}
			}
		})
	}
}

func TestWebhookAbort(t *testing.T) {
	for name, test := range map[string]struct {
		status          int
		header          []string
		done, permanent bool
	}{
		"abort":          {503, []string{"abort-message"}, false, true},
		"any case":       {500, []string{" Abort-Message "}, false, true},
		"second line":    {500, []string{"x", "abort-message"}, false, true},
		"delivered":      {200, []string{"abort-message"}, true, false},
		"something else": {503, []string{"disable"}, false, false},
		"empty":          {503, []string{""}, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			r := newReceiver(t, func(w http.ResponseWriter, _ *http.Request) {
				w.Header()["Webhook-Delivery"] = test.header
				w.Header().Set("Retry-After", "60")
				http.Error(w, "no such customer", test.status)
			})
			_, err := newWebhook(t, table{"url": r.URL}, actions.Options{}).Do(t.Context(), actionstest.Firing())
			if (err == nil) != test.done || actions.IsPermanent(err) != test.permanent {
				t.Errorf("got %v, permanent %v", err, actions.IsPermanent(err))
			}
			if says := err != nil && strings.Contains(err.Error(), "the receiver asked not to be sent it again"); says != test.permanent {
				t.Errorf("got %v", err)
			}
			if err != nil && !strings.Contains(err.Error(), "no such customer") {
				t.Errorf("got %v without the answer", err)
			}
			if _, held := actions.RetryDelay(err); held == (test.done || test.permanent) {
				t.Errorf("a hold: %v", held)
			}
		})
	}
}

func TestWebhookAuthorization(t *testing.T) {
	const secret = "s3cr3t-pa:55 wörd"
	for name, test := range map[string]struct {
		fields table
		want   string
	}{
		"bearer":            {table{"bearer": "{{not a template}}"}, "Bearer {{not a template}}"},
		"basic":             {table{"basic": table{"user": "me", "password": secret}}, "Basic " + base64.StdEncoding.EncodeToString([]byte("me:"+secret))},
		"basic, no user":    {table{"basic": table{"user": "", "password": secret}}, "Basic " + base64.StdEncoding.EncodeToString([]byte(":"+secret))},
		"basic, only a key": {table{"basic": table{"user": "api-key", "password": ""}}, "Basic " + base64.StdEncoding.EncodeToString([]byte("api-key:"))},
	} {
		t.Run(name, func(t *testing.T) {
			r := newReceiver(t, func(w http.ResponseWriter, req *http.Request) {
				if got := req.Header.Get("Authorization"); got != test.want {
					t.Errorf("got %q, want %q", got, test.want)
				}
				http.Error(w, "I saw "+req.Header.Get("Authorization")+", "+secret, http.StatusTeapot)
			})
			test.fields["url"] = r.URL
			_, err := newWebhook(t, test.fields, actions.Options{}).Do(t.Context(), actionstest.Firing())
			actionstest.WantRetry(t, err)
			credential := strings.SplitN(test.want, " ", 2)[1]
			if err != nil && (strings.Contains(err.Error(), credential) || name != "bearer" && name != "basic, only a key" && strings.Contains(err.Error(), "s3cr3t")) {
				t.Errorf("the credential is in %v", err)
			}
		})
	}
}

// TestWebhookHTTP2: only where it is asked for, and only where it is offered.
func TestWebhookHTTP2(t *testing.T) {
	for name, test := range map[string]struct {
		offered, wanted bool
		proto           string
	}{
		"both":        {true, true, "HTTP/2.0"},
		"not wanted":  {true, false, "HTTP/1.1"},
		"not offered": {false, true, "HTTP/1.1"},
	} {
		t.Run(name, func(t *testing.T) {
			actionstest.CheckLeaks(t)
			var proto string
			var length int
			s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
				proto = req.Proto
				body, _ := io.ReadAll(req.Body)
				length = len(body)
			}))
			s.EnableHTTP2 = test.offered
			s.Config.ErrorLog = log.New(io.Discard, "", 0)
			s.StartTLS()
			t.Cleanup(s.Close)
			ca, _ := writePair(t, s)
			a := newWebhook(t, table{"url": s.URL, "http2": test.wanted, "tls": table{"ca": ca}}, actions.Options{})
			for range 3 {
				if _, err := a.Do(t.Context(), actionstest.Firing()); err != nil {
					t.Fatal(err)
				}
			}
			if proto != test.proto || length == 0 {
				t.Errorf("got %d bytes over %s, want %s", length, proto, test.proto)
			}
		})
	}
}
