package keyspace

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// restorer is where the reading of entries stands.
type restorer struct {
	whole     bool                 // its entry was read
	databases map[uint32]*database // by ID
	values    map[uint64]*restored
	op        operation
	undo      undo
}

// restored is a key with a long value, whose entries come later.
type restored struct {
	it  *item
	d   *database
	key []byte
}

var errNoNeed = errors.New("no key is needed")

// Restore takes an entry of the journal, in the order of their keys, before the
// first command and before Journal or after it. Afterwards the mirror is as it
// was at the last Changes, for a Need that is the same; it does not keep more
// than Config.MaxMirror allows. An error is one for good: the entries are those
// of another version, or damaged, and all that was restored has to be given up,
// for which SetNeed(nil, Classes{}) does.
func (in *Interpreter) Restore(key, value []byte) error {
	mi := in.mirror
	if mi == nil {
		return errNoNeed
	}
	in.Journal(true)
	j := mi.journal
	if j.restorer == nil {
		if mi.keys > 0 || mi.number > 0 {
			return errors.New("the mirror is in use")
		}
		j.wipe, j.databases, j.whole = false, false, nil
		j.restorer = &restorer{databases: map[uint32]*database{}, values: map[uint64]*restored{}}
	}
	if err := mi.restoreEntry(j.restorer, key, value); err != nil {
		return fmt.Errorf("entry %.60q: %w", key, err)
	}
	return nil
}

var errDamaged = errors.New("damaged")

func (mi *mirror) restoreEntry(rs *restorer, key, value []byte) error {
	if len(key) == 0 {
		return errDamaged
	}
	if key[0] != kindWhole && !rs.whole {
		return errors.New("what is true of the whole is missing")
	}
	switch kind, rest := key[0], key[1:]; {
	case kind == kindWhole && len(rest) == 0:
		rs.whole = true
		return mi.restoreWhole(value)
	case kind == kindDatabase && len(rest) == 4:
		return mi.restoreDatabase(rs, int(binary.BigEndian.Uint32(rest)), value)
	case kind == kindKey && len(rest) > 4:
		return mi.restoreKey(rs, binary.BigEndian.Uint32(rest), rest[4:], value)
	case kind == kindValue && len(rest) == 12:
		return mi.restorePart(rs, binary.BigEndian.Uint64(rest), binary.BigEndian.Uint32(rest[8:]), value)
	}
	return errDamaged
}

func (mi *mirror) restoreWhole(value []byte) error {
	if len(value) != 2 {
		return errDamaged
	}
	if value[0] != entryVersion {
		return fmt.Errorf("is of version %d, and this program knows %d", value[0], entryVersion)
	}
	mi.flushed = value[1]&wholeFlushed != 0
	mi.torn = value[1]&wholeInside != 0
	if value[1]&wholeUnsure != 0 {
		mi.sparseMax = -1
	}
	mi.journal.whole = append([]byte{}, value...)
	return nil
}

func (mi *mirror) restoreDatabase(rs *restorer, db int, value []byte) error {
	n, rest, ok := cutNumber(value, true)
	id := uint32(n)
	if !ok || n > 1<<32-2 || rs.databases[id] != nil || mi.dbs[db] != nil || len(mi.dbs) >= maxDatabases {
		return errDamaged
	}
	d := &database{id: id, items: map[string]*item{}}
	for len(rest) > 0 {
		if n, rest, ok = cutNumber(rest, ok); !ok || n > 1<<31-1 || len(d.cover) == maxCover {
			return errDamaged
		}
		d.cover = append(d.cover, cover{mi.need, mi.generation, int(n)})
	}
	mi.dbs[db], rs.databases[id] = d, d
	mi.lastID = max(mi.lastID, id)
	return nil
}

