package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"triggerd/engine"
	"triggerd/internal/admin"
	"triggerd/internal/notify"
	"triggerd/internal/playground"
	"triggerd/internal/spool"
	"triggerd/internal/store"
	"triggerd/internal/web"
	"triggerd/rules"
	"triggerd/source"
)

// defaultSource is where a server of one's own usually is.
const defaultSource = "redis://127.0.0.1:6379"

// runOptions are the flags of `triggerd run`. A flag goes before its variable
// of the environment, and that before the rules file.
type runOptions struct {
	config    string
	source    string
	dataDir   string
	logFormat string
	logLevel  string
	noExec    bool
	http      string
	pprof     bool
	watch     bool

	queue *logQueue // of the log, once it is made
}

func newRunCommand() *cobra.Command {
	opts := &runOptions{}
	cmd := &cobra.Command{
		Use:   "run",
		Short: "Run the rules in rules.toml (the default command)",
		Long: `Run attaches to the server and runs the rules until it is told to stop.

SIGHUP reads the rules again, and so does --watch when a file that they were
read from has changed. If there is any mistake in them, the old rules stay and
the mistakes are logged. SIGINT and SIGTERM stop reading, deliver what
can be delivered at once, and save the position; the next start resumes there.`,
		Example: `  triggerd run
  TRIGGERD_SOURCE="redis://triggerd:$PASSWORD@10.0.0.7:6379" triggerd run -c /etc/triggerd/rules.toml`,
		Args: noArguments,
		RunE: opts.run,
	}
	opts.addFlags(cmd)
	return cmd
}

func (o *runOptions) addFlags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVarP(&o.config, "config", "c", env("TRIGGERD_CONFIG", "rules.toml"), "rules file")
	f.StringVar(&o.source, "source", "", "server: redis://[user:password@]host:port, rediss://, unix:///path, or redis+sentinel://host:port,host:port/NAME\n(else $TRIGGERD_SOURCE, [source] url of the rules, $REDIS_URL, "+defaultSource+")")
	f.StringVar(&o.dataDir, "data-dir", "", "where firings and the position are kept (else $TRIGGERD_DATA_DIR, [store] dir of the rules)")
	f.StringVar(&o.logFormat, "log-format", env("TRIGGERD_LOG_FORMAT", "logfmt"), "logfmt or json")
	f.StringVar(&o.logLevel, "log-level", env("TRIGGERD_LOG_LEVEL", "info"), "debug, info, warn or error")
	f.BoolVar(&o.noExec, "no-exec", false, "refuse rules that run commands")
	f.StringVar(&o.http, "http", "", "host:port, or unix:///path, of status, metrics and API, or off (else $TRIGGERD_HTTP, [http] listen of the rules);\nits token is [http] token, or $TRIGGERD_TOKEN")
	f.BoolVar(&o.watch, "watch", false, "read the rules again when their files change, as at SIGHUP")
	f.BoolVar(&o.pprof, "pprof", false, "serve /debug/pprof/ there")
}

func env(name, otherwise string) string { return cmp.Or(os.Getenv(name), otherwise) }

// newLogger returns a logger to w.
func newLogger(w io.Writer, format, level string) (*slog.Logger, error) {
	var l slog.Level
	if err := l.UnmarshalText([]byte(level)); err != nil {
		return nil, fmt.Errorf("--log-level: %q is none of debug, info, warn, error", level)
	}
	o := &slog.HandlerOptions{Level: l, ReplaceAttr: plainErrors}
	switch format {
	case "logfmt":
		return slog.New(slog.NewTextHandler(w, o)), nil
	case "json":
		return slog.New(slog.NewJSONHandler(w, o)), nil
	}
	return nil, fmt.Errorf("--log-format: %q is neither logfmt nor json", format)
}

// plainErrors has the log show an error's message. Without, a text handler shows
// all that an error has to say of itself, and that of the store's engine has its
// stack.
func plainErrors(_ []string, a slog.Attr) slog.Attr {
	if a.Value.Kind() != slog.KindAny {
		return a
	}
	if err, ok := a.Value.Any().(error); ok {
		a.Value = slog.StringValue(err.Error())
	}
	return a
}

