package rules

import (
	"fmt"
	"strings"
	"sync"
	"time"

	"triggerd/internal/condition"
	"triggerd/internal/event"
)

// Filter is a condition that belongs to no rule: somebody looks at events by it.
// Any goroutine may use it.
type Filter struct {
	cond  *condition.Condition
	evals sync.Pool
}

// maxFilter is how many bytes the text of a Filter may have.
const maxFilter = 4096

// filterTime is how long a Filter may look at one event: whoever watches must not
// hold up whoever reads.
const filterTime = time.Millisecond

// Filter compiles a condition, as in a rule's when. It may use the set's lists
// and macros, and nothing that a key pattern captures.
func (s *Set) Filter(when string) (*Filter, error) {
	if len(when) > maxFilter {
		return nil, fmt.Errorf("a condition of %d bytes; it may have %d", len(when), maxFilter)
	}
	s.explain.Lock()
	defer s.explain.Unlock()
	cond, report := s.compiler.Condition(when, nil)
	if len(report.Problems) > 0 {
		var says []string
		for _, p := range report.Problems {
			text := p.Msg
			if p.Hint != "" {
				text += " (" + p.Hint + ")"
			}
			says = append(says, text)
		}
		return nil, fmt.Errorf("%s", strings.Join(says, "; "))
	}
	if cond == nil {
		return nil, fmt.Errorf("it uses a macro that is broken")
	}
	return &Filter{cond: cond}, nil
}

// filterEvaluator evaluates until a time.
type filterEvaluator struct {
	condition.Evaluator
	until time.Time
}

// Holds reports whether the condition holds for an event. One that cannot be
// evaluated, or not in time, does not.
func (f *Filter) Holds(ev *event.Event) bool {
	e, ok := f.evals.Get().(*filterEvaluator)
	if !ok {
		e = &filterEvaluator{}
		e.Stopped = func() bool { return time.Now().After(e.until) }
	}
	defer f.evals.Put(e)
	e.until = time.Now().Add(filterTime)
	e.Begin(ev)
	holds, err := e.Holds(f.cond, nil)
	e.Begin(nil) // it is borrowed
	return holds && err == nil
}
