package rules

import (
	"slices"
	"strconv"

	"triggerd/internal/condition"
	"triggerd/internal/event"
	"triggerd/internal/timing"
)

// timed is what a rule with time fields, or a cancel pattern of one, has beside
// its pattern: what its matches do, and the by of each stage.
//
// A cancel pattern is a Rule of its own in the index, which is not visible
// outside. What it matches is a match of its owner.
type timed struct {
	owner *Rule       // the rule whose matches these are: the rule itself, or for a cancel pattern the rule that has it
	role  timing.Role // Fires; Cancels for a cancel pattern; Ends for a rule with for or an episode, whose events do either

	episode bool                 // what fires is open until it ends
	until   *condition.Condition // ends it; nil: that the rule's condition does not hold

	once, dedupe, gather, throttle, batch byExprs

	reads []condition.Reads // of all of these
}

// lasts reports whether the rule has "for", "until" or "send_resolved". What it
// says of a key lasts for some time, so every event of its keys concerns it.
func (r *Rule) lasts() bool { return r.timed != nil && r.timed.role == timing.Ends }

// owner returns the rule whose match it is.
func (r *Rule) owner() *Rule {
	if r.timed == nil {
		return r
	}
	return r.timed.owner
}

// pattern returns the rule whose fields matched: the match's own rule, or one
// of its cancel patterns.
func (m *Match) pattern() *Rule {
	if m.cancelPattern != nil {
		return m.cancelPattern
	}
	return m.Rule
}

// AppendPlace appends a database and a key, by which a rule with for, until or
// send_resolved keeps its states: Keys.Gather of a match.
func AppendPlace(dst []byte, db int, key []byte) []byte {
	dst = strconv.AppendInt(dst, int64(db), 10)
	dst = append(dst, '/')
	return append(dst, key...)
}

func appendPlace(dst []byte, ev *event.Event) []byte { return AppendPlace(dst, ev.DB, ev.Key) }

// isGone reports whether the event says that its key no longer exists.
func isGone(ev *event.Event) bool {
	return ev.TTL == event.TTLGone || ev.After != nil && (ev.After == event.None || ev.After.Type() == event.None.Type()) || slices.Contains(removals, ev.Name)
}

// removals are events after which their key does not exist.
var removals = []string{"del", "expired", "evicted", "rename_from", "move_from"}
