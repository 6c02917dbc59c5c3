package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"triggerd/internal/admin"
	"triggerd/internal/redistest"
	"triggerd/internal/servers"
)

// tailing is a `triggerd tail` that runs.
type tailing struct {
	out   *lines
	errs  *lines
	stop  func()
	ended chan int
}

// startTail starts `triggerd tail`, and waits until it prints: a rule is paused
// and goes on until it does.
func startTail(t *testing.T, api, rule string, args ...string) *tailing {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	p := &tailing{newLines(), newLines(), cancel, make(chan int, 1)}
	go func() { p.ended <- run(ctx, append([]string{"tail", "--api", api}, args...), p.out, p.errs) }()
	for limit := time.After(patience); p.out.String() == ""; {
		mustAsk(t, api, "paused", "pause", rule)
		mustAsk(t, api, "goes on", "resume", rule)
		select {
		case <-time.After(20 * time.Millisecond):
		case <-limit:
			t.Fatalf("tail prints nothing: %s", p.errs)
		}
	}
	return p
}

// What the daemon does is printed as it happens, of a real server and a real
// receiver, until the daemon stops.
func TestTail(t *testing.T) {
	t.Parallel()
	redistest.Each(t, judged[1:2], func(t *testing.T, srv *servers.Server) {
		dir, hook := t.TempDir(), newSink(t)
		p, api := startStock(t, dir, srv, hook)
		tail := startTail(t, api, "rule/stock", "stock")
		asJSON := startTail(t, api, "rule/stock", "-o", "json", "--all")
		if _, err := ask(t, api, "tail", "--when", "num(after"); err == nil || !strings.Contains(err.Error(), "when: ") {
			t.Errorf("a condition with a mistake: %v", err)
		}
		if _, err := ask(t, api, "tail", "-o", "yaml"); err == nil || !strings.Contains(err.Error(), "json or wide") {
			t.Errorf("a form that is none: %v", err)
		}
		errs := newLines()
		unknown, stop := context.WithCancel(t.Context())
		defer stop()
		go run(unknown, []string{"tail", "--api", api, "stok\x1b[2J"}, io.Discard, errs)
		errs.await(t, `no rule is called "stok\x1b[2J" at present; there are: stock`, 1)
		hook.setReply(func(*delivery) int { return http.StatusGone }) // for good
		redistest.Do(t, srv, "SET", "other:1", "1")
		redistest.Do(t, srv, "SET", "stock:\x1b[2J7", "1")
		tail.out.await(t, "given_up  stock  stock:", 1)
		for _, want := range []string{"match    stock  stock:", "firing   stock  stock:", "  attempt 1, ", "410 Gone"} {
			tail.out.await(t, want, 1)
		}
		asJSON.out.await(t, `"outcome":"given_up"`, 1)
		if out := tail.out.String(); strings.Contains(out, "\x1b") || strings.Contains(out, "hunter2") || strings.Contains(out, "other:1") {
			t.Errorf("tail prints %q", out)
		}
		kinds := map[string]int{}
		for line := range strings.Lines(asJSON.out.String()) {
			var e admin.FeedEntry
			if err := json.Unmarshal([]byte(line), &e); err != nil {
				t.Fatalf("%q: %v", line, err)
			}
			if strings.Contains(e.Key, ":") {
				kinds[e.Kind]++
			}
		}
		if kinds[admin.FeedEvent] != 2 || kinds[admin.FeedMatch] != 1 || kinds[admin.FeedFiring] != 1 || kinds[admin.FeedAttempt] != 1 {
			t.Errorf("--all --json has %v in\n%s", kinds, asJSON.out)
		}
		byCondition := newLines()
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go run(ctx, []string{"tail", "--api", api, "--all", "--when", `key startsWith "wanted"`}, byCondition, newLines())
		for limit := time.After(patience); byCondition.String() == ""; {
			redistest.Do(t, srv, "SET", "unwanted:1", "1")
			redistest.Do(t, srv, "SET", "wanted:1", "1")
			select {
			case <-time.After(20 * time.Millisecond):
			case <-limit:
				t.Fatal("tail --when prints nothing")
			}
		}
		if out := byCondition.String(); !strings.Contains(out, "  wanted:1") || strings.Contains(out, "unwanted") {
			t.Errorf("tail --when prints %q", out)
		}
		mustAsk(t, api, "is in use", "reload")
		asJSON.out.await(t, `"state":"reloaded"`, 1)
		redistest.Do(t, srv, "CLIENT", "KILL", "TYPE", "replica")
		asJSON.out.await(t, `"state":"streaming"`, 1)
		hook.Close()
		for i := range 20 {
			redistest.Do(t, srv, "SET", fmt.Sprint("stock:", i), "1")
		}
		asJSON.out.await(t, `"state":"down","name":"target/crm"`, 1)
		asJSON.stop()
		if code := <-asJSON.ended; code != exitOK {
			t.Errorf("interrupted, it ends with %d: %s", code, asJSON.errs)
		}

		p.stop()
		if code := <-tail.ended; code != exitFailed || !strings.Contains(tail.errs.String(), "the feed has ended") {
			t.Errorf("of a daemon that stopped: exit code %d, %s", code, tail.errs)
		}
		if _, err := ask(t, api, "tail"); err == nil || !strings.Contains(err.Error(), "no triggerd answers") {
			t.Errorf("of a stopped daemon: %v", err)
		}
	})
}

