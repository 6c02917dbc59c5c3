package engine_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"triggerd/actions"
	"triggerd/actions/kinds"
	"triggerd/engine"
	"triggerd/internal/event"
	"triggerd/source"
)

// hostile are values in which something could begin or end.
var hostile = []string{
	"plain", "a/b", "a#b", "a?b", "a%b", "a%41b", "a%zz", "a[b", "a]b", `a"b`, `a\b`, "a@b", "a:b", ":", "@", "a b", " a ", "a&b=c", "a+b", "ü", "a\xffb",
	"{{.key}}", "{{", "}}", "{{.nothing}}", "{{end}}", "{", "{{\"", "`", "a{{- `x` -}}b", "{{/* x */}}", "a|b^c", "a'b", "a\tb",
}

// TestReferencesInSourceURL: whatever a password is made of, it is the password.
func TestReferencesInSourceURL(t *testing.T) {
	for _, value := range hostile {
		t.Setenv("V", value)
		for _, text := range []string{
			`url = "redis://me:${env:V}@127.0.0.1:7000"`,
			`url = "redis://me:${env:V}@127.0.0.1:${env:NONE:-7000}"`,
			`url = "redis://127.0.0.1:7000"` + "\nuser = \"me\"\npassword = \"${env:V}\"",
			`url = "${env:NONE:-redis://127.0.0.1:7000}"` + "\nuser = \"me\"\npassword = \"${env:V}\"",
		} {
			set, err := engine.ParseRules("x.toml", []byte("[source]\n"+text+"\n"), engine.ActionOptions{})
			if err != nil {
				t.Errorf("%q: %s: %v", value, text, err)
				continue
			}
			u, err := url.Parse(source.WithUser(set.Source.URL, set.Source.User, set.Source.Password))
			if err != nil {
				t.Errorf("%q: %s: %v", value, text, err)
				continue
			}
			if password, _ := u.User.Password(); password != value || u.User.Username() != "me" || u.Host != "127.0.0.1:7000" {
				t.Errorf("%q: %s: got %q at %s", value, text, u.User, u.Host)
			}
		}
	}
}

// TestSourceMistakes: a wrong URL is told with its place, with all else, and
// nothing of what was expanded.
func TestSourceMistakes(t *testing.T) {
	t.Setenv("V", "hunter2-hunter2")
	for text, want := range map[string]string{
		`url = "http://h"`:                                           "x.toml:2:7: source.url: unknown scheme",
		`url = "redis://h/3"`:                                        "x.toml:2:7: source.url: a database in it",
		`url = "redis://me@h"`:                                       "x.toml:2:7: source.url: user without a password",
		`url = "rediss://h?cacert=/nonexistent/${env:V}"`:            "x.toml:2:7: source.url: cacert: open /nonexistent/***",
		`url = "redis://h:${env:V}"`:                                 "x.toml:2:7: source.url: ",
		`url = "${env:V}"`:                                           "x.toml:2:7: source.url: no scheme",
		"user = \"me\"":                                              "x.toml:2:8: source.user: a user without a password",
		"url = \"redis://:pw@h\"\npassword = \"other\"":              "x.toml:3:12: source.password: the url has a user or a password too",
		"url = \"redis://a:b@h\"\nuser = \"c\"\npassword = \"pass\"": "x.toml:3:8: source.user: the url has a user or a password too",
	} {
		_, err := engine.ParseRules("x.toml", []byte("[source]\n"+text+"\n[[rule]]\nname = \"a\"\nkey = 1\n"), engine.ActionOptions{})
		got := fmt.Sprint(err)
		if !strings.Contains(got, want) || !strings.Contains(got, "key: wants text") || strings.Contains(got, "hunter2") {
			t.Errorf("%s\ngot  %s\nwant %s", text, got, want)
		}
	}
}

// TestReferencesInWebhook: what comes from elsewhere arrives as it is, and is
// neither a template nor another part of the URL.
func TestReferencesInWebhook(t *testing.T) {
	var got *http.Request
	var body string
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		got, body = r, string(b)
	}))
	t.Cleanup(server.Close)
	text := `
[[rule]]
name = "x"
key = "k"
[[rule.action]]
type = "webhook"
url = "http://me:${env:V}@` + strings.TrimPrefix(server.URL, "http://") + `/hook/${env:V}/{{.key}}?token=${env:V}&k={{.key}}&if={{if eq .key \"${env:V}\"}}yes{{end}}"
headers = { X-If = '{{if eq .key "${env:V}"}}yes{{end}}' }
body = "<{{.key}}|${env:V}|{{- .key}}>{${env:V}{"
`
	for _, value := range hostile {
		t.Setenv("V", value)
		set, err := engine.ParseRules("x.toml", []byte(text), engine.ActionOptions{})
		if err != nil {
			t.Errorf("%q: %v", value, err)
			continue
		}
		a, err := kinds.All.New("webhook", set.Rules[0].Actions[0].Fields, actions.Options{})
		if err != nil {
			t.Errorf("%q: %v", value, err)
			continue
		}
		ev := &event.Event{Name: "set", Key: []byte("k"), Command: "SET"}
		if _, err := a.Do(t.Context(), &actions.Firing{ID: "id", Rule: "x", Action: "webhook", Attempt: 1, Event: ev}); err != nil {
			t.Errorf("%q: %v", value, err)
			continue
		}
		if user, password, _ := got.BasicAuth(); user != "me" || password != value {
			t.Errorf("%q: the password is %q", value, password)
		}
		if want := "/hook/" + value + "/k"; got.URL.Path != want {
			t.Errorf("%q: the path is %q, want %q", value, got.URL.Path, want)
		}
		if q := got.URL.Query(); q.Get("token") != value || q.Get("k") != "k" || q.Get("if") != "" || got.Header.Get("X-If") != "" {
			t.Errorf("%q: the query is %q, header %q", value, got.URL.RawQuery, got.Header.Get("X-If"))
		}
		if want := "<k|" + value + "|k>{" + value + "{"; body != want {
			t.Errorf("%q: the body is %q, want %q", value, body, want)
		}
	}
}

// TestReferenceInAction: inside of a template's action a reference has to be in
// quotes, and the mistake does not tell what it stands for.
func TestReferenceInAction(t *testing.T) {
	t.Setenv("V", "hunter2-hunter2")
	for _, body := range []string{"{{${env:V}}}", "{{.key}}{{ ${env:V} }}", "{{`${env:V}`}}", "{{printf '${env:V}'}}"} {
		_, err := engine.ParseRules("x.toml", []byte("[[rule]]\nname = \"x\"\nkey = \"k\"\naction = [{ type = \"webhook\", url = \"http://h/\", body = \"\"\""+body+"\"\"\" }]\n"), engine.ActionOptions{})
		if got := fmt.Sprint(err); !strings.Contains(got, `rule "x": action[0].body: template: a reference inside of {{ and }}`) && !strings.Contains(got, `rule "x": action.body: template: a reference inside of {{ and }}`) || strings.Contains(got, "hunter2") {
			t.Errorf("%s: %s", body, got)
		}
	}
}
