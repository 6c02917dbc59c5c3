package rules

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/expr-lang/expr/compiler"
	"github.com/expr-lang/expr/vm"

	"triggerd/internal/event"
	"triggerd/internal/glob"
)

// testConditions compiles conditions with some macros and lists.
func testConditions() *conditions {
	return newConditions(
		map[string]string{"prod": `db == 0 && not (key startsWith "test:")`, "deep": "macros.prod || size(key) > 3"},
		map[string]any{"skus": []string{"7", "8", ""}, "dbs": []int{0, 3}},
	)
}

// machineProgram compiles a condition for expr's machine as it is written:
// the oracle.
func machineProgram(t testing.TB, c *conditions, src string, captures []string) *vm.Program {
	t.Helper()
	r := c.resolve(src, captures, false)
	if len(r.problems) > 0 {
		t.Fatalf("%s: %v", src, r.problems)
	}
	if p := c.check(r.tree, true); p != nil {
		t.Fatalf("%s: %v", src, *p)
	}
	program, err := compiler.Compile(r.tree, c.config)
	if err != nil {
		t.Fatalf("%s: %v", src, err)
	}
	return program
}

// generator writes random conditions.
type generator struct{ rng *rand.Rand }

func (g *generator) pick(list ...string) string { return list[g.rng.IntN(len(list))] }

func (g *generator) boolean(depth int) string {
	if depth <= 0 {
		return g.pick("true", "false", `command == "SET"`, `key startsWith "a"`, "db == 0")
	}
	d := depth - 1
	switch g.rng.IntN(20) {
	case 0, 1:
		return "(" + g.boolean(d) + g.pick(" && ", " and ") + g.boolean(d) + ")"
	case 2, 3:
		return "(" + g.boolean(d) + g.pick(" || ", " or ") + g.boolean(d) + ")"
	case 4:
		return g.pick("!", "not ") + "(" + g.boolean(d) + ")"
	case 5:
		return g.text(d) + g.pick(" == ", " != ", " < ", " <= ", " > ", " >= ") + g.text(d)
	case 6:
		return g.integer(d) + g.pick(" == ", " != ", " < ", " <= ", " > ", " >= ") + g.integer(d)
	case 7:
		return g.number(d) + g.pick(" == ", " != ", " < ", " <= ", " > ", " >= ") + g.number(d)
	case 8:
		return g.text(d) + g.pick(" startsWith ", " endsWith ", " contains ", " not contains ") + g.text(d)
	case 9:
		return g.text(d) + g.pick(" matches ", " not matches ") + g.pick(`"^a"`, `"a.*b$"`, `"[0-9]+"`, `"(a|b):"`)
	case 10:
		return g.text(d) + g.pick(" in ", " not in ") + g.pick(`["a", "SET", ""]`, "lists.skus", "args", `["a","b","c","d","e","f","g","h","i","SET"]`)
	case 11:
		return g.integer(d) + g.pick(" in ", " not in ") + g.pick("[0, 1, -1]", "lists.dbs", "0..3")
	case 12:
		return g.pick("any", "all", "none", "one") + "(" + g.pick("args", "lists.skus") + ", " + g.element() + ")"
	case 13:
		return "(" + g.boolean(d) + " ? " + g.boolean(d) + " : " + g.boolean(d) + ")"
	case 14:
		return g.pick(`glob(`+g.text(d)+`, "a*[0-9]")`, `cidr(`+g.text(d)+`, "10.0.0.0/8")`, `has(params, "x")`, `"x" in params`)
	case 15:
		return g.pick("macros.prod", "macros.deep")
	case 16:
		return `json(` + g.text(d) + `, ` + g.pick(`"a"`, `"a.0"`, `""`) + `)` + g.pick(" == ", " != ") + g.pick(`"x"`, "1", "1.5", "true", "nil")
	case 17:
		if g.rng.IntN(4) == 0 {
			return "(json(" + g.text(d) + `, "a") ?? ` + g.text(d) + ") == " + g.text(d)
		}
		return g.pick(`command == "SET"`, `command == "XGROUP CREATE"`, `event == "set"`, `type in ["string", "hash"]`, `params.x == "7"`, `args[1] == "5"`, `origin == "stream"`)
	case 18:
		return "(" + g.boolean(d) + ")" + g.pick(" == ", " != ") + "(" + g.boolean(d) + ")"
	}
	return g.boolean(0)
}

func (g *generator) element() string {
	return g.pick(`# == "a"`, `# startsWith "1"`, "len(#) > 1", `num(#) > 2`, `# in lists.skus`, "int(#) > 3", `key endsWith #`, `# contains arg(1)`, `# == params.x && db == 0`)
}

