package rules

import (
	"cmp"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/robfig/cron/v3"

	"triggerd/internal/condition"
	"triggerd/internal/event"
	"triggerd/internal/firing"
	"triggerd/internal/glob"
	"triggerd/internal/suggest"
	"triggerd/internal/timing"
)

// compilation makes rules of the tables that a document has gathered.
type compilation struct {
	l             *loader
	d             *document
	compiler      *condition.Compiler
	commands      *commandNames
	events        eventNames
	timeout       time.Duration
	retry         Retry
	targets       map[string]*Action
	ruleNames     map[string]view        // of the rules so far
	nameSets      map[string]*nameSet    // by their names
	conjuncts     [][]condition.Conjunct // of each rule
	signatures    map[string]*Rule       // a rule for each text of what rules match, to find duplicates
	windows       map[string]*timing.Window
	cancelEntries []cancelEntry
	summarized    []summarized
}

// rule decodes one [[rule]]. It returns nil if v is no table.
func (c *compilation) rule(v view) *Rule {
	v.rule, v.field = "", ""
	t, ok := v.table()
	if !ok {
		return nil
	}
	r := &Rule{Enabled: true, Order: firing.OrderKey, Overflow: firing.Block, pattern: pattern{rareFields: &rareFields{}}}
	c.ruleName(t, r)
	r.File, r.Line, r.Col = t.location()
	read(t, "description", &r.Description, view.str)
	read(t, "severity", &r.Severity, view.str)
	read(t, "enabled", &r.Enabled, view.boolean)
	read(t, "dry_run", &r.DryRun, view.boolean)
	read(t, "snapshot", &r.Snapshot, view.boolean)
	read(t, "values", &r.Values, view.boolean)
	read(t, "order", &r.Order, func(v view) (firing.Order, bool) { return choose(v, firing.Orders()) })
	read(t, "overflow", &r.Overflow, func(v view) (firing.Overflow, bool) { return choose(v, firing.Overflows()) })
	t.list("tags", func(v view) {
		if s, ok := v.str(); ok {
			r.Tags = append(r.Tags, s)
		}
	})
	says := c.pattern(t, r)
	t.onTime(r)
	t.schedule(r)
	c.times(t, r)
	c.actions(t, r)
	t.valuesByDefault(r)
	r.Digest = c.digest(v, r)
	t.done()
	r.index = int32(len(c.conjuncts))
	if !r.Enabled || r.Schedule != nil {
		says = nil
	}
	alternatives := r.conjuncts(says)
	c.conjuncts = append(c.conjuncts, alternatives)
	if r.Enabled {
		t.warnUntracked(r)
	}
	if r.Enabled && r.Schedule == nil && len(c.l.errors) == 0 {
		c.warnNever(t, r, says)
		t.warnUnindexed(r, alternatives)
		t.warnKeepsAllValues(r, alternatives)
		c.warnDuplicate(t, r)
	}
	return r
}

// pattern decodes the fields that decide which events a rule matches, or a
// cancel pattern, and returns what its condition says to the index.
func (c *compilation) pattern(t *table, r *Rule) []condition.Conjunct {
	c.keys(t, r)
	c.commandsAndEvents(t, r)
	t.list("db", func(v view) {
		if n, ok := v.integer(0, 1<<31-1); ok {
			r.dbs = append(r.dbs, n)
		}
	})
	t.list("type", func(v view) { v.keyType(r) })
	if r.keysNot == nil && r.regexes == nil && r.dbs == nil && r.types == nil {
		r.rareFields = noRareFields
	}
	v, ok := t.get("when")
	if !ok {
		return condition.Everything()
	}
	says := c.when(v, r)
	switch {
	case t.has("for"):
		c.rejectMomentary(v, r.When, r, "with for the condition has to hold for some time", "with for, this holds for as long as the key is there")
	case t.m["send_resolved"] == true && !t.has("until"):
		c.rejectMomentary(v, r.When, r, "with send_resolved it is open for as long as the condition holds: say until when, or ask for what lasts", "this holds for as long as the key is there")
	}
	return says
}

// matchFields are the fields that decide which events a rule matches.
var matchFields = []string{"key", "key_not", "key_regex", "command", "command_not", "event", "db", "type", "when", "snapshot"}

