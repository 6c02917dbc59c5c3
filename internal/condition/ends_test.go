package condition_test

import (
	"testing"

	"triggerd/internal/condition"
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
		{when: `type in ["a", "b"]`, until: `type in ["a", "b", "c"]`, always: true},
		{when: `type in ["a", "b"]`, until: `not (type in ["c"])`, always: true},
		{when: `type in ["a", "b"]`, until: `not (type in ["b"])`},
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
