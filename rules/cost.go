package rules

import (
	"math/rand/v2"
	"time"
)

// A condition costs the goroutine that reads the stream. How much each costs is
// measured on a sample of the evaluations, since two readings of the clock take
// about as long as a condition; those of a rule that was found slow are measured
// all.

const (
	// sampledOneIn is of how many evaluations one is measured, about.
	sampledOneIn = 64
	// slowEvaluation is how long an evaluation of a slow condition takes.
	slowEvaluation = 20 * time.Microsecond
)

// costs are a Matcher's measurements.
type costs struct {
	left int    // evaluations before the next that is measured
	slow []bool // by rule: all evaluations are measured
}

// due reports whether the next evaluation of a rule's condition is to be
// measured.
func (c *costs) due(rule int32) bool {
	if c.slow[rule] {
		return true
	}
	if c.left--; c.left > 0 {
		return false
	}
	c.left = 1 + rand.IntN(2*sampledOneIn-1) // events may come in a pattern
	return true
}

// add counts an evaluation that was measured.
func (c *costs) add(r *Rule, took time.Duration) {
	weight := time.Duration(sampledOneIn)
	if c.slow[r.index] {
		weight = 1
	}
	c.slow[r.index] = took >= slowEvaluation
	if total := r.owner().conditionTime; total != nil {
		total.Add(int64(took * weight))
	}
}

// ConditionTime returns how long the evaluations of the rule's condition, and of
// those of its cancel, have taken in all Matchers of the set. It is an estimate
// from a sample, and grows in steps.
func (r *Rule) ConditionTime() time.Duration {
	if r.conditionTime == nil {
		return 0
	}
	return time.Duration(r.conditionTime.Load())
}
