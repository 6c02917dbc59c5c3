package tmpl

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"

	"triggerd/internal/event"
	"triggerd/internal/firing"
)

// hostile are texts that break JSON, or what reads it.
var hostile = []string{
	"", "plain", `"`, `\`, `\"`, `u","x":"1`, "\n\r\t", "\x00\x1f\x7f", "\xff\xfe", "é\xff", "\u2028\u2029", "\u202e\u200b", "😀", "\xed\xa0\x80",
	"</script>", "{{.key}}", "null", "12", "true", `{"a":1}`, `,`, `]`, `}`, ":", `\u0000`, "'", "`", "1e999", "-", strings.Repeat("\"", 1000),
}

func hostileFiring(s string) *firing.Firing {
	b := []byte(s)
	e := &event.Event{
		Name: "set", Key: b, Command: s, Args: [][]byte{b, b}, Changed: [][]byte{b}, Before: event.String(b),
		After: event.Elements("hash", []event.Element{{Name: "status", Value: s}, {Name: s, Value: s}}), Tx: event.Tx{ID: s},
	}
	return &firing.Firing{Rule: s, Event: e, Params: map[string]string{"sku": s}, Timing: event.Timing{
		Status: s, By: s, Batch: []event.Item{{Event: e, ID: s}, {Event: e, ID: s}}, Summary: []event.Line{{Rule: s, Event: e}},
	}}
}

// jsonBodies are bodies of every kind of place.
var jsonBodies = []string{
	`{"raw":"{{.key}}"}`,
	`{"raw":{{.key}},"n":{{.count}},"db": {{ .db -}} }`,
	`{"{{.key}}":"{{.key}}",{{.by}}:1}`,
	`{"text":"{{.rule}}: {{.before}} -> {{.after.status}} {{.after}} {{.args}}"}`,
	`{"before":{{.before}},"after":{{.after}},"status":{{.after.status}},"gone":{{.after.nothing}},"tx":{{.tx}},"ttl":{{.ttl}},"args":{{.args}}}`,
	`[{{range .events}}{{.key}},{{end}}]`,
	`[{{range $i, $e := .events}}{{if $i}},{{end}}{"k":{{$e.key}}}{{end}}]`,
	`{"a":1{{if .by}},"by":{{.by}}{{end}}}`,
	`{ {{if .by}}"by":{{.by}},{{end}} }`,
	`{"a":"{{if .by}}by {{.by}}{{else}}nobody{{end}}"}`,
	`{"j":{{json .args}},"quoted":"{{json .args}}","twice":{{json .key | printf "%s"}},"q":{{printf "%q" .key}}}`,
	`{"f":{{.key | upper}},"t":"{{text .key}}","b":"{{b64 .key}}","h":"{{html .key}}","js":"{{js .key}}"}`,
	`{"a":{{with .after}}{{.status}}{{else}}null{{end}}}`,
	`{{define "k"}}{"k":{{.key}}}{{end}}[{{template "k" .}},{{template "k" .}}]`,
	`{"n":{{num .key}},"r":{{round 2 .key}},"d":{{default "x" .key}},"s":{{slice .key 0 3}},"l":{{len .key}}}`,
	`{"\u00e9\\":"\"{{.key}}\""}`,
	`{"x":[{{range .args}}"<{{.}}>",{{end}}{{range .summary}}{{if .rule}}{{.rule}}{{continue}}{{end}}{{break}}{{end}}]}`,
	`{"t":{{.time}},"e":{{.events}},"s":{{.summary}},"all":{{json .}}}`,
	`{"trunc":"{{truncate 2 .key}}","cut":"{{slice .key 0 1}}"}`,
}

func checkJSON(t *testing.T, body string, x *Template, f *firing.Firing) {
	t.Helper()
	got, err := x.Render(t.Context(), NewView(f), MaxText)
	if err != nil {
		t.Errorf("%s of %q: %v", body, f.Event.Key, err)
	} else if !json.Valid([]byte(got)) || !utf8.ValidString(got) {
		t.Errorf("%s of %q: no JSON: %s", body, f.Event.Key, got)
	}
}

func TestJSONStaysJSON(t *testing.T) {
	for _, body := range jsonBodies {
		if !IsJSON(body) {
			t.Errorf("%s is not taken for JSON", body)
		}
		x, err := NewJSON(body)
		if err != nil {
			t.Errorf("%s: %v", body, err)
			continue
		}
		for _, s := range hostile {
			checkJSON(t, body, x, hostileFiring(s))
		}
		checkJSON(t, body, x, &firing.Firing{Event: &event.Event{}})
	}
}

