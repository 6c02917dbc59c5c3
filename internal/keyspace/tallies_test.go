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
		predicate("four", true, byHash(4)),
		predicate("two", true, byHash(2)),
		predicate("fields", false, func(e *event.Element) event.Verdict {
			return event.Verdict(len(strings.Join(e.Fields, " ")+e.Value) % 4)
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
			if n := asked[kind+" "+what]; n < 100 {
				t.Errorf("a %s was asked %d times %s", kind, n, what)
			}
		}
	}
}

func tallyRound(t *testing.T, seed uint64, asked map[string]int) {
	h := &history{generator: newGenerator(seed), now: start}
	chance := rand.New(rand.NewPCG(seed, 7))
	config := keyspace.Config{Need: needLevel(0)}
	if seed%4 == 0 {
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
		if chance.IntN(20) == 0 {
			s = h.toItself()
		} else {
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
	}[h.IntN(7)]
	line[2] = line[1]
	var out [][]byte
	for _, w := range line {
		out = append(out, []byte(w))
	}
	now, off, db := h.now, h.off, h.IntN(3)
	return func(in *keyspace.Interpreter) []event.Event {
		return in.Command(nil, &keyspace.Command{Args: out, DB: db, Time: now, Offset: off})
	}
}
