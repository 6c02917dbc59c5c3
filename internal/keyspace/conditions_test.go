package keyspace_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"triggerd/internal/condition"
	"triggerd/internal/event"
	"triggerd/internal/keyspace"
)

// overElements are conditions about the elements of values: counted, looked up,
// ranked, looked at one by one, and some that cannot be told of some elements.
var overElements = []string{
	`any(%s, num(.score) >= 3)`, `count(%s, num(.score) > 1.5) > 5`, `all(%s, num(.score) > -100)`, `one(%s, num(.score) < 0)`,
	`count(%s, num(.score) >= num(arg(1))) > 3`, `any(%s, num(arg(2), 1) > num(.score))`, `none(%s, num(.score) == num(arg(1)))`,
	`any(%s, # == "m1")`, `any(%s, # == arg(1))`, `none(%s, .member == "m3")`, `one(%s, .member == arg(2))`, `any(%s, .field == "f1")`, `any(%s, .id == "100100-1")`,
	`count(%s, .value == "5") == 1`, `any(%s, .value == arg(2))`, `count(%s, .value startsWith "value1") > 20`,
	`count(%s, # in lists.some) > 1`, `all(%s, # startsWith "m")`, `count(%s, len(#) > 2) > 30`, `none(%s, # contains "9")`,
	`any(%s, num(#) > 3)`, `none(%s, num(.value) > 100)`, `all(%s, num(.score) < num(arg(1)))`, `any(%s, int(#) > 3)`, `count(%s, int(.value) > 3) > 1`, `any(%s, .fields[1] startsWith "v")`, `count(%s, .fields[2] == "x") == 0`, `one(%s, .fields[0] == "f")`,
	`any(%s, # == "m1" && db == 0)`, `count(%s, # == key) == 0`, `before == after`, `len(%s) == 3`, `%s[0] == "m1"`, `%s[-1] == "m2"`, `arg(1) in %s`, `"m1" in %s`,
	`macros.high`,
	`num(score(%s, "m1"), -1) > 2`, `score(%s, arg(1)) >= 3`, `score(%s, arg(2)) == nil`, `within(%s, "m1", 13.4, 52.5, 9000)`,
	`crossed_score(3)`, `crossed_score(num(arg(1)), 0)`, `differs("f1")`, `differs("m1")`, `differs(arg(1))`, `was("f1") == "5"`, `moved("f1", {"": "5", "5": ["", "1", "2"]})`,
	`"m1" in added`, `arg(2) in removed`, `len(added) == 2`, `len(added) > 0 && len(removed) > 0`, `any(added, # startsWith "m")`, `all(removed, num(#) > 3)`,
	`added[0] == arg(2)`, `removed[-1] == "m2"`,
}

