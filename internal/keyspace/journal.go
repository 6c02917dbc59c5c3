package keyspace

import (
	"slices"

	"triggerd/internal/wire"
)

// Op is what a cut asks to be done to the entries of the journal.
type Op uint8

const (
	Put         Op = iota // set the entry of a key to value
	Delete                // remove the entry of a key, if there is one
	DeleteRange           // remove the entries from key on and before value, which is nil for: to the end
)

// journal notes what of the mirror has changed since it was told last. What of a
// key was told its marks say.
type journal struct {
	wipe      bool      // what was told is of another mirror
	whole     []byte    // value of mirrorEntry, as told
	databases bool      // one of them has changed
	changed   markList  // keys that have changed since the last cut
	epoch     epoch     // of keys in changed
	removed   [][]byte  // blocks of what goes: told before anything else, so that a key that comes again stays
	cut       cut       // what is being told
	bytes     int       // of values, about, that wait
	lastID    uint64    // of a value
	inside    bool      // of a snapshot
	base      uint16    // number of the last whole cut; a key of another number is still to be told by it
	walk      *walk     // over the keys that are; nil: there are none
	restorer  *restorer // while entries are read

	entry, value []byte // scratch: those of an entry
}

// longValue is a value that is not in the entry of its key, since it is long: a
// change to it is an entry of its own.
type longValue struct {
	id     uint64
	next   uint32 // number of the next entry
	base   int    // bytes of its entries when it was written whole
	since  int    // and of those since then
	ops    []byte // changes that wait
	stale  bool   // they do not tell the value any more
	header []byte // of the key, as last written
}

const (
	// inEntry is how much memory a value may take that is in the entry of its
	// key: it is written whole at each change.
	inEntry = 2 << 10
	// partSize is about how much of a long value is in one entry.
	partSize = 256 << 10
	// maxSaved is how much memory a key and its value may take so that they are
	// kept in the journal: it also is the longest value that a store takes.
	maxSaved = 64 << 20
)

// Journal switches on, or off, that changes of the mirror are noted, so that a cut
// can tell them. At first everything that is mirrored counts as
// changed, unless it was restored. Switching it off forgets what was noted, and
// a cut that is under way.
func (in *Interpreter) Journal(on bool) {
	if on == (in.journal != nil) {
		return
	}
	if in.journal != nil {
		in.journal.endWalk()
	}
	in.journal = nil
	if on {
		in.journal = &journal{}
		in.journal.reset()
	}
	if in.mirror != nil {
		in.mirror.setJournal(in.journal)
	}
}

// setJournal gives the mirror a journal, which has nothing of it yet, or none.
func (mi *mirror) setJournal(j *journal) {
	mi.journal = j
	for _, d := range mi.dbs {
		d.dirty = j != nil
		for key, s := range d.keys {
			s.marks = marks{snapshot: s.marks.snapshot}
			if j != nil {
				s.marks.base = j.base
				j.mark(d, []byte(key), s)
				j.bytes += s.size
			}
		}
	}
	if j != nil {
		j.databases = true
	}
}

// Dirty tells about how much has changed since the last cut: 1 for a key, and 1
// more for each KiB of a value. 0: nothing. It costs next to nothing.
func (in *Interpreter) Dirty() int {
	j := in.journal
	if j == nil {
		return 0
	}
	n := j.changed.live + len(j.removed) + j.bytes>>10
	if j.wipe || j.databases || in.mirror != nil && !slices.Equal(j.whole, in.mirror.appendWhole(j.value[:0])) {
		n++
	}
	return n
}

// mark notes that a key has changed.
func (j *journal) mark(d *database, key []byte, s *keyState) {
	if s.marks.epoch != j.epoch {
		s.marks.epoch = j.epoch
		j.changed.add(mark{s: s, database: d.id}, key, j.epoch)
	}
}

// recordChange notes what the present command has done to a key, which takes
// grown more bytes of memory now.
func (j *journal) recordChange(k *operand, grown int) {
	switch long := k.marks.long; {
	case long != nil && !long.stale:
		long.ops = append(long.ops, k.undo.ops...)
		j.bytes += len(k.undo.ops)
		if len(long.ops) > long.base { // it is written whole then
			long.stale, long.ops = true, nil
			j.bytes += k.size
		}
	case k.marks.epoch != j.epoch:
		j.bytes += k.size
	default:
		j.bytes += max(grown, 0)
	}
	j.mark(k.database, k.key, k.keyState)
}

// touch comes before anything is done to a key: a cut that has not told it yet
// tells it as it was.
func (j *journal) touch(d *database, key []byte, s *keyState) {
	if j.lacks(s) {
		j.save(d.id, key, s)
	}
}

// lacks reports whether the cut that is under way has still to tell a key.
func (j *journal) lacks(s *keyState) bool { return s.marks.base != j.base || j.cut.lacks(s) }

// forget notes that a key is not mirrored any more.
func (j *journal) forget(d *database, key []byte, s *keyState) {
	j.touch(d, key, s)
	j.forgetLong(s)
	if s.marks.stored {
		j.entry = appendKeyEntry(j.entry[:0], d.id, key)
		j.remove(Delete, j.entry, nil)
	}
	j.unmark(s)
}

// unmark makes the mark of a key that goes, if there is one, stale.
func (j *journal) unmark(s *keyState) {
	if s.marks.epoch == j.epoch {
		j.changed.live--
		j.bytes = max(0, j.bytes-s.size)
	}
	s.marks.epoch = noEpoch
}

