package keyspace_test

import (
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"unique"

	"triggerd/internal/event"
	"triggerd/internal/keyspace"
	"triggerd/rdb"
)

// predicate makes one that judges by what judge says.
func predicate(name string, names bool, judge event.Judge) *event.Predicate {
	return &event.Predicate{Text: unique.Make(name), Names: names, Judge: func(string) event.Judge { return judge }}
}

// predicates read all that elements have, and say all that can be said.
func predicates() []*event.Predicate {
	byHash := func(mod uint32) event.Judge {
		return func(e *event.Element) event.Verdict {
			h := fnv.New32()
			fmt.Fprint(h, e.Name, e.Value, e.Score, e.Fields)
			return event.Verdict(h.Sum32() % mod)
		}
	}
	return []*event.Predicate{
		predicate("five", true, byHash(5)),
		predicate("two", true, byHash(2)),
		predicate("fields", false, func(e *event.Element) event.Verdict {
			return event.Verdict(len(strings.Join(e.Fields, " ")+e.Value) % 5)
		}),
		predicate("m1", true, func(e *event.Element) event.Verdict {
			if strings.Contains(e.Name, "1") {
				return event.VerdictYes
			}
			return event.VerdictNo
		}),
		predicate("score", false, func(e *event.Element) event.Verdict {
			if e.Score > 3 {
				return event.VerdictYes
			}
			return event.VerdictNo
		}),
	}
}

// recount counts by looking at each element.
func recount(v event.Value, p *event.Predicate) (n event.Counts) {
	judge := p.Judge(v.Type())
	for e := range v.All() {
		n.Add(judge(&e), 1)
	}
	return n
}

// TestTallies: whatever happens, and whenever it is asked, what a value has
// counted is what there is to be counted, on both sides of a change.
func TestTallies(t *testing.T) {
	seed := seedOf(t)
	t.Logf("%s=%d", envSeed, seed)
	asked := map[string]int{}
	for round := range uint64(40) {
		tallyRound(t, seed+round, asked)
	}
	for _, kind := range []string{"set", "hash", "zset", "list", "stream"} {
		for _, what := range []string{"before", "after", "later", "first before"} {
			if n := asked[kind+" "+what]; n < 20 {
				t.Errorf("a %s was asked %d times %s", kind, n, what)
			}
		}
	}
}

func tallyRound(t *testing.T, seed uint64, asked map[string]int) {
	h := &history{generator: newGenerator(seed), now: start}
	chance := rand.New(rand.NewPCG(seed, 7))
	config := keyspace.Config{Need: needLevel(0), Dialect: keyspace.Dialect(seed % 2)}
	if seed%8 < 2 {
		config.MaxMirror = 200_000
	}
	in := keyspace.New(config)
	in.Journal(true)
	store := entries{}
	few := []int{1, 5, 32}[seed%3]
	in.CountFew(few)
	in.SnapshotBegin()
	in.SnapshotEnd(nil, &keyspace.SnapshotKey{Time: start})
	all := predicates()
	check := func(what, command string, v event.Value) {
		counter, ok := v.(event.Counter)
		if !ok {
			return
		}
		for _, i := range chance.Perm(len(all))[:chance.IntN(3)] {
			before := in.Tallies()
			got, ok := counter.Count(all[i])
			if !ok {
				if n := v.Len(); what == "after" && n >= few && config.MaxMirror == 0 && v.Type() != "string" {
					t.Fatalf("%s: a %s of %d does not count", command, v.Type(), n)
				}
				continue
			}
			asked[v.Type()+" "+what]++
			if in.Tallies() > before {
				asked[v.Type()+" first "+what]++
			}
			if want := recount(v, all[i]); got != want {
				t.Fatalf("seed %d, %s, %s: %q counts %v, want %v", seed, command, what, all[i].Text.Value(), got, want)
			}
		}
	}
	for i := range 4000 {
		var s step
		inside := false
		switch n := chance.IntN(400); {
		case n < 40:
			s = h.toItself()
		case n == 40:
			s, inside = h.snapshotOfLists(), true
		default:
			s = h.next()
		}
		for _, ev := range s(in) {
			command := fmt.Sprintf("%s %.300q of %q", ev.Command, ev.Args, ev.Key)
			sides := []func(){func() { check("before", command, ev.Before) }, func() { check("after", command, ev.After) }}
			if chance.IntN(2) == 0 {
				slices.Reverse(sides)
			}
			sides[0]()
			sides[1]()
		}
		if inside {
			in.SnapshotEnd(nil, &keyspace.SnapshotKey{Time: h.now, Offset: h.off})
		}
		if chance.IntN(2) == 0 {
			key := h.any()
			check("later", "looked up "+key, in.Lookup(chance.IntN(3), []byte(key)))
		}
		switch {
		case chance.IntN(100) == 0:
			in.DropTallies(func() bool { return chance.IntN(3) == 0 })
		case chance.IntN(100) == 0:
			in.Release()
		case chance.IntN(300) == 0: // predicates of a reload: some are others
			all[chance.IntN(len(all))] = predicate(fmt.Sprint("reloaded ", seed, i), true, predicates()[0].Judge(""))
		case chance.IntN(400) == 0:
			store.take(in)
			config.Need = needLevel(h.level)
			in = store.restored(t, config)
			in.CountFew(few)
		}
	}
	checkCount(t, in)
}

