package admin

import (
	"encoding/json"
	"errors"
	"time"
)

// The kinds of a FeedEntry.
const (
	FeedEvent   = "event"   // a key has changed; only for who asks for all
	FeedMatch   = "match"   // a rule has matched an event
	FeedFiring  = "firing"  // a delivery was planned
	FeedAttempt = "attempt" // an attempt to deliver has ended
	FeedState   = "state"   // something else has changed: see FeedEntry.State
	FeedLost    = "lost"    // Count entries are missing here
)

// FeedEntry is something that has happened.
type FeedEntry struct {
	Seq  uint64    `json:"seq"` // grows; numbers that a query does not select are missing
	At   time.Time `json:"at"`
	Kind string    `json:"kind"`

	Rule    string `json:"rule,omitempty"`
	Action  string `json:"action,omitempty"` // in full
	Key     string `json:"key,omitempty"`    // as text; bytes that are not UTF-8 are escaped
	Event   string `json:"event,omitempty"`
	ID      string `json:"id,omitempty"` // of the firing
	Offset  int64  `json:"offset,omitempty"`
	Attempt int    `json:"attempt,omitempty"` // 1 for the first

	// What the entry is about, for who wants to see it: the beginning of the
	// command, and of the key's value on either side of it.
	DB      int     `json:"db,omitempty"`
	Command string  `json:"command,omitempty"`
	Before  Excerpt `json:"before,omitzero"`
	After   Excerpt `json:"after,omitzero"`

	Outcome string  `json:"outcome,omitempty"` // of an attempt: delivered, retried or given_up
	Seconds float64 `json:"seconds,omitempty"` // that an attempt took
	Text    string  `json:"text,omitempty"`    // what a receiver or program said, or why something is as it is

	// State is what has become of Name. Of a stream: its link's state, resync or
	// gap. Of an action: its endpoint's state. Of either, or of a rule: paused or
	// resumed. Of the rules' file: reloaded, or refused.
	State string `json:"state,omitempty"`
	Name  string `json:"name,omitempty"`

	Count int64 `json:"count,omitempty"` // of a lost entry; 0: not known

	// Holds has a bit for each FeedQuery.When for which the entry's event is so.
	Holds uint64 `json:"-"`
}

// Excerpt is the beginning of a value. Its JSON form is a text, or null where the
// key is not there. The zero Excerpt is of a value that is not known.
type Excerpt struct {
	Known bool
	None  bool   // the key is not there
	Text  string // of a string its text, of all else JSON; bytes that are not UTF-8 are escaped
}

// IsZero reports whether the value is not known.
func (x Excerpt) IsZero() bool { return !x.Known }

// MarshalJSON implements json.Marshaler.
func (x Excerpt) MarshalJSON() ([]byte, error) {
	if !x.Known || x.None {
		return []byte("null"), nil
	}
	return json.Marshal(x.Text)
}

// UnmarshalJSON implements json.Unmarshaler.
func (x *Excerpt) UnmarshalJSON(b []byte) error {
	*x = Excerpt{Known: true, None: string(b) == "null"}
	return json.Unmarshal(b, &x.Text)
}

// ErrQuery is returned for a question that cannot be understood. ErrBusy is returned
// if as many are asking as may.
var (
	ErrQuery = errors.New("cannot be answered")
	ErrBusy  = errors.New("busy")
)

// FeedQuery selects entries. Empty fields select all.
type FeedQuery struct {
	After   uint64 // only later entries, as far as they are kept; 0: those from now on
	All     bool   // events, too
	Rule    string
	Outcome string            // only attempts that have it
	When    string            // only what belongs to an event for which this condition holds; "": all
	Key     func([]byte) bool // by the key as text; nil: all

	// Every is how often entries are handed over, with a nil after each batch, to who
	// only wants to see what is new; 0: one by one, each at once. Who is busy with a
	// batch for a second goes on with the newest ones.
	Every time.Duration

	Bit uint64 // the bit of FeedEntry.Holds that When has; who keeps the feed sets it
}

// Selects reports whether an entry is selected. With a filter, what has no such
// field is not.
func (q *FeedQuery) Selects(e *FeedEntry) bool {
	return (q.All || e.Kind != FeedEvent) &&
		(q.Rule == "" || q.Rule == e.Rule) &&
		(q.Outcome == "" || q.Outcome == e.Outcome) &&
		(q.Key == nil || e.Key != "" && q.Key([]byte(e.Key))) &&
		(q.Bit == 0 || e.Holds&q.Bit != 0)
}
