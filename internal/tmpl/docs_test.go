package tmpl

import (
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestDocs: docs/rules.md has the names that templates have, and no others.
func TestDocs(t *testing.T) {
	b, err := os.ReadFile("../../docs/rules.md")
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile("(?s)\nTemplates are Go's .*? over all of an event: `([^`]*)`.*?\n\\| function \\|(.*?)\n\n").FindStringSubmatch(string(b))
	if m == nil {
		t.Fatal("docs/rules.md does not say what templates are over")
	}
	names := slices.Sorted(strings.FieldsSeq(m[1]))
	if want := slices.Sorted(maps.Keys(sampleView(nil).data())); !slices.Equal(names, want) {
		t.Errorf("docs/rules.md has the names %q, templates have %q", names, want)
	}
	told := map[string]bool{}
	for _, row := range strings.Split(m[2], "\n") {
		first, _, _ := strings.Cut(strings.TrimPrefix(row, "| "), "|")
		for _, quoted := range regexp.MustCompile("`([a-z0-9]+)[^`]*`").FindAllStringSubmatch(first, -1) {
			told[quoted[1]] = true
		}
	}
	want := new(run).functions()
	for _, goes := range []string{"html", "js", "urlquery", "print", "println", "printf"} { // which do what Go says
		delete(want, goes)
	}
	if told, want := slices.Sorted(maps.Keys(told)), slices.Sorted(maps.Keys(want)); !slices.Equal(told, want) {
		t.Errorf("docs/rules.md has the functions %q, templates have %q", told, want)
	}
}
