package rules

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"triggerd/internal/condition"
	"triggerd/internal/event"
	"triggerd/internal/glob"
)

// Need says how much has to be known of a key, so that the rules that concern
// it get what they ask for. Each need includes those before it. The order and
// the meaning are those of internal/keyspace.
type Need uint8

// The needs.
const (
	NeedNothing Need = iota // events are told by the command alone
	NeedState               // whether the key is there, its type, deadline and the names of its elements
	NeedValue               // also its text: before and after
	NeedOnTime              // also an event at its deadline
)

// NeedsSomething reports whether there may be keys for which
// Matcher.Need is not NeedNothing.
func (s *Set) NeedsSomething() bool { return s.needs != nil }

// AsksFor reports whether some enabled rule waits for events of this name in
// its field event, or compares event with it in its condition. The server, and
// so internal/keyspace, makes "new", "overwritten" and "type_changed" only if
// somebody asks for them.
func (s *Set) AsksFor(name string) bool {
	for _, r := range s.patterns {
		if r.Enabled && r.Schedule == nil && r.asksFor(name) {
			return true
		}
	}
	return false
}

func (r *Rule) asksFor(name string) bool {
	return r.events.has(name) || r.cond != nil && slices.Contains(r.cond.Reads().Events, name) ||
		r.timed != nil && slices.ContainsFunc(r.timed.reads, func(reads condition.Reads) bool { return slices.Contains(reads.Events, name) })
}

// needOfEvent is what it takes to tell events of a name. They are those that
// no command tells by itself; see "What a command alone cannot tell" of
// internal/keyspace. What is not here may be told too often without state: a
// SET of an INCRBYFLOAT, a *STORE command whose result was empty.
var needOfEvent = map[string]Need{
	"del":                   NeedState, // of a key that was emptied; or what is an expiry
	"expired":               NeedState,
	"evicted":               NeedState,
	"hdel":                  NeedState, // may be the expiry of fields
	"hexpired":              NeedState,
	"xtrim":                 NeedState,
	"xgroup-createconsumer": NeedState, // of an XCLAIM
	"new":                   NeedState,
	"overwritten":           NeedState,
	"type_changed":          NeedState,
	"incrbyfloat":           NeedValue, // the text of the number tells
	"hincrby":               NeedValue,
	"hincrbyfloat":          NeedValue,
	event.Changed:           NeedValue, // a change of what a snapshot brings
}

// needOfReads is what it takes to evaluate an expression.
func needOfReads(r condition.Reads) Need {
	need := NeedNothing
	switch {
	case r.Value:
		need = NeedValue
	case r.State:
		need = NeedState
	}
	for _, name := range r.Events {
		need = max(need, needOfEvent[name])
	}
	return need
}

// needOfParts is what it takes to tell these parts of an event.
func needOfParts(parts event.Parts) Need {
	switch {
	case parts.Has(event.PartBefore | event.PartAfter):
		return NeedValue
	case parts != 0:
		return NeedState
	}
	return NeedNothing
}

// keyless are the events that concern no key.
var keyless = []string{
	event.FlushDB, event.FlushAll, event.SwapDB, event.Publish, event.SPublish, event.Function, event.Resync, event.Gap, event.Rewound,
}

// need returns what the rule needs to know of its keys.
func (r *Rule) need() Need {
	need, _ := r.needAndReason()
	return need
}

// needAndReason returns what the rule needs to know of its keys, and what of the
// rule asks for it first.
func (r *Rule) needAndReason() (need Need, why string) {
	if !r.Enabled || r.Schedule != nil || !r.lasts() && !r.concernsKeys() {
		return NeedNothing, ""
	}
	more := func(n Need, reason string) {
		if n > need {
			need, why = n, reason
		}
	}
	if r.OnTime {
		return NeedOnTime, "on_time"
	}
	if r.Values {
		return NeedValue, "values = true"
	}
	if r.cond != nil {
		more(needOfReads(r.cond.Reads()), "its condition")
	}
	if r.timed != nil {
		for _, reads := range r.timed.reads {
			more(needOfReads(reads), "its time fields")
		}
	}
	for _, a := range r.Actions {
		more(needOfParts(a.reads), "a template")
	}
	if r.sendsValues {
		more(NeedValue, "its webhook sends the event")
	}
	if r.events != nil {
		for _, name := range r.events.list() {
			more(needOfEvent[name], "its events")
		}
	}
	if r.lasts() { // whether the key is still there
		more(NeedState, "its time fields")
	}
	if r.types != nil {
		more(NeedState, "type")
	}
	return need, why
}

