package condition

import (
	"fmt"
	"strings"
	"testing"

	"triggerd/internal/event"
)

// TestNeither checks what conditions come to where something is no number, and
// where numbers are beyond what a float64 holds: closures and machine alike.
func TestNeither(t *testing.T) {
	text := func(s string) event.Value { return event.String([]byte(s)) }
	list := func(items ...string) event.Value {
		var l []event.Element
		for _, s := range items {
			l = append(l, event.Element{Name: s})
		}
		return event.Elements("list", l)
	}
	tests := []struct {
		cond  string
		after event.Value
		want  truth
	}{
		// Kleene's tables.
		{`num(after) > 5`, text("7"), yes},
		{`num(after) > 5`, text("vip"), unknown},
		{`!(num(after) > 5)`, text("vip"), unknown},
		{`num(after) != 5`, text("vip"), unknown},
		{`not (num(after) == 5)`, text("7"), yes},
		{`num(after) > 5 || after == "vip"`, text("vip"), yes},
		{`after == "vip" || num(after) > 5`, text("vip"), yes},
		{`num(after) > 5 || after == "vip"`, text("abc"), unknown},
		{`num(after) > 5 && after == "vip"`, text("abc"), no},
		{`num(after) > 5 && after == "abc"`, text("abc"), unknown},
		{`!(num(after) > 5 && after == "vip")`, text("abc"), yes},
		{`(num(after) > 5) == (num(after) > 5)`, text("abc"), unknown},
		{`(num(after) > 5) != true`, text("abc"), unknown},
		{`num(after) > 5`, event.None, missing},
		{`num(after) > num(before)`, text("5"), missing},
		{`num(after) > num(before)`, text("x"), unknown},
		{`num(after, 0) > 5`, text("vip"), no},
		{`num(after, 9) > 5`, event.None, yes},
		{`num(after, num(arg(0))) > 5`, text("x"), unknown},
		{`num(after, 9007199254740993) == 9007199254740993`, text("x"), yes},
		{`num(after) > 5`, list("7"), unknown},
		{`crossed(5)`, text("7"), missing},
		{`!crossed(5)`, text("vip"), unknown},

		// Arithmetic with it stays it.
		{`num(after) + 1 > 5`, text("x"), unknown},
		{`-num(after) * 0 == 0`, text("x"), unknown},
		{`abs(num(after)) >= 0 || floor(num(after)) >= 0`, text("x"), unknown},
		{`int(num(after)) == 0`, text("x"), unknown},
		{`num(after) / 0 > 5`, text("1"), yes},
		{`num(after) / 0 > 5`, text("0"), unknown},

		// Where something has to go one way or the other.
		{`num(after) > 5 ? true : false`, text("x"), no},
		{`(num(after) > 5 ? "high" : "low") == "low"`, text("x"), yes},
		{`(num(after) ?? 7) == 7`, text("x"), yes},
		{`(num(after) ?? 7) == 7`, text("3"), no},
		{`(num(after) > 5) ?? true`, text("x"), yes},
		{`num(after) in [1, 2.5]`, text("x"), unknown},
		{`num(after) not in [1, 2.5]`, text("x"), unknown},
		{`num(after) in []`, text("x"), no},
		{`num(after) in lists.none`, text("x"), no},
		{`num(after) in lists.prices`, text("x"), unknown},
		{`num(after) in 1..3`, text("x"), unknown},
		{`1 in [num(after), 1]`, text("x"), yes},
		{`1 in [num(after), 2]`, text("x"), unknown},

		// Predicates.
		{`any(after, num(#) > 5)`, list("abc", "7"), yes},
		{`any(after, num(#) > 5)`, list("abc", "3"), unknown},
		{`any(after, num(#) > 5)`, list("3"), no},
		{`!any(after, num(#) > 5)`, list("abc", "3"), unknown},
		{`none(after, num(#) > 5)`, list("abc", "3"), unknown},
		{`none(after, num(#) > 5)`, list("abc", "7"), no},
		{`none(after, num(#) > 5)`, list("3"), yes},
		{`all(after, num(#) > 5)`, list("abc", "7"), unknown},
		{`all(after, num(#) > 5)`, list("abc", "3"), no},
		{`all(after, num(#) > 5)`, list("7"), yes},
		{`count(after, num(#) > 5) == 1`, list("abc", "7", "3"), yes},
		{`count(after, !(num(#) > 5)) == 1`, list("abc", "7", "3"), yes},
		{`one(after, num(#) > 5)`, list("abc", "7"), yes},
		{`one(after, num(#) > 5)`, list("abc", "3"), no},
		{`any(after, num(#) > 5 || # == "abc")`, list("abc"), yes},
		{`any(args, num(#) > 5)`, text(""), unknown},
		{`any(lists.prices, # == 9007199254740993)`, text(""), yes},
		{`any(lists.prices, # == 9007199254740992)`, text(""), no},

		// Numbers.
		{`num(after) == 9007199254740993`, text("9007199254740993"), yes},
		{`num(after) == 9007199254740992`, text("9007199254740993"), no},
		{`num(after) > 9007199254740992.0`, text("9007199254740993"), yes},
		{`num(after) == 9007199254740993.0`, text("9007199254740993"), yes},
		{`num(after) == 5.0 && num(after) in [5.0] && 5.0 == num(after)`, text("5"), yes},
		{`num(after) + 1 > num(after)`, text("9223372036854775807"), yes},
		{`num(after) + 1 == 9223372036854775808`, text("9223372036854775807"), yes},
		{`num(after) * 2 > 0 && -num(after) - 9 < 0`, text("9223372036854775807"), yes},
		{`9223372036854775807 + 1 > 0`, text(""), yes},
		{`-num(after) == 9223372036854775808`, text("-9223372036854775808"), yes},
		{`num(after) / 2 == 2.5`, text("5"), yes},
		{`num(after) in lists.prices && json("9007199254740993", "") in lists.prices`, text("2.5"), yes},
		{`json(after, "id") == 9007199254740993`, text(`{"id":9007199254740993}`), yes},
		{`json(after, "id") == 9007199254740992`, text(`{"id":9007199254740993}`), no},
		{`json(after, "id") in lists.prices`, text(`{"id":9007199254740993}`), yes},
		{`json(after, "id") in lists.prices`, text(`{"id":"5"}`), no},
		{`json(after, "id") in lists.prices`, text(`{"id":5.0}`), yes},
		{`json(after, "id") in lists.skus`, text(`{"id":7}`), no},
		{`num(json(after, "id")) > 1`, text(`{"id":"x"}`), unknown},
		{`num(json(after, "id")) > 1`, text(`{}`), missing},
		{`json(after, "id") != 5`, text(`{}`), yes},
		{`1 < num(after) <= 5`, text("5"), yes},
		{`1 < num(after) < 5`, text("5"), no},
		{`1 < num(after) < 5`, text("x"), unknown},
		{`9 > num(after) >= len(after) > 0 && key == ""`, text("5"), yes},
		{`0 < len(args) < num(after) < 6 <= 6.5`, text("5"), yes},
		{`any(args, 0 < len(#) < num(#, 2))`, text("5"), yes},
	}
	c := testCompiler()
	for _, test := range tests {
		cond, report := c.Condition(test.cond, nil)
		if cond == nil {
			t.Errorf("%s: %v", test.cond, report.Problems)
			continue
		}
		machine := &Condition{program: machineProgram(t, c, test.cond, nil)}
		for i, cond := range []*Condition{cond, machine} {
			var e Evaluator
			e.Begin(&event.Event{Before: event.None, After: test.after, Args: [][]byte{[]byte("a")}})
			holds, err := e.Holds(cond, nil)
			if err != nil || e.last != test.want {
				t.Errorf("%s of %s (%d): %d %v, want %d", test.cond, shown(test.after), i, e.last, err, test.want)
			}
			if holds != (test.want == yes) || e.Decided() != test.want.decided() || e.NotNumber() != (test.want == unknown) {
				t.Errorf("%s of %s: holds %v, decided %v, not a number %v", test.cond, shown(test.after), holds, e.Decided(), e.NotNumber())
			}
		}
	}
}

