package condition_test

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"

	"triggerd/internal/condition"
	"triggerd/internal/event"
)

// What never ends something, and what ends it at once, is found where bounds and
// constants tell; nothing else is called that.
func TestEnds(t *testing.T) {
	c := condition.NewCompiler(condition.Config{Macros: map[string]string{"hot": "num(after) >= 90"}, Lists: map[string]any{"done": []string{"paid", "void"}}})
	for _, test := range []struct {
		when, until   string
		never, always bool
	}{
		{when: "num(after) >= 90", until: "num(after) < 70"},
		{when: "num(after) >= 90", until: "num(after) > 70", always: true},
		{when: "num(after) >= 90", until: "num(after) >= 90", always: true},
		{when: "num(after) > 90", until: "num(after) >= 90", always: true},
		{when: "num(after) >= 90", until: "num(after) > 90"},
		{when: "num(after) >= 90", until: "90 <= num(after)", always: true},
		{when: "macros.hot", until: "num(after) > 70", always: true},
		{when: "macros.hot", until: "!macros.hot"},
		{when: "num(after) >= 90 || num(after) <= 10", until: "num(after) > 80 or num(after) < 20", always: true},
		{when: "num(after) >= 90 || num(after) <= 10", until: "num(after) > 80"},
		{when: "num(after) >= 90", until: "num(after) < 70 && num(after) > 80", never: true},
		{when: "num(after) >= 90", until: "num(after) < -5 && num(after) > 5", never: true},
		{when: "num(after) == 5", until: "num(after) != 6", always: true},
		{when: "num(after) == 5", until: "num(after) == 5 && !(num(after) == 5)", never: true},
		{when: "num(after) > 1", until: "num(after.x) > 0"},
		{when: "num(after) > 1", until: "false", never: true},
		{when: "num(after) > 1", until: "true", always: true},
		{when: `after.status == "new"`, until: `after.status != "new"`},
		{when: `after.status == "new"`, until: `after.status != "old"`, always: true},
		{when: `after.status == "paid"`, until: `after.status in lists.done`, always: true},
		{when: `after.status == "new"`, until: `after.status in lists.done`},
		{when: `after.status == "new"`, until: `after.status == "a" && after.status == "b"`, never: true},
		{when: `type in ["set", "list"]`, until: `type in ["set", "list", "zset"]`, always: true},
		{when: `type in ["set", "list"]`, until: `not (type in ["zset"])`, always: true},
		{when: `type in ["set", "list"]`, until: `not (type in ["list"])`},
		{when: `has(after, "x") && num(after.y) > 1`, until: `has(after, "x")`, always: true},
		{when: `has(after, "x")`, until: `has(after, "x") && num(after.y) > 1`},
		{when: `has(after, "x")`, until: `!has(after, "x")`},
		{when: `has(after, "x")`, until: `has(after, "y") && !has(after, "y")`, never: true},
		{when: "crossed(90)", until: "num(after) < 70"},
		{when: "len(after) > 5", until: "len(after) == 0"},
		{when: "len(after) > 5", until: "len(after) > 0", always: true},
	} {
		if never, always := c.Ends(test.when, test.until, nil); never != test.never || always != test.always {
			t.Errorf("%s until %s: never %v, always %v", test.when, test.until, never, always)
		}
	}
}

// What is said of random conditions is true of every value.
func TestEndsOfRandom(t *testing.T) {
	c := condition.NewCompiler(condition.Config{Lists: map[string]any{"l": []string{"1", "3"}}})
	r := rand.New(rand.NewPCG(1, 2))
	var part func(depth int) string
	part = func(depth int) string {
		switch n := r.IntN(8); {
		case depth > 0 && n < 3:
			return "(" + part(depth-1) + []string{" && ", " || ", " and "}[r.IntN(3)] + part(depth-1) + ")"
		case depth > 0 && n == 3:
			return "!(" + part(depth-1) + ")"
		case n == 4:
			return fmt.Sprintf("after %s \"%d\"", []string{"==", "!="}[r.IntN(2)], r.IntN(5))
		case n == 5:
			return "after in lists.l"
		case n == 6:
			return fmt.Sprintf("%d %s num(after)", r.IntN(5), []string{"<", "<=", ">", ">=", "==", "!="}[r.IntN(6)])
		}
		return fmt.Sprintf("num(after) %s %d", []string{"<", "<=", ">", ">=", "==", "!="}[r.IntN(6)], r.IntN(5))
	}
	var values []event.Value
	for x := -1.0; x <= 5; x += 0.5 {
		values = append(values, event.String([]byte(strconv.FormatFloat(x, 'g', -1, 64))))
	}
	values = append(values, event.String([]byte("x")), event.None)
	said := 0
	for range 3000 {
		when, until := part(2), part(2)
		never, always := c.Ends(when, until, nil)
		if !never && !always {
			continue
		}
		said++
		w, _ := c.Condition(when, nil)
		u, _ := c.Condition(until, nil)
		var e condition.Evaluator
		for _, v := range values {
			ev := &event.Event{Name: "set", Key: []byte("k"), After: v, Before: v}
			e.Begin(ev)
			begins, _ := e.Holds(w, nil)
			ends, _ := e.Holds(u, nil)
			if never && ends || always && begins && !ends {
				t.Fatalf("%s until %s: never %v, always %v, but of %s they are %v and %v", when, until, never, always, strings.TrimSpace(string(event.AppendJSONValue(nil, v))), begins, ends)
			}
		}
	}
	if said < 100 {
		t.Errorf("only %d are told of", said)
	}
}
