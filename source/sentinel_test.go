package source_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"triggerd/internal/redistest"
	"triggerd/internal/servers"
	"triggerd/source"
)

// fleet is a primary with two replicas, and three Sentinels that watch them.
type fleet struct {
	t         *testing.T
	nodes     []*servers.Server
	sentinels *redistest.Sentinels
}

func startFleet(t *testing.T, name string) *fleet {
	t.Helper()
	f := &fleet{t: t}
	for range 3 {
		f.nodes = append(f.nodes, redistest.Start(t, name))
	}
	host, port, _ := strings.Cut(f.nodes[0].Addr, ":")
	for _, n := range f.nodes[1:] {
		redistest.Do(t, n, "REPLICAOF", host, port)
	}
	for _, n := range f.nodes[1:] {
		until(t, "a replica to be one", func() bool { return info(t, n, "replication", "master_link_status") == "up" })
	}
	f.sentinels = redistest.StartSentinels(t, f.nodes[0], f.nodes[0].Addr, redistest.SentinelOptions{})
	f.sentinels.AwaitReplicas(2)
	return f
}

func (f *fleet) url() string {
	return "redis+sentinel://" + strings.Join(f.sentinels.Addrs, ",") + "/" + redistest.SentinelName
}

func (f *fleet) node(addr string) *servers.Server {
	f.t.Helper()
	for _, n := range f.nodes {
		if n.Addr == addr {
			return n
		}
	}
	f.t.Fatalf("no node at %q", addr)
	return nil
}

// primary returns the node that the first of the Sentinels to know has for the
// primary; nil: none says.
func (f *fleet) primary() *servers.Server {
	for i := range f.sentinels.Addrs {
		if addr := f.sentinels.Primary(i); addr != "" {
			return f.node(addr)
		}
	}
	return nil
}

// awaitSwitch waits until a Sentinel names another primary than old, and returns
// it.
func (f *fleet) awaitSwitch(old *servers.Server) *servers.Server {
	f.t.Helper()
	var now *servers.Server
	until(f.t, "another primary", func() bool {
		for i := range f.sentinels.Addrs {
			if addr := f.sentinels.Primary(i); addr != "" && addr != old.Addr {
				now = f.node(addr)
				return true
			}
		}
		return false
	})
	return now
}

// writer writes serial numbers to lists, as clients do that ask Sentinels where the
// primary is when a write fails.
type writer struct {
	t       *testing.T
	primary func() *servers.Server // nil: it is not known
	pause   time.Duration          // between two writes
	stop    func()                 // and waits until it has
	stopped chan struct{}

	mu    sync.Mutex // guards what follows
	sent  int
	acked []int
}

const writerKeys = 17

func startWriter(t *testing.T, pause time.Duration, primary func() *servers.Server) *writer {
	w := &writer{t: t, primary: primary, pause: pause, stopped: make(chan struct{})}
	var done sync.WaitGroup
	done.Go(w.run)
	w.stop = sync.OnceFunc(func() {
		close(w.stopped)
		done.Wait()
	})
	t.Cleanup(w.stop)
	return w
}

func (w *writer) run() {
	var c *servers.Client
	for {
		select {
		case <-w.stopped:
			if c != nil {
				c.Close()
			}
			return
		case <-time.After(w.pause):
		}
		if c == nil {
			p := w.primary()
			if p == nil {
				continue
			}
			var err error
			if c, err = servers.Dial(w.t.Context(), p.Addr); err != nil {
				c = nil
				continue
			}
			c.Timeout = time.Second
		}
		w.mu.Lock()
		w.sent++
		n := w.sent
		w.mu.Unlock()
		var err error
		if n%10 == 0 { // in a transaction, with one before it
			_, err = c.Do("EVAL", "redis.call('INCR', 'scripts') return redis.call('RPUSH', KEYS[1], ARGV[1])", "1", fmt.Sprintf("list:%d", n%writerKeys), strconv.Itoa(n))
		} else {
			_, err = c.Do("RPUSH", fmt.Sprintf("list:%d", n%writerKeys), strconv.Itoa(n))
		}
		var refused servers.ReplyError
		switch {
		case err == nil:
			w.mu.Lock()
			w.acked = append(w.acked, n)
			w.mu.Unlock()
		case errors.As(err, &refused) && !strings.HasPrefix(string(refused), "READONLY"):
		default:
			c.Close()
			c = nil
		}
	}
}

