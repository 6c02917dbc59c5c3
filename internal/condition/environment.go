package condition

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/netip"
	"reflect"
	"strconv"
	"strings"
	"time"
	"unsafe"

	"github.com/expr-lang/expr/builtin"

	"triggerd/internal/glob"
)

// environment is what a condition sees of an event: the variables and their
// types. Its strings are the event's bytes, borrowed.
type environment struct {
	Key     string            `expr:"key"`
	Command string            `expr:"command"`
	Args    []string          `expr:"args"`
	DB      int               `expr:"db"`
	Event   string            `expr:"event"`
	Type    string            `expr:"type"`
	Params  map[string]string `expr:"params"`
	Bytes   int               `expr:"bytes"`
	Time    time.Time         `expr:"time"`
	Offset  int               `expr:"offset"`
	Tx      transaction       `expr:"tx"`
	Part    part              `expr:"part"`
	Origin  string            `expr:"origin"`
	Cause   string            `expr:"cause"`
	Before  *side             `expr:"before"`
	After   *side             `expr:"after"`
	Changed []string          `expr:"changed"`
	TTL     int               `expr:"ttl"`
	Keys    *otherKeys        `expr:"keys."`

	scope *scope // that of the evaluator
}

// transaction is event.Tx as a condition sees it.
type transaction struct {
	ID    string `expr:"id"`
	Index int    `expr:"index"`
	Size  int    `expr:"size"`
}

// part is event.Part as a condition sees it.
type part struct {
	Index int `expr:"index"`
	Size  int `expr:"size"`
}

// set fills in everything but Params.
func (e *environment) set(s *scope) {
	ev := s.ev
	args := appendTexts(e.Args[:0], ev.Args)
	changed := appendTexts(e.Changed[:0], ev.Changed)
	before, after := e.Before, e.After
	if before == nil {
		before, after = new(side), new(side)
	}
	*before, *after = s.before(), s.after()
	*e = environment{
		Key: text(ev.Key), Command: ev.Command, Args: args, DB: ev.DB, Event: ev.Name, Type: ev.Type,
		Bytes: ev.Bytes, Time: ev.Time.UTC(), Offset: int(ev.Offset), Origin: string(ev.Origin), Cause: string(ev.Cause),
		Tx:     transaction{ev.Tx.ID, ev.Tx.Index, ev.Tx.Size},
		Part:   part(ev.Part),
		Before: before, After: after, Changed: changed, TTL: int(ev.TTL), Keys: &otherKeys{s}, scope: s,
	}
}

func appendTexts(dst []string, list [][]byte) []string {
	for _, b := range list {
		dst = append(dst, text(b))
	}
	return dst
}

