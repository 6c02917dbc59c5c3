package keyspace_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"triggerd/internal/event"
	"triggerd/internal/keyspace"
)

// TestCommand: what the recordings do not show. Events are spelt "name key@db
// type cause", "-" for no key, no type, no cause.
func TestCommand(t *testing.T) {
	tests := []struct {
		name      string
		command   string // words split at spaces, '' is the empty word
		want      []string
		malformed bool
		valkey    bool
	}{
		{name: "a key's type", command: "LPUSH l a", want: []string{"lpush l list command"}},
		{name: "a key that may be gone has no type", command: "LPOP l", want: []string{"lpop l - command"}},
		{name: "one key deleted, by anyone", command: "DEL k", want: []string{"del k none unknown"}},
		{name: "one key unlinked, by anyone", command: "UNLINK k", want: []string{"del k none unknown"}},
		{name: "many keys deleted, by a client", command: "UNLINK a b", want: []string{"del a none deleted", "del b none deleted"}},
		{name: "deleted by a client's command", command: "DELEX k", want: []string{"del k none deleted"}},
		{name: "fields may have expired", command: "HDEL h f", want: []string{"hdel h - unknown"}},
		{name: "any case", command: "sEt k v pXaT 9", want: []string{"set k string command", "expire k string command"}},
		{name: "options' arguments are no options", command: "SET k v IFEQ PX", want: []string{"set k string command"}},
		{name: "option after an option with argument", command: "SET k v IFDEQ EX EX 9", want: []string{"set k string command", "expire k string command"}},
		{name: "a value that looks like an option", command: "SET k PXAT", want: []string{"set k string command"}},
		{name: "an empty key is a key", command: "SET '' ''", want: []string{"set '' string command"}},
		{name: "relative, of Redis 6.0", command: "PSETEX k 10 v", want: []string{"set k string command", "expire k string command"}},
		{name: "another database", command: "MOVE k 7", want: []string{"move_from k none command", "move_to k@7 - command"}},
		{name: "copied to another database", command: "COPY a b REPLACE DB 2", want: []string{"copy_to b@2 - command"}},
		{name: "a source that looks like an option", command: "COPY DB b", want: []string{"copy_to b - command"}},
		{name: "Redis announces the deadline first", command: "MSETEX 2 a 1 b 2 PXAT 9", want: []string{
			"expire a string command", "set a string command", "expire b string command", "set b string command"}},
		{name: "Valkey announces the value first", valkey: true, command: "MSETEX 1 a 1 PXAT 9", want: []string{"set a string command", "expire a string command"}},
		{name: "no deadline", command: "MSETEX 2 a EX b PX", want: []string{"set a string command", "set b string command"}},
		{name: "fields that look like options", command: "HSETEX h FIELDS 1 PXAT 9", want: []string{"hset h hash command"}},
		{name: "a member called INCR", command: "ZADD z 1 INCR", want: []string{"zadd z zset command"}},
		{name: "increment after flags", command: "ZADD z xx gt incr 1 a", want: []string{"zincr z zset command"}},
		{name: "sorts and stores nothing", command: "SORT l GET STORE DESC", want: nil},
		{name: "the last STORE wins", command: "SORT l STORE a STORE b", want: []string{"sortstore b - command"}},
		{name: "reads a radius", command: "GEORADIUS g 1 2 3 km", want: nil},
		{name: "stores a radius", command: "GEORADIUSBYMEMBER g STORE 3 km STOREDIST d", want: []string{"georadiusstore d - command"}},
		{name: "either side", command: "LMOVE a b right LEFT", want: []string{"lpush b list command", "rpop a - command"}},
		{name: "a read", command: "GET k", want: nil},
		{name: "link chatter", command: "REPLCONF GETACK *", want: nil},
		{name: "keepalive", command: "ping", want: nil},
		{name: "a channel is not a key", command: "PUBLISH ch msg", want: []string{"publish - - command"}},
		{name: "swapped", command: "SWAPDB 0 1", want: []string{"swapdb - - command"}},
		{name: "subcommand", command: "function load code", want: []string{"function - - command"}},
		{name: "subcommand that changes nothing", command: "FUNCTION LIST", want: nil},
		{name: "announced by nobody", command: "VADD v VALUES 1 1 e", want: []string{"vadd v vectorset command"}},
		{name: "keys of a slot", command: "CLUSTER FLUSHSLOT 7", want: []string{"cluster-flushslot - - command"}},
		{name: "a script as it is, of Redis 6.0", command: "EVAL code 2 a b c", want: []string{"eval a - command", "eval b - command"}},
		{name: "a module's", command: "JSON.Set doc $ 1", want: []string{"json.set doc - command"}},
		{name: "a module's without arguments", command: "MOD.x", want: []string{"mod.x - - command"}},
		{name: "a module's name that is not ASCII", command: "m\xc4\xd6D k", want: []string{"m\xc4\xd6d k - command"}},

		{name: "no key", command: "SET", want: []string{"set - - command"}, malformed: true},
		{name: "no value", command: "SET k", want: []string{"set k string command"}, malformed: true},
		{name: "no key after the subcommand", command: "XGROUP CREATE", want: []string{"xgroup-create - - command"}, malformed: true},
		{name: "nothing to delete", command: "DEL", want: []string{"del - - deleted"}, malformed: true},
		{name: "half a pair", command: "MSET a 1 b", want: []string{"set a string command", "set b string command"}, malformed: true},
		{name: "no pair", command: "MSET", want: []string{"set - - command"}, malformed: true},
		{name: "renamed to nothing", command: "RENAME a", want: []string{"rename_from a none command"}, malformed: true},
		{name: "moved to no database", command: "MOVE a x", want: []string{"move_from a none command"}, malformed: true},
		{name: "copied to no database", command: "COPY a b DB -1", want: []string{"copy_to - - command"}, malformed: true},
		{name: "no count", command: "MSETEX x a 1", want: []string{"set - - command"}, malformed: true},
		{name: "count beyond the end", command: "MSETEX 999999999 a 1", want: []string{"set a string command"}, malformed: true},
		{name: "sides left out", command: "LMOVE a b", want: []string{"rpush b list command", "rpop a - command"}, malformed: true},
		{name: "script without keys", command: "EVAL code x", want: []string{"eval - - command"}, malformed: true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var config keyspace.Config
			if test.valkey {
				config.Dialect = keyspace.Valkey
			}
			in := keyspace.New(config)
			var got []string
			for _, ev := range in.Command(nil, &keyspace.Command{Args: words(test.command)}) {
				got = append(got, describe(&ev))
			}
			if !slices.Equal(got, test.want) {
				t.Errorf("events of %q\n got %q\nwant %q", test.command, got, test.want)
			}
			if got := in.Stats().Malformed == 1; got != test.malformed {
				t.Errorf("malformed %t, want %t", got, test.malformed)
			}
		})
	}
}

