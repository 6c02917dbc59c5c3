package rules_test

import (
	"strings"
	"testing"

	"triggerd/rules"
)

// TestShape checks that the shape of a rule is the same exactly as long as its
// states mean the same.
func TestShape(t *testing.T) {
	const head = `
[macros]
m = "db == 0"
n = "macros.m || db == 1"
[lists]
l = ["a", "b"]
[windows.w]
times = ["08:00-18:00"]
[[rule]]
name = "x"
key = "a:{id}:{x}"
`
	const tail = "action = { type = 'log' }\n"
	shape := func(text string) string {
		t.Helper()
		set, err := rules.Parse("x.toml", []byte(text), rules.Options{})
		if err != nil {
			t.Fatalf("%v\n%s", err, text)
		}
		return set.Rules[0].Time.Shape
	}
	same := [][2]string{
		{`throttle = { max = 1, per = "60s", by = "params.id" }`, `throttle = { by = ["params['id']"], per = "1m", max = 1 }`},
		{`throttle = { max = 1, per = "60s", by = "db==0?'a':\"b\"" }`, `throttle = { max = 1, per = "60s", by = ' db  == 0 ? "a" : "b"' }`},
		{`count = { over = 1, within = "1s" }` + "\nmax_keys = 5", `count = { over = 1, within = "1s" }`},
		{`throttle = { max = 1, per = "60s" }` + "\nwhen = 'db == 1'\nevent = 'set'", `throttle = { max = 1, per = "60s" }`},
		{`absent = { for = "1m", by = "params.id", expect = ["a", "b"] }`, `absent = { for = "60s", by = "params.id", expect = ["b", "a"] }`},
		{`absent = { for = "1m" }` + "\n" + `cancel = { key = "b", command = "set", event = ["del", "set"] }`, `absent = { for = "1m" }` + "\n" + `cancel = [{ event = ["set", "del"], command = "SET", key = ["b"] }]`},
		{`once = { by = "key" }`, `once = "key"`},
		{`mute = "w"` + "\n" + `outside = "drop"`, `mute = ["w"]`},
		{`throttle = { max = 1, per = "1s", by = "key in lists.l" }`, `throttle = { max = 1, per = "1s", by = "(key in lists.l)" }`},
	}
	for _, pair := range same {
		if a, b := shape(head+pair[0]+"\n"+tail), shape(head+pair[1]+"\n"+tail); a != b {
			t.Errorf("the shapes differ:\n%s\n%s%s\n%s", pair[0], a, pair[1], b)
		}
	}
	different := []string{
		`throttle = { max = 1, per = "1m" }`, `throttle = { max = 2, per = "1m" }`, `throttle = { max = 1, per = "2m" }`,
		`throttle = { max = 1, per = "1m", by = "params.id" }`, `throttle = { max = 1, per = "1m", by = "params.x" }`,
		`throttle = { max = 1, per = "1m", by = ["params.id", "params.x"] }`, `throttle = { max = 1, per = "1m", by = ["params.x", "params.id"] }`,
		`throttle = { max = 1, per = "1m", by = "macros.n" }`, `throttle = { max = 1, per = "1m", by = "key in lists.l" }`,
		`throttle = { max = 1, per = "1m", by = 'json(arg(1), "a")' }`, `throttle = { max = 1, per = "1m", by = 'json(arg(1), "b")' }`,
		`throttle = { max = 1, per = "1m", by = 'glob(key, "a*")' }`, `throttle = { max = 1, per = "1m", by = 'glob(key, "b*")' }`,
		`batch = { max = 2, wait = "1m" }`, `once = true`, `once = "key"`, `sample = 0.5`, `sample = 0.25`,
		`dedupe = { by = "key", ttl = "1m" }`, `count = { over = 1, within = "1m" }`, `count = { over = 1, within = "1m", by = "key" }`,
		`debounce = { wait = "1m" }`, `debounce = { wait = "1m", max_wait = "2m" }`,
		`absent = { for = "1m" }`, `absent = { for = "1m", repeat = "1m" }`, `absent = { for = "1m", send_resolved = true }`,
		`absent = { for = "1m", by = "params.id" }`, `absent = { for = "1m", by = "params.id", expect = ["a"] }`,
		`absent = { for = "1m" }` + "\ncancel = { key = 'b' }", `absent = { for = "1m" }` + "\ncancel = { key = 'b', db = 0 }",
		`absent = { for = "1m" }` + "\ncancel = { key_not = 'b' }", `absent = { for = "1m" }` + "\ncancel = { key_regex = 'b' }",
		`absent = { for = "1m" }` + "\ncancel = { event = 'write' }", `absent = { for = "1m" }` + "\ncancel = { command = 'set' }",
		`absent = { for = "1m" }` + "\ncancel = { type = 'hash' }", `absent = { for = "1m" }` + "\ncancel = { when = 'macros.m' }",
		`absent = { for = "1m" }` + "\ncancel = [{ key = 'b' }, { key = 'c' }]",
		"for = '1m'\nwhen = 'num(after) < 5'", "for = '1m'\nwhen = 'num(after) < 6'", "for = '1m'\nwhen = 'num(after) < 5'\ndb = 0", "for = '2m'\nwhen = 'num(after) < 5'",
		"for = '1m'\nwhen = 'num(after) < 5'\nuntil = 'num(after) > 9'", "for = '1m'\nwhen = 'num(after) < 5'\nuntil = 'num(after) > 8'",
		"for = '1m'\nwhen = 'num(after) < 5'\nsend_resolved = true", "when = 'num(after) < 5'\nsend_resolved = true", "when = 'num(after) < 6'\nsend_resolved = true",
		"when = 'num(after) < 5'\nuntil = 'num(after) > 9'", "when = 'num(after) < 5'\nuntil = 'num(after) > 9'\nsend_resolved = true",
		`active = "w"`, `mute = "w"`, `mute = "w"` + "\n" + `outside = "hold"`,
	}
	seen := map[string]string{}
	for _, fields := range different {
		s := shape(head + fields + "\n" + tail)
		if other, have := seen[s]; have {
			t.Errorf("the shapes are the same:\n%s\n%s\n%s", other, fields, s)
		}
		seen[s] = fields
	}
	// What a name stands for counts.
	for _, change := range [][3]string{
		{`m = "db == 0"`, `m = "db == 2"`, `throttle = { max = 1, per = "1m", by = "macros.n" }`},
		{`l = ["a", "b"]`, `l = ["a", "c"]`, `throttle = { max = 1, per = "1m", by = "key in lists.l" }`},
		{`times = ["08:00-18:00"]`, `times = ["08:00-19:00"]`, `active = "w"`},
		{`times = ["08:00-18:00"]`, `times = ["08:00-18:00"]` + "\ntimezone = 'UTC'", `mute = "w"`},
		{`m = "db == 0"`, `m = "db == 2"`, `absent = { for = "1m" }` + "\ncancel = { when = 'macros.n' }"},
	} {
		text := head + change[2] + "\n" + tail
		if a, b := shape(text), shape(strings.Replace(text, change[0], change[1], 1)); a == b {
			t.Errorf("%s: %s makes no difference to\n%s", change[2], change[1], a)
		}
	}
	clock := "[[rule]]\nname = 'c'\nschedule = '0 7 * * *'\n"
	other := "[[rule]]\nname = 'o'\nkey = 'a'\n" + tail
	seen = map[string]string{}
	for _, fields := range []string{"", "timezone = 'UTC'\n", "summarize = 'o'\n", "catch_up = true\n"} {
		s := shape(clock + fields + tail + other)
		if have, twice := seen[s]; twice {
			t.Errorf("the shapes of %q and %q are the same: %s", have, fields, s)
		}
		seen[s] = fields
	}
}