// startLog makes the log and begins to write it, until the function that it
// returns is called. What packages outside of this module say by the default
// logger goes there too, with --log-level debug.
func (o *runOptions) startLog(w io.Writer) (log *slog.Logger, stop func(), err error) {
	o.queue = newLogQueue(w)
	if log, err = newLogger(o.queue, o.logFormat, o.logLevel); err != nil {
		return nil, nil, err
	}
	o.queue.report = func(lines int64) {
		log.Warn("log lines were lost: standard error was closed, or not read in time", "lines", lines)
	}
	slog.SetLogLoggerLevel(slog.LevelDebug)
	slog.SetDefault(log)
	go o.queue.run()
	return log, o.queue.close, nil
}

// surviveBrokenPipes has a write to standard output or standard error fail where
// nobody reads it any more. Without, it ends the program, as it should `triggerd
// listen | head`, and must not a daemon whose log collector has crashed. It is
// not to ignore SIGPIPE, which programs that are run would inherit.
func surviveBrokenPipes() { signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE) }

func (o *runOptions) run(cmd *cobra.Command, _ []string) error {
	surviveBrokenPipes()
	log, stopLog, err := o.startLog(cmd.ErrOrStderr())
	if err != nil {
		return &exitError{exitUsage, err}
	}
	defer stopLog()
	svc := &service{notify: notify.FromEnv(), log: log}
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP) // before anything takes time: by default it ends a program
	defer signal.Stop(hangups)
	set, watch, err := o.loadFirst(log)
	if err != nil {
		return rulesError(o.config, err)
	}
	logWarnings(log, set)
	dataDir := cmp.Or(o.dataDir, os.Getenv("TRIGGERD_DATA_DIR"), set.Store.Dir)
	var kept keptDeliveries
	st, err := store.Options{Logger: log, Retention: set.Store.Retention, MaxBytes: set.Store.MaxBytes, Reclaim: kept.reclaim}.Open(dataDir)
	if err != nil {
		return failed(err)
	}
	defer st.Close()
	if err := os.Remove(filepath.Join(dataDir, sumsName)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return failed(err) // it would call a backup damaged that is a data directory now
	}
	if err := kept.open(dataDir, &set.Store, st, log); err != nil {
		return failed(err)
	}
	defer kept.close()

	received, err := openSpool(set, dataDir, log)
	if err != nil {
		return failed(err)
	}
	src, err := source.NewReplica(source.Config{
		URL: sourceURL(o.source, set), Ack: source.AckPolicy(set.Source.Ack), PsyncCommand: set.Source.PsyncCommand,
		SentinelUser: set.Source.SentinelUser, SentinelPassword: set.Source.SentinelPassword, Prefer: source.Prefer(set.Source.Prefer),
		Announce: set.Source.Announce, SentinelHello: set.Source.SentinelHello, ForeignWait: set.Source.ForeignWait,
		BacklogInterval: 10 * time.Second, Spool: received, Secrets: set.Secrets, Logger: log,
	})
	if err != nil {
		return badConfig(err)
	}
	e, err := engine.New(engine.Config{
		Rules: set, Source: src, Store: st, Kept: kept.log.Load(), Start: set.Source.Start, MaxMirror: set.Source.MaxMirror, MaxBehind: set.HTTP.MaxBehind,
		CancelRewound: set.Source.Rewound == "cancel",
		Actions:       o.actions(log), CheckpointInterval: checkpointInterval(set), Logger: log,
	})
	if err != nil {
		return rulesError(o.config, err)
	}
	reloads := &reloader{options: o, watch: watch, first: set, service: svc, log: log, requests: make(chan chan<- *admin.Reload)}
	srv, err := o.newServer(set, e, reloads, log)
	if err != nil {
		return badConfig(err)
	}
	ctx, stop := notifyStop(cmd.Context())
	defer stop()
	log.Info("triggerd starts", "version", versionString(), "rules", len(set.Rules), "file", o.config, "server", src.Status().Addr)
	svc.engine = e
	defer reloads.run(ctx, hangups)()
	defer serve(srv, log)()
	defer svc.run(ctx)()
	if err = runToEnd(ctx, e, log); err == errNotEnded {
		log.Error("triggerd ended", "err", err)
		stopLog()
		os.Exit(exitFailed)
	}
	s := e.Stats()
	log.Info("triggerd stopped", "events", s.Events, "matches", s.Matches, "delivered", s.Delivered, "given_up", s.GivenUp, "dropped", s.Dropped, "pending", s.Pending)
	if err != nil {
		fmt.Fprintln(o.queue, "triggerd:", err) // which waits for nobody, as main would
		return &exitError{code: exitFailed}
	}
	return nil
}

