package outbox

import (
	"time"

	"triggerd/actions"
	"triggerd/internal/delivered/form"
	"triggerd/internal/firing"
)

// Policy is how a firing is delivered, by its rule. It does not change.
type Policy struct {
	Timeout  time.Duration // of an attempt
	Retry    Retry
	Order    firing.Order
	ByValue  bool            // what is in order are the rule's firings for each value that it counts by, not those for each key: one opens what another closes, of whatever keys they tell
	Overflow firing.Overflow // what happens if there is no room for it
}

// Retry says when a firing is attempted again, and when it is given up.
type Retry struct {
	MaxAttempts int
	Backoff     time.Duration // the longest pause before the second attempt; it doubles with each attempt
	MaxBackoff  time.Duration
	MaxAge      time.Duration // it is given up once it would be older at its next attempt; 0: never
}

// PolicyKey says which firings a policy is for.
type PolicyKey struct{ Rule, Action string }

// Rate is how many attempts may be made in a period. The zero value is no
// limit.
type Rate struct {
	Max int
	Per time.Duration
}

// Action is what an endpoint delivers with. It does not change.
type Action struct {
	Action      actions.Action // if it is an io.Closer it is closed when another takes its place
	Policy      *Policy        // for firings whose own rule is gone
	Concurrency int            // attempts at once, at most
	Rate        Rate
	LatestOnly  bool  // of the firings of a lane that wait, only the last is attempted
	Config      any   // what it was made from; if another Action has a different Config, the endpoint's trouble is forgotten
	Meter       Meter // nil: none
}

// Meter measures how long things took. It is called under an endpoint's lock,
// and must not wait.
type Meter interface {
	Waited(time.Duration)             // for the first attempt of a firing, since it was planned
	Attempted(Outcome, time.Duration) // an attempt has ended
	Delivered(time.Duration)          // a firing is, since its event arrived
}

// Outcome is the result of an attempt.
type Outcome = form.Outcome

// Outcomes of attempts.
const (
	Delivered = form.Delivered
	Retried   = form.Retried
	GivenUp   = form.GivenUp

	expelled   = GivenUp + 1 // not attempted: dropped for a newer one
	superseded = GivenUp + 2 // not attempted: a newer one is attempted in its place
)

// Outcomes is how many outcomes an attempt may have.
const Outcomes = form.Outcomes
