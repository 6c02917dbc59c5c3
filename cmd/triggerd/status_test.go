package main

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"triggerd/internal/redistest"
	"triggerd/internal/servers"
)

// ask runs a command of triggerd that asks a daemon: in this process, since
// starting it a dozen times takes a while under the race detector.
func ask(t *testing.T, api string, args ...string) (stdout string, err error) {
	t.Helper()
	var out, errs strings.Builder
	code := run(t.Context(), append(args, "--api", api), &out, &errs)
	if code != exitOK {
		err = fmt.Errorf("exit code %d: %s", code, errs.String())
	}
	return out.String(), err
}

// awaitAnswer asks until the answer matches a pattern.
func awaitAnswer(t *testing.T, api, pattern string, args ...string) string {
	t.Helper()
	re := regexp.MustCompile(pattern)
	limit := time.After(patience)
	for {
		out, err := ask(t, api, args...)
		if err == nil && re.MatchString(out) {
			return out
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-limit:
			t.Fatalf("triggerd %s: waited for %s, have %v\n%s", strings.Join(args, " "), pattern, err, out)
		}
	}
}

func mustAsk(t *testing.T, api, want string, args ...string) string {
	t.Helper()
	out, err := ask(t, api, args...)
	if err != nil || !strings.Contains(out, want) {
		t.Fatalf("triggerd %s: %v, want %q in\n%s", strings.Join(args, " "), err, want, out)
	}
	return out
}

// startStock runs a daemon with one rule, for stock, and one target, crm, and
// returns where it listens once it is attached.
func startStock(t *testing.T, dir string, srv *servers.Server, hook *sink) (p *process, api string) {
	t.Helper()
	write(t, dir, "rules.toml", fmt.Sprintf(`
[source]
url = "redis://%s"
[http]
listen = "127.0.0.1:0"
[targets.crm]
type = "webhook"
url = "%s/hunter2"
[[rule]]
name = "stock"
key = "stock:*"
[[rule.action]]
target = "crm"
`, srv.Addr, hook.URL))
	p = startWith(t, command(t, dir), "TRIGGERD_HTTP=")
	p.logs.await(t, `msg="attached`, 1)
	return p, apiOf(t, p)
}

// A bad night: a receiver that refuses, seen, held, mended and made up for by
// the commands, on a real server.
func TestOperate(t *testing.T) {
	t.Parallel()
	redistest.Each(t, judged[1:2], func(t *testing.T, srv *servers.Server) {
		dir, hook := t.TempDir(), newSink(t)
		p, api := startStock(t, dir, srv, hook)

		awaitAnswer(t, api, `(?m)^ +the server keeps [0-9.]+ MB of its stream, `, "status")

		hook.setReply(func(*delivery) int { return http.StatusGone }) // for good
		redistest.Do(t, srv, "SET", "stock:\x1b[2J7", "1")
		awaitAnswer(t, api, `(?m)^ready +ok\n(.*\n)*.*1 dead letter\n`, "status")
		out := awaitAnswer(t, api, `target/crm +webhook http://127.0.0.1:\d+ .*410 Gone`, "status")
		if strings.Contains(out, "hunter2") {
			t.Errorf("the status shows the webhook's path:\n%s", out)
		}
		out = awaitAnswer(t, api, `(?m)^1 .* stock +target/crm .*permanent`, "dlq", "list", "--action", "crm")
		if strings.Contains(out, "\x1b") {
			t.Errorf("a key reaches the terminal as it is: %q", out)
		}
		mustAsk(t, api, `"key": "stock:`, "dlq", "show", "1")
		if _, err := ask(t, api, "dlq", "show", "7"); err == nil || !strings.Contains(err.Error(), "no dead letter has the number 7") {
			t.Errorf("dlq show 7: %v", err)
		}
		mustAsk(t, api, "", "dlq", "export", "-o", filepath.Join(dir, "dead.jsonl"))
		var dead struct{ Firing struct{ ID string } }
		if b, err := os.ReadFile(filepath.Join(dir, "dead.jsonl")); err != nil || json.Unmarshal(b, &dead) != nil || dead.Firing.ID == "" {
			t.Errorf("exported %q, %v", b, err)
		}
		if _, err := ask(t, api, "dlq", "export", "-o", filepath.Join(dir, "dead.jsonl")); err == nil {
			t.Error("export writes over a file")
		}

		mustAsk(t, api, "target/crm paused", "pause", "crm")
		mustAsk(t, api, "1 dead letter pending again", "dlq", "retry", "1")
		hook.setReply(nil)
		out = mustAsk(t, api, "stock", "deliveries", "list", "--json")
		if n := strings.Count(out, `"state":"pending"`); n != 1 {
			t.Errorf("%d pending in %s", n, out)
		}
		mustAsk(t, api, "paused", "status")
		mustAsk(t, api, "target/crm goes on", "resume", "crm")
		d := hook.await(t, "what was retried", func(ds []delivery) bool { return len(ds) == 1 })[0]
		if d.ID != dead.Firing.ID {
			t.Errorf("delivered %s, want %s", d.ID, dead.Firing.ID)
		}
		awaitAnswer(t, api, regexp.QuoteMeta(d.ID), "deliveries", "list", "--delivered")
		mustAsk(t, api, "delivered", "deliveries", "show", d.ID)
		mustAsk(t, api, "no dead letters", "dlq", "list")

		write(t, dir, "rules.toml", "[[rule]]\nnaem = \"x\"\n")
		p.signal(syscall.SIGHUP)
		p.logs.await(t, `msg="rules not reloaded`, 1)
		out = mustAsk(t, api, "could not be read", "status")
		if !strings.Contains(out, "naem") {
			t.Errorf("the status does not say what is wrong with the rules:\n%s", out)
		}
		p.stop()
		if _, err := ask(t, api, "status"); err == nil || !strings.Contains(err.Error(), "no triggerd answers") {
			t.Errorf("status of a stopped daemon: %v", err)
		}
	})
}

