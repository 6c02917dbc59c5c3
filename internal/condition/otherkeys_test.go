package condition

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"triggerd/internal/event"
)

// TestOtherKeys checks what is asked of other keys, closures and machine alike.
func TestOtherKeys(t *testing.T) {
	values := map[string]event.Value{
		"0 limit:7": event.String([]byte("5")), "0 user:7": hash("email", "a@b", "plan", "pro"), "0 board": zset("ann", 12.5),
		"0 banned": items("set", "ann", "bob"), "0 list": items("list", "x", "y"), "0 none": event.None, "3 limit:7": event.String([]byte("9")),
		"0 cut": event.CloneValue(items("set", "a", "b"), 20),
	}
	lookup := func(db int, key []byte) event.Value { return values[fmt.Sprint(db, " ", string(key))] }
	tests := []struct {
		cond string
		want truth
		err  string
	}{
		{`num(value("limit:" + arg(0))) == 5`, yes, ""},
		{`value("limit:" + arg(0)) == "5" && value("limit:" + arg(0)) != after`, yes, ""},
		{`num(value("none"), 100) == 100 && value("none") == nil`, yes, ""},
		{`num(value("none")) > 1`, missing, ""},
		{`num(value("user:7")) > 1`, unknown, ""},
		{`num(value("unknown"), 1) > 1`, no, `value("unknown") is not known`},
		{`value("unknown") == nil`, no, `value("unknown") is not known`},
		{`"a" in value("cut")`, yes, ""},
		{`"b" in value("cut")`, no, `value("cut") is not known whole`},
		{`field("user:" + arg(0), "email") == "a@b" && value("user:" + arg(0)).plan == "pro"`, yes, ""},
		{`field("user:7", "x") == nil && field("none", "x") == nil`, yes, ""},
		{`field("limit:7", "x") == nil`, no, "is a string, which has no parts"},
		{`score(value("board"), "ann") > 12 && size(value("board")) == 1 && has(value("board"), "ann")`, yes, ""},
		{`"bob" in value("banned") && any(value("banned"), # startsWith "a") && len(value("list")) == 2 && value("list")[-1] == "y"`, yes, ""},
		{`value("limit:7") startsWith "5" && value("limit:7") + "x" == "5x" && string(value("none")) == ""`, yes, ""},
		{`value("limit:7") in ["5", "6"] && value("user:7") == value("user:7") && value("board") != value("banned")`, yes, ""},
		{`any(split("7,8", ","), value("limit:" + #) == "5")`, yes, ""},
	}
	c := testCompiler()
	for _, test := range tests {
		cond, report := c.Condition(test.cond, nil)
		if cond == nil {
			t.Errorf("%s: %v", test.cond, report.Problems)
			continue
		}
		if cond.eval == nil {
			t.Errorf("%s is left to the machine", test.cond)
			continue
		}
		machine := &Condition{program: machineProgram(t, c, test.cond, nil)}
		for i, cond := range []*Condition{cond, machine} {
			e := Evaluator{Lookup: lookup}
			e.Begin(&event.Event{Before: event.None, After: event.None, Args: [][]byte{[]byte("7")}})
			_, err := e.Holds(cond, nil)
			if (err != nil) != (test.err != "") || err != nil && !strings.Contains(err.Error(), test.err) {
				t.Errorf("%s (%d): %v, want %q", test.cond, i, err, test.err)
			}
			if err == nil && e.last != test.want {
				t.Errorf("%s (%d): %d, want %d", test.cond, i, e.last, test.want)
			}
		}
	}
	cond, _ := c.Condition(`num(value("limit:" + arg(0))) == 9`, nil)
	e := Evaluator{Lookup: lookup}
	e.Begin(&event.Event{DB: 3, Args: [][]byte{[]byte("7")}})
	if ok, err := e.Holds(cond, nil); !ok || err != nil {
		t.Errorf("in another database: %v %v", ok, err)
	}
	ev := &event.Event{Args: [][]byte{[]byte("7")}, After: event.String([]byte("8"))}
	for _, src := range []string{`num(value("limit:" + arg(0))) < num(after)`, `score(value("board"), "ann") > 1`, `"bob" in value("banned")`} {
		cond, _ := c.Condition(src, nil)
		e := Evaluator{Lookup: func(_ int, key []byte) event.Value {
			switch string(key) {
			case "limit:7":
				return values["0 limit:7"]
			case "board":
				return values["0 board"]
			}
			return values["0 banned"]
		}}
		if n := testing.AllocsPerRun(100, func() {
			e.Begin(ev)
			if ok, err := e.Holds(cond, nil); !ok || err != nil {
				t.Error(src, ok, err)
			}
		}); n > 0 && src[0] != '"' { // the copy's Get makes a text
			t.Errorf("%s: %v allocations", src, n)
		}
	}
}

