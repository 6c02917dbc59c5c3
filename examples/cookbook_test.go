package examples_test

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"triggerd/engine"
	"triggerd/rules"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// cookbook returns the files of the cookbook.
func cookbook(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob("cookbook/*.toml")
	if err != nil || len(files) < 15 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	return files
}

var variable = regexp.MustCompile(`\$\{env:(\w+)\}`)

// load loads a file of the cookbook, with something in each variable that it
// reads.
func load(t *testing.T, file string) *rules.Set {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range variable.FindAllStringSubmatch(string(text), -1) {
		value := "0123456789abcdef"
		switch {
		case strings.HasPrefix(m[1], "SLACK"):
			value = "https://hooks.slack.com/services/T0/B0/" + value
		case strings.HasPrefix(m[1], "DISCORD"):
			value = "https://discord.com/api/webhooks/1/" + value
		}
		t.Setenv(m[1], value)
	}
	set, err := engine.LoadRules(file, engine.ActionOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return set
}

// Each file says what it does, has nothing that is warned of, and does what its
// tests say; each of its rules fires in one of them.
func TestCookbook(t *testing.T) {
	for _, file := range cookbook(t) {
		t.Run(filepath.Base(file), func(t *testing.T) {
			if text, _ := os.ReadFile(file); !bytes.HasPrefix(text, []byte("# ")) {
				t.Error("it does not begin with what it is for")
			}
			set := load(t, file)
			for _, w := range set.Warnings {
				if w.Code != "open-secret" { // of the checkout
					t.Error(w)
				}
			}
			fired := map[string]int{}
			for _, test := range set.Tests {
				r := engine.RunTest(t.Context(), set, test, engine.ActionOptions{})
				for _, d := range r.Differences() {
					t.Errorf("%s: %s", test.Name, d)
				}
				for rule, n := range r.Fired {
					fired[rule] += n
				}
			}
			for _, r := range set.Rules {
				if fired[r.Name] == 0 {
					t.Errorf("no test fires %s", r.Name)
				}
			}
		})
	}
}

// What each rule of the cookbook sends is in a golden file. A command is sent
// some of the environment, which is the same on each machine here.
func TestCookbookRequests(t *testing.T) {
	for name, value := range map[string]string{"HOME": "/home/user", "LANG": "C", "PATH": "/bin", "USER": "user"} {
		t.Setenv(name, value)
	}
	for _, file := range cookbook(t) {
		name := strings.TrimSuffix(filepath.Base(file), ".toml")
		t.Run(name, func(t *testing.T) {
			set := load(t, file)
			var got bytes.Buffer
			for _, r := range set.Rules {
				writeRequests(t, &got, set, r)
			}
			golden := "testdata/cookbook/" + name + ".golden"
			if *update {
				if err := os.WriteFile(golden, got.Bytes(), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got.Bytes(), want) {
				t.Errorf("%s is not what is sent; see what has changed: go test ./examples -run TestCookbookRequests -update, git diff\n%s", golden, &got)
			}
		})
	}
}

// ofNow are the parts of a request that tell the time of the attempt.
var ofNow = regexp.MustCompile(`(Webhook-Timestamp: |"endsAt":")[^"\n]+`)

// writeRequests writes what each action sends for each firing of a rule in the
// first test in which it fires.
func writeRequests(t *testing.T, w *bytes.Buffer, set *rules.Set, r *rules.Rule) {
	for _, test := range set.Tests {
		trace, err := engine.Explain(t.Context(), set, r, test, 0, engine.ActionOptions{})
		if err != nil {
			t.Fatal(err)
		}
		fired := trace.Fired()
		for i := range fired {
			for _, q := range fired[i].Requests {
				if q.Err != nil {
					t.Fatalf("%s of %s: %v", q.Action, r.Name, q.Err)
				}
				text := strings.TrimRight(q.Preview.String(), "\n")
				fmt.Fprintf(w, "== rule %s, action %s, firing %d of %q\n%s\n\n", r.Name, q.Action, i+1, test.Name, ofNow.ReplaceAllString(text, "${1}NOW"))
			}
		}
		if len(fired) > 0 {
			return
		}
	}
	t.Errorf("%s never fires", r.Name)
}

// The index in the docs has each file of the cookbook, and no other.
func TestCookbookIndex(t *testing.T) {
	text, err := os.ReadFile("../docs/cookbook.md")
	if err != nil {
		t.Fatal(err)
	}
	var listed []string
	for _, m := range regexp.MustCompile(`(?m)^\| \[([a-z-]+)\]\(\.\./examples/cookbook/([a-z-]+)\.toml\) \|`).FindAllStringSubmatch(string(text), -1) {
		if m[1] != m[2] {
			t.Errorf("%s is a link to %s", m[1], m[2])
		}
		listed = append(listed, "cookbook/"+m[2]+".toml")
	}
	slices.Sort(listed)
	if files := cookbook(t); !slices.Equal(listed, files) {
		t.Errorf("docs/cookbook.md lists %q, and there are %q", listed, files)
	}
}