// apiOf returns where the daemon listens.
func apiOf(t *testing.T, p *process) string {
	t.Helper()
	p.logs.await(t, `msg="status, metrics and API"`, 1)
	m := regexp.MustCompile(`msg="status, metrics and API" url=(\S+)`).FindStringSubmatch(p.logs.String())
	return m[1]
}

// An address that others reach is refused without a token, and a busy port
// ends nothing.
func TestListenAddress(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, dir, "rules.toml", "[[rule]]\nname = \"r\"\n[[rule.action]]\ntype = \"log\"\n")
	cmd := command(t, dir, "--http", "0.0.0.0:0", "--source", "redis://127.0.0.1:1")
	out, err := cmd.CombinedOutput()
	if err == nil || cmd.ProcessState.ExitCode() != exitBadRule || !strings.Contains(string(out), "no token is set") {
		t.Errorf("open to all: %v\n%s", err, out)
	}

	other, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	p := startWith(t, command(t, dir, "--http", other.Addr().String(), "--source", "redis://127.0.0.1:1"))
	p.logs.await(t, "cannot listen", 1)
	p.logs.await(t, `msg="triggerd starts"`, 1)
	p.stop()
}

// A daemon on a socket is asked there, also by the name that its log gives.
func TestListenOnSocket(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, dir, "rules.toml", "[[rule]]\nname = \"r\"\n[[rule.action]]\ntype = \"log\"\n")
	p := start(t, dir, "--http", "unix://"+dir+"/api.sock", "--source", "redis://127.0.0.1:1")
	mustAsk(t, apiOf(t, p), "not attached", "status")
	p.stop()
	if _, err := ask(t, "unix://"+dir+"/api.sock", "status"); err == nil || !strings.Contains(err.Error(), "no triggerd answers") {
		t.Errorf("once it has ended: %v", err)
	}
}

// Who asks for a reload hears what has changed, or every mistake.
func TestReloadCommand(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	rule := func(name, more string) string {
		return "[[rule]]\nname = \"" + name + "\"\nkey = \"" + name + ":*\"\n" + more + "\n[[rule.action]]\ntype = \"log\"\n"
	}
	write(t, dir, "rules.toml", rule("same", "debounce = { wait = \"1m\" }")+rule("other", "debounce = { wait = \"1m\" }")+rule("gone", ""))
	socket := "unix://" + dir + "/api.sock"
	p := start(t, dir, "--http", socket, "--source", "redis://127.0.0.1:1")
	apiOf(t, p)
	mustAsk(t, socket, "rules.toml is in use: 3 rules as before\ncount and wait on: same, other\n", "reload")
	p.logs.await(t, `msg="asked to read the rules again" by="user `, 1)

	write(t, dir, "rules.toml", rule("same", "debounce = { wait = \"1m\" }")+rule("other", "debounce = { wait = \"2m\" }")+rule("new", ""))
	out := mustAsk(t, socket, "is in use: 1 rule as before", "reload")
	for _, want := range []string{"added: new\n", "changed: other\n", "removed: gone\n", "count and wait on: same\n", "begin to count and wait anew: other\n"} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}

	write(t, dir, "rules.toml", rule("same", "debonce = \"1m\"")+rule("new", "when = \"afterr == 1\""))
	for _, flags := range [][]string{nil, {"--json"}} {
		cmd := command(t, dir, append([]string{"reload", "--api", socket}, flags...)...)
		out, _ := cmd.CombinedOutput()
		if cmd.ProcessState.ExitCode() != exitBadRule || !strings.Contains(string(out), "debonce") || !strings.Contains(string(out), "afterr") {
			t.Errorf("with mistakes: exit %d\n%s", cmd.ProcessState.ExitCode(), out)
		}
	}
	if out := mustAsk(t, socket, "", "status", "--all"); !strings.Contains(out, "other") {
		t.Errorf("the old rules are gone:\n%s", out)
	}
	p.stop()
}

