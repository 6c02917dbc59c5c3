package admin

import (
	"context"
	"errors"
	"io"
	"iter"
)

// ErrUnknown is returned where a name, or a number, is of nothing that is
// there; ErrAmbiguous where a name is that of a rule and of a target.
var (
	ErrUnknown   = errors.New("not found")
	ErrAmbiguous = errors.New("ambiguous")
)

// Daemon is a running triggerd, as those who look after it see it. Its methods
// may be called from any goroutine. Errors are ErrUnknown and ErrAmbiguous, and
// those of the store.
type Daemon interface {
	// Status returns how the daemon is doing.
	Status() (*Status, error)
	// Ready returns why the daemon does not do its work, and nil if it does: it
	// reads its streams, and its store takes firings.
	Ready() error
	// InspectRule returns what a rule counts and waits for, with up to limit
	// timers and counts.
	InspectRule(name string, limit int) (*RuleDetail, error)

	// Pending lists firings that wait, the oldest first; Delivered those that
	// were delivered, the latest first. next is the Before to go on with, 0 at
	// the end.
	Pending(q Query) (list []Delivery, next uint64, err error)
	Delivered(q Query) (list []Delivery, next uint64, err error)
	// Delivery returns one, by its number or, if id is not "", by the firing's ID.
	Delivery(number uint64, id string) (*Delivery, error)
	// RetryNow has what waits for its next attempt attempted as soon as its turn
	// comes: the firing of a number, or, if number is 0, all of an action, of
	// which nothing is held against its endpoint any more. It returns how many
	// keys go on, and how many firings wait.
	RetryNow(action string, number uint64) (n, pending int, err error)

	// DeadLetters lists dead letters, the latest first; next is as in Pending.
	DeadLetters(q Query) (list []DeadLetter, next uint64, err error)
	// AllDead iterates over all that q selects, whatever its limit; with whole
	// set they come with what was to be delivered. An error is the last.
	AllDead(q Query, whole bool) iter.Seq2[*DeadLetter, error]
	DeadLetter(number uint64) (*DeadLetter, error)
	// RetryDead makes pending firings of dead letters, and returns of how many;
	// RetryAllDead does so for all that q selects.
	RetryDead(ctx context.Context, numbers ...uint64) (n int, err error)
	RetryAllDead(ctx context.Context, q Query) (n int, err error)
	// DropDead removes dead letters for good, and returns how many; DropAllDead
	// does so for all that q selects.
	DropDead(numbers ...uint64) (n int, err error)
	DropAllDead(q Query) (n int, err error)

	// Pause stops a rule or an action until Resume, over restarts too. Both
	// return its full name. name is a rule's or a target's, or in full
	// "rule/NAME", "target/NAME", "rule/NAME/ACTION".
	Pause(name string) (full string, err error)
	Resume(name string) (full string, err error)

	// Backup writes a copy of the store as it is now, as a tar archive of one
	// folder's files, while the daemon goes on.
	Backup(w io.Writer) error
}
