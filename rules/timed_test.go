package rules_test

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"triggerd/internal/event"
	"triggerd/internal/timing"
	"triggerd/rules"
)

// load builds a set of a text, without warnings.
func load(t *testing.T, text string) *rules.Set {
	t.Helper()
	set, err := rules.Parse("x.toml", []byte(text), options())
	if err != nil {
		t.Fatal(err)
	}
	if len(set.Warnings) > 0 {
		t.Errorf("warnings: %v", set.Warnings)
	}
	return set
}

func TestTimeFields(t *testing.T) {
	text, err := os.ReadFile("testdata/good/time.toml")
	if err != nil {
		t.Fatal(err)
	}
	set := load(t, string(text))
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	office := &timing.Window{
		Name: "office", Location: berlin,
		Weekdays: []timing.DayRange{{From: 1, To: 5}, {From: 0, To: 0}},
		Times:    []timing.ClockRange{{From: 480, To: 1080}, {From: 1320, To: 1440}, {From: 1350, To: 360}},
		Days:     []timing.DayRange{{From: 1, To: 5}, {From: -1, To: -1}, {From: -3, To: -2}, {From: 20, To: -5}},
		Months:   []timing.DayRange{{From: 1, To: 3}, {From: 12, To: 12}, {From: 7, To: 7}, {From: 11, To: 2}},
	}
	night := &timing.Window{Name: "night", Location: time.Local, Times: []timing.ClockRange{{From: 120, To: 360}, {From: 0, To: 60}}}
	want := map[string]*timing.Rule{
		"plain": {Name: "plain", MaxKeys: 100_000},
		"all": {
			Name: "all", MaxKeys: 7, Sample: 0.25, Once: true, Dedupe: time.Hour, Count: timing.Count{Over: 100, Within: 10 * time.Second},
			Active: []*timing.Window{office}, Mute: []*timing.Window{night}, Hold: true,
			Throttle: timing.Throttle{Max: 5, Per: time.Minute}, Batch: timing.Batch{Max: 500, Wait: time.Second},
		},
		"quiet": {
			Name: "quiet", MaxKeys: 100_000,
			Absent: timing.Absent{For: 90 * time.Second, Expect: []string{"a", "b"}, Repeat: 15 * time.Minute, Resolved: true},
		},
		"wait":  {Name: "wait", MaxKeys: 100_000, Debounce: timing.Debounce{Wait: 2 * time.Second, MaxWait: 30 * time.Second}, Active: []*timing.Window{office}, Once: true},
		"low":   {Name: "low", MaxKeys: 100_000, For: 5 * time.Minute},
		"hot":   {Name: "hot", MaxKeys: 100_000, For: time.Minute, Episode: timing.Episode{On: true, Resolved: true}},
		"latch": {Name: "latch", MaxKeys: 100_000, Episode: timing.Episode{On: true}},
		"told":  {Name: "told", MaxKeys: 100_000, Episode: timing.Episode{On: true, Resolved: true}},
		"daily": {Name: "daily", MaxKeys: 100_000, Summarize: []string{"plain", "all"}, CatchUp: true, Mute: []*timing.Window{night}},
	}
	shown := func(r *timing.Rule) string {
		if r == nil {
			return "nil"
		}
		c := *r
		c.Shape, c.Schedule, c.Active, c.Mute = "", nil, nil, nil
		text := fmt.Sprintf("%+v", c)
		for _, w := range slices.Concat(r.Active, r.Mute) {
			text += fmt.Sprintf(" %+v", *w)
		}
		return text
	}
	for _, r := range set.Rules {
		if got, want := shown(r.Time), shown(want[r.Name]); got != want {
			t.Errorf("%s: got\n%s\nwant\n%s", r.Name, got, want)
		}
		if r.Time != nil && (r.Time.Schedule != nil) != (r.Name == "daily") {
			t.Errorf("%s has the schedule %v", r.Name, r.Time.Schedule)
		}
	}
}

