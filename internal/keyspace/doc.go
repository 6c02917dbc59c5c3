// Package keyspace turns what a server replicates into events: which keys a
// command touches, and what the server's own keyspace notifications say about
// them.
//
//	in := keyspace.New(keyspace.Config{})
//	events = in.Command(events[:0], &keyspace.Command{Args: args, DB: 3, Offset: off})
//
// One command gives no, one or many events: SET k v PXAT 1 gives "set" and
// "expire" of k, DEL a b gives "del" of a and of b, PING gives none. Names,
// keys, databases and order are those of the server's notifications. Where the
// server announces nothing the package has names of its own: "flushdb",
// "flushall", "swapdb", "publish", "spublish", "function" (see package event).
//
// # What a command alone cannot tell
//
// The stream carries effects, and some things that a server announces are in no
// command. Here the events differ from the server's; it takes the keys' state
// to mend most of them:
//
//   - A pop, trim or removal that empties its key: no "del" follows.
//   - The *STORE commands, SORT STORE and BITOP announce "del", or nothing,
//     where their result is empty: here it is always the store event.
//   - DEL a b names keys that were not there too: "del" for each.
//   - A single DEL or UNLINK may be an expiry or an eviction: "del" with
//     CauseUnknown. An HDEL may be the expiry of fields: likewise. A DEL or
//     UNLINK of several keys is always a client's: CauseDeleted.
//   - SET .. KEEPTTL may have been an INCRBYFLOAT, HSET and HSETEX a
//     HINCRBYFLOAT, SREM an SPOP, XGROUP SETID an XREADGROUP: the event is
//     named after what is replicated.
//   - XADD .. MAXLEN may have trimmed: no "xtrim" follows.
//   - "new", "overwritten", "type_changed": whether the key was there before.
//
// testdata/scoreboard.txt counts them, against recordings of real servers.
//
// # Commands the package does not know
//
// A module's command, and a write command of a server for which nothing is
// announced (VADD), gives one event for each key, named after the command in
// lower case ("json.set", "vadd"). Where the keys are not known the first
// argument counts as the key, as in nearly all modules; without arguments the
// event concerns no key.
//
// # The table
//
// table.go is generated from what servers of Redis 6.0 to 8.6 and Valkey 8.0
// to 9.1 say about their own commands; see the command gen below this
// directory.
package keyspace

//go:generate go run ./gen -o table.go
