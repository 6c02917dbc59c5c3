package engine_test

import (
	"context"
	"iter"
	"testing"
	"testing/synctest"

	"triggerd/engine"
	"triggerd/source"
)

// piecewise is a source of records that a test sends one by one.
type piecewise struct {
	feed
	next chan *source.Record
}

func (p *piecewise) Records(ctx context.Context, _ source.Position, c source.Consumer) iter.Seq2[*source.Record, error] {
	p.consumer = c
	return func(yield func(*source.Record, error) bool) {
		for {
			select {
			case <-ctx.Done():
				return
			case r := <-p.next:
				if !yield(r, nil) {
					return
				}
			}
		}
	}
}

// send hands out records, and waits until they are handled.
func (p *piecewise) send(records ...*source.Record) {
	for _, r := range records {
		p.next <- r
	}
	synctest.Wait()
}

func reload(t *testing.T, r *running, text string) {
	t.Helper()
	set, err := engine.ParseRules("rules.toml", []byte(text), engine.ActionOptions{Stdout: &r.out})
	if err == nil {
		err = r.Reload(set)
	}
	if err != nil {
		t.Fatal(err)
	}
}

const (
	watchesStock = `
[[rule]]
name = "stock"
key = "stock:*"
event = "set"
when = 'after != before'
action = [{ type = "print", format = "json" }]
`
	watchesOrders = `
[[rule]]
name = "orders"
key = "order:*"
when = 'before == nil || before == "new"'
action = [{ type = "print", format = "json" }]
`
)

// TestReloadOfNeeds: a reload of rules that need no more keeps what is known, also
// that a server has no keys. Of keys that only new rules need nothing is known
// until a snapshot tells, least of all that they are not there.
func TestReloadOfNeeds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src := &piecewise{next: make(chan *source.Record)}
		r := run(t, watchesStock, func(c *engine.Config) { c.Source = src })
		reload := func(text string) { reload(t, r, text) }
		snapshot := func(side bool) {
			src.send(&source.Record{Kind: source.SnapshotBegin, Side: side, ReplID: "repl"},
				&source.Record{Kind: source.SnapshotEnd, Side: side, ReplID: "repl", Pos: pos(1)})
		}
		src.send(attached())
		src.consumer.WantsKeys()
		snapshot(false)
		for range 40 {
			reload(watchesStock)
			src.send(at(&source.Record{Kind: source.Heartbeat, ReplID: "repl", Pos: pos(1)}))
		}
		src.send(cmd(10, source.Tx{}, "SET", "stock:1", "5"), cmd(20, source.Tx{}, "SET", "order:1", "paid"))
		reload(watchesStock + watchesOrders)
		src.send(cmd(30, source.Tx{}, "APPEND", "order:1", "!"), cmd(40, source.Tx{}, "SET", "stock:2", "5"))
		if !src.consumer.LacksKeys() {
			t.Error("no snapshot is asked for")
		}
		src.consumer.WantsKeys()
		snapshot(true)
		src.send(cmd(50, source.Tx{}, "SET", "order:2", "new"))
		check(t, r.fired(t), "stock stock:1 set repl:10/0:stock/print", "stock stock:2 set repl:40/0:stock/print",
			"orders order:2 set repl:50/0:orders/print")
		if err := r.stop(); err != nil {
			t.Fatal(err)
		}
	})
}

// TestReloadInSnapshot: a snapshot during which rules have come to need more is
// not taken for all of it, by the next process neither.
func TestReloadInSnapshot(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		st := openStore(t, dir)
		src := &piecewise{next: make(chan *source.Record)}
		keep := func(c *engine.Config) { c.Source, c.Store = src, st }
		r := run(t, watchesStock, keep)
		src.send(attached())
		src.consumer.WantsKeys()
		src.send(at(&source.Record{Kind: source.SnapshotBegin, ReplID: "repl"}))
		reload(t, r, watchesStock+watchesOrders)
		src.send(at(&source.Record{Kind: source.SnapshotEnd, ReplID: "repl", Pos: pos(1)}),
			at(cmd(10, source.Tx{}, "SET", "stock:1", "5")))
		if err := r.stop(); err != nil {
			t.Fatal(err)
		}
		r = run(t, watchesStock+watchesOrders, keep)
		if !src.consumer.LacksKeys() {
			t.Error("no snapshot is asked for")
		}
		src.send(attached(), at(cmd(20, source.Tx{}, "SET", "stock:1", "6")), at(cmd(30, source.Tx{}, "SET", "order:1", "new")))
		check(t, r.fired(t), "stock stock:1 set repl:20/0:stock/print")
		if err := r.stop(); err != nil {
			t.Fatal(err)
		}
	})
}
