package keyspace

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// dumps are the servers whose dumps in testdata/commands the entries are held
// against. Where two disagree on a command the later counts, so the newest Redis
// is last.
var dumps = []string{
	"redis-6.0", "redis-7.0", "valkey-8.0", "valkey-8.1", "valkey-9.1", "redis-8.0", "redis-8.6",
}

// dumped is what servers say of one command.
type dumped struct {
	Name       string // upper case, "XGROUP CREATE" for a subcommand
	Arity      int
	Flags      []string
	First      int // legacy place of the keys, as COMMAND gives it
	Last       int
	Step       int
	Categories []string
	Keys       []dumpedKeys // Redis >= 7.0

	servers []string // that have it
}

// dumpedKeys is a key specification as Redis documents it (key-specs): where to
// begin to search, and how to find the keys from there.
type dumpedKeys struct {
	Flags []string
	Begin struct { // search
		Type string // index, keyword, unknown
		Spec struct {
			Index     int
			Keyword   string
			Startfrom int
		}
	}
	Find struct { // keys
		Type string // range, keynum, unknown
		Spec struct {
			Lastkey, Limit, Keystep, Keynumidx, Firstkey int
		}
	}
}

// readDumps joins what all servers say. Flags and categories are those of any
// server.
func readDumps(t testing.TB) map[string]*dumped {
	t.Helper()
	all := map[string]*dumped{}
	for _, server := range dumps {
		b, err := os.ReadFile(filepath.Join("testdata/commands", server+".json"))
		if err != nil {
			t.Fatal(err)
		}
		var commands []*dumped
		if err := json.Unmarshal(b, &commands); err != nil {
			t.Fatalf("%s: %v", server, err)
		}
		for _, c := range commands {
			if old := all[c.Name]; old != nil {
				c.Categories = joined(old.Categories, c.Categories)
				c.Flags = joined(old.Flags, c.Flags)
				if len(c.Keys) == 0 {
					c.Keys = old.Keys
				}
				c.servers = old.servers
			}
			c.servers = append(c.servers, server)
			all[c.Name] = c
		}
	}
	return all
}

func joined(a, b []string) []string {
	both := slices.Concat(a, b)
	slices.Sort(both)
	return slices.Compact(both)
}

// writes reports whether a server calls it a write command.
func (d *dumped) writes() bool { return slices.Contains(d.Flags, "write") }

// acl spells the categories as an entry does.
func (d *dumped) acl() string {
	slices.Sort(d.Categories)
	return strings.Join(d.Categories, " ")
}

// keySpecs returns the specifications that the keys can be found by; those that
// say "unknown" are left to the package's own code.
func (d *dumped) keySpecs() (specs []keySpec) {
	for _, k := range d.Keys {
		if slices.Contains(k.Flags, "not_key") || k.Begin.Type == "unknown" || k.Find.Type == "unknown" {
			continue
		}
		begin, find := k.Begin.Spec, k.Find.Spec
		specs = append(specs, keySpec{
			keyword: begin.Keyword, begin: begin.Index + begin.Startfrom, // one of them is 0
			keynum: k.Find.Type == "keynum", numAt: find.Keynumidx, firstAt: find.Firstkey,
			last: find.Lastkey, limit: find.Limit, step: find.Keystep,
		})
	}
	if len(d.Keys) == 0 && d.First > 0 { // a command of Redis 6.0 only, or of a module
		last := d.Last
		if last > 0 {
			last -= d.First // legacy: counted from the command's name
		}
		specs = append(specs, keySpec{begin: d.First, last: last, step: d.Step})
	}
	for i := range specs {
		if specs[i].step == 1 {
			specs[i].step = 0
		}
	}
	return specs
}

// entry spells the entry that the command should have, without its events and
// what it does.
func (d *dumped) entry() string {
	line := fmt.Sprintf("{name: %q, arity: %d", d.Name, d.Arity)
	if acl := d.acl(); acl != "" {
		line += fmt.Sprintf(", acl: %q", acl)
	}
	if specs := d.keySpecs(); len(specs) > 0 {
		line += ", keys: " + spellKeys(specs)
	}
	return line + "}"
}