// endAfter is how long after its attempts had to end the program may still be
// at work.
const endAfter = 2 * time.Second

// runToEnd runs an engine. Where that has not ended in time after ctx was done
// it returns errNotEnded.
func runToEnd(ctx context.Context, e *engine.Engine, log *slog.Logger) error {
	told := context.AfterFunc(ctx, func() {
		log.Info("stopping", "why", context.Cause(ctx), "attempts_have", e.ShutdownTimeout())
	})
	defer told()
	return endWithin(ctx, func() time.Duration { return e.ShutdownTimeout() + endAfter }, func() error { return e.Run(ctx) })
}

// openSpool opens the spool of the rules' size: in files, or in memory.
func openSpool(set *rules.Set, dataDir string, log *slog.Logger) (*spool.Log, error) {
	o := spool.Options{Stream: engine.Standalone, Limit: set.Source.Spool, Logger: log}
	if o.Limit > 0 {
		o.Dir = spool.Dir(dataDir, engine.Standalone)
	}
	return spool.Open(o)
}

// newServer returns the HTTP server that the flags, the environment or the
// rules ask for; nil: none.
func (o *runOptions) newServer(set *rules.Set, e *engine.Engine, reloads *reloader, log *slog.Logger) (*web.Server, error) {
	listen := cmp.Or(o.http, os.Getenv("TRIGGERD_HTTP"), set.HTTP.Listen)
	if listen == "" || listen == "off" {
		return nil, nil
	}
	token, err := tokenOf("TRIGGERD_TOKEN", os.Getenv("TRIGGERD_TOKEN"))
	if err != nil {
		return nil, err
	}
	reg := newRegistry(e.Collector(), o.queue.collector())
	srv, err := web.New(web.Config{
		Listen: listen, Token: cmp.Or(token, set.HTTP.Token), ReadToken: set.HTTP.ReadToken, HideValues: !set.HTTP.ShowValues,
		Daemon: e, Metrics: metricsHandler(reg), Version: versionString(), Pprof: o.pprof, Logger: log, LogLinesLost: o.queue.lost.Load,
		Reload: reloads.ask, Playground: playground.New(),
	})
	if err != nil {
		return nil, err
	}
	reg.MustRegister(srv.Collector())
	return srv, nil
}

// tokenOf checks a token that is not of the rules file, "" for none, as if it
// were; from says where it comes from.
func tokenOf(from, token string) (string, error) {
	if token == "" {
		return "", nil
	}
	if err := rules.CheckToken(token); err != nil {
		return "", fmt.Errorf("%s: %w", from, err)
	}
	return token, nil
}

// serve runs a server, if there is one, until the function that it returns is
// called: past the end of ctx, so that one can see what is still delivered.
func serve(srv *web.Server, log *slog.Logger) (stop func()) {
	if srv == nil {
		return func() {}
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := srv.Run(ctx); err != nil {
			log.Error("status, metrics and API have ended", "err", err)
		}
	}()
	return func() {
		cancel()
		<-done
	}
}

func (o *runOptions) actions(log *slog.Logger) engine.ActionOptions {
	written := awaitHandler{log.Handler(), func(w io.Writer) slog.Handler {
		l, _ := newLogger(w, o.logFormat, o.logLevel) // which were right before
		return l.Handler()
	}, o.queue}
	return engine.ActionOptions{Stdout: os.Stdout, Logger: slog.New(written), NoExec: o.noExec, UserAgent: "triggerd/" + versionString()}
}

