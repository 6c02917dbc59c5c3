package rules_test

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"triggerd/rules"
)

// TestWarningCodes holds the codes against the code and the documentation.
func TestWarningCodes(t *testing.T) {
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	call, coded := regexp.MustCompile(`\.warnf\(`), regexp.MustCompile(`\.as\("([^"]+)"\)\.warnf\(`)
	used := map[string]bool{}
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		for i, line := range strings.Split(string(text), "\n") {
			m := coded.FindStringSubmatch(line)
			switch {
			case strings.HasPrefix(strings.TrimSpace(line), "//"):
			case m != nil:
				used[m[1]] = true
				if mistake, _ := rules.CheckWarningCode(m[1]); mistake != "" {
					t.Errorf("%s:%d: %s: add it to WarningCodes", name, i+1, mistake)
				}
			case strings.Contains(line, ".as(p.Code)."): // condition's own
				used["never-arrives"], used["every-element"], used["doubtful-path"] = true, true, true
			case strings.Contains(line, ".as(w.WarningCode())."): // an action's own, below
			case call.MatchString(line):
				t.Errorf("%s:%d: a warning without a code: .as(\"a-code\").warnf(", name, i+1)
			}
		}
	}
	for _, name := range actionFiles(t) {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(`FieldError\{\s*Name: .*, Code: "([^"]+)"`).FindAllStringSubmatch(string(text), -1) {
			used[m[1]] = true
			if mistake, _ := rules.CheckWarningCode(m[1]); mistake != "" {
				t.Errorf("%s: %s: add it to WarningCodes", name, mistake)
			}
		}
	}
	docs, err := os.ReadFile("../docs/rules.md")
	if err != nil {
		t.Fatal(err)
	}
	for code, about := range rules.WarningCodes {
		if !used[code] {
			t.Errorf("no warning has the code %s", code)
		}
		if line := fmt.Sprintf("| `%s` | %s |\n", code, about); !strings.Contains(string(docs), line) {
			t.Errorf("docs/rules.md lacks %s", line)
		}
	}
}

// actionFiles returns the source of the kinds of actions, tests apart.
func actionFiles(t *testing.T) (list []string) {
	t.Helper()
	all, err := filepath.Glob("../actions/*/*.go")
	if err != nil || len(all) == 0 {
		t.Fatalf("%d files, %v", len(all), err)
	}
	for _, name := range all {
		if !strings.HasSuffix(name, "_test.go") {
			list = append(list, name)
		}
	}
	return list
}
