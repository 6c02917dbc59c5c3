package rules_test

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"triggerd/rules"
)

const oneRule = "[[rule]]\nname = \"r\"\n[[rule.action]]\ntype = \"log\"\n"

func TestTests(t *testing.T) {
	set, err := rules.Parse("f.toml", []byte(oneRule+`
[[test]]
name = "fires"
feed = ["SET a 1", { at = "+1h30m" }, 'SET b "two words"', { at = "+2d" }]
expect = { r = 2 }
`), rules.Options{})
	if err != nil {
		t.Fatal(err)
	}
	want := []*rules.Test{{
		Name:   "fires",
		Start:  time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC),
		Feed:   []rules.Step{{Command: "SET a 1"}, {Pause: 90 * time.Minute}, {Command: `SET b "two words"`}, {Pause: 48 * time.Hour}},
		Expect: map[string]int{"r": 2}, File: "f.toml", Line: 6, Col: 1,
	}}
	if !reflect.DeepEqual(set.Tests, want) {
		t.Errorf("tests %+v, want %+v", *set.Tests[0], *want[0])
	}
}

func TestTestStart(t *testing.T) {
	for text, want := range map[string]string{
		`"2024-03-31T00:59:59Z"`:      "2024-03-31T00:59:59Z",
		`"2024-03-31T00:59:59+02:00"`: "2024-03-31T00:59:59+02:00",
		`2024-03-31T00:59:59Z`:        "2024-03-31T00:59:59Z",
		`2024-03-31 00:59:59-05:00`:   "2024-03-31T00:59:59-05:00",
	} {
		set, err := rules.Parse("f.toml", []byte(oneRule+"[[test]]\nname = \"x\"\nstart = "+text+"\nfeed = \"SET a 1\"\nexpect = {}\n"), rules.Options{})
		if err != nil {
			t.Errorf("%s: %v", text, err)
		} else if got := set.Tests[0].Start.Format(time.RFC3339); got != want {
			t.Errorf("%s starts at %s", text, got)
		}
	}
}

func TestTestsWrong(t *testing.T) {
	for _, tt := range []struct{ test, want string }{
		{"feed = [\"SET a 1\"]\nexpect = {}", "f.toml:5:1: the test has no name"},
		{"name = \"x\"\nexpect = {}", "the test feeds nothing"},
		{"name = \"x\"\nfeed = [\"SET a 1\"]", "the test expects nothing"},
		{"name = \"x\"\nfeed = [\"\"]\nexpect = {}", "f.toml:7:9: feed: not a command"},
		{"name = \"x\"\nfeed = [\"SET a 1\\nSET b 1\"]\nexpect = {}", "not a command"},
		{"name = \"x\"\nfeed = [{ in = \"1h\" }]\nexpect = {}", "unknown field in"},
		{"name = \"x\"\nfeed = [{ at = \"1h\" }]\nexpect = {}", "has no +"},
		{"name = \"x\"\nfeed = [{ at = \"+soon\" }]\nexpect = {}", "is not a pause"},
		{"name = \"x\"\nfeed = [{ at = \"+-1s\" }]\nexpect = {}", "is not a pause"},
		{"name = \"x\"\nfeed = [7]\nexpect = {}", "f.toml:7:9: feed: wants a table"},
		{"name = \"x\"\nfeed = [\"SET a 1\"]\nexpect = { q = 1 }", "f.toml:8:12: expect.q: there is no rule \"q\""},
		{"name = \"x\"\nfeed = [\"SET a 1\"]\nexpect = { r = -1 }", "expect.r"},
		{"name = \"x\"\nfeed = [\"SET a 1\"]\nexpect = { r = 1 }\nfeet = 1", "unknown field feet (did you mean \"feed\"?)"},
	} {
		_, err := rules.Parse("f.toml", []byte(oneRule+"[[test]]\n"+tt.test), rules.Options{})
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s:\n%v\nwant %s", tt.test, err, tt.want)
		}
	}
}

