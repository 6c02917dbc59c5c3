package keyspace

import (
	"strconv"

	"triggerd/internal/event"
)

func (mi *mirror) trackHashes(in *Interpreter, m *maker, id ID, p plan) bool {
	switch id {
	case cmdHset, cmdHmset, cmdHsetnx:
		mi.hset(in, m, id, p)
	case cmdHincrby:
		in.stateless(m, id, p)
		mi.hincrby(m)
	case cmdHincrbyfloat: // arrives as another command
		in.stateless(m, id, p)
		mi.loseAll(m, id, &mi.losses.Undecided)
	case cmdHdel:
		mi.hdel(m, m.args[2:])
	case cmdHgetdel:
		m.cause = event.CauseDeleted
		fields, _ := fieldsAfter(m.args, 1)
		mi.removeFields(m, "hdel", fields)
	case cmdHexpire, cmdHexpireat, cmdHpexpire, cmdHpexpireat:
		in.stateless(m, id, p)
		mi.hexpire(m, id)
	case cmdHpersist:
		in.stateless(m, id, p)
		mi.hpersist(m)
	case cmdHsetex:
		mi.hsetex(in, m, id, p)
	default:
		return false
	}
	return true
}

// fieldsAfter returns what follows FIELDS n, of which each field takes width
// arguments.
func fieldsAfter(args [][]byte, width int) ([][]byte, bool) {
	for i := 2; i+1 < len(args); i++ {
		if !is(args[i], "FIELDS") {
			continue
		}
		n, ok := parseInt(args[i+1])
		if !ok || n*width != len(args)-i-2 {
			return nil, false
		}
		return args[i+2:], true
	}
	return nil, false
}

// storedValue is what is kept of a field's value.
func (r *ref) storedValue(value []byte) string {
	if !r.it.texts {
		return ""
	}
	return string(value)
}

// hset: HSET key field value..., which takes the deadlines of fields away.
func (mi *mirror) hset(in *Interpreter, m *maker, id ID, p plan) {
	r := mi.open(m.c.DB, m.args[1])
	mi.changes(r, m.args, 2, 2)
	h, ok := collectionOf(mi, r, kindHash, newHash)
	if ok && in.config.Dialect == Valkey {
		mi.replaced(m, h, m.args[2:], 2)
	}
	in.stateless(m, id, p)
	if !ok {
		return
	}
	for i := 2; i+1 < len(m.args); i += 2 {
		h.set(&r.undo, m.args[i], r.storedValue(m.args[i+1]))
		h.expire(&r.undo, m.args[i], 0)
	}
	if len(m.args)%2 != 0 { // half a pair
		mi.lose(r, yes, kindHash, &mi.losses.Malformed)
	}
}

// replaced announces, as Valkey does, the expiry of fields that are replaced.
func (mi *mirror) replaced(m *maker, h *hash, args [][]byte, width int) {
	for i := 0; i < len(args); i += width {
		if at := h.deadline(args[i]); at != 0 && mi.now != 0 && mi.now >= at {
			cause := m.cause
			m.cause = event.CauseExpired
			m.emit(1, "hexpired", typeHash)
			m.cause = cause
			return
		}
	}
}

func (mi *mirror) hincrby(m *maker) {
	r := mi.open(m.c.DB, m.args[1])
	mi.changes(r, m.args[:3], 2, 1)
	h, ok := collectionOf(mi, r, kindHash, newHash)
	if !ok {
		return
	}
	if !r.it.texts {
		if _, had := h.fields[string(m.args[2])]; !had {
			h.set(&r.undo, m.args[2], "")
		}
		return
	}
	var n int64
	old, had := h.fields[string(m.args[2])]
	by, ok := int64Of(m.args[3])
	if had {
		var err error
		n, err = strconv.ParseInt(old, 10, 64)
		ok = ok && err == nil
	}
	sum := n + by
	if !ok || (sum > n) != (by > 0) && by != 0 {
		mi.lose(r, yes, kindHash, &mi.losses.Mismatch)
		return
	}
	h.set(&r.undo, m.args[2], strconv.FormatInt(sum, 10))
}

// hdel: a client's, or fields that have expired: then all of them have.
func (mi *mirror) hdel(m *maker, fields [][]byte) {
	r := mi.open(m.c.DB, m.args[1])
	name := "hdel"
	m.cause = event.CauseUnknown
	if h, ok := r.hash(); ok {
		m.cause = event.CauseDeleted
		expired := 0
		for _, f := range fields {
			if at := h.deadline(f); at != 0 && mi.now != 0 && mi.past(at) {
				expired++
			}
		}
		if expired == len(fields) {
			name, m.cause = "hexpired", event.CauseExpired
		}
	}
	mi.removeFields(m, name, fields)
}

func (r *ref) hash() (*hash, bool) {
	if r.it == nil || r.it.exists != yes || !r.it.known {
		return nil, false
	}
	h, ok := r.it.obj.(*hash)
	return h, ok
}

