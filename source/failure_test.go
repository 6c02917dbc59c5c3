package source_test

import (
	"fmt"
	"math/rand/v2"
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

// TestDisconnects cuts the link fifty times while the server is written to,
// in good order, by force, and at random bytes, and then counts.
func TestDisconnects(t *testing.T) {
	redistest.Each(t, some, func(t *testing.T, srv *servers.Server) {
		t.Parallel()
		p := redistest.StartProxy(t, srv.Addr)
		f := follow(t, source.Config{URL: "redis://" + p.Addr, MinBackoff: time.Millisecond, MaxBackoff: 10 * time.Millisecond}, source.Position{})
		f.attached(1)

		var stop atomic.Bool
		written := make(chan int, 1)
		var writing sync.WaitGroup
		defer func() {
			stop.Store(true)
			f.stop() // the writer may wait for it
			writing.Wait()
		}()
		c := redistest.Dial(t, srv)
		writing.Go(func() {
			n := 0
			for !stop.Load() {
				f.upTo(n - 5000) // so that cutting, not catching up, takes the time
				var batch [][]string
				for range 20 { // a transaction, and one alone
					batch = append(batch, words("MULTI"), serial(n), serial(n+1), words("EXEC"), serial(n+2))
					n += 3
				}
				for _, args := range batch {
					if err := c.Send(args...); err != nil {
						t.Error(err)
					}
				}
				if err := c.Flush(); err != nil {
					t.Error(err)
				}
				for range batch {
					if _, err := c.Receive(); err != nil {
						t.Error(err)
						stop.Store(true)
						break
					}
				}
			}
			written <- n
		})
		random := rand.New(rand.NewPCG(1, 2))
		for i, connects := 0, int64(1); connects <= 50; i++ {
			switch i % 3 {
			case 0:
				p.Cut()
			case 1:
				p.Reset()
			default: // and the next one in the stream, which begins after some 200 bytes
				p.CutAfter(random.Int64N(20_000) + 400)
				p.Cut()
			}
			// A cut after some bytes may come before the other one, and be the same.
			connects = f.status("another attachment", func(s source.Status) bool {
				return s.Connects > connects && s.State == source.Streaming && !p.CutPending()
			}).Connects
		}
		stop.Store(true)
		n := <-written
		f.command(serial(n - 1)...)

		got := f.all(source.Command)
		if len(got) != n {
			t.Errorf("got %d commands, want %d", len(got), n)
		}
		for i, r := range got {
			if !isCommand(r, serial(i)...) {
				t.Fatalf("command %d: got %v, want %v; before it %v", i, r, serial(i), got[max(0, i-2):i])
			}
			if i > 0 && r.Offset <= got[i-1].Offset {
				t.Fatalf("command %d: got %v after %v", i, r, got[i-1])
			}
		}
		if s := f.src.Status(); s.FullResyncs != 1 || s.Gaps != 0 || s.PartialResyncs < 50 || s.ProtocolErrors != 0 {
			t.Errorf("status %+v", s)
		}
	}, "--repl-backlog-size", "64mb")
}

func serial(n int) []string { return []string{"SET", "serial", strconv.Itoa(n)} }

// TestHalfOpenLink stalls the link without closing it.
func TestHalfOpenLink(t *testing.T) {
	redistest.Each(t, []string{"redis-6.0", "valkey-9.1"}, func(t *testing.T, srv *servers.Server) {
		t.Parallel()
		p := redistest.StartProxy(t, srv.Addr)
		f := follow(t, source.Config{URL: "redis://" + p.Addr, Timeout: 2500 * time.Millisecond}, source.Position{})
		f.attached(1)
		redistest.Do(t, srv, "SET", "before", "1")
		f.command("SET", "before", "1")
		p.Stall()
		redistest.Do(t, srv, "SET", "while", "1")
		f.status("the stall is noticed", func(s source.Status) bool { return strings.Contains(s.LastError, "nothing received for 2.5s") })
		p.Resume()
		f.command("SET", "while", "1")
		if s := f.src.Status(); s.FullResyncs != 1 || len(f.all(source.Command)) != 2 {
			t.Errorf("status %+v, commands %v", s, f.all(source.Command))
		}
	}, "--repl-ping-replica-period", "1")
}

// TestServerRestart restarts a server that saves: from 7.0 on its history goes
// on under a new ID; before, there is a gap.
func TestServerRestart(t *testing.T) {
	redistest.Each(t, redistest.All, func(t *testing.T, srv *servers.Server) {
		t.Parallel()
		f := follow(t, source.Config{URL: url(srv), Ack: source.AckReceived}, source.Position{})
		f.attached(1)
		c := redistest.Dial(t, srv)
		send(t, c, words("SELECT 5"), words("SET before 1"))
		last := f.command("SET", "before", "1").Pos
		if err := srv.Restart(t.Context()); err != nil {
			t.Fatal(err)
		}
		f.attached(2)
		redistest.Do(t, srv, "SET", "after", "1")
		after := f.command("SET", "after", "1")
		if after.DB != 0 || after.Pos.ReplID == last.ReplID || after.ReplID != info(t, srv, "replication", "master_replid") {
			t.Errorf("got %v; before the restart %v", after, last)
		}
		var gaps []record
		for _, r := range f.all(source.SnapshotEnd) {
			if r.Gap {
				gaps = append(gaps, r)
			}
		}
		s := f.src.Status()
		if atLeast70(srv) {
			if len(gaps) != 0 || s.PartialResyncs != 1 || s.FullResyncs != 1 || after.Offset <= last.Offset {
				t.Errorf("got gaps %v, status %+v; log:\n%s", gaps, s, f.log)
			}
		} else if len(gaps) != 1 || gaps[0].From.ReplID != last.ReplID || gaps[0].From.Offset < last.Offset || gaps[0].From.DB != 5 || s.Gaps != 1 {
			t.Errorf("got gaps %v, status %+v, last %v", gaps, s, last)
		}
	}, "--save", "3600 1")
}

// TestBacklogOverrun stays away until the server no longer has what came.
func TestBacklogOverrun(t *testing.T) {
	redistest.Each(t, some, func(t *testing.T, srv *servers.Server) {
		t.Parallel()
		p := redistest.StartProxy(t, srv.Addr)
		f := follow(t, source.Config{URL: "redis://" + p.Addr}, source.Position{})
		f.attached(1)
		c := redistest.Dial(t, srv)
		send(t, c, words("SET before 1"))
		last := f.command("SET", "before", "1")
		p.Refuse()
		p.Cut()
		f.status("the refused connection", func(s source.Status) bool { return strings.Contains(s.LastError, "refused") })
		large := strings.Repeat("x", 1<<20)
		for i := range 5 {
			send(t, c, []string{"SET", fmt.Sprintf("missed:%d", i), large})
		}
		p.Admit()
		begin := f.kind(source.SnapshotBegin)
		end := f.kind(source.SnapshotEnd)
		now := infoInt(t, srv, "replication", "master_repl_offset")
		if !begin.Gap || !end.Gap || begin.From != end.From || end.From.ReplID != last.ReplID || end.From.Offset < last.Offset || end.From.Offset > last.Offset+140 {
			t.Errorf("got %v and %v, want a gap from %v", begin, end, last.Pos)
		}
		if end.Pos.ReplID != last.ReplID || end.Pos.Offset < last.Offset+5<<20 || end.Pos.Offset > now {
			t.Errorf("the gap ends at %v; the server is at %d", end.Pos, now)
		}
		send(t, c, words("SET after 1"))
		if r := f.command("SET", "after", "1"); r.Offset <= end.Pos.Offset || f.src.Status().Gaps != 1 {
			t.Errorf("got %v, status %+v", r, f.src.Status())
		}
		if n := len(f.all(source.Command)); n != 2 {
			t.Errorf("got %d commands, want 2", n)
		}
	}, "--repl-backlog-size", "16kb")
}

// TestFailover follows a replica, and through its promotion; and takes a
// position from the primary to it.
func TestFailover(t *testing.T) {
	redistest.Each(t, some, func(t *testing.T, primary *servers.Server) {
		t.Parallel()
		replica := redistest.Start(t, primary.Program.Name)
		host, port, _ := strings.Cut(primary.Addr, ":")
		redistest.Do(t, replica, "REPLICAOF", host, port)
		onReplica := follow(t, source.Config{URL: url(replica), FailFirst: true}, source.Position{})
		onReplica.attached(1) // it waits for the replica's own link
		onPrimary := follow(t, source.Config{URL: url(primary)}, source.Position{})
		onPrimary.attached(1)

		c := redistest.Dial(t, primary)
		send(t, c, words("SELECT 4"), words("SET before 1"))
		a, b := onPrimary.command("SET", "before", "1"), onReplica.command("SET", "before", "1")
		if a.Pos != b.Pos || a.DB != 4 {
			t.Errorf("got %v at the primary and %v at the replica", a, b)
		}
		onPrimary.stop()
		if err := primary.Kill(); err != nil {
			t.Fatal(err)
		}

		// One that comes while the replica's link is down has to wait for it.
		waiting := follow(t, source.Config{URL: url(replica), FailFirst: true}, source.Position{})
		waiting.status("the refusal", func(s source.Status) bool { return strings.Contains(s.LastError, "lost its own primary") })

		redistest.Do(t, replica, "REPLICAOF", "NO", "ONE")
		hopped := follow(t, source.Config{URL: url(replica)}, a.Pos)
		hopped.attached(1)
		waiting.attached(1)
		onReplica.status("the new name", func(s source.Status) bool { return s.ReplID != a.ReplID && s.State == source.Streaming })
		redistest.Do(t, replica, "SET", "after", "1")
		id := info(t, replica, "replication", "master_replid")
		for name, f := range map[string]*follower{"on the replica": onReplica, "hopped": hopped, "waiting": waiting} {
			r := f.command("SET", "after", "1")
			if r.ReplID != id || r.Pos.ReplID != id || r.DB != 0 {
				t.Errorf("%s: got %v, want ID %s", name, r, id)
			}
			if s := f.src.Status(); s.Gaps != 0 || (name != "waiting") != (s.PartialResyncs > 0) {
				t.Errorf("%s: status %+v; log:\n%s", name, s, f.log)
			}
		}
		if n := len(onReplica.all(source.Command)); n != 2 {
			t.Errorf("got %d commands on the replica, want 2: %v", n, onReplica.all(source.Command))
		}
	})
}
