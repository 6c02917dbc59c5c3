package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"triggerd/engine"
	"triggerd/internal/event"
	"triggerd/rules"
)

// explainOptions say which rule is explained, and by what.
type explainOptions struct {
	config string
	db     int
	before string   // JSON; "" for nothing
	live   []string // keys whose values a running daemon is asked for
	client client
	start  string // RFC 3339; "" for now
}

func newExplainCommand() *cobra.Command {
	o := &explainOptions{}
	cmd := &cobra.Command{
		Use:   "explain RULE COMMAND...",
		Short: "Say why a rule fires for commands, or why not, and what it would send",
		Long: `Explain plays commands to the rules of a file, each as it would arrive from the
server, and says for each what one rule makes of it: of each thing that the rule
asks for whether it is so and what it saw, which of its stages holds a match
back, and what each action would send, without secrets. Nothing is delivered.

Each COMMAND is one argument, as in the feed of a [[test]]: quote it. An argument
such as +30m moves the clock. The server is empty when it begins; --before says
what the key of the first command is then, in the form that deliveries have:
"5" or 5 for a string, {"status":"new"} for a hash, ["a","b"] for a list or set,
[["member",1]] for a sorted set. --live KEY asks the running triggerd what KEY is
now, and begins with that; it may be repeated, for other keys that the rule reads.
The daemon has to keep the key's value for a rule, and is not changed.

It ends with 0 if the rule fires, with 1 if it does not, with 2 if there is no
such rule or a command is none, with 69 if the running triggerd does not tell what
--live asks for, and with 78 if there is a mistake in the file.`,
		Example: `  triggerd explain sold-out 'SET stock:7 1' 'DECR stock:7'
  triggerd explain sold-out --before 1 'DECR stock:7'
  triggerd explain sold-out --live stock:7 'DECR stock:7'
  triggerd explain worker-silent 'SET heartbeat:api-1 x' +2m
  triggerd explain -c /etc/triggerd/rules.toml audit --db 3 'DEL inv:1 inv:2'`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 1 {
				return fmt.Errorf("no command is there to play: triggerd explain %s 'SET stock:7 1'", clean(args[0]))
			}
			return cobra.MinimumNArgs(2)(nil, args)
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			return o.run(cmd.Context(), cmd.OutOrStdout(), args[0], args[1:])
		},
	}
	o.addFlags(cmd)
	return cmd
}

func (o *explainOptions) addFlags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVarP(&o.config, "config", "c", env("TRIGGERD_CONFIG", "rules.toml"), "rules file")
	f.IntVar(&o.db, "db", 0, "database of the commands")
	f.StringVar(&o.before, "before", "", "value of the first command's key before it, as JSON")
	f.StringArrayVar(&o.live, "live", nil, "key whose value before is what the running daemon has; may be repeated")
	o.client.addAddress(cmd)
	f.StringVar(&o.start, "start", "", "when the clock begins, such as 2024-01-01T07:00:00Z; now by default")
}

func (o *explainOptions) run(ctx context.Context, out io.Writer, name string, lines []string) error {
	acts := engine.ActionOptions{Stdout: io.Discard}
	set, err := engine.LoadRules(o.config, acts)
	if err != nil {
		return rulesError(o.config, err)
	}
	rule, err := ruleNamed(set, name)
	if err != nil {
		return &exitError{exitUsage, err}
	}
	test, err := o.test(lines)
	if err != nil {
		return &exitError{exitUsage, err}
	}
	if err := o.askLive(ctx, test); err != nil {
		return err
	}
	trace, err := engine.Explain(ctx, set, rule, test, o.db, acts)
	if err != nil && ctx.Err() == nil { // of the commands
		return &exitError{exitUsage, err}
	}
	if err != nil {
		return failed(err)
	}
	printRule(out, set, rule)
	printTrace(out, trace, "")
	if len(trace.Fired()) == 0 {
		return &exitError{code: exitFailed}
	}
	return nil
}

func ruleNamed(set *rules.Set, name string) (*rules.Rule, error) {
	for _, r := range set.Rules {
		if r.Name == name {
			return r, nil
		}
	}
	if len(set.Rules) == 0 {
		return nil, fmt.Errorf("there is no rule %q, and no other in the file", name)
	}
	return nil, fmt.Errorf("there is no rule %q; there are: %s", name, strings.Join(ruleNames(set), ", "))
}

// test returns the test whose feed the command line has.
func (o *explainOptions) test(lines []string) (*rules.Test, error) {
	test := &rules.Test{Name: "the commands", Start: time.Now().Truncate(time.Second)}
	if o.db < 0 {
		return nil, fmt.Errorf("--db: %d is no number of a database", o.db)
	}
	var err error
	if o.start != "" {
		if test.Start, err = time.Parse(time.RFC3339, o.start); err != nil {
			return nil, fmt.Errorf("--start: %q is not a time such as 2024-01-01T07:00:00Z", o.start)
		}
	}
	if test.Feed, err = engine.ParseSteps(lines); err != nil {
		return nil, err
	}
	if o.before != "" {
		if test.Given, err = engine.GivenBefore(o.before, test.Feed); err != nil {
			return nil, fmt.Errorf("--before: %w", err)
		}
	}
	return test, nil
}