func (mi *mirror) removeFields(m *maker, name string, fields [][]byte) {
	m.emit(1, name, "")
	r := mi.open(m.c.DB, m.args[1])
	mi.changes(r, fields, 0, 1)
	h, known := present[*hash](mi, r, kindHash)
	if known {
		for _, f := range fields {
			h.remove(&r.undo, f)
		}
		if h.len() == 0 {
			mi.emptied = emptied{tx: m.c.Tx.ID, db: r.db, key: string(r.key)}
		}
	}
	mi.shrunk(m, r, h, known)
}

// emptied is a hash that lost its last field: Valkey replicates the removal of
// the key besides, in the same transaction.
type emptied struct {
	tx  string
	db  int
	key string
}

// hexpire: HPEXPIREAT key time [NX|XX|GT|LT] FIELDS n field... Redis leaves
// out the fields that do not meet the condition, Valkey does not.
func (mi *mirror) hexpire(m *maker, id ID) {
	fields, ok := fieldsAfter(m.args, 1)
	r := mi.open(m.c.DB, m.args[1])
	mi.changes(r, fields, 0, 1)
	h, known := present[*hash](mi, r, kindHash)
	if !known {
		return
	}
	unit := map[ID]string{cmdHexpire: "EX", cmdHexpireat: "EXAT", cmdHpexpire: "PX", cmdHpexpireat: "PXAT"}[id]
	at, timed := mi.deadlineOf([]byte(unit), m.args[2])
	if !ok || !timed {
		mi.lose(r, yes, kindHash, &mi.losses.Mismatch)
		return
	}
	condition := m.args[3]
	for _, f := range fields {
		old := h.deadline(f)
		if _, had := h.fields[string(f)]; !had ||
			is(condition, "NX") && old != 0 || is(condition, "XX") && old == 0 ||
			is(condition, "GT") && (old == 0 || at <= old) || is(condition, "LT") && old != 0 && at >= old {
			continue
		}
		h.expire(&r.undo, f, at)
	}
}

func (mi *mirror) hpersist(m *maker) {
	fields, ok := fieldsAfter(m.args, 1)
	r := mi.open(m.c.DB, m.args[1])
	mi.changes(r, fields, 0, 1)
	h, known := present[*hash](mi, r, kindHash)
	switch {
	case !known:
	case !ok:
		mi.lose(r, yes, kindHash, &mi.losses.Malformed)
	default:
		for _, f := range fields {
			h.expire(&r.undo, f, 0)
		}
	}
}

// hsetex: HSETEX key [FNX|FXX] [EX|PX|EXAT|PXAT t|KEEPTTL] FIELDS n field value ...
func (mi *mirror) hsetex(in *Interpreter, m *maker, id ID, p plan) {
	r := mi.open(m.c.DB, m.args[1])
	pairs, ok := fieldsAfter(m.args, 2)
	mi.changes(r, pairs, 0, 2)
	h, known := collectionOf(mi, r, kindHash, newHash)
	var at int64
	keep, timed := false, true
	for i := 2; i < len(m.args)-1 && !is(m.args[i], "FIELDS"); i++ {
		switch {
		case is(m.args[i], "KEEPTTL"):
			keep = true
		case isDeadline(m.args[i]):
			at, timed = mi.deadlineOf(m.args[i], m.args[i+1])
			i++
		}
	}
	if name := increment(in.config.Dialect, h, pairs, keep, at); known && name != "" {
		m.emit(1, name, typeHash)
	} else {
		if known && in.config.Dialect == Valkey {
			mi.replaced(m, h, pairs, 2)
		}
		in.stateless(m, id, p)
	}
	if !known {
		return
	}
	if !ok || !timed {
		mi.lose(r, yes, kindHash, &mi.losses.Malformed)
		return
	}
	for i := 0; i+1 < len(pairs); i += 2 {
		h.set(&r.undo, pairs[i], r.storedValue(pairs[i+1]))
		if !keep {
			h.expire(&r.undo, pairs[i], at)
		}
	}
}

// increment tells whether an HSETEX is what an increment is replicated as:
// Redis 8 sends HINCRBYFLOAT with KEEPTTL, Valkey 9 HINCRBY and HINCRBYFLOAT
// with the deadline that the field has. It returns the event's name.
func increment(d Dialect, h *hash, pairs [][]byte, keep bool, at int64) string {
	if len(pairs) != 2 || h == nil || !isCanonicalFloat(pairs[1]) {
		return ""
	}
	old, had := h.fields[string(pairs[0])]
	if _, number := floatOf([]byte(old)); had && !number {
		return ""
	}
	switch {
	case d == Redis && keep:
		return "hincrbyfloat"
	case d == Valkey && had && at != 0 && at == h.deadline(pairs[0]):
		if _, ok := int64Of(pairs[1]); ok {
			return "hincrby"
		}
		return "hincrbyfloat"
	}
	return ""
}
