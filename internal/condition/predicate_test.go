package condition

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unique"

	"triggerd/internal/condition/conditiontest"
	"triggerd/internal/event"
)

// counting is a value that counts, as those of the mirror do.
type counting struct {
	event.Value
	asked *int
}

func (v counting) Count(p *event.Predicate) (n event.Counts, ok bool) {
	*v.asked++
	judge := p.Judge(v.Type())
	for e := range v.All() {
		if !p.Names && v.Type() == "stream" {
			e.Name = "" // it is not read
		}
		n.Add(judge(&e), 1)
	}
	return n, true
}

// ranking is one that knows ranks.
type ranking struct{ event.Value }

func (v ranking) Below(x float64, orEqual bool) (n int, ok bool) {
	for e := range v.All() {
		if e.Score < x || orEqual && e.Score == x {
			n++
		}
	}
	return n, v.Type() == "zset"
}

// body writes a random predicate about an element.
func body(g *conditiontest.Generator) string {
	part := g.Pick("#", "#", ".member", ".score", ".id", ".field", ".value", ".fields[0]", ".fields[-1]", ".fields[db]", ".nothing")
	order := g.Pick(" < ", " <= ", " > ", " >= ", " == ", " != ")
	switch g.Rng.IntN(16) {
	case 0, 1:
		return part + g.Pick(" == ", " != ") + g.Pick(`"a"`, `"5"`, "arg(0)", "params.x", "nil", "-0.5", "1", "true", "args[2]", "lower(arg(0))")
	case 2:
		return g.Pick(`"a"`, "arg(0)") + " == " + part
	case 3, 4:
		return "num(" + part + g.Pick("", ", 0", ", -1.5") + ")" + order + g.Pick("0", "1.5", "-0.5", "num(arg(0))", "num(args[1])", "db", "num(params.x)", `num("x")`, "num(before.f)")
	case 5:
		return g.Pick("0", "num(arg(0))") + order + "num(.score)"
	case 6:
		return part + g.Pick(" startsWith ", " endsWith ", " contains ") + g.Pick(`"p"`, `"5"`, "arg(1)")
	case 7:
		return part + g.Pick(" in ", " not in ") + g.Pick("lists.skus", "lists.dbs", `["a", "5"]`, "args")
	case 8:
		return g.Pick("int", "float", "len", "size") + "(" + part + ")" + order + g.Pick("1", "2")
	case 9:
		return g.Pick("lower", "upper", "trim") + "(" + part + `) == "a"`
	case 10:
		return `json(` + part + `, "a") == "x"`
	case 11:
		return g.Pick(`glob(`+part+`, "p*")`, part+` matches "^[0-9]"`, `cidr(`+part+`, "10.0.0.0/8")`)
	case 12:
		return part + " == " + g.Pick("#", ".member", ".value", ".fields[1]", "lower(#)", "trim(.member)")
	case 13:
		return "num(.score)" + order + "num(" + part + ")"
	case 14:
		return "(" + body(g) + g.Pick(" && ", " || ") + body(g) + ")"
	}
	return g.Pick("!", "not ") + "(" + body(g) + ")"
}

// TestPredicates: what a predicate over a value says is what it says of each
// element by itself, put together without an order, whichever way it is found.
func TestPredicates(t *testing.T) {
	rng := rand.New(rand.NewPCG(11, 0))
	g := &conditiontest.Generator{Rng: rng}
	c, oracle := testCompiler(), naiveCompiler()
	captures := xy(t)
	compiled, closed, asked := 0, 0, 0
	found := map[string]int{}
	for range 6000 {
		of := body(g)
		name := g.Pick("any", "all", "none", "one", "count")
		src := name + "(after, " + of + ")"
		if name == "count" {
			name = g.Pick(" > 0", " == 2", " < 2")
			src += name
		}
		cond, report := c.Condition(src, captures.Names())
		if len(report.Problems) > 0 {
			continue
		}
		compiled++
		if cond.eval == nil {
			continue
		}
		closed++
		single := machineProgram(t, oracle, "any(after, "+of+")", captures.Names())
		for range 8 {
			ev := conditiontest.Event(rng)
			ev.Key = []byte("a:7")
			ev.Before, ev.After = event.None, conditiontest.ValueOf(rng)
			if rng.IntN(10) == 0 {
				ev.After = event.Elements("stream", nil)
			}
			if ev.After == nil || ev.After.Type() == "string" {
				continue
			}
			var said []string
			for e := range ev.After.All() {
				one := *ev
				one.After = event.Elements(ev.After.Type(), []event.Element{e})
				var eval Evaluator
				eval.Begin(&one)
				_, err := eval.Holds(&Condition{program: single, usesParams: true}, captures)
				said = append(said, spelledTruth(eval.last, err))
			}
			want := together(name, said)
			found[want]++
			for how, v := range map[string]event.Value{"scanned": ev.After, "counted": counting{ev.After, &asked}, "ranked": ranking{ev.After}} {
				e := *ev
				e.After = v
				var eval Evaluator
				eval.Begin(&e)
				_, err := eval.Holds(cond, captures)
				if got := spelledTruth(eval.last, err); got != want {
					t.Fatalf("%s of %s, args %q: %s it is %s (%v), want %s of %v", src, shown(v), ev.Args, how, got, err, want, said)
				}
			}
		}
	}
	t.Logf("%d compile, %d to closures, %d were counted: %v", compiled, closed, asked, found)
	if closed < compiled*9/10 || asked < 1000 || found["error"] < 500 || found["yes"] < 500 || found["no"] < 500 || found["missing"] < 100 || found["unknown"] < 300 {
		t.Error("the test tests too little")
	}
}

