package outbox

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"syscall"
	"testing"
	"time"

	"triggerd/actions"
	"triggerd/internal/event"
	"triggerd/internal/store"
)

// takeOne makes one attempt of an endpoint, as a worker does.
func takeOne(w *worker) bool {
	w.ep.mu.Lock()
	ok := w.ep.takeTurn(w)
	w.ep.mu.Unlock()
	if ok {
		w.makeAttempt()
	}
	return ok
}

// putOne indexes a job of a lane.
func putOne(o *Outbox, ep *endpoint, id uint64, j job) {
	ep.mu.Lock()
	defer ep.mu.Unlock()
	ep.addJob(id, j, time.Now())
	o.addPending(ep, 1)
}

// BenchmarkTakeAndSettle is what the outbox does about an attempt, with a
// million keys that wait, of which every tenth has failed, while every tenth of
// those that come fails.
func BenchmarkTakeAndSettle(b *testing.B) {
	const lanes = 1_000_000
	st, err := store.OpenInMemory()
	if err != nil {
		b.Fatal(err)
	}
	defer st.Close()
	o := New(Options{Store: st, MaxPending: 2 * lanes, Interval: time.Hour, Logger: slog.New(slog.NewTextHandler(io.Discard, &slog.HandlerOptions{Level: slog.LevelError + 1}))})
	o.bounds.window, o.bounds.cached, o.bounds.ahead = 4*lanes, 1<<40, 1<<30
	o.attempts, o.reading, o.fatal = context.Background(), context.Background(), func(error) {}
	sp := spec(nil)
	sp.Retry.MaxAttempts, sp.Retry.MaxAge, sp.Retry.Backoff, sp.Retry.MaxBackoff = 1_000_000, 0, time.Hour, time.Hour
	bad := errors.New("500")
	o.started.Store(true)
	ep := o.endpoint("0")
	ep.setAction(&Action{Policy: sp, Concurrency: 16, Action: actionOf(func(f *actions.Firing) error {
		if f.Rule == "bad" {
			return bad
		}
		return nil
	})})
	ep.concurrency = 0 // no workers but ours
	good := &actions.Firing{ID: "good", Rule: "good", Action: "a", Event: &event.Event{}}
	fails := &actions.Firing{ID: "bad", Rule: "bad", Action: "a", Event: &event.Event{}}
	seq := uint64(0)
	put := func(f *actions.Firing, j job) {
		seq++
		j.seq, j.born, j.firing = seq, momentOf(time.Now()), f
		putOne(o, ep, seq, j)
	}
	for i := range lanes {
		if i%10 == 0 {
			put(fails, job{attempts: 1, due: momentOf(time.Now().Add(time.Hour + time.Duration(i)*time.Millisecond))})
		} else {
			put(good, job{})
		}
	}
	b.ReportAllocs()
	w := &worker{ep: ep}
	began := processorTime(b)
	for n := 0; b.Loop(); n++ {
		if !takeOne(w) {
			b.Fatal("nothing waits")
		}
		if n%10 == 0 {
			put(fails, job{})
		} else {
			put(good, job{})
		}
		if n%4096 == 0 {
			o.ledger.settled = o.ledger.settled[:0]
		}
	}
	b.ReportMetric(float64((processorTime(b)-began).Nanoseconds())/float64(b.N), "cpu-ns/op")
}

// processorTime is what this process has used, which tells more than the time
// that has gone by on a machine that is busy with other things.
func processorTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

type actionOf func(*actions.Firing) error

func (do actionOf) Do(_ context.Context, f *actions.Firing) (actions.Result, error) {
	return actions.Result{}, do(f)
}