// toItself makes a command that moves or copies something to where it is.
func (h *history) toItself() step {
	line := [][]string{
		{"RENAME", h.any(), ""}, {"COPY", h.any(), "", "REPLACE"}, {"SMOVE", h.key("e"), "", h.member()},
		{"LMOVE", h.key("l"), "", h.pick("LEFT", "RIGHT"), h.pick("LEFT", "RIGHT")}, {"RPOPLPUSH", h.key("l"), ""},
		{"SUNIONSTORE", h.key("e"), ""}, {"SDIFFSTORE", h.key("e"), ""},
		{"RPUSH", h.key("l"), "m1", "m1", "m1", "m2"}, {"LREM", h.key("l"), h.pick("0", "2", "-2"), h.pick("m1", "m2")},
		{"XDEL", h.key("x"), fmt.Sprintf("%d-1", 100_000+h.serial-h.IntN(30)), fmt.Sprintf("%d-1", 100_000+h.serial-h.IntN(30))},
	}[h.IntN(10)]
	if line[2] == "" {
		line[2] = line[1]
	}
	var out [][]byte
	for _, w := range line {
		out = append(out, []byte(w))
	}
	now, off, db := h.now, h.off, h.IntN(3)
	return func(in *keyspace.Interpreter) []event.Event {
		return in.Command(nil, &keyspace.Command{Args: out, DB: db, Time: now, Offset: off})
	}
}

// snapshotOfLists makes one of lists, some of which were others before, without
// its end, which would make what the last event has not valid.
func (h *history) snapshotOfLists() step {
	h.level = 0
	k := keyspace.SnapshotKey{Time: h.now, Offset: h.off, Type: "list"}
	n := h.IntN(60) + 1
	return func(in *keyspace.Interpreter) (events []event.Event) {
		in.SetNeed(needLevel(0), keyspace.Classes{})
		in.SnapshotBegin()
		for _, i := range h.Perm(6) {
			key := k
			key.Key, key.Value = fmt.Appendf(nil, "l:%d", i), listReader(n)
			events = in.SnapshotKey(nil, &key)
		}
		return events // of the last: what those before it have is not valid any more
	}
}

// listReader is at a key of a snapshot, a list of n items.
func listReader(n int) *rdb.Reader {
	value := dump(n)
	r := rdb.NewReader(strings.NewReader("REDIS0009\x01\x01k" + value[1:len(value)-10] + "\xff\x00\x00\x00\x00\x00\x00\x00\x00"))
	if _, err := r.Next(); err != nil {
		return nil
	}
	return r
}