// spelledTruth spells what a condition comes to.
func spelledTruth(t truth, err error) string {
	if err != nil {
		return "error"
	}
	return map[truth]string{no: "no", yes: "yes", missing: "missing", unknown: "unknown"}[t]
}

// together is what any and its like, or a comparison of count, are of what they
// say of each element.
func together(name string, said []string) string {
	n := map[string]int{}
	for _, s := range said {
		n[s]++
	}
	decided := func(b bool) string { return spelledTruth(truthOf(b), nil) }
	first := func(whats ...string) string {
		for _, what := range whats {
			if n[what] > 0 {
				return what
			}
		}
		return ""
	}
	switch name {
	case "any", "none":
		if n["yes"] > 0 {
			return decided(name == "any")
		}
		return cmp.Or(first("error", "unknown", "missing"), decided(name == "none"))
	case "all":
		if n["no"] > 0 {
			return "no"
		}
		return cmp.Or(first("error", "unknown", "missing"), "yes")
	case "one":
		if n["yes"] > 1 {
			return "no"
		}
		return cmp.Or(first("error"), decided(n["yes"] == 1))
	}
	return cmp.Or(first("error"), decided(map[string]bool{" > 0": n["yes"] > 0, " == 2": n["yes"] == 2, " < 2": n["yes"] < 2}[name]))
}

// TestCanonicalPredicates: predicates that mean different things have different
// texts, and the same if they mean the same.
func TestCanonicalPredicates(t *testing.T) {
	text := func(src string, lists map[string]any, macros map[string]string) string {
		t.Helper()
		var report Report
		if !strings.HasPrefix(src, "macros.") {
			src = "any(after, " + src + ")"
		}
		tree := NewCompiler(Config{Lists: lists, Macros: macros}).checked(src, nil, true, &report)
		if tree == nil {
			t.Fatalf("%s: %v", src, report.Problems)
		}
		return canonical(tree.Node)
	}
	lists := func(skus ...string) map[string]any { return map[string]any{"skus": skus, "n": []any{int64(len(skus))}} }
	same := [][]string{
		{text("# in lists.skus", lists("b", "a"), nil), text("#   in (lists.skus)", lists("a", "b"), nil)},
		{text("macros.big", nil, map[string]string{"big": "any(after, num(.score) > 5)"}), text("num(#.score) > 5", nil, nil)},
	}
	for _, s := range same {
		if s[0] != s[1] {
			t.Errorf("%q and %q", s[0], s[1])
		}
	}
	all := []string{
		text("# in lists.skus", lists("a"), nil), text("# in lists.skus", lists("a", "b"), nil), text("# not in lists.skus", lists("a"), nil),
		text("int(#) in lists.n", lists("a"), nil), text("int(#) in lists.n", lists("a", "b"), nil),
		text(`glob(#, "a*")`, nil, nil), text(`glob(#, "b*")`, nil, nil), text(`cidr(#, "10.0.0.0/8")`, nil, nil), text(`cidr(#, "10.0.0.0/9")`, nil, nil),
		text(`json(#, "a.b") == 1`, nil, nil), text(`json(#, "a b") == 1`, nil, nil), text(`json(#, "a") == 1`, nil, nil), text(`json(#, "") == 1`, nil, nil),
		text(`# == "a"`, nil, nil), text(`# == bin("\\xff")`, nil, nil), text("# == \"\u00ff\"", nil, nil), text(`.member == "a"`, nil, nil),
		text(`num(.score) > 5`, nil, nil), text(`num(.score) > 5.5`, nil, nil), text(`num(.score, 5) > 5`, nil, nil), text(`# matches "a"`, nil, nil),
	}
	slices.Sort(all)
	if n := len(slices.Compact(slices.Clone(all))); n != len(all) {
		t.Errorf("of %d predicates %d texts differ: %q", len(all), n, all)
	}
}

