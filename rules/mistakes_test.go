package rules_test

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"triggerd/rules"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// TestMistakes loads every wrong file of testdata/mistakes and compares what
// it is told with the golden file beside it.
func TestMistakes(t *testing.T) {
	files, err := filepath.Glob("testdata/mistakes/*.toml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no files: %v", err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			set, err := rules.Load(file, options())
			if err == nil {
				t.Fatalf("loaded: %+v", set)
			}
			if strings.Contains(err.Error(), "hunter2") {
				t.Errorf("a secret is shown:\n%v", err)
			}
			checkPlaces(t, err)
			compare(t, strings.TrimSuffix(file, ".toml")+".golden", slash(err.Error())+"\n")
		})
	}
}

// slash makes paths the same on every machine.
func slash(s string) string {
	wd, _ := os.Getwd()
	return strings.ReplaceAll(s, wd, "$PWD")
}

func compare(t *testing.T, golden, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(golden, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s: got\n%s\nwant\n%s", golden, got, want)
	}
}

// checkPlaces checks that every mistake has a place inside its file.
func checkPlaces(t *testing.T, err error) {
	t.Helper()
	if len(rules.Errors(err)) == 0 {
		t.Errorf("no mistakes in %v", err)
	}
	for _, e := range rules.Errors(err) {
		src, readErr := os.ReadFile(e.File)
		if readErr != nil {
			t.Errorf("%v: %v", e, readErr)
			continue
		}
		checkPlace(t, e, string(src))
	}
}

func checkPlace(t *testing.T, e *rules.Error, src string) {
	t.Helper()
	lines := strings.Split(strings.TrimPrefix(src, "\ufeff"), "\n")
	if e.Line < 1 || e.Line > len(lines) || e.Col < 1 || e.Col > len(lines[e.Line-1])+1 {
		t.Errorf("the place %d:%d is outside the file: %v", e.Line, e.Col, e)
		return
	}
	if line := strings.TrimSuffix(lines[e.Line-1], "\r"); e.SourceLine != "" && e.SourceLine != line {
		t.Errorf("line %d is shown as %q, is %q", e.Line, e.SourceLine, line)
	}
}
