package keyspace_test

import (
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
