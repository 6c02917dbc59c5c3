package rules

import (
	"regexp"
	"slices"
	"sync/atomic"
	"unsafe"

	"triggerd/internal/condition"
	"triggerd/internal/event"
	"triggerd/internal/glob"
)

// pattern is the compiled fields that decide which events a rule matches.
// Fields are joined by AND, the values of one field by OR. An empty field
// matches anything.
type pattern struct {
	index       int32           // the rule's place in its set
	anyWrite    bool            // events has "write"
	sendsValues bool            // see valuesByDefault
	keys        []*glob.Pattern // nil: any
	captures    *condition.Captures

	commands, commandsNot *nameSet // nil: any, none
	commandsNamed         *nameSet // commands that are named themselves, not by a class
	events                *nameSet // nil: any
	cond                  *condition.Condition
	counts                *conditionCounts // nil: nothing of the rule is evaluated
	conditionTime         *atomic.Int64    // see ConditionTime; nil: as counts, or not yet in an index

	*rareFields // never nil
}

// rareFields are fields that few rules have. All rules without any share
// noRareFields.
type rareFields struct {
	keysNot []*glob.Pattern
	regexes []*regexp.Regexp
	dbs     []int
	types   []string
	timed   *timed // nil: the rule has no time fields
	until   string // as it is written; "" if there is none
}

var noRareFields = &rareFields{}

// matchesFields reports whether everything but the rule's condition matches.
// keyFound says that one of the rule's keys is known to match.
func (r *Rule) matchesFields(ev *event.Event, keyFound bool) bool {
	if !r.Enabled || r.Schedule != nil || ev.Origin == event.FromClock && ev.Key == nil {
		return false
	}
	return r.matchesEvent(ev) && r.matchesPlace(ev) && r.matchesKey(ev, keyFound)
}

// matchesEvent checks event and command. A key of a snapshot has neither: the
// rule only has to want snapshots. An event that concerns no key must be asked
// for by its name, or by the name of its command.
func (r *Rule) matchesEvent(ev *event.Event) bool {
	if ev.Name == event.Snapshot {
		return r.Snapshot
	}
	if r.events != nil && !(r.anyWrite && ev.Key != nil) && !r.events.has(ev.Name) {
		return false
	}
	if ev.Key == nil && !r.events.has(ev.Name) && !r.commandsNamed.hasCommand(ev.Command) {
		return false
	}
	if r.commands != nil && !r.commands.hasCommand(ev.Command) {
		return false
	}
	return r.commandsNot == nil || !r.commandsNot.hasCommand(ev.Command)
}

func (r *Rule) matchesPlace(ev *event.Event) bool {
	return (r.dbs == nil || slices.Contains(r.dbs, ev.DB)) && (r.types == nil || slices.Contains(r.types, ev.Type))
}

func (r *Rule) matchesKey(ev *event.Event, found bool) bool {
	if ev.Key == nil {
		return r.keys == nil && r.regexes == nil
	}
	if r.keys != nil && !found && !anyMatches(r.keys, ev.Key) || anyMatches(r.keysNot, ev.Key) {
		return false
	}
	return r.regexes == nil || anyRegex(r.regexes, ev.Key)
}

func anyRegex(exprs []*regexp.Regexp, key []byte) bool {
	for _, re := range exprs {
		if re.Match(key) {
			return true
		}
	}
	return false
}

func anyMatches(patterns []*glob.Pattern, key []byte) bool {
	for _, p := range patterns {
		if p.Match(key) {
			return true
		}
	}
	return false
}

// Params returns what the rule's key pattern and key_regex, or those of its
// cancel, have captured of the event's key: raw bytes by name, in a new map
// each time. If several patterns match, the first captures. It is nil if the
// rule captures nothing.
func (m *Match) Params() map[string]string { return m.pattern().captures.Params(m.Event.Key) }

// text returns b's bytes as a string without a copy. It may be used only while
// their owner is borrowed.
func text(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }
