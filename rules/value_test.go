package rules

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"strconv"
	"testing"

	"github.com/expr-lang/expr/builtin"

	"triggerd/internal/event"
	"triggerd/internal/glob"
)

// naiveFunctions are the functions of values as their documentation says
// them, on values made whole: what the package's own are compared with.
func naiveFunctions() map[string]func(p ...any) (any, error) {
	errUnknown := errors.New("not known")
	whole := func(x any) (any, string, error) {
		v := x.(*side).v
		if v == nil || v.Truncated() {
			return nil, "", errUnknown
		}
		return wholeOf(v), v.Type(), nil
	}
	str := func(x any) (string, error) {
		switch x := x.(type) {
		case nil:
			return "", nil
		case string:
			return x, nil
		}
		return "", errors.New("not text")
	}
	number := func(x any) float64 {
		if t, ok := x.(string); ok {
			return numText(t, math.NaN())
		}
		return math.NaN()
	}
	at := func(p ...any) (any, error) {
		w, typ, err := whole(p[0])
		if err != nil || typ == "none" {
			return nil, err
		}
		name, named := p[1].(string)
		i, numbered := p[1].(int)
		switch {
		case typ == "hash" && named:
			return w.(map[string]any)[name], nil
		case typ == "zset" && named:
			for _, e := range w.([]any) {
				if m := e.(map[string]any); m["member"] == name {
					return m["score"], nil
				}
			}
			return nil, nil
		case (typ == "list" || typ == "stream") && numbered:
			var list []any
			for e := range p[0].(*side).v.All() {
				list = append(list, elementOf(typ, e))
			}
			if i < 0 {
				i += len(list)
			}
			if i < 0 || i >= len(list) {
				return nil, nil
			}
			return list[i], nil
		}
		return nil, errors.New("no such part")
	}
	length := func(x any, of func(string) int) (any, error) {
		w, _, err := whole(x)
		if err != nil {
			return 0, err
		}
		switch w := w.(type) {
		case string:
			return of(w), nil
		case map[string]any:
			return len(w), nil
		case []string:
			return len(w), nil
		case []any:
			return len(w), nil
		}
		return 0, nil
	}
	fieldIs := func(x any, f, v string) (bool, error) {
		w, _, err := whole(x)
		if err != nil {
			return false, err
		}
		m, _ := w.(map[string]any)
		return m[f] == v, nil
	}
	both := func(p []any, f func(before, after any) bool) (any, error) {
		b, _, err := whole(p[0])
		if err != nil {
			return false, err
		}
		a, _, err := whole(p[1])
		if err != nil {
			return false, err
		}
		return f(b, a), nil
	}
	return map[string]func(p ...any) (any, error){
		"value.whole": func(p ...any) (any, error) { w, _, err := whole(p[0]); return w, err },
		"value.at":    at,
		"value.elements": func(p ...any) (any, error) {
			w, typ, err := whole(p[0])
			switch {
			case err != nil:
				return nil, err
			case typ == "none":
				return []string{}, nil
			case typ == "string" || typ == "hash":
				return nil, errors.New("not a list")
			}
			return w, nil
		},
		"value.has": func(p ...any) (any, error) {
			_, typ, err := whole(p[0])
			if err != nil {
				return false, err
			}
			if typ == "string" {
				return false, errors.New("a string")
			}
			for e := range p[0].(*side).v.All() {
				if e.Name == p[1] {
					return true, nil
				}
			}
			return false, nil
		},
		"value.size": func(p ...any) (any, error) { return length(p[0], func(s string) int { return len(s) }) },
		"value.len":  func(p ...any) (any, error) { return length(p[0], func(s string) int { return len([]rune(s)) }) },
		"value.num": func(p ...any) (any, error) {
			w, _, err := whole(p[0])
			f := number(w)
			if len(p) == 2 && math.IsNaN(f) {
				f = p[1].(float64)
			}
			return f, err
		},
		"value.text": func(p ...any) (any, error) {
			if _, ok := p[0].(*side); !ok {
				return str(p[0])
			}
			w, _, err := whole(p[0])
			if err != nil {
				return "", err
			}
			return str(w)
		},
		"value.crossed": func(p ...any) (any, error) {
			n, err := strconv.ParseFloat(fmt.Sprint(p[2]), 64)
			if err != nil {
				return false, err
			}
			return both(p, func(before, after any) bool {
				b, a := number(before), number(after)
				if math.IsNaN(b) || math.IsNaN(a) || math.IsNaN(n) || b == n {
					return false
				}
				return (b < n) != (a < n) || a == n
			})
		},
		"value.changed_to": func(p ...any) (any, error) {
			return both(p, func(b, a any) bool { return a == any(p[2]) && !isText(b, p[2].(string)) })
		},
		"value.became": func(p ...any) (any, error) {
			was, err := fieldIs(p[0], p[2].(string), p[3].(string))
			if err != nil {
				return false, err
			}
			is, err := fieldIs(p[1], p[2].(string), p[3].(string))
			return is && !was, err
		},
	}
}

