package keyspace_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"triggerd/internal/keyspace"
	"triggerd/internal/redistest"
	"triggerd/internal/servers"
)

// Slots of these tests, as CLUSTER KEYSLOT has them: mig:5 80, stock:21 4327.

func TestTrim(t *testing.T) {
	for _, test := range []struct {
		name     string
		commands []string
		want     []string // without the event of the command itself
		kept     []string
	}{
		{name: "of a slot", commands: []string{"SET mig:5 v", "SET stock:21 5", "TRIMSLOTS RANGES 1 80 80"},
			want: []string{`del mig:5 none trimmed: "v" -> null [] -2`}, kept: []string{"stock:21"}},
		{name: "Valkey's", commands: []string{"SET mig:5 v", "SET stock:21 5", "CLUSTER FLUSHSLOT 80"},
			want: []string{`del mig:5 none trimmed: "v" -> null [] -2`}, kept: []string{"stock:21"}},
		{name: "in its own time", commands: []string{"SET mig:5 v", "cluster flushslot 80 async"},
			want: []string{`del mig:5 none trimmed: "v" -> null [] -2`}},
		{name: "at once", commands: []string{"SET mig:5 v", "cluster flushslot 80 SYNC"},
			want: []string{`del mig:5 none trimmed: "v" -> null [] -2`}},
		{name: "hash tags, in the order of the names", commands: []string{"SET x{mig:5}y a", "RPUSH {mig:5} b", "SET {}mig:5 c", "SET x{mig:5 d", "SET {{mig:5}} e", "TRIMSLOTS RANGES 1 80 80"},
			want: []string{`del x{mig:5}y none trimmed: "a" -> null [] -2`, `del {mig:5} none trimmed: ["b"] -> null [] -2`},
			kept: []string{"x{mig:5", "{{mig:5}}", "{}mig:5"}},
		{name: "several ranges", commands: []string{"SET mig:5 1", "SET stock:21 2", "SET other 3", "trimslots ranges 2 4300 4400 80 80"},
			want: []string{`del mig:5 none trimmed: "1" -> null [] -2`, `del stock:21 none trimmed: "2" -> null [] -2`}, kept: []string{"other"}},
		{name: "all", commands: []string{"SET mig:5 1", "SET stock:21 2", "TRIMSLOTS RANGES 1 0 16383"},
			want: []string{`del mig:5 none trimmed: "1" -> null [] -2`, `del stock:21 none trimmed: "2" -> null [] -2`}},
		{name: "past its deadline", commands: []string{"SET mig:5 v PXAT @-5", "TRIMSLOTS RANGES 1 80 80"},
			want: []string{`del mig:5 none trimmed: "v" -> null [] -2`}},
		{name: "nothing there", commands: []string{"SET stock:21 2", "SET mig:5 1", "DEL mig:5", "TRIMSLOTS RANGES 1 80 80"}, kept: []string{"stock:21"}},
		{name: "no slot", commands: []string{"SET mig:5 1", "CLUSTER FLUSHSLOT"}, kept: []string{"mig:5"}},
		{name: "beyond the last", commands: []string{"SET mig:5 1", "CLUSTER FLUSHSLOT 16384"}, kept: []string{"mig:5"}},
		{name: "no number", commands: []string{"SET mig:5 1", "CLUSTER FLUSHSLOT x"}, kept: []string{"mig:5"}},
		{name: "another spelling", commands: []string{"SET mig:5 1", "CLUSTER FLUSHSLOT 080"}, kept: []string{"mig:5"}},
		{name: "no such option", commands: []string{"SET mig:5 1", "CLUSTER FLUSHSLOT 80 NOW"}, kept: []string{"mig:5"}},
		{name: "two options", commands: []string{"SET mig:5 1", "CLUSTER FLUSHSLOT 80 SYNC ASYNC"}, kept: []string{"mig:5"}},
		{name: "no ranges", commands: []string{"SET mig:5 1", "TRIMSLOTS RANGES 0"}, kept: []string{"mig:5"}},
		{name: "half a range", commands: []string{"SET mig:5 1", "TRIMSLOTS RANGES 1 80"}, kept: []string{"mig:5"}},
		{name: "backwards", commands: []string{"SET mig:5 1", "TRIMSLOTS RANGES 1 81 80"}, kept: []string{"mig:5"}},
		{name: "one too many", commands: []string{"SET mig:5 1", "TRIMSLOTS RANGES 1 80 80 90 90"}, kept: []string{"mig:5"}},
		{name: "one too few", commands: []string{"SET mig:5 1", "TRIMSLOTS RANGES 2 80 80"}, kept: []string{"mig:5"}},
		{name: "a bad range behind a good one", commands: []string{"SET mig:5 1", "TRIMSLOTS RANGES 2 80 80 9 -1"}, kept: []string{"mig:5"}},
		{name: "a huge count", commands: []string{"SET mig:5 1", "TRIMSLOTS RANGES 999999999 80 80"}, kept: []string{"mig:5"}},
		{name: "no form", commands: []string{"SET mig:5 1", "TRIMSLOTS"}, kept: []string{"mig:5"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := newSession(keyspace.Config{})
			var got []string
			for _, c := range test.commands {
				got = s.do(c)
			}
			if len(got) == 0 || !slices.Equal(got[1:], test.want) {
				t.Errorf("%s\n got %q\nwant %q", test.commands, got, test.want)
			}
			var kept []string
			for _, k := range s.in.Mirror() {
				if k.Value == nil || !k.There {
					t.Errorf("what is known of %s is lost", k.Key)
				}
				kept = append(kept, k.Key)
			}
			if slices.Sort(kept); !slices.Equal(kept, test.kept) {
				t.Errorf("kept %q, want %q", kept, test.kept)
			}
			if got := s.in.Stats().Malformed == 1; got != (test.want == nil && test.name != "nothing there") {
				t.Errorf("malformed: %t", got)
			}
			if again := s.do(test.commands[len(test.commands)-1]); len(again) != 1 {
				t.Errorf("the second time: %q", again)
			}
			if size, keys := s.in.Recount(); size != s.in.Stats().MirrorBytes || keys != s.in.Stats().MirrorKeys {
				t.Errorf("%d bytes in %d keys, counted %+v", size, keys, s.in.Stats())
			}
		})
	}
}