// load reads the rules. reads, if it is not nil, is told from where.
func (o *runOptions) load(log *slog.Logger, reads func(path string, isPattern bool)) (*rules.Set, error) {
	options := o.actions(log)
	options.Reads = reads
	return engine.LoadRules(o.config, options)
}

// sourceURL returns the server's URL from the first place that has one, with the
// user and the password of the rules if it names none.
func sourceURL(flag string, set *rules.Set) string {
	raw := cmp.Or(flag, os.Getenv("TRIGGERD_SOURCE"), set.Source.URL, os.Getenv("REDIS_URL"), defaultSource)
	return source.WithUser(raw, set.Source.User, set.Source.Password)
}

// checkpointInterval returns how often the position is saved. An application
// that waits for it, with WAIT or WAITAOF, waits half of that on average.
func checkpointInterval(set *rules.Set) time.Duration {
	if set.Source.Ack == string(source.AckDurable) {
		return 50 * time.Millisecond
	}
	return time.Second
}

// notifyStop returns a context that ends at SIGINT or SIGTERM. A second one
// ends the program as if there were no triggerd to drain.
func notifyStop(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGINT, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	return ctx, stop
}

// What a command that keeps nothing is given to end at a signal: what is in
// flight first, then the command, whatever it waits for.
const (
	flightTime = 500 * time.Millisecond
	endTime    = time.Second
)

var errNotEnded = errors.New("did not end in time: it is ended as a crash would, which loses nothing, and repeats what was being delivered")

// endWithin calls run, and returns what it returns; or errNotEnded, if it has not
// ended so long after ctx was done. It may be stuck in a read of standard input,
// in a write that nobody reads, or at a long piece of work.
func endWithin(ctx context.Context, grace func() time.Duration, run func() error) error {
	ended := make(chan error, 1)
	go func() { ended <- run() }()
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
	}
	select {
	case err := <-ended:
		return err
	case <-time.After(grace()):
	}
	select {
	case err := <-ended: // on a busy machine it may have, and this is looked at late
		return err
	default:
		return errNotEnded
	}
}

// untilStopped is endWithin for a command that keeps nothing, so that there is
// nothing to wait for: that it has not ended by itself is no error of its own.
func untilStopped(ctx context.Context, run func() error) error {
	err := endWithin(ctx, func() time.Duration { return endTime }, run)
	if err == errNotEnded {
		return context.Cause(ctx)
	}
	return err
}

// loadFirst reads the rules, and returns a watch over their files if one is
// wanted; else it is nil. What changes from here on is seen by the watch.
func (o *runOptions) loadFirst(log *slog.Logger) (*rules.Set, *fileWatch, error) {
	if !o.watch {
		set, err := o.load(log, nil)
		return set, nil, err
	}
	watch := &fileWatch{}
	if _, err := o.load(log, watch.reads); err != nil {
		return nil, nil, err
	}
	watch.wereRead(true)
	// What has changed since it was read is not seen: it has to be read again.
	watch.reading()
	watch.last = watch.loaded
	set, err := o.load(log, watch.reads)
	watch.wereRead(true)
	return set, watch, err
}

// reloader reads the rules of a running daemon again.
type reloader struct {
	options *runOptions
	watch   *fileWatch // nil: their files are not watched
	first   *rules.Set // what the daemon began with
	service *service   // set before run
	log     *slog.Logger

	requests chan chan<- *admin.Reload
}

