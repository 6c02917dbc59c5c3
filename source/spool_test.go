package source_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	. "triggerd/internal/redistest"
	"triggerd/internal/servers"
	"triggerd/internal/spool"
	"triggerd/source"
)

func openSpool(t testing.TB, dir string) *spool.Log {
	t.Helper()
	log, err := spool.Open(spool.Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	return log
}

// spooled waits until all that was received is in the spool's files.
func spooled(t testing.TB, log *spool.Log, src source.Source, offset int64) {
	t.Helper()
	for limit := time.Now().Add(patience); ; time.Sleep(time.Millisecond) { // the files tell nobody
		if s := log.Stats(); s.Written == s.End && src.Status().Received >= offset {
			return
		}
		if time.Now().After(limit) {
			t.Fatalf("not in the spool: %+v, status %+v", log.Stats(), src.Status())
		}
	}
}

// A consumer that does not take the next record makes no server wait: all that
// is written meanwhile is received, and it is handed out, with the times at
// which it came, by the next process, though the server is gone.
func TestSpoolOverARestart(t *testing.T) {
	Each(t, []string{"redis-6.0", "redis-7.0", "valkey-9.1"}, func(t *testing.T, srv *servers.Server) {
		dir := t.TempDir()
		log := openSpool(t, dir)
		src := newReplica(t, source.Config{URL: url(srv), Spool: log})
		c := Dial(t, srv)
		send(t, c, words("SELECT 4"))
		var from source.Position
		const writes = 20_000
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		began := time.Now()
		var came time.Time
		for rec, err := range src.Records(ctx, source.Position{}, nil) {
			if err != nil {
				t.Fatal(err)
			}
			if rec.Kind != source.SnapshotEnd {
				continue
			}
			from = rec.Pos
			value := strings.Repeat("x", 500)
			for i := range writes {
				c.Send("SET", fmt.Sprint(i), value)
				if i%1000 == 999 {
					if err := c.Flush(); err != nil {
						t.Fatal(err)
					}
					for range 1000 {
						if _, err := c.Receive(); err != nil {
							t.Fatal(err)
						}
					}
				}
			}
			send(t, c, words("MULTI"), words("SET a 1"), words("SET b 2"), words("EXEC"))
			spooled(t, log, src, infoInt(t, srv, "replication", "master_repl_offset"))
			if n := infoInt(t, srv, "memory", "mem_clients_slaves"); n > 4<<20 {
				t.Errorf("the server keeps %d bytes for replicas", n)
			}
			came = time.Now()
			stop()
		}
		send(t, c, words("SET not-received 1"))
		if err := srv.Kill(); err != nil {
			t.Fatal(err)
		}
		log = openSpool(t, dir)
		src = newReplica(t, source.Config{URL: url(srv), Spool: log})
		n, last := 0, time.Time{}
		for rec, err := range src.Records(t.Context(), from, nil) {
			if err != nil {
				t.Fatal(err)
			}
			if rec.Kind != source.Command {
				continue
			}
			if rec.Time.Before(last) || rec.Time.Before(began) || rec.Time.After(came) {
				t.Fatalf("record %d came at %v, between %v and %v, behind %v", n, rec.Time, began, came, last)
			}
			last = rec.Time
			if n < writes {
				if got, want := string(rec.Args[1]), fmt.Sprint(n); got != want || rec.DB != 4 {
					t.Fatalf("command %d is of key %s in database %d", n, got, rec.DB)
				}
			} else if rec.Tx.Size != 2 || rec.Tx.Index != n-writes+1 {
				t.Fatalf("command %d is %q in %+v", n, rec.Args, rec.Tx)
			}
			if n++; n == writes+2 {
				break
			}
		}
		if s := src.Status(); s.Connects != 0 || n != writes+2 {
			t.Errorf("%d commands, status %+v", n, s)
		}
	}, "--repl-ping-replica-period", "3600")
}

// What a process that was killed has received is handed out by the next, which
// asks the server for what comes behind it, and for nothing else.
func TestSpoolGoesOnBehindItsEnd(t *testing.T) {
	dir := t.TempDir()
	full := script(Expect("PSYNC", "?", "-1"), Send("+FULLRESYNC id 1000\r\n"+framed(emptyRDB)+set1+command("MULTI")+set2[:9]), Hang())
	rest := script(Expect("PSYNC", "id", fmt.Sprint(1001+27+15+9)), Send("+CONTINUE other\r\n"+set2[9:]+set1+command("EXEC")+set2), Hang())
	p := StartPrimary(t, full, rest)
	cfg := source.Config{URL: "redis://" + p.Addr, Spool: openSpool(t, dir)}
	f := follow(t, cfg, source.Position{})
	from := f.command("SET", "a", "1").Pos
	src := f.src.(*source.Replica)
	if err := src.Keep(t.Context(), from, true); err != nil || cfg.Spool.Stats().Synced < 27 {
		t.Errorf("%v; %+v", err, cfg.Spool.Stats())
	}
	if err := src.Keep(t.Context(), source.Position{ReplID: "id", Offset: 9999}, false); err == nil {
		t.Error("what did not come is kept")
	}
	spooled(t, cfg.Spool, f.src, 1000+27+15+9)
	if err := src.Keep(t.Context(), from, false); err != nil {
		t.Error(err)
	}
	f.stop()
	cfg.Spool = openSpool(t, dir)
	f = follow(t, cfg, from, wants{})
	last := f.next("the last command", func(r record) bool { return r.Kind == source.Command && r.Tx.Index == 0 })
	if cmds := f.all(source.Command); len(cmds) != 3 || cmds[1].Tx.Size != 2 || last.Pos != (source.Position{ReplID: "other", Offset: 1000 + 4*27 + 15 + 14}) {
		t.Errorf("got %v", cmds)
	}
	if s := f.src.Status(); s.FullResyncs != 0 || s.PartialResyncs != 1 {
		t.Errorf("status %+v", s)
	}
	if lost, again := f.all(source.Detached), f.all(source.Attached); len(lost) != 1 || len(again) != 1 {
		t.Errorf("the link of the first process was lost %d times, and another attached %d times", len(lost), len(again))
	}
	f.stop()
	// And once more, from before the new name, and from the middle.
	for _, from := range []source.Position{from, {ReplID: "other", Offset: 1027}, {ReplID: "other", Offset: 1000 + 3*27 + 15 + 14}} {
		cfg.Spool = openSpool(t, dir)
		var got []string
		for rec, err := range newReplica(t, cfg).Replay(t.Context(), from, last.Pos, nil) {
			if err != nil {
				t.Fatal(err)
			}
			if rec.Kind == source.Command {
				got = append(got, string(rec.Args[1]))
			}
		}
		if want := []string{"b", "a", "b"}; !slices.Equal(got, want) && !(from.Offset > 1027 && slices.Equal(got, want[2:])) {
			t.Errorf("from %v: %v", from, got)
		}
	}
	for _, bad := range []struct{ from, to source.Position }{
		{from, source.Position{ReplID: "other", Offset: 99999}}, {source.Position{ReplID: "x", Offset: 1027}, last.Pos}, {last.Pos, from},
		{source.Position{ReplID: "id", Offset: 999}, last.Pos},
	} {
		n := 0
		var err error
		for _, err = range newReplica(t, cfg).Replay(t.Context(), bad.from, bad.to, nil) {
			n++
		}
		if n != 1 || err == nil {
			t.Errorf("from %v to %v: %d records, %v", bad.from, bad.to, n, err)
		}
	}
}

// A process that was killed inside of a full resync, or behind one that it had
// not handled: what the spool has behind the snapshot is of no use without it.
func TestSpoolBehindASnapshot(t *testing.T) {
	dir := t.TempDir()
	p := StartPrimary(t,
		script(Expect("PSYNC", "?", "-1"), Send("+FULLRESYNC id 1000\r\n"+framed(emptyRDB)+set1), Hang()),
		script(Expect("PSYNC", "id", "1028"), Send("+FULLRESYNC other 5000\r\n"+framed(emptyRDB)+set2), Hang()),
		script(Expect("PSYNC", "id", "1028"), Send("+FULLRESYNC other 7000\r\n"+framed(emptyRDB)+set1+set2), Hang()))
	cfg := source.Config{URL: "redis://" + p.Addr, Spool: openSpool(t, dir)}
	f := follow(t, cfg, source.Position{})
	begun := f.kind(source.SnapshotEnd).Pos
	from := f.command("SET", "a", "1").Pos
	f.stop()
	cfg.Spool = openSpool(t, dir)
	f = follow(t, cfg, from)
	f.command("SET", "b", "2")
	spooled(t, cfg.Spool, f.src, 5027)
	f.stop()
	cfg.Spool = openSpool(t, dir)
	f = follow(t, cfg, begun) // as if nothing of it had been handled
	f.command("SET", "a", "1")
	end := f.kind(source.SnapshotEnd)
	if want := (source.Position{ReplID: "other", Offset: 7000}); end.Pos != want || !end.Gap || end.From != from {
		t.Errorf("got %v", end)
	}
	f.command("SET", "b", "2")
	if cmds := f.all(source.Command); len(cmds) != 3 || cmds[1].Offset != 7027 {
		t.Errorf("got %v", cmds)
	}
}

// What cannot be parsed is received again, by the next process too, and in the
// spool it is passed by.
func TestSpoolWithWrongBytes(t *testing.T) {
	dir := t.TempDir()
	wrong := "*2\r\n$1\r\nx$\r\n" + set2
	p := StartPrimary(t,
		script(Expect("PSYNC", "?", "-1"), Send("+FULLRESYNC id 1000\r\n"+framed(emptyRDB)+set1+wrong), Hang()),
		script(Expect("PSYNC", "id", "1028"), Send("+CONTINUE\r\n"+set2+set1), Hang()),
		script(Expect("PSYNC", "id", fmt.Sprint(1001+3*27)), Send("+CONTINUE\r\n"+set2), Hang()))
	cfg := source.Config{URL: "redis://" + p.Addr, Spool: openSpool(t, dir)}
	f := follow(t, cfg, source.Position{})
	begun := f.kind(source.SnapshotEnd).Pos
	f.command("SET", "b", "2")
	f.command("SET", "a", "1")
	if s := f.src.Status(); s.ProtocolErrors != 1 || s.PartialResyncs != 1 {
		t.Errorf("status %+v", s)
	}
	spooled(t, cfg.Spool, f.src, 1000+3*27)
	f.stop()
	cfg.Spool = openSpool(t, dir)
	f = follow(t, cfg, begun)
	f.next("the last command", func(r record) bool { return r.Offset == 1000+4*27 })
	var keys []string
	for _, r := range f.all(source.Command) {
		keys = append(keys, string(r.Args[1]))
	}
	if s := f.src.Status(); s.ProtocolErrors != 0 || s.PartialResyncs != 1 || strings.Join(keys, "") != "abab" {
		t.Errorf("commands of %v, status %+v; log:\n%s", keys, s, f.log)
	}
}

// Random cuts of the link and ends of the process, at any byte: each write is
// handed out once, in order.
func TestSpoolUnderCuts(t *testing.T) {
	Each(t, some, func(t *testing.T, srv *servers.Server) {
		t.Parallel()
		p := StartProxy(t, srv.Addr)
		dir := t.TempDir()
		var quit atomic.Bool
		written := make(chan int, 1)
		var writing sync.WaitGroup
		defer func() { quit.Store(true); writing.Wait() }()
		c := Dial(t, srv)
		writing.Go(func() {
			n := 0
			for ; !quit.Load() && n < 2_000_000; n++ {
				args := serial(n)
				if n%7 == 0 {
					args = append(args[:2:2], args[2], "EX", fmt.Sprint(1000+n%1000))
				}
				if _, err := c.Do(args...); err != nil {
					t.Error(err)
					break
				}
			}
			written <- n
		})
		random := rand.New(rand.NewPCG(3, 4))
		var from source.Position
		next := 0
		take := func(rec *source.Record) {
			if rec.Kind == source.Command && strings.EqualFold(string(rec.Args[0]), "SET") {
				if got, want := string(rec.Args[2]), fmt.Sprint(next); got != want && next > 0 {
					t.Fatalf("got write %s, want %s", got, want)
				} else if next == 0 {
					fmt.Sscan(got, &next)
				}
				next++
			}
			if !rec.Pos.IsZero() {
				from = rec.Pos
			}
		}
		for round := range 25 {
			log := openSpool(t, dir)
			src := newReplica(t, source.Config{URL: "redis://" + p.Addr, Spool: log, MinBackoff: time.Millisecond, MaxBackoff: 5 * time.Millisecond})
			stop := next + 1 + random.IntN(400)
			limit := time.Now().Add(patience)
			for rec, err := range src.Records(t.Context(), from, wants{wake: func() time.Time { return time.Now().Add(time.Millisecond) }}) {
				if err != nil {
					t.Fatal(err)
				}
				take(rec)
				if next%97 == 0 {
					p.CutAfter(random.Int64N(3000) + 1)
				}
				if next >= stop {
					break
				}
				if time.Now().After(limit) {
					t.Fatalf("round %d: no more than %d of %d, status %+v", round, next, stop, src.Status())
				}
			}
			if s := src.Status(); round > 0 && s.FullResyncs != 0 || s.ProtocolErrors != 0 {
				t.Fatalf("round %d: status %+v", round, s)
			}
		}
		quit.Store(true)
		if n := <-written; next > n {
			t.Errorf("%d of %d", next, n)
		}
	}, "--repl-backlog-size", "64mb")
}

// With a limit that is reached the link waits, and nothing is lost.
func TestSpoolIsFull(t *testing.T) {
	srv := Start(t, "redis-7.0", "--client-output-buffer-limit", "replica 0 0 0")
	log, err := spool.Open(spool.Options{Dir: t.TempDir(), Limit: 16 << 20, Memory: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	src := newReplica(t, source.Config{URL: url(srv), Spool: log})
	c := Dial(t, srv)
	const writes = 60
	next := 0
	for rec, err := range src.Records(t.Context(), source.Position{}, nil) {
		if err != nil {
			t.Fatal(err)
		}
		if rec.Kind == source.SnapshotEnd {
			value := strings.Repeat("x", 1<<20)
			for i := range writes {
				send(t, c, []string{"SET", fmt.Sprint(i), value})
			}
			for limit := time.Now().Add(patience); log.Stats().Full == ""; time.Sleep(time.Millisecond) { // it tells nobody
				if time.Now().After(limit) {
					t.Fatalf("not full: %+v", log.Stats())
				}
			}
			if s := src.Status(); s.Spool.Bytes > 20<<20 || s.Received > 30<<20 {
				t.Errorf("status %+v", s)
			}
		}
		if rec.Kind == source.Command && string(rec.Args[0]) == "SET" {
			if got, want := string(rec.Args[1]), fmt.Sprint(next); got != want {
				t.Fatalf("got %s, want %s", got, want)
			}
			if next++; next == writes {
				break
			}
		}
	}
}
