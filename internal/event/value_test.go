package event_test

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"triggerd/internal/event"
)

func TestCloneValue(t *testing.T) {
	pairs := []event.Element{{Name: "b", Value: "2"}, {Name: "a", Value: "1"}}
	var many []event.Element
	for i := range 100 {
		many = append(many, event.Element{Name: strings.Repeat("m", i+1), Score: float64(i)})
	}
	for name, test := range map[string]struct {
		value event.Value
		limit int
		json  string
		cut   bool
	}{
		"not known":         {nil, 9, `null`, false},
		"not there":         {event.None, 9, `null`, false},
		"string":            {event.String([]byte("abc")), 3, `"abc"`, false},
		"cut string":        {event.String([]byte("abcd")), 3, `"abc"`, true},
		"cut in a rune":     {event.String([]byte("aключ")), 4, `"aк"`, true},
		"not text":          {event.String([]byte("\xff\xfe")), 4, `{"$base64":"//4="}`, false},
		"nothing kept":      {event.String([]byte("abcd")), -1, `""`, true},
		"sorted hash":       {event.Elements("hash", pairs), 100, `{"a":"1","b":"2"}`, false},
		"a hash cut":        {event.Elements("hash", pairs), 20, `{"b":"2"}`, true},
		"a field not text":  {event.Elements("hash", []event.Element{{Name: "\xff", Value: "v"}}), 100, `[[{"$base64":"/w=="},"v"]]`, false},
		"list in its order": {event.Elements("list", pairs), 100, `["b","a"]`, false},
		"sorted set":        {event.Elements("set", pairs), 100, `["a","b"]`, false},
		"scores": {event.Elements("zset", []event.Element{{Name: "n", Score: math.Inf(-1)}, {Name: "a", Score: 1.5}, {Name: "b", Score: 3e20}}), 100,
			`[["n","-inf"],["a",1.5],["b",3e+20]]`, false},
		"entries": {event.Elements("stream", []event.Element{{Name: "1-2", Fields: []string{"f", "v", "f", "\xff"}}}), 100,
			`[["1-2",["f","v","f",{"$base64":"/w=="}]]]`, false},
		"empty stream": {event.Elements("stream", nil), 0, `[]`, false},
		"many":         {event.Elements("zset", many), 10, `[]`, true},
	} {
		t.Run(name, func(t *testing.T) {
			got := event.CloneValue(test.value, test.limit)
			e := every()
			e.After = got
			var out struct {
				Data struct {
					After     json.RawMessage
					Truncated bool
					Unknown   []string
				}
			}
			line := event.AppendJSON(nil, e, delivery)
			if err := json.Unmarshal(line, &out); err != nil {
				t.Fatalf("%v in %s", err, line)
			}
			if string(out.Data.After) != test.json || out.Data.Truncated != test.cut {
				t.Errorf("got %s, truncated %t, want %s, %t", out.Data.After, out.Data.Truncated, test.json, test.cut)
			}
			if unknown := slices.Contains(out.Data.Unknown, "after"); unknown != (test.value == nil) {
				t.Errorf("unknown %q", out.Data.Unknown)
			}
			if test.value != nil && (got.Type() != test.value.Type() || got.Len() != test.value.Len()) {
				t.Errorf("%s of length %d became %s of length %d", test.value.Type(), test.value.Len(), got.Type(), got.Len())
			}
		})
	}
}

func TestCloneOwnsItsBytes(t *testing.T) {
	text, name, items := []byte("value"), []byte("field"), []event.Element{{Name: "1-1", Fields: []string{"f", "v"}}}
	e := every()
	e.Before, e.After, e.Changed, e.TTL = event.String(text), event.Elements("stream", items), [][]byte{name}, 5
	c := e.Clone()
	text[0], name[0], items[0].Fields[0] = 'X', 'X', "X"
	after := slices.Collect(c.After.All())
	if string(c.Before.Bytes()) != "value" || string(c.Changed[0]) != "field" || after[0].Fields[0] != "f" || c.TTL != 5 {
		t.Errorf("the copy became %q, %q, %v", c.Before.Bytes(), c.Changed, after)
	}
}

