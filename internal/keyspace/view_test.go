package keyspace_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"triggerd/internal/event"
	"triggerd/internal/keyspace"
)

// allocated returns how many bytes f allocates.
func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// TestLargeValuesAreReadAsPrefixes: what is delivered of a large value costs what
// is delivered, whatever its type and whatever the command.
func TestLargeValuesAreReadAsPrefixes(t *testing.T) {
	s := newSession(keyspace.Config{})
	s.in.Command(nil, &keyspace.Command{Args: words("SETRANGE text 67108864 x"), Time: start})
	const n = 100_000
	for _, command := range []string{"RPUSH l", "SADD s", "HSET h", "ZADD z", "XADD x"} {
		for i := 0; i < n; {
			args := words(command)
			for range 1000 {
				switch string(args[0]) {
				case "HSET":
					args = append(args, fmt.Appendf(nil, "m%d", i), []byte("v"))
				case "ZADD":
					args = append(args, fmt.Append(nil, i), fmt.Appendf(nil, "m%d", i))
				case "XADD":
					args = append(words(command), fmt.Appendf(nil, "%d-1", i+1), []byte("f"), []byte("v"))
					s.in.Command(nil, &keyspace.Command{Args: args, Time: start})
				default:
					args = append(args, fmt.Appendf(nil, "m%d", i))
				}
				i++
			}
			if string(args[0]) != "XADD" {
				s.in.Command(nil, &keyspace.Command{Args: args, Time: start})
			}
		}
	}
	for _, c := range []string{
		"SETRANGE text 10 0123456789", "SETRANGE text 60000000 0123456789", "SETBIT text 77 1", "BITFIELD text SET u8 100 7 SET u8 400000000 9", "APPEND text y",
		"RPUSH l x", "LPOP l", "LSET l 5 y", "LTRIM l 1 -2", "SADD s x", "SREM s m7", "HSET h m7 w", "HDEL h m8", "ZADD z 3 m9000", "ZREM z m5", "ZPOPMAX z",
		"XADD x 900000-1 f v", "XDEL x 5-1", "XTRIM x MAXLEN 199000",
		"LTRIM l 1 0", "ZREMRANGEBYRANK z 0 -1", "SET s v", "DEL h", "XTRIM x MAXLEN 0", "RENAME text other", "DEL other",
	} {
		var events []event.Event
		command := keyspace.Command{Args: words(c), Time: start}
		took := allocated(func() {
			events = s.in.Command(nil, &command)
			for i := range events {
				events[i].Clone()
			}
		})
		if len(events) == 0 || events[0].Before == nil {
			t.Errorf("%s: events %v", c, events)
		}
		if took > 2<<20 {
			t.Errorf("%s and its copy take %d bytes", c, took)
		}
	}
}

// TestPrefix: the beginning of a text as it was is what the whole text was there.
func TestPrefix(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	s := newSession(keyspace.Config{})
	s.do("SET k " + strings.Repeat("abcdefghij", 30))
	for range 2000 {
		was := string(s.in.Lookup(0, []byte("k")).Bytes())
		var c string
		switch rng.IntN(3) {
		case 0:
			c = fmt.Sprintf("SETRANGE k %d %s", rng.IntN(310), strings.Repeat("x", rng.IntN(20)+1))
		case 1:
			c = fmt.Sprintf("SETBIT k %d 1", rng.IntN(2400))
		default:
			c = "BITFIELD k"
			for range rng.IntN(4) + 1 {
				c += fmt.Sprintf(" SET u%d %d %d", rng.IntN(60)+1, rng.IntN(500), rng.IntN(2))
			}
		}
		for _, ev := range s.in.Command(nil, &keyspace.Command{Args: words(c), Time: start}) {
			n := rng.IntN(400) - 5
			if got, want := string(ev.Before.Prefix(n)), was[:min(max(n, 0), len(was))]; got != want {
				t.Fatalf("%s: the first %d bytes were %q, want %q", c, n, got, want)
			}
			same, ok := ev.Before.(event.Comparer).Same(ev.After)
			if want := was == string(ev.After.Bytes()); ok && same != want {
				t.Fatalf("%s: same is %t, want %t", c, same, want)
			}
			if got := string(ev.Before.Bytes()); got != was {
				t.Fatalf("%s: it was %q, want %q", c, got, was)
			}
		}
	}
	if v := event.String([]byte("abc")); string(v.Prefix(2)) != "ab" || string(v.Prefix(9)) != "abc" || len(v.Prefix(-1)) != 0 {
		t.Error("a copy has another prefix")
	}
}