func TestKeys(t *testing.T) {
	set7 := change("set", "stock:7:x,y", "SET", "stock:7:x,y", `{"id": 42, "f": 1.5, "s": "a\\b", "list": [1]}`)
	set7.DB = 3
	set7.After = event.Elements("hash", []event.Element{{Name: "owner", Value: "ada"}})
	tests := []struct{ by, want string }{
		{``, ""},
		{`by = "key"`, "stock:7:x,y"},
		{`by = "params.sku"`, "7"},
		{`by = "params.rest"`, "x,y"},
		{`by = ["params.sku"]`, "7"},
		{`by = ["params.sku", "params.rest"]`, `7,x\,y`},
		{`by = ["db", "args[0]", "command"]`, `3,stock:7:x\,y,SET`},
		{`by = "db"`, "3"},
		{`by = "db == 3"`, "true"},
		{`by = "arg(9)"`, ""},
		{`by = 'json(arg(1), "id")'`, "42"},
		{`by = 'json(arg(1), "f")'`, "1.5"},
		{`by = ['json(arg(1), "s")', "event"]`, `a\\b,set`},
		{`by = "after.owner"`, "ada"},
		{`by = 'db > 2 ? "high" : "low"'`, "high"},
		{`by = "key[0:5]"`, "stock"},
		{`by = "lower(command)"`, "set"},
		{`by = "time.Hour()"`, "22"},
		{`by = 'key + "!"'`, "stock:7:x,y!"}, // not compiled to closures
		{`by = 'after["x"] ?? "none"'`, "none"},
		{`by = 'params.sku + params.rest'`, "7x,y"},
	}
	for _, test := range tests {
		by := test.by
		if by != "" {
			by = ", " + by
		}
		set := one(t, "key = 'stock:{sku}:{rest}'\nthrottle = { max = 1, per = '1s'"+by+" }")
		m := set.Matcher()
		m.ConditionError = func(_ *rules.Rule, _ *event.Event, err error) { t.Errorf("%s: %v", test.by, err) }
		for range 2 {
			matches := m.Match(nil, set7)
			if len(matches) != 1 {
				t.Fatalf("%s: %d matches", test.by, len(matches))
			}
			var k timing.Keys
			if !m.Keys(&k, &matches[0]) || k != (timing.Keys{Throttle: test.want}) {
				t.Errorf("%s: %+v, want %q", test.by, k, test.want)
			}
		}
	}
}

// TestKeysOfStages checks that each stage has its own.
func TestKeysOfStages(t *testing.T) {
	ev := change("set", "a:1", "SET", "a:1", "v")
	for gather, fields := range map[string]string{
		"count":    `count = { over = 1, within = "1s", by = "event" }`,
		"absent":   `absent = { for = "1s", by = "event" }`,
		"debounce": `debounce = { wait = "1s", by = "event" }`,
	} {
		set := one(t, `key = ["a:{id}", "b:{id}"]
event = "set"
dedupe = { by = "params.id", ttl = "1s" }
once = ["db", "key"]
throttle = { max = 1, per = "1s", by = ["key", "db"] }
batch = { max = 2, wait = "1s", by = "command" }
`+fields)
		var k timing.Keys
		m := set.Matcher()
		match := m.Match(nil, ev)[0]
		if want := (timing.Keys{Once: "0,a:1", Dedupe: "1", Gather: "set", Throttle: "a:1,0", Batch: "SET"}); !m.Keys(&k, &match) || k != want {
			t.Errorf("%s: %+v, want %+v", gather, k, want)
		}
	}
	m := one(t, `key = "a:1"`).Matcher()
	plain := m.Match(nil, ev)[0]
	k := timing.Keys{Once: "left"}
	if !m.Keys(&k, &plain) || k != (timing.Keys{}) {
		t.Errorf("a rule without time fields has the keys %+v", k)
	}
}

