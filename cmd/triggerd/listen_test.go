package main

import (
	"net/http"
	"strings"
	"syscall"
	"testing"

	"triggerd/internal/redistest"
	"triggerd/internal/servers"
)

// What is forwarded is answered for, and what the receiver never took is not passed
// over when it ends.
func TestForward(t *testing.T) {
	t.Parallel()
	redistest.Each(t, judged[1:2], func(t *testing.T, srv *servers.Server) {
		hook := newSink(t)
		hook.setReply(func(d *delivery) int {
			if d.Data.Key == "cart:2" {
				return http.StatusGone
			}
			return http.StatusOK
		})
		cmd := command(t, t.TempDir(), "listen", "redis://"+srv.Addr, "cart:*", "--json", "--forward-to", hook.URL)
		p := startWith(t, cmd)
		p.logs.await(t, "attached", 1)
		redistest.Do(t, srv, "SET", "cart:1", "x")
		redistest.Do(t, srv, "SET", "cart:2", "x")
		p.logs.await(t, "-> 200", 1)
		p.logs.await(t, "-> cart:2 given up", 1)
		p.signal(syscall.SIGINT)
		code := p.wait()
		if text := p.logs.String(); code == 0 || !strings.Contains(text, "1 change was not taken by the receiver") {
			t.Errorf("exit code %d; says %s", code, text)
		}
	})
}

// A receiver that is down is asked again and again, which is told once.
func TestForwardToNobody(t *testing.T) {
	t.Parallel()
	srv := redistest.Start(t, "redis-7.0")
	p := start(t, t.TempDir(), "listen", "redis://"+srv.Addr, "cart:*", "--json", "--forward-to", "http://127.0.0.1:1")
	p.logs.await(t, "attached", 1)
	redistest.Do(t, srv, "SET", "cart:1", "x")
	redistest.Do(t, srv, "SET", "cart:2", "x")
	p.logs.await(t, "-> attempt", 3)
	p.logs.await(t, `msg="delivery failed, trying again"`, 8)
	p.signal(syscall.SIGINT)
	p.wait()
	told := map[string]bool{}
	for line := range strings.Lines(p.logs.String()) {
		if strings.HasPrefix(line, "-> ") && told[line] {
			t.Errorf("told twice: %s", line)
		}
		told[line] = true
	}
}

// What is an address, and what a pattern of keys, where no scheme says so.
func TestIsAddress(t *testing.T) {
	t.Parallel()
	for arg, want := range map[string]bool{
		"127.0.0.1:7000": true, "10.0.0.7:6379": true, "localhost:6380": true, "[::1]:6379": true, "db.example.com:6379": true,
		"redis:6379": true, "cache-1:6379": true, "u:pw@host:1": true, "u:p@host": true, ":pw@10.0.0.7:6379": true,
		"order:7": false, "stock:*": false, "user:1000": false, "session:joe": false, "a@b": false, "order:{id}": false,
		"cart:1.5": false, "host": false, "10.0.0.7": false, "joe@example.com": false, "v1.2:x": false,
	} {
		if got := isAddress(arg); got != want {
			t.Errorf("%s: %v, want %v", arg, got, want)
		}
	}
}