// TestViews: elements by place and by name, ranks, and whether both sides are the
// same, are those of a copy.
func TestViews(t *testing.T) {
	seed := seedOf(t)
	t.Logf("%s=%d", envSeed, seed)
	h := &history{generator: newGenerator(seed), now: start}
	chance := rand.New(rand.NewPCG(seed, 9))
	in := keyspace.New(keyspace.Config{Need: needLevel(0)})
	in.SnapshotBegin()
	in.SnapshotEnd(nil, &keyspace.SnapshotKey{Time: start})
	told, same := map[string]int{}, 0
	for range 20_000 {
		s := h.next()
		if chance.IntN(8) == 0 {
			s = h.toItself()
		}
		for _, ev := range s(in) {
			where := fmt.Sprintf("%s %.200q of %q", ev.Command, ev.Args, ev.Key)
			for _, v := range []event.Value{ev.Before, ev.After} {
				if v == nil || v == event.None {
					continue
				}
				elements := slices.Collect(v.All())
				told[v.Type()]++
				for _, i := range []int{-1, 0, chance.IntN(v.Len() + 1), v.Len() - 1, v.Len()} {
					e, ok := v.At(i)
					if want := (v.Type() == "list" || v.Type() == "stream") && i >= 0 && i < len(elements); ok != want {
						t.Fatalf("%s: element %d of %d: %t", where, i, len(elements), ok)
					}
					if ok && (e.Name != elements[i].Name || !slices.Equal(e.Fields, elements[i].Fields)) {
						t.Fatalf("%s: element %d is %v, want %v", where, i, e, elements[i])
					}
				}
				if len(elements) > 0 && v.Type() != "list" {
					e := elements[chance.IntN(len(elements))]
					if _, ok := v.Get([]byte(e.Name)); !ok {
						t.Fatalf("%s: %q is not found", where, e.Name)
					}
					for _, other := range []string{"0", "1", "0" + e.Name, e.Name + " ", "99999999-1"} {
						_, ok := v.Get([]byte(other))
						if want := slices.ContainsFunc(elements, func(e event.Element) bool { return e.Name == other }); ok != want {
							t.Fatalf("%s: %q is found: %t", where, other, ok)
						}
					}
				}
				x, orEqual := float64(chance.IntN(12))/2-2, chance.IntN(2) == 0
				ranked, ok := v.(event.Ranker)
				if !ok {
					continue // a copy, of what a snapshot has changed
				}
				n, ok := ranked.Below(x, orEqual)
				want := 0
				for _, e := range elements {
					if e.Score < x || orEqual && e.Score == x {
						want++
					}
				}
				if ok != (v.Type() == "zset") || ok && n != want {
					t.Fatalf("%s: %d, %t scores are below %v (%t), want %d", where, n, ok, x, orEqual, want)
				}
			}
			before, ok := ev.Before.(event.Comparer)
			if !ok || ev.After == nil {
				continue
			}
			got, ok := before.Same(ev.After)
			want := ev.Before.Type() == ev.After.Type() && bytes.Equal(copied(ev.Before), copied(ev.After))
			if ok && got != want {
				t.Fatalf("%s: same is %t, want %t", where, got, want)
			}
			if ok && want {
				same++
			}
			if back, okBack := ev.After.(event.Comparer); okBack {
				if got, ok2 := back.Same(ev.Before); ok2 != ok || got != (ok && want) {
					t.Fatalf("%s: turned round, same is %t %t, want %t %t", where, got, ok2, want, ok)
				}
			}
		}
	}
	t.Logf("%v, %d times the same", told, same)
	if same < 200 {
		t.Error("nothing stays the same")
	}
}

// copied is a whole value as bytes.
func copied(v event.Value) []byte {
	return event.AppendBinary(nil, &event.Event{Before: event.CloneValue(v, 1<<30)})
}

