package main

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"triggerd/engine"
	"triggerd/rules"
	"triggerd/source"
)

// checkOptions say what is checked, and how it is told.
type checkOptions struct {
	config  string
	offline bool
	asJSON  bool
	format  string
	allow   []string
}

func newCheckCommand() *cobra.Command {
	o := &checkOptions{}
	cmd := &cobra.Command{
		Use:   "check [FILE]",
		Short: "Find every mistake in a rules file",
		Long: `Check reads a rules file and all that it includes, and reports every mistake
in one run: file, line, column, the line itself, and what to write instead; the
feeds of its [[test]] too. It connects to nothing and fires nothing.

A warning has a code, as in [never-matches]. --allow CODE silences it, and so does
the file itself:

  [check]
  allow = ["never-matches"]

With --offline no variable, no file but the rules and no program is looked up:
what they are needed for is not checked, and they are listed. It is for a machine
that has none of the secrets, such as one that checks a pull request. --format
github is for GitHub's annotations there.

It also says what is kept in memory of the keys of which patterns, and for which
rules: up to max_mirror of [source], with values for those whose condition or
template reads before or after, and for those with a webhook that sends the event.

It ends with 0 if there is no mistake (there may be warnings), and with 78 else.`,
		Example: `  triggerd check
  triggerd check /etc/triggerd/rules.toml && kill -HUP $(pidof triggerd)
  triggerd check --offline --format github rules.toml`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 && cmd.Flags().Changed("config") {
				return &exitError{exitUsage, fmt.Errorf("-c %s and %s: one file at a time", o.config, args[0])}
			}
			if len(args) > 0 {
				o.config = args[0]
			}
			return o.run(cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	f := cmd.Flags()
	f.StringVarP(&o.config, "config", "c", env("TRIGGERD_CONFIG", "rules.toml"), "rules file")
	f.BoolVar(&o.offline, "offline", false, "look up no variables, files and programs; list them")
	f.StringArrayVar(&o.allow, "allow", nil, "code of a warning that is not to be told; may be repeated")
	f.StringVar(&o.format, "format", "text", "how to tell it: text, json or github")
	f.BoolVar(&o.asJSON, "json", false, "print the result as JSON, for editors: --format json")
	return cmd
}

func (o *checkOptions) run(stdout, stderr io.Writer) error {
	if o.asJSON {
		o.format = "json"
	}
	if !slices.Contains([]string{"text", "json", "github"}, o.format) {
		return &exitError{exitUsage, fmt.Errorf("--format: %q is not one of text, json, github", o.format)}
	}
	for _, code := range o.allow {
		if mistake, hint := rules.CheckWarningCode(code); mistake != "" {
			if hint == "" {
				hint = "there are: " + strings.Join(slices.Sorted(maps.Keys(rules.WarningCodes)), ", ")
			}
			return &exitError{exitUsage, fmt.Errorf("--allow: %s (%s)", mistake, hint)}
		}
	}
	set, err := engine.LoadRules(o.config, engine.ActionOptions{Offline: o.offline, Allow: o.allow})
	if err == nil && !(o.offline && strings.Contains(set.Source.URL, rules.Placeholder)) {
		if err = source.CheckURL(o.sourceURL(set)); err != nil {
			err = errors.New(set.Secrets.Mask(err.Error()))
		}
	}
	switch o.format {
	case "json":
		return checkJSON(stdout, set, err)
	case "github":
		return checkGitHub(stdout, o.config, set, err)
	}
	return o.text(stdout, stderr, set, err)
}

// sourceURL is the URL to check. Offline only the file's own is.
func (o *checkOptions) sourceURL(set *rules.Set) string {
	if o.offline && set.Source.URL != "" {
		return set.Source.URL
	}
	return sourceURL("", set)
}

func (o *checkOptions) text(stdout, stderr io.Writer, set *rules.Set, err error) error {
	if err != nil {
		mistakes := rules.Errors(err)
		if p := painterFor(stderr); p.on && len(mistakes) > 0 {
			fmt.Fprintf(stderr, "triggerd: %s in %s:\n", plural(len(mistakes), "mistake"), o.config)
			for _, m := range mistakes {
				p.finding(stderr, m, p.red)
			}
			return badConfig(nil)
		}
		return rulesError(o.config, err)
	}
	p := painterFor(stdout)
	for _, w := range set.Warnings {
		fmt.Fprint(stdout, p.yellow("warning: "))
		p.finding(stdout, w, p.yellow)
	}
	for _, n := range set.Notes {
		fmt.Fprint(stdout, "note: ")
		p.finding(stdout, n, p.yellow)
	}
	kept := set.Kept()
	for _, k := range kept[:min(len(kept), maxKeptLines)] {
		fmt.Fprintf(stdout, "kept in memory: %s\n", k)
	}
	if more := len(kept) - maxKeptLines; more > 0 {
		fmt.Fprintf(stdout, "kept in memory: the same of %s; --json has all\n", plural(more, "more pattern"))
	}
	for _, n := range set.Lookups {
		fmt.Fprintf(stdout, "not looked up: %s %s\n", n.What, clean(n.Name))
	}
	enabled, actions := 0, 0
	for _, r := range set.Rules {
		if r.Enabled {
			enabled++
			actions += len(r.Actions)
		}
	}
	fmt.Fprintf(stdout, "%s: ok: %s, %d enabled, with %s\n", o.config, plural(len(set.Rules), "rule"), enabled, plural(actions, "action"))
	return nil
}

// maxKeptLines is how many patterns are listed of whose keys something is kept.
const maxKeptLines = 20

// withCode returns the first line of a mistake or a warning, with its code.
func withCode(e *rules.Error) string {
	if e.Code == "" {
		return e.Headline()
	}
	return e.Headline() + " [" + e.Code + "]"
}
