package rules_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"triggerd/rules"
)

// A URL that is itself what lets one post is a secret, where everybody may read
// the file that it is written in.
func TestOpenURLs(t *testing.T) {
	for url, want := range map[string]bool{
		"https://hooks.slack.com/services/T0/B0/abcdefghijklmnopqrst":                    true,
		"https://Hooks.Slack.com/services/T0/B0/abcdefghijklmnopqrst?x=y":                true,
		"https://discord.com/api/webhooks/1/abcdefghijklmnopqrst":                        true,
		"https://prod-1.westeurope.logic.azure.com/workflows/x?sp=run&sig=abcdefghijklm": true,
		"https://hooks.slack.com/services/T0/B0/${env:SLACK_TOKEN}":                      false,
		"${env:SLACK_URL}":                                false,
		"https://hooks.slack.com/services/T0/B0/x":        false, // a placeholder
		"https://crm.example.com/in/abcdefghijklmnopqrst": false,
		"https://prod-1.logic.azure.com/?sig=${env:SIG}":  false,
	} {
		path := filepath.Join(t.TempDir(), "rules.toml")
		text := "[[rule]]\nname = 'x'\nkey = 'a'\naction = { type = 'webhook', url = '" + url + "' }\n"
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, 0o644); err != nil { // whatever the umask is
			t.Fatal(err)
		}
		o := options()
		o.LookupEnv = func(string) (string, bool) { return "https://abcdefghijklmnopqrst/", true }
		o.Kinds = []rules.Kind{{Name: "webhook", URLs: []string{"url"}}}
		set, err := rules.Load(path, o)
		if err != nil {
			t.Fatal(err)
		}
		got := false
		for _, w := range set.Warnings {
			got = got || w.Code == "open-secret" && !strings.Contains(w.Error(), "abcdefgh")
		}
		if got != want {
			t.Errorf("%s: warned of is %v, want %v: %v", url, got, want, set.Warnings)
		}
	}
}
