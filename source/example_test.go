package source_test

import (
	"context"
	"fmt"
	"strings"

	"triggerd/source"
)

// A recording is read as a server is. What is in a transaction is handed out
// when that has ended, and has a position only at its end.
func ExampleNewRecording() {
	recording := "SELECT 3\r\nSET stock:7 12\r\nMULTI\r\nDECR stock:7\r\nSADD sold 7\r\nEXEC\r\n"
	src := source.NewRecording(strings.NewReader(recording), "a recording")
	for rec, err := range src.Records(context.Background(), source.Position{}, nil) {
		if err != nil {
			fmt.Println(err)
			return
		}
		if rec.Kind != source.Command {
			continue
		}
		fmt.Printf("%s, database %d, ends at byte %d", rec.Args[0], rec.DB, rec.Offset)
		if rec.Tx.Size > 0 {
			fmt.Printf(", %d of %d", rec.Tx.Index, rec.Tx.Size)
		}
		fmt.Println()
	}
	// Output:
	// SET, database 3, ends at byte 26
	// DECR, database 3, ends at byte 47, 1 of 2
	// SADD, database 3, ends at byte 60, 2 of 2
}

// A position is text in a checkpoint.
func ExampleParsePosition() {
	p, err := source.ParsePosition("8d1f4c40a5b8e5f1f7bb1cc5e6d0a1b2c3d4e5f6:851576/3")
	fmt.Println(p.Offset, p.DB, err)
	_, err = source.ParsePosition("851576")
	fmt.Println(err)
	// Output:
	// 851576 3 <nil>
	// position "851576": not of the form replid:offset/db
}

// Mistakes in a URL are told without its password.
func ExampleCheckURL() {
	fmt.Println(source.CheckURL("redis://triggerd:hunter2@10.0.0.7:6379"))
	fmt.Println(source.CheckURL("http://triggerd:hunter2@10.0.0.7:6379"))
	// Output:
	// <nil>
	// source URL: unknown scheme (redis, rediss, redis+sentinel, rediss+sentinel or unix)
}
