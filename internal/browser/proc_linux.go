package browser

import (
	"os/exec"
	"syscall"
)

// own gives the browser a process group of its own, and has the kernel end it
// when the test ends in whatever way.
func own(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}

// end ends the browser and the processes that it has made.
func end(cmd *exec.Cmd) { _ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
