package source_test

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"triggerd/internal/redistest"
	"triggerd/internal/servers"
	"triggerd/source"
)

// TestLeavesAServerThatEnds: triggerd is away while a server waits for a real
// replica to shut down, and comes back when that is called off.
func TestLeavesAServerThatEnds(t *testing.T) {
	redistest.Each(t, []string{"redis-7.0", "valkey-9.1"}, func(t *testing.T, srv *servers.Server) {
		t.Parallel()
		if !atLeast70(srv) {
			return // it waits for nobody
		}
		replica := redistest.Start(t, srv.Program.Name)
		host, port, _ := strings.Cut(srv.Addr, ":")
		redistest.Do(t, replica, "REPLICAOF", host, port)
		f := follow(t, source.Config{URL: url(srv)}, source.Position{}, wants{})
		f.attached(1)
		replicas := func() int64 { return infoInt(t, srv, "replication", "connected_slaves") }
		f.status("both replicas", func(source.Status) bool { return replicas() == 2 })
		c := redistest.Dial(t, srv)
		c.Timeout = patience
		send(t, c, words("CONFIG SET shutdown-timeout 600"), words("SET first 1"))
		f.command("SET", "first", "1")
		if n, err := c.Do("WAIT", "1", atLast); err != nil || n != int64(1) {
			t.Fatalf("WAIT: %v, %v", n, err)
		}
		if err := syscall.Kill(replica.PID(), syscall.SIGSTOP); err != nil {
			t.Fatal(err)
		}
		send(t, c, words("SET second 2"))
		f.command("SET", "second", "2")

		ending := redistest.Dial(t, srv)
		if err := errors.Join(ending.Send("SHUTDOWN", "NOSAVE"), ending.Flush()); err != nil {
			t.Fatal(err)
		}
		f.kind(source.Detached)
		f.status("the reason, more than once", func(s source.Status) bool {
			return strings.Contains(s.LastError, "shutting down") && strings.Count(f.log.String(), "shutting down") > 3
		})
		if n := replicas(); n != 1 {
			t.Errorf("%d replicas while the server waits, want 1", n)
		}

		redistest.Do(t, srv, "SHUTDOWN", "ABORT")
		f.attached(2)
		send(t, c, words("SET third 3"))
		f.command("SET", "third", "3")
		if s := f.src.Status(); s.Gaps != 0 || s.FullResyncs != 1 || s.PartialResyncs != 1 {
			t.Errorf("status %+v", s)
		}
		if err := syscall.Kill(replica.PID(), syscall.SIGCONT); err != nil {
			t.Fatal(err)
		}
	})
}

// TestLeavesAReplicaThatEnds: a replica asks for nothing before it ends, and
// must not wait either.
func TestLeavesAReplicaThatEnds(t *testing.T) {
	redistest.Each(t, []string{"redis-7.0", "valkey-9.1"}, func(t *testing.T, srv *servers.Server) {
		t.Parallel()
		if !atLeast70(srv) {
			return // it waits for nobody
		}
		replica := redistest.Start(t, srv.Program.Name, "--shutdown-timeout", "600")
		host, port, _ := strings.Cut(srv.Addr, ":")
		redistest.Do(t, replica, "REPLICAOF", host, port)
		f := follow(t, source.Config{URL: url(replica), BacklogInterval: 50 * time.Millisecond}, source.Position{})
		f.attached(1)
		redistest.Do(t, srv, "SET", "a", "1")
		f.command("SET", "a", "1")
		c := redistest.Dial(t, replica)
		c.Timeout = patience
		if err := errors.Join(c.Send("SHUTDOWN", "NOSAVE"), c.Flush()); err != nil {
			t.Fatal(err)
		}
		if reply, err := c.Receive(); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("it has not ended: %v, %v", reply, err)
		}
	})
}

// TestWaitIsNoEnd: a client's WAIT asks for an acknowledgement as a server does
// that ends.
func TestWaitIsNoEnd(t *testing.T) {
	redistest.Each(t, []string{"redis-7.0", "valkey-9.1"}, func(t *testing.T, srv *servers.Server) {
		t.Parallel()
		f := follow(t, source.Config{URL: url(srv)}, source.Position{})
		f.attached(1)
		c := redistest.Dial(t, srv)
		send(t, c, words("SET k v"), words("CONFIG RESETSTAT"))
		if n, err := c.Do("WAIT", "1", "1"); err != nil || n != int64(0) {
			t.Fatalf("WAIT: %v, %v", n, err)
		}
		redistest.Do(t, srv, "INFO", "server")
		for own, calls := 1, 0; ; own++ {
			fmt.Sscanf(info(t, srv, "commandstats", "cmdstat_info"), "calls=%d,", &calls)
			if calls > own {
				break
			}
			if own == 400 {
				t.Fatal("the server was not asked whether it is shutting down")
			}
			time.Sleep(50 * time.Millisecond) // that it is asked has no event
		}
		if s := f.src.Status(); s.Connects != 1 || s.State != source.Streaming {
			t.Errorf("status %+v", s)
		}
	})
}
