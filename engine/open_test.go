package engine_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"triggerd/engine"
)

// TestOpenSecrets: a secret that is written in a file that everybody may read is
// a warning with its place, which does not show it; one that comes from
// elsewhere, or in a file of one's own, is none.
func TestOpenSecrets(t *testing.T) {
	t.Setenv("V", "0123456789abcdef")
	rule := func(action string) string {
		return "[[rule]]\nname = \"x\"\nkey = \"k\"\naction = [{ type = " + action + " }]\n"
	}
	for _, c := range []struct{ text, place string }{ // place "": no warning
		{"[source]\nurl = \"redis://:pass-word-1@127.0.0.1\"\n", ":2:7: source.url: a secret"},
		{"[source]\nurl = \"redis://me:${env:V}@127.0.0.1\"\n", ""},
		{"[source]\nurl = \"redis://127.0.0.1\"\nuser = \"me\"\npassword = \"pass-word-1\"\n", ":4:12: source.password: a secret"},
		{"[source]\nuser = \"me\"\npassword = \"${env:V}\"\n", ""},
		{"[http]\ntoken = \"pass-word-1-pass-word-1\"\n", ":2:9: http.token: a secret"},
		{"[http]\ntoken = \"${env:V}\"\n", ""},
		{rule(`"webhook", url = "https://me:pass-word-1@h/"`), `:4:37: rule "x": action.url: a secret`},
		{rule(`"webhook", url = "https://pass-word-1@h/"`), `action.url: a secret`},
		{rule(`"webhook", url = "https://h/?token=pass-word-1&x={{.key}}"`), `action.url: a secret`},
		{rule(`"webhook", url = "https://h/?token=${env:V}&x=1"`), ""},
		{rule(`"webhook", url = "https://h/?token={{.key}}"`), ""},
		{rule(`"webhook", url = "https://h/", sign = "pass-word-1-pass-word-1-pass"`), `action.sign: a secret`},
		{rule(`"webhook", url = "https://h/", sign = ["${env:V}${env:V}", "pass-word-1-pass-word-1-pass"]`), `action.sign: a secret`},
		{rule(`"webhook", url = "https://h/", bearer = "pass-word-1"`), `action.bearer: a secret`},
		{rule(`"webhook", url = "https://h/", basic = { user = "u", password = "pass-word-1" }`), `action.basic.password: a secret`},
		{rule(`"webhook", url = "https://h/", headers = { X-Api-Key = "pass-word-1" }`), `action.headers.X-Api-Key: a secret`},
		{rule(`"webhook", url = "https://h/", headers = { Authorization = "Bearer ${env:V}", X-Other = "other" }`), ""},
		{rule(`"webhook", url = "https://h/", proxy = "http://u:pass-word-1@p:1"`), `action.proxy: a secret`},
		{rule(`"exec", command = ["true"], env = { API_TOKEN = "pass-word-1", HOME = "/" }`), `action.env.API_TOKEN: a secret`},
		{rule(`"log", message = "token"`), ""},
		{"[targets.t]\ntype = \"webhook\"\nurl = \"https://h/\"\nbearer = \"pass-word-1\"\n", `:4:10: targets.t.bearer: a secret`},
	} {
		for _, mode := range []os.FileMode{0o600, 0o640, 0o644, 0o604} {
			for _, included := range []bool{false, true} {
				dir := t.TempDir()
				main, name := filepath.Join(dir, "rules.toml"), filepath.Join(dir, "rules.toml")
				if included {
					if strings.HasPrefix(c.text, "[source]") || strings.HasPrefix(c.text, "[http]") {
						continue
					}
					name = filepath.Join(dir, "more.toml")
					writeMode(t, main, "include = ['more.toml']\n", 0o600)
				}
				writeMode(t, name, c.text, mode)
				set, err := engine.LoadRules(main, engine.ActionOptions{})
				if err != nil {
					t.Fatalf("%s: %v", c.text, err)
				}
				var got []string
				for _, w := range set.Warnings {
					got = append(got, w.Error())
				}
				all, want := strings.Join(got, "\n"), c.place != "" && mode&0o004 != 0
				if strings.Contains(all, "a secret, in a file that everybody") != want || want && (!strings.Contains(all, c.place) || !strings.Contains(all, name+":")) || strings.Contains(all, "pass-word-1") {
					t.Errorf("%s with %o, included %v: got %q, want %q", c.text, mode, included, all, c.place)
				}
			}
		}
	}
}

func writeMode(t *testing.T, name, text string, mode os.FileMode) {
	t.Helper()
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(name, mode); err != nil {
		t.Fatal(err)
	}
}