func TestKeysFail(t *testing.T) {
	for by, want := range map[string]string{
		"args[7]":               "throttle.by: args[7]: index out of range",
		`json(arg(1), \"x\")`:   "throttle.by: there is no such value",
		"after":                 "throttle.by: after is not known",
		"before":                "throttle.by: a []string is no text or number",
		`json(arg(0), \"\")`:    "throttle.by: there is no such value",
		`key + string(args[9])`: "", // string is not available
	} {
		if want == "" {
			continue
		}
		set := one(t, `throttle = { max = 1, per = "1s", by = "`+by+`" }`)
		var told []string
		m := set.Matcher()
		m.ConditionError = func(r *rules.Rule, _ *event.Event, err error) { told = append(told, r.Name+" "+err.Error()) }
		ev := change("set", "k", "SET", "k", "v")
		ev.Before = event.Elements("list", []event.Element{{Name: "x"}})
		for range 2 {
			match := m.Match(nil, ev)[0]
			k := timing.Keys{Once: "left"}
			if m.Keys(&k, &match) || k != (timing.Keys{}) {
				t.Errorf("%s: %+v", by, k)
			}
		}
		if len(told) != 1 || !strings.HasPrefix(told[0], "x "+want) || set.Rules[0].ConditionErrors() != 2 {
			t.Errorf("%s: told %q, %d errors", by, told, set.Rules[0].ConditionErrors())
		}
	}
}

