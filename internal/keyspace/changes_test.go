package keyspace_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"triggerd/internal/event"
	"triggerd/internal/keyspace"
)

// spelled is an element as tests spell it, "-" for none.
func spelled(e *event.Element) string {
	switch {
	case e == nil:
		return "-"
	case e.Fields != nil:
		return fmt.Sprint(e.Name, e.Fields)
	case e.Value != "":
		return e.Name + "=" + e.Value
	}
	return strings.TrimSuffix(fmt.Sprintf("%s:%v", e.Name, e.Score), ":0")
}

// changesOf spells the changes of an event, sorted, "?" if they are not known.
func changesOf(ev *event.Event) []string {
	var all []string
	if !keyspace.ElementChanges(ev, func(before, after *event.Element) bool {
		all = append(all, spelled(before)+" > "+spelled(after))
		return true
	}) {
		return []string{"?"}
	}
	slices.Sort(all)
	return all
}

func TestChanges(t *testing.T) {
	for _, test := range []struct {
		name     string
		commands []string
		want     []string // of the last command's first event
	}{
		{"members added", []string{"SADD s a", "SADD s b a c"}, []string{"- > b", "- > c"}},
		{"a new set", []string{"SADD s a b"}, []string{"- > a", "- > b"}},
		{"members removed", []string{"SADD s a b c", "SREM s a x c"}, []string{"a > -", "c > -"}},
		{"emptied", []string{"SADD s a b", "SREM s a b"}, []string{"a > -", "b > -"}},
		{"moved away", []string{"SADD s a b", "SMOVE s t a"}, []string{"a > -"}},
		{"fields", []string{"HSET h f 1 g 2 h 3", "HSET h f 9 g 2 i 4"}, []string{"- > i=4", "f=1 > f=9"}},
		{"a field set twice", []string{"HSET h f 1", "HSET h f 2 f 3"}, []string{"f=1 > f=3"}},
		{"set and set back", []string{"HSET h f 1", "HSET h f 2 f 1"}, nil},
		{"a field removed", []string{"HSET h f 1 g 2", "HDEL h f"}, []string{"f=1 > -"}},
		{"a number", []string{"HSET h f 1", "HINCRBY h f 4"}, []string{"f=1 > f=5"}},
		{"scores", []string{"ZADD z 1 a 2 b", "ZADD z 5 a 2 b 3 c"}, []string{"- > c:3", "a:1 > a:5"}},
		{"the least", []string{"ZADD z 1 a 2 b 3 c", "ZPOPMIN z 2"}, []string{"a:1 > -", "b:2 > -"}},
		{"many", []string{"ZADD z 1 a 2 b 3 c 4 d 5 e 6 f 7 g 8 h 9 i 10 j", "ZREMRANGEBYSCORE z -inf +inf"},
			[]string{"a:1 > -", "b:2 > -", "c:3 > -", "d:4 > -", "e:5 > -", "f:6 > -", "g:7 > -", "h:8 > -", "i:9 > -", "j:10 > -"}},
		{"items put", []string{"RPUSH l a", "LPUSH l b c"}, []string{"- > b", "- > c"}},
		{"items taken", []string{"RPUSH l a b c", "RPOP l 2"}, []string{"b > -", "c > -"}},
		{"both ends", []string{"RPUSH l a b c d", "LTRIM l 1 -2"}, []string{"a > -", "d > -"}},
		{"from end to end", []string{"RPUSH l a b c", "LMOVE l l LEFT RIGHT"}, []string{"- > a", "a > -"}},
		{"an item", []string{"RPUSH l a b c", "LSET l 1 x"}, []string{"b > x"}},
		{"the same item", []string{"RPUSH l a b c", "LSET l 1 b"}, nil},
		{"in the middle", []string{"RPUSH l a b c", "LINSERT l AFTER a x"}, []string{"- > x"}},
		{"some of an item", []string{"RPUSH l a b a c a", "LREM l -2 a"}, []string{"a > -", "a > -"}},
		{"an entry", []string{"XADD x 1-1 f v", "XADD x 2-1 g w"}, []string{"- > 2-1[g w]"}},
		{"an entry, and the first goes", []string{"XADD x 1-1 f v", "XADD x MAXLEN = 1 2-1 g w"}, []string{"- > 2-1[g w]", "1-1[f v] > -"}},
		{"an entry whose ID was put back", []string{"XADD x 9-1 f v", "XDEL x 9-1", "XADD x 2-1 g w"}, []string{"- > 2-1[g w]"}},
		{"one after others", []string{"XADD x 1-1 f v", "XADD x 9-1 f v", "XDEL x 9-1", "XADD x MAXLEN = 1 2-1 g w"}, []string{"- > 2-1[g w]", "1-1[f v] > -"}},
		{"an entry deleted", []string{"XADD x 1-1 f v", "XADD x 2-1 g w", "XDEL x 1-1 3-3"}, []string{"1-1[f v] > -"}},
		{"a stored set", []string{"SADD a x y", "SADD d y z", "SUNIONSTORE d a"}, []string{"- > x", "z > -"}},
		{"stored scores", []string{"ZADD a 1 x 2 y", "ZADD d 1 x 1 y 1 z", "ZUNIONSTORE d 1 a"}, []string{"y:1 > y:2", "z:1 > -"}},
		{"a stored list", []string{"RPUSH l b a", "SORT l ALPHA STORE l"}, []string{"- > a", "- > b", "a > -", "b > -"}},
		{"another type", []string{"HSET h f 1", "SET h x"}, []string{"f=1 > -"}},
		{"deleted", []string{"HSET h f 1", "DEL h"}, []string{"f=1 > -"}},
		{"a string", []string{"SET k v", "APPEND k w"}, nil},
		{"only a deadline", []string{"HSET h f 1", "HPEXPIREAT h @500 FIELDS 1 f"}, nil},
		{"not known", []string{"MOD.SET h", "HSET h f 1"}, []string{"?"}},
		{"not kept", []string{"SADD state:s a"}, []string{"?"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := newSession(keyspace.Config{})
			var first event.Event
			for _, c := range test.commands {
				args := words(strings.Replace(c, "@500", fmt.Sprint(start.UnixMilli()+500), 1))
				first = s.in.Command(nil, &keyspace.Command{Args: args, Time: start})[0]
			}
			if got := changesOf(&first); !slices.Equal(got, test.want) {
				t.Errorf("%q: got %q, want %q", test.commands, got, test.want)
			}
		})
	}
}

