package main

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"triggerd/internal/redistest"
	"triggerd/internal/servers"
)

// rounds returns n, or what the environment variable TRIGGERD_TEST_ROUNDS says:
// 100 for a night's run.
func rounds(t *testing.T, n int) int {
	t.Helper()
	if s := os.Getenv("TRIGGERD_TEST_ROUNDS"); s != "" {
		var err error
		if n, err = strconv.Atoi(s); err != nil {
			t.Fatal(err)
		}
	}
	return n
}

// attach starts triggerd in dir, and waits until it reads the stream.
func attach(t *testing.T, dir string) *process {
	t.Helper()
	p := start(t, dir)
	p.logs.await(t, `msg="attached`, 1)
	return p
}

// Twenty times kill -9 at a random moment: each write is delivered, in order,
// and what comes twice was being delivered when the process died.
func TestKilledOften(t *testing.T) {
	t.Parallel()
	srv := redistest.Start(t, "redis-8.6", bigBacklog...)
	hook, dir := newSink(t), t.TempDir()
	write(t, dir, "rules.toml", laneRules(srv.Addr, hook.URL))
	p := attach(t, dir)
	l := startLoad(t, srv)
	n := rounds(t, 20)
	for range n {
		have := hook.count()
		more := 1 + rand.IntN(300)
		hook.await(t, "some more", func(ds []delivery) bool { return len(ds) >= have+more })
		p.kill()
		p = attach(t, dir)
	}
	writes := l.stop()
	ds := hook.await(t, "all writes", allOf(writes))
	twice := checkDeliveries(t, ds, writes)
	p.stop()
	t.Logf("%d kills, %d writes, %d deliveries came twice", n, writes, twice)
}

// The process dies between any two steps of a delivery.
func TestFailpoints(t *testing.T) {
	t.Parallel()
	for _, point := range []string{"matched", "committed", "delivered", "burying", "reloading"} {
		t.Run(point, func(t *testing.T) {
			srv := redistest.Start(t, "valkey-9.1", bigBacklog...)
			hook, dir := newSink(t), t.TempDir()
			// Every tenth write is refused for good.
			hook.setReply(func(d *delivery) int {
				if n, _ := strconv.Atoi(d.value()); n%10 == 9 && d.Data.Attempt > 0 && point == "burying" {
					return 400
				}
				return 200
			})
			write(t, dir, "rules.toml", laneRules(srv.Addr, hook.URL))
			attach(t, dir).stop() // what is written from now on is missed by no later start
			written := 0
			c := redistest.Dial(t, srv)
			for round := range rounds(t, 2) {
				p := startWith(t, command(t, dir), fmt.Sprintf("TRIGGERD_FAILPOINT=%s:%d", point, 2+3*round))
				if point == "reloading" { // before it, a SIGHUP ends the process
					p.logs.await(t, `msg="attached`, 1)
				}
				for ended := false; !ended; {
					if point == "reloading" {
						p.cmd.Process.Signal(syscall.SIGHUP)
					}
					for range 10 {
						if _, err := c.Do("SET", laneOf(written), strconv.Itoa(written)); err != nil {
							t.Fatal(err)
						}
						written++
					}
					select {
					case <-p.ended:
						ended = true
					case <-time.After(2 * time.Millisecond):
					}
				}
				if code := p.cmd.ProcessState.ExitCode(); code != 86 {
					t.Fatalf("exit code %d, want that of the failpoint; log:\n%s", code, p.logs)
				}
			}
			p := attach(t, dir)
			if point != "burying" {
				checkDeliveries(t, hook.await(t, "all writes", allOf(written)), written)
				p.stop()
				return
			}
			refused := written / 10
			ds := hook.await(t, "all that is not refused", allOf(written-refused))
			seen := map[string]bool{}
			for _, d := range ds {
				if n, _ := strconv.Atoi(d.value()); n%10 == 9 {
					t.Errorf("refused and delivered: %+v", d)
				}
				seen[d.value()] = true
			}
			if len(seen) != written-refused {
				t.Errorf("%d of %d arrived", len(seen), written-refused)
			}
			p.stop()
		})
	}
}

