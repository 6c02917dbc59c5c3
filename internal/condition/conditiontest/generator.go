package conditiontest

import (
	"fmt"
	"math/rand/v2"
	"time"

	"triggerd/internal/event"
)

// Generator writes random conditions. Their macros and lists are those of
// Macros and Lists, their params x and y.
type Generator struct{ Rng *rand.Rand }

// Macros are what conditions of a Generator name.
func Macros() map[string]string {
	return map[string]string{"prod": `db == 0 && not (key startsWith "test:")`, "deep": "macros.prod || size(key) > 3"}
}

// Lists are what conditions of a Generator name.
func Lists() map[string]any {
	return map[string]any{"skus": []string{"7", "8", ""}, "dbs": []any{int64(0), int64(3)}, "prices": []any{int64(5), 2.5, int64(1<<53 + 1), -1.5, 9223372036854775808.0}, "none": []string{},
		"pairs": [][]string{{"a", "5"}, {"SET", "a"}, {"paid", "x"}, {"", "a"}, {"a:7", "5"}}}
}

// Pick returns one of some texts.
func (g *Generator) Pick(list ...string) string { return list[g.Rng.IntN(len(list))] }

// Boolean writes a condition of parts inside one another up to a depth.
func (g *Generator) Boolean(depth int) string {
	if depth <= 0 {
		return g.Pick("true", "false", `command == "SET"`, `key startsWith "a"`, "db == 0")
	}
	d := depth - 1
	switch g.Rng.IntN(23) {
	case 19:
		return g.text(d) + g.Pick(" in ", " not in ") + "split(" + g.text(d) + `, ` + g.Pick(`":"`, `"1"`, `"ab"`) + ")"
	case 20:
		return "[" + g.text(d) + ", " + g.Pick(g.text(d), `json(`+g.text(d)+`, "a")`) + "]" + g.Pick(" in ", " not in ") + g.Pick("lists.pairs", `[["SET", "a"], ["a", ""], ["a:7", "set"]]`)
	case 21:
		return g.Pick("any", "all", "none", "one") + "(split(" + g.text(d) + `, ` + g.Pick(`":"`, `"1"`) + "), " + g.element() + ")"
	case 0, 1:
		return "(" + g.Boolean(d) + g.Pick(" && ", " and ") + g.Boolean(d) + ")"
	case 2, 3:
		return "(" + g.Boolean(d) + g.Pick(" || ", " or ") + g.Boolean(d) + ")"
	case 4:
		return g.Pick("!", "not ") + "(" + g.Boolean(d) + ")"
	case 5:
		return g.text(d) + g.Pick(" == ", " != ", " < ", " <= ", " > ", " >= ") + g.text(d)
	case 6:
		return g.integer(d) + g.Pick(" == ", " != ", " < ", " <= ", " > ", " >= ") + g.integer(d)
	case 7:
		return g.number(d) + g.Pick(" == ", " != ", " < ", " <= ", " > ", " >= ") + g.number(d)
	case 8:
		return g.text(d) + g.Pick(" startsWith ", " endsWith ", " contains ", " not contains ") + g.text(d)
	case 9:
		return g.text(d) + g.Pick(" matches ", " not matches ") + g.Pick(`"^a"`, `"a.*b$"`, `"[0-9]+"`, `"(a|b):"`)
	case 10:
		return g.text(d) + g.Pick(" in ", " not in ") + g.Pick(`["a", "SET", ""]`, "lists.skus", "args", `["a","b","c","d","e","f","g","h","i","SET"]`)
	case 11:
		return g.Pick(g.integer(d), g.number(d), `json(`+g.text(d)+`, "a.0")`) + g.Pick(" in ", " not in ") +
			g.Pick("[0, 1, -1]", "lists.dbs", "lists.prices", "lists.none", "0..3", "[5, 2.5, 9007199254740993]", "["+g.number(d)+", 1, "+g.integer(d)+"]")
	case 12:
		if g.Rng.IntN(4) == 0 {
			return g.Pick("any", "all", "none", "one") + "(" + g.Pick("lists.prices", "lists.dbs") + ", " + g.Pick("# > 2", "# == num(arg(0))", "# + db == 5", "num(#) < num(arg(1))") + ")"
		}
		return g.Pick("any", "all", "none", "one") + "(" + g.Pick("args", "lists.skus") + ", " + g.element() + ")"
	case 13:
		return "(" + g.Boolean(d) + g.Pick(" ? "+g.Boolean(d)+" : ", " ?? ") + g.Boolean(d) + ")"
	case 14:
		return g.Pick(`glob(`+g.text(d)+`, "a*[0-9]")`, `cidr(`+g.text(d)+`, "10.0.0.0/8")`, `has(params, "x")`, `"x" in params`)
	case 15:
		return g.Pick("macros.prod", "macros.deep")
	case 16:
		return `json(` + g.text(d) + `, ` + g.Pick(`"a"`, `"a.0"`, `""`) + `)` + g.Pick(" == ", " != ") +
			g.Pick(`"x"`, "1", "1.5", "true", "nil", "9007199254740993", g.number(d), g.integer(d), `json(arg(0), "a.0")`, "("+g.Boolean(d)+" ? 1 : 2.5)")
	case 17:
		if g.Rng.IntN(4) == 0 {
			return "(json(" + g.text(d) + `, "a") ?? ` + g.text(d) + ") == " + g.text(d)
		}
		return g.Pick(`command == "SET"`, `command == "XGROUP CREATE"`, `event == "set"`, `type in ["string", "hash"]`, `params.x == "7"`, `args[1] == "5"`, `origin == "stream"`)
	case 18:
		return "(" + g.Boolean(d) + ")" + g.Pick(" == ", " != ") + "(" + g.Boolean(d) + ")"
	}
	return g.Boolean(0)
}

