package actions_test

import (
	"bytes"
	"encoding/base64"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"triggerd/actions"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// golden compares got with a file in testdata.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s: got\n%s\nwant\n%s", path, got, want)
	}
}

func mustNew(t *testing.T, kind string, fields map[string]any, o actions.Options) actions.Action {
	t.Helper()
	a, err := actions.New(kind, fields, o)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func TestKinds(t *testing.T) {
	if got, want := kindNames(), []string{"webhook", "exec", "log", "print"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// list makes a TOML list.
func list(v ...any) []any { return v }

type table = map[string]any

// TestNewMistakes wants exactly the mistakes named, each as "field: part of
// its message", for a configuration that is wrong in one or more places.
func TestNewMistakes(t *testing.T) {
	t.Setenv("PATH", "/usr/bin:/bin")
	notExecutable := filepath.Join(t.TempDir(), "script")
	if err := os.WriteFile(notExecutable, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		kind   string
		fields table
		o      actions.Options
		want   []string
	}{
		"unknown kind":        {kind: "webhok", want: []string{`type: there is no kind of action "webhok"; did you mean "webhook"?`}},
		"kind far from any":   {kind: "smtp", want: []string{`type: there is no kind of action "smtp"; the kinds are exec, log, print, webhook`}},
		"everything at once":  {kind: "log", fields: table{"level": "warning", "mesage": "x", "message": int64(1)}, want: []string{`level: must be one of info, debug, warn, error, not "warning"; did you mean "warn"?`, `mesage: unknown field; did you mean "message"?`, `message: must be a string, not an integer`}},
		"engine field":        {kind: "log", fields: table{"timout": "5s"}, want: []string{`timout: unknown field; did you mean "timeout"?`}},
		"nothing near":        {kind: "log", fields: table{"zzzzzz": "5s"}, want: []string{`zzzzzz: unknown field`}},
		"empty message":       {kind: "log", fields: table{"message": " "}, want: []string{`message: is empty`}},
		"template syntax":     {kind: "log", fields: table{"message": "{{.key"}, want: []string{`message: template: unclosed action`}},
		"template name":       {kind: "log", fields: table{"message": "{{.kee}}"}, want: []string{`did you mean "key"?`}},
		"template name, far":  {kind: "log", fields: table{"message": "{{.nothing_like_it}}"}, want: []string{`the names are action, args,`}},
		"template function":   {kind: "log", fields: table{"message": "{{jsn .key}}"}, want: []string{`function "jsn" not defined; did you mean "json"?`}},
		"template type":       {kind: "log", fields: table{"message": "{{.key.name}}"}, want: []string{`can't evaluate field name in type`}},
		"print format":        {kind: "print", fields: table{"format": "xml"}, want: []string{`format: must be one of text, json`}},
		"no url":              {kind: "webhook", want: []string{`url: is required`}},
		"url scheme":          {kind: "webhook", fields: table{"url": "ftp://h/"}, want: []string{`url: must start with http://`}},
		"url without host":    {kind: "webhook", fields: table{"url": "http:///x"}, want: []string{`url: needs a host`}},
		"url port":            {kind: "webhook", fields: table{"url": "http://h:70000/x"}, want: []string{`url: needs a host and, if any, a port`}},
		"url host template":   {kind: "webhook", fields: table{"url": "http://{{.key}}/x"}, want: []string{`url: a template may not be in the host`}},
		"url scheme template": {kind: "webhook", fields: table{"url": "{{.key}}://h/x"}, want: []string{`url: must start with http://`}},
		"url port template":   {kind: "webhook", fields: table{"url": "http://h:{{.db}}/x"}, want: []string{`url: a template may not be in the host`}},
		"url fragment":        {kind: "webhook", fields: table{"url": "http://h/x#y"}, want: []string{`url: a fragment`}},
		"url fragment later":  {kind: "webhook", fields: table{"url": "http://h/{{.key}}#y"}, want: []string{`url: a fragment`}},
		"url dots":            {kind: "webhook", fields: table{"url": "http://h/a/%2E./b"}, want: []string{`url: the path has a segment . or ..`}},
		"url bad escape":      {kind: "webhook", fields: table{"url": "http://h/a%zz"}, want: []string{`url: path or query is not valid`}},
		"url metadata":        {kind: "webhook", fields: table{"url": "http://169.254.169.254/latest"}, want: []string{`url: 169.254.169.254: link-local and metadata`}},
		"url private":         {kind: "webhook", fields: table{"url": "http://[::ffff:10.0.0.1]/", "deny_private": true}, want: []string{`url: 10.0.0.1: the address is private`}},
		"user twice":          {kind: "webhook", fields: table{"url": "http://u:p@h/", "headers": table{"authorization": "x"}}, want: []string{`url: user:password@ makes the header Authorization, and so does headers.authorization`}},
		"method":              {kind: "webhook", fields: table{"url": "http://h/", "method": "SEND"}, want: []string{`method: must be one of POST`}},
		"body of a GET":       {kind: "webhook", fields: table{"url": "http://h/", "method": "get", "body": "x"}, want: []string{`body: GET sends no body`}},
		"content type":        {kind: "webhook", fields: table{"url": "http://h/", "content_type": "a\r\nb: c"}, want: []string{`content_type: is not a media type`}},
		"headers": {kind: "webhook", fields: table{"url": "http://h/", "headers": table{
			"content-length": "1", "Host": "x", "Webhook-Signature": "x", "content-type": "text/plain", "a b": "x", "x-a": "1", "X-A": "2", "x-b": "a\r\nb", "x-c": int64(1), "x-d": "{{.kee}}", "Authorization": "{{secret",
		}}, want: []string{
			`headers.Authorization: is not a valid template`, `headers.Host: is not a header to set: url names the host`, `headers.Webhook-Signature: is not a header to set: write sign`,
			`headers.a b: is not a header's name`, `headers.content-length: is not a header to set: it belongs`, `headers.content-type: is not a header to set: write content_type`,
			`headers.x-a: is there twice, as "X-A" too`, `headers.x-b: has a line break`, `headers.x-c: must be a string`, `headers.x-d: template`,
		}},
		"headers not a table": {kind: "webhook", fields: table{"url": "http://h/", "headers": "x"}, want: []string{`headers: must be a table`}},
		"sign":                {kind: "webhook", fields: table{"url": "http://h/", "sign": list("", "whsec_???", "whsk_abcd", "good", int64(1))}, want: []string{`sign: element 5 must be a string`, `sign: secret 1: the secret is empty`, `sign: secret 2: what follows whsec_ is not base64`, `sign: secret 3: what follows whsk_ is not an ed25519 key`, `sign: secret 5`}},
		"sign public key":     {kind: "webhook", fields: table{"url": "http://h/", "sign": "whpk_11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="}, want: []string{`sign: secret 1: whpk_ is the public key`}},
		"sign two keys":       {kind: "webhook", fields: table{"url": "http://h/", "sign": "whsk_" + base64.StdEncoding.EncodeToString(make([]byte, 64))}, want: []string{`sign: secret 1: the two halves`}},
		"sign nothing":        {kind: "webhook", fields: table{"url": "http://h/", "sign": list()}, want: []string{`sign: is an empty list`}},
		"sign type":           {kind: "webhook", fields: table{"url": "http://h/", "sign": true}, want: []string{`sign: must be a string`}},
		"statuses":            {kind: "webhook", fields: table{"url": "http://h/", "success_on": list(int64(409), "3xx"), "retry_on": list(int64(42), "1xx", "4x"), "drop_on": list(int64(409), "3xx", int64(302))}, want: []string{`drop_on: element 1 (409) is in another`, `drop_on: element 2 (3xx) is in another`, `retry_on: element 1 must be`, `retry_on: element 2 must be`, `retry_on: element 3 must be`}},
		"proxy":               {kind: "webhook", fields: table{"url": "http://h/", "proxy": "proxy:3128"}, want: []string{`proxy: must be "none" or a URL`}},
		"proxy, private":      {kind: "webhook", fields: table{"url": "http://h/", "proxy": "http://proxy:3128", "deny_private": true}, want: []string{`proxy: cannot be used with deny_private`}},
		"deny_private":        {kind: "webhook", fields: table{"url": "http://h/", "deny_private": "yes"}, want: []string{`deny_private: must be true or false`}},
		"tls":                 {kind: "webhook", fields: table{"url": "http://h/", "tls": table{"ca": filepath.Join(filepath.Dir(notExecutable), "none"), "cert": "x", "insecure": true}}, want: []string{`tls.ca: open `, `tls.insecure: unknown field`, `tls: cert and key go together`, `tls: has no effect`}},
		"tls not PEM":         {kind: "webhook", fields: table{"url": "https://h/", "tls": table{"ca": notExecutable, "cert": notExecutable, "key": notExecutable}}, want: []string{`tls.ca: there is no PEM`, `tls.cert: tls: failed to find any PEM data`}},
		"bearer":              {kind: "webhook", fields: table{"url": "http://h/", "bearer": "a\n"}, want: []string{`bearer: must be a token`}},
		"bearer empty":        {kind: "webhook", fields: table{"url": "http://h/", "bearer": ""}, want: []string{`bearer: must be a token`}},
		"bearer and basic":    {kind: "webhook", fields: table{"url": "http://u:p@h/", "bearer": "x", "basic": table{"user": "u", "password": "p"}}, want: []string{`basic: it makes the header Authorization, and so does url`, `bearer: it makes the header Authorization, and so does url`}},
		"basic":               {kind: "webhook", fields: table{"url": "http://h/", "basic": table{"username": "u", "password": "p"}}, want: []string{`basic.username: unknown field`, `basic: needs both`}},
		"basic colon":         {kind: "webhook", fields: table{"url": "http://h/", "basic": table{"user": "u:", "password": "p"}}, want: []string{`basic: a colon`}},
		"oauth2": {kind: "webhook", fields: table{"url": "http://h/", "bearer": "x", "oauth2": table{"client_secret": "", "scope": list("a"), "auth": "post", "scopes": "a", "params": table{"grant_type": "password", "x": int64(1)}}}, want: []string{
			`oauth2.auth: must be one of basic, body`, `oauth2.client_id: is required`, `oauth2.client_secret: is required`, `oauth2.params.grant_type: is not a parameter to set`, `oauth2.params.x: must be a string`,
			`oauth2.scope: unknown field; did you mean "scopes"?`, `oauth2.scopes: must be a list`, `oauth2.token_url: is required`, `oauth2: it makes the header Authorization, and so does bearer`,
		}},
		"oauth2 url":          {kind: "webhook", fields: table{"url": "http://h/", "oauth2": table{"token_url": "idp/token", "client_id": "a", "client_secret": "b"}}, want: []string{`oauth2.token_url: must be an http:// or https:// URL`}},
		"oauth2 url user":     {kind: "webhook", fields: table{"url": "http://h/", "oauth2": table{"token_url": "http://u:p@h", "client_id": "a", "client_secret": "b"}}, want: []string{`oauth2.token_url: may not have user:password@`}},
		"oauth2 metadata":     {kind: "webhook", fields: table{"url": "http://h/", "oauth2": table{"token_url": "http://169.254.169.254/", "client_id": "a", "client_secret": "b", "tls": table{"ca": "x"}}}, want: []string{`oauth2.tls.ca: open x`, `oauth2.tls: has no effect`, `oauth2.token_url: 169.254.169.254: link-local and metadata`}},
		"compress":            {kind: "webhook", fields: table{"url": "http://h/", "compress": "zstd", "headers": table{"content-encoding": "br"}}, want: []string{`compress: must be one of none, gzip`, `headers.content-encoding: is not a header to set: write compress`}},
		"format":              {kind: "webhook", fields: table{"url": "http://h/", "format": "batch"}, want: []string{`format: must be one of structured, binary`}},
		"format and body":     {kind: "webhook", fields: table{"url": "http://h/", "format": "structured", "body": "x"}, want: []string{`format: is the firing's JSON, but there is a body too`}},
		"binary headers":      {kind: "webhook", fields: table{"url": "http://h/", "format": "binary", "headers": table{"ce-id": "x", "Ce-DataContentType": "x", "ce-mine": "x"}}, want: []string{`headers.Ce-DataContentType: is not a header to set: format`, `headers.ce-id: is not a header to set: format`}},
		"http2":               {kind: "webhook", fields: table{"url": "http://h/", "http2": true}, want: []string{`http2: has no effect on an http://`}},
		"exec off":            {kind: "exec", fields: table{"command": list("/bin/sh")}, o: actions.Options{NoExec: true}, want: []string{`type: exec actions are switched off`}},
		"no command":          {kind: "exec", want: []string{`command: is required`}},
		"empty command":       {kind: "exec", fields: table{"command": list()}, want: []string{`command: is required`}},
		"command line":        {kind: "exec", fields: table{"command": "echo x"}, want: []string{`command: must be a list`}},
		"command type":        {kind: "exec", fields: table{"command": list("/bin/sh", int64(1))}, want: []string{`command: element 2 must be a string`}},
		"program template":    {kind: "exec", fields: table{"command": list("{{.key}}")}, want: []string{`command: the program may not be a template`}},
		"program relative":    {kind: "exec", fields: table{"command": list("./x")}, want: []string{`command: the program "./x" must be an absolute path`}},
		"program not in PATH": {kind: "exec", fields: table{"command": list("no-such-program")}, want: []string{`command: there is no program "no-such-program" in PATH (/usr/bin:/bin)`}},
		"program not there":   {kind: "exec", fields: table{"command": list("/etc/no/such")}, want: []string{`command: there is no file /etc/no/such`}},
		"program a directory": {kind: "exec", fields: table{"command": list("/bin")}, want: []string{`command: cannot run "/bin"`}},
		"program no x":        {kind: "exec", fields: table{"command": list(notExecutable)}, want: []string{`is not executable`}},
		"argument":            {kind: "exec", fields: table{"command": list("/bin/sh", "{{.kee}}")}, want: []string{`command: template`}},
		"environment":         {kind: "exec", fields: table{"command": list("/bin/sh"), "env": table{"A": int64(1), "TRIGGERD_ID": "x", "B": "{{.kee}}", "C": "c"}, "env_pass": list("C", "a=b")}, want: []string{`env.A: must be a string`, `env.B: template`, `env.TRIGGERD_ID: is triggerd's to set`, `env_pass: "C" is in env too`, `env_pass: "a=b" is not a variable's name`}},
		"dir":                 {kind: "exec", fields: table{"command": list("/bin/sh"), "dir": "/etc/no/such"}, want: []string{`dir: stat /etc/no/such`}},
		"dir a file":          {kind: "exec", fields: table{"command": list("/bin/sh"), "dir": notExecutable}, want: []string{`is not a directory`}},
		"dir relative":        {kind: "exec", fields: table{"command": list("/bin/sh"), "dir": "tmp"}, want: []string{`dir: must be an absolute path`}},
		"permanent_exit":      {kind: "exec", fields: table{"command": list("/bin/sh"), "permanent_exit": list(int64(0), "1", int64(256), int64(3))}, want: []string{`permanent_exit: element 1`, `permanent_exit: element 2`, `permanent_exit: element 3`}},
		"latest_only":         {kind: "exec", fields: table{"command": list("/bin/sh"), "latest_only": "yes"}, want: []string{`latest_only: must be true or false`}},
	} {
		t.Run(name, func(t *testing.T) {
			a, err := actions.New(test.kind, test.fields, test.o)
			if err == nil || a != nil {
				t.Fatalf("got %v, %v; want an error and no action", a, err)
			}
			joined, ok := err.(interface{ Unwrap() []error })
			if !ok {
				t.Fatalf("got a %T; want joined errors", err)
			}
			var got []string
			for _, e := range joined.Unwrap() {
				var field *actions.FieldError
				if !errors.As(e, &field) || field.Field() == "" {
					t.Errorf("%v is not a FieldError with a field", e)
				}
				got = append(got, e.Error())
			}
			slices.Sort(got)
			if len(got) != len(test.want) {
				t.Fatalf("got %d mistakes\n%s\nwant %d", len(got), strings.Join(got, "\n"), len(test.want))
			}
			for i := range got {
				if !strings.Contains(got[i], test.want[i]) {
					t.Errorf("got  %s\nwant %s", got[i], test.want[i])
				}
			}
		})
	}
}

// TestNewAccepts has configurations that are right, near to those that are not.
func TestNewAccepts(t *testing.T) {
	for name, test := range map[string]struct {
		kind   string
		fields table
	}{
		"log":               {"log", nil},
		"print":             {"print", table{"format": "json"}},
		"unknown params":    {"log", table{"message": "{{.params.sku}} {{$.params.x}} {{with .params}}{{.y}}{{end}}"}},
		"argument count":    {"log", table{"message": "{{index .args 9}} {{slice .key 0 100}}"}},
		"time":              {"log", table{"message": "{{.time.Unix}} {{json .}}"}},
		"webhook":           {"webhook", table{"url": "HTTPS://u:p%40@h:8443?x={{.key}}", "method": "put", "sign": "raw", "success_on": list("4xx"), "drop_on": list(int64(404))}},
		"IPv6":              {"webhook", table{"url": "http://[::1]:8080/"}},
		"private by option": {"webhook", table{"url": "http://10.0.0.1/"}},
		"proxy":             {"webhook", table{"url": "http://h/", "proxy": "socks5://u:p@proxy:1080"}},
		"own ce header":     {"webhook", table{"url": "http://h/", "headers": table{"ce-id": "{{.id}}"}}},
		"http2":             {"webhook", table{"url": "https://h/", "http2": true, "compress": "none"}},
		"oauth2":            {"webhook", table{"url": "https://h/", "oauth2": table{"token_url": "https://idp/token", "client_id": "a", "client_secret": "b"}}},
		"no proxy":          {"webhook", table{"url": "http://h/", "proxy": "none", "deny_private": true}},
		"exec":              {"exec", table{"command": list("sh", "{{.params.sku}}"), "env": table{"PATH": "/bin"}, "permanent_exit": list()}},
	} {
		t.Run(name, func(t *testing.T) { mustNew(t, test.kind, test.fields, actions.Options{}) })
	}
}
