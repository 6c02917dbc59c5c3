package rules

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"triggerd/internal/condition"
	"triggerd/internal/event"
	"triggerd/internal/glob"
)

// Check is one thing that a rule asks of an event, and whether the event has
// it. Its texts are fit for a terminal, whatever bytes the event has.
type Check struct {
	Field string // "key", "command", "when", ...
	Want  string // what the rule asks; for "when": one part of the condition
	Got   string // what the event has; for "when": true, false, or why it could not be evaluated
	OK    bool
	Saw   []condition.Seen // for "when": what it compares, and what that was of the event
}

// Explain returns what a rule of the set asks of an event. The rule matches if
// all checks are OK. A condition is split at its outermost "&&". For a match,
// the time fields say what becomes of it, each with the event's value of its
// by. lookup is as that of a Matcher. Explain is safe for concurrent use, also
// with Match.
func (s *Set) Explain(r *Rule, ev *event.Event, lookup func(db int, key []byte) event.Value) []Check {
	e := explanation{r: r, ev: ev, lookup: lookup}
	e.fields()
	if r.When != "" {
		s.explain.Lock()
		defer s.explain.Unlock()
		for _, p := range condition.Split(r.When) {
			e.condition(s.compiler, p)
		}
	}
	e.explainTime(s.patterns[len(s.Rules):])
	return e.checks
}

// FoundBy returns how the index finds the rule: one line for each way in which
// an event may concern it, such as `key stock:*, command SET`. A rule that is
// found by "every event" costs every event. FoundBy is safe for concurrent use.
func (s *Set) FoundBy(r *Rule) []string {
	if !r.Enabled || r.Schedule != nil {
		return nil
	}
	says := condition.Everything()
	if r.When != "" {
		s.explain.Lock()
		defer s.explain.Unlock()
		_, report := s.compiler.Condition(r.When, r.captures.Names())
		says = report.Says
	}
	var lines []string
	for _, c := range r.conjuncts(says) {
		if line := describe(&c); !slices.Contains(lines, line) { // ways may differ only in what no index looks at
			lines = append(lines, line)
		}
	}
	return lines
}

// Captures returns the names that the rule's key patterns capture, sorted; not to
// be changed.
func (r *Rule) Captures() []string { return r.captures.Names() }

// describe says, for people, what an event must be.
func describe(c *condition.Conjunct) string {
	if c.Empty() {
		return "every event"
	}
	var words []string
	if c.Keys != nil {
		words = append(words, "key "+listFewGlobs(c.Keys))
	}
	for _, q := range c.Equal {
		words = append(words, q.Subject.String()+" "+listFew(q.Values))
	}
	return strings.Join(words, ", ")
}

// listFew lists values, the first few of many.
func listFew(values []string) string {
	return listFewAs(values, func(s string) string { return string(event.AppendText(nil, s)) })
}

// listFewAs does what listFew does, with its own way to show a value.
func listFewAs(values []string, show func(string) string) string {
	const few = 5
	shown := make([]string, 0, few)
	for _, s := range values[:min(len(values), few)] {
		shown = append(shown, show(s))
	}
	text := strings.Join(shown, " or ")
	if n := len(values) - few; n > 0 {
		text += fmt.Sprintf(" or %d more", n)
	}
	return text
}

