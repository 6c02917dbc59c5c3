package rules

import (
	"fmt"
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
	"testing"

	"triggerd/internal/condition/conditiontest"
	"triggerd/internal/event"
)

func needSet(t *testing.T, fields string) *Set {
	t.Helper()
	set, err := Parse("x.toml", []byte("[[rule]]\nname = 'x'\n"+fields+"\n"), Options{Action: readsOfField})
	if err != nil {
		t.Fatalf("%s: %v", fields, err)
	}
	return set
}

// readsOfField is a check of actions that has them read what their field says.
func readsOfField(_ string, fields map[string]any) (ActionFacts, error) {
	name, _ := fields["reads"].(string)
	return ActionFacts{SendsEvent: fields["sends"] == true, Reads: map[string]event.Parts{
		"type": event.PartType, "ttl": event.PartTTL, "changed": event.PartChanged, "cause": event.PartCause,
		"before": event.PartBefore, "after": event.PartAfter,
	}[name]}, nil
}

func TestNeedOfRule(t *testing.T) {
	const log = "\naction = { type = 'log' }"
	const sends = "\naction = [{ type = 'log' }, { type = 'x', sends = true }]"
	tests := []struct {
		fields string
		want   Need
	}{
		{"key = 'a'" + log, NeedNothing},
		{"event = 'write'" + log, NeedNothing},
		{"key = 'a'" + sends, NeedValue},
		{"key = ['a*', 'b:{id}', '\\{a}']" + sends, NeedValue},
		{"key = ['a*', '*b']" + sends, NeedNothing},
		{"key = '{id}:a'" + sends, NeedNothing},
		{"key = '[ab]:a'" + sends, NeedNothing},
		{"key = '?a'" + sends, NeedNothing},
		{"key_regex = '^a'" + sends, NeedNothing},
		{"db = 0" + sends, NeedNothing},
		{"event = 'flushall'" + sends, NeedNothing},
		{"key = 'a*'\nvalues = false" + sends, NeedNothing},
		{"key = 'a*'\nvalues = false\nwhen = 'after == \"x\"'" + sends, NeedValue},
		{"key = 'a*'\ndry_run = true" + sends, NeedNothing},
		{"key = 'a*'\nenabled = false" + sends, NeedNothing},
		{"key = '*'\nvalues = true" + sends, NeedValue},
		{"key = 'a'\nwhen = 'ttl > 5'\nuntil = 'after == \"x\"'" + log, NeedValue},
		{"key = 'a'\nwhen = 'ttl > 5'\nsend_resolved = true" + log, NeedState},
		{"event = 'set'\nwhen = 'num(arg(1)) > 5'" + log, NeedNothing},
		{"event = 'expired'" + log, NeedState},
		{"event = ['set', 'xtrim']" + log, NeedState},
		{"event = 'del'" + log, NeedState},
		{"event = 'incrbyfloat'" + log, NeedValue},
		{"event = 'changed'" + log, NeedValue},
		{"values = true" + log, NeedValue},
		{"values = true\nevent = 'publish'" + log, NeedNothing},
		{"event = 'expired'\non_time = true" + log, NeedOnTime},
		{"event = 'expired'\non_time = false" + log, NeedState},
		{"type = 'hash'" + log, NeedState},
		{`when = 'type == "hash"'` + log, NeedState},
		{"when = 'ttl > 5'" + log, NeedState},
		{`when = '"f" in changed'` + log, NeedState},
		{`when = 'cause == "expired"'` + log, NeedState},
		{`when = 'event == "expired"'` + log, NeedState},
		{`when = 'event in ["set", "new"]'` + log, NeedState},
		{`when = 'event startsWith "h"'` + log, NeedState},
		{`when = 'event == "set"'` + log, NeedNothing},
		{"when = 'before != after'" + log, NeedValue},
		{`when = 'after.f == "x"'` + log, NeedValue},
		{"when = 'num(before) > 1'" + log, NeedValue},
		{"when = 'crossed(3)'" + log, NeedValue},
		{`when = 'changed_to("x")'` + log, NeedValue},
		{`when = 'became("f", "x")'` + log, NeedValue},
		{`when = 'macros.m'` + log + "\n[macros]\nm = 'before == nil'", NeedValue},
		{"action = { type = 'log', message = '{{.type}}' }", NeedNothing}, // the kind says what it reads, not the text
		{"action = { type = 'log', reads = 'type' }", NeedState},
		{"action = { type = 'log', reads = 'cause' }", NeedState},
		{"action = { type = 'log', reads = 'ttl' }", NeedState},
		{"action = { type = 'log', reads = 'changed' }", NeedState},
		{"action = { type = 'log', reads = 'before' }", NeedValue},
		{"action = [{ type = 'log' }, { type = 'log', reads = 'after' }]", NeedValue},
		{"action = { target = 't' }\n[targets.t]\ntype = 'log'\nreads = 'after'", NeedValue},
		{"event = 'flushall'\naction = { type = 'log', reads = 'before' }", NeedNothing},
		{"enabled = false\nwhen = 'before == nil'" + log, NeedNothing},
	}
	for _, test := range tests {
		set := needSet(t, test.fields)
		if got := set.Matcher().Need(3, []byte("a")); got != test.want {
			t.Errorf("%s: needs %d, want %d", test.fields, got, test.want)
		}
		if got := set.NeedsSomething(); got != (test.want != NeedNothing) {
			t.Errorf("%s: NeedsSomething is %v", test.fields, got)
		}
	}
}

