package rules

import (
	"math"
	"strings"
	"time"

	"triggerd/internal/suggest"
)

// Test is one [[test]]: commands, and which rules have to fire for them.
type Test struct {
	Name  string
	Start time.Time // when the test's clock begins; a Monday's midnight, UTC, if the file does not say
	Given []Given   // what is there before the feed, in the order of the keys
	Feed  []Step
	// Expect says how often each of these rules has to fire. A rule with
	// several actions counts once for each match. Other rules may fire or not.
	Expect map[string]int
	// ExpectBody says what is in the bodies that each of these rules sends, in
	// their order: fields, and the values that they have.
	ExpectBody map[string][]map[string]any

	File      string // where it begins; Line is 0 for Build
	Line, Col int
}

// Step is one step of a test: a command as it would arrive from the server, or
// a pause.
type Step struct {
	Command string        // "" for a pause
	Pause   time.Duration // how far the test's clock moves
}

// testStart is when tests begin: a Monday.
var testStart = time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)

// test decodes one [[test]]. It returns nil if v is no table.
func (c *compilation) test(v view) *Test {
	v.rule, v.field = "", ""
	t, ok := v.table()
	if !ok {
		return nil
	}
	test := &Test{Start: testStart, Expect: map[string]int{}}
	test.File, test.Line, test.Col = t.location()
	read(t, "name", &test.Name, view.str)
	if test.Name == "" {
		t.errorf(`give it one: name = "fires once"`, "the test has no name")
	}
	read(t, "start", &test.Start, view.moment)
	t.section("given", func(t *table) { test.Given = t.given() })
	if !t.has("feed") {
		t.errorf(`feed = ["SET stock:7 1"]`, "the test feeds nothing")
	}
	var open Transactions
	var begun view // the MULTI
	t.list("feed", func(v view) {
		s, ok := v.step()
		if !ok {
			return
		}
		test.Feed = append(test.Feed, s)
		mistake, hint := open.Step(s)
		if mistake != "" {
			v.errorf(hint, "%s", mistake)
		}
		if open.Begins(s) {
			begun = v
		}
	})
	if mistake, hint := open.End(); mistake != "" {
		begun.errorf(hint, "%s", mistake)
	}
	if !t.has("expect") && !t.has("expect_body") {
		t.errorf("expect = { a-rule = 1 }", "the test expects nothing")
	}
	c.expected(t, "expect", func(name string, v view) {
		if n, ok := v.integer(0, math.MaxInt); ok {
			test.Expect[name] = n
		}
	})
	c.expected(t, "expect_body", func(name string, v view) {
		v.each(func(v view) {
			if body, ok := v.v.(map[string]any); ok && v.isJSON() {
				if test.ExpectBody == nil {
					test.ExpectBody = map[string][]map[string]any{}
				}
				test.ExpectBody[name] = append(test.ExpectBody[name], body)
			} else if !ok {
				v.wrongType("a table", `expect_body = { a-rule = { data = { key = "stock:7" } } }`)
			}
		})
	})
	t.done()
	return test
}

// expected calls f for each rule that a test expects something of.
func (c *compilation) expected(t *table, field string, f func(name string, v view)) {
	t.section(field, func(t *table) {
		for name := range sortedKeys(t.m) {
			v, _ := t.get(name)
			if _, known := c.ruleNames[name]; !known {
				v.atKey = true
				v.errorf(suggest.DidYouMean(name, sortedKeys(c.ruleNames)), "there is no rule %q", name)
				v.atKey = false
			}
			f(name, v)
		}
	})
}

// isJSON reports a mistake, and returns false, if a part of the value is nothing
// that JSON has.
func (v view) isJSON() bool {
	ok := true
	switch value := v.v.(type) {
	case string, int64, float64, bool:
	case []any:
		for i, e := range value {
			ok = v.elem(i, e).isJSON() && ok
		}
	case map[string]any:
		for name := range sortedKeys(value) {
			ok = v.kid(name, value[name]).isJSON() && ok
		}
	default:
		v.errorf("write it as a text", "JSON has no dates and times")
		return false
	}
	return ok
}

// moment decodes a time with its zone, as text or as a TOML time.
func (v view) moment() (time.Time, bool) {
	const hint = `start = "2024-01-01T07:00:00Z"`
	switch value := v.v.(type) {
	case time.Time:
		if !strings.HasSuffix(value.Location().String(), "-local") { // toml's name for a time without a zone ends with it
			return value, true
		}
		v.errorf(hint, "a time without its zone")
	case string:
		at, err := time.Parse(time.RFC3339, value)
		if err == nil {
			return at, true
		}
		v.errorf(hint, "%q is not a time", value)
	default:
		v.wrongType("a time", hint)
	}
	return time.Time{}, false
}

// step decodes a command, or { at = "+30m" }.
func (v view) step() (s Step, ok bool) {
	if _, isText := v.v.(string); isText {
		s.Command, ok = v.text()
		if ok && (strings.TrimSpace(s.Command) == "" || strings.ContainsAny(s.Command, "\r\n")) {
			v.errorf(`one command: "SET stock:7 1"`, "not a command")
			return s, false
		}
		if ok && v.l.o.Feed != nil {
			if mistake, hint := v.l.o.Feed(s.Command); mistake != "" {
				v.errorf(hint, "%s", mistake)
			}
		}
		return s, ok
	}
	t, ok := v.table()
	if !ok {
		return s, false
	}
	at, ok := t.get("at")
	t.done()
	if !ok {
		t.errorf(`a command, or { at = "+30m" }`, "not a step of a test")
		return s, false
	}
	text, ok := at.str()
	if !ok {
		return s, false
	}
	if !strings.HasPrefix(text, "+") {
		at.errorf(`at = "+30m" is half an hour after the step before`, "%s has no +", at.shown(text))
		return s, false
	}
	if s.Pause, ok = ParsePause(text); !ok {
		at.errorf(`write "+10s", "+5m", "+1h30m", "+7d"`, "%s is not a pause", at.shown(text))
	}
	return s, ok
}

// Transactions checks that each MULTI of a feed has its EXEC, step by step. The zero
// value is ready.
type Transactions struct{ open bool }

// Begins reports whether a step is a MULTI.
func (t *Transactions) Begins(s Step) bool { return isWord(s.Command, "MULTI") }

// Step returns what is wrong with the next step, and what to do about it; "" for
// nothing.
func (t *Transactions) Step(s Step) (mistake, hint string) {
	switch {
	case t.Begins(s):
		if t.open {
			return "MULTI inside of MULTI", `"EXEC" ends a transaction`
		}
		t.open = true
	case isWord(s.Command, "EXEC"):
		if !t.open {
			return "EXEC without MULTI", `"MULTI" begins a transaction`
		}
		t.open = false
	case isWord(s.Command, "DISCARD"):
		return "DISCARD never arrives: a server sends what was done", "leave the transaction out"
	}
	return "", ""
}

// End returns what is wrong with the feed's end.
func (t *Transactions) End() (mistake, hint string) {
	if t.open {
		return "MULTI without EXEC: nothing of a transaction arrives before its end", `"EXEC" ends it`
	}
	return "", ""
}

func isWord(command, word string) bool {
	words := strings.Fields(command)
	return len(words) > 0 && strings.EqualFold(words[0], word)
}

// ParsePause returns how far a pause of a test moves its clock: "+30m", "+7d".
func ParsePause(text string) (time.Duration, bool) {
	after, plus := strings.CutPrefix(text, "+")
	d, err := parseDuration(after)
	return d, plus && err == nil && d > 0
}
