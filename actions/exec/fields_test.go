package exec_test

import (
	"cmp"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"triggerd/actions"
	"triggerd/actions/actionstest"
	"triggerd/actions/exec"
)

type table = map[string]any

// list makes a TOML list.
func list(v ...any) []any { return v }

// mustNew makes an action that is closed with the test. Where the options have no
// timeout, that of an attempt is far longer than it may take.
func mustNew(t testing.TB, fields table, o actions.Options) actions.Action {
	t.Helper()
	o.Timeout = cmp.Or(o.Timeout, time.Minute)
	return actionstest.New(t, &exec.Kind, fields, o)
}

func TestMistakes(t *testing.T) {
	t.Setenv("PATH", "/usr/bin:/bin")
	notExecutable := filepath.Join(t.TempDir(), "script")
	if err := os.WriteFile(notExecutable, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	actionstest.CheckMistakes(t, &exec.Kind, map[string]actionstest.Mistaken{
		"exec off":            {Fields: table{"command": list("/bin/sh")}, Options: actions.Options{NoExec: true}, Want: []string{`type: exec actions are switched off`}},
		"no command":          {Want: []string{`command: is required`}},
		"empty command":       {Fields: table{"command": list()}, Want: []string{`command: is required`}},
		"command line":        {Fields: table{"command": "echo x"}, Want: []string{`command: must be a list`}},
		"command type":        {Fields: table{"command": list("/bin/sh", int64(1))}, Want: []string{`command: element 2 must be a string`}},
		"program template":    {Fields: table{"command": list("{{.key}}")}, Want: []string{`command: the program may not be a template`}},
		"program relative":    {Fields: table{"command": list("./x")}, Want: []string{`command: the program "./x" must be an absolute path`}},
		"program not in PATH": {Fields: table{"command": list("no-such-program")}, Want: []string{`command: there is no program "no-such-program" in PATH (/usr/bin:/bin)`}},
		"program not there":   {Fields: table{"command": list("/etc/no/such")}, Want: []string{`command: there is no file /etc/no/such`}},
		"program a directory": {Fields: table{"command": list("/bin")}, Want: []string{`command: cannot run "/bin"`}},
		"program no x":        {Fields: table{"command": list(notExecutable)}, Want: []string{`is not executable`}},
		"argument":            {Fields: table{"command": list("/bin/sh", "{{.kee}}")}, Want: []string{`command: template`}},
		"environment":         {Fields: table{"command": list("/bin/sh"), "env": table{"A": int64(1), "TRIGGERD_ID": "x", "B": "{{.kee}}", "C": "c"}, "env_pass": list("C", "a=b")}, Want: []string{`env.A: must be a string`, `env.B: template`, `env.TRIGGERD_ID: is triggerd's to set`, `env_pass: "C" is in env too`, `env_pass: "a=b" is not a variable's name`}},
		"dir":                 {Fields: table{"command": list("/bin/sh"), "dir": "/etc/no/such"}, Want: []string{`dir: stat /etc/no/such`}},
		"dir a file":          {Fields: table{"command": list("/bin/sh"), "dir": notExecutable}, Want: []string{`is not a directory`}},
		"dir relative":        {Fields: table{"command": list("/bin/sh"), "dir": "tmp"}, Want: []string{`dir: must be an absolute path`}},
		"permanent_exit":      {Fields: table{"command": list("/bin/sh"), "permanent_exit": list(int64(0), "1", int64(256), int64(3))}, Want: []string{`permanent_exit: element 1`, `permanent_exit: element 2`, `permanent_exit: element 3`}},
		"latest_only":         {Fields: table{"command": list("/bin/sh"), "latest_only": "yes"}, Want: []string{`latest_only: must be true or false`}},
	})
}

// TestAccepts has configurations that are right, near to those that are not.
func TestAccepts(t *testing.T) {
	for name, fields := range map[string]table{
		"exec": table{"command": list("sh", "{{.params.sku}}"), "env": table{"PATH": "/bin"}, "permanent_exit": list()},
	} {
		t.Run(name, func(t *testing.T) { mustNew(t, fields, actions.Options{}) })
	}
}

func TestFields(t *testing.T) {
	actionstest.CheckFields(t, &exec.Kind, table{"command": list("/bin/sh")})
}

// A shell, or another interpreter, that runs what a template writes is warned of; one
// that gets it as an argument is not.
func TestShellTemplate(t *testing.T) {
	for _, tt := range []struct {
		command []any
		want    bool
	}{
		{[]any{"/bin/sh", "-c", "echo {{.key}}"}, true},
		{[]any{"/bin/sh", "-ec", "echo {{.key}}"}, true},
		{[]any{"sh", "-e", "-c", "echo {{.key}}"}, true},
		{[]any{"env", "A=1", "sh", "-c", "echo {{.key}}", "x"}, true},
		{[]any{"/bin/sh", "-c", `echo "$1"`, "sh", "{{.key}}"}, false},
		{[]any{"/bin/sh", "-c", `echo "$TRIGGERD_KEY"`}, false},
		{[]any{"/bin/sh", "/opt/script", "-x", "{{.key}}"}, false},
		{[]any{"/bin/echo", "-c", "{{.key}}"}, false},
		{[]any{"/bin/sh", "-c"}, false},
	} {
		a, err := actions.Kinds{&exec.Kind}.New("exec", table{"command": tt.command}, actions.Options{})
		if err != nil {
			t.Fatal(err)
		}
		all := actions.Warnings(a)
		if (len(all) == 1) != tt.want || tt.want && (all[0].Name != "command" || all[0].WarningCode() != "shell-template" || !strings.Contains(all[0].Error(), `"{{.key}}"`)) {
			t.Errorf("%v: %v", tt.command, all)
		}
	}
}
