package keyspace

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"triggerd/internal/event"
)

// FuzzCommand gives any arguments to any command: keys are sub-slices of the
// arguments, among the keys that the server would name, and events are bounded.
func FuzzCommand(f *testing.F) {
	for _, line := range slices.Concat(recordedStreams(f), written) {
		name, rest, _ := strings.Cut(line, " ")
		f.Add(uint16(0), []byte(name+"\n"+strings.ReplaceAll(rest, " ", "\n")), false)
		if id := slices.Index(commands, commandNamed([]byte(name))); id >= 0 {
			f.Add(uint16(id+1), []byte(strings.ReplaceAll(rest, " ", "\n")), true)
		}
	}
	names := EventNames()
	f.Fuzz(func(t *testing.T, id uint16, data []byte, valkey bool) {
		args := bytes.Split(data, []byte("\n"))
		if id > 0 { // else data brings its own name
			args = append(bytes.Split([]byte(commands[int(id-1)%len(commands)].name), []byte(" ")), args...)
		}
		config := Config{}
		if valkey {
			config.Dialect = Valkey
		}
		in := New(config)
		events := in.Command(nil, &Command{Args: args, DB: 3})
		if len(events) > 2*len(args) {
			t.Fatalf("%d events of %d arguments", len(events), len(args))
		}
		known := commandOf(args)
		keys := keysOf(known, args)
		for i, ev := range events {
			if ev.Index != i || ev.Name == "" || ev.Command == "" || ev.Origin != event.FromStream {
				t.Fatalf("event %d of %q: %+v", i, args, ev)
			}
			if ev.Key != nil && !isArg(args, ev.Key) {
				t.Fatalf("key %q of %q is no argument", ev.Key, args)
			}
			if known == unknownCommand {
				continue
			}
			if ev.Key != nil && !isArg(keys, ev.Key) {
				t.Fatalf("key %q of %q is not among its keys %q", ev.Key, args, keys)
			}
			if !slices.Contains(names, ev.Name) && known.instead == "" {
				t.Fatalf("event %q of %q is not in EventNames", ev.Name, args)
			}
		}
		again := in.Command(nil, &Command{Args: args, DB: 3})
		if len(again) != len(events) {
			t.Fatalf("%d events, the second time %d", len(events), len(again))
		}
	})
}

// isArg reports whether key is one of args itself, not a copy.
func isArg(args [][]byte, key []byte) bool {
	return slices.ContainsFunc(args, func(a []byte) bool {
		return len(a) == len(key) && (len(a) == 0 || &a[0] == &key[0])
	})
}
