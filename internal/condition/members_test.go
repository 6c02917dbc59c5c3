package condition

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"triggerd/internal/event"
	"triggerd/internal/geo"
)

func zset(members ...any) event.Value {
	var list []event.Element
	for i := 0; i < len(members); i += 2 {
		list = append(list, event.Element{Name: members[i].(string), Score: members[i+1].(float64)})
	}
	return event.Elements("zset", list)
}

func hash(fields ...string) event.Value {
	var list []event.Element
	for i := 0; i < len(fields); i += 2 {
		list = append(list, event.Element{Name: fields[i], Value: fields[i+1]})
	}
	return event.Elements("hash", list)
}

func items(typ string, names ...string) event.Value {
	var list []event.Element
	for _, name := range names {
		list = append(list, event.Element{Name: name})
	}
	return event.Elements(typ, list)
}

// scoreAt is the score of a place, as GEOADD makes it.
func scoreAt(lon, lat float64) float64 {
	x, y := uint64((lon+180)/360*(1<<geo.Bits)), uint64((lat+geo.MaxLat)/(2*geo.MaxLat)*(1<<geo.Bits))
	var bits uint64
	for i := range geo.Bits {
		bits |= y>>i&1<<(2*i) | x>>i&1<<(2*i+1)
	}
	return float64(bits)
}

