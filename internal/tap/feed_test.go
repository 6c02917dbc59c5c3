package tap_test

import (
	"context"
	"fmt"
	"iter"
	"testing"
	"testing/synctest"
	"time"

	"triggerd/internal/admin"
	"triggerd/internal/tap"
)

// open opens a reader that is stopped with the test.
func open(t *testing.T, f *tap.Feed, q admin.FeedQuery) (next func() (*admin.FeedEntry, bool), stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	next, stop = iter.Pull(f.Read(ctx, q))
	t.Cleanup(stop)
	if e, ok := next(); e != nil || !ok {
		t.Fatalf("before anything happened: %+v, %v", e, ok)
	}
	return next, stop
}

func match(rule, key string) admin.FeedEntry {
	return admin.FeedEntry{Kind: admin.FeedMatch, Rule: rule, Key: key}
}

func TestLevel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var f tap.Feed
		f.Add(match("r", "k")) // of no use to anybody
		check := func(want tap.Level) {
			t.Helper()
			synctest.Wait()
			if f.Level() != want {
				t.Errorf("level %d, want %d", f.Level(), want)
			}
		}
		check(tap.Nobody)
		_, stop := open(t, &f, admin.FeedQuery{})
		check(tap.Watched)
		_, stopAll := open(t, &f, admin.FeedQuery{All: true})
		check(tap.All)
		stopAll()
		check(tap.Watched)
		stop()
		check(tap.Watched) // it may come back
		time.Sleep(2 * time.Minute)
		check(tap.Nobody)
	})
}

func TestFilters(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var f tap.Feed
		byRule, _ := open(t, &f, admin.FeedQuery{Rule: "b"})
		byKey, _ := open(t, &f, admin.FeedQuery{Key: func(k string) bool { return k == "k3" }})
		byOutcome, _ := open(t, &f, admin.FeedQuery{Outcome: "retried"})
		f.Add(match("a", "k1"))
		f.Add(match("b", "k2"))
		f.Add(match("a", "k3"))
		f.Add(admin.FeedEntry{Kind: admin.FeedAttempt, Outcome: "retried", Key: "k4"})
		for i, next := range []func() (*admin.FeedEntry, bool){byRule, byKey, byOutcome} {
			if e, _ := next(); e == nil || e.Key != fmt.Sprint("k", i+2) {
				t.Errorf("filter %d: %+v", i, e)
			}
		}
	})
}

// What a reader has missed is told: it was slow, or came back late.
func TestLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var f tap.Feed
		next, stop := open(t, &f, admin.FeedQuery{})
		f.Add(match("r", "first"))
		first, _ := next()
		for i := range 5000 {
			f.Add(match(fmt.Sprint(i%10), "k"))
		}
		e, _ := next()
		if e.Kind != admin.FeedLost || e.Count != 5000-4096 {
			t.Errorf("a slow reader: %+v", e)
		}
		if e, _ = next(); e.Seq != first.Seq+1+5000-4096 {
			t.Errorf("goes on at %d, the first was %d", e.Seq, first.Seq)
		}
		stop()

		f.Add(match("r", "while nobody looked"))
		after := e.Seq + 4095
		back, _ := open(t, &f, admin.FeedQuery{After: after})
		if e, _ = back(); e.Key != "while nobody looked" || e.Seq != after+1 {
			t.Errorf("after its last entry: %+v", e)
		}
		anew, _ := open(t, &f, admin.FeedQuery{After: 7})
		if e, _ = anew(); e.Kind != admin.FeedLost || e.Count != 0 {
			t.Errorf("after an entry of another process: %+v", e)
		}
	})
}

// A reader whose filter takes nothing hears now and then that it is alive.
func TestQuiet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var f tap.Feed
		next, _ := open(t, &f, admin.FeedQuery{Rule: "other"})
		busy, cancel := context.WithCancel(t.Context())
		defer cancel()
		go func() {
			for {
				f.Add(match("r", "k"))
				select {
				case <-busy.Done():
					return
				case <-time.After(time.Second):
				}
			}
		}()
		began := time.Now()
		if e, ok := next(); e != nil || !ok || time.Since(began) > 20*time.Second {
			t.Errorf("%+v, %v after %s", e, ok, time.Since(began))
		}
	})
}

// One rule that fires without end takes the room of no other.
func TestSampled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var f tap.Feed
		next, _ := open(t, &f, admin.FeedQuery{})
		for range 3000 {
			f.Add(match("busy", "k"))
		}
		f.Add(match("quiet", "k"))
		f.Add(admin.FeedEntry{Kind: admin.FeedState, State: "down"})
		counts := map[string]int64{}
		for range 1003 {
			e, _ := next()
			if counts[e.Kind+e.Rule]++; e.Kind == admin.FeedLost {
				counts["count"] += e.Count
			}
		}
		if counts["matchbusy"] != 1000 || counts["matchquiet"] != 1 || counts["state"] != 1 || counts["count"] != 2000 {
			t.Errorf("read %v", counts)
		}
	})
}

// BenchmarkUnwatched is what a match costs while nobody watches.
func BenchmarkUnwatched(b *testing.B) {
	var f tap.Feed
	b.ReportAllocs()
	for b.Loop() {
		if f.Level() != tap.Nobody {
			f.Add(match("r", "k"))
		}
	}
}

// BenchmarkWatched is what an entry costs.
func BenchmarkWatched(b *testing.B) {
	var f tap.Feed
	ctx, cancel := context.WithCancel(b.Context())
	defer cancel()
	go func() {
		for range f.Read(ctx, admin.FeedQuery{}) {
		}
	}()
	b.ReportAllocs()
	for b.Loop() {
		f.Add(admin.FeedEntry{Kind: admin.FeedState})
	}
}
