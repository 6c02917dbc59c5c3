package engine_test

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"iter"
	"log/slog"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"triggerd/engine"
	"triggerd/internal/firing"
	"triggerd/internal/store"
	"triggerd/rdb"
	"triggerd/source"
)

// feed is a source that hands out what a test puts in, and then waits.
type feed struct {
	records  []*source.Record
	pings    time.Duration   // between them, as a server sends them; default 10 s
	detached bool            // there is no link: no pings
	from     source.Position // what Records was asked for
	consumer source.Consumer
	mu       sync.Mutex
	acked    source.Position
}

// openStore opens a store, which is closed when the test ends.
func openStore(t *testing.T, dir string) *store.Store {
	t.Helper()
	st, err := store.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { st.Close() })
	return st
}

func (f *feed) Records(ctx context.Context, from source.Position, c source.Consumer) iter.Seq2[*source.Record, error] {
	f.from, f.consumer = from, c
	return func(yield func(*source.Record, error) bool) {
		for _, r := range f.records {
			if !yield(r, nil) {
				return
			}
		}
		for {
			ping := time.After(cmp.Or(f.pings, 10*time.Second))
			var woken <-chan time.Time
			if at := c.NextWake(); !at.IsZero() {
				woken = time.After(time.Until(at))
			}
			rec := source.Record{Kind: source.Woken, ReplID: "repl"}
			select {
			case <-ctx.Done():
				return
			case <-c.Changed():
			case <-woken:
				rec.Idle = !f.detached
			case <-ping:
				if f.detached {
					rec.Kind = source.Detached
					break
				}
				rec.Kind = source.Heartbeat
				if n := len(f.records); n > 0 {
					rec.Pos = f.records[n-1].Pos
				}
			}
			rec.Time = time.Now()
			if !yield(&rec, nil) {
				return
			}
		}
	}
}

func (f *feed) Ack(p source.Position) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.acked = p
}

func (f *feed) Status() source.Status { return source.Status{Addr: "redis://test:6379"} }

func pos(offset int64) source.Position { return source.Position{ReplID: "repl", Offset: offset} }

func cmd(offset int64, tx source.Tx, words ...string) *source.Record {
	r := &source.Record{Kind: source.Command, ReplID: "repl", Offset: offset, Bytes: 10, Tx: tx, Time: time.Unix(1000, 0)}
	for _, w := range words {
		r.Args = append(r.Args, []byte(w))
	}
	if tx.ID == "" || tx.Index == tx.Size {
		r.Pos = pos(offset)
	}
	return r
}

// buffer is what an engine writes to and a test reads.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

func (b *buffer) Reset() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.b.Reset()
}

// running is an engine that runs in a bubble.
type running struct {
	*engine.Engine
	out, log buffer
	feed     *feed
	stop     func() error
}

func run(t *testing.T, rules string, change func(*engine.Config), records ...*source.Record) *running {
	t.Helper()
	r := &running{feed: &feed{records: records}}
	o := engine.ActionOptions{Stdout: &r.out}
	set, err := engine.ParseRules("rules.toml", []byte(rules), o)
	if err != nil {
		t.Fatal(err)
	}
	cfg := engine.Config{Rules: set, Source: r.feed, Actions: o, Logger: slog.New(slog.NewTextHandler(&r.log, nil))}
	if change != nil {
		change(&cfg)
	}
	r.start(t, cfg)
	return r
}

// start makes the engine, and lets it run.
func (r *running) start(t *testing.T, cfg engine.Config) {
	t.Helper()
	var err error
	if r.Engine, err = engine.New(cfg); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- r.Run(ctx) }()
	r.stop = func() error {
		cancel()
		return <-ended
	}
	synctest.Wait()
}

// fired returns "rule key event id" of what the print action printed.
// attachment matches the number of an attachment in an ID, which the time gives.
var attachment = regexp.MustCompile(`^snapshot:\d{12,13}/`)

// keyHash is a key of database 0 in an ID.
func keyHash(key string) string { return strconv.FormatUint(firing.KeyHash(0, []byte(key)), 36) }

func (r *running) fired(t *testing.T) []string {
	t.Helper()
	var got []string
	for line := range strings.Lines(r.out.String()) {
		var d struct {
			ID   string
			Data struct {
				Rule, Event string
				Key         *string
			}
		}
		if err := json.Unmarshal([]byte(line), &d); err != nil {
			t.Fatalf("%v in %s", err, line)
		}
		key := "-"
		if d.Data.Key != nil {
			key = *d.Data.Key
		}
		id := attachment.ReplaceAllString(d.ID, "snapshot:N/")
		got = append(got, strings.Join([]string{d.Data.Rule, key, d.Data.Event, id}, " "))
	}
	return got
}

func check(t *testing.T, got []string, want ...string) {
	t.Helper()
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("fired:\n  %s\nwant:\n  %s", strings.Join(got, "\n  "), strings.Join(want, "\n  "))
	}
}