// listFewGlobs lists globs as listFew lists values, but with the backslashes that
// patterns have of their own.
func listFewGlobs(globs []*glob.Pattern) string {
	list := make([]string, len(globs))
	for i, g := range globs {
		list[i] = g.String()
	}
	return strings.ReplaceAll(listFew(list), `\\`, `\`)
}

// explanation gathers the checks of a rule.
type explanation struct {
	r      *Rule
	ev     *event.Event
	lookup condition.Lookup
	checks []Check
}

func (e *explanation) check(field, want, got string, ok bool) {
	e.checks = append(e.checks, Check{Field: field, Want: escaped(want), Got: escaped(got), OK: ok})
}

// escaped returns a text that may have a key's bytes in it, or the file's, for a
// terminal: what is not printable is escaped as in a Go string, but for what
// breaks lines, which is a space.
func escaped(s string) string {
	var b []byte
	for i, r := range s {
		_, n := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == '\n' || r == '\r' || r == '\t':
			b = append(b, ' ')
		case strconv.IsPrint(r) && (r != utf8.RuneError || n > 1):
			b = append(b, s[i:i+n]...)
		default:
			b = event.AppendText(b, s[i:i+n])
		}
	}
	return string(b)
}

func (e *explanation) fields() {
	r, ev := e.r, e.ev
	if !r.Enabled {
		e.check("enabled", "true", "false", false)
	}
	if r.Schedule != nil {
		e.check("schedule", "the clock", ev.Name, false)
		return
	}
	key := string(event.AppendText(nil, ev.Key))
	switch {
	case ev.Name == event.Snapshot:
		e.check("snapshot", strconv.FormatBool(r.Snapshot), "a key of a snapshot", r.Snapshot)
	default:
		e.names()
	}
	if ev.Key == nil && (r.keys != nil || r.regexes != nil) {
		e.check("key", "a key", "an event that concerns no key", false)
		return
	}
	e.globs("key", r.keys, key, true)
	e.globs("key_not", r.keysNot, key, false)
	if r.regexes != nil {
		var list []string
		for _, re := range r.regexes {
			list = append(list, re.String())
		}
		e.check("key_regex", listFew(list), key, anyRegex(r.regexes, ev.Key))
	}
	if r.dbs != nil {
		e.check("db", listFew(decimals(r.dbs)), strconv.Itoa(ev.DB), slices.Contains(r.dbs, ev.DB))
	}
	if r.types != nil {
		e.check("type", listFew(r.types), ev.Type, slices.Contains(r.types, ev.Type))
	}
}

func (e *explanation) globs(field string, globs []*glob.Pattern, key string, want bool) {
	if globs != nil {
		e.check(field, listFewGlobs(globs), key, anyMatches(globs, e.ev.Key) == want)
	}
}

// names explains event and command.
func (e *explanation) names() {
	r, ev := e.r, e.ev
	named := r.events.has(ev.Name)
	if r.events != nil {
		want := r.events.list()
		if r.anyWrite {
			want = append([]string{anyWrite}, want...)
		}
		e.check("event", listFew(want), ev.Name, named || r.anyWrite && ev.Key != nil)
	}
	if ev.Key == nil && !named && !r.commandsNamed.hasCommand(ev.Command) {
		e.check("event", "an event of a key", ev.Name+", which concerns no key and is not asked for by name", false)
	}
	if r.commands != nil {
		e.check("command", listFew(r.commands.list()), ev.Command, r.commands.hasCommand(ev.Command))
	}
	if r.commandsNot != nil {
		e.check("command_not", listFew(r.commandsNot.list()), ev.Command, !r.commandsNot.hasCommand(ev.Command))
	}
}

// condition evaluates one part of the rule's condition.
func (e *explanation) condition(c *condition.Compiler, src string) {
	cond, _ := c.Condition(src, e.r.captures.Names())
	if cond == nil { // a part of a condition that compiles does too
		e.check("when", src, "not understood by itself", false)
		return
	}
	eval := condition.Evaluator{Lookup: e.lookup}
	eval.Begin(e.ev)
	ok, err := eval.Holds(cond, e.r.captures)
	got := strconv.FormatBool(ok)
	switch {
	case err != nil:
		got = err.Error()
	case !eval.Decided():
		got = "neither true nor false: what should be a number is none"
	}
	e.checks = append(e.checks, Check{Field: "when", Want: escaped(src), Got: escaped(got), OK: ok, Saw: c.Seen(src, e.r.captures, e.ev, e.lookup)})
}
