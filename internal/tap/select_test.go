package tap_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"triggerd/internal/admin"
	"triggerd/internal/tap"
)

// counting counts how often an entry is completed.
type counting struct{ n int }

func (c *counting) Detail(e *admin.FeedEntry) {
	c.n++
	e.Command = fmt.Sprint("command ", c.n)
}

// What nobody selects counts against nothing and is not completed, so that a
// narrow filter misses nothing among very much else.
func TestNarrowFilter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var f tap.Feed
		next, _ := open(t, &f, admin.FeedQuery{Key: func(k string) bool { return k == "wanted" }})
		byBit, _ := open(t, &f, admin.FeedQuery{Bit: 2})
		var c counting
		for range 5000 {
			f.AddDetailed(match("r", "other"), &c)
		}
		f.AddDetailed(match("r", "wanted"), &c)
		held := match("r", "held")
		held.Holds = 3
		f.AddDetailed(held, &c)
		if e, _ := next(); e.Key != "wanted" || e.Command != "command 1" || c.n != 2 {
			t.Errorf("got %+v, and %d were completed", e, c.n)
		}
		if e, _ := byBit(); e.Key != "held" {
			t.Errorf("by a condition: %+v", e)
		}
	})
}

// Of what is selected, no more than is kept is completed.
func TestDetailIsLimited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var f tap.Feed
		open(t, &f, admin.FeedQuery{})
		var c counting
		for range 5000 {
			f.AddDetailed(match("r", "k"), &c)
		}
		if c.n != 1000 {
			t.Errorf("%d were completed", c.n)
		}
		time.Sleep(time.Second)
		f.AddDetailed(match("r", "k"), &c)
		if c.n != 1001 {
			t.Errorf("in the next second %d were completed", c.n)
		}
	})
}

// A gate lets through as much as is kept, counts the rest as left out, and stands
// open while somebody looks for something.
func TestGate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var f tap.Feed
		var g tap.Gate
		next, _ := open(t, &f, admin.FeedQuery{})
		passed := 0
		for range 5000 {
			if f.Admits(&g, 7) {
				passed++
			}
		}
		f.Add(match("r", "k"))
		if e, _ := next(); passed != 1000 || e.Kind != admin.FeedLost || e.Count != 4000 {
			t.Errorf("%d passed, and then %+v", passed, e)
		}
		if !f.Admits(&g, 8) {
			t.Error("the next second begins shut")
		}
		_, stop := open(t, &f, admin.FeedQuery{Rule: "r"})
		for range 5000 {
			if !f.Admits(&g, 8) {
				t.Fatal("shut, though somebody looks for something")
			}
		}
		stop()
		for range 1000 {
			f.Admits(&g, 9)
		}
		if f.Admits(&g, 9) {
			t.Error("open, though nobody looks for anything any more")
		}
	})
}

// BenchmarkGate is what an entry costs that is one too many.
func BenchmarkGate(b *testing.B) {
	var f tap.Feed
	var g tap.Gate
	b.ReportAllocs()
	for b.Loop() {
		f.Admits(&g, 7)
	}
}
