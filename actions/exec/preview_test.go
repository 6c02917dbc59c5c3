package exec_test

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"triggerd/actions"
	"triggerd/actions/actionstest"
	"triggerd/internal/secret"
)

// A preview is the program, its arguments, environment and standard input as they
// are when it runs.
func TestPreviewIsWhatIsRun(t *testing.T) {
	t.Setenv("PASSED", "on\tand on")
	t.Setenv("LANG", "C") // by which sort orders
	const script = `{ for a in "$0" "$@"; do printf '%s\n' "$a"; done; echo; env | grep -v '^_=' | grep -v '^PWD=' | grep -v '^SHLVL=' | sort; echo; cat; } > "$OUT"`
	fields := table{"env_pass": list("PASSED")}
	f := actionstest.Firing()
	got := runs(t, f, script, fields, "a b", "{{.key}}", "")
	out := fields["env"].(table)["OUT"].(string)
	a := sh(t, script, fields, actions.Options{}, "a b", "{{.key}}", "")
	p, err := actions.Render(t.Context(), a, f)
	if err != nil {
		t.Fatal(err)
	}
	env := map[string]string{}
	for _, n := range p.Named {
		env[n.Name] = strings.ReplaceAll(n.Value, `\t`, "\t")
	}
	var lines []string
	for _, name := range slices.Sorted(maps.Keys(env)) {
		lines = append(lines, name+"="+env[name])
	}
	slices.Sort(lines)
	want := strings.Join(p.Call[3:], "\n") + "\n\n" + strings.Join(lines, "\n") + "\n\n" + p.Body
	if got != want || env["OUT"] != out {
		t.Errorf("ran with\n%s\nand showed\n%s", got, want)
	}
	if want := []string{"/bin/sh", "-c"}; !slices.Equal(p.Call[:2], want) {
		t.Errorf("got %q, want %q", p.Call[:2], want)
	}
}

// A variable that is a credential by its name is not shown, nor is its value
// elsewhere; data is.
func TestPreviewMasks(t *testing.T) {
	const value = "s3cr3t/v+lue-Qz9"
	t.Setenv("PASSED_TOKEN", value+"-passed")
	a := sh(t, "exit", table{
		"env_pass": list("PASSED_TOKEN"),
		"env":      table{"API_KEY": value, "SHORT_KEY": "abc", "MIXED_KEY": "{{.key}}-written", "REDIS_KEY": "{{.key}}", "PLAIN": "known-one {{.db}}"},
	}, actions.Options{Secrets: secret.New("known-one")}, "--token="+value, "x known-one y", "written", "{{.key}}")
	f := actionstest.Firing()
	p, err := actions.Render(t.Context(), a, f)
	if err != nil {
		t.Fatal(err)
	}
	text := p.String()
	for _, form := range append(actionstest.FormsOf(value), "abc\n", "known-one", "-written") {
		if strings.Contains(text, form) {
			t.Errorf("%q is in\n%s", form, text)
		}
	}
	for _, want := range []string{
		`/bin/sh -c exit sh --token=*** "x *** y" written stock:42` + "\n", "\nAPI_KEY: ***\n", "\nSHORT_KEY: ***\n", "\nMIXED_KEY: ***\n", "\nPASSED_TOKEN: ***\n",
		"\nREDIS_KEY: stock:42\n", "\nPLAIN: *** 3\n", "\nTRIGGERD_KEY: stock:42\n",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not in\n%s", want, text)
		}
	}
}

// What a key has in it makes no line, and no argument, of its own.
func TestPreviewOfHostileKey(t *testing.T) {
	f := actionstest.Firing()
	f.Event.Key = []byte("a\nAPI: forged\x1b[31m\" 'b")
	p, err := actions.Render(t.Context(), sh(t, "exit", nil, actions.Options{}, "{{.key}}"), f)
	if err != nil {
		t.Fatal(err)
	}
	if want := `a\nAPI: forged\x1b[31m" 'b`; p.Call[4] != want {
		t.Errorf("got %q, want %q", p.Call[4], want)
	}
	for _, want := range []string{`/bin/sh -c exit sh "a\nAPI: forged\x1b[31m\" 'b"` + "\n", "\nTRIGGERD_KEY: " + `a\nAPI: forged\x1b[31m" 'b` + "\n"} {
		if !strings.Contains(p.String(), want) {
			t.Errorf("%q is not in\n%s", want, p)
		}
	}
	f.Event.Key = []byte("\x00")
	if _, err := actions.Render(t.Context(), sh(t, "exit", nil, actions.Options{}, "{{.key}}"), f); !actions.IsUnsent(err) {
		t.Errorf("got %v", err)
	}
}
