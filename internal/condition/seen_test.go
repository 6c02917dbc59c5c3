package condition_test

import (
	"strings"
	"testing"

	"triggerd/internal/condition"
	"triggerd/internal/event"
	"triggerd/internal/glob"
)

func TestSeen(t *testing.T) {
	pattern, err := glob.ParseKey("stock:{sku}")
	if err != nil {
		t.Fatal(err)
	}
	captures := condition.NewCaptures([]*glob.Pattern{pattern}, nil)
	c := condition.NewCompiler(condition.Config{Lists: map[string]any{"skus": []string{"7"}}, Macros: map[string]string{"low": "num(after) < 5"}})
	ev := &event.Event{
		Name: "set", Command: "SET", Key: []byte("stock:7"), Args: [][]byte{[]byte("stock:7"), []byte(`{"a":1}`)},
		Before: event.None, After: event.String([]byte("5\xff")), Changed: [][]byte{[]byte("f")},
	}
	for _, test := range []struct{ src, want string }{
		{`num(before) > 0`, "num(before) = no number"},
		{`params.sku in lists.skus && not (event == "del")`, `params.sku = "7"; event = "set"`},
		{`json(arg(1), "a") == 1`, `json(arg(1), "a") = 1`},
		{`crossed(5)`, `before = nothing; after = {"$base64":"Nf8="}`},
		{`glob(key, "x*") || len(args) + db > 2`, `key = "stock:7"; len(args) = 2; db = 0`},
		{`any(args, # == "NX")`, `args = ["stock:7","{\"a\":1}"]`},
		{`macros.low`, ""},
		{`args[9] == "x" || db == 3`, "db = 0"},
		{`before == nil ? db == 1 : db == 2`, "before = nothing; db = 0"},
	} {
		var got []string
		for _, s := range c.Seen(test.src, captures, ev, nil) {
			got = append(got, s.Source+" = "+s.Value)
		}
		if text := strings.Join(got, "; "); text != test.want {
			t.Errorf("%s: got %s, want %s", test.src, text, test.want)
		}
	}
}
