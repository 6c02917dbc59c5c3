package rules_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"triggerd/rules"
)

// TestExample loads the file that users start from.
func TestExample(t *testing.T) {
	set, err := rules.Load("../examples/rules.toml", options())
	if err != nil {
		t.Fatal(err)
	}
	if len(set.Warnings) > 0 {
		t.Errorf("warnings: %v", set.Warnings)
	}
	kinds := map[string]int{}
	for _, r := range set.Rules {
		for _, a := range r.Actions {
			kinds[a.Kind]++
		}
	}
	if kinds["webhook"] == 0 || kinds["exec"] == 0 || kinds["log"] == 0 {
		t.Errorf("the example shows %v, want webhook, exec and log", kinds)
	}
	if got, want := set.Rules[0].Actions[0].Fields["url"], "http://127.0.0.1:8080/hook"; got != want {
		t.Errorf("url %v, want %v", got, want)
	}
}

// TestTimeExample loads the examples of time fields.
func TestTimeExample(t *testing.T) {
	o := options()
	o.Events = append(o.Events, "hdel")
	for _, name := range []string{"INCR", "INCRBY", "XADD", "UNLINK"} {
		o.Commands = append(o.Commands, rules.Command{Name: name, Classes: []string{"@write"}})
	}
	set, err := rules.Load("../examples/time.toml", o)
	if err != nil {
		t.Fatal(err)
	}
	if len(set.Warnings) > 0 {
		t.Errorf("warnings: %v", set.Warnings)
	}
	expected := map[string]map[bool]bool{} // by rule: that it fires, that it does not
	for _, test := range set.Tests {
		for name, n := range test.Expect {
			if expected[name] == nil {
				expected[name] = map[bool]bool{}
			}
			expected[name][n > 0] = true
		}
	}
	for _, r := range set.Rules {
		if !expected[r.Name][true] {
			t.Errorf("no test shows %s firing", r.Name)
		}
		if r.Name != "session-expired" && r.Time == nil {
			t.Errorf("%s says nothing of time", r.Name)
		}
	}
}

func TestLoad(t *testing.T) {
	set, err := rules.Load("testdata/good/rules.toml", options())
	if err != nil {
		t.Fatal(err)
	}
	if got, want := set.Source, (rules.Source{URL: "rediss://example.com", Start: "snapshot", Ack: "durable", PsyncCommand: "XPSYNC", MaxMirror: 1 << 30, Spool: 1 << 30, Prefer: "primary", ForeignWait: 15 * time.Second, Rewound: "deliver"}); got != want {
		t.Errorf("source %+v, want %+v", got, want)
	}
	if got, want := set.Store, (rules.Store{Dir: "dir", MaxPending: 10, Retention: 7 * 24 * time.Hour, KeepDelivered: 256 << 20}); got != want {
		t.Errorf("store %+v, want %+v", got, want)
	}
	var names []string
	for _, r := range set.Rules {
		names = append(names, r.Name)
	}
	if got, want := strings.Join(names, " "), "from-a from-b first clock off"; got != want {
		t.Errorf("rules %s, want %s", got, want)
	}
	if got, want := strings.Join(set.Files, " "), "testdata/good/rules.toml testdata/good/rules.d/a.toml testdata/good/rules.d/b.toml"; got != want {
		t.Errorf("files %s, want %s", got, want)
	}
	first := set.Rules[2]
	if first.File != "testdata/good/rules.toml" || first.Line != 30 || first.Col != 1 {
		t.Errorf("first is at %s:%d:%d", first.File, first.Line, first.Col)
	}
	if first.Description != "d" || first.Severity != "info" || len(first.Tags) != 2 || !first.DryRun || !first.Snapshot || first.Order != "none" || !first.Enabled {
		t.Errorf("first is %+v", first)
	}
	if set.Rules[4].Enabled {
		t.Error("off is on")
	}
	if !set.WantsSnapshot() {
		t.Error("no rule wants the snapshot")
	}
}

