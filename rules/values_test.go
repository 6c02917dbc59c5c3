package rules_test

import (
	"slices"
	"strings"
	"testing"

	"triggerd/internal/event"
	"triggerd/rules"
)

// TestValues says what conditions see of values. A want of "" is a match,
// "no" is none, all else an error.
func TestValues(t *testing.T) {
	str := func(s string) event.Value { return event.String([]byte(s)) }
	hash := func(kv ...string) event.Value {
		var list []event.Element
		for i := 0; i < len(kv); i += 2 {
			list = append(list, event.Element{Name: kv[i], Value: kv[i+1]})
		}
		return event.Elements("hash", list)
	}
	list := event.Elements("list", []event.Element{{Name: "a"}, {Name: "b"}})
	zset := event.Elements("zset", []event.Element{{Name: "al", Score: 3}, {Name: "bo", Score: 7.5}})
	stream := event.Elements("stream", []event.Element{{Name: "1-0", Fields: []string{"f", "v"}}})
	cut := event.CloneValue(str("123456"), 3)
	cutHash := event.CloneValue(hash("a", "1", "b", "2"), 20)
	tests := []struct {
		before, after event.Value
		cond, want    string
	}{
		{str("1"), str("0"), "crossed(0)", ""},
		{str("0"), str("-1"), "crossed(0)", "no"},
		{str("-1"), str("0"), "crossed(0)", ""},
		{str("0"), str("1"), "crossed(0)", "no"},
		{str("4"), str("6"), "crossed(5)", ""},
		{str("6"), str("4"), "crossed(5)", ""},
		{str("5"), str("5"), "crossed(5)", "no"},
		{event.None, str("0"), "crossed(0)", "no"},
		{str("1"), event.None, "crossed(0)", "no"},
		{str("x"), str("0"), "crossed(0)", "no"},
		{nil, str("0"), "crossed(0)", "before is not known"},
		{str("1"), nil, "crossed(0)", "after is not known"},
		{str("1"), cut, "crossed(0)", "after is not known whole"},

		{event.None, str("on"), `changed_to("on")`, ""},
		{str("on"), str("on"), `changed_to("on")`, "no"},
		{str("off"), str("on"), `changed_to("on")`, ""},
		{list, str("on"), `changed_to("on")`, ""},
		{str("on"), event.None, `changed_to("on")`, "no"},
		{hash("s", "new"), hash("s", "paid"), `became("s", "paid")`, ""},
		{event.None, hash("s", "paid"), `became("s", "paid")`, ""},
		{hash("s", "paid"), hash("s", "paid"), `became("s", "paid")`, "no"},
		{hash("s", "paid"), event.None, `became("s", "paid")`, "no"},

		{event.None, str("x"), "before == nil && after != nil", ""},
		{nil, str("x"), "before == nil", "before is not known"},
		{nil, str("x"), `after == "x" || before == nil`, ""},
		{nil, str("x"), `after == "y" && before == nil`, "no"},
		{str("x"), str("x"), "before == after", ""},
		{hash("a", "1", "b", "2"), hash("b", "2", "a", "1"), "before == after", ""},
		{hash("a", "1"), hash("a", "2"), "before != after", ""},
		{event.None, str("5"), "num(before, 0) == 0 && num(after) == 5", ""},

		{event.None, hash("f", "5"), `before.f == nil && after.f == "5" && after["f"] == "5" && after.g == nil`, ""},
		{event.None, hash("f", "5"), `num(after.f) > 4 && has(after, "f") && !has(after, "g") && !has(before, "f") && "f" in after`, ""},
		{event.None, hash("f", "paid"), `after.f startsWith "pa" && after.f in ["paid"] && !(before.f startsWith "pa") && size(after.f) == 4`, ""},
		{event.None, list, `after[0] == "a" && after[-1] == "b" && after[2] == nil && size(after) == 2 && len(before) == 0`, ""},
		{event.None, list, `"b" in after && any(after, # == "a") && none(before, true) && count(after, # startsWith "a") == 1`, ""},
		{event.None, zset, `num(after.bo) == 7.5 && any(after, num(#.score) > 7) && after[0] == nil`, "after is a zset"},
		{event.None, zset, `num(after.bo) == 7.5 && any(after, num(#.score) > 7) && has(after, "al")`, ""},
		{event.None, stream, `has(after, "1-0") && any(after, #.id == "1-0" && "v" in #.fields)`, ""},
		{event.None, str(`{"a":{"b":1}}`), `json(after, "a.b") == 1 && after contains "b" && len(after) == 13`, ""},
		{event.None, str("x"), `after.f == "x"`, "after is a string"},
		{event.None, hash("f", "5"), `after startsWith "5"`, "after is a hash, not text"},
		{event.None, cutHash, `after.a == "1" && size(after) == 2`, ""},
		{event.None, cutHash, `after.b == "2"`, "after is not known whole"},

		{str("a"), str("b"), `"f" in changed && len(changed) == 2 && any(changed, # == "g") && changed[0] == "f"`, ""},
		{str("a"), str("b"), "ttl > 0 && ttl <= 5000", ""},
	}
	for _, test := range tests {
		ev := change("x", "k", "X")
		ev.Before, ev.After, ev.TTL = test.before, test.after, 5000
		ev.Changed = [][]byte{[]byte("f"), []byte("g")}
		if got := outcome(t, test.cond, ev); got != test.want && !(len(test.want) > 2 && strings.Contains(got, test.want)) {
			t.Errorf("%s: got %q, want %q", test.cond, got, test.want)
		}
	}
	flush := keyless(event.FlushAll, "FLUSHALL")
	for _, cond := range []string{"before == nil", "num(after) > 1", "ttl < 0"} {
		if got := outcome(t, cond, flush); !strings.Contains(got, "is not known") {
			t.Errorf("%s of a flushall: %q", cond, got)
		}
	}
}

