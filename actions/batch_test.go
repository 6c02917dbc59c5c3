package actions_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"triggerd/actions"
	"triggerd/actions/actionstest"
	"triggerd/internal/secret"
)

// batcher delivers all but firings without a key, of which it tells the secret.
type batcher struct{}

func (batcher) Do(ctx context.Context, f *actions.Firing) (actions.Result, error) {
	if err := ctx.Err(); err != nil {
		return actions.Result{}, err
	}
	if f.Event.Key == nil {
		return actions.Result{}, actions.Permanent(errors.New("no key for " + actionstest.Secret))
	}
	return actions.Result{}, nil
}

func (b batcher) Batch(ctx context.Context, fs []*actions.Firing) []error {
	errs := make([]error, len(fs))
	for i, f := range fs {
		_, errs[i] = b.Do(ctx, f)
	}
	return errs
}

// What masks an action's errors is a Batcher exactly if the action is, and masks
// those of batches too.
func TestMaskedBatches(t *testing.T) {
	m := secret.New(actionstest.Secret)
	actionstest.Run(t, func(*testing.T) actions.Action { return actions.Masking(batcher{}, m) })
	b, ok := actions.Masking(batcher{}, m).(actions.Batcher)
	if !ok {
		t.Fatal("a Batcher that is masked is none")
	}
	f := actionstest.Firing()
	f.Event.Key = nil
	errs := b.Batch(t.Context(), []*actions.Firing{actionstest.Firing(), f})
	if errs[0] != nil || !actions.IsPermanent(errs[1]) || strings.Contains(errs[1].Error(), actionstest.Secret) {
		t.Errorf("Batch returned %v", errs)
	}
	if _, ok := actions.Masking(struct{ actions.Action }{batcher{}}, m).(actions.Batcher); ok {
		t.Error("an action that is no Batcher is one once it is masked")
	}
}
