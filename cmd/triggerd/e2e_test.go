package main

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"triggerd/internal/redistest"
	"triggerd/internal/servers"
	"triggerd/source"
)

// judged are the servers that the main job is tested with.
var judged = []string{"redis-6.0", "redis-7.0", "redis-8.6", "valkey-9.1"}

// The main job: a rules file in, a webhook, a command and a log line out, and
// other rules after SIGHUP.
func TestMainJob(t *testing.T) {
	t.Parallel()
	redistest.Each(t, judged, func(t *testing.T, srv *servers.Server) {
		dir, hook := t.TempDir(), newSink(t)
		rules := fmt.Sprintf(`
[source]
url = "redis://%s"
[targets.hook]
type = "webhook"
url = "%s/in"
[[rule]]
name = "stock"
key = "stock:{sku}"
[[rule.action]]
target = "hook"
[[rule.action]]
type = "exec"
concurrency = 1
command = ["sh", "-c", "cat > got.json; echo $TRIGGERD_RULE $TRIGGERD_KEY > got.env"]
[[rule.action]]
type = "log"
message = "sku {{.params.sku}} was written"
`, srv.Addr, hook.URL)
		write(t, dir, "rules.toml", rules)
		p := start(t, dir)
		p.logs.await(t, `msg="attached`, 1)

		redistest.Do(t, srv, "SELECT", "0")
		redistest.Do(t, srv, "SET", "other:1", "x")
		redistest.Do(t, srv, "SET", "stock:\x007", "12")
		d := hook.await(t, "the webhook", func(ds []delivery) bool { return len(ds) == 1 })[0]
		if d.Data.Rule != "stock" || d.Data.Event != "set" || d.Data.Key != "stock:\x007" || d.value() != "12" {
			t.Errorf("webhook = %+v", d)
		}
		if want := fmt.Sprintf("%s:%d/0:stock/hook", d.Data.ReplID, d.Data.Offset); d.ID != want {
			t.Errorf("id = %s, want %s", d.ID, want)
		}
		p.logs.await(t, `was written" rule=stock`, 1)
		redistest.Do(t, srv, "SET", "stock:8", "1") // its exec runs after the one of stock:7 or beside it
		awaitFile(t, filepath.Join(dir, "got.env"), "stock stock:8")

		write(t, dir, "rules.toml", strings.ReplaceAll(rules, "stock", "price"))
		p.signal(syscall.SIGHUP)
		p.logs.await(t, `msg="rules reloaded"`, 1)
		redistest.Do(t, srv, "SET", "stock:7", "13")
		redistest.Do(t, srv, "SET", "price:7", "14")
		ds := hook.await(t, "the webhook of the new rule", func(ds []delivery) bool { return ds[len(ds)-1].value() == "14" })
		for _, d := range ds {
			if d.value() == "13" {
				t.Errorf("the old rule fired after the reload: %+v", d)
			}
		}

		write(t, dir, "rules.toml", strings.ReplaceAll(rules, "key =", "kye ="))
		p.signal(syscall.SIGHUP)
		p.logs.await(t, `msg="rules not reloaded, the old ones stay"`, 1)
		p.logs.await(t, `did you mean`, 1)
		redistest.Do(t, srv, "SET", "price:7", "15")
		hook.await(t, "a webhook of the rule that stayed", func(ds []delivery) bool { return ds[len(ds)-1].value() == "15" })
		p.stop()
	})
}

func awaitFile(t *testing.T, path, want string) {
	t.Helper()
	limit := time.After(patience)
	for {
		b, err := os.ReadFile(path)
		if strings.TrimSpace(string(b)) == want {
			return
		}
		select {
		case <-time.After(10 * time.Millisecond):
		case <-limit:
			t.Fatalf("%s = %q, %v, want %q", path, b, err, want)
		}
	}
}