// A command fires once for each key, rule and action, in that order, with IDs
// that say where it came from.
func TestFirings(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := run(t, `
[targets.out]
type = "print"
format = "json"
[[rule]]
name = "first"
key = "k*"
[[rule.action]]
target = "out"
order = "none"
[[rule]]
name = "second"
key = "k2"
[[rule.action]]
target = "out"
order = "none"
[[rule]]
name = "watching"
dry_run = true
key = "k*"
[[rule.action]]
target = "out"
`, nil,
			cmd(10, source.Tx{}, "MSET", "k1", "a", "other", "b", "k2", "c"),
			cmd(30, source.Tx{ID: "repl:20", Index: 1, Size: 2}, "DEL", "k1"),
			cmd(40, source.Tx{ID: "repl:20", Index: 2, Size: 2}, "DEL", "nobody"))
		check(t, r.fired(t),
			"first k1 set repl:10/0:first/out",
			"first k2 set repl:10/2:first/out",
			"second k2 set repl:10/2:second/out",
			"first k1 del repl:30/0:first/out")
		if s := r.Stats(); s.Records != 3 || s.Events != 5 || s.Matches != 7 || s.DryRuns != 3 || s.Delivered != 4 || s.Pending != 0 {
			t.Errorf("stats %+v", s)
		}
		if err := r.stop(); err != nil {
			t.Error(err)
		}
	})
}

// The position is saved at once after an attach, then as deliveries settle, and
// the source is told; the next run resumes there.
func TestCheckpoint(t *testing.T) {
	dir := t.TempDir()
	rules := `
[[rule]]
name = "a"
key = "a"
[[rule.action]]
type = "print"
`
	synctest.Test(t, func(t *testing.T) {
		st := openStore(t, dir)
		withStore := func(c *engine.Config) { c.Store = st }
		r := run(t, rules, withStore, &source.Record{Kind: source.SnapshotEnd, ReplID: "repl", Offset: 5, Pos: pos(5)})
		if saved, err := st.Checkpoint(store.Standalone); saved != "repl:5/0" || err != nil {
			t.Errorf("after attaching: %q, %v", saved, err)
		}
		if r.feed.acked != pos(5) || !r.feed.from.IsZero() {
			t.Errorf("acked %v, from %v", r.feed.acked, r.feed.from)
		}
		if err := r.stop(); err != nil {
			t.Error(err)
		}
		r = run(t, rules, withStore, cmd(10, source.Tx{}, "SET", "a", "1"), cmd(20, source.Tx{}, "SET", "b", "1"))
		if r.feed.from != pos(5) {
			t.Errorf("resumed from %v", r.feed.from)
		}
		time.Sleep(1100 * time.Millisecond)
		synctest.Wait()
		if saved, _ := st.Checkpoint(store.Standalone); saved != "repl:20/0" {
			t.Errorf("a second later: %q", saved)
		}
		if err := r.stop(); err != nil {
			t.Error(err)
		}
		r = run(t, rules, func(c *engine.Config) { c.Store, c.Start = st, "live" })
		if !r.feed.from.IsZero() {
			t.Errorf(`start = "live" resumes at %v`, r.feed.from)
		}
		r.stop()
	})
}

// A full resync is an event, a gap another, and the keys of a snapshot are for
// rules that ask for them.
func TestResyncAndSnapshot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := run(t, `
[targets.out]
type = "print"
format = "json"
[[rule]]
name = "sync"
event = ["resync", "gap"]
[[rule.action]]
target = "out"
order = "none"
[[rule]]
name = "keys"
key = "*"
snapshot = true
[[rule.action]]
target = "out"
order = "none"
[[rule]]
name = "live"
key = "*"
[[rule.action]]
target = "out"
order = "none"
`, nil,
			&source.Record{Kind: source.SnapshotBegin, ReplID: "repl", Offset: 9},
			&source.Record{Kind: source.Key, ReplID: "repl", Offset: 9, Entry: &rdb.Entry{Key: []byte("x")}},
			&source.Record{Kind: source.Key, ReplID: "repl", Offset: 9, Entry: &rdb.Entry{Key: []byte("y")}},
			&source.Record{Kind: source.SnapshotEnd, ReplID: "repl", Offset: 9, Pos: pos(9), From: source.Position{ReplID: "old", Offset: 3}, Gap: true},
			cmd(20, source.Tx{}, "SET", "x", "1"))
		check(t, r.fired(t),
			"keys x snapshot snapshot:N/"+keyHash("x")+":keys/out",
			"keys y snapshot snapshot:N/"+keyHash("y")+":keys/out",
			"sync - resync repl:9/s2:sync/out",
			"sync - gap repl:9/s3:sync/out",
			"keys x set repl:20/0:keys/out",
			"live x set repl:20/0:live/out")
		if !strings.Contains(r.out.String(), `"args":["old:3/0","repl:9/0"]`) {
			t.Errorf("the gap does not say from where to where:\n%s", r.out.String())
		}
		if wants := r.feed.consumer.WantsKeys(); !wants || r.Stats().Gaps != 1 {
			t.Errorf("wants keys %v, gaps %d", wants, r.Stats().Gaps)
		}
		r.stop()
	})
}