func (g *generator) text(depth int) string {
	if depth <= 0 {
		return g.pick("key", "command", `"a"`, `""`, "event", `bin("\\xff")`, "type")
	}
	d := depth - 1
	switch g.rng.IntN(10) {
	case 0:
		return "args[" + g.integer(d) + "]"
	case 1:
		return "args[" + g.pick("0", "1", "2", "-1") + "]"
	case 2:
		return "arg(" + g.integer(d) + ")"
	case 3:
		return g.text(d) + "[" + g.pick("", g.integer(d)) + ":" + g.pick("", g.integer(d)) + "]"
	case 4:
		return g.pick("lower", "upper", "trim") + "(" + g.text(d) + ")"
	case 5:
		return g.pick("trimPrefix", "trimSuffix") + "(" + g.text(d) + ", " + g.text(d) + ")" + g.pick("", ` | trim("a:")`)
	case 6:
		return "params." + g.pick("x", "y")
	case 7:
		return "(" + g.boolean(d) + " ? " + g.text(d) + " : " + g.text(d) + ")"
	case 8:
		return g.pick("tx.id", "origin", "cause", "("+g.text(d)+" + "+g.text(d)+")")
	}
	return g.text(0)
}

func (g *generator) integer(depth int) string {
	if depth <= 0 {
		return g.pick("0", "1", "2", "-1", "5", "db", "bytes", "offset", "tx.index")
	}
	d := depth - 1
	switch g.rng.IntN(8) {
	case 0:
		return "(" + g.integer(d) + g.pick(" + ", " - ", " * ", " % ") + g.integer(d) + ")"
	case 1:
		return "len(" + g.pick("args", g.text(d)) + ")"
	case 2:
		return "size(" + g.text(d) + ")"
	case 3:
		return "int(" + g.pick(g.text(d), g.integer(d), "7.9") + ")"
	case 4:
		return "count(args, " + g.element() + ")"
	case 5:
		return g.pick("time.Hour()", "now().Weekday()", "time.Unix()", "tx.size", "-db")
	case 6:
		return "abs(" + g.integer(d) + ")"
	}
	return g.integer(0)
}

func (g *generator) number(depth int) string {
	if depth <= 0 {
		return g.pick("1.5", "0.0", "2", "db", "num(arg(1))")
	}
	d := depth - 1
	switch g.rng.IntN(6) {
	case 0:
		return "num(" + g.text(d) + ")"
	case 1:
		return "num(" + g.pick(g.text(d), `json(`+g.text(d)+`, "a")`, g.integer(d)) + ", " + g.pick("0", "-1", "2.5") + ")"
	case 2:
		return "(" + g.number(d) + g.pick(" + ", " - ", " * ", " / ", " ** ") + g.number(d) + ")"
	case 3:
		return "float(" + g.pick(g.text(d), g.integer(d)) + ")"
	case 4:
		return "-" + g.number(0)
	}
	return g.number(0)
}

// randomEvent returns an event that conditions of the generator tell apart.
func randomEvent(rng *rand.Rand) *event.Event {
	pick := func(list ...string) string { return list[rng.IntN(len(list))] }
	ev := &event.Event{
		Name: pick("set", "del", "hset", "expired"), Origin: event.FromStream, Cause: event.CauseCommand, DB: rng.IntN(4),
		Key:  []byte(pick("a", "a:7", "a:8:x", "b:7", "test:1", "", "a\xff", "ab12", "b:x:y")),
		Type: pick("string", "hash", ""), Command: pick("SET", "DEL", "HSET", "XGROUP CREATE", ""),
		Time: time.Unix(1_700_000_000+int64(rng.IntN(1e6)), 0), Bytes: rng.IntN(100), Offset: int64(rng.IntN(1000)),
	}
	for range rng.IntN(4) {
		ev.Args = append(ev.Args, []byte(pick("a", "5", "7", "-1.5", "10.1.2.3", `{"a":[1,"x"]}`, `"x"`, "1", "\xff", " 5 ", "SET", "é", "9999999999999999999")))
	}
	if rng.IntN(3) == 0 {
		ev.Tx = event.Tx{ID: "r:1", Index: rng.IntN(3), Size: 3}
	}
	return ev
}