func words(line string) [][]byte {
	var args [][]byte
	for _, w := range strings.Split(line, " ") {
		args = append(args, []byte(strings.ReplaceAll(w, "''", "")))
	}
	return args
}

func describe(ev *event.Event) string {
	key, typ, cause := "-", "-", "-"
	if ev.Key != nil {
		if key = string(ev.Key); key == "" {
			key = "''"
		}
	}
	if ev.DB != 0 {
		key += fmt.Sprintf("@%d", ev.DB)
	}
	if ev.Type != "" {
		typ = ev.Type
	}
	if ev.Cause != "" {
		cause = string(ev.Cause)
	}
	return ev.Name + " " + key + " " + typ + " " + cause
}

// TestCommandCarriesContext: what is not the key goes along unchanged.
func TestCommandCarriesContext(t *testing.T) {
	c := keyspace.Command{
		Args: words("xgroup create x g $"), DB: 4, ReplID: "id", Offset: 99, Bytes: 40,
		Tx: event.Tx{ID: "id:120", Index: 2, Size: 3}, Time: time.Unix(5, 0), Source: "redis://h:1",
	}
	events := keyspace.New(keyspace.Config{}).Command(nil, &c)
	if len(events) != 1 {
		t.Fatalf("%d events, want 1", len(events))
	}
	ev := events[0]
	if ev.Command != "XGROUP CREATE" || ev.DB != 4 || ev.ReplID != "id" || ev.Offset != 99 || ev.Bytes != 40 ||
		ev.Tx != c.Tx || !ev.Time.Equal(c.Time) || ev.Source != "redis://h:1" || ev.Origin != event.FromStream {
		t.Errorf("event %+v of command %+v", ev, c)
	}
	if got := string(ev.Args[0]) + " " + string(ev.Args[1]); len(ev.Args) != 4 || got != "create x" {
		t.Errorf("args %q", ev.Args)
	}

	c = keyspace.Command{Args: words("RENAME a b"), Origin: event.FromReplay}
	prefix := []event.Event{{Name: "kept"}}
	events = keyspace.New(keyspace.Config{}).Command(prefix, &c)
	if len(events) != 3 || events[0].Name != "kept" || events[1].Index != 0 || events[2].Index != 1 || events[2].Origin != event.FromReplay {
		t.Errorf("appended %+v", events)
	}
}