// empty notes that all keys of a database go.
func (j *journal) empty(d *database) {
	stored := false
	for key, s := range d.keys {
		if j.lacks(s) {
			j.save(d.id, []byte(key), s)
		}
		j.forgetLong(s)
		stored = stored || s.marks.stored
		j.unmark(s)
	}
	if stored {
		j.remove(DeleteRange, appendDatabase(nil, d.id), appendDatabase(nil, d.id+1))
	}
}

// remove notes what goes.
func (j *journal) remove(op Op, key, value []byte) {
	n := len(j.removed)
	if n == 0 || len(j.removed[n-1]) > blockSize {
		j.removed, n = append(j.removed, nil), n+1
	}
	j.removed[n-1] = appendEntry(j.removed[n-1], op, key, value)
}

// forgetLong gives up the entries of the long value of a key that goes.
func (j *journal) forgetLong(s *keyState) {
	if long := s.marks.long; long != nil {
		j.remove(DeleteRange, appendValueEntries(nil, long.id), appendValueEntries(nil, long.id+1))
		s.marks.long = nil
	}
}

// dropLong does that for a key that is just being told.
func (j *journal) dropLong(s *keyState) {
	if long := s.marks.long; long != nil {
		j.give(DeleteRange, appendValueEntries(nil, long.id), appendValueEntries(nil, long.id+1))
		s.marks.long = nil
	}
}

// moveLong takes over the entries of a value that moves here from another key.
// Its own, which are replaced, go with that one.
func (s *keyState) moveLong(from *keyState) {
	s.marks.long, from.marks.long = from.marks.long, s.marks.long
	if s.marks.long != nil {
		s.marks.long.header = nil
	}
}

// reset gives up what was noted, and all that was told.
func (j *journal) reset() {
	j.endWalk()
	*j = journal{wipe: true, epoch: firstEpoch, lastID: j.lastID, base: j.base}
}

// appendEntry appends what has to be done to one entry, as blocks have it.
func appendEntry(dst []byte, op Op, key, value []byte) []byte {
	dst = append(dst, byte(op))
	dst = wire.AppendText(dst, key)
	if op != Delete {
		dst = wire.AppendText(dst, value)
	}
	return dst
}

// readEntry undoes appendEntry. A value of no length is nil.
func readEntry(in *wire.Cursor) (op Op, key, value []byte) {
	if op = Op(in.Byte()); op > DeleteRange {
		in.Reject()
	}
	key = in.Bytes()
	if op != Delete {
		if value = in.Bytes(); len(value) == 0 {
			value = nil
		}
	}
	return op, key, value
}

// save tells a key.
func (j *journal) save(database uint32, key []byte, s *keyState) {
	if s.marks.base != j.base { // what it was for the last whole cut is of no use
		s.marks = marks{snapshot: s.marks.snapshot, base: j.base}
	}
	s.marks.epoch, s.marks.stored = noEpoch, true
	form, memory := formNone, s.bytes(0)
	switch {
	case !s.value.kept():
	case memory+len(key) > maxSaved:
		form = formTooLong
	case memory > inEntry:
		form = formEntries
	default:
		form = formInside
	}
	if form != formEntries {
		j.dropLong(s)
		j.value = appendHeader(j.value[:0], key, s, form)
		if form == formInside {
			j.value = s.value.appendOps(j.value, func(b []byte) []byte { return b })
		}
		j.giveKey(database, key, j.value)
		return
	}
	j.saveLong(s)
	long := s.marks.long
	j.value = appendHeader(j.value[:0], key, s, form)
	if !slices.Equal(j.value, long.header) {
		long.header = append(long.header[:0], j.value...)
		j.giveKey(database, key, j.value)
	}
	if cap(j.value) > 2*partSize {
		j.value = nil
	}
}

// giveKey tells the entry of a key.
func (j *journal) giveKey(database uint32, key, value []byte) {
	j.entry = appendKeyEntry(j.entry[:0], database, key)
	j.give(Put, j.entry, value)
}

// saveLong tells what has changed of a long value, or all of it.
func (j *journal) saveLong(s *keyState) {
	long := s.marks.long
	if long != nil && !long.stale && long.since+len(long.ops) <= long.base {
		if len(long.ops) > 0 {
			long.since += len(long.ops)
			j.entry = long.appendNext(j.entry[:0])
			j.value = append(append(j.value[:0], partChange), long.ops...)
			j.give(Put, j.entry, j.value)
		}
		if long.ops = long.ops[:0]; cap(long.ops) > keepOps {
			long.ops = nil
		}
		return
	}
	j.dropLong(s)
	j.lastID++
	long = &longValue{id: j.lastID}
	s.marks.long = long
	part := func(b []byte, size int) []byte {
		if len(b) <= size {
			return b
		}
		long.base += len(b) - 1
		j.entry = long.appendNext(j.entry[:0])
		j.give(Put, j.entry, b)
		return b[:1]
	}
	j.value = append(j.value[:0], partWhole)
	j.value = part(s.value.appendOps(j.value, func(b []byte) []byte { return part(b, partSize) }), 1)
	if long.next == 0 { // an empty text with much room
		j.entry = long.appendNext(j.entry[:0])
		j.give(Put, j.entry, j.value)
	}
}

// give adds to the block of the cut.
func (j *journal) give(op Op, key, value []byte) {
	c := &j.cut
	before := len(c.block)
	c.block = appendEntry(c.block, op, key, value)
	c.told += len(c.block) - before
	if len(c.block) >= blockSize {
		c.flush()
	}
}
