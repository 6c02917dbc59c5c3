package engine

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"triggerd/internal/keyspace"
	"triggerd/internal/suggest"
	"triggerd/source"
)

// CheckCommand returns what is wrong with a command as it is typed, one line, and
// what to do about it; "" for nothing: a server knows it, and it has as many
// arguments as it needs.
func CheckCommand(line string) (mistake, hint string) {
	args, err := source.SplitCommand(line)
	switch {
	case err != nil:
		return err.Error(), `a word with spaces or quotes in it is quoted: "two words"`
	case len(args) == 0 || strings.ContainsAny(line, "\r\n"):
		return "not a command", `one command: "SET stock:7 1"`
	}
	if len(args) == 2 && strings.EqualFold(string(args[0]), "SELECT") {
		if _, err := strconv.ParseUint(string(args[1]), 10, 31); err != nil {
			return fmt.Sprintf("SELECT takes the number of a database, not %.40q", args[1]), ""
		}
	}
	unfit, ok := errors.AsType[*keyspace.CommandError](keyspace.CheckCommand(args))
	switch {
	case !ok:
		return "", ""
	case unfit.Known:
		return unfit.Error(), ""
	}
	return unfit.Error(), suggest.DidYouMean(unfit.Name, slices.Values(commandNames()))
}

// commandNames returns the names of all commands that are known, without those of
// subcommands.
func commandNames() []string {
	var names []string
	for _, c := range keyspace.Commands() {
		if !strings.Contains(c.Name, " ") {
			names = append(names, c.Name)
		}
	}
	return names
}

// ArrivesAs returns, for a command as it is typed that does not arrive under its
// name, what to use in its place; else "".
func ArrivesAs(line string) string {
	args, err := source.SplitCommand(line)
	if err != nil || len(args) == 0 {
		return ""
	}
	return keyspace.InsteadOf(args)
}

// ArrivesWith returns, for a command as it is typed that arrives with something else
// in place of one of its arguments, that; else "".
func ArrivesWith(line string) string {
	args, err := source.SplitCommand(line)
	if err != nil || len(args) == 0 {
		return ""
	}
	return keyspace.InPlaceOf(args)
}

// FirstKey returns the first key of a command as it is typed, and false if it has
// none.
func FirstKey(line string) (key string, ok bool) {
	args, err := source.SplitCommand(line)
	if err != nil || len(args) == 0 {
		return "", false
	}
	first, _, ok := keyspace.FirstKey(args)
	return string(first), ok
}