func TestCommandWithoutName(t *testing.T) {
	for _, args := range [][][]byte{nil, words("''"), words("'' k")} {
		in := keyspace.New(keyspace.Config{})
		if events := in.Command(nil, &keyspace.Command{Args: args}); len(events) != 0 || in.Stats().Malformed != 1 {
			t.Errorf("events %v of %q, stats %+v", events, args, in.Stats())
		}
	}
}

// TestSubcommandIsNoCommand: a name that only the table has is not the server's.
func TestSubcommandIsNoCommand(t *testing.T) {
	in := keyspace.New(keyspace.Config{})
	events := in.Command(nil, &keyspace.Command{Args: [][]byte{[]byte("xgroup create"), []byte("x"), []byte("g")}})
	if len(events) != 1 || describe(&events[0]) != "xgroup create x - command" || in.Stats().Unknown != 1 {
		t.Errorf("events %+v, stats %+v", events, in.Stats())
	}
}

// TestNilKey: an argument that is a nil slice is an empty key, not none.
func TestNilKey(t *testing.T) {
	events := keyspace.New(keyspace.Config{}).Command(nil, &keyspace.Command{Args: [][]byte{[]byte("INCR"), nil}})
	if len(events) != 1 || events[0].Key == nil {
		t.Errorf("events %+v", events)
	}
}

func TestSnapshotKey(t *testing.T) {
	in := keyspace.New(keyspace.Config{})
	k := keyspace.SnapshotKey{Key: []byte("k"), DB: 2, Type: "zset", ExpireAt: 7, ReplID: "id", Offset: 8, Time: time.Unix(1, 0), Source: "s"}
	events := in.SnapshotKey(nil, &k)
	if len(events) != 1 || describe(&events[0]) != "snapshot k@2 zset -" || events[0].Origin != event.FromSnapshot ||
		events[0].ReplID != "id" || events[0].Offset != 8 || !events[0].Time.Equal(k.Time) || events[0].Source != "s" {
		t.Errorf("events %+v", events)
	}
	if in.Stats() != (keyspace.Stats{SnapshotKeys: 1}) {
		t.Errorf("stats %+v", in.Stats())
	}
}

// TestUnknownNamesAreBounded: a hostile stream of ever new names costs no
// memory, and no name is shown beyond a limit.
func TestUnknownNamesAreBounded(t *testing.T) {
	in := keyspace.New(keyspace.Config{})
	for i := range 5000 {
		name := fmt.Sprintf("Mod.%d", i)
		events := in.Command(nil, &keyspace.Command{Args: words(name + " k")})
		if len(events) != 1 || events[0].Name != strings.ToLower(name) || events[0].Command != strings.ToUpper(name) {
			t.Fatalf("events of %s: %+v", name, events)
		}
	}
	if got := in.KeptNames(); got > 1024 {
		t.Errorf("%d names kept", got)
	}
	events := in.Command(nil, &keyspace.Command{Args: words(strings.Repeat("X", 1<<20) + " k")})
	if len(events) != 1 || len(events[0].Name) != 128 || len(events[0].Command) != 128 {
		t.Errorf("a name of 1 MiB gives %d events, the first with a name of %d bytes", len(events), len(events[0].Name))
	}
	if got := in.Stats(); got.Unknown != 5001 || got.Commands != 5001 || got.Events != 5001 {
		t.Errorf("stats %+v", got)
	}
}