// TestJSONValues: what is what.
func TestJSONValues(t *testing.T) {
	f := hostileFiring(`u","x":"1`)
	f.Event.Args = [][]byte{[]byte("9007199254740993"), []byte("\xff")}
	f.Event.TTL = 7
	for body, want := range map[string]string{
		`{"k":"{{.key}}"}`:              `{"k":"u\",\"x\":\"1"}`,
		`{"k":{{.key}}}`:                `{"k":"u\",\"x\":\"1"}`,
		`{"k":{{index .args 0}}}`:       `{"k":"9007199254740993"}`,
		`{"k":{{num (index .args 0)}}}`: `{"k":9007199254740993}`,
		`{"k":{{index .args 1}}}`:       `{"k":{"$base64":"/w=="}}`,
		`{"k":"{{index .args 1}}"}`:     "{\"k\":\"\ufffd\"}",
		`{"k":{{json .args}}}`:          `{"k":["9007199254740993",{"$base64":"/w=="}]}`,
		`{"k":"{{json .ttl}}{{.ttl}}"}`: `{"k":"77"}`,
		`{"k":{{eq 1 1}},"n":{{.after.x}},"s":"{{.after.x}}","f":{{num "1.50"}}}`: `{"k":true,"n":null,"s":"","f":1.5}`,
		`[{{range .args}}{{len .}}, {{end}}]`:                                     `[16, 1 ]`,
		`{"a":{{.db}},}`:                                                          `{"a":0}`,
	} {
		x, err := NewJSON(body)
		if err != nil {
			t.Errorf("%s: %v", body, err)
			continue
		}
		if got, err := x.Render(t.Context(), NewView(f), MaxText); err != nil || got != want {
			t.Errorf("%s: got %s, %v; want %s", body, got, err, want)
		}
	}
}

// TestJSONMistakes are found when the template is made.
func TestJSONMistakes(t *testing.T) {
	for body, want := range map[string]string{
		`{"a":"\{{.key}}"}`:                     "behind a backslash",
		`{"a":"\u00{{.key}}"}`:                  "behind a backslash",
		`{"a":-{{.count}}}`:                     "right behind a value",
		`{"a":{{.count}}ms}`:                    "right behind the value of an action",
		`{"a":{{.count}}{{.db}}}`:               "right behind a value",
		`{"a":"{{.key}}`:                        "not closed",
		`{"a":{{.key}}`:                         "not closed",
		`{"a":{{.key}}]`:                        "nothing opens",
		`{"a":{{if .by}}"x{{else}}"y"{{end}}"}`: "different places",
		`{"a":"{{if .by}}x"{{end}}}`:            "different places",
		`{"a":[{{range .args}}"{{end}}]}`:       "different places",
		`{"a":[{{range .args}}"{{if .}}{{break}}{{end}}"{{end}}]}`:               "break and continue",
		`{{define "a"}}{{.key}}{{end}}["{{template "a" .}}",{{template "a" .}}]`: "different places",
		`{"a":{{with .after}}{{.}}{{end}}}`:                                      "may have no value",
		`{"a":{{if .by}}5{{end}},"b":1}`:                                         "may have no value",
		`{"a": {{range .args}}{{.}}{{end}} }`:                                    "may have no value",
		`{"a":{{if .by}}{{else}}{{.key}}{{end}}}`:                                "may have no value",
		`{"a":{{if .by}}1{{else if .tx}}2{{end}}}`:                               "may have no value",
		`{{define "a"}}{{if .by}}1{{end}}{{end}}{"a":{{template "a" .}}}`:        "may have no value",
		`{"a" {{.key}}}`:  "no JSON at byte",
		`{{.key}}changed`: "right behind the value",
		`{"a":1`:          "no JSON",
	} {
		if _, err := NewJSON(body); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %s", body, err, want)
		}
	}
}

// TestJSONBranches: a value may come from any branch, or stand behind one.
func TestJSONBranches(t *testing.T) {
	for _, body := range []string{
		`{"a":{{with .after}}{{.}}{{else}}null{{end}}}`, `{"a":{{if .by}}1{{else if .tx}}{{.tx}}{{else}}"x"{{end}},"b":1}`,
		`{"a":{{if .by}}-{{end}}5}`, `{"a":"{{if .by}}x{{end}}"}`, `{"a":[{{if .by}}1{{end}}]}`, `{"a":{ {{if .by}}"b":1{{end}} }}`,
		`{"a":{{if .by}} {{end}}{{.key}}}`, `[{{range $i, $e := .args}}{{if $i}},{{end}}{{.}}{{end}}]`, `{"a":{{range .args}}{{break}}{{else}}1{{end}}{{.db}}}`,
	} {
		if _, err := NewJSON(body); err != nil {
			t.Errorf("%s: %v", body, err)
		}
	}
}

// TestIsJSON: a text that is to be JSON is known from one that only begins so.
func TestIsJSON(t *testing.T) {
	for text, want := range map[string]bool{
		`{{.key}} changed`: false, `[{{.rule}}] {{.key}}`: false, `{{json .}}`: false, `{{.message}}`: false, `"{{.key}}"`: false,
		"{\"a\":{{.db}}}\n{\"b\":{{.db}}}": false, `a={{.key}}&b=1`: false, `{{.key}}`: false, `[{{.rule}}]`: true, ` {"a":1}`: true, `{`: false,
		`{"a":"{{if .by}}x"{{end}}}`: true,
	} {
		if got := IsJSON(text); got != want {
			t.Errorf("%s: %v", text, got)
		}
	}
}

// FuzzJSON: a template that is accepted writes JSON for any event, or says why
// not.
func FuzzJSON(f *testing.F) {
	for i, body := range jsonBodies {
		f.Add(body, hostile[i%len(hostile)])
	}
	f.Fuzz(func(t *testing.T, body, s string) {
		x, err := NewJSON(body)
		if err != nil {
			return
		}
		got, err := x.Render(t.Context(), NewView(hostileFiring(s)), MaxText)
		if err == nil && x.t != nil && (!json.Valid([]byte(got)) || !utf8.ValidString(got)) {
			t.Fatalf("%q of %q: %q", body, s, got)
		}
	})
}
