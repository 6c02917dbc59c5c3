package tomlpos_test

import (
	"fmt"

	"triggerd/internal/tomlpos"
)

func ExampleScan() {
	src := "[[rule]]\nname = \"a\"\nkey = \"tab\\there\"\n"
	root, err := tomlpos.Scan(src)
	if err != nil {
		fmt.Println(err)
		return
	}
	key := root.Members["rule"].Elements[0].Members["key"]
	lines := tomlpos.NewLines(src)
	fmt.Println(lines.Place(key.Key))
	fmt.Println(lines.Place(key.Value))
	// The text is "tab", a tab, "here"; its byte 4 is the h.
	fmt.Println(lines.Place(key.Value + tomlpos.Offset(src[key.Value:key.End], 4)))
	// Output:
	// 3 1
	// 3 7
	// 3 13
}