// TestMembers checks what members of values are asked, closures and machine
// alike.
func TestMembers(t *testing.T) {
	none, str := event.None, event.String([]byte("x"))
	berlin, potsdam := scoreAt(13.4050, 52.5200), scoreAt(13.0645, 52.3906) // 27 km apart
	tests := []struct {
		cond          string
		before, after event.Value
		want          truth
		err           string
	}{
		{`score(after, "ann") >= 10`, none, zset("ann", 12.5), yes, ""},
		{`score(after, "ann") >= 10`, none, zset("bob", 12.5), missing, ""},
		{`score(after, "ann") >= 10`, none, none, missing, ""},
		{`score(after, "ann") >= 10`, none, str, unknown, ""},
		{`score(after, "ann") == nil && score(before, "ann") == nil`, none, str, yes, ""},
		{`score(after, "ann") != nil && nil == score(before, "ann")`, none, zset("ann", 0.0), yes, ""},
		{`(score(after, "ann") ?? 7) == 7`, none, none, yes, ""},
		{`score(after, "ann") > score(before, "ann") + 1`, zset("ann", 1.0), zset("ann", 3.0), yes, ""},
		{`score(after, "ann") > 1`, none, nil, no, "after is not known"},
		{`score(after, "b") > 1`, none, event.CloneValue(zset("a", 1.0, "b", 2.0), 20), no, "after is not known whole"},

		{`crossed_score(10)`, zset("ann", 9.0), zset("ann", 10.0), yes, ""},
		{`crossed_score(10)`, zset("ann", 10.0), zset("ann", 11.0), no, ""},
		{`crossed_score(10)`, zset("ann", 9.0), zset("ann", 9.0, "bob", 50.0), no, ""},
		{`crossed_score(10, 0)`, zset("ann", 9.0), zset("ann", 9.0, "bob", 50.0), yes, ""},
		{`crossed_score(10)`, zset("ann", 11.0, "bob", 12.0), zset("bob", 10.0), yes, ""},
		{`crossed_score(10, 0)`, zset("ann", 11.0), none, yes, ""},
		{`crossed_score(10, 0)`, none, str, no, ""},
		{`crossed_score(num(arg(0)))`, zset("ann", 1.0), zset("ann", 11.0), unknown, ""},
		{`crossed_score(10)`, nil, zset("ann", 11.0), no, "before is not known"},

		{`differs("f")`, hash("f", "1"), hash("f", "1", "g", "2"), no, ""},
		{`differs("f")`, hash("f", "1"), hash("f", "2"), yes, ""},
		{`differs("f")`, none, hash("f", ""), yes, ""},
		{`differs("f") || differs("x")`, str, none, no, ""},
		{`differs("ann")`, zset("ann", 1.0), zset("ann", 2.0), yes, ""},
		{`was("f") == "1" && was("g") == nil`, hash("f", "1"), none, yes, ""},
		{`was("f") == "1"`, str, none, no, "before is a string, which has no parts"},

		{`moved("status", {"new": ["paid", "void"]})`, hash("status", "new"), hash("status", "void"), yes, ""},
		{`moved("status", {"new": ["paid", "void"]})`, hash("status", "paid"), hash("status", "void"), no, ""},
		{`moved("status", {"new": "new"})`, hash("status", "new"), hash("status", "new"), no, ""},
		{`moved("status", {"": "new", "void": ""})`, none, hash("status", "new"), yes, ""},
		{`moved("status", {"": "new", "void": ""})`, hash("status", "void"), none, yes, ""},
		{`moved("status", {new: lists.skus})`, hash("status", "new"), hash("status", "8"), yes, ""},

		{`len(added) == 1 && added[0] == "c" && removed[0] == "a"`, items("set", "a", "b"), items("set", "b", "c"), yes, ""},
		{`added == ["b", "c"]`, items("set", "a"), items("set", "c", "a", "b"), yes, ""},
		{`len(added) == 1 && len(removed) == 2`, items("list", "x", "a", "x"), items("list", "x", "b"), yes, ""},
		{`len(added) + len(removed) == 0`, items("list", "a", "b"), items("list", "b", "a"), yes, ""},
		{`len(added) == 100 && len(removed) == 1`, items("list", "z", "b"), items("list", append(slices.Repeat([]string{"b"}, 51), slices.Repeat([]string{"a"}, 50)...)...), yes, ""},
		{`len(added) == 1 && len(removed) == 2`, hash("a", "1", "b", "2"), items("set", "a"), yes, ""},
		{`"f" in added || "f" in removed`, hash("f", "1"), hash("f", "2"), no, ""},
		{`any(removed, # startsWith "a") && all(added, # == "x")`, items("set", "a1"), none, yes, ""},
		{`added[0] == "a"`, none, none, no, "index out of range"},
		{`added[-1] == "b"`, none, items("set", "a", "b"), yes, ""},
		{`after.f in added`, hash("x", "1"), hash("f", "g", "g", ""), yes, ""},
		{`"a" in added`, none, nil, no, "after is not known"},
		{`"a" in added`, none, event.CloneValue(items("set", "a", "b"), 20), no, "after is not known whole"},

		{`within(after, "van", 13.40, 52.52, 1) && !within(after, "van", 13.40, 52.52, 0.001)`, none, zset("van", berlin), yes, ""},
		{`within(after, "van", 13.40, 52.52, 20)`, none, zset("van", potsdam), no, ""},
		{`within(after, "van", "13.40", 52.52, 30)`, none, none, no, "compile"},
		{`within(after, "van", num("13.40"), 52.52, 30)`, none, zset("van", potsdam), yes, ""},
		{`within(after, "van", 13.4, 52.52, 30) || within(before, "van", 1, 2, 3)`, none, none, no, ""},
		{`within(after, "van", 13.4, 52.52, 30)`, none, zset("van", 1.5), unknown, ""},
		{`within(after, "van", 13.4, num(arg(0)), 30)`, none, zset("van", berlin), unknown, ""},
		{`within(after, "van", 13.4, 52.52, 30)`, none, str, no, ""},
	}
	c := testCompiler()
	for _, test := range tests {
		cond, report := c.Condition(test.cond, nil)
		if cond == nil {
			if test.err != "compile" {
				t.Errorf("%s: %v", test.cond, report.Problems)
			}
			continue
		}
		if test.err == "compile" {
			t.Errorf("%s compiles", test.cond)
		}
		machine := &Condition{program: machineProgram(t, c, test.cond, nil)}
		for i, cond := range []*Condition{cond, machine} {
			var e Evaluator
			e.Begin(&event.Event{Before: test.before, After: test.after, Args: [][]byte{[]byte("a")}})
			_, err := e.Holds(cond, nil)
			if (err != nil) != (test.err != "") || err != nil && i == 0 && !strings.Contains(err.Error(), test.err) {
				t.Errorf("%s of %s to %s (%d): %v, want %q", test.cond, shown(test.before), shown(test.after), i, err, test.err)
			}
			if err == nil && e.last != test.want {
				t.Errorf("%s of %s to %s (%d): %d, want %d", test.cond, shown(test.before), shown(test.after), i, e.last, test.want)
			}
		}
	}
}

