package admin

import "time"

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

	Outcome string  `json:"outcome,omitempty"` // of an attempt: delivered, retried or given_up
	Seconds float64 `json:"seconds,omitempty"` // that an attempt took
	Text    string  `json:"text,omitempty"`    // what a receiver or program said, or why something is as it is

	// State is what has become of Name. Of a stream: its link's state, resync or
	// gap. Of an action: its endpoint's state. Of either, or of a rule: paused or
	// resumed. Of the rules' file: reloaded, or refused.
	State string `json:"state,omitempty"`
	Name  string `json:"name,omitempty"`

	Count int64 `json:"count,omitempty"` // of a lost entry; 0: not known
}

// FeedQuery selects entries. Empty fields select all.
type FeedQuery struct {
	After   uint64 // only later entries, as far as they are kept; 0: those from now on
	All     bool   // events, too
	Rule    string
	Outcome string            // only attempts that have it
	Key     func(string) bool // by the key as text; nil: all
}

// Selects reports whether an entry is selected. With a filter, what has no such
// field is not.
func (q *FeedQuery) Selects(e *FeedEntry) bool {
	return (q.All || e.Kind != FeedEvent) &&
		(q.Rule == "" || q.Rule == e.Rule) &&
		(q.Outcome == "" || q.Outcome == e.Outcome) &&
		(q.Key == nil || e.Key != "" && q.Key(e.Key))
}
