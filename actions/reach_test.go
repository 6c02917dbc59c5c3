package actions_test

import (
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"triggerd/actions"
	"triggerd/actions/actionstest"
)

// says is what an error says of the receiver.
func says(err error) string {
	_, asked := actions.RetryDelay(err)
	var all []string
	for name, is := range map[string]bool{
		"unreached": actions.IsUnreached(err), "unanswered": actions.IsUnanswered(err), "unsent": actions.IsUnsent(err),
	} {
		if is {
			all = append(all, name)
		}
	}
	switch {
	case len(all) == 0 && asked:
		return "asked"
	case len(all) == 0 && actions.IsPermanent(err):
		return "permanent"
	case len(all) == 0:
		return "answer"
	}
	return strings.Join(all, " ")
}

// deadPort is an address that refuses connections.
func deadPort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// What a failure says of the receiver is told by its kind, not its text.
func TestWebhookReach(t *testing.T) {
	silent := rawServer(t, func(c net.Conn, _ int) { _, _ = io.Copy(io.Discard, c) })
	broken := rawServer(t, func(c net.Conn, _ int) { c.Close() })
	noTLS := rawServer(t, func(c net.Conn, _ int) { _, _ = c.Write([]byte("no TLS here, and never will be\r\n")) })
	status := newReceiver(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/busy":
			w.Header().Set("Retry-After", "7")
			w.WriteHeader(429)
		case "/bad":
			w.WriteHeader(422)
		default:
			w.WriteHeader(503)
		}
	})
	tokens := newTokenServer(t, func(w http.ResponseWriter, _ *http.Request, _ int) { w.WriteHeader(500) })
	dead := deadPort(t)
	oauth2 := func(url string) table {
		return table{"url": status.URL, "oauth2": table{"token_url": url, "client_id": "i", "client_secret": "s"}}
	}
	for name, tt := range map[string]struct {
		fields table
		want   string
	}{
		"refused":              {table{"url": "http://" + dead}, "unreached"},
		"no such name":         {table{"url": "http://no-such-host.invalid"}, "unreached"},
		"no TLS":               {table{"url": "https://" + strings.TrimPrefix(noTLS, "http://")}, "unreached"},
		"TLS never begins":     {table{"url": "https://" + strings.TrimPrefix(silent, "http://")}, "unreached"},
		"dead proxy":           {table{"url": status.URL, "proxy": "http://" + dead}, "unreached"},
		"no token server":      {oauth2("http://" + dead), "unreached"},
		"token server refuses": {oauth2(tokens.URL), "unreached"},
		"no answer":            {table{"url": silent}, "unanswered"},
		"broken":               {table{"url": broken}, "unanswered"},
		"503":                  {table{"url": status.URL}, "answer"},
		"429":                  {table{"url": status.URL + "/busy"}, "asked"},
		"422":                  {table{"url": status.URL + "/bad"}, "permanent"},
		"template":             {table{"url": status.URL, "body": `{{index .args 99}}`}, "unsent"},
		"no such path":         {table{"url": status.URL + "/{{.action}}"}, "unsent"},
	} {
		t.Run(name, func(t *testing.T) {
			f := actionstest.Firing()
			f.Action = ".."
			_, err := newWebhook(t, tt.fields, actions.Options{Timeout: time.Second}).Do(t.Context(), f)
			if got := says(err); got != tt.want {
				t.Errorf("%v says %s, want %s", err, got, tt.want)
			}
			if want := tt.want == "permanent" || tt.want == "unsent"; actions.IsPermanent(err) != want {
				t.Errorf("%v is permanent: %v", err, !want)
			}
		})
	}
}

// A receiver that went away after it had answered is not reached any more,
// though a connection to it was kept.
func TestWebhookGoesAway(t *testing.T) {
	r := newReceiver(t, func(w http.ResponseWriter, _ *http.Request) {})
	a := newWebhook(t, table{"url": r.URL}, actions.Options{Timeout: time.Second})
	if _, err := a.Do(t.Context(), actionstest.Firing()); err != nil {
		t.Fatal(err)
	}
	r.Close()
	if _, err := a.Do(t.Context(), actionstest.Firing()); says(err) != "unreached" {
		t.Errorf("%v says %s", err, says(err))
	}
}

func TestExecReach(t *testing.T) {
	gone := filepath.Join(t.TempDir(), "gone")
	if err := os.WriteFile(gone, []byte("#!/bin/sh\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	notThere := mustNew(t, "exec", table{"command": list(gone)}, actions.Options{})
	if err := os.Remove(gone); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name string
		a    actions.Action
		want string
	}{
		{"program is gone", notThere, "unreached"},
		{"exit code", sh(t, "exit 1", nil, actions.Options{}), "answer"},
		{"signal", sh(t, "kill -9 $$", nil, actions.Options{}), "answer"},
		{"not done in time", sh(t, "sleep 10", nil, actions.Options{Timeout: 100 * time.Millisecond}), "unanswered"},
		{"permanent exit", sh(t, "exit 64", nil, actions.Options{}), "permanent"},
		{"argument too long", sh(t, "true", nil, actions.Options{}, strings.Repeat("x", 1<<20)), "unsent"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := tt.a.Do(t.Context(), actionstest.Firing())
			if got := says(err); got != tt.want {
				t.Errorf("%v says %s, want %s", err, got, tt.want)
			}
		})
	}
}