func TestNeedOfKey(t *testing.T) {
	const when = "\nwhen = 'before != after'\naction = { type = 'log' }"
	tests := []struct {
		fields string
		db     int
		key    string
		want   Need
	}{
		{"key = 'stock:*'", 0, "stock:7", NeedValue},
		{"key = 'stock:*'", 0, "stoc", NeedNothing},
		{"key = 'stock:{sku}'", 0, "stock:7:8", NeedNothing},
		{"key = ['a', 'b*c*d']", 0, "a", NeedValue},
		{"key = ['a', 'b*c*d']", 0, "b1c2d", NeedValue},
		{"key = ['a', 'b*c*d']", 0, "b1d", NeedNothing},
		{"key = '*'\nkey_not = 'tmp:*'", 0, "tmp:1", NeedNothing},
		{"key_not = 'tmp:*'", 0, "tm", NeedValue},
		{"key_regex = '^a[0-9]+$'", 0, "a12", NeedValue},
		{"key_regex = '^a[0-9]+$'", 0, "a1b", NeedNothing},
		{"key = 'a*'\ndb = [1, 3]", 3, "a", NeedValue},
		{"key = 'a*'\ndb = [1, 3]", 2, "a", NeedNothing},
		{"key = ''", 0, "", NeedValue},
	}
	for _, test := range tests {
		if got := needSet(t, test.fields+when).Matcher().Need(test.db, []byte(test.key)); got != test.want {
			t.Errorf("%s: %q in %d needs %d, want %d", test.fields, test.key, test.db, got, test.want)
		}
	}
	// What the condition says of the key counts too.
	set := needSet(t, `when = 'key startsWith "a:" && before != nil'`+"\naction = { type = 'log' }")
	if got, other := set.Matcher().Need(0, []byte("a:1")), set.Matcher().Need(0, []byte("b:1")); got != NeedValue || other != NeedNothing {
		t.Errorf("the key of the condition needs %d, another %d", got, other)
	}
}

func TestAsksFor(t *testing.T) {
	set := needSet(t, "event = ['new', 'set']\nwhen = 'event != \"type_changed\"'\naction = { type = 'log' }")
	for name, want := range map[string]bool{"new": true, "type_changed": true, "overwritten": false} {
		if got := set.AsksFor(name); got != want {
			t.Errorf("AsksFor(%s) is %v", name, got)
		}
	}
}

