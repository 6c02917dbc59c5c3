package outbox

import (
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"triggerd/internal/store"
)

// waitingIDs are the IDs of what waits for endpoint "0".
func (b *box) waitingIDs(after uint64) (ids []string, last uint64) {
	b.t.Helper()
	for w, err := range b.Waiting("0", after) {
		if err != nil {
			b.t.Fatal(err)
		}
		if w.Number <= last {
			b.t.Errorf("number %d after %d", w.Number, last)
		}
		ids, last = append(ids, w.Firing.ID.String()), w.Number
	}
	return ids, last
}

// While it does not deliver, an outbox commits what comes and attempts nothing,
// over restarts; once it delivers, what waits goes out in order, of all endpoints
// but those that are paused.
func TestStandby(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st, err := store.OpenInMemory()
		if err != nil {
			t.Fatal(err)
		}
		defer st.Close()
		first := &receiver{}
		b := openBox(t, st, 1000, 1, first)
		b.put("0", "k", "before", spec(nil))
		sleep(time.Second)
		b.SetDelivering(false)
		var want []string
		fire := func(n int) {
			for range n {
				want = append(want, fmt.Sprint("x", len(want)))
				b.put("0", "k", want[len(want)-1], spec(nil))
			}
		}
		fire(20)
		sleep(time.Minute)
		if got := first.received(); !slices.Equal(got, []string{"before"}) {
			t.Errorf("received %v", got)
		}
		if got, _ := b.waitingIDs(0); !slices.Equal(got, want) {
			t.Errorf("%v wait, want %v", got, want)
		}
		b.end()

		r, held := &receiver{}, &receiver{}
		b = openBox(t, st, 1000, 1) // its endpoint has no action yet, and nothing is attempted before it delivers
		b.SetDelivering(false)
		b.use(1, r, held)
		b.SetPaused("1", true)
		b.put("1", "k", "held", spec(nil))
		fire(10)
		sleep(time.Hour / 2)
		if got := r.received(); len(got) > 0 {
			t.Errorf("received %v while it does not deliver", got)
		}
		if got, _ := b.waitingIDs(0); !slices.Equal(got, want) {
			t.Errorf("%v wait after a restart, want %v", got, want)
		}
		var after uint64
		for w := range b.Waiting("0", 0) {
			if after = w.Number; w.Firing.ID.String() == "x4" {
				break
			}
		}
		if got, _ := b.waitingIDs(after); !slices.Equal(got, want[5:]) {
			t.Errorf("%v wait after the fifth", got)
		}
		if left := b.Stop(t.Context(), true); left != len(want)+1 { // what is not delivered is not waited for
			t.Errorf("%d left", left)
		}
		b.end()

		b = openBox(t, st, 1000, 1)
		b.SetDelivering(false)
		b.SetPaused("1", true)
		b.use(1, r, held)
		synctest.Wait()
		b.SetDelivering(true)
		sleep(time.Minute)
		if got := r.received(); !slices.Equal(got, want) {
			t.Errorf("received %v, want %v", got, want)
		}
		if got := held.received(); len(got) > 0 {
			t.Errorf("received %v though it is paused", got)
		}
		if got, _ := b.waitingIDs(0); len(got) > 0 {
			t.Errorf("%v wait at the end", got)
		}
		b.end()
	})
}