// `listen --json` shows 10,000 pipelined writes as 10,000 events, in order,
// each with the offset just behind its own bytes.
func TestListenInOrder(t *testing.T) {
	t.Parallel()
	redistest.Each(t, judged, func(t *testing.T, srv *servers.Server) {
		const n = 10_000
		cmd := command(t, t.TempDir(), "listen", "redis://"+srv.Addr, "n:*", "--json")
		logs := newLines()
		cmd.Stderr = logs
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		defer cmd.Process.Kill()
		logs.await(t, `msg="attached`, 1)

		c := redistest.Dial(t, srv)
		for i := range n {
			c.Send("SET", fmt.Sprintf("n:%d", i), strconv.Itoa(i))
		}
		if err := c.Flush(); err != nil {
			t.Fatal(err)
		}
		for range n {
			if _, err := c.Receive(); err != nil {
				t.Fatal(err)
			}
		}
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		ds := scan(ctx, t, out, n)
		if len(ds) != n {
			t.Fatalf("%d events, want %d; log:\n%s", len(ds), n, logs)
		}
		for i, d := range ds {
			value := strconv.Itoa(i)
			if d.value() != value || d.Data.Key != "n:"+value {
				t.Fatalf("event %d is of %s = %s", i, d.Data.Key, d.value())
			}
			if i == 0 {
				continue
			}
			size := int64(len(fmt.Sprintf("*3\r\n$3\r\nSET\r\n$%d\r\n%s\r\n$%d\r\n%s\r\n", len(d.Data.Key), d.Data.Key, len(value), value)))
			if got := d.Data.Offset - ds[i-1].Data.Offset; got != size {
				t.Fatalf("event %d is %d bytes behind the one before, want %d", i, got, size)
			}
		}
		if got, want := ds[n-1].Data.Offset, masterOffset(t, srv); got != want {
			t.Errorf("offset of the last event = %d, the server's is %d", got, want)
		}
		cmd.Process.Signal(syscall.SIGINT)
		if err := cmd.Wait(); err != nil {
			t.Errorf("listen after an interrupt: %v", err)
		}
	}, "--repl-ping-replica-period", "3600")
}

