package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"triggerd/engine"
)

// Every setting that the first rules file has as a comment is a good one.
func TestInitSettings(t *testing.T) {
	t.Parallel()
	on := regexp.MustCompile(`(?m)^#([a-z\[])`).ReplaceAllString(string(firstRules), "$1")
	if n := strings.Count(on, "\n[[rule]]"); n != 4 {
		t.Errorf("%d rules with all settings on, want 4", n)
	}
	path := filepath.Join(t.TempDir(), "rules.toml")
	if err := os.WriteFile(path, []byte(on), 0o600); err != nil {
		t.Fatal(err)
	}
	set, err := engine.LoadRules(path, engine.ActionOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range set.Warnings {
		t.Error(w)
	}
}

// What init says to do next can be pasted, whatever the file is called.
func TestShellWord(t *testing.T) {
	t.Parallel()
	for _, word := range []string{"rules.toml", "../my rules/a.toml", `it's "$HOME" \ *`, "ünï", "-c", "a\nb", "~/x", ""} {
		out, err := exec.Command("sh", "-c", "printf %s "+shellWord(word)).Output()
		if err != nil || string(out) != word {
			t.Errorf("%q: the shell reads %q, %v", word, out, err)
		}
	}
	if got := shellWord("etc/rules.d/a-b_1.toml"); got != "etc/rules.d/a-b_1.toml" {
		t.Errorf("got %s", got)
	}
}
