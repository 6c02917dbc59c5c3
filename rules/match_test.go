package rules_test

import (
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"triggerd/internal/event"
	"triggerd/internal/timing"
	"triggerd/rules"
)

// change returns the event of a command as the interpreter makes it.
func change(name, key, command string, args ...string) *event.Event {
	ev := &event.Event{
		Name: name, Origin: event.FromStream, Cause: event.CauseCommand, Key: []byte(key), Type: "string", Command: command,
		Time: time.Date(2026, 11, 24, 23, 5, 0, 0, time.FixedZone("x", 3600)), Bytes: 31, ReplID: "r", Offset: 1234,
		Tx: event.Tx{ID: "r:99", Index: 2, Size: 3}, Part: event.Part{Index: 4, Size: 5}, Source: "redis://h:6379",
	}
	for _, a := range args {
		ev.Args = append(ev.Args, []byte(a))
	}
	return ev
}

// keyless returns an event that concerns no key.
func keyless(name, command string, args ...string) *event.Event {
	ev := change(name, "", command, args...)
	ev.Key, ev.Type = nil, ""
	return ev
}

func snapshotKey(key string) *event.Event {
	return &event.Event{Name: event.Snapshot, Origin: event.FromSnapshot, Key: []byte(key), Type: "hash", Cause: event.CauseUnknown}
}

// one builds a set of one rule.
func one(t *testing.T, fields string) *rules.Set {
	t.Helper()
	set, err := rules.Parse("x.toml", []byte("[[rule]]\nname = 'x'\n"+fields+"\naction = { type = 'log' }\n"), options())
	if err != nil {
		t.Fatal(err)
	}
	return set
}

func TestFields(t *testing.T) {
	set7 := change("set", "stock:7", "SET", "stock:7", "0")
	db3 := change("set", "stock:7", "SET", "stock:7", "0")
	db3.DB = 3
	clock := keyless(event.Schedule, "")
	clock.Origin = event.FromClock
	tests := []struct {
		fields string
		ev     *event.Event
		want   bool
	}{
		{``, set7, true},
		{``, snapshotKey("a"), false},
		{``, keyless(event.FlushAll, "FLUSHALL"), false},
		{``, clock, false},
		{`enabled = false`, set7, false},
		{`schedule = "@daily"`, set7, false},
		{`schedule = "@daily"`, clock, false},

		{`key = "stock:{sku}"`, set7, true},
		{`key = ["other:*", "stock:?"]`, set7, true},
		{`key = "stock"`, set7, false},
		{`key = "*"`, change("set", "", "SET"), true},
		{`key = "*"`, keyless(event.FlushAll, "FLUSHALL"), false},
		{`key_not = "stock:*"`, set7, false},
		{`key_not = "stock:8"`, set7, true},
		{`key_regex = "^stock:\\d+$"`, set7, true},
		{`key_regex = "^stock:[a-z]+$"`, set7, false},
		{`key_regex = "k:(?P<n>.)"`, set7, true},

		{`key_regex = "^a\uFFFD$"`, change("set", "a\xff", "SET"), true}, // a byte that is not UTF-8 is that letter to an expression

		{`command = "set"`, set7, true},
		{`command = ["DEL", "SeT"]`, set7, true},
		{`command = "DEL"`, set7, false},
		{`command = "@string"`, set7, true},
		{`command = "@HASH"`, set7, false},
		{`command_not = "@string"`, set7, false},
		{`command_not = "@hash"`, set7, true},
		{`command = "xgroup"`, change("xgroup-create", "s", "XGROUP CREATE", "s"), true},
		{`command = "xgroup create"`, change("xgroup-create", "s", "XGROUP CREATE", "s"), true},
		{`command = "xgroup"
		  when = 'command == "XGROUP CREATE"'`, change("xgroup-create", "s", "XGROUP CREATE", "s"), true},
		{`command = "xgroup setid"`, change("xgroup-create", "s", "XGROUP CREATE", "s"), false},
		{`command_not = "xgroup"`, change("xgroup-create", "s", "XGROUP CREATE", "s"), false},
		{`command_not = "SET"`, snapshotKey("a"), false},

		{`event = "set"`, set7, true},
		{`event = ["del", "write"]`, set7, true},
		{`event = "del"`, set7, false},
		{`event = "write"`, snapshotKey("a"), false},
		{`event = "write"`, keyless(event.FlushAll, "FLUSHALL"), false},
		{`event = "flushall"`, keyless(event.FlushAll, "FLUSHALL"), true},
		{`event = "flushall"
		  key = "*"`, keyless(event.FlushAll, "FLUSHALL"), false},
		{`command = "PUBLISH"`, keyless(event.Publish, "PUBLISH", "ch", "m"), true},
		{`command = "@pubsub"`, keyless(event.Publish, "PUBLISH", "ch", "m"), false},
		{`command_not = "SET"`, keyless(event.Publish, "PUBLISH", "ch", "m"), false},
		{`event = "gap"`, keyless(event.Gap, ""), true},

		{`snapshot = true`, snapshotKey("a"), true},
		{`snapshot = true`, set7, true},
		{`event = "snapshot"`, snapshotKey("a"), true},
		{`event = "snapshot"`, set7, false},
		{`snapshot = true
		  event = "set"
		  command = "SET"`, snapshotKey("a"), true},
		{`snapshot = true
		  key = "b"`, snapshotKey("a"), false},
		{`snapshot = true
		  type = "hash"`, snapshotKey("a"), true},

		{`db = 0`, set7, true},
		{`db = [1, 3]`, set7, false},
		{`db = [1, 3]`, db3, true},
		{`type = "string"`, set7, true},
		{`type = ["hash", "list"]`, set7, false},

		{`key = "stock:*"
		  command = "DEL"`, set7, false},
		{`key = "stock:*"
		  when = 'false'`, set7, false},
	}
	for _, test := range tests {
		if got := len(one(t, test.fields).Matcher().Match(nil, test.ev)) == 1; got != test.want {
			t.Errorf("%s: %s %q matches %v, want %v", test.fields, test.ev.Name, test.ev.Key, got, test.want)
		}
	}
}