func masterOffset(t *testing.T, srv *servers.Server) int64 {
	t.Helper()
	info := redistest.Do(t, srv, "INFO", "replication").(string)
	_, rest, _ := strings.Cut(info, "master_repl_offset:")
	n, err := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// load writes numbers to keys, each key its own in rising order, until it is
// told to stop.
type load struct {
	done    chan int // gets the count
	quit    chan struct{}
	once    sync.Once    // closes quit
	refused atomic.Int64 // writes that were made again
}

const lanes = 20

func laneOf(i int) string { return fmt.Sprintf("lane:%d", i%lanes) }

func startLoad(t *testing.T, srv *servers.Server) *load {
	t.Helper()
	c := redistest.Dial(t, srv)
	l := newLoad(t)
	go func() {
		defer close(l.done)
		for i := 0; ; i++ {
			select {
			case <-l.quit:
				l.done <- i
				return
			default:
			}
			if _, err := c.Do("SET", laneOf(i), strconv.Itoa(i)); err != nil {
				t.Errorf("write %d: %v", i, err)
				l.done <- i
				return
			}
			if i%5 == 0 {
				time.Sleep(time.Millisecond) // a load that all can keep up with, under the race detector too
			}
		}
	}()
	return l
}

// newLoad returns a load that writes nothing yet. It has ended before the test has,
// whatever becomes of that.
func newLoad(t *testing.T) *load {
	l := &load{done: make(chan int, 1), quit: make(chan struct{})}
	t.Cleanup(func() { l.stop() })
	return l
}

func (l *load) stop() int {
	l.once.Do(func() { close(l.quit) })
	return <-l.done
}

// checkDeliveries is the one invariant: of n numbered writes each was
// delivered, the first deliveries of a key in the order of its writes, and what
// came twice came with the same ID. It returns how many came twice.
func checkDeliveries(t *testing.T, ds []delivery, n int) (twice int) {
	t.Helper()
	ids := make(map[string]string, n)   // value -> ID
	last := make(map[string]int, lanes) // key -> last new value
	for _, d := range ds {
		i, err := strconv.Atoi(d.value())
		if err != nil || i >= n || d.Data.Key != laneOf(i) {
			t.Fatalf("a delivery that nobody wrote: %+v", d)
		}
		if id, seen := ids[d.value()]; seen {
			twice++
			if id != d.ID {
				t.Errorf("write %d came as %s and as %s", i, id, d.ID)
			}
			continue
		}
		ids[d.value()] = d.ID
		if before, any := last[d.Data.Key]; any && i < before {
			t.Errorf("write %d of %s came after %d", i, d.Data.Key, before)
		}
		last[d.Data.Key] = i
	}
	if len(ids) != n {
		t.Errorf("%d of %d writes were delivered", len(ids), n)
	}
	return twice
}

// allOf waits for n different writes. It looks at each delivery once.
func allOf(n int) func([]delivery) bool {
	seen, at := map[string]bool{}, 0
	return func(ds []delivery) bool {
		for ; at < len(ds); at++ {
			seen[ds[at].value()] = true
		}
		return len(seen) >= n
	}
}

func laneRules(addr, hook string) string {
	return fmt.Sprintf(`
[source]
url = "redis://%s"
[[rule]]
name = "lanes"
key = "lane:*"
[[rule.action]]
type = "webhook"
url = "%s/in"
`, addr, hook)
}

// bigBacklog makes a server able to continue after any outage of a test.
var bigBacklog = []string{"--repl-backlog-size", "64mb"}

// 50 disconnects under load lose nothing and repeat nothing; a proxy that
// splits everything into small pieces changes nothing.
func TestDisconnects(t *testing.T) {
	t.Parallel()
	redistest.Each(t, judged, func(t *testing.T, srv *servers.Server) {
		t.Parallel()
		proxy := redistest.StartProxy(t, srv.Addr)
		proxy.Chunk(7)
		hook := newSink(t)
		dir := t.TempDir()
		write(t, dir, "rules.toml", laneRules(proxy.Addr, hook.URL))
		p := start(t, dir)
		p.logs.await(t, `msg="attached`, 1)
		l := startLoad(t, srv)
		for i := range rounds(t, 50) {
			proxy.CutAfter(1 + rand.Int64N(5000)) // somewhere in the handshake or the stream of the next one
			proxy.Reset()
			p.logs.await(t, `msg="attached`, i+2)
		}
		n := l.stop()
		ds := hook.await(t, "all writes", allOf(n))
		p.stop()
		if twice := checkDeliveries(t, ds, n); twice > 0 {
			t.Errorf("%d deliveries came twice", twice)
		}
		if strings.Contains(p.logs.String(), "changes were missed") {
			t.Error("a gap within the backlog")
		}
		t.Logf("%d writes", n)
	}, bigBacklog...)
}

// 20 reloads under load, every other one of a broken file, lose nothing.
func TestReloads(t *testing.T) {
	t.Parallel()
	srv := redistest.Start(t, "redis-7.0")
	hook, dir := newSink(t), t.TempDir()
	good := laneRules(srv.Addr, hook.URL)
	write(t, dir, "rules.toml", good)
	p := start(t, dir)
	p.logs.await(t, `msg="attached`, 1)
	l := startLoad(t, srv)
	for i := range 10 {
		write(t, dir, "rules.toml", good+"\n[[rule]]\nname = \"broken\"\nkey = 7\n")
		p.signal(syscall.SIGHUP)
		p.logs.await(t, "rules not reloaded", i+1)
		write(t, dir, "rules.toml", good+fmt.Sprintf("\n[[rule]]\nname = \"r%d\"\nkey = \"no:*\"\n[[rule.action]]\ntype = \"log\"\n", i))
		p.signal(syscall.SIGHUP)
		p.logs.await(t, `msg="rules reloaded"`, i+1)
	}
	n := l.stop()
	ds := hook.await(t, "all writes", allOf(n))
	p.stop()
	if twice := checkDeliveries(t, ds, n); twice > 0 {
		t.Errorf("%d deliveries came twice", twice)
	}
}

// kill -9 under load loses nothing: the next start resumes behind what was
// delivered, and what comes again has the same ID.
func TestKilled(t *testing.T) {
	t.Parallel()
	redistest.Each(t, []string{"redis-7.0", "valkey-9.1"}, func(t *testing.T, srv *servers.Server) {
		t.Parallel()
		hook, dir := newSink(t), t.TempDir()
		write(t, dir, "rules.toml", laneRules(srv.Addr, hook.URL))
		p := start(t, dir)
		p.logs.await(t, `msg="attached`, 1)
		l := startLoad(t, srv)
		for range 8 {
			have := len(hook.await(t, "anything", func([]delivery) bool { return true }))
			hook.await(t, "some more", func(ds []delivery) bool { return len(ds) > have+rand.IntN(2000) })
			p.kill()
			p = start(t, dir)
			p.logs.await(t, `msg="attached`, 1)
		}
		n := l.stop()
		ds := hook.await(t, "all writes", allOf(n))
		p.stop()
		t.Logf("%d writes, %d deliveries came twice", n, checkDeliveries(t, ds, n))
	}, bigBacklog...)
}

// A stop while a receiver is down keeps what is not delivered for the next
// start, in order.
func TestStopWhileReceiverIsDown(t *testing.T) {
	t.Parallel()
	srv := redistest.Start(t, "redis-7.0", bigBacklog...)
	hook, dir := newSink(t), t.TempDir()
	rules := laneRules(srv.Addr, hook.URL) + `retry = { backoff = "10ms", max_backoff = "100ms", max_attempts = 1000 }` + "\n"
	write(t, dir, "rules.toml", rules)
	p := start(t, dir)
	p.logs.await(t, `msg="attached`, 1)
	hook.setReply(func(*delivery) int { return 503 })
	const n = 200
	for i := range n {
		redistest.Do(t, srv, "SET", laneOf(i), strconv.Itoa(i))
	}
	p.logs.await(t, "delivery failed, trying again", 1)
	p.stop()
	p.logs.await(t, "stopped before everything was delivered", 1)
	hook.setReply(nil)
	p = start(t, dir)
	checkDeliveries(t, hook.await(t, "all writes", allOf(n)), n)
	p.stop()
}

// A dead receiver delays nobody else.
func TestDeadReceiver(t *testing.T) {
	t.Parallel()
	srv := redistest.Start(t, "redis-7.0")
	hook, dir := newSink(t), t.TempDir()
	write(t, dir, "rules.toml", laneRules(srv.Addr, hook.URL)+`
[[rule.action]]
type = "webhook"
url = "http://127.0.0.1:1/in"
`)
	p := start(t, dir)
	p.logs.await(t, `msg="attached`, 1)
	const n = 500
	for i := range n {
		redistest.Do(t, srv, "SET", laneOf(i), strconv.Itoa(i))
	}
	checkDeliveries(t, hook.await(t, "all writes", allOf(n)), n)
	p.logs.await(t, "connection refused", 1)
}

// A server that is not there yet, goes away and comes back: no crash, no lost
// write, one message for each reason.
func TestServerComesAndGoes(t *testing.T) {
	t.Parallel()
	srv := redistest.Start(t, "redis-7.0", append(bigBacklog, "--save", "3600 1")...)
	proxy := redistest.StartProxy(t, srv.Addr)
	proxy.Refuse()
	hook, dir := newSink(t), t.TempDir()
	write(t, dir, "rules.toml", laneRules(proxy.Addr, hook.URL))
	p := start(t, dir)
	p.logs.await(t, "connection refused", 1)
	proxy.Admit()
	p.logs.await(t, `msg="attached`, 1)
	for i := range 100 {
		redistest.Do(t, srv, "SET", laneOf(i), strconv.Itoa(i))
	}
	hook.await(t, "the first writes", allOf(100))
	if err := srv.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	p.logs.await(t, `msg="attached`, 2)
	for i := 100; i < 200; i++ {
		redistest.Do(t, srv, "SET", laneOf(i), strconv.Itoa(i))
	}
	checkDeliveries(t, hook.await(t, "the other writes", allOf(200)), 200)
	p.stop()
	if n := strings.Count(p.logs.String(), "not attached"); n > 20 {
		t.Errorf("%d messages about a server that was away twice:\n%s", n, p.logs)
	}
}

// What a full resync missed is an event, a log line, and a webhook of a rule
// that asks for it.
func TestGap(t *testing.T) {
	t.Parallel()
	srv := redistest.Start(t, "redis-7.0", "--repl-backlog-size", "16kb")
	hook, dir := newSink(t), t.TempDir()
	write(t, dir, "rules.toml", laneRules(srv.Addr, hook.URL)+fmt.Sprintf(`
[[rule]]
name = "gap"
event = "gap"
[[rule.action]]
type = "webhook"
url = "%s/in"
`, hook.URL))
	p := start(t, dir)
	p.logs.await(t, `msg="attached`, 1)
	redistest.Do(t, srv, "SET", laneOf(0), "0")
	hook.await(t, "the first write", allOf(1))
	p.stop()
	redistest.Do(t, srv, "SET", "big", strings.Repeat("x", 100_000))
	p = start(t, dir)
	p.logs.await(t, "changes were missed", 1)
	ds := hook.await(t, "the gap", func(ds []delivery) bool { return len(ds) == 2 })
	d := ds[1]
	if d.Data.Event != "gap" || d.Data.Rule != "gap" || len(d.Data.Args) != 2 {
		t.Fatalf("delivery = %+v, want the gap", d)
	}
	from, to := d.Data.Args[0].(string), d.Data.Args[1].(string)
	if !strings.HasPrefix(from, ds[0].Data.ReplID+":") || !strings.HasPrefix(to, fmt.Sprintf("%s:%d/", d.Data.ReplID, d.Data.Offset)) {
		t.Errorf("gap from %s to %s, in %+v", from, to, d)
	}
	p.stop()
}

// Keys of a snapshot fire where a rule asks for them.
func TestSnapshotRule(t *testing.T) {
	t.Parallel()
	redistest.Each(t, judged, func(t *testing.T, srv *servers.Server) {
		hook, dir := newSink(t), t.TempDir()
		for i := range 100 {
			redistest.Do(t, srv, "SET", laneOf(i), "x")
			redistest.Do(t, srv, "HSET", fmt.Sprintf("h:%d", i), "f", "v")
		}
		write(t, dir, "rules.toml", strings.Replace(laneRules(srv.Addr, hook.URL), "key =", "snapshot = true\nkey =", 1))
		p := start(t, dir)
		ds := hook.await(t, "the keys", func(ds []delivery) bool { return len(ds) == lanes })
		keys := map[string]bool{}
		ids := map[string]bool{}
		for _, d := range ds {
			keys[d.Data.Key], ids[d.ID] = true, true
			if d.Data.Event != "snapshot" || d.Data.Origin != "snapshot" {
				t.Fatalf("delivery = %+v", d)
			}
		}
		if len(keys) != lanes || len(ids) != lanes {
			t.Errorf("%d keys and %d ids, want %d", len(keys), len(ids), lanes)
		}
		p.stop()
	})
}

// A snapshot that a process does not read to its end is read again by the next,
// at another offset, and its keys fire under the same IDs; those of the snapshot
// after that are others.
func TestSnapshotReadAgain(t *testing.T) {
	t.Parallel()
	redistest.Each(t, []string{"redis-7.0", "valkey-9.1"}, func(t *testing.T, srv *servers.Server) {
		const keys = 5000
		value := strings.Repeat("x", 2000)
		for i := 0; i < keys; i += 100 {
			set := []string{"MSET"}
			for j := range 100 {
				set = append(set, fmt.Sprint("k:", i+j), value)
			}
			redistest.Do(t, srv, set...)
		}
		hook, dir, proxy := newSink(t), t.TempDir(), redistest.StartProxy(t, srv.Addr)
		rules := func(start string) {
			write(t, dir, "rules.toml", fmt.Sprintf(`
[source]
url = "redis://%s"
start = %q
[[rule]]
name = "keys"
key = "k:*"
event = "snapshot"
snapshot = true
values = true
[[rule.action]]
type = "webhook"
url = "%s/in"
`, proxy.Addr, start, hook.URL))
		}
		rules("resume")
		proxy.Chunk(32 << 10)
		proxy.Delay(20 * time.Millisecond) // some seconds for the whole
		p := start(t, dir)
		hook.await(t, "the first keys", func(ds []delivery) bool { return len(ds) > 0 })
		p.kill()
		cut := hook.count()
		if strings.Contains(p.logs.String(), "attached, full resync") {
			t.Fatal("the snapshot was read to its end")
		}
		proxy.Chunk(0)
		proxy.Delay(0)
		redistest.Do(t, srv, "SET", "other", "moves the offset")

		byKey := func(ds []delivery) map[string]map[string]bool {
			ids := map[string]map[string]bool{}
			for _, d := range ds {
				if ids[d.Data.Key] == nil {
					ids[d.Data.Key] = map[string]bool{}
				}
				ids[d.Data.Key][d.ID] = true
			}
			return ids
		}
		p = start(t, dir)
		ds := hook.await(t, "all keys", func(ds []delivery) bool { return len(ds)-cut >= keys && len(byKey(ds[cut:])) == keys })
		for key, ids := range byKey(ds) {
			if len(ids) != 1 {
				t.Fatalf("%s has fired under %d IDs: %v", key, len(ids), ids)
			}
		}
		p.stop()

		rules("snapshot")
		p = start(t, dir)
		ds = hook.await(t, "all keys once more", func(ds []delivery) bool {
			for _, ids := range byKey(ds) {
				if len(ids) != 2 {
					return false
				}
			}
			return true
		})
		if n := len(byKey(ds)); n != keys {
			t.Errorf("%d keys, want %d", n, keys)
		}
		p.stop()
	}, "--rdbcompression", "no")
}

// The second process on one data directory is refused.
func TestTwoOnOneDirectory(t *testing.T) {
	t.Parallel()
	srv := redistest.Start(t, "redis-7.0")
	dir := t.TempDir()
	write(t, dir, "rules.toml", laneRules(srv.Addr, "http://127.0.0.1:1"))
	p := start(t, dir)
	p.logs.await(t, `msg="attached`, 1)
	out, err := command(t, dir).CombinedOutput()
	if err == nil || !strings.Contains(string(out), "in use by another triggerd") {
		t.Errorf("second triggerd: %v, %s", err, out)
	}
	p.stop()
}

// The recording that the demo plays is what a server sends for its writes.
func TestDemoRecording(t *testing.T) {
	t.Parallel()
	srv := redistest.Start(t, "redis-7.0")
	src, err := source.NewReplica(source.Config{URL: "redis://" + srv.Addr})
	if err != nil {
		t.Fatal(err)
	}
	// The writes are made once the replica is attached: nothing is sent before.
	var live []string
	for rec := range src.Records(t.Context(), source.Position{}, nil) {
		switch rec.Kind {
		case source.SnapshotEnd:
			for _, w := range demoWrites {
				redistest.Do(t, srv, strings.Fields(w.command)...)
			}
		case source.Command:
			live = append(live, fmt.Sprintf("%d %q", rec.DB, rec.Args))
		}
		if len(live) == len(demoWrites) {
			break
		}
	}
	var recorded []string
	for rec, err := range source.NewRecording(bytes.NewReader(recording), "").Records(t.Context(), source.Position{}, nil) {
		if err != nil {
			t.Fatal(err)
		}
		if rec.Kind == source.Command {
			recorded = append(recorded, fmt.Sprintf("%d %q", rec.DB, rec.Args))
		}
	}
	if !slices.Equal(live, recorded) {
		t.Errorf("recorded:\n%s\na server sends:\n%s", strings.Join(recorded, "\n"), strings.Join(live, "\n"))
	}
}
