package main

import (
	"cmp"
	"fmt"
	"runtime"
	"runtime/debug"
	"strings"

	"github.com/spf13/cobra"
)

// Set by the linker in a release: -X main.version=1.2.3, and the full hash and
// the time of its commit.
var version, commit, date string

// versionString returns the released version, else what the Go tool knows of
// the source that the program was built from.
func versionString() string { return builtFrom().version }

// build is what the program was built from.
type build struct {
	version string // without a v; "devel" where nothing is known
	commit  string // its first 12 digits; "" where it is not known
	date    string // of the commit, RFC 3339, UTC
	dirty   bool   // files differed from the commit
}

// builtFrom returns what the linker and the Go tool noted.
func builtFrom() build {
	b := build{version: version, commit: commit[:min(12, len(commit))], date: date}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		b.version = cmp.Or(b.version, "devel")
		return b
	}
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			b.commit = cmp.Or(b.commit, s.Value[:min(12, len(s.Value))])
		case "vcs.time":
			b.date = cmp.Or(b.date, s.Value)
		case "vcs.modified":
			b.dirty = s.Value == "true"
		}
	}
	known := strings.TrimPrefix(info.Main.Version, "v")
	if known == "(devel)" {
		known = ""
	}
	b.version = cmp.Or(b.version, known, "devel")
	return b
}

// String is the line that `triggerd version` prints after the program's name.
func (b build) String() string {
	s := b.version
	if b.commit != "" {
		s += " " + b.commit
		if b.dirty {
			s += "+dirty"
		}
		s += " " + b.date
	}
	return fmt.Sprintf("%s %s %s/%s", s, runtime.Version(), runtime.GOOS, runtime.GOARCH)
}

func newVersionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version, and the commit and date that it was built from",
		Args:  noArguments,
		Run: func(cmd *cobra.Command, _ []string) {
			fmt.Fprintln(cmd.OutOrStdout(), "triggerd", builtFrom())
		},
	}
}
