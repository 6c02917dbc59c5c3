package actions_test

import (
	"io"
	"os"
	"os/exec"
	"testing"

	"triggerd/actions"
	"triggerd/actions/actionstest"
)

// TestExecDiesWithUs: a program does not outlive a triggerd that was killed by
// SIGKILL, which is this test binary run once more.
func TestExecDiesWithUs(t *testing.T) {
	const name = "TEST_EXEC_FIFO"
	if path, ok := os.LookupEnv(name); ok {
		a := mustNew(t, "exec", table{"command": list("/bin/sh", "-c", `exec 3> "$OUT"; exec sleep 1000`), "env": table{"OUT": path}}, actions.Options{})
		_, err := a.Do(t.Context(), actionstest.Firing())
		t.Fatalf("the program ended before we were killed: %v", err)
	}
	path := fifo(t)
	self := exec.Command(os.Args[0], "-test.run=^TestExecDiesWithUs$")
	self.Env = append(os.Environ(), name+"="+path)
	if err := self.Start(); err != nil {
		t.Fatal(err)
	}
	alive, err := os.Open(path) // returns when the program runs
	if err != nil {
		t.Fatal(err)
	}
	defer alive.Close()
	if err := self.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = self.Wait()
	if _, err := io.Copy(io.Discard, alive); err != nil { // hangs if it survived
		t.Error(err)
	}
}
