package outbox

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"triggerd/actions"
	"triggerd/internal/event"
	"triggerd/internal/firing"
)

// Without a store lanes keep their order over failures, keys that fail do not
// hold up others, and each firing is settled once.
func TestDeliverer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		ends := map[Outcome]int{}
		d := NewDeliverer(DelivererOptions{Logger: slog.New(slog.NewTextHandler(&lockedBuffer{}, nil)), Settle: func(s Settlement) {
			mu.Lock()
			defer mu.Unlock()
			ends[s.Outcome]++
			if s.Outcome == GivenUp && (s.Reason != "attempts" || s.Attempts != 4 || !strings.HasPrefix(s.ID.String(), "bad")) {
				t.Errorf("settled %+v", s)
			}
		}})
		r := &receiver{do: func(f *actions.Firing) error {
			if bad(f) || f.Attempt == 1 && f.ID == "good0" {
				return err500
			}
			return nil
		}}
		p := spec(func(p *Policy) { p.Retry.MaxAge = 0 })
		a := &Action{Action: r, Policy: p, Concurrency: 4}
		take := func(key, id string) {
			d.Deliver(Planned{Endpoint: "0", Action: a, Policy: p, Firing: &actions.Firing{ID: firing.ID(id), Rule: "r", Action: "a", Event: &event.Event{Key: []byte(key)}}})
		}
		for i := range 5 {
			take(fmt.Sprint("bad", i), fmt.Sprint("bad", i))
		}
		var want []string
		for i := range 50 {
			want = append(want, fmt.Sprint("good", i))
			take("good", want[i])
		}
		sleep(time.Minute)
		if got := r.received(); !slices.Equal(got, want) {
			t.Errorf("received %v, want %v", got, want)
		}
		sleep(50 * time.Hour)
		mu.Lock()
		if ends[Delivered] != 50 || ends[GivenUp] != 5 {
			t.Errorf("settled %v", ends)
		}
		mu.Unlock()
		r.mu.Lock()
		r.takes = time.Hour
		r.mu.Unlock()
		take("last", "last")
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		if left := d.Stop(ctx); left != 1 {
			t.Errorf("%d left", left)
		}
	})
}