func TestOverflowAndRateLimit(t *testing.T) {
	set, err := rules.Parse("f.toml", []byte(`
[store]
retention = "30d"
[targets.t]
type = "log"
rate_limit = { max = 50, per = "1s" }
[[rule]]
name = "r"
overflow = "drop_old"
[[rule.action]]
target = "t"
[[rule.action]]
type = "log"
[[rule]]
name = "d"
[[rule.action]]
type = "log"
rate_limit = { max = 1, per = "1m" }
`), rules.Options{})
	if err != nil {
		t.Fatal(err)
	}
	r, d := set.Rules[0], set.Rules[1]
	if r.Overflow != "drop_old" || d.Overflow != "block" || set.Store.Retention != 30*24*time.Hour {
		t.Errorf("overflow %s and %s, retention %v", r.Overflow, d.Overflow, set.Store.Retention)
	}
	if r.Actions[0].RateLimit != (rules.RateLimit{Max: 50, Per: time.Second}) || r.Actions[1].RateLimit != (rules.RateLimit{}) || d.Actions[0].RateLimit != (rules.RateLimit{Max: 1, Per: time.Minute}) {
		t.Errorf("rate limits %v %v %v", r.Actions[0].RateLimit, r.Actions[1].RateLimit, d.Actions[0].RateLimit)
	}
	for _, bad := range []string{"rate_limit = { max = 1 }", "rate_limit = { per = \"1s\" }", "rate_limit = { max = 0, per = \"1s\" }", "rate_limit = { max = 1, per = \"0s\" }", "rate_limit = 5"} {
		if _, err := rules.Parse("f.toml", []byte(oneRule+bad), rules.Options{}); err == nil {
			t.Errorf("%s is taken", bad)
		}
	}
}

func TestDuplicateWarning(t *testing.T) {
	const two = `
[[rule]]
name = "first"
key = ["a", "b"]
command = "set"
[[rule.action]]
type = "log"
[[rule]]
name = "second"
key = ["b", "a"]
command = "set"
[[rule.action]]
type = "log"
`
	for _, tt := range []struct {
		name, text string
		warnings   int
	}{
		{"the same in another order", two, 1},
		{"another command", strings.Replace(two, "set", "del", 1), 0},
		{"one has a condition", strings.Replace(two, "name = \"first\"", "name = \"first\"\nwhen = \"db == 0\"", 1), 0},
		{"one is off", strings.Replace(two, "name = \"first\"", "name = \"first\"\nenabled = false", 1), 0},
	} {
		set, err := rules.Parse("f.toml", []byte(tt.text), rules.Options{})
		if err != nil {
			t.Fatal(err)
		}
		if len(set.Warnings) != tt.warnings {
			t.Errorf("%s: %d warnings, want %d: %v", tt.name, len(set.Warnings), tt.warnings, set.Warnings)
		}
		for _, w := range set.Warnings {
			if want := `f.toml:8:1: rule "second": matches just what rule "first" matches, at f.toml:2`; !strings.HasPrefix(w.Error(), want) {
				t.Errorf("warning %s", w)
			}
		}
	}
}

func TestMaxBytes(t *testing.T) {
	set, err := rules.Parse("f.toml", []byte("[store]\nmax_bytes = \"20GiB\"\n"+oneRule), rules.Options{})
	if err != nil || set.Store.MaxBytes != 20<<30 {
		t.Errorf("%v, %+v", err, set)
	}
}

func TestSpool(t *testing.T) {
	for text, want := range map[string]int64{`spool = "64MiB"`: 64 << 20, `spool = "off"`: 0, `spool = 0`: 0, `spool = "0"`: 0, ``: 1 << 30, "spool = \"16MiB\"\nack = \"spooled\"": 16 << 20} {
		set, err := rules.Parse("f.toml", []byte("[source]\n"+text+"\n"+oneRule), rules.Options{})
		if err != nil || set.Source.Spool != want {
			t.Errorf("%s: %v, want %d", text, err, want)
		}
	}
	for _, text := range []string{`spool = "1MiB"`, `spool = 1`, `spool = "on"`, `spool = false`, `spool = -1`, `ack = "spooled"` + "\nspool = 0"} {
		if _, err := rules.Parse("f.toml", []byte("[source]\n"+text+"\n"+oneRule), rules.Options{}); err == nil || !strings.Contains(err.Error(), "f.toml:2:") {
			t.Errorf("%s: %v", text, err)
		}
	}
}