// run reads the rules at each SIGHUP, when somebody asks for it, and when the
// watch sees a change, until the function that it returns is called.
func (r *reloader) run(ctx context.Context, hangups <-chan os.Signal) (stop func()) {
	done := make(chan struct{})
	ctx, cancel := context.WithCancel(ctx)
	var looks <-chan time.Time
	if r.watch != nil {
		tick := time.NewTicker(watchInterval)
		context.AfterFunc(ctx, tick.Stop)
		looks = tick.C
	}
	go func() {
		defer close(done)
		for {
			var answer chan<- *admin.Reload
			select {
			case <-ctx.Done():
				return
			case <-hangups:
			case answer = <-r.requests:
			case <-looks:
				if !r.watch.changed() {
					continue
				}
			}
			result := r.reload()
			if answer != nil {
				answer <- result
			}
		}
	}()
	return func() {
		cancel()
		<-done
	}
}

// ask has the rules read, and returns what came of it.
func (r *reloader) ask(ctx context.Context, by string) (*admin.Reload, error) {
	r.log.Info("asked to read the rules again", "by", by)
	answer := make(chan *admin.Reload, 1)
	select {
	case r.requests <- answer:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	select {
	case result := <-answer:
		return result, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// reload reads the rules, and has the watch follow their files.
func (r *reloader) reload() (result *admin.Reload) {
	if r.watch != nil {
		r.watch.reading()
	}
	r.service.reload(func() {
		if result = r.read(); r.watch != nil {
			r.watch.wereRead(result.OK)
		}
		r.service.refused.Store(!result.OK)
	})
	return result
}

// read reads the rules again, and returns what came of it.
func (r *reloader) read() *admin.Reload {
	e, log := r.service.engine, r.log
	var reads func(path string, isPattern bool)
	if r.watch != nil {
		reads = r.watch.reads
	}
	set, err := r.options.load(log, reads)
	var result admin.Reload
	if err != nil {
		e.ReloadFailed(err)
	} else {
		result = e.Compare(set)
		err = e.Reload(set)
	}
	if err != nil {
		mistakes := rules.Errors(err)
		for _, m := range mistakes {
			log.Error("mistake in the rules", "file", m.File, "line", m.Line, "col", m.Col, "rule", m.Rule, "field", m.Field, "problem", m.Msg, "hint", m.Hint)
		}
		log.Error("rules not reloaded, the old ones stay", "file", r.options.config, "mistakes", len(mistakes), "err", firstLine(err))
		result = admin.Reload{File: r.options.config, Mistakes: notes(mistakes)}
		if len(mistakes) == 0 {
			result.Mistakes = []admin.Note{{File: r.options.config, Message: err.Error()}}
		}
		return &result
	}
	logWarnings(log, set)
	result.Warnings = notes(set.Warnings)
	if result.Restart = set.Source != r.first.Source || set.Store != r.first.Store || set.HTTP != r.first.HTTP; result.Restart {
		log.Warn("changes in [source], [store] and [http] need a restart", "file", r.options.config)
	}
	log.Info("rules reloaded", "file", r.options.config, "rules", len(set.Rules), "added", len(result.Added), "removed", len(result.Removed), "changed", len(result.Changed))
	return &result
}

func notes(list []*rules.Error) (out []admin.Note) {
	for _, m := range list {
		out = append(out, admin.Note{File: m.File, Line: m.Line, Col: m.Col, Rule: m.Rule, Field: m.Field, Message: m.Msg, Hint: m.Hint})
	}
	return out
}

func firstLine(err error) string {
	line, _, _ := strings.Cut(err.Error(), "\n")
	return line
}

func logWarnings(log *slog.Logger, set *rules.Set) {
	for _, w := range set.Warnings {
		log.Warn("questionable rule", "file", w.File, "line", w.Line, "rule", w.Rule, "field", w.Field, "problem", w.Msg, "hint", w.Hint)
	}
}

// rulesError makes an error of loading a rules file one to end with.
func rulesError(path string, err error) error {
	if _, missing := os.Stat(path); errors.Is(missing, fs.ErrNotExist) {
		return badConfig(fmt.Errorf("%s: no such file\nWrite one with triggerd init, name another with -c,\nor look around first, without any file: triggerd listen %s", path, defaultSource))
	}
	n := len(rules.Errors(err))
	if n == 0 {
		return badConfig(err)
	}
	return badConfig(fmt.Errorf("%s in %s:\n%w", plural(n, "mistake"), path, err))
}

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