func TestConditions(t *testing.T) {
	ev := change("set", "stock:7", "SET", "stock:7", "12", `{"a":{"b":[1,"x",true,null,{"c":1}]}}`, "10.1.2.3", "é\xff\x00")
	tests := []struct {
		cond string
		want bool
	}{
		{`command == "SET"`, true},
		{`command in ["DEL", "SET"]`, true},
		{`command not in ["DEL", "SET"]`, false},
		{`key startsWith "stock:" and key endsWith "7" && key contains "ock" && key matches "^stock:\\d$"`, true},
		{`not (key startsWith "test:")`, true},
		{`args[1] == "12" && args[-1] == arg(4)`, true},
		{`arg(99) == "" && arg(-1) == ""`, true},
		{`num(arg(1)) > 11.5 && num(arg(1)) <= 12`, true},
		{`num(arg(0)) > 0`, false},
		{`num(arg(0)) <= 0`, false},
		{`num(arg(0), -1) == -1`, true},
		{`num("1e3") == 1000 && num("-7") == -7 && (num("") ?? 3) == 3 && num("", 4) == 4`, true},
		{`num(" 1") == 1 or num("0x10") == 16 or num("1_0") == 10 or num("inf") > 0 or num("nan") == 0`, false},
		{`int(args[1]) == 12 && float(args[1]) == 12.0`, true},
		{`db == 0 && event == "set" && type == "string" && bytes == 31 && offset == 1234`, true},
		{`part.index == 4 && part.size == 5`, true},
		{`tx.id == "r:99" && tx.index == 2 && tx.size == 3`, true},
		{`origin == "stream" && cause == "command"`, true},
		{`params.sku == "7"`, true},
		{`has(params, "sku") && not has(params, "x") && "sku" in params`, true},
		{`"12" in args && "13" not in args`, true},
		{`any(args, # == "12") && all(args, len(#) > 0) && none(args, # == "x") && count(args, # startsWith "1") == 2`, true},
		{`json(arg(2), "a.b.1") == "x" && json(arg(2), "a.b.0") == 1 && json(arg(2), "a.b.2") == true`, true},
		{`json(arg(2), "a.b.3") == nil && json(arg(2), "a.x") == nil && json(arg(0), "a") == nil`, true},
		{`json(arg(2), "a.b.4") == "{\"c\":1}" && num(json(arg(2), "a.b.0")) < 2`, true},
		{`json(arg(1), "") == 12`, true},
		{`glob(key, "s*:[0-9]") && !glob(key, "t*")`, true},
		{`cidr(arg(3), "10.0.0.0/8") && !cidr(arg(3), "10.2.0.0/16") && !cidr(arg(0), "0.0.0.0/0")`, true},
		{`cidr("::ffff:10.0.0.1", "10.0.0.0/8")`, true},
		{`size(arg(4)) == 4 && len(arg(4)) == 3 && len(args) == 5`, true},
		{`arg(4) == bin("\\xc3\\xa9\\xff\\x00") && arg(4) endsWith bin("\\xff\\x00")`, true},
		{`lower(command) == "set" && upper("a") == "A" && trim(" a ") == "a" && trimPrefix(key, "stock:") == "7"`, true},
		{`time.Hour() == 22 && now().Minute() == 5 && time.Weekday() == 2 && time.Month() == 11 && now() == time`, true},
		{`db in 0..3 && num(arg(1)) in 10..20 && db not in 1..9`, true},
		{`(db == 1 ? "a" : "b") == "b"`, true},
		{`key[0:5] == "stock" && key[-1:] == "7"`, true},
		{`db + 1 == 1 && 7 % 4 == 3 && abs(-2) == 2 && 2 ** 3 == 8`, true},
		{`params.sku in lists.skus && db in lists.dbs`, true},
		{`any(lists.skus, key endsWith #)`, true},
		{`macros.zero && !macros.nested`, true},
		{`key + "x" == "stock:7x"`, true},
	}
	for _, test := range tests {
		src := "[lists]\nskus = ['7', '8']\ndbs = [0]\n[macros]\nzero = 'db == 0'\nnested = 'not macros.zero'\n" +
			"[[rule]]\nname = 'x'\nkey = 'stock:{sku}'\nwhen = '''" + test.cond + "'''\naction = { type = 'log' }\n"
		set, err := rules.Parse("x.toml", []byte(src), options())
		if err != nil {
			t.Errorf("%s: %v", test.cond, err)
			continue
		}
		m := set.Matcher()
		m.ConditionError = func(_ *rules.Rule, _ *event.Event, err error) { t.Errorf("%s: %v", test.cond, err) }
		if got := len(m.Match(nil, ev)) == 1; got != test.want {
			t.Errorf("%s is %v, want %v", test.cond, got, test.want)
		}
	}
}

