package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"triggerd/internal/admin"
)

func newTailCommand() *cobra.Command {
	c := &client{}
	var key, outcome, when string
	var all bool
	cmd := &cobra.Command{
		Use:   "tail [RULE]",
		Short: "Print what the running daemon does, as it happens",
		Long: `Tail prints matches, firings, attempts to deliver, and changes of state (links,
gaps, endpoints, pauses, reloads), a line each, until it is interrupted.

With a rule, a key or an outcome only what has it is printed, and with --when only
what belongs to a change for which the condition holds, written as "when" of a rule
is. What was left out, because too much happened, is told by a line with its number.
--json prints one JSON object a line.`,
		Example: `  triggerd tail
  triggerd tail sold-out
  triggerd tail --outcome given_up --key 'order:*'
  triggerd tail --all --when 'num(after) < 5'`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			q := url.Values{}
			for name, value := range map[string]string{"key": key, "outcome": outcome, "when": when, "rule": strings.Join(args, "")} {
				if value != "" {
					q.Set(name, value)
				}
			}
			if all {
				q.Set("all", "1")
			}
			if err := c.takeForm(); err != nil {
				return err
			}
			if len(args) > 0 {
				c.noteUnknown(cmd.Context(), args[0], cmd.ErrOrStderr())
			}
			return c.tail(cmd.Context(), q, cmd.OutOrStdout())
		},
	}
	f := cmd.Flags()
	f.StringVar(&key, "key", "", "only of keys that match this glob")
	f.StringVar(&outcome, "outcome", "", "only attempts that came to this: delivered, retried or given_up")
	f.StringVar(&when, "when", "", "only of changes for which this condition holds")
	f.BoolVar(&all, "all", false, "every event too, also those that no rule matches")
	c.addFlags(cmd)
	return cmd
}

// noteUnknown tells if no rule has this name. That is no mistake: a reload may
// bring it, and firings of a rule that is gone may still wait.
func (c *client) noteUnknown(ctx context.Context, rule string, errs io.Writer) {
	known := *c
	known.json, known.form = false, ""
	var rates admin.Rates
	if _, err := known.do(ctx, http.MethodGet, "/api/v1/rates", nil, nil, &rates, io.Discard); err == nil && !slices.Contains(rates.Rules, rule) {
		fmt.Fprintln(errs, clean(fmt.Sprintf("no rule is called %q at present; there are: %s", rule, strings.Join(rates.Rules, ", "))))
	}
}

// maxFeedLine limits a line of the feed. A key may have 512 MB.
const maxFeedLine = 64 << 20

// tail prints the feed until ctx is done.
func (c *client) tail(ctx context.Context, q url.Values, out io.Writer) error {
	resp, err := c.send(ctx, http.MethodGet, "/api/v1/events", q, nil)
	if err != nil {
		return failed(err)
	}
	defer resp.Body.Close()
	lines := bufio.NewScanner(resp.Body)
	lines.Buffer(nil, maxFeedLine)
	lines.Split(wholeLines)
	for lines.Scan() {
		data, ok := strings.CutPrefix(lines.Text(), "data: ")
		if !ok {
			continue
		}
		var e admin.FeedEntry
		if err := json.Unmarshal([]byte(data), &e); err != nil {
			return failed(fmt.Errorf("the answer is not triggerd's: %w", err))
		}
		text := data
		if !c.json {
			text = clean(feedLine(&e))
		}
		if _, err := fmt.Fprintln(out, text); err != nil {
			return failed(err)
		}
	}
	switch err := lines.Err(); {
	case ctx.Err() != nil:
		return nil
	case err != nil:
		return failed(fmt.Errorf("the feed has ended: %w", err))
	}
	return failed(errors.New("the feed has ended: triggerd has stopped"))
}

// wholeLines splits at line feeds. What follows the last of them is the beginning
// of a line that did not come, and is dropped.
func wholeLines(data []byte, _ bool) (advance int, line []byte, err error) {
	if i := bytes.IndexByte(data, '\n'); i >= 0 {
		return i + 1, data[:i], nil
	}
	return 0, nil, nil
}

// feedLine is an entry for people.
func feedLine(e *admin.FeedEntry) string {
	parts := []string{e.At.Local().Format("15:04:05.000"), fmt.Sprintf("%-7s", e.Kind)}
	add := func(texts ...string) {
		for _, t := range texts {
			if t != "" {
				parts = append(parts, t)
			}
		}
	}
	switch e.Kind {
	case admin.FeedLost:
		if e.Count > 0 {
			add(fmt.Sprintf("%d entries were left out", e.Count))
		}
		add(e.Text)
	case admin.FeedState:
		add(e.Name, e.State, e.Text)
	case admin.FeedAttempt:
		took := time.Duration(e.Seconds * float64(time.Second)).Round(100 * time.Microsecond)
		add(e.Outcome, e.Rule, e.Key, e.Action, fmt.Sprintf("attempt %d, %s", e.Attempt, took), e.Text)
	default:
		add(e.Rule, e.Key, e.Event, e.Action)
	}
	return strings.Join(parts, "  ")
}