// TestTrimOfAnUnknownForm: what a later server may take is not known any more.
func TestTrimOfAnUnknownForm(t *testing.T) {
	s := newSession(keyspace.Config{})
	s.do("SET mig:5 1")
	s.do("TRIMSLOTS TASK 1 2 3")
	if got := s.do("APPEND mig:5 x"); !slices.Equal(got, []string{`append mig:5 string command: ? -> ? [] 0`}) {
		t.Errorf("got %q", got)
	}
}

// TestTrimEndsOnTime: a key that went with its slot does not expire.
func TestTrimEndsOnTime(t *testing.T) {
	s := newSession(keyspace.Config{Need: func(int, []byte) keyspace.Need { return keyspace.NeedOnTime }})
	s.do("SET mig:5 v PXAT @500")
	s.do("SET stock:21 v PXAT @600")
	s.do("TRIMSLOTS RANGES 1 80 80")
	if got, want := s.expire(700), []string{`expired stock:21 none expired clock @600: "v" -> null`}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	s.do("TRIMSLOTS RANGES 1 0 16383") // what was announced is not told again
	if st := s.in.Stats(); st.MirrorKeys != 0 || st.Events != 8 {
		t.Errorf("%+v", st)
	}
}

// TestTrimInSteps: a command that takes very many keys never has the events of
// all in memory, and makes the same ones in the same order each time.
func TestTrimInSteps(t *testing.T) {
	const keys = 50_000
	var history [2][]string
	for run := range history {
		s := newSession(keyspace.Config{})
		s.in.Journal(true)
		for i := range keys {
			s.in.Command(nil, &keyspace.Command{Args: words(fmt.Sprintf("SET k:%d v", i)), DB: i % 3})
		}
		s.in.Changes(func(keyspace.Op, []byte, []byte) {})
		c := keyspace.Command{Args: words("TRIMSLOTS RANGES 2 0 8191 16383 16383"), Offset: 9}
		left := map[string]bool{}
		events := s.in.Command(nil, &c)
		for n := 0; len(events) > 0; events = s.in.Rest(events[:0]) {
			if len(events) > 1025 {
				t.Fatalf("%d events at once", len(events))
			}
			for _, ev := range events {
				if ev.Index != n || ev.Offset != 9 || ev.Command != "TRIMSLOTS" || ev.Key != nil && ev.Args != nil {
					t.Fatalf("event %d: %+v", n, ev)
				}
				n++
				history[run] = append(history[run], describe(&ev)+" "+plain(ev.Before))
			}
		}
		for _, k := range s.in.Mirror() {
			left[k.Key] = true
		}
		gone := len(history[run]) - 1
		if gone < keys*4/10 || gone > keys*6/10 || gone+len(left) != keys {
			t.Errorf("%d keys gone, %d left of %d", gone, len(left), keys)
		}
		deleted := 0
		s.in.Changes(func(op keyspace.Op, _, _ []byte) {
			if op == keyspace.Delete {
				deleted++
			}
		})
		if deleted != gone {
			t.Errorf("%d entries of the journal deleted, want %d", deleted, gone)
		}
	}
	if !slices.Equal(history[0], history[1]) {
		t.Error("the second time the events are others")
	}
	if at := slices.IndexFunc(history[0], func(s string) bool { return strings.Contains(s, "@1 ") }); at < 0 {
		t.Error("no key of database 1")
	}
}