// TestChangesAgainstComparison: whatever a command does, what it is said to have
// changed is the difference of the values before and after, compared as wholes.
func TestChangesAgainstComparison(t *testing.T) {
	seed := seedOf(t)
	t.Logf("%s=%d", envSeed, seed)
	h := &history{generator: newGenerator(seed), now: start}
	in := keyspace.New(keyspace.Config{Need: needLevel(0)})
	in.SnapshotBegin()
	in.SnapshotEnd(nil, &keyspace.SnapshotKey{Time: start})
	compared := map[string]int{}
	for range 10_000 {
		for _, ev := range h.next()(in) {
			if ev.Before == nil || ev.After == nil {
				continue
			}
			got := changesOf(&ev)
			clone := ev.CloneCut(1 << 30)
			kind := ev.After.Type()
			if kind == "none" {
				kind = ev.Before.Type()
			}
			compared[kind]++
			if kind == "list" || kind == "stream" { // items are told as they were taken and put
				if got, want := net(got), net(changesOf(clone)); !slices.Equal(got, want) {
					t.Fatalf("%s %q\n got %q\nwant %q", ev.Command, ev.Args, got, want)
				}
				continue
			}
			if want := changesOf(clone); !slices.Equal(got, want) {
				t.Fatalf("%s %.300q of %s\n got %.300q\nwant %.300q", ev.Command, ev.Args, ev.Key, got, want)
			}
		}
	}
	for _, kind := range []string{"set", "hash", "zset", "list", "stream"} {
		if compared[kind] < 100 {
			t.Errorf("%d events of a %s: %v", compared[kind], kind, compared)
		}
	}
}

// net is what remains of changes once what was taken and put as often is left
// out.
func net(changes []string) (all []string) {
	count := map[string]int{}
	for _, c := range changes {
		before, after, _ := strings.Cut(c, " > ")
		count[before]--
		count[after]++
	}
	delete(count, "-")
	for name, n := range count {
		if n != 0 {
			all = append(all, fmt.Sprint(name, n))
		}
	}
	slices.Sort(all)
	return all
}

