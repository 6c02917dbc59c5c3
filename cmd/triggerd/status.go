package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"triggerd/internal/admin"
	"triggerd/internal/web"
)

func newStatusCommand() *cobra.Command {
	c := &client{}
	var watch, all bool
	var rule string
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show how the running daemon is doing",
		Long: `Status asks the running daemon how it is doing: the stream, what waits for each
action and since when, what failed last, the rules, the store.

Where to look first:
  READY          "ok", or why nothing comes in
  PENDING, OLDEST   an action whose oldest firing grows older does not keep up
  STATE          up; slowed: fewer attempts at once, some were not answered; suspect:
                 many keys fail and nothing succeeds; down: it is not reached; held: it
                 asked to be left alone. WHY says what that comes from, NEXT when it
                 is attempted again
  KEYS           whose last attempt failed, that wait for their next, or for their turn
  LAST ERROR     what its receiver said; 'triggerd deliveries list --failing' has more
  gaps           times that changes were missed; the log says why
Rules that nothing happens to are left out, unless --all is given. With --rule
it shows what one rule with time fields counts and waits for.`,
		Example: `  triggerd status
  triggerd status --rule worker-heartbeat
  triggerd status --watch
  triggerd status --json | jq '.actions[] | select(.pending > 0)'`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			out := c.out(cmd)
			show := func(ctx context.Context, out io.Writer) error { return c.status(ctx, out, all) }
			if rule != "" {
				show = func(ctx context.Context, out io.Writer) error { return c.ruleStatus(ctx, out, rule) }
			}
			if !watch {
				return show(cmd.Context(), out)
			}
			ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
			defer stop()
			return c.watch(ctx, out, show)
		},
	}
	c.addFlags(cmd)
	cmd.Flags().BoolVar(&watch, "watch", false, "show it again every two seconds, until interrupted")
	cmd.Flags().BoolVar(&all, "all", false, "show every rule")
	cmd.Flags().StringVar(&rule, "rule", "", "show what this rule counts and waits for")
	return cmd
}

func (c *client) status(ctx context.Context, out io.Writer, all bool) error {
	var s web.Status
	printed, err := c.do(ctx, "GET", "/api/v1/status", nil, nil, &s, out)
	if err != nil || printed {
		return err
	}
	if s.Status == nil {
		return failed(fmt.Errorf("the answer is not triggerd's"))
	}
	showStatus(out, &s)
	if err := showActions(out, &s); err != nil {
		return err
	}
	return showRules(out, &s, all)
}