func (g *Generator) element() string {
	return g.Pick(`# == "a"`, `# startsWith "1"`, "len(#) > 1", `num(#) > 2`, `# in lists.skus`, "int(#) > 3", `key endsWith #`, `# contains arg(1)`, `# == params.x && db == 0`, `!(num(#) > 2)`, `num(#) in lists.prices || # == "a"`, `num(#) != num(arg(0))`, `# + "x" == "5x"`, `replace(#, "a", "bb") == "bb" || # + "a" == arg(0)`, `split(#, ".")[0] == "10"`, `string(num(#)) == #`)
}

func (g *Generator) text(depth int) string {
	if depth <= 0 {
		return g.Pick("key", "command", `"a"`, `""`, "event", `bin("\\xff")`, "type")
	}
	d := depth - 1
	switch g.Rng.IntN(13) {
	case 9:
		return "replace(" + g.text(d) + g.Pick(`, "a", "bb")`, `, "1", "")`, `, ":", ":")`, `, "7", "x:y")`)
	case 10:
		return "string(" + g.Pick(g.text(d), g.integer(d), g.number(d), g.Boolean(d), `json(`+g.text(d)+`, "a")`) + ")"
	case 11:
		return "split(" + g.text(d) + `, ":")[` + g.Pick("0", "1", "-1", g.integer(d)) + "]"
	case 0:
		return "args[" + g.integer(d) + "]"
	case 1:
		return "args[" + g.Pick("0", "1", "2", "-1") + "]"
	case 2:
		return "arg(" + g.integer(d) + ")"
	case 3:
		return g.text(d) + "[" + g.Pick("", g.integer(d)) + ":" + g.Pick("", g.integer(d)) + "]"
	case 4:
		return g.Pick("lower", "upper", "trim") + "(" + g.text(d) + ")"
	case 5:
		return g.Pick("trimPrefix", "trimSuffix") + "(" + g.text(d) + ", " + g.text(d) + ")" + g.Pick("", ` | trim("a:")`)
	case 6:
		return "params." + g.Pick("x", "y")
	case 7:
		return "(" + g.Boolean(d) + " ? " + g.text(d) + " : " + g.text(d) + ")"
	case 8:
		return g.Pick("tx.id", "origin", "cause", "("+g.text(d)+" + "+g.text(d)+")", "("+g.text(d)+" + "+g.text(0)+" + ("+g.text(d)+` + "x"))`)
	}
	return g.text(0)
}