// TestRelease: a value that was removed, however, is not kept beyond its events,
// nor does its removal make it anew.
func TestRelease(t *testing.T) {
	const n = 200_000
	for _, c := range [][2]string{
		{"SADD", "DEL k"}, {"HSET", "SET k v"}, {"ZADD", "ZREMRANGEBYRANK k 0 -1"}, {"ZADD", "ZREMRANGEBYSCORE k -inf +inf"}, {"ZADD", "ZPOPMIN k 1000000"},
		{"RPUSH", "LTRIM k 1 0"}, {"RPUSH", "LPOP k 1000000"}, {"SADD", "RENAME other k"}, {"SADD", "SINTERSTORE k k other"},
	} {
		s := newSession(keyspace.Config{})
		s.do("SADD other x")
		empty := heap()
		args := words(c[0] + " k")
		for i := range n {
			if c[0] == "ZADD" {
				args = append(args, fmt.Append(nil, i))
			}
			args = append(args, fmt.Appendf(nil, "member%d", i))
			if c[0] == "HSET" {
				args = append(args, []byte("v"))
			}
		}
		s.in.Command(nil, &keyspace.Command{Args: args, Time: start})
		args = nil
		s.in.Release()
		full := heap()
		command := keyspace.Command{Args: words(c[1]), Time: start}
		took := allocated(func() {
			if events := s.in.Command(nil, &command); events[0].Before.Len() > n {
				t.Errorf("%s: before it there were %d", c[1], events[0].Before.Len())
			}
		})
		if took > 1<<20 {
			t.Errorf("%s allocates %d bytes", c[1], took)
		}
		s.in.Release()
		if left := heap() - empty; left > 1<<20 {
			t.Errorf("%s leaves %d bytes of %d", c[1], left, full-empty)
		}
		runtime.KeepAlive(s)
	}
}

// TestReleaseOfExpired: the value of a key that expired is there after the next
// command, and not after Release.
func TestReleaseOfExpired(t *testing.T) {
	const n = 100_000
	s := newSession(keyspace.Config{Need: func(int, []byte) keyspace.Need { return keyspace.NeedOnTime }})
	empty := heap()
	args := words("SADD k")
	for i := range n {
		args = append(args, fmt.Appendf(nil, "member%d", i))
	}
	s.in.Command(nil, &keyspace.Command{Args: args, Time: start})
	args = nil
	s.do("PEXPIREAT k @10")
	events := s.in.Expire(nil, &keyspace.Command{Time: start.Add(20 * time.Millisecond)})
	events = s.in.Command(events, &keyspace.Command{Args: words("DEL k"), Time: start.Add(20 * time.Millisecond)})
	if len(events) != 1 || events[0].Before.Len() != n {
		t.Fatalf("%d events", len(events))
	}
	s.in.Release()
	if left := heap() - empty; left > 1<<20 {
		t.Errorf("%d bytes are left", left)
	}
	runtime.KeepAlive(s)
	runtime.KeepAlive(events)
}

// TestEntriesBefore: entries that are deleted in any order were in the order of
// their IDs.
func TestEntriesBefore(t *testing.T) {
	s := newSession(keyspace.Config{})
	for i := range 6 {
		s.do(fmt.Sprintf("XADD x %d-1 f v%d", i+1, i+1))
	}
	v := s.in.Command(nil, &keyspace.Command{Args: words("XDEL x 5-1 1-1 2-1 9-1 4-1"), Time: start})[0].Before
	var got []string
	for e := range v.All() {
		got = append(got, e.Name)
	}
	for i := range 6 {
		if want := fmt.Sprintf("%d-1", i+1); i >= len(got) || got[i] != want {
			t.Fatalf("they were %q", got)
		}
		if e, ok := v.At(i); !ok || e.Name != got[i] || e.Fields[1] != fmt.Sprint("v", i+1) {
			t.Errorf("entry %d was %v", i, e)
		}
		if _, ok := v.Get([]byte(got[i])); !ok {
			t.Errorf("%s is not found", got[i])
		}
	}
	if e, ok := v.At(6); ok {
		t.Errorf("there was another, %v", e)
	}
	if _, ok := s.in.Command(nil, &keyspace.Command{Args: words("XADD x 7-1 f v"), Time: start})[0].Before.Get([]byte("7-1")); ok {
		t.Error("an entry was there before it was added")
	}
}

