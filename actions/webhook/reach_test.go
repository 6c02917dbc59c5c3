package webhook_test

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"

	"triggerd/actions"
	"triggerd/actions/actionstest"
)

// deadPort is an address that refuses connections. It is taken, so that no other
// process gets it, and nobody listens.
func deadPort(t *testing.T) string {
	t.Helper()
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { syscall.Close(fd) })
	if err := syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	addr, err := syscall.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("127.0.0.1:%d", addr.(*syscall.SockaddrInet4).Port)
}

// What a failure says of the receiver is told by its kind, not its text.
func TestWebhookReach(t *testing.T) {
	asked := make(chan struct{}, 1) // the silent one was asked
	silent := rawServer(t, func(c net.Conn, _ int) {
		if n, _ := c.Read(make([]byte, 1)); n == 1 {
			asked <- struct{}{}
		}
		_, _ = io.Copy(io.Discard, c)
	})
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
		"no such name":         {table{"url": "http://no-such-host.invalid", "proxy": "none"}, "unreached"},
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
		"template":             {table{"url": status.URL, "body": actionstest.Unrenderable}, "unsent"},
		"no such path":         {table{"url": status.URL + "/{{.action}}"}, "unsent"},
	} {
		t.Run(name, func(t *testing.T) {
			f := actionstest.Firing()
			f.Action = ".."
			ctx, expire := actionstest.Expiring(t.Context())
			ended := make(chan struct{})
			go func() {
				select {
				case <-asked:
					expire()
				case <-ended:
				}
			}()
			_, err := newWebhook(t, tt.fields, actions.Options{Timeout: hung}).Do(ctx, f)
			close(ended)
			if got := actionstest.Says(err); got != tt.want {
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
	a := newWebhook(t, table{"url": r.URL}, actions.Options{Timeout: hung})
	if _, err := a.Do(t.Context(), actionstest.Firing()); err != nil {
		t.Fatal(err)
	}
	r.Close()
	if _, err := a.Do(t.Context(), actionstest.Firing()); actionstest.Says(err) != "unreached" {
		t.Errorf("%v says %s", err, actionstest.Says(err))
	}
}
