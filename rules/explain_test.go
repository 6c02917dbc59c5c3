package rules_test

import (
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"
	"unicode/utf8"

	"triggerd/internal/event"
	"triggerd/rules"
)

func TestExplain(t *testing.T) {
	set := one(t, `key = ["stock:{sku}", "a[b-f]\\**"]
key_not = "stock:9"
command = "set"
event = ["set", "write"]
db = [0, 1]
type = "string"
when = 'num(arg(1)) > 5 && (params.sku == "7" || db == 0) and not (arg(0) == "x")'`)
	tests := []struct {
		ev   *event.Event
		want string
	}{
		{change("set", "stock:7", "SET", "stock:7", "6"), `
event: write or set: set: true
command: SET: SET: true
key: stock:{sku} or a[b-f]\**: stock:7: true
key_not: stock:9: stock:7: true
db: 0 or 1: 0: true
type: string: string: true
when: num(arg(1)) > 5: true: true
when: (params.sku == "7" || db == 0): true: true
when: not (arg(0) == "x"): true: true`},
		{change("del", "stock:9", "DEL", "x"), `
event: write or set: del: true
command: SET: DEL: false
key: stock:{sku} or a[b-f]\**: stock:9: true
key_not: stock:9: stock:9: false
db: 0 or 1: 0: true
type: string: string: true
when: num(arg(1)) > 5: neither true nor false: what should be a number is none: false
when: (params.sku == "7" || db == 0): true: true
when: not (arg(0) == "x"): false: false`},
		{keyless(event.FlushAll, "FLUSHALL"), `
event: write or set: flushall: false
event: an event of a key: flushall, which concerns no key and is not asked for by name: false
command: SET: FLUSHALL: false
key: a key: an event that concerns no key: false
when: num(arg(1)) > 5: neither true nor false: what should be a number is none: false
when: (params.sku == "7" || db == 0): true: true
when: not (arg(0) == "x"): true: true`},
		{snapshotKey("stock:7"), `
snapshot: false: a key of a snapshot: false
key: stock:{sku} or a[b-f]\**: stock:7: true
key_not: stock:9: stock:7: true
db: 0 or 1: 0: true
type: string: hash: false
when: num(arg(1)) > 5: neither true nor false: what should be a number is none: false
when: (params.sku == "7" || db == 0): true: true
when: not (arg(0) == "x"): true: true`},
	}
	for _, test := range tests {
		var got strings.Builder
		all := true
		for _, c := range set.Explain(set.Rules[0], test.ev, nil) {
			fmt.Fprintf(&got, "\n%s: %s: %s: %v", c.Field, c.Want, c.Got, c.OK)
			all = all && c.OK
		}
		if got.String() != test.want {
			t.Errorf("%s: got%s\nwant%s", test.ev.Name, got.String(), test.want)
		}
		if matches := len(set.Matcher().Match(nil, test.ev)) == 1; matches != all {
			t.Errorf("%s: all is so: %v, but the rule matches: %v", test.ev.Name, all, matches)
		}
	}
}

// TestExplainBesideMatch runs under the race detector.
func TestExplainBesideMatch(t *testing.T) {
	set := one(t, "key = 'stock:{sku}'\nwhen = 'params.sku == \"7\" && num(arg(1)) > 0 && time.Hour() >= 0'")
	ev := change("set", "stock:7", "SET", "stock:7", "6")
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			for range 50 {
				if n := len(set.Explain(set.Rules[0], ev, nil)); n != 4 {
					t.Errorf("%d checks, want 4", n)
				}
				set.FoundBy(set.Rules[0])
			}
		})
	}
	m := set.Matcher()
	for range 500 {
		if n := len(m.Match(nil, ev)); n != 1 {
			t.Errorf("%d matches, want 1", n)
		}
	}
	wg.Wait()
}

func TestFoundBy(t *testing.T) {
	tests := []struct{ fields, want string }{
		{``, "every event"},
		{`when = 'bytes > 3'`, "every event"},
		{`key = "a:{x}:*"`, "key a:{x}:*"},
		{`key = ["a", "b*"]
		  command = "set"`, "key a or b*, command SET"},
		{`command = "@write"`, "command DECR or DEL or EXPIRE or HSET or SET or 2 more"},
		{`when = 'key startsWith "user:" && command in ["SET", "DEL"] && args[1] == "x"'`, "key user:*, command DEL or SET, args[1] x"},
		{`when = 'key == "a" || db == 3 && type != "hash"'`, "key a | db 3"},
		{`when = 'not (key != "a" || event != "set")'`, "key a, event set"},
		{`when = 'key contains "x*" or key endsWith ":y"'`, `key *x\** | key *:y`},
		{`key = "u:{id}"
		  when = 'params.id == "7"'`, "key u:{id}, params.id 7"},
		{`key = "u:{id}"
		  when = 'num(after) > 0 or after contains "x"'`, "key u:{id}"},
		{`key_regex = "^user:[0-9]+:pro.*file$"`, "key user:[0-9]*:pro*file"},
		{`key_regex = "a(b|c)d"`, "key *a[bc]d*"},
		{`key_regex = ["^a", "(?i)x"]`, "every event"},
		{`key_regex = ["^a", "b$"]`, "key a* or *b"},
		{`snapshot = true
		  event = "set"
		  key = "a"`, "key a, event set | key a, event snapshot"},
		{`enabled = false`, ""},
		{`schedule = "@daily"`, ""},
	}
	for _, test := range tests {
		set := one(t, test.fields)
		if got := strings.Join(set.FoundBy(set.Rules[0]), " | "); got != test.want {
			t.Errorf("%s: got %s, want %s", test.fields, got, test.want)
		}
	}
}

