package engine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"triggerd/actions"
	"triggerd/internal/event"
	"triggerd/internal/firing"
	"triggerd/rules"
)

// ErrNothingFires is of commands for which a rule does not fire.
var ErrNothingFires = errors.New("the rule does not fire")

// Sent is one attempt that Send has made.
type Sent struct {
	Request Request // what was sent
	Result  actions.Result
	Err     error // why it was not delivered
}

// Send makes one attempt of an action of a rule, outside of any outbox, whatever
// dry_run says. It sends what the rule fires last while the steps of a test are
// played to it, as Explain does; without steps a sample, which no server has
// sent. Its ID is new each time. The error says why nothing was attempted.
func Send(ctx context.Context, set *rules.Set, rule *rules.Rule, a *rules.Action, test *rules.Test, db int, o ActionOptions) (*Sent, error) {
	f := sampleFiring(rule)
	if len(test.Feed) > 0 {
		trace, err := Explain(ctx, set, rule, test, db, ActionOptions{Kinds: o.Kinds, Stdout: io.Discard, NoExec: o.NoExec, UserAgent: o.UserAgent})
		if err != nil {
			return nil, err
		}
		fired := trace.Fired()
		if len(fired) == 0 {
			return nil, ErrNothingFires
		}
		f = fired[len(fired)-1].firing
	}
	f.Rule, f.Action, f.Attempt = rule.Name, a.Name, 1
	f.ID = firing.Trigger(fmt.Sprintf("sample:%d/0", time.Now().UnixNano())).Firing(rule.Name, a.Name)
	action, err := o.kinds().New(a.Kind, a.Fields, actions.Options{
		Logger: o.Logger, Stdout: o.Stdout, NoExec: o.NoExec, UserAgent: o.UserAgent, Timeout: a.Timeout, Concurrency: 1, Secrets: set.Secrets,
		Rule: func(string) actions.Rule { return ruleFacts(rule) },
	})
	if err != nil {
		return nil, err
	}
	if c, ok := action.(io.Closer); ok {
		defer c.Close()
	}
	s := &Sent{Request: Request{Action: a.Name}}
	s.Request.Preview, s.Request.Err = actions.Render(ctx, action, &f)
	ctx, cancel := actions.WithTimeout(ctx, a.Timeout, "no answer")
	defer cancel()
	s.Result, s.Err = action.Do(ctx, &f)
	return s, nil
}

// sampleFiring returns a firing of a rule for a change that no server has made.
func sampleFiring(rule *rules.Rule) firing.Firing {
	const text = "sample"
	params := map[string]string{}
	for _, name := range rule.Captures() {
		params[name] = text
	}
	return firing.Firing{Params: params, Event: &event.Event{
		Name: "set", Origin: event.FromReplay, Cause: event.CauseCommand, Key: []byte(text), Type: "string",
		Command: "SET", Args: [][]byte{[]byte(text), []byte("1")}, Time: time.Now(), Source: text,
		Before: event.String([]byte("0")), After: event.String([]byte("1")), TTL: event.TTLNone,
	}}
}
