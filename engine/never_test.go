package engine_test

import (
	"strings"
	"testing"

	"triggerd/engine"
)

// TestNever checks which rules are said never to match, and where; the place is
// after the @ of what is wanted.
func TestNever(t *testing.T) {
	for _, c := range []struct{ fields, want string }{
		{`key = "stock:{sku"`, "key: the { is not closed@3:14"},
		{`key = ["a", 'stock:[ab']`, "key: the [ is not closed@3:20"},
		{`key = "stock:[]"`, "key: no byte is in the class []@3:14"},
		{`key = "{user1000}.x"`, "key: {user1000} at the start captures@3:8"},
		{`key = '\{user1000}.x'`, ""},
		{`key = "{user}.x"` + "\nwhen = 'params.user != \"\"'", ""},
		{`key_not = "a:[b"`, "key_not: the [ is not closed@3:14"},
		{"key = 'a:*'\nkey_not = ['b', 'a*']", "key_not: every key of key is left out@4:11"},
		{"key = ['a:*', 'b']\nkey_not = 'a*'", ""},
		{"key = 'a:?'\nkey_not = 'a:1'", ""},
		{"key_not = '*'", "key_not: every key is left out@3:11"},
		{"key_not = '*'\nevent = 'flushall'", ""},
		{"key = 'a:*'\nwhen = 'key == \"b\"'", "when: no key of key is what@4:8"},
		{"key = 'a:*'\nwhen = 'key startsWith \"a:b\"'", ""},
		{"key = 'a:*'\nwhen = 'key startsWith \"b\"'", "when: no key of key is what@4:8"},
		{"key = 'a:*'\nwhen = 'key startsWith \"b\" || db == 1'", ""},
		{"key = 'a:*'\nwhen = 'false'", "no event is like that@1:1"},
		{"db = 1\nwhen = 'db == 2'", "no event is like that@1:1"},
		{"db = 16", "db: a server has the databases 0 to 15@3:6"},
		{"db = [3, 16]", ""},
		{"when = 'db == -1'", "when: a server has the databases@3:8"},

		{"event = 'expired'\ncommand = 'SET'", `event: SET never makes "expired"@3:9`},
		{"event = ['expired', 'set']\ncommand = 'SET'", ""},
		{"event = 'expired'\ncommand = ['SET', 'DEL']", ""},
		{"event = 'hset'\ncommand = '@string'", `never makes "hset"@3:9`},
		{"event = 'hset'\ncommand = '@hash'", ""},
		{"event = 'hset'\ncommand_not = '@hash'", `command_not: every command that makes "hset" is left out@4:15`},
		{"event = 'del'\ncommand_not = '@write'", ""}, // a resync tells of it too
		{"command = 'SET'\ncommand_not = '@string'", "command_not: every command of command is left out@4:15"},
		{"command = 'SET'\nwhen = 'event == \"lpush\"'", `when: SET never makes "lpush"@4:8`},
		{"command = 'SET'\nwhen = 'command == \"DEL\"'", `command: no command is all of that@3:11`},
		{"event = 'new'\ncommand = 'SET'", ""},
		{"event = 'evicted'\ncommand = 'DEL'", `event: DEL never makes "evicted"@3:9`},
		{"event = 'xgroup-create'\ncommand = 'XGROUP'", ""},
		{"event = 'xadd'\ncommand = 'XGROUP'", `never makes "xadd"@3:9`},
		{"event = 'set'\ncommand = 'MOD.SET'", ""},
		{"command = 'GET'", "command: no event is made by GET@3:11"},
		{"command = '@read'", "command: no event is made by"},
		{"command = ['GET', 'SET']", ""},
		{"command = 'SET'\nsnapshot = true\nevent = 'expired'", ""}, // but for snapshots
		{"event = 'write'\ncommand = 'PUBLISH'", "PUBLISH concerns no key"},
		{"command = 'PUBLISH'", ""},
		{"key = 'a'\ncommand = 'FLUSHALL'", "key: FLUSHALL concerns no key@3:7"},
		{"key = 'a'\nevent = ['flushall', 'gap']", `key: "flushall" or "gap" concerns no key@3:7`},
		{"key = 'a'\nevent = ['flushall', 'del']", ""},

		{"type = 'string'\ncommand = 'HSET'", `type: after HSET a key's type is never "string"@3:8`},
		{"type = ['string', 'hash']\ncommand = 'HSET'", ""},
		{"type = 'none'\ncommand = 'LPOP'", ""},
		{"type = 'list'\ncommand = 'LPOP'", ""},
		{"type = 'none'\ncommand = 'RPUSH'", `type: after RPUSH a key's type is never "none"`},
		{"type = 'hash'\ncommand = 'DEL'", `type: after DEL a key's type is never "hash"`},
		{"type = 'hash'\nevent = 'set'", `type: after "set" a key's type is never "hash"@3:8`},
		{"type = 'string'\nevent = 'expired'", `type: after "expired" a key's type is never "string"@3:8`},
		{"type = 'none'\nevent = ['expired', 'del']", ""},
		{"type = 'set'\nevent = 'rename_to'", ""},
		{"type = 'set'\nevent = 'expire'", ""},
		{"type = 'set'\nevent = 'flushall'", `type: after "flushall" a key's type is never "set"`},
		{"when = 'type == \"set\"'\nevent = 'set'", `when: after "set" a key's type is never "set"@3:8`},
		{"type = 'zset'\ncommand = 'GEOSEARCHSTORE'", ""},
		{"type = 'list'\ncommand = 'SORT'", ""},
		{"type = 'stream'\ncommand = 'RENAME'", ""},
		{"key = 'a'\nfor = '1m'\nwhen = 'num(after) < 5'\ncommand = 'SET'\nevent = 'hset'", `event: SET never makes "hset"@7:9`},
		{"key = 'a'\nevent = 'set'\nabsent = { for = '1m' }\ncancel = { key = 'b', event = 'hset', command = 'SET' }", `cancel.event: SET never makes "hset"`},
	} {
		text := "[[rule]]\nname = 'x'\n" + c.fields + "\naction = { type = 'log' }\n"
		set, err := engine.ParseRules("x.toml", []byte(text), engine.ActionOptions{})
		if err != nil {
			t.Errorf("%s\n%v", c.fields, err)
			continue
		}
		want, place, _ := strings.Cut(c.want, "@")
		found := false
		var all []string
		for _, w := range set.Warnings {
			line := w.Error()
			all = append(all, line)
			found = found || strings.Contains(line, want) && strings.HasPrefix(line, "x.toml:"+place) && strings.Contains(line, `rule "x": `)
		}
		got := strings.Join(all, "\n")
		if c.want != "" && !found || c.want == "" && (strings.Contains(got, "never matches") || strings.Contains(got, "captures") || strings.Contains(got, "closed")) {
			t.Errorf("%s\ngot  %s\nwant %s", c.fields, got, c.want)
		}
	}
}
