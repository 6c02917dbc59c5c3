package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"triggerd/internal/admin"
	"triggerd/internal/web"
)

func newDeliveriesCommand() *cobra.Command {
	c := &client{}
	cmd := &cobra.Command{
		Use:   "deliveries",
		Short: "See what waits to be delivered, and what was",
		Long: `Deliveries shows the firings of the running daemon: those that wait, with what
their last attempt said, and those that were delivered lately. What was given up
is a dead letter: see 'triggerd dlq'.

Each has a number; its ID is what the receiver got as webhook-id.`,
		Example: `  triggerd deliveries list --failing
  triggerd deliveries show 4711
  triggerd deliveries retry --action crm`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	c.addFlags(cmd)
	cmd.AddCommand(c.deliveriesList(), c.deliveriesShow(), c.deliveriesRetry())
	return cmd
}

// selectFlags are those that narrow a list.
type selectFlags struct {
	action, rule, reason string
	limit                int
	before               uint64
}

func (s *selectFlags) add(cmd *cobra.Command, paged bool) {
	f := cmd.Flags()
	f.StringVar(&s.action, "action", "", "only of this action: a target's name, or rule/NAME/ACTION")
	f.StringVar(&s.rule, "rule", "", "only of this rule")
	if paged {
		f.IntVar(&s.limit, "limit", 20, "at most that many, up to 1000")
		f.Uint64Var(&s.before, "before", 0, "go on with an earlier list")
	}
}

func (s *selectFlags) query() url.Values {
	q := url.Values{}
	for name, value := range map[string]string{"action": s.action, "rule": s.rule, "reason": s.reason} {
		if value != "" {
			q.Set(name, value)
		}
	}
	if s.limit > 0 {
		q.Set("limit", strconv.Itoa(s.limit))
	}
	if s.before > 0 {
		q.Set("before", strconv.FormatUint(s.before, 10))
	}
	return q
}

func (c *client) deliveriesList() *cobra.Command {
	var sel selectFlags
	var failing, delivered bool
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List what waits, the oldest first, or what was delivered, the latest first",
		Example: `  triggerd deliveries list
  triggerd deliveries list --failing --action crm
  triggerd deliveries list --delivered --rule stock-zero --limit 100`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			q := sel.query()
			if failing {
				q.Set("failing", "1")
			}
			if delivered {
				q.Set("state", "delivered")
			}
			var list web.Deliveries
			out := cmd.OutOrStdout()
			printed, err := c.do(cmd.Context(), "GET", "/api/v1/deliveries", q, nil, &list, out)
			if err != nil || printed {
				return err
			}
			return showDeliveries(out, &list, delivered, time.Now())
		},
	}
	sel.add(cmd, true)
	cmd.Flags().BoolVar(&failing, "failing", false, "only those that were attempted in vain")
	cmd.Flags().BoolVar(&delivered, "delivered", false, "those that were delivered")
	cmd.MarkFlagsMutuallyExclusive("failing", "delivered")
	return cmd
}

func showDeliveries(out io.Writer, list *web.Deliveries, delivered bool, now time.Time) error {
	if len(list.Deliveries) == 0 {
		if delivered {
			fmt.Fprintln(out, "nothing was delivered that is still kept")
		} else {
			fmt.Fprintln(out, "nothing waits")
		}
		return nil
	}
	var t *table
	if delivered {
		t = newTable(out, "NUMBER", "DELIVERED", "RULE", "ACTION", "ATTEMPTS", "STATUS", "ID")
	} else {
		t = newTable(out, "NUMBER", "WAITS SINCE", "RULE", "ACTION", "KEY", "ATTEMPTS", "NEXT", "LAST ERROR")
	}
	for i := range list.Deliveries {
		d := &list.Deliveries[i]
		number := strconv.FormatUint(d.Number, 10)
		if delivered {
			t.row(number, ago(d.Delivered, now)+" ago", d.Rule, d.Action, strconv.Itoa(d.Attempts), d.Status, d.ID)
			continue
		}
		next := ""
		if d.Due.After(now) {
			next = "in " + span(d.Due.Sub(now))
		}
		t.row(number, ago(d.Planned, now), d.Rule, d.Action, short(d.Key, 40), strconv.Itoa(d.Attempts), next, short(d.LastError, 80))
	}
	if err := t.end(); err != nil {
		return err
	}
	goOn(out, list.Next)
	return nil
}

