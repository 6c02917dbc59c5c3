package outbox

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"triggerd/internal/store"
)

// What somebody else has delivered is removed from an outbox that does not
// deliver, and nothing else: neither what came later, nor another endpoint's,
// nor after a restart. One that delivers refuses.
func TestTrim(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st, err := store.OpenInMemory()
		if err != nil {
			t.Fatal(err)
		}
		defer st.Close()
		r, other := &receiver{}, &receiver{}
		b := openBox(t, st, 2000, 1, r, other)
		if n, err := b.Trim(t.Context(), "0", 1); n != 0 || !errors.Is(err, ErrDelivering) {
			t.Errorf("while it delivers: %d, %v", n, err)
		}
		b.SetDelivering(false)
		var ids []string
		for i := range 700 { // more than one batch, and than what stays in memory
			ids = append(ids, fmt.Sprint("x", i))
			b.put("0", fmt.Sprint("k", i%7), ids[i], spec(nil))
		}
		b.put("1", "k", "other", spec(nil))
		sleep(time.Minute)

		trim := func(upTo string, want int) {
			t.Helper()
			var last uint64
			for w := range b.Waiting("0", 0) {
				last = w.Number
				if w.Firing.ID.String() == upTo {
					break
				}
			}
			if n, err := b.Trim(t.Context(), "0", last); n != want || err != nil {
				t.Errorf("trim to %s: %d, %v; want %d", upTo, n, err, want)
			}
			ids = ids[want:]
			if got, _ := b.waitingIDs(0); !slices.Equal(got, ids) {
				t.Errorf("%d wait, want %d", len(got), len(ids))
			}
			if got, want := b.Stats().Pending, int64(len(ids))+1; got != want {
				t.Errorf("%d pending, want %d", got, want)
			}
		}
		trim("x449", 450)
		if n, err := b.Trim(t.Context(), "0", 1); n != 0 || err != nil {
			t.Errorf("once more: %d, %v", n, err)
		}
		if _, err := b.Trim(t.Context(), "none", 1); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("an endpoint that is not there: %v", err)
		}
		ids = append(ids, "new")
		b.put("0", "k0", "new", spec(nil))
		sleep(time.Second)
		trim("x499", 50)
		b.end()

		b = openBox(t, st, 2000, 1)
		b.SetDelivering(false)
		b.use(1, r, other)
		trim("x599", 100)
		b.SetDelivering(true)
		sleep(time.Minute)
		got := r.received()
		next := map[int]int{} // by key
		for _, id := range got {
			var i int
			if n, _ := fmt.Sscanf(id, "x%d", &i); n == 1 {
				if i < next[i%7] {
					t.Errorf("%s came after x%d, of the same key", id, next[i%7])
				}
				next[i%7] = i
			}
		}
		slices.Sort(got)
		slices.Sort(ids)
		if !slices.Equal(got, ids) || !slices.Equal(other.received(), []string{"other"}) {
			t.Errorf("received %d firings, want the %d that were left; the other endpoint %v", len(got), len(ids), other.received())
		}
		if s := b.Stats(); s.Pending != 0 {
			t.Errorf("stats %+v", s)
		}

		b.SetDelivering(false) // all of an endpoint's, and then it goes on
		for i := range 5 {
			b.put("0", "k", fmt.Sprint("all", i), spec(nil))
		}
		sleep(time.Second)
		if n, err := b.Trim(t.Context(), "0", 1<<62); n != 5 || err != nil {
			t.Errorf("all: %d, %v", n, err)
		}
		b.SetDelivering(true)
		b.put("0", "k", "after", spec(nil))
		sleep(time.Second)
		if last := r.received(); last[len(last)-1] != "after" || b.Stats().Pending != 0 {
			t.Errorf("received last %s, %+v", last[len(last)-1], b.Stats())
		}
		b.end()
	})
}
