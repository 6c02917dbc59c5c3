package keyspace

import (
	"bytes"

	"triggerd/internal/event"
)

// The commands of keys of any type, and of databases.
var genericCommands = []command{
	{name: "ASKING", arity: 1, acl: "@connection @fast @keyspace"},
	{name: "COPY", arity: -3, acl: "@keyspace @slow @write", keys: twoKeys,
		events: madeBy((*call).copyEvents, "copy_to"), apply: (*call).copy, replaces: overwrites | removesFirst, everywhere: true},
	{name: "DBSIZE", arity: 1, acl: "@fast @keyspace @read"},
	{name: "DEL", arity: -2, acl: "@keyspace @slow @write", keys: allKeys, own: ownKey,
		events: madeBy((*call).delEvents, "del", "expired"), follow: (*call).del},
	{name: "DUMP", arity: 2, acl: "@keyspace @read @slow", keys: firstKey},
	{name: "EXISTS", arity: -2, acl: "@fast @keyspace @read", keys: allKeys},
	{name: "EXPIRE", arity: -3, acl: "@fast @keyspace @write", keys: firstKey,
		events: onKey("expire", ""), apply: (*call).expire, instead: insteadExpire},
	{name: "EXPIREAT", arity: -3, acl: "@fast @keyspace @write", keys: firstKey,
		events: onKey("expire", ""), apply: (*call).expireat, instead: insteadExpire},
	{name: "EXPIRETIME", arity: 2, acl: "@fast @keyspace @read", keys: firstKey},
	{name: "FLUSHALL", arity: -1, acl: "@dangerous @keyspace @slow @write",
		events: keyless("flushall"), apply: (*call).flushall, everywhere: true},
	{name: "FLUSHDB", arity: -1, acl: "@dangerous @keyspace @slow @write",
		events: keyless("flushdb"), apply: (*call).flushdb, everywhere: true},
	{name: "KEYS", arity: 2, acl: "@dangerous @keyspace @read @slow"},
	{name: "MIGRATE", arity: -6, acl: "@dangerous @keyspace @slow @write", keys: []keySpec{{begin: 3}, {keyword: "KEYS", begin: -2, last: -1}},
		events: ownName, findKeys: migrateKeys, instead: insteadDel},
	{name: "MOVE", arity: 3, acl: "@fast @keyspace @write", keys: firstKey,
		events: madeBy((*call).moveEvents, "move_from", "move_to"), apply: (*call).move, replaces: moves, everywhere: true},
	{name: "OBJECT", arity: -2, acl: "@keyspace @read @slow"},
	{name: "OBJECT ENCODING", arity: 3, acl: "@keyspace @read @slow", keys: secondKey},
	{name: "OBJECT FREQ", arity: 3, acl: "@keyspace @read @slow", keys: secondKey},
	{name: "OBJECT HELP", arity: 2, acl: "@keyspace @slow"},
	{name: "OBJECT IDLETIME", arity: 3, acl: "@keyspace @read @slow", keys: secondKey},
	{name: "OBJECT REFCOUNT", arity: 3, acl: "@keyspace @read @slow", keys: secondKey},
	{name: "PERSIST", arity: 2, acl: "@fast @keyspace @write", keys: firstKey,
		events: onKey("persist", ""), apply: (*call).persist},
	{name: "PEXPIRE", arity: -3, acl: "@fast @keyspace @write", keys: firstKey,
		events: onKey("expire", ""), apply: (*call).pexpire, instead: insteadExpire},
	{name: "PEXPIREAT", arity: -3, acl: "@fast @keyspace @write", keys: firstKey,
		events: onKey("expire", ""), apply: (*call).pexpireat},
	{name: "PEXPIRETIME", arity: 2, acl: "@fast @keyspace @read", keys: firstKey},
	{name: "PTTL", arity: 2, acl: "@fast @keyspace @read", keys: firstKey},
	{name: "RANDOMKEY", arity: 1, acl: "@keyspace @read @slow"},
	{name: "READONLY", arity: 1, acl: "@connection @fast @keyspace"},
	{name: "READWRITE", arity: 1, acl: "@connection @fast @keyspace"},
	{name: "RENAME", arity: 3, acl: "@keyspace @slow @write", keys: twoKeys,
		events: madeBy((*call).renameEvents, "rename_from", "rename_to"), apply: (*call).rename, replaces: overwrites | removesFirst | moves},
	{name: "RENAMENX", arity: 3, acl: "@fast @keyspace @write", keys: twoKeys,
		events: madeBy((*call).renameEvents, "rename_from", "rename_to"), apply: (*call).rename, replaces: overwrites | removesFirst | moves},
	{name: "RESTORE", arity: -4, acl: "@dangerous @keyspace @slow @write", keys: firstKey,
		events: onKey("restore", ""), apply: (*call).restore, replaces: overwrites | removesFirst},
	{name: "RESTORE-ASKING", arity: -4, acl: "@dangerous @keyspace @slow @write", keys: firstKey,
		events: onKey("restore", ""), apply: (*call).restore, replaces: overwrites | removesFirst},
	{name: "SCAN", arity: -2, acl: "@keyspace @read @slow"},
	{name: "SELECT", arity: 2, acl: "@connection @fast @keyspace"},
	{name: "SWAPDB", arity: 3, acl: "@dangerous @fast @keyspace @write",
		events: keyless("swapdb"), apply: (*call).swapdb, everywhere: true},
	{name: "TOUCH", arity: -2, acl: "@fast @keyspace @read", keys: allKeys},
	{name: "TRIMSLOTS", arity: -5, acl: "@dangerous @keyspace @slow @write",
		events: ownNameAs("", "del"), apply: (*call).trimslots, everywhere: true, anyLength: true},
	{name: "TTL", arity: 2, acl: "@fast @keyspace @read", keys: firstKey},
	{name: "TYPE", arity: 2, acl: "@fast @keyspace @read", keys: firstKey},
	{name: "UNLINK", arity: -2, acl: "@fast @keyspace @write", keys: allKeys, own: ownKey,
		events: madeBy((*call).delEvents, "del", "expired"), follow: (*call).del},
	{name: "WAIT", arity: 3, acl: "@blocking @connection @keyspace @slow"},
}