// TestEntriesNameTheirEvents: whatever a command does, its entry names the
// events that it makes.
func TestEntriesNameTheirEvents(t *testing.T) {
	seed := seedOf(t)
	t.Logf("%s=%d", envSeed, seed)
	optional := []string{"new", "overwritten", "type_changed"}
	infos := map[string]keyspace.CommandInfo{}
	for _, info := range keyspace.Commands() {
		infos[info.Name] = info
	}
	for _, dialect := range []keyspace.Dialect{keyspace.Redis, keyspace.Valkey} {
		h := &history{generator: newGenerator(seed), now: start}
		in := keyspace.New(keyspace.Config{Need: needLevel(0), Dialect: dialect, Classes: keyspace.Classes{New: true, Overwritten: true}})
		in.SnapshotBegin()
		in.SnapshotEnd(nil, &keyspace.SnapshotKey{Time: start})
		seen := 0
		for range 10_000 {
			for _, ev := range h.next()(in) {
				if ev.Origin != event.FromStream || slices.Contains(optional, ev.Name) {
					continue
				}
				seen++
				if names := infos[ev.Command].Events; !slices.Contains(names, ev.Name) {
					t.Fatalf("%s %.200q makes %q, its entry says %q", ev.Command, ev.Args, ev.Name, names)
				}
			}
		}
		if seen < 5_000 {
			t.Errorf("%d events", seen)
		}
	}
}

func TestCommandNamed(t *testing.T) {
	for _, c := range keyspace.Commands() {
		for _, name := range []string{c.Name, strings.ToLower(c.Name)} {
			if found, ok := keyspace.CommandNamed([]byte(name)); !ok || found != c.Name {
				t.Errorf("%q finds %q, %t", name, found, ok)
			}
		}
	}
	for _, name := range []string{"", "SE", "SETT", "XGROUP  CREATE", "XGROUP|CREATE", strings.Repeat("A", 33), "S\x00T"} {
		if found, ok := keyspace.CommandNamed([]byte(name)); ok {
			t.Errorf("%q finds %q", name, found)
		}
	}
}

func TestCommands(t *testing.T) {
	infos := map[string]keyspace.CommandInfo{}
	last := ""
	for _, c := range keyspace.Commands() {
		if c.Name <= last {
			t.Errorf("%s after %s", c.Name, last)
		}
		last = c.Name
		infos[c.Name] = c
		if c.Replicated && c.InsteadUse != "" {
			t.Errorf("%s is replicated, and %q is to be used instead", c.Name, c.InsteadUse)
		}
	}
	for name, want := range map[string]struct {
		class      string
		replicated bool
		instead    string // a part of it
	}{
		"SET":           {"@string", true, ""},
		"ZADD":          {"@sortedset", true, ""},
		"XGROUP CREATE": {"@stream", true, ""},
		"GEOADD":        {"@geo", false, "ZADD"},
		"EXPIRE":        {"@keyspace", false, "PEXPIREAT"},
		"SETEX":         {"@write", false, "SET .. PXAT"},
		"SPOP":          {"@set", false, "SREM"},
		"GET":           {"@read", false, ""},
		"XACK":          {"@write", false, "nothing"},
		"PUBLISH":       {"@pubsub", true, ""},
		"PEXPIREAT":     {"@keyspace", true, ""},
	} {
		got := infos[name]
		if !slices.Contains(got.Classes, want.class) || got.Replicated != want.replicated ||
			!strings.Contains(got.InsteadUse, want.instead) || (want.instead == "") != (got.InsteadUse == "") {
			t.Errorf("%s: %+v, want %+v", name, got, want)
		}
	}
}