// Ten failovers between two servers under load lose nothing: each time the
// replica has what the application was told is written.
func TestFailovers(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"redis-7.0", "valkey-9.1"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			// A PING that triggerd has got and the replica has not would be a gap.
			args := append([]string{"--repl-ping-replica-period", "3600"}, bigBacklog...)
			a := redistest.Start(t, name, args...)
			b := redistest.Start(t, name, args...)
			follow(t, b, a)
			hook, dir := newSink(t), t.TempDir()
			write(t, dir, "rules.toml", laneRules(a.Addr, hook.URL))
			p := attach(t, dir)
			written := 0
			for range rounds(t, 10) {
				c := redistest.Dial(t, a)
				c.Timeout = patience
				for range 50 {
					if _, err := c.Do("SET", laneOf(written), strconv.Itoa(written)); err != nil {
						t.Fatal(err)
					}
					written++
				}
				if got, err := c.Do("WAIT", "1", "0"); err != nil || got.(int64) < 1 {
					t.Fatalf("WAIT = %v, %v", got, err)
				}
				// Of this history, for a server knows one before its own only.
				hook.await(t, "one of these writes", func(ds []delivery) bool {
					return slices.ContainsFunc(ds, func(d delivery) bool { n, _ := strconv.Atoi(d.value()); return n >= written-50 })
				})
				p.kill()
				redistest.Do(t, b, "REPLICAOF", "NO", "ONE")
				a, b = b, a
				follow(t, b, a)
				p = start(t, dir, "--source", "redis://"+a.Addr)
				p.logs.await(t, `msg="attached`, 1)
				if strings.Contains(p.logs.String(), "changes were missed") {
					t.Fatalf("a gap after a failover; log:\n%s", p.logs)
				}
			}
			twice := checkDeliveries(t, hook.await(t, "all writes", allOf(written)), written)
			p.stop()
			t.Logf("%d writes, %d deliveries came twice", written, twice)
		})
	}
}

// Failovers while writes go on, by way of an address that moves to the new
// primary, as a virtual IP or a service name does: what a server said OK to is
// delivered, in order, without a gap. The servers hand over in good order; with
// writes that only the old primary has there would be nothing to resume from.
func TestFailoversUnderLoad(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"redis-7.0", "valkey-9.1"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := redistest.Start(t, name, bigBacklog...)
			b := redistest.Start(t, name, bigBacklog...)
			follow(t, b, a)
			hook, dir := newSink(t), t.TempDir()
			proxy := redistest.StartProxy(t, a.Addr)
			write(t, dir, "rules.toml", laneRules(proxy.Addr, hook.URL))
			p := attach(t, dir)
			l := startLoadOf(t, a, b)
			n := rounds(t, 4)
			for range n {
				have := hook.count()
				hook.await(t, "some more", func(ds []delivery) bool { return len(ds) >= have+100 })
				host, port, _ := strings.Cut(b.Addr, ":")
				redistest.Do(t, a, "FAILOVER", "TO", host, port)
				awaitInfo(t, b, "role:master")
				proxy.Move(b.Addr)
				proxy.Reset()
				awaitInfo(t, a, "master_link_status:up")
				a, b = b, a
			}
			written := l.stop()
			twice := checkDeliveries(t, hook.await(t, "all writes", allOf(written)), written)
			p.stop()
			if twice > 0 || strings.Contains(p.logs.String(), "changes were missed") {
				t.Errorf("%d came twice; log:\n%s", twice, p.logs)
			}
			t.Logf("%d failovers, %d writes, of which the servers refused %d at first", n, written, l.refused.Load())
		})
	}
}

// startLoadOf is startLoad on whichever of two servers is the primary: a write
// that one refuses is made on the other.
func startLoadOf(t *testing.T, all ...*servers.Server) *load {
	t.Helper()
	var clients []*servers.Client
	for _, srv := range all {
		clients = append(clients, redistest.Dial(t, srv))
	}
	l := newLoad(t)
	go func() {
		defer close(l.done)
		i, at := 0, 0
		for ; ; time.Sleep(100 * time.Microsecond) {
			select {
			case <-l.quit:
				l.done <- i
				return
			default:
			}
			_, err := clients[at].Do("SET", laneOf(i), strconv.Itoa(i))
			var refused servers.ReplyError
			switch {
			case err == nil:
				i++
			case errors.As(err, &refused): // READONLY, UNBLOCKED: it was not made
				l.refused.Add(1)
				at = (at + 1) % len(clients)
			default:
				t.Errorf("write %d: %v", i, err)
				l.done <- i
				return
			}
		}
	}()
	return l
}

// awaitInfo waits until a server says something of its replication.
func awaitInfo(t *testing.T, srv *servers.Server, want string) {
	t.Helper()
	limit := time.After(patience)
	for !strings.Contains(redistest.Do(t, srv, "INFO", "replication").(string), want) {
		select {
		case <-time.After(5 * time.Millisecond):
		case <-limit:
			t.Fatalf("%s never says %s", srv.Addr, want)
		}
	}
}

// follow makes a replica of primary, and waits until it is one.
func follow(t *testing.T, replica, primary *servers.Server) {
	t.Helper()
	host, port, _ := strings.Cut(primary.Addr, ":")
	redistest.Do(t, replica, "REPLICAOF", host, port)
	awaitInfo(t, replica, "master_link_status:up")
}

