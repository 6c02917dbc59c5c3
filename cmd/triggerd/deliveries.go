package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"triggerd/internal/admin"
	"triggerd/internal/web"
)

func newDeliveriesCommand() *cobra.Command {
	c := &client{}
	cmd := &cobra.Command{
		Use:   "deliveries",
		Short: "See what waits to be delivered and what was, cancel it, deliver it once more",
		Long: `Deliveries shows the firings of the running daemon: those that wait, with what
their last attempt said, and those that were delivered lately, which [store]
keep_delivered keeps whole. What was given up is a dead letter: see 'triggerd dlq'.

Each has a number; its ID is what the receiver got as webhook-id.`,
		Example: `  triggerd deliveries list --key order:7       # what happened to it?
  triggerd deliveries list --failing
  triggerd deliveries show 4711
  triggerd deliveries retry --action crm
  triggerd deliveries cancel --all --action crm
  triggerd deliveries redeliver 4711`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	c.addFlags(cmd)
	cmd.AddCommand(c.deliveriesList(), c.deliveriesShow(), c.deliveriesRetry(), c.deliveriesCancel(), c.deliveriesRedeliver())
	return cmd
}

// selectFlags are those that narrow a list.
type selectFlags struct {
	action, rule, reason string
	key, id, since, err  string
	limit                int
	before               uint64
}

func (s *selectFlags) add(cmd *cobra.Command, paged bool) {
	f := cmd.Flags()
	f.StringVar(&s.action, "action", "", "only of this action: a target's name, or rule/NAME/ACTION")
	f.StringVar(&s.rule, "rule", "", "only of this rule")
	f.StringVar(&s.key, "key", "", "only of keys that match this glob")
	f.StringVar(&s.since, "since", "", "only from this time on: 2026-01-31T14:00:00Z, or 10m, or 2d, ago")
	if paged {
		f.StringVar(&s.id, "id", "", "only with this ID, the receiver's webhook-id")
		f.IntVar(&s.limit, "limit", 20, "at most that many, up to 1000")
		f.Uint64Var(&s.before, "before", 0, "go on with an earlier list")
	}
}

func (s *selectFlags) query() url.Values {
	q := url.Values{}
	for name, value := range map[string]string{"action": s.action, "rule": s.rule, "reason": s.reason, "key": s.key, "id": s.id, "since": s.since, "error": s.err} {
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
		Long: `List shows what waits, the oldest first. With --delivered it shows what was
delivered, the latest first. With --key or --id and neither of the other flags it
shows all: what waits, then dead letters, then what was delivered.`,
		Example: `  triggerd deliveries list
  triggerd deliveries list --key order:7
  triggerd deliveries list --failing --action crm
  triggerd deliveries list --delivered --rule stock-zero --since 10m`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			q := sel.query()
			if (sel.key != "" || sel.id != "") && !failing && !delivered && sel.before == 0 {
				return c.listAll(cmd, q)
			}
			if failing {
				q.Set("failing", "1")
			}
			if delivered {
				q.Set("state", "delivered")
			}
			var list web.Deliveries
			out := c.out(cmd)
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
		t = newTable(out, "NUMBER", "DELIVERED", "RULE", "ACTION", "KEY", "ATTEMPTS", "STATUS", "TOOK", "ID")
	} else {
		t = newTable(out, "NUMBER", "WAITS SINCE", "RULE", "ACTION", "KEY", "ATTEMPTS", "NEXT", "LAST ERROR")
	}
	for i := range list.Deliveries {
		d := &list.Deliveries[i]
		number := strconv.FormatUint(d.Number, 10)
		if delivered {
			t.row(number, ago(d.Delivered, now)+" ago", d.Rule, d.Action, d.Key, strconv.Itoa(d.Attempts), status(d), took(d.Seconds), d.ID)
			continue
		}
		next := ""
		if d.Due.After(now) {
			next = "in " + span(d.Due.Sub(now))
		}
		t.row(number, ago(d.Planned, now), d.Rule, d.Action, d.Key, strconv.Itoa(d.Attempts), next, d.LastError)
	}
	if err := t.end(); err != nil {
		return err
	}
	goOn(out, list.Next)
	return nil
}

// status is what a receiver said, and whether it was sent it before.
func status(d *admin.Delivery) string {
	if d.Redelivered {
		return strings.TrimSpace(d.Status + " (once more)")
	}
	return d.Status
}

// took is how long something took, for people; "" if that is not known.
func took(seconds float64) string {
	if seconds == 0 {
		return ""
	}
	d := time.Duration(seconds * float64(time.Second))
	switch {
	case d < time.Millisecond:
		return d.Round(10 * time.Microsecond).String()
	case d < time.Second:
		return d.Round(time.Millisecond).String()
	}
	return d.Round(10 * time.Millisecond).String()
}

// everything is what became of firings, whatever that is.
type everything struct {
	Pending     []admin.Delivery   `json:"pending"`
	DeadLetters []admin.DeadLetter `json:"dead_letters"`
	Delivered   []admin.Delivery   `json:"delivered"`
}

// listAll lists what waits, what was given up, and what was delivered.
func (c *client) listAll(cmd *cobra.Command, q url.Values) error {
	var pending, done web.Deliveries
	var dead web.DeadLetters
	if err := c.takeForm(); err != nil {
		return err
	}
	quiet := *c
	quiet.json, quiet.form = false, "" // the three answers are printed as one
	ctx, out := cmd.Context(), c.out(cmd)
	for _, ask := range []struct {
		path, state string
		to          any
	}{{"/api/v1/deliveries", "pending", &pending}, {"/api/v1/dead-letters", "", &dead}, {"/api/v1/deliveries", "delivered", &done}} {
		q.Del("state")
		if ask.state != "" {
			q.Set("state", ask.state)
		}
		if _, err := quiet.do(ctx, "GET", ask.path, q, nil, ask.to, out); err != nil {
			return err
		}
	}
	all := everything{pending.Deliveries, dead.DeadLetters, done.Deliveries}
	if c.json {
		return failed(json.NewEncoder(out).Encode(all))
	}
	return showAll(out, &all, pending.Next+dead.Next+done.Next > 0, time.Now())
}

func showAll(out io.Writer, all *everything, more bool, now time.Time) error {
	if len(all.Pending)+len(all.DeadLetters)+len(all.Delivered) == 0 {
		fmt.Fprintln(out, "nothing waits, was given up, or was delivered and is kept")
		return nil
	}
	t := newTable(out, "STATE", "NUMBER", "WHEN", "RULE", "ACTION", "KEY", "ATTEMPTS", "SAID", "ID")
	number := func(n uint64) string { return strconv.FormatUint(n, 10) }
	for i := range all.Pending {
		d := &all.Pending[i]
		t.row("waits", number(d.Number), ago(d.Planned, now)+" ago", d.Rule, d.Action, d.Key, strconv.Itoa(d.Attempts), d.LastError, d.ID)
	}
	for i := range all.DeadLetters {
		d := &all.DeadLetters[i]
		t.row("dead: "+d.Reason, "dlq "+number(d.Number), ago(d.GivenUp, now)+" ago", d.Rule, d.Action, d.Key, strconv.Itoa(d.Attempts), d.Error, d.ID)
	}
	for i := range all.Delivered {
		d := &all.Delivered[i]
		t.row("delivered", number(d.Number), ago(d.Delivered, now)+" ago", d.Rule, d.Action, d.Key, strconv.Itoa(d.Attempts), status(d), d.ID)
	}
	if err := t.end(); err != nil {
		return err
	}
	if more {
		fmt.Fprintln(out, "\nthere are more: --limit 1000, or --delivered, or 'triggerd dlq list'")
	}
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
		Short: "Show one: its attempts, what was sent, and its event",
		Example: `  triggerd deliveries show 4711
  triggerd deliveries show 'da3e73…:116/0:sold-out/webhook'`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			var d admin.Delivery
			out := c.out(cmd)
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
			if d.DeadLetter > 0 {
				p.say("dead letter", fmt.Sprintf("%d (%s)", d.DeadLetter, d.Reason))
			}
			p.time("delivered", d.Delivered)
			p.say("status", d.Status)
			p.say("response", d.Excerpt)
			if d.Redelivered {
				p.say("redelivered", "yes: it was delivered before, under the same ID")
			}
			if err := p.timeline(d.Timeline); err != nil {
				return err
			}
			p.request(d.Request)
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

// changeFlags are those of what changes firings.
type changeFlags struct {
	selectFlags
	all    bool
	expect int
	given  *pflag.Flag // of expect
}

// add adds the flags; verb is what is done.
func (s *changeFlags) add(cmd *cobra.Command, verb string) {
	s.selectFlags.add(cmd, false)
	cmd.Flags().BoolVar(&s.all, "all", false, verb+" all that the other flags select")
	cmd.Flags().IntVar(&s.expect, "expect", 0, "with --all: do nothing if there are more than that")
	s.given = cmd.Flags().Lookup("expect")
	s.given.DefValue = "" // it is not what counts without the flag
}

// selection is what is meant; never all by mistake. what names the things that
// have numbers.
func (s *changeFlags) selection(args []string, what string) (web.Selection, error) {
	numbers, err := parseNumbers(args)
	if err != nil {
		return web.Selection{}, err
	}
	if s.all == (len(numbers) > 0) {
		return web.Selection{}, &exitError{exitUsage, fmt.Errorf("give numbers of %s, or --all", what)}
	}
	if !s.all && (s.action+s.rule+s.reason+s.key+s.since+s.err != "" || s.given.Changed) {
		return web.Selection{}, &exitError{exitUsage, fmt.Errorf("flags that select go with --all")}
	}
	sel := web.Selection{Numbers: numbers, All: s.all, Action: s.action, Rule: s.rule, Reason: s.reason, Key: s.key, Since: s.since, Error: s.err}
	if s.given.Changed {
		if s.expect < 0 {
			return web.Selection{}, &exitError{exitUsage, fmt.Errorf("--expect is a number from 0 on, not %d", s.expect)}
		}
		sel.Expect = &s.expect
	}
	return sel, nil
}

func (c *client) deliveriesCancel() *cobra.Command {
	var sel changeFlags
	cmd := &cobra.Command{
		Use:   "cancel NUMBER... | --all",
		Short: "Stop what waits from being delivered",
		Long: `Cancel turns firings that wait into dead letters with the reason "cancelled", so
that 'triggerd dlq retry' undoes it and 'triggerd dlq drop' makes it final. The
next firing of the same key goes on.

An attempt that is in flight is not disturbed. If it succeeds, the firing is
delivered, if it fails, it is cancelled. Cancel waits for that for half a minute,
and says which.`,
		Example: `  triggerd deliveries cancel 4711
  triggerd deliveries cancel --all --action crm          # the wrong endpoint
  triggerd deliveries cancel --all --key 'order:*' --expect 20`,
		Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := sel.selection(args, "deliveries")
			if err != nil {
				return err
			}
			var done admin.Cancelled
			out := c.out(cmd)
			printed, err := c.do(cmd.Context(), "POST", "/api/v1/deliveries/cancel", nil, s, &done, out)
			if err != nil || printed {
				return err
			}
			return failed(showCancelled(out, &done))
		},
	}
	sel.add(cmd, "cancel")
	return cmd
}

func showCancelled(out io.Writer, done *admin.Cancelled) error {
	say := func(numbers []uint64, what string) string {
		if len(numbers) == 0 {
			return ""
		}
		return fmt.Sprintf("%s: %s\n", listNumbers(numbers), what)
	}
	_, err := io.WriteString(out, plural(done.Count, "firing")+" cancelled\n"+
		say(done.Ended, "an attempt was in flight, and failed: cancelled")+
		say(done.Delivered, "an attempt was in flight, and succeeded: delivered")+
		say(done.InFlight, "an attempt is still in flight: cancelled if it fails, delivered if it succeeds")+
		say(done.Gone, "did not wait any more"))
	return err
}

// listNumbers lists the first few of some numbers.
func listNumbers(numbers []uint64) string {
	var b strings.Builder
	for i, n := range numbers {
		if i == 10 {
			fmt.Fprintf(&b, " and %d more", len(numbers)-i)
			break
		}
		if i > 0 {
			b.WriteByte(' ')
		}
		fmt.Fprint(&b, n)
	}
	return b.String()
}

func (c *client) deliveriesRedeliver() *cobra.Command {
	var sel changeFlags
	var changed bool
	cmd := &cobra.Command{
		Use:   "redeliver NUMBER... | --all",
		Short: "Deliver once more what was delivered",
		Long: `Redeliver sends firings that were delivered once more, under the ID that they
had. The receiver can tell: the event has "redelivered": true, and a webhook the
header triggerd-redelivered. They go to the action as the rules now have it,
behind what waits for their keys. With --changed also where it goes elsewhere by
now. What is no longer kept ([store] keep_delivered) cannot be sent.`,
		Example: `  triggerd deliveries redeliver 4711
  triggerd deliveries redeliver --all --action crm --since 2h   # it has lost them`,
		Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := sel.selection(args, "deliveries")
			if err != nil {
				return err
			}
			s.Changed = changed
			return c.change(cmd, "/api/v1/deliveries/redeliver", s, func(d *web.Done) string {
				return plural(d.Count, "firing") + " pending once more"
			})
		},
	}
	sel.add(cmd, "deliver")
	cmd.Flags().BoolVar(&changed, "changed", false, "also where the action goes elsewhere by now")
	return cmd
}