func TestGet(t *testing.T) {
	for _, n := range []int{1, 1000} { // searched, looked up
		var elements []event.Element
		for i := range n {
			elements = append(elements, event.Element{Name: strings.Repeat("x", i), Value: "v", Score: 2.5})
		}
		for typ, want := range map[string]string{"hash": "v", "zset": "2.5", "set": strings.Repeat("x", n-1)} {
			v := event.Elements(typ, elements)
			if got, ok := v.Get([]byte(strings.Repeat("x", n-1))); !ok || string(got) != want {
				t.Errorf("%s: got %q, %t, want %q", typ, got, ok, want)
			}
			if got, ok := v.Get([]byte("y")); ok {
				t.Errorf("%s: found %q", typ, got)
			}
		}
		if got, ok := event.Elements("list", elements).Get([]byte("")); ok {
			t.Errorf("a list has no names, got %q", got)
		}
	}
}

func TestAppendScore(t *testing.T) {
	for want, score := range map[string]float64{
		"0": 0, "3": 3, "-1.5": -1.5, "inf": math.Inf(1), "-inf": math.Inf(-1), "3479099943497504": 3479099943497504,
		"1e+300": 1e300, "0.1": 0.1,
	} {
		if got := string(event.AppendScore(nil, score)); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

// FuzzValueJSON: a value's JSON is JSON whatever its bytes are, and says how
// many elements it has.
func FuzzValueJSON(f *testing.F) {
	f.Add("hash", "f", "v", "g", 1.5, 100)
	f.Add("zset", "\xff", "", "", math.Inf(1), 1)
	f.Add("string", "\xed\xa0\x80", "x", "", 0.0, 2)
	f.Fuzz(func(t *testing.T, typ, a, b, c string, score float64, limit int) {
		var v event.Value
		switch typ {
		case "string":
			v = event.String([]byte(a + b))
		case "list", "set", "zset", "hash", "stream":
			if a == c || score != score {
				return
			}
			v = event.Elements(typ, []event.Element{{Name: a, Value: b, Score: score, Fields: []string{b, c}}, {Name: c, Value: a}})
		}
		e := every()
		e.Before = event.CloneValue(v, limit%1000)
		line := event.AppendJSON(nil, e, delivery)
		var out struct{ Data struct{ Before any } }
		if err := json.Unmarshal(line, &out); err != nil {
			t.Fatalf("%v in %s", err, line)
		}
		n := -1
		switch got := out.Data.Before.(type) {
		case []any:
			n = len(got)
		case map[string]any:
			n = len(got)
		}
		if v != nil && typ != "string" && (n > 2 || n < 2 && !e.Before.Truncated()) {
			t.Fatalf("%d elements in %s", n, line)
		}
	})
}

// TestCloneKeeping: elements that are named are there, though others are cut.
func TestCloneKeeping(t *testing.T) {
	var fields, members []event.Element
	for i := range 1000 {
		fields = append(fields, event.Element{Name: fmt.Sprint("f", i), Value: strings.Repeat("x", 100)})
		members = append(members, event.Element{Name: fmt.Sprint("m", i), Score: float64(i) + 0.5})
	}
	names := []string{"f1", "f999", "m998", "nothing"}
	hash := event.CloneKeeping(event.Elements("hash", fields), 1000, names)
	if text, ok := hash.Get([]byte("f999")); !ok || len(text) != 100 || !hash.Truncated() || hash.Len() != 1000 {
		t.Errorf("got %q, %v of %d", text, ok, hash.Len())
	}
	n := 0
	for range hash.All() {
		n++
	}
	if n != 9 { // eight fit, one is kept, and f1 is there once
		t.Errorf("%d elements", n)
	}
	zset := event.CloneKeeping(event.Elements("zset", members), 1000, names)
	if text, ok := zset.Get([]byte("m998")); !ok || string(text) != "998.5" {
		t.Errorf("got %q, %v", text, ok)
	}
	if v := event.CloneKeeping(nil, 10, names); v != nil {
		t.Errorf("nothing became %v", v)
	}
	if v := event.CloneKeeping(event.String([]byte("text")), 2, names); string(v.Bytes()) != "te" {
		t.Errorf("a string became %q", v.Bytes())
	}
}