// TestTexts checks texts that conditions make, closures and machine alike.
func TestTexts(t *testing.T) {
	long := strings.Repeat("ab", 400_000)
	tests := []struct{ value, arg, want, err string }{
		{`"a:" + arg(0) + ":" + string(db + 1)`, "x", "a:x:4", ""},
		{`key + ("-" + (arg(0) + "-") + string(db == 3))`, "x", "k-x-true", ""},
		{`"a" + before.f + after`, "x", "a", ""},
		{`string(num(arg(0)))`, "1.50", "1.5", ""},
		{`string(num(arg(0)))`, "vip", "", "no number"},
		{`string(num(arg(0)) > 5)`, "vip", "", "no number"},
		{`string(before) + string(before.f) + string(json(arg(0), "a"))`, `{"a":5}`, "5", ""},
		{`split(arg(0), ":")[1]`, "a:b:c", "b", ""},
		{`split(arg(0), ":")[-1]`, "a:b:c", "c", ""},
		{`split(arg(0), ":")[3]`, "a:b:c", "", "index out of range"},
		{`split(arg(0), "::")[0]`, "a::b", "a", ""},
		{`len(split(arg(0), ","))`, "", "1", ""},
		{`count(split(arg(0), ","), # + "x" == "ax")`, "a,b,a", "2", ""},
		{`"b" in split(arg(0), ",")`, "a,b", "true", ""},
		{`replace(arg(0), "ab", "c")`, "xababy", "xccy", ""},
		{`replace(arg(0), "a", "")`, "\xffa\xff", "\xff\xff", ""},
		{`size(arg(0) + arg(0))`, long, "", "more than"},
		{`size(replace(arg(0), "b", "xx"))`, long, "", "more than"},
		{`size(replace(arg(0), "z", ""))`, long, "800000", ""},
		{`len(split(arg(0) , "b"))`, long + long, "", "more than"},
		{`[key, arg(0)] in lists.pairs`, "5", "false", ""},
		{`[arg(0), "5"] in lists.pairs`, "a", "true", ""},
		{`[arg(0), before.f] in [["a", "b"], ["x", "y"]]`, "x", "false", ""},
		{`[arg(0) + "", json(arg(1), "a")] not in [["x", "y"]]`, "x", "true", ""},
	}
	c := testCompiler()
	for _, test := range tests {
		v, report := c.Value(test.value, nil)
		if v == nil {
			t.Errorf("%s: %v", test.value, report.Problems)
			continue
		}
		var r Report
		tree := c.checked(test.value, nil, false, &r)
		program, p := c.program(test.value, tree.Tree)
		if p != nil {
			t.Fatal(test.value, *p)
		}
		for i, v := range []*Value{v, {program: program}} {
			var e Evaluator
			e.Begin(&event.Event{Key: []byte("k"), DB: 3, Before: event.None, After: event.None, Args: [][]byte{[]byte(test.arg)}})
			got, err := e.Text(v, nil)
			if (err != nil) != (test.err != "") || err != nil && !strings.Contains(err.Error(), test.err) {
				t.Errorf("%s of %.20q (%d): %v, want %q", test.value, test.arg, i, err, test.err)
			} else if got != test.want && err == nil {
				t.Errorf("%s of %.20q (%d): %q, want %q", test.value, test.arg, i, got, test.want)
			}
		}
		if v.text == nil && v.value == nil {
			t.Errorf("%s is left to the machine", test.value)
		}
	}
}

// TestMemberMistakes checks what is said of functions that are not used as they
// are meant.
func TestMemberMistakes(t *testing.T) {
	for src, want := range map[string]string{
		`score("a", "b") > 1`:                           "score is of before, after or value(...)",
		`score(after) > 1`:                              "score takes 2 arguments, not 1",
		`within(after, "a", "13", 5, 1)`:                "this is to be a number",
		`moved("f", "a")`:                               "moved takes what it may be from, and to",
		`moved("f", {"a": 5})`:                          "this is to be a constant text",
		`moved("f", {"a": [key]})`:                      "this is to be a constant text",
		`has(before, {"a": 5})`:                         "maps ({}) are not available in conditions",
		`split(key, "")[0] == "a"`:                      "argument 2 of split must not be empty",
		`split(key, arg(0))[0] == "a"`:                  "argument 2 of split must be a constant text",
		`replace(key, "a", arg(0)) == "a"`:              "argument 3 of replace must be a constant text",
		`string(args) == "a"`:                           "string takes a text, a number, true or false",
		`"x" + 5 == "x5"`:                               "+ cannot be between text and a number",
		`after.a + after.b == "x"`:                      "a value of any kind cannot be calculated with or joined; a value of any kind cannot be calculated with or joined",
		`key in lists.pairs`:                            "a list of lists has lists in it, and no texts",
		`[key] in lists.pairs`:                          "each of these lists has 2 texts, not 1",
		`[key, db] in lists.pairs`:                      "a list of lists has texts",
		`[key] in lists.skus`:                           "a list is never in a list of texts or numbers",
		`any(lists.pairs, # == "a")`:                    "a list of lists can only be searched",
		`[key, type] in [["a", "b"], ["c"]]`:            "a list in a list has constant texts, as many as the others",
		`any(args, # + key == "a")`:                     "this is evaluated for every element, at a cost that the rest of the event decides",
		`any(args, # in added)`:                         "this is evaluated for every element, at a cost that the rest of the event decides",
		`any(args, crossed_score(num(#)))`:              "this is evaluated for every element, at a cost that the rest of the event decides",
		`added == 5`:                                    "...",
		`added`:                                         "a condition is true or false, this is a list",
		`differs(5)`:                                    "...",
		`all(args, score(after, #) > 1)`:                "",
		`any(args, replace(#, "a", "b") + "x" == "bx")`: "",
	} {
		cond, report := testCompiler().Condition(src, nil)
		var said []string
		for _, p := range report.Problems {
			said = append(said, p.Msg)
		}
		if got := strings.Join(said, "; "); (cond == nil) != (want != "") || want != "..." && got != want {
			t.Errorf("%s: %q, want %q", src, got, want)
		}
	}
}