func (w *writer) end() (sent int, acked []int) {
	w.stop()
	return w.sent, w.acked
}

// lists returns the serial numbers of the lists that a command stream makes.
func lists(recs []record) map[string][]string {
	of := map[string][]string{}
	for _, r := range recs {
		if isPush(r) {
			of[string(r.Args[1])] = append(of[string(r.Args[1])], string(r.Args[2]))
		}
	}
	return of
}

func isPush(r record) bool {
	return r.Kind == source.Command && strings.EqualFold(string(r.Args[0]), "RPUSH")
}

// plannedRounds tells for each round whether the failover is a planned one:
// TRIGGERD_TEST_FAILOVERS of each kind; without, one in all, of another kind for
// each server.
func plannedRounds(name string) (planned []bool) {
	n, err := strconv.Atoi(os.Getenv("TRIGGERD_TEST_FAILOVERS"))
	if err != nil {
		return []bool{name != "redis-7.0"}
	}
	for range n {
		planned = append(planned, false, true)
	}
	return planned
}

// TestSentinelFailovers kills primaries, and has Sentinels hand over, while
// writers go on. What is read, but for what went back, is what the last primary
// has: each write once, in order, without a gap; and so for who prefers replicas.
// TRIGGERD_TEST_FAILOVERS has it make more rounds.
func TestSentinelFailovers(t *testing.T) {
	redistest.Each(t, failing, func(t *testing.T, srv *servers.Server) {
		t.Parallel()
		name := srv.Program.Name
		_ = srv.Close() // a fleet has servers of its own
		f := startFleet(t, name)
		cfg := source.Config{URL: f.url(), ForeignWait: time.Hour, MinBackoff: 100 * time.Millisecond, MaxBackoff: 15 * time.Second}
		onPrimary := follow(t, cfg, source.Position{})
		cfg.Prefer = source.PreferReplica
		onReplica := follow(t, cfg, source.Position{})
		onPrimary.attached(1)
		onReplica.attached(1)
		if s := onReplica.src.Status(); s.Server == "redis://"+f.nodes[0].Addr {
			t.Errorf("who prefers a replica is attached to the primary, %+v", s)
		}
		w := startWriter(t, 500*time.Microsecond, f.primary)
		var slowest time.Duration
		var last *servers.Server
		for round, planned := range plannedRounds(name) {
			f.sentinels.AwaitReplicas(2)
			old := f.primary()
			settled := onPrimary.src.Status().HandedOut
			onPrimary.status("writes", func(s source.Status) bool { return s.HandedOut > settled+10_000 })
			switch {
			case !planned:
				if err := old.Kill(); err != nil {
					t.Fatal(err)
				}
			case strings.HasPrefix(name, "valkey-9"):
				f.failover("COORDINATED")
			default:
				f.failover()
			}
			now := f.awaitSwitch(old)
			last = now
			switched := time.Now()
			onPrimary.status("the new primary", func(s source.Status) bool { return s.State == source.Streaming && s.Server == "redis://"+now.Addr })
			took := time.Since(switched)
			slowest = max(slowest, took)
			t.Logf("round %d, planned %v: back %v after the switch", round, planned, took.Round(time.Millisecond))
			if !planned {
				if err := old.Restart(t.Context()); err != nil { // empty, and a primary for some seconds
					t.Fatal(err)
				}
			}
		}
		sent, acked := w.end()
		c := redistest.Dial(t, last)
		send(t, c, words("SET the end"))
		onPrimary.command("SET", "the", "end")
		checkSurvivors(t, "on the primary", onPrimary, last, sent, len(acked))
		onReplica.command("SET", "the", "end")
		checkSurvivors(t, "on a replica", onReplica, last, sent, len(acked))
		t.Logf("slowest %v", slowest)
		if slowest > 30*time.Second {
			t.Errorf("the new primary was attached to %v after the switch", slowest)
		}
	})
}