// SIGHUP every 50 ms under load: with the endpoint there, gone, and back. What waits
// while it is gone is delivered in the end.
func TestReloadsOften(t *testing.T) {
	t.Parallel()
	srv := redistest.Start(t, "redis-7.0", bigBacklog...)
	hook, dir := newSink(t), t.TempDir()
	rules := laneRules(srv.Addr, hook.URL)
	renamed := strings.Replace(rules, `name = "lanes"`, `name = "other"`, 1)
	write(t, dir, "rules.toml", rules)
	p := attach(t, dir)
	l := startLoad(t, srv)
	for i := range rounds(t, 40) {
		text := rules
		if i%2 == 0 {
			text = renamed
		}
		replace(t, dir, text)
		p.signal(syscall.SIGHUP)
		<-time.After(50 * time.Millisecond)
	}
	n := l.stop()
	// The other rule comes back for what waits for it. It matches nothing: a write
	// that is read only now would else be delivered by both.
	_, other, _ := strings.Cut(strings.Replace(renamed, "lane:*", "none:*", 1), "[[rule]]")
	replace(t, dir, rules+"[[rule]]"+other)
	p.signal(syscall.SIGHUP)
	ds := hook.await(t, "all writes", allOf(n))
	p.stop()
	ids := map[string]bool{}
	for _, d := range ds {
		if ids[d.ID] {
			t.Errorf("%s came twice", d.ID)
		}
		ids[d.ID] = true
	}
	if len(ds) != n || !strings.Contains(p.logs.String(), `msg="rules reloaded"`) {
		t.Errorf("%d deliveries of %d writes", len(ds), n)
	}
}

// replace writes the rules as editors and configuration managers do: at once.
func replace(t *testing.T, dir, rules string) {
	t.Helper()
	if err := os.Rename(write(t, dir, "new.toml", rules), filepath.Join(dir, "rules.toml")); err != nil {
		t.Fatal(err)
	}
}

// With ack = "durable" an application that waits for WAITAOF knows that its
// trigger is on disk: after that a kill -9 loses nothing, though nothing was
// delivered yet, and though the server forgets its backlog.
func TestDurableAck(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"redis-8.6", "valkey-9.1"} {
		t.Run(name, func(t *testing.T) {
			srv := redistest.Start(t, name, append(bigBacklog, "--appendonly", "yes")...)
			hook, dir := newSink(t), t.TempDir()
			hook.setReply(func(*delivery) int { return 503 })
			write(t, dir, "rules.toml", strings.Replace(laneRules(srv.Addr, hook.URL), "[[rule]]", "ack = \"durable\"\n[[rule]]", 1)+
				"retry = { backoff = \"100ms\", max_backoff = \"100ms\", max_attempts = 1000 }\n")
			p := attach(t, dir)
			c := redistest.Dial(t, srv)
			c.Timeout = 2 * patience
			const n = 20
			for i := range n {
				if _, err := c.Do("SET", laneOf(i), strconv.Itoa(i)); err != nil {
					t.Fatal(err)
				}
				got, err := c.Do("WAITAOF", "0", "1", strconv.FormatInt(patience.Milliseconds(), 10))
				if counts, ok := got.([]any); err != nil || !ok || len(counts) != 2 || counts[1] != int64(1) {
					t.Fatalf("write %d: WAITAOF = %v, %v", i, got, err)
				}
			}
			p.kill()
			srv.Close() // what is delivered now comes from the disk
			hook.setReply(nil)
			p = start(t, dir)
			checkDeliveries(t, hook.await(t, "all writes", allOf(n)), n)
			p.signal(syscall.SIGTERM)
			p.wait()
		})
	}
}