// outcome is "" for a match, "no" for none, and the condition's error.
func outcome(t *testing.T, cond string, ev *event.Event) string {
	t.Helper()
	fields := "when = '''" + cond + "'''"
	if ev.Key == nil {
		fields += "\nevent = 'flushall'"
	}
	set := one(t, fields)
	result := "no"
	m := set.Matcher()
	m.ConditionError = func(_ *rules.Rule, _ *event.Event, err error) { result = err.Error() }
	if len(m.Match(nil, ev)) == 1 {
		return ""
	}
	return result
}

// TestKeepsAll checks the warning of a rule for which every value is kept.
func TestKeepsAll(t *testing.T) {
	tests := []struct {
		fields string
		want   bool
	}{
		{"when = 'before != after'\nevent = 'set'", true},
		{"event = 'expired'\non_time = true", true},
		{"when = 'before != after'\nkey = 'a'", false},
		{`when = 'key startsWith "a" && before != after'`, false},
		{"key_regex = '[0-9]'\nwhen = 'before != after'", false},
		{"event = 'expired'", false},
	}
	for _, test := range tests {
		warned := slices.ContainsFunc(one(t, test.fields).Warnings, func(e *rules.Error) bool { return strings.Contains(e.Msg, "every key is kept") })
		if warned != test.want {
			t.Errorf("%s: warned %v", test.fields, warned)
		}
	}
}

// TestValuesAllocate checks that what conditions ask most of values allocates
// nothing.
func TestValuesAllocate(t *testing.T) {
	set := one(t, `when = '(crossed(9) || changed_to("x") || before == nil || num(after) > 9) && size(after) == 1 && ttl > 0'`)
	ev := change("set", "k", "SET", "k", "v")
	ev.Before, ev.After, ev.TTL = event.String([]byte("5")), event.String([]byte("6")), 5
	m := set.Matcher()
	var dst []rules.Match
	if n := testing.AllocsPerRun(100, func() { dst = m.Match(dst[:0], ev) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
	ev.Before = nil
	if n := testing.AllocsPerRun(100, func() { dst = m.Match(dst[:0], ev) }); n != 0 {
		t.Errorf("%v allocations for what is not known", n)
	}
}
