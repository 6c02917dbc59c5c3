package tap_test

import (
	"context"
	"fmt"
	"iter"
	"math"
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
		f.Put(match("r", "k")) // of no use to anybody
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
		byKey, _ := open(t, &f, admin.FeedQuery{Key: func(k []byte) bool { return string(k) == "k3" }})
		byOutcome, _ := open(t, &f, admin.FeedQuery{Outcome: "retried"})
		f.Put(match("a", "k1"))
		f.Put(match("b", "k2"))
		f.Put(match("a", "k3"))
		f.Put(admin.FeedEntry{Kind: admin.FeedAttempt, Outcome: "retried", Key: "k4"})
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
		f.Put(match("r", "first"))
		first, _ := next()
		for i := range 5000 {
			f.Put(match(fmt.Sprint(i%10), "k"))
		}
		e, _ := next()
		if e.Kind != admin.FeedLost || e.Count != 5000-4096 {
			t.Errorf("a slow reader: %+v", e)
		}
		if e, _ = next(); e.Seq != first.Seq+1+5000-4096 {
			t.Errorf("goes on at %d, the first was %d", e.Seq, first.Seq)
		}
		stop()

		f.Put(match("r", "while nobody looked"))
		after := e.Seq + 4095
		back, _ := open(t, &f, admin.FeedQuery{After: after})
		if e, _ = back(); e.Key != "while nobody looked" || e.Seq != after+1 {
			t.Errorf("after its last entry: %+v", e)
		}
		for _, other := range []uint64{1, 7, e.Seq + 1, math.MaxUint64 - 1, math.MaxUint64} { // a clock may have been set back
			anew, stop := open(t, &f, admin.FeedQuery{After: other})
			if e, _ := anew(); e.Kind != admin.FeedLost || e.Count != 0 {
				t.Errorf("after an entry %d of another process: %+v", other, e)
			}
			stop()
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
				f.Put(match("r", "k"))
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

// put adds what is admitted of n entries of a kind and rule, and returns how many
// these are.
func put(f *tap.Feed, n int, kind, rule string, about *subject) (admitted int) {
	g := f.GateOf(kind, rule)
	for range n {
		if f.Admits(g, kind, rule, "", about) {
			f.Put(admin.FeedEntry{Kind: kind, Rule: rule, Key: about.key, Holds: about.holds})
			admitted++
		}
	}
	return admitted
}

// One rule that fires without end leaves room for each other, and what is kept of
// it is spread over the time.
func TestSampled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var f tap.Feed
		next, _ := open(t, &f, admin.FeedQuery{})
		k := &subject{key: "k"}
		if n := put(&f, 3000, admin.FeedMatch, "busy", k); n != 1010 {
			t.Errorf("%d were admitted at once", n)
		}
		if n := put(&f, 30, admin.FeedMatch, "quiet", k); n != 10 {
			t.Errorf("of another rule %d were admitted", n)
		}
		f.Put(admin.FeedEntry{Kind: admin.FeedState, State: "down"})
		counts := map[string]int64{}
		for range 1022 {
			e, _ := next()
			if counts[e.Kind+e.Rule]++; e.Kind == admin.FeedLost {
				counts["count"] += e.Count
			}
		}
		if counts["matchbusy"] != 1010 || counts["matchquiet"] != 10 || counts["state"] != 1 || counts["count"] != 2010 {
			t.Errorf("read %v", counts)
		}
		total := 0
		for range 10 {
			time.Sleep(100 * time.Millisecond)
			synctest.Wait()
			n := put(&f, 3000, admin.FeedMatch, "busy", k)
			if n < 80 || n > 120 {
				t.Errorf("in a tenth of a second %d were admitted", n)
			}
			total += n
		}
		if total < 980 || total > 1030 {
			t.Errorf("in a second %d were admitted", total)
		}
	})
}

// A reader of batches gets what has come together, and a nil after it. If it was busy
// for long it goes on with the newest, and is told what it has missed.
func TestBatches(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var f tap.Feed
		next, _ := open(t, &f, admin.FeedQuery{Every: 50 * time.Millisecond})
		batch := func() (list []*admin.FeedEntry) {
			for e, ok := next(); e != nil && ok; e, ok = next() {
				list = append(list, e)
			}
			return list
		}
		f.Put(match("r", "1"))
		if got := batch(); len(got) != 1 || got[0].Key != "1" {
			t.Errorf("the first batch: %v", got)
		}
		f.Put(match("r", "2"))
		f.Put(match("r", "3"))
		began := time.Now()
		if got := batch(); len(got) != 2 || got[1].Key != "3" || time.Since(began) != 50*time.Millisecond {
			t.Errorf("the second, after %s: %v", time.Since(began), got)
		}
		f.Put(match("r", "4"))
		if e, _ := next(); e.Key != "4" {
			t.Errorf("got %+v", e)
		}
		time.Sleep(2 * time.Second) // busy with it
		for i := range 500 {
			f.Put(match("r", fmt.Sprint(i)))
		}
		if got := batch(); got != nil {
			t.Errorf("the rest of a batch: %v", got)
		}
		if got := batch(); len(got) != 101 || got[0].Kind != admin.FeedLost || got[0].Count != 400 || got[100].Key != "499" {
			t.Errorf("after it was busy: %d, %+v", len(got), got[0])
		}
	})
}

// BenchmarkUnwatched is what a match costs while nobody watches.
func BenchmarkUnwatched(b *testing.B) {
	var f tap.Feed
	b.ReportAllocs()
	for b.Loop() {
		if f.Level() != tap.Nobody {
			f.Put(match("r", "k"))
		}
	}
}

// BenchmarkOneTooMany is what an entry costs that is only counted.
func BenchmarkOneTooMany(b *testing.B) {
	var f tap.Feed
	next, stop := iter.Pull(f.Read(b.Context(), admin.FeedQuery{}))
	defer stop()
	next()
	var g tap.Gate
	k := &subject{key: "k"}
	b.ReportAllocs()
	for b.Loop() {
		f.Admits(&g, admin.FeedMatch, "r", "", k)
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
		f.Put(admin.FeedEntry{Kind: admin.FeedState})
	}
}
