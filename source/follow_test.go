package source_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"triggerd/internal/redistest"
	"triggerd/internal/servers"
	"triggerd/source"
)

// patience is how long a test waits for what must come.
const patience = 2 * time.Minute

// record is a source.Record that is owned.
type record struct {
	source.Record
	Key  string // Entry's
	Type string
	TTL  int64 // Entry.ExpireAt
}

func own(r *source.Record) record {
	c := record{Record: *r}
	c.Args = make([][]byte, len(r.Args))
	for i, a := range r.Args {
		c.Args[i] = bytes.Clone(a)
	}
	if e := r.Entry; e != nil {
		c.Key, c.Type, c.TTL = string(e.Key), e.Type.String(), e.ExpireAt
		c.DB = e.DB
		c.Entry = nil
	}
	return c
}

// words joins a command's words for a comparison.
func (r record) words() string { return string(bytes.Join(r.Args, []byte(" "))) }

// String shows a record for the message of a failed test.
func (r record) String() string {
	switch r.Kind {
	case source.Command:
		return fmt.Sprintf("%.80q db%d @%d tx%d/%d pos %s", r.words(), r.DB, r.Offset, r.Tx.Index, r.Tx.Size, r.Pos)
	case source.Key:
		return fmt.Sprintf("key %q db%d %s", r.Key, r.DB, r.Type)
	}
	return fmt.Sprintf("kind %d @%d from %s gap %v pos %s", r.Kind, r.Offset, r.From, r.Gap, r.Pos)
}

// follower collects the records of a source in the background.
type follower struct {
	t   testing.TB
	src source.Source
	log *logBuffer

	stop func() // and waits until Records has returned
	done chan struct{}

	mu   sync.Mutex // guards what follows
	recs []record
	err  error
	news chan struct{} // closed and replaced when there is something new

	seen int // records that wait has passed; the test's goroutine only
}

// wants is a Consumer that wants what its fields say.
type wants struct {
	keys    bool
	lacks   func() bool      // nil: it never does
	wake    func() time.Time // nil: never
	changed chan struct{}
}

func (w wants) WantsKeys() bool          { return w.keys }
func (w wants) LacksKeys() bool          { return w.lacks != nil && w.lacks() }
func (w wants) Changed() <-chan struct{} { return w.changed }

func (w wants) NextWake() time.Time {
	if w.wake == nil {
		return time.Time{}
	}
	return w.wake()
}

var wantsKeys = wants{keys: true}

// follow starts to read from cfg's server for c, with timeouts for tests where
// cfg has none. It ends with the test. Without c only commands are wanted.
func follow(t testing.TB, cfg source.Config, from source.Position, c ...source.Consumer) *follower {
	t.Helper()
	return followBy(t, cfg, from, nil, append(c, nil)[0])
}

// followScripts is follow in a synctest bubble: the primary plays scripts, one a
// connection, over pipes. All of them must have been played when it ends.
func followScripts(t testing.TB, cfg source.Config, c source.Consumer, scripts ...redistest.Script) *follower {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var plays sync.WaitGroup
	played := 0 // by the goroutine that connects
	t.Cleanup(func() {
		cancel()
		plays.Wait()
		if played != len(scripts) {
			t.Errorf("%d of %d scripts were played", played, len(scripts))
		}
	})
	cfg.URL = "redis://primary"
	return followBy(t, cfg, source.Position{}, func(context.Context, string, string) (net.Conn, error) {
		if played == len(scripts) {
			return nil, errors.New("connection refused")
		}
		script := scripts[played]
		played++
		here, there := net.Pipe()
		plays.Go(func() {
			if err := script.Run(ctx, there); err != nil && !errors.Is(err, context.Canceled) {
				t.Errorf("primary: %v", err)
			}
		})
		return here, nil
	}, c)
}

