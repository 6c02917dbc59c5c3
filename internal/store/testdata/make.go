// Make has a triggerd write a data directory, which tests then open with a
// later one:
//
//	go run ./internal/store/testdata/make.go -program FILE -out internal/store/testdata/format2
//
// See README.md beside it.
package main

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"time"

	"triggerd/internal/servers"
)

const patience = time.Minute

func main() {
	program := flag.String("program", "", "the triggerd that writes")
	out := flag.String("out", "", "a directory with rules.toml; gets data/ and dump.rdb")
	flag.Parse()
	m := &maker{program: *program, out: *out}
	if err := m.run(); err != nil {
		log.Fatal(err)
	}
}

type maker struct {
	program, out string
	srv          *servers.Server
	hook         *httptest.Server
	cmd          *exec.Cmd
	logs         *syncBuffer
	api          string
}

func (m *maker) run() error {
	for _, name := range []string{"data", "dump.rdb"} {
		if err := os.RemoveAll(filepath.Join(m.out, name)); err != nil {
			return err
		}
	}
	tmp, err := os.MkdirTemp("", "triggerd-make-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	// What is read after the fixture was made begins where it ends, so nothing
	// may come into the stream by itself.
	m.srv, err = servers.Start(context.Background(), servers.Options{Name: "redis-7.0", Dir: tmp, Args: []string{"--repl-ping-replica-period", "3600"}})
	if err != nil {
		return err
	}
	defer m.srv.Close()
	m.hook = httptest.NewServer(http.HandlerFunc(receive))
	defer m.hook.Close()
	if err := m.write(); err != nil {
		return fmt.Errorf("%w; log:\n%s", err, m.logs)
	}
	if err := m.do("SAVE"); err != nil {
		return err
	}
	dump, err := os.ReadFile(filepath.Join(tmp, "dump.rdb"))
	if err != nil {
		return err
	}
	for _, name := range []string{"LOCK", "ballast", "db/LOCK"} { // made anew where they are missing
		if err := os.Remove(filepath.Join(m.out, "data", name)); err != nil {
			return err
		}
	}
	return os.WriteFile(filepath.Join(m.out, "dump.rdb"), dump, 0o600)
}

// receive answers as the targets' names say.
func receive(w http.ResponseWriter, r *http.Request) {
	io.Copy(io.Discard, r.Body)
	switch r.URL.Path {
	case "/up":
		fmt.Fprint(w, "thank you")
	case "/refusing":
		http.Error(w, "no such customer", http.StatusGone)
	default:
		http.Error(w, "closed for today", http.StatusServiceUnavailable)
	}
}

// write has the data directory written by two processes: what the first has
// left is in table files, what the second has left in the log.
func (m *maker) write() error {
	big := strings.Repeat("0123456789", 30)
	steps := []func() error{
		// Keys that the snapshot brings.
		m.all("SET v:string 41", "RPUSH v:list a b a", "SADD v:set one two", "SADD v:ints 1 2 3", "ZADD v:zset 1.5 low 2 high",
			"HSET v:hash status new total 12", "XADD v:stream 1-1 field value", "SET v:expiring x PXAT 4102444800000", "SET e:1 last PXAT 4102444800000"),
		m.start,
		m.all("SET order:1 new", "SET order:2 new", "SET order:1 paid"),
		m.all("SET waiting:1 a", "SET waiting:2 b", "SET waiting:1 c", "SET refused:1 x", "SET refused:2 y", "RPUSH waiting:3 "+big),
		m.all("INCR v:string", "RPUSH v:list c", "SET e:2 soon", "DEL e:2"),
		m.all("INCR batched:1", "INCR batched:1", "INCR batched:1", "INCR counted:1", "INCR throttled:1", "INCR throttled:1", "INCR deduped:1", "INCR once:1"),
		m.ask(`target/held paused`, "pause", "held"),
		m.ask(`rule/quiet paused`, "pause", "quiet"),
		m.all("SET quiet:1 x"),
		m.ask(`(?m)^\d+ .*refused`, "dlq", "list"),
		m.ask(`summary`, "deliveries", "list", "--limit", "100"), // its first run
		m.stop,
		m.all("SET order:3 away"), // while nobody looks
		m.start,
		m.all("SETEX order:4 86400 \xff\x00", "HSET v:hash status paid", "SADD v:set three", "ZADD v:zset 3 top", "XADD v:stream 2-1 field again", "SADD v:ints 4"),
		m.all("INCR counted:1", "INCR counted:2", "INCR throttled:1", "INCR deduped:1", "INCR once:1", "INCR once:2"),
		m.ask(`503`, "deliveries", "list", "--failing"),
		m.fill,
		m.ask(`(?m)^\d+ .*dropped`, "dlq", "list"),
		m.all("INCR batched:1", "INCR settled:1", "SET lasting:1 3", "SET beat:1 x"), // what waits when it is stopped
		m.stop,
	}
	for i, step := range steps {
		if err := step(); err != nil {
			return fmt.Errorf("step %d: %w", i, err)
		}
	}
	return nil
}

// fill makes more firings wait than may.
func (m *maker) fill() error {
	for i := range 60 {
		if err := m.do("SET", fmt.Sprintf("dropped:%d", i), "x"); err != nil {
			return err
		}
	}
	return nil
}

func (m *maker) do(args ...string) error {
	c, err := servers.Dial(context.Background(), m.srv.Socket)
	if err != nil {
		return err
	}
	defer c.Close()
	if _, err := c.Do(args...); err != nil {
		return fmt.Errorf("%q: %w", args, err)
	}
	return nil
}

// all sends commands, whose arguments have no spaces.
func (m *maker) all(commands ...string) func() error {
	return func() error {
		for _, c := range commands {
			if err := m.do(strings.Fields(c)...); err != nil {
				return err
			}
		}
		return nil
	}
}

// ask runs a command of triggerd until it prints what is wanted.
func (m *maker) ask(want string, args ...string) func() error {
	return func() error {
		re := regexp.MustCompile(want)
		for until := time.Now().Add(patience); ; time.Sleep(50 * time.Millisecond) {
			cmd := exec.Command(m.program, append(args, "--api", m.api)...)
			b, err := cmd.CombinedOutput()
			if err == nil && re.Match(b) {
				return nil
			}
			if time.Now().After(until) {
				return fmt.Errorf("%q: %w: %s", args, err, b)
			}
		}
	}
}

func (m *maker) start() error {
	m.logs = &syncBuffer{}
	m.cmd = exec.Command(m.program, "run", "--data-dir", "data")
	m.cmd.Dir = m.out
	m.cmd.Env = append(os.Environ(), "TRIGGERD_SOURCE=redis://"+m.srv.Addr, "HOOK="+m.hook.URL, "TRIGGERD_HTTP=", "TRIGGERD_TOKEN=")
	m.cmd.Stderr = m.logs
	if err := m.cmd.Start(); err != nil {
		return err
	}
	if err := m.logs.await(`msg="attached`); err != nil {
		return err
	}
	if err := m.logs.await(`status, metrics and API" url=(http\S+)`); err != nil {
		return err
	}
	m.api = regexp.MustCompile(`status, metrics and API" url=(http\S+)`).FindStringSubmatch(m.logs.String())[1]
	return nil
}

func (m *maker) stop() error {
	if err := m.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	return m.cmd.Wait()
}

// syncBuffer is a log that is read while it is written.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(b)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

func (s *syncBuffer) await(want string) error {
	re := regexp.MustCompile(want)
	for until := time.Now().Add(patience); !re.MatchString(s.String()); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(until) {
			return fmt.Errorf("waited for %s", want)
		}
	}
	return nil
}
