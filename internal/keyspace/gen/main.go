package main

import (
	"flag"
	"fmt"
	"os"
)

func main() {
	addr := flag.String("dump", "", "write what the server at this `host:port` says about its commands, then stop")
	out := flag.String("o", "table.go", "the `file` to write")
	flag.Parse()
	err := error(nil)
	if *addr != "" {
		err = dump(os.Stdout, *addr)
	} else {
		err = generate(*out)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "gen:", err)
		os.Exit(1)
	}
}
