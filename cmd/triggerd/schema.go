package main

import (
	_ "embed"

	"github.com/spf13/cobra"
)

//go:embed schema.json
var schema []byte

func newSchemaCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "schema",
		Short: "Print a JSON Schema of the rules file, for editors",
		Long: `Schema prints a JSON Schema (2020-12) of the rules file, with which an editor
completes and checks it while it is written. What takes more than the shape of
the file, such as a condition, only check knows.`,
		Example: `  triggerd schema > rules.schema.json
  # first line of rules.toml, for taplo and the editors that use it:
  #:schema ./rules.schema.json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := cmd.OutOrStdout().Write(schema)
			return failed(err)
		},
	}
}
