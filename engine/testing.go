package engine

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"triggerd/actions"
	"triggerd/rules"
	"triggerd/source"
)

// TestResult is what one [[test]] of a rules file came to.
type TestResult struct {
	Test  *rules.Test
	Fired map[string]int // how often each rule matched that did
	Err   error          // the feed could not be played
}

// Differences returns what was not as expected, one line for each rule in the
// order of their names; nil if the test passed.
func (r *TestResult) Differences() []string {
	if r.Err != nil {
		return []string{r.Err.Error()}
	}
	var lines []string
	for _, name := range slices.Sorted(maps.Keys(r.Test.Expect)) {
		if want, got := r.Test.Expect[name], r.Fired[name]; got != want {
			lines = append(lines, fmt.Sprintf("rule %s: expected %s, got %s", name, times(want), times(got)))
		}
	}
	return lines
}

func times(n int) string {
	if n == 1 {
		return "1 firing"
	}
	return fmt.Sprintf("%d firings", n)
}

// RunTest plays a test's feed to the rules of the set that it is of, through
// the same interpreter and matcher as the daemon's, with a clock of its own. A
// rule with several actions fires once for each match. Nothing is delivered.
func RunTest(ctx context.Context, set *rules.Set, test *rules.Test, o ActionOptions) TestResult {
	r := TestResult{Test: test, Fired: map[string]int{}}
	e, err := New(Config{
		Rules: set, Source: source.NewRecording(strings.NewReader(feedText(test)), test.Name), Replay: true, DryRun: true, Empty: true, Actions: o,
		OnFiring: func(f *actions.Firing) {
			if isFirst(set, f) {
				r.Fired[f.Rule]++
			}
		},
	})
	if err != nil {
		r.Err = err
		return r
	}
	if r.Err = e.Run(ctx); r.Err != nil {
		r.Err = fmt.Errorf("feed: %w", r.Err)
	}
	return r
}

// feedText is a test's feed as a recorded stream: inline commands, and the
// notes of time that append-only files have.
func feedText(test *rules.Test) string {
	var b strings.Builder
	now := test.Start
	note := func() {
		fmt.Fprintf(&b, "#TS:%d", now.Unix())
		if now.Nanosecond() != 0 {
			fmt.Fprintf(&b, ".%09d", now.Nanosecond())
		}
		b.WriteString("\r\n")
	}
	note()
	for _, s := range test.Feed {
		if s.Pause > 0 {
			now = now.Add(s.Pause)
			note()
			continue
		}
		b.WriteString(s.Command + "\r\n")
	}
	return b.String()
}

// isFirst reports whether a firing is of its rule's first action: the one that
// counts for the rule.
func isFirst(set *rules.Set, f *actions.Firing) bool {
	for _, r := range set.Rules {
		if r.Name == f.Rule {
			return r.Actions[0].Name == f.Action
		}
	}
	return false
}
