package rules_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"triggerd/internal/event"
	"triggerd/internal/timing"
	"triggerd/rules"
)

// FuzzParse checks that no file makes the loader panic, that every mistake has
// a place inside the file, and that what loads can match.
func FuzzParse(f *testing.F) {
	files, _ := filepath.Glob("testdata/mistakes/*.toml")
	for _, file := range append(files, "../examples/rules.toml", "../examples/time.toml", "testdata/good/time.toml") {
		src, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(src))
	}
	f.Fuzz(func(t *testing.T, src string) {
		o := options()
		o.LookupEnv = func(string) (string, bool) { return "", false }
		// In an empty directory, so that no include finds a file.
		set, err := rules.Parse(filepath.Join("/nonexistent", "x.toml"), []byte(src), o)
		if err != nil {
			if len(rules.Errors(err)) == 0 {
				t.Fatalf("no mistakes in %v", err)
			}
			for _, e := range rules.Errors(err) {
				checkPlace(t, e, src)
				if strings.Contains(e.Error(), "compiler of conditions failed") {
					t.Fatal(e)
				}
			}
			return
		}
		matcher := set.Matcher()
		for _, ev := range []*event.Event{change("set", "stock:7", "SET", "stock:7", "1"), keyless(event.FlushAll, "FLUSHALL"), snapshotKey("a")} {
			for _, m := range matcher.Match(nil, ev) {
				if !m.Rule.Enabled {
					t.Fatal("a disabled rule matches")
				}
				m.Params()
				var k timing.Keys
				matcher.Keys(&k, &m)
			}
			for _, r := range set.Rules {
				set.Explain(r, ev, nil)
				set.FoundBy(r)
			}
		}
	})
}