// checkCondition compares the closures of a condition, if it has any, with
// expr's machine, and what it says to the index with whether it holds.
func checkCondition(t *testing.T, c *conditions, src string, events []*event.Event) (closed bool, held int) {
	t.Helper()
	g, _ := glob.ParseKey("{x}:{y}")
	rule := &Rule{pattern: pattern{limits: noLimits, keys: []*glob.Pattern{g}, only: g, captures: []string{"x", "y"}}}
	cond, says, problems := c.compile(src, rule.captures)
	for _, p := range problems {
		if strings.Contains(p.msg, "compiler of conditions failed") {
			t.Fatalf("%s: %v", src, p)
		}
	}
	if len(problems) > 0 {
		return false, 0
	}
	program := machineProgram(t, c, src, rule.captures)
	oracle := &condition{program: program, usesParams: true}
	var e evaluator
	for _, ev := range events {
		if cond.usesParams && !g.Match(ev.Key) {
			continue // the condition of a rule is asked only for keys that match
		}
		e.filled = false
		rule.cond = oracle
		want, wantErr := e.evaluate(rule, ev)
		rule.cond = cond
		got, gotErr := e.evaluate(rule, ev)
		if (gotErr != nil) != (wantErr != nil) || gotErr == nil && got != want {
			t.Fatalf("%s for %q %q %q in db %d: got %v %v, the machine says %v %v", src, ev.Command, ev.Key, ev.Args, ev.DB, got, gotErr, want, wantErr)
		}
		if wantErr == nil && want {
			held++
			if !saysOf(says, rule, ev) {
				t.Fatalf("%s holds for %q %q %q in db %d, against what it says to the index: %+v", src, ev.Command, ev.Key, ev.Args, ev.DB, says)
			}
		}
	}
	return cond.eval != nil, held
}

// saysOf reports whether an event is as one of the conjuncts says.
func saysOf(says []conjunct, r *Rule, ev *event.Event) bool {
	for _, c := range says {
		if c.keys != nil && !anyMatches(c.keys, ev.Key) {
			continue
		}
		all := true
		for _, q := range c.equal {
			all = all && holdsEquality(q, r, ev)
		}
		if all {
			return true
		}
	}
	return false
}

func holdsEquality(q equality, r *Rule, ev *event.Event) bool {
	value := ""
	switch q.of.kind {
	case fromArg:
		if q.of.arg < len(ev.Args) {
			value = string(ev.Args[q.of.arg])
		}
	case fromParam:
		value = r.params(ev.Key)[q.of.name]
	case fromCommand:
		value = ev.Command
	case fromEvent:
		value = ev.Name
	case fromType:
		value = ev.Type
	case fromDB:
		value = fmt.Sprint(ev.DB)
	}
	for _, v := range q.values {
		if v == value {
			return true
		}
	}
	return false
}

// TestConditionsAgainstMachine compares random conditions with expr's machine.
func TestConditionsAgainstMachine(t *testing.T) {
	rng := rand.New(rand.NewPCG(2, 0))
	g := &generator{rng}
	c := testConditions()
	compiled, closed, held := 0, 0, 0
	const n = 20_000
	for range n {
		src := g.boolean(1 + rng.IntN(4))
		events := make([]*event.Event, 8)
		for i := range events {
			events[i] = randomEvent(rng)
		}
		if _, _, problems := c.compile(src, []string{"x", "y"}); len(problems) > 0 {
			continue
		}
		compiled++
		cl, h := checkCondition(t, c, src, events)
		if cl {
			closed++
		}
		held += h
	}
	t.Logf("%d conditions, %d compile, %d to closures; they held %d of %d times", n, compiled, closed, held, 8*compiled)
	if compiled < n/2 || closed < compiled*3/4 || held < compiled {
		t.Errorf("of %d conditions %d compile, %d to closures, and held %d times: the test tests too little", n, compiled, closed, held)
	}
}

func FuzzCondition(f *testing.F) {
	rng := rand.New(rand.NewPCG(3, 0))
	g := &generator{rng}
	for range 50 {
		f.Add(g.boolean(3), uint64(rng.IntN(1000)))
	}
	for range 50 {
		f.Add(g.value(), uint64(rng.IntN(1000)))
	}
	f.Add(strings.Repeat("(", 70), uint64(0))
	f.Add("(size(type))!=num((0),0%0)", uint64(72)) // what nobody needs fails
	f.Add("A(len())", uint64(507))                  // a function of expr without its argument
	c := testConditions()
	f.Fuzz(func(t *testing.T, src string, seed uint64) {
		rng := rand.New(rand.NewPCG(seed, 1))
		events := make([]*event.Event, 4)
		for i := range events {
			events[i] = randomEvent(rng)
			events[i].Before, events[i].After = randomValue(rng), randomValue(rng)
		}
		checkCondition(t, c, src, events)
	})
}
