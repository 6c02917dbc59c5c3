package engine_test

import (
	"context"
	"errors"
	"iter"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"triggerd/engine"
	"triggerd/internal/store"
	"triggerd/source"
)

const twoStreams = `
[targets.out]
type = "print"
format = "json"
[[rule]]
name = "all"
key = "*"
[[rule.action]]
target = "out"
order = "none"
[[rule]]
name = "often"
key = "k"
count = { over = 1, within = "1h" }
[[rule.action]]
target = "out"
order = "none"
[[rule]]
name = "tick"
schedule = "@every 1m"
[[rule.action]]
target = "out"
order = "none"
`

// runStreams runs an engine that follows several feeds.
func runStreams(t *testing.T, st *store.Store, feeds map[string]*feed) *running {
	t.Helper()
	r := &running{}
	o := engine.ActionOptions{Stdout: &r.out}
	set, err := engine.ParseRules("rules.toml", []byte(twoStreams), o)
	if err != nil {
		t.Fatal(err)
	}
	cfg := engine.Config{Rules: set, Store: st, Actions: o, Logger: slog.New(slog.NewTextHandler(&r.log, nil))}
	for _, name := range []string{"a", "b"} {
		cfg.Streams = append(cfg.Streams, engine.Stream{Name: name, Source: feeds[name]})
	}
	r.start(t, cfg)
	return r
}

func of(replID string, r *source.Record) *source.Record {
	r.ReplID, r.Pos.ReplID = replID, replID
	r.Time = time.Now()
	return r
}

// An engine follows several streams at once: each has its position, its state
// of time, its status; a schedule runs once for all of them.
func TestStreams(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		st := openStore(t, dir)
		r := runStreams(t, st, map[string]*feed{
			"a": {records: []*source.Record{of("aaa", cmd(10, source.Tx{}, "SET", "k", "1"))}},
			"b": {records: []*source.Record{of("bbb", cmd(70, source.Tx{}, "SET", "k", "1")), of("bbb", cmd(90, source.Tx{}, "SET", "k", "2"))}},
		})
		time.Sleep(61 * time.Second)
		synctest.Wait()
		got := r.fired(t)
		slices.Sort(got)
		check(t, got,
			"all k set aaa:10/0:all/out",
			"all k set bbb:70/0:all/out",
			"all k set bbb:90/0:all/out",
			"often k set bbb:90/0:often/out", // the other stream's is not counted with these
			"tick - schedule clock:946684860000/0:tick/out")
		s, err := r.Status()
		if err != nil {
			t.Fatal(err)
		}
		if s.Source != nil || len(s.Streams) != 2 || s.Streams[0].Name != "a" || s.Streams[1].Name != "b" {
			t.Fatalf("source %v, streams %+v", s.Source, s.Streams)
		}
		if a, b := s.Streams[0], s.Streams[1]; a.Saved != "aaa:10/0" || b.Saved != "bbb:90/0" || a.Stats.Records != 1 || b.Stats.Records != 2 {
			t.Errorf("streams %+v", s.Streams)
		}
		if err := r.stop(); err != nil {
			t.Error(err)
		}

		again := map[string]*feed{
			"a": {records: []*source.Record{of("aaa", cmd(20, source.Tx{}, "SET", "k", "3"))}},
			"b": {records: []*source.Record{of("bbb", cmd(95, source.Tx{}, "SET", "k", "3"))}},
		}
		r = runStreams(t, st, again)
		if again["a"].from.String() != "aaa:10/0" || again["b"].from.String() != "bbb:90/0" {
			t.Errorf("resumed at %s and %s", again["a"].from, again["b"].from)
		}
		got = r.fired(t)
		slices.Sort(got)
		check(t, got,
			"all k set aaa:20/0:all/out",
			"all k set bbb:95/0:all/out",
			"often k set aaa:20/0:often/out") // its second; the other stream has fired for its own
		if err := r.stop(); err != nil {
			t.Error(err)
		}
	})
}

// failing is a source that ends with an error.
type failing struct{ feed }

func (f *failing) Records(context.Context, source.Position, source.Consumer) iter.Seq2[*source.Record, error] {
	return func(yield func(*source.Record, error) bool) { yield(nil, errors.New("no such stream")) }
}

// A stream that cannot go on ends the others, and the engine with its error;
// streams without a name of their own are refused.
func TestStreamsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		set, err := engine.ParseRules("rules.toml", []byte(twoStreams), engine.ActionOptions{})
		if err != nil {
			t.Fatal(err)
		}
		e, err := engine.New(engine.Config{Rules: set, Source: &feed{}, Streams: []engine.Stream{{Name: "b", Source: &failing{}}}})
		if err != nil {
			t.Fatal(err)
		}
		if err := e.Run(t.Context()); err == nil || err.Error() != "no such stream" {
			t.Errorf("ended with %v", err)
		}
		for _, streams := range [][]engine.Stream{nil, {{Source: &feed{}}}, {{Name: "a", Source: &feed{}}, {Name: "a", Source: &feed{}}}} {
			if _, err := engine.New(engine.Config{Rules: set, Streams: streams}); err == nil || !strings.Contains(err.Error(), "stream") && !strings.Contains(err.Error(), "source") {
				t.Errorf("%d streams: %v", len(streams), err)
			}
		}
	})
}
