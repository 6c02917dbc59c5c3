package actions

import "time"

// SetGrace shortens the time between SIGTERM and SIGKILL of an exec action.
func SetGrace(a Action, d time.Duration) { a.(*command).grace = d }

// Masking is what New makes of an action where there are secrets.
var Masking = newMasking
