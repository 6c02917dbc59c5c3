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
	set   *Set
	owner *Rule       // that the matches are of: the rule itself, or a cancel pattern's
	role  timing.Role // Fires; Cancels of a cancel pattern; Ends of a rule with for, whose events do one or the other

	once, dedupe, gather, throttle, batch by

	reads    reads         // of all of these
	failures atomic.Uint64 // of the rule's expressions
	buf      []byte        // holds the values of the match at hand
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

// Keys fills in the values by which the match's rule keeps its states apart;
// with the roles Cancels and Ends only Gather. They borrow the event, and are
// valid until Keys is called for another match of the rule. It reports false
// if one cannot be told: such a match counts for nothing, and was counted and
// reported as an error of the rule's condition.
//
// Keys is for the goroutine that called Match.
func (m *Match) Keys(k *timing.Keys) bool {
	*k = timing.Keys{}
	r := m.pattern()
	t := r.timed
	if t == nil {
		return true
	}
	e := &t.set.eval
	e.scope, e.filled = scope{ev: m.Event, rule: r}, false
	if err := t.keys(k, e, m); err != nil {
		t.set.conditionFailed(t.owner, m.Event, err)
		*k = timing.Keys{}
		return false
	}
	return true
}

// keys fills in k for the event that e was prepared for.
func (t *timed) keys(k *timing.Keys, e *evaluator, m *Match) (err error) {
	t.buf = t.buf[:0]
	if t.role == timing.Ends {
		k.Gather = t.place(m.Event)
	} else if k.Gather, err = t.gather.of(e, &t.buf); err != nil {
		return err
	}
	if m.Role != timing.Fires {
		return nil
	}
	for _, stage := range [...]struct {
		by *by
		to *string
	}{{&t.once, &k.Once}, {&t.dedupe, &k.Dedupe}, {&t.throttle, &k.Throttle}, {&t.batch, &k.Batch}} {
		if *stage.to, err = stage.by.of(e, &t.buf); err != nil {
			return err
		}
	}
	return nil
}

// place returns what a condition that lasts is about: a key of a database.
func (t *timed) place(ev *event.Event) string {
	t.buf = strconv.AppendInt(t.buf, int64(ev.DB), 10)
	t.buf = append(t.buf, '/')
	t.buf = append(t.buf, ev.Key...)
	return text(t.buf)
}

// wants reports whether an event concerns a timed rule, or a companion, and
// what it does to its owner. keyFound tells that one of the keys is known to
// match.
func (s *Set) wants(r *Rule, ev *event.Event, keyFound bool) (timing.Role, bool) {
	switch {
	case r.timed.role != timing.Ends:
		return r.timed.role, r.selects(ev, keyFound) && s.holds(r, ev)
	case !r.Enabled || ev.Key == nil || r.dbs != nil && !slices.Contains(r.dbs, ev.DB) || !r.wantsKey(ev, keyFound):
		return timing.Ends, false
	case isGone(ev) || r.types != nil && !slices.Contains(r.types, ev.Type) || !s.holds(r, ev):
		return timing.Ends, true
	}
	return timing.Fires, r.wantsEvent(ev)
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
