// Package errors stands in for github.com/cockroachdb/errors, of which pebble
// uses the functions below and nothing else. The library carries errors over a
// network, and to a service that collects them, for which it brings protobuf,
// Sentry's client and tables of languages: 1.4 MB of a program that does neither.
// Its errors hold a stack each, which a log shows in full; these do not.
//
// A function does what its namesake promises, but for stacks, hints and details,
// which nobody reads. go.mod of triggerd puts this in the library's place.
package errors

import (
	"errors"
	"fmt"
)

// New returns an error with a text.
func New(text string) error { return errors.New(text) }

// Newf returns an error with a formatted text; %w wraps, as in fmt.Errorf.
func Newf(format string, args ...any) error { return fmt.Errorf(format, args...) }

// Errorf is Newf.
func Errorf(format string, args ...any) error { return fmt.Errorf(format, args...) }

// AssertionFailedf returns the error of something that cannot be.
func AssertionFailedf(format string, args ...any) error { return fmt.Errorf(format, args...) }

// Safe returns v, which has no secrets in it.
func Safe(v any) any { return v }

// Is reports whether an error, or one that it wraps, is the reference, or was
// marked with it.
func Is(err, reference error) bool { return errors.Is(err, reference) }

// As finds the first error, of those that err wraps, that target can hold.
func As(err error, target any) bool { return errors.As(err, target) }

// Join returns an error that wraps all that are not nil; nil if none is.
func Join(errs ...error) error { return errors.Join(errs...) }

// UnwrapAll returns the innermost error.
func UnwrapAll(err error) error {
	for {
		inner := errors.Unwrap(err)
		if inner == nil {
			return err
		}
		err = inner
	}
}

// Wrap returns err with a text in front; nil for nil.
func Wrap(err error, text string) error {
	if err == nil {
		return nil
	}
	return &wrapped{text, err}
}

// Wrapf is Wrap with a formatted text.
func Wrapf(err error, format string, args ...any) error {
	if err == nil {
		return nil
	}
	return &wrapped{fmt.Sprintf(format, args...), err}
}

type wrapped struct {
	text string
	err  error
}

func (w *wrapped) Error() string {
	if w.text == "" {
		return w.err.Error()
	}
	return w.text + ": " + w.err.Error()
}

func (w *wrapped) Unwrap() error { return w.err }

// Mark returns err, for which Is finds the reference, too; nil for nil.
func Mark(err, reference error) error {
	if err == nil {
		return nil
	}
	return &marked{err, reference}
}

type marked struct{ err, reference error }

func (m *marked) Error() string           { return m.err.Error() }
func (m *marked) Unwrap() error           { return m.err }
func (m *marked) Is(reference error) bool { return errors.Is(m.reference, reference) }

// CombineErrors returns the first of two errors that is not nil. The other is of
// less weight, and neither Is nor As finds it.
func CombineErrors(err, other error) error {
	if err == nil {
		return other
	}
	return err
}

// WithSecondaryError returns err. The other is of less weight.
func WithSecondaryError(err, _ error) error { return err }

// WithStack returns err.
func WithStack(err error) error { return err }

// WithDetailf returns err.
func WithDetailf(err error, _ string, _ ...any) error { return err }

// WithHintf returns err.
func WithHintf(err error, _ string, _ ...any) error { return err }

// WithSafeDetails returns err.
func WithSafeDetails(err error, _ string, _ ...any) error { return err }