// TestMembers: what conditions say that a command has added and removed, that
// differs, and that has crossed a score, is what the values before and after say
// when they are compared as wholes.
func TestMembers(t *testing.T) {
	seed := seedOf(t)
	t.Logf("%s=%d", envSeed, seed)
	h := &history{generator: newGenerator(seed), now: start}
	chance := rand.New(rand.NewPCG(seed, 3))
	in := keyspace.New(keyspace.Config{Need: needLevel(0)})
	in.SnapshotBegin()
	in.SnapshotEnd(nil, &keyspace.SnapshotKey{Time: start})
	same := func(list string) string { // as args are, up to six
		src := fmt.Sprintf("len(%s) == len(args)", list)
		for i := range 6 {
			src += fmt.Sprintf(" && (len(args) <= %d || %s[%d] == args[%d])", i, list, i, i)
		}
		return src
	}
	conditions := map[string]*condition.Condition{}
	c := condition.NewCompiler(condition.Config{})
	for name, src := range map[string]string{"added": same("added"), "removed": same("removed"), "differs": "differs(arg(0))", "crossed": "crossed_score(num(arg(0)))", "from nothing": "crossed_score(num(arg(0)), 0)"} {
		cond, report := c.Condition(src, nil)
		if cond == nil {
			t.Fatal(src, report.Problems)
		}
		conditions[name] = cond
	}
	said := map[string]int{}
	for range 15_000 {
		s := h.next()
		if chance.IntN(8) == 0 {
			s = h.toItself()
		}
		for _, ev := range s(in) {
			if ev.Before == nil || ev.After == nil || ev.Before.Truncated() || ev.After.Truncated() {
				continue
			}
			holds := func(name string, args ...string) bool {
				asked := ev
				asked.Args = nil
				for _, a := range args {
					asked.Args = append(asked.Args, []byte(a))
				}
				var e condition.Evaluator
				e.Begin(&asked)
				ok, err := e.Holds(conditions[name], nil)
				if err != nil {
					t.Fatal(name, err)
				}
				return ok
			}
			where := fmt.Sprintf("%s %.200q of %q (%s to %s)", ev.Command, ev.Args, ev.Key, ev.Before.Type(), ev.After.Type())
			for name, want := range map[string][]string{"added": more(ev.After, ev.Before), "removed": more(ev.Before, ev.After)} {
				if len(want) > 0 {
					said[name+" "+ev.After.Type()]++
				}
				if !holds(name, want...) {
					t.Fatalf("%s: %s is not %.300q", where, name, want)
				}
			}
			was, is := partsOf(ev.Before), partsOf(ev.After)
			for _, parts := range []map[string]event.Element{was, is} {
				for name := range parts { // any one
					b, had := was[name]
					a, has := is[name]
					b.Fields, a.Fields = nil, nil
					want := had != has || ev.Before.Type() != ev.After.Type() || b.Value != a.Value || b.Score != a.Score
					if got := holds("differs", name); got != want {
						t.Fatalf("%s: %q differs: %t", where, name, got)
					}
					said[fmt.Sprint("differs ", want)]++
					break
				}
			}
			n := float64(chance.IntN(14))/2 - 2
			var crossed, fromNothing bool
			for _, side := range []event.Value{ev.Before, ev.After} {
				if side.Type() != "zset" {
					continue
				}
				for e := range side.All() {
					b, had := scoreOf(ev.Before, was, e.Name)
					a, has := scoreOf(ev.After, is, e.Name)
					over := b < n && n <= a || a <= n && n < b
					crossed, fromNothing = crossed || over && had && has, fromNothing || over
				}
			}
			if got := holds("crossed", fmt.Sprint(n)); got != crossed {
				t.Fatalf("%s: crossed_score(%v) is %t", where, n, got)
			}
			if got := holds("from nothing", fmt.Sprint(n)); got != fromNothing {
				t.Fatalf("%s: crossed_score(%v, 0) is %t", where, n, got)
			}
			said[fmt.Sprint("crossed ", crossed)]++
		}
	}
	t.Logf("%v", said)
	for _, typ := range []string{"set", "hash", "zset", "stream"} {
		said["removed"] += said["removed "+typ]
	}
	for _, what := range []string{"added set", "added hash", "added zset", "added list", "removed list", "added stream", "removed", "removed none", "differs true", "differs false"} {
		if said[what] < 20 {
			t.Errorf("%d times %s", said[what], what)
		}
	}
	if said["crossed true"] == 0 {
		t.Error("nothing crosses a score")
	}
}

// TestMembersCostWhatHasChanged: what is asked of a large value makes nothing on
// the heap, nor does it take longer than the command.
func TestMembersCostWhatHasChanged(t *testing.T) {
	s := newSession(keyspace.Config{})
	zadd, rpush := words("ZADD z"), words("RPUSH l")
	for i := range 100_000 {
		zadd = append(zadd, fmt.Append(nil, i), fmt.Appendf(nil, "m%d", i))
		rpush = append(rpush, fmt.Appendf(nil, "m%d", i))
	}
	s.in.Command(nil, &keyspace.Command{Args: zadd, Time: start})
	s.in.Command(nil, &keyspace.Command{Args: rpush, Time: start})
	for command, conds := range map[string][]string{
		"ZADD z 70000 m7 5 new": {`crossed_score(1000)`, `crossed_score(3, 0)`, `"new" in added && len(removed) == 0`, `score(after, "m7") > score(before, "m7")`, `differs("m7")`, `within(after, "m8", 1, 2, 30000)`},
		"LMOVE l l LEFT RIGHT":  {`len(added) == 0 && len(removed) == 0`},
		"LSET l 1 x":            {`added[0] == "x" && len(removed) == 1`},
	} {
		ev := s.in.Command(nil, &keyspace.Command{Args: words(command), Time: start})[0]
		for _, src := range conds {
			cond, report := condition.NewCompiler(condition.Config{}).Condition(src, nil)
			if cond == nil {
				t.Fatal(src, report.Problems)
			}
			var e condition.Evaluator
			if n := testing.AllocsPerRun(50, func() {
				e.Begin(&ev)
				if ok, err := e.Holds(cond, nil); !ok || err != nil {
					t.Error(command, src, ok, err)
				}
			}); n > 0 {
				t.Errorf("%s: %v allocations", src, n)
			}
		}
	}
}