// checkSurvivors compares what was read, but for what went back, with what the last
// primary has.
func checkSurvivors(t *testing.T, name string, r *follower, last *servers.Server, sent, acked int) {
	t.Helper()
	recs := r.everything()
	got := lists(alive(recs))
	survived := 0
	for key := range writerKeys {
		key := fmt.Sprintf("list:%d", key)
		reply := redistest.Do(t, last, "LRANGE", key, "0", "-1")
		var want []string
		for _, e := range reply.([]any) {
			want = append(want, e.(string))
		}
		survived += len(want)
		if !slices.Equal(got[key], want) {
			t.Errorf("%s: %s: got %d numbers, want %d: %v\nand\n%v", name, key, len(got[key]), len(want), got[key], want)
		}
	}
	ids, again := map[string]string{}, 0
	for _, rec := range recs {
		if !isPush(rec) {
			continue
		}
		n, id := string(rec.Args[2]), fmt.Sprintf("%s:%d", rec.ReplID, rec.Offset)
		if i, err := strconv.Atoi(n); err != nil || i > sent || ids[n] != "" && ids[n] != id {
			t.Errorf("%s: %s was read as %s and as %s, or was never written", name, n, ids[n], id)
		}
		if ids[n] != "" {
			again++ // a failover was undone, so that what it had lost is there again
		}
		ids[n] = id
	}
	s := r.src.Status()
	if s.FullResyncs != 1 || s.Gaps != 0 || s.ProtocolErrors != 0 {
		t.Errorf("%s: status %+v; log:\n%s", name, s, r.log)
	}
	t.Logf("%s: sent %d, acknowledged %d, survived %d, read %d, of them gone back over %d; rewinds %d (%d bytes); undone: %d", name, sent, acked, survived, len(ids), len(ids)-survived, s.Rewinds, s.RewoundBytes, again)
}

// TestPromotionsByHand: 5 ms lie between the primary and its replica, and what is
// under way when the primary is killed is lost; the replica is promoted by hand.
// TRIGGERD_TEST_FAILOVERS has it make more rounds.
func TestPromotionsByHand(t *testing.T) {
	redistest.Each(t, failing, func(t *testing.T, srv *servers.Server) {
		t.Parallel()
		now, next := srv, redistest.Start(t, srv.Program.Name)
		name := redistest.StartProxy(t, now.Addr)
		var primary atomic.Pointer[servers.Server]
		primary.Store(now)
		f := follow(t, source.Config{URL: "redis://" + name.Addr}, source.Position{})
		f.attached(1)
		w := startWriter(t, 0, primary.Load)
		n, err := strconv.Atoi(os.Getenv("TRIGGERD_TEST_FAILOVERS"))
		if err != nil {
			n = 2
		}
		for range n {
			between := redistest.StartProxy(t, now.Addr)
			between.Delay(5 * time.Millisecond)
			host, port, _ := strings.Cut(between.Addr, ":")
			redistest.Do(t, next, "REPLICAOF", host, port)
			until(t, "a replica", func() bool { return info(t, next, "replication", "master_link_status") == "up" })
			from := f.src.Status().HandedOut
			f.status("writes", func(s source.Status) bool { return s.HandedOut > from+20_000 })
			between.Reset()
			name.Refuse()
			connects := f.src.Status().Connects
			if err := now.Kill(); err != nil {
				t.Fatal(err)
			}
			redistest.Do(t, next, "REPLICAOF", "NO", "ONE")
			name.Move(next.Addr)
			name.Admit()
			primary.Store(next)
			f.attached(connects + 1)
			if err := now.Restart(t.Context()); err != nil {
				t.Fatal(err)
			}
			now, next = next, now
		}
		sent, acked := w.end()
		send(t, redistest.Dial(t, now), words("SET the end"))
		f.command("SET", "the", "end")
		checkSurvivors(t, "by hand", f, now, sent, len(acked))
	})
}