func spellKeys(specs []keySpec) string {
	for name, known := range map[string][]keySpec{
		"firstKey": firstKey, "secondKey": secondKey, "twoKeys": twoKeys, "allKeys": allKeys, "allButLast": allButLast,
		"keyAndSources": keyAndSources, "countedKeys": countedKeys, "laterCountedKeys": laterCountedKeys, "keyAndCountedSources": keyAndCountedSources,
	} {
		if slices.Equal(specs, known) {
			return name
		}
	}
	var all []string
	for _, s := range specs {
		var fields []string
		v := reflect.ValueOf(s)
		for i := range v.NumField() {
			if f := v.Field(i); !f.IsZero() {
				fields = append(fields, fmt.Sprintf("%s: %#v", v.Type().Field(i).Name, f))
			}
		}
		all = append(all, "{"+strings.Join(fields, ", ")+"}")
	}
	return "[]keySpec{" + strings.Join(all, ", ") + "}"
}

// TestEntries: each command that a server has has an entry, which says the same
// of it as the servers do, and what is announced if it writes. TestDumps holds
// the dumps against running servers.
func TestEntries(t *testing.T) {
	all := readDumps(t)
	for name, d := range all {
		c := commandNamed([]byte(name))
		if c == nil {
			t.Errorf("%v have %s, which has no entry. In the file of its type it needs\n\t%s", d.servers, name, d.entry())
			continue
		}
		if c.arity != d.Arity || c.acl != d.acl() || !slices.Equal(c.keys, d.keySpecs()) {
			t.Errorf("the entry of %s says\n\tarity %d, acl %q, keys %s\nthe servers say\n\t%s", name, c.arity, c.acl, spellKeys(c.keys), d.entry())
		}
		if said := c.events.make != nil || c.events.silent; d.writes() && !said {
			t.Errorf("%s writes, and its entry does not say what is announced", name)
		}
	}
	names := map[string]bool{}
	for _, c := range commands {
		if all[c.name] == nil {
			t.Errorf("no server has %s", c.name)
		}
		if names[c.name] {
			t.Errorf("%s has two entries", c.name)
		}
		names[c.name] = true
		checkEntry(t, c)
	}
}

// checkEntry: an entry has what its code relies on.
func checkEntry(t *testing.T, c *command) {
	t.Helper()
	if c.apply != nil && c.follow != nil {
		t.Errorf("%s is applied and followed", c.name)
	}
	if c.words == 0 && !c.anyLength && (c.apply != nil || c.follow != nil) {
		t.Errorf("%s is applied to arguments that may be missing", c.name)
	}
	if c.events.make != nil && c.events.silent {
		t.Errorf("%s is silent and has events", c.name)
	}
	if len(c.events.names) == 0 && c.events.make != nil && !c.events.own {
		t.Errorf("%s has no name for its event", c.name)
	}
	if len(c.keys) >= maxRanges {
		t.Errorf("%s has %d key specifications", c.name, len(c.keys))
	}
	for _, s := range c.keys {
		if s.step < 0 {
			t.Errorf("%s: keys %+v would never end", c.name, s)
		}
	}
	if c.everywhere && c.apply == nil && c.follow == nil {
		t.Errorf("%s reaches keys everywhere, and nothing is done to them", c.name)
	}
	// A command of which nothing is known but its name, in each mode.
	need := func(int, []byte) Need { return NeedValue }
	for words := 1; words <= c.words+1; words++ {
		args := byteArgs(strings.Fields(c.name)...)
		for len(args) < words {
			args = append(args, []byte("x"))
		}
		for _, in := range []*Interpreter{New(Config{}), New(Config{Need: need})} {
			for _, ev := range in.Command(nil, &Command{Args: args}) {
				if names := EventNames(); c.instead == "" && !slices.Contains(names, ev.Name) {
					t.Errorf("%q makes event %q, which EventNames has not", args, ev.Name)
				}
			}
		}
	}
}