// TestTalliesAreKept: a tally that is asked for is moved on by what changes, and
// not made again, whatever the command; one that nobody asks for any more is
// dropped after as many changes as there are elements.
func TestTalliesAreKept(t *testing.T) {
	for _, test := range []struct {
		key      string
		setup    string // with items that are made
		commands []string
	}{
		{"s", "SADD s", []string{"SADD s x1 y", "SREM s x1 m5", "SMOVE s s m7", "SMOVE s t m8", "SADD t m9", "SMOVE t s m8"}},
		{"h", "HSET h", []string{"HSET h m1 9 x y", "HDEL h m2 x", "HINCRBY h n 4", "HINCRBY h n 1", "HSETEX h KEEPTTL FIELDS 1 m1 17", "HPEXPIREAT h @900 FIELDS 1 m1",
			"HGETDEL h FIELDS 1 m1"}},
		{"z", "ZADD z", []string{"ZADD z 17 m1 9 new", "ZINCRBY z 2.5 m1", "ZREM z new m9", "ZPOPMIN z 3", "ZPOPMAX z", "ZREMRANGEBYRANK z 0 1", "ZREMRANGEBYSCORE z 20 21"}},
		{"l", "RPUSH l", []string{"RPUSH l m1 m1 x1", "LPUSH l m1 y", "LPOP l 2", "RPOP l", "LSET l 3 m1", "LINSERT l AFTER m7 m1", "LREM l 0 m1", "LTRIM l 2 -3",
			"LMOVE l l LEFT RIGHT", "RPOPLPUSH l l", "LMOVE l other LEFT LEFT"}},
		{"x", "XADD x", []string{"XADD x 900-1 f 1", "XDEL x 900-1 4-1", "XADD x MAXLEN = 45 901-1 f v1", "XTRIM x MINID = 9-1"}},
	} {
		t.Run(test.key, func(t *testing.T) {
			s := newSession(keyspace.Config{})
			p := predicates()[0]
			if n, ok := lastOf(s, test.setup, 60).(event.Counter).Count(p); !ok || n == (event.Counts{}) {
				t.Fatalf("counted %v, %t", n, ok)
			}
			for _, c := range append(test.commands, "RENAME "+test.key+" moved") {
				args := words(strings.Replace(c, "@900", fmt.Sprint(start.UnixMilli()+900), 1))
				events := s.in.Command(nil, &keyspace.Command{Args: args, Time: start})
				if n := s.in.Tallies(); n != 1 {
					t.Fatalf("%s: %d tallies", c, n)
				}
				for _, ev := range events {
					for _, v := range []event.Value{ev.Before, ev.After} {
						counter, ok := v.(event.Counter)
						if key := string(ev.Key); !ok || key != test.key && key != "moved" {
							continue
						}
						if n, ok := counter.Count(p); !ok || n != recount(v, p) {
							t.Fatalf("%s: counted %v, %t, want %v", c, n, ok, recount(v, p))
						}
					}
				}
				if n := s.in.Tallies(); n != 1 {
					t.Fatalf("%s: %d tallies when it was asked", c, n)
				}
			}
		})
	}
	t.Run("dropped", func(t *testing.T) {
		s := newSession(keyspace.Config{})
		p := predicates()
		v := lastOf(s, "SADD s", 40).(event.Counter)
		v.Count(p[0])
		v.Count(p[1])
		for i := range 60 {
			s.do(fmt.Sprintf("SADD s another%d", i%2))
			s.do(fmt.Sprintf("SREM s another%d", i%2))
			s.in.Lookup(0, []byte("s")).(event.Counter).Count(p[1])
		}
		if n := s.in.Tallies(); n != 1 {
			t.Errorf("%d tallies are left, want the one that was asked", n)
		}
	})
	t.Run("many", func(t *testing.T) {
		s := newSession(keyspace.Config{})
		v := lastOf(s, "ZADD z", 50).(event.Counter)
		var many []*event.Predicate
		for i := range 100 {
			many = append(many, predicate(fmt.Sprint("at least ", i), false, func(e *event.Element) event.Verdict {
				if e.Score >= float64(i) {
					return event.VerdictYes
				}
				return event.VerdictNo
			}))
			v.Count(many[i])
		}
		for round := range 150 {
			c := fmt.Sprintf("ZADD z %d m%d", round%90, round%50)
			ev := s.in.Command(nil, &keyspace.Command{Args: words(c), Time: start})[0]
			for i, p := range many {
				if round > 0 && round < 149 && i%3 > 0 {
					continue // not asked, these are dropped
				}
				for _, v := range []event.Value{ev.Before, ev.After} {
					if n, ok := v.(event.Counter).Count(p); !ok || n != recount(v, p) {
						t.Fatalf("round %d, predicate %d: %v, %t, want %v", round, i, n, ok, recount(v, p))
					}
				}
			}
			if n := s.in.Tallies(); round == 120 && n != 34 {
				t.Errorf("%d tallies, want those that are asked", n)
			}
		}
		checkCount(t, s.in)
	})
	t.Run("few", func(t *testing.T) {
		s := newSession(keyspace.Config{})
		if _, ok := lastOf(s, "SADD s", 31).(event.Counter).Count(predicates()[0]); ok {
			t.Error("a few are counted")
		}
	})
	t.Run("limit", func(t *testing.T) {
		s := newSession(keyspace.Config{MaxMirror: 100_000})
		v := lastOf(s, "SADD s", 1000).(event.Counter)
		for i := range 10_000 {
			v.Count(predicate(fmt.Sprint(i), true, predicates()[0].Judge("")))
		}
		if n, st := s.in.Tallies(), s.in.Stats(); n < 100 || n > 900 || st.MirrorBytes > 100_000 || st.Lost.Limit > 0 {
			t.Errorf("%d tallies, %d bytes, lost %d", n, st.MirrorBytes, st.Lost.Limit)
		}
		checkCount(t, s.in)
	})
}