func TestActions(t *testing.T) {
	set, err := rules.Load("testdata/good/rules.toml", options())
	if err != nil {
		t.Fatal(err)
	}
	retry := rules.Retry{MaxAttempts: 3, Backoff: 2 * time.Second, MaxBackoff: time.Minute, MaxAge: 36 * time.Hour}
	own := retry
	own.MaxAttempts = 1
	want := []rules.Action{
		{Name: "crm", Target: "crm", Kind: "webhook", Timeout: 3 * time.Second, Retry: retry, Concurrency: 8, Order: "none"},
		{Name: "crm-2", Target: "crm", Kind: "webhook", Timeout: time.Second, Retry: own, Concurrency: 8, Order: "key"},
		{Name: "log", Kind: "log", Timeout: 7 * time.Second, Retry: retry, Order: "none"},
		{Name: "mine", Kind: "exec", Timeout: 7 * time.Second, Retry: retry, Concurrency: 1, Order: "none"},
		{Name: "log-2", Kind: "log", Timeout: 7 * time.Second, Retry: retry, Order: "none"},
	}
	got := set.Rules[2].Actions
	if len(got) != len(want) {
		t.Fatalf("%d actions, want %d", len(got), len(want))
	}
	for i, w := range want {
		g := *got[i]
		if g.File == "" || g.Line == 0 {
			t.Errorf("action %s has no place", g.Name)
		}
		g.Fields, g.File, g.Line, g.Col = nil, "", 0, 0
		if fmt.Sprint(g) != fmt.Sprint(w) {
			t.Errorf("got  %+v\nwant %+v", g, w)
		}
	}
	fields := got[0].Fields
	if got, want := fmt.Sprint(fields), `map[headers:map[Authorization:Bearer s3cret Literal:${env:HOST}] url:https://example.com/x?e=]`; got != want {
		t.Errorf("fields %s, want %s", got, want)
	}
	if _, ok := got[3].Fields["timeout"]; ok {
		t.Error("the engine's fields reach the action")
	}
}

func TestSchedule(t *testing.T) {
	set, err := rules.Load("testdata/good/rules.toml", options())
	if err != nil {
		t.Fatal(err)
	}
	at := time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC)
	if got, want := set.Rules[3].Schedule.Next(at).UTC(), time.Date(2026, 7, 2, 5, 0, 0, 0, time.UTC); got != want { // 07:00 in Berlin, in summer
		t.Errorf("next at %v, want %v", got, want)
	}
}

func TestWarnings(t *testing.T) {
	tests := []struct{ fields, want string }{
		{"command = 'expire'", `w.toml:3:11: rule "w": command: EXPIRE never arrives in the replication stream (it arrives as PEXPIREAT; write event = "expire")
  3 | command = 'expire'
    |           ^`},
		{`when = 'db == 0 && command in ["SET", "EXPIRE"]'`, `w.toml:3:39: rule "w": when: EXPIRE never arrives in the replication stream (it arrives as PEXPIREAT; write event = "expire")
  3 | when = 'db == 0 && command in ["SET", "EXPIRE"]'
    |                                       ^`},
		{`when = 'bytes > 1000'`, `w.toml:3:8: rule "w": when: no index serves this rule: its condition is evaluated for every event (say a key, a command or an event that it needs)
  3 | when = 'bytes > 1000'
    |        ^`},
		{"event = 'set'\nwhen = 'event == \"del\"'", `w.toml:1:1: rule "w": no event is like that: the rule never matches
  1 | [[rule]]
    | ^`},
		{"db = 1\nwhen = 'db == 2 || false'", `w.toml:1:1: rule "w": no event is like that: the rule never matches
  1 | [[rule]]
    | ^`},
		{"", ""},
		{"key = 'a'\nwhen = 'bytes > 1000'", ""},
	}
	for _, test := range tests {
		set, err := rules.Parse("w.toml", []byte("[[rule]]\nname = 'w'\n"+test.fields+"\n[[rule.action]]\ntype = 'log'\n"), options())
		if err != nil {
			t.Errorf("%s: %v", test.fields, err)
			continue
		}
		var got []string
		for _, w := range set.Warnings {
			got = append(got, w.Error())
		}
		if strings.Join(got, "\n") != test.want {
			t.Errorf("%s: got\n%s\nwant\n%s", test.fields, strings.Join(got, "\n"), test.want)
		}
	}
}

