package keyspace

import (
	"encoding/binary"
	"errors"
	"fmt"

	"triggerd/internal/wire"
)

// restorer is where the reading of entries stands.
type restorer struct {
	whole     bool                 // its entry was read
	databases map[uint32]*database // by ID
	values    map[uint64]*restoredLong
	op        operation
	undo      undo
}

// restoredLong is a key with a long value, whose entries come later.
type restoredLong struct {
	*keyState
	d   *database
	key []byte
}

var errNoNeed = errors.New("no key is needed")

// Restore reads an entry of the journal. All entries have to be given to it, in
// the order of their keys, before the first command; whether Journal was switched
// on before does not matter. Afterwards the mirror is as it was at the last
// Changes, if Need is the same, but keeps no more than Config.MaxMirror allows.
//
// An error is final: the entries are those of another version, or damaged. All
// that was restored has to be given up then, which SetNeed(nil, Classes{}) does.
func (in *Interpreter) Restore(key, value []byte) error {
	mi := in.mirror
	if mi == nil {
		return errNoNeed
	}
	in.Journal(true)
	j := mi.journal
	if j.restorer == nil {
		if mi.count > 0 || mi.inUse {
			return errors.New("the mirror is in use")
		}
		j.wipe, j.databases, j.whole = false, false, nil
		j.restorer = &restorer{databases: map[uint32]*database{}, values: map[uint64]*restoredLong{}}
	}
	if err := mi.restoreEntry(j.restorer, key, value); err != nil {
		return fmt.Errorf("entry %.60q: %w", key, err)
	}
	return nil
}

var errDamaged = errors.New("damaged")

// restoreEntry reads an entry of any kind.
func (mi *mirror) restoreEntry(rs *restorer, key, value []byte) error {
	if len(key) == 0 {
		return errDamaged
	}
	if key[0] != entryMirror && !rs.whole {
		return errors.New("what is true of the whole is missing")
	}
	switch kind, rest := key[0], key[1:]; {
	case kind == entryMirror && len(rest) == 0:
		rs.whole = true
		return mi.restoreWhole(value)
	case kind == entryDatabase && len(rest) == 4:
		return mi.restoreDatabase(rs, int(binary.BigEndian.Uint32(rest)), value)
	case kind == entryKey && len(rest) > 4:
		return mi.restoreKey(rs, binary.BigEndian.Uint32(rest), rest[4:], value)
	case kind == entryValue && len(rest) == 12:
		return mi.restorePart(rs, binary.BigEndian.Uint64(rest), binary.BigEndian.Uint32(rest[8:]), value)
	}
	return errDamaged
}

// restoreWhole reads the entry of what is true of the whole mirror.
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

// restoreDatabase reads the entry of a database.
func (mi *mirror) restoreDatabase(rs *restorer, db int, value []byte) error {
	in := wire.NewCursor(value)
	n := in.Uvarint()
	id := uint32(n)
	if in.Err() != nil || n > 1<<32-2 || rs.databases[id] != nil || mi.dbs[db] != nil || len(mi.dbs) >= maxDatabases {
		return errDamaged
	}
	d := &database{mi: mi, id: id, keys: map[string]*keyState{}}
	for in.Len() > 0 {
		n := in.Uvarint()
		if in.Err() != nil || n > 1<<31-1 || len(d.cover) == maxCover {
			return errDamaged
		}
		d.cover = append(d.cover, cover{mi.need, mi.generation, int(n)})
	}
	mi.dbs[db], rs.databases[id] = d, d
	mi.lastID = max(mi.lastID, id)
	return nil
}

// restoreKey reads the entry of a key.
func (mi *mirror) restoreKey(rs *restorer, id uint32, entry, value []byte) error {
	d := rs.databases[id]
	s := &keyState{marks: marks{stored: true}}
	key, rest, form, ok := readHeader(entry, value, s)
	if !ok || d == nil || d.keys[string(key)] != nil {
		return errDamaged
	}
	if form == formInside || form == formEntries {
		if !s.value.makeEmpty() {
			return errDamaged
		}
	}
	switch form {
	case formInside:
		if err := mi.restoreOps(rs, s, rest); err != nil {
			return err
		}
	case formEntries:
		in := wire.NewCursor(rest)
		n := in.Uvarint()
		if in.End() != nil || rs.values[n] != nil {
			return errDamaged
		}
		rs.values[n] = &restoredLong{s, d, append([]byte{}, key...)}
		s.marks.long = &longValue{id: n, header: append([]byte{}, value...)}
		mi.journal.lastID = max(mi.journal.lastID, n)
	case formTooLong:
		s.value.known = false
		mi.losses.Limit++
	}
	d.keys[string(key)] = s
	mi.count++
	mi.accountRestored(d, key, s)
	return nil
}

// makeEmpty gives a value that is known an empty one to begin with.
func (v *value) makeEmpty() bool {
	v.text, v.elements = nil, nil
	switch v.kind {
	case kindString:
		v.text = []byte{}
		return v.known && v.texts
	case kindUnknown:
		return false
	}
	v.elements = newCollection(v.kind)
	return v.known
}

// accountRestored counts the memory of a key that was restored, and enforces the
// limit. Entries of a value that is lost to it stay until the key changes.
func (mi *mirror) accountRestored(d *database, key []byte, s *keyState) {
	mi.measure(s, len(key))
	if mi.size > mi.limit {
		mi.shrink(d, key, s)
	}
}

// restoreOps does what ops say to a key's value. If there is not enough room
// the value is not known.
func (mi *mirror) restoreOps(rs *restorer, s *keyState, ops []byte) (err error) {
	in := wire.NewCursor(ops)
	for in.Len() > 0 && err == nil {
		if err = readOp(&in, &rs.op); err == nil {
			rs.undo.reset()
			err = s.value.do(&rs.op, &rs.undo, mi.limit-mi.size)
		}
	}
	if err == nil && s.value.hollow() {
		err = errOps
	}
	if err == errLimit {
		s.value.drop()
		mi.losses.Limit++
		err = nil
	}
	return err
}

// restorePart reads a part of a long value.
func (mi *mirror) restorePart(rs *restorer, id uint64, number uint32, part []byte) error {
	k := rs.values[id]
	if k == nil || k.marks.long == nil && k.value.known || len(part) == 0 || part[0] > partChange {
		return errDamaged
	}
	long := k.marks.long
	if long == nil || !k.value.known {
		return nil // it was dropped for the limit
	}
	if number != long.next {
		return errors.New("the part before is missing")
	}
	long.next++
	if part[0] == partWhole {
		long.base += len(part) - 1
	} else {
		long.since += len(part) - 1
	}
	if err := mi.restoreOps(rs, k.keyState, part[1:]); err != nil {
		return err
	}
	mi.accountRestored(k.d, k.key, k.keyState)
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
	for _, k := range rs.values {
		if long := k.marks.long; long != nil && long.next == 0 && k.value.known {
			k.value.drop()
			mi.losses.Malformed++
			mi.accountRestored(k.d, k.key, k.keyState)
		}
	}
	complete = complete && !mi.torn
	mi.flushed = mi.flushed && complete
	for db, d := range mi.dbs {
		if !complete {
			mi.setCover(d, nil)
		}
		mi.askAnew(d, db)
	}
}
