package keyspace

import (
	"slices"
	"strings"
)

// command is all that the package knows of one command of the servers. Each
// command and subcommand has one entry, in the file of the type of key that it
// is for. TestEntries holds name, arity, acl and keys against what the servers
// themselves say.
type command struct {
	name  string // upper case; "XGROUP CREATE" for a subcommand
	arity int    // how many words it has, its own name among them; negative: at least so many
	acl   string // the server's ACL categories, sorted: "@string @write"

	// keys says which arguments are keys. Where that does not suffice findKeys
	// finds them; a zero range is none.
	keys     []keySpec
	findKeys func(keys []keySpec, args [][]byte) [maxRanges]keyRange
	// own says of a command that does the same to each of its keys, which its
	// first specification finds, what of its arguments is about one of them.
	own ownArgs

	// events are those that the command alone tells of.
	events announcement
	// apply does to the mirrored keys what the command did, after its events
	// were made. nil: what it did is not known, if it has events.
	apply func(*call)
	// follow takes the place of both where the mirrored keys decide which events
	// there are: it makes them too. It is called if a key is mirrored that the
	// command names.
	follow func(*call)

	replaces   replacing // what becomes of a value that was there
	everywhere bool      // it reaches keys that its arguments do not place in the selected database
	anyLength  bool      // apply understands too few arguments too
	// anyArgument says that any of its arguments may be a key, and that nobody
	// knows what becomes of it.
	anyArgument bool
	tellsTime   bool   // it carries the time of the primary's clock
	instead     string // what to write in a rule, since the command is not replicated under its name

	// Set by newTable.
	words     int    // the fewest that it has
	container bool   // it has subcommands
	sub       bool   // it is one
	oneKey    bool   // its first argument is its one key
	ownEvent  string // the event that is named after it: "vadd", "cluster-flushslot"
}

// replacing says how a command replaces the value of a key. It decides about
// the events of Classes.
type replacing uint8

const (
	overwrites   replacing = 1 << iota // the new value takes the place of the old one
	removesFirst                       // the old key is removed first, so that the key is new too
	moves                              // the key comes from elsewhere, and is new first of all
)

// The places of keys that several commands have.
var (
	firstKey             = []keySpec{{begin: 1}}
	secondKey            = []keySpec{{begin: 2}}
	twoKeys              = []keySpec{{begin: 1}, {begin: 2}}
	allKeys              = []keySpec{{begin: 1, last: -1}}
	keyAndSources        = []keySpec{{begin: 1}, {begin: 2, last: -1}}
	allButLast           = []keySpec{{begin: 1, last: -2}}
	countedKeys          = []keySpec{{begin: 1, keynum: true, firstAt: 1}}
	laterCountedKeys     = []keySpec{{begin: 2, keynum: true, firstAt: 1}}
	keyAndCountedSources = []keySpec{{begin: 1}, {begin: 2, keynum: true, firstAt: 1}}
)

// commands are the entries of all files, sorted by name.
var commands = newTable(
	stringCommands, bitmapCommands, hyperLogLogCommands, listCommands, setCommands, hashCommands, zsetCommands, geoCommands,
	streamCommands, vectorCommands, genericCommands, sortCommands, scriptCommands, serverCommands,
)

// newTable joins the entries of several files.
func newTable(files ...[]command) []*command {
	var all []*command
	for _, entries := range files {
		for i := range entries {
			c := &entries[i]
			c.words = max(c.arity, -c.arity)
			c.oneKey = c.findKeys == nil && len(c.keys) == 1 && c.keys[0] == firstKey[0]
			c.ownEvent = strings.ReplaceAll(strings.ToLower(c.name), " ", "-")
			all = append(all, c)
		}
	}
	slices.SortFunc(all, func(a, b *command) int { return strings.Compare(a.name, b.name) })
	for i, c := range all[1:] { // a subcommand follows its container or another subcommand
		if name, _, sub := strings.Cut(c.name, " "); sub {
			c.sub = true
			if before := all[i]; before.name == name {
				before.container = true
			}
		}
	}
	return all
}

// maxName is the longest name of a command that can be found.
const maxName = 32

// nameTable has all commands by their names: each at the place that hashName
// says, or at the next one that is free.
var nameTable = func() (t [nameSlots]*command) {
	for _, c := range commands {
		i := hashName([]byte(c.name))
		for t[i] != nil {
			i = (i + 1) % nameSlots
		}
		t[i] = c
	}
	return t
}()

const nameSlots = 2048 // several times as many as there are commands

// hashName is the same for a name in any case.
func hashName(name []byte) int {
	h := uint32(len(name))
	for _, c := range name {
		h = h*31 + uint32(c|0x20)
	}
	return int(h*0x9e3779b1>>16) % nameSlots
}

// commandNamed finds a command by its name in any case, a subcommand by both
// names with a space between; nil if there is none. It does not allocate.
func commandNamed(name []byte) *command {
	if len(name) > maxName {
		return nil
	}
	for i := hashName(name); nameTable[i] != nil; i = (i + 1) % nameSlots {
		if c := nameTable[i]; is(name, c.name) {
			return c
		}
	}
	return nil
}

// commandOf finds the command that args are, the subcommand if it has one, and
// else unknownCommand.
func commandOf(args [][]byte) *command {
	c := commandNamed(args[0])
	if c == nil || c.sub { // no server has a command of two words in one, only our table: "XGROUP CREATE"
		return unknownCommand
	}
	if !c.container || len(args) < 2 || len(args[0])+1+len(args[1]) > maxName {
		return c
	}
	var buf [maxName]byte
	n := copy(buf[:], args[0])
	buf[n] = ' '
	n += 1 + copy(buf[n+1:], args[1])
	if sub := commandNamed(buf[:n]); sub != nil {
		return sub
	}
	return c
}

func upper(c byte) byte {
	if 'a' <= c && c <= 'z' {
		return c - ('a' - 'A')
	}
	return c
}

func lower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		return c + ('a' - 'A')
	}
	return c
}

// is reports whether arg is the word, given in upper case, in any case.
func is(arg []byte, word string) bool {
	if len(arg) != len(word) {
		return false
	}
	for i, c := range arg {
		if upper(c) != word[i] {
			return false
		}
	}
	return true
}
