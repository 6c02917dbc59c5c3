package redistest

import (
	"bufio"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// FuzzParseCommand checks that what was read from a peer, sent again as an
// array, is read again as the same, and that a command takes no byte more than
// it has.
func FuzzParseCommand(f *testing.F) {
	for _, s := range []string{"PING\r\n", "replconf ack 1\n", "*1\r\n$4\r\nPING\r\n", "*2\r\n$0\r\n\r\n$2\r\n\r\n\r\n", "*0\r\n", "*1\r\n$-1\r\n", "\r\n"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, in string) {
		src := strings.NewReader(in)
		r := bufio.NewReader(src)
		args, err := parseCommand(r)
		if err != nil {
			return
		}
		var again strings.Builder
		fmt.Fprintf(&again, "*%d\r\n", len(args))
		for _, a := range args {
			fmt.Fprintf(&again, "$%d\r\n%s\r\n", len(a), a)
		}
		got, err := parseCommand(bufio.NewReader(strings.NewReader(again.String())))
		if err != nil || !slices.Equal(got, args) {
			t.Errorf("%q: got %q, written and read again %q, %v", in, args, got, err)
		}
		consumed := len(in) - src.Len() - r.Buffered()
		if got, err := parseCommand(bufio.NewReader(strings.NewReader(in[:consumed-1]))); err == nil {
			t.Errorf("%q: it is whole (%q) with a byte less than the %d it took", in, got, consumed)
		}
	})
}

func TestNeedFailsInCI(t *testing.T) {
	for name, ci := range map[string]string{"fails": "true", "skips": ""} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("CI", ci)
			r := &outcome{TB: t}
			need(r, "redis-1.0")
			if r.how != name || !strings.HasPrefix(r.message, "this test needs a real server that cannot be had here: no server is called") {
				t.Errorf("got %s: %q; want that it %s", r.how, r.message, name)
			}
		})
	}
}

// outcome records how a test would have ended: by the first call, since it goes on after it.
type outcome struct {
	testing.TB
	how, message string
}

func (o *outcome) Helper()           {}
func (o *outcome) Fatal(args ...any) { o.end("fails", args) }
func (o *outcome) Skip(args ...any)  { o.end("skips", args) }

func (o *outcome) end(how string, args []any) {
	if o.how == "" {
		o.how, o.message = how, fmt.Sprint(args...)
	}
}
