package main

import (
	_ "embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/spf13/cobra"

	"triggerd/actions/kinds"
)

// firstRules is what `triggerd init` writes. A line that begins with # and a
// space explains; one that begins with # alone is a setting to switch on.
//
//go:embed init.toml
var firstRules []byte

// schemaName is the name of the schema that firstRules names in its first line.
const schemaName = "rules.schema.json"

func newInitCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "init [FILE]",
		Short: "Write a first rules file, with comments",
		Long: `Init writes a rules file to start from: a server, a rule, a test of it, and what
else there is as comments. Beside it goes ` + schemaName + `, with which editors
that know taplo complete and check it while it is written.

A rules file that exists is never touched.`,
		Example: `  triggerd init && triggerd check && triggerd test
  triggerd init /etc/triggerd/rules.toml`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			path := "rules.toml"
			if len(args) > 0 {
				path = args[0]
			}
			if err := create(path, firstRules, 0o640); err != nil {
				if errors.Is(err, fs.ErrExist) {
					return failed(fmt.Errorf("%s is there already, and stays as it is", path))
				}
				return failed(err)
			}
			schema, err := schemaOf(kinds.All)
			if err != nil {
				return failed(err)
			}
			beside := filepath.Join(filepath.Dir(path), schemaName)
			if err := create(beside, schema, 0o644); err != nil && !errors.Is(err, fs.ErrExist) {
				return failed(err)
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s is written. Look through it, then:\n  triggerd check -c %[2]s\n  triggerd test -c %[2]s\n  triggerd run -c %[2]s\n", path, shellWord(path))
			return nil
		},
	}
}

var plainWord = regexp.MustCompile(`^[\w./:@%+,=-]+$`)

// shellWord is a text as a word that can be pasted into a shell.
func shellWord(s string) string {
	if plainWord.MatchString(s) {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

// create writes a file that must not exist.
func create(path string, content []byte, mode fs.FileMode) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	return errors.Join(err, f.Close())
}
