package outbox

import (
	"time"

	"triggerd/actions"
	"triggerd/internal/firing"
)

// Policy is how a firing is delivered: what its rule says. It does not change.
type Policy struct {
	Timeout  time.Duration // of an attempt
	Retry    Retry
	Order    firing.Order
	Overflow firing.Overflow // what becomes of it where there is no room
}

// Retry says when a firing is attempted again, and when it is given up.
type Retry struct {
	MaxAttempts int
	Backoff     time.Duration // before the second attempt at most; it doubles
	MaxBackoff  time.Duration
	MaxAge      time.Duration // 0: none
}

// PolicyKey says which firings a policy is for that are read from the store.
type PolicyKey struct{ Rule, Action string }

// Rate is how many attempts may be made in a time; the zero value is no limit.
type Rate struct {
	Max int
	Per time.Duration
}

// Action is what an endpoint delivers with. It does not change.
type Action struct {
	Action      actions.Action // closed, if it is an io.Closer, once another takes its place
	Policy      *Policy        // for firings whose own rule is gone
	Concurrency int            // attempts at once, at most
	Rate        Rate
	LatestOnly  bool  // of the firings of a lane that wait, only the last is attempted
	Config      any   // what it was made of: if that has changed, what was held against the endpoint is forgotten
	Meter       Meter // nil: none
}

// Meter is told how long things took. It is called under an endpoint's lock,
// and must not wait.
type Meter interface {
	Waited(time.Duration)             // for the first attempt of a firing, since it was planned
	Attempted(Outcome, time.Duration) // an attempt has ended
}

// Outcome is what an attempt came to.
type Outcome uint8

const (
	Delivered Outcome = iota
	Retried           // it failed, and is made again
	GivenUp           // it failed, and the firing is a dead letter now

	expelled   // not attempted: dropped for a newer one
	superseded // not attempted: a newer one is attempted in its place
)

// Outcomes is how many outcomes an attempt may have.
const Outcomes = int(GivenUp) + 1
