package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"runtime"
	"time"

	"github.com/spf13/cobra"

	"triggerd/actions"
	"triggerd/engine"
	"triggerd/internal/admin"
	"triggerd/internal/event"
	"triggerd/rules"
	"triggerd/source"
)

type replayOptions struct {
	config string
	dryRun bool
	events bool
	stats  string
	noExec bool
}

func newReplayCommand() *cobra.Command {
	opts := &replayOptions{}
	cmd := &cobra.Command{
		Use:   "replay FILE...",
		Short: "Run the rules over files: snapshots, append-only files, recorded streams",
		Long: `Replay has the rules see what is in files, as if a server sent it now, as fast as
the machine allows, and prints each firing as JSON, one a line.

It delivers them too, in order and with retries, unless --dry-run is given.

A FILE is a snapshot (dump.rdb), an append-only file (the .manifest of one that
has many), a recorded replication stream, or "-" for standard input. Keys of a
snapshot fire rules with snapshot = true.

A file that ends in the midst of a command or transaction is played up to there,
with a warning that says where, as a server starts with it.`,
		Example: `  triggerd replay --dry-run /var/lib/redis/appendonlydir/appendonly.aof.manifest
  triggerd replay --events dump.rdb | jq -r .data.key
  triggerd replay --dry-run --stats -c new.toml recorded.resp > /dev/null`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return opts.run(cmd.Context(), args, cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	f := cmd.Flags()
	f.StringVarP(&opts.config, "config", "c", env("TRIGGERD_CONFIG", "rules.toml"), "rules file")
	f.BoolVar(&opts.dryRun, "dry-run", false, "print the firings, deliver nothing")
	f.BoolVar(&opts.events, "events", false, "print every event instead of the firings, and deliver nothing; needs no rules")
	f.StringVar(&opts.stats, "stats", "", "print figures on standard error at the end: text or json")
	f.Lookup("stats").NoOptDefVal = "text"
	f.BoolVar(&opts.noExec, "no-exec", false, "refuse rules that run commands")
	return cmd
}

func (o *replayOptions) run(ctx context.Context, files []string, stdout, stderr io.Writer) error {
	if o.stats != "" && o.stats != "text" && o.stats != "json" {
		return &exitError{exitUsage, fmt.Errorf("--stats: %q is neither text nor json", o.stats)}
	}
	ctx, stop := notifyStop(ctx)
	defer stop()
	log := slog.New(slog.NewTextHandler(stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	acts := engine.ActionOptions{Stdout: io.Discard, Logger: log, NoExec: o.noExec, UserAgent: "triggerd/" + versionString()}
	set, err := o.load(acts)
	if err != nil {
		return rulesError(o.config, err)
	}
	src, err := source.OpenRecording(files...)
	if err != nil {
		return failed(err)
	}
	src.Logger = log
	out := bufio.NewWriterSize(stdout, 64<<10)
	cfg := engine.Config{Rules: set, Source: src, Replay: true, DryRun: o.dryRun || o.events, MaxPending: 10_000, MaxMirror: set.Source.MaxMirror, DrainTimeout: flightTime, Actions: acts, Logger: log}
	o.printTo(out, &cfg)
	var m *meter
	if o.stats != "" {
		m = newMeter(&cfg)
	}
	e, err := engine.New(cfg)
	if err != nil {
		return rulesError(o.config, err)
	}
	if m != nil {
		m.start()
	}
	err = untilStopped(ctx, func() error { return errors.Join(e.Run(ctx), out.Flush()) })
	if m != nil {
		m.print(stderr, e.Stats(), o.stats == "json")
	}
	if err == nil && ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	if n := e.Stats().GivenUp; err == nil && n > 0 {
		err = fmt.Errorf("%s not delivered", plural(int(n), "firing"))
	}
	return failed(err)
}

// load reads the rules. To see events none are needed.
func (o *replayOptions) load(acts engine.ActionOptions) (*rules.Set, error) {
	if _, err := os.Stat(o.config); o.events && errors.Is(err, fs.ErrNotExist) {
		return engine.BuildRules(map[string]any{}, acts)
	}
	return engine.LoadRules(o.config, acts)
}

// printTo has what was asked for printed as it comes.
func (o *replayOptions) printTo(out *bufio.Writer, cfg *engine.Config) {
	var line []byte
	if o.events {
		cfg.OnEvent = func(ev *event.Event) {
			id := fmt.Sprintf("%s:%d/%d", ev.ReplID, ev.Offset, ev.Index)
			line = event.AppendJSON(line[:0], ev, event.Delivery{ID: id, Attempt: 1})
			out.Write(append(line, '\n'))
		}
		return
	}
	cfg.OnFiring = func(f *actions.Firing) {
		first := *f
		first.Attempt = 1
		line = first.AppendJSON(line[:0])
		out.Write(append(line, '\n'))
	}
}

// replayFigures is what --stats=json prints.
type replayFigures struct {
	Commands          int64   `json:"commands"`
	Events            int64   `json:"events"`
	Matches           int64   `json:"matches"`
	Bytes             int64   `json:"bytes"`
	Seconds           float64 `json:"seconds"`
	CommandsPerSecond float64 `json:"commands_per_second"`
	MBPerSecond       float64 `json:"mb_per_second"`
	Allocations       uint64  `json:"allocations"`
	Share             struct {
		Read      float64 `json:"read"`
		Interpret float64 `json:"interpret"`
		Match     float64 `json:"match"`
	} `json:"share"`
}

// meter measures a run.
type meter struct {
	began         time.Time
	before, after runtime.MemStats
	figures       replayFigures
}

// newMeter returns a meter of the run that cfg is for.
func newMeter(cfg *engine.Config) *meter {
	m := &meter{}
	cfg.OnProfile = func(p engine.Profile) { // when reading has ended, whatever is still to deliver
		f := &m.figures
		f.Seconds = time.Since(m.began).Seconds()
		f.Share.Read, f.Share.Interpret, f.Share.Match = p.Read, p.Interpret, p.Match
		runtime.ReadMemStats(&m.after)
		f.Allocations = m.after.Mallocs - m.before.Mallocs
	}
	return m
}

func (m *meter) start() {
	runtime.ReadMemStats(&m.before)
	m.began = time.Now()
}

func (m *meter) print(w io.Writer, s admin.Stats, asJSON bool) {
	f := &m.figures
	f.Commands, f.Events, f.Matches, f.Bytes = s.Records, s.Events, s.Matches, s.Bytes
	if f.Seconds > 0 {
		f.CommandsPerSecond = float64(f.Commands) / f.Seconds
		f.MBPerSecond = float64(f.Bytes) / 1e6 / f.Seconds
	}
	if asJSON {
		json.NewEncoder(w).Encode(f)
		return
	}
	fmt.Fprintf(w, "%d commands, %d events, %d matches, %d bytes in %.3f s\n", f.Commands, f.Events, f.Matches, f.Bytes, f.Seconds)
	fmt.Fprintf(w, "%.0f commands/s, %.1f MB/s, %d allocations\n", f.CommandsPerSecond, f.MBPerSecond, f.Allocations)
	fmt.Fprintf(w, "reading %.0f %%, interpreting %.0f %%, matching %.0f %%\n", 100*f.Share.Read, 100*f.Share.Interpret, 100*f.Share.Match)
}
