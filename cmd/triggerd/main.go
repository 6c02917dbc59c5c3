// Command triggerd makes things happen when keys change in Redis or Valkey: it
// attaches to the server as a replica, matches every change against the rules
// in a TOML file, and fires webhooks, commands and log lines.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	_ "time/tzdata" // for machines that have no time zones of their own

	"github.com/spf13/cobra"
)

// Exit codes.
const (
	exitOK          = 0
	exitFailed      = 1
	exitUsage       = 2
	exitUnavailable = 69 // EX_UNAVAILABLE: of explain and send, where 1 says that the rule does not fire
	exitBadRule     = 78 // EX_CONFIG: a service manager need not try again
)

func main() { os.Exit(run(context.Background(), os.Args[1:], os.Stdout, os.Stderr)) }

// run is main, with its surroundings as parameters.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	root := newRootCommand()
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return exitOK
	}
	var exit *exitError
	if !errors.As(err, &exit) { // cobra's own: an unknown command, flag or argument
		exit = &exitError{code: exitUsage, err: fmt.Errorf("%w\nRun 'triggerd --help' for what there is", err)}
	}
	if exit.err != nil {
		fmt.Fprintln(stderr, "triggerd:", exit.err)
	}
	return exit.code
}

// exitError ends the program with a code. A nil err was reported already.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string { return fmt.Sprintf("exit %d: %v", e.code, e.err) }
func (e *exitError) Unwrap() error { return e.err }

// failed marks what went wrong while doing what was asked for, unless it is
// marked already.
func failed(err error) error {
	if err == nil {
		return nil
	}
	if exit, ok := errors.AsType[*exitError](err); ok {
		return exit
	}
	return &exitError{exitFailed, err}
}

func badConfig(err error) error { return &exitError{exitBadRule, err} }

func newRootCommand() *cobra.Command {
	opts := &runOptions{}
	root := &cobra.Command{
		Use:   "triggerd",
		Short: "Make things happen when keys change in Redis or Valkey",
		Long: `triggerd makes things happen when keys change in Redis or Valkey.

It attaches to the server as a replica, so that it sees every change, in order,
without a change to the server or the application. Changes that match a rule
fire webhooks, commands and log lines, which are tried until they succeed.

  triggerd demo                             see it work, with nothing installed
  triggerd doctor --source redis://...      tell whether the server is ready for it
  triggerd listen redis://127.0.0.1:6379    watch changes, without any file
  triggerd init                             write a first rules.toml
  triggerd check                            find every mistake in it
  triggerd                                  run the rules in it`,
		Example: `  triggerd -c /etc/triggerd/rules.toml --data-dir /var/lib/triggerd
  kill -HUP $(pidof triggerd)    # read the rules again; on a mistake the old ones stay`,
		Version:       builtFrom().String(),
		SilenceUsage:  true,
		SilenceErrors: true,
		Args:          noArguments,
		RunE:          opts.run,
	}
	root.SuggestionsMinimumDistance = 2
	root.SetFlagErrorFunc(flagError)
	root.SetVersionTemplate("{{.Name}} {{.Version}}\n")
	opts.addFlags(root)
	root.AddGroup(
		&cobra.Group{ID: "start", Title: "First steps:"},
		&cobra.Group{ID: "rules", Title: "Rules:"},
		&cobra.Group{ID: "daemon", Title: "A running daemon:"},
		&cobra.Group{ID: "files", Title: "Files:"},
	)
	add := func(group string, commands ...*cobra.Command) {
		for _, c := range commands {
			c.GroupID = group
			root.AddCommand(c)
		}
	}
	add("start", newDemoCommand(), newDoctorCommand(), newListenCommand(), newInitCommand(), newRunCommand())
	add("rules", newCheckCommand(), newTestCommand(), newExplainCommand(), newSendCommand(), newReplayCommand(), newSchemaCommand())
	add("daemon", newStatusCommand(), newDeliveriesCommand(), newDLQCommand(), newTailCommand(), newReloadCommand(), newPauseCommand(), newResumeCommand())
	add("files", newRDBCommand(), newStoreCommand())
	root.AddCommand(newVersionCommand(), newManCommand())
	for _, c := range root.Commands() {
		if c.HasSubCommands() {
			onlyCommands(c)
		}
	}
	addCompletions(root)
	return root
}
