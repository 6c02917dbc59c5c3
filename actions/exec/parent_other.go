//go:build unix && !linux

package exec

import "syscall"

// Only Linux can tie a program's life to triggerd's.

func dieWithParent(*syscall.SysProcAttr) {}

func pinThread() (unpin func()) { return func() {} }