// TestTrimWithoutRest: the next command finds all keys gone, though nobody has
// asked for the events.
func TestTrimWithoutRest(t *testing.T) {
	s := newSession(keyspace.Config{})
	for i := range 5000 {
		s.do(fmt.Sprintf("SET k:%d v", i))
	}
	s.do("TRIMSLOTS RANGES 1 0 16383")
	if got := s.do("SET k:4999 x"); !slices.Equal(got, []string{`set k:4999 string command: null -> "x" [] -1`}) {
		t.Errorf("got %q", got)
	}
	if got := s.in.Mirror(); len(got) != 1 {
		t.Errorf("%d keys left", len(got))
	}
}

// TestSlots: keys are in the slots that a server puts them in.
func TestSlots(t *testing.T) {
	redistest.Each(t, []string{"redis-8.6", "valkey-9.1"}, testSlots, "--cluster-enabled", "yes")
}

func testSlots(t *testing.T, srv *servers.Server) {
	for _, key := range []string{
		"a", "123456789", "mig:5", "stock:21", "x{mig:5}y", "{mig:5", "}{mig:5}", "{}mig:5", "{}{mig:5}", "{{mig:5}}", "{mig:5}{a}", "a{b}c}d",
		"\x00\xff\r\n", strings.Repeat("x", 1<<16), "{", "}", "{}", "{\x00}",
	} {
		want := redistest.Do(t, srv, "CLUSTER", "KEYSLOT", key)
		if got := int64(keyspace.SlotOf(key)); got != want {
			t.Errorf("slot of %.20q: got %d, want %v", key, got, want)
		}
	}
}

func BenchmarkTrim(b *testing.B) {
	const keys = 1_000_000
	s := newSession(keyspace.Config{})
	for i := range keys {
		s.in.Command(nil, &keyspace.Command{Args: [][]byte{[]byte("SET"), fmt.Appendf(nil, "session:%d", i), []byte("v")}})
	}
	for _, slots := range []string{"1 80 80", "1 0 16383"} {
		b.Run(slots, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				n := 0
				events := s.in.Command(nil, &keyspace.Command{Args: words("TRIMSLOTS RANGES " + slots)})
				for ; len(events) > 0; events = s.in.Rest(events[:0]) {
					n += len(events)
				}
				b.ReportMetric(float64(n), "events")
			}
		})
	}
}
