package rules_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"

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
when: num(arg(1)) > 5: false: false
when: (params.sku == "7" || db == 0): true: true
when: not (arg(0) == "x"): false: false`},
		{keyless(event.FlushAll, "FLUSHALL"), `
event: write or set: flushall: false
event: an event of a key: flushall, which concerns no key and is not asked for by name: false
command: SET: FLUSHALL: false
key: a key: an event that concerns no key: false
when: num(arg(1)) > 5: false: false
when: (params.sku == "7" || db == 0): true: true
when: not (arg(0) == "x"): true: true`},
		{snapshotKey("stock:7"), `
snapshot: false: a key of a snapshot: false
key: stock:{sku} or a[b-f]\**: stock:7: true
key_not: stock:9: stock:7: true
db: 0 or 1: 0: true
type: string: hash: false
when: num(arg(1)) > 5: false: false
when: (params.sku == "7" || db == 0): true: true
when: not (arg(0) == "x"): true: true`},
	}
	for _, test := range tests {
		var got strings.Builder
		all := true
		for _, c := range set.Explain(set.Rules[0], test.ev) {
			fmt.Fprintf(&got, "\n%s: %s: %s: %v", c.Field, c.Want, c.Got, c.OK)
			all = all && c.OK
		}
		if got.String() != test.want {
			t.Errorf("%s: got%s\nwant%s", test.ev.Name, got.String(), test.want)
		}
		if matches := len(set.Match(nil, test.ev)) == 1; matches != all {
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
				if n := len(set.Explain(set.Rules[0], ev)); n != 4 {
					t.Errorf("%d checks, want 4", n)
				}
				set.Served(set.Rules[0])
			}
		})
	}
	for range 500 {
		if n := len(set.Match(nil, ev)); n != 1 {
			t.Errorf("%d matches, want 1", n)
		}
	}
	wg.Wait()
}

func TestServed(t *testing.T) {
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
		if got := strings.Join(set.Served(set.Rules[0]), " | "); got != test.want {
			t.Errorf("%s: got %s, want %s", test.fields, got, test.want)
		}
	}
}

func ExampleSet_Match() {
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
	for _, m := range set.Match(nil, ev) {
		fmt.Println(m.Rule.Name, m.Params())
	}
	// Output: stock-zero map[sku:7]
}