// TestElementCost: what looks at every element is warned of with its place, and
// what would cost more than that is refused.
func TestElementCost(t *testing.T) {
	const looks, outside = "at each event this looks at every element of after", "outside of the predicate it is evaluated once"
	for src, want := range map[string]string{
		`any(after, # == "a")`:                                  "",
		`any(after, # == arg(0))`:                               "",
		`any(after, .member == params.x)`:                       "",
		`any(after, .member == lower(arg(0)))`:                  "",
		`any(after, num(.score) >= num(params.x))`:              "",
		`count(after, num(arg(0)) < num(.score)) > 3`:           "",
		`all(after, num(.score) > 5 and .member in lists.skus)`: "",
		`any(after, # startsWith "x" ? len(#) > 3 : true)`:      "",
		`none(after, # == "a") && key == "b"`:                   "",
		`any(after, # == "a" && db == 0)`:                       "0: " + looks,
		`key == "b" && any(after, # startsWith arg(0))`:         "14: " + looks,
		`any(after, db == 0)`:                                   "0: " + looks,
		`any(after, # == "a" && key == "b")`:                    "refused 27: " + outside,
		`any(after, has(before, #))`:                            "refused 11: " + outside,
		`any(after, # contains lower(arg(0)))`:                  "refused 22: " + outside,
		`any(after, num(.score) + num(arg(0)) > 5)`:             "refused 25: " + outside,
		`any(args, # == "a")`:                                   "",
		`count(after) > 1`:                                      `refused 0: len(after) is how many there are`,
		`count(args) > 1`:                                       `refused 0: len(args) is how many there are`,
		`"é" == key || count(before) == 0`:                      `refused 15: len(before) is how many there are`,
	} {
		_, report := testCompiler().Condition(src, []string{"x", "y"})
		got := ""
		switch {
		case len(report.Problems) == 1:
			got = fmt.Sprintf("refused %d: %s", report.Problems[0].Offset, report.Problems[0].Hint)
		case len(report.Warnings) == 1:
			got = fmt.Sprintf("%d: %s", report.Warnings[0].Offset, report.Warnings[0].Msg)
		}
		if got != want || len(report.Problems)+len(report.Warnings) > 2 {
			t.Errorf("%s: %q, want %q; %v", src, got, want, report)
		}
	}
}

// TestOutcomes: what is decided by some elements does not depend on those that
// cannot be told.
func TestOutcomes(t *testing.T) {
	for list, want := range map[string][4]string{ // any, all, none, one of elements that are more than 3
		"":        {"no", "yes", "yes", "no"},
		"1":       {"no", "no", "yes", "no"},
		"5":       {"yes", "yes", "no", "yes"},
		"x":       {"error", "error", "error", "error"},
		"1 x":     {"error", "no", "error", "error"},
		"5 x":     {"yes", "error", "no", "error"},
		"x 5 6":   {"yes", "error", "no", "no"},
		"1 x 5":   {"yes", "no", "no", "error"},
		"1 5 x 6": {"yes", "no", "no", "no"},
	} {
		var elements []event.Element
		for _, item := range strings.Fields(list) {
			elements = append(elements, event.Element{Name: item})
		}
		for i, name := range []string{"any", "all", "none", "one"} {
			cond, _ := testCompiler().Condition(name+"(after, int(#) > 3)", nil)
			var e Evaluator
			e.Begin(&event.Event{After: event.Elements("list", elements)})
			_, err := e.Holds(cond, nil)
			if got := spelledTruth(e.last, err); got != want[i] {
				t.Errorf("%s of %q is %s, want %s", name, list, got, want[i])
			}
		}
	}
}

