package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"triggerd/engine"
	"triggerd/internal/redistest"
	"triggerd/internal/servers"
)

// startPiped runs a command of triggerd whose output goes to pipes, of which the
// caller has the other ends. Standard error is read into logs until it is closed,
// or given a deadline that is over.
func startPiped(t *testing.T, cmd *exec.Cmd) (p *process, stdout, stderr *os.File) {
	t.Helper()
	p = &process{t: t, cmd: cmd, logs: newLines(), ended: make(chan error, 1), gone: make(chan struct{})}
	pipe := func() (r, w *os.File) {
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { r.Close() })
		return r, w
	}
	stdout, out := pipe()
	stderr, errs := pipe()
	cmd.Stdout, cmd.Stderr = out, errs
	cmd.Env = append(cmd.Env, "TRIGGERD_HTTP=127.0.0.1:0")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	out.Close()
	errs.Close()
	go io.Copy(p.logs, stderr)
	go func() {
		p.ended <- cmd.Wait()
		close(p.gone)
	}()
	t.Cleanup(func() {
		cmd.Process.Kill()
		<-p.gone
		if t.Failed() {
			t.Logf("log of triggerd, as far as it was read:\n%s", p.logs)
		}
	})
	return p, stdout, stderr
}

// A log that nobody reads any more, as when its collector crashed, ends neither
// the daemon nor a delivery; what it costs is counted. The programs that are run
// notice nothing.
func TestStderrClosed(t *testing.T) {
	t.Parallel()
	srv := redistest.Start(t, "redis-7.0")
	hook, dir := newSink(t), t.TempDir()
	write(t, dir, "rules.toml", laneRules(srv.Addr, hook.URL)+`
[[rule]]
name = "pipe"
key = "pipe"
[[rule.action]]
type = "exec"
command = ["sh", "-c", "(yes; echo $? > code) | head -n 1"]
`)
	p, _, stderr := startPiped(t, command(t, dir))
	p.logs.await(t, `msg="attached`, 1)
	api := apiOf(t, p)
	stderr.Close()
	p.signal(syscall.SIGHUP) // which is logged
	awaitAnswer(t, api, `(?m)^log +[1-9]\d* lines? lost`, "status")
	if m := metricsOf(t, api); !regexp.MustCompile(`(?m)^triggerd_log_lines_lost_total [1-9]`).MatchString(m) {
		t.Errorf("no lost lines in the metrics:\n%s", m)
	}
	redistest.Do(t, srv, "SET", "pipe", "1")
	awaitFile(t, filepath.Join(dir, "code"), strconv.Itoa(128+int(syscall.SIGPIPE)))
	for i := range lanes {
		redistest.Do(t, srv, "SET", laneOf(i), strconv.Itoa(i))
	}
	checkDeliveries(t, hook.await(t, "all writes", allOf(lanes)), lanes)

	// Tools that only print do end there, without a word.
	for _, args := range [][]string{{"status", "--api", api}, {"deliveries", "list", "--delivered", "--api", api}, {"schema"}} {
		endsQuietly(t, command(t, dir, args...))
	}
	p.stop()
}

// endsQuietly runs a command whose output nobody reads.
func endsQuietly(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	r.Close()
	defer w.Close()
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = w, &said
	_ = cmd.Run()
	if s := cmd.ProcessState.Sys().(syscall.WaitStatus); !s.Signaled() || s.Signal() != syscall.SIGPIPE || said.Len() > 0 {
		t.Errorf("%q into a closed pipe: %v, and says %q; want it ended by SIGPIPE", cmd.Args[1:], cmd.ProcessState, said.String())
	}
}