// text returns b's bytes as a string without a copy: only for use while the
// event that owns them is borrowed.
func text(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

// bytesOf is text backwards: the bytes of s without a copy, to be read only.
func bytesOf(s string) []byte { return unsafe.Slice(unsafe.StringData(s), len(s)) }

// variables are the names of the environment, for suggestions and checks.
var variables = func() map[string]bool {
	names := map[string]bool{}
	for f := range reflect.TypeFor[environment]().Fields() {
		if name := f.Tag.Get("expr"); f.IsExported() && name != keysName {
			names[name] = true
		}
	}
	for name := range changeLists {
		names[name] = true
	}
	return names
}()

// changeLists are the names that become calls of functions of both sides.
var changeLists = map[string]string{"added": "value.added", "removed": "value.removed"}

// helpers are the functions that a condition may call as it is written; the
// values are how many arguments they take. They are listed apart from
// functions because some are replaced when the condition is compiled.
var helpers = map[string][2]int{
	"num": {1, 2}, "arg": {1, 1}, "json": {2, 2}, "has": {2, 2}, "glob": {2, 2}, "cidr": {2, 2}, "size": {1, 1}, "bin": {1, 1}, "now": {0, 0},
	"crossed": {1, 1}, "changed_to": {1, 1}, "became": {2, 2},
	"score": {2, 2}, "crossed_score": {1, 2}, "differs": {1, 1}, "was": {1, 1}, "moved": {2, 2}, "within": {5, 5},
	"value": {1, 1}, "field": {2, 2},
	"split": {2, 2}, "replace": {3, 3}, "string": {1, 1},
}

// builtins are those of expr that a condition may use: what they cost is
// linear in the event, and predicates may not hold predicates.
var builtins = map[string]bool{
	"len": true, "lower": true, "upper": true, "trim": true, "trimPrefix": true, "trimSuffix": true,
	"int": true, "float": true, "abs": true, "ceil": true, "floor": true, "round": true,
	"all": true, "any": true, "none": true, "one": true, "count": true,
}

// timeParts are the methods of time that a condition may call; UTC, like time.
var timeParts = map[string]func(time.Time) int{
	"Year":      time.Time.Year,
	"Month":     func(t time.Time) int { return int(t.Month()) },
	"Day":       time.Time.Day,
	"YearDay":   time.Time.YearDay,
	"Weekday":   func(t time.Time) int { return int(t.Weekday()) },
	"Hour":      time.Time.Hour,
	"Minute":    time.Time.Minute,
	"Second":    time.Time.Second,
	"Unix":      func(t time.Time) int { return int(t.Unix()) },
	"UnixMilli": func(t time.Time) int { return int(t.UnixMilli()) },
}

// functions are what the helpers become once their arguments are checked:
// constants are compiled, and the event is passed where it is needed.
func functions() []*builtin.Function {
	fns := []*builtin.Function{
		function("num", func(p ...any) (any, error) {
			n := numberFrom(p[0])
			if len(p) == 2 {
				n = n.or(numberFrom(p[1]))
			}
			return n.boxed(), nil
		}, new(func(any) float64), new(func(any, int) float64), new(func(any, float64) float64)),
		function("arg", func(p ...any) (any, error) { return argument(p[0].([]string), p[1].(int)), nil }, new(func([]string, int) string)),
		function("json", func(p ...any) (any, error) { return jsonAt(p[0].(string), p[1].(jsonPath)) }, new(func(string, jsonPath) any)),
		function("has", func(p ...any) (any, error) { _, ok := p[0].(map[string]string)[p[1].(string)]; return ok, nil },
			new(func(map[string]string, string) bool)),
		function("glob", func(p ...any) (any, error) { return p[1].(*glob.Pattern).Match(bytesOf(p[0].(string))), nil }, new(func(string, *glob.Pattern) bool)),
		function("cidr", func(p ...any) (any, error) { return inPrefix(p[0].(string), p[1].(netip.Prefix)), nil }, new(func(string, netip.Prefix) bool)),
		function("size", func(p ...any) (any, error) { return len(p[0].(string)), nil }, new(func(string) int)),
	}
	fns = append(fns, valueFunctions()...)
	fns = append(fns, memberFunctions()...)
	fns = append(fns, textFunctions()...)
	fns = append(fns, loweredFunctions()...)
	for name, part := range timeParts {
		fns = append(fns, function("time."+name, func(p ...any) (any, error) { return part(p[0].(time.Time)), nil }, new(func(time.Time) int)))
	}
	return fns
}

// valueFunctions are what before, after, ttl and their helpers become.
func valueFunctions() []*builtin.Function {
	return []*builtin.Function{
		function("value.whole", func(p ...any) (any, error) { return p[0].(*side).materialise() }, new(func(*side) any)),
		function("key.value", func(p ...any) (any, error) { return p[0].(*otherKeys).side(p[1].(string)), nil }, new(func(*otherKeys, string) *side)),
		function("value.elements", func(p ...any) (any, error) { return p[0].(*side).elements() }, new(func(*side) any)),
		function("value.at", func(p ...any) (any, error) { return p[0].(*side).at(p[1]) }, new(func(*side, any) any)),
		function("value.has", func(p ...any) (any, error) { return p[0].(*side).has(p[1].(string), nil) }, new(func(*side, string) bool)),
		function("value.size", func(p ...any) (any, error) { return p[0].(*side).size() }, new(func(*side) int)),
		function("value.len", func(p ...any) (any, error) { return p[0].(*side).length() }, new(func(*side) int)),
		function("value.num", func(p ...any) (any, error) {
			n, err := p[0].(*side).number()
			if len(p) == 2 {
				n = n.or(numberFrom(p[1]))
			}
			return n.boxed(), err
		}, new(func(*side) float64), new(func(*side, int) float64), new(func(*side, float64) float64)),
		function("value.text", func(p ...any) (any, error) {
			if s, ok := p[0].(*side); ok {
				return s.text()
			}
			return textOf(p[0])
		}, new(func(any) string)),
		function("value.in", func(p ...any) (any, error) { return inTexts(p[0], p[1]), nil }, new(func(any, any) bool)),
		function("value.ttl", func(p ...any) (any, error) { return ttlOf(p[0].(int)) }, new(func(int) int)),
		function("value.crossed", func(p ...any) (any, error) {
			t, err := crossedSides(p[0].(*side), p[1].(*side), numberFrom(p[2]))
			return t.boxed(), err
		}, new(func(*side, *side, int) bool), new(func(*side, *side, float64) bool)),
		function("value.changed_to", func(p ...any) (any, error) { return changedTo(p[0].(*side), p[1].(*side), p[2].(string)) },
			new(func(*side, *side, string) bool)),
		function("value.became", func(p ...any) (any, error) {
			return became(p[0].(*side), p[1].(*side), p[2].(string), p[3].(string))
		}, new(func(*side, *side, string, string) bool)),
	}
}

// memberFunctions are what score, added and the like become.
func memberFunctions() []*builtin.Function {
	return []*builtin.Function{
		function("value.score", func(p ...any) (any, error) {
			n, err := p[0].(*side).score(p[1].(string))
			return n.boxed(), err
		}, new(func(*side, string) float64)),
		function("value.has_score", func(p ...any) (any, error) { return p[0].(*side).hasScore(p[1].(string)) }, new(func(*side, string) bool)),
		function("value.within", func(p ...any) (any, error) {
			t, err := p[0].(*side).within(p[1].(string), numberFrom(p[2]), numberFrom(p[3]), numberFrom(p[4]))
			return t.boxed(), err
		}, new(func(*side, string, float64, float64, float64) bool)),
		function("value.crossed_score", func(p ...any) (any, error) {
			numbers := make([]number, 0, 2)
			for _, x := range p[2:] {
				numbers = append(numbers, numberFrom(x))
			}
			t, err := crossedScore(p[0].(*side), p[1].(*side), numbers...)
			return t.boxed(), err
		}, new(func(*side, *side, float64) bool), new(func(*side, *side, float64, float64) bool)),
		function("value.differs", func(p ...any) (any, error) { return differs(p[0].(*side), p[1].(*side), p[2].(string)) },
			new(func(*side, *side, string) bool)),
		function("value.moved", func(p ...any) (any, error) {
			return moved(p[0].(*side), p[1].(*side), p[2].(string), p[3].(moves))
		}, new(func(*side, *side, string, moves) bool)),
		function("value.added", func(p ...any) (any, error) { return addedTo(p[0].(*side), p[1].(*side)) }, new(func(*side, *side) []string)),
		function("value.removed", func(p ...any) (any, error) { return removedFrom(p[0].(*side), p[1].(*side)) }, new(func(*side, *side) []string)),
	}
}

// textFunctions are what makes text, and takes it to pieces.
func textFunctions() []*builtin.Function {
	return []*builtin.Function{
		function("text.split", func(p ...any) (any, error) { return splitText(p[0].(string), p[1].(string)) }, new(func(string, string) []string)),
		function("text.replace", func(p ...any) (any, error) { return replaceText(p[0].(string), p[1].(string), p[2].(string)) },
			new(func(string, string, string) string)),
		function("text.string", func(p ...any) (any, error) { return stringOf(p[0]) }, new(func(any) string)),
		function("list.has", func(p ...any) (any, error) { return p[1].(*rows).has(p[0].([]any)), nil }, new(func(any, *rows) bool)),
	}
}

func function(name string, fn func(...any) (any, error), types ...any) *builtin.Function {
	f := &builtin.Function{Name: name, Func: fn}
	for _, t := range types {
		f.Types = append(f.Types, reflect.TypeOf(t).Elem())
	}
	return f
}

// argument is arg(i): "" where there is no such argument.
func argument(args []string, i int) string {
	if i < 0 || i >= len(args) {
		return ""
	}
	return args[i]
}

func inPrefix(ip string, p netip.Prefix) bool {
	a, err := netip.ParseAddr(ip)
	return err == nil && p.Contains(a.Unmap())
}

// jsonPath is a compiled path of json(x, "a.b.0").
type jsonPath []string

// maxJSON bounds the text that json() looks into.
const maxJSON = 1 << 20

// jsonAt is json(x, path): a string, a number (int, float64), a bool; an object or
// a list as its JSON text; nil where the path leads nowhere or s is not JSON.
func jsonAt(s string, path jsonPath) (any, error) {
	if len(s) > maxJSON {
		return nil, fmt.Errorf("json() of a text of %d bytes; at most %d are read", len(s), maxJSON)
	}
	dec := json.NewDecoder(strings.NewReader(s))
	for _, step := range path {
		if !jsonStep(dec, step) {
			return nil, nil
		}
	}
	var raw json.RawMessage
	if dec.Decode(&raw) != nil {
		return nil, nil
	}
	if c := bytes.TrimLeft(raw, " \t\r\n"); len(c) > 0 && (c[0] == '{' || c[0] == '[') {
		return string(raw), nil
	}
	var v any
	dec = json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	if dec.Decode(&v) != nil {
		return nil, nil
	}
	if n, ok := v.(json.Number); ok {
		return jsonNumber(string(n)), nil
	}
	return v, nil
}

// jsonNumber returns a number of JSON; nil where it is beyond all numbers.
func jsonNumber(s string) any {
	if n := numberOf(s); !n.none() {
		return n.boxed()
	}
	if f, err := strconv.ParseFloat(s, 64); err == nil { // of more digits than num reads
		return f
	}
	return nil
}

// jsonStep moves dec from before an object or a list to before the member that
// step names.
func jsonStep(dec *json.Decoder, step string) bool {
	open, err := dec.Token()
	if err != nil || open != json.Delim('{') && open != json.Delim('[') {
		return false
	}
	var skipped json.RawMessage
	for i := 0; dec.More(); i++ {
		name := strconv.Itoa(i)
		if open == json.Delim('{') {
			t, err := dec.Token()
			if err != nil {
				return false
			}
			name, _ = t.(string)
		}
		if name == step {
			return true
		}
		if dec.Decode(&skipped) != nil {
			return false
		}
	}
	return false
}
