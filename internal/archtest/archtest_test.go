package archtest_test

import (
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// allowed names, for each package, the packages of this module that it may
// import. What is not here may import none of them.
var allowed = map[string][]string{
	"cmd/triggerd":                     {"internal/web", "internal/admin", "engine", "rules", "source", "rdb", "actions", "actions/kinds", "examples", "internal/event", "internal/glob", "internal/store", "internal/servers", "internal/spool", "internal/delivered", "internal/notify", "internal/doctor", "internal/playground", "internal/firing"},
	"internal/web":                     {"internal/admin", "internal/cause", "internal/firing", "internal/glob"},
	"internal/firing":                  {"internal/event", "internal/wire"},
	"engine":                           {"source", "rules", "actions", "actions/kinds", "internal/admin", "internal/delivered", "internal/failpoint", "internal/firing", "internal/store", "internal/keyspace", "internal/mirrorfile", "internal/wire", "internal/event", "internal/timing", "internal/secret", "internal/outbox", "internal/suggest", "internal/tap", "internal/disk"},
	"source":                           {"rdb", "internal/resp", "internal/secret", "internal/sentinel", "internal/spool"},
	"internal/sentinel":                {"internal/resp"},
	"rules":                            {"internal/firing", "internal/condition", "internal/event", "internal/glob", "internal/suggest", "internal/timing", "internal/tomlpos", "internal/secret"},
	"actions":                          {"internal/event", "internal/excerpt", "internal/firing", "internal/secret", "internal/suggest", "internal/tmpl"},
	"actions/exec":                     {"actions", "internal/event", "internal/excerpt", "internal/firing", "internal/secret", "internal/tmpl"},
	"actions/log":                      {"actions", "internal/event", "internal/excerpt", "internal/firing", "internal/secret", "internal/tmpl"},
	"actions/print":                    {"actions", "internal/event", "internal/excerpt", "internal/firing", "internal/secret"},
	"actions/webhook":                  {"actions", "actions/webhook/preset", "internal/event", "internal/excerpt", "internal/firing", "internal/secret", "internal/tmpl"},
	"actions/webhook/preset":           {"actions", "internal/event", "internal/excerpt", "internal/firing"},
	"actions/kinds":                    {"actions/exec", "actions/log", "actions/print", "actions/webhook", "actions"},
	"internal/keyspace":                {"rdb", "internal/event", "internal/geo", "internal/wire"},
	"internal/playground":              {"engine", "rules", "internal/admin", "internal/event"},
	"internal/redistest":               {"internal/servers"},
	"internal/browser":                 {"internal/servers"},
	"actions/actionstest":              {"actions", "internal/event", "internal/firing"},
	"actions/actionstest/fax":          {"actions", "internal/event", "internal/firing", "internal/secret", "internal/tmpl"},
	"internal/condition":               {"internal/event", "internal/geo", "internal/glob", "internal/suggest"},
	"internal/event":                   {"internal/wire"},
	"internal/tap":                     {"internal/admin"},
	"internal/excerpt":                 {"internal/event", "internal/secret"},
	"internal/tmpl":                    {"internal/event", "internal/firing", "internal/secret", "internal/suggest"},
	"internal/condition/conditiontest": {"internal/event"},
	"internal/store":                   {"internal/wire"},
	"internal/timing":                  {"internal/wire"},
	"internal/mirrorfile":              {"internal/disk", "internal/failpoint", "internal/wire"},
	"internal/spool":                   {"internal/disk", "internal/failpoint"},
	"internal/disk/disktest":           {"internal/disk"},
	"internal/outbox":                  {"actions", "internal/cause", "internal/delivered", "internal/delivered/form", "internal/event", "internal/failpoint", "internal/firing", "internal/store"},
	"internal/delivered":               {"internal/wire"},
	"internal/delivered/form":          {"actions", "internal/wire"},

	"examples": {}, "internal/admin": {}, "internal/archtest": {}, "internal/cause": {}, "internal/disk": {}, "internal/doctor": {}, "internal/failpoint": {}, "internal/geo": {}, "internal/glob": {}, "internal/notify": {}, "internal/resp": {}, "internal/secret": {}, "internal/servers": {}, "internal/suggest": {}, "internal/tomlpos": {}, "internal/wire": {}, "rdb": {},
}

// homes names the packages that may use a third-party module, tests apart.
var homes = map[string][]string{
	"github.com/cockroachdb/pebble/v2":    {"internal/store"},
	"github.com/tidwall/btree":            {"internal/keyspace"},
	"github.com/prometheus/client_golang": {"engine", "internal/web", "cmd/triggerd"},
	"github.com/expr-lang/expr":           {"internal/condition"},
	"github.com/robfig/cron/v3":           {"rules"},
	"github.com/BurntSushi/toml":          {"rules"},
	"github.com/go-resty/resty/v2":        {"actions/webhook"},
	"github.com/spf13/cobra":              {"cmd/triggerd"},
	"github.com/spf13/pflag":              {"cmd/triggerd"},
	"golang.org/x/net":                    {"internal/web"},
	"golang.org/x/sys":                    {"internal/notify"},
	"golang.org/x/term":                   {"cmd/triggerd"},
}

const (
	module = "triggerd"
	root   = "../.."
)

// Files are parsed, and not listed by the go command: the result of a test that
// runs a program is taken from the cache though what the program sees changed.
func TestImports(t *testing.T) {
	seen, used := map[string]bool{}, map[[2]string]bool{}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			name := d.Name()
			if path != root && (strings.HasPrefix(name, ".") || name == "testdata" || isModule(path)) {
				return filepath.SkipDir
			}
			return nil
		}
		if strings.HasSuffix(path, ".go") {
			pkg, _ := filepath.Rel(root, filepath.Dir(path))
			seen[filepath.ToSlash(pkg)] = true
			checkFile(t, filepath.ToSlash(pkg), path, used)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for pkg := range seen {
		if _, ok := allowed[pkg]; !ok {
			t.Errorf("package %s is not in the table: say what it may import, here and in docs/ARCHITECTURE.md", pkg)
		}
	}
	for pkg, list := range allowed {
		if !seen[pkg] {
			t.Errorf("package %s is in the table and not in the tree", pkg)
		}
		for _, name := range list {
			if !used[[2]string{pkg, module + "/" + name}] {
				t.Errorf("package %s may import %s, and does not: take it out of the table", pkg, name)
			}
		}
	}
	for mod, list := range homes {
		for _, pkg := range list {
			if !used[[2]string{pkg, mod}] {
				t.Errorf("package %s is a home of %s, and does not import it: take it out of the table", pkg, mod)
			}
		}
	}
}

// isModule reports whether a folder is a module of its own.
func isModule(path string) bool {
	_, err := os.Stat(filepath.Join(path, "go.mod"))
	return err == nil
}

// checkFile checks what a file imports, and notes in used which packages and
// modules each package, tests apart, imports.
func checkFile(t *testing.T, pkg, path string, used map[[2]string]bool) {
	t.Helper()
	f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly)
	if err != nil {
		t.Error(err)
		return
	}
	test := strings.HasSuffix(path, "_test.go")
	for _, imp := range f.Imports {
		name, _ := strconv.Unquote(imp.Path.Value)
		if why := forbidden(pkg, name, test); why != "" {
			t.Errorf("%s imports %s: %s", path, name, why)
		}
		if test {
			continue
		}
		used[[2]string{pkg, name}] = true
		for mod := range homes {
			if name == mod || strings.HasPrefix(name, mod+"/") {
				used[[2]string{pkg, mod}] = true
			}
		}
	}
}

