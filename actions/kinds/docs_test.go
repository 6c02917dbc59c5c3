package kinds_test

import (
	"flag"
	"os"
	"strings"
	"testing"

	"triggerd/actions"
	"triggerd/actions/actionstest/fax"
	"triggerd/actions/kinds"
)

var update = flag.Bool("update", false, "rewrite the tables in the docs")

// withTables returns a text with the tables of kinds as they should be between
// the marks for them, and the names of kinds whose table was not so.
func withTables(text string, all actions.Kinds) (right string, wrong []string) {
	for _, k := range all {
		first, last := "<!-- fields of "+k.Name+" -->\n", "<!-- end -->\n"
		before, rest, ok := strings.Cut(text, first)
		table, after, ended := strings.Cut(rest, last)
		want := "\n" + actions.Markdown(k.Fields) + "\n"
		if ok && ended {
			text = before + first + want + last + after
		}
		if !ok || !ended || table != want {
			wrong = append(wrong, k.Name)
		}
	}
	return text, wrong
}

// The tables in the docs are those of the kinds.
func TestDocs(t *testing.T) {
	const name = "../../docs/rules.md"
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	text, wrong := withTables(string(b), kinds.All)
	if *update {
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		_, wrong = withTables(text, kinds.All)
	}
	for _, kind := range wrong {
		t.Errorf("the table of %s is not that of its fields: write <!-- fields of %[1]s --> and <!-- end --> into docs/rules.md, and go test ./actions/kinds -run TestDocs -update", kind)
	}
}

// A new kind lacks its table until the docs have the marks, and is written
// between them.
func TestDocsOfNewKind(t *testing.T) {
	all := actions.Kinds{&fax.Kind}
	if _, wrong := withTables("## Fax\n", all); len(wrong) != 1 {
		t.Errorf("without marks %q are wrong", wrong)
	}
	text, wrong := withTables("## Fax\n<!-- fields of fax -->\n<!-- end -->\nand so on\n", all)
	if len(wrong) != 1 {
		t.Errorf("without a table %q are wrong", wrong)
	}
	const want = "## Fax\n<!-- fields of fax -->\n\n" + `| field | type | default | |
| --- | --- | --- | --- |
| ` + "`number` | text | required | with `+`" + ` |
| ` + "`text` | text, template |  | by default the key" + ` |
| ` + "`paper` | `a4`, `letter` | `\"a4\"` | " + ` |
| ` + "`passphrase` | text, masked |  | of the machine" + ` |
| ` + "`cover` | table |  | a page before the others" + ` |
| ` + "`cover.logo` | true or false | `false` | " + ` |

<!-- end -->
and so on
`
	if text != want {
		t.Errorf("got\n%s\nwant\n%s", text, want)
	}
	if _, wrong := withTables(text, all); len(wrong) > 0 {
		t.Errorf("with its table %q are wrong", wrong)
	}
}
