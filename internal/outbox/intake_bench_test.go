package outbox

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"testing"
	"time"

	"triggerd/actions"
	"triggerd/internal/event"
	"triggerd/internal/firing"
	"triggerd/internal/store"
)

// BenchmarkAddBesideBacklog is how long a stream waits for the intake, with a
// million firings on disk, half of them of an endpoint that is dead, the others
// of one that delivers meanwhile.
func BenchmarkAddBesideBacklog(b *testing.B) {
	const n = 1_000_000
	st, err := store.Open(b.TempDir())
	if err != nil {
		b.Fatal(err)
	}
	defer st.Close()
	enqueueMany(b, st, n)
	o := New(Options{Store: st, Logger: slog.New(slog.DiscardHandler), MaxPending: 4 * n})
	if err := o.Recover(); err != nil {
		b.Fatal(err)
	}
	p := spec(nil)
	dead := actionFunc(func(context.Context, *actions.Firing) error { return actions.Unreached(errDown) })
	good := actionFunc(func(context.Context, *actions.Firing) error { return nil })
	o.SetActions(map[string]*Action{"0": {Action: dead, Concurrency: 16, Policy: p}, "1": {Action: good, Concurrency: 16, Policy: p}}, nil)
	ctx, cancel := context.WithCancel(b.Context())
	defer cancel()
	o.Start(ctx, ctx, func(err error) { b.Error(err) })
	var took []time.Duration
	i := 0
	for b.Loop() {
		f := &actions.Firing{ID: firing.ID(fmt.Sprint("n", i)), Rule: "r", Action: "a", Event: &event.Event{Key: fmt.Append(nil, i)}}
		began := time.Now()
		o.Add(Planned{Stream: "s", Endpoint: fmt.Sprint(i % 2), Policy: p, Firing: f})
		o.Submit(Commit{Stream: "s", Position: "p", Whole: true})
		took = append(took, time.Since(began))
		if i++; i%10 == 0 {
			time.Sleep(100 * time.Microsecond) // a stream is not all there is
		}
	}
	b.StopTimer()
	cancel()
	o.Close()
	slices.Sort(took)
	for _, at := range []struct {
		part float64
		name string
	}{{.5, "p50-ns"}, {.99, "p99-ns"}, {.999, "p99.9-ns"}, {1, "max-ns"}} {
		b.ReportMetric(float64(took[min(int(at.part*float64(len(took))), len(took)-1)]), at.name)
	}
}

// enqueueMany leaves firings in a store, of two endpoints and 100,000 keys.
func enqueueMany(b *testing.B, st *store.Store, n int) {
	b.Helper()
	batch := st.NewBatch()
	for i := range n {
		f := &actions.Firing{ID: firing.ID(fmt.Sprint(i)), Rule: "r", Action: "a", Event: &event.Event{Key: fmt.Append(nil, i%100_000)}}
		batch.Enqueue(store.Job{Endpoint: fmt.Sprint(i / 1000 % 2), Lane: laneOf(f, &Policy{Order: firing.OrderKey}), ID: f.ID.String(), Born: time.Now(), Payload: firing.AppendBinary(nil, f)})
		if i%10_000 == 9_999 {
			if _, err := batch.Commit(); err != nil {
				b.Fatal(err)
			}
		}
	}
}
