package main

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"triggerd/internal/web"
)

func newPauseCommand() *cobra.Command {
	c, lasts, reason := &client{}, "", ""
	cmd := &cobra.Command{
		Use:   "pause RULE|TARGET",
		Short: "Stop a rule or a target of the running daemon for a while",
		Long: `Pause stops a rule or a target until it is resumed, or, with --for, until that
time has passed, over restarts and reloads too. 'triggerd status' shows who
paused it, why, and until when.

A paused target is not attempted: its firings wait, in their order, and are
delivered once it is resumed. That is for a receiver that is being mended.

A paused rule is still matched and counted, but fires nothing, and what it would
have fired is not made up for later. That is for a rule that went wild. Firings
that it has planned already are still delivered.

To stop a rule for good, write enabled = false into the rules.`,
		Example: `  triggerd pause crm --for 2h --reason "moving to the new host"
  triggerd pause rule/stock-zero           # where a target has the same name
  triggerd pause rule/stock-zero/exec      # a rule's own action`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			p := web.Pause{Name: args[0], Reason: reason}
			if cmd.Flags().Changed("for") {
				if _, err := web.ParseDuration(lasts); err != nil {
					return &exitError{exitUsage, fmt.Errorf("--for is a duration as 2h30m or 3d, not %q", lasts)}
				}
				p.For = lasts
			}
			return c.change(cmd, "/api/v1/pause", p, func(d *web.Done) string {
				if d.Until.IsZero() {
					return d.Name + " paused"
				}
				return fmt.Sprintf("%s paused until %s", d.Name, d.Until.Local().Format(time.DateTime))
			})
		},
	}
	cmd.Flags().StringVar(&lasts, "for", "", "end the pause by itself after this time, as 2h30m or 3d")
	cmd.Flags().StringVar(&reason, "reason", "", "why, for whoever looks at the status")
	c.addFlags(cmd)
	return cmd
}

func newResumeCommand() *cobra.Command {
	c := &client{}
	cmd := &cobra.Command{
		Use:   "resume RULE|TARGET",
		Short: "Let a paused rule or target go on",
		Long: `Resume ends a pause. What waits for a target is delivered at once; what a rule
missed is not made up for. 'triggerd status' shows what is paused.`,
		Example: `  triggerd resume crm`,
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.change(cmd, "/api/v1/resume", web.Name{Name: args[0]}, func(d *web.Done) string { return d.Name + " goes on" })
		},
	}
	c.addFlags(cmd)
	return cmd
}