// TestSentinelHopInSnapshot: a primary is killed while it sends its snapshot. That is
// given up, and told; the new primary's is read whole, and what comes behind it.
func TestSentinelHopInSnapshot(t *testing.T) {
	t.Parallel()
	const keys = 3000
	f := startFleet(t, "redis-7.0")
	old := f.nodes[0]
	redistest.Do(t, old, "EVAL", "for i = 1, tonumber(ARGV[1]) do redis.call('SET', 'k:' .. i, string.rep('x', 1000)) end", "0", strconv.Itoa(keys))
	redistest.Do(t, old, "CONFIG", "SET", "rdb-key-save-delay", "5000") // 15 s in all
	for _, n := range f.nodes[1:] {
		until(t, "a replica to have the keys", func() bool { return redistest.Do(t, n, "DBSIZE") == int64(keys) })
	}
	r := follow(t, source.Config{URL: f.url(), ForeignWait: time.Hour, MinBackoff: 100 * time.Millisecond, MaxBackoff: 15 * time.Second}, source.Position{}, wantsKeys)
	r.kind(source.Key)
	if err := old.Kill(); err != nil {
		t.Fatal(err)
	}
	now := f.awaitSwitch(old)
	r.kind(source.SnapshotEnd)
	redistest.Do(t, now, "SET", "end", "1")
	r.command("SET", "end", "1")
	if strings.Contains(r.log.String(), "if only they can reach it") {
		t.Errorf("a server that could be reached is said not to be reachable:\n%s", r.log)
	}
	last, aborted := 0, 0
	for _, rec := range r.everything() {
		switch {
		case rec.Kind == source.SnapshotBegin:
			last = 0
		case rec.Kind == source.Key:
			last++
		case rec.Kind == source.Detached && rec.Aborted:
			aborted++
		}
	}
	if s := r.src.Status(); last != keys || aborted != 1 || s.FullResyncs != 1 || s.Gaps != 0 || s.Server != "redis://"+now.Addr {
		t.Errorf("the last snapshot has %d keys, want %d; %d were given up; status %+v; log:\n%s", last, keys, aborted, s, r.log)
	}
}

// failover has a Sentinel hand over, as soon as one does.
func (f *fleet) failover(option ...string) {
	f.t.Helper()
	until(f.t, "a Sentinel to hand over", func() bool {
		for i := range f.sentinels.Addrs {
			if _, err := f.sentinels.Do(i, append([]string{"SENTINEL", "FAILOVER", redistest.SentinelName}, option...)...); err == nil {
				return true
			}
		}
		return false
	})
}

// director answers as a Sentinel that names what it is told to.
type director struct {
	Addr string

	mu      sync.Mutex // guards what follows
	primary string
	replica string // "": there is none
	epoch   string
}

func startDirector(t *testing.T) *director {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(func() { cancel(); l.Close() })
	d := &director{Addr: l.Addr().String()}
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() { _ = d.script().Run(ctx, conn) }()
		}
	}()
	return d
}

// name has the director name a primary and its replica of an epoch from now on.
func (d *director) name(primary, replica, epoch string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.primary, d.replica, d.epoch = primary, replica, epoch
}

func (d *director) script() redistest.Script {
	d.mu.Lock()
	defer d.mu.Unlock()
	host, port, _ := strings.Cut(d.primary, ":")
	replicas := "*0\r\n"
	if host, port, ok := strings.Cut(d.replica, ":"); ok {
		replicas = "*1\r\n" + array("ip", host, "port", port, "flags", "slave", "master-link-status", "ok")
	}
	return redistest.Script{
		redistest.Expect("*", "..."), redistest.Send(array("ip", host, "port", port, "config-epoch", d.epoch)),
		redistest.Expect("*", "..."), redistest.Send(array(host, port)),
		redistest.Expect("*", "..."), redistest.Send(replicas),
		redistest.Hang(),
	}
}