// watch shows the status until ctx is done. A daemon that does not answer for
// a while, since it is restarted, does not end it.
func (c *client) watch(ctx context.Context, out io.Writer, show func(context.Context, io.Writer) error) error {
	tick := time.NewTicker(2 * time.Second)
	defer tick.Stop()
	if terminalOf(out) != nil && !c.asksJSON() {
		fmt.Fprint(out, "\x1b[?25l\x1b[2J") // no cursor, an empty screen
		defer fmt.Fprint(out, "\x1b[?25h")
	}
	for {
		var page strings.Builder
		var to io.Writer = &page
		s := terminalOf(out)
		if s != nil && c.form != "wide" {
			to = &screen{&page, s.columns, s.lines}
		}
		if err := show(ctx, to); err != nil && ctx.Err() == nil {
			fmt.Fprintln(&page, err)
		}
		text := strings.TrimSuffix(page.String(), "\n") + "\n"
		if s != nil && !c.asksJSON() {
			text = inPlace(text, s.columns, s.lines)
		}
		if _, err := io.WriteString(out, text); err != nil {
			return failed(err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// terminalOf returns the terminal behind an output as it is now, since it may have
// been resized; nil: there is none.
func terminalOf(out io.Writer) *screen {
	if s, ok := out.(*screen); ok {
		out = s.Writer
	}
	return screenOf(out)
}

// asksJSON reports whether answers are printed as they came.
func (c *client) asksJSON() bool { return c.json || c.form == "json" }

// inPlace returns what draws a page over the one before: each line to its end,
// and as many as there is room for.
func inPlace(page string, columns, lines int) string {
	var b strings.Builder
	b.WriteString("\x1b[H")
	all := strings.Split(strings.TrimSuffix(page, "\n"), "\n")
	if room := max(lines-1, 1); len(all) > room {
		left := len(all) - room + 1
		all = append(all[:room-1:room-1], fmt.Sprintf("… %s more, for which the terminal has no room", plural(left, "line")))
	}
	for _, line := range all {
		b.WriteString(short(line, columns) + "\x1b[K\n")
	}
	b.WriteString("\x1b[J")
	return b.String()
}

func showStatus(out io.Writer, s *web.Status) {
	say := func(what, format string, args ...any) {
		fmt.Fprintf(out, "%-8s %s\n", what, clean(fmt.Sprintf(format, args...)))
	}
	say("triggerd", "%s, up %s", s.Version, span(s.At.Sub(s.Started)))
	say("ready", "%s", s.Ready)
	for i := range s.Streams {
		showStream(say, &s.Streams[i], s)
	}
	n := &s.Counts
	say("counts", "%d events, %d matches, %d firings, %d delivered, %d given up, %d dropped", n.Events, n.Matches, n.Firings, n.Delivered, n.GivenUp, n.Dropped)
	if n.MirrorKeys > 0 || n.ValuesLost > 0 {
		say("values", "of %d keys, in %s of memory; %d times one became unknown", n.MirrorKeys, size(n.MirrorBytes), n.ValuesLost)
	}
	more := ""
	if s.DeadLettersMore {
		more = "more than "
	}
	say("waiting", "%d of at most %d firings; %s%s", n.Pending, s.MaxPending, more, plural(s.DeadLetters, "dead letter"))
	free := ""
	if s.Store.FreeBytes >= 0 {
		free = ", " + size(s.Store.FreeBytes) + " free"
	}
	say("store", "%s%s", size(s.Store.Bytes), free)
	if kept := s.Store.Delivered; kept != nil && kept.Bytes > 0 {
		say("", "%s of at most %s more for what was delivered", size(kept.Bytes), size(kept.Limit))
	}
	if s.Store.Full != "" {
		say("", "takes nothing more: %s", s.Store.Full)
	}
	if s.Store.Damaged > 0 {
		say("", "%s met; stop triggerd and look with 'triggerd store verify'", plural(int(s.Store.Damaged), "damaged record"))
	}
	if s.LogLinesLost > 0 {
		say("log", "%s lost: standard error is closed, or not read in time", plural(int(s.LogLinesLost), "line"))
	}
	if s.Reload.OK {
		say("rules", "%s, read %s ago", s.Reload.File, ago(s.Reload.At, s.At))
	} else {
		say("rules", "%s could not be read %s ago, those of %s ago are in use", s.Reload.File, ago(s.Reload.At, s.At), ago(s.Reload.LastSuccess, s.At))
		for line := range strings.Lines(s.Reload.Error) {
			say("", "%s", strings.TrimSuffix(line, "\n"))
		}
	}
}

// showStream says how one stream is doing. Its name is told where there are
// several.
func showStream(say func(what, format string, args ...any), src *admin.StreamStatus, s *web.Status) {
	name := ""
	if len(s.Streams) > 1 {
		name = src.Name + ": "
	}
	say("source", "%s%s, %s for %s, %s", name, src.Server, src.State, ago(src.Since, s.At), lastData(src, s.At))
	saved := "nothing is saved yet"
	if src.Saved != "" {
		saved = fmt.Sprintf("saved %d (%s behind)", src.SavedOffset, size(src.LagBytes))
	}
	say("", "received %d, handled %d, %s", src.ReceivedOffset, src.HandledOffset, saved)
	if src.BehindSeconds >= 1 || src.Spool.Full != "" {
		say("", "behind by %s: %s received and not handled", time.Duration(src.BehindSeconds*float64(time.Second)).Round(time.Second), size(src.BehindBytes))
	}
	if src.Spool.Full != "" {
		say("", "spool full: %s", src.Spool.Full)
	}
	if src.BacklogBytes > 0 {
		say("", "the server keeps %s of its stream, %s", size(src.BacklogBytes), headroom(src))
	}
	say("", "%s and %s, %s", plural(int(src.FullResyncs), "full resync"), plural(int(src.PartialResyncs), "partial resync"), plural(int(src.Gaps), "gap"))
	if src.Primary != "" {
		say("", "the Sentinels name %s", src.Primary)
	}
	if src.Rewinds > 0 {
		say("", "went back %s, over %s that were lost in failovers", plural(int(src.Rewinds), "time"), size(src.RewoundBytes))
	}
	if src.LastError != "" {
		say("", "last error: %s", src.LastError)
	}
}

func lastData(src *admin.StreamStatus, now time.Time) string {
	if src.LastData.IsZero() {
		return "nothing received yet"
	}
	return "last data " + ago(src.LastData, now) + " ago"
}

func showActions(out io.Writer, s *web.Status) error {
	if len(s.Actions) == 0 {
		return nil
	}
	fmt.Fprintln(out)
	t := newTable(out, "ACTION", "TO", "PENDING", "OLDEST", "IN FLIGHT", "STATE", "SINCE", "NEXT", "KEYS", "DELIVERED", "RETRIED", "GIVEN UP", "WHY", "LAST ERROR")
	for i := range s.Actions {
		a := &s.Actions[i]
		state, since, next := a.State, a.Since, ""
		switch {
		case a.Kind == "":
			state = "no rule"
		case !a.PausedSince.IsZero():
			state, since = "paused", a.PausedSince
		case !a.NextAttempt.IsZero():
			next = span(a.NextAttempt.Sub(s.At))
		}
		if state == "slowed" {
			state = fmt.Sprintf("slowed to %d", a.Window)
		}
		t.row(a.Name, strings.TrimSpace(a.Kind+" "+a.Destination), strconv.Itoa(a.Pending), ago(a.OldestPending, s.At), strconv.Itoa(a.InFlight),
			state, ago(since, s.At), next, keysOf(a), count(a.Delivered), count(a.Retried), count(a.GivenUp), a.Why, lastError(a, s.At))
	}
	return t.end()
}

// keysOf tells of an action's keys those that there are.
func keysOf(a *admin.ActionStatus) string {
	var parts []string
	for _, part := range []struct {
		n    int
		what string
	}{{a.FailingLanes, "failing"}, {a.BackingOff, "waiting"}, {a.FreshLanes, "fresh"}} {
		if part.n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", part.n, part.what))
		}
	}
	return strings.Join(parts, ", ")
}

// lastError is shown as long as nothing has succeeded since.
func lastError(a *admin.ActionStatus, now time.Time) string {
	if a.LastError == "" || a.LastSuccess.After(a.LastErrorAt) {
		return ""
	}
	return ago(a.LastErrorAt, now) + " ago: " + a.LastError
}

func count(n int64) string { return strconv.FormatInt(n, 10) }

func showRules(out io.Writer, s *web.Status, all bool) error {
	shown := s.Rules
	if !all {
		shown = slices.DeleteFunc(slices.Clone(shown), func(r admin.RuleStatus) bool {
			return r.Matches == 0 && r.ConditionErrors == 0 && r.NotNumbers == 0 && r.PausedSince.IsZero()
		})
	}
	if len(shown) > 0 {
		fmt.Fprintln(out)
		t := newTable(out, "RULE", "STATE", "MATCHES", "FIRINGS", "SKIPPED", "SUPPRESSED", "DROPPED", "CONDITION ERRORS")
		for i := range shown {
			r := &shown[i]
			errs := count(r.ConditionErrors)
			if r.ConditionError != "" {
				errs += ": " + r.ConditionError
			}
			t.row(r.Name, ruleState(r, s.At), count(r.Matches), count(r.Firings), count(r.Skipped+r.DryRuns), count(suppressed(r)), count(r.Dropped), errs)
		}
		if err := t.end(); err != nil {
			return err
		}
	}
	if err := showPauses(out, s); err != nil {
		return err
	}
	if err := showSlowRules(out, s); err != nil {
		return err
	}
	if n := len(s.Rules) - len(shown); n > 0 {
		fmt.Fprintf(out, "\n%s matched nothing yet (--all shows all)\n", plural(n, "rule"))
	}
	return nil
}

// showPauses shows what is paused, until when, by whom and why.
func showPauses(out io.Writer, s *web.Status) error {
	var t *table
	row := func(name string, since time.Time, p *admin.Pause) {
		if p == nil {
			return
		}
		if t == nil {
			fmt.Fprintln(out)
			t = newTable(out, "PAUSED", "FOR", "GOES ON IN", "BY", "WHY")
		}
		until := "resume only"
		if !p.Until.IsZero() {
			until = span(p.Until.Sub(s.At))
		}
		t.row(name, ago(since, s.At), until, p.By, p.Reason)
	}
	for i := range s.Rules {
		row("rule/"+s.Rules[i].Name, s.Rules[i].PausedSince, s.Rules[i].Pause)
	}
	for i := range s.Actions {
		row(s.Actions[i].Name, s.Actions[i].PausedSince, s.Actions[i].Pause)
	}
	if t == nil {
		return nil
	}
	return t.end()
}

const (
	slowRules = 3    // at most so many are shown
	slowShare = 0.01 // of the reader's time, from which on a rule is shown
)

// showSlowRules shows the rules whose conditions take most of the time of the
// goroutine that reads the stream.
func showSlowRules(out io.Writer, s *web.Status) error {
	slow := slices.DeleteFunc(slices.Clone(s.Rules), func(r admin.RuleStatus) bool { return r.ConditionShare < slowShare })
	if len(slow) == 0 {
		return nil
	}
	slices.SortStableFunc(slow, func(a, b admin.RuleStatus) int { return cmp.Compare(b.ConditionShare, a.ConditionShare) })
	fmt.Fprintln(out)
	t := newTable(out, "SLOWEST CONDITIONS", "OF THE LAST MINUTE", "IN ALL")
	for _, r := range slow[:min(len(slow), slowRules)] {
		t.row(r.Name, fmt.Sprintf("%.0f%%", 100*r.ConditionShare), fmt.Sprintf("%.1fs", r.ConditionSeconds))
	}
	return t.end()
}

// suppressed is how much a rule's time fields held back.
func suppressed(r *admin.RuleStatus) (n int64) {
	for _, by := range r.Suppressed {
		n += by
	}
	return n
}

func ruleState(r *admin.RuleStatus, now time.Time) string {
	switch {
	case !r.Enabled:
		return "disabled"
	case !r.PausedSince.IsZero():
		return "paused " + ago(r.PausedSince, now)
	case r.DryRun:
		return "dry run"
	}
	return "on"
}

// headroom says how long triggerd may be away.
func headroom(src *admin.StreamStatus) string {
	if src.BacklogSeconds == nil {
		return "and nothing is written to it"
	}
	return "enough for " + span(time.Duration(*src.BacklogSeconds*float64(time.Second)))
}
