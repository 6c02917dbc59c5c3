package keyspace_test

import (
	"bytes"
	"fmt"

	"triggerd/internal/event"
	"triggerd/internal/keyspace"
)

func ExampleInterpreter_Command() {
	in := keyspace.New(keyspace.Config{})
	var events []event.Event // used again for each command
	for _, args := range [][][]byte{
		{[]byte("SELECT"), []byte("3")},
		{[]byte("set"), []byte("cart:7"), []byte("2 items"), []byte("PXAT"), []byte("1795426289586")},
		{[]byte("DEL"), []byte("a"), []byte("b")},
	} {
		events = in.Command(events[:0], &keyspace.Command{Args: args, DB: 3})
		for _, ev := range events {
			fmt.Printf("%s %s of %s (%s)\n", ev.Command, ev.Name, ev.Key, ev.Cause)
		}
	}
	// Output:
	// SET set of cart:7 (command)
	// SET expire of cart:7 (command)
	// DEL del of a (deleted)
	// DEL del of b (deleted)
}

// Of the keys of a pattern everything is kept, so that events have the values
// before and after, and are exact.
func ExampleConfig_need() {
	in := keyspace.New(keyspace.Config{Need: func(db int, key []byte) keyspace.Need {
		if bytes.HasPrefix(key, []byte("stock:")) {
			return keyspace.NeedValue
		}
		return keyspace.NeedNothing
	}})
	in.SnapshotBegin() // of a server without keys
	in.SnapshotEnd(nil, &keyspace.SnapshotKey{})

	var events []event.Event
	for _, line := range []string{"SET stock:7 1", "DECR stock:7", "LPUSH queue a", "DEL stock:7 stock:8"} {
		events = in.Command(events[:0], &keyspace.Command{Args: bytes.Fields([]byte(line))})
		for _, ev := range events {
			fmt.Printf("%s %s", ev.Name, ev.Key)
			if ev.Before != nil && ev.After != nil {
				fmt.Printf(": %s %q -> %s %q", ev.Before.Type(), ev.Before.Bytes(), ev.After.Type(), ev.After.Bytes())
			}
			fmt.Println()
		}
	}
	// Output:
	// set stock:7: none "" -> string "1"
	// incrby stock:7: string "1" -> string "0"
	// lpush queue
	// del stock:7: string "0" -> none ""
}
