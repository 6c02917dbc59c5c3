package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"triggerd/engine"
	"triggerd/rules"
)

func newSendCommand() *cobra.Command {
	o := &explainOptions{}
	var rule string
	var noExec bool
	cmd := &cobra.Command{
		Use:   "send ACTION [COMMAND...]",
		Short: "Deliver one sample through an action, for real",
		Long: `Send makes one attempt of an action, for real: it posts the request, runs the
program, writes the line. ACTION is the name of a target, or of an action of the
rule that --rule names.

Without commands it sends a sample. With commands, each an argument as for
triggerd explain, it sends what the rule fires last for them. Its id is new each
time. Nothing is retried, or kept.

It ends with 0 if it was delivered, with 1 if it was not or the rule does not
fire, with 2 if there is no such action, rule or command, with 69 if the running
triggerd does not tell what --live asks for, and with 78 if there is a mistake in
the file.`,
		Example: `  triggerd send crm
  triggerd send webhook --rule sold-out 'SET stock:7 1' 'DECR stock:7'`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			out := cmd.OutOrStdout()
			acts := engine.ActionOptions{
				Stdout: out, Logger: slog.New(slog.NewTextHandler(cmd.ErrOrStderr(), nil)), NoExec: noExec, UserAgent: "triggerd/" + versionString(),
			}
			set, err := engine.LoadRules(o.config, acts)
			if err != nil {
				return rulesError(o.config, err)
			}
			of, action, err := actionNamed(set, rule, args[0])
			if err != nil {
				return &exitError{exitUsage, err}
			}
			test, err := o.test(args[1:])
			if err != nil {
				return &exitError{exitUsage, err}
			}
			ctx, stop := notifyStop(cmd.Context())
			defer stop()
			if len(o.live) > 0 && len(test.Feed) == 0 {
				return &exitError{exitUsage, errors.New("--live says what a key is before commands, and there are none: a sample is sent")}
			}
			if err := o.askLive(ctx, test); err != nil {
				return err
			}
			return o.send(ctx, out, set, of, action, test, acts)
		},
	}
	o.addFlags(cmd)
	cmd.Flags().StringVar(&rule, "rule", "", "rule that the action is of, and that the commands are played to")
	cmd.Flags().BoolVar(&noExec, "no-exec", false, "refuse actions that run commands")
	return cmd
}

func (o *explainOptions) send(ctx context.Context, out io.Writer, set *rules.Set, rule *rules.Rule, a *rules.Action, test *rules.Test, acts engine.ActionOptions) error {
	sent, err := engine.Send(ctx, set, rule, a, test, o.db, acts)
	if errors.Is(err, engine.ErrNothingFires) {
		return failed(fmt.Errorf("the rule %s does not fire for these commands: triggerd explain says why", rule.Name))
	}
	if err != nil {
		return failed(err)
	}
	if sent.Request.Err == nil {
		fmt.Fprintln(out, strings.TrimRight(sent.Request.Preview.String(), "\n"))
	}
	if sent.Err != nil {
		return failed(fmt.Errorf("not delivered: %w", sent.Err))
	}
	status := ""
	if sent.Result.Status != "" {
		status = ": " + sent.Result.Status
	}
	fmt.Fprintf(out, "\ndelivered by %s of rule %s%s\n", a.Name, rule.Name, status)
	return nil
}

// actionNamed finds an action by its name within a rule, or a target and the
// first rule that has it.
func actionNamed(set *rules.Set, ruleName, name string) (*rules.Rule, *rules.Action, error) {
	if ruleName != "" {
		rule, err := ruleNamed(set, ruleName)
		if err != nil {
			return nil, nil, err
		}
		names := []string{}
		for _, a := range rule.Actions {
			if a.Name == name || a.Target == name {
				return rule, a, nil
			}
			names = append(names, a.Name)
		}
		return nil, nil, fmt.Errorf("the rule %s has no action %q; it has: %s", ruleName, name, strings.Join(names, ", "))
	}
	var targets []string
	for _, r := range set.Rules {
		for _, a := range r.Actions {
			if a.Target == name && name != "" {
				return r, a, nil
			}
			if a.Target != "" && !slices.Contains(targets, a.Target) {
				targets = append(targets, a.Target)
			}
		}
	}
	if targets == nil {
		return nil, nil, fmt.Errorf("no rule has a target %q: name a rule with --rule, and one of its actions", name)
	}
	return nil, nil, fmt.Errorf("no rule has a target %q; there are: %s. An action that is no target needs its --rule", name, strings.Join(targets, ", "))
}
