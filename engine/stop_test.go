package engine_test

import (
	"context"
	"fmt"
	"iter"
	"log/slog"
	"slices"
	"testing"
	"testing/synctest"

	"triggerd/actions"
	"triggerd/engine"
	"triggerd/internal/spool"
	"triggerd/internal/store"
	"triggerd/source"
)

// Who is told to stop within a long command stops there. What of it was not
// planned is planned by the next process, with what the mirror knew before it;
// nothing is lost, and nothing comes with another ID.
func TestStopWithinACommand(t *testing.T) {
	const n = 9000
	const rules = `
[store]
max_pending = 100000
[[rule]]
name = "r"
key = "k:*"
event = "del"
when = "before == key"
[[rule.action]]
type = "print"
format = "json"
`
	set, del := []string{"MSET"}, []string{"DEL"}
	for i := range n {
		key := fmt.Sprint("k:", i)
		set, del = append(set, key, key), append(del, key)
	}
	records := []*source.Record{
		{Kind: source.SnapshotBegin, ReplID: "repl"}, {Kind: source.SnapshotEnd, ReplID: "repl", Offset: 5, Pos: pos(5)},
		cmd(10, source.Tx{}, set...), cmd(20, source.Tx{}, del...), cmd(30, source.Tx{}, "MSET", "k:a", "k:a"), cmd(40, source.Tx{}, "DEL", "k:a"),
	}
	for _, at := range []int{1, 2, 1024, 5000, n} {
		t.Run(fmt.Sprint(at), func(t *testing.T) {
			dir := t.TempDir()
			synctest.Test(t, func(t *testing.T) {
				st := openStore(t, dir)
				var got []string
				ids := map[string]int{}
				planned, saved := 0, ""
				once := func(stopAt int, feed *feed) {
					var out buffer
					o := engine.ActionOptions{Stdout: &out}
					set, err := engine.ParseRules("rules.toml", []byte(rules), o)
					if err != nil {
						t.Fatal(err)
					}
					ctx, cancel := context.WithCancel(t.Context())
					planned = 0
					e, err := engine.New(engine.Config{
						Rules: set, Source: &spooled{feed, records}, Store: st, Actions: o, Logger: slog.New(slog.DiscardHandler),
						OnFiring: func(*actions.Firing) {
							if planned++; planned == stopAt {
								cancel()
							}
						},
					})
					if err != nil {
						t.Fatal(err)
					}
					ended := make(chan error, 1)
					go func() { ended <- e.Run(ctx) }()
					synctest.Wait()
					cancel()
					if err := <-ended; err != nil {
						t.Fatal(err)
					}
					r := running{}
					r.out.Write([]byte(out.String()))
					for _, line := range r.fired(t) {
						ids[line]++
						got = append(got, line)
					}
					saved, _ = st.Checkpoint(store.Standalone)
				}
				once(at, &feed{records: records})
				if planned > at {
					t.Errorf("%d firings were planned after it was told to stop", planned-at)
				}
				from, err := source.ParsePosition(saved)
				if err != nil || from.Offset > 10 && at < n {
					t.Fatalf("the saved position is %q, %v", saved, err)
				}
				left := slices.DeleteFunc(slices.Clone(records), func(r *source.Record) bool { return r.Offset <= from.Offset })
				once(0, &feed{records: left})
				for _, line := range got {
					if ids[line] != 1 {
						t.Errorf("%q is there %d times", line, ids[line])
					}
				}
				if len(ids) != n+1 {
					t.Errorf("%d firings, want %d", len(ids), n+1)
				}
				for i := range n {
					if want := fmt.Sprintf("r k:%d del repl:20/%d:r/print", i, i); ids[want] == 0 {
						t.Fatalf("%q has not fired", want)
					}
				}
			})
		})
	}
}

// spooled is a feed whose records can be had again.
type spooled struct {
	*feed
	all []*source.Record
}

func (s *spooled) Status() source.Status {
	st := s.feed.Status()
	st.Spool = spool.Stats{Files: true, Limit: 1 << 40}
	return st
}

func (s *spooled) Trim(source.Position)                              {}
func (s *spooled) Keep(context.Context, source.Position, bool) error { return nil }

func (s *spooled) Replay(_ context.Context, from, to source.Position, _ source.Preparer) iter.Seq2[*source.Record, error] {
	return func(yield func(*source.Record, error) bool) {
		for _, r := range s.all {
			if r.Offset > from.Offset && r.Offset <= to.Offset && !yield(r, nil) {
				return
			}
		}
	}
}
