package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"triggerd/examples"
	"triggerd/internal/redistest"
)

// The demo shows each rule of the example fire, on a real server and, where
// none can be had, from the recording.
func TestDemo(t *testing.T) {
	redistest.Start(t, "redis-7.0").Stop() // there is one on the machine
	for _, tt := range []struct {
		name, says string
		env        []string
	}{
		{"live", "attached   as a replica", nil},
		{"recorded", "playing a recording", []string{"PATH=/nowhere", "TRIGGERD_SERVERS=/dev/null/none"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cmd := command(t, t.TempDir(), "demo")
			cmd.Env = append(cmd.Env, tt.env...)
			if tt.env != nil { // the example runs a program by its name
				cmd.Env = append(cmd.Env, "PATH=/nowhere:"+echoDir(t))
			}
			var out bytes.Buffer
			cmd.Stdout, cmd.Stderr = &out, &out
			if err := cmd.Run(); err != nil {
				t.Fatalf("%v\n%s", err, &out)
			}
			for _, want := range []string{tt.says, "webhook  stock-written", "webhook  order-paid", "exec     session-over", "rule=stock-zero", "8 writes"} {
				if !strings.Contains(out.String(), want) {
					t.Errorf("the demo does not show %q", want)
				}
			}
			for _, name := range []string{"stock-written", "stock-zero", "session-over", "order-paid"} {
				if !bytes.Contains(examples.Rules, []byte(`name = "`+name+`"`)) {
					t.Errorf("the example has no rule %s any more: say here what the demo is to show", name)
				}
			}
			if t.Failed() {
				t.Log(out.String())
			}
		})
	}
}

// echoDir returns a directory that has the program echo and no other.
func echoDir(t *testing.T) string {
	t.Helper()
	echo, err := exec.LookPath("echo")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.Symlink(echo, filepath.Join(dir, "echo")); err != nil {
		t.Fatal(err)
	}
	return dir
}
