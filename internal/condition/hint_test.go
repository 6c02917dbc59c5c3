package condition_test

import (
	"strings"
	"testing"

	"triggerd/internal/condition"
	"triggerd/internal/glob"
)

// What people type who know other languages gets what to write instead.
func TestHints(t *testing.T) {
	pattern, err := glob.ParseKey("a:{sku}")
	if err != nil {
		t.Fatal(err)
	}
	names := condition.NewCaptures([]*glob.Pattern{pattern}, nil).Names()
	c := condition.NewCompiler(condition.Config{})
	for src, want := range map[string]string{
		`status = "paid"`:         "== compares",
		`key === "a"`:             "== compares",
		`key == "é" = "b"`:        "== compares",
		`key =~ "^a"`:             `matches "^a"`,
		`key ~ "^a"`:              `matches "^a"`,
		`key <> "a"`:              "!= is not equal",
		`db == 0 & db == 1`:       "&& joins",
		`db == 0 AND db == 1`:     "and, or &&",
		`db == 0 OR db == 1`:      "or, or ||",
		`db == 0 ORDER db == 1`:   "",
		`NOT (db == 0)`:           `"not"`,
		`key LIKE "a*"`:           `glob(key, "a*")`,
		`before is null`:          "before == nil",
		`null == before`:          `"nil"`,
		`old == "x"`:              `"before"`,
		`status == "paid"`:        `after.status, and text is in quotes: "status"`,
		`after.status == paid`:    `text is in quotes: "paid"`,
		`sku == "7"`:              "params.sku",
		`key.startsWith("a")`:     `x startsWith "a"`,
		`startsWith(key, "a")`:    `x startsWith "a"`,
		`args.0 == "a"`:           "args[0]",
		`comand == "SET"`:         `"command"`,
		`db == 0 == `:             "",
		"db ==\xff = 0":           "",
		`value BETWEEN 1 and "9"`: "num(after) >= 1",
	} {
		_, r := c.Condition(src, names)
		if len(r.Problems) == 0 {
			t.Errorf("%s compiles", src)
			continue
		}
		if hint := r.Problems[0].Hint; !strings.Contains(hint, want) || want == "" && hint != "" {
			t.Errorf("%s: got %q (%s), want %q", src, r.Problems[0].Msg, hint, want)
		}
	}
}
