// Live runs the real program and a real replica beside a real server that is
// written to as fast as it goes, and tells for each what a command costs in CPU,
// as the system counts it, how far it was behind, and how long after the last write
// it had caught up.
//
//	cd bench/live && go run .
//
// Absolutes depend on the machine and on what else it does; the two of one run can
// be compared. It ends with how long a restart takes that has a mirror of all keys.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"triggerd/internal/servers"
)

var (
	server   = flag.String("server", "redis-7.0", "server, as internal/servers names it")
	commands = flag.Int("n", 1_000_000, "commands of each case")
	keys     = flag.Int("keys", 100_000, "keys that they go to")
	restart  = flag.Int("restart", 1_000_000, "keys of the restart; 0: none")
	only     = flag.String("only", "", "the cases whose name begins so; all by default")
	rounds   = flag.Int("rounds", 1, "how often each case is run")
	built    = flag.String("program", "", "the triggerd to run; built anew by default")
	profiles = flag.String("profiles", "", "directory for CPU profiles of triggerd, one a case; none by default. Taking them costs CPU")
)

func main() {
	flag.Parse()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	defer cancel()
	if err := all(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "live:", err)
		os.Exit(1)
	}
}

// cases are rules, by what of the stream they look at.
var cases = []struct{ name, rules string }{
	{"none watched", rule("r", "other:*", "")},
	{"1000 rules", manyRules(1000)},
	{"all watched", rule("r", "user:*", `before == "no such value"`)},
}

func rule(name, key, when string) string {
	if when != "" {
		when = "when = '" + when + "'\n"
	}
	return fmt.Sprintf("[[rule]]\nname = %q\nkey = %q\n%s[[rule.action]]\ntype = \"log\"\n", name, key, when)
}

func manyRules(n int) string {
	var b strings.Builder
	for i := range n {
		b.WriteString(rule(fmt.Sprint("r", i), fmt.Sprintf("tenant:%d:*", i), ""))
	}
	return b.String()
}

func all(ctx context.Context) error {
	dir, err := os.MkdirTemp("", "live")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	program := *built
	if program == "" {
		program = filepath.Join(dir, "triggerd")
		build := exec.CommandContext(ctx, "go", "build", "-o", program, "./cmd/triggerd")
		build.Dir = filepath.Join("..", "..")
		if out, err := build.CombinedOutput(); err != nil {
			return fmt.Errorf("%w: %s", err, out)
		}
	}
	for i := range *rounds {
		for _, c := range cases {
			if !strings.HasPrefix(c.name, *only) {
				continue
			}
			if err := compare(ctx, program, filepath.Join(dir, fmt.Sprint(strings.ReplaceAll(c.name, " ", "-"), i)), c.name, c.rules); err != nil {
				return fmt.Errorf("%s: %w", c.name, err)
			}
		}
	}
	if *restart == 0 {
		return nil
	}
	return restarts(ctx, program, filepath.Join(dir, "restart"))
}

// daemon is a triggerd that runs.
type daemon struct {
	cmd *exec.Cmd
	api string
}

