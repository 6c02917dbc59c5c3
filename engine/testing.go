package engine

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"triggerd/actions"
	"triggerd/rules"
)

// TestResult is the result of one [[test]] of a rules file.
type TestResult struct {
	Test  *rules.Test
	Fired map[string]int // how often each rule fired that did
	Err   error          // why the feed could not be played

	Traces map[string]*Trace // of the rules of which the test expects something, by name
}

// Differences returns what was not as expected, one line for each rule in the
// order of their names; nil if the test passed.
func (r *TestResult) Differences() []string {
	if r.Err != nil {
		return []string{r.Err.Error()}
	}
	var lines []string
	for _, name := range slices.Sorted(maps.Keys(r.Traces)) {
		if d := r.Difference(name); d != "" {
			lines = append(lines, "rule "+name+": "+d)
		}
	}
	return lines
}

// Difference returns what was not as expected of a rule; "" if all was.
func (r *TestResult) Difference(rule string) string {
	if want, ok := r.Test.Expect[rule]; ok && r.Fired[rule] != want {
		return fmt.Sprintf("expected %s, got %s", times(want), times(r.Fired[rule]))
	}
	want := r.Test.ExpectBody[rule]
	if missing := missingBody(r.Traces[rule].Fired(), want); missing != "" {
		return "no body is as expected: " + missing
	}
	return ""
}

func times(n int) string {
	if n == 1 {
		return "1 firing"
	}
	return fmt.Sprintf("%d firings", n)
}

// RunTest runs a test's feed against the rules of its set. It uses the daemon's
// interpreter and matcher, with a clock of its own. A rule with several actions
// counts once for each match. Nothing is delivered.
func RunTest(ctx context.Context, set *rules.Set, test *rules.Test, o ActionOptions) TestResult {
	r := TestResult{Test: test, Fired: map[string]int{}}
	f := newFeed(test, 0, expectedRules(set, test))
	r.Traces = map[string]*Trace{}
	for _, t := range f.traces {
		r.Traces[t.Rule.Name] = t.Trace
	}
	r.Err = f.play(ctx, set, o, func(f *actions.Firing) {
		if isFirstAction(set, f) {
			r.Fired[f.Rule]++
		}
	})
	return r
}

// expectedRules returns the rules of which a test expects something.
func expectedRules(set *rules.Set, test *rules.Test) []*rules.Rule {
	var list []*rules.Rule
	for _, r := range set.Rules {
		_, counted := test.Expect[r.Name]
		_, compared := test.ExpectBody[r.Name]
		if counted || compared {
			list = append(list, r)
		}
	}
	return list
}

// isFirstAction reports whether a firing is of its rule's first action, which
// is the one that is counted.
func isFirstAction(set *rules.Set, f *actions.Firing) bool {
	for _, r := range set.Rules {
		if r.Name == f.Rule {
			return r.Actions[0].Name == f.Action
		}
	}
	return false
}
