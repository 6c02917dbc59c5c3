package keyspace_test

import (
	"fmt"
	"reflect"
	"testing"
	"time"

	"triggerd/internal/event"
	"triggerd/internal/keyspace"
)

// emptyKeyspace returns an interpreter that needs all values, and knows that there
// are none.
func emptyKeyspace() *keyspace.Interpreter {
	in := keyspace.New(keyspace.Config{Need: func(int, []byte) keyspace.Need { return keyspace.NeedValue }})
	in.SnapshotBegin()
	in.SnapshotEnd(nil, &keyspace.SnapshotKey{})
	return in
}

// TestPrepare: what Prepare is told of, in whatever order and database, changes no
// event of the commands that come then.
func TestPrepare(t *testing.T) {
	g := newGenerator(1)
	prepared, plain := emptyKeyspace(), emptyKeyspace()
	run := func(in *keyspace.Interpreter, db int, args [][]byte) (events []*event.Event) {
		list := in.Command(nil, &keyspace.Command{Args: args, DB: db, Time: time.Unix(1700000000, 0)})
		for len(list) > 0 {
			for i := range list {
				events = append(events, list[i].Clone())
			}
			list = in.Rest(nil)
		}
		return events
	}
	for i := range 2000 { // more than are in the cache anyway
		for db := range 3 {
			set := [][]byte{[]byte("SET"), fmt.Appendf(nil, "other:%d", i), []byte("v")}
			run(prepared, db, set)
			run(plain, db, set)
		}
	}
	events, values := 0, 0
	for range 500 {
		var commands [][][]byte
		for range 32 {
			var args [][]byte
			for _, word := range g.one() {
				args = append(args, []byte(word))
			}
			commands = append(commands, args)
		}
		prepared.Prepare(g.IntN(3), commands)
		for _, args := range commands {
			db := g.IntN(3)
			got, want := run(prepared, db, args), run(plain, db, args)
			if !reflect.DeepEqual(got, want) {
				t.Fatalf("%q\n got %+v\nwant %+v", args, got, want)
			}
			for _, ev := range got {
				if events++; ev.Before != nil && ev.Before != event.None {
					values++
				}
			}
		}
	}
	if events < 1000 || values < 1000 {
		t.Errorf("%d events, %d with a value before: too few to tell", events, values)
	}
}

// TestPrepareAllocates: it does not, whatever it is told of.
func TestPrepareAllocates(t *testing.T) {
	in := emptyKeyspace()
	var commands [][][]byte
	for i := range 1000 {
		key := fmt.Appendf(nil, "k%d", i)
		in.Command(nil, &keyspace.Command{Args: [][]byte{[]byte("SET"), key, key}})
		commands = append(commands, [][]byte{[]byte("set"), key, key}, [][]byte{[]byte("RENAME"), key, key}, [][]byte{[]byte("unknown"), key, key})
	}
	if n := testing.AllocsPerRun(10, func() { in.Prepare(0, commands) }); n != 0 {
		t.Errorf("%.0f allocations", n)
	}
}