func (mi *mirror) restoreKey(rs *restorer, id uint32, entry, value []byte) error {
	d := rs.databases[id]
	it := &item{stored: true}
	key, rest, form, ok := readHeader(entry, value, it)
	if !ok || d == nil || d.items[string(key)] != nil {
		return errDamaged
	}
	if form == formInside || form == formEntries {
		if !it.makeEmpty() {
			return errDamaged
		}
	}
	switch form {
	case formInside:
		if err := mi.restoreOps(rs, it, rest); err != nil {
			return err
		}
	case formEntries:
		n, rest, ok := cutNumber(rest, true)
		if !ok || len(rest) > 0 || rs.values[n] != nil {
			return errDamaged
		}
		r := &restored{it, d, append([]byte{}, key...)}
		rs.values[n] = r
		it.saved = &saved{id: n, header: append([]byte{}, value...)}
		mi.journal.lastID = max(mi.journal.lastID, n)
	case formTooLong:
		it.known = false
		mi.losses.Limit++
	}
	d.items[string(key)] = it
	mi.keys++
	mi.weigh(d, key, it)
	return nil
}

// makeEmpty gives an item whose value is known an empty one to begin with.
func (it *item) makeEmpty() bool {
	it.text, it.obj = nil, nil
	switch it.kind {
	case kindString:
		it.text = []byte{}
		return it.known && it.texts
	case kindUnknown:
		return false
	}
	it.obj = newCollection(it.kind)
	return it.known
}

// weigh counts the memory of a key that was restored, and enforces the limit.
// Entries of a value that is lost to it stay until the key changes.
func (mi *mirror) weigh(d *database, key []byte, it *item) {
	size := it.bytes(len(key))
	mi.size += int64(size - it.size)
	it.size = size
	if mi.size > mi.limit {
		mi.shrink(d, key, it)
	}
}

// restoreOps does what ops say to an item's value. If there is not enough room
// the value is not known.
func (mi *mirror) restoreOps(rs *restorer, it *item, ops []byte) (err error) {
	for len(ops) > 0 && err == nil {
		if ops, err = readOp(ops, &rs.op); err == nil {
			rs.undo.reset()
			err = it.do(&rs.op, &rs.undo, mi.limit-mi.size)
		}
	}
	if err == nil && it.hollow() {
		err = errOps
	}
	if err == errLimit {
		it.known, it.text, it.obj = false, nil, nil
		mi.losses.Limit++
		err = nil
	}
	return err
}

func (mi *mirror) restorePart(rs *restorer, id uint64, number uint32, value []byte) error {
	r := rs.values[id]
	if r == nil || r.it.saved == nil && r.it.known || len(value) == 0 || value[0] > partChange {
		return errDamaged
	}
	s := r.it.saved
	if s == nil || !r.it.known {
		return nil // it was dropped for the limit
	}
	if number != s.next {
		return errors.New("the part before is missing")
	}
	s.next++
	if value[0] == partWhole {
		s.base += len(value) - 1
	} else {
		s.since += len(value) - 1
	}
	if err := mi.restoreOps(rs, r.it, value[1:]); err != nil {
		return err
	}
	mi.weigh(r.d, r.key, r.it)
	return nil
}

// RestoreEnd tells that there are no more entries. complete says that they are
// complete for the present Need, which is that of the interpreter that wrote
// them, or asks for no more: then a key that is not mirrored is known not to be
// there as it was known then. Else it is known again after the next snapshot.
//
// Entries that were written inside of a snapshot are not complete, whatever
// complete says: at the first command they are given up, since they may be of
// a later moment than the position that belongs to them. A snapshot that begins
// before that is compared with them.
func (in *Interpreter) RestoreEnd(complete bool) {
	mi := in.mirror
	if mi == nil || mi.journal == nil || mi.journal.restorer == nil {
		return
	}
	rs := mi.journal.restorer
	mi.journal.restorer = nil
	for _, r := range rs.values {
		if s := r.it.saved; s != nil && s.next == 0 && r.it.known {
			r.it.known, r.it.text, r.it.obj = false, nil, nil
			mi.losses.Malformed++
			mi.weigh(r.d, r.key, r.it)
		}
	}
	complete = complete && !mi.torn
	mi.flushed = mi.flushed && complete
	for db, d := range mi.dbs {
		if !complete {
			mi.setCover(d, nil)
		}
		mi.review(d, db)
	}
}