// array spells an array of texts.
func array(texts ...string) string {
	out := fmt.Sprintf("*%d\r\n", len(texts))
	for _, s := range texts {
		out += fmt.Sprintf("$%d\r\n%s\r\n", len(s), s)
	}
	return out
}

// TestReplicaThatLagged: the replica that was read from is promoted. The other one,
// which is read from then, lacked the last write when it was given its new primary,
// and says that the histories parted before that. They did not: the write is read
// once.
func TestReplicaThatLagged(t *testing.T) {
	redistest.Each(t, failing, func(t *testing.T, old *servers.Server) {
		t.Parallel()
		quiet := []string{"--repl-ping-replica-period", "3600"}
		now, behind := redistest.Start(t, old.Program.Name, quiet...), redistest.Start(t, old.Program.Name, quiet...)
		proxy := redistest.StartProxy(t, old.Addr)
		makeReplica := func(of *servers.Server, addr string) {
			host, port, _ := strings.Cut(addr, ":")
			redistest.Do(t, of, "REPLICAOF", host, port)
			until(t, "a replica", func() bool { return info(t, of, "replication", "master_link_status") == "up" })
		}
		makeReplica(now, old.Addr)
		makeReplica(behind, proxy.Addr)
		d := startDirector(t)
		d.name(old.Addr, now.Addr, "1")
		f := follow(t, source.Config{URL: "redis+sentinel://" + d.Addr + "/mymaster", Prefer: source.PreferReplica, ForeignWait: time.Hour}, source.Position{})
		f.attached(1)
		send(t, redistest.Dial(t, old), words("SET a 1"))
		f.command("SET", "a", "1")
		offset := func(of *servers.Server) string { return info(t, of, "replication", "master_repl_offset") }
		until(t, "the replica to have all", func() bool { return offset(behind) == offset(old) })
		until(t, "servers that were not started just now", func() bool { // which are not believed
			up, _ := strconv.Atoi(info(t, behind, "server", "uptime_in_seconds"))
			return up >= 5
		})

		proxy.Stall()
		send(t, redistest.Dial(t, old), words("SET b 2"))
		before := f.command("SET", "b", "2")
		if err := old.Kill(); err != nil {
			t.Fatal(err)
		}
		proxy.Refuse()
		proxy.Reset()
		redistest.Do(t, now, "REPLICAOF", "NO", "ONE")
		makeReplica(behind, now.Addr)
		switched := func(of *servers.Server) string { return info(t, of, "replication", "second_repl_offset") }
		if switched(behind) == switched(now) || info(t, behind, "replication", "master_replid2") != before.ReplID {
			t.Fatalf("the replica did not lag: %s, and its primary %s", switched(behind), switched(now))
		}
		d.name(now.Addr, behind.Addr, "2")
		f.status("the other replica", func(s source.Status) bool { return s.State == source.Streaming && s.Server == "redis://"+behind.Addr })
		send(t, redistest.Dial(t, now), words("SET c 3"))
		if c := f.command("SET", "c", "3"); c.ReplID != info(t, now, "replication", "master_replid") {
			t.Errorf("what came after the switch is of %s", c.ReplID)
		}
		times := 0
		for _, rec := range f.everything() {
			if isCommand(rec, "SET", "b", "2") {
				times++
			}
		}
		if s := f.src.Status(); times != 1 || s.Rewinds != 0 || s.FullResyncs != 1 || s.Gaps != 0 {
			t.Errorf("the last write was read %d times; status %+v; log:\n%s", times, s, f.log)
		}
	}, "--repl-ping-replica-period", "3600")
}
