package source_test

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	. "triggerd/internal/redistest"
	"triggerd/internal/servers"
	"triggerd/source"
)

// TestRenewedLink: behind a snapshot of Valkey's the stream goes on over a link
// that has told no version, in the midst of writes, with each of them once.
func TestRenewedLink(t *testing.T) {
	Each(t, []string{"redis-8.6", "valkey-8.0", "valkey-9.1"}, func(t *testing.T, srv *servers.Server) {
		t.Parallel()
		c := Dial(t, srv)
		send(t, c, words("SELECT 3"))
		var quit atomic.Bool
		var writing sync.WaitGroup
		writes := 0
		writing.Go(func() {
			for ; !quit.Load(); writes++ {
				if _, err := c.Do("RPUSH", "list", fmt.Sprint(writes)); err != nil {
					t.Error(err)
					return
				}
			}
		})
		stop := func() { quit.Store(true); writing.Wait() }
		defer stop()
		f := follow(t, source.Config{URL: url(srv)}, source.Position{}, wantsKeys)
		if name, _ := family(srv); name == "valkey" {
			f.status("a renewed link", func(source.Status) bool { return strings.Contains(f.log.String(), "link renewed") })
		}
		f.attached(1)
		from := f.src.Status().HandedOut
		f.status("writes behind that", func(s source.Status) bool { return s.HandedOut > from+100_000 })
		stop()
		f.command("RPUSH", "list", fmt.Sprint(writes-1))
		next := 0
		for _, r := range f.all(source.Command) {
			if !isCommand(r, "RPUSH", "list", string(r.Args[len(r.Args)-1])) {
				continue // PING
			}
			var n int
			fmt.Sscan(string(r.Args[2]), &n)
			if next == 0 {
				next = n // those before are in the snapshot
			}
			if n != next || r.DB != 3 {
				t.Fatalf("got %v, want number %d in database 3", r, next)
			}
			next++
		}
		if s := f.src.Status(); s.Connects != 1 || s.FullResyncs != 1 || s.PartialResyncs != 0 || s.Gaps != 0 {
			t.Errorf("status %+v", s)
		}
	})
}

// TestLinkThatIsNotRenewed: where the second link is not resumed, or refused,
// the first one goes on.
func TestLinkThatIsNotRenewed(t *testing.T) {
	for name, second := range map[string][]Step{
		"refused":      {Send("-ERR not now\r\n")},
		"not resumed":  {Send("+FULLRESYNC id 1000\r\n" + framed(emptyRDB))},
		"renamed":      {Send("+CONTINUE id2\r\n")},
		"disconnected": nil,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tried := make(chan struct{})
			p := StartPrimary(t, slices.Concat(greeting, Script{
				Expect("REPLCONF", "version", "*"), Send("+OK\r\n"),
				Expect("PSYNC", "?", "-1"), Send("+FULLRESYNC id 1000\r\n" + framed(emptyRDB)),
				await(tried), Send(set1), Hang(),
			}), script(append(append([]Step{Expect("PSYNC", "id", "1001")}, second...), signal(tried))...))
			f := follow(t, source.Config{URL: "redis://" + p.Addr}, source.Position{}, wantsKeys)
			if r := f.command("SET", "a", "1"); r.Pos.Offset != 1027 {
				t.Errorf("got %v", r)
			}
			if s := f.src.Status(); s.Connects != 1 || !strings.Contains(f.log.String(), "link not renewed") {
				t.Errorf("status %+v; log:\n%s", s, f.log)
			}
		})
	}
}
