package main

import (
	"github.com/spf13/cobra"

	"triggerd/internal/web"
)

func newPauseCommand() *cobra.Command {
	return pauseCommand("pause", "Stop a rule or a target of the running daemon for a while", `Pause stops a rule or a target until it is resumed, over restarts and reloads too.

A paused target is not attempted: its firings wait, in their order, and are
delivered once it is resumed. That is for a receiver that is being mended.

A paused rule is still matched and counted, but fires nothing, and what it would
have fired is not made up for later. That is for a rule that went wild. Firings
that it has planned already are still delivered.

To stop a rule for good, write enabled = false into the rules.`, `  triggerd pause crm
  triggerd pause rule/stock-zero           # where a target has the same name
  triggerd pause rule/stock-zero/exec      # a rule's own action`, "paused")
}

func newResumeCommand() *cobra.Command {
	return pauseCommand("resume", "Let a paused rule or target go on", `Resume ends a pause. What waits for a target is delivered at once; what a rule
missed is not made up for. 'triggerd status' shows what is paused.`, `  triggerd resume crm`, "goes on")
}

func pauseCommand(name, short, long, example, done string) *cobra.Command {
	c := &client{}
	cmd := &cobra.Command{
		Use: name + " RULE|TARGET", Short: short, Long: long, Example: example,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.change(cmd, "/api/v1/"+name, web.Name{Name: args[0]}, func(d *web.Done) string { return d.Name + " " + done })
		},
	}
	c.addFlags(cmd)
	return cmd
}