// lastOf makes a collection of n elements, and returns it as it is after the last.
func lastOf(s *session, command string, n int) event.Value {
	var events []event.Event
	for i := range n {
		line := fmt.Sprintf("%s m%d", command, i)
		switch args := words(command); string(args[0]) {
		case "HSET":
			line += fmt.Sprint(" ", i)
		case "ZADD":
			line = fmt.Sprintf("%s %d m%d", command, i, i)
		case "XADD":
			line = fmt.Sprintf("%s %d-1 f v%d", command, i+1, i)
		}
		events = s.in.Command(nil, &keyspace.Command{Args: words(line), Time: start})
	}
	return events[0].After
}

// What the rules will ask of a large value is counted when it is read from a
// snapshot, or restored: who asks later looks at what has changed, and no more.
func TestCountedEarly(t *testing.T) {
	const n = 5000
	judged := 0
	p := predicate("early", true, func(e *event.Element) event.Verdict {
		judged++
		if strings.HasSuffix(e.Name, "7") {
			return event.VerdictYes
		}
		return event.VerdictNo
	})
	config := keyspace.Config{Need: needAll, Counted: func(db int, key []byte, typ string) []*event.Predicate {
		if db != 0 || string(key) != "k" || typ != "list" {
			t.Errorf("asked for %q in database %d, a %s", key, db, typ)
		}
		return []*event.Predicate{p}
	}}
	check := func(t *testing.T, in *keyspace.Interpreter) {
		t.Helper()
		if judged < n {
			t.Fatalf("%d elements were looked at", judged)
		}
		checkCount(t, in)
		judged = 0
		events := in.Command(nil, &keyspace.Command{Args: words("RPUSH k 7"), Time: start})
		for _, v := range []event.Value{events[0].Before, events[0].After} {
			got, ok := v.(event.Counter).Count(p)
			early := judged
			if want := recount(v, p); !ok || got != want || early > 2 {
				t.Errorf("%v, %t, want %v; %d elements were looked at", got, ok, want, early)
			}
			judged = 0
		}
	}
	in := keyspace.New(config)
	in.Journal(true)
	t.Run("snapshot", func(t *testing.T) {
		r, err := rdb.NewDumpReader([]byte(dump(n)))
		if err != nil {
			t.Fatal(err)
		}
		entry, err := r.Next()
		if err != nil {
			t.Fatal(err)
		}
		in.SnapshotBegin()
		in.SnapshotKey(nil, &keyspace.SnapshotKey{Key: []byte("k"), Type: entry.Type.String(), Value: r, Time: start})
		in.SnapshotEnd(nil, &keyspace.SnapshotKey{Time: start})
		check(t, in)
	})
	t.Run("restored", func(t *testing.T) {
		var store cuts
		store.take(in, true)
		judged = 0
		check(t, store.restored(t, config))
	})
}
