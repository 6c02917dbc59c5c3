package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"triggerd/engine"
	"triggerd/rules"
	"triggerd/source"
)

func newCheckCommand() *cobra.Command {
	var config string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Find every mistake in a rules file",
		Long: `Check reads a rules file and all that it includes, and reports every mistake
in one run: file, line, column, the line itself, and what to write instead. It
connects to nothing and fires nothing.

It ends with 0 if there is no mistake (there may be warnings), and with 78 else.`,
		Example: `  triggerd check
  triggerd check -c /etc/triggerd/rules.toml && kill -HUP $(pidof triggerd)`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			set, err := engine.LoadRules(config, engine.ActionOptions{})
			if err == nil {
				if err = source.CheckURL(sourceURL("", set)); err != nil {
					err = errors.New(set.Secrets.Mask(err.Error()))
				}
			}
			if asJSON {
				return checkJSON(cmd.OutOrStdout(), set, err)
			}
			if err != nil {
				return rulesError(config, err)
			}
			out := cmd.OutOrStdout()
			for _, w := range set.Warnings {
				fmt.Fprintf(out, "warning: %s\n", w)
			}
			enabled, actions := 0, 0
			for _, r := range set.Rules {
				if r.Enabled {
					enabled++
					actions += len(r.Actions)
				}
			}
			fmt.Fprintf(out, "%s: ok: %s, %d enabled, with %s\n", config, plural(len(set.Rules), "rule"), enabled, plural(actions, "action"))
			return nil
		},
	}
	cmd.Flags().StringVarP(&config, "config", "c", env("TRIGGERD_CONFIG", "rules.toml"), "rules file")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the result as JSON, for editors")
	return cmd
}

// finding is a mistake or a warning in JSON.
type finding struct {
	File    string `json:"file"`
	Line    int    `json:"line"` // 1-based; 0: unknown
	Col     int    `json:"col"`  // 1-based, in bytes
	Rule    string `json:"rule,omitempty"`
	Field   string `json:"field,omitempty"`
	Message string `json:"message"`
	Hint    string `json:"hint,omitempty"`
}

func findings(list []*rules.Error) []finding {
	out := []finding{}
	for _, e := range list {
		out = append(out, finding{e.File, e.Line, e.Col, e.Rule, e.Field, e.Msg, e.Hint})
	}
	return out
}

// checkJSON prints {"ok":..., "errors":[...], "warnings":[...]}.
func checkJSON(w io.Writer, set *rules.Set, err error) error {
	var result struct {
		OK       bool      `json:"ok"`
		Errors   []finding `json:"errors"`
		Warnings []finding `json:"warnings"`
	}
	result.OK = err == nil
	result.Errors, result.Warnings = findings(rules.Errors(err)), []finding{}
	if err != nil && len(result.Errors) == 0 {
		result.Errors = append(result.Errors, finding{Message: err.Error()})
	}
	if set != nil {
		result.Warnings = findings(set.Warnings)
	}
	if err := json.NewEncoder(w).Encode(&result); err != nil {
		return failed(err)
	}
	if err != nil {
		return badConfig(nil)
	}
	return nil
}