// A store with a damaged file: the start says what is wrong, in words that help,
// and ends with an exit code, or says what was lost; it never starts with less
// and without a word.
func TestDamagedStore(t *testing.T) {
	t.Parallel()
	srv := redistest.Start(t, "redis-7.0", bigBacklog...)
	hook, dir := newSink(t), t.TempDir()
	hook.setReply(func(*delivery) int { return 503 })
	write(t, dir, "rules.toml", laneRules(srv.Addr, hook.URL)+"retry = { backoff = \"1s\", max_backoff = \"1s\", max_attempts = 1000 }\n")
	p := attach(t, dir)
	const n = 500
	for i := range n {
		redistest.Do(t, srv, "SET", laneOf(i), strconv.Itoa(i))
	}
	p.logs.await(t, "delivery failed", 10)
	p.stop()
	data := filepath.Join(dir, "triggerd-data")
	if found, _ := filepath.Glob(filepath.Join(dir, "*", "db")); len(found) == 1 {
		data = filepath.Dir(found[0])
	}
	files, err := filepath.Glob(filepath.Join(data, "db", "*"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no files in %s: %v", data, err)
	}
	files = append(files, filepath.Join(data, "checkpoint"))
	for _, path := range files {
		whole, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if len(whole) == 0 || strings.HasSuffix(path, "LOCK") {
			continue
		}
		for what, damaged := range map[string][]byte{
			"flipped":   flip(whole, len(whole)/2),
			"truncated": whole[:len(whole)/2],
		} {
			t.Run(filepath.Base(path)+" "+what, func(t *testing.T) {
				copied := t.TempDir()
				if err := os.CopyFS(filepath.Join(copied, filepath.Base(data)), os.DirFS(data)); err != nil {
					t.Fatal(err)
				}
				rel, _ := filepath.Rel(data, path)
				if err := os.WriteFile(filepath.Join(copied, filepath.Base(data), rel), damaged, 0o600); err != nil {
					t.Fatal(err)
				}
				got := newSink(t)
				write(t, copied, "rules.toml", laneRules(srv.Addr, got.URL)+"name = \"webhook\"\n")
				p := start(t, copied)
				all, quit := make(chan struct{}), make(chan struct{})
				defer close(quit)
				go awaitAll(got, n, all, quit)
				select {
				case <-p.ended:
					if code := p.cmd.ProcessState.ExitCode(); code != exitFailed || !strings.Contains(p.logs.String(), "store") {
						t.Errorf("exit code %d, log:\n%s", code, p.logs)
					}
					t.Logf("refused: %s", lastLine(p.logs.String()))
				case <-all: // nothing was lost, or it was read again from the server
				case <-time.After(patience):
					t.Errorf("neither an error nor all deliveries; log:\n%s", p.logs)
				}
			})
		}
	}
}

// awaitAll closes all when n different writes have arrived.
func awaitAll(s *sink, n int, all, quit chan struct{}) {
	for done := allOf(n); ; {
		s.mu.Lock()
		got, added := s.got[:len(s.got):len(s.got)], s.added
		s.mu.Unlock()
		if done(got) {
			close(all)
			return
		}
		select {
		case <-added:
		case <-quit:
			return
		}
	}
}

func flip(b []byte, at int) []byte {
	c := slices.Clone(b)
	c[at] ^= 0x10
	return c
}

func lastLine(s string) string {
	lines := strings.Split(strings.TrimSpace(s), "\n")
	return lines[len(lines)-1]
}

// Something else fills the disk to the last byte while writes go on: triggerd
// says so and takes in no more, and goes on by itself once there is space, with
// nothing lost. Where no small disk can be mounted this does not run: what is
// left is a store that is full by its quota, TestOutboxStoreFull of the engine.
func TestDiskFull(t *testing.T) {
	t.Parallel()
	data := filepath.Join(t.TempDir(), "data")
	mountSmall(t, data)
	srv := redistest.Start(t, "redis-7.0", bigBacklog...)
	hook, dir := newSink(t), t.TempDir()
	write(t, dir, "rules.toml", laneRules(srv.Addr, hook.URL))
	p := start(t, dir, "--data-dir", data)
	p.logs.await(t, `msg="attached`, 1)
	l := startLoad(t, srv)
	for i := range rounds(t, 2) {
		have := hook.count()
		hook.await(t, "some more", func(ds []delivery) bool { return len(ds) >= have+200 })
		filler := filepath.Join(data, "filler")
		fill(t, filler)
		p.logs.await(t, "takes no more until it has space again", 1+i)
		if err := os.Remove(filler); err != nil {
			t.Fatal(err)
		}
		p.logs.await(t, "the store has space again", 1+i)
	}
	n := l.stop()
	twice := checkDeliveries(t, hook.await(t, "all writes", allOf(n)), n)
	p.stop()
	if twice > 0 || strings.Contains(p.logs.String(), "firings are dropped") {
		t.Errorf("%d came twice; log:\n%s", twice, p.logs)
	}
	t.Logf("a tmpfs of 256 MB was filled, %d writes", n)
}

// mountSmall mounts a disk of 256 MB that is in memory.
func mountSmall(t *testing.T, dir string) {
	t.Helper()
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("mount", "-t", "tmpfs", "-o", "size=256m", "tmpfs", dir).CombinedOutput(); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatalf("mount: %v, %s", err, out)
		}
		t.Skipf("no disk is filled here, only a quota, in the engine's TestOutboxStoreFull: mount: %v, %s", err, out)
	}
	t.Cleanup(func() {
		if out, err := exec.Command("umount", "-l", dir).CombinedOutput(); err != nil {
			t.Errorf("umount: %v, %s", err, out)
		}
	})
}

// fill writes a file until the disk is full.
func fill(t *testing.T, path string) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	block := make([]byte, 1<<20)
	for len(block) > 0 {
		if _, err := f.Write(block); errors.Is(err, syscall.ENOSPC) {
			block = block[:len(block)/2]
		} else if err != nil {
			t.Fatal(err)
		}
	}
}
