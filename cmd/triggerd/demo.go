package main

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"triggerd/engine"
	"triggerd/examples"
	"triggerd/internal/playground"
	"triggerd/internal/servers"
	"triggerd/internal/web"
	"triggerd/rules"
	"triggerd/source"
)

// recording is the replication stream of demoWrites, as a server sent it. It
// stands in where no server can be had.
//
//go:embed testdata/demo.resp
var recording []byte

// demoWrites is what the demo does to the server, each with why.
var demoWrites = []struct{ say, command string }{
	{"two pieces in stock, then both are sold", "SET stock:7 2"},
	{"", "DECR stock:7"},
	{"", "DECR stock:7"},
	{"an order is placed, then paid", "HSET order:1001 status new total 49.90"},
	{"", "HSET order:1001 status paid"},
	{"a session begins, then ends", "SET session:ada 127.0.0.1"},
	{"", "DEL session:ada"},
	{"a key that no rule looks at", "SET cache:front-page html"},
}

func newDemoCommand() *cobra.Command {
	var stay bool
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "See it work: a server, some writes, the webhooks they fire",
		Long: `Demo shows the main job in a minute, with nothing prepared: it starts a server of
its own (one that is on this machine, else one that it fetches into a cache), a
webhook receiver, and triggerd with examples/rules.toml; it writes some keys and
prints what arrives. Where no server can be had it plays a recording of one.

With --stay it goes on writing, and keeps its page up: a browser shows what
happens, and lets you try rules, until you stop it.

All of it is on loopback and gone when it ends.`,
		Example: `  triggerd demo
  triggerd demo --stay`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, stop := notifyStop(cmd.Context())
			defer stop()
			return failed((&demo{out: cmd.OutOrStdout(), stay: stay}).run(ctx))
		},
	}
	cmd.Flags().BoolVar(&stay, "stay", false, "go on, with the page up, until it is stopped")
	return cmd
}

// demo is one run of the demo.
type demo struct {
	stay bool // keep the page up

	mu       sync.Mutex // guards out and what follows
	out      io.Writer
	written  map[string]time.Time // when each key was written last
	received int
	slowest  time.Duration
}

func (d *demo) say(format string, args ...any) {
	d.mu.Lock()
	defer d.mu.Unlock()
	fmt.Fprintf(d.out, format+"\n", args...)
}

func (d *demo) run(ctx context.Context) error {
	d.written = map[string]time.Time{}
	d.say("triggerd %s: keys change in Redis, webhooks arrive.\n", versionString())

	srv, err := d.startServer(ctx)
	if err != nil {
		return err
	}
	hook, stopReceiver, err := d.startReceiver()
	if err != nil {
		return err
	}
	defer stopReceiver()
	d.say("receiver   %s", hook)

	set, err := engine.ParseRules("examples/rules.toml", examples.Rules, engine.ActionOptions{})
	if err != nil {
		return err
	}
	d.say("rules      examples/rules.toml: %s", strings.Join(ruleNames(set), ", "))
	if srv == nil {
		if d.stay {
			d.say("page       none: it shows a server's changes, and there is no server")
		}
		return d.play(ctx, set)
	}
	defer srv.Close()
	return d.live(ctx, set, srv)
}

// startServer returns a server, or nil if there is none to be had.
func (d *demo) startServer(ctx context.Context) (*servers.Server, error) {
	name := ""
	if len(servers.Find(ctx)) == 0 {
		name = servers.Default
		d.say("server     none on this machine; fetching %s into a cache, without installing it ...", name)
	}
	srv, err := servers.Start(ctx, servers.Options{Name: name})
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if err != nil {
		d.say("server     none to be had (%s)\n           playing a recording of one instead", firstLine(err))
		return nil, nil
	}
	d.say("server     %s %s on %s", strings.SplitN(srv.Program.Name, "-", 2)[0], srv.Program.Version, srv.Addr)
	return srv, nil
}

// startReceiver starts what a user would have written: something that gets
// webhooks. Its address goes to the rules by the environment.
func (d *demo) startReceiver() (url string, stop func(), err error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, err
	}
	s := &http.Server{Handler: http.HandlerFunc(d.receive), ReadHeaderTimeout: 5 * time.Second}
	go s.Serve(l)
	url = "http://" + l.Addr().String() + "/hook"
	return url, func() { s.Close() }, os.Setenv("DEMO_URL", url)
}