// warnDuplicate warns of a rule that matches the same events as another one.
func (c *compilation) warnDuplicate(t *table, r *Rule) {
	var sig strings.Builder
	names := matchFields
	if r.Time != nil {
		names = slices.Concat(matchFields, timeFields)
	}
	for i, name := range names {
		switch v := t.m[name].(type) {
		case nil:
		case string:
			sig.WriteString(strconv.Itoa(i) + strconv.Quote(v))
		case []any:
			words := make([]string, len(v))
			for i, e := range v {
				words[i] = fmt.Sprintf("%q", e)
			}
			slices.Sort(words)
			sig.WriteString(strconv.Itoa(i) + strings.Join(words, ","))
		default:
			fmt.Fprintf(&sig, "%d%v", i, v)
		}
	}
	if first, ok := c.signatures[sig.String()]; ok {
		t.as("duplicate").warnf("give one rule the actions of both", "matches just what rule %q matches, at %s", first.Name, t.startOf(first))
		return
	}
	c.signatures[sig.String()] = r
}

// startOf says where a rule begins.
func (t *table) startOf(r *Rule) string {
	if r.Line == 0 {
		return "another place"
	}
	return fmt.Sprintf("%s:%d", r.File, r.Line)
}

// warnUnindexed warns of a rule whose condition is evaluated for every event.
func (t *table) warnUnindexed(r *Rule, alternatives []condition.Conjunct) {
	if r.cond != nil && slices.ContainsFunc(alternatives, func(c condition.Conjunct) bool { return c.Empty() }) {
		w := t.kid("when", nil)
		w.as("every-event").warnf("say a key, a command or an event that it needs", "no index serves this rule: its condition is evaluated for every event")
	}
}

// valuesByDefault has the values of a rule's keys kept where an action sends the
// event as a whole, unless the rule says otherwise, or that would be any key's.
func (t *table) valuesByDefault(r *Rule) {
	if t.has("values") || !r.Enabled || r.DryRun || r.Schedule != nil || !slices.ContainsFunc(r.Actions, func(a *Action) bool { return a.sendsEvent }) {
		return
	}
	if r.keys != nil && !slices.ContainsFunc(r.keys, func(g *glob.Pattern) bool { return !g.BeginsWithText() }) {
		r.sendsValues = true
		return
	}
	if r.concernsKeys() && r.need() < NeedValue {
		at := t.view
		if t.has("key") {
			at = t.kid("key", t.m["key"])
		}
		at.notef("values = true keeps those of all its keys in memory; values = false leaves it at that", "before and after are sent as unknown, since no text says what its keys begin with")
	}
}

// concernsKeys reports whether the rule waits for events that concern a key.
func (r *Rule) concernsKeys() bool {
	return r.events == nil || r.anyWrite || slices.ContainsFunc(r.events.list(), func(name string) bool { return !slices.Contains(keyless, name) })
}

// warnKeepsAllValues warns of a rule for which the value of every key is kept.
func (t *table) warnKeepsAllValues(r *Rule, alternatives []condition.Conjunct) {
	if r.need() >= NeedValue && r.regexes == nil && slices.ContainsFunc(alternatives, func(c condition.Conjunct) bool { return c.Keys == nil }) {
		t.as("all-values").warnf("say which keys: key = \"stock:*\"", "the value of every key is kept in memory for this rule")
	}
}

// onTime decodes on_time, which is about keys that expire.
func (t *table) onTime(r *Rule) {
	v, ok := t.get("on_time")
	if !ok {
		return
	}
	if r.OnTime, ok = v.boolean(); ok && r.OnTime && !r.events.has("expired") {
		v.atKey = true
		v.errorf(`add event = "expired"`, "on_time is for rules that wait for keys to expire")
	}
}

// location returns where the table begins, for messages of later stages.
func (t *table) location() (file string, line, col int) {
	if t.s.built {
		return "", 0, 0
	}
	line, col = t.s.lines.Place(t.offset())
	return t.s.name, line, col
}

// list calls f for each value of a field that is one value or a list.
func (t *table) list(name string, f func(view)) {
	if v, ok := t.get(name); ok {
		v.each(f)
	}
}

// maxName limits the name of a rule, which is part of the ID of each firing.
const maxName = 200

