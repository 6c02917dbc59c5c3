// Package failpoint ends the process at a chosen step, for tests of crashes.
//
//	failpoint.Here("committed") // with TRIGGERD_FAILPOINT=committed:3 the third time is the last
package failpoint

import (
	"os"
	"strconv"
	"strings"
	"sync/atomic"
)

// Here ends the process like kill -9, when it is called for the n-th time
// with the name that the environment variable TRIGGERD_FAILPOINT has, as
// "name:n". Tests use it to find out what a process leaves that dies between
// two steps that cannot be told apart from outside. It costs one comparison if
// the variable is not set.
func Here(name string) {
	if failAt.name == name && failAt.left.Add(-1) == 0 {
		os.Exit(failExit)
	}
}

// failExit is the exit code of a failpoint.
const failExit = 86

var failAt struct {
	name string
	left atomic.Int64
}

func init() {
	name, count, _ := strings.Cut(os.Getenv("TRIGGERD_FAILPOINT"), ":")
	n, err := strconv.ParseInt(count, 10, 64)
	if err == nil && n > 0 {
		failAt.name = name
		failAt.left.Store(n)
	}
}
