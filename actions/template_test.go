package actions

import (
	"encoding/json"
	"net/url"
	"strings"
	"testing"
	"time"

	"triggerd/internal/event"
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
		x, err := newTemplate(text, plain)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if got, err := x.render(&view{firing: f}, maxBody); err != nil || got != want {
			t.Errorf("%s: got %q, %v; want %q", text, got, err, want)
		}
	}
}

func TestTemplateJSONOfEverything(t *testing.T) {
	x, err := newTemplate("{{json .}}", plain)
	if err != nil {
		t.Fatal(err)
	}
	got, err := x.render(&view{firing: sampleFiring(nil)}, maxBody)
	if err != nil {
		t.Fatal(err)
	}
	var m map[string]any
	if err := json.Unmarshal([]byte(got), &m); err != nil || m["key"] != "key" || m["offset"] != float64(851576) || len(m) != 24 {
		t.Errorf("got %s, %v", got, err)
	}
}

// TestTemplateNoKey: an event of the whole keyspace has the empty key.
func TestTemplateNoKey(t *testing.T) {
	x, err := newTemplate("[{{.key}}] {{.args}}", plain)
	if err != nil {
		t.Fatal(err)
	}
	f := &Firing{Event: &event.Event{Name: "flushall"}}
	if got, err := x.render(&view{firing: f}, maxBody); got != "[] []" || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestTemplateTiming(t *testing.T) {
	at := time.Unix(1763888400, 0)
	last := &event.Event{Name: "set", Key: []byte("k2"), Time: at}
	f := &Firing{
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
		x, err := newTemplate(text, plain)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if got, err := x.render(&view{firing: f}, maxBody); err != nil || got != want {
			t.Errorf("%s: got %q, %v; want %q", text, got, err, want)
		}
	}
	if _, err := newTemplate("{{range .events}}{{.kee}}{{end}}", plain); err == nil || !strings.Contains(err.Error(), `did you mean "key"`) {
		t.Errorf("a misspelt name in a batch: %v", err)
	}
	x, err := newTemplate("[{{.status}}{{.first}}{{range .events}}x{{end}}]{{.count}}", plain)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := x.render(&view{firing: &Firing{Event: last}}, maxBody); got != "[]0" || err != nil {
		t.Errorf("an ordinary firing: %q, %v", got, err)
	}
}

// TestTemplateSample: the sample that all templates are tried on is the same
// after a template with parameters.
func TestTemplateSample(t *testing.T) {
	if _, err := newTemplate("{{.params.sku}}", plain); err != nil {
		t.Fatal(err)
	}
	if params := sampleData()["params"].(map[string]string); len(params) > 0 {
		t.Errorf("the sample has parameters of another template: %v", params)
	}
	x, err := newTemplate("{{json .params}}", plain)
	if err != nil || x.sample != `{"params":"param"}` {
		t.Errorf("got %q, %v", x.sample, err)
	}
}

// FuzzTemplateURL: whatever a key is, the URL has the path segments and the
// query parameters that the user wrote, and the key comes back out of both.
func FuzzTemplateURL(f *testing.F) {
	for _, s := range []string{"", "a", "a/b", "..", "?x=1&y=2", "#f", "%2e%2e", "a b+c", "\x00\xff\r\n", "{{.key}}", "héé", ";"} {
		f.Add(s)
	}
	x, err := newTemplate("/a/{{.key}}/b?k={{.key}}&l={{printf `%s` .key}}", forURL)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, key string) {
		firing := sampleFiring(nil)
		firing.Event.Key = []byte(key)
		target, err := x.render(&view{firing: firing}, 10*(len(key)+10))
		if err != nil {
			t.Fatal(err)
		}
		if err := checkTarget(target); err != nil {
			if key != "." && key != ".." {
				t.Fatalf("%q: %v", target, err)
			}
			return
		}
		u, err := url.Parse("http://h" + target)
		if err != nil {
			t.Fatal(err)
		}
		q := u.Query()
		if strings.Count(u.EscapedPath(), "/") != 3 || u.Path != "/a/"+key+"/b" || len(q) != 2 || q.Get("k") != key || q.Get("l") != key || u.Fragment != "" {
			t.Fatalf("%q became %q", key, target)
		}
	})
}

// FuzzTemplate: any template either is refused, or renders or errs for any
// key; it writes no more than its limit.
func FuzzTemplate(f *testing.F) {
	f.Add("{{.key}}", "k")
	f.Add("{{range .args}}{{json .}}{{end}}", "\xff")
	f.Add("{{with .params}}{{.x}}{{end}}{{define `a`}}{{.key}}{{end}}{{template `a` .}}", "k")
	f.Add("{{$x := .key}}{{$x | text | upper}}", "\n")
	f.Fuzz(func(t *testing.T, text, key string) {
		if strings.Contains(text, "range") || strings.Contains(text, "template") || strings.Contains(text, "printf") {
			return // the user's own endless loop is the user's
		}
		for _, mode := range []templateMode{plain, forURL} {
			x, err := newTemplate(text, mode)
			if err != nil {
				if !strings.HasPrefix(err.Error(), "template: ") {
					t.Fatalf("%q: %v", text, err)
				}
				continue
			}
			firing := sampleFiring(nil)
			firing.Event.Key = []byte(key)
			got, err := x.render(&view{firing: firing}, 100)
			if x.t == nil {
				if got != text {
					t.Fatalf("%q became %q", text, got)
				}
				continue
			}
			if err != nil && !IsPermanent(err) || len(got) > 100 {
				t.Fatalf("%q: %d bytes, %v", text, len(got), err)
			}
		}
	})
}
