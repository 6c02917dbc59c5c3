package actions

import (
	"context"
	"io"
	"log/slog"
	"net/url"
	"strings"
	"time"

	"triggerd/internal/event"
	"triggerd/internal/secret"
)

// secrets are an action's own: what is written in its fields, and looks like
// one by the name of the field. What came from the environment or from files
// is known by its value (Options.Secrets).
type secrets []string

// add adds values.
func (s secrets) add(values ...string) secrets { return append(s, values...) }

// sensitive reports whether a header or variable of this name carries a
// credential, going by what such names are called.
func sensitive(name string) bool {
	name = strings.ToLower(name)
	for _, word := range []string{"auth", "cookie", "token", "secret", "key", "passw", "signature", "credential"} {
		if strings.Contains(name, word) {
			return true
		}
	}
	return false
}

// ofHeader adds the value of a header that carries a credential, and the
// credential alone ("Bearer abc": abc).
func (s secrets) ofHeader(name, value string) secrets {
	if !sensitive(name) {
		return s
	}
	return s.add(value).add(strings.Fields(value)[min(1, len(strings.Fields(value))):]...)
}

// addLong adds those values that are as long as a token is.
func (s secrets) addLong(values ...string) secrets {
	for _, v := range values {
		if len(v) >= 16 {
			s = append(s, v)
		}
	}
	return s
}

// ofURL adds what in a URL may well be a credential: long values in its query
// and long segments of its path, as in https://hooks.slack.com/services/T0/B0/token.
func (s secrets) ofURL(u *url.URL) secrets {
	for _, values := range u.Query() {
		s = s.addLong(values...)
	}
	for pair := range strings.SplitSeq(u.RawQuery, "&") {
		_, value, _ := strings.Cut(pair, "=")
		s = s.addLong(value)
	}
	for segment := range strings.SplitSeq(u.EscapedPath(), "/") {
		s = s.addLong(segment)
	}
	return s
}

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
		err = maskedError(m.secrets, err)
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
			errs[i] = maskedError(m.secrets, err)
		}
	}
	return errs
}

// maskedError returns err with secrets masked in its text.
func maskedError(m *secret.Masker, err error) error {
	text := err.Error()
	if shown := m.Mask(text); shown != text {
		return &shownError{shown: shown, err: err}
	}
	return err
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

// LatestOnly is the action's.
func (m masking) LatestOnly() bool { return LatestOnly(m.Action) }

// LogValue is the action's.
func (m masking) LogValue() slog.Value { return slog.AnyValue(m.Action) }
