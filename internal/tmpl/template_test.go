package tmpl

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"triggerd/internal/event"
	"triggerd/internal/firing"
)

func TestTemplateFunctions(t *testing.T) {
	f := sampleFiring(map[string]string{"sku": "42", "bin": "\xff"})
	f.Event.Key = []byte("Kéy\xff\n")
	f.Event.Args = [][]byte{[]byte("a"), []byte("\xff")}
	for text, want := range map[string]string{
		"no template":                         "no template",
		"{{.key}}":                            "Kéy\xff\n",
		"{{json .key}}":                       `{"$base64":"S8Opef8K"}`,
		"{{json .args}}":                      `["a",{"$base64":"/w=="}]`,
		"{{json .params}}":                    `{"bin":{"$base64":"/w=="},"sku":"42"}`,
		"{{json .params.sku}}":                `"42"`,
		"{{json .db}} {{json .offset}}":       "0 851576",
		"{{json .time}} {{json true}}":        `"2025-11-23T09:00:00.000Z" true`,
		"{{b64 .key}}":                        "S8Opef8K",
		"{{text .key}}":                       `Kéy\xff\n`,
		"{{upper .event}} {{lower .command}}": "SET set",
		"{{pathescape .key}}":                 "K%C3%A9y%FF%0A",
		"{{.key | pathescape}}":               "K%C3%A9y%FF%0A",
		"{{urlquery \"a b/c\"}}":              "a+b%2Fc",
		"{{.time}} {{.time.Unix}}":            "2025-11-23T09:00:00.000Z 1763888400",
		"{{range .args}}<{{.}}>{{end}}":       "<a><\xff>",
		"{{len .args}} {{index .args 0}}":     "2 a",
		"{{upper .db}} {{.bytes}}":            "0 33",
		"{{.rule}} {{.action}} {{.attempt}} {{.type}} {{.origin}} {{.cause}}": "rule action 1 string stream command",
	} {
		x, err := New(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if got, err := x.Render(t.Context(), NewView(f), MaxText); err != nil || got != want {
			t.Errorf("%s: got %q, %v; want %q", text, got, err, want)
		}
	}
}

func TestTemplateJSONOfEverything(t *testing.T) {
	x, err := New("{{json .}}")
	if err != nil {
		t.Fatal(err)
	}
	got, err := x.Render(t.Context(), NewView(sampleFiring(nil)), MaxText)
	if err != nil {
		t.Fatal(err)
	}
	var m map[string]any
	if err := json.Unmarshal([]byte(got), &m); err != nil || m["key"] != "key" || m["offset"] != float64(851576) || m["before"] != "old" || len(m) != 34 {
		t.Errorf("got %s, %v", got, err)
	}
}

// TestTemplateNoKey: an event of the whole keyspace has the empty key.
func TestTemplateNoKey(t *testing.T) {
	x, err := New("[{{.key}}] {{.args}}")
	if err != nil {
		t.Fatal(err)
	}
	f := &firing.Firing{Event: &event.Event{Name: "flushall"}}
	if got, err := x.Render(t.Context(), NewView(f), MaxText); got != "[] []" || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestTemplateTiming(t *testing.T) {
	at := time.Unix(1763888400, 0)
	last := &event.Event{Name: "set", Key: []byte("k2"), Time: at}
	f := &firing.Firing{
		Event: last, Params: map[string]string{"sku": "2"},
		Timing: event.Timing{
			Status: "resolved", By: "web-1", Count: 2, First: at, Last: at.Add(time.Second), Suppressed: 3,
			Batch: []event.Item{
				{ID: "i1", Event: &event.Event{Name: "del", Key: []byte("k1\xff")}, Params: map[string]string{"sku": "1"}},
				{ID: "i2", Event: last, Params: map[string]string{"sku": "2"}},
			},
			Summary: []event.Line{{Rule: "r", Count: 5, Suppressed: 1, First: at, Last: at, Event: last}, {Rule: "idle"}},
		},
	}
	for text, want := range map[string]string{
		"{{.status}} {{.by}} {{.count}} {{.suppressed}}":                                           "resolved web-1 2 3",
		"{{.first}} {{.last.Unix}}":                                                                "2025-11-23T09:00:00.000Z 1763888401",
		"{{range .events}}{{.id}} {{.event}} {{.params.sku}};{{end}}":                              "i1 del 1;i2 set 2;",
		"{{len .events}} {{json (index .events 0).key}}":                                           `2 {"$base64":"azH/"}`,
		"{{range .summary}}{{.rule}} {{.count}} {{.suppressed}} {{.first}} {{.event.key}};{{end}}": "r 5 1 2025-11-23T09:00:00.000Z k2;idle 0 0  ;",
		"{{range .summary}}{{json .first}} {{end}}":                                                `"2025-11-23T09:00:00.000Z" null `,
	} {
		x, err := New(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if got, err := x.Render(t.Context(), NewView(f), MaxText); err != nil || got != want {
			t.Errorf("%s: got %q, %v; want %q", text, got, err, want)
		}
	}
	if _, err := New("{{range .events}}{{.kee}}{{end}}"); err == nil || !strings.Contains(err.Error(), `did you mean "key"`) {
		t.Errorf("a misspelt name in a batch: %v", err)
	}
	x, err := New("[{{.status}}{{.first}}{{range .events}}x{{end}}]{{.count}}")
	if err != nil {
		t.Fatal(err)
	}
	if got, err := x.Render(t.Context(), NewView(&firing.Firing{Event: last}), MaxText); got != "[]0" || err != nil {
		t.Errorf("an ordinary firing: %q, %v", got, err)
	}
}

// TestTemplateSample: the sample that all templates are tried on is the same
// after a template with parameters.
func TestTemplateSample(t *testing.T) {
	if _, err := New("{{.params.sku}}"); err != nil {
		t.Fatal(err)
	}
	if params := sampleData()["params"].(map[string]string); len(params) > 0 {
		t.Errorf("the sample has parameters of another template: %v", params)
	}
	x, err := New("{{json .params}}")
	if err != nil || x.sample != `{"params":"param"}` {
		t.Errorf("got %q, %v", x.sample, err)
	}
}

// TestTemplatesApart: what one template has in it, the next one has not.
func TestTemplatesApart(t *testing.T) {
	for _, tt := range []struct{ text, want string }{
		{"{{.key}}!", "key!"}, {"{{/* nothing */}}", ""}, {" {{- /* nothing */ -}} ", ""}, {"{{define `a`}}a{{end}}{{template `a`}}", "a"},
		{"{{define `b`}}b{{end}}", ""}, {"{{.key}}?", "key?"},
	} {
		x, err := New(tt.text)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := x.Render(t.Context(), NewView(sampleFiring(nil)), 100); err != nil || got != tt.want {
			t.Errorf("%s: %q, %v", tt.text, got, err)
		}
	}
	if _, err := New("{{template `a`}}"); err == nil {
		t.Error("another template's define is there")
	}
}

// FuzzTemplate: any template either is refused, or renders or errs for any
// key; it writes no more than its limit.
func FuzzTemplate(f *testing.F) {
	f.Add("{{.key}}", "k")
	f.Add("{{range .args}}{{json .}}{{end}}", "\xff")
	f.Add("{{with .params}}{{.x}}{{end}}{{define `a`}}{{.key}}{{end}}{{template `a` .}}", "k")
	f.Add("{{$x := .key}}{{$x | text | upper}}", "\n")
	f.Fuzz(func(t *testing.T, text, key string) {
		for _, parse := range []func(string) (*Template, error){New, NewURL} {
			x, err := parse(text)
			if err != nil {
				if !strings.HasPrefix(err.Error(), "template: ") {
					t.Fatalf("%q: %v", text, err)
				}
				continue
			}
			f := sampleFiring(nil)
			f.Event.Key = []byte(key)
			got, err := x.Render(t.Context(), NewView(f), 100)
			if x.t == nil {
				if got != text {
					t.Fatalf("%q became %q", text, got)
				}
				continue
			}
			if len(got) > 100 {
				t.Fatalf("%q: %d bytes, %v", text, len(got), err)
			}
		}
	})
}

// TestMistakesAreTold: what is wrong with a template is said in words of the
// documentation, with what to write.
func TestMistakesAreTold(t *testing.T) {
	for text, want := range map[string]string{
		"{{.before.status -> {{.after.status}}": "{{.before.status -> is not closed by }} before the next {{",
		"{{.key":                                "unclosed action",
		"{{`{{`}} {{.kee}}":                     `an event has no .kee; did you mean "key"?`,
		"{{/* {{ */}}{{.kee}}":                  `an event has no .kee; did you mean "key"?`,
		"{{.value}}":                            "an event has no .value; write .after",
		"{{.data.key}}":                         "an event has no .data; write its fields right away",
		"{{.old}}":                              "an event has no .old; write .before",
		"{{.nothing_like_it_at_all}}":           "the names are action, after,",
		"{{.key.sub}}":                          "at <.key.sub>: .key has no parts with names",
		"{{eq .key}}":                           "missing argument for comparison",
		"{{uper .key}}":                         `did you mean "upper"?`,
		"{{round 99 .offset}}":                  "at <round 99 .offset>",
		"{{range .args}}{{round 99 $.after.a}}{{end}}": "at <round 99 $.after.a>",
		"{{round 99 (.after.a | num)}}":                "at <round 99 (.after.a | num)>",
	} {
		if _, err := New(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", text, err, want)
		}
	}
}

// TestParams: the parameters that a template reads of its own event are known.
func TestParams(t *testing.T) {
	for text, want := range map[string]string{
		"{{.params.sku}}{{$.params.id}}{{index .params `a b`}}": "a b,id,sku",
		"{{range .events}}{{.params.sku}}{{end}}":               "sku",
		"{{range .summary}}{{.event.params.sku}}{{end}}":        "",
		"{{json .params}}{{.key}}{{index .args 1}}":             "",
		"{{if eq .params.sku `7`}}{{.params.sku}}{{end}}":       "sku",
	} {
		x, err := New(text)
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(x.Params(), ","); got != want {
			t.Errorf("%s: got %q, want %q", text, got, want)
		}
	}
}