// TestRanks: what a rank counts is what each score says by itself, also where a
// whole number is between two of float64.
func TestRanks(t *testing.T) {
	c, oracle := testCompiler(), naiveCompiler()
	var elements []event.Element
	for i, score := range []float64{math.Inf(-1), -1.5, 0, 1, 1, 1 << 53, 1<<53 + 2, 1 << 63, math.Inf(1)} {
		elements = append(elements, event.Element{Name: fmt.Sprint("m", i), Score: score})
	}
	numbers := []string{
		"-1.5", "0", "0.5", "1", "1.0", "2", "9007199254740991", "9007199254740992", "9007199254740993", "9007199254740994", "9007199254740995",
		"9223372036854775807", "-9223372036854775808", "9223372036854775808", "1e300", "-1e300", "x", "",
	}
	for _, op := range []string{"<", "<=", ">", ">=", "==", "!="} {
		for name, want := range map[string]truth{"before.f": missing, "arg(0)": unknown} {
			cond, _ := c.Condition("any(after, num(.score) "+op+" num("+name+"))", nil)
			var eval Evaluator
			eval.Begin(&event.Event{Before: event.None, After: event.Elements("zset", elements)})
			if _, err := eval.Holds(cond, nil); eval.last != want || err != nil {
				t.Errorf("%s %s is %d, %v, want %d", op, name, eval.last, err, want)
			}
		}
		for _, form := range []string{"num(.score) %s num(arg(0))", "num(arg(0)) %s num(.score)"} {
			body := fmt.Sprintf(form, op)
			cond, report := c.Condition("one(after, "+body+") || count(after, "+body+") == int(arg(1))", nil)
			if len(report.Warnings)+len(report.Problems) > 0 {
				t.Fatal(body, report)
			}
			single := &Condition{program: machineProgram(t, oracle, "any(after, "+body+")", nil)}
			for _, x := range numbers {
				ev := &event.Event{Args: [][]byte{[]byte(x), nil}}
				n := 0
				for _, e := range elements {
					ev.After = event.Elements("zset", []event.Element{e})
					var eval Evaluator
					eval.Begin(ev)
					if ok, err := eval.Holds(single, nil); ok && err == nil {
						n++
					}
				}
				ev.Args[1] = []byte(strconv.Itoa(n))
				for _, v := range []event.Value{event.Elements("zset", elements), ranking{event.Elements("zset", elements)}} {
					ev.After = v
					var eval Evaluator
					eval.Begin(ev)
					if ok, err := eval.Holds(cond, nil); !ok || err != nil {
						t.Errorf("%s of %q: %t, %v, want %d", body, x, ok, err, n)
					}
				}
			}
		}
	}
}

// asking is a value that notes what it is asked to count for.
type asking struct {
	event.Value
	asked map[unique.Handle[string]]bool
}

func (a *asking) Count(p *event.Predicate) (event.Counts, bool) {
	a.asked[p.Text] = true
	return event.Counts{}, false
}

// A condition tells beforehand what it asks values of a type to count for, and
// nothing that it never asks.
func TestCounted(t *testing.T) {
	sources := []string{
		`any(after, # == "x")`, `any(after, # startsWith "x")`, `count(after, num(#) > 3) >= 0 && all(after, # != "")`, `has(after, "x")`,
		`"x" in after`, `any(after, .member == "x")`, `any(after, num(.score) > 3)`, `none(after, .value == "x")`, `any(after, # == key)`,
		`one(after, len(.fields) > 2)`, `any(after, .id == "1-1")`, `any(args, # == "x")`, `!any(after, # contains "y")`,
	}
	told := 0
	for _, src := range sources {
		cond, report := NewCompiler(Config{}).Condition(src, nil)
		if cond == nil {
			t.Fatalf("%s: %v", src, report.Problems)
		}
		for _, typ := range []string{"set", "list", "zset", "hash", "stream"} {
			v := &asking{event.Elements(typ, []event.Element{{Name: "1-1", Value: "v", Score: 1, Fields: []string{"f", "v"}}}), map[unique.Handle[string]]bool{}}
			var e Evaluator
			e.Begin(&event.Event{Key: []byte("k"), After: v, Before: event.None})
			e.Holds(cond, nil) // what comes of it does not matter
			want := map[unique.Handle[string]]bool{}
			for _, p := range cond.Counted(typ) {
				want[p.Text] = true
				told++
			}
			if !maps.Equal(v.asked, want) {
				t.Errorf("%s asks a %s for %v, and said %v", src, typ, v.asked, want)
			}
		}
	}
	if told < 20 {
		t.Errorf("%d predicates were told", told)
	}
}
