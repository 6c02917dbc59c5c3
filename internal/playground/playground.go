package playground

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"triggerd/engine"
	"triggerd/internal/admin"
	"triggerd/internal/event"
	"triggerd/rules"
)

// Limits of a question.
const (
	maxText     = 1 << 20 // bytes of rules and commands
	maxCommands = 1000
	maxTime     = 2 * time.Second
	maxMirror   = 32 << 20
	maxTraced   = 500     // events and firings that are told of
	maxRendered = 2 << 20 // bytes of requests
	maxBody     = 64 << 10
	maxTests    = 200
	maxMistakes = 200
	maxPatterns = 250_000 // instructions of regular expressions: 10 MB, or a few times as much while they are compiled

	patience = time.Second // how long a question waits for the one before
)

// file is the name that rules have in messages.
const file = "rules.toml"

// Playground is an admin.Playground. Any goroutine may call its methods.
type Playground struct {
	turn chan struct{} // holds one token while a question is answered
}

// New returns a Playground.
func New() *Playground { return &Playground{turn: make(chan struct{}, 1)} }

// options are how rules are loaded and tried.
func options() engine.ActionOptions {
	return engine.ActionOptions{
		Stdout: io.Discard, Offline: true, NoInclude: true, NoExec: false,
		MaxMistakes: maxMistakes, MaxPatterns: maxPatterns, MaxMirror: maxMirror, MaxTraced: maxTraced, MaxRendered: maxRendered,
	}
}

// errTime is why a question has no answer.
var errTime = fmt.Errorf("%w: this takes longer than %v here; try less of it, or triggerd check, test and explain", admin.ErrQuery, maxTime)

// answer runs one question. What does not end in time goes on to its end, and the
// next question waits for it.
func answer[T any](ctx context.Context, p *Playground, size int, f func(context.Context) (T, error)) (none T, err error) {
	if size > maxText {
		return none, fmt.Errorf("%w: %d bytes; rules and commands may have %d", admin.ErrQuery, size, maxText)
	}
	select {
	case p.turn <- struct{}{}:
	case <-time.After(patience):
		return none, fmt.Errorf("%w: another question is being answered, ask again", admin.ErrBusy)
	case <-ctx.Done():
		return none, context.Cause(ctx)
	}
	ctx, cancel := context.WithTimeoutCause(ctx, maxTime, errTime)
	defer cancel()
	type result struct {
		value T
		err   error
	}
	done := make(chan result, 1)
	go func() {
		defer func() { <-p.turn }()
		v, err := f(ctx)
		done <- result{v, err}
	}()
	var r result
	select {
	case r = <-done:
	case <-ctx.Done():
		select {
		case r = <-done: // it came in time, and nobody has looked
		default:
			return none, context.Cause(ctx)
		}
	}
	if r.err != nil && ctx.Err() == context.DeadlineExceeded {
		r.err = errTime
	}
	return r.value, r.err
}

// Check finds the mistakes in rules.
func (p *Playground) Check(ctx context.Context, q admin.CheckQuestion) (*admin.CheckAnswer, error) {
	return answer(ctx, p, len(q.Text), func(context.Context) (*admin.CheckAnswer, error) {
		set, err := load(q.Text)
		return Answer(set, err), nil
	})
}

func load(text string) (*rules.Set, error) { return engine.ParseRules(file, []byte(text), options()) }

// Test runs the tests of rules.
func (p *Playground) Test(ctx context.Context, q admin.TestQuestion) (*admin.TestAnswer, error) {
	return answer(ctx, p, len(q.Text)+len(q.Only), func(ctx context.Context) (*admin.TestAnswer, error) {
		set, err := load(q.Text)
		out := &admin.TestAnswer{CheckAnswer: *Answer(set, err), Results: []admin.TestResult{}}
		if err != nil {
			return out, nil
		}
		for _, test := range set.Tests {
			if !strings.Contains(test.Name, q.Only) {
				continue
			}
			if len(out.Results) == maxTests {
				return nil, fmt.Errorf("%w: more than %d tests", admin.ErrQuery, maxTests)
			}
			r := engine.RunTest(ctx, set, test, options())
			if err := context.Cause(ctx); err != nil {
				return nil, err
			}
			one := admin.TestResult{Name: test.Name, Line: test.Line, Differences: r.Differences()}
			if one.Passed = len(one.Differences) == 0; one.Passed {
				one.Differences = []string{}
				out.Passed++
			} else {
				out.Failed++
			}
			out.Results = append(out.Results, one)
		}
		return out, nil
	})
}

// Explain says what a rule makes of commands.
func (p *Playground) Explain(ctx context.Context, q admin.ExplainQuestion) (*admin.ExplainAnswer, error) {
	size := len(q.Text) + len(q.Before)
	for _, c := range q.Commands {
		size += len(c)
	}
	return answer(ctx, p, size, func(ctx context.Context) (*admin.ExplainAnswer, error) { return explain(ctx, q) })
}

