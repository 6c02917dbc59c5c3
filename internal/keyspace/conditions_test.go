package keyspace_test

import (
	"fmt"
	"math/rand/v2"
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
