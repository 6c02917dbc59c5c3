package keyspace

import (
	"slices"

	"triggerd/internal/event"
)

// Types of keys, as the server's TYPE spells them.
const (
	typeString = "string"
	typeList   = "list"
	typeSet    = "set"
	typeZset   = "zset"
	typeHash   = "hash"
	typeStream = "stream"
	typeNone   = "none"
)

// announcement is which events a command makes. Its sources are the servers'
// calls of notifyKeyspaceEvent and the recordings in testdata. The zero value is
// that of a read: the server announces nothing, and neither do we.
type announcement struct {
	// make makes the events that the command alone tells of. nil: none.
	make func(*call)
	// names are those of all events that the command can make, also of those that
	// its apply or follow makes, as the "del" of a key that it has emptied.
	names []string
	// own says that it also makes one that is named after the command.
	own bool
	// silent says of a write command that it alone tells of none.
	silent bool
}

// onKey is one event on the command's first key. typ is the type that the key
// has afterwards, "" where the command alone does not tell, as where it may have
// emptied the key. also are the names of events that apply or follow makes.
func onKey(name, typ string, also ...string) announcement {
	return madeBy(func(c *call) { c.emit(c.cmd.keys[0].begin, name, typ) }, append([]string{name}, also...)...)
}

// onEachKey is one event on each key of a command that does the same to all of
// them.
func onEachKey(name, typ string) announcement {
	return madeBy(func(c *call) { c.emitEach(name, typ) }, name)
}

// keyless is one event that concerns no key.
func keyless(name string) announcement {
	return madeBy(func(c *call) { c.emitKey(nil, c.sent.DB, name, "") }, name)
}

// ownName is one event on each key, named after the command: for commands of
// which no server announces anything.
var ownName = ownNameAs("")

// ownNameAs is the same where typ is the type that the keys have afterwards.
func ownNameAs(typ string, also ...string) announcement {
	a := madeBy(func(c *call) { c.emitOwn(typ) }, also...)
	a.own = true
	return a
}

// madeBy are the events that f makes. names are all that the command can make.
func madeBy(f func(*call), names ...string) announcement {
	return announcement{make: f, names: names}
}

// silent is the announcement of a write command for which servers announce
// nothing.
var silent = silentBut()

// silentBut is the same, but for events that apply or follow makes.
func silentBut(names ...string) announcement {
	return announcement{names: names, silent: true}
}

// stateNames are events of the servers that no entry has: those of Classes, and
// one that no stream tells from "del".
var stateNames = []string{"evicted", "new", "overwritten", "type_changed"}

// EventNames returns the names that an event can have, sorted: those of the
// servers' keyspace notifications, and our own. The caller owns the slice.
// "keymiss" is not among them, since reads are not replicated. An unknown
// command makes an event of its own name.
func EventNames() []string {
	names := append([]string{
		event.FlushDB, event.FlushAll, event.SwapDB, event.Publish, event.SPublish, event.Function,
		event.Snapshot, event.Changed, event.Resync, event.Gap, event.Rewound, event.Schedule,
	}, stateNames...)
	for _, c := range commands {
		names = append(names, c.events.names...)
		if c.events.own && c.instead == "" {
			names = append(names, c.ownEvent)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}
