package rules

import (
	"slices"
	"strconv"
	"sync/atomic"

	"github.com/expr-lang/expr/ast"

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

	reads    reads         // of all of these
	failures atomic.Uint64 // of the rule's expressions
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
	return ev.TTL == event.TTLGone || ev.After != nil && absent(ev.After) || slices.Contains(removals, ev.Name)
}

// removals are events after which a key is not there.
var removals = []string{"del", "expired", "evicted", "rename_from", "move_from"}

// ofKey are the variables that tell of the key as it is, and not of what has
// just changed it.
var ofKey = map[string]bool{"key": true, "db": true, "type": true, "after": true, "ttl": true, "params": true}

// momentary finds the names in a resolved condition that tell only of the
// change at hand, and whether it reads the key's state at all.
type momentary struct {
	names []problem // offsets count runes
	state bool
}

// Visit is ast.Visitor's.
func (m *momentary) Visit(n *ast.Node) {
	switch n := (*n).(type) {
	case *ast.IdentifierNode:
		if n.Value == "after" || n.Value == "ttl" || n.Value == "type" {
			m.state = true
		}
		if variables[n.Value] && !ofKey[n.Value] {
			m.names = append(m.names, problem{at: n.Location().From, msg: n.Value})
		}
	case *ast.CallNode: // the names in it are from the helper that it stands for
		for helper, call := range map[string]string{"crossed": "value.crossed", "changed_to": "value.changed_to", "became": "value.became", "arg": "arg"} {
			if i := len(m.names) - 1; i >= 0 && isName(n.Callee, call) && m.names[i].at == n.Location().From {
				m.names[i].msg = helper + "()"
			}
		}
	}
}
