package exec_test

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"triggerd/actions"
	"triggerd/actions/actionstest"
	execkind "triggerd/actions/exec"
)

// TestExecDiesWithUs: a program does not outlive a triggerd that was killed by
// SIGKILL, which is this test binary run once more.
func TestExecDiesWithUs(t *testing.T) {
	const name = "TEST_EXEC_FIFO"
	if path, ok := os.LookupEnv(name); ok {
		a := mustNew(t, table{"command": list("/bin/sh", "-c", `exec 3> "$OUT"; exec sleep 1000`), "env": table{"OUT": path}}, actions.Options{})
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

// runsChild reports whether a child of this process runs a program.
func runsChild(name string) bool {
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, path := range stats {
		stat, _ := os.ReadFile(path)
		_, rest, named := strings.Cut(string(stat), "("+name+") ")
		if fields := strings.Fields(rest); named && len(fields) > 1 && fields[1] == strconv.Itoa(os.Getpid()) {
			return true
		}
	}
	return false
}

// TestExecSurvives: a program that cannot be killed is not waited for. Here it
// is another user's, and triggerd, which is this test binary run once more, has
// all that root may do but for sending signals to others.
func TestExecSurvives(t *testing.T) {
	const name = "TEST_EXEC_SURVIVES"
	if os.Getenv(name) != "" {
		a := mustNew(t, table{"command": list("/bin/sh", "-c", `echo begun; exec sleep 1000`), "user": another}, actions.Options{Timeout: time.Minute})
		execkind.SetGrace(a, 50*time.Millisecond)
		ctx, cancel := context.WithCancel(t.Context())
		go func() {
			defer cancel()
			for !runsChild("sleep") {
				time.Sleep(time.Millisecond)
			}
		}()
		fmt.Println(actionstest.EndsWithin(t, ctx, a))
		return
	}
	if os.Geteuid() != 0 {
		return // only root can have a program that it may not kill
	}
	self := exec.Command(os.Args[0], "-test.run=^TestExecSurvives$")
	self.Env = append(os.Environ(), name+"=1")
	var out []byte
	var err error
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		runtime.LockOSThread() // which ends with the goroutine, and the loss with it
		const prCapbsetDrop, capKill = 24, 5
		if _, _, e := syscall.RawSyscall(syscall.SYS_PRCTL, prCapbsetDrop, capKill, 0); e != 0 {
			err = e
			return
		}
		out, err = self.Output()
	}()
	<-ended
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	m := regexp.MustCompile(`/bin/sh: context canceled, and it could not be killed: process (\d+) still runs: begun`).FindSubmatch(out)
	if m == nil {
		t.Fatalf("got %s", out)
	}
	pid, _ := strconv.Atoi(string(m[1]))
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Errorf("process %d: %v", pid, err)
	}
}
