package rules

import (
	"slices"
	"strconv"

	"triggerd/internal/condition"
	"triggerd/internal/event"
	"triggerd/internal/timing"
)

// timed is what a rule has that says something of time, or a cancel pattern of
// one: what its matches do, and what its stages keep their states apart by.
//
// A cancel pattern is a Rule of its own in the index, which nobody else sees:
// a companion. What it matches is a match of its owner.
type timed struct {
	owner *Rule       // that the matches are of: the rule itself, or a cancel pattern's
	role  timing.Role // Fires; Cancels of a cancel pattern; Ends of a rule with for, whose events do one or the other

	once, dedupe, gather, throttle, batch by

	reads []condition.Reads // of all of these
}

// lasts reports whether the rule has "for": its condition has to hold for some
// time, so that every event of its keys concerns it.
func (r *Rule) lasts() bool { return r.timed != nil && r.timed.role == timing.Ends }

// owner returns the rule that the matches are of.
func (r *Rule) owner() *Rule {
	if r.timed == nil {
		return r
	}
	return r.timed.owner
}

// pattern returns the rule whose fields matched: the match's own, or a cancel
// pattern of it.
func (m *Match) pattern() *Rule {
	if m.companion != nil {
		return m.companion
	}
	return m.Rule
}

// appendPlace appends what a condition that lasts is about: a key of a database.
func appendPlace(dst []byte, ev *event.Event) []byte {
	dst = strconv.AppendInt(dst, int64(ev.DB), 10)
	dst = append(dst, '/')
	return append(dst, ev.Key...)
}

// isGone reports whether the event's key is known to be gone.
func isGone(ev *event.Event) bool {
	return ev.TTL == event.TTLGone || ev.After != nil && (ev.After == event.None || ev.After.Type() == event.None.Type()) || slices.Contains(removals, ev.Name)
}

// removals are events after which a key is not there.
var removals = []string{"del", "expired", "evicted", "rename_from", "move_from"}
