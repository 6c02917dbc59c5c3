package tmpl

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"triggerd/internal/event"
	"triggerd/internal/firing"
)

// TestOtherKeys: which keys a template asks for is known without rendering it,
// and it gets what was read of them.
func TestOtherKeys(t *testing.T) {
	f := &firing.Firing{Params: map[string]string{"id": "7"}, Event: &event.Event{
		Key: []byte("use:7"), Args: [][]byte{[]byte("use:7"), []byte("9")}, DB: 3, Before: event.None,
		After: event.Elements("hash", []event.Element{{Name: "owner", Value: "ann"}}),
	}}
	f.Others = []firing.OtherKey{
		{Key: "limit:7", Value: event.String([]byte(`5"`))}, {Key: "user:ann", Value: event.Elements("hash", []event.Element{{Name: "email", Value: "a@b"}})},
		{Key: "unknown"}, {Key: "none", Value: event.None}, {Key: "board", Value: event.Elements("zset", []event.Element{{Name: "ann", Score: 12.5}})},
		{Key: "x:9:3", Value: event.Elements("list", []event.Element{{Name: "a"}, {Name: "b"}})},
	}
	for _, test := range []struct {
		template, want string
		keys           string // and what is kept
	}{
		{`{{value "limit:" .params.id}}`, `5"`, "limit:7 limit:*"},
		{`{{field "user:" .after.owner "email"}}`, "a@b", "user:ann user:*"},
		{`{{field "board" "ann"}} {{field "board" "bob"}}{{field "limit:7" "x"}}`, "12.5 ", "board board board board limit:7 limit:7"},
		{`{{value "unknown"}}{{value "none"}}{{if value "none"}}x{{end}}{{if not (value "unknown")}}y{{end}}`, "y", "unknown unknown none none none none unknown unknown"},
		{`{{range value "x:" (index .args 1) ":" $.db}}<{{.}}>{{end}}`, "<a><b>", "x:9:3 x:*:*"},
		{`{{range value "limit:" .params.id}}x{{else}}none{{end}}`, "none", "limit:7 limit:*"},
		{`{{with .params}}{{value "limit:" $.params.id | len}}{{end}}`, "2", "limit:7 limit:*"},
		{`{{with .}}{{value "limit:" .params.id}}{{end}}`, `5"`, "limit:7 limit:*"},
		{`{{default "no" (value "limit:" .before.x)}}`, "no", "limit: limit:*"},
		{`{{define "x"}}{{value "limit:" $.params.id}}{{end}}{{json (value "limit:" (index .params "id"))}}`, `"5\""`, "limit:7 limit:7 limit:* limit:*"},
		{`{{(index (value "x:" (index .args 1) ":3") 1)}}`, "b", "x:9:3 x:*:3"},
	} {
		x, err := New(test.template)
		if err != nil {
			t.Errorf("%s: %v", test.template, err)
			continue
		}
		got, err := x.Render(t.Context(), NewView(f), MaxText)
		if got != test.want || err != nil {
			t.Errorf("%s: %q %v, want %q", test.template, got, err, test.want)
		}
		keys := x.OtherKeys(NewView(f))
		var globs []string
		for _, pieces := range x.KeyPieces() {
			globs = append(globs, strings.Join(pieces, "*"))
		}
		all := slices.Sorted(slices.Values(strings.Fields(test.keys)))
		if told := slices.Sorted(slices.Values(append(keys, globs...))); !slices.Equal(told, all) {
			t.Errorf("%s: keys %q, want %q", test.template, told, all)
		}
	}
	x, err := NewJSON(`{"limit": {{value "limit:" .params.id}}, "in": "{{value "limit:" .params.id}}", "user": {{value "user:ann"}}, "none": {{value "none"}}}`)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := x.Render(t.Context(), NewView(f), MaxText); got != `{"limit": "5\"", "in": "5\"", "user": {"email":"a@b"}, "none": null}` || err != nil {
		t.Errorf("%s %v", got, err)
	}
	if x, _ := New(`{{field "user:" .params.id "email"}}`); !slices.Contains(x.Elements(), "email") {
		t.Errorf("elements %q", x.Elements())
	}
}

// TestKeysThatAreMistakes: a key that cannot be told beforehand is a mistake.
func TestKeysThatAreMistakes(t *testing.T) {
	for template, want := range map[string]string{
		`{{value .key}}`:                                             "of any key at all",
		`{{field .params.id "x"}}`:                                   "of any key at all",
		`{{value}}`:                                                  "the parts of a key's name",
		`{{field "x"}}`:                                              "the parts of a key's name",
		`{{field "x" .key}}`:                                         "the last argument is the name of a field",
		`{{.key | value "x:"}}`:                                      "the parts of a key's name",
		`{{value "x:" (upper .key)}}`:                                "the parts of a key's name",
		`{{value "x:" .attempt}}`:                                    "the parts of a key's name",
		`{{value "x:" .id}}`:                                         "the parts of a key's name",
		`{{with .params}}{{value "x:" .id}}{{end}}`:                  "the parts of a key's name",
		`{{range .args}}{{value "x:" .}}{{end}}`:                     "the parts of a key's name",
		`{{$k := .key}}{{value "x:" $k}}`:                            "the parts of a key's name",
		`{{if eq (value .key) "x"}}{{end}}`:                          "of any key at all",
		`{{value "x:" (index .args .db)}}`:                           "the parts of a key's name",
		`{{define "t"}}{{value "x:" .key}}{{end}}{{template "t" .}}`: "the parts of a key's name",
	} {
		if _, err := New(template); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", template, err, want)
		}
	}
}

// TestOtherKeysAreBounded: a long name of a key, and many calls, end as all else.
func TestOtherKeysAreBounded(t *testing.T) {
	long := strings.Repeat("x", maxKeyName)
	f := &firing.Firing{Event: &event.Event{Key: []byte(long), Args: [][]byte{[]byte(long)}}}
	x, err := New(`{{value "a" .key}}`)
	if err != nil {
		t.Fatal(err)
	}
	if keys := x.OtherKeys(NewView(f)); keys != nil {
		t.Errorf("%d keys", len(keys))
	}
	if _, err := x.Render(t.Context(), NewView(f), MaxText); err == nil || !strings.Contains(err.Error(), "the name of a key") {
		t.Error(err)
	}
	many, err := New(fmt.Sprint(`{{range .args}}{{range $.args}}`, strings.Repeat(`{{value "a" $.key}}`, 3), `{{end}}{{end}}`))
	if err != nil {
		t.Fatal(err)
	}
	f.Event.Key = []byte(long[:1000])
	f.Event.Args = make([][]byte, 2000)
	if _, err := many.Render(t.Context(), NewView(f), MaxText); err == nil {
		t.Error("12 million lookups are made")
	}
}