func isText(x any, want string) bool { t, ok := x.(string); return ok && t == want }

// naiveConditions are conditions whose functions of values are the naive ones.
func naiveConditions() *conditions {
	c := testConditions()
	for name, fn := range naiveFunctions() {
		f := *c.config.Functions[name]
		c.config.Functions[name] = &builtin.Function{Name: f.Name, Types: f.Types, Func: fn}
	}
	return c
}

// randomValue returns a value of any type; sometimes one that is not known.
func randomValue(rng *rand.Rand) event.Value {
	texts := []string{"a", "5", "-1.5", "0", "", "paid", "x", "\xff", `{"a":"x"}`, "1", "5.0", "é"}
	pick := func() string { return texts[rng.IntN(len(texts))] }
	names := rng.Perm(len(texts))[:rng.IntN(4)+1]
	var list []event.Element
	typ := []string{"string", "string", "string", "string", "hash", "hash", "hash", "list", "set", "zset", "stream", "none", "none", "unknown"}[rng.IntN(14)]
	for i, n := range names {
		e := event.Element{Name: texts[n]}
		switch typ {
		case "hash":
			e.Name, e.Value = []string{"f", "status", "a", "x"}[i], pick()
		case "zset":
			e.Score = float64(i) - 0.5
		case "stream":
			e.Name, e.Fields = fmt.Sprintf("%d-0", i), []string{pick(), pick()}
		}
		list = append(list, e)
	}
	switch typ {
	case "unknown":
		return nil
	case "none":
		return event.None
	case "string":
		return event.String([]byte(pick()))
	}
	return event.Elements(typ, list)
}

// value writes a random condition about values.
func (g *generator) value() string {
	side := g.pick("before", "after")
	field := g.pick(`.f`, `.status`, `["a"]`, `["x"]`, `[0]`, `[-1]`, `[arg(0)]`, `[db]`)
	compare := g.pick(" == ", " != ")
	order := g.pick(" < ", " <= ", " > ", " >= ", " == ", " != ")
	text := g.text(1)
	switch g.rng.IntN(24) {
	case 0:
		return side + compare + "nil"
	case 1:
		return side + compare + g.pick(`"5"`, `"paid"`, `""`, "arg(1)", text)
	case 2:
		return side + compare + g.pick("before", "after")
	case 3:
		return side + field + compare + g.pick("nil", `"paid"`, `"5"`, "-0.5", "params.x", "before.f", "after.status", text)
	case 4:
		return "num(" + side + g.pick("", field) + g.pick("", ", 0", ", -1.5") + ")" + order + g.number(1)
	case 5:
		return "has(" + side + ", " + g.pick(`"f"`, `"a"`, `"5"`, "arg(0)", "before.f") + ")"
	case 6:
		return g.pick("size", "len") + "(" + side + ")" + order + g.integer(1)
	case 7:
		return "crossed(" + g.pick("0", "1", "-1.5", "5", "db", "num(arg(1))", "after.f") + ")"
	case 8:
		return "changed_to(" + g.pick(`"5"`, `"paid"`, `""`, "arg(1)", "before.f") + ")"
	case 9:
		return "became(" + g.pick(`"f"`, `"status"`, "arg(0)") + ", " + g.pick(`"paid"`, `"5"`, "arg(1)", "after.a") + ")"
	case 10:
		return side + g.pick("", field) + g.pick(" startsWith ", " endsWith ", " contains ") + g.pick(`"p"`, `"5"`, "arg(1)", "after.f")
	case 11:
		return side + g.pick("", field) + ` matches "^[0-9]+$"`
	case 12:
		return side + g.pick("", field) + g.pick(" in ", " not in ") + g.pick(`["5", "paid"]`, "lists.skus", "lists.dbs", "args", "changed", `["5", arg(0)]`)
	case 13:
		return g.pick(`"a"`, "arg(0)", "before.f") + g.pick(" in ", " not in ") + g.pick(side, "changed")
	case 14:
		return g.pick("any", "all", "none", "one") + "(" + side + ", " + g.pick(`# == "a"`, `# startsWith "p"`, "num(#.score) > 0", `#.id == "0-0"`, "# in lists.skus") + ")"
	case 15:
		return g.pick("any", "all") + "(changed, " + g.pick(`# == "f"`, `# startsWith "a"`, "size(#) > 1") + ") || len(changed) > 1"
	case 16:
		return "ttl" + order + g.pick("-1", "-2", "1000", "db")
	case 17:
		return "json(" + side + g.pick("", field) + `, "a") == "x"`
	case 18:
		return g.pick("lower", "upper", "trim") + "(" + side + g.pick("", field) + `) == "a"`
	case 19:
		return side + g.pick("", field) + `[0:2] == "pa"`
	case 20:
		return "glob(" + side + g.pick("", field) + `, "p*")`
	case 21:
		return "int(" + side + g.pick("", field) + ") > 1"
	case 22:
		return `"5"` + compare + side + g.pick("", field)
	}
	return "size(" + side + field + ")" + order + "2"
}

