package engine

import (
	"bytes"
	"context"
	"fmt"
	"iter"
	"testing"

	"triggerd/internal/event"
	"triggerd/internal/outbox"
	"triggerd/internal/resp"
	"triggerd/internal/store"
	"triggerd/source"
)

// received is a source that has come to an offset.
type received int64

func (r *received) Status() source.Status {
	return source.Status{State: source.Streaming, Received: int64(*r)}
}
func (*received) Ack(source.Position) {}
func (*received) Records(context.Context, source.Position, source.Consumer) iter.Seq2[*source.Record, error] {
	return nil
}

// A loop is stuck if it is at the same piece of work at two looks in a row, and
// not if it waits, goes on within it, or has ended it.
func TestWatch(t *testing.T) {
	st, err := store.OpenInMemory()
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	var src received
	s := &stream{name: "eu", src: &src}
	e := &Engine{store: st, outbox: new(outbox.Outbox), streams: []*stream{s}}
	w := e.Watch()
	writes := uint64(0)
	w.loops[0].progress = func() (uint64, bool) { return writes, writes%2 == 1 }
	look := func(what, want string) {
		t.Helper()
		if got := w.Stuck(); got != want {
			t.Errorf("%s: stuck is %q, want %q", what, got, want)
		}
	}
	look("nothing to do", "")
	look("still nothing to do", "")
	src = 100
	s.counts.records.Add(1)
	look("just begun", "")
	look("at the same record", "stream eu")
	s.counts.events.Add(7)
	look("gone on with it", "")
	s.handled.Store(100)
	look("done", "")
	look("waiting", "")
	src = 200
	s.counts.records.Add(1)
	look("at the next record", "")
	s.handled.Store(200)
	writes = 1
	look("writing", "")
	look("at the same write", "store")
	writes = 2
	look("written", "")
}

// A long command is seen to go on before it has ended.
func TestLongCommandGoesOn(t *testing.T) {
	words := []string{"DEL"}
	for i := range 5000 {
		words = append(words, fmt.Sprint("k", i))
	}
	set, err := ParseRules("rules.toml", []byte("[[rule]]\nname = \"r\"\nkey = \"other\"\naction = [{ type = \"log\" }]\n"), ActionOptions{})
	if err != nil {
		t.Fatal(err)
	}
	var e *Engine
	turns := map[uint64]bool{}
	e, err = New(Config{
		Rules: set, Source: source.NewRecording(bytes.NewReader(resp.AppendCommand(nil, words...)), "stream"), Replay: true, DryRun: true,
		OnEvent: func(*event.Event) {
			n, _ := e.streams[0].progress()
			turns[n] = true
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := e.Stats().Events; got != 5000 || len(turns) < 4 {
		t.Errorf("%d events, and the watchdog sees %d turns within the command", got, len(turns))
	}
}