func ExampleMatcher() {
	set, err := rules.Parse("rules.toml", []byte(`
[[rule]]
name = "stock-zero"
key = "stock:{sku}"
when = 'num(arg(1)) <= 0'
[[rule.action]]
type = "log"
`), rules.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	ev := &event.Event{Name: "set", Command: "SET", Key: []byte("stock:7"), Args: [][]byte{[]byte("stock:7"), []byte("0")}}
	for _, m := range set.Matcher().Match(nil, ev) {
		fmt.Println(m.Rule.Name, m.Params())
	}
	// Output: stock-zero map[sku:7]
}

func TestExplainTime(t *testing.T) {
	set, err := rules.Parse("x.toml", []byte(`
[windows.office]
weekdays = ["mon:fri"]
timezone = "UTC"
[windows.night]
times = ["01:00-06:00"]
timezone = "UTC"
[[rule]]
name = "all"
key = "a:{id}"
event = "set"
sample = 0.125
dedupe = { by = "arg(1)", ttl = "24h" }
count = { over = 100, within = "90s", by = ["params.id", "db"] }
active = ["office", "night"]
outside = "hold"
once = "args[5]"
throttle = { max = 5, per = "1h30m" }
batch = { max = 500, wait = "1m", by = "key" }
action = { type = "log" }
[[rule]]
name = "quiet"
key = "a:{id}"
event = "set"
absent = { for = "30m", by = "params.id", repeat = "1h", send_resolved = true }
cancel = { key = "a:{id}", when = 'arg(1) == "done"' }
action = { type = "log" }
[[rule]]
name = "wait"
debounce = { wait = "2s", max_wait = "30s" }
mute = "night"
action = { type = "log" }
[[rule]]
name = "low"
key = "a:*"
when = "num(after) < 5"
for = "5m"
action = { type = "log" }
[[rule]]
name = "clock"
schedule = "@daily"
summarize = ["quiet", "wait"]
catch_up = true
action = { type = "log" }
`), options())
	if err != nil {
		t.Fatal(err)
	}
	ev := change("set", "a:7", "SET", "a:7", "done")
	want := map[string]string{
		"all": `
sample: 12.5% of its matches: all its matches: true
dedupe: not again for 24h for each arg(1): done: true
count: more than 100 in 1m30s for each params.id, db: 7,0: true
active: only in office or night, held until then: inside at the event's time: true
once: a single time for each args[5]: once: args[5]: index out of range, there are 2; arg(5) is "" then: false
throttle: at most 5 in 1h30m: all its matches: true
batch: up to 500 together, after 1m at the latest for each key: a:7: true`,
		"quiet": `
cancel: no event of cancel: one of them: absent waits no more: false
absent: nothing for 30m, again every 1h, and when it is back for each params.id: 7: true`,
		"wait": `
debounce: when nothing came for 2s, after 30s at the latest: all its matches: true
mute: not in night: outside at the event's time: true`,
		"low": `
when: num(after) < 5: after is not known: false
for: true of the key for 5m: 0/a:7: true`,
		"clock": `
schedule: the clock: set: false
summarize: quiet and wait: the clock: true
catch_up: a run that was missed is made up: the clock: true`,
	}
	for _, r := range set.Rules {
		var got strings.Builder
		for _, c := range set.Explain(r, ev, nil) {
			if c.Field != "key" && c.Field != "event" {
				fmt.Fprintf(&got, "\n%s: %s: %s: %v", c.Field, c.Want, c.Got, c.OK)
			}
		}
		if got.String() != want[r.Name] {
			t.Errorf("%s: got%s\nwant%s", r.Name, got.String(), want[r.Name])
		}
	}
}

// TestExplainEscapes: no text of an explanation has a byte that a terminal would
// act on, in whichever field the key's bytes are.
func TestExplainEscapes(t *testing.T) {
	for _, fields := range []string{
		"throttle = { max = 1, per = '1s', by = 'key' }",
		"once = 'key'",
		"dedupe = { by = ['key', 'args[0]'], ttl = '1s' }",
		"for = '1s'\nwhen = 'num(after) < 5'",
		"when = 'int(key) > 1'",
		"when = \"key == '\\u001b[31m'\"",
		"key_regex = 'x'",
		"command = 'DEL'",
	} {
		set := load(t, "[[rule]]\nname = 'x'\nkey = '*'\n"+fields+"\naction = { type = 'log' }\n")
		ev := &event.Event{Name: "set", Key: []byte("\x1b[31m\x9b\r\n\x7f\u0085\xff"), Command: "SET", Args: [][]byte{[]byte("\x1b]0;x\x07")}, Type: "string"}
		for _, c := range set.Explain(set.Rules[0], ev, nil) {
			for _, text := range []string{c.Want, c.Got} {
				if strings.ContainsFunc(text, func(r rune) bool { return !strconv.IsPrint(r) || r == utf8.RuneError }) {
					t.Errorf("%s: %s: %q", fields, c.Field, text)
				}
			}
		}
	}
}
