package exec

import (
	"runtime"
	"syscall"
)

// dieWithParent has the kernel send SIGTERM to the program when triggerd dies,
// even by SIGKILL, so that none runs beside the one that the next start makes.
func dieWithParent(attr *syscall.SysProcAttr) { attr.Pdeathsig = syscall.SIGTERM }

// pinThread keeps the calling goroutine on its thread until the function it
// returns is called. The kernel's "parent" is the thread that forked, not the
// process (prctl(2), PR_SET_PDEATHSIG): would the Go runtime end that thread,
// the program would get its signal in the middle of its work.
func pinThread() (unpin func()) {
	runtime.LockOSThread()
	return runtime.UnlockOSThread
}
