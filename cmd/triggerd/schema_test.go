package main

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/BurntSushi/toml"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"triggerd/actions/kinds"
	"triggerd/engine"
	"triggerd/examples"
)

func wholeSchema(t *testing.T) []byte {
	t.Helper()
	b, err := schemaOf(kinds.All)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func compileSchema(t *testing.T) *jsonschema.Schema {
	t.Helper()
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(wholeSchema(t)))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("rules.schema.json", doc); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile("rules.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// asJSON turns a TOML document into what a JSON Schema is asked about.
func asJSON(t *testing.T, text string) any {
	t.Helper()
	var doc map[string]any
	if _, err := toml.Decode(text, &doc); err != nil {
		t.Fatal(err)
	}
	b, err := json.Marshal(doc)
	if err != nil {
		t.Fatal(err)
	}
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// everyField is a rules file with every field that there is.
const everyField = `
include = "none/*.toml"
[source]
url = "redis://127.0.0.1"
user = "follower"
password = "hunter2"
start = "live"
ack = "durable"
psync_command = "PSYNC"
max_mirror = "2GiB"
sentinel_user = "triggerd"
sentinel_password = "of the Sentinels"
prefer = "replica"
announce = "10.0.0.7:26390"
sentinel_hello = true
foreign_wait = "30s"
rewound = "cancel"
spool = "off"
[store]
dir = "data"
max_pending = 5
max_bytes = "20GiB"
keep_delivered = "1GiB"
retention = "30d"
[check]
allow = ["never-arrives"]
[http]
listen = "127.0.0.1:9797"
read_token = "fedcba9876543210"
show_values = true
token = "0123456789abcdef"
max_behind = "90s"
[defaults]
shutdown_timeout = "10s"
timeout = "1m30s"
retry = { max_attempts = 3, backoff = "1s", max_backoff = "1m", max_age = "7d" }
[lists]
l = ["a"]
[macros]
m = "db == 0"
[targets.t]
type = "webhook"
url = "https://h/x"
method = "PUT"
headers = { A = "b" }
body = "x"
content_type = "text/plain"
escape = "none"
sign = ["a", "b"]
success_on = [409]
retry_on = ["4xx"]
drop_on = [500]
tls = {}
proxy = "none"
deny_private = true
format = "binary"
compress = "gzip"
http2 = true
timeout = "1s"
retry = { max_attempts = 1 }
concurrency = 3
rate_limit = { max = 50, per = "1s" }
[targets.u]
type = "webhook"
url = "https://h/x"
bearer = "x"
[targets.v]
type = "webhook"
url = "https://h/x"
basic = { user = "a", password = "b" }
[targets.w]
type = "webhook"
url = "https://h/x"
oauth2 = { token_url = "https://h/t", client_id = "a", client_secret = "b", scopes = ["c"], params = { audience = "d" }, auth = "body", tls = {} }
[targets.pager]
type = "webhook"
format = "pagerduty"
routing_key = "k"
text = "x"
severity = "error"
[targets.alerts]
type = "webhook"
url = "https://h/"
format = "alertmanager"
labels = { team = "shop" }
keep = "2h"
[[rule]]
name = "r"
description = "d"
tags = ["t"]
severity = "s"
enabled = true
dry_run = true
key = ["a:{id}", "b"]
key_not = "c"
key_regex = "x"
command = ["SET", "@hash"]
command_not = "DEL"
event = "write"
db = [0, 1]
type = "string"
when = "macros.m && key in lists.l"
snapshot = true
order = "none"
overflow = "drop_old"
[[rule.action]]
target = "t"
name = "n"
timeout = "1s"
retry = { max_attempts = 2 }
order = "key"
[[rule.action]]
type = "exec"
command = ["true"]
env = { A = "b" }
env_pass = ["HOME"]
dir = "/"
permanent_exit = [3]
latest_only = true
concurrency = 1
order = "key"
name = "e"
[[rule]]
name = "late"
event = "expired"
on_time = true
values = true
action = { type = "log" }
[windows.w]
weekdays = ["mon:fri", "sun"]
times = "08:00-18:00"
days_of_month = ["1:5", -1]
months = ["jan:mar", 12]
timezone = "UTC"
[[rule]]
name = "often"
key = "o:{id}"
sample = 0.5
dedupe = { by = "params.id", ttl = "1h" }
count = { over = 100, within = "10s", by = ["params.id", "db"] }
active = "w"
mute = ["w"]
outside = "hold"
once = { by = "key" }
throttle = { max = 1, per = "1m", by = "key" }
batch = { max = 500, wait = "1s", by = "params.id" }
max_keys = 5
action = { type = "log" }
[[rule]]
name = "silent"
key = "hb:{id}"
event = "set"
absent = { for = "90s", by = "params.id", expect = ["a"], repeat = "15m", send_resolved = true }
cancel = [
  { key = "hb:{id}", event = "del" },
  { key = ["x:{id}"], key_not = "y", key_regex = "z", command = "SET", command_not = "DEL", db = 0, type = "string", when = "true" },
]
once = true
action = { type = "log" }
[[rule]]
name = "settled"
key = "s"
debounce = { wait = "2s", max_wait = "30s", by = "key" }
once = "key"
action = { type = "log" }
[[rule]]
name = "low"
key = "l"
when = "num(after) < 5"
for = "5m"
until = "num(after) > 9"
send_resolved = true
action = { type = "log" }
[[rule]]
name = "clock"
schedule = "@daily"
timezone = "UTC"
summarize = ["often"]
catch_up = true
[[rule.action]]
type = "log"
level = "warn"
message = "m"
[[rule]]
name = "p"
[rule.action]
type = "print"
format = "json"
[[test]]
name = "t"
start = "2024-01-01T07:00:00+01:00"
given = { "a:1" = "c", "a:2" = { f = 1 }, "a:3" = ["x"] }
feed = ["SET a:1 b", { at = "+1m" }]
expect = { r = 1 }
expect_body = { r = [{ data = { key = "a:1" } }] }
`

// What triggerd takes the schema takes.
func TestSchemaAccepts(t *testing.T) {
	t.Parallel()
	s := compileSchema(t)
	for name, text := range map[string]string{"the example": string(examples.Rules), "the example of time": string(examples.Time), "every field": everyField} {
		if _, err := engine.ParseRules("rules.toml", []byte(strings.Replace(text, `include = "none/*.toml"`, "", 1)), engine.ActionOptions{}); err != nil {
			t.Errorf("%s: triggerd: %v", name, err)
		}
		if err := s.Validate(asJSON(t, text)); err != nil {
			t.Errorf("%s: schema: %v", name, err)
		}
	}
}

// What is wrong in its shape both refuse.
func TestSchemaRejects(t *testing.T) {
	t.Parallel()
	s := compileSchema(t)
	rule := "[[rule]]\nname = \"r\"\n[[rule.action]]\ntype = \"log\"\n"
	timed := func(field string) string {
		return "[[rule]]\nname = \"r\"\nkey = \"a\"\nevent = \"set\"\n" + field + "\n[[rule.action]]\ntype = \"log\"\n"
	}
	for _, text := range []string{
		"[sauce]\n",
		"[source]\nstart = \"now\"\n",
		"[store]\nmax_pending = 0\n",
		"[store]\ndir = 7\n",
		"[http]\nlisten = \"localhost\"\n",
		"[http]\ntoken = \"short\"\n",
		rule + "rate_limit = { max = 1 }\n",
		strings.Replace(rule, "name = \"r\"", "name = \"r\"\noverflow = \"explode\"", 1),
		rule + "[[test]]\nname = \"t\"\nexpect = {}\n",
		rule + "[[test]]\nname = \"t\"\nfeed = [{ at = \"1m\" }]\nexpect = {}\n",
		rule + "[[test]]\nname = \"t\"\nfeed = [\"SET a 1\"]\nexpect = { r = \"once\" }\n",
		"[defaults]\ntimeout = 5\n",
		"[defaults]\ntimeout = \"soon\"\n",
		"[defaults]\nretry = { attempts = 1 }\n",
		"[targets.t]\nurl = \"http://h\"\n",
		"[targets.t]\ntype = \"webhook\"\n",
		"[targets.t]\ntype = \"webhook\"\nurl = \"http://h\"\nlevel = \"warn\"\n",
		"[targets.t]\ntype = \"fax\"\n",
		"[[rule]]\nname = \"r\"\n",
		"[[rule]]\n[[rule.action]]\ntype = \"log\"\n",
		"[targets.t]\ntype = \"webhook\"\nformat = \"pagerduty\"\n",
		"[targets.t]\ntype = \"webhook\"\nurl = \"http://h\"\nformat = \"slack\"\nseverity = \"bad\"\n",
		"[targets.t]\ntype = \"webhook\"\nurl = \"http://h\"\nformat = \"alertmanager\"\nlabels = { a = 1 }\n",
		rule + "level = \"loud\"\n",
		rule + "url = \"http://h\"\n",
		rule + "target = \"t\"\n",
		strings.Replace(rule, "name = \"r\"", "name = \"a/b\"", 1),
		strings.Replace(rule, "name = \"r\"", "name = \"r\"\nkye = \"a\"", 1),
		strings.Replace(rule, "name = \"r\"", "name = \"r\"\ndb = -1", 1),
		strings.Replace(rule, "name = \"r\"", "name = \"r\"\nkey = 7", 1),
		strings.Replace(rule, "name = \"r\"", "name = \"r\"\nenabled = \"yes\"", 1),
		timed("sample = 1.5"), timed("sample = 0"), timed(`sample = "10%"`),
		timed(`dedupe = { ttl = "1h" }`), timed(`dedupe = { by = "key" }`), timed(`dedupe = "1h"`), timed(`dedupe = { by = "", ttl = "1h" }`),
		timed(`count = { over = 0, within = "1s" }`), timed(`count = { over = 5 }`), timed(`count = { within = "1s" }`), timed(`count = { over = 5, within = "0s" }`),
		timed(`absent = { by = "key" }`), timed(`absent = { for = "1m", expect = ["a"] }`), timed(`absent = { for = "1m", send_resolved = 1 }`), timed(`absent = { for = "-1m" }`),
		timed("absent = { for = \"1m\" }\ncancel = {}"), timed("absent = { for = \"1m\" }\ncancel = \"a\""), timed("absent = { for = \"1m\" }\ncancel = { kye = \"a\" }"),
		timed(`debounce = { max_wait = "1s" }`), timed(`debounce = "1s"`), timed(`for = { wait = "1s" }`), timed(`until = 5`), timed(`send_resolved = "yes"`),
		timed(`active = 5`), timed(`outside = "keep"`), timed(`once = 5`), timed(`once = {}`),
		timed(`throttle = { max = 0, per = "1s" }`), timed(`throttle = { max = 1 }`), timed(`throttle = { max = 1, per = 5 }`),
		timed(`batch = { max = 1, wait = "1s" }`), timed(`batch = { max = 5 }`), timed(`max_keys = 0`), timed(`catch_up = 1`), timed(`summarize = 5`),
		rule + "send_resolved = true\n",
		"[windows.w]\n", "[windows.w]\nday = \"mon\"\n", "[windows.w]\ntimezone = \"UTC\"\n", "[windows.w]\ntimes = 8\n", "[windows.w]\nmonths = [true]\n",
		rule + "[[test]]\nname = \"t\"\nstart = \"7:00\"\nfeed = \"SET a 1\"\nexpect = {}\n",
	} {
		if _, err := engine.ParseRules("rules.toml", []byte(text), engine.ActionOptions{}); err == nil {
			t.Errorf("triggerd takes\n%s", text)
		}
		if err := s.Validate(asJSON(t, text)); err == nil {
			t.Errorf("the schema takes\n%s", text)
		}
	}
}

// The file with every field has every field of the schema, so that the two
// tests above speak of all of it.
func TestSchemaComplete(t *testing.T) {
	t.Parallel()
	var doc any
	if err := json.Unmarshal(wholeSchema(t), &doc); err != nil {
		t.Fatal(err)
	}
	fields := map[string]bool{}
	var walk func(any)
	walk = func(v any) {
		switch v := v.(type) {
		case map[string]any:
			if props, ok := v["properties"].(map[string]any); ok {
				for name := range props {
					fields[name] = true
				}
			}
			for _, e := range v {
				walk(e)
			}
		case []any:
			for _, e := range v {
				walk(e)
			}
		}
	}
	walk(doc)
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		if !strings.Contains(everyField, name+" =") && !strings.Contains(everyField, "["+name) && !strings.Contains(everyField, "."+name+"]") &&
			!slices.Contains([]string{"ca", "cert", "key", "user"}, name) { // files, and what takes root
			t.Errorf("field %s of the schema is not in the file with every field", name)
		}
	}
}