func goOn(out io.Writer, next uint64) {
	if next > 0 {
		fmt.Fprintf(out, "\nthere are more: --before %d\n", next)
	}
}

func (c *client) deliveriesShow() *cobra.Command {
	return &cobra.Command{
		Use:   "show NUMBER|ID",
		Short: "Show one, with all that is delivered",
		Example: `  triggerd deliveries show 4711
  triggerd deliveries show 'da3e73…:116/0:sold-out/webhook'`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			var d admin.Delivery
			out := cmd.OutOrStdout()
			printed, err := c.do(cmd.Context(), "GET", "/api/v1/deliveries/"+url.PathEscape(args[0]), nil, nil, &d, out)
			if err != nil || printed {
				return err
			}
			p := &properties{out}
			p.say("number", strconv.FormatUint(d.Number, 10))
			p.say("state", d.State)
			p.say("id", d.ID)
			p.say("rule", d.Rule)
			p.say("action", d.Action)
			p.say("event", d.Event)
			p.say("key", d.Key)
			p.time("planned", d.Planned)
			p.say("attempts", strconv.Itoa(d.Attempts))
			p.time("next attempt", d.Due)
			p.say("last error", d.LastError)
			p.time("delivered", d.Delivered)
			p.say("status", d.Status)
			p.say("response", d.Excerpt)
			return p.firing(d.Firing)
		},
	}
}

func (c *client) deliveriesRetry() *cobra.Command {
	var action string
	cmd := &cobra.Command{
		Use:   "retry NUMBER... | --action ACTION",
		Short: "Attempt now what waits for its next attempt",
		Long: `Retry does not wait for the next attempt of firings, but makes it now: of those
with the given numbers, whatever the state of their action, or of all that an
action has. Then it also forgets that the action's endpoint was down, suspect
or held, and that keys failed: what waits is attempted at full speed. Firings
behind another of the same key still wait for that one.`,
		Example: `  triggerd deliveries retry --action crm     # it is back, go on at once
  triggerd deliveries retry 4711`,
		Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			numbers, err := parseNumbers(args)
			if err != nil {
				return err
			}
			if (len(numbers) > 0) == (action != "") {
				return &exitError{exitUsage, fmt.Errorf("give numbers of deliveries, or --action")}
			}
			return c.change(cmd, "/api/v1/deliveries/retry", web.Selection{Numbers: numbers, Action: action}, func(d *web.Done) string {
				if action != "" {
					return fmt.Sprintf("%s of %s: attempts go on with %s", action, plural(d.Pending, "pending firing"), plural(d.Count, "key"))
				}
				return fmt.Sprintf("%s attempted now", plural(d.Count, "firing"))
			})
		},
	}
	cmd.Flags().StringVar(&action, "action", "", "all that this action has: a target's name, or rule/NAME/ACTION")
	return cmd
}

// change posts, and says what came of it.
func (c *client) change(cmd *cobra.Command, path string, body any, say func(*web.Done) string) error {
	var done web.Done
	out := cmd.OutOrStdout()
	printed, err := c.do(cmd.Context(), "POST", path, nil, body, &done, out)
	if err != nil || printed {
		return err
	}
	_, err = fmt.Fprintln(out, clean(say(&done)))
	return failed(err)
}

func parseNumbers(args []string) ([]uint64, error) {
	var numbers []uint64
	for _, a := range args {
		n, err := strconv.ParseUint(a, 10, 64)
		if err != nil || n == 0 {
			return nil, &exitError{exitUsage, fmt.Errorf("%q is not a number of the list", a)}
		}
		numbers = append(numbers, n)
	}
	return numbers, nil
}

// properties shows one thing, a line for each thing that there is to say.
type properties struct{ out io.Writer }

func (p *properties) say(name, value string) {
	if value != "" {
		fmt.Fprintf(p.out, "%-13s %s\n", name, clean(value))
	}
}

func (p *properties) time(name string, t time.Time) {
	if !t.IsZero() {
		p.say(name, t.Format(time.RFC3339Nano))
	}
}

// firing shows what is delivered.
func (p *properties) firing(b json.RawMessage) error {
	if len(b) == 0 {
		return nil
	}
	var v any
	if err := json.Unmarshal(b, &v); err != nil {
		return failed(err)
	}
	pretty, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return failed(err)
	}
	_, err = fmt.Fprintf(p.out, "\n%s\n", pretty)
	return failed(err)
}
