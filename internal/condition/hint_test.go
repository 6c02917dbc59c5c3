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
		`status = "paid"`:               "== compares",
		`key === "a"`:                   "== compares",
		`key == "é" = "b"`:              "== compares",
		`key =~ "^a"`:                   `matches "^a"`,
		`key ~ "^a"`:                    `matches "^a"`,
		`key <> "a"`:                    "!= is not equal",
		`db == 0 & db == 1`:             "&& joins",
		`db == 0 AND db == 1`:           "and, or &&",
		`db == 0 OR db == 1`:            "or, or ||",
		`db == 0 ORDER db == 1`:         "",
		`NOT (db == 0)`:                 `"not"`,
		`key LIKE "a*"`:                 `glob(key, "a*")`,
		`before is null`:                "x == nil",
		`NOT before == nil`:             "write not, or !",
		`db == 0 Or db == 1`:            "or, or ||",
		`num(after) => 5`:               ">= is greater",
		`num(after) =< 5`:               "<= is less",
		`any(after, x => x == 5)`:       "# is the element",
		`any(after, it == "a")`:         "# is the element",
		`after.status in ("a", "b")`:    `in ["a", "b"]`,
		`after.status in {"a", "b"}`:    `in ["a", "b"]`,
		`after.status in "paid, new"`:   `in ["paid", "new"]`,
		`"x" in after.tags`:             `after.tags contains "x"; or "x" in split(after.tags, ",")`,
		`"x" in key`:                    `x contains "a"`,
		`any(after.items, # == "a")`:    `any(split(after.items, ","), # == "a")`,
		`after.order.id == "a"`:         `json(after.order, "id")`,
		`was("a b").x == "a"`:           `json(before["a b"], "x")`,
		`field("u", "f").x == "a"`:      `json(x.f, "x")`,
		`after.order-id == "a"`:         `after["order-id"]`,
		`after.amount == 5`:             "compare num(x)",
		`was("f") != true`:              "compare num(x)",
		`after.amount in [1, 2]`:        `num(x) in it, or texts`,
		`any(after, # == 5)`:            "compare num(x)",
		`any(after, .value == 5)`:       "compare num(x)",
		`!after.status in ["a"]`:        "x not in [...]",
		`not after.status == "a"`:       "x != y, or not (x == y)",
		`db == 1 && !event == "set"`:    "x != y, or not (x == y)",
		`-key == "a"`:                   "num(x)",
		`5 in after`:                    `"5" in after`,
		`true in after`:                 `"5" in after`,
		`type == "sortedset"`:           `"zset"`,
		`type == "hashes"`:              `"hash"`,
		`cause == "expire"`:             `"expired"`,
		`origin in ["snapshots"]`:       `"snapshot"`,
		`time.hour > 5`:                 `"Hour"`,
		`time.Hour > 5`:                 "call it: time.Hour()",
		`hour(time) > 5`:                "time.Hour()",
		`time.Weekday() == "Monday"`:    "0 for Sunday",
		`ttl < 60s`:                     "60s is 60000",
		`ttl < duration("60s")`:         "ttl < 60000",
		`tx.Index == 1`:                 "tx.index",
		`tx > 1`:                        "tx.size",
		`added == "x"`:                  `"a" in x`,
		`added > 0`:                     "len(x)",
		`changed("status")`:             `differs("f")`,
		`removed("x")`:                  `"a" in removed`,
		`toInt(after) > 5`:              "num(x)",
		`max(after) > 5`:                "x > y ? x : y",
		`filter(after, # == "a")`:       "any, all, none",
		`key.split(":")[0] == "a"`:      `split(key, ":")`,
		`key.toLower() == "a"`:          "lower(x)",
		`has("f")`:                      `has(after, "f")`,
		`within(after, "van", 1, 2)`:    "longitude, latitude, km",
		`any(after)`:                    `any(after, # == "a")`,
		`count(after, num(.score)) > 5`: "compare it",
		`any(key, # == "x")`:            `any(after, # == "a")`,
		`glob("a*", key)`:               `glob(key, "a:*")`,
		`after?.status == "a"`:          "what is not there is nil",
		`client == "x"`:                 "no replica is told",
		`key == "a" # why`:              "no comments",
		`{{.key}} == "a"`:               "no template",
		`${env:X} == "a"`:               "is not put into conditions",
		`before -> after`:               "before.status",
		`after.status between 1 and 5`:  "num(after) >= 1",
		`null == before`:                `"nil"`,
		`old == "x"`:                    `"before"`,
		`status == "paid"`:              `after.status, and text is in quotes: "status"`,
		`after.status == paid`:          `text is in quotes: "paid"`,
		`sku == "7"`:                    "params.sku",
		`key.startsWith("a")`:           `x startsWith "a"`,
		`startsWith(key, "a")`:          `x startsWith "a"`,
		`args.0 == "a"`:                 "args[0]",
		`comand == "SET"`:               `"command"`,
		`db == 0 == `:                   "",
		"db ==\xff = 0":                 "",
		`value BETWEEN 1 and "9"`:       "num(after) >= 1",
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

// What is allowed and hardly meant is warned of, with what to write.
func TestDoubts(t *testing.T) {
	pattern, err := glob.ParseKey("a:{sku}")
	if err != nil {
		t.Fatal(err)
	}
	names := condition.NewCaptures([]*glob.Pattern{pattern}, nil).Names()
	c := condition.NewCompiler(condition.Config{})
	for src, want := range map[string]string{
		`json(after, "$.a.b") == 5`:          `doubtful-path write "a.b"`,
		`json(after, "$") == "x"`:            `doubtful-path write ""`,
		`json(after, "a[0].b") == 5`:         `doubtful-path write "a.0.b"`,
		`json(after, "$['a']['b']") == 5`:    `doubtful-path write "a.b"`,
		`json(after, "_id.$oid") == "x"`:     "",
		`json(after, "$ref.a") == "x"`:       "",
		`json(after, "a.0.b") == 5`:          "",
		`value("limit:{sku}") == "5"`:        `doubtful-pattern write "limit:" + params.sku`,
		`value("{sku}:" + "x:{sku}") == "5"`: `doubtful-pattern write params.sku + ":"`,
		`value("{user1}.cart") == "5"`:       "",
		`field("limit:{sku}", "max") == "5"`: `doubtful-pattern write "limit:" + params.sku`,
	} {
		_, r := c.Condition(src, names)
		if len(r.Problems) > 0 {
			t.Errorf("%s: %v", src, r.Problems)
			continue
		}
		got := ""
		if len(r.Warnings) > 0 {
			got = r.Warnings[0].Code + " " + r.Warnings[0].Hint
		}
		if got != want {
			t.Errorf("%s: got %q, want %q", src, got, want)
		}
	}
	for src, want := range map[string]string{
		`within(after, "van", 200, 52.5, 10)`:  "a longitude is never 200",
		`within(after, "van", 13.4, -90.5, 1)`: "a latitude is never -90.5",
		`within(after, "van", 13.4, 52.5, -1)`: "a distance is never -1",
	} {
		if _, r := c.Condition(src, names); len(r.Problems) != 1 || r.Problems[0].Msg != want || !strings.Contains(r.Problems[0].Hint, "longitude, latitude") {
			t.Errorf("%s: %v", src, r.Problems)
		}
	}
}