// TestKeysOf checks of which keys the values are kept, and what is a mistake.
func TestKeysOf(t *testing.T) {
	for src, want := range map[string]string{
		`value("a") == nil`:                                              "a",
		`value("limit:" + params.x) == nil`:                              "limit:*",
		`value(params.x + ":limit") == nil`:                              "*:limit",
		`value("a:" + params.x + ":" + lower(key) + ":b") == nil`:        "a:*:*:b",
		`value("a*[" + key + "]") == nil`:                                `a\*\[*]`,
		`value((db == 0 ? "a:" : "b:") + key) == nil`:                    "a:* b:*",
		`value(db == 0 ? "a" : "b:" + key) == nil`:                       "a b:*",
		`field("u:" + key, "f") == "x" && num(value("w")) > 1`:           "u:* w",
		`value("u:" + value("current")) == "x"`:                          "current u:*",
		`value("a:" + string(db)) == nil || value("a:" + arg(0)) == nil`: "a:* a:*",
		`value("a" + "b" + key + "c" + "d") == nil`:                      "ab*cd",
		`value(key) == nil`:                                              "! value of any key at all would keep every value",
		`value(arg(1)) == nil`:                                           "! value of any key at all would keep every value",
		`field(key + arg(1), "f") == nil`:                                "! field of any key at all would keep every value",
		`value(db == 0 ? "a" : key) == nil`:                              "! value of any key at all would keep every value",
		`value("" + key) == nil`:                                         "! value of any key at all would keep every value",
		`value(5) == nil`:                                                "! value takes the name of a key, which is text",
		`value > 5`:                                                      "! value(...) is of another key",
		`field == "a"`:                                                   "! field(...) is of another key",
		`any(args, value("x:" + args[0]) == #)`:                          "! this is evaluated for every element, at a cost that the rest of the event decides",
		`any(args, value("x:" + key + #) == "a")`:                        "! this is evaluated for every element, at a cost that the rest of the event decides",
	} {
		cond, report := testCompiler().Condition(src, []string{"x"})
		got := ""
		if cond != nil {
			var keys []string
			for _, p := range cond.Reads().Others {
				keys = append(keys, p.String())
			}
			slices.Sort(keys)
			got = strings.Join(keys, " ")
		} else if len(report.Problems) > 0 {
			got = "! " + report.Problems[0].Msg
		}
		if got != want {
			t.Errorf("%s: %q, want %q", src, got, want)
		}
		if cond != nil && cond.Reads().Value {
			t.Errorf("%s needs the key's own value", src)
		}
	}
	long := `value("x" + ` + strings.Repeat(`(db == 0 ? "a" : "b") + `, 5) + `key) == nil`
	if cond, report := testCompiler().Condition(long, nil); cond != nil {
		t.Errorf("32 shapes compile: %v", report)
	}
	if names, _, ok := testCompiler().Momentary(`num(after) > num(value("limit"))`, nil); !ok || len(names) != 1 || names[0].Msg != "value()" {
		t.Errorf("with for: %v", names)
	}
	_, report := testCompiler().Condition(`any(value("a"), # startsWith "b")`, nil)
	if len(report.Warnings) != 1 || !strings.Contains(report.Warnings[0].Msg, "every element of value(...)") {
		t.Errorf("warnings %v", report.Warnings)
	}
}
