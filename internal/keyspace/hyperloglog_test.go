package keyspace_test

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
	"testing"

	"triggerd/internal/event"
	"triggerd/internal/keyspace"
	"triggerd/internal/redistest"
	"triggerd/internal/servers"
)

// TestHyperLogLogs: HyperLogLogs of all sizes are byte for byte those of the
// servers, also where these make them dense earlier or later than by default.
func TestHyperLogLogs(t *testing.T) {
	settings := map[string]int{"redis-6.0": 0, "redis-8.0": 500, "valkey-8.0": 10_000}
	redistest.Each(t, redistest.All, func(t *testing.T, srv *servers.Server) {
		setting, ok := settings[srv.Program.Name]
		d := startDifferential(t, srv, func(in *keyspace.Interpreter) {
			if ok {
				in.SetSparseMax(setting)
			}
		})
		if ok {
			d.send([][]string{{"CONFIG", "SET", "hll-sparse-max-bytes", strconv.Itoa(setting)}})
		}
		g := newGenerator(uint64(len(srv.Program.Name)))
		commands := [][]string{{"FLUSHALL"}} // so that all is known of the mirror that had no snapshot
		for i := range 24 {
			key := fmt.Sprint("p:", i)
			for j := range i * i / 12 {
				line := []string{"PFADD", key}
				for range 1 + g.IntN(120) {
					line = append(line, fmt.Sprint("element", g.IntN(100_000)))
				}
				commands = append(commands, line)
				if j%7 == 0 {
					commands = append(commands, []string{"PFCOUNT", key})
				}
			}
			commands = append(commands, []string{"PFMERGE", fmt.Sprint("p:merged", i), key, fmt.Sprint("p:", g.IntN(i+1))}, []string{"PFCOUNT", key})
			if i%9 == 8 {
				commands = append(commands, []string{"PFDEBUG", "GETREG", fmt.Sprint("p:merged", i-1)})
			}
		}
		d.send(commands)
		d.finish()
		if lost := d.in.Stats().Lost; lost != (keyspace.Losses{}) {
			t.Errorf("%+v", lost)
		}
	})
}

// TestHyperLogLog: what is not known of HyperLogLogs.
func TestHyperLogLog(t *testing.T) {
	value := func(v event.Value) string {
		if v == nil {
			return "?"
		}
		return fmt.Sprintf("%x", v.Bytes())
	}
	const empty, one = "48594c4c010000000000000000000080" + "7fff", "48594c4c010000000000000000000080" + "71a6844e57"
	long := strings.Repeat("\xff", 4000)
	dense := append([]byte("HYLL"), make([]byte, 12300)...) // of nothing
	oneDense := bytes.Clone(dense)
	oneDense[15], oneDense[16+12711*6/8] = 0x80, 2<<2
	for _, test := range []struct {
		name     string
		config   keyspace.Config
		commands []string
		want     string // the last value
		lost     keyspace.Losses
	}{
		{name: "made", commands: []string{"PFADD p a"}, want: one},
		{name: "made without elements", commands: []string{"PFADD p"}, want: empty},
		{name: "merged of nothing", commands: []string{"PFMERGE p q"}, want: empty},
		{name: "merged", commands: []string{"PFADD q a", "PFMERGE p q"}, want: one},
		{name: "counted", commands: []string{"PFADD p a", "PFCOUNT p", "APPEND p ''"}, want: one[:16] + "0100000000000000" + one[32:]},
		{name: "counted with others", commands: []string{"PFADD p a", "PFCOUNT p q", "APPEND p ''"}, want: one},
		{name: "counted twice", commands: []string{"PFADD p a", "PFCOUNT p", "PFCOUNT p", "APPEND p ''"}, want: "?", lost: keyspace.Losses{Mismatch: 1}},
		{name: "nothing new", commands: []string{"PFADD p a", "PFADD p a"}, want: "?", lost: keyspace.Losses{Mismatch: 1}},
		{name: "no HyperLogLog", commands: []string{"SET p text", "PFADD p a"}, want: "?", lost: keyspace.Losses{Mismatch: 1}},
		{name: "cut off", commands: []string{"SET p " + hex("48594c4c01000000000000000000000071a6844e"), "PFADD p b"}, want: "?", lost: keyspace.Losses{Mismatch: 1}},
		{name: "too short for dense", commands: []string{"SET p " + hex("48594c4c00000000000000000000000071a6844e"), "PFADD p b"}, want: "?", lost: keyspace.Losses{Mismatch: 1}},
		{name: "of another type", commands: []string{"SADD q a", "PFMERGE p q"}, want: "?", lost: keyspace.Losses{Source: 1}},
		{name: "of what is not known", config: keyspace.Config{Need: needOnly("p")}, commands: []string{"PFMERGE p q"}, want: "?", lost: keyspace.Losses{Source: 1}},
		{name: "a sparse one longer than ours", commands: []string{"SET q HYLL" + hex("010000000000000000000080") + long, "PFADD p a"}, want: "?", lost: keyspace.Losses{Undecided: 1}},
		{name: "a dense one shorter than ours", commands: []string{"SET q " + string(dense), "PFADD p a"}, want: "?", lost: keyspace.Losses{Undecided: 1}},
		{name: "as the server says", config: keyspace.Config{SparseMax: 20}, commands: []string{"PFADD p a"},
			want: fmt.Sprintf("%x", oneDense)},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := newSession(test.config)
			got := ""
			for _, c := range test.commands {
				args := bytes.SplitN([]byte(c), []byte(" "), 3)
				if !strings.HasPrefix(c, "SET") {
					args = words(c)
				}
				for _, ev := range s.in.Command(nil, &keyspace.Command{Args: args, Time: start}) {
					got = value(ev.After)
				}
			}
			if got != test.want {
				t.Errorf("got %.100s, want %.100s", got, test.want)
			}
			if lost := s.in.Stats().Lost; lost != test.lost {
				t.Errorf("lost %+v, want %+v", lost, test.lost)
			}
			checkCount(t, s.in)
		})
	}
}

// hex makes bytes of their hexadecimal form.
func hex(s string) string {
	var b []byte
	fmt.Sscanf(s, "%x", &b)
	return string(b)
}
