package condition_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"triggerd/internal/condition"
	"triggerd/internal/event"
	"triggerd/internal/glob"
)

func newCompiler() *condition.Compiler {
	only := func(known string) func(string) (mistake, warning, hint string) {
		return func(name string) (mistake, warning, hint string) {
			switch name {
			case known:
				return "", "", ""
			case "OLD":
				return "", "OLD never comes", "NEW"
			}
			return "no " + name, "", known
		}
	}
	return condition.NewCompiler(condition.Config{
		Macros:  map[string]string{"prod": "db == 0", "deep": "macros.prod && bytes > 1", "bad": "dbb == 0", "worse": "macros.bad"},
		Lists:   map[string]any{"skus": []string{"8", "7"}, "dbs": []any{int64(3), int64(0)}},
		Command: only("SET"), Event: only("set"),
	})
}

// TestProblems checks what is said of a mistake, and where.
func TestProblems(t *testing.T) {
	tests := []struct{ src, want string }{
		{`db == 0`, ""},
		{`command == "SET" && event == "set"`, ""},
		{`macros.deep && params.id in lists.skus`, ""},
		{`dbb == 0`, `0: unknown name dbb (did you mean "db"?)`},
		{`"é" == key && dbb`, `15: unknown name dbb (did you mean "db"?)`},
		{`params.ide == "1"`, `7: unknown param ide (did you mean "id"?)`},
		{`key in lists.sku`, `13: unknown list sku (did you mean "skus"?)`},
		{`macros.prd`, `7: unknown macro prd (did you mean "prod"?)`},
		{`command == "GET"`, `11: no GET (SET)`},
		{`event in ["set", "get"]`, `17: no get (set)`},
		{`db`, `0: a condition is true or false, this is a number (compare it with something)`},
		{`key > 3`, "5: ..."},
		{strings.Repeat("(", 65), "64: more than 64 brackets inside one another"},
		{strings.Repeat("x", 4097), "0: a condition of 4097 bytes; at most 4096 are allowed"},
		{" ", "0: an empty condition (leave the field out to match always)"},
	}
	c := newCompiler()
	for _, test := range tests {
		cond, report := c.Condition(test.src, []string{"id"})
		if (cond != nil) != (test.want == "") {
			t.Errorf("%.40s: a condition %v", test.src, cond != nil)
		}
		var got []string
		for _, p := range report.Problems {
			text := fmt.Sprintf("%d: %s", p.Offset, p.Msg)
			if p.Hint != "" {
				text += " (" + p.Hint + ")"
			}
			got = append(got, text)
		}
		if test.want == "5: ..." {
			if len(got) != 1 {
				t.Errorf("%s: %q", test.src, got)
			}
			continue
		}
		if strings.Join(got, "; ") != test.want {
			t.Errorf("%.40s: got %q, want %q", test.src, got, test.want)
		}
	}
	if cond, report := c.Condition(`command != "OLD"`, nil); cond == nil || len(report.Warnings) != 1 || report.Warnings[0].Msg != "OLD never comes" || report.Warnings[0].Offset != 11 {
		t.Errorf("a warning: %+v", report)
	}
}

// TestBrokenMacro checks that the mistake of a macro is told once, at the macro.
func TestBrokenMacro(t *testing.T) {
	c := newCompiler()
	for _, name := range []string{"prod", "deep"} {
		if problems := c.Macro(name).Problems; problems != nil {
			t.Errorf("%s: %v", name, problems)
		}
	}
	if problems := c.Macro("bad").Problems; len(problems) != 1 || problems[0].Msg != "unknown name dbb" {
		t.Errorf("bad: %v", problems)
	}
	if problems := c.Macro("worse").Problems; problems != nil {
		t.Errorf("what uses a broken one: %v", problems)
	}
	cond, report := c.Condition("macros.worse", nil)
	value, ofValue := c.Value("macros.worse", nil)
	if cond != nil || value != nil || report.Problems != nil || ofValue.Problems != nil {
		t.Errorf("a condition %v, %v, a value %v, %v", cond, report.Problems, value, ofValue.Problems)
	}
}

