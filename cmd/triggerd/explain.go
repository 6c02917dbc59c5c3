package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"triggerd/engine"
	"triggerd/internal/event"
	"triggerd/rules"
	"triggerd/source"
)

func newExplainCommand() *cobra.Command {
	var config string
	var db int
	cmd := &cobra.Command{
		Use:   "explain RULE COMMAND...",
		Short: "Say why a rule fires for a command, or why not",
		Long: `Explain has one rule look at one command, as it would arrive from the server, and
says of each thing that the rule asks for whether it is so, and how the rule is
found among all others. Nothing is delivered.`,
		Example: `  triggerd explain sold-out 'SET stock:7 0'
  triggerd explain -c /etc/triggerd/rules.toml audit --db 3 DEL inv:1 inv:2`,
		Args: cobra.MinimumNArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			acts := engine.ActionOptions{}
			set, err := engine.LoadRules(config, acts)
			if err != nil {
				return rulesError(config, err)
			}
			rule, err := ruleNamed(set, args[0])
			if err != nil {
				return &exitError{exitUsage, err}
			}
			events, err := eventsOf(cmd.Context(), db, strings.Join(args[1:], " "))
			if err != nil {
				return &exitError{exitUsage, err}
			}
			explain(cmd.OutOrStdout(), set, rule, events)
			return nil
		},
	}
	cmd.Flags().StringVarP(&config, "config", "c", env("TRIGGERD_CONFIG", "rules.toml"), "rules file")
	cmd.Flags().IntVar(&db, "db", 0, "database of the command")
	return cmd
}

func ruleNamed(set *rules.Set, name string) (*rules.Rule, error) {
	for _, r := range set.Rules {
		if r.Name == name {
			return r, nil
		}
	}
	return nil, fmt.Errorf("there is no rule %q; there are: %s", name, strings.Join(ruleNames(set), ", "))
}

// eventsOf returns the events of a command line.
func eventsOf(ctx context.Context, db int, line string) ([]*event.Event, error) {
	if strings.ContainsAny(line, "\r\n") {
		return nil, errors.New("one command only")
	}
	none, err := engine.BuildRules(map[string]any{}, engine.ActionOptions{})
	if err != nil {
		return nil, err
	}
	var events []*event.Event
	e, err := engine.New(engine.Config{
		Rules: none, Replay: true, DryRun: true,
		Source:  source.NewRecording(strings.NewReader(fmt.Sprintf("SELECT %d\n%s\n", db, line)), ""),
		OnEvent: func(ev *event.Event) { events = append(events, ev.Clone()) },
	})
	if err != nil {
		return nil, err
	}
	if err := e.Run(ctx); err != nil {
		return nil, fmt.Errorf("%q: %w", line, err)
	}
	if len(events) == 0 {
		return nil, fmt.Errorf("%q makes no event: it changes no key, or does not arrive (triggerd check says what does)", line)
	}
	return events, nil
}

func explain(w io.Writer, set *rules.Set, rule *rules.Rule, events []*event.Event) {
	fmt.Fprintf(w, "rule %s, %s:%d\n", rule.Name, rule.File, rule.Line)
	switch served := set.FoundBy(rule); {
	case rule.Schedule != nil:
		fmt.Fprintln(w, "waits for the clock, and for no event")
	case !rule.Enabled:
		fmt.Fprintln(w, "is not enabled")
	default:
		fmt.Fprintf(w, "is tried for: %s\n", strings.Join(served, "; or "))
	}
	for _, ev := range events {
		fmt.Fprintf(w, "\nevent %s of key %s in database %d\n", ev.Name, event.AppendText(nil, ev.Key), ev.DB)
		all := true
		table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
		for _, c := range set.Explain(rule, ev) {
			mark := "yes"
			if !c.OK {
				mark, all = "NO", false
			}
			fmt.Fprintf(table, "  %s\t%s\t%s\tgot %s\n", mark, c.Field, c.Want, c.Got)
		}
		table.Flush()
		switch {
		case !all:
			fmt.Fprintln(w, "  it does not fire")
		case rule.Time != nil && rule.Time.Shape != "":
			fmt.Fprintln(w, "  it matches; what it says of time decides whether it fires")
		default:
			fmt.Fprintln(w, "  it fires")
		}
	}
}
