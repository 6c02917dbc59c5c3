package keyspace

import "triggerd/internal/event"

// special makes the events of the commands that need more than a plan.
func (in *Interpreter) special(m *maker, id ID) {
	switch id {
	case cmdSet:
		m.emit(1, "set", typeString)
		m.require(2)
		if setHasDeadline(m.args) {
			m.emit(1, "expire", typeString)
		}
	case cmdSetex, cmdPsetex:
		m.emit(1, "set", typeString)
		m.emit(1, "expire", typeString)
		m.require(3)
	case cmdMsetex:
		in.msetex(m)
	case cmdDel, cmdUnlink:
		in.del(m)
	case cmdDelex, cmdDelifeq, cmdGetdel:
		m.cause = event.CauseDeleted
		m.emit(1, "del", typeNone)
	case cmdRename, cmdRenamenx:
		m.emit(1, "rename_from", typeNone)
		if len(m.args) > 2 {
			m.emit(2, "rename_to", "")
		} else {
			m.malformed = true
		}
	case cmdMove:
		m.move()
	case cmdCopy:
		m.copy()
	case cmdSort:
		if at := sortStore(m.args); at > 0 {
			m.emit(at, "sortstore", "")
		}
	case cmdGeoradius:
		m.georadius(6)
	case cmdGeoradiusbymember:
		m.georadius(5)
	case cmdRpoplpush, cmdBrpoplpush:
		m.emit(2, "lpush", typeList)
		m.emit(1, "rpop", "")
	case cmdLmove, cmdBlmove:
		m.emit(2, sideName(m.arg(4), "lpush", "rpush"), typeList)
		m.emit(1, sideName(m.arg(3), "lpop", "rpop"), "")
	case cmdSmove:
		m.emit(1, "srem", "")
		m.emit(2, "sadd", typeSet)
	case cmdHdel:
		m.cause = event.CauseUnknown // a client's, or expired fields
		m.emit(1, "hdel", "")
	case cmdHsetex:
		m.emit(1, "hset", typeHash)
		if hsetexHasDeadline(m.args) {
			m.emit(1, "hexpire", typeHash)
		}
	case cmdXgroupSetid:
		// With ENTRIESREAD it is what XREADGROUP is replicated as, which is not
		// announced. A client that says ENTRIESREAD is not told apart.
		if len(m.args) < 6 || !is(m.args[5], "ENTRIESREAD") {
			m.emit(2, "xgroup-setid", typeStream)
		}
	case cmdZadd:
		if zaddIncrements(m.args) {
			m.emit(1, "zincr", typeZset)
		} else {
			m.emit(1, "zadd", typeZset)
		}
	}
}

// del: of a single key it may be an expiry or an eviction, of several it is a
// client's, since a server removes keys of its own accord one by one.
func (in *Interpreter) del(m *maker) {
	m.cause = event.CauseDeleted
	if len(m.args) == 2 {
		m.cause = event.CauseUnknown
	}
	m.emit(1, "del", typeNone)
	for i := 2; i < len(m.args); i++ {
		m.emit(i, "del", typeNone)
	}
}

// msetex: MSETEX numkeys key value .. [NX|XX] [EX|PX|EXAT|PXAT t|KEEPTTL].
func (in *Interpreter) msetex(m *maker) {
	r, ok := commands[cmdMsetex].keys[0].find(m.args)
	if !ok {
		m.emit(len(m.args), "set", "")
		return
	}
	after := r.last + 2
	m.malformed = after > len(m.args)
	deadline := false
	for i := after; i < len(m.args)-1; i++ {
		deadline = deadline || isDeadline(m.args[i])
	}
	for i := r.first; i <= r.last; i += r.step {
		if deadline && in.config.Dialect == Redis {
			m.emit(i, "expire", typeString)
		}
		m.emit(i, "set", typeString)
		if deadline && in.config.Dialect == Valkey {
			m.emit(i, "expire", typeString)
		}
	}
}

// move: MOVE key db.
func (m *maker) move() {
	m.emit(1, "move_from", typeNone)
	if db, ok := parseInt(m.arg(2)); ok {
		m.emitDB(1, db, "move_to", "")
	} else {
		m.malformed = true
	}
}

// copy: COPY source destination [DB db] [REPLACE].
func (m *maker) copy() {
	db := m.c.DB
	for i := 3; i < len(m.args); i++ {
		if !is(m.args[i], "DB") {
			continue
		}
		i++
		n, ok := parseInt(m.arg(i))
		if !ok {
			m.malformed = true
			m.emitKey(nil, m.c.DB, "copy_to", "") // in a database that we cannot name
			return
		}
		db = n
	}
	m.emitDB(2, db, "copy_to", "")
}

// georadius: only with STORE or STOREDIST, the last of which wins, does it
// write. Options begin at index from.
func (m *maker) georadius(from int) {
	at := 0
	for i := from; i < len(m.args)-1; i++ {
		if is(m.args[i], "STORE") || is(m.args[i], "STOREDIST") {
			i++
			at = i
		}
	}
	if at > 0 {
		m.emit(at, "georadiusstore", "")
	}
}

func sideName(side []byte, left, right string) string {
	if is(side, "LEFT") {
		return left
	}
	return right
}

// isDeadline reports whether an option gives a key, or field, a deadline.
func isDeadline(option []byte) bool {
	return is(option, "PXAT") || is(option, "EX") || is(option, "PX") || is(option, "EXAT")
}

// setHasDeadline: SET key value [NX|XX|IFEQ v|IFNE v|IFDEQ d|IFDNE d] [GET]
// [EX|PX|EXAT|PXAT t|KEEPTTL].
func setHasDeadline(args [][]byte) bool {
	for i := 3; i < len(args)-1; i++ {
		switch {
		case isDeadline(args[i]):
			return true
		case is(args[i], "IFEQ"), is(args[i], "IFNE"), is(args[i], "IFDEQ"), is(args[i], "IFDNE"):
			i++
		}
	}
	return false
}

// hsetexHasDeadline: HSETEX key [FNX|FXX] [EX|PX|EXAT|PXAT t|KEEPTTL] FIELDS n
// field value ...
func hsetexHasDeadline(args [][]byte) bool {
	for i := 2; i < len(args)-1 && !is(args[i], "FIELDS"); i++ {
		if isDeadline(args[i]) {
			return true
		}
	}
	return false
}

// zaddIncrements: ZADD key [NX|XX] [GT|LT] [CH] [INCR] score member ...
func zaddIncrements(args [][]byte) bool {
	for i := 2; i < len(args); i++ {
		switch {
		case is(args[i], "INCR"):
			return true
		case is(args[i], "NX"), is(args[i], "XX"), is(args[i], "GT"), is(args[i], "LT"), is(args[i], "CH"):
		default:
			return false
		}
	}
	return false
}
