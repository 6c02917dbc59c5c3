package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"triggerd/engine"
	"triggerd/internal/event"
	"triggerd/source"
)

type listenOptions struct {
	when      string
	json      bool
	forwardTo string
	psync     string
	values    bool
}

func newListenCommand() *cobra.Command {
	opts := &listenOptions{}
	cmd := &cobra.Command{
		Use:   "listen [URL] [PATTERN...]",
		Short: "Watch changes as they happen, without any file",
		Long: `Listen attaches to a server and prints each change of a key, one line each,
from now on until it is interrupted. Nothing is kept, and nothing is changed on
the server. Without a URL it is that of $TRIGGERD_SOURCE, else of $REDIS_URL, else
redis://127.0.0.1:6379.

With a PATTERN the values of these keys are read from the server's snapshot and
followed, so that each change shows the value before and after; --values=false
spares the server sending its snapshot.

A PATTERN is a Redis glob (* ? [a-z]), and {name} captures a part of the key. A
change is shown if its key matches any PATTERN, and if --when, a condition as in
a rule, holds. Without a PATTERN everything is shown, PUBLISH and FLUSHALL too.

On a terminal changes are in columns, and no more of them than can be seen; it
says how many it left out. A pipe, and --json, get every one.

With --forward-to each change is also posted to that URL as a webhook, to try
out a receiver, and a line tells each answer (with --json on standard error);
of very many a second it tells some. At the end it says how many changes the
receiver did not take, and how many still waited.`,
		Example: `  triggerd listen redis://127.0.0.1:6379
  triggerd listen redis://127.0.0.1:6379 'stock:*' 'order:{id}'
  triggerd listen 'session:*' --when 'event == "del"' --json | jq .data.key
  triggerd listen 'cart:*' --forward-to http://127.0.0.1:3000/hook`,
		RunE: func(cmd *cobra.Command, args []string) error {
			return opts.run(cmd.Context(), args, cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	f := cmd.Flags()
	f.StringVar(&opts.when, "when", "", "show a change only if this condition holds")
	f.BoolVar(&opts.json, "json", false, "print the whole event as JSON, one a line")
	f.StringVar(&opts.forwardTo, "forward-to", "", "post each change to this URL too")
	f.BoolVar(&opts.values, "values", true, "show values before and after, where there is a PATTERN")
	f.StringVar(&opts.psync, "psync-command", "", "name of PSYNC on a server that renamed it")
	return cmd
}

func (o *listenOptions) run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	url := cmp.Or(os.Getenv("TRIGGERD_SOURCE"), os.Getenv("REDIS_URL"), defaultSource)
	if len(args) > 0 && strings.Contains(args[0], "://") {
		url, args = args[0], args[1:]
	} else if len(args) > 0 && isAddress(args[0]) {
		return &exitError{exitUsage, fmt.Errorf("%s is an address without its scheme: write redis://ADDRESS, or rediss://ADDRESS for TLS\n(if it is the pattern of a key: triggerd listen %s PATTERN)", maskedAddress(args[0]), defaultSource)}
	}
	ctx, stop := notifyStop(ctx)
	defer stop()
	out := &pipe{w: stdout}
	if s := screenOf(stdout); s != nil && !o.json {
		v := newView(s)
		defer v.flush()
		out.w = v
	}
	ctx, out.broken = context.WithCancelCause(ctx)

	// No time in front of a message: a person is watching.
	log := slog.New(slog.NewTextHandler(stderr, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}}))
	actions := engine.ActionOptions{Stdout: out, Logger: log, UserAgent: "triggerd/" + versionString()}
	set, err := engine.BuildRules(o.document(args), actions)
	if err != nil {
		return &exitError{exitUsage, err}
	}
	src, err := source.NewReplica(source.Config{URL: url, PsyncCommand: o.psync, FailFirst: true, Logger: log})
	if err != nil {
		return &exitError{exitUsage, err}
	}
	e, err := engine.New(engine.Config{Rules: set, Source: src, Start: "live", Actions: actions, DrainTimeout: flightTime, Logger: log})
	if err != nil {
		return &exitError{exitUsage, err}
	}
	if o.forwardTo != "" {
		answers := io.Writer(out)
		if o.json {
			answers = stderr
		}
		ended := make(chan struct{})
		watching, end := context.WithCancel(context.WithoutCancel(ctx))
		go func() {
			defer close(ended)
			showAnswers(watching, e, answers)
		}()
		defer func() {
			end()
			select {
			case <-ended:
			case <-time.After(time.Second): // nobody reads the answers
			}
		}()
	}
	if err = untilStopped(ctx, func() error { return e.Run(ctx) }); err != nil && err == context.Cause(ctx) {
		err = nil // an interrupt is how it ends
	}
	if e.Stats().Dropped > 0 {
		err = errors.Join(err, fmt.Errorf("%d changes were not shown: they came faster than they could be printed or forwarded", e.Stats().Dropped))
	}
	if o.forwardTo != "" {
		s := e.Stats()
		if s.GivenUp > 0 {
			err = errors.Join(err, fmt.Errorf("%s not taken by the receiver, and given up", changesWere(s.GivenUp)))
		}
		if s.Pending > 0 {
			fmt.Fprintf(stderr, "%s still waiting to be shown or forwarded\n", changesWere(s.Pending))
		}
	}
	if cause := context.Cause(ctx); errors.Is(cause, errPipe) && !errors.Is(cause, syscall.EPIPE) {
		err = errors.Join(err, cause)
	}
	return failed(withHint(err))
}