// migrateKeys: MIGRATE host port key|"" db timeout .. KEYS key... An empty key is
// a placeholder.
func migrateKeys(keys []keySpec, args [][]byte) (found [maxRanges]keyRange) {
	if len(args) > 3 && len(args[3]) == 0 {
		keys = keys[1:]
	}
	appendFound(found[:0], keys, args)
	return found
}

// ownSpelling reports whether the command may be the server's own: one that it
// replicates of its own accord is in upper case. A client's is as the client
// spelt it.
func (c *call) ownSpelling() bool { return string(c.args[0]) == c.cmd.name }

// delEvents: of a single key DEL may be an expiry or an eviction, of several it
// is a client's, since a server removes keys of its own accord one by one.
func (c *call) delEvents() {
	c.cause = event.CauseDeleted
	if len(c.args) == 2 && c.ownSpelling() {
		c.cause = event.CauseUnknown
	}
	c.emitEach("del", typeNone)
}

// deletedEvents: a client's command has deleted its key.
func (c *call) deletedEvents() {
	c.cause = event.CauseDeleted
	c.emit(1, "del", typeNone)
}

// renameEvents: RENAME key newkey.
func (c *call) renameEvents() {
	c.emit(1, "rename_from", typeNone)
	if len(c.args) > 2 {
		c.emit(2, "rename_to", "")
	} else {
		c.malformed = true
	}
}

// moveEvents: MOVE key db.
func (c *call) moveEvents() {
	c.emit(1, "move_from", typeNone)
	if db, ok := parseInt(c.arg(2)); ok {
		c.emitIn(db, 1, "move_to", "")
	} else {
		c.malformed = true
	}
}

// copyEvents: COPY source destination [DB db] [REPLACE].
func (c *call) copyEvents() {
	db, ok := c.copyDatabase()
	if !ok { // in a database that we cannot name
		c.malformed = true
		c.emitKey(nil, c.sent.DB, "copy_to", "")
		return
	}
	c.emitIn(db, 2, "copy_to", "")
}

// copyDatabase returns the database that COPY copies to.
func (c *call) copyDatabase() (db int, ok bool) {
	db = c.sent.DB
	for i := 3; i < len(c.args); i++ {
		if !is(c.args[i], "DB") {
			continue
		}
		i++
		if i == len(c.args) {
			return 0, false
		}
		if db, ok = parseInt(c.args[i]); !ok {
			return 0, false
		}
	}
	return db, true
}

// del: DEL or UNLINK. A server removes keys of its own accord one by one, and
// a command that finds an expired key lets it expire first; so of one key that
// is past its deadline it is an expiry, and of several, or not in the server's
// spelling, it is a client's.
func (c *call) del() {
	if len(c.args) == 2 {
		c.delOne()
		return
	}
	c.cause = event.CauseDeleted
	for i := range c.many.places() {
		k := c.key(i)
		if !k.needed() || k.value.exists != no && !k.expiry.wasAnnounced() {
			c.emit(i, "del", typeNone)
		}
		k.remove()
	}
}