// TestMomentaryMembers checks how the names of these functions are told.
func TestMomentaryMembers(t *testing.T) {
	for src, want := range map[string]string{
		`score(after, "a") > 1`: "", `within(after, "a", 1, 2, 3)`: "", `before.f == "x"`: "before", `was("f") == "x"`: "was()",
		`differs("f")`: "differs()", `moved("f", {"a": "b"})`: "moved()", `"a" in added`: "added", `len(removed) > 0`: "removed", `crossed_score(5)`: "crossed_score()",
	} {
		names, _, ok := testCompiler().Momentary(src, nil)
		var got []string
		for _, p := range names {
			got = append(got, p.Msg)
		}
		if !ok || strings.Join(got, ", ") != want {
			t.Errorf("%s: %q, want %q", src, got, want)
		}
	}
}

// TestSeenMembers checks what explain shows of these functions.
func TestSeenMembers(t *testing.T) {
	for src, want := range map[string]string{
		`moved("status", {"new": "paid"})`: `before.status is "new", after.status is "paid"`,
		`differs("status")`:                `before.status is "new", after.status is "paid"`,
		`"x" in added && len(removed) > 0`: `added is ["b"], len(removed) is 0`,
		`was("status") + "x" == "newx"`:    `was("status") is "new"`,
		`split(key, ":")[1] == "7"`:        `split(key, ":")[1] is "7"`,
		`score(before, "a") > 1`:           `score(before, "a") is no number`,
	} {
		var got []string
		ev := &event.Event{Key: []byte("order:7"), Before: hash("status", "new"), After: hash("status", "paid", "b", "x")}
		for _, s := range testCompiler().Seen(src, nil, ev, nil) {
			got = append(got, s.Source+" is "+s.Value)
		}
		if strings.Join(got, ", ") != want {
			t.Errorf("%s: %s, want %s", src, strings.Join(got, ", "), want)
		}
	}
}

// TestMembersAllocateNothing: what is asked of each event makes nothing on the
// heap, once memory is there.
func TestMembersAllocateNothing(t *testing.T) {
	ev := &event.Event{Key: []byte("order:7"), Args: [][]byte{[]byte("a,b,c"), []byte("5")}, Before: zset("ann", 1.0, "old", 2.0), After: zset("ann", 12.5, "bob", 3.0)}
	for _, src := range []string{
		`score(after, "ann") > 5 && score(before, "bob") == nil`, `differs("ann")`, `moved("f", {"": "x"})`,
		`"x:" + key + arg(1) == "y"`, `replace(key, "7", "8") == "order:8"`, `split(key, ":")[1] == "7"`, `"b" in split(arg(0), ",")`, `len(split(arg(0), ",")) == 3`,
		`string(db) == "0"`, `[key, arg(1)] in lists.pairs`, `within(after, "ann", 1, 2, 3)`,
	} {
		cond, report := testCompiler().Condition(src, nil)
		if cond == nil || cond.eval == nil {
			t.Errorf("%s: closures %v, %v", src, cond != nil, report.Problems)
			continue
		}
		var e Evaluator
		if n := testing.AllocsPerRun(100, func() {
			e.Begin(ev)
			if _, err := e.Holds(cond, nil); err != nil {
				t.Error(src, err)
			}
		}); n > 0 {
			t.Errorf("%s: %v allocations", src, n)
		}
	}
}

// TestTextMemory: what an event has made is not there for the next, and a part
// of a text keeps its bytes while it is needed.
func TestTextMemory(t *testing.T) {
	src := `"<" + arg(0) + ">" == "<" + arg(1) + ">"`
	for i := range 14 {
		src = fmt.Sprintf(`(%s) && "%d" + arg(0) + string(db + %d) != arg(1)`, src, i, i)
	}
	cond, report := testCompiler().Condition(src, nil)
	if cond == nil {
		t.Fatal(report.Problems)
	}
	var e Evaluator
	for n := 1; n < 200_000; n *= 3 {
		a := []byte(strings.Repeat("x", n))
		for _, b := range []string{string(a), string(a[1:]) + "y"} {
			e.Begin(&event.Event{Args: [][]byte{a, []byte(b)}})
			ok, err := e.Holds(cond, nil)
			if want := b == string(a); ok != want || err != nil {
				t.Fatalf("%d bytes: %v %v, want %v", n, ok, err, want)
			}
		}
	}
	if e.Begin(&event.Event{}); cap(e.scope.texts.bytes) > keepText {
		t.Errorf("%d bytes are kept", cap(e.scope.texts.bytes))
	}
}