func (g *Generator) integer(depth int) string {
	if depth <= 0 {
		return g.Pick("0", "1", "2", "-1", "5", "db", "bytes", "offset", "tx.index", "part.index")
	}
	d := depth - 1
	switch g.Rng.IntN(9) {
	case 7:
		return g.Pick("9223372036854775807", "9007199254740993", "-9223372036854775807", "int("+g.number(d)+")", "("+g.Boolean(d)+" ? "+g.integer(d)+" : 1)")
	case 0:
		return "(" + g.integer(d) + g.Pick(" + ", " - ", " * ", " % ") + g.integer(d) + ")"
	case 1:
		return "len(" + g.Pick("args", g.text(d), "split("+g.text(d)+`, "1")`) + ")"
	case 2:
		return "size(" + g.text(d) + ")"
	case 3:
		return "int(" + g.Pick(g.text(d), g.integer(d), "7.9") + ")"
	case 4:
		return "count(args, " + g.element() + ")"
	case 5:
		return g.Pick("time.Hour()", "now().Weekday()", "time.Unix()", "tx.size", "part.size", "-db")
	case 6:
		return "abs(" + g.integer(d) + ")"
	}
	return g.integer(0)
}

func (g *Generator) number(depth int) string {
	if depth <= 0 {
		return g.Pick("1.5", "0.0", "2", "db", "num(arg(1))", "num(arg(0))", "9007199254740993", "9007199254740992.0", "9223372036854775808")
	}
	d := depth - 1
	switch g.Rng.IntN(9) {
	case 6:
		return "(" + g.number(d) + " ?? " + g.number(d) + ")"
	case 7:
		return g.Pick("abs", "floor", "ceil", "round", "int", "num") + "(" + g.number(d) + ")"
	case 8:
		return "num(" + g.Boolean(d) + " ? " + g.number(d) + " : " + g.integer(d) + ")"
	case 0:
		return "num(" + g.text(d) + ")"
	case 1:
		return "num(" + g.Pick(g.text(d), `json(`+g.text(d)+`, "a")`, g.integer(d)) + ", " + g.Pick("0", "-1", "2.5") + ")"
	case 2:
		return "(" + g.number(d) + g.Pick(" + ", " - ", " * ", " / ", " ** ") + g.number(d) + ")"
	case 3:
		return "float(" + g.Pick(g.text(d), g.integer(d)) + ")"
	case 4:
		return "-" + g.number(0)
	}
	return g.number(0)
}

// Event returns a random event, of those that conditions of a Generator tell
// apart.
func Event(rng *rand.Rand) *event.Event {
	pick := func(list ...string) string { return list[rng.IntN(len(list))] }
	ev := &event.Event{
		Name: pick("set", "del", "hset", "expired"), Origin: event.FromStream, Cause: event.CauseCommand, DB: rng.IntN(4),
		Key:  []byte(pick("a", "a:7", "a:8:x", "b:7", "test:1", "", "a\xff", "ab12", "b:x:y")),
		Type: pick("string", "hash", ""), Command: pick("SET", "DEL", "HSET", "XGROUP CREATE", ""),
		Time: time.Unix(1_700_000_000+int64(rng.IntN(1e6)), 0), Bytes: rng.IntN(100), Offset: int64(rng.IntN(1000)),
	}
	for range rng.IntN(4) {
		ev.Args = append(ev.Args, []byte(pick("a", "5", "7", "-1.5", "10.1.2.3", `{"a":[1,"x"]}`, `"x"`, "1", "\xff", " 5 ", "SET", "é", "9999999999999999999", "9007199254740993", "9223372036854775807", "-9223372036854775808", "9007199254740992.0", `{"a":[9007199254740993]}`, `{"a":2.5}`, "1e18", "9007199254740993.0")))
	}
	if rng.IntN(3) == 0 {
		ev.Tx = event.Tx{ID: "r:1", Index: rng.IntN(3), Size: 3}
	}
	if rng.IntN(3) == 0 {
		ev.Part = event.Part{Index: 1 + rng.IntN(3), Size: 3}
	}
	return ev
}