// TestNumberMistakes checks what is said of numbers when a condition is
// compiled, and where.
func TestNumberMistakes(t *testing.T) {
	tests := []struct {
		cond             string
		problem, warning string
		at               int
	}{
		{cond: `key in lists.dbs`, problem: "a text is never in a list of numbers", at: 4},
		{cond: `num(key) in lists.skus`, problem: "a number is never in a list of texts", at: 9},
		{cond: `num(key) % 2 == 0`, problem: "% is of whole numbers", at: 9},
		{cond: `num(key, "5") > 1`, problem: "cannot use string as argument"},
		{cond: `num(key, json(key, "a")) > 1`, problem: "a value of any kind cannot be ordered or calculated with", at: 9},
		{cond: `num(key) > 9223372036854775809`, warning: "9223372036854775809 is taken for 9223372036854775808", at: 11},
		{cond: `key == "é" && crossed(9_223_372_036_854_775_809)`, warning: "9_223_372_036_854_775_809 is taken for", at: 23},
		{cond: `1.00000000000000000001 < num(key) && num(key) > 0.1`, warning: "1.00000000000000000001 is taken for 1,"},
		{cond: `num(key) in [9223372036854775808, 9223372036854775807, 0x7fffffffffffffff, 1e22, 18446744073709551616]`},
	}
	c := testCompiler()
	find := func(list []Problem) (msg string, at int) {
		if len(list) == 1 {
			return list[0].Msg, list[0].Offset
		}
		return "", len(list)
	}
	for _, test := range tests {
		_, report := c.Condition(test.cond, nil)
		problem, at := find(report.Problems)
		warning, warnedAt := find(report.Warnings)
		if (problem == "") != (test.problem == "") || !strings.HasPrefix(problem, test.problem) || (warning == "") != (test.warning == "") || !strings.HasPrefix(warning, test.warning) {
			t.Errorf("%s: problems %v, warnings %v", test.cond, report.Problems, report.Warnings)
		}
		if max(at, warnedAt) != test.at && problem == "" {
			t.Errorf("%s: at %d, %d, want %d", test.cond, at, warnedAt, test.at)
		}
	}
}

// TestPlainErrors: what a condition could not do is one line, in words of the
// documentation, whoever evaluates it.
func TestPlainErrors(t *testing.T) {
	c := testCompiler()
	hash := event.Elements("hash", []event.Element{{Name: "a", Value: "b"}})
	for src, want := range map[string]string{
		`after[0].score == 5`:           "after is a hash: its elements have names, not numbers",
		`after[arg(0)].x == "b"`:        "text has no parts with names",
		`after[arg(1)].x == "b"`:        "what is not there has no x",
		`after[arg(0)] in args`:         "",
		`int(after[arg(0)]) > 5`:        `not an integer`,
		`any(after[arg(0)], .x == "b")`: "text has no x",
	} {
		cond, report := c.Condition(src, nil)
		if cond == nil {
			t.Errorf("%s: %v", src, report.Problems)
			continue
		}
		var e Evaluator
		e.Begin(&event.Event{Before: event.None, After: hash, Args: [][]byte{[]byte("a")}})
		_, err := e.Holds(cond, nil)
		if got := fmt.Sprint(err); strings.ContainsAny(got, "\n|") || want == "" && err != nil || !strings.Contains(got, want) {
			t.Errorf("%s: got %v, want %q", src, err, want)
		}
	}
}
