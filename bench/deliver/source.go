package main

import (
	"context"
	"fmt"
	"iter"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"triggerd/engine"
	"triggerd/internal/admin"
	"triggerd/internal/delivered"
	"triggerd/internal/store"
	"triggerd/source"
)

const replID = "0123456789abcdef0123456789abcdef01234567"

// beginning is how many firings are the beginning.
const beginning = 50_000

// commands is a source of n numbered writes to keys.
type commands struct {
	n     int
	group int // wait until this many are durable before the next; 0: do not wait
	key   func(i int) string

	mu     sync.Mutex
	acked  *sync.Cond
	offset int64
	began  time.Time     // when the first of them, as many as beginning says, were durable
	done   chan struct{} // closed when all are durable
}

func newCommands(n, group int, key func(int) string) *commands {
	c := &commands{n: n, group: group, key: key, done: make(chan struct{})}
	c.acked = sync.NewCond(&c.mu)
	return c
}

const value = "a value as long as those of many, a hundred bytes or so, so that a firing takes what one usually does"

func (c *commands) Records(ctx context.Context, _ source.Position, _ source.Consumer) iter.Seq2[*source.Record, error] {
	return func(yield func(*source.Record, error) bool) {
		args := [][]byte{[]byte("SET"), nil, []byte(value), nil}
		for i := 1; i <= c.n && ctx.Err() == nil; i++ {
			args[1], args[3] = []byte(c.key(i)), strconv.AppendInt(nil, int64(i), 10)
			at := source.Position{ReplID: replID, Offset: int64(i)}
			if !yield(&source.Record{Kind: source.Command, Args: args, ReplID: replID, Offset: at.Offset, Bytes: 150, Time: time.Now(), Pos: at}, nil) {
				return
			}
			if c.group > 0 && i%c.group == 0 {
				c.await(int64(i))
			}
		}
		c.await(int64(c.n))
		close(c.done)
		<-ctx.Done()
	}
}

func (c *commands) await(offset int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.offset < offset {
		c.acked.Wait()
	}
}

func (c *commands) Ack(p source.Position) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.offset = p.Offset
	if c.began.IsZero() && c.offset >= beginning {
		c.began = time.Now()
	}
	c.acked.Broadcast()
}

func (c *commands) Status() source.Status { return source.Status{Addr: "redis://bench"} }

// running is an engine at work.
type running struct {
	*engine.Engine
	store *store.Store
	stop  context.CancelFunc
	ended chan error
}

// run starts an engine on the store in dir, with the named targets paused.
func run(dir string, src source.Source, rules string, paused ...string) (*running, error) {
	set, err := engine.ParseRules("bench", []byte(rules), engine.ActionOptions{})
	if err != nil {
		return nil, err
	}
	st, err := store.Open(dir)
	if err != nil {
		return nil, err
	}
	var kept *delivered.Log
	if *keep > 0 {
		if kept, err = delivered.Open(delivered.Options{Dir: filepath.Join(dir, delivered.DirName), Limit: *keep, Logger: slog.Default()}); err != nil {
			return nil, err
		}
	}
	e, err := engine.New(engine.Config{Rules: set, Source: src, Store: st, Kept: kept, MaxPending: 10_000_000, DrainTimeout: time.Second})
	if err != nil {
		return nil, err
	}
	for _, name := range paused {
		if _, err := e.Pause(name, admin.Pause{}); err != nil {
			return nil, err
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	r := &running{e, st, cancel, make(chan error, 1)}
	go func() { r.ended <- e.Run(ctx) }()
	return r, nil
}

func (r *running) close() error {
	r.stop()
	err := <-r.ended
	if closed := r.store.Close(); err == nil {
		err = closed
	}
	return err
}

// target returns the rules for keys that begin with name: one target. What values
// cost is measured by bench/live.
func target(name, url string) string {
	return fmt.Sprintf("[targets.%s]\ntype = \"webhook\"\nurl = %q\n[[rule]]\nname = %q\nkey = \"%s:*\"\nvalues = false\n[[rule.action]]\ntarget = %q\n", name, url, name, name, name)
}

// enqueue measures how fast firings become durable, and beside it how fast the
// disk is: the bytes that a group takes appended to a file and synced. The first
// log files of a store grow as that file does; later ones are written over, for
// which a sync takes less. So it says apart how fast the beginning was.
func enqueue(dir string) error {
	const group = 16
	floor, err := syncs(dir, group*500, 2000)
	if err != nil {
		return err
	}
	report("groups of 16 written to a file and synced", floor*group, "firings/s")
	for _, of := range []struct {
		name  string
		n     int
		group int
		want  float64
	}{{"durable enqueue, groups of 16, one after the other", 300_000, group, 50_000}, {"durable enqueue, flat out", 300_000, 0, 50_000}} {
		src := newCommands(of.n, of.group, func(i int) string { return "t:" + strconv.Itoa(i) })
		began := time.Now()
		r, err := run(data(dir)+strconv.Itoa(of.group), src, target("t", "http://127.0.0.1:1/"), "target/t")
		if err != nil {
			return err
		}
		select {
		case <-src.done:
		case err := <-r.ended:
			return fmt.Errorf("the engine has ended: %w", err)
		}
		atLeast(of.name, float64(of.n)/time.Since(began).Seconds(), of.want, "firings/s")
		report(fmt.Sprintf("  the first %d of them, into a new store", beginning), beginning/src.began.Sub(began).Seconds(), "firings/s")
		if err := r.close(); err != nil {
			return err
		}
	}
	return nil
}

// syncs returns how many times a second so many bytes are appended to a file and
// synced.
func syncs(dir string, bytes, n int) (perSecond float64, err error) {
	f, err := os.CreateTemp(dir, "floor")
	if err != nil {
		return 0, err
	}
	defer f.Close()
	b := make([]byte, bytes)
	began := time.Now()
	for range n {
		if _, err := f.Write(b); err != nil {
			return 0, err
		}
		if err := f.Sync(); err != nil {
			return 0, err
		}
	}
	return float64(n) / time.Since(began).Seconds(), nil
}