// ruleName decodes the name first, so that every message can name the rule.
func (c *compilation) ruleName(t *table, r *Rule) {
	v, ok := t.get("name")
	if !ok {
		t.errorf(`give it one: name = "stock-zero"`, "the rule has no name")
		return
	}
	name, ok := v.str()
	if !ok {
		return
	}
	if msg := badName(name); msg != "" {
		v.field = "name"
		v.errorf("", "%s", msg)
		return
	}
	r.Name, t.rule = name, name
	v.rule = name
	if first, twice := c.ruleNames[name]; twice {
		v.errorf("", "another rule has this name, at %s", first.place())
		return
	}
	c.ruleNames[name] = v
}

// badName says what is wrong with the name of a rule or an action. Names are
// part of IDs, of log lines and of the environment of commands.
func badName(name string) string {
	switch {
	case name == "":
		return "an empty name"
	case len(name) > maxName:
		return fmt.Sprintf("a name of %d bytes; at most %d are allowed", len(name), maxName)
	}
	for _, c := range name {
		if c == '/' || !strconv.IsPrint(c) {
			return fmt.Sprintf("%q must not be in a name", c)
		}
	}
	return ""
}

func (c *compilation) keys(t *table, r *Rule) {
	t.list("key", func(v view) {
		if g := v.glob(t, glob.ParseKey); g != nil {
			r.keys = append(r.keys, g)
		}
	})
	t.list("key_not", func(v view) {
		if g := v.glob(t, glob.ParsePlain); g != nil {
			r.keysNot = append(r.keysNot, g)
		}
	})
	t.list("key_regex", func(v view) {
		s, ok := v.text()
		if !ok {
			return
		}
		re, err := c.compiler.Pattern(s)
		if err != nil {
			v.errorf("", "%s", err)
			return
		}
		r.regexes = append(r.regexes, re)
	})
	r.captures = condition.NewCaptures(r.keys, r.regexes)
}

// glob compiles a pattern of the rule, or the cancel pattern, t.
func (v view) glob(t *table, parse func(string) (*glob.Pattern, error)) *glob.Pattern {
	s, ok := v.text()
	if !ok {
		return nil
	}
	g, err := parse(s)
	if err != nil {
		v.errorf("", "%v", err)
		return nil
	}
	for _, d := range glob.Doubts(s) {
		if d.Capture == "" || !v.l.d.uses(t, d.Capture) {
			v.inString(d.Offset).as("doubtful-pattern").warnf(d.Hint, "%s", d.Msg)
		}
	}
	return g
}

// uses reports whether something in a rule, or in a target that it names, may
// use what its key captures under a name. A cancel pattern captures for the rule
// that it is of.
func (d *document) uses(t *table, name string) bool {
	if !t.has("action") {
		return true
	}
	var mentions func(v any) bool
	mentions = func(v any) bool {
		switch v := v.(type) {
		case string:
			if target, ok := d.targets[v]; ok && mentions(target.v) {
				return true
			}
			return strings.Contains(v, "params") && strings.Contains(v, name)
		case []any:
			return slices.ContainsFunc(v, mentions)
		case map[string]any:
			return slices.ContainsFunc(slices.Collect(maps.Values(v)), mentions)
		}
		return false
	}
	return mentions(t.m)
}

func (c *compilation) commandsAndEvents(t *table, r *Rule) {
	if v, ok := t.get("command"); ok {
		names, named := map[string]bool{}, map[string]bool{}
		v.each(func(v view) { c.commands.resolve(v, names, named) })
		r.commands, r.commandsNamed = c.names(names), c.names(named)
	}
	if v, ok := t.get("command_not"); ok {
		names := map[string]bool{}
		v.each(func(v view) { c.commands.resolve(v, names, map[string]bool{}) })
		r.commandsNot = c.names(names)
	}
	if v, ok := t.get("event"); ok {
		names := map[string]bool{}
		v.each(func(v view) { c.event(v, r, names) })
		r.events = c.names(names)
	}
}

// names returns a set of names, the same for the same names.
func (c *compilation) names(names map[string]bool) *nameSet {
	s := newNameSet(names)
	text := strings.Join(s.few, "\x00")
	if have, ok := c.nameSets[text]; ok {
		return have
	}
	c.nameSets[text] = s
	return s
}