// TestNeedAgainstNaive compares Need of random rules with what their fields
// say, read by code of its own.
func TestNeedAgainstNaive(t *testing.T) {
	rng := rand.New(rand.NewPCG(10, 0))
	needs := []struct {
		field, value string
		need         Need
	}{{"when", "arg(1) == 'x'", NeedNothing}, {"when", "ttl > 1", NeedState}, {"when", "before != after", NeedValue}, {"when", "event != 'del'", NeedState}}
	counts := map[Need]int{}
	for range 200 {
		n := 1 + rng.IntN(40)
		specs, docs, each := make([]spec, n), make([]any, n), make([]Need, n)
		for i := range specs {
			s := randomSpec(rng, &conditiontest.Generator{Rng: rng}, i)
			delete(s.doc, "type")
			pick := needs[rng.IntN(len(needs))]
			s.doc[pick.field], each[i] = pick.value, pick.need
			for _, name := range s.events {
				switch name {
				case "del", "expired":
					each[i] = max(each[i], NeedState)
				}
				if name == "expired" && rng.IntN(2) == 0 {
					s.doc["on_time"], each[i] = true, NeedOnTime
				}
			}
			if s.events != nil && !slices.ContainsFunc(s.events, func(e string) bool { return e != event.Publish }) || s.disabled {
				each[i] = NeedNothing
			}
			specs[i], docs[i] = s, s.doc
		}
		set, err := Build(map[string]any{"rule": docs}, Options{})
		if err != nil {
			t.Fatal(err)
		}
		for range 100 {
			ev := conditiontest.Event(rng)
			want := NeedNothing
			for i := range specs {
				s := &specs[i]
				glob := func(p string) bool { return naive(p, string(ev.Key)) }
				if s.keys != nil && !slices.ContainsFunc(s.keys, glob) || slices.ContainsFunc(s.keysNot, glob) ||
					s.regex != "" && !regexp.MustCompile(s.regex).Match(ev.Key) || s.dbs != nil && !slices.Contains(s.dbs, ev.DB) {
					continue
				}
				want = max(want, each[i])
			}
			got := set.Matcher().Need(ev.DB, ev.Key)
			counts[got]++
			if got != want {
				t.Fatalf("%q in %d needs %d, want %d: %v", ev.Key, ev.DB, got, want, fmt.Sprint(docs))
			}
		}
	}
	t.Log(counts)
	for need := NeedNothing; need <= NeedOnTime; need++ {
		if counts[need] < 200 {
			t.Errorf("only %d keys with need %d", counts[need], need)
		}
	}
}