func TestBuild(t *testing.T) {
	set, err := rules.Build(map[string]any{
		"source": map[string]any{"url": "redis://h"},
		"rule": []map[string]any{{
			"name": "listen", "key": []string{"a:*", "b:*"}, "db": 3,
			"action": map[string]any{"type": "log"},
		}},
	}, options())
	if err != nil {
		t.Fatal(err)
	}
	if len(set.Rules) != 1 || set.Rules[0].Name != "listen" || set.Rules[0].Line != 0 || len(set.Files) != 0 {
		t.Errorf("set %+v", set)
	}

	_, err = rules.Build(map[string]any{
		"include": "x.toml",
		"rule": []any{map[string]any{
			"name": "listen", "when": "dbb == 0", "key": []string{"ok", "{a}{a}"},
			"action": map[string]any{"type": "lgo"},
		}},
	}, options())
	var got []string
	for _, e := range rules.Errors(err) {
		got = append(got, e.Error())
	}
	want := []string{
		`include: only a file can include others`,
		`rule "listen": rule[0].key[1]: {a} is captured twice`,
		`rule "listen": rule[0].when: unknown name dbb (did you mean "db"?)`,
		`rule "listen": rule[0].action.type: unknown kind`,
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestUnreadable(t *testing.T) {
	_, err := rules.Load(filepath.Join(t.TempDir(), "none.toml"), rules.Options{})
	if !strings.Contains(err.Error(), "no such file") {
		t.Errorf("got %v", err)
	}
	if len(rules.Errors(err)) != 1 {
		t.Errorf("errors of %v: %v", err, rules.Errors(err))
	}
	if got := rules.Errors(errors.New("x")); got != nil {
		t.Errorf("errors of another error: %v", got)
	}
}

// TestLimits holds what would exhaust a stack or the memory.
func TestLimits(t *testing.T) {
	rule := func(field string) string {
		return "[[rule]]\nname = 'x'\n" + field + "\n[[rule.action]]\ntype = 'log'\n"
	}
	when := func(cond string) string { return rule("when = '" + cond + "'") }
	tests := []struct{ name, src, want string }{
		{"lists inside lists", "a = " + strings.Repeat("[", 1<<20), "inside one another"},
		{"tables inside tables", "a = " + strings.Repeat("{a=", 1<<18), "inside one another"},
		{"a long dotted key", strings.Repeat("a.", 1<<20) + "a = 1", "inside one another"},
		{"a long header", "[" + strings.Repeat("a.", 1<<20) + "a]", "inside one another"},
		{"a million parens", when(strings.Repeat("(", 1<<20)), "a condition of 1048576 bytes"},
		{"a million nots", when(strings.Repeat("!", 1<<20) + "true"), "a condition of"},
		{"parens within the length", when(strings.Repeat("(", 1000) + "true" + strings.Repeat(")", 1000)), "more than 64 brackets"},
		{"nots within the length", when(strings.Repeat("!", 2000) + "true"), "too long"},
		{"many parts", when("true" + strings.Repeat(" && true", 400)), "too long"},
		{"macros inside macros", "[macros]\na = 'macros.b && macros.b && macros.b'\nb = 'macros.c && macros.c && macros.c'\n" +
			"c = 'macros.d && macros.d && macros.d'\nd = 'macros.e && macros.e && macros.e'\ne = 'macros.f && macros.f && macros.f'\nf = 'db == 0 && true'\n" +
			when("macros.a"), "macros included"},
		{"a long pattern", rule("key = '" + strings.Repeat("a*", 1000) + "'"), "pattern of 2000 bytes"},
		{"a long name", "[[rule]]\nname = '" + strings.Repeat("n", 1000) + "'\naction = { type = 'log' }\n", "a name of 1000 bytes"},
		{"a big regex", rule("key_regex = '(((a{1000}){1000}){1000})'"), "repeat"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, err := rules.Parse("x.toml", []byte(test.src), options())
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %q", err, test.want)
			}
			for _, e := range rules.Errors(err) {
				checkPlace(t, e, test.src)
				if len(e.Error()) > 2000 {
					t.Errorf("a message of %d bytes", len(e.Error()))
				}
			}
		})
	}
}

// TestLineEnds checks places in files as other editors write them.
func TestLineEnds(t *testing.T) {
	for _, src := range []string{
		"[[rule]]\r\nname = 'x'\r\nkey = ='a'\r\n",
		"\ufeff[[rule]]\nname = 'x'\nkey = ='a'\n",
		"[[rule]]\r\nname = 'x'\r\nkey = 3333\r\naction = { type = 'log' }\r\n",
		"\ufeff[[rule]]\nname = 'x'\nkey = 3333\naction = { type = 'log' }\n",
	} {
		_, err := rules.Parse("x.toml", []byte(src), options())
		mistakes := rules.Errors(err)
		if len(mistakes) != 1 || mistakes[0].Line != 3 || mistakes[0].Col != 7 || !strings.HasPrefix(mistakes[0].SourceLine, "key = ") {
			t.Errorf("%q: got %v", src, err)
		}
	}
}

