package main

import (
	"context"
	"fmt"
	"io"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"triggerd/internal/admin"
)

// ruleStatus shows what one rule counts and waits for.
func (c *client) ruleStatus(ctx context.Context, out io.Writer, rule string) error {
	var d admin.RuleDetail
	printed, err := c.do(ctx, "GET", "/api/v1/rules/"+url.PathEscape(rule), nil, nil, &d, out)
	if err != nil || printed {
		return err
	}
	return showRuleDetail(out, &d, time.Now())
}

func showRuleDetail(out io.Writer, d *admin.RuleDetail, now time.Time) error {
	say := func(what, format string, args ...any) {
		fmt.Fprintf(out, "%-10s %s\n", what, clean(fmt.Sprintf(format, args...)))
	}
	say("rule", "%s, %s", d.Name, ruleState(&d.RuleStatus, now))
	say("counts", "%d matches, %d firings, %d skipped, %d dropped", d.Matches, d.Firings, d.Skipped+d.DryRuns, d.Dropped)
	if len(d.Suppressed) > 0 {
		var parts []string
		for _, reason := range slices.Sorted(maps.Keys(d.Suppressed)) {
			parts = append(parts, fmt.Sprintf("%s %d", reason, d.Suppressed[reason]))
		}
		say("suppressed", "%s", strings.Join(parts, ", "))
	}
	say("states", "%d, %s", d.States, plural(d.Armed, "armed timer"))
	if d.Open > 0 {
		say("open", "%d", d.Open)
	}
	if !d.NextRun.IsZero() {
		say("next run", "%s, in %s", d.NextRun.Local().Format(time.DateTime), span(d.NextRun.Sub(now)))
	}
	if d.Held > 0 {
		say("held", "%s, until %s", plural(d.Held, "firing"), d.Opens.Local().Format(time.DateTime))
	}
	return showRuleTables(out, d, now)
}

func showRuleTables(out io.Writer, d *admin.RuleDetail, now time.Time) error {
	if len(d.Timers) > 0 {
		fmt.Fprintln(out)
		t := newTable(out, "TIMER", "BY", "DUE", "MATCHES")
		for _, timer := range d.Timers {
			due := "has fired"
			switch {
			case !timer.Since.IsZero():
				due = "open for " + span(now.Sub(timer.Since))
			case !timer.Due.IsZero() && timer.Fired:
				due = "has fired, again in " + span(timer.Due.Sub(now))
			case !timer.Due.IsZero():
				due = "in " + span(timer.Due.Sub(now))
			}
			t.row(timer.Stage, timer.By, due, strconv.Itoa(timer.Count))
		}
		if err := t.end(); err != nil {
			return err
		}
	}
	if len(d.Windows) > 0 {
		fmt.Fprintln(out)
		t := newTable(out, "WINDOW", "BY", "COUNT", "SUPPRESSED SINCE")
		for _, w := range d.Windows {
			t.row(w.Stage, w.By, strconv.Itoa(w.Count), strconv.Itoa(w.Suppressed))
		}
		return t.end()
	}
	return nil
}
