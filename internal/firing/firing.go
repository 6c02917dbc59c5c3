package firing

import "triggerd/internal/event"

// Firing is one delivery to make: a rule, an event it matched, and one of the
// rule's actions. It owns its bytes and is not changed while Do runs.
type Firing struct {
	ID      ID
	Rule    string            // the rule's name
	Action  string            // the action's name within its rule
	Event   *event.Event      // owned
	Params  map[string]string // captures of the rule's key pattern; raw bytes, may be nil
	Attempt int               // 1 for the first attempt

	event.Timing // what a rule with time fields adds; zero for an ordinary firing
}

// AppendJSON appends the firing as a CloudEvents 1.0 JSON object.
func (f *Firing) AppendJSON(dst []byte) []byte {
	return event.AppendJSON(dst, f.Event, event.Delivery{ID: f.ID.String(), Rule: f.Rule, Params: f.Params, Attempt: f.Attempt, Timing: f.Timing})
}
