package outbox

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"triggerd/actions"
	"triggerd/internal/store"
)

// Firings are cancelled at random while others are delivered, fail, are tried
// again and come, of which little fits into memory. Each is delivered or
// cancelled, once, what a cancel says is so, and each key's come in order.
func TestCancelModel(t *testing.T) {
	for seed := range uint64(20) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				rnd := rand.New(rand.NewPCG(seed, 1))
				st, err := store.OpenInMemory()
				if err != nil {
					t.Fatal(err)
				}
				defer st.Close()
				r := &receiver{takes: 10 * time.Millisecond}
				r.do = func(f *actions.Firing) error {
					if n, _ := strconv.Atoi(f.ID.String()); f.Attempt == 1 && n%3 == 0 {
						return errDown
					}
					return nil
				}
				lim := defaultBounds
				lim.window, lim.lane, lim.chunk, lim.ahead = 40, 5, 20, 8
				b := openBounded(t, st, lim, 10_000, 3, r)
				order := spec(func(p *Policy) { p.Retry.Backoff = 50 * time.Millisecond })
				var cancelled Cancelled
				total, keyOf := 0, map[string]string{}
				for range 30 {
					for range rnd.IntN(20) {
						keyOf[strconv.Itoa(total)] = fmt.Sprint("k", rnd.IntN(6))
						b.put("0", keyOf[strconv.Itoa(total)], strconv.Itoa(total), order)
						total++
					}
					time.Sleep(time.Duration(rnd.IntN(4)) * 10 * time.Millisecond) // attempts end, and reads begin, at the same moment
					all, err := b.SelectPending(t.Context(), Query{})
					if err != nil {
						t.Fatal(err)
					}
					chosen := slices.DeleteFunc(all, func(Candidate) bool { return rnd.IntN(8) > 0 })
					before := b.numbersDead()
					done, err := b.Cancel(t.Context(), chosen, "a test", time.Minute)
					if err != nil || len(done.InFlight) > 0 || done.Count+len(done.Delivered)+len(done.Gone) != len(chosen) {
						t.Fatalf("%d chosen: %+v, %v", len(chosen), done, err)
					}
					if now := b.numbersDead(); now-before != done.Count {
						t.Fatalf("%d dead letters more, and %+v", now-before, done)
					}
					cancelled.Count += done.Count
				}
				sleep(time.Minute)
				dead := map[string]bool{}
				for d, err := range st.Dead(0) {
					if err != nil || d.Reason != reasonCancelled || !strings.Contains(d.Error, "cancelled by a test") || dead[d.ID] {
						t.Fatalf("%+v, %v", d, err)
					}
					dead[d.ID] = true
				}
				last := map[string]int{}
				got := r.received()
				for _, id := range got {
					n, _ := strconv.Atoi(id)
					if dead[id] {
						t.Errorf("%s is delivered and cancelled", id)
					}
					key := keyOf[id]
					if at, ok := last[key]; ok && n <= at {
						t.Errorf("%s of %s came after %d", id, key, at)
					}
					last[key] = n
				}
				if len(got)+len(dead) != total || len(dead) != cancelled.Count || b.Stats().Pending != 0 {
					t.Errorf("%d delivered, %d dead, %d cancelled, %d pending, of %d", len(got), len(dead), cancelled.Count, b.Stats().Pending, total)
				}
				if ep := b.endpoints["0"]; ep.indexed != 0 || ep.byAge.len() != 0 || len(ep.lanes) != 0 || ep.cancelled != nil || ep.reads != 0 {
					t.Errorf("left: %d indexed, %d by age, %d lanes, %v, %d reads", ep.indexed, ep.byAge.len(), len(ep.lanes), ep.cancelled, ep.reads)
				}
				for entry := range st.Scan(store.Cancels, nil, nil) {
					t.Errorf("job %x is still said to be cancelled", entry.Key)
				}
			})
		})
	}
}

func (b *box) numbersDead() (n int) {
	for range b.store.Dead(0) {
		n++
	}
	return n
}

// A cancel does not wait for ever for an attempt that goes on: it says that it is
// in flight, and it ends with its attempt.
func TestCancelInFlight(t *testing.T) {
	for name, fails := range map[string]bool{"fails": true, "succeeds": false} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := &receiver{takes: time.Minute, do: func(*actions.Firing) error {
					if fails {
						return errDown
					}
					return nil
				}}
				b := newBox(t, 100, 1, r)
				b.put("0", "k", "1", spec(func(p *Policy) { p.Timeout = time.Hour }))
				sleep(time.Second)
				list, err := b.SelectPending(t.Context(), Query{})
				if err != nil || len(list) != 1 {
					t.Fatal(list, err)
				}
				done, err := b.Cancel(t.Context(), list, "a test", time.Second)
				if err != nil || done.Count != 0 || len(done.InFlight) != 1 {
					t.Fatalf("%+v, %v", done, err)
				}
				sleep(2 * time.Minute)
				if s := b.Stats(); s.Pending != 0 || (s.Delivered == 1) == fails || (b.numbersDead() == 1) != fails {
					t.Errorf("%+v, %d dead", s, b.numbersDead())
				}
			})
		})
	}
}
