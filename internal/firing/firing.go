package firing

import "triggerd/internal/event"

// Firing is one delivery to make: a rule, an event that it matched, and one of
// the rule's actions. It owns its bytes, and does not change during an attempt.
type Firing struct {
	ID      ID
	Rule    string            // the rule's name
	Action  string            // the action's name within its rule
	Event   *event.Event      // owned
	Params  map[string]string // captures of the rule's key pattern; raw bytes, may be nil
	Attempt int               // 1 for the first attempt
	Rewound bool              // of this attempt: what it is of was lost in a failover

	Redelivered bool // it was delivered before, and somebody has it delivered again

	event.Timing // what time fields add; zero for a rule without any

	Others []OtherKey // values of other keys that templates of the rule's actions read

	stored []byte // see Stored
}

// Stored returns the form in which the firing is stored, if it was parsed from
// that or SetStored was called; otherwise nil. It does not follow changes of the
// firing, and may not be changed.
func (f *Firing) Stored() []byte { return f.stored }

// SetStored has the firing keep the form in which it is stored, for Stored.
func (f *Firing) SetStored(b []byte) { f.stored = b }

// OtherKey is the value of another key of the event's database, at the moment at
// which the firing was planned.
type OtherKey struct {
	Key   string
	Value event.Value // owned; event.None if there is no such key, nil if it is not known
}

// AppendJSON appends the firing as a CloudEvents 1.0 JSON object.
func (f *Firing) AppendJSON(dst []byte) []byte {
	return event.AppendJSON(dst, f.Event, event.Delivery{ID: f.ID.String(), Rule: f.Rule, Params: f.Params, Attempt: f.Attempt, Rewound: f.Rewound, Redelivered: f.Redelivered, Timing: f.Timing})
}