// askLive adds what a running daemon has of the keys that are asked for.
func (o *explainOptions) askLive(ctx context.Context, test *rules.Test) error {
	for _, key := range o.live {
		if slices.ContainsFunc(test.Given, func(g rules.Given) bool { return g.Key == key }) {
			return &exitError{exitUsage, fmt.Errorf("--live %s: what the key is before is given already", clean(key))}
		}
		given, there, err := o.client.liveValue(ctx, o.db, key)
		if err != nil {
			exit, _ := errors.AsType[*exitError](failed(err))
			if exit.code == exitFailed {
				exit = &exitError{exitUnavailable, exit.err}
			}
			return exit
		}
		if there {
			test.Given = append(test.Given, given)
		}
	}
	return nil
}

// printRule says which rule it is, and how it is found.
func printRule(w io.Writer, set *rules.Set, rule *rules.Rule) {
	fmt.Fprintf(w, "rule %s, %s:%d\n", rule.Name, rule.File, rule.Line)
	switch served := set.FoundBy(rule); {
	case rule.Schedule != nil:
		fmt.Fprintln(w, "waits for the clock, and for no event")
	case !rule.Enabled:
		fmt.Fprintln(w, "is not enabled")
	default:
		fmt.Fprintf(w, "is tried for: %s\n", strings.Join(served, "; or "))
	}
}

// printTrace says what a rule made of each step.
func printTrace(w io.Writer, trace *engine.Trace, indent string) {
	for i := range trace.Steps {
		s := &trace.Steps[i]
		var b bytes.Buffer
		printStep(&b, s)
		for line := range strings.Lines(b.String()) {
			fmt.Fprint(w, strings.TrimRight(indent+line, " \n")+"\n")
		}
	}
}

func printStep(w io.Writer, s *engine.TracedStep) {
	if s.Step.Pause > 0 {
		fmt.Fprintf(w, "\n%s later, at %s\n", s.Step.Pause, s.At.UTC().Format(time.RFC3339))
	} else {
		fmt.Fprintf(w, "\n%s\n", clean(s.Step.Command))
		if len(s.Events) == 0 {
			fmt.Fprintln(w, "  makes no event: it changes no key that is there, or waits for its EXEC")
		}
		if instead := engine.ArrivesAs(s.Step.Command); instead != "" {
			fmt.Fprintf(w, "  does not arrive under its name; use %s\n", instead)
		}
		if with := engine.ArrivesWith(s.Step.Command); with != "" {
			fmt.Fprintf(w, "  does not arrive like this; write %s\n", clean(with))
		}
	}
	if s.Withheld != "" {
		fmt.Fprintf(w, "  %s\n", s.Withheld)
	}
	printFired(w, s.Fired, "  it fires, by the clock")
	var matching []string
	for i := range s.Events {
		e := &s.Events[i]
		printEvent(w, e)
		if first := s.Events[0].Event; e.Matches() && e.Event.Offset == first.Offset && string(e.Event.Key) == string(first.Key) {
			matching = append(matching, e.Event.Name)
		}
	}
	if len(matching) > 1 {
		fmt.Fprintf(w, "  the command makes %s of the key, and the rule matches each: event = %q takes one of them\n", strings.Join(matching, " and "), matching[0])
	}
}

func printEvent(w io.Writer, e *engine.TracedEvent) {
	ev := e.Event
	about := ""
	if ev.Key != nil {
		about = " of key " + string(event.AppendText(nil, ev.Key))
	}
	fmt.Fprintf(w, "  event %s%s in database %d%s\n", ev.Name, about, ev.DB, change(ev))
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, c := range e.Checks {
		mark := "yes"
		if !c.OK {
			mark = "NO"
		}
		fmt.Fprintf(table, "    %s\t%s\t%s\tgot %s\n", mark, c.Field, clean(c.Want), clean(c.Got+saw(&c)))
	}
	table.Flush()
	switch {
	case len(e.Fired) > 0:
		printFired(w, e.Fired, "    it fires")
	case e.Withheld != "" && e.Matches():
		fmt.Fprintf(w, "    it matches, and does not fire now: %s\n", e.Withheld)
	case e.Withheld != "":
		fmt.Fprintf(w, "    it does not fire, and %s\n", e.Withheld)
	default:
		fmt.Fprintln(w, "    it does not fire")
	}
}

// saw lists what a part of a condition looked at.
func saw(c *rules.Check) string {
	var list []string
	for _, s := range c.Saw {
		list = append(list, s.Source+" is "+s.Value)
	}
	if list == nil {
		return ""
	}
	return ": " + strings.Join(list, ", ")
}

// change says from which value to which, if they are known.
func change(ev *event.Event) string {
	if ev.Before == nil && ev.After == nil {
		return ""
	}
	return ", from " + side(ev.Before) + " to " + side(ev.After)
}

func side(v event.Value) string {
	switch {
	case v == nil:
		return "what is not known"
	case v.Type() == "none":
		return "nothing"
	}
	return short(string(event.AppendJSONValue(nil, v)), 200)
}

func printFired(w io.Writer, fired []engine.TracedFiring, says string) {
	for _, f := range fired {
		note := ""
		if f.DryRun {
			note = ", and delivers nothing: dry_run = true"
		}
		if f.Resolved {
			note = ": its end is told" + note
		}
		fmt.Fprintf(w, "%s%s\n", says, note)
		for _, r := range f.Requests {
			fmt.Fprintf(w, "    action %s would send\n", r.Action)
			text := r.Preview.String()
			if r.Err != nil {
				text = "nothing: " + r.Err.Error()
			}
			for line := range strings.Lines(strings.TrimRight(text, "\n") + "\n") {
				fmt.Fprintf(w, "      %s", line)
			}
		}
	}
}
