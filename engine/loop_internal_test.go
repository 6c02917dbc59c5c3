package engine

import (
	"testing"

	"triggerd/internal/outbox"
	"triggerd/internal/store"
)

// A loop is stuck if it is at the same piece of work at two looks in a row, and
// not if it waits, goes on within it, or has ended it.
func TestWatch(t *testing.T) {
	st, err := store.OpenInMemory()
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	s := &stream{name: "eu"}
	keeper := new(loop)
	e := &Engine{store: st, outbox: new(outbox.Outbox), streams: []*stream{s}}
	w := e.Watch()
	w.turns[0] = keeper.marks.Load
	look := func(what, want string) {
		t.Helper()
		if got := w.Stuck(); got != want {
			t.Errorf("%s: stuck is %q, want %q", what, got, want)
		}
	}
	look("nothing to do", "")
	look("still nothing to do", "")
	s.loop.begin()
	look("just begun", "")
	look("at the same record", "stream eu")
	s.loop.step()
	look("gone on with it", "")
	s.loop.end()
	look("done", "")
	s.loop.begin()
	look("at the next record", "")
	s.loop.end()
	keeper.begin()
	look("writing", "")
	look("at the same write", "store")
	keeper.end()
	look("written", "")
}
