package outbox

import (
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"triggerd/actions"
	"triggerd/internal/event"
	"triggerd/internal/firing"
	"triggerd/internal/store"
)

// enqueueJobs leaves jobs in a store as an earlier process would, one of them,
// if any, with a payload that cannot be read.
func enqueueJobs(t *testing.T, st *store.Store, n, keys, damaged int) (ids []string) {
	t.Helper()
	b := st.NewBatch()
	for i := range n {
		f := &actions.Firing{ID: firing.ID(fmt.Sprint(i)), Rule: "r0", Action: "a", Event: &event.Event{Key: fmt.Append(nil, i%keys)}}
		j := store.Job{Endpoint: "0", Lane: laneOf(f, &Policy{Order: firing.OrderKey}), ID: f.ID.String(), Born: time.Now(), Payload: firing.AppendBinary(nil, f)}
		if i == damaged {
			j.Payload = j.Payload[:len(j.Payload)-1]
		} else {
			ids = append(ids, f.ID.String())
		}
		b.Enqueue(j)
	}
	if _, err := b.Commit(); err != nil {
		t.Fatal(err)
	}
	return ids
}

// However many keys the jobs have that are read ahead, and with how little
// memory, all are delivered, and one that cannot be read stops none.
func TestReadAhead(t *testing.T) {
	tight := defaultBounds
	tight.cached = 3 << 10
	for name, test := range map[string]struct {
		keys, damaged int
		bounds        bounds
		rate          int
	}{
		"a key each":              {1000, -1, defaultBounds, 0},
		"a few keys":              {3, -1, defaultBounds, 0},
		"one key":                 {1, -1, defaultBounds, 0},
		"first cannot be read":    {1000, 0, defaultBounds, 0},
		"cannot be read":          {1000, 500, defaultBounds, 0},
		"cannot be read, one key": {1, 500, defaultBounds, 0},
		"hardly any memory":       {100, 500, tight, 0},
		"limited rate":            {100, -1, defaultBounds, 10},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				st, err := store.OpenInMemory()
				if err != nil {
					t.Fatal(err)
				}
				defer st.Close()
				want := enqueueJobs(t, st, 1000, test.keys, test.damaged)
				r := &receiver{}
				b := openBounded(t, st, test.bounds, 10_000, 4)
				b.SetActions(map[string]*Action{
					"0": {Action: r, Concurrency: 4, Policy: spec(nil), Rate: Rate{Max: test.rate, Per: time.Second}},
				}, nil)
				b.settleAll(time.Hour)
				got := r.received()
				slices.SortFunc(got, func(a, b string) int { return slices.Index(want, a) - slices.Index(want, b) })
				if !slices.Equal(got, want) {
					t.Errorf("%d of %d delivered", len(got), len(want))
				}
				b.mu.Lock()
				defer b.mu.Unlock()
				if ep := b.endpoints["0"]; b.cached.Load() != 0 || ep.loaded != 0 || ep.reading || b.workers.Load() != 0 {
					t.Errorf("at the end %d bytes, %d firings in memory, reading %v, %d workers", b.cached.Load(), ep.loaded, ep.reading, b.workers.Load())
				}
			})
		})
	}
}
