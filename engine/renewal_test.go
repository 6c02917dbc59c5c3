package engine_test

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"triggerd/engine"
	"triggerd/source"
)

// lossy is a source whose stream makes a value unknown every ten seconds, for a
// time. It hands out a snapshot where that is wanted, unless it refuses.
type lossy struct {
	feed
	lasts   time.Duration
	refuses bool
	asked   []time.Duration // since the start
}

func (l *lossy) Records(ctx context.Context, _ source.Position, c source.Consumer) iter.Seq2[*source.Record, error] {
	return func(yield func(*source.Record, error) bool) {
		start, offset := time.Now(), int64(0)
		send := func(r *source.Record) bool {
			offset += 10
			r.Offset, r.ReplID, r.Time = offset, "repl", time.Now()
			if r.Pos.IsZero() {
				r.Pos = pos(offset)
			}
			return yield(r, nil)
		}
		snapshot := func(side bool) {
			send(&source.Record{Kind: source.SnapshotBegin, Side: side})
			send(&source.Record{Kind: source.SnapshotEnd, Side: side})
		}
		send(&source.Record{Kind: source.Attached})
		c.WantsKeys()
		snapshot(false)
		for time.Since(start) < l.lasts && ctx.Err() == nil {
			send(cmd(offset, source.Tx{}, "SET", "stock:1", "5"))
			send(cmd(offset, source.Tx{}, "MOD.DECR", "stock:1"))
			time.Sleep(5 * time.Second)
			send(&source.Record{Kind: source.Woken})
			if !c.LacksKeys() {
				time.Sleep(5 * time.Second)
				continue
			}
			l.asked = append(l.asked, time.Since(start))
			send(&source.Record{Kind: source.Detached})
			for l.refuses && c.LacksKeys() {
				time.Sleep(time.Second)
				send(&source.Record{Kind: source.Detached})
			}
			send(&source.Record{Kind: source.Attached})
			if !l.refuses {
				snapshot(true)
			}
			time.Sleep(5 * time.Second)
		}
	}
}

const needsValues = `
[[rule]]
name = "low"
key = "stock:*"
when = 'num(before) > num(after)'
action = [{ type = "print" }]
`

// However often values become unknown, the server is asked for few snapshots, and
// the log has few lines.
func TestRenewalsAreFew(t *testing.T) {
	for _, refuses := range []bool{false, true} {
		t.Run(fmt.Sprintf("refuses %v", refuses), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				src := &lossy{lasts: 24 * time.Hour, refuses: refuses}
				r := run(t, needsValues, func(c *engine.Config) { c.Source, c.Store = src, memory(t) })
				time.Sleep(src.lasts + time.Minute)
				if err := r.stop(); err != nil {
					t.Fatal(err)
				}
				if n := len(src.asked); n < 8 || n > 16 || src.asked[0] > 10*time.Second {
					t.Errorf("asked at %v", src.asked)
				}
				var pauses []time.Duration
				for i, at := range src.asked[1:] {
					pauses = append(pauses, at-src.asked[i])
				}
				if !slices.IsSorted(pauses[:7]) || slices.Max(pauses) > 6*time.Hour+time.Minute {
					t.Errorf("pauses %v", pauses)
				}
				if n := strings.Count(r.log.String(), "reason=unknown_command"); n < 500 || n > 24*60 {
					t.Errorf("%d lines about it in a day", n)
				}
				if got := strings.Contains(r.log.String(), "sends no snapshot"); got != refuses {
					t.Errorf("the log tells of a refusal: %v", got)
				}
				if s := r.Stats(); s.ValuesLost < 5_000 {
					t.Errorf("%d values lost", s.ValuesLost)
				}
			})
		})
	}
}

// A snapshot that is wanted is asked for after a restart too.
func TestRenewalOutlivesRestart(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		st := openStore(t, dir)
		keep := func(c *engine.Config) { c.Store = st }
		whole := func() []*source.Record {
			return []*source.Record{attached(),
				at(&source.Record{Kind: source.SnapshotBegin, Side: true, ReplID: "repl"}),
				at(&source.Record{Kind: source.SnapshotEnd, Side: true, ReplID: "repl", Pos: pos(5)})}
		}
		lacks := func(want bool, records ...*source.Record) {
			t.Helper()
			r := run(t, needsValues, keep, records...)
			if got := r.feed.consumer.LacksKeys(); got != want {
				t.Errorf("lacks keys: %v, want %v", got, want)
			}
			if err := r.stop(); err != nil {
				t.Fatal(err)
			}
		}
		lacks(false, append(whole(), at(cmd(10, source.Tx{}, "SET", "stock:1", "5")))...)
		lacks(false, attached(), at(cmd(20, source.Tx{}, "MOD.DECR", "stock:1"))) // not at once
		lacks(true, attached(), at(cmd(30, source.Tx{}, "SET", "other", "5")))
		lacks(false, whole()...)
		lacks(false, attached())
	})
}
