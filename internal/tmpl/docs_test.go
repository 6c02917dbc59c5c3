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
	m := regexp.MustCompile("(?s)\nTemplates are Go's .*? over `([^`]*)`.*?, as `.*? with (.*?): ").FindStringSubmatch(string(b))
	if m == nil {
		t.Fatal("docs/rules.md does not say what templates are over")
	}
	names := slices.Sorted(strings.FieldsSeq(m[1]))
	if want := slices.Sorted(maps.Keys(sampleView(nil).data())); !slices.Equal(names, want) {
		t.Errorf("docs/rules.md has the names %q, templates have %q", names, want)
	}
	var told []string
	for _, quoted := range regexp.MustCompile("`([^`]*)`").FindAllStringSubmatch(m[2], -1) {
		told = append(told, quoted[1])
	}
	slices.Sort(told)
	if want := slices.Sorted(maps.Keys(functions)); !slices.Equal(told, want) {
		t.Errorf("docs/rules.md has the functions %q, templates have %q", told, want)
	}
}