func startDaemon(ctx context.Context, program, dir, addr, rules string) (*daemon, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	text := fmt.Sprintf("[source]\nurl = \"redis://%s\"\n%s", addr, rules)
	if err := os.WriteFile(filepath.Join(dir, "rules.toml"), []byte(text), 0o600); err != nil {
		return nil, err
	}
	listen, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	api := listen.Addr().String()
	listen.Close()
	d := &daemon{cmd: exec.Command(program, "--pprof"), api: api}
	d.cmd.Dir = dir
	d.cmd.Env = append(os.Environ(), "TRIGGERD_SOURCE=", "TRIGGERD_HTTP="+api)
	log, err := os.OpenFile(filepath.Join(dir, "log"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	d.cmd.Stderr = log
	if err := d.cmd.Start(); err != nil {
		return nil, err
	}
	err = until(ctx, func() (bool, error) {
		s, err := d.source()
		return err == nil && s.State == "streaming", nil
	})
	return d, err
}

func (d *daemon) kill() {
	d.cmd.Process.Kill()
	d.cmd.Wait()
}

// source is what the status says of the stream.
type source struct {
	State         string
	HandledOffset int64 `json:"handled_offset"`
	Values        struct{ Bytes int64 }
}

func (d *daemon) source() (*source, error) {
	resp, err := http.Get("http://" + d.api + "/api/v1/status")
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	var s struct{ Source source }
	err = json.NewDecoder(resp.Body).Decode(&s)
	return &s.Source, err
}

// handled returns how far the daemon has handled the stream.
func (d *daemon) handled() (int64, error) {
	s, err := d.source()
	if err != nil {
		return 0, err
	}
	return s.HandledOffset, nil
}

// saved returns how many bytes of values are in files.
func (d *daemon) saved() (int64, error) {
	s, err := d.source()
	if err != nil {
		return 0, err
	}
	return s.Values.Bytes, nil
}

// profile writes a CPU profile of the next seconds to a file, if that is asked for.
func (d *daemon) profile(name string) <-chan error {
	done := make(chan error, 1)
	if *profiles == "" {
		done <- nil
		return done
	}
	go func() {
		resp, err := http.Get("http://" + d.api + "/debug/pprof/profile?seconds=2")
		if err != nil {
			done <- err
			return
		}
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		if err == nil {
			err = os.WriteFile(filepath.Join(*profiles, strings.ReplaceAll(name, " ", "-")+".pprof"), b, 0o600)
		}
		done <- err
	}()
	return done
}

// cpu returns how long a process has run, as the system counts it.
func cpu(pid int) (time.Duration, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	fields := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:]))
	const hz = 100 // ticks of a second, on every Linux
	total := 0
	for _, f := range fields[11:13] { // utime, stime
		n, err := strconv.Atoi(f)
		if err != nil {
			return 0, err
		}
		total += n
	}
	return time.Duration(total) * time.Second / hz, nil
}

// info returns a number of INFO replication.
func info(c *servers.Client, name string) (int64, error) {
	reply, err := c.Do("INFO", "replication")
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(fmt.Sprint(reply)) {
		if v, ok := strings.CutPrefix(strings.TrimSpace(line), name+":"); ok {
			return strconv.ParseInt(v, 10, 64)
		}
	}
	return 0, fmt.Errorf("INFO has no %s", name)
}

func until(ctx context.Context, done func() (bool, error)) error {
	return untilEvery(ctx, func() time.Duration { return 10 * time.Millisecond }, done)
}

func untilEvery(ctx context.Context, pause func() time.Duration, done func() (bool, error)) error {
	for {
		if ok, err := done(); ok || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(pause()):
		}
	}
}

// load writes to the server as fast as it goes.
func load(addr string, n, keys int, inOrder bool) error {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		return err
	}
	defer conn.Close()
	replies := make(chan error, 1)
	go func() {
		_, err := io.CopyN(io.Discard, conn, int64(n)*int64(len("+OK\r\n")))
		replies <- err
	}()
	random := rand.New(rand.NewPCG(1, 1))
	var b []byte
	for i := range n {
		k := i
		if !inOrder {
			k = random.IntN(keys)
		}
		key := fmt.Sprintf("user:%08d", k)
		b = fmt.Appendf(b, "*3\r\n$3\r\nSET\r\n$%d\r\n%s\r\n$16\r\n%016d\r\n", len(key), key, i)
		if len(b) > 32<<10 || i == n-1 {
			if _, err := conn.Write(b); err != nil {
				return err
			}
			b = b[:0]
		}
	}
	return <-replies
}

