package exec

import (
	"time"

	"triggerd/actions"
)

// SetGrace shortens the time between SIGTERM and SIGKILL of an exec action.
func SetGrace(a actions.Action, d time.Duration) { a.(*command).grace = d }
