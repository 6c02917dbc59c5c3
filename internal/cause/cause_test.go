package cause_test

import (
	"strings"
	"testing"

	"triggerd/internal/cause"
)

// The cause of an error is the same for those that came of the same.
func TestOf(t *testing.T) {
	for want, texts := range map[string][]string{
		"POST http://127.0.0.1:7781: 503 Service Unavailable": {
			"POST http://127.0.0.1:7781: 503 Service Unavailable: order 17", "POST http://127.0.0.1:7781: 503 Service Unavailable",
			"POST http://127.0.0.1:7781: 503 Service Unavailable: ",
		},
		"POST https://a: 301 Moved Permanently": {"POST https://a: 301 Moved Permanently, a redirect to https://b, which is not followed: x"},
		"POST http://a: read tcp …10.0.0.2:80: connection reset by peer": {
			"POST http://a: read tcp 10.0.0.1:41234->10.0.0.2:80: connection reset by peer", "POST http://a: read tcp 10.0.0.1:51235->10.0.0.2:80: connection reset by peer",
		},
		"exit status 3: no such order …": {"exit status 3: no such order 123456", "exit status 3: no such order 9999999\nmore"},
		"":                               {"", "\nx"},
	} {
		for _, text := range texts {
			if got := cause.Of(text); got != want {
				t.Errorf("%q: %q, want %q", text, got, want)
			}
		}
	}
	if got := cause.Of(strings.Repeat("é", 500)); len(got) > 200 || strings.Trim(got, "é") != "" {
		t.Errorf("got %q", got)
	}
}

// What is known of an error has nothing of its text in it but a code.
func TestKnown(t *testing.T) {
	for text, want := range map[string]string{
		"POST http://a: 503 Service Unavailable: exit status 3":                                   "503 Service Unavailable",
		"POST http://a: 503 Private Words":                                                        "",
		"POST http://a: 503 Private Words: 404 Not Found":                                         "404 Not Found",
		"POST http://a: 599 ":                                                                     "",
		"POST https://a: 301 Moved Permanently, a redirect":                                       "301 Moved Permanently",
		"/bin/sh: exit status 3: private: connection refused":                                     "exit status 3",
		"/bin/sh: exit status 007: x":                                                             "exit status 7",
		"/bin/sh: exit status 900: x":                                                             "",
		"POST http://a: dial tcp 10.0.0.1:1: connect: connection refused":                         "connection refused",
		"attempt took longer than its timeout of 1s: POST http://a: private: connection refused":  "timeout",
		`POST https://a: tls: failed to verify certificate: x509: certificate signed by private"`: "TLS failed",
		"cancelled by me during an attempt: private":                                              "cancelled",
		"200": "200", "299": "", "12345": "", "exit 0": "exit 0", "private": "", "": "",
	} {
		if got := cause.Known(text); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}

// Whatever the text: what is known of it is told again of what is known, and is
// short.
func FuzzKnown(f *testing.F) {
	f.Add("POST http://a: 503 Service Unavailable")
	f.Add("exit status 3")
	f.Add("a 500 X exit status 999 exit status 1")
	f.Add("x: EOF")
	f.Fuzz(func(t *testing.T, text string) {
		got := cause.Known(text)
		if len(got) > 60 {
			t.Errorf("%q: %q", text, got)
		}
		if kept := cause.Of(text); len(kept) > 200 {
			t.Errorf("%q: %q", text, kept)
		}
	})
}
