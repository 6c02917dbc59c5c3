package actions

import (
	"context"
	"errors"
	"time"

	"triggerd/internal/event"
)

// Destination says where an action delivers to, without what may be a secret:
// scheme and host, or the name of a program. "" if the action does not say, with
// a method Destination() string.
func Destination(a Action) string {
	if d, ok := a.(interface{ Destination() string }); ok {
		return d.Destination()
	}
	return ""
}

// Reads returns which parts of an event the templates of an action read: none if
// the action does not say, with a method Reads() event.Parts. What it delivers
// as a whole, such as the JSON of the event, has what is known, and asks for
// nothing.
func Reads(a Action) event.Parts {
	if r, ok := a.(interface{ Reads() event.Parts }); ok {
		return r.Reads()
	}
	return 0
}

// SendsEvent reports whether an action delivers the event as a whole, with the
// values before and after where they are known, and has no template that says what
// it reads of it: its method SendsEvent() bool says so.
func SendsEvent(a Action) bool {
	s, ok := a.(interface{ SendsEvent() bool })
	return ok && s.SendsEvent()
}

// Elements returns the names of what the templates of an action read of values,
// which are kept of a value that is too long: what its method Elements()
// []string says.
func Elements(a Action) []string {
	if e, ok := a.(interface{ Elements() []string }); ok {
		return e.Elements()
	}
	return nil
}

// Params returns the names that the templates of an action read of what a rule's
// key pattern captures: what its method Params() []string says.
func Params(a Action) []string {
	if p, ok := a.(interface{ Params() []string }); ok {
		return p.Params()
	}
	return nil
}

// KeyPieces returns what is known of the names of other keys whose values the
// templates of an action read: texts with anything between two of them, as its
// method KeyPieces() [][]string says.
func KeyPieces(a Action) [][]string {
	if k, ok := a.(interface{ KeyPieces() [][]string }); ok {
		return k.KeyPieces()
	}
	return nil
}

// OtherKeys returns these keys for a firing that is planned: what its method
// OtherKeys(f *Firing) []string says. It borrows f.
func OtherKeys(a Action, f *Firing) []string {
	if k, ok := a.(interface{ OtherKeys(f *Firing) []string }); ok {
		return k.OtherKeys(f)
	}
	return nil
}

// Warnings returns what of an action's fields is no mistake, and hardly meant:
// what its method Warnings() []*FieldError says.
func Warnings(a Action) []*FieldError {
	if w, ok := a.(interface{ Warnings() []*FieldError }); ok {
		return w.Warnings()
	}
	return nil
}

// Rate returns how many attempts of an action may be made within a time where the
// rules do not say: what its method Rate() (int, time.Duration) says; 0: as many
// as come.
func Rate(a Action) (limit int, per time.Duration) {
	if r, ok := a.(interface{ Rate() (int, time.Duration) }); ok {
		return r.Rate()
	}
	return 0, 0
}

// Tracks reports whether what an action tells opens something that a later firing
// of the rule closes: its method Tracks() bool says so. Then their order matters.
func Tracks(a Action) bool {
	t, ok := a.(interface{ Tracks() bool })
	return ok && t.Tracks()
}

// LatestOnly reports whether, of the firings of one key that wait, an action
// wants only the last: it says so with a method LatestOnly() bool.
func LatestOnly(a Action) bool {
	l, ok := a.(interface{ LatestOnly() bool })
	return ok && l.LatestOnly()
}

// ErrNoPreview is of an action that does not say what it would send.
var ErrNoPreview = errors.New("this kind of action has no preview")

// Render returns what an action would send for f: what its method
// Render(ctx, f *firing.Firing) (Preview, error) says. It sends nothing, connects to
// nothing, and borrows f. The error is ErrNoPreview if there is no such method,
// or else what Do would say without having sent anything. A long template ends
// when ctx is done.
func Render(ctx context.Context, a Action, f *Firing) (Preview, error) {
	if r, ok := a.(interface {
		Render(ctx context.Context, f *Firing) (Preview, error)
	}); ok {
		return r.Render(ctx, f)
	}
	return Preview{}, ErrNoPreview
}