// Who watches is told of a link that breaks, of the full resync that follows, and
// of what it has missed; also who comes back with the last entry that it has seen,
// be that of an earlier process.
func TestTailOfAGap(t *testing.T) {
	t.Parallel()
	srv, dir := redistest.Start(t, "redis-7.0", "--repl-backlog-size", "16kb"), t.TempDir()
	proxy := redistest.StartProxy(t, srv.Addr)
	write(t, dir, "rules.toml", fmt.Sprintf("[source]\nurl = \"redis://%s\"\n[http]\nlisten = \"127.0.0.1:0\"\n[[rule]]\nname = \"r\"\nkey = \"r:*\"\n[[rule.action]]\ntype = \"log\"\n", proxy.Addr))
	p, api := startKept(t, dir)
	tail, asJSON := startTail(t, api, "rule/r"), startTail(t, api, "rule/r", "--json")
	redistest.Do(t, srv, "SET", "r:1", "1")
	asJSON.out.await(t, `"outcome":"delivered"`, 1)
	states := func(from string) (list []string, last admin.FeedEntry) {
		for line := range strings.Lines(from) {
			var e admin.FeedEntry
			if err := json.Unmarshal([]byte(strings.TrimPrefix(line, "data: ")), &e); err != nil {
				continue // what is not data
			}
			if last = e; e.Kind == admin.FeedState && (e.State == "gap" || e.State == "resync") {
				list = append(list, e.State)
				if e.Rule != "" || e.Name == "" || e.Text == "" {
					t.Errorf("an entry of no rule: %s", line)
				}
			}
		}
		return list, last
	}
	_, seen := states(asJSON.out.String())

	proxy.Refuse()
	proxy.Cut()
	redistest.Do(t, srv, "SET", "big", strings.Repeat("x", 100_000))
	p.logs.await(t, "connection refused", 1)
	proxy.Admit()
	tail.out.await(t, "  gap  ", 1)
	if got := tail.out.String(); !regexp.MustCompile(`state    \S+  resync  [0-9a-f]{40}:\d+/0\n(.*\n)*.*state    \S+  gap  [0-9a-f]{40}:\d+/0 to [0-9a-f]{40}:\d+/0`).MatchString(got) {
		t.Errorf("tail prints %s", got)
	}
	asJSON.out.await(t, `"state":"gap"`, 1)
	if got, _ := states(asJSON.out.String()); !slices.Equal(got, []string{"resync", "gap"}) {
		t.Errorf("states %v in\n%s", got, asJSON.out)
	}
	back := func(api, want string) (text string) {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		req, _ := http.NewRequestWithContext(ctx, "GET", api+"/api/v1/events", nil)
		req.Header.Set("Last-Event-ID", fmt.Sprint(seen.Seq))
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
			if text += lines.Text() + "\n"; strings.Contains(text, want) {
				return text
			}
		}
		t.Fatalf("not told: %s in\n%s", want, text)
		return ""
	}
	if got, _ := states(back(api, `"state":"gap"`)); !slices.Equal(got, []string{"resync", "gap"}) {
		t.Errorf("after a break: states %v", got)
	}
	p.stop()
	_, api = startKept(t, dir)
	back(api, "nobody has watched since triggerd began anew")
}

// A line that is cut off, by a daemon that ends or an interrupt, is not a wrong
// answer.
func TestTailOfACutLine(t *testing.T) {
	t.Parallel()
	daemon := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "data: {\"kind\":\"match\",\"key\":\"whole\"}\n\ndata: {\"kind\":\"match\",\"ke")
	}))
	defer daemon.Close()
	out, errs := newLines(), newLines()
	code := run(t.Context(), []string{"tail", "--api", daemon.URL}, out, errs)
	if code != exitFailed || !strings.Contains(errs.String(), "the feed has ended") || strings.Count(out.String(), "\n") != 1 {
		t.Errorf("exit code %d, prints %q and %q", code, out.String(), errs.String())
	}
}
