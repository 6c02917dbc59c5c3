package keyspace_test

import (
	"bytes"
	"fmt"
	"runtime"
	"slices"
	"testing"

	"triggerd/internal/event"
	"triggerd/internal/keyspace"
)

// all hands each event of a command to f, and returns the most that there were
// at once.
func (s *session) all(args [][]byte, f func(*event.Event)) (most int) {
	command := keyspace.Command{Args: args, Time: start}
	for events := s.in.Command(nil, &command); len(events) > 0; events = s.in.Rest(events[:0]) {
		most = max(most, len(events))
		for i := range events {
			f(&events[i])
		}
	}
	return most
}

func TestOwnArguments(t *testing.T) {
	tests := []struct {
		command string
		valkey  bool
		want    []string // name, arguments, place and number of the key
	}{
		{command: "DEL a", want: []string{"del: a 0/0"}},
		{command: "DEL a b", want: []string{"del: a 1/2", "del: b 2/2"}},
		{command: "UNLINK a b", want: []string{"del: a 1/2", "del: b 2/2"}},
		{command: "MSET a 1", want: []string{"set: a 1 0/0"}},
		{command: "MSET a 1 b 2 a 3", want: []string{"set: a 1 1/3", "set: b 2 2/3", "set: a 3 3/3"}},
		{command: "MSET a 1 b", want: []string{"set: a 1 1/2", "set: b 2/2"}},
		{command: "MSETNX a 1 b 2", want: []string{"set: a 1 1/2", "set: b 2 2/2"}},
		{command: "MSETEX 1 a 1 EX 9", want: []string{"expire: 1 a 1 EX 9 0/0", "set: 1 a 1 EX 9 0/0"}},
		{command: "MSETEX 2 a 1 b 2 NX PXAT 9", want: []string{
			"expire: 1 a 1 NX PXAT 9 1/2", "set: 1 a 1 NX PXAT 9 1/2", "expire: 1 b 2 NX PXAT 9 2/2", "set: 1 b 2 NX PXAT 9 2/2"}},
		{command: "MSETEX 2 a 1 b 2 PXAT 9", valkey: true, want: []string{
			"set: 1 a 1 PXAT 9 1/2", "expire: 1 a 1 PXAT 9 1/2", "set: 1 b 2 PXAT 9 2/2", "expire: 1 b 2 PXAT 9 2/2"}},
		{command: "MSETEX 2 a 1 b 2 NX NX NX NX NX NX NX NX NX NX", want: []string{
			"set: 1 a 1 NX NX NX NX NX NX NX NX 1/2", "set: 1 b 2 NX NX NX NX NX NX NX NX 2/2"}},
		{command: "MSETEX 3 a 1 b", want: []string{"set: 1 a 1 1/2", "set: 1 b 2/2"}},
		{command: "EVAL code 1 a x y", want: []string{"eval: code 1 a x y 0/0"}},
		{command: "EVAL code 2 a b x y", want: []string{"eval: code 1 a 1/2", "eval: code 1 b 2/2"}},
		{command: "RENAME a b", want: []string{"rename_from: a b 0/0", "rename_to: a b 0/0"}},
		{command: "COPY a b", want: []string{"copy_to: a b 0/0"}},
		{command: "SMOVE a b m", want: []string{"srem: a b m 0/0", "sadd: a b m 0/0"}},
	}
	for _, test := range tests {
		t.Run(test.command, func(t *testing.T) {
			for _, needed := range []bool{false, true} {
				config := keyspace.Config{}
				if test.valkey {
					config.Dialect = keyspace.Valkey
				}
				if needed {
					config.Need = needAll
				}
				in := keyspace.New(config)
				var got []string
				for _, ev := range in.Command(nil, &keyspace.Command{Args: words(test.command), Time: start}) {
					got = append(got, fmt.Sprintf("%s: %s %d/%d", ev.Name, bytes.Join(ev.Args, []byte(" ")), ev.Part.Index, ev.Part.Size))
				}
				if !slices.Equal(got, test.want) {
					t.Errorf("keys that are needed: %t\n got %q\nwant %q", needed, got, test.want)
				}
			}
		})
	}
}

// What belongs to all keys of a script is cut for each.
func TestOwnArgumentsOfLongScript(t *testing.T) {
	args := [][]byte{[]byte("EVAL"), make([]byte, 1<<20), []byte("2"), []byte("a"), []byte("b")}
	for _, ev := range keyspace.New(keyspace.Config{}).Command(nil, &keyspace.Command{Args: args}) {
		if len(ev.Args) != 3 || len(ev.Args[0]) != 1<<10 || !bytes.Equal(ev.Args[2], ev.Key) {
			t.Errorf("%q has %d arguments, the first of %d bytes", ev.Key, len(ev.Args), len(ev.Args[0]))
		}
	}
}

