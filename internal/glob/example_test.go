package glob_test

import (
	"fmt"

	"triggerd/internal/glob"
)

func ExamplePattern() {
	p, err := glob.ParseKey("order:{id}:item:*")
	if err != nil {
		fmt.Println(err)
		return
	}
	params := map[string]string{}
	fmt.Println(p.Capture([]byte("order:17:item:3"), params), params["id"])
	// Output: true 17
}

func ExampleAutomaton() {
	var patterns []*glob.Pattern
	for _, text := range []string{"user:*", "*:7", "order:*"} {
		p, err := glob.ParseKey(text)
		if err != nil {
			fmt.Println(err)
			return
		}
		patterns = append(patterns, p)
	}
	finder := glob.NewAutomaton(patterns).Finder()
	key := []byte("user:7")
	for _, i := range finder.Find(nil, key) {
		if finder.Confirm(i, key) {
			fmt.Println(patterns[i])
		}
	}
	// Unordered output:
	// user:*
	// *:7
}