// change posts, and says what came of it.
func (c *client) change(cmd *cobra.Command, path string, body any, say func(*web.Done) string) error {
	var done web.Done
	out := c.out(cmd)
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

// timeline shows the attempts of a firing.
func (p *properties) timeline(list []admin.Attempt) error {
	if len(list) == 0 {
		return nil
	}
	fmt.Fprintln(p.out)
	t := newTable(p.out, "ATTEMPT", "AT", "TOOK", "OUTCOME", "CODE", "SAID")
	last := 0
	for i := range list {
		a := &list[i]
		if a.Number > last+1 && last > 0 {
			t.row("…")
		}
		last = a.Number
		number, code := strconv.Itoa(a.Number), ""
		if a.Uncounted {
			number = "(down)"
		}
		if a.Code > 0 {
			code = strconv.Itoa(a.Code)
		}
		said := a.Text
		if said == code {
			said = a.Excerpt
		}
		t.row(number, a.At.Format("2006-01-02T15:04:05.000Z07:00"), took(a.Seconds), strings.ReplaceAll(a.Outcome, "_", " "), code, said)
	}
	return t.end()
}

// request shows what was sent, or would be. A body that is the firing's JSON,
// which follows, is not shown.
func (p *properties) request(r *admin.Request) {
	if r == nil {
		return
	}
	what := "would be sent now:"
	if r.Sent {
		what = "was sent:"
	}
	fmt.Fprintf(p.out, "\n%s\n", what)
	if len(r.Call) > 0 {
		fmt.Fprintln(p.out, clean(strings.Join(r.Call, " ")))
	}
	for _, h := range r.Headers {
		fmt.Fprintln(p.out, clean(h.Name+": "+h.Value))
	}
	switch {
	case r.Body == "":
	case r.EventBody:
		fmt.Fprintln(p.out, "\n(the event, below)")
	default:
		fmt.Fprintln(p.out)
		for line := range strings.Lines(r.Body) {
			fmt.Fprintln(p.out, clean(strings.TrimSuffix(line, "\n")))
		}
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