// A pause tells who made it, why and until when, holds over a crash, and ends by
// itself.
func TestPauseForAWhile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, dir, "rules.toml", "[[rule]]\nname = \"r\"\n[[rule.action]]\ntype = \"log\"\n")
	socket := "unix://" + dir + "/api.sock"
	run := func() *process { return start(t, dir, "--http", socket, "--source", "redis://127.0.0.1:1") }
	p := run()
	apiOf(t, p)
	mustAsk(t, socket, "rule/r paused until ", "pause", "r", "--for", "0d1h", "--reason", "it went \x1bwild")
	mustAsk(t, socket, "", "pause", "rule/r/log", "--for", "2s")
	p.kill()
	first := p
	p = run()
	apiOf(t, p)
	p.logs.await(t, `msg="still paused, as before the restart" name=rule/r since=`, 1)
	out := mustAsk(t, socket, "GOES ON IN", "status", "--all")
	for _, want := range []string{"59m", "user ", `it went \x1bwild`} {
		if !strings.Contains(out, want) {
			t.Errorf("the status does not say %q:\n%s", want, out)
		}
	}
	if ended := `msg="the pause has ended by itself" name=rule/r/log`; !strings.Contains(first.logs.String(), ended) { // it was ended within two seconds
		p.logs.await(t, ended, 1)
	}
	mustAsk(t, socket, "rule/r goes on", "resume", "r")
	if out := mustAsk(t, socket, "", "status", "--all"); strings.Contains(out, "GOES ON IN") {
		t.Errorf("something is paused still:\n%s", out)
	}
	for _, wrong := range [][]string{{"pause", "r", "--for", "1ms"}, {"pause", "r", "--for", "-2h"}, {"pause", "r", "--reason", strings.Repeat("x", 501)}} {
		if _, err := ask(t, socket, wrong...); err == nil {
			t.Errorf("%q was taken", wrong)
		}
	}
	p.stop()
}

// A daemon that wants a token gets it from the environment, and says so to who
// has none.
func TestToken(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, dir, "rules.toml", "[[rule]]\nname = \"r\"\n[[rule.action]]\ntype = \"log\"\n")
	const token = "0123456789abcdef"
	p := startWith(t, command(t, dir, "--http", "127.0.0.1:0", "--source", "redis://127.0.0.1:1"), "TRIGGERD_TOKEN="+token)
	api := apiOf(t, p)
	if _, err := ask(t, api, "status"); err == nil || !strings.Contains(err.Error(), "TRIGGERD_TOKEN") {
		t.Errorf("without the token: %v", err)
	}
	mustAsk(t, api, "not attached", "status", "--token", token)
	p.stop()
}

// What answers and is no triggerd is told apart.
func TestNotTriggerd(t *testing.T) {
	t.Parallel()
	other := httptest.NewServer(http.NotFoundHandler())
	defer other.Close()
	if _, err := ask(t, other.URL, "status"); err == nil || !strings.Contains(err.Error(), "is something else there?") {
		t.Errorf("%v", err)
	}
}

func TestSpan(t *testing.T) {
	t.Parallel()
	for want, d := range map[string]time.Duration{"0s": -time.Hour, "59s": 59 * time.Second, "1m1s": 61 * time.Second, "47h59m": 48*time.Hour - time.Second, "2d1h": 49 * time.Hour} {
		if got := span(d); got != want {
			t.Errorf("span(%v) = %s, want %s", d, got, want)
		}
	}
}

func TestSize(t *testing.T) {
	t.Parallel()
	for want, n := range map[string]int64{"0 bytes": 0, "999 bytes": 999, "1 KB": 1000, "1.5 MB": 1_500_000, "2.1 TB": 2_100_000_000_000} {
		if got := size(n); got != want {
			t.Errorf("size(%d) = %s, want %s", n, got, want)
		}
	}
}

// TestMirrorIsCounted: what is kept in memory is told once all is handled, though the
// server says nothing more.
func TestMirrorIsCounted(t *testing.T) {
	t.Parallel()
	srv, dir := redistest.Start(t, "redis-7.0", "--repl-ping-replica-period", "3600"), t.TempDir()
	write(t, dir, "rules.toml", fmt.Sprintf("[source]\nurl = \"redis://%s\"\n[[rule]]\nname = \"r\"\nkey = \"k:*\"\nvalues = true\n[[rule.action]]\ntype = \"log\"\n", srv.Addr))
	p := start(t, dir, "--http", "127.0.0.1:0")
	p.logs.await(t, `msg="attached`, 1)
	for _, key := range []string{"k:1", "k:2", "other"} {
		redistest.Do(t, srv, "SET", key, "1")
	}
	awaitMetric(t, apiOf(t, p), `triggerd_mirror_keys{stream="standalone"} 2`)
	redistest.Do(t, srv, "DEL", "k:1")
	awaitMetric(t, apiOf(t, p), `triggerd_mirror_keys{stream="standalone"} 1`)
	p.stop()
}
