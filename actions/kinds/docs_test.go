package kinds_test

import (
	"flag"
	"os"
	"strings"
	"testing"

	"triggerd/actions"
	"triggerd/actions/kinds"
)

var update = flag.Bool("update", false, "rewrite the tables in the docs")

// The tables in the docs are those of the kinds.
func TestDocs(t *testing.T) {
	const name = "../../docs/rules.md"
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	text := string(b)
	for _, k := range kinds.All {
		first, last := "<!-- fields of "+k.Name+" -->\n", "<!-- end -->\n"
		before, rest, ok := strings.Cut(text, first)
		table, after, ended := strings.Cut(rest, last)
		if !ok || !ended {
			t.Errorf("docs/rules.md has no table between %q and %q", first, last)
			continue
		}
		if want := "\n" + actions.Markdown(k.Fields) + "\n"; table != want {
			text = before + first + want + last + after
			if !*update {
				t.Errorf("the table of %s is not that of its fields: go test ./actions/kinds -run TestDocs -update", k.Name)
			}
		}
	}
	if *update {
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}