// slow is for tests that take days in which little happens.
func slow(c *engine.Config) {
	c.Source.(*feed).pings, c.CheckpointInterval = 6*time.Hour, time.Hour
}

// A rule with a schedule fires by the clock, and by the new one after a reload.
func TestSchedule(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hourly := `
[[rule]]
name = "tick"
schedule = "0 * * * *"
timezone = "UTC"
[[rule.action]]
type = "print"
format = "json"
`
		r := run(t, hourly, slow)
		time.Sleep(3*time.Hour + time.Minute) // a bubble begins at 2000-01-01 00:00 UTC
		synctest.Wait()
		check(t, r.fired(t),
			"tick - schedule clock:946688400000/0:tick/print",
			"tick - schedule clock:946692000000/0:tick/print",
			"tick - schedule clock:946695600000/0:tick/print")
		r.out.Reset()
		set, err := engine.ParseRules("rules.toml", []byte(strings.Replace(hourly, "0 * * * *", "30 3 * * *", 1)), engine.ActionOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if err := r.Reload(set); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour)
		synctest.Wait()
		check(t, r.fired(t), "tick - schedule clock:946697400000/0:tick/print")
		r.stop()
	})
}

// A condition that cannot be evaluated does not fire, stops nothing, and is
// told once.
func TestConditionError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := run(t, `
[[rule]]
name = "bad"
key = "k"
when = 'int(args[1]) > 1'
[[rule.action]]
type = "print"
format = "json"
`, nil,
			cmd(10, source.Tx{}, "SET", "k", "no number"),
			cmd(20, source.Tx{}, "SET", "k", "nor this"),
			cmd(30, source.Tx{}, "SET", "k", "2"))
		check(t, r.fired(t), "bad k set repl:30/0:bad/print")
		if n := strings.Count(r.log.String(), `msg="condition failed`); n != 1 || !strings.Contains(r.log.String(), "rule=bad key=k") {
			t.Errorf("told %d times:\n%s", n, r.log.String())
		}
		r.stop()
	})
}

// A condition that something which is no number decides about does not fire, and
// is counted apart from errors; what is not there is not counted.
func TestNotANumber(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := run(t, `
[[rule]]
name = "over"
key = "k"
when = 'num(after) > 5 || after == "vip"'
[[rule.action]]
type = "print"
format = "json"
[[rule]]
name = "grew"
key = "k"
when = 'num(after) > num(before)'
[[rule.action]]
type = "print"
format = "json"
`, func(c *engine.Config) { c.Empty = true },
			cmd(10, source.Tx{}, "SET", "k", "5"),
			cmd(20, source.Tx{}, "SET", "k", "abc"),
			cmd(30, source.Tx{}, "SET", "k", "vip"),
			cmd(40, source.Tx{}, "SET", "k", "7"))
		check(t, r.fired(t), "over k set repl:30/0:over/print", "over k set repl:40/0:over/print")
		status, err := r.Status()
		if err != nil {
			t.Fatal(err)
		}
		for i, want := range []int64{1, 3} {
			if rule := status.Rules[i]; rule.NotNumbers != want || rule.ConditionErrors != 0 {
				t.Errorf("%s: %d times no number, %d errors, want %d and 0", rule.Name, rule.NotNumbers, rule.ConditionErrors, want)
			}
		}
		r.stop()
	})
}

// An engine that cannot be made leaves nothing running, and does not close what
// is the caller's.
func TestNewFails(t *testing.T) {
	set, err := engine.ParseRules("rules.toml", []byte(`
[[rule]]
name = "r"
key = "*"
[[rule.action]]
type = "exec"
command = ["true"]
`), engine.ActionOptions{})
	if err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		cfg := engine.Config{Rules: set, Source: &feed{}, Actions: engine.ActionOptions{NoExec: true}}
		before := runtime.NumGoroutine()
		for range 20 {
			if _, err := engine.New(cfg); err == nil {
				t.Fatal("New with an action that is refused: no error")
			}
		}
		synctest.Wait()
		if after := runtime.NumGoroutine(); after >= before+20 { // one of the runtime's may come
			t.Errorf("%d goroutines, %d before", after, before)
		}
		st, err := store.OpenInMemory()
		if err != nil {
			t.Fatal(err)
		}
		defer st.Close()
		cfg.Store = st
		if _, err := engine.New(cfg); err == nil {
			t.Fatal("New with an action that is refused: no error")
		}
		if err := st.SaveCheckpoint(store.Standalone, "repl:5/0"); err != nil {
			t.Errorf("the caller's store: %v", err)
		}
	})
}