// TestConditionError checks that a condition that errs stops nothing else, is
// counted, and is reported once.
func TestConditionError(t *testing.T) {
	src := "[[rule]]\nname = 'bad'\nwhen = 'args[7] == \"x\"'\naction = { type = 'log' }\n[[rule]]\nname = 'good'\naction = { type = 'log' }\n"
	set, err := rules.Parse("x.toml", []byte(src), options())
	if err != nil {
		t.Fatal(err)
	}
	var told []string
	for range 3 {
		m := set.Matcher() // what is reported and counted is the set's
		m.ConditionError = func(r *rules.Rule, ev *event.Event, err error) {
			told = append(told, fmt.Sprintf("%s: %s: %v", r.Name, ev.Key, err))
		}
		matches := m.Match(nil, change("set", "k", "SET", "k", "v"))
		if len(matches) != 1 || matches[0].Rule.Name != "good" {
			t.Fatalf("matches %v", matches)
		}
	}
	if got := set.Rules[0].ConditionErrors(); got != 3 {
		t.Errorf("%d errors counted, want 3", got)
	}
	if len(told) != 1 || !strings.Contains(told[0], "bad: k: ") || !strings.Contains(told[0], "out of range") {
		t.Errorf("told %q", told)
	}
}

// TestJSONLimit checks that a text too big to be looked into is an error, not
// a value that is not there.
func TestJSONLimit(t *testing.T) {
	set := one(t, `when = 'json(arg(0), "a") == nil'`)
	matches := set.Matcher().Match(nil, change("set", "k", "SET", `{"b":"`+strings.Repeat("x", 1<<20)+`"}`))
	if len(matches) != 0 || set.Rules[0].ConditionErrors() != 1 {
		t.Errorf("%d matches and %d errors, want 0 and 1", len(matches), set.Rules[0].ConditionErrors())
	}
}

func TestParams(t *testing.T) {
	tests := []struct{ fields, key, want string }{
		{`key = "stock:{sku}"`, "stock:7", "map[sku:7]"},
		{`key = "*"`, "stock:7", "map[]"},
		{`key = "{a}:x:{b}"`, "1:x:2", "map[a:1 b:2]"},
		{`key = "user:{id}:*"`, "user:7:a:b", "map[id:7]"},
		{`key = "*:{last}"`, "a:b:c", "map[last:c]"},
		{`key = "*{x}y"`, "ab:cdy", "map[x:d]"},
		{`key = "{a}-{b}"`, "1-2-3", "map[a:1-2 b:3]"},
		{`key = "{a}*"`, "ab:c", "map[a:ab]"},
		{`key = "{a}{b}"`, "xyz", "map[a:xy b:z]"},
		{`key = "\\{{tag}\\}:x"`, "{u1}:x", "map[tag:u1]"},
		{`key = ["a:{x}", "*:{y}"]`, "a:1", "map[x:1]"},
		{`key = ["a:{x}", "*:{y}"]`, "b:1", "map[y:1]"},
		{`key = "s:{x}"
		  key_regex = "(?P<digits>\\d+)"`, "s:a12b", "map[digits:12 x:a12b]"},
		{`key = "b:{x}"`, "b:\xff\x00", "map[x:\xff\x00]"},
	}
	for _, test := range tests {
		matches := one(t, test.fields).Matcher().Match(nil, change("set", test.key, "SET", test.key))
		if len(matches) != 1 {
			t.Errorf("%s: %q does not match", test.fields, test.key)
			continue
		}
		if got := fmt.Sprint(matches[0].Params()); got != test.want {
			t.Errorf("%s: %q captures %s, want %s", test.fields, test.key, got, test.want)
		}
	}
}