// want is what one rule needs of the keys that it selects.
type want struct {
	need Need
	dbs  []int // nil: all
	rule *Rule // whose other fields select keys; nil if there is nothing to check
}

// Elements returns the names of the elements of values, such as a hash's fields,
// that actions of the set read: what is to be kept of a value that is too long to
// be kept as a whole. The caller does not change them.
func (s *Set) Elements() []string { return s.elements }

// elementsOf returns the names of elements that actions read, sorted.
func elementsOf(list []*Rule) (names []string) {
	for _, r := range list {
		for _, a := range r.Actions {
			names = append(names, a.elements...)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// wants is all that is needed of the keys that one glob selects: by what is
// needed, the most first.
type wants []want

// needIndex finds what is needed of a key.
type needIndex struct {
	any       wants
	exact     map[string]wants
	sizes     uint64          // lengths of the exact keys: see sizeBit
	automaton *glob.Automaton // of the patterns of globs
	globs     []needGlob
}

type needGlob struct {
	pattern *glob.Pattern
	wants   wants
}

// newNeedIndex builds the index of a set, given the conjuncts of each rule;
// nil if nothing is needed.
func newNeedIndex(set *Set, conjuncts [][]condition.Conjunct) *needIndex {
	x := &needIndex{exact: map[string]wants{}}
	byGlob := map[string]*needGlob{}
	found := false
	for i, r := range set.patterns {
		found = x.insertOthers(byGlob, r) || found
		need := r.need()
		if need == NeedNothing {
			continue
		}
		for j := range conjuncts[i] {
			found = true
			x.insert(byGlob, r, need, &conjuncts[i][j])
		}
	}
	if !found {
		return nil
	}
	x.any = x.any.tidy()
	for key, w := range x.exact {
		x.exact[key] = w.tidy()
		x.sizes |= sizeBit(len(key))
	}
	var patterns []*glob.Pattern
	for id := range sortedKeys(byGlob) {
		g := byGlob[id]
		g.wants = g.wants.tidy()
		x.globs = append(x.globs, *g)
		patterns = append(patterns, g.pattern)
	}
	x.automaton = glob.NewAutomaton(patterns)
	return x
}

// insert puts one alternative of a rule where its keys are found.
func (x *needIndex) insert(byGlob map[string]*needGlob, r *Rule, need Need, c *condition.Conjunct) {
	w := want{need: need, dbs: r.dbs}
	if r.keysNot != nil || r.regexes != nil || r.keys != nil && !c.Field {
		w.rule = r
	}
	if c.Keys == nil {
		x.any = append(x.any, w)
	}
	for _, g := range c.Keys {
		x.insertKeys(byGlob, g, w)
	}
}

// insertOthers puts the other keys that a rule reads where they are found. It
// reports whether there are any.
func (x *needIndex) insertOthers(byGlob map[string]*needGlob, r *Rule) bool {
	others := r.others()
	for _, p := range others {
		w := want{need: NeedValue, dbs: r.dbs}
		if r.Schedule != nil {
			w.dbs = []int{r.ClockDB()}
		}
		x.insertKeys(byGlob, p, w)
	}
	return len(others) > 0
}

// insertKeys puts what is needed of the keys of a pattern.
func (x *needIndex) insertKeys(byGlob map[string]*needGlob, p *glob.Pattern, w want) {
	if key, ok := p.Key(); ok {
		x.exact[key] = append(x.exact[key], w)
		return
	}
	id := p.Identity()
	if byGlob[id] == nil {
		byGlob[id] = &needGlob{pattern: p}
	}
	byGlob[id].wants = append(byGlob[id].wants, w)
}

// others returns the patterns of other keys whose values the rule reads.
func (r *Rule) others() (list []*glob.Pattern) {
	if !r.Enabled {
		return nil
	}
	if r.cond != nil {
		list = append(list, r.cond.Reads().Others...)
	}
	if r.timed != nil {
		for _, reads := range r.timed.reads {
			list = append(list, reads.Others...)
		}
	}
	for _, a := range r.Actions {
		list = append(list, a.others...)
	}
	return list
}

// ClockDB returns the database in which an event of the clock, which has no key,
// reads other keys for the rule.
func (r *Rule) ClockDB() int {
	if r.dbs == nil || slices.Contains(r.dbs, 0) {
		return 0
	}
	return r.dbs[0]
}

// tidy sorts wants, and leaves out those that another one includes.
func (w wants) tidy() wants {
	slices.SortStableFunc(w, func(a, b want) int { return int(b.need) - int(a.need) })
	var out wants
	for _, a := range w {
		if !slices.ContainsFunc(out, func(b want) bool { return b.includes(a) }) {
			out = append(out, a)
		}
	}
	return out
}

// includes reports whether a selects whatever b, which needs no more, does.
func (a want) includes(b want) bool {
	if a.rule != nil {
		return a.rule == b.rule
	}
	return a.dbs == nil || slices.Equal(a.dbs, b.dbs)
}

// of returns the most that is wanted of a key, at least need.
func (w wants) of(db int, key []byte, need Need) Need {
	for i := range w {
		a := &w[i]
		if a.need <= need {
			break
		}
		if (a.dbs == nil || slices.Contains(a.dbs, db)) && (a.rule == nil || a.rule.selectsKey(key)) {
			return a.need
		}
	}
	return need
}

// selectsKey checks the fields of a rule that are about the key.
func (r *Rule) selectsKey(key []byte) bool {
	return (r.keys == nil || anyMatches(r.keys, key)) && !anyMatches(r.keysNot, key) &&
		(r.regexes == nil || anyRegex(r.regexes, key))
}

// NeedsNoMoreThan reports whether all that the set needs to know of keys an
// older set needed too, so that a mirror kept for that has it. It may be false
// though that is so, where the same is written differently.
func (s *Set) NeedsNoMoreThan(old *Set) bool {
	if s.needs == nil {
		return true
	}
	if old.needs == nil {
		return false
	}
	had := old.needs.lines()
	for line := range s.needs.lines() {
		if !had[line] {
			return false
		}
	}
	return true
}

// lines tells what is needed, one line for each want.
func (x *needIndex) lines() map[string]bool {
	lines := map[string]bool{}
	add := func(keys string, list wants) {
		for _, w := range list {
			line := fmt.Sprintf("%s %d %v", keys, w.need, w.dbs)
			if w.rule != nil {
				line += fmt.Sprintf(" %s %s %v", globTexts(w.rule.keys), globTexts(w.rule.keysNot), w.rule.regexes)
			}
			lines[line] = true
		}
	}
	add("any", x.any)
	for key, w := range x.exact {
		add("key "+strconv.Quote(key), w)
	}
	for i := range x.globs {
		add("glob "+strconv.Quote(x.globs[i].pattern.Identity()), x.globs[i].wants)
	}
	return lines
}

func globTexts(globs []*glob.Pattern) []string {
	texts := make([]string, len(globs))
	for i, g := range globs {
		texts[i] = strconv.Quote(g.Identity())
	}
	return texts
}

// NeedText is a text that tells all that the set needs to know of keys: equal
// texts, equal needs. "" if nothing is needed.
func (s *Set) NeedText() string {
	if s.needs == nil {
		return ""
	}
	return strings.Join(slices.Collect(sortedKeys(s.needs.lines())), "\n")
}
