package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"triggerd/internal/admin"
	"triggerd/rules"
)

func newReloadCommand() *cobra.Command {
	c := &client{}
	cmd := &cobra.Command{
		Use:   "reload",
		Short: "Have the running daemon read its rules again, and tell what changed",
		Long: `Reload has the daemon read its rules again, as SIGHUP does, and prints what has
changed, or every mistake: then the old rules stay.

It ends with 0 if the new rules are in use, with 78 if there are mistakes, and
with 1 if the daemon could not be asked.`,
		Example: `  triggerd reload`,
		Args:    noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var r admin.Reload
			out := cmd.OutOrStdout()
			printed, err := c.do(cmd.Context(), "POST", "/api/v1/reload", nil, nil, &r, out)
			switch {
			case err != nil:
				return err
			case printed && !r.OK:
				return &exitError{code: exitBadRule}
			case printed:
				return nil
			}
			return showReload(out, &r)
		},
	}
	c.addFlags(cmd)
	return cmd
}

// showReload prints what came of a reload.
func showReload(out io.Writer, r *admin.Reload) error {
	line := func(format string, args ...any) { fmt.Fprintln(out, clean(fmt.Sprintf(format, args...))) }
	for _, w := range r.Warnings {
		line("warning: %s", noteText(&w))
	}
	if !r.OK {
		for _, m := range r.Mistakes {
			line("%s", noteText(&m))
		}
		return &exitError{exitBadRule, fmt.Errorf("%s: the old rules stay", plural(len(r.Mistakes), "mistake"))}
	}
	line("%s is in use: %s as before", r.File, plural(r.Kept, "rule"))
	for _, part := range []struct {
		what  string
		names []string
	}{{"added", r.Added}, {"changed", r.Changed}, {"removed", r.Removed}, {"count and wait on", r.States}, {"begin to count and wait anew", r.Dropped}} {
		if len(part.names) > 0 {
			line("%s: %s", part.what, strings.Join(part.names, ", "))
		}
	}
	if r.Restart {
		line("changes in [source], [store] and [http] need a restart")
	}
	return nil
}

// noteText is a note in a line, as check prints it.
func noteText(n *admin.Note) string {
	e := rules.Error{File: n.File, Line: n.Line, Col: n.Col, Rule: n.Rule, Field: n.Field, Msg: n.Message, Hint: n.Hint}
	return e.Headline()
}