// What is for Sentinels is warned of where none are asked.
func TestSourceWithoutSentinels(t *testing.T) {
	for text, want := range map[string]string{
		`url = "redis://h:1"` + "\nprefer = \"replica\"":             "f.toml:3:10: prefer has no effect",
		`url = "unix:///s"` + "\nsentinel_password = \"x\"":          "f.toml:3:21: sentinel_password has no effect",
		`url = "redis://h:1"` + "\nprefer = \"primary\"":             "",
		`prefer = "replica"`:                                         "",
		`url = "valkey+sentinel://h:1/m"` + "\nprefer = \"replica\"": "",
		`url = "redis://h:1"` + "\nannounce = \"10.0.0.7:1\"":        "",
	} {
		set, err := rules.Parse("f.toml", []byte("[source]\n"+text+"\n"+oneRule), rules.Options{})
		if err != nil {
			t.Fatal(err)
		}
		got := fmt.Sprint(set.Warnings)
		place, what, _ := strings.Cut(want, ": ")
		if (want == "") != (len(set.Warnings) == 0) || !strings.Contains(got, place) || !strings.Contains(got, what) {
			t.Errorf("%s: got %s, want %q", text, got, want)
		}
	}
}

func TestMaxBehind(t *testing.T) {
	for text, want := range map[string]time.Duration{``: time.Minute, `max_behind = "5m"`: 5 * time.Minute, `max_behind = "0s"`: 0} {
		set, err := rules.Parse("f.toml", []byte("[http]\n"+text+"\n"+oneRule), rules.Options{})
		if err != nil || set.HTTP.MaxBehind != want {
			t.Errorf("%s: %v, want %v", text, err, want)
		}
	}
}

func TestMaxMirror(t *testing.T) {
	for text, want := range map[string]int64{`"1GiB"`: 1 << 30, `"512MB"`: 512e6, `"7B"`: 7, `4096`: 4096, ``: 1 << 30} {
		if text != "" {
			text = "[source]\nmax_mirror = " + text + "\n"
		}
		set, err := rules.Parse("f.toml", []byte(text+oneRule), rules.Options{})
		if err != nil {
			t.Errorf("%s: %v", text, err)
		} else if set.Source.MaxMirror != want {
			t.Errorf("%s: %d, want %d", text, set.Source.MaxMirror, want)
		}
	}
	for _, text := range []string{`""`, `"1"`, `"GiB"`, `"-1MiB"`, `"0B"`, `0`, `-5`, `"9999999999TiB"`, `"1XiB"`, `true`, `"1 GiB"`} {
		if _, err := rules.Parse("f.toml", []byte("[source]\nmax_mirror = "+text+"\n"+oneRule), rules.Options{}); err == nil || !strings.Contains(err.Error(), "f.toml:2:14") {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func TestNeedsNoMoreThan(t *testing.T) {
	parse := func(fields ...string) *rules.Set {
		text := ""
		for i, f := range fields {
			text += fmt.Sprintf("[[rule]]\nname = \"r%d\"\n%s\naction = { type = \"log\" }\n", i, f)
		}
		set, err := rules.Parse("f.toml", []byte(text), rules.Options{})
		if err != nil {
			t.Fatal(err)
		}
		return set
	}
	const a, b, c = "key = \"a:*\"\nwhen = \"before != after\"", "key = \"b\"\nevent = \"expired\"", "key = \"c\""
	for _, tt := range []struct {
		name     string
		old, new []string
		want     bool
	}{
		{"nothing", nil, []string{c}, true},
		{"the same in another order", []string{a, b}, []string{b, c, a}, true},
		{"less", []string{a, b}, []string{a}, true},
		{"another key", []string{a}, []string{a, b}, false},
		{"from nothing", []string{c}, []string{a}, false},
		{"the value and not only the state", []string{b}, []string{b + "\nwhen = \"before == after\""}, false},
		{"another database", []string{a + "\ndb = 0"}, []string{a + "\ndb = 1"}, false},
		{"fewer exceptions", []string{a + "\nkey_not = \"a:x\""}, []string{a}, false},
		{"other exceptions", []string{a + "\nkey_not = \"a:x\""}, []string{a + "\nkey_not = \"a:y\""}, false},
	} {
		if got := parse(tt.new...).NeedsNoMoreThan(parse(tt.old...)); got != tt.want {
			t.Errorf("%s: %v", tt.name, got)
		}
	}
}

func TestEvictedWarning(t *testing.T) {
	set, err := rules.Parse("f.toml", []byte("[[rule]]\nname = \"r\"\nevent = [\"del\", \"evicted\"]\naction = { type = \"log\" }\n"), rules.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if len(set.Warnings) != 1 || !strings.HasPrefix(set.Warnings[0].Error(), `f.toml:3:17: rule "r": event: an eviction arrives as a deletion`) {
		t.Errorf("warnings %v", set.Warnings)
	}
}
