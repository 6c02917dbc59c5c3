package main

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"triggerd/examples"
	"triggerd/internal/redistest"
)

// The demo shows each rule of the example fire, on a real server and, where
// none can be had, from the recording.
func TestDemo(t *testing.T) {
	t.Parallel()
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

// With --stay the page is where the demo says, until it is interrupted.
func TestDemoStays(t *testing.T) {
	redistest.Start(t, "redis-7.0").Stop() // there is one on the machine
	t.Setenv("DEMO_URL", "")               // which the demo sets
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	out, ended := newLines(), make(chan int, 1)
	go func() { ended <- run(ctx, []string{"demo", "--stay"}, out, out) }()
	out.await(t, "stays up", 1)
	url := regexp.MustCompile(`The page is at (http://127\.0\.0\.1:\d+/)`).FindStringSubmatch(out.String())[1]
	res, err := http.Get(url + "api/v1/rules")
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(res.Body)
	res.Body.Close()
	if err != nil || !strings.Contains(string(body), "stock-written") {
		t.Errorf("the page has %s, %v", body, err)
	}
	stop()
	if code := <-ended; code != 0 {
		t.Errorf("it ends with %d: %s", code, out)
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
