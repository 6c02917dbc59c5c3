package main

import (
	"flag"
	"fmt"
	"os"
)

func main() {
	out := flag.String("o", "table.go", "the `file` to write")
	flag.Parse()
	if err := generate(*out); err != nil {
		fmt.Fprintln(os.Stderr, "gen:", err)
		os.Exit(1)
	}
}