func TestReads(t *testing.T) {
	tests := []struct {
		src  string
		want condition.Reads
	}{
		{`key == "a" && arg(1) == "x"`, condition.Reads{}},
		{`ttl > 1`, condition.Reads{State: true}},
		{`before.f == "x"`, condition.Reads{Value: true}},
		{`crossed(5) || type == "hash"`, condition.Reads{Value: true, State: true}},
		{`event == "set"`, condition.Reads{Events: []string{"set"}}},
		{`event in ["set"] || event != "set"`, condition.Reads{Events: []string{"set", "set"}}},
		{`event startsWith "x"`, condition.Reads{State: true}},
	}
	for _, test := range tests {
		cond, report := newCompiler().Condition(test.src, nil)
		if cond == nil {
			t.Errorf("%s: %v", test.src, report.Problems)
			continue
		}
		if got := cond.Reads(); got.State != test.want.State || got.Value != test.want.Value || !slices.Equal(got.Events, test.want.Events) {
			t.Errorf("%s: %+v, want %+v", test.src, got, test.want)
		}
	}
}

func TestMomentary(t *testing.T) {
	tests := []struct {
		src, want string
		state, ok bool
	}{
		{`num(after) < 5`, "", true, true},
		{`key == "a"`, "", false, true},
		{`command == "SET" && crossed(5)`, "0 command, 20 crossed()", true, true},
		{`"é" != arg(1)`, "8 arg()", false, true},
		{`dbb`, "", false, false},
	}
	for _, test := range tests {
		names, state, ok := newCompiler().Momentary(test.src, nil)
		var got []string
		for _, p := range names {
			got = append(got, fmt.Sprintf("%d %s", p.Offset, p.Msg))
		}
		if strings.Join(got, ", ") != test.want || state != test.state || ok != test.ok {
			t.Errorf("%s: %q %v %v, want %q %v %v", test.src, got, state, ok, test.want, test.state, test.ok)
		}
	}
}

func TestCanonical(t *testing.T) {
	c := newCompiler()
	same, other := `macros.deep and key in lists.skus`, `macros.prod && key in lists.skus`
	if a, b := c.Canonical(same), c.Canonical(`(macros.deep)  and (key in lists.skus)`); a != b {
		t.Errorf("%s and %s", a, b)
	}
	if a, b := c.Canonical(same), c.Canonical(other); a == b {
		t.Errorf("%s for both", a)
	}
	sorted := condition.NewCompiler(condition.Config{Lists: map[string]any{"skus": []string{"7", "8"}}})
	if a, b := c.Canonical("key in lists.skus"), sorted.Canonical("key in lists.skus"); a != b {
		t.Errorf("%s and %s: the order of a list means nothing", a, b)
	}
}

func TestSplit(t *testing.T) {
	tests := []struct {
		src  string
		want []string
	}{
		{`a`, []string{"a"}},
		{` a && (b && c) and "é && x" == d `, []string{"a", "(b && c)", `"é && x" == d`}},
		{`a && b || c`, []string{"a && b || c"}},
		{`a ? b : c && d`, []string{"a ? b : c && d"}},
		{`"`, []string{`"`}},
	}
	for _, test := range tests {
		if got := condition.Split(test.src); !slices.Equal(got, test.want) {
			t.Errorf("%q: %q, want %q", test.src, got, test.want)
		}
	}
}

// TestText checks the texts of values, and that those of params are not kept
// from one event to the next.
func TestText(t *testing.T) {
	var keys []*glob.Pattern
	for _, text := range []string{"*{a}-{b}", "{a}:{b}"} { // the first is not a simple one
		p, err := glob.ParseKey(text)
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, p)
	}
	captures := condition.NewCaptures(keys, nil)
	var e condition.Evaluator
	ev := &event.Event{Name: "set", DB: 3, Args: [][]byte{[]byte(`{"n":42,"l":[1]}`)}}
	for _, key := range []string{"x:1", "y:2"} {
		ev.Key = []byte(key) // the event's place in memory is used again
		e.Begin(ev)
		for src, want := range map[string]string{
			"params.a": key[:1], "db": "3", "db == 3": "true", `json(arg(0), "n")`: "42", `json(arg(0), "l")`: "[1]",
			`params.b + "x"`: key[2:] + "x", `json(arg(0), "x") ?? "none"`: "none",
		} {
			v, report := newCompiler().Value(src, captures.Names())
			if v == nil {
				t.Fatalf("%s: %v", src, report.Problems)
			}
			if got, err := e.Text(v, captures); got != want || err != nil {
				t.Errorf("%s of %s: %q %v, want %q", src, key, got, err, want)
			}
		}
	}
	v, _ := newCompiler().Value("args[7]", nil)
	if got, err := e.Text(v, nil); got != "" || err == nil {
		t.Errorf("what is not there: %q %v", got, err)
	}
	v, _ = newCompiler().Value("db", nil)
	if got, err := e.Text(v, nil); got != "3" || err != nil {
		t.Errorf("after an error: %q %v", got, err)
	}
}