func (d *demo) receive(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(io.LimitReader(r.Body, 1<<20))
	var ev struct {
		Data struct{ Rule, Event, Key string }
	}
	if err == nil {
		err = json.Unmarshal(body, &ev)
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.received++
	after := ""
	if at, ok := d.written[ev.Data.Key]; ok {
		took := time.Since(at)
		d.slowest = max(d.slowest, took)
		after = fmt.Sprintf("  %.1f ms after the write", float64(took)/float64(time.Millisecond))
	}
	fmt.Fprintf(d.out, "    webhook  %-16s %-14s %s%s\n", ev.Data.Rule, ev.Data.Key, ev.Data.Event, after)
	if d.received == 1 {
		fmt.Fprintf(d.out, "             %s\n             webhook-id: %s\n", body, r.Header.Get("webhook-id"))
	}
}

func (d *demo) newEngine(cfg engine.Config) (*engine.Engine, error) {
	log := slog.New(slog.NewTextHandler(demoLines{d}, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}}))
	cfg.Logger = slog.New(demoDeliveries{slog.DiscardHandler, d})
	cfg.Actions = engine.ActionOptions{Stdout: demoLines{d}, Logger: log, UserAgent: "triggerd/" + versionString()}
	return engine.New(cfg)
}

// demoLines prints what actions write among what the demo says.
type demoLines struct{ d *demo }

func (l demoLines) Write(b []byte) (int, error) {
	l.d.say("    log      %s", bytes.TrimSuffix(b, []byte("\n")))
	return len(b), nil
}

// demoDeliveries shows the commands that were run: other than a webhook or a
// log line they leave nothing to see.
type demoDeliveries struct {
	slog.Handler
	d *demo
}

func (h demoDeliveries) Enabled(context.Context, slog.Level) bool { return true }

func (h demoDeliveries) Handle(_ context.Context, r slog.Record) error {
	about := map[string]string{}
	r.Attrs(func(a slog.Attr) bool {
		about[a.Key] = a.Value.String()
		return true
	})
	if r.Message == "delivered" && about["action"] == "exec" {
		h.d.say("    exec     %-16s %s", about["rule"], about["status"])
	}
	return nil
}

// live attaches to srv and writes to it.
func (d *demo) live(ctx context.Context, set *rules.Set, srv *servers.Server) error {
	client, err := servers.Dial(ctx, srv.Addr)
	if err != nil {
		return err
	}
	defer client.Close()
	src, err := source.NewReplica(source.Config{URL: "redis://" + srv.Addr, FailFirst: true})
	if err != nil {
		return err
	}
	e, err := d.newEngine(engine.Config{Rules: set, Source: src, Start: "live"})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- e.Run(ctx) }()
	if err := d.await(ctx, ended, func() bool { return src.Status().State == source.Streaming }); err != nil {
		return err
	}
	d.say("attached   as a replica, by PSYNC: no module, no setting, no change to the application\n")
	page, stopPage, err := d.servePage(ctx, e)
	if err != nil {
		return err
	}
	defer stopPage()

	if err := d.writeAll(ctx, e, client, ended); err != nil {
		return err
	}
	if d.stay {
		err := d.goOn(ctx, client, ended, page)
		cancel()
		stopPage()
		return errors.Join(err, <-ended)
	}
	cancel()
	if err := <-ended; err != nil {
		return err
	}
	return d.conclude(e)
}

// writeAll does each of the demo's writes, and waits for what it fires.
func (d *demo) writeAll(ctx context.Context, e *engine.Engine, client *servers.Client, ended chan error) error {
	for _, w := range demoWrites {
		if w.say != "" {
			d.say("# %s", w.say)
		}
		args := strings.Fields(w.command)
		d.say("> %s", w.command)
		d.mu.Lock()
		d.written[args[1]] = time.Now()
		d.mu.Unlock()
		before := e.Stats().Records
		if _, err := client.Do(args...); err != nil {
			return err
		}
		// What the write fires is printed below it.
		if err := d.await(ctx, ended, func() bool {
			s := e.Stats()
			return s.Records > before && s.Pending == 0
		}); err != nil {
			return err
		}
	}
	return nil
}

