package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"triggerd/engine"
	"triggerd/source"
)

func newCheckCommand() *cobra.Command {
	var config string
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
			if err != nil {
				return rulesError(config, err)
			}
			if err := source.CheckURL(sourceURL("", set)); err != nil {
				return badConfig(err)
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
	return cmd
}
