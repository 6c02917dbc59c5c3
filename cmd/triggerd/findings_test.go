package main

import (
	"strconv"
	"strings"
	"testing"

	"triggerd/rules"
)

// On a terminal the mark is as long as what it marks.
func TestFindingOnTerminal(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		source string
		col    int
		mark   string
	}{
		{`when = 'num(aftr) <= 0'`, 13, "^~~~"},
		{`type = "webhok" # x`, 8, "^~~~~~~~"},
		{`throttle = { max = 1 }`, 12, "^"},
		{`kye`, 9, "^"},
		{`when = 'größe > 1'`, 9, "^~~~~"},
	} {
		e := &rules.Error{File: "r.toml", Line: 3, Col: test.col, Msg: "wrong", Code: "a-code", SourceLine: test.source}
		for _, on := range []bool{true, false} {
			var b strings.Builder
			p := painter{on}
			p.finding(&b, e, p.red)
			first, mark := "r.toml:3:"+strconv.Itoa(test.col)+": wrong [a-code]", "^"
			if on {
				first, mark = "\x1b[1m"+first+"\x1b[0m", "\x1b[1;31m"+test.mark+"\x1b[0m"
			}
			got := b.String()
			if !strings.HasPrefix(got, first+"\n") || !strings.HasSuffix(got, " "+mark+"\n") {
				t.Errorf("%s on a terminal %v: got %q, want %q first and %q last", test.source, on, got, first, mark)
			}
		}
	}
}

func TestPainterFor(t *testing.T) {
	t.Parallel()
	if painterFor(&strings.Builder{}).on {
		t.Error("what is no terminal is painted")
	}
}