// servePage serves the page of an engine, if it is to stay, until stop is called,
// and returns its address: the usual one, or another if that is taken.
func (d *demo) servePage(ctx context.Context, e *engine.Engine) (url string, stop func(), err error) {
	if !d.stay {
		return "", func() {}, nil
	}
	listen := "127.0.0.1:9797"
	if ln, err := net.Listen("tcp", listen); err != nil {
		listen = "127.0.0.1:0"
	} else {
		ln.Close()
	}
	at := make(chan string, 1)
	srv, err := web.New(web.Config{
		Listen: listen, Daemon: e, Version: versionString(), Playground: playground.New(), OnListen: func(url string) { at <- url },
	})
	if err != nil {
		return "", nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	var served sync.WaitGroup
	served.Go(func() {
		if err := srv.Run(ctx); err != nil {
			d.say("page       gone: %s", err)
		}
	})
	stop = func() {
		cancel()
		served.Wait()
	}
	select {
	case url = <-at:
		d.say("page       %s/ shows it in a browser, and lets you try rules\n", url)
		return url, stop, nil
	case <-ctx.Done():
		stop()
		return "", nil, context.Cause(ctx)
	}
}

// demoPause is how long the demo waits between two writes when it goes on.
const demoPause = time.Second

// goOn writes again and again, a write a second, until ctx is done.
func (d *demo) goOn(ctx context.Context, client *servers.Client, ended chan error, page string) error {
	d.say("\nThe page is at %s/ and stays up, with a write a second, until you stop this (Ctrl-C).", page)
	d.mu.Lock()
	d.out = io.Discard // what happens is on the page now
	d.mu.Unlock()
	ticks := time.NewTicker(demoPause)
	defer ticks.Stop()
	for i := 0; ; i++ {
		select {
		case <-ctx.Done():
			return nil
		case err := <-ended:
			ended <- nil
			return errors.Join(err, errors.New("the demo ended early"))
		case <-ticks.C:
		}
		if _, err := client.Do(strings.Fields(demoWrites[i%len(demoWrites)].command)...); err != nil {
			return err
		}
	}
}

// await waits until done holds.
func (d *demo) await(ctx context.Context, ended chan error, done func() bool) error {
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	limit := time.After(30 * time.Second)
	for !done() {
		select {
		case <-tick.C:
		case err := <-ended:
			return errors.Join(err, errors.New("the demo ended early"))
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-limit:
			return errors.New("the demo got stuck: nothing happened for 30 seconds")
		}
	}
	return nil
}

// play has the rules see the recording.
func (d *demo) play(ctx context.Context, set *rules.Set) error {
	src := source.NewRecording(bytes.NewReader(recording), "redis://recording")
	e, err := d.newEngine(engine.Config{Rules: set, Source: src, Replay: true, Empty: true})
	if err != nil {
		return err
	}
	d.say("playing    what a server sent for:\n")
	for _, w := range demoWrites {
		d.say("> %s", w.command)
	}
	if err := e.Run(ctx); err != nil {
		return err
	}
	return d.conclude(e)
}

func (d *demo) conclude(e *engine.Engine) error {
	s := e.Stats()
	if d.received == 0 || s.Pending > 0 || s.GivenUp > 0 {
		return fmt.Errorf("%d webhooks arrived, %d firings were not delivered", d.received, s.Pending+s.GivenUp)
	}
	slowest := ""
	if d.slowest > 0 {
		slowest = fmt.Sprintf(", the slowest %.1f ms after its write", float64(d.slowest)/float64(time.Millisecond))
	}
	d.say(`
%d writes, %d matches, %d webhooks%s.

Next:
  triggerd listen redis://127.0.0.1:6379      watch your own server, without any file
  triggerd init                               write a first rules.toml, with comments
  triggerd check && triggerd                  run it`, len(demoWrites), s.Matches, d.received, slowest)
	return nil
}

func ruleNames(set *rules.Set) []string {
	var names []string
	for _, r := range set.Rules {
		names = append(names, r.Name)
	}
	return names
}
