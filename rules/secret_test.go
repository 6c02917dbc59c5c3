package rules_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"triggerd/rules"
)

// withEnv parses a file with some variables set.
func withEnv(src string, env map[string]string, action func(string, map[string]any) (rules.ActionFacts, error)) (*rules.Set, error) {
	o := options()
	o.Action = action
	o.LookupEnv = func(name string) (string, bool) {
		v, ok := env[name]
		return v, ok
	}
	return rules.Parse("x.toml", []byte(src), o)
}

// What is to be masked is what came from elsewhere and was used: no default,
// and no host.
func TestSetSecrets(t *testing.T) {
	file := writeFile(t.TempDir(), "secret", "line one\nline two\n\n")
	src := `
[source]
url = "redis://${env:USER_NAME}:${env:PASSWORD}@${env:SERVER}"
[http]
token = "${env:API}"
[targets.t]
type = "webhook"
url = "${env:BASE}/in/${env:PART}?x=${env:QUERY:-no-secret}"
headers = { X-Trace = "v1 ${env:HEADER}", Other = "literal-value" }
sign = ["${file:` + file + `}"]
[[rule]]
name = "x"
key = "a"
[[rule.action]]
type = "webhook"
url = "https://${env:HOST}:${env:PORT}/${env:SHORT}"
`
	env := map[string]string{
		"USER_NAME": "triggerd-user", "PASSWORD": "p%40ss-word", "SERVER": "redis.example.com:6379", "API": "0123456789abcdef0123",
		"BASE": "https://crm.example.com", "PART": "T0/B0", "HEADER": "plain-looking", "HOST": "hooks.example.com", "PORT": "8443", "SHORT": "abc",
	}
	set, err := withEnv(src, env, nil)
	if err != nil {
		t.Fatal(err)
	}
	got := slices.Sorted(slices.Values(set.Secrets.Values()))
	want := []string{"0123456789abcdef0123", "T0/B0", "line one\nline two", "p%40ss-word", "plain-looking", "triggerd-user"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if len(set.Warnings) != 1 || set.Warnings[0].Line != 16 || set.Warnings[0].Col != 40 || !strings.Contains(set.Warnings[0].Msg, "${env:SHORT} has fewer than 4 bytes") {
		t.Errorf("warnings %v, want one of SHORT", set.Warnings)
	}
	if set, err := withEnv("", nil, nil); err != nil || set.Secrets != nil {
		t.Errorf("of a file without any: %v, %v", set.Secrets, err)
	}
}

// A value that is too short to be masked is warned of where it may be a secret.
func TestShortSecrets(t *testing.T) {
	for field, warned := range map[string]bool{
		`sign = "${env:V}"`: true, `bearer = "${env:V}"`: true, `basic = { user = "u", password = "${env:V}" }`: true,
		`basic = { user = "${env:V}", password = "long-enough" }`: false, `headers = { X = "a ${env:V}" }`: true,
		`body = "${env:V}"`: true, `env = { X = "${env:V}" }`: true, `command = ["a", "${env:V}"]`: true, `method = "${env:V}"`: false,
		`url = "http://a:${env:V}/"`: false, `url = "http://a/${env:V}"`: true, `url = "http://u:${env:V}@a/"`: true, `dir = "${env:V}"`: false,
		`proxy = "http://${env:V}"`: false, `oauth2 = { client_id = "${env:V}" }`: false, `oauth2 = { client_secret = "${env:V}" }`: true,
		`body = "${env:EMPTY}"`: false, `body = "${env:NONE:-x}"`: false,
	} {
		src := "[[rule]]\nname = 'x'\nkey = 'a'\n[[rule.action]]\ntype = 'webhook'\n" + field + "\n"
		set, err := withEnv(src, map[string]string{"V": "123", "EMPTY": ""}, nil)
		if err != nil {
			t.Errorf("%s: %v", field, err)
			continue
		}
		if got := len(set.Warnings) > 0; got != warned {
			t.Errorf("%s: warnings %v", field, set.Warnings)
		}
		for _, w := range set.Warnings {
			if w.Line != 6 || strings.Contains(w.Error(), "123") {
				t.Errorf("%s: %v", field, w)
			}
		}
	}
}

// A parser that quotes the word at which it stopped shows no part of a secret.
func TestPartsOfSecrets(t *testing.T) {
	tests := []struct{ written, message, want string }{
		{"{{${env:V}}}", `template: function "hunter" not defined`, `template: function "***" not defined`},
		{"{{${env:V}}}", `template: unexpected "-2" in operand`, `template: unexpected "***" in operand`},
		{"{{x${env:V}}}", `template: function "xhunter" not defined`, `template: function "***" not defined`},
		{"{{.kye}} ${env:V}", `template: no entry for key "kye" (did you mean "key"?)`, `template: no entry for key "kye" (did you mean "key"?)`},
		{"{{.${env:V}}}", `template: at <.hunter>: nothing`, `template: at <.***>: nothing`},
		{"{{.${env:V}}}", `template: bad character 'r'`, `template: bad character '***'`},
		{"{{.hunter}}", `template: at <.hunter>: nothing`, `template: at <.hunter>: nothing`},
	}
	for _, tt := range tests {
		_, err := withEnv("[[rule]]\nname = 'x'\nkey = 'a'\n[[rule.action]]\ntype = 'webhook'\nbody = '"+tt.written+"'\n", map[string]string{"V": "hunter-2 b@"},
			func(string, map[string]any) (rules.ActionFacts, error) {
				return rules.ActionFacts{}, &fieldError{"body", tt.message}
			})
		list := rules.Errors(err)
		if len(list) != 1 || list[0].Msg != tt.want {
			t.Errorf("%s: got %v, want %s", tt.message, err, tt.want)
		}
	}
}

func TestCheckToken(t *testing.T) {
	for token, ok := range map[string]bool{"0123456789abcdef": true, "0123456789abcde": false, "": false, "0123456789 abcdef": false, "0123456789äbcdef": false} {
		err := rules.CheckToken(token)
		if (err == nil) != ok || err != nil && token != "" && strings.Contains(fmt.Sprint(err), token) {
			t.Errorf("%q: %v", token, err)
		}
	}
}

// A line with a field that a kind says is a secret is not shown, and what is too
// short to be masked is told of there.
func TestSecretsOfKinds(t *testing.T) {
	const frame = "[[rule]]\nname = \"x\"\nkey = \"a\"\n[[rule.action]]\ntype = \"webhook\"\nurl = \"http://h\"\n"
	for _, line := range []string{`pass_phrase = "hunter2"`, `Pass_Phrase = "hunter2"`, `"pass_phrase" = ["hunter2"]`, `t = { pass_phrase = "hunter2" }`} {
		_, err := withEnv(frame+line+"\n", nil, func(_ string, fields map[string]any) (rules.ActionFacts, error) {
			for name := range fields {
				if name != "url" {
					return rules.ActionFacts{}, &fieldError{name, "is wrong"}
				}
			}
			return rules.ActionFacts{}, nil
		})
		if err == nil || !strings.Contains(err.Error(), "x.toml:7:") || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: got %v", line, err)
		}
	}
	for _, line := range []string{`pass_phrase = "${env:SHORT}"`, `t = { pass_phrase = ["${env:SHORT}"] }`} {
		set, err := withEnv(frame+line+"\n", map[string]string{"SHORT": "abc"}, nil)
		if err != nil || len(set.Warnings) != 1 || !strings.Contains(set.Warnings[0].Msg, "${env:SHORT} has fewer than 4 bytes") {
			t.Errorf("%s: got %v, %v", line, set, err)
		}
	}
}
