package main

import (
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"triggerd/internal/admin"
	"triggerd/internal/web"
)

// deadReasons are the reasons that dead letters have.
var deadReasons = []string{"attempts", "age", "permanent", "dropped", "damaged", "cancelled", "rewound"}

func newDLQCommand() *cobra.Command {
	c := &client{}
	cmd := &cobra.Command{
		Use:   "dlq",
		Short: "See, retry, export and drop dead letters",
		Long: `A dead letter is a firing that was given up: all its attempts failed (attempts),
it grew too old (age), its receiver refused it for good (permanent), somebody
cancelled it (cancelled), or the write that it tells of was lost in a failover
(rewound). It is kept for [store] retention, with its event, so that it can be
delivered once the cause is mended. One with the reason dropped tells of firings that there was no
room for, of which nothing else is left.`,
		Example: `  triggerd dlq causes
  triggerd dlq list
  triggerd dlq show 12
  triggerd dlq retry 12 13
  triggerd dlq retry --all --action crm
  triggerd dlq export > dead.jsonl && triggerd dlq drop --all`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	c.addFlags(cmd)
	cmd.AddCommand(c.dlqCauses(), c.dlqList(), c.dlqShow(), c.dlqRetry(), c.dlqDrop(), c.dlqExport())
	return cmd
}

func (s *selectFlags) addReason(cmd *cobra.Command) {
	cmd.Flags().StringVar(&s.reason, "reason", "", "only given up for this: "+strings.Join(deadReasons, ", "))
	cmd.Flags().StringVar(&s.err, "error", "", "only of this cause: its ERROR in 'triggerd dlq causes'")
}

func (c *client) dlqList() *cobra.Command {
	var sel selectFlags
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List dead letters, the latest first",
		Args:  noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var list web.DeadLetters
			out := c.out(cmd)
			printed, err := c.do(cmd.Context(), "GET", "/api/v1/dead-letters", sel.query(), nil, &list, out)
			if err != nil || printed {
				return err
			}
			return showDead(out, &list, time.Now())
		},
	}
	sel.add(cmd, true)
	sel.addReason(cmd)
	return cmd
}

func showDead(out io.Writer, list *web.DeadLetters, now time.Time) error {
	if len(list.DeadLetters) == 0 {
		fmt.Fprintln(out, "no dead letters")
		return nil
	}
	t := newTable(out, "NUMBER", "GIVEN UP", "RULE", "ACTION", "KEY", "ATTEMPTS", "REASON", "ERROR")
	for i := range list.DeadLetters {
		d := &list.DeadLetters[i]
		t.row(strconv.FormatUint(d.Number, 10), ago(d.GivenUp, now)+" ago", d.Rule, d.Action, d.Key, strconv.Itoa(d.Attempts), d.Reason, d.Error)
	}
	if err := t.end(); err != nil {
		return err
	}
	goOn(out, list.Next)
	return nil
}

func (c *client) dlqShow() *cobra.Command {
	return &cobra.Command{
		Use:   "show NUMBER",
		Short: "Show one, with its last error and its event",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if _, err := parseNumbers(args); err != nil {
				return err
			}
			var d admin.DeadLetter
			out := c.out(cmd)
			printed, err := c.do(cmd.Context(), "GET", "/api/v1/dead-letters/"+args[0], nil, nil, &d, out)
			if err != nil || printed {
				return err
			}
			p := &properties{out}
			p.say("number", strconv.FormatUint(d.Number, 10))
			p.say("id", d.ID)
			p.say("rule", d.Rule)
			p.say("action", d.Action)
			p.say("event", d.Event)
			p.say("key", d.Key)
			p.time("planned", d.Planned)
			p.time("given up", d.GivenUp)
			p.say("reason", d.Reason)
			p.say("attempts", strconv.Itoa(d.Attempts))
			p.say("error", d.Error)
			p.say("response", d.Excerpt)
			if err := p.timeline(d.Timeline); err != nil {
				return err
			}
			p.request(d.Request)
			return p.firing(d.Firing)
		},
	}
}

