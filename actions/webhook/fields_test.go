package webhook_test

import (
	"cmp"
	"encoding/base64"
	"os"
	"path/filepath"
	"testing"
	"time"

	"triggerd/actions"
	"triggerd/actions/actionstest"
	"triggerd/actions/webhook"
)

type table = map[string]any

// list makes a TOML list.
func list(v ...any) []any { return v }

// mustNew makes an action that is closed with the test. Where the options have no
// timeout, that of an attempt is far longer than it may take.
func mustNew(t testing.TB, fields table, o actions.Options) actions.Action {
	t.Helper()
	o.Timeout = cmp.Or(o.Timeout, time.Minute)
	return actionstest.New(t, &webhook.Kind, fields, o)
}

func TestMistakes(t *testing.T) {
	notExecutable := filepath.Join(t.TempDir(), "script")
	if err := os.WriteFile(notExecutable, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	actionstest.CheckMistakes(t, &webhook.Kind, map[string]actionstest.Mistaken{
		"no url":              {Want: []string{`url: is required`}},
		"url scheme":          {Fields: table{"url": "ftp://h/"}, Want: []string{`url: must start with http://`}},
		"url without host":    {Fields: table{"url": "http:///x"}, Want: []string{`url: needs a host`}},
		"url port":            {Fields: table{"url": "http://h:70000/x"}, Want: []string{`url: needs a host and, if any, a port`}},
		"url host template":   {Fields: table{"url": "http://{{.key}}/x"}, Want: []string{`url: a template may not be in the host`}},
		"url scheme template": {Fields: table{"url": "{{.key}}://h/x"}, Want: []string{`url: must start with http://`}},
		"url port template":   {Fields: table{"url": "http://h:{{.db}}/x"}, Want: []string{`url: a template may not be in the host`}},
		"url fragment":        {Fields: table{"url": "http://h/x#y"}, Want: []string{`url: a fragment`}},
		"url fragment later":  {Fields: table{"url": "http://h/{{.key}}#y"}, Want: []string{`url: a fragment`}},
		"url dots":            {Fields: table{"url": "http://h/a/%2E./b"}, Want: []string{`url: the path has a segment . or ..`}},
		"url bad escape":      {Fields: table{"url": "http://h/a%zz"}, Want: []string{`url: path or query is not valid`}},
		"url metadata":        {Fields: table{"url": "http://169.254.169.254/latest"}, Want: []string{`url: 169.254.169.254: link-local and metadata`}},
		"url private":         {Fields: table{"url": "http://[::ffff:10.0.0.1]/", "deny_private": true}, Want: []string{`url: 10.0.0.1: the address is private`}},
		"user twice":          {Fields: table{"url": "http://u:p@h/", "headers": table{"authorization": "x"}}, Want: []string{`url: user:password@ makes the header Authorization, and so does headers.authorization`}},
		"method":              {Fields: table{"url": "http://h/", "method": "SEND"}, Want: []string{`method: must be one of POST`}},
		"body of a GET":       {Fields: table{"url": "http://h/", "method": "get", "body": "x"}, Want: []string{`body: GET sends no body`}},
		"content type":        {Fields: table{"url": "http://h/", "content_type": "a\r\nb: c"}, Want: []string{`content_type: is not a media type`}},
		"headers": {Fields: table{"url": "http://h/", "headers": table{
			"content-length": "1", "Host": "x", "Webhook-Signature": "x", "content-type": "text/plain", "a b": "x", "x-a": "1", "X-A": "2", "x-b": "a\r\nb", "x-c": int64(1), "x-d": "{{.kee}}", "Authorization": "{{secret",
		}}, Want: []string{
			`headers.Authorization: is not a valid template`, `headers.Host: is not a header to set: url names the host`, `headers.Webhook-Signature: is not a header to set: write sign`,
			`headers.a b: is not a header's name`, `headers.content-length: is not a header to set: it belongs`, `headers.content-type: is not a header to set: write content_type`,
			`headers.x-a: is there twice, as "X-A" too`, `headers.x-b: has a line break`, `headers.x-c: must be a string`, `headers.x-d: template`,
		}},
		"headers not a table": {Fields: table{"url": "http://h/", "headers": "x"}, Want: []string{`headers: must be a table`}},
		"sign":                {Fields: table{"url": "http://h/", "sign": list("", "whsec_???", "whsk_abcd", "good", int64(1))}, Want: []string{`sign: element 5 must be a string`, `sign: secret 1: the secret is empty`, `sign: secret 2: what follows whsec_ is not base64`, `sign: secret 3: what follows whsk_ is not an ed25519 key`, `sign: secret 5`}},
		"sign public key":     {Fields: table{"url": "http://h/", "sign": "whpk_11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="}, Want: []string{`sign: secret 1: whpk_ is the public key`}},
		"sign two keys":       {Fields: table{"url": "http://h/", "sign": "whsk_" + base64.StdEncoding.EncodeToString(make([]byte, 64))}, Want: []string{`sign: secret 1: the two halves`}},
		"sign nothing":        {Fields: table{"url": "http://h/", "sign": list()}, Want: []string{`sign: is an empty list`}},
		"sign type":           {Fields: table{"url": "http://h/", "sign": true}, Want: []string{`sign: must be a string`}},
		"statuses":            {Fields: table{"url": "http://h/", "success_on": list(int64(409), "3xx"), "retry_on": list(int64(42), "1xx", "4x"), "drop_on": list(int64(409), "3xx", int64(302))}, Want: []string{`drop_on: element 1 (409) is in another`, `drop_on: element 2 (3xx) is in another`, `retry_on: element 1 must be`, `retry_on: element 2 must be`, `retry_on: element 3 must be`}},
		"proxy":               {Fields: table{"url": "http://h/", "proxy": "proxy:3128"}, Want: []string{`proxy: must be "none" or a URL`}},
		"proxy, private":      {Fields: table{"url": "http://h/", "proxy": "http://proxy:3128", "deny_private": true}, Want: []string{`proxy: cannot be used with deny_private`}},
		"deny_private":        {Fields: table{"url": "http://h/", "deny_private": "yes"}, Want: []string{`deny_private: must be true or false`}},
		"tls":                 {Fields: table{"url": "http://h/", "tls": table{"ca": filepath.Join(filepath.Dir(notExecutable), "none"), "cert": "x", "insecure": true}}, Want: []string{`tls.ca: open `, `tls.insecure: unknown field`, `tls: cert and key go together`, `tls: has no effect`}},
		"tls not PEM":         {Fields: table{"url": "https://h/", "tls": table{"ca": notExecutable, "cert": notExecutable, "key": notExecutable}}, Want: []string{`tls.ca: there is no PEM`, `tls.cert: tls: failed to find any PEM data`}},
		"bearer":              {Fields: table{"url": "http://h/", "bearer": "a\n"}, Want: []string{`bearer: must be a token`}},
		"bearer empty":        {Fields: table{"url": "http://h/", "bearer": ""}, Want: []string{`bearer: must be a token`}},
		"bearer and basic":    {Fields: table{"url": "http://u:p@h/", "bearer": "x", "basic": table{"user": "u", "password": "p"}}, Want: []string{`basic: it makes the header Authorization, and so does url`, `bearer: it makes the header Authorization, and so does url`}},
		"basic":               {Fields: table{"url": "http://h/", "basic": table{"username": "u", "password": "p"}}, Want: []string{`basic.username: unknown field`, `basic: needs both`}},
		"basic colon":         {Fields: table{"url": "http://h/", "basic": table{"user": "u:", "password": "p"}}, Want: []string{`basic: a colon`}},
		"oauth2": {Fields: table{"url": "http://h/", "bearer": "x", "oauth2": table{"client_secret": "", "scope": list("a"), "auth": "post", "scopes": "a", "params": table{"grant_type": "password", "x": int64(1)}}}, Want: []string{
			`oauth2.auth: must be one of basic, body`, `oauth2.client_id: is required`, `oauth2.client_secret: is required`, `oauth2.params.grant_type: is not a parameter to set`, `oauth2.params.x: must be a string`,
			`oauth2.scope: unknown field; did you mean "scopes"?`, `oauth2.scopes: must be a list`, `oauth2.token_url: is required`, `oauth2: it makes the header Authorization, and so does bearer`,
		}},
		"oauth2 url":      {Fields: table{"url": "http://h/", "oauth2": table{"token_url": "idp/token", "client_id": "a", "client_secret": "b"}}, Want: []string{`oauth2.token_url: must be an http:// or https:// URL`}},
		"oauth2 url user": {Fields: table{"url": "http://h/", "oauth2": table{"token_url": "http://u:p@h", "client_id": "a", "client_secret": "b"}}, Want: []string{`oauth2.token_url: may not have user:password@`}},
		"oauth2 metadata": {Fields: table{"url": "http://h/", "oauth2": table{"token_url": "http://169.254.169.254/", "client_id": "a", "client_secret": "b", "tls": table{"ca": "x"}}}, Want: []string{`oauth2.tls.ca: open x`, `oauth2.tls: has no effect`, `oauth2.token_url: 169.254.169.254: link-local and metadata`}},
		"compress":        {Fields: table{"url": "http://h/", "compress": "zstd", "headers": table{"content-encoding": "br"}}, Want: []string{`compress: must be one of none, gzip`, `headers.content-encoding: is not a header to set: write compress`}},
		"format":          {Fields: table{"url": "http://h/", "format": "batch"}, Want: []string{`format: must be one of structured, binary`}},
		"format is none":  {Fields: table{"url": "http://h/", "format": "batch", "body": "x"}, Want: []string{`format: must be one of structured, binary`}},
		"format and body": {Fields: table{"url": "http://h/", "format": "structured", "body": "x"}, Want: []string{`format: is the firing's JSON, but there is a body too`}},
		"binary headers":  {Fields: table{"url": "http://h/", "format": "binary", "headers": table{"ce-id": "x", "Ce-DataContentType": "x", "ce-mine": "x"}}, Want: []string{`headers.Ce-DataContentType: is not a header to set: format`, `headers.ce-id: is not a header to set: format`}},
		"service, fields of it": {Fields: table{"url": "http://h/", "text": "x", "severity": "error", "routing_key": "k", "labels": table{}, "keep": "1h"}, Want: []string{
			`keep: is only there with format = "alertmanager"`, `labels: is only there with format = "alertmanager"`, `routing_key: is only there with format = "pagerduty"`,
			`severity: is only there with format = "slack", "discord", "teams", "pagerduty" or "alertmanager"`, `text: is only there`,
		}},
		"service, and a body": {Fields: table{"url": "http://h/", "format": "slack", "body": "x", "content_type": "x", "escape": "none", "method": "PUT", "compress": "gzip", "routing_key": "k", "text": "{{.nothing}}"}, Want: []string{
			`body: is decided by format = "slack"`, `compress: is decided by`, `content_type: is decided by`, `escape: is decided by`, `method: is decided by`, `routing_key: is only there`, `text: template: at <.nothing>: an event has no .nothing`,
		}},
		"service, nearly": {Fields: table{"url": "http://h/", "format": "slac"}, Want: []string{`format: must be one of structured, binary, slack, discord, teams, pagerduty, alertmanager, not "slac"; did you mean "slack"?`}},
		"pagerduty":       {Fields: table{"format": "pagerduty"}, Want: []string{`format: pagerduty needs routing_key`}},
		"alertmanager": {Fields: table{"url": "http://h/", "format": "alertmanager", "severity": "bad", "keep": "0d", "labels": table{"key": "x", "a-b": "x", "empty": "", "n": int64(1)}}, Want: []string{
			`keep: is not a time from "1s" to "366d"`, `labels.a-b: is not a label's name`, `labels.empty: is empty`, `labels.key: is set by the format`, `labels.n: must be a string`, `severity: must be one of critical, error, warning, info`,
		}},
		"slack without url": {Fields: table{"format": "slack"}, Want: []string{`url: is required`}},
		"http2":             {Fields: table{"url": "http://h/", "http2": true}, Want: []string{`http2: has no effect on an http://`}},
	})
}

// TestAccepts has configurations that are right, near to those that are not.
func TestAccepts(t *testing.T) {
	for name, fields := range map[string]table{
		"webhook":           table{"url": "HTTPS://u:p%40@h:8443?x={{.key}}", "method": "put", "sign": "raw", "success_on": list("4xx"), "drop_on": list(int64(404))},
		"IPv6":              table{"url": "http://[::1]:8080/"},
		"private by option": table{"url": "http://10.0.0.1/"},
		"proxy":             table{"url": "http://h/", "proxy": "socks5://u:p@proxy:1080"},
		"own ce header":     table{"url": "http://h/", "headers": table{"ce-id": "{{.id}}"}},
		"http2":             table{"url": "https://h/", "http2": true, "compress": "none"},
		"oauth2":            table{"url": "https://h/", "oauth2": table{"token_url": "https://idp/token", "client_id": "a", "client_secret": "b"}},
		"no proxy":          table{"url": "http://h/", "proxy": "none", "deny_private": true},
	} {
		t.Run(name, func(t *testing.T) { mustNew(t, fields, actions.Options{}) })
	}
}

func TestFields(t *testing.T) {
	actionstest.CheckFields(t, &webhook.Kind,
		table{"format": "pagerduty", "routing_key": "k"},
		table{"url": "https://h/", "format": "alertmanager", "keep": "5m", "labels": table{"team": "shop"}},
		table{"url": "https://h/", "format": "slack", "text": "{{.key}}", "severity": "error"},
		table{"url": "https://h/", "tls": table{}, "basic": table{"user": "u", "password": "p"}},
		table{"url": "https://h/", "oauth2": table{"token_url": "https://idp/", "client_id": "i", "client_secret": "s", "tls": table{}}})
}
