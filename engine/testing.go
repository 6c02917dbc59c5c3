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

// TestResult is the result of one [[test]] of a rules file.
type TestResult struct {
	Test  *rules.Test
	Fired map[string]int // how often each rule fired that did
	Err   error          // why the feed could not be played
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

// RunTest runs a test's feed against the rules of its set. It uses the daemon's
// interpreter and matcher, with a clock of its own. A rule with several actions
// counts once for each match. Nothing is delivered.
func RunTest(ctx context.Context, set *rules.Set, test *rules.Test, o ActionOptions) TestResult {
	r := TestResult{Test: test, Fired: map[string]int{}}
	e, err := New(Config{
		Rules: set, Source: source.NewRecording(strings.NewReader(feedText(test)), test.Name), Replay: true, DryRun: true, Empty: true, Actions: o,
		OnFiring: func(f *actions.Firing) {
			if isFirstAction(set, f) {
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

// feedText returns a test's feed as a recording: inline commands, and between
// them the times that append-only files have.
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