// more are the names that one value has more often than another, sorted; in
// their order if it is a stream. Values of different types have none in common.
func more(v, than event.Value) (names []string) {
	count := map[string]int{}
	if v.Type() == than.Type() {
		for e := range than.All() {
			count[e.Name]++
		}
	}
	for e := range v.All() {
		if count[e.Name]--; count[e.Name] < 0 {
			names = append(names, e.Name)
		}
	}
	if v.Type() != "stream" {
		slices.Sort(names)
	}
	return names
}

// partsOf are the elements of a hash, set or zset by their names.
func partsOf(v event.Value) map[string]event.Element {
	parts := map[string]event.Element{}
	switch v.Type() {
	case "hash", "set", "zset":
		for e := range v.All() {
			parts[e.Name] = e
		}
	}
	return parts
}

// scoreOf is the score of a member, 0 where there is none.
func scoreOf(v event.Value, parts map[string]event.Element, name string) (float64, bool) {
	e, ok := parts[name]
	if v.Type() != "zset" || !ok {
		return 0, false
	}
	return e.Score, true
}

// TestConditionsOverElements: what conditions say of the values of the mirror is
// what they say of copies, in which each element is looked at, whatever happens.
func TestConditionsOverElements(t *testing.T) {
	seed := seedOf(t)
	t.Logf("%s=%d", envSeed, seed)
	said := map[string]int{}
	for round := range uint64(6) {
		conditionsRound(t, seed+round, said)
	}
	t.Logf("%v", said)
	for _, what := range []string{"true", "false", "error"} {
		if said[what] < 1000 {
			t.Errorf("%d conditions are %s", said[what], what)
		}
	}
}

func conditionsRound(t *testing.T, seed uint64, said map[string]int) {
	h := &history{generator: newGenerator(seed), now: start}
	chance := rand.New(rand.NewPCG(seed, 8))
	config := keyspace.Config{Need: needLevel(0), Dialect: keyspace.Dialect(seed % 2)}
	in := keyspace.New(config)
	in.CountFew(8)
	in.Journal(true)
	store := entries{}
	in.SnapshotBegin()
	in.SnapshotEnd(nil, &keyspace.SnapshotKey{Time: start})
	var conditions map[string]*condition.Condition
	reload := func() {
		c := condition.NewCompiler(condition.Config{
			Lists:  map[string]any{"some": []string{"m1", "m2", fmt.Sprint("m", chance.IntN(12))}},
			Macros: map[string]string{"high": fmt.Sprintf("any(after, num(.score) > %d)", chance.IntN(6))},
		})
		conditions = map[string]*condition.Condition{}
		for _, form := range overElements {
			for _, side := range []string{"before", "after"} {
				src := strings.ReplaceAll(form, "%s", side)
				cond, report := c.Condition(src, nil)
				if cond == nil {
					t.Fatalf("%s: %v", src, report.Problems)
				}
				conditions[src] = cond
			}
		}
	}
	reload()
	tell := func(ev *event.Event, cond *condition.Condition) string {
		var e condition.Evaluator
		e.Begin(ev)
		ok, err := e.Holds(cond, nil)
		if err != nil {
			return "error"
		}
		return fmt.Sprint(ok, e.Decided(), e.NotNumber())
	}
	for range 2500 {
		s := h.next()
		if chance.IntN(10) == 0 {
			s = h.toItself()
		}
		for _, ev := range s(in) {
			var whole *event.Event
			for src, cond := range conditions { // in an order that is another each time
				if chance.IntN(4) > 0 {
					continue
				}
				if whole == nil {
					whole = ev.CloneCut(1 << 30)
				}
				got, want := tell(&ev, cond), tell(whole, cond)
				word, _, _ := strings.Cut(want, " ")
				said[word]++
				if got != want {
					t.Fatalf("seed %d, %s %.200q of %q: %s is %s, want %s", seed, ev.Command, ev.Args, ev.Key, src, got, want)
				}
			}
		}
		switch {
		case chance.IntN(150) == 0:
			reload()
		case chance.IntN(100) == 0:
			in.DropTallies(func() bool { return chance.IntN(3) == 0 })
		case chance.IntN(400) == 0:
			store.take(in)
			config.Need = needLevel(h.level)
			in = store.restored(t, config)
			in.CountFew(8)
		}
	}
	checkCount(t, in)
}
