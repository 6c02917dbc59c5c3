package keyspace

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"triggerd/internal/wire"
)

// restorer is where the reading of entries stands.
type restorer struct {
	whole     bool                 // its entry was read
	databases map[uint32]*database // by ID
	values    map[uint64]*restoredLong
	names     map[string]string // of long keys, by the keys of their entries
	zeros     int64             // bytes that were made of few
	op        operation
	undo      undo
}

// restoredLong is a long value. The entry of its key says of what kind it is;
// until that is read its parts wait.
type restoredLong struct {
	longValue
	value value
	known bool     // what kind it is
	parts [][]byte // that wait
	lost  bool     // it takes more memory than is allowed
	used  bool     // by a key, in the end
}

var errNoNeed = errors.New("no key is needed")

// Restore does to the mirror what a cut has asked to be done to an entry of the
// journal. All that cuts ever asked for may be given to it in that order, or,
// with Put, the entries that are left, in the order of their keys. It has to come
// before the first command; whether Journal was switched on before does not
// matter. RestoreEnd makes the mirror what it was at the last cut.
//
// An error is final: the entries are those of another version, or damaged. All
// that was restored has to be given up then, which SetNeed(nil, Classes{}) does.
func (in *Interpreter) Restore(op Op, key, value []byte) error {
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
		j.restorer = newRestorer()
	}
	if err := mi.restoreEntry(op, key, value); err != nil {
		return fmt.Errorf("entry %.60q: %w", key, err)
	}
	return nil
}

func newRestorer() *restorer {
	return &restorer{databases: map[uint32]*database{}, values: map[uint64]*restoredLong{}, names: map[string]string{}}
}

// RestoreBlock does that with all that a block of a cut has, and returns how many
// entries that were. The block is borrowed.
func (in *Interpreter) RestoreBlock(block []byte) (entries int, err error) {
	for c := wire.NewCursor(block); c.Len() > 0; entries++ {
		op, key, value := readEntry(&c)
		if err := c.Err(); err != nil {
			return entries, err
		}
		if err := in.Restore(op, key, value); err != nil {
			return entries, err
		}
	}
	return entries, nil
}

var errDamaged = errors.New("damaged")

// restoreEntry does what was asked to be done to one entry, or some.
func (mi *mirror) restoreEntry(op Op, key, value []byte) error {
	rs := mi.journal.restorer
	switch {
	case op == DeleteRange && len(key) == 0 && len(value) == 0:
		mi.dbs, mi.count, mi.absent, mi.torn = map[int]*database{}, 0, nil, false
		mi.journal.restorer = newRestorer()
		return nil
	case len(key) == 0:
		return errDamaged
	case op == Put:
		return mi.putEntry(rs, key, value)
	}
	switch kind, rest := key[0], key[1:]; {
	case op == Delete && kind == entryKey && len(rest) > 4:
		return mi.unrestoreKey(rs, binary.BigEndian.Uint32(rest), rest[4:])
	case op == DeleteRange && kind == entryKey && len(rest) == 4:
		d := rs.databases[binary.BigEndian.Uint32(rest)]
		if d == nil || !bytes.Equal(value, appendDatabase(nil, d.id+1)) {
			return errDamaged
		}
		mi.count -= int64(len(d.keys))
		d.keys = map[string]*keyState{}
		return nil
	case op == DeleteRange && kind == entryValue && len(rest) == 8:
		id := binary.BigEndian.Uint64(rest)
		if !bytes.Equal(value, appendValueEntries(nil, id+1)) {
			return errDamaged
		}
		delete(rs.values, id)
		return nil
	}
	return errDamaged
}

// unrestoreKey takes a key out again.
func (mi *mirror) unrestoreKey(rs *restorer, id uint32, entry []byte) error {
	d := rs.databases[id]
	if d == nil {
		return errDamaged
	}
	name := string(entry[1:])
	if entry[0] == 1 { // which is the hash of the name
		name = rs.names[string(appendNumber(nil, entryKey, id))+string(entry)]
	}
	if d.keys[name] != nil {
		mi.count--
		delete(d.keys, name)
	}
	return nil
}

