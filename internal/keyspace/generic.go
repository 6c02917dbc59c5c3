package keyspace

import (
	"bytes"

	"triggerd/internal/event"
)

// trackKeys does what commands do to keys of any type.
func (mi *mirror) trackKeys(in *Interpreter, m *maker, id ID, p plan) bool {
	switch id {
	case cmdDel, cmdUnlink:
		mi.del(m)
	case cmdDelex, cmdDelifeq, cmdGetdel:
		in.stateless(m, id, p)
		mi.open(m.c.DB, m.args[1]).remove()
	case cmdExpire, cmdExpireat, cmdPexpire, cmdPexpireat:
		in.stateless(m, id, p)
		unit := map[ID]string{cmdExpire: "EX", cmdExpireat: "EXAT", cmdPexpire: "PX", cmdPexpireat: "PXAT"}[id]
		r := mi.open(m.c.DB, m.args[1])
		mi.there(r)
		r.setDeadline(mi.deadlineOf([]byte(unit), m.args[2]))
	case cmdPersist:
		in.stateless(m, id, p)
		r := mi.open(m.c.DB, m.args[1])
		mi.there(r)
		r.setDeadline(0, true)
	case cmdRename, cmdRenamenx:
		in.stateless(m, id, p)
		mi.rename(mi.open(m.c.DB, m.args[1]), mi.open(m.c.DB, m.args[2]))
	case cmdMove:
		in.stateless(m, id, p)
		if db, ok := parseInt(m.args[2]); ok {
			mi.rename(mi.open(m.c.DB, m.args[1]), mi.open(db, m.args[1]))
		}
	case cmdCopy:
		in.stateless(m, id, p)
		mi.copy(m)
	case cmdRestore, cmdRestoreAsking:
		in.stateless(m, id, p)
		mi.restore(m)
	case cmdSort:
		mi.sort(in, m, id, p)
	case cmdSwapdb:
		in.stateless(m, id, p)
		a, ok1 := parseInt(m.args[1])
		b, ok2 := parseInt(m.args[2])
		if ok1 && ok2 {
			mi.swap(a, b)
		}
	case cmdFlushdb:
		in.stateless(m, id, p)
		mi.flush(m.c.DB)
	case cmdFlushall:
		in.stateless(m, id, p)
		for db := range mi.dbs {
			mi.flush(db)
		}
		mi.flushed = true
	case cmdTrimslots, cmdClusterFlushslot:
		in.stateless(m, id, p)
		mi.trimSlots(m, id)
	default:
		return false
	}
	return true
}

// there: the command found the key.
func (mi *mirror) there(r *ref) {
	it := r.it
	switch {
	case it == nil:
	case it.exists == no:
		mi.lose(r, yes, kindUnknown, &mi.losses.Mismatch)
		it.timed = false
	default:
		it.exists = yes
	}
}

// del: DEL or UNLINK. A server removes keys of its own accord one by one, and
// a command that finds an expired key lets it expire first; so of one key that
// is past its deadline it is an expiry, and of several it is a client's.
func (mi *mirror) del(m *maker) {
	keys := m.args[1:]
	if len(keys) > 1 {
		m.cause = event.CauseDeleted
		for i, key := range keys {
			r := mi.open(m.c.DB, key)
			if r.it == nil || r.it.exists != no && !r.it.announced() {
				m.emit(1+i, "del", typeNone)
			}
			r.remove()
		}
		return
	}
	r := mi.open(m.c.DB, keys[0])
	name := "del"
	m.cause = event.CauseUnknown
	switch it := r.it; {
	case it == nil:
	case it.exists == no:
		e := mi.emptied
		if e.tx != "" && e.tx == m.c.Tx.ID && e.db == r.db && e.key == string(r.key) {
			return // announced when its last field went
		}
		mi.losses.Mismatch++
	case it.announced():
		r.remove()
		return
	case !it.timed || mi.now == 0 && it.expireAt != 0:
	case it.expireAt != 0 && mi.past(it.expireAt):
		name, m.cause = "expired", event.CauseExpired
	default:
		m.cause = event.CauseDeleted
	}
	m.emit(1, name, typeNone)
	r.remove()
}

// past reports whether a deadline may have come when the command was run.
func (mi *mirror) past(deadline int64) bool {
	return mi.now >= deadline-max(mi.grace, mi.clock.wide)
}

