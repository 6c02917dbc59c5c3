package rules

import (
	"fmt"
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
	"testing"

	"triggerd/internal/condition"
	"triggerd/internal/condition/conditiontest"
	"triggerd/internal/event"
	"triggerd/internal/glob"
)

// naive tells whether a key matches a pattern of these tests, by way of a
// regular expression.
func naive(pattern, key string) bool {
	re := naivePatterns[pattern]
	if re == nil {
		re = regexp.MustCompile(`(?s)^(?:` + patternParts.ReplaceAllStringFunc(pattern, naivePart) + `)$`)
		naivePatterns[pattern] = re
	}
	return re.MatchString(key)
}

var (
	naivePatterns = map[string]*regexp.Regexp{} // those that were met
	patternParts  = regexp.MustCompile(`\\(.)|\{\w+\}|\[[^]]*\]|.`)
)

// naivePart returns the expression of one part of a pattern.
func naivePart(part string) string {
	switch part[0] {
	case '*':
		return ".*"
	case '?':
		return "."
	case '[':
		return part
	case '{':
		return "[^:]+"
	}
	return regexp.QuoteMeta(strings.TrimPrefix(part, `\`))
}

// spec is a rule as a person would say it; matches is a matcher that shares
// no code with the package's.
type spec struct {
	doc                           map[string]any
	keys, keysNot                 []string
	regex                         string
	commands, commandsNot, events []string
	dbs                           []int
	types                         []string
	when                          string
	snapshot, disabled            bool
}

func randomSpec(rng *rand.Rand, g *conditiontest.Generator, i int) spec {
	s := spec{doc: map[string]any{"name": fmt.Sprintf("r%d", i), "action": map[string]any{"type": "log"}}}
	some := func(list ...string) []string {
		var out []string
		for range 1 + rng.IntN(3) {
			out = append(out, list[rng.IntN(len(list))])
		}
		return out
	}
	often := func() bool { return rng.IntN(3) == 0 }
	set := func(name string, value any) { s.doc[name] = value }
	keys := []string{"a", "a:7", "a*", "*:x", "*:7*", "a:*:x", "{x}:{y}", "a:{y}", "?:7", "[ab]:*", "*", "test:1", "*a*b*", "{x}*", `a\*`}
	if rng.IntN(4) > 0 {
		s.keys = some(keys...)
		set("key", s.keys)
	}
	if rng.IntN(6) == 0 {
		s.keysNot = some("a:8*", "test:*", "b")
		set("key_not", s.keysNot)
	}
	if rng.IntN(6) == 0 {
		s.regex = some("^a:", "[0-9]$", "x", "^b:(?P<x>.)", "^ab[0-9]+$", "(?i)A", "a|b")[0]
		set("key_regex", s.regex)
	}
	if often() {
		s.commands = some("SET", "DEL", "XGROUP", "HSET", "PUBLISH", "XGROUP CREATE")
		set("command", s.commands)
	}
	if rng.IntN(6) == 0 {
		s.commandsNot = some("SET", "XGROUP", "JSON.SET")
		set("command_not", s.commandsNot)
	}
	if often() {
		s.events = some("set", "del", "write", "publish", "snapshot", "expired")
		set("event", s.events)
	}
	if rng.IntN(5) == 0 {
		s.dbs = []int{rng.IntN(4), rng.IntN(4)}
		set("db", s.dbs)
	}
	if rng.IntN(5) == 0 {
		s.types = some("string", "hash")
		set("type", s.types)
	}
	if rng.IntN(5) == 0 {
		s.snapshot = true
		set("snapshot", true)
	}
	if rng.IntN(10) == 0 {
		s.disabled = true
		set("enabled", false)
	}
	if often() {
		c := testCompiler()
		for {
			s.when = g.Boolean(1 + rng.IntN(3))
			if _, report := c.Condition(s.when, s.captures().Names()); len(report.Problems) == 0 {
				break
			}
		}
		set("when", s.when)
	}
	return s
}

// macros are those of conditiontest, as a document has them.
func macros() map[string]any {
	doc := map[string]any{}
	for name, text := range conditiontest.Macros() {
		doc[name] = text
	}
	return doc
}

// testCompiler compiles conditions of a conditiontest.Generator.
func testCompiler() *condition.Compiler {
	return condition.NewCompiler(condition.Config{Macros: conditiontest.Macros(), Lists: conditiontest.Lists()})
}

// captures are those of the spec's keys and regular expression.
func (s *spec) captures() *condition.Captures {
	var keys []*glob.Pattern
	for _, text := range s.keys {
		p, err := glob.ParseKey(text)
		if err != nil {
			panic(err)
		}
		keys = append(keys, p)
	}
	var regexes []*regexp.Regexp
	if s.regex != "" {
		regexes = append(regexes, regexp.MustCompile(s.regex))
	}
	return condition.NewCaptures(keys, regexes)
}

// holds evaluates the spec's condition by itself.
func (s *spec) holds(c *condition.Compiler, ev *event.Event) (bool, error) {
	cond, report := c.Condition(s.when, s.captures().Names())
	if cond == nil {
		return false, fmt.Errorf("%s: %v", s.when, report.Problems)
	}
	var e condition.Evaluator
	e.Begin(ev)
	return e.Holds(cond, s.captures())
}

func (s *spec) matches(ev *event.Event, condition func() (bool, error)) bool {
	is := func(list []string, v string) bool { return slices.Contains(list, v) }
	isCommand := func(list []string) bool {
		parent, _, _ := strings.Cut(ev.Command, " ")
		return ev.Command != "" && (is(list, ev.Command) || is(list, parent))
	}
	globbed := func(list []string) bool {
		return slices.ContainsFunc(list, func(p string) bool { return naive(p, string(ev.Key)) })
	}
	switch {
	case s.disabled:
		return false
	case ev.Name == event.Snapshot:
		if !s.snapshot && !is(s.events, event.Snapshot) {
			return false
		}
	case ev.Key == nil:
		if !is(s.events, ev.Name) && !isCommand(s.commands) || s.events != nil && !is(s.events, ev.Name) {
			return false
		}
		if s.commands != nil && !isCommand(s.commands) || isCommand(s.commandsNot) {
			return false
		}
	default:
		if s.events != nil && !is(s.events, ev.Name) && !is(s.events, "write") {
			return false
		}
		if s.commands != nil && !isCommand(s.commands) || isCommand(s.commandsNot) {
			return false
		}
	}
	if ev.Key == nil && (s.keys != nil || s.regex != "") {
		return false
	}
	if ev.Key != nil {
		if s.keys != nil && !globbed(s.keys) || globbed(s.keysNot) {
			return false
		}
		if s.regex != "" && !regexp.MustCompile(s.regex).Match(ev.Key) {
			return false
		}
	}
	if s.dbs != nil && !slices.Contains(s.dbs, ev.DB) || s.types != nil && !is(s.types, ev.Type) {
		return false
	}
	if s.when == "" {
		return true
	}
	ok, err := condition()
	return ok && err == nil
}

// TestSetsAgainstNaive compares sets of random rules with the naive matcher.
func TestSetsAgainstNaive(t *testing.T) {
	rng := rand.New(rand.NewPCG(6, 0))
	g := &conditiontest.Generator{Rng: rng}
	matched, events := 0, 0
	for range 150 {
		n := 1 + rng.IntN(60)
		specs := make([]spec, n)
		docs := make([]any, n)
		for i := range specs {
			specs[i] = randomSpec(rng, g, i)
			docs[i] = specs[i].doc
		}
		set, err := Build(map[string]any{
			"rule":   docs,
			"macros": macros(),
			"lists":  conditiontest.Lists(),
		}, Options{})
		if err != nil {
			t.Fatal(err)
		}
		c := testCompiler()
		m := set.Matcher()
		for range 60 {
			ev := conditiontest.Event(rng)
			switch rng.IntN(8) {
			case 0:
				ev.Name, ev.Origin, ev.Command, ev.Args = event.Snapshot, event.FromSnapshot, "", nil
			case 1:
				ev.Name, ev.Command, ev.Key = event.Publish, "PUBLISH", nil
			}
			events++
			var want []string
			for i := range specs {
				if specs[i].matches(ev, func() (bool, error) { return specs[i].holds(c, ev) }) {
					want = append(want, fmt.Sprintf("r%d", i))
				}
			}
			var got []string
			for _, match := range m.Match(nil, ev) {
				got = append(got, match.Rule.Name)
			}
			if !slices.Equal(got, want) {
				t.Fatalf("%s %s %q %q db %d: got %v, want %v\n%v", ev.Name, ev.Command, ev.Key, ev.Args, ev.DB, got, want, specs)
			}
			matched += len(want)
		}
	}
	t.Logf("%d matches of %d events", matched, events)
	if matched < events {
		t.Errorf("only %d matches of %d events: the test tests too little", matched, events)
	}
}

// TestRolesAgainstNaive compares what events are to rules with cancel and with
// for, among others, with what their fields say.
func TestRolesAgainstNaive(t *testing.T) {
	rng := rand.New(rand.NewPCG(8, 0))
	g := &conditiontest.Generator{Rng: rng}
	counts := map[string]int{}
	for range 100 {
		n := 1 + rng.IntN(30)
		specs, cancels, docs := make([]spec, n), make([][]spec, n), make([]any, n)
		for i := range specs {
			specs[i] = randomSpec(rng, g, i)
			doc := specs[i].doc
			docs[i] = doc
			switch rng.IntN(3) {
			case 0:
				doc["absent"] = map[string]any{"for": "1m"}
				var list []any
				for range 1 + rng.IntN(3) {
					c := randomSpec(rng, g, i)
					c.disabled, c.snapshot = specs[i].disabled, false
					for _, field := range []string{"name", "action", "enabled", "snapshot"} {
						delete(c.doc, field)
					}
					if len(c.doc) == 0 {
						c.keys, c.doc["key"] = []string{"a*"}, "a*"
					}
					cancels[i], list = append(cancels[i], c), append(list, c.doc)
				}
				doc["cancel"] = list
			case 1:
				doc["for"], doc["when"], specs[i].when = "1m", "num(after) < 5", "num(after) < 5"
			}
		}
		set, err := Build(map[string]any{
			"rule":   docs,
			"macros": macros(),
			"lists":  conditiontest.Lists(),
		}, Options{})
		if err != nil {
			t.Fatal(err)
		}
		c := testCompiler()
		// naively tells whether a spec matches.
		naively := func(s *spec, ev *event.Event) bool {
			return s.matches(ev, func() (bool, error) { return s.holds(c, ev) })
		}
		matcher := set.Matcher()
		for range 40 {
			ev := conditiontest.Event(rng)
			switch rng.IntN(8) {
			case 0:
				ev.Name, ev.Origin, ev.Command, ev.Args = event.Snapshot, event.FromSnapshot, "", nil
			case 1:
				ev.Name, ev.Command, ev.Key = event.Publish, "PUBLISH", nil
			}
			number := rng.IntN(10)
			if ev.After = event.String(fmt.Append(nil, number)); number == 9 {
				ev.After = event.None
			}
			var want []string
			for i := range specs {
				s := &specs[i]
				role := "none"
				switch {
				case s.doc["for"] != nil:
					place := spec{keys: s.keys, keysNot: s.keysNot, regex: s.regex, dbs: s.dbs, disabled: s.disabled, snapshot: true}
					gone := number == 9 || slices.Contains([]string{"del", "expired"}, ev.Name)
					ofType := s.types == nil || slices.Contains(s.types, ev.Type)
					switch {
					case ev.Key == nil || !place.matches(ev, nil):
					case gone || number >= 5 || !ofType:
						role = "ends"
					case naively(s, ev):
						role = "fires"
					}
				case slices.ContainsFunc(cancels[i], func(c spec) bool { return naively(&c, ev) }):
					role = "cancels"
				case naively(s, ev):
					role = "fires"
				}
				if counts[role]++; role != "none" {
					want = append(want, fmt.Sprintf("r%d %s", i, role))
				}
			}
			var got []string
			for _, m := range matcher.Match(nil, ev) {
				got = append(got, m.Rule.Name+" "+[...]string{"fires", "cancels", "ends"}[m.Role])
			}
			if !slices.Equal(got, want) {
				t.Fatalf("%s %s %q %q db %d: got %v, want %v\n%v", ev.Name, ev.Command, ev.Key, ev.Args, ev.DB, got, want, docs)
			}
		}
	}
	t.Log(counts)
	for _, role := range []string{"none", "fires", "cancels", "ends"} {
		if counts[role] < 200 {
			t.Errorf("only %d times %s", counts[role], role)
		}
	}
}