// TestChangesStop: no more is told than asked for.
func TestChangesStop(t *testing.T) {
	s := newSession(keyspace.Config{})
	for _, c := range []string{
		"SADD s a b c", "SREM s a b", "RPUSH l a b c d e", "LTRIM l 1 -2", "LREM l 0 c", "LINSERT l BEFORE b x", "LSET l 0 y", "LPUSH l 1 2 3",
		"XADD x 1-1 f v", "XADD x MAXLEN = 1 2-1 f v", "SUNIONSTORE s l s", "SADD e 1 2", "SUNIONSTORE s e", "DEL s", "HSET h a 1 b 2", "HSET h a 3 b 4",
	} {
		for _, ev := range s.in.Command(nil, &keyspace.Command{Args: words(c), Time: start}) {
			for _, ev := range []*event.Event{&ev, ev.Clone()} {
				asked := 0
				keyspace.ElementChanges(ev, func(_, _ *event.Element) bool { asked++; return false })
				if asked > 1 {
					t.Errorf("%s: %d elements", c, asked)
				}
			}
		}
	}
}

// TestChangesAreCheap: what one command has changed of a long value costs no
// more than of a short one.
func TestChangesAreCheap(t *testing.T) {
	s := newSession(keyspace.Config{})
	const n = 30_000
	for i := range n {
		for _, c := range []string{"SADD e m%d", "HSET h m%d v", "RPUSH l m%d", "ZADD z 1 m%d"} {
			s.in.Command(nil, &keyspace.Command{Args: words(fmt.Sprintf(c, i)), Time: start})
		}
		s.in.Command(nil, &keyspace.Command{Args: words(fmt.Sprintf("XADD x %d-1 f v", i+1)), Time: start})
	}
	for _, c := range []string{"SREM e m7", "HSET h m7 w", "RPUSH l x", "ZADD z 3 m7", "XADD x 99999999-1 f v", "LPOP l"} {
		ev := s.in.Command(nil, &keyspace.Command{Args: words(c), Time: start})[0]
		changed := 0
		allocs := testing.AllocsPerRun(10, func() {
			keyspace.ElementChanges(&ev, func(_, _ *event.Element) bool { changed++; return true })
		})
		if allocs > 8 || changed != 11 {
			t.Errorf("%s: %v allocations for %d changes", c, allocs, changed)
		}
	}
}

func TestLookup(t *testing.T) {
	s := newSession(keyspace.Config{Need: func(_ int, key []byte) keyspace.Need {
		switch {
		case strings.HasPrefix(string(key), "k"):
			return keyspace.NeedValue
		case strings.HasPrefix(string(key), "state"):
			return keyspace.NeedState
		}
		return keyspace.NeedNothing
	}})
	look := func(key string) string { return plain(s.in.Lookup(0, []byte(key))) }
	check := func(when string, want map[string]string) {
		t.Helper()
		for key, value := range want {
			if got := look(key); got != value {
				t.Errorf("%s, %s is %s, want %s", when, key, got, value)
			}
		}
	}
	check("in the beginning", map[string]string{"k": "null", "other": "?", "state": "null"})
	if got := plain(s.in.Lookup(5, []byte("k"))); got != "null" {
		t.Errorf("in another database it is %s", got)
	}
	s.do("SET k v")
	s.do("RPUSH k2 a b")
	s.do("SET state x")
	s.do("SET other x")
	check("when they were set", map[string]string{"k": `"v"`, "k2": `["a","b"]`, "state": "?", "other": "?"})
	events := s.in.Command(nil, &keyspace.Command{Args: words("SET k w"), Time: start})
	if got, was := look("k"), plain(events[0].Before); got != `"w"` || was != `"v"` {
		t.Errorf("beside its event it is %s, before %s", got, was)
	}
	s.do("DEL k2")
	s.do("MOD.X k3")
	check("deleted, and lost", map[string]string{"k2": "null", "k3": "?"})
	s.in.SnapshotBegin()
	s.in.SnapshotAbort()
	check("after a gap", map[string]string{"k": "?", "k9": "?"})
	s.do("FLUSHALL")
	s.do("RPUSH k a b")
	for key, want := range map[string]float64{"k": 1, "k9": 0, "other": 0, "state": 0} {
		name := []byte(key)
		if got := testing.AllocsPerRun(10, func() { s.in.Lookup(0, name) }); got > want {
			t.Errorf("%s costs %v allocations, want %v", key, got, want)
		}
	}
	s.in.SetNeed(nil, keyspace.Classes{})
	check("without need", map[string]string{"k": "?"})
}
