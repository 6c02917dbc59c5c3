package keyspace_test

import (
	"strings"
	"testing"

	"triggerd/internal/event"
	"triggerd/internal/keyspace"
)

// TestLose: what a command that was never run may have changed is not known
// afterwards, in whatever database, and all else is as it was.
func TestLose(t *testing.T) {
	for _, c := range []struct{ lost, unknown string }{
		{"SET a 9", "a"},
		{"MSET a 9 7 9", "a 7"},
		{"DEL a b none", "a b none"},
		{"RENAME a none", "a none"},
		{"SELECT 3", ""},
		{"PING", ""},
		{"FLUSHALL", "a b 7 none"},
		{"SWAPDB 0 1", "a b 7 none"},
		{"COPY a none DB 1", "a b 7 none"},
		{"EVAL x 0", "a b 7 none"},
		{"MODULE.SET x", "a b 7 none"},
	} {
		in := keyspace.New(keyspace.Config{Need: func(int, []byte) keyspace.Need { return keyspace.NeedValue }})
		do := func(line string) {
			for range in.Command(nil, &keyspace.Command{Args: split(line)}) {
			}
		}
		in.SnapshotBegin()
		in.SnapshotEnd(nil, &keyspace.SnapshotKey{})
		do("MSET a 1 b 2 7 3")
		in.Lose(&keyspace.Command{Args: split(c.lost), DB: 5})
		for _, key := range []string{"a", "b", "7", "none"} {
			unknown := in.Lookup(0, []byte(key)) == nil
			if want := strings.Contains(" "+c.unknown+" ", " "+key+" "); unknown != want {
				t.Errorf("after %s was lost: %s is unknown: %v, want %v", c.lost, key, unknown, want)
			}
		}
		if c.unknown == "" && in.Lookup(0, []byte("none")) != event.None {
			t.Errorf("%s: what is not there is not known", c.lost)
		}
		if lost := in.Stats().Lost.Rewound; (lost > 0) != (c.unknown != "") {
			t.Errorf("%s: %d lost", c.lost, lost)
		}
	}
}

func split(line string) (args [][]byte) {
	for _, w := range strings.Fields(line) {
		args = append(args, []byte(w))
	}
	return args
}
