package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"triggerd/actions/actionstest/fax"
	"triggerd/actions/kinds"
)

// beMain makes the test binary be triggerd, so that tests run, signal and kill
// the real program.
const beMain = "TRIGGERD_TEST_BE_MAIN"

// withFax puts one more kind of action into the list of kinds.
const withFax = "TRIGGERD_TEST_FAX"

func TestMain(m *testing.M) {
	if os.Getenv(withFax) != "" {
		kinds.All = append(kinds.All, &fax.Kind)
	}
	if os.Getenv(beMain) != "" {
		main()
	}
	// Most tests wait for servers, timers and processes, not for a processor. Those
	// that keep one busy are not parallel.
	_ = flag.Set("test.parallel", "6") // the command line says otherwise
	testscript.Main(m, map[string]func(){"triggerd": main})
}

// patience is how long a test waits for what has to come. It bounds a failing
// test only.
const patience = 2 * time.Minute

// process is a running triggerd.
type process struct {
	t      testing.TB
	cmd    *exec.Cmd
	stdout bytes.Buffer // complete once it has ended, if it was not piped
	logs   *lines
	ended  chan error    // gets how it ended
	gone   chan struct{} // closed when it has ended
}

// start runs triggerd with args in dir.
func start(t testing.TB, dir string, args ...string) *process {
	t.Helper()
	return startWith(t, command(t, dir, args...))
}

// startWith runs a command of triggerd with more in its environment.
func startWith(t testing.TB, cmd *exec.Cmd, env ...string) *process {
	t.Helper()
	p := &process{t: t, cmd: cmd, logs: newLines(), ended: make(chan error, 1), gone: make(chan struct{})}
	cmd.Env = append(cmd.Env, env...)
	cmd.Stdout = &p.stdout
	cmd.Stderr = p.logs
	cmd.WaitDelay = patience // for a program that it runs, and that holds its output
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		p.ended <- cmd.Wait()
		close(p.gone)
	}()
	t.Cleanup(func() {
		cmd.Process.Kill()
		<-p.gone // it writes nothing into a folder that is removed
		if t.Failed() {
			t.Logf("log of triggerd %s:\n%s", strings.Join(cmd.Args[1:], " "), p.logs)
		}
	})
	return p
}

func command(t testing.TB, dir string, args ...string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self, args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), beMain+"=1", "TRIGGERD_SOURCE=", "REDIS_URL=", "TRIGGERD_HTTP=off", "TRIGGERD_TOKEN=", "TRIGGERD_API=",
		"TRIGGERD_CONFIG=", "TRIGGERD_DATA_DIR=", "TRIGGERD_LOG_FORMAT=", "TRIGGERD_LOG_LEVEL=", "NOTIFY_SOCKET=")
	return cmd
}

func (p *process) signal(s os.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		p.t.Fatal(err)
	}
}

// wait waits for the process to end and returns its exit code.
func (p *process) wait() int {
	p.t.Helper()
	select {
	case <-p.ended:
		return p.cmd.ProcessState.ExitCode()
	case <-time.After(patience):
		p.t.Fatalf("triggerd does not end; its log:\n%s", p.logs)
		return -1
	}
}

// stop ends the process as an operator does.
func (p *process) stop() {
	p.t.Helper()
	p.signal(syscall.SIGTERM)
	if code := p.wait(); code != 0 {
		p.t.Fatalf("exit code %d after SIGTERM; log:\n%s", code, p.logs)
	}
}

// kill ends the process as a power cut does.
func (p *process) kill() {
	p.t.Helper()
	p.signal(syscall.SIGKILL)
	p.wait()
}

// lines collects lines and lets tests wait for one.
type lines struct {
	mu    sync.Mutex
	text  bytes.Buffer
	added chan struct{} // closed and replaced at each write
}