// putEntry reads an entry of any kind.
func (mi *mirror) putEntry(rs *restorer, key, value []byte) error {
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
	if mi.absent = nil; value[1]&wholeFlushed != 0 {
		mi.absent = mi.coverOf(0)
	}
	mi.torn = value[1]&wholeInside != 0
	if value[1]&wholeUnsure != 0 {
		mi.sparseMax = -1
	}
	mi.journal.whole = append([]byte{}, value...)
	return nil
}

// restoreDatabase reads the entry of a database, which may have had another
// number before.
func (mi *mirror) restoreDatabase(rs *restorer, db int, value []byte) error {
	in := wire.NewCursor(value)
	n := in.Uvarint()
	id := uint32(n)
	if in.Err() != nil || n > 1<<32-2 {
		return errDamaged
	}
	d := rs.databases[id]
	if d == nil {
		if len(rs.databases) >= maxDatabases {
			return errDamaged
		}
		d = &database{mi: mi, id: id, keys: map[string]*keyState{}}
		rs.databases[id] = d
	}
	d.cover = nil
	for in.Len() > 0 {
		n := in.Uvarint()
		if in.Err() != nil || n > 1<<31-1 || len(d.cover) == maxCover {
			return errDamaged
		}
		d.cover = append(d.cover, cover{mi.need, mi.generation, int(n)})
	}
	mi.dbs[db] = d
	mi.lastID = max(mi.lastID, id)
	return nil
}

// restoreKey reads the entry of a key, which takes the place of an earlier one.
func (mi *mirror) restoreKey(rs *restorer, id uint32, entry, value []byte) error {
	d := rs.databases[id]
	s := &keyState{marks: marks{stored: true, base: mi.journal.base}}
	key, rest, form, ok := readHeader(entry, value, s)
	if !ok || d == nil {
		return errDamaged
	}
	switch form {
	case formInside:
		if !s.value.makeEmpty() {
			return errDamaged
		}
		if err := mi.restoreOps(rs, &s.value, rest); err != nil {
			return err
		}
	case formEntries:
		in := wire.NewCursor(rest)
		n := in.Uvarint()
		if in.End() != nil {
			return errDamaged
		}
		if err := mi.restoreHeader(rs, n, &s.value); err != nil {
			return err
		}
		s.marks.long = &longValue{id: n, header: append([]byte{}, value...)}
		mi.journal.lastID = max(mi.journal.lastID, n)
	case formTooLong:
		s.value.known = false
		mi.losses.Limit++
	}
	if entry[0] == 1 {
		rs.names[string(appendNumber(nil, entryKey, id))+string(entry)] = string(key)
	}
	if d.keys[string(key)] == nil {
		mi.count++
	}
	d.keys[string(key)] = s
	return nil
}

