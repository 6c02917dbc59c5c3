package servers

import "syscall"

// procAttr gives a server a process group of its own, so that a Ctrl-C at the
// terminal is the parent's to handle, and has the kernel kill it when the
// parent ends in whatever way.
func procAttr() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