// changesWere begins a sentence about a number of changes.
func changesWere(n int64) string {
	if n == 1 {
		return "1 change was"
	}
	return fmt.Sprintf("%d changes were", n)
}

// address matches what people type for the address of a server: a host, which
// is an IP address, localhost, or has a dot in it, with a port; any host with
// the port of Redis; or a host behind a user and password.
var address = regexp.MustCompile(`^(?:(?:localhost|[\w-]+(?:\.[\w-]+)+|\[[0-9a-fA-F:.]+\]):\d{1,5}|[\w-]+:6379|[^@{}*?/]*:[^@{}*?/]*@(?:[\w.-]+|\[[0-9a-fA-F:.]+\])(?::\d{1,5})?)$`)

// isAddress reports whether an argument is an address that lacks its scheme. A
// pattern of keys rarely looks like one.
func isAddress(arg string) bool { return address.MatchString(arg) }

// maskedAddress is an address without its password.
func maskedAddress(arg string) string {
	if at := strings.LastIndex(arg, "@"); at >= 0 {
		return "***" + arg[at:]
	}
	return arg
}

// document is the rules file that the flags stand for.
func (o *listenOptions) document(patterns []string) map[string]any {
	format := "text"
	if o.json {
		format = "json"
	}
	// In the order of the stream: no lanes, and one line at a time. A line waits
	// for as long as somebody reads the page before it.
	targets := map[string]any{"show": map[string]any{"type": "print", "format": format, "concurrency": int64(1), "timeout": "24h"}}
	actions := []any{map[string]any{"target": "show", "order": "none"}}
	if o.forwardTo != "" {
		targets[forwardTarget] = map[string]any{"type": "webhook", "url": o.forwardTo}
		actions = append(actions, map[string]any{"target": forwardTarget})
	}
	rule := func(name, field string, values []string) map[string]any {
		r := map[string]any{"name": name, "action": actions, "values": o.values && len(patterns) > 0}
		if len(values) > 0 {
			r[field] = values
		}
		if o.when != "" {
			r["when"] = o.when
		}
		return r
	}
	rules := []any{rule("listen", "key", patterns)}
	if len(patterns) == 0 {
		rules = append(rules, rule("listen-keyless", "event", keylessEvents))
	}
	return map[string]any{"targets": targets, "rule": rules}
}

// forwardTarget is the target of --forward-to.
const forwardTarget = "forward"

// keylessEvents concern no key, and are shown where no key is asked for.
var keylessEvents = []string{
	event.FlushDB, event.FlushAll, event.SwapDB, event.Publish, event.SPublish, event.Function, event.Gap, event.Rewound,
}

var errPipe = errors.New("write the output")

// pipe is standard output that ends listening when nobody reads it any more.
type pipe struct {
	mu     sync.Mutex // held while a line is written
	w      io.Writer
	broken context.CancelCauseFunc
}

func (p *pipe) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	n, err := p.w.Write(b)
	if err != nil {
		p.broken(fmt.Errorf("%w: %w", errPipe, err))
	}
	return n, err
}
