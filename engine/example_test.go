package engine_test

import (
	"context"
	"fmt"
	"os"
	"strings"

	"triggerd/engine"
	"triggerd/source"
)

// A recording is played to a rules file: what would have fired, and when.
func ExampleEngine() {
	o := engine.ActionOptions{Stdout: os.Stdout}
	set, err := engine.ParseRules("rules.toml", []byte(`
[[rule]]
name = "sold-out"
key = "stock:{sku}"
when = "num(before) > 0 && num(after) <= 0"
action = [{ type = "print" }]
`), o)
	if err != nil {
		fmt.Println(err)
		return
	}
	recording := "#TS:1795426325\r\nSELECT 0\r\nSET stock:7 2\r\nDECR stock:7\r\nDECR stock:7\r\nDECR stock:7\r\n"
	e, err := engine.New(engine.Config{
		Rules: set, Source: source.NewRecording(strings.NewReader(recording), "a recording"), Actions: o,
		Replay: true, Empty: true, // all is seen through to the end, and the server had no keys
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	if err := e.Run(context.Background()); err != nil {
		fmt.Println(err)
	}
	s := e.Stats()
	fmt.Println(s.Events, "changes,", s.Delivered, "delivered")
	// Output:
	// 2026-11-23T09:32:05.000Z 0 incrby stock:7 DECR stock:7 [1 -> 0]
	// 4 changes, 1 delivered
}

// Each mistake of a rules file is told with its place.
func ExampleParseRules() {
	_, err := engine.ParseRules("rules.toml", []byte("[[rule]]\nname = \"stock\"\nkye = \"stock:*\"\naction = [{ type = \"log\" }]\n"), engine.ActionOptions{})
	fmt.Println(err)
	// Output:
	// rules.toml:3:1: rule "stock": unknown field kye (did you mean "key"?)
	//   3 | kye = "stock:*"
	//     | ^
}