// TestIncludeOfOddDirectory checks that a directory's name is no pattern.
func TestIncludeOfOddDirectory(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a[b]*c")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	writeFile(dir, "other.toml", "[[rule]]\nname = 'other'\naction = { type = 'log' }\n")
	set, err := rules.Load(writeFile(dir, "main.toml", "include = ['other.toml', 'o*.tom']\n"), options())
	if err != nil {
		t.Fatal(err)
	}
	if len(set.Rules) != 1 || set.Rules[0].Name != "other" {
		t.Errorf("rules %v", set.Rules)
	}
}

// TestIncludeFinds checks what patterns take, and what is said of one that takes
// nothing.
func TestIncludeFinds(t *testing.T) {
	dir := t.TempDir()
	for _, sub := range []string{"d/sub.toml", "d/..data", ".hidden"} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"d/b", "d/a", "d/.b.toml.swp", "d/.c", "d/..data/x", ".hidden/x", "d/sub.toml/x"} {
		rule := strings.NewReplacer("/", "-").Replace(name)
		writeFile(dir, name+".toml", "[[rule]]\nname = '"+rule+"'\nkey = '"+rule+"'\naction = { type = 'log' }\n")
	}
	if err := syscall.Mkfifo(filepath.Join(dir, "d/pipe.toml"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ include, rules, want string }{
		{"d/*.toml", "d-a d-b", ""},
		{"d/*", "d-a d-b", ""},
		{"*/x.toml", "", "no file is like that: nothing is included"},
		{"d/*/x.toml", "d-sub.toml-x", ""},
		{"d/.*.toml", "d-.b.toml.swp d-.c", ""},
		{"d/.c.toml", "d-.c", ""},
		{".hidden/*.toml", ".hidden-x", ""},
		{"../" + filepath.Base(dir) + "/d/[a].toml", "d-a", ""},
		{"e/*.toml", "", "x.toml:1:12: include: no file is like that: nothing is included"},
		{"d", "", `a directory cannot be included (for all files in it write "d/*.toml")`},
		{"d/none.toml", "", "open d/none.toml: file does not exist"},
	} {
		set, err := rules.Load(writeFile(dir, "x.toml", "include = ['"+c.include+"']\n"), options())
		got, said := "", ""
		if err != nil {
			said = err.Error()
		} else {
			var names []string
			for _, r := range set.Rules {
				names = append(names, r.Name)
			}
			got = strings.Join(names, " ")
			for _, w := range set.Warnings {
				said += w.Error()
			}
		}
		if got != c.rules || (said == "") != (c.want == "") || !strings.Contains(said, c.want) {
			t.Errorf("%s: got %q, %q; want %q, %q", c.include, got, said, c.rules, c.want)
		}
	}
}

// TestSecrets checks that no value of the environment or of a file comes back
// in a message, however the kind of the action words it.
func TestSecrets(t *testing.T) {
	file := writeFile(t.TempDir(), "secret", "from\"a\"file\n")
	src := `
[source]
url = "redis://:literal@h"
start = "${env:SECRET}"
[[rule]]
name = "x"
order = "${file:` + file + `}"
[[rule.action]]
type = "leak"
url = "${file:` + file + `}"
sign = ["literal"]
`
	o := options()
	o.Action = func(_ string, fields map[string]any) (rules.ActionFacts, error) {
		return rules.ActionFacts{}, fmt.Errorf("bad url %v, %q, sign %s", fields["url"], fields["url"], os.Getenv("NONE"))
	}
	_, err := rules.Parse("x.toml", []byte(src), o)
	for _, secret := range []string{"hunter2", `from"a"file`, `from\"a\"file`, "literal"} {
		if strings.Contains(err.Error(), secret) {
			t.Errorf("%s is shown:\n%v", secret, err)
		}
	}
	if len(rules.Errors(err)) != 3 {
		t.Errorf("got\n%v", err)
	}
}