func TestNeedAllocates(t *testing.T) {
	set := needSet(t, "key = ['a:{x}', 'b*', '*z', 'exact']\ndb = [0, 1]\nkey_not = 'a:9'\nwhen = 'before != after'\naction = { type = 'log' }")
	keys := [][]byte{[]byte("a:1"), []byte("nothing:here"), []byte("b1"), []byte("exact"), []byte("a:9")}
	m := set.Matcher()
	if n := testing.AllocsPerRun(100, func() {
		for _, k := range keys {
			m.Need(1, k)
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkNeed(b *testing.B) {
	var docs []any
	for i := range 1000 {
		docs = append(docs, map[string]any{"name": fmt.Sprint(i), "key": fmt.Sprintf("app%d:{id}", i), "when": "before != after", "action": map[string]any{"type": "log"}})
	}
	set, err := Build(map[string]any{"rule": docs}, Options{})
	if err != nil {
		b.Fatal(err)
	}
	for name, key := range map[string]string{"watched": "app500:1234567", "unwatched": "session:1234567890"} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			k, m := []byte(key), set.Matcher()
			for b.Loop() {
				m.Need(0, k)
			}
		})
	}
}

// TestNeedOfOtherKeys: the values of keys that a condition reads beside its own
// are needed, in the rule's databases, and no more of them.
func TestNeedOfOtherKeys(t *testing.T) {
	const src = `
[[rule]]
name = "limit"
key = "use:{id}"
db = 3
when = 'num(arg(1)) > num(value("limit:" + params.id)) && field("config", "mode") == "x"'
throttle = { max = 1, per = "1h", by = 'value("plan:" + params.id)' }
action = { type = "log" }
[[rule]]
name = "off"
enabled = false
when = 'value("off") == nil'
action = { type = "log" }
`
	set, err := Parse("x.toml", []byte(src), Options{})
	if err != nil {
		t.Fatal(err)
	}
	m := set.Matcher()
	for key, want := range map[string]Need{"limit:7": NeedValue, "config": NeedValue, "plan:x": NeedValue, "use:7": NeedNothing, "limit": NeedNothing, "off": NeedNothing} {
		if got := m.Need(3, []byte(key)); got != want {
			t.Errorf("%s: need %d, want %d", key, got, want)
		}
		if got := m.Need(0, []byte(key)); got != NeedNothing {
			t.Errorf("%s in another database: need %d", key, got)
		}
	}
	var kept []string
	for _, k := range set.Kept() {
		kept = append(kept, k.String())
	}
	if want := []string{"values of limit:* (limit: reads another key)", "values of config (limit: reads another key)", "values of plan:* (limit: reads another key)"}; !slices.Equal(kept, want) {
		t.Errorf("kept %q", kept)
	}
	less, err := Parse("x.toml", []byte(strings.ReplaceAll(src, "limit:", "use:")), Options{})
	if err != nil {
		t.Fatal(err)
	}
	if set.NeedsNoMoreThan(less) || !set.NeedsNoMoreThan(set) || set.NeedText() == less.NeedText() {
		t.Error("other keys are not among the needs")
	}
	for _, key := range []string{"limit:7", "config", "plan:7"} {
		ev := &event.Event{Name: "set", Command: "SET", Key: []byte(key), DB: 3, Args: [][]byte{[]byte(key), []byte("9")}}
		m.Lookup = func(int, []byte) event.Value { return event.String([]byte("1")) }
		if found := m.Match(nil, ev); len(found) > 0 {
			t.Errorf("%s fires", key)
		}
	}
}

// A matcher names the predicates that enabled rules may ask of a key.
func TestCountedOfKeys(t *testing.T) {
	const action = "\naction = { type = 'log' }"
	const when = "\nwhen = 'any(after, # contains \"x\")'"
	for _, test := range []struct {
		fields string
		want   int
	}{
		{"key = 'k:*'" + when + action, 1},
		{"key = 'other:*'" + when + action, 0},
		{"key_not = 'k:*'" + when + action, 0},
		{"key_regex = '^k:[0-9]+$'" + when + action, 1},
		{"type = 'set'" + when + action, 1},
		{"type = 'list'" + when + action, 0},
		{"db = 1" + when + action, 0},
		{"enabled = false" + when + action, 0},
		{"key = 'k:*'\nwhen = 'any(after, # contains key)'" + action, 0},
		{"key = 'k:*'" + action, 0},
	} {
		if got := needSet(t, test.fields).Matcher().Counted(0, []byte("k:1"), "set"); len(got) != test.want {
			t.Errorf("%s: %d predicates, want %d", test.fields, len(got), test.want)
		}
	}
}

// What is kept is told by pattern, with the rules and why. Where nothing says which
// keys a webhook is about, that is noted, unless the rule says what it wants.
func TestKept(t *testing.T) {
	set := needSet(t, `key = "a:*"
action = { type = "x", sends = true }
[[rule]]
name = "y"
key = ["a:*", "b"]
when = 'after == "1"'
action = { type = "log" }
[[rule]]
name = "z"
event = "expired"
key = "a:*"
action = { type = "log" }
[[rule]]
name = "all"
action = { type = "x", sends = true }
[[rule]]
name = "spared"
key = "*"
values = false
action = { type = "x", sends = true }
[[rule]]
name = "told"
key = "{tenant}:a"
action = { type = "x", sends = true }
[[rule]]
name = "reads"
key = "*:b"
when = 'before != after'
action = { type = "x", sends = true }`)
	var got []string
	for _, k := range set.Kept() {
		got = append(got, k.String())
	}
	want := []string{
		"values of a:* (x: its webhook sends the event, y: its condition)", "values of b (y: its condition)",
		"type and deadline of a:* (z: its events)", "values of *:b (reads: its condition)",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	got = nil
	for _, n := range set.Notes {
		got = append(got, n.Rule+" "+n.Field)
	}
	if !slices.Equal(got, []string{"all ", "told key"}) {
		t.Errorf("notes %q", got)
	}
}