func (c *compilation) event(v view, r *Rule, names map[string]bool) {
	name, ok := v.str()
	switch {
	case !ok:
	case name == event.Schedule:
		v.errorf("a rule of the clock has a field schedule", "%q is not an event to wait for", name)
	case name == "" || !c.events.has(name):
		v.errorf(c.eventHint(name), "unknown event %s", v.shown(name))
	case name == anyWrite:
		r.anyWrite = true
	default:
		if name == "evicted" {
			v.as("evicted").warnf(`use "del"; cause is "deleted" for both`, "an eviction arrives as a deletion, which nothing in the stream tells apart: this event never comes")
		}
		r.Snapshot = r.Snapshot || name == event.Snapshot
		names[name] = true
	}
}

func (v view) keyType(r *Rule) {
	name, ok := v.str()
	if !ok {
		return
	}
	if !slices.Contains(keyTypes, name) && !strings.Contains(name, "-") { // a module's type has a dash
		v.errorf(suggest.DidYouMean(name, slices.Values(keyTypes)), "%s is not one of %s", v.shown(name), strings.Join(keyTypes, ", "))
		return
	}
	r.types = append(r.types, name)
}

// rejectMomentary reports what a condition reads though it changes with each
// event, where that has to last for some time. It warns of one that does not read
// the key at all.
func (c *compilation) rejectMomentary(v view, src string, r *Rule, why, always string) {
	names, state, ok := c.compiler.Momentary(src, r.captures.Names())
	if !ok {
		return
	}
	for _, p := range names {
		v.inString(p.Offset).errorf("ask key, db, type, after, ttl or params", "%s tells of the change at hand, and %s", p.Msg, why)
	}
	if len(names) == 0 && !state {
		v.as("for-momentary").warnf("ask after: num(after) < 5", "%s", always)
	}
}

// when compiles the condition, and returns what it says to the index.
func (c *compilation) when(v view, r *Rule) []condition.Conjunct {
	src, ok := v.text()
	if !ok {
		return nil
	}
	cond, report := c.compiler.Condition(src, r.captures.Names())
	v.report(report)
	r.When, r.cond, r.counts = src, cond, new(conditionCounts)
	return report.Says
}

// schedule decodes the fields of a rule that the clock fires.
func (t *table) schedule(r *Rule) {
	zone := time.Local
	read(t, "timezone", &zone, view.location)
	v, ok := t.get("schedule")
	if !ok {
		if t.has("timezone") {
			t.kid("timezone", nil).errorf("", "timezone without schedule")
		}
		return
	}
	r.Schedule = v.cron(zone)
	for _, name := range slices.Concat(matchFields, timeFields) {
		if t.has(name) && !slices.Contains(ofClock, name) {
			t.key(name).errorf("make two rules of it", "a rule with a schedule waits for the clock, not for events")
		}
	}
}

// byTheHour is the hour of a schedule that has no time of day.
var byTheHour = regexp.MustCompile(`^[*?](/[0-9]+)?$`)

// isByTheHour reports whether a schedule is by the hour, and not for times of
// the day.
func isByTheHour(spec string) bool {
	fields := strings.Fields(spec)
	return spec == "@hourly" || len(fields) == 5 && byTheHour.MatchString(fields[1])
}

// cron parses the five fields of cron, or a descriptor like @daily.
func (v view) cron(zone *time.Location) cron.Schedule {
	spec, ok := v.str()
	if !ok {
		return nil
	}
	if strings.Contains(spec, "TZ=") { // a prefix of cron's own; without a space after it the parser panics
		v.errorf("use the field timezone", "a schedule does not name its time zone")
		return nil
	}
	s, err := cron.ParseStandard(spec)
	if err != nil {
		hint := `minute, hour, day of month, month, day of week, as in "0 7 * * mon-fri"; or "@every 10m"`
		if strings.HasPrefix(spec, "@") {
			hint = cmp.Or(suggest.DidYouMean(spec, slices.Values([]string{"@hourly", "@daily", "@midnight", "@weekly", "@monthly", "@yearly", "@annually"})), hint)
		}
		v.errorf(hint, "not a schedule: %v", err)
		return nil
	}
	if shown, ok := s.(*cron.SpecSchedule); ok {
		shown.Location = time.UTC
		s = timing.OnWall(shown, zone, isByTheHour(spec))
	}
	if s.Next(time.Now()).IsZero() {
		v.errorf("", "this time never comes")
		return nil
	}
	return s
}