// restoreHeader tells of what kind a long value is: as v says.
func (mi *mirror) restoreHeader(rs *restorer, id uint64, v *value) error {
	long := rs.values[id]
	if long == nil {
		long = &restoredLong{longValue: longValue{id: id}}
		rs.values[id] = long
	}
	empty := *v
	if !empty.makeEmpty() {
		return errDamaged
	}
	if long.known {
		if long.value.kind != v.kind {
			return errDamaged
		}
		return nil
	}
	long.value, long.known = empty, true
	parts := long.parts
	long.parts = nil
	for _, part := range parts {
		if err := mi.restoreLongOps(rs, long, part); err != nil {
			return err
		}
	}
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

// restoreOps does what ops say to a key's value. If there is not enough room
// the value is not known.
func (mi *mirror) restoreOps(rs *restorer, v *value, ops []byte) (err error) {
	in := wire.NewCursor(ops)
	for in.Len() > 0 && err == nil {
		if err = readOp(&in, &rs.op); err != nil {
			break
		}
		if rs.op.code == opZeros { // much of a few bytes, other than all else
			rs.zeros += int64(min(rs.op.numbers[0], longestText))
		}
		rs.undo.reset()
		err = v.do(&rs.op, &rs.undo, mi.limit-rs.zeros)
	}
	if err == nil && v.hollow() {
		err = errOps
	}
	if err == errLimit {
		v.drop()
		mi.losses.Limit++
		err = nil
	}
	return err
}

// restorePart reads a part of a long value.
func (mi *mirror) restorePart(rs *restorer, id uint64, number uint32, part []byte) error {
	if len(part) == 0 || part[0] > partChange {
		return errDamaged
	}
	long := rs.values[id]
	if long == nil {
		long = &restoredLong{longValue: longValue{id: id}}
		rs.values[id] = long
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
	if !long.known {
		long.parts = append(long.parts, append([]byte{}, part[1:]...))
		return nil
	}
	return mi.restoreLongOps(rs, long, part[1:])
}

// restoreLongOps does what a part says.
func (mi *mirror) restoreLongOps(rs *restorer, long *restoredLong, ops []byte) error {
	if long.lost {
		return nil
	}
	err := mi.restoreOps(rs, &long.value, ops)
	long.lost = !long.value.known
	return err
}

// RestoreEnd tells that there are no more entries. complete says that they are
// complete for the present Need, which is that of the interpreter that wrote
// them, or asks for no more: then a key that is not mirrored is known not to be
// there as it was known then. Else it is known again after the next snapshot.
// No more is kept than Config.MaxMirror allows. The error is as that of Restore.
//
// Entries that were written inside of a snapshot are not complete, whatever
// complete says: at the first command they are given up, since they may be of
// a later moment than the position that belongs to them. A snapshot that begins
// before that is compared with them.
func (in *Interpreter) RestoreEnd(complete bool) error {
	mi := in.mirror
	if mi == nil || mi.journal == nil || mi.journal.restorer == nil {
		return nil
	}
	rs := mi.journal.restorer
	mi.journal.restorer = nil
	if err := mi.checkRestored(rs); err != nil {
		return err
	}
	for _, d := range mi.dbs {
		for key, s := range d.keys {
			if mi.pace.stops() {
				return errGivenUp
			}
			if err := mi.takeLong(rs, s); err != nil {
				return fmt.Errorf("key %.60q: %w", key, err)
			}
			mi.measure(s, len(key))
		}
	}
	for id, long := range rs.values {
		if !long.used {
			return fmt.Errorf("value %d: %w: of no key", id, errDamaged)
		}
	}
	mi.fit()
	complete = complete && !mi.torn
	if !complete {
		mi.absent = nil
	}
	for db, d := range mi.dbs {
		if !complete {
			mi.setCover(d, nil)
		}
		mi.askAnew(d, db)
		for key, s := range d.keys {
			mi.countEarly(db, []byte(key), s)
		}
	}
	return nil
}

// checkRestored checks that each database has one number.
func (mi *mirror) checkRestored(rs *restorer) error {
	of := map[*database]bool{}
	for db, d := range mi.dbs {
		if of[d] {
			return fmt.Errorf("database %d: %w: it has two numbers", db, errDamaged)
		}
		of[d] = true
	}
	for id, d := range rs.databases {
		if !of[d] {
			return fmt.Errorf("database %d: %w: it has no number", id, errDamaged)
		}
	}
	return nil
}

// takeLong gives a key its long value.
func (mi *mirror) takeLong(rs *restorer, s *keyState) error {
	if s.marks.long == nil {
		return nil
	}
	long := rs.values[s.marks.long.id]
	if long == nil || long.used {
		return errDamaged
	}
	long.used = true
	long.header = s.marks.long.header
	s.marks.long = &long.longValue
	s.value.text, s.value.elements = long.value.text, long.value.elements
	switch {
	case long.lost:
		s.value.drop()
	case long.next == 0:
		s.value.drop()
		mi.losses.Malformed++
	}
	return nil
}

// fit drops what is more than is allowed: the largest values first, so that as
// many stay as can, and always the same ones; and if that is not enough, keys.
func (mi *mirror) fit() {
	if mi.size <= mi.limit {
		return
	}
	type one struct {
		d   *database
		key string
		s   *keyState
	}
	var all []one
	for _, d := range mi.dbs {
		for key, s := range d.keys {
			all = append(all, one{d, key, s})
		}
	}
	slices.SortFunc(all, func(a, b one) int {
		return cmp.Or(cmp.Compare(b.s.size, a.s.size), cmp.Compare(a.d.id, b.d.id), cmp.Compare(a.key, b.key))
	})
	for _, k := range all {
		if mi.size <= mi.limit {
			return
		}
		if k.s.value.exists != no {
			k.s.value.drop()
			mi.measure(k.s, len(k.key))
			mi.losses.Limit++
		}
	}
	for _, k := range all {
		if mi.size <= mi.limit {
			return
		}
		mi.shrink(k.d, []byte(k.key), k.s)
	}
}
