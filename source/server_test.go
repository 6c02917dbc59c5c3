package source_test

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"triggerd/internal/redistest"
	"triggerd/internal/resp"
	"triggerd/internal/servers"
	"triggerd/source"
)

// some are servers of each kind, for what is slow.
var some = []string{"redis-6.0", "redis-7.0", "redis-8.6", "valkey-9.1"}

// send sends commands in one go, and checks that each is answered without an error.
func send(t testing.TB, c *servers.Client, commands ...[]string) {
	t.Helper()
	for _, args := range commands {
		if err := c.Send(args...); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.Flush(); err != nil {
		t.Fatal(err)
	}
	for _, args := range commands {
		if _, err := c.Receive(); err != nil {
			t.Fatalf("%.80q: %v", args, err)
		}
	}
}

func words(s string) []string { return strings.Split(s, " ") }

// wireSize is the number of bytes that a command takes in the stream.
func wireSize(r record) int { return len(resp.AppendCommand(nil, r.Args...)) }

// TestLive attaches to every server and looks at what is written to it, byte
// for byte.
func TestLive(t *testing.T) {
	redistest.Each(t, redistest.All, func(t *testing.T, srv *servers.Server) {
		t.Parallel()
		f := follow(t, source.Config{URL: url(srv)}, source.Position{})
		begin, end := f.kind(source.SnapshotBegin), f.kind(source.SnapshotEnd)
		if begin.Gap || end.Gap || !begin.From.IsZero() || end.Pos.IsZero() || end.Pos.ReplID != info(t, srv, "replication", "master_replid") {
			t.Errorf("got %v and %v", begin, end)
		}
		c := redistest.Dial(t, srv)
		pipelined(t, srv, f, c)
		databases(t, f, c)
		transactions(t, srv, f, c)
		values(t, f, c)
		f.status("the server's offset", func(s source.Status) bool {
			return s.Received == infoInt(t, srv, "replication", "master_repl_offset")
		})
		if s := f.src.Status(); s.Connects != 1 || s.ProtocolErrors+s.SnapshotErrors+s.Gaps != 0 {
			t.Errorf("status %+v", s)
		}
	})
}

// TestBusyThenAlone: a command that comes alone, after so many that the link is read
// in pieces, is handed out though nothing follows it.
func TestBusyThenAlone(t *testing.T) {
	t.Parallel()
	srv := redistest.StartWith(t, servers.Options{Name: "redis-7.0", TLS: true})
	for _, target := range []string{url(srv), "rediss://" + srv.TLSAddr + "?cacert=" + srv.CAFile} {
		f := follow(t, source.Config{URL: target}, source.Position{})
		f.kind(source.SnapshotEnd)
		c := redistest.Dial(t, srv)
		for round := range 5 {
			for i := range 500 {
				send(t, c, []string{"SET", "busy", strconv.Itoa(i)})
			}
			alone := []string{"SET", "alone", strconv.Itoa(round)}
			send(t, c, alone)
			f.command(alone...)
		}
		f.stop()
	}
}

// pipelined sends 10,000 writes at once.
func pipelined(t *testing.T, srv *servers.Server, f *follower, c *servers.Client) {
	t.Helper()
	const n = 10_000
	var commands [][]string
	for i := range n {
		commands = append(commands, []string{"SET", fmt.Sprintf("key:%d", i), strconv.Itoa(i)})
	}
	send(t, c, commands...)
	last := f.command(commands[n-1]...)
	got := f.all(source.Command)
	if len(got) != n {
		t.Fatalf("got %d commands, want %d", len(got), n)
	}
	for i, r := range got {
		if want := strings.Join(commands[i], " "); r.words() != want || r.DB != 0 {
			t.Fatalf("command %d: got %v, want %s", i, r, want)
		}
		// Nothing but a keepalive may stand between.
		between := int64(0)
		if i > 0 {
			between = r.Offset - int64(r.Bytes) - got[i-1].Offset
		}
		if r.Bytes != wireSize(r) || r.Pos.Offset != r.Offset || between%14 != 0 || between < 0 || between > 140 {
			t.Fatalf("command %d: %v of %d bytes, %d behind the one before, want %d bytes", i, r, r.Bytes, between, wireSize(r))
		}
	}
	if now := infoInt(t, srv, "replication", "master_repl_offset"); now < last.Offset || (now-last.Offset)%14 != 0 {
		t.Errorf("the last command is at %d, the server at %d", last.Offset, now)
	}
}

func databases(t *testing.T, f *follower, c *servers.Client) {
	t.Helper()
	send(t, c, words("SELECT 3"), words("SET in3 1"), words("SELECT 15"), words("SET in15 1"), words("SELECT 0"), words("SET in0 1"))
	for _, db := range []int{3, 15, 0} {
		r := f.command("SET", fmt.Sprintf("in%d", db), "1")
		if r.DB != db || r.Pos.DB != db {
			t.Errorf("got %v, want it in db %d", r, db)
		}
	}
}

func transactions(t *testing.T, srv *servers.Server, f *follower, c *servers.Client) {
	t.Helper()
	send(t, c, words("MULTI"), words("SET tx 1"), words("SELECT 2"), words("INCR tx"), words("SELECT 0"), words("DEL tx"), words("EXEC"))
	a, b := f.command("SET", "tx", "1"), f.command("INCR", "tx")
	d := f.command("DEL", "tx")
	for i, r := range []record{a, b, d} {
		if r.Tx.Index != i+1 || r.Tx.Size != 3 || r.Tx.ID != a.Tx.ID || r.Pos.IsZero() != (i < 2) || r.Bytes != wireSize(r) {
			t.Errorf("member %d: %v", i+1, r)
		}
	}
	if a.DB != 0 || b.DB != 2 || d.DB != 0 {
		t.Errorf("got dbs %d, %d and %d, want 0, 2 and 0", a.DB, b.DB, d.DB)
	}
	if exec := int64(len("*1\r\n$4\r\nEXEC\r\n")); d.Pos.Offset != d.Offset+exec {
		t.Errorf("the transaction's position is %d, want %d", d.Pos.Offset, d.Offset+exec)
	}
	send(t, c, []string{"EVAL", "redis.call('set', KEYS[1], 'a'); redis.call('sEt', KEYS[2], 'b')", "2", "lua:1", "lua:2"})
	r := f.command("SET", "lua:1", "a")
	r2 := f.command("SET", "lua:2", "b")
	if r.Tx.Size != 2 || r2.Tx.Index != 2 || !r.Pos.IsZero() || r2.Pos.IsZero() {
		t.Errorf("got %v and %v", r, r2)
	}
}

func values(t *testing.T, f *follower, c *servers.Client) {
	t.Helper()
	every := make([]byte, 256)
	for i := range every {
		every[i] = byte(i)
	}
	binary := string(every) + "\r\n*1\r\n$4\r\nEXEC\r\n"
	large := strings.Repeat(binary, 20_000) // over five megabytes
	for _, args := range [][]string{{"SET", binary, binary}, {"SET", "", ""}, {"SET", "large", large}, {"HSET", "h\x00", "f\xff", ""}} {
		send(t, c, args)
		if r := f.command(args...); r.Bytes != wireSize(r) {
			t.Errorf("%.20q: %d bytes, want %d", args, r.Bytes, wireSize(r))
		}
	}
}

// TestSnapshot reads the keys of a snapshot, in every way that servers send it.
func TestSnapshot(t *testing.T) {
	redistest.Each(t, redistest.All, func(t *testing.T, srv *servers.Server) {
		t.Parallel()
		c := redistest.Dial(t, srv)
		want := fill(t, srv, c)
		for _, way := range []struct{ diskless, delay string }{{"no", "0"}, {"yes", "0"}, {"yes", "1"}} {
			send(t, c, words("CONFIG SET repl-diskless-sync "+way.diskless), words("CONFIG SET repl-diskless-sync-delay "+way.delay))
			f := follow(t, source.Config{URL: url(srv)}, source.Position{}, wantsKeys)
			f.kind(source.SnapshotBegin)
			end := f.kind(source.SnapshotEnd)
			keys := f.all(source.Key)
			got := map[string]record{}
			for _, k := range keys {
				got[fmt.Sprintf("%d:%s", k.DB, k.Key)] = k
				if !k.Pos.IsZero() || k.Offset != end.Offset {
					t.Errorf("%v: position %v, offset %d", k, k.Pos, k.Offset)
				}
			}
			if len(got) != len(keys) || len(keys) != len(want) {
				t.Errorf("%+v: got %d keys, %d of them different, want %d", way, len(keys), len(got), len(want))
			}
			for name, w := range want {
				if k := got[name]; k.Type != w.typ || (k.TTL > time.Now().UnixMilli()) != w.expires {
					t.Errorf("%+v: %s: got %v, expires at %d, want %+v", way, name, k, k.TTL, w)
				}
			}
			send(t, c, []string{"SET", "after", way.diskless + way.delay})
			f.command("SET", "after", way.diskless+way.delay)
			send(t, c, words("DEL after"))
			f.command("DEL", "after")
			if s := f.src.Status(); s.SnapshotErrors != 0 || s.Connects != 1 {
				t.Errorf("%+v: status %+v; log:\n%s", way, s, f.log)
			}
			f.stop()
		}
	})
}

type keyInfo struct {
	typ     string
	expires bool
}

// fill writes keys of every type that the server has, and returns them by "db:name".
func fill(t *testing.T, srv *servers.Server, c *servers.Client) map[string]keyInfo {
	t.Helper()
	want := map[string]keyInfo{}
	add := func(db int, typ string, expires bool, args ...string) {
		send(t, c, words("SELECT "+strconv.Itoa(db)), args)
		if expires {
			send(t, c, []string{"EXPIRE", args[1], "10000"})
		}
		want[fmt.Sprintf("%d:%s", db, args[1])] = keyInfo{typ, expires}
	}
	for i := range 500 {
		add(i%3, "string", i%2 == 0, "SET", fmt.Sprintf("s:%d", i), strings.Repeat("v", i))
	}
	add(0, "string", false, "SET", "int", "12345")
	add(0, "string", true, "SET", "large", strings.Repeat("compressible", 100_000))
	add(0, "string", false, "SET", "bin\x00\xff\r\n", "1")
	add(1, "list", false, "RPUSH", "list", "a", "b", "c")
	add(1, "set", true, "SADD", "intset", "1", "2", "3")
	add(1, "set", false, "SADD", "set", "a", "b", "c")
	add(2, "zset", false, "ZADD", "zset", "1.5", "a", "inf", "b")
	add(2, "hash", true, "HSET", "hash", "f", "v", "g", "w")
	add(15, "stream", false, "XADD", "stream", "*", "f", "v")
	many := []string{"HSET", "hash:large"}
	for i := range 1000 {
		many = append(many, fmt.Sprintf("f%d", i), strings.Repeat("x", i%100))
	}
	add(15, "hash", false, many...)
	if name, v := family(srv); name == "valkey" && v >= 900 || name == "redis" && v >= 704 {
		// Valkey 9 cuts replicas off that do not say they can read this.
		add(3, "hash", false, "HSET", "hash:ttl", "f", "v", "g", "w")
		send(t, c, words("HPEXPIRE hash:ttl 10000000 FIELDS 1 f"))
	}
	send(t, c, words("SELECT 0"))
	return want
}

// TestChunks puts a proxy between that lets through a byte, or some, at a time.
func TestChunks(t *testing.T) {
	redistest.Each(t, redistest.All, func(t *testing.T, srv *servers.Server) {
		t.Parallel()
		c := redistest.Dial(t, srv)
		for i := range 20 {
			send(t, c, []string{"SET", fmt.Sprintf("old:%d", i), strings.Repeat("v", i)})
		}
		for _, n := range []int{1, 7} {
			p := redistest.StartProxy(t, srv.Addr)
			p.Chunk(n)
			plain := follow(t, source.Config{URL: url(srv)}, source.Position{}, wantsKeys)
			f := follow(t, source.Config{URL: "redis://" + p.Addr}, source.Position{}, wantsKeys)
			plain.attached(1)
			f.attached(1)
			for i := range 100 {
				send(t, c, words("MULTI"), []string{"SET", fmt.Sprintf("new:%d", i), "\r\n$1\r\n"}, []string{"INCR", "count"}, words("EXEC"))
			}
			last := fmt.Sprintf("end:%d", n)
			send(t, c, []string{"SET", last, "1"})
			a, b := plain.command("SET", last, "1"), f.command("SET", last, "1")
			if a.String() != b.String() {
				t.Errorf("last command: got %v, want %v", b, a)
			}
			want, got := plain.all(source.Command), f.all(source.Command)
			if len(got) != len(want) || len(f.all(source.Key)) != len(plain.all(source.Key)) {
				t.Fatalf("got %d commands and %d keys, want %d and %d", len(got), len(f.all(source.Key)), len(want), len(plain.all(source.Key)))
			}
			for i := range got {
				if got[i].String() != want[i].String() {
					t.Fatalf("command %d: got %v, want %v", i, got[i], want[i])
				}
			}
			f.stop()
			plain.stop()
		}
	})
}

// TestResume goes on from a position as another process would: in the database
// that was selected there, which the server does not repeat.
func TestResume(t *testing.T) {
	redistest.Each(t, redistest.All, func(t *testing.T, srv *servers.Server) {
		t.Parallel()
		f := follow(t, source.Config{URL: url(srv)}, source.Position{})
		f.attached(1)
		c := redistest.Dial(t, srv)
		send(t, c, words("SELECT 7"), words("SET a 1"))
		pos := f.command("SET", "a", "1").Pos
		f.stop()
		send(t, c, words("SET b 2"), words("MULTI"), words("SET c 3"), words("SET d 4"), words("EXEC"))
		parsed, err := source.ParsePosition(pos.String())
		if err != nil {
			t.Fatal(err)
		}
		f = follow(t, source.Config{URL: url(srv)}, parsed)
		b := f.command("SET", "b", "2")
		f.command("SET", "c", "3")
		d := f.command("SET", "d", "4")
		if b.DB != 7 || b.Offset-int64(b.Bytes) < pos.Offset || d.Pos.DB != 7 || len(f.all(source.Command)) != 3 {
			t.Errorf("resumed at %v: got %v", pos, f.all(source.Command))
		}
		if s := f.src.Status(); s.PartialResyncs != 1 || s.FullResyncs != 0 {
			t.Errorf("status %+v", s)
		}
	})
}

// TestAckPolicies asks servers what they make of what is acknowledged, and
// that nobody is cut off for it.
func TestAckPolicies(t *testing.T) {
	redistest.Each(t, some, func(t *testing.T, srv *servers.Server) {
		t.Parallel()
		wait := func(c *servers.Client, timeout string) int64 {
			t.Helper()
			n, err := c.Do("WAIT", "1", timeout)
			if err != nil {
				t.Fatal(err)
			}
			return n.(int64)
		}
		c := redistest.Dial(t, srv)
		c.Timeout = patience
		none := follow(t, source.Config{URL: url(srv)}, source.Position{})
		none.attached(1)
		send(t, c, words("SET none 1"))
		none.src.Ack(none.command("SET", "none", "1").Pos)
		if n := wait(c, "300"); n != 0 {
			t.Errorf("none: WAIT is %d, want 0", n)
		}

		durable := follow(t, source.Config{URL: url(srv), Ack: source.AckDurable}, source.Position{})
		durable.attached(1)
		send(t, c, words("SET durable 1"))
		pos := durable.command("SET", "durable", "1").Pos
		if n := wait(c, "300"); n != 0 {
			t.Errorf("durable: WAIT is %d before Ack, want 0", n)
		}
		durable.src.Ack(pos)
		if n := wait(c, atLast); n != 1 {
			t.Errorf("durable: WAIT is %d after Ack, want 1", n)
		}
		if name, v := family(srv); name == "valkey" || v >= 702 {
			if got, err := c.Do("WAITAOF", "0", "1", atLast); err != nil || fmt.Sprint(got) != "[0 1]" {
				t.Errorf("durable: WAITAOF is %v, %v, want [0 1]", got, err)
			}
		}

		received := follow(t, source.Config{URL: url(srv), Ack: source.AckReceived}, source.Position{})
		received.attached(1)
		send(t, c, words("SET received 1"))
		if n := wait(c, atLast); n != 1 {
			t.Errorf("received: WAIT is %d, want 1", n)
		}

		received.stop()
		log := openSpool(t, t.TempDir())
		spooled := follow(t, source.Config{URL: url(srv), Ack: source.AckSpooled, Spool: log}, source.Position{})
		spooled.attached(1)
		send(t, c, words("SET spooled 1"))
		if n := wait(c, atLast); n != 1 || log.Stats().Synced == 0 {
			t.Errorf("spooled: WAIT is %d, want 1; %+v", n, log.Stats())
		}
		if name, v := family(srv); name == "valkey" || v >= 702 {
			if got, err := c.Do("WAITAOF", "0", "1", atLast); err != nil || fmt.Sprint(got) != "[0 1]" {
				t.Errorf("spooled: WAITAOF is %v, %v, want [0 1]", got, err)
			}
		}

		for until := infoInt(t, srv, "server", "uptime_in_seconds") + 5; infoInt(t, srv, "server", "uptime_in_seconds") < until; {
			time.Sleep(50 * time.Millisecond) // the server's clock has no event
		}
		send(t, c, words("SET last 1"))
		for policy, f := range map[source.AckPolicy]*follower{source.AckNone: none, source.AckSpooled: spooled, source.AckDurable: durable} {
			f.command("SET", "last", "1")
			if s := f.src.Status(); s.Connects != 1 {
				t.Errorf("%s: status %+v; log:\n%s", policy, s, f.log)
			}
		}
	}, "--repl-timeout", "3", "--repl-ping-replica-period", "1")
}
