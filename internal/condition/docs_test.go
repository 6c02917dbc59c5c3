package condition

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestDocs: the tables of docs/rules.md have the names and the functions of
// conditions, and no others.
func TestDocs(t *testing.T) {
	b, err := os.ReadFile("../../docs/rules.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(b), "\n## Conditions\n")
	section, _, _ = strings.Cut(section, "\n## ")
	namesTable, functionsTable, ok := strings.Cut(section, "\n| function | gives | |\n")
	if !ok {
		t.Fatal("docs/rules.md has no table of functions under Conditions")
	}
	functionsTable, _, _ = strings.Cut(functionsTable, "\n\n")
	told := map[string]bool{}
	for _, row := range regexp.MustCompile("(?m)^\\| (`[^|]*) \\|").FindAllStringSubmatch(namesTable, -1) {
		for _, m := range regexp.MustCompile("`([a-z_]+)(?:\\.NAME)?`").FindAllStringSubmatch(row[1], -1) {
			told[m[1]] = true
		}
	}
	want := map[string]bool{"lists": true, "macros": true}
	for name := range variables {
		want[name] = true
	}
	sameNames(t, "name", told, want)

	told, want = map[string]bool{}, map[string]bool{}
	arguments := map[string][2]int{} // how many each helper is shown with
	for _, row := range regexp.MustCompile("(?m)^\\| (`.*?`) \\|").FindAllStringSubmatch(functionsTable, -1) {
		for _, quoted := range regexp.MustCompile("`([^`]*)`").FindAllStringSubmatch(row[1], -1) {
			if m := regexp.MustCompile(`^([a-zA-Z_]+)(?:\((.*)\))?$`).FindStringSubmatch(quoted[1]); m != nil && !slices.Contains(operators, m[1]) {
				n := argumentsIn(m[2])
				if !told[m[1]] {
					arguments[m[1]] = [2]int{n, n}
				}
				arguments[m[1]] = [2]int{min(n, arguments[m[1]][0]), max(n, arguments[m[1]][1])}
				told[m[1]] = true
			}
		}
	}
	for name, takes := range helpers {
		if told[name] && arguments[name] != takes {
			t.Errorf("docs/rules.md shows %s with %v arguments, it takes %v", name, arguments[name], takes)
		}
	}
	for name := range helpers {
		want[name] = true
	}
	for name := range builtins {
		want[name] = true
	}
	sameNames(t, "function", told, want)
}

// argumentsIn counts the arguments of a call.
func argumentsIn(list string) (n int) {
	depth := 0
	for i := range len(list) {
		switch c := list[i]; {
		case strings.IndexByte("([{", c) >= 0:
			depth++
		case strings.IndexByte(")]}", c) >= 0:
			depth--
		case c == ',' && depth == 0:
			n++
		}
	}
	if list != "" {
		n++
	}
	return n
}

// operators are words of the table that are no functions.
var operators = []string{"startsWith", "endsWith", "contains", "matches", "in"}

func sameNames(t *testing.T, what string, told, want map[string]bool) {
	t.Helper()
	for name := range want {
		if !told[name] {
			t.Errorf("docs/rules.md does not have the %s %s", what, name)
		}
	}
	for name := range told {
		if !want[name] {
			t.Errorf("docs/rules.md has a %s %s, which conditions do not have", what, name)
		}
	}
}
