package main

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
)

// ofStrconv is what the standard library says of a flag's value, in its own
// words.
var ofStrconv = regexp.MustCompile(`strconv\.(Parse\w+|Atoi): parsing "(?:[^"\\]|\\.)*": (invalid syntax|value out of range)`)

// flagError says in plain words what is wrong with a flag.
func flagError(_ *cobra.Command, err error) error {
	text := ofStrconv.ReplaceAllStringFunc(err.Error(), func(said string) string {
		switch {
		case strings.Contains(said, "out of range"):
			return "too large"
		case strings.Contains(said, "ParseBool"):
			return "neither true nor false"
		case strings.Contains(said, "ParseUint"):
			return "not a number from 0 on"
		}
		return "not a number"
	})
	return errors.New(text)
}

// onlyCommands has a command that only has others under it refuse what is none of
// these, with the one that is meant.
func onlyCommands(cmd *cobra.Command) {
	cmd.SuggestionsMinimumDistance = 2
	cmd.Args = func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return nil
		}
		meant := ""
		if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
			meant = fmt.Sprintf(" (did you mean %q?)", near[0])
		}
		var names []string
		for _, c := range cmd.Commands() {
			if c.IsAvailableCommand() {
				names = append(names, c.Name())
			}
		}
		return &exitError{exitUsage, fmt.Errorf("%q is no command of %s%s; there are %s", args[0], cmd.CommandPath(), meant, strings.Join(names, ", "))}
	}
}

// noArguments is the Args of a command that takes none. It says how to write what
// is most often meant: a rules file, or a server. A URL may hold a password, so it
// is not repeated.
func noArguments(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	path, of := cmd.CommandPath(), func(flag string) bool { return cmd.Flags().Lookup(flag) != nil }
	switch arg := args[0]; {
	case strings.Contains(arg, "://") && of("source"):
		return fmt.Errorf("a server is named with a flag: %s --source URL", path)
	case strings.Contains(arg, "://") && of("api"):
		return fmt.Errorf("a daemon is named with a flag: %s --api URL", path)
	case strings.HasSuffix(arg, ".toml") && of("config"):
		return fmt.Errorf("%q: a rules file is named with a flag: %s -c FILE", arg, path)
	case !cmd.HasParent():
		meant := ""
		if near := cmd.SuggestionsFor(arg); len(near) > 0 {
			meant = fmt.Sprintf(" (did you mean %s?)", strings.Join(near, ", or "))
		}
		return fmt.Errorf("unknown command %q for %q%s", arg, path, meant)
	default:
		return fmt.Errorf("%q: %s takes no arguments", arg, path)
	}
}

// withHint adds to an error of a server that is not there what to look at.
func withHint(err error) error {
	if errors.Is(err, syscall.ECONNREFUSED) {
		return fmt.Errorf("%w\nIs Redis running there? Nothing listens at that address", err)
	}
	return err
}