// TestValuesAgainstMachine compares random conditions about random values with
// expr's machine, which has the naive functions.
func TestValuesAgainstMachine(t *testing.T) {
	rng := rand.New(rand.NewPCG(9, 0))
	g := &generator{rng}
	c, oracle := testConditions(), naiveConditions()
	param, _ := glob.ParseKey("{x}:{y}")
	rule := &Rule{pattern: pattern{limits: noLimits, keys: []*glob.Pattern{param}, only: param, captures: []string{"x", "y"}}}
	var compiled, closed, held, failed int
	const n = 12_000
	for range n {
		src := g.value()
		for rng.IntN(3) == 0 {
			src = "(" + src + ")" + g.pick(" && ", " || ", " == ") + "(" + g.pick(g.value(), g.boolean(1)) + ")"
		}
		cond, _, problems := c.compile(src, rule.captures)
		if len(problems) > 0 {
			if rng.IntN(500) == 0 {
				t.Log(src, problems)
			}
			continue
		}
		compiled++
		if cond.eval != nil {
			closed++
		}
		naive := &condition{program: machineProgram(t, oracle, src, rule.captures), usesParams: true}
		lazy := &condition{program: machineProgram(t, c, src, rule.captures), usesParams: true}
		for range 6 {
			ev := randomEvent(rng)
			ev.Key = []byte("a:7")
			ev.Before, ev.After = randomValue(rng), randomValue(rng)
			ev.TTL = []int64{event.TTLUnknown, event.TTLNone, event.TTLGone, 5000}[rng.IntN(4)]
			for range rng.IntN(3) {
				ev.Changed = append(ev.Changed, []byte(g.pick("f", "a", "5", "status")))
			}
			var results [3]bool
			var errs [3]error
			for i, cond := range []*condition{naive, lazy, cond} {
				var e evaluator
				rule.cond = cond
				results[i], errs[i] = e.evaluate(rule, ev)
			}
			for i, what := range []string{"", "the machine", "the closures"} {
				if i > 0 && ((errs[i] != nil) != (errs[0] != nil) || errs[0] == nil && results[i] != results[0]) {
					t.Fatalf("%s of %s to %s, changed %q args %q ttl %d: %s got %v %v, want %v %v",
						src, shown(ev.Before), shown(ev.After), ev.Changed, ev.Args, ev.TTL, what, results[i], errs[i], results[0], errs[0])
				}
			}
			switch {
			case errs[0] != nil:
				failed++
			case results[0]:
				held++
			}
		}
	}
	t.Logf("%d conditions, %d compile, %d to closures; they held %d of %d times, %d could not be told", n, compiled, closed, held, 6*compiled, failed)
	if compiled < n*3/4 || closed < compiled/2 || held < compiled/2 || failed > 4*compiled {
		t.Error("the test tests too little")
	}
}

func shown(v event.Value) string {
	if v == nil {
		return "what is not known"
	}
	return fmt.Sprintf("%s %q", v.Type(), wholeOf(v))
}