func explain(ctx context.Context, q admin.ExplainQuestion) (*admin.ExplainAnswer, error) {
	set, err := load(q.Text)
	out := &admin.ExplainAnswer{CheckAnswer: *Answer(set, err), Steps: []admin.Step{}}
	if err != nil {
		return out, nil
	}
	rule := ruleNamed(set, q.Rule)
	if rule == nil {
		return nil, fmt.Errorf("%w: there is no rule %q; there are: %s", admin.ErrUnknown, q.Rule, strings.Join(out.Rules, ", "))
	}
	test, err := testOf(&q)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", admin.ErrQuery, err)
	}
	trace, err := engine.Explain(ctx, set, rule, test, q.DB, options())
	if err != nil {
		return nil, fmt.Errorf("%w: %w", admin.ErrQuery, err)
	}
	if err := context.Cause(ctx); err != nil {
		return nil, err
	}
	out.Rule, out.FoundBy, out.Fires, out.Cut = rule.Name, set.FoundBy(rule), len(trace.Fired()), trace.Cut
	for i := range trace.Steps {
		out.Steps = append(out.Steps, stepOf(&trace.Steps[i]))
	}
	return out, nil
}

func ruleNamed(set *rules.Set, name string) *rules.Rule {
	for _, r := range set.Rules {
		if r.Name == name {
			return r
		}
	}
	return nil
}

// testOf returns the test that a question describes.
func testOf(q *admin.ExplainQuestion) (*rules.Test, error) {
	test := &rules.Test{Name: "the commands", Start: time.Now().Truncate(time.Second)}
	var err error
	switch {
	case len(q.Commands) > maxCommands:
		return nil, fmt.Errorf("%d commands; there may be %d", len(q.Commands), maxCommands)
	case q.DB < 0 || q.DB > 1<<16:
		return nil, errors.New("db is the number of a database")
	case q.Start != "":
		if test.Start, err = time.Parse(time.RFC3339, q.Start); err != nil {
			return nil, fmt.Errorf("the clock: %q is not a time such as 2024-01-01T07:00:00Z", q.Start)
		}
	}
	if test.Feed, err = engine.ParseSteps(q.Commands); err != nil {
		return nil, err
	}
	if q.Before != "" {
		if test.Given, err = engine.GivenBefore(q.Before, test.Feed); err != nil {
			return nil, fmt.Errorf("before: %w", err)
		}
	}
	return test, nil
}

func stepOf(s *engine.TracedStep) admin.Step {
	out := admin.Step{Command: s.Step.Command, At: s.At.UTC(), Withheld: s.Withheld, Fired: firedOf(s.Fired), Events: []admin.Event{}}
	if s.Step.Pause > 0 {
		out.Pause = s.Step.Pause.String()
	} else {
		out.ArrivesAs = engine.ArrivesAs(s.Step.Command)
	}
	for i := range s.Events {
		out.Events = append(out.Events, eventOf(&s.Events[i]))
	}
	return out
}

func eventOf(e *engine.TracedEvent) admin.Event {
	ev := e.Event
	out := admin.Event{
		Event: ev.Name, DB: ev.DB, Known: ev.Before != nil || ev.After != nil,
		Before: engine.Excerpt(ev.Before), After: engine.Excerpt(ev.After),
		Checks: []admin.Check{}, Matches: e.Matches(), Withheld: e.Withheld, Fired: firedOf(e.Fired),
	}
	if ev.Key != nil {
		key := string(event.AppendText(nil, ev.Key))
		out.Key = &key
	}
	for _, c := range e.Checks {
		check := admin.Check{Field: c.Field, Want: c.Want, Got: c.Got, OK: c.OK, Saw: []admin.Seen{}}
		for _, s := range c.Saw {
			check.Saw = append(check.Saw, admin.Seen{Source: s.Source, Value: s.Value})
		}
		out.Checks = append(out.Checks, check)
	}
	return out
}

func firedOf(list []engine.TracedFiring) []admin.Fired {
	out := []admin.Fired{}
	for _, f := range list {
		one := admin.Fired{DryRun: f.DryRun, Requests: []admin.Rendered{}}
		for _, r := range f.Requests {
			request := admin.Rendered{Action: r.Action}
			if r.Err != nil {
				request.Error = r.Err.Error()
			} else {
				if len(r.Preview.Body) > maxBody {
					r.Preview.Body = strings.ToValidUTF8(r.Preview.Body[:maxBody], "") + "…"
				}
				request.Preview, _ = json.Marshal(r.Preview) // texts only
			}
			one.Requests = append(one.Requests, request)
		}
		out = append(out, one)
	}
	return out
}
