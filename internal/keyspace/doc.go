// Package keyspace turns what a server replicates into events: which keys a
// command touches, what the server's own keyspace notifications say about them,
// and, for the keys that somebody needs, the value before and after.
//
// It hides what each of the commands of Redis 6.0 to 8.6 and Valkey 8.0 to 9.1
// does: its keys, its events, and its effect on a value. It also hides the
// mirror, which holds the values, and how the mirror outlives a restart.
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
// What is promised:
//
//   - The same snapshot, commands and times give the same events in the same
//     order.
//   - A value that is not known is a nil Value, never a wrong one.
//   - Events borrow the bytes of their command. They, and their values, are valid
//     until the Interpreter is used again.
//   - A command costs what it says, and what it changes, not what a key holds. One
//     that names no key that is needed allocates nothing.
//   - Any bytes, from the stream, a snapshot or a store, give events or errors and
//     no panic. Memory is bounded by Config.MaxMirror.
//
// One goroutine at a time may use an Interpreter.
//
// # What a command alone cannot tell
//
// The stream carries effects, and some things that a server announces are in no
// command. For keys of which nothing is kept the events differ from the
// server's:
//
//   - A pop, trim or removal that empties its key: no "del" follows.
//   - The *STORE commands, SORT STORE and BITOP announce "del", or nothing,
//     where their result is empty: here it is always the store event.
//   - DEL a b names keys that were not there too: "del" for each.
//   - A single DEL or UNLINK may be an expiry or an eviction: "del" with
//     CauseUnknown. An HDEL may be the expiry of fields: likewise. A DEL or
//     UNLINK of several keys is always a client's: CauseDeleted.
//   - SET .. KEEPTTL may have been an INCRBYFLOAT, HSETEX a HINCRBYFLOAT or
//     HINCRBY.
//   - XADD .. MAXLEN may have trimmed: no "xtrim" follows. SMOVE announces
//     "sadd" only if the member is new, XCLAIM a consumer that it makes.
//
// testdata/scoreboard.txt counts them, against recordings of real servers.
//
// # The mirror
//
// Config.Need says of which keys more is kept. Of those with NeedState it is
// whether they are there, type, deadline and the names of their elements: then
// all of the above is exact, but for what depends on the text of strings. With
// NeedValue it is the whole value too, and events have Before and After: views
// of the mirror that cost nothing until they are read, and then what is read.
// A change to a collection of a million elements costs what it changed.
//
//	in := keyspace.New(keyspace.Config{Need: func(db int, key []byte) keyspace.Need { ... }})
//	in.SnapshotBegin()
//	events = in.SnapshotKey(events[:0], &keyspace.SnapshotKey{Key: e.Key, ..., Value: reader}) // for each key
//	events = in.SnapshotEnd(events[:0], &keyspace.SnapshotKey{Time: now})
//
// Until a snapshot was loaded, or a FLUSHALL seen, only keys that a command has
// set whole are known. Losses counts why a value is not known, and LostSince tells
// that there are more. Only the server can tell what SORT .. BY and GET, STOREDIST
// and the commands of modules give: that is not known. (A distance depends on the
// sines of the server's C library.) Nor is a value after a command that no server
// can have done with what is mirrored. After a script that comes as it was sent no
// value at all is known. Which places a server finds is known, unless one is within
// a hair of an edge. The bytes of a HyperLogLog depend on the server's
// hll-sparse-max-bytes, which SetSparseMax tells. Else the default is assumed,
// until a value in a snapshot, or one that a client sets or restores, shows that
// it is not so: from then on a HyperLogLog of few elements is not known once it
// grows.
//
// ElementChanges gives the elements that an event's command changed, and Lookup
// what a key holds at this moment. Release gives up what the events have needed:
// else a value that was removed stays in memory until the next command.
//
// Values are event.Counters. What one has counted once for a predicate it keeps
// up to date: after each command by the elements that have changed (tallies.go).
// A tally costs 112 bytes, the first 64 more, and at each change of an element some 50 ns; it is
// dropped once more elements have changed since it was asked than there are.
//
// A key takes, on 64 bits, about 176 bytes beyond its name and value; an element
// beyond its text about 24 bytes in a list, 44 in a set, 76 in a hash (50 and
// its name again if it has a deadline), 100 in a sorted set, 72 in a stream and
// 24 for each of an entry's texts; and each collection 50 to 300. Stats has the
// sum of these, TestMemory holds it against the heap, and Config.MaxMirror
// bounds it.
//
// A snapshot after a gap is compared with the mirror, and each key that is not
// as it was makes one event with the origin FromResync: event.Changed, "del",
// or "expired" where the deadline had passed.
//
// # The journal
//
// The mirror is in memory. With Journal on, a cut tells what has changed of it
// since the last one, as changes to the entries of an ordered map, in blocks of
// bytes; who keeps these, together with the position that they belong to, gives
// them back to RestoreBlock, and goes on as if nothing had happened: what is
// known, and what is known not to be there, when which key expires and whether
// that was announced.
//
//	in := keyspace.New(config)
//	for each block, in order { n, err = in.RestoreBlock(block) } // on an error: start afresh
//	err = in.RestoreEnd(complete)
//	...
//	in.Cut(whole, sink)            // after any number of whole transactions
//	...                            // commands
//	done = in.TellCut(16 << 10)    // now and then, until it is done
//
// A cut is of the moment at which it was made, though it is told a piece at a time
// while commands go on: only the list of changed keys is put aside, and a key that
// is about to change is told before it does.
//
// A key is told once however often it has changed, with its value. A value of
// more than 2 KiB is told once; what is done to its elements is added, until
// that is more than the value: then it is told anew. So a change costs what
// it changed, and not what it is made to. RENAME, MOVE, SWAPDB and FLUSHALL cost
// no more. A key and a value that take more than 64 MiB together are not kept,
// and not known after a restart. What waits to be told takes memory besides the
// mirror's: a key's name and 16 bytes each, and of long values what has changed.
//
// # Whether a key expired
//
// A single DEL or UNLINK of a key at or after its deadline is its expiry:
// before any command looks at a key that is past its deadline, the server
// removes it and replicates that by itself. Of an HDEL it takes all fields to
// be past theirs, and of Redis that it names one. A server's own commands are in
// upper case: one that is spelt otherwise is a client's. What counts is Command.Time, which is our clock at arrival;
// Config.ExpiryGrace allows for a clock that is behind the primary's, and for
// Redis 6.0, which replicates how long a key has to live and not until when. A
// key that is removed before its deadline was deleted by a client or evicted:
// CauseDeleted says no more.
//
// Deadlines are by the primary's clock. SetClock tells how far that is ahead of
// ours, or behind. Of itself the stream shows very little of it: the one time of
// the primary's in it is the TIME of XCLAIM, which comes whenever a group reads a
// stream, and shows, since no command arrives before it was sent, how far its
// clock is ahead at least. What a minute of it shows is added to our time, 5
// seconds at most. That a key is removed shortly before its deadline shows
// nothing: it is what becomes of every lock.
//
// With NeedOnTime the expiry is announced at the deadline, by Expire, and the
// server's removal, which may be minutes late, makes no event.
//
// A field past its deadline is there until the server removes it, too. But the
// commands of Valkey that name one, other than to set it, take it for not there:
// it is buried, and in no value any more, before the command either. The key stays
// as long as a field is buried, and its removal is its expiry.
//
// # What nobody can tell
//
// Here events differ from the server's though all is mirrored, since the same
// bytes come for different things. TestDifferential names the same exceptions:
//
//   - SREM may be an SPOP: "srem". A DEL may be an SPOP that takes all: no
//     "spop" before the "del".
//   - HSET may be an HINCRBYFLOAT, before Redis 8.0.6 and in Valkey, and there an
//     HINCRBY too if another field of the hash has a deadline: "hset".
//     A client's own SET .. KEEPTTL of a number over a number passes for an
//     INCRBYFLOAT if one of them has a fraction, and an INCRBYFLOAT for a SET if
//     none has; a client's HSETEX .. KEEPTTL of a number passes for an
//     HINCRBYFLOAT, and in Valkey one with the deadline that the field has. All
//     this in the server's own words, and in upper case.
//   - UNLINK, and HDEL, may be an EXPIRE or HPEXPIRE in the past, which Valkey
//     8.1 and later announce as "expired" and "hexpired": "del" and "hdel".
//   - Fields that expire together are announced once: here each HDEL is.
//   - A client's XGROUP SETID with ENTRIESREAD passes for an XREADGROUP: no event.
//     The consumer that a waiting XREADGROUP makes is announced before the XADD
//     that ends the wait: here after it.
//   - What is announced and not replicated has no event: an LTRIM that changes
//     nothing, the consumer of an XREADGROUP or XCLAIM that finds nothing, what a
//     script does after redis.set_repl, HSETEX in the past (of which Redis
//     replicates the HDEL: "hset", "hdel" where the field was not there, else
//     "hdel"). XGROUP SETID may be an XREADGROUP with NOACK of Redis
//     6.0: "xgroup-setid".
//   - ZREMRANGEBYLEX, and ZRANGESTORE BYLEX, of members whose scores differ
//     depends on the server's encoding; the value is not known afterwards.
//
// # Slots
//
// TRIMSLOTS of Redis and CLUSTER FLUSHSLOT of Valkey name slots, and the server
// drops all keys in them: each that is mirrored and there is a "del" with
// CauseTrimmed, as Valkey announces it (Redis announces nothing), in the order
// of databases and names; others are as they were. It takes one pass over the
// mirror's keys. The events come in steps, see Rest, so that a node which gives
// away millions of keys does not have the events of all in memory.
//
// # Commands the package does not know
//
// A module's command, and a write command of a server for which nothing is
// announced (VADD), gives one event for each key, named after the command in
// lower case ("json.set", "vadd"). Where the keys are not known the first
// argument counts as the key, as in nearly all modules; without arguments the
// event concerns no key. The value of each key that any of its arguments names is
// not known afterwards.
//
// # What a command is made of
//
// A command has one entry, a row of a table in the file of its type (strings.go,
// hashes.go, server.go ...): name, arity, ACL categories and keys as the servers
// say, the events that it makes, and the function that does to a mirrored key
// what the command did. See the type command. TestEntries holds the entries
// against testdata/commands, which has what servers of all versions say in answer
// to COMMAND, and TestDumps holds those files against running servers.
//
// While a command is interpreted it is a call. Each key that it works on is an
// operand: what the mirror knows of the key (keyState), with an undo of what the
// command has changed. The view before an event reads the value through the undo,
// the view after it reads the value as it is.
package keyspace
