package rules_test

import (
	"strings"
	"testing"

	"triggerd/rules"
)

// TestTimeWarnings checks what time fields are warned of, and what not.
func TestTimeWarnings(t *testing.T) {
	const windows = `
[windows.day]
times = ["08:00-18:00"]
timezone = "UTC"
[windows.morning]
times = ["08:00-12:00"]
timezone = "UTC"
[windows.afternoon]
times = ["11:00-18:00"]
timezone = "UTC"
`
	for _, test := range []struct{ fields, want string }{
		{`absent = { for = "1m" }`, "absent: a deletion or an expiry of the key counts as a sign of life too (name the events"},
		{`absent = { for = "1m" }` + "\nevent = ['set', 'write']", "absent: a deletion or an expiry"},
		{`absent = { for = "1m" }` + "\nevent = 'set'", ""},
		{`absent = { for = "1m" }` + "\ncommand = 'set'", ""},
		{`absent = { for = "1m" }` + "\nwhen = 'db == 0'", ""},
		{`absent = { for = "1m" }` + "\nevent = 'set'\nsample = 0.5", "sample: what the sample leaves out is missed by absent (leave it out)"},
		{`absent = { for = "1m" }` + "\nevent = 'set'\ndedupe = { by = 'key', ttl = '1m' }", "dedupe: no sign of life passes for 1m, and absent waits only 1m"},
		{`absent = { for = "1m" }` + "\nevent = 'set'\ndedupe = { by = 'key', ttl = '59s' }", ""},
		{"for = '1m'\nwhen = 'num(after) < 5'", ""},
		{"for = '1m'\nwhen = 'num(after) < 5'\nevent = ['del', 'expired']", "for: after these events the key is gone, and its condition with it: the rule never fires"},
		{"for = '1m'\nwhen = 'num(after) < 5'\nevent = ['del', 'set']", ""},
		{"for = '1m'\nwhen = 'db == 0 && key != \"a\"'", "when: with for, this holds for as long as the key is there (ask after"},
		{"for = '1m'\nwhen = 'ttl == -1'", ""},
		{"for = '1m'\nwhen = 'type == \"hash\"'", ""},
		{"when = 'num(after) > 90'\nuntil = 'num(after) < 70'", ""},
		{"when = 'crossed(90)'\nuntil = 'num(after) < 70'", ""},
		{"when = 'num(after) > 90'\nuntil = 'num(after) > 70'", "until: this holds whenever the condition does: the rule never fires"},
		{"when = 'num(after) > 90'\nuntil = 'num(after) < 70 && num(after) > 80'", "until: this never holds: what has fired stays open until its key is gone"},
		{"when = 'num(after) > 90'\nuntil = 'db == 0'", "until: until holds for as long as the key is there: nothing ever fires"},
		{"when = 'num(after) < 5'\nsend_resolved = true\nevent = ['del', 'expired']", "event: after these events the key is gone"},
		{"active = 'day'\nmute = ['morning', 'afternoon']", "mute: the windows leave no time at which the rule may fire"},
		{"active = 'day'\nmute = 'morning'", ""},
		{"cancel = { when = 'bytes > 5' }\nabsent = { for = '1m' }\nevent = 'set'", "cancel.when: no index serves this rule: its condition is evaluated for every event"},
		{"cancel = { when = 'before != after' }\nabsent = { for = '1m' }\nevent = 'set'", "cancel: the value of every key is kept in memory"},
		{"cancel = { key = 'b', when = 'before != after' }\nabsent = { for = '1m' }\nevent = 'set'", ""},
	} {
		set, err := rules.Parse("x.toml", []byte(windows+"[[rule]]\nname = 'x'\nkey = 'k:*'\n"+test.fields+"\naction = { type = 'log' }\n"), options())
		if err != nil {
			t.Errorf("%s: %v", test.fields, err)
			continue
		}
		var got []string
		for _, w := range set.Warnings {
			got = append(got, w.Error())
		}
		all := strings.Join(got, "\n")
		if (test.want == "") != (all == "") || !strings.Contains(all, test.want) {
			t.Errorf("%s: got %q, want %q", test.fields, all, test.want)
		}
	}
}

// TestDuplicateOfTime checks that rules of the same events with other time
// fields are no duplicates.
func TestDuplicateOfTime(t *testing.T) {
	text := func(a, b string) string {
		return "[[rule]]\nname = 'a'\nkey = 'k'\n" + a + "\naction = { type = 'log' }\n[[rule]]\nname = 'b'\nkey = 'k'\n" + b + "\naction = { type = 'log' }\n"
	}
	for _, test := range []struct {
		a, b     string
		warnings int
	}{
		{"once = true", "once = true", 1},
		{"once = true", "", 0},
		{"throttle = { max = 1, per = '1s' }", "throttle = { max = 2, per = '1s' }", 0},
		{"throttle = { max = 1, per = '1s' }", "throttle = { per = '1s', max = 1 }", 1},
	} {
		set, err := rules.Parse("x.toml", []byte(text(test.a, test.b)), options())
		if err != nil {
			t.Fatal(err)
		}
		if len(set.Warnings) != test.warnings {
			t.Errorf("%s and %s: %v", test.a, test.b, set.Warnings)
		}
	}
}
