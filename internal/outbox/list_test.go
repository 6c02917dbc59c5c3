package outbox

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"triggerd/actions"
	"triggerd/internal/store"
)

// Dead letters that are retried between new firings are all delivered, once
// each, in the order that they were given up in.
func TestRequeueAmongNewFirings(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		down := true
		r := &receiver{}
		r.do = func(f *actions.Firing) error {
			if down && f.ID[0] == 'd' {
				return actions.Permanent(errors.New("no"))
			}
			return nil
		}
		b := newBox(t, 10_000, 4, r)
		var want []string
		for i := range 300 {
			id := fmt.Sprintf("d%03d", i)
			b.put("0", "key", id, spec(nil))
			want = append(want, id)
		}
		sleep(time.Minute)
		down = false
		for i := range 50 {
			b.put("0", fmt.Sprint(i), fmt.Sprint("n", i), spec(nil))
		}
		numbers, err := b.SelectDead(t.Context(), Query{}, true)
		if err != nil {
			t.Fatal(err)
		}
		n, err := b.RetryDead(context.Background(), numbers...)
		if n != 300 || err != nil {
			t.Errorf("retried %d, %v", n, err)
		}
		for i := range 50 {
			b.put("0", fmt.Sprint(i), fmt.Sprint("m", i), spec(nil))
		}
		sleep(time.Minute)
		var got []string
		for _, id := range r.received() {
			if id[0] == 'd' {
				got = append(got, id)
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("received %q", got)
		}
		if all := len(r.received()); all != 400 {
			t.Errorf("received %d, want 400", all)
		}
		if list := b.Endpoints(); list[0].Pending != 0 || list[0].Delivered != 400 || list[0].GivenUp != 300 {
			t.Errorf("status %+v", list)
		}
		if n, err := b.RetryDead(context.Background(), 1); n != 0 || !errors.Is(err, store.ErrNotFound) {
			t.Errorf("a letter that is gone: %d, %v", n, err)
		}
	})
}

// Pages of what waits leave nothing out and tell nothing twice, whichever
// action has the older ones.
func TestPendingPages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBox(t, 10_000, 1, &receiver{}, &receiver{}, &receiver{})
		for i := range 3 {
			b.SetPaused(fmt.Sprint(i), true)
		}
		for i := range 150 {
			b.put([]string{"2", "0", "2", "1"}[i/40], "k", fmt.Sprintf("x/%d:r%d/a", i, i%3), spec(nil))
		}
		sleep(time.Second)
		for _, q := range []Query{{Limit: 7}, {Limit: 100}, {Limit: 150}, {Limit: 7, Rule: "r1"}, {Limit: 3, Action: "2"}} {
			var got []string
			pages := 0
			for q.Before = 0; ; {
				list, next, err := b.Pending(t.Context(), q)
				if err != nil {
					t.Fatal(err)
				}
				for _, d := range list {
					got = append(got, d.ID)
				}
				if pages++; next == 0 || pages > 100 {
					break
				}
				q.Before = next
			}
			var want []string
			for i := range 150 {
				if q.Rule != "" && i%3 != 1 || q.Action != "" && (i/40)%2 == 1 {
					continue
				}
				want = append(want, fmt.Sprintf("x/%d:r%d/a", i, i%3))
			}
			if !slices.Equal(got, want) {
				t.Errorf("%+v: %d firings in %d pages, want %d: %q", q, len(got), pages, len(want), got)
			}
		}
		for i := range 3 {
			b.SetPaused(fmt.Sprint(i), false)
		}
		sleep(time.Minute)
		if s := b.Endpoints(); s[0].Pending+s[1].Pending+s[2].Pending != 0 {
			t.Errorf("after the pause: %+v", s)
		}
	})
}

// An order that the keeper has carried out counts, also if the keeper has ended
// since, or nobody waits for it any more.
func TestOrderThatIsCarriedOut(t *testing.T) {
	b := newBox(t, 10, 1)
	b.end()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for range 100 {
		r := &keeperOrder{done: make(chan int, 1)}
		r.done <- 3
		if n, err := b.awaitOrder(ctx, r); n != 3 || err != nil {
			t.Fatalf("%d, %v", n, err)
		}
	}
	if n, err := b.RetryDead(t.Context(), 1); n != 0 || err != ErrNotRunning {
		t.Errorf("once it has ended: %d, %v", n, err)
	}
}

// whenAsked is a context that does something when it is first asked whether it is
// done.
type whenAsked struct {
	context.Context
	do func()
}

func (c *whenAsked) Err() error {
	if do := c.do; do != nil {
		c.do = nil
		do()
	}
	return c.Context.Err()
}

// A list is not empty as long as something waits, though all that would be on its
// first page is delivered while it is made.
func TestPendingWhileDelivered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var up atomic.Bool
		r := &receiver{}
		r.do = func(f *actions.Firing) error {
			if up.Load() && f.ID < "d120" {
				return nil
			}
			return errors.New("no")
		}
		b := newBox(t, 10_000, 4, r)
		for i := range 150 {
			b.put("0", fmt.Sprint(i), fmt.Sprintf("d%03d", i), spec(func(p *Policy) { p.Retry.MaxAttempts, p.Retry.MaxAge = 1000, 24*time.Hour }))
		}
		sleep(time.Second)
		list, next, err := b.Pending(&whenAsked{t.Context(), func() {
			up.Store(true)
			sleep(time.Hour)
		}}, Query{})
		if len(list) != 30 || list[0].ID != "d120" || next != 0 || err != nil {
			t.Errorf("%d wait, next %d, %v", len(list), next, err)
		}
		b.cancel()
	})
}
