package actions

import (
	"context"
	"io"
	"log/slog"
	"time"

	"triggerd/internal/event"
	"triggerd/internal/secret"
)

// masking is an action whose errors have secrets masked, whatever they quote.
// Excerpts are masked by the kinds: before they are cut. What an action may be
// beside an Action is passed on by a method of its own.
type masking struct {
	Action
	secrets *secret.Masker
}

func (m masking) Do(ctx context.Context, f *Firing) (Result, error) {
	res, err := m.Action.Do(ctx, f)
	if err != nil {
		err = m.secrets.MaskError(err)
	}
	return res, err
}

// newMasking returns a with its errors masked: a Batcher if a is one.
func newMasking(a Action, secrets *secret.Masker) Action {
	m := masking{a, secrets}
	if b, ok := a.(Batcher); ok {
		return maskingBatches{m, b}
	}
	return m
}

// maskingBatches is masking of a Batcher.
type maskingBatches struct {
	masking
	batcher Batcher
}

func (m maskingBatches) Batch(ctx context.Context, fs []*Firing) []error {
	errs := m.batcher.Batch(ctx, fs)
	for i, err := range errs {
		if err != nil {
			errs[i] = m.secrets.MaskError(err)
		}
	}
	return errs
}

// Close closes the action, if it is one to be closed.
func (m masking) Close() error {
	if c, ok := m.Action.(io.Closer); ok {
		return c.Close()
	}
	return nil
}

// Grace is the action's; 0 if it has none.
func (m masking) Grace() time.Duration {
	if g, ok := m.Action.(interface{ Grace() time.Duration }); ok {
		return g.Grace()
	}
	return 0
}

// Destination is the action's.
func (m masking) Destination() string { return Destination(m.Action) }

// Reads is the action's.
func (m masking) Reads() event.Parts { return Reads(m.Action) }

// Elements are the action's.
func (m masking) Elements() []string { return Elements(m.Action) }

// Params are the action's.
func (m masking) Params() []string { return Params(m.Action) }

// KeyPieces are the action's.
func (m masking) KeyPieces() [][]string { return KeyPieces(m.Action) }

// OtherKeys are the action's.
func (m masking) OtherKeys(f *Firing) []string { return OtherKeys(m.Action, f) }

// Warnings are the action's.
func (m masking) Warnings() []*FieldError { return Warnings(m.Action) }

// Rate is the action's.
func (m masking) Rate() (limit int, per time.Duration) { return Rate(m.Action) }

// Tracks is the action's.
func (m masking) Tracks() bool { return Tracks(m.Action) }

// LatestOnly is the action's.
func (m masking) LatestOnly() bool { return LatestOnly(m.Action) }

// Render is the action's, with the secrets masked once more.
func (m masking) Render(ctx context.Context, f *Firing) (Preview, error) {
	p, err := Render(ctx, m.Action, f)
	if err != nil {
		return Preview{}, m.secrets.MaskError(err)
	}
	return p.masked(m.secrets), nil
}

// LogValue is the action's.
func (m masking) LogValue() slog.Value { return slog.AnyValue(m.Action) }
