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
	// make makes those that the command alone tells of. nil: none.
	make func(*call)
	// names are of all events that the command can make, those that take the
	// mirror too. Without names the event is named after the command.
	names []string
	// silent says of a write command that it is known to make none.
	silent bool
}

// silent is the announcement of a write command for which servers announce
// nothing.
var silent = announcement{silent: true}

// onKey is one event on the command's first key. typ is the type that the key
// has afterwards, "" where the command alone does not tell, as where it may have
// emptied the key.
func onKey(name, typ string) announcement {
	return made(func(c *call) { c.emit(c.cmd.keys[0].begin, name, typ) }, name)
}

// onEachKey is one event on each key of the command's first specification.
func onEachKey(name, typ string) announcement {
	return made(func(c *call) { c.emitEach(&c.cmd.keys[0], name, typ) }, name)
}

// keyless is one event that concerns no key.
func keyless(name string) announcement {
	return made(func(c *call) { c.emitKey(nil, c.sent.DB, name, "") }, name)
}

// ownName is one event on each key, named after the command: for commands of
// which no server announces anything.
var ownName = ownNameAs("")

// ownNameAs is the same where typ is the type that the keys have afterwards.
func ownNameAs(typ string) announcement {
	return made(func(c *call) { c.emitOwn(typ) })
}

// made are the events that f makes. names are all that it, and the command's
// follow and apply, can give.
func made(f func(*call), names ...string) announcement {
	return announcement{make: f, names: names}
}

// stateNames are events of the servers that no entry has: it takes the state of
// the key to know them.
var stateNames = []string{"evicted", "new", "overwritten", "type_changed"}

// EventNames returns the names that an event can have, sorted: those of the
// servers' keyspace notifications, and our own. The caller owns the slice.
// "keymiss" is not among them, since reads are not replicated. An unknown
// command makes an event of its own name.
func EventNames() []string {
	names := append([]string{
		event.FlushDB, event.FlushAll, event.SwapDB, event.Publish, event.SPublish, event.Function,
		event.Snapshot, event.Changed, event.Resync, event.Gap, event.Schedule,
	}, stateNames...)
	for _, c := range commands {
		names = append(names, c.events.names...)
		if c.events.make != nil && len(c.events.names) == 0 && c.instead == "" {
			names = append(names, c.ownEvent)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}