// ValueOf returns a random value of any type; sometimes one that is not known.
func ValueOf(rng *rand.Rand) event.Value {
	texts := []string{"9007199254740993", "2.5", "a", "5", "-1.5", "0", "", "paid", "x", "\xff", `{"a":"x"}`, "1", "5.0", "é"}
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
			if rng.IntN(4) == 0 {
				e.Score = float64(rng.Int64N(1 << 52)) // a place
			}
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

// Lookup returns random values of other keys, that of a key always the same.
func Lookup(rng *rand.Rand) func(db int, key []byte) event.Value {
	values := map[string]event.Value{}
	return func(_ int, key []byte) event.Value {
		v, ok := values[string(key)]
		if !ok {
			v = ValueOf(rng)
			values[string(key)] = v
		}
		return v
	}
}

// Value writes a condition about the values before and after.
func (g *Generator) Value() string {
	side := g.Pick("before", "after")
	if g.Rng.IntN(6) == 0 {
		side = g.Pick(`value("o:" + key)`, `value("o")`, `value("o:" + arg(0))`, `value(db == 0 ? "o:" + params.x : "o")`, `value("o:" + before)`)
	}
	field := g.Pick(`.f`, `.status`, `["a"]`, `["x"]`, `[0]`, `[-1]`, `[arg(0)]`, `[db]`)
	compare := g.Pick(" == ", " != ")
	order := g.Pick(" < ", " <= ", " > ", " >= ", " == ", " != ")
	text := g.text(1)
	switch g.Rng.IntN(36) {
	case 34:
		return `field("o:" + ` + g.Pick("key", "params.x", "after.f") + `, ` + g.Pick(`"f"`, `"status"`, "arg(0)") + ")" + compare + g.Pick("nil", `"5"`, `"paid"`, "after.f", text)
	case 35:
		return "num(" + `field("o:" + key, "f")` + g.Pick("", ", 1") + ")" + order + g.number(1)
	case 24:
		return "score(" + side + ", " + g.Pick(`"a"`, `"5"`, "arg(0)", "before.f") + ")" + g.Pick(" + 1", "", " ?? 0") + order + g.number(1)
	case 25:
		return "score(" + side + ", " + g.Pick(`"a"`, "arg(0)") + ")" + compare + "nil"
	case 26:
		return "crossed_score(" + g.Pick("0", "1", "0.5", "db", "num(arg(1))", "after.f", "before") + g.Pick("", ", 0", ", 5", ", num(arg(0))") + ")"
	case 27:
		return "differs(" + g.Pick(`"f"`, `"status"`, `"a"`, "arg(0)", "before.f") + ")"
	case 28:
		return "moved(" + g.Pick(`"f"`, `"status"`) + ", " + g.Pick(`{"paid": ["5", "x"], "5": "paid"}`, `{"": lists.skus, "5": ["", "x", "a", "-1.5"], "x": ""}`, `{"a": ["b"]}`) + ")"
	case 29:
		return g.Pick(`"a"`, "arg(0)", "before.f", `"5"`) + g.Pick(" in ", " not in ") + g.Pick("added", "removed")
	case 30:
		return "len(" + g.Pick("added", "removed") + ")" + order + g.Pick("0", "1", "2", "len(removed)")
	case 31:
		return g.Pick("any", "all", "none", "one") + "(" + g.Pick("added", "removed") + ", " + g.Pick(`# == "a"`, `# startsWith "p"`, "num(#) > 0", `# + "x" == "5x"`) + ")"
	case 32:
		return g.Pick("added", "removed") + "[" + g.Pick("0", "1", "-1") + "]" + compare + g.Pick(`"a"`, `"5"`, "was("+`"f")`, "arg(0)")
	case 33:
		return g.Pick(`was("f")`+compare+g.Pick("nil", `"5"`, "after.f"), `string(`+side+field+`) + "x" == "5x"`, side+field+` + "x" == "5x"`,
			"within("+side+`, "a", `+g.Pick("-179, -85", "db, 5", "num(arg(0)), -85.05")+", "+g.Pick("200", "20000", "num(arg(1))")+")",
			`[before.status, `+side+field+`] in lists.pairs`, `split(`+side+field+`, ".")[0] == "5"`)
	case 0:
		return side + compare + "nil"
	case 1:
		return side + compare + g.Pick(`"5"`, `"paid"`, `""`, "arg(1)", text)
	case 2:
		return side + compare + g.Pick("before", "after")
	case 3:
		return side + field + compare + g.Pick("nil", `"paid"`, `"5"`, "-0.5", "params.x", "before.f", "after.status", text)
	case 4:
		return "num(" + side + g.Pick("", field) + g.Pick("", ", 0", ", -1.5") + ")" + order + g.number(1)
	case 5:
		return "has(" + side + ", " + g.Pick(`"f"`, `"a"`, `"5"`, "arg(0)", "before.f") + ")"
	case 6:
		return g.Pick("size", "len") + "(" + side + ")" + order + g.integer(1)
	case 7:
		return "crossed(" + g.Pick("0", "1", "-1.5", "5", "db", "num(arg(1))", "after.f") + ")"
	case 8:
		return "changed_to(" + g.Pick(`"5"`, `"paid"`, `""`, "arg(1)", "before.f") + ")"
	case 9:
		return "became(" + g.Pick(`"f"`, `"status"`, "arg(0)") + ", " + g.Pick(`"paid"`, `"5"`, "arg(1)", "after.a") + ")"
	case 10:
		return side + g.Pick("", field) + g.Pick(" startsWith ", " endsWith ", " contains ") + g.Pick(`"p"`, `"5"`, "arg(1)", "after.f")
	case 11:
		return side + g.Pick("", field) + ` matches "^[0-9]+$"`
	case 12:
		return side + g.Pick("", field) + g.Pick(" in ", " not in ") + g.Pick(`["5", "paid"]`, "lists.skus", "lists.dbs", "args", "changed", `["5", arg(0)]`)
	case 13:
		return g.Pick(`"a"`, "arg(0)", "before.f") + g.Pick(" in ", " not in ") + g.Pick(side, "changed")
	case 14:
		return g.Pick("any", "all", "none", "one") + "(" + side + ", " + g.Pick(`# == "a"`, `# startsWith "p"`, "num(#.score) > 0", "!(num(#) > 1)", "num(#) in lists.prices", "num(#) == num(arg(0))", `#.id == "0-0"`, `.value == "5"`, `.field startsWith "s"`, `.member == arg(0)`, "# in lists.skus") + ")"
	case 15:
		return g.Pick("any", "all") + "(changed, " + g.Pick(`# == "f"`, `# startsWith "a"`, "size(#) > 1") + ") || len(changed) > 1"
	case 16:
		return "ttl" + order + g.Pick("-1", "-2", "1000", "db")
	case 17:
		return "json(" + side + g.Pick("", field) + `, "a") == "x"`
	case 18:
		return g.Pick("lower", "upper", "trim") + "(" + side + g.Pick("", field) + `) == "a"`
	case 19:
		return side + g.Pick("", field) + `[0:2] == "pa"`
	case 20:
		return "glob(" + side + g.Pick("", field) + `, "p*")`
	case 21:
		return "int(" + side + g.Pick("", field) + ") > 1"
	case 22:
		return `"5"` + compare + side + g.Pick("", field)
	}
	return "size(" + side + field + ")" + order + "2"
}
