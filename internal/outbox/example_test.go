package outbox_test

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"triggerd/actions"
	"triggerd/internal/event"
	"triggerd/internal/outbox"
	"triggerd/internal/store"
)

// told is an action that prints.
type told struct{}

func (told) Do(_ context.Context, f *actions.Firing) (actions.Result, error) {
	fmt.Println(f.ID, string(f.Event.Key))
	return actions.Result{}, nil
}

func Example() {
	st, err := store.OpenInMemory()
	if err != nil {
		panic(err)
	}
	defer st.Close()
	o := outbox.New(outbox.Options{Store: st, Logger: slog.New(slog.DiscardHandler), MaxPending: 1000})
	if err := o.Recover(); err != nil {
		panic(err)
	}
	policy := &outbox.Policy{Timeout: time.Second, Retry: outbox.Retry{MaxAttempts: 3}, Order: "key", Overflow: "block"}
	o.SetActions(map[string]*outbox.Action{"target/shop": {Action: told{}, Policy: policy, Concurrency: 1}}, nil)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	o.Start(ctx, ctx, func(err error) { panic(err) })

	f := &actions.Firing{ID: "x:1/0:low/shop", Rule: "low", Action: "shop", Event: &event.Event{Key: []byte("stock:7")}}
	o.Add(outbox.Planned{Stream: "standalone", Endpoint: "target/shop", Policy: policy, Firing: f})
	o.Submit(outbox.Commit{Stream: "standalone", Position: "x:1/0", Whole: true})

	o.Finish(ctx)
	o.Stop(ctx, false)
	o.Close()
	fmt.Println(o.Stats().Delivered, "delivered")
	// Output:
	// x:1/0:low/shop stock:7
	// 1 delivered
}
