package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"triggerd/internal/servers"
)

// live runs the real program and a real replica on a server that is written to
// as fast as it goes, while one in a thousand writes fires.
func live(dir string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	primary, err := servers.Start(ctx, servers.Options{Name: *server, Args: []string{"--repl-backlog-size", "64mb"}})
	if err != nil {
		return err
	}
	defer primary.Close()
	replica, err := servers.Start(ctx, servers.Options{Name: *server})
	if err != nil {
		return err
	}
	defer replica.Close()
	hook, err := newSink(-1)
	if err != nil {
		return err
	}
	p, err := startTriggerd(ctx, dir, primary.Addr, hook.url+"/good")
	if err != nil {
		return err
	}
	defer p.Process.Kill()
	c, err := servers.Dial(ctx, primary.Addr)
	if err != nil {
		return err
	}
	defer c.Close()
	rc, err := servers.Dial(ctx, replica.Addr)
	if err != nil {
		return err
	}
	defer rc.Close()
	host, port, _ := strings.Cut(primary.Addr, ":")
	if _, err := rc.Do("REPLICAOF", host, port); err != nil {
		return err
	}
	if err := until(ctx, func() (bool, error) {
		lags, err := offsets(c)
		return len(lags.replicas) == 2, err
	}); err != nil {
		return fmt.Errorf("two replicas: %w", err)
	}

	// The numbered writes are one in a thousand: as many as the benchmark has made.
	var written atomic.Int64
	stop, stopped := make(chan struct{}), make(chan error, 1)
	go func() { stopped <- numbered(primary.Addr, &written, stop) }()
	began := time.Now()
	if err := benchmark(ctx, primary); err != nil {
		return err
	}
	took := time.Since(began)
	close(stop)
	if err := <-stopped; err != nil {
		return err
	}
	end, err := offsets(c)
	if err != nil {
		return err
	}
	ended := time.Now()
	caught := map[string]time.Duration{}
	if err := until(ctx, func() (bool, error) {
		now, err := offsets(c)
		for addr, at := range now.replicas {
			if at >= end.primary && caught[addr] == 0 {
				caught[addr] = time.Since(ended)
			}
		}
		return len(caught) == 2, err
	}); err != nil {
		return fmt.Errorf("both to catch up: %w", err)
	}
	want := written.Load()
	if err := until(ctx, func() (bool, error) { return hook.got.Load() >= want, nil }); err != nil {
		return fmt.Errorf("%d of %d firings arrived", hook.got.Load(), want)
	}
	full, err := info(c, "stats", "sync_full")
	if err != nil {
		return err
	}
	stats, err := info(c, "stats", "total_commands_processed")
	if err != nil {
		return err
	}
	report("live: writes of redis-benchmark -P 64", stats/took.Seconds(), "commands/s")
	report("live: firings", float64(want), "")
	atLeast("live: of these arrived, once and in order", float64(hook.got.Load()), float64(want), "")
	atMost("live: full resyncs of both", full, 2, "")
	report("live: wrong or twice", float64(hook.wrong.Load()+hook.twice.Load()), "")
	own, _, _ := strings.Cut(replica.Addr, ":")
	_, ownPort, _ := strings.Cut(replica.Addr, ":")
	for addr, lag := range end.replicas {
		name := "triggerd"
		if addr == own+":"+ownPort {
			name = "the real replica"
		}
		report("live: "+name+" behind at the end", float64(end.primary-lag)/1e6, "MB")
		report("live: "+name+" has caught up after", caught[addr].Seconds(), "s")
	}
	return nil
}

