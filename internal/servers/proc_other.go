//go:build !linux

package servers

import "syscall"

// procAttr gives a server a process group of its own. Only Linux can have it
// killed with its parent.
func procAttr() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true}
}
