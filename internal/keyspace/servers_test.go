package keyspace_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"triggerd/internal/redistest"
	"triggerd/internal/servers"
)

// TestDumps holds the dumps in testdata/commands against what the running servers
// say of their commands. With -update it rewrites them; TestEntries, which holds
// the entries against the dumps, says then what is missing.
func TestDumps(t *testing.T) {
	redistest.Each(t, append([]string{"valkey-8.1"}, redistest.All...), func(t *testing.T, srv *servers.Server) {
		path := filepath.Join("testdata/commands", srv.Program.Name+".json")
		var got bytes.Buffer
		for i, c := range dumpCommands(redistest.Do(t, srv, "COMMAND")) {
			line, err := json.Marshal(c)
			if err != nil {
				t.Fatal(err)
			}
			got.WriteString([]string{"[\n", ",\n"}[min(i, 1)])
			got.Write(line)
		}
		got.WriteString("\n]\n")
		if *update {
			if err := os.WriteFile(path, got.Bytes(), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if line := firstDifference(got.String(), string(want)); line != "" {
			t.Errorf("%s (%s) says of a command\n%s\nwhich is not in %s", srv.Program.Name, srv.Program.Version, line, path)
		}
	})
}

// firstDifference returns a line that only one of two texts has, "" if there
// is none.
func firstDifference(a, b string) string {
	inA, inB := strings.Split(a, "\n"), strings.Split(b, "\n")
	for _, line := range inA {
		if !slices.Contains(inB, line) {
			return line
		}
	}
	for _, line := range inB {
		if !slices.Contains(inA, line) {
			return "(nothing, it is only in the file) " + line
		}
	}
	return ""
}

// dumpCommands turns the reply of COMMAND into one map for each command and
// subcommand, sorted by name.
func dumpCommands(reply any) []map[string]any {
	var all []map[string]any
	for _, r := range list(reply) {
		all = append(all, dumpCommand(list(r))...)
	}
	slices.SortFunc(all, func(a, b map[string]any) int { return strings.Compare(a["name"].(string), b["name"].(string)) })
	return all
}

func dumpCommand(r []any) []map[string]any {
	c := map[string]any{
		"name":  strings.ToUpper(strings.ReplaceAll(r[0].(string), "|", " ")),
		"arity": r[1], "flags": sorted(r[2]), "first": r[3], "last": r[4], "step": r[5], "categories": sorted(r[6]),
	}
	all := []map[string]any{c}
	if len(r) < 10 { // Redis 6.0
		return all
	}
	var keys []any
	for _, k := range list(r[8]) {
		m := pairs(k)
		keys = append(keys, map[string]any{"flags": sorted(m["flags"]), "begin": search(m["begin_search"]), "find": search(m["find_keys"])})
	}
	if len(keys) > 0 {
		c["keys"] = keys
	}
	for _, sub := range list(r[9]) {
		all = append(all, dumpCommand(list(sub))...)
	}
	return all
}

func search(v any) any {
	m := pairs(v)
	return map[string]any{"type": m["type"], "spec": pairs(m["spec"])}
}

// list, sorted and pairs take a reply apart; what has another shape is empty.
func list(v any) []any { l, _ := v.([]any); return l }

func sorted(v any) []string {
	out := []string{}
	for _, e := range list(v) {
		out = append(out, e.(string))
	}
	slices.Sort(out)
	return out
}

func pairs(v any) map[string]any {
	l, m := list(v), map[string]any{}
	for i := 0; i+1 < len(l); i += 2 {
		m[l[i].(string)] = l[i+1]
	}
	return m
}