func followBy(t testing.TB, cfg source.Config, from source.Position, connect func(context.Context, string, string) (net.Conn, error), c source.Consumer) *follower {
	t.Helper()
	log := new(logBuffer)
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	if cfg.MinBackoff == 0 {
		cfg.MinBackoff = 20 * time.Millisecond
	}
	if cfg.MaxBackoff == 0 {
		cfg.MaxBackoff = 100 * time.Millisecond
	}
	src, err := source.NewReplica(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if connect != nil {
		source.ConnectBy(src, connect)
	}
	f := followSource(t, src, from, c)
	f.log = log
	return f
}

func followSource(t testing.TB, src source.Source, from source.Position, c source.Consumer) *follower {
	ctx, cancel := context.WithCancel(context.Background())
	f := &follower{t: t, src: src, log: new(logBuffer), done: make(chan struct{}), news: make(chan struct{})}
	go func() {
		defer close(f.done)
		for rec, err := range src.Records(ctx, from, c) {
			f.add(rec, err)
		}
	}()
	f.stop = func() {
		cancel()
		select {
		case <-f.done:
		case <-time.After(patience):
			t.Error("Records did not return after its context was cancelled")
		}
	}
	t.Cleanup(f.stop)
	return f
}

func (f *follower) add(rec *source.Record, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err != nil {
		f.err = err
	} else {
		f.recs = append(f.recs, own(rec))
	}
	close(f.news)
	f.news = make(chan struct{})
}

// next returns the next record for which ok is true, and passes what is before.
func (f *follower) next(what string, ok func(record) bool) record {
	f.t.Helper()
	return f.nextWithin(patience, what, ok)
}

// nextWithin is next with more patience, for the time of a bubble.
func (f *follower) nextWithin(patience time.Duration, what string, ok func(record) bool) record {
	f.t.Helper()
	timeout := time.After(patience)
	for {
		f.mu.Lock()
		recs, news, err := f.recs, f.news, f.err
		f.mu.Unlock()
		for f.seen < len(recs) {
			f.seen++
			if ok(recs[f.seen-1]) {
				return recs[f.seen-1]
			}
		}
		if err != nil {
			f.t.Fatalf("wait for %s: Records ended: %v", what, err)
		}
		select {
		case <-news:
		case <-timeout:
			tail := recs[max(0, len(recs)-10):]
			f.t.Fatalf("waited for %s in vain; status %+v; %d records, last %v; log:\n%s", what, f.src.Status(), len(recs), tail, f.log)
		}
	}
}

// command waits for a command with these words, the name in any case.
func (f *follower) command(args ...string) record {
	f.t.Helper()
	return f.commandWithin(patience, args...)
}

// commandWithin is command with more patience, for the time of a bubble.
func (f *follower) commandWithin(patience time.Duration, args ...string) record {
	f.t.Helper()
	return f.nextWithin(patience, fmt.Sprintf("the command %.60q", args), func(r record) bool { return isCommand(r, args...) })
}

// kind waits for a record of a kind.
func (f *follower) kind(k source.Kind) record {
	f.t.Helper()
	return f.next(fmt.Sprintf("a record of kind %d", k), func(r record) bool { return r.Kind == k })
}

// attached waits until the source has attached for the nth time.
func (f *follower) attached(n int64) {
	f.t.Helper()
	f.status(fmt.Sprintf("attachment %d", n), func(s source.Status) bool { return s.Connects >= n && s.State == source.Streaming })
}

// status waits until the source's status is ok; nothing tells when it changes.
func (f *follower) status(what string, ok func(source.Status) bool) source.Status {
	f.t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(2 * time.Millisecond) {
		s := f.src.Status()
		if ok(s) {
			return s
		}
		select {
		case <-f.done:
			f.t.Fatalf("waited for %s, but Records ended: %v; status %+v", what, f.ended(), s)
		default:
		}
		if time.Now().After(deadline) {
			f.t.Fatalf("waited for %s in vain; status %+v; log:\n%s", what, s, f.log)
		}
	}
}

// ended waits until Records has returned, and returns its error.
func (f *follower) ended() error {
	f.t.Helper()
	select {
	case <-f.done:
	case <-time.After(patience):
		f.t.Fatalf("Records did not end; log:\n%s", f.log)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.err
}

// upTo waits until n records have come, or the source has ended.
func (f *follower) upTo(n int) {
	for {
		f.mu.Lock()
		got, news := len(f.recs), f.news
		f.mu.Unlock()
		if got >= n {
			return
		}
		select {
		case <-news:
		case <-f.done:
			return
		}
	}
}

// all returns the records of a kind until now.
func (f *follower) all(k source.Kind) []record {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(f.recs), func(r record) bool { return r.Kind != k })
}

func isCommand(r record, args ...string) bool {
	if r.Kind != source.Command || len(r.Args) != len(args) || !strings.EqualFold(string(r.Args[0]), args[0]) {
		return false
	}
	for i := range args[1:] {
		if string(r.Args[i+1]) != args[i+1] {
			return false
		}
	}
	return true
}

// logBuffer is a log for one follower.
type logBuffer struct {
	mu  sync.Mutex // guards buf
	buf bytes.Buffer
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *logBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// url returns the URL of a server.
func url(srv *servers.Server) string { return "redis://" + srv.Addr }

// info returns a field of INFO.
func info(t testing.TB, srv *servers.Server, section, field string) string {
	t.Helper()
	text, _ := redistest.Do(t, srv, "INFO", section).(string)
	for line := range strings.Lines(text) {
		if v, ok := strings.CutPrefix(strings.TrimSpace(line), field+":"); ok {
			return v
		}
	}
	t.Fatalf("INFO %s has no %s", section, field)
	return ""
}

func infoInt(t testing.TB, srv *servers.Server, section, field string) int64 {
	t.Helper()
	n, err := strconv.ParseInt(info(t, srv, section, field), 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// version returns the server's version as 100*major+minor, and Valkey's 9 apart
// from Redis by family.
func family(srv *servers.Server) (name string, version int) {
	name, v, _ := strings.Cut(srv.Program.Name, "-")
	major, minor, _ := strings.Cut(v, ".")
	a, _ := strconv.Atoi(major)
	b, _ := strconv.Atoi(minor)
	return name, 100*a + b
}

// atLeast70 reports whether the server behaves as Redis 7.0 and later do; all
// of Valkey does.
func atLeast70(srv *servers.Server) bool {
	name, v := family(srv)
	return name == "valkey" || v >= 700
}

// hold is a step that lets time pass.
func hold(d time.Duration) redistest.Step {
	return redistest.Call(func(ctx context.Context) error {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(d):
			return nil
		}
	})
}

// signal is a step that closes c.
func signal(c chan struct{}) redistest.Step {
	return redistest.Call(func(context.Context) error { close(c); return nil })
}

// await is a step that waits until c is closed.
func await(c chan struct{}) redistest.Step {
	return redistest.Call(func(ctx context.Context) error {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-c:
			return nil
		}
	})
}