// A firing that cannot be printed has failed, and nothing else has.
func TestStdoutClosed(t *testing.T) {
	t.Parallel()
	srv := redistest.Start(t, "redis-7.0")
	hook, dir := newSink(t), t.TempDir()
	write(t, dir, "rules.toml", laneRules(srv.Addr, hook.URL)+`
[[rule.action]]
type = "print"
retry = { backoff = "10ms", max_backoff = "100ms" }
`)
	p, stdout, _ := startPiped(t, command(t, dir))
	p.logs.await(t, `msg="attached`, 1)
	redistest.Do(t, srv, "SET", laneOf(0), "0")
	if line, err := bufio.NewReader(stdout).ReadString('\n'); err != nil || !strings.Contains(line, "set lane:0 SET lane:0 0") {
		t.Errorf("printed %q, %v", line, err)
	}
	stdout.Close()
	for i := 1; i < lanes; i++ {
		redistest.Do(t, srv, "SET", laneOf(i), strconv.Itoa(i))
	}
	checkDeliveries(t, hook.await(t, "all writes", allOf(lanes)), lanes)
	p.logs.await(t, `msg="delivery failed, trying again" rule=lanes action=print`, 3)
	awaitAnswer(t, apiOf(t, p), `rule/lanes/print .* print: write /dev/stdout: broken pipe`, "status")
	p.stop()
}

// A log whose reader stands still delays nothing. Firings of the log action
// fail, and are delivered when it is read again.
func TestStderrStuck(t *testing.T) {
	t.Parallel()
	srv := redistest.Start(t, "redis-7.0")
	hook, dir := newSink(t), t.TempDir()
	write(t, dir, "rules.toml", laneRules(srv.Addr, hook.URL)+`
[[rule]]
name = "told"
key = "told:*"
[[rule.action]]
type = "log"
message = "got {{.key}}"
timeout = "100ms"
retry = { backoff = "10ms", max_backoff = "100ms", max_attempts = 1000 }
`)
	p, _, stderr := startPiped(t, command(t, dir, "--log-level", "debug"))
	p.logs.await(t, `msg="attached`, 1)
	api := apiOf(t, p)
	redistest.Do(t, srv, "SET", "told:1", "x")
	p.logs.await(t, `msg="got told:1"`, 1)
	awaitMetric(t, api, `triggerd_attempts_total{action="rule/told/log",outcome="delivered"} 1`)

	if err := stderr.SetReadDeadline(time.Unix(1, 0)); err != nil {
		t.Fatal(err)
	}
	const n = 8000 // deliveries of a debug line each: more than is kept
	setLanes(t, srv, 0, n)
	checkDeliveries(t, hook.await(t, "all writes", allOf(n)), n)
	awaitMetric(t, api, `triggerd_log_lines_lost_total [1-9]`)
	redistest.Do(t, srv, "SET", "told:2", "x")
	awaitMetric(t, api, `triggerd_attempts_total{action="rule/told/log",outcome="retried"} [1-9]`)

	if err := stderr.SetReadDeadline(time.Time{}); err != nil {
		t.Fatal(err)
	}
	go io.Copy(p.logs, stderr)
	p.logs.await(t, `msg="log lines were lost`, 1)
	p.logs.await(t, `msg="got told:2"`, 1)
	awaitMetric(t, api, `triggerd_attempts_total{action="rule/told/log",outcome="delivered"} 2`)

	if err := stderr.SetReadDeadline(time.Unix(1, 0)); err != nil {
		t.Fatal(err)
	}
	setLanes(t, srv, n, n+1000) // more than a pipe takes
	checkDeliveries(t, hook.await(t, "more writes", allOf(n+1000)), n+1000)
	p.stop() // nor does it delay the end
}

// setLanes makes numbered writes at once.
func setLanes(t *testing.T, srv *servers.Server, from, to int) {
	t.Helper()
	c := redistest.Dial(t, srv)
	for i := from; i < to; i++ {
		c.Send("SET", laneOf(i), strconv.Itoa(i))
	}
	if err := c.Flush(); err != nil {
		t.Fatal(err)
	}
}

// awaitMetric waits until a line of the metrics begins with what is wanted.
func awaitMetric(t *testing.T, api, want string) {
	t.Helper()
	pattern := regexp.MustCompile(`(?m)^` + strings.NewReplacer("{", `\{`, "}", `\}`).Replace(want))
	limit := time.After(patience)
	for {
		m := metricsOf(t, api)
		if pattern.MatchString(m) {
			return
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-limit:
			t.Fatalf("waited for %q in the metrics:\n%s", want, m)
		}
	}
}

