package outbox

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"triggerd/actions"
	"triggerd/internal/event"
	"triggerd/internal/firing"
)

// However the firings of many endpoints come and go, all together are no more
// than max, and each finds room for its share.
func TestShares(t *testing.T) {
	for seed := range uint64(200) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		n := 1 + rnd.IntN(12)
		s := shares{max: n + rnd.IntN(2000)}
		s.divide(n)
		pending, total := make([]int, n), 0
		for range 5000 {
			i := rnd.IntN(1 + rnd.IntN(n)) // some more often than others
			change := 1
			if rnd.IntN(3) == 0 {
				change = -1
			}
			full := pending[i] >= s.limit(pending[i])
			switch {
			case change < 0 && pending[i] == 0, change > 0 && full && pending[i] >= s.each:
				continue
			case change > 0 && full:
				t.Fatalf("seed %d: %d of %d, no room for one that has %d of its share of %d", seed, total, s.max, pending[i], s.each)
			}
			s.count(pending[i], change)
			pending[i] += change
			total += change
			if total > s.max || n > 1 && pending[i] > s.max/2+1 {
				t.Fatalf("seed %d: %d of %d, one has %d", seed, total, s.max, pending[i])
			}
		}
		beyond := 0
		for _, p := range pending {
			beyond += max(p-s.each, 0)
		}
		if beyond != s.beyond {
			t.Errorf("seed %d: %d beyond the shares, counted %d", seed, beyond, s.beyond)
		}
	}
}

// give takes a firing in as the reader does.
func (b *box) give(endpoint, overflow, key, id string) {
	b.take(endpoint, over(firing.Overflow(overflow)), &actions.Firing{ID: firing.ID(id), Rule: "r" + endpoint, Action: "a", Event: &event.Event{Key: []byte(key)}})
	b.Submit(Commit{Stream: "s", Whole: true})
}

// Endpoints that are dead, and have all that they may have, take no room from
// another, and no time from the reader, whatever their rules wish.
func TestFullEndpoints(t *testing.T) {
	for _, overflow := range []string{"block", "drop_new", "drop_old"} {
		for _, paused := range []bool{true, false} {
			synctest.Test(t, func(t *testing.T) {
				const n, most = 4, 400
				down := func(*actions.Firing) error { return actions.Unreached(errDown) }
				good := &receiver{takes: time.Millisecond}
				b := newBox(t, most, 2, &receiver{do: down}, &receiver{do: down}, &receiver{do: down}, good)
				for i := range n - 1 {
					b.put(fmt.Sprint(i), "k", "first", spec(nil))
					if paused {
						b.SetPaused(fmt.Sprint(i), true)
					}
				}
				sleep(time.Second)
				began := time.Now()
				for i := range 1000 {
					for dead := range n - 1 {
						b.give(fmt.Sprint(dead), overflow, fmt.Sprint("k", i%10), fmt.Sprint(i))
					}
					b.give("3", overflow, fmt.Sprint("k", i%10), fmt.Sprintf("good%d", i))
					if i%10 == 9 {
						if took := time.Since(began); took != 0 {
							t.Fatalf("%s: the reader waited %v", overflow, took)
						}
						sleep(time.Second)
						began = time.Now()
					}
				}
				if got := len(good.received()); got != 1000 || b.in.droppedBy["r3"] != 0 {
					t.Errorf("%s: %d of 1000 arrived at the good endpoint, %d dropped", overflow, got, b.in.droppedBy["r3"])
				}
				b.mu.Lock()
				defer b.mu.Unlock()
				for i := range n - 1 {
					if p := b.endpoints[fmt.Sprint(i)].account.pending; p < most/(4*n) || p > most/2 {
						t.Errorf("%s: %d wait for dead endpoint %d", overflow, p, i)
					}
				}
				if b.in.pending > most || b.in.dropped == 0 {
					t.Errorf("%s: %d pending, %d dropped", overflow, b.in.pending, b.in.dropped)
				}
			})
		}
	}
}

// A burst that is larger than an endpoint's room, at one that delivers, is not
// dropped for ten seconds if its rule says block, and arrives in order.
func TestBurst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &receiver{takes: 100 * time.Millisecond}
		b := newBox(t, 100, 1, r, &receiver{})
		var want []string
		for i := range 500 {
			want = append(want, fmt.Sprint(i))
			b.give("0", "block", "k", fmt.Sprint(i))
		}
		if n := b.total().Dropped; n != 0 {
			t.Errorf("%d dropped", n)
		}
		sleep(maxBlock)
		for i := range 100 {
			b.give("0", "block", "k", fmt.Sprint("late", i))
		}
		if n := b.total().Dropped; n != 100 {
			t.Errorf("%d of 100 dropped that came after ten seconds", n)
		}
		sleep(time.Hour)
		if got := r.received(); strings.Join(got, " ") != strings.Join(want, " ") {
			t.Errorf("received %v", got)
		}
		b.give("0", "block", "k", "again")
		sleep(time.Second)
		if got := r.received(); got[len(got)-1] != "again" {
			t.Error("dropped though there was room again")
		}
	})
}

// A reload that brings endpoints, or takes them, divides the room anew.
func TestSharesAfterReload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBox(t, 100, 1, &receiver{})
		b.SetPaused("0", true)
		for i := range 150 {
			b.give("0", "drop_new", "k", fmt.Sprint(i))
		}
		if n := b.total(); n.Pending != 100 || n.Dropped != 50 {
			t.Errorf("one alone: %+v", n)
		}
		r := &receiver{}
		b.usePolicy(spec(func(a *Policy) { a.Timeout = time.Minute }), 1, &receiver{}, r)
		b.SetPaused("1", true)
		for i := range 50 {
			b.give("1", "drop_new", "k", fmt.Sprint(i))
		}
		if p := b.endpoints["1"].account.pending; p < 12 || p > 25 {
			t.Errorf("%d wait for the new endpoint, beside one that has all", p)
		}
		b.SetPaused("0", false)
		sleep(time.Minute)
		for i := range 50 {
			b.give("1", "drop_new", "k", fmt.Sprint(i))
		}
		if p := b.endpoints["1"].account.pending; p < 49 || p > 51 {
			t.Errorf("%d wait for the new endpoint, after the other has delivered", p)
		}
	})
}
