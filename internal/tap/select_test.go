package tap_test

import (
	"testing"
	"testing/synctest"

	"triggerd/internal/admin"
	"triggerd/internal/tap"
)

// subject is what an entry is about. It counts how often it is asked.
type subject struct {
	key   string
	holds uint64
	asked int
}

func (s *subject) KeyText() []byte { s.asked++; return []byte(s.key) }
func (s *subject) Holds() uint64   { s.asked++; return s.holds }

// What nobody selects counts against nothing, so that a narrow filter misses nothing
// among very much else, whatever those without a filter are shown.
func TestNarrowFilter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var f tap.Feed
		byKey, _ := open(t, &f, admin.FeedQuery{Key: func(k []byte) bool { return string(k) == "wanted" }})
		byBit, _ := open(t, &f, admin.FeedQuery{Bit: 2})
		other := &subject{key: "other"}
		if n := put(&f, 5000, admin.FeedMatch, "r", other); n != 0 || other.asked != 10_000 {
			t.Errorf("%d were admitted that nobody wants; it was asked %d times", n, other.asked)
		}
		if put(&f, 1, admin.FeedMatch, "r", &subject{key: "wanted"}) != 1 || put(&f, 1, admin.FeedMatch, "r", &subject{key: "held", holds: 3}) != 1 {
			t.Error("what is wanted is not admitted")
		}
		if e, _ := byKey(); e.Key != "wanted" {
			t.Errorf("by key: %+v", e)
		}
		if e, _ := byBit(); e.Key != "held" {
			t.Errorf("by a condition: %+v", e)
		}
		_, stop := open(t, &f, admin.FeedQuery{})
		if n := put(&f, 5000, admin.FeedMatch, "r", other); n != 1010 {
			t.Errorf("without a filter %d were admitted", n)
		}
		if put(&f, 1, admin.FeedMatch, "r", &subject{key: "wanted"}) != 1 {
			t.Error("others without a filter have taken the room of what is wanted")
		}
		stop()
		if n := put(&f, 5000, admin.FeedMatch, "r", &subject{key: "wanted"}); n != 998 {
			t.Errorf("%d more were admitted of what is wanted", n)
		}
	})
}

// Without a filter nothing is asked, and an event is nothing for who does not want
// events.
func TestNothingIsAsked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var f tap.Feed
		open(t, &f, admin.FeedQuery{})
		open(t, &f, admin.FeedQuery{All: true, Rule: "r"})
		k := &subject{key: "k"}
		if n := put(&f, 5, admin.FeedEvent, "", k); n != 0 || k.asked != 0 {
			t.Errorf("%d events were admitted; it was asked %d times", n, k.asked)
		}
		if n := put(&f, 5, admin.FeedMatch, "other", k); n != 5 || k.asked != 0 {
			t.Errorf("%d matches were admitted; it was asked %d times", n, k.asked)
		}
	})
}

// A firing is kept if its match is, and an attempt if its firing is, though no more
// is kept of them otherwise.
func TestFollows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var f tap.Feed
		next, _ := open(t, &f, admin.FeedQuery{})
		k := &subject{key: "k"}
		put(&f, 5000, admin.FeedMatch, "r", k)
		if !f.Follow(true) || f.Follow(false) {
			t.Error("a firing does not follow its match")
		}
		f.Put(admin.FeedEntry{Kind: admin.FeedFiring, ID: "a"})
		if !f.FollowFiring("a") || f.FollowFiring("b") {
			t.Error("an attempt does not follow its firing")
		}
		if e, _ := next(); e.Kind != admin.FeedLost || e.Count != 3991 {
			t.Errorf("left out: %+v", e)
		}
		for range 5000 { // the ring is full of others
			f.Put(admin.FeedEntry{Kind: admin.FeedState})
		}
		if f.FollowFiring("a") {
			t.Error("a firing is remembered that is no more kept")
		}
	})
}

// BenchmarkFilter is what an entry costs that a filter does not want.
func BenchmarkFilter(b *testing.B) {
	var f tap.Feed
	for range f.Read(b.Context(), admin.FeedQuery{Rule: "other"}) {
		var g tap.Gate
		k := &subject{key: "k"}
		b.ReportAllocs()
		for b.Loop() {
			f.Admits(&g, admin.FeedMatch, "r", "", k)
		}
		return
	}
}