// compare runs one case.
func compare(ctx context.Context, program, dir, name, rules string) error {
	primary, err := servers.Start(ctx, servers.Options{Name: *server, Args: []string{"--repl-backlog-size", "64mb", "--repl-diskless-sync-delay", "0"}})
	if err != nil {
		return err
	}
	defer primary.Close()
	host, port, _ := strings.Cut(primary.Addr, ":")
	replica, err := servers.Start(ctx, servers.Options{Name: *server, Args: []string{"--replicaof", host + " " + port}})
	if err != nil {
		return err
	}
	defer replica.Close()
	pc, err := servers.Dial(ctx, primary.Addr)
	if err != nil {
		return err
	}
	defer pc.Close()
	rc, err := servers.Dial(ctx, replica.Addr)
	if err != nil {
		return err
	}
	defer rc.Close()
	d, err := startDaemon(ctx, program, dir, primary.Addr, rules)
	if err != nil {
		return err
	}
	defer d.kill()
	both := map[string]func() (int64, error){
		"replica":  func() (int64, error) { return info(rc, "slave_repl_offset") },
		"triggerd": d.handled,
	}
	pids := map[string]int{"replica": replica.PID(), "triggerd": d.cmd.Process.Pid}
	var used [2]map[string]time.Duration
	lag, caughtAt := map[string]int64{}, map[string]time.Time{}
	measure := func(i int) error {
		used[i] = map[string]time.Duration{}
		for who, pid := range pids {
			if used[i][who], err = cpu(pid); err != nil {
				return err
			}
		}
		return nil
	}
	// All keys are there before it is measured.
	if err := load(primary.Addr, *keys, *keys, true); err != nil {
		return err
	}
	caught := func() (bool, error) {
		end, err := info(pc, "master_repl_offset")
		if err != nil {
			return false, err
		}
		ok := true
		for who, at := range both {
			n, err := at()
			if err != nil {
				return false, err
			}
			lag[who] = max(lag[who], end-n)
			if n < end {
				ok = false
				delete(caughtAt, who)
			} else if caughtAt[who].IsZero() {
				caughtAt[who] = time.Now()
			}
		}
		return ok, nil
	}
	if err := until(ctx, caught); err != nil {
		return err
	}
	clear(lag)
	if err := measure(0); err != nil {
		return err
	}
	profiled := d.profile(name)
	began, loaded := time.Now(), make(chan error, 1)
	go func() { loaded <- load(primary.Addr, *commands, *keys, false) }()
	var written time.Time
	pause := func() time.Duration { // asking costs both, so it is done seldom while they are measured
		if written.IsZero() {
			return 100 * time.Millisecond
		}
		return 5 * time.Millisecond
	}
	if err := untilEvery(ctx, pause, func() (bool, error) {
		select {
		case err := <-loaded:
			if written = time.Now(); err != nil {
				return false, err
			}
			clear(caughtAt)
		default:
		}
		ok, err := caught()
		return ok && !written.IsZero(), err
	}); err != nil {
		return err
	}
	took := time.Since(began)
	if err := measure(1); err != nil {
		return err
	}
	if err := <-profiled; err != nil {
		return err
	}
	cost := func(who string) float64 { return float64(used[1][who]-used[0][who]) / float64(*commands) }
	fmt.Printf("%-14s  %7.0f commands/s", name, float64(*commands)/took.Seconds())
	for _, who := range []string{"replica", "triggerd"} {
		fmt.Printf("   %s %5.0f ns, behind %5.1f MB, %3d ms after", who, cost(who), float64(lag[who])/1e6, caughtAt[who].Sub(written).Milliseconds())
	}
	fmt.Printf("   %.2f x\n", cost("triggerd")/cost("replica"))
	return nil
}

// restarts measures how long a start takes that has many values to load.
func restarts(ctx context.Context, program, dir string) error {
	primary, err := servers.Start(ctx, servers.Options{Name: *server, Args: []string{"--repl-backlog-size", "256mb"}})
	if err != nil {
		return err
	}
	defer primary.Close()
	rules := cases[len(cases)-1].rules
	d, err := startDaemon(ctx, program, dir, primary.Addr, rules)
	if err != nil {
		return err
	}
	if err := load(primary.Addr, *restart, *restart, true); err != nil {
		return err
	}
	c, err := servers.Dial(ctx, primary.Addr)
	if err != nil {
		return err
	}
	defer c.Close()
	handled := func(d *daemon) error {
		end, err := info(c, "master_repl_offset")
		if err != nil {
			return err
		}
		return until(ctx, func() (bool, error) {
			at, err := d.handled()
			return at >= end, err
		})
	}
	// The first has to interpret most of it again, the second has it in files.
	for range 2 {
		if err := handled(d); err != nil {
			return err
		}
		d.kill()
		began := time.Now()
		if d, err = startDaemon(ctx, program, dir, primary.Addr, rules); err != nil {
			return err
		}
		used, err := cpu(d.cmd.Process.Pid)
		if err != nil {
			return err
		}
		fmt.Printf("restart after kill -9 with %d values: %.2f s, %.2f s of CPU\n", *restart, time.Since(began).Seconds(), used.Seconds())
		if err := until(ctx, func() (bool, error) {
			saved, err := d.saved()
			return saved > int64(*restart)*30, err
		}); err != nil {
			return err
		}
	}
	d.kill()
	b, err := os.ReadFile(filepath.Join(dir, "log"))
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(b)) {
		if strings.Contains(line, "values of keys") {
			fmt.Print("  ", line)
		}
	}
	return nil
}
