package admin

import (
	"context"
	"errors"
	"io"
	"iter"
)

// ErrUnknown is returned if nothing has the given name or number. ErrAmbiguous
// is returned if both a rule and a target have the name. ErrRefused is returned if
// what is asked for is understood, and nothing was done.
var (
	ErrUnknown   = errors.New("not found")
	ErrAmbiguous = errors.New("ambiguous")
	ErrRefused   = errors.New("not done") // as things are now
	ErrNoAnswer  = errors.New("the stream is at something long, and does not answer: try again")
)

// Daemon is a running triggerd. Any goroutine may call its methods. Errors are
// ErrUnknown, ErrAmbiguous and ErrRefused, and those of the store.
type Daemon interface {
	// Status returns the state of the daemon.
	Status() (*Status, error)
	// Ready returns why the daemon cannot do its work, and nil if it can: all
	// streams are being read, and the store takes firings.
	Ready() error
	// Rules returns the rules whose name or text has something in it, with what
	// they did lately. total is how many there are.
	Rules(having string) (list []RuleStatus, total int)
	// InspectRule returns what a rule counts and waits for, as q selects it.
	InspectRule(name string, q RuleQuery) (*RuleDetail, error)

	// Pending lists firings that wait, the oldest first. Delivered lists those
	// that were delivered, the latest first. next is the Before of the query
	// for the following ones, 0 at the end.
	Pending(ctx context.Context, q Query) (list []Delivery, next uint64, err error)
	Delivered(ctx context.Context, q Query) (list []Delivery, next uint64, err error)
	// Delivery returns a firing that is pending, delivered or dead, by its number
	// or, if id is not "", by its ID.
	Delivery(ctx context.Context, number uint64, id string) (*Delivery, error)
	// RetryNow has firings that wait for their next attempt attempted as soon
	// as their turn comes: the firing of a number, or, if number is 0, all of
	// an action. In the second case earlier failures no longer count against
	// the action's endpoint. It returns how many keys go on, and how many
	// firings wait.
	RetryNow(action string, number uint64) (n, pending int, err error)

	// Cancel has pending firings not attempted any more: they are dead letters then,
	// on disk. An attempt in flight is waited for, for a while. by says who cancels.
	Cancel(ctx context.Context, s Selection, by string) (Cancelled, error)
	// Redeliver has deliveries that were made and are kept made once more, each
	// under its ID, and returns how many. With changed set also where the action
	// goes elsewhere by now.
	Redeliver(ctx context.Context, s Selection, changed bool) (n int, err error)

	// DeadLetters lists dead letters, the latest first. next is as in Pending.
	DeadLetters(ctx context.Context, q Query) (list []DeadLetter, next uint64, err error)
	// AllDead iterates over all dead letters that q selects; the limit of q
	// does not count. If whole is set, each has its payload. If there is an
	// error, it is the last that is yielded.
	AllDead(ctx context.Context, q Query, whole bool) iter.Seq2[*DeadLetter, error]
	DeadLetter(ctx context.Context, number uint64) (*DeadLetter, error)
	// Causes groups the dead letters that q selects by action and cause, the
	// largest group first. more says that there are more groups.
	Causes(ctx context.Context, q Query) (list []Cause, more bool, err error)
	// RetryDead turns dead letters into pending firings, and returns how many.
	RetryDead(ctx context.Context, s Selection) (n int, err error)
	// DropDead deletes dead letters, and returns how many.
	DropDead(ctx context.Context, s Selection) (n int, err error)

	// Pause stops a rule or an action until Resume, or until the pause ends by
	// itself, over restarts too. Both return the full name. name is the name of a
	// rule or a target, or a full name: "rule/NAME", "target/NAME",
	// "rule/NAME/ACTION". A pause of what is paused already replaces its end, its
	// reason and who made it.
	Pause(name string, p Pause) (full string, err error)
	Resume(name string) (full string, err error)

	// Feed iterates over what happens, as q selects it, until ctx is done. A
	// caller that is too slow misses entries, and is told how many. The entry is
	// nil at the beginning, from when on nothing is missed, after a quiet time, and
	// with q.Every after each batch. Entries are shared, and must not be changed. The
	// error is ErrQuery or ErrBusy.
	Feed(ctx context.Context, q FeedQuery) (iter.Seq[*FeedEntry], error)

	// Rates returns how much happened a second in the last minutes, in all;
	// RuleRates, what a rule did.
	Rates() *Rates
	RuleRates(name string) (*RuleRates, error)
	// LastEvent returns the last event of a key for which some rule has fired. The
	// error is ErrUnknown if none is kept.
	LastEvent(key string) (*LastEvent, error)

	// Value returns the value of a key of a database as it is now, if rules have
	// it kept. The error is ErrNoAnswer where no stream answers in time.
	Value(ctx context.Context, db int, key string) (*KeyValue, error)

	// Backup writes a copy of the store at one moment, as a tar archive of the
	// files of one directory. The daemon goes on meanwhile.
	Backup(w io.Writer) error
}