func TestOrder(t *testing.T) {
	var src strings.Builder
	for i := range 30 {
		fmt.Fprintf(&src, "[[rule]]\nname = 'r%d'\nkey = ['a*', '*b', '%s']\naction = { type = 'log' }\n", i, strings.Repeat("?", 1+i%3))
	}
	set, err := rules.Parse("x.toml", []byte(src.String()), options())
	if err != nil {
		t.Fatal(err)
	}
	ev := change("set", "ab", "SET")
	matches := set.Matcher().Match([]rules.Match{{}}, ev)
	if len(matches) != 31 {
		t.Fatalf("%d matches, want 31 with the first kept", len(matches))
	}
	for i, m := range matches[1:] {
		if m.Rule != set.Rules[i] || m.Event != ev {
			t.Errorf("match %d is of rule %s", i, m.Rule.Name)
		}
	}
}

// TestMatchers has several goroutines match with one set, each with a Matcher
// of its own.
func TestMatchers(t *testing.T) {
	set := load(t, `
[[rule]]
name = "glob"
key = ["a*b*", "stock:{sku}:*"]
when = 'params.sku != "9" && json(arg(1), "n") != 1'
throttle = { max = 1, per = "1s", by = ["params.sku", "db"] }
action = { type = "log" }
[[rule]]
name = "machine"
key = "*:x"
when = '(json(arg(1), "n") ?? 5) == 5 && changed_to("5")'
action = { type = "log" }
[[rule]]
name = "fails"
when = 'args[7] == "x"'
action = { type = "log" }
[[rule]]
name = "lasts"
key = "stock:*"
when = "num(after) < 5"
for = "5m"
action = { type = "log" }
`)
	var events []*event.Event
	for i := range 50 {
		ev := change("set", fmt.Sprintf("stock:%d:x", i), "SET", fmt.Sprintf("stock:%d:x", i), fmt.Sprint(i))
		ev.Before, ev.After = event.String([]byte("1")), event.String(fmt.Append(nil, i%7))
		events = append(events, ev)
	}
	// seen is what a Matcher tells of all events.
	seen := func(m *rules.Matcher) string {
		var b strings.Builder
		for _, ev := range events {
			fmt.Fprintln(&b, string(ev.Key), m.Need(ev.DB, ev.Key))
			for _, match := range m.Match(nil, ev) {
				var k timing.Keys
				fmt.Fprintln(&b, match.Rule.Name, match.Role, m.Keys(&k, &match), k, match.Params())
			}
		}
		return b.String()
	}
	want := seen(set.Matcher())
	var told atomic.Int64
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			m := set.Matcher()
			m.ConditionError = func(*rules.Rule, *event.Event, error) { told.Add(1) }
			for range 20 {
				if got := seen(m); got != want {
					t.Errorf("got\n%s\nwant\n%s", got, want)
					return
				}
			}
		})
	}
	wg.Wait()
	if got := set.Rules[2].ConditionErrors(); got != 81*50 || told.Load() > 0 {
		t.Errorf("%d errors counted, want %d; the first was told of %d times more", got, 81*50, told.Load())
	}
	if !strings.Contains(want, "glob 0 true") || !strings.Contains(want, "machine") || !strings.Contains(want, "lasts") {
		t.Errorf("the test tests too little:\n%s", want)
	}
}

func TestNoAllocations(t *testing.T) {
	set := one(t, "key = ['a:{x}', 'b*', 'c:[0-9]*']\nevent = 'set'\nwhen = 'db == 1'")
	ev := change("set", "d:1", "SET", "d:1", "v")
	m := set.Matcher()
	var dst []rules.Match
	if n := testing.AllocsPerRun(100, func() { dst = m.Match(dst[:0], ev) }); n != 0 {
		t.Errorf("%v allocations for an event that nothing matches", n)
	}
}