// forbidden says why pkg may not import name; "" if it may. Tests may use
// whatever they need to set up what they test.
func forbidden(pkg, name string, test bool) string {
	if own, ok := strings.CutPrefix(name, module+"/"); ok {
		switch {
		case slices.Contains(allowed[pkg], own), test:
			return ""
		case own == "internal/redistest" || own == "internal/browser":
			return "it is for tests only"
		}
		return "imports go down only, and this one is not in the table"
	}
	if !strings.Contains(strings.SplitN(name, "/", 2)[0], ".") || test {
		return "" // the standard library
	}
	for mod, home := range homes {
		if name == mod || strings.HasPrefix(name, mod+"/") {
			if slices.Contains(home, pkg) {
				return ""
			}
			return "the home of " + mod + " is " + strings.Join(home, ", ")
		}
	}
	return "a dependency without a home: a new one is a decision, see docs/adr"
}

func TestForbidden(t *testing.T) {
	tests := []struct {
		pkg, name string
		ok        bool
	}{
		{"engine", "triggerd/rules", true},
		{"rules", "triggerd/actions", false},
		{"engine", "triggerd/actions/kinds", true},
		{"engine", "triggerd/actions/webhook", false},
		{"actions", "triggerd/actions/webhook", false},
		{"actions/webhook", "github.com/go-resty/resty/v2", true},
		{"actions", "github.com/go-resty/resty/v2", false},
		{"source", "triggerd/internal/event", false},
		{"rdb", "triggerd/internal/resp", false},
		{"source", "triggerd/internal/redistest", false},
		{"internal/web", "triggerd/internal/browser", false},
		{"internal/condition", "github.com/expr-lang/expr/vm", true},
		{"rules", "github.com/expr-lang/expr", false},
		{"actions", "github.com/expr-lang/exprs", false},
		{"rdb", "encoding/binary", true},
	}
	for _, tt := range tests {
		if why := forbidden(tt.pkg, tt.name, false); (why == "") != tt.ok {
			t.Errorf("forbidden(%s, %s) = %q", tt.pkg, tt.name, why)
		}
	}
}
