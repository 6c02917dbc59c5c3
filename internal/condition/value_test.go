package condition

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/expr-lang/expr/builtin"

	"triggerd/internal/condition/conditiontest"
	"triggerd/internal/event"
	"triggerd/internal/geo"
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
		all, err := new(scope).wholeOf(v)
		return all, v.Type(), err
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
	num := func(x any) number {
		switch x := x.(type) {
		case nil:
			return number{kind: nothing}
		case string:
			return numberOf(x)
		}
		return number{kind: notOne}
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
	both := func(p []any, f func(before, after any) any) (any, error) {
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
	known := func(p ...any) error {
		for _, x := range p {
			if _, _, err := whole(x); err != nil {
				return err
			}
		}
		return nil
	}
	type scored struct {
		name  string
		score number
	}
	scores := func(x any) (list []scored) {
		if v := x.(*side).v; v.Type() == "zset" {
			for e := range v.All() {
				list = append(list, scored{e.Name, ofFloat(e.Score)})
			}
		}
		return list
	}
	scoreIn := func(x any, name string) number {
		for _, s := range scores(x) {
			if s.name == name {
				return s.score
			}
		}
		return number{kind: nothing}
	}
	names := func(x any) (list []string) {
		for e := range x.(*side).v.All() {
			list = append(list, e.Name)
		}
		return list
	}
	// without returns what is in list more often than in other, in one order.
	without := func(x, y any) (any, error) {
		if err := known(x, y); err != nil {
			return nil, err
		}
		v, list, other := x.(*side).v, names(x), names(y)
		if v.Type() != y.(*side).v.Type() {
			other = nil
		}
		left := []string{}
		for _, name := range list {
			if i := slices.Index(other, name); i >= 0 {
				other = slices.Delete(other, i, i+1)
				continue
			}
			left = append(left, name)
		}
		if v.Type() != "stream" {
			slices.Sort(left)
		}
		return left, nil
	}
	part := func(x any, name string) any {
		for e := range x.(*side).v.All() {
			if e.Name == name {
				switch x.(*side).v.Type() {
				case "hash":
					return e.Value
				case "zset":
					return e.Score
				case "set":
					return true
				}
			}
		}
		return nil
	}
	return map[string]func(p ...any) (any, error){
		"value.score": func(p ...any) (any, error) {
			if err := known(p[0]); err != nil {
				return nil, err
			}
			if typ := p[0].(*side).v.Type(); typ != "zset" && typ != "none" {
				return number{kind: notOne}.boxed(), nil
			}
			return scoreIn(p[0], p[1].(string)).boxed(), nil
		},
		"value.has_score": func(p ...any) (any, error) {
			if err := known(p[0]); err != nil {
				return false, err
			}
			return !scoreIn(p[0], p[1].(string)).none(), nil
		},
		"value.within": func(p ...any) (any, error) {
			if err := known(p[0]); err != nil {
				return false, err
			}
			lon, lat, km := numberFrom(p[2]), numberFrom(p[3]), numberFrom(p[4])
			if sum := add(add(lon, lat), km); sum.none() {
				return truth(sum.kind).boxed(), nil
			}
			score := scoreIn(p[0], p[1].(string))
			if score.none() {
				return false, nil
			}
			place, ok := geo.PlaceOf(score.float())
			if !ok {
				return unknown.boxed(), nil
			}
			return geo.Distance(place, geo.Place{Lon: lon.float(), Lat: lat.float()}) <= 1000*km.float(), nil
		},
		"value.crossed_score": func(p ...any) (any, error) {
			if err := known(p[0], p[1]); err != nil {
				return false, err
			}
			n := numberFrom(p[2])
			if n.none() {
				return truth(n.kind).boxed(), nil
			}
			otherwise, given := number{}, len(p) > 3
			if given {
				otherwise = numberFrom(p[3])
			}
			said := no
			for _, s := range append(scores(p[0]), scores(p[1])...) {
				was, is := scoreIn(p[0], s.name), scoreIn(p[1], s.name)
				if was.kind == is.kind || given {
					said = said.or(crossed(was.or(otherwise), is.or(otherwise), n))
				}
			}
			return said.boxed(), nil
		},
		"value.differs": func(p ...any) (any, error) {
			if err := known(p[0], p[1]); err != nil {
				return false, err
			}
			return part(p[0], p[2].(string)) != part(p[1], p[2].(string)), nil
		},
		"value.moved": func(p ...any) (any, error) {
			var text [2]string
			for i := range text {
				w, _, err := whole(p[i])
				if err != nil {
					return false, err
				}
				fields, _ := w.(map[string]any)
				text[i], _ = fields[p[2].(string)].(string)
			}
			_, ok := p[3].(moves)[text[0]][text[1]]
			return ok && text[0] != text[1], nil
		},
		"value.added":   func(p ...any) (any, error) { return without(p[1], p[0]) },
		"value.removed": func(p ...any) (any, error) { return without(p[0], p[1]) },
		"value.whole":   func(p ...any) (any, error) { w, _, err := whole(p[0]); return w, err },
		"value.at":      at,
		"value.elements": func(p ...any) (any, error) {
			w, typ, err := whole(p[0])
			switch {
			case err != nil:
				return nil, err
			case typ == "none":
				return []string{}, nil
			case typ == "string":
				return nil, errors.New("has no elements")
			case typ == "hash":
				list := []any{}
				for e := range p[0].(*side).v.All() {
					list = append(list, map[string]any{"field": e.Name, "value": e.Value})
				}
				return list, nil
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
			n := num(w)
			if len(p) == 2 && n.none() {
				return p[1], err
			}
			return n.boxed(), err
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
			n := numberFrom(p[2])
			return both(p, func(before, after any) any {
				b, a := num(before), num(after)
				if sum := add(add(b, a), n); sum.none() {
					return truth(sum.kind).boxed()
				}
				up, down := less(b, n) == yes && less(a, n) == no, less(n, b) == yes && less(n, a) == no
				return up || down
			})
		},
		"value.changed_to": func(p ...any) (any, error) {
			return both(p, func(b, a any) any { return a == any(p[2]) && !isText(b, p[2].(string)) })
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

// naiveCompiler compiles conditions whose functions of values are the naive ones.
func naiveCompiler() *Compiler {
	c := testCompiler()
	for name, fn := range naiveFunctions() {
		f := *c.config.Functions[name]
		c.config.Functions[name] = &builtin.Function{Name: f.Name, Types: f.Types, Func: fn}
	}
	return c
}

// TestValuesAgainstMachine compares random conditions about random values with
// expr's machine, which has the naive functions.
func TestValuesAgainstMachine(t *testing.T) {
	rng := rand.New(rand.NewPCG(9, 0))
	g := &conditiontest.Generator{Rng: rng}
	c, oracle := testCompiler(), naiveCompiler()
	captures := xy(t)
	var compiled, closed, held, failed int
	const n = 12_000
	for range n {
		src := g.Value()
		for rng.IntN(3) == 0 {
			src = "(" + src + ")" + g.Pick(" && ", " || ", " == ") + "(" + g.Pick(g.Value(), g.Boolean(1)) + ")"
		}
		cond, report := c.Condition(src, captures.Names())
		if len(report.Problems) > 0 {
			if rng.IntN(500) == 0 {
				t.Log(src, report.Problems)
			}
			continue
		}
		compiled++
		if cond.eval != nil {
			closed++
		}
		naive := &Condition{program: machineProgram(t, oracle, src, captures.Names()), usesParams: true}
		lazy := &Condition{program: machineProgram(t, c, src, captures.Names()), usesParams: true}
		for range 6 {
			ev := conditiontest.Event(rng)
			ev.Key = []byte("a:7")
			ev.Before, ev.After = conditiontest.ValueOf(rng), conditiontest.ValueOf(rng)
			ev.TTL = []int64{event.TTLUnknown, event.TTLNone, event.TTLGone, 5000}[rng.IntN(4)]
			for range rng.IntN(3) {
				ev.Changed = append(ev.Changed, []byte(g.Pick("f", "a", "5", "status")))
			}
			values := conditiontest.Lookup(rng)
			lookup := func(db int, key []byte) event.Value {
				if !slices.ContainsFunc(cond.reads.Others, func(p *glob.Pattern) bool { return p.Match(key) }) {
					t.Fatalf("%s asks for %q, of which nothing is kept: %v", src, key, cond.reads.Others)
				}
				return values(db, key)
			}
			var results [3]truth
			var errs [3]error
			for i, cond := range []*Condition{naive, lazy, cond} {
				e := Evaluator{Lookup: lookup}
				e.Begin(ev)
				_, errs[i] = e.Holds(cond, captures)
				results[i] = e.last
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
			case results[0] == yes:
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
	all, _ := new(scope).wholeOf(v)
	return fmt.Sprintf("%s %q", v.Type(), all)
}