// listen | head ends at the next line, without a word.
func TestListenHead(t *testing.T) {
	t.Parallel()
	srv := redistest.Start(t, "redis-7.0")
	cmd := command(t, t.TempDir(), "listen", "redis://"+srv.Addr, "n:*")
	p, stdout, _ := startPiped(t, cmd)
	p.logs.await(t, `msg="attached`, 1)
	redistest.Do(t, srv, "SET", "n:1", "1")
	if line, err := bufio.NewReader(stdout).ReadString('\n'); err != nil || !strings.Contains(line, "n:1") {
		t.Errorf("printed %q, %v", line, err)
	}
	stdout.Close()
	said := p.logs.String()
	for began, ended := time.Now(), false; !ended && time.Since(began) < patience; { // not at once: a process that another test starts holds the pipe for a moment
		redistest.Do(t, srv, "SET", "n:2", "1")
		select {
		case err := <-p.ended:
			p.ended <- err
			ended = true
		case <-time.After(10 * time.Millisecond):
		}
	}
	p.wait()
	if s := cmd.ProcessState.Sys().(syscall.WaitStatus); !s.Signaled() || s.Signal() != syscall.SIGPIPE {
		t.Errorf("ended with %v, want SIGPIPE", cmd.ProcessState)
	}
	if more := strings.TrimPrefix(p.logs.String(), said); more != "" {
		t.Errorf("it says %q", more)
	}
}

// A pager that is at its first page for a while is no failure.
func TestListenWaits(t *testing.T) {
	t.Parallel()
	set, err := engine.BuildRules((&listenOptions{}).document(nil), engine.ActionOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range set.Rules {
		for _, a := range r.Actions {
			if a.Timeout < time.Hour {
				t.Errorf("rule %s: a line has %s to be read", r.Name, a.Timeout)
			}
		}
	}
}

// Receivers that do what they can to keep an attempt for ever delay neither
// others nor the end.
func TestReceiversThatHold(t *testing.T) {
	t.Parallel()
	for name, answer := range map[string]string{
		"101":      "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
		"500 slow": "HTTP/1.1 500 No\r\nContent-Length: 100\r\n\r\nx",
		"silent":   "",
	} {
		t.Run(name, func(t *testing.T) {
			srv := redistest.Start(t, "redis-7.0")
			hook, dir := newSink(t), t.TempDir()
			write(t, dir, "rules.toml", laneRules(srv.Addr, hook.URL)+fmt.Sprintf(`
[[rule.action]]
name = "holds"
type = "webhook"
url = "%s/in"
timeout = "500ms"
[[rule.action]]
name = "token"
type = "webhook"
url = "%s/in"
timeout = "500ms"
oauth2 = { token_url = "%[1]s/token", client_id = "me", client_secret = "hunter2" }
`, holding(t, answer), hook.URL))
			p, _, _ := startPiped(t, command(t, dir))
			p.logs.await(t, `msg="attached`, 1)
			for i := range 2 * lanes {
				redistest.Do(t, srv, "SET", laneOf(i), strconv.Itoa(i))
			}
			checkDeliveries(t, hook.await(t, "all writes", allOf(2*lanes)), 2*lanes)
			for _, action := range []string{"holds", "token"} {
				p.logs.await(t, `msg="delivery failed, trying again" rule=lanes action=`+action, 10)
				awaitMetric(t, apiOf(t, p), `triggerd_breaker_open{action="rule/lanes/`+action+`"} 1`)
			}
			p.stop()
		})
	}
}

// holding is a server that answers every request so, and keeps the connection.
func holding(t *testing.T, answer string) (url string) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			t.Cleanup(func() { c.Close() })
			go func() {
				if req, err := http.ReadRequest(bufio.NewReader(c)); err == nil {
					_, _ = io.Copy(io.Discard, req.Body)
					io.WriteString(c, answer)
				}
			}()
		}
	}()
	return "http://" + ln.Addr().String()
}