func (c *call) delOne() {
	k := c.key(1)
	name := "del"
	c.cause = event.CauseUnknown
	switch {
	case !k.needed():
	case k.value.exists == no:
		if r := &c.mi.removal; r.emptied && r.sameKey(c.sent.Tx.ID, k) {
			return // announced when its last field went
		}
		c.lost.Mismatch++
	case k.expiry.wasAnnounced():
		k.remove()
		return
	case !c.ownSpelling():
		c.cause = event.CauseDeleted
	case !k.expiry.known || c.now == 0 && k.expiry.at != 0:
	case k.expiry.at != 0 && c.past(k.expiry.at):
		name, c.cause = "expired", event.CauseExpired
	default:
		c.cause = event.CauseDeleted
	}
	c.emit(1, name, typeNone)
	k.remove()
}

// remove: the command has deleted its key.
func (c *call) remove() { c.key(1).remove() }

func (c *call) expire()    { c.expireKey("EX") }
func (c *call) expireat()  { c.expireKey("EXAT") }
func (c *call) pexpire()   { c.expireKey("PX") }
func (c *call) pexpireat() { c.expireKey("PXAT") }

// expireKey: EXPIRE key time, the time in a unit.
func (c *call) expireKey(unit string) {
	k := c.key(1)
	c.confirm(k)
	k.setDeadline(c.deadline(unit, c.args[2]))
}

// persist: PERSIST key.
func (c *call) persist() {
	k := c.key(1)
	c.confirm(k)
	k.setDeadline(0, true)
}

// confirm: the command found the key.
func (c *call) confirm(k *operand) {
	switch {
	case !k.needed():
	case k.value.exists == no:
		c.lose(k, yes, kindUnknown, &c.lost.Mismatch)
		k.expiry.known = false
	default:
		k.value.exists = yes
	}
}

// rename: see renameEvents.
func (c *call) rename() { c.moveKey(c.key(1), c.key(2)) }

// move: see moveEvents.
func (c *call) move() {
	if db, ok := parseInt(c.args[2]); ok {
		c.moveKey(c.key(1), c.keyIn(db, c.args[1]))
	} else {
		c.mi.loseAll(&c.lost.Malformed)
	}
}

// moveKey moves what is known of a key to another.
func (c *call) moveKey(src, dst *operand) {
	if src.needed() && src.keyState == dst.keyState {
		return
	}
	if dst.needed() {
		c.assign(dst, src, false)
	}
	src.remove()
}

// copy: see copyEvents.
func (c *call) copy() {
	db, ok := c.copyDatabase()
	if !ok {
		c.mi.loseAll(&c.lost.Malformed)
		return
	}
	src, dst := c.key(1), c.keyIn(db, c.args[2])
	if dst.needed() && dst.keyState != src.keyState {
		c.assign(dst, src, true)
	}
}

// assign gives dst the value and the deadline of src, which is there, or a copy
// of the value.
func (c *call) assign(dst, src *operand, copied bool) {
	to, from := dst.keyState, src.keyState
	if from == nil || from.value.exists != yes {
		kind := kindUnknown
		if from != nil {
			kind = from.value.kind
		}
		c.lose(dst, yes, kind, &c.lost.Source)
		to.expiry.known = false
		return
	}
	texts := to.value.texts
	to.value = from.value
	to.value.texts = texts
	to.expiry.at, to.expiry.known, to.expiry.announced = from.expiry.at, from.expiry.known, from.expiry.announced
	to.valueReplaced()
	if !copied {
		to.moveLong(from)
	}
	if texts && !from.value.texts && to.value.known {
		c.lose(dst, yes, from.value.kind, &c.lost.Source)
		return
	}
	if !texts {
		to.value.text = nil
	}
	if !copied {
		return
	}
	if c.mi.size+int64(from.size) > c.mi.limit {
		c.lose(dst, yes, from.value.kind, &c.lost.Limit)
		return
	}
	to.value.text = bytes.Clone(to.value.text)
	if to.value.elements != nil {
		to.value.elements = to.value.elements.clone(&c.in.pace)
	}
	if h, ok := dst.hash(); ok && c.in.config.Dialect == Valkey {
		c.dropPast(h)
	}
}

// swapdb: SWAPDB db db.
func (c *call) swapdb() {
	a, ok1 := parseInt(c.args[1])
	b, ok2 := parseInt(c.args[2])
	if ok1 && ok2 {
		c.mi.swap(a, b)
	} else {
		c.mi.loseAll(&c.lost.Malformed)
	}
}

// flushdb: FLUSHDB, of the selected database.
func (c *call) flushdb() { c.mi.flush(c.sent.DB) }

// flushall: FLUSHALL.
func (c *call) flushall() {
	for db := range c.mi.dbs {
		c.mi.flush(db)
	}
	c.mi.absent = c.mi.coverOf(0)
}
