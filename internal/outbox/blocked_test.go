package outbox

import (
	"context"
	"fmt"
	"iter"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"triggerd/actions"
	"triggerd/internal/event"
	"triggerd/internal/firing"
	"triggerd/internal/store"
)

// stuckLog is a log whose reader has gone away.
type stuckLog struct{ end chan struct{} }

func (l stuckLog) Enabled(context.Context, slog.Level) bool { return true }
func (l stuckLog) Handle(context.Context, slog.Record) error {
	<-l.end
	return nil
}
func (l stuckLog) WithAttrs([]slog.Attr) slog.Handler { return l }
func (l stuckLog) WithGroup(string) slog.Handler      { return l }

// stuckStore is a store that does not answer those who read what waits.
type stuckStore struct {
	jobSource
	end  chan struct{}
	once sync.Once
	read chan struct{} // closed once somebody reads
}

func (s *stuckStore) wait() {
	s.once.Do(func() { close(s.read) })
	<-s.end
}

func (s *stuckStore) Pending(endpoint string, from uint64) iter.Seq2[store.Pending, error] {
	s.wait()
	return s.jobSource.Pending(endpoint, from)
}

func (s *stuckStore) Jobs(seqs []uint64) iter.Seq2[*store.Job, error] {
	s.wait()
	return s.jobSource.Jobs(seqs)
}

func (s *stuckStore) Load(seq uint64) (*store.Job, error) {
	s.wait()
	return s.jobSource.Load(seq)
}

// A store that does not answer whoever reads what waits, and a log that nobody
// reads, hold up neither a stream nor the keeper: what comes is committed, what
// there is no room for is dropped. When they go on, all is delivered in order.
func TestBlockedStoreAndLog(t *testing.T) {
	st, err := store.OpenInMemory()
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	want := enqueueJobs(t, st, 200, 1, -1)
	end := make(chan struct{})
	acked := make(chan string, 10_000)
	o := New(Options{Store: st, Logger: slog.New(stuckLog{end}), MaxPending: 500, Acked: func(_, position string) { acked <- position }})
	stuck := &stuckStore{jobSource: st, end: end, read: make(chan struct{})}
	o.source = stuck
	if err := o.Recover(); err != nil {
		t.Fatal(err)
	}
	r := &receiver{}
	p := over("drop_new")
	failing := actionFunc(func(context.Context, *actions.Firing) error { return actions.Unreached(errDown) })
	o.SetActions(map[string]*Action{"0": {Action: r, Concurrency: 4, Policy: p}, "1": {Action: failing, Concurrency: 4, Policy: p}}, nil)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	o.Start(ctx, ctx, func(err error) { t.Error(err) })
	<-stuck.read
	last := ""
	for i := range 2000 {
		for endpoint := range 2 {
			f := &actions.Firing{ID: firing.ID(fmt.Sprint("n", i)), Rule: "r", Action: "a", Event: &event.Event{Key: []byte("0")}}
			o.Add(Planned{Stream: "s", Endpoint: fmt.Sprint(endpoint), Policy: p, Firing: f})
		}
		last = fmt.Sprint(i)
		o.Submit(Commit{Stream: "s", Position: last, Whole: true, Now: true})
	}
	limit := time.After(time.Minute)
	for position := ""; position != last; {
		select {
		case position = <-acked:
		case <-limit:
			t.Fatalf("position %s is not on disk", last)
		}
	}
	s := o.Stats()
	if s.Dropped == 0 || s.Firings != 4000 || s.Delivered != 0 {
		t.Errorf("%+v", s)
	}
	taken := o.in.pendingOf(o.in.openAccount("0"))
	close(end)
	for len(r.received()) < taken {
		select {
		case <-limit:
			t.Fatalf("%d of %d delivered", len(r.received()), taken)
		case <-time.After(time.Millisecond):
		}
	}
	if got := r.received(); !slices.Equal(got[:len(want)], want) {
		t.Errorf("received %v", got[:len(want)])
	}
	cancel()
	o.Close()
}