func newLines() *lines { return &lines{added: make(chan struct{})} }

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text.Write(b)
	close(l.added)
	l.added = make(chan struct{})
	return len(b), nil
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// await waits until want is there n times.
func (l *lines) await(t testing.TB, want string, n int) {
	t.Helper()
	limit := time.After(patience)
	for {
		l.mu.Lock()
		count, added := strings.Count(l.text.String(), want), l.added
		l.mu.Unlock()
		if count >= n {
			return
		}
		select {
		case <-added:
		case <-limit:
			t.Fatalf("waited for %d times %q, have it %d times in:\n%s", n, want, count, l)
		}
	}
}

// delivery is a webhook that arrived, or a line of `listen --json`.
type delivery struct {
	arrived time.Time

	ID   string
	Time time.Time
	Data struct {
		Rule, Event, Key, Command, Origin, ReplID string
		Args                                      []any
		DB                                        int
		Offset                                    int64
		Attempt                                   int
		Before, After                             any
		Unknown                                   []string
		Part                                      struct{ Index, Size int }

		Rewound    bool
		Status, By string // of rules with time fields
		Count      int
		Suppressed int
		Events     []struct{ ID, Key string }
		Summary    []struct {
			Rule              string
			Count, Suppressed int
		}

		Cause    string
		Since    time.Time
		Duration *int
	}
}

// value is the argument of the command that a test numbers its writes with.
func (d *delivery) value() string {
	if len(d.Data.Args) < 2 {
		return ""
	}
	s, _ := d.Data.Args[1].(string)
	return s
}

// sink is a receiver of webhooks that keeps what it got.
type sink struct {
	*httptest.Server
	mu    sync.Mutex
	got   []delivery
	added chan struct{}
	reply func(d *delivery) int // status for a delivery; nil: 200
}

func newSink(t testing.TB) *sink {
	s := &sink{added: make(chan struct{})}
	s.Server = httptest.NewServer(http.HandlerFunc(s.receive))
	t.Cleanup(s.Close)
	return s
}

func (s *sink) receive(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	var d delivery
	if err == nil {
		err = json.Unmarshal(body, &d)
	}
	if err != nil || r.Header.Get("webhook-id") != d.ID {
		http.Error(w, "not one of ours", http.StatusTeapot)
		return
	}
	status := http.StatusOK
	d.arrived = time.Now()
	s.mu.Lock()
	if s.reply != nil {
		status = s.reply(&d)
	}
	if status == http.StatusOK {
		s.got = append(s.got, d)
		close(s.added)
		s.added = make(chan struct{})
	}
	s.mu.Unlock()
	w.WriteHeader(status)
}

// count returns how many deliveries there have been.
func (s *sink) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.got)
}

func (s *sink) setReply(f func(*delivery) int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reply = f
}

// await waits until done holds for what has arrived, and returns that.
func (s *sink) await(t testing.TB, what string, done func([]delivery) bool) []delivery {
	t.Helper()
	limit, end := time.NewTimer(patience), time.Now().Add(5*patience)
	for {
		s.mu.Lock()
		got, added := s.got[:len(s.got):len(s.got)], s.added
		s.mu.Unlock()
		if done(got) {
			return got
		}
		select {
		case <-added:
			// As long as something comes it is not hung. Many are looked at seldom, since
			// done looks at all of them.
			if time.Now().Before(end) {
				limit.Reset(patience)
			}
			time.Sleep(time.Duration(len(got)) * time.Microsecond)
		case <-limit.C:
			t.Fatalf("waited for %s; %d deliveries arrived", what, len(got))
		}
	}
}

// write makes a file in dir.
func write(t testing.TB, dir, name, content string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// scan decodes the JSON lines of r until it has n, or ctx ends.
func scan(ctx context.Context, t *testing.T, r io.Reader, n int) []delivery {
	t.Helper()
	got := make(chan []delivery, 1)
	go func() {
		var ds []delivery
		in := bufio.NewScanner(r)
		in.Buffer(nil, 16<<20)
		for len(ds) < n && in.Scan() {
			var d delivery
			if err := json.Unmarshal(in.Bytes(), &d); err != nil {
				break
			}
			ds = append(ds, d)
		}
		got <- ds
	}()
	select {
	case ds := <-got:
		return ds
	case <-ctx.Done():
		t.Fatal(context.Cause(ctx))
		return nil
	}
}
