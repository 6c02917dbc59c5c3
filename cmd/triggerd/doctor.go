package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"

	"github.com/spf13/cobra"

	"triggerd/engine"
	"triggerd/internal/doctor"
	"triggerd/rules"
	"triggerd/source"
)

type doctorOptions struct {
	config  string
	source  string
	json    bool
	measure time.Duration
}

func newDoctorCommand() *cobra.Command {
	opts := &doctorOptions{}
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Tell what the server's settings mean for triggers",
		Long: `Doctor asks a server for its settings and figures, changes nothing, and tells
what they mean for triggers: how long an outage of triggerd may last before
changes are lost, what makes the server drop it, which events are not what they
seem. Each finding has its figure first, and the command that mends it.

Ask while the server is written to as usual: how long its backlog lasts is told
by the rate of writes. "unknown" is what the user may not look at.

It ends with 1 if there is a warning or an error, or the server cannot be asked.`,
		Example: `  triggerd doctor --source redis://triggerd:$PASSWORD@10.0.0.7:6379
  triggerd doctor --json | jq '.findings[] | select(.severity == "warn")'`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return opts.run(cmd.Context(), cmd.OutOrStdout())
		},
	}
	f := cmd.Flags()
	f.StringVarP(&opts.config, "config", "c", env("TRIGGERD_CONFIG", "rules.toml"), "rules file, whose [source] url is asked if nothing else names a server")
	f.StringVar(&opts.source, "source", "", "server: redis://[user:password@]host:port, rediss://, unix:///path\n(else $TRIGGERD_SOURCE, [source] url of the rules, $REDIS_URL, "+defaultSource+")")
	f.BoolVar(&opts.json, "json", false, "print JSON")
	f.DurationVar(&opts.measure, "measure", 2*time.Second, "for how long to look at the rate of writes")
	return cmd
}

func (o *doctorOptions) run(ctx context.Context, out io.Writer) error {
	ctx, stop := notifyStop(ctx)
	defer stop()
	if o.measure < 100*time.Millisecond || o.measure > time.Hour {
		return &exitError{exitUsage, fmt.Errorf("--measure %s: between 100ms and 1h", o.measure)}
	}
	url, set, err := o.server()
	if err != nil {
		return err
	}
	if err := source.CheckURL(url); err != nil {
		return &exitError{exitUsage, err}
	}
	report, addr := o.examine(ctx, source.Config{
		URL: url, SentinelUser: set.Source.SentinelUser, SentinelPassword: set.Source.SentinelPassword, Secrets: set.Secrets,
	})
	if ctx.Err() != nil {
		return failed(context.Cause(ctx))
	}
	if err := o.print(out, report, addr); err != nil {
		return failed(err)
	}
	if report.Bad() {
		return &exitError{code: exitFailed}
	}
	return nil
}

// server returns the URL of the server to ask, and the rules, if that needs them.
func (o *doctorOptions) server() (url string, set *rules.Set, err error) {
	set = &rules.Set{}
	if o.source == "" && os.Getenv("TRIGGERD_SOURCE") == "" {
		switch s, err := engine.LoadRules(o.config, engine.ActionOptions{}); {
		case err == nil:
			set = s
		case errors.Is(missingFile(o.config), fs.ErrNotExist):
		default:
			return "", nil, rulesError(o.config, fmt.Errorf("%w\n(or name the server: --source URL)", err))
		}
	}
	return sourceURL(o.source, set), set, nil
}

// missingFile returns why a file cannot be looked at; nil if it can.
func missingFile(path string) error {
	_, err := os.Stat(path)
	return err
}

// examine asks the server. One that cannot be asked is a finding, too.
func (o *doctorOptions) examine(ctx context.Context, cfg source.Config) (report *doctor.Report, addr string) {
	s, err := source.NewAsker(ctx, cfg)
	if err != nil {
		return notAsked(err), ""
	}
	defer s.Close()
	report, err = doctor.Examine(ctx, s, o.measure)
	if err != nil {
		return notAsked(err), s.Addr()
	}
	return report, s.Addr()
}

// notAsked is the report of a server that could not be asked. Where it has
// answered, what mends that is what to do about its answer.
func notAsked(err error) *doctor.Report {
	r := doctor.Unreachable(err)
	if source.IsNotNamed(err) {
		r.Findings[0].Fix = "name Sentinels that answer, and the primary by the name that they know: triggerd doctor --source redis+sentinel://HOST1:26379,HOST2:26379/NAME"
	}
	var refused *source.ServerError
	if errors.As(err, &refused) && refused.Hint != "" {
		said := *refused
		said.Hint = ""
		r.Findings[0].Why, r.Findings[0].Fix = said.Error(), refused.Hint
	}
	return r
}

func (o *doctorOptions) print(out io.Writer, r *doctor.Report, addr string) error {
	if o.json {
		e := json.NewEncoder(out)
		e.SetEscapeHTML(false)
		e.SetIndent("", "  ")
		return e.Encode(r)
	}
	if addr != "" {
		fmt.Fprintln(out, "server:", addr)
	}
	t := newTable(out, "SEVERITY", "FINDING", "FIGURE", "WHY")
	for _, f := range r.Findings {
		t.row(string(f.Severity), f.ID, f.Figure, f.Why)
	}
	if err := t.end(); err != nil {
		return err
	}
	mended := false
	for _, f := range r.Findings {
		if f.Fix == "" || f.Severity == doctor.Unknown {
			continue
		}
		if !mended {
			fmt.Fprintln(out, "\nTo mend it:")
			mended = true
		}
		fmt.Fprintf(out, "  %s: %s\n", f.ID, clean(f.Fix))
	}
	return nil
}