// announced reports whether the key's expiry at its present deadline was
// announced already.
func (it *item) announced() bool { return it.expireAt != 0 && it.fired == it.expireAt }

// rename moves what is known of a key to another.
func (mi *mirror) rename(src, dst *ref) {
	if src.it != nil && src.it == dst.it {
		return
	}
	if dst.it != nil {
		mi.become(dst, src, false)
	}
	src.remove()
}

// become gives dst the value and the deadline of src, which is there.
func (mi *mirror) become(dst, src *ref, copied bool) {
	to, from := dst.it, src.it
	if from == nil || from.exists != yes {
		k := kindUnknown
		if from != nil {
			k = from.kind
		}
		mi.lose(dst, yes, k, &mi.losses.Source)
		to.timed = false
		return
	}
	to.exists, to.kind, to.known = yes, from.kind, from.known
	to.expireAt, to.timed, to.fired = from.expireAt, from.timed, from.fired
	to.text, to.obj = from.text, from.obj
	to.replaced()
	if !copied {
		to.takeEntries(from)
	}
	if to.texts && !from.texts && to.known {
		mi.lose(dst, yes, from.kind, &mi.losses.Source)
		return
	}
	if !to.texts {
		to.text = nil
	}
	if !copied {
		return
	}
	if mi.size+int64(from.size) > mi.limit {
		mi.lose(dst, yes, from.kind, &mi.losses.Limit)
		return
	}
	to.text = bytes.Clone(to.text)
	if to.obj != nil {
		to.obj = to.obj.clone()
	}
}

// copy: COPY source destination [DB db] [REPLACE].
func (mi *mirror) copy(m *maker) {
	db := m.c.DB
	for i := 3; i+1 < len(m.args); i++ {
		if is(m.args[i], "DB") {
			n, ok := parseInt(m.args[i+1])
			if !ok {
				return
			}
			db = n
			i++
		}
	}
	src, dst := mi.open(m.c.DB, m.args[1]), mi.open(db, m.args[2])
	if dst.it != nil && dst.it != src.it {
		mi.become(dst, src, true)
	}
}

// flush: a database has no keys.
func (mi *mirror) flush(db int) {
	d := mi.database(db)
	if d == &mi.beyond {
		return
	}
	mi.clear(d)
	mi.setCover(d, mi.coverOf(db))
}

func (mi *mirror) clear(d *database) {
	if mi.journal != nil {
		mi.journal.empty(d)
	}
	for _, it := range d.items {
		mi.size -= int64(it.size)
	}
	mi.keys -= int64(len(d.items))
	d.items = map[string]*item{}
}

// swap exchanges two databases. What is needed of a key may depend on the
// database, so all keys are asked for anew.
func (mi *mirror) swap(a, b int) {
	if a == b {
		return
	}
	da, db := mi.database(a), mi.database(b)
	if da == &mi.beyond || db == &mi.beyond {
		mi.loseDatabases()
		return
	}
	mi.dbs[a], mi.dbs[b] = db, da
	mi.touch(da)
	mi.touch(db)
	mi.review(da, b)
	mi.review(db, a)
}

// review asks for all keys of a database that is number db from now on, or
// whose rules have changed, what is needed of them.
func (mi *mirror) review(d *database, db int) {
	mi.extend(d, cover{mi.need, mi.generation, db})
	for key, it := range d.items {
		need := mi.need(db, []byte(key))
		it.onTime, it.turn = need == NeedOnTime, 0
		switch need {
		case NeedNothing:
			mi.forget(d, []byte(key), it)
			continue
		case NeedState:
			it.texts = false
			it.text = nil
		default:
			if !it.texts {
				it.texts = true
				if it.exists == yes && it.known {
					it.known, it.text, it.obj = false, nil, nil
					mi.losses.Source++
				}
			}
		}
		size := it.bytes(len(key))
		mi.size += int64(size - it.size)
		it.size = size
		mi.wait(it, db, []byte(key))
	}
}

// loseDatabases: any key may have gone.
func (mi *mirror) loseDatabases() {
	mi.losses.Undecided += int64(len(mi.dbs))
	mi.forgetAll()
}

// forgetAll forgets all keys, and knows of none that it is not there.
func (mi *mirror) forgetAll() {
	for _, d := range mi.dbs {
		mi.clear(d)
		mi.setCover(d, nil)
	}
	mi.flushed, mi.torn = false, false
}
