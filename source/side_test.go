package source_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"triggerd/internal/redistest"
	"triggerd/internal/servers"
	"triggerd/source"
)

// A consumer that resumes without knowing the keys gets them beside the
// stream, exactly between the commands that the snapshot has in it and those
// that it has not.
func TestMirrorSnapshot(t *testing.T) {
	redistest.Each(t, redistest.All, func(t *testing.T, srv *servers.Server) {
		redistest.Do(t, srv, "SET", "n", "0")
		first := newReplica(t, source.Config{URL: "redis://" + srv.Addr})
		var pos source.Position
		for rec := range first.Records(t.Context(), source.Position{}, nil) {
			if rec.Kind == source.SnapshotEnd {
				pos = rec.Pos
				break
			}
		}
		for range 50 {
			redistest.Do(t, srv, "INCR", "n")
		}
		// The load goes on while the second run attaches.
		ctx, stop := context.WithCancel(t.Context())
		loaded := make(chan int)
		go func() {
			n := 50
			c := redistest.Dial(t, srv)
			for ; ctx.Err() == nil; n++ {
				if _, err := c.Do("INCR", "n"); err != nil {
					t.Error(err)
					break
				}
				time.Sleep(200 * time.Microsecond) // leave room for the others
			}
			loaded <- n
		}()
		second := newReplica(t, source.Config{URL: "redis://" + srv.Addr})
		lacks := true
		commands, at := 0, -1
		for rec := range second.Records(t.Context(), pos, wants{lacks: func() bool { return lacks }}) {
			switch rec.Kind {
			case source.Command:
				commands++
			case source.Key:
				if !rec.Side || string(rec.Entry.Key) != "n" {
					t.Errorf("key %s, side %v", rec.Entry.Key, rec.Side)
				}
				v, err := rec.RDB.Value()
				if err != nil {
					t.Fatal(err)
				}
				if got, want := string(v.String), fmt.Sprint(commands); got != want {
					t.Errorf("the snapshot has %s behind %s commands", got, want)
				}
				at = commands
			case source.SnapshotEnd:
				lacks = false
				if !rec.Side || rec.Gap || rec.Incomplete || rec.Pos.IsZero() {
					t.Errorf("end of the snapshot: %+v", rec)
				}
			}
			if at >= 0 && commands >= at+100 {
				break
			}
		}
		stop()
		if n := <-loaded; commands > n {
			t.Errorf("%d commands of %d", commands, n)
		}
		if st := second.Status(); st.FullResyncs != 0 || st.PartialResyncs != 1 || at < 50 {
			t.Errorf("status %+v, snapshot behind %d commands", st, at)
		}
	})
}

// A consumer that comes to lack keys is handed them, and misses no command.
func TestLacksKeys(t *testing.T) {
	srv := redistest.Start(t, "redis-7.0")
	var lacks atomic.Bool
	c := wants{lacks: lacks.Load, changed: make(chan struct{}, 1)}
	s := newReplica(t, source.Config{URL: "redis://" + srv.Addr})
	var got []string
	for rec := range s.Records(t.Context(), source.Position{}, c) {
		switch rec.Kind {
		case source.SnapshotEnd:
			lacks.Store(false)
			if !rec.Side {
				redistest.Do(t, srv, "SET", "a", "1")
			}
		case source.Command:
			got = append(got, string(rec.Args[2]))
			if len(got) == 1 {
				lacks.Store(true)
				c.changed <- struct{}{}
				redistest.Do(t, srv, "SET", "a", "2")
			}
		case source.Key:
			got = append(got, "key "+string(rec.Entry.Key))
			redistest.Do(t, srv, "SET", "a", "3")
		}
		if len(got) == 4 {
			break
		}
	}
	if want := []string{"1", "2", "key a", "3"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// A consumer is woken when it wants to be, and silence still ends a link.
func TestWake(t *testing.T) {
	srv := redistest.Start(t, "redis-7.0", "--repl-ping-replica-period", "3600")
	var next time.Time
	s := newReplica(t, source.Config{URL: "redis://" + srv.Addr, Timeout: 2 * time.Second})
	woken, attached, limit := 0, 0, time.Now().Add(patience)
	for rec := range s.Records(t.Context(), source.Position{}, wants{wake: func() time.Time { return next }}) {
		if rec.Kind == source.SnapshotEnd {
			attached++
		}
		if rec.Kind == source.Woken {
			woken++
			if rec.Time.Before(next) {
				t.Errorf("woken at %v, %v before time", rec.Time, next.Sub(rec.Time))
			}
		}
		next = time.Now().Add(20 * time.Millisecond)
		if st := s.Status(); woken > 20 && attached > 0 && (strings.Contains(st.LastError, "nothing received for 2s") || st.PartialResyncs > 0) {
			break
		}
		if time.Now().After(limit) {
			t.Fatalf("silence does not end the link: status %+v", s.Status())
		}
	}
	if woken < 20 || attached != 1 {
		t.Errorf("woken %d times, attached %d times", woken, attached)
	}
}

// A consumer that wants to be woken is told when there is no link, again and
// again as it wishes, and when there is one; and when the server has no more.
func TestLinkIsTold(t *testing.T) {
	srv := redistest.Start(t, "redis-7.0", "--repl-ping-replica-period", "3600")
	proxy := redistest.StartProxy(t, srv.Addr)
	s := newReplica(t, source.Config{
		URL: "redis://" + proxy.Addr, MinBackoff: 200 * time.Millisecond, MaxBackoff: 200 * time.Millisecond,
	})
	c := wants{wake: func() time.Time { return time.Now().Add(30 * time.Millisecond) }}
	detached, cuts, waiting := 0, 0, true // at first there is no link either, for as long as the server takes
	limit := time.Now().Add(patience)
	var kinds []source.Kind
	for rec := range s.Records(t.Context(), source.Position{}, c) {
		switch rec.Kind {
		case source.Attached:
			waiting = false
			if st := s.Status(); st.State != source.Streaming || st.Connects != int64(1+cuts) {
				t.Errorf("it is attached, and the status is %+v", st)
			}
		case source.Detached:
			waiting = true
		}
		if !(rec.Kind == source.Woken && waiting) && (len(kinds) == 0 || kinds[len(kinds)-1] != rec.Kind) {
			kinds = append(kinds, rec.Kind)
		}
		switch {
		case time.Now().After(limit):
			t.Fatalf("kinds %v, %d times detached", kinds, detached)
		case rec.Kind == source.Woken && rec.Idle && cuts == 0:
			cuts++
			proxy.Refuse()
			proxy.Cut()
		case waiting && cuts > 0:
			if detached++; detached == 10 {
				proxy.Admit()
			}
		}
		if rec.Kind == source.Woken && !waiting && detached > 0 {
			break
		}
	}
	want := []source.Kind{source.SnapshotBegin, source.SnapshotEnd, source.Attached, source.Woken, source.Detached, source.Attached, source.Woken}
	if !slices.Equal(kinds, want) || detached < 10 {
		t.Errorf("kinds %v, want %v; %d times detached", kinds, want, detached)
	}
}

func newReplica(t *testing.T, cfg source.Config) *source.Replica {
	t.Helper()
	s, err := source.NewReplica(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return s
}
