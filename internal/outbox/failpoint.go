package outbox

import (
	"os"
	"strconv"
	"strings"
	"sync/atomic"
)

// failpoint ends the process, as kill -9 would, at the n-th pass of the point
// that the environment variable TRIGGERD_FAILPOINT names as "name:n". Tests
// find out with it what a process leaves behind that dies between two steps
// which nothing outside can tell apart. It costs one comparison where the
// variable is not set.
func failpoint(name string) {
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
