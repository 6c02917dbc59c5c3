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
	role  timing.Role // Fires; Cancels for a cancel pattern; Ends for a rule with for, whose events do either

	once, dedupe, gather, throttle, batch byExprs

	reads []condition.Reads // of all of these
}

// lasts reports whether the rule has "for". Its condition has to hold for some
// time, so every event of its keys concerns it.
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

// appendPlace appends the database and the key of an event, by which a rule
// with for keeps its states.
func appendPlace(dst []byte, ev *event.Event) []byte {
	dst = strconv.AppendInt(dst, int64(ev.DB), 10)
	dst = append(dst, '/')
	return append(dst, ev.Key...)
}

// isGone reports whether the event says that its key no longer exists.
func isGone(ev *event.Event) bool {
	return ev.TTL == event.TTLGone || ev.After != nil && (ev.After == event.None || ev.After.Type() == event.None.Type()) || slices.Contains(removals, ev.Name)
}

// removals are events after which their key does not exist.
var removals = []string{"del", "expired", "evicted", "rename_from", "move_from"}