// startTriggerd builds and starts triggerd with a thousand rules.
func startTriggerd(ctx context.Context, dir, addr, hook string) (*exec.Cmd, error) {
	program := filepath.Join(dir, "triggerd")
	root, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}", "triggerd").Output()
	if err != nil {
		return nil, fmt.Errorf("where triggerd is: %w", err)
	}
	build := exec.CommandContext(ctx, "go", "build", "-o", program, "./cmd/triggerd")
	build.Dir = strings.TrimSpace(string(root)) // of that module's own versions
	if out, err := build.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("%w: %s", err, out)
	}
	var rules bytes.Buffer
	fmt.Fprintf(&rules, "[source]\nurl = \"redis://%s\"\nack = \"received\"\n%s", addr, target("n", hook))
	for i := range 999 {
		fmt.Fprintf(&rules, "[[rule]]\nname = \"r%d\"\nkey = \"tenant:%d:*\"\n[[rule.action]]\ntype = \"log\"\n", i, i)
	}
	if err := os.WriteFile(filepath.Join(dir, "rules.toml"), rules.Bytes(), 0o600); err != nil {
		return nil, err
	}
	cmd := exec.Command(program)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "TRIGGERD_SOURCE=", "TRIGGERD_HTTP=off")
	cmd.Stderr = os.Stderr
	return cmd, cmd.Start()
}

// benchmark runs redis-benchmark for a while.
func benchmark(ctx context.Context, srv *servers.Server) error {
	_, port, _ := strings.Cut(srv.Addr, ":")
	cmd := srv.Program.Command("benchmark", "-p", port, "-P", "64", "-r", "1000000", "-l", "-q", "-t", "set")
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = io.Discard, &out
	if err := cmd.Start(); err != nil {
		return err
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	select {
	case err := <-ended:
		return fmt.Errorf("the benchmark has ended: %w\n%s", err, out.Bytes())
	case <-time.After(time.Duration(*seconds) * time.Second):
	case <-ctx.Done():
	}
	cmd.Process.Kill()
	<-ended
	return nil
}

// numbered writes numbers to keys until stop is closed, one for each thousand
// commands of the server.
func numbered(addr string, written *atomic.Int64, stop chan struct{}) error {
	c, err := servers.Dial(context.Background(), addr)
	if err != nil {
		return err
	}
	defer c.Close()
	for {
		select {
		case <-stop:
			return nil
		case <-time.After(time.Millisecond):
		}
		all, err := info(c, "stats", "total_commands_processed")
		if err != nil {
			return err
		}
		for ; float64(written.Load()) < all/1000; written.Add(1) {
			n := written.Load()
			if _, err := c.Do("SET", fmt.Sprint("n:", n%200), strconv.FormatInt(n, 10)); err != nil {
				return err
			}
		}
	}
}

type positions struct {
	primary  int64
	replicas map[string]int64
}

// offsets tells how far replication is.
func offsets(c *servers.Client) (positions, error) {
	p := positions{replicas: map[string]int64{}}
	reply, err := c.Do("INFO", "replication")
	if err != nil {
		return p, err
	}
	text, _ := reply.(string)
	in := bufio.NewScanner(strings.NewReader(text))
	for in.Scan() {
		name, rest, _ := strings.Cut(in.Text(), ":")
		switch {
		case name == "master_repl_offset":
			p.primary, _ = strconv.ParseInt(rest, 10, 64)
		case strings.HasPrefix(name, "slave") && strings.Contains(rest, "state=online"):
			var ip, port string
			var at int64
			for field := range strings.SplitSeq(rest, ",") {
				k, v, _ := strings.Cut(field, "=")
				switch k {
				case "ip":
					ip = v
				case "port":
					port = v
				case "offset":
					at, _ = strconv.ParseInt(v, 10, 64)
				}
			}
			p.replicas[ip+":"+port] = at
		}
	}
	return p, nil
}

func info(c *servers.Client, section, field string) (float64, error) {
	reply, err := c.Do("INFO", section)
	if err != nil {
		return 0, err
	}
	text, _ := reply.(string)
	_, rest, found := strings.Cut(text, field+":")
	if !found {
		return 0, fmt.Errorf("INFO %s has no %s", section, field)
	}
	return strconv.ParseFloat(strings.Fields(rest)[0], 64)
}

// until asks again and again, until done holds.
func until(ctx context.Context, done func() (bool, error)) error {
	for {
		if ok, err := done(); ok || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(time.Millisecond):
		}
	}
}