// TestSame: what is the same on both sides of a command, as far as that is told
// without looking at all elements.
func TestSame(t *testing.T) {
	for _, test := range []struct {
		setup   []string
		command string
		want    string // "?": not told
	}{
		{[]string{"SADD s a b"}, "SADD s a", "true"},
		{[]string{"SADD s a b"}, "SREM s x", "true"},
		{[]string{"SADD s a b"}, "SADD s c", "false"},
		{[]string{"SADD s a b"}, "SUNIONSTORE s s", "true"},
		{[]string{"SADD s a b", "SADD t a c"}, "COPY t s REPLACE", "false"},
		{[]string{"HSET h f 1 g 2"}, "HSET h f 1", "true"},
		{[]string{"HSET h f 1 g 2"}, "HSET h f 2", "false"},
		{[]string{"HSET h f 1 g 2"}, "HPEXPIREAT h @900 FIELDS 1 f", "true"},
		{[]string{"HSET h f 1", "HSET i f 1", "HPEXPIREAT i @900 FIELDS 1 f"}, "COPY i h REPLACE", "true"},
		{[]string{"ZADD z 1 a 2 b"}, "ZADD z 1 a", "true"},
		{[]string{"ZADD z 1 a 2 b"}, "ZADD z 3 a", "false"},
		{[]string{"RPUSH l a b a"}, "LMOVE l l LEFT RIGHT", "false"},
		{[]string{"RPUSH l a a a"}, "LMOVE l l LEFT RIGHT", "true"},
		{[]string{"RPUSH l a b"}, "LSET l 1 b", "true"},
		{[]string{"RPUSH l a b"}, "LSET l 1 c", "false"},
		{[]string{"XADD x 1-1 f v", "XADD x 2-1 f v"}, "XDEL x 7-1", "true"},
		{[]string{"XADD x 1-1 f v"}, "XADD x MAXLEN = 1 2-1 f v", "false"},
		{[]string{"SET k abcdef"}, "SETRANGE k 2 cd", "true"},
		{[]string{"SET k abcdef"}, "SETRANGE k 2 xd", "false"},
		{[]string{"SET k abcdef"}, "SET k abcdef", "?"},
		{[]string{"SET k abcdef"}, "APPEND k g", "false"},
		{[]string{"SADD k a"}, "SET k a", "?"},
	} {
		s := newSession(keyspace.Config{})
		for _, c := range test.setup {
			s.do(c)
		}
		line := strings.Replace(test.command, "@900", fmt.Sprint(start.UnixMilli()+900), 1)
		ev := s.in.Command(nil, &keyspace.Command{Args: words(line), Time: start})[0]
		same, ok := ev.Before.(event.Comparer).Same(ev.After)
		got := fmt.Sprint(same)
		if !ok {
			got = "?"
		}
		if got != test.want {
			t.Errorf("%q, %s: %s, want %s", test.setup, test.command, got, test.want)
		}
		if same, ok := ev.After.(event.Comparer).Same(ev.After); ok && !same {
			t.Errorf("%q, %s: it is not the same as itself", test.setup, test.command)
		}
	}
}

// TestRemovedWhole: a command takes a collection as it is only if nothing is
// left of it.
func TestRemovedWhole(t *testing.T) {
	for command, left := range map[string]int{
		"LTRIM l 0 0": 1, "LTRIM l 2 2": 1, "LTRIM l 3 9": 0, "LTRIM l 1 0": 0, "LPOP l 2": 1, "LPOP l 3": 0, "RPOP l 9": 0, "LPOP l 0": 3,
		"ZPOPMIN z 2": 1, "ZPOPMAX z 3": 0, "ZPOPMIN z 0": 3,
		"ZREMRANGEBYRANK z 0 -1": 0, "ZREMRANGEBYRANK z 1 -1": 1, "ZREMRANGEBYRANK z 0 1": 1, "ZREMRANGEBYRANK z 0 99": 0,
		"ZREMRANGEBYSCORE z 1 3": 0, "ZREMRANGEBYSCORE z (1 3": 1, "ZREMRANGEBYSCORE z 1 (3": 1, "ZREMRANGEBYSCORE z (0 (4": 0, "ZREMRANGEBYSCORE z -inf +inf": 0,
		"ZREMRANGEBYLEX same - +": 0, "ZREMRANGEBYLEX same [a [c": 0, "ZREMRANGEBYLEX same (a [c": 1, "ZREMRANGEBYLEX same [a (c": 1,
	} {
		s := newSession(keyspace.Config{})
		s.do("RPUSH l a b c")
		s.do("ZADD z 1 a 2 b 3 c")
		s.do("ZADD same 1 a 1 b 1 c")
		events := s.in.Command(nil, &keyspace.Command{Args: words(command), Time: start})
		last := events[len(events)-1]
		if last.Before.Len() != 3 || last.After.Len() != left || (last.Name == "del") != (left == 0) || len(events) > 2 {
			t.Errorf("%s: %s from %d to %d, want %d", command, last.Name, last.Before.Len(), last.After.Len(), left)
		}
		if n := len(slices.Collect(last.Before.All())); n != 3 {
			t.Errorf("%s: there were %d", command, n)
		}
	}
}