func TestKeysAllocate(t *testing.T) {
	set := load(t, `
[[rule]]
name = "a"
key = ["shelf:{sku}:*", "stock:{sku}"]
throttle = { max = 1, per = "1s", by = "params.sku" }
dedupe = { by = "key", ttl = "1s" }
batch = { max = 2, wait = "1s", by = ["params.sku", "args[0]", "event"] }
action = { type = "log" }
[[rule]]
name = "b"
key = "stock:{sku}"
when = "num(after) < 5"
for = "5m"
action = { type = "log" }
[[rule]]
name = "c"
key = "stock:{sku}"
event = "set"
absent = { for = "5m", by = "params.sku" }
cancel = { key = "stock:{sku}", event = "del" }
action = { type = "log" }
`)
	set1, del := change("set", "stock:7", "SET", "stock:7", "1"), change("del", "stock:7", "DEL", "stock:7")
	set1.After, del.After = event.String([]byte("1")), event.None
	m := set.Matcher()
	var dst []rules.Match
	var k timing.Keys
	if n := testing.AllocsPerRun(100, func() {
		for _, ev := range []*event.Event{set1, del} {
			dst = m.Match(dst[:0], ev)
			if len(dst) != 3 {
				t.Fatalf("%d matches", len(dst))
			}
			for i := range dst {
				if !m.Keys(&k, &dst[i]) {
					t.Fatal("keys failed")
				}
			}
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// roles matches an event and shows what it is to the rules.
func roles(set *rules.Set, ev *event.Event) string {
	matcher := set.Matcher()
	var list []string
	for _, m := range matcher.Match(nil, ev) {
		var k timing.Keys
		ok := matcher.Keys(&k, &m)
		list = append(list, fmt.Sprintf("%s %s %q %v %v", m.Rule.Name, [...]string{"fires", "cancels", "ends"}[m.Role], k.Gather, m.Params(), ok))
	}
	return strings.Join(list, "; ")
}

func TestCancel(t *testing.T) {
	set := load(t, `
[[rule]]
name = "first"
key = "cart:*"
event = ["set", "del"]
action = { type = "log" }
[[rule]]
name = "cart"
key = "cart:{id}"
event = ["set", "hset", "del"]
absent = { for = "30m", by = "params.id" }
cancel = [
  { key = "cart:{id}", event = ["del", "expired"] },
  { key = "order:{x}:{id}", key_not = "order:0:*", command = "set", db = [0, 1], when = 'params.x != "9" && arg(1) != "no"' },
  { key = "*:{id}", event = "del" },
]
action = { type = "log" }
[[rule]]
name = "last"
key = "{any}:*"
event = "del"
action = { type = "log", message = "{{.params.any}}" }
[[rule]]
name = "off"
key = "cart:{id}"
enabled = false
absent = { for = "30m" }
cancel = { event = "del" }
action = { type = "log" }
`)
	db2 := change("set", "order:1:7", "SET", "order:1:7", "yes")
	db2.DB = 2
	for _, test := range []struct {
		ev   *event.Event
		want string
	}{
		{change("set", "cart:7", "SET", "cart:7", "v"), `first fires "" map[] true; cart fires "7" map[id:7] true`},
		{change("hset", "cart:7", "HSET", "cart:7"), `cart fires "7" map[id:7] true`},
		{change("expired", "cart:7", "DEL", "cart:7"), `cart cancels "7" map[id:7] true`},
		{change("del", "cart:7", "DEL", "cart:7"), `first fires "" map[] true; cart cancels "7" map[id:7] true; last fires "" map[any:cart] true`},
		{change("set", "order:1:7", "SET", "order:1:7", "yes"), `cart cancels "7" map[id:7 x:1] true`},
		{change("set", "order:1:7", "SET", "order:1:7", "no"), ``},
		{change("set", "order:9:7", "SET", "order:9:7", "yes"), ``},
		{change("set", "order:0:7", "SET", "order:0:7", "yes"), ``},
		{db2, ``},
		{change("del", "a:b:8", "DEL", "a:b:8"), `cart cancels "8" map[id:8] true; last fires "" map[any:a] true`},
		{snapshotKey("cart:7"), ``},
	} {
		if got := roles(set, test.ev); got != test.want {
			t.Errorf("%s %s: got %s, want %s", test.ev.Name, test.ev.Key, got, test.want)
		}
	}
	if len(set.Rules) != 4 {
		t.Errorf("%d rules, want 4", len(set.Rules))
	}
	if got := set.Matcher().Need(0, []byte("order:1:7")); got != rules.NeedState {
		t.Errorf("a key of a cancel pattern needs %d", got)
	}
	if !set.AsksFor("expired") {
		t.Error("nobody asks for expired")
	}
}

func TestCancelConditionError(t *testing.T) {
	set := load(t, `
[[rule]]
name = "x"
key = "a"
event = "set"
absent = { for = "1m" }
cancel = { key = "b", when = 'args[5] == "x"' }
action = { type = "log" }
`)
	if got := roles(set, change("set", "b", "SET", "b", "v")); got != "" || set.Rules[0].ConditionErrors() != 1 {
		t.Errorf("got %s, %d errors", got, set.Rules[0].ConditionErrors())
	}
}

func TestFor(t *testing.T) {
	set := load(t, `
[[rule]]
name = "low"
key = ["stock:{sku}", "level:{sku}"]
key_not = "stock:0"
event = ["set", "decrby"]
db = [0, 2]
type = "string"
when = 'num(after) < 5 && params.sku != "9"'
for = "5m"
throttle = { max = 1, per = "1h", by = "params.sku" }
action = { type = "log" }
[[rule]]
name = "off"
key = "stock:*"
enabled = false
when = 'num(after) < 5'
for = "5m"
action = { type = "log" }
`)
	with := func(ev *event.Event, after event.Value) *event.Event {
		ev.After = after
		if after == event.None {
			ev.Type, ev.TTL = "none", event.TTLGone
		}
		return ev
	}
	value := func(s string) event.Value { return event.String([]byte(s)) }
	set7 := func(after string) *event.Event {
		return with(change("set", "stock:7", "SET", "stock:7", after), value(after))
	}
	db2, db1, hash, snapshot := set7("1"), set7("1"), set7("1"), with(snapshotKey("stock:7"), value("3"))
	db2.DB, db1.DB, hash.Type, snapshot.Type = 2, 1, "hash", "string"
	full := with(snapshotKey("stock:7"), value("30"))
	full.Type = "string"
	for _, test := range []struct {
		what string
		ev   *event.Event
		want string
	}{
		{"it holds", set7("4"), `low fires "0/stock:7" map[sku:7] true`},
		{"it does not", set7("5"), `low ends "0/stock:7" map[sku:7] true`},
		{"it holds, after an event that is not asked for", with(change("expire", "stock:7", "PEXPIREAT", "stock:7"), value("4")), ``},
		{"it does not, after an event that is not asked for", with(change("incrby", "stock:7", "INCRBY", "stock:7"), value("8")), `low ends "0/stock:7" map[sku:7] true`},
		{"it cannot be told", with(change("set", "stock:7", "SET", "stock:7"), nil), `low ends "0/stock:7" map[sku:7] true`},
		{"the key is gone", with(change("expired", "stock:7", "DEL", "stock:7"), event.None), `low ends "0/stock:7" map[sku:7] true`},
		{"another type", hash, `low ends "0/stock:7" map[sku:7] true`},
		{"another database", db2, `low fires "2/stock:7" map[sku:7] true`},
		{"no such database", db1, ``},
		{"a key that is left out", with(change("set", "stock:0", "SET", "stock:0"), value("1")), ``},
		{"another key", with(change("set", "x", "SET", "x"), value("1")), ``},
		{"the condition is about the key too", with(change("set", "stock:9", "SET", "stock:9"), value("1")), `low ends "0/stock:9" map[sku:9] true`},
		{"the second pattern", with(change("set", "level:7", "SET", "level:7"), value("1")), `low fires "0/level:7" map[sku:7] true`},
		{"a snapshot of a key where it holds", snapshot, ``},
		{"a snapshot of a key where it does not", full, `low ends "0/stock:7" map[sku:7] true`},
		{"no key", keyless(event.FlushAll, "FLUSHALL"), ``},
	} {
		if got := roles(set, test.ev); got != test.want {
			t.Errorf("%s: got %s, want %s", test.what, got, test.want)
		}
	}
	if got := set.Rules[0].ConditionErrors(); got != 1 {
		t.Errorf("%d condition errors, want 1", got)
	}
	if got, want := strings.Join(set.FoundBy(set.Rules[0]), "; "), "key stock:{sku} or level:{sku}, db 0 or 2"; got != want {
		t.Errorf("served by %s, want %s", got, want)
	}
	if got := set.Matcher().Need(0, []byte("stock:7")); got != rules.NeedValue {
		t.Errorf("its keys need %d", got)
	}
}

// TestForNeedsState checks that a rule with for knows whether its keys are
// there, whatever its condition reads.
func TestForNeedsState(t *testing.T) {
	set := one(t, "key = 'a'\nevent = 'set'\nwhen = 'db == 0'\nfor = '1m'")
	if got := set.Matcher().Need(0, []byte("a")); got != rules.NeedState {
		t.Errorf("needs %d", got)
	}
}

func TestByNeeds(t *testing.T) {
	for by, want := range map[string]rules.Need{
		"key": rules.NeedNothing, "params.id": rules.NeedNothing, "type": rules.NeedState,
		"ttl": rules.NeedState, "after.x": rules.NeedValue, `event == "del"`: rules.NeedState,
	} {
		for _, stage := range []string{
			"throttle = { max = 1, per = '1s', by = '%s' }", "dedupe = { ttl = '1s', by = '%s' }", "once = '%s'",
			"count = { over = 1, within = '1s', by = ['key', '%s'] }", "batch = { max = 2, wait = '1s', by = '%s' }",
		} {
			set := one(t, "key = 'a:{id}'\n"+fmt.Sprintf(stage, by))
			if got := set.Matcher().Need(0, []byte("a:1")); got != want {
				t.Errorf("%s by %s needs %d, want %d", stage, by, got, want)
			}
		}
	}
	if !one(t, `once = 'event == "hset"'`).AsksFor("hset") {
		t.Error("what a by compares with is not asked for")
	}
}

func BenchmarkKeys(b *testing.B) {
	for name, by := range map[string]string{"none": ``, "key": `, by = "key"`, "param": `, by = "params.sku"`, "joined": `, by = ["params.sku", "db"]`, "json": `, by = 'json(arg(1), "id")'`} {
		set, err := rules.Parse("x.toml", []byte("[[rule]]\nname = 'x'\nkey = 'stock:{sku}'\nthrottle = { max = 1, per = '1s'"+by+" }\naction = { type = 'log' }\n"), options())
		if err != nil {
			b.Fatal(err)
		}
		m := set.Matcher()
		match := m.Match(nil, change("set", "stock:7", "SET", "stock:7", `{"id": "x"}`))[0]
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			var k timing.Keys
			for b.Loop() {
				if !m.Keys(&k, &match) {
					b.Fatal("no keys")
				}
			}
		})
	}
}