// A key that a command names twice has the same value before and after in both
// events, and each its own arguments.
func TestKeyNamedTwice(t *testing.T) {
	s := newSession(keyspace.Config{})
	s.do("SET a 0")
	events := s.in.Command(nil, &keyspace.Command{Args: words("MSET a 1 a 2"), Time: start})
	for i, want := range []string{"1", "2"} {
		if ev := events[i]; string(ev.Args[1]) != want || plain(ev.Before) != plain(event.String([]byte("0"))) || plain(ev.After) != plain(event.String([]byte("2"))) {
			t.Errorf("event %d: %q, %s -> %s", i, ev.Args, plain(ev.Before), plain(ev.After))
		}
	}
	if got := s.do("DEL a a"); len(got) != 1 {
		t.Errorf("the second time it is not there: %q", got)
	}
}

// TestSteps: whether keys are needed or not, the steps of a long command make
// the events that it makes as a whole, and none of them costs what all do.
func TestSteps(t *testing.T) {
	const n = 5000
	commands := map[string][][]byte{"MSET": {[]byte("MSET")}, "MSETEX": {[]byte("MSETEX"), fmt.Append(nil, n)}, "UNLINK": {[]byte("UNLINK")}}
	for i := range n {
		key := fmt.Append(nil, "k", i)
		commands["UNLINK"] = append(commands["UNLINK"], key)
		for _, name := range []string{"MSET", "MSETEX"} {
			commands[name] = append(commands[name], key, fmt.Append(nil, i))
		}
	}
	commands["MSETEX"] = append(commands["MSETEX"], []byte("PXAT"), fmt.Append(nil, start.UnixMilli()+7))
	for _, need := range []keyspace.Need{keyspace.NeedNothing, keyspace.NeedValue} {
		s := newSession(keyspace.Config{Need: func(int, []byte) keyspace.Need { return need }})
		for _, name := range []string{"MSET", "MSETEX", "UNLINK"} {
			made, each := 0, 1
			if name == "MSETEX" {
				each = 2
			}
			most := s.all(commands[name], func(ev *event.Event) {
				place := made/each + 1
				if ev.Index != made || ev.Part != (event.Part{Index: place, Size: n}) || string(ev.Key) != fmt.Sprint("k", place-1) {
					t.Fatalf("%s, event %d: %q, number %d, %+v", name, made, ev.Key, ev.Index, ev.Part)
				}
				if name == "MSETEX" && need == keyspace.NeedValue && ev.TTL != 7 {
					t.Fatalf("%q lives for %d ms", ev.Key, ev.TTL)
				}
				made++
			})
			if made != n*each || most > 4096 {
				t.Errorf("%s: %d events, %d at once", name, made, most)
			}
			if got := s.in.Stats().Malformed; got != 0 {
				t.Errorf("%s is malformed", name)
			}
		}
	}
}

// A command of which nobody has asked for the rest has been done as a whole.
func TestRestAbandoned(t *testing.T) {
	s := newSession(keyspace.Config{})
	args := [][]byte{[]byte("MSET")}
	for i := range 5000 {
		args = append(args, fmt.Append(nil, "k", i), []byte("v"))
	}
	s.in.Command(nil, &keyspace.Command{Args: args, Time: start})
	if got := s.do("DEL k4999"); len(got) != 1 || s.in.Stats().MirrorKeys != 4999 {
		t.Errorf("%q, %d keys", got, s.in.Stats().MirrorKeys)
	}
}

// Events take far more memory than the keys that they are about.
func TestMemoryOfManyKeys(t *testing.T) {
	args := slices.Repeat([][]byte{[]byte("key")}, 1<<20)
	args[0] = []byte("DEL")
	in := keyspace.New(keyspace.Config{})
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	made := 0
	for events := in.Command(nil, &keyspace.Command{Args: args}); len(events) > 0; events = in.Rest(events[:0]) {
		made += len(events)
	}
	runtime.ReadMemStats(&after)
	if allocated := after.TotalAlloc - before.TotalAlloc; made != len(args)-1 || allocated > 8<<20 {
		t.Errorf("%d events of %d keys took %d bytes", made, len(args)-1, allocated)
	}
}