func (c *client) dlqCauses() *cobra.Command {
	var sel selectFlags
	cmd := &cobra.Command{
		Use:   "causes",
		Short: "Group dead letters by action and cause, the largest group first",
		Example: `  triggerd dlq causes
  triggerd dlq retry --all --action crm --error 'POST https://crm.example.com: 503 Service Unavailable' --expect 412`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var list web.Causes
			out := c.out(cmd)
			printed, err := c.do(cmd.Context(), "GET", "/api/v1/dead-letters/causes", sel.query(), nil, &list, out)
			if err != nil || printed {
				return err
			}
			return showCauses(out, &list, time.Now())
		},
	}
	sel.add(cmd, false)
	sel.addReason(cmd)
	return cmd
}

func showCauses(out io.Writer, list *web.Causes, now time.Time) error {
	if len(list.Causes) == 0 {
		fmt.Fprintln(out, "no dead letters")
		return nil
	}
	t := newTable(out, "COUNT", "ACTION", "REASON", "FIRST", "LAST", "LIKE", "ERROR")
	for i := range list.Causes {
		g := &list.Causes[i]
		t.row(strconv.Itoa(g.Count), g.Action, g.Reason, ago(g.First, now)+" ago", ago(g.Last, now)+" ago", strconv.FormatUint(g.Number, 10), g.Error)
	}
	if err := t.end(); err != nil {
		return err
	}
	if list.More {
		fmt.Fprintln(out, "\nthere are more causes, of the oldest dead letters")
	}
	return nil
}

func (c *client) dlqRetry() *cobra.Command {
	var sel changeFlags
	cmd := &cobra.Command{
		Use:   "retry NUMBER... | --all",
		Short: "Deliver dead letters after all",
		Long: `Retry makes dead letters pending again, with the ID they had and as many attempts
as a new firing. They go to the action as the rules now have it, behind what
already waits for their keys.`,
		Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := sel.selection(args, "dead letters")
			if err != nil {
				return err
			}
			return c.change(cmd, "/api/v1/dead-letters/retry", s, func(d *web.Done) string {
				return plural(d.Count, "dead letter") + " pending again"
			})
		},
	}
	sel.add(cmd, "retry")
	sel.addReason(cmd)
	return cmd
}

func (c *client) dlqDrop() *cobra.Command {
	var sel changeFlags
	cmd := &cobra.Command{
		Use:   "drop NUMBER... | --all",
		Short: "Remove dead letters for good",
		Args:  cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := sel.selection(args, "dead letters")
			if err != nil {
				return err
			}
			return c.change(cmd, "/api/v1/dead-letters/drop", s, func(d *web.Done) string {
				return plural(d.Count, "dead letter") + " dropped"
			})
		},
	}
	sel.add(cmd, "drop")
	sel.addReason(cmd)
	return cmd
}

func (c *client) dlqExport() *cobra.Command {
	var sel selectFlags
	var file string
	cmd := &cobra.Command{
		Use:   "export",
		Short: "Write dead letters as JSON lines, with their events",
		Example: `  triggerd dlq export -o dead.jsonl
  triggerd dlq export --rule stock-zero | jq .firing.data.key`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			resp, err := c.send(cmd.Context(), "GET", "/api/v1/dead-letters/export", sel.query(), nil)
			if err != nil {
				return failed(err)
			}
			defer resp.Body.Close()
			out := cmd.OutOrStdout()
			if file == "" {
				_, err := io.Copy(out, resp.Body)
				return failed(err)
			}
			return failed(exportTo(file, resp.Body))
		},
	}
	sel.add(cmd, false)
	sel.addReason(cmd)
	cmd.Flags().StringVarP(&file, "output", "o", "", "write to this file, which must not be there yet")
	return cmd
}

// exportTo writes a file, which only its owner may read: it holds data of the
// server.
func exportTo(name string, r io.Reader) error {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	if _, err = io.Copy(f, r); err == nil {
		err = f.Sync()
	}
	if closed := f.Close(); err == nil {
		err = closed
	}
	if err != nil {
		return fmt.Errorf("%s is not complete: %w", name, err)
	}
	return nil
}
