package keyspace

import "slices"

// Op is what Changes asks to be done to the entries of the journal.
type Op uint8

const (
	Put         Op = iota // set the entry of a key to value
	Delete                // remove the entry of a key, if there is one
	DeleteRange           // remove the entries from key on and before value, which is nil for: to the end
)

// journal notes what of the mirror has changed since the store was told. What of
// a key is in the store its marks say.
type journal struct {
	wipe      bool      // what is in the store is of another mirror
	whole     []byte    // value of mirrorEntry there
	databases bool      // one of them has changed
	marks     []mark    // of keys that have changed; those beyond used are room
	used      int       // of marks
	full      int       // at so many, those that say nothing are taken out
	emptied   []uint32  // IDs of databases all of whose keys go
	dropped   []uint64  // IDs of values that go
	bytes     int       // of values, about, that wait
	lastID    uint64    // of a value
	inside    bool      // of a snapshot
	restorer  *restorer // while entries are read

	entry, value []byte // scratch: those of an entry
}

// mark is a key that has changed.
type mark struct {
	d    *database
	key  []byte
	gone bool // it was in the store, and is not mirrored any more
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
	// fewMarks is for how many marks there is always room.
	fewMarks = 4096
)

// Journal switches on, or off, that changes of the mirror are noted, so that
// Changes can tell them. At first everything that is mirrored counts as changed,
// unless it was restored. Switching it off forgets what was noted.
func (in *Interpreter) Journal(on bool) {
	if on == (in.journal != nil) {
		return
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
			s.marks.dirty, s.marks.stored, s.marks.long = false, false, nil
			if j != nil {
				j.mark(d, []byte(key), s)
				j.bytes += s.size
			}
		}
	}
	if j != nil {
		j.databases = true
	}
}

// Dirty tells about how much Changes has to tell: 1 for a key, and 1 more for
// each KiB of a value. 0: nothing. It costs next to nothing.
func (in *Interpreter) Dirty() int {
	j := in.journal
	if j == nil {
		return 0
	}
	n := j.used + len(j.emptied) + len(j.dropped) + j.bytes>>10
	if j.wipe || j.databases || in.mirror != nil && !slices.Equal(j.whole, in.mirror.appendWhole(j.value[:0])) {
		n++
	}
	return n
}

// mark notes that a key has changed.
func (j *journal) mark(d *database, key []byte, s *keyState) {
	if !s.marks.dirty {
		s.marks.dirty = true
		j.appendMark(d, key, false)
	}
}

// appendMark appends a mark of a key.
func (j *journal) appendMark(d *database, key []byte, gone bool) {
	if j.used == j.full {
		j.dropStaleMarks()
	}
	if j.used == len(j.marks) {
		j.marks = append(j.marks, mark{})
	}
	m := &j.marks[j.used]
	j.used++
	m.d, m.key, m.gone = d, append(m.key[:0], key...), gone
}

// dropStaleMarks takes out the marks of keys that came and went.
func (j *journal) dropStaleMarks() {
	kept := 0
	for i := range j.marks[:j.used] {
		m := &j.marks[i]
		s := m.d.keys[string(m.key)]
		if !m.gone && (s == nil || !s.marks.dirty) {
			continue
		}
		if !m.gone {
			s.marks.dirty = false // so that a second mark of it is not kept
		}
		j.marks[i], j.marks[kept] = j.marks[kept], j.marks[i]
		kept++
	}
	j.used = kept
	for i := range j.marks[:kept] {
		if m := &j.marks[i]; !m.gone {
			m.d.keys[string(m.key)].marks.dirty = true
		}
	}
	j.full = max(fewMarks, 2*kept)
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
	case !k.marks.dirty:
		j.bytes += k.size
	default:
		j.bytes += max(grown, 0)
	}
	j.mark(k.database, k.key, k.keyState)
}

// forget notes that a key is not mirrored any more.
func (j *journal) forget(d *database, key []byte, s *keyState) {
	j.dropLong(s)
	if s.marks.stored {
		j.appendMark(d, key, true)
	}
}

// empty notes that all keys of a database go.
func (j *journal) empty(d *database) {
	stored := false
	for _, s := range d.keys {
		j.dropLong(s)
		stored = stored || s.marks.stored
	}
	if stored {
		j.emptied = append(j.emptied, d.id)
	}
}

// dropLong gives up the entries of a long value.
func (j *journal) dropLong(s *keyState) {
	if s.marks.long != nil {
		j.dropped = append(j.dropped, s.marks.long.id)
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

// reset gives up what was noted, and all that is in the store.
func (j *journal) reset() { *j = journal{wipe: true, full: fewMarks, lastID: j.lastID} }

// Changes gives, one by one, what has to be done to the entries of the journal
// so that they tell the mirror as it is now: in that order, each key at most
// once however often it has changed, and all together with the position up to
// which commands were interpreted, or after a crash neither fits the other. Key
// and value are borrowed during the call; keys are 4 KiB at most, values 64 MiB.
// What Changes once gave is not given again.
func (in *Interpreter) Changes(give func(op Op, key, value []byte)) {
	j, mi := in.journal, in.mirror
	if j == nil {
		return
	}
	if j.wipe {
		give(DeleteRange, nil, nil)
		j.wipe = false
	}
	if mi != nil {
		mi.giveChanges(j, give)
	}
	j.startOver()
}

// startOver makes a journal of which all was told: it keeps room for as much as
// there usually is.
func (j *journal) startOver() {
	for i := range j.marks[:j.used] {
		if cap(j.marks[i].key) > longKey {
			j.marks[i].key = nil
		}
	}
	if len(j.marks) > fewMarks {
		j.marks = nil
	}
	if cap(j.value) > 2*partSize {
		j.value = nil
	}
	j.used, j.bytes, j.full = 0, 0, fewMarks
	j.dropped, j.emptied = j.dropped[:0], j.emptied[:0]
}

// giveChanges is Changes, once the store is of this mirror.
func (mi *mirror) giveChanges(j *journal, give func(op Op, key, value []byte)) {
	for _, id := range j.emptied {
		give(DeleteRange, appendDatabase(j.entry[:0], id), appendDatabase(nil, id+1))
	}
	marks := j.marks[:j.used]
	for i := range marks {
		if m := &marks[i]; m.gone && m.d.keys[string(m.key)] == nil {
			j.entry = appendKeyEntry(j.entry[:0], m.d.id, m.key)
			give(Delete, j.entry, nil)
		}
	}
	if whole := mi.appendWhole(nil); !slices.Equal(j.whole, whole) {
		j.whole = whole
		give(Put, mirrorEntry, whole)
	}
	if j.databases {
		j.databases = false
		for db, d := range mi.dbs {
			if d.dirty {
				d.dirty = false
				j.value = d.appendCover(j.value[:0])
				give(Put, appendNumber(j.entry[:0], entryDatabase, uint32(db)), j.value)
			}
		}
	}
	for i := range marks {
		m := &marks[i]
		if s := m.d.keys[string(m.key)]; s != nil && s.marks.dirty {
			j.save(m.d, m.key, s, give)
		}
	}
	for _, id := range j.dropped {
		give(DeleteRange, appendValueEntries(j.entry[:0], id), appendValueEntries(nil, id+1))
	}
}

// save writes a key.
func (j *journal) save(d *database, key []byte, s *keyState, give func(op Op, key, value []byte)) {
	s.marks.dirty, s.marks.stored = false, true
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
		j.entry = appendKeyEntry(j.entry[:0], d.id, key)
		j.value = appendHeader(j.value[:0], key, s, form)
		if form == formInside {
			j.value = s.value.appendOps(j.value, func(b []byte) []byte { return b })
		}
		give(Put, j.entry, j.value)
		return
	}
	j.saveLong(s, give)
	long := s.marks.long
	j.value = appendHeader(j.value[:0], key, s, form)
	if !slices.Equal(j.value, long.header) {
		long.header = append(long.header[:0], j.value...)
		j.entry = appendKeyEntry(j.entry[:0], d.id, key)
		give(Put, j.entry, j.value)
	}
}

// saveLong writes what has changed of a long value, or all of it.
func (j *journal) saveLong(s *keyState, give func(op Op, key, value []byte)) {
	long := s.marks.long
	if long != nil && !long.stale && long.since+len(long.ops) <= long.base {
		if len(long.ops) > 0 {
			long.since += len(long.ops)
			j.entry = long.appendNext(j.entry[:0])
			j.value = append(append(j.value[:0], partChange), long.ops...)
			give(Put, j.entry, j.value)
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
		give(Put, j.entry, b)
		return b[:1]
	}
	j.value = append(j.value[:0], partWhole)
	j.value = part(s.value.appendOps(j.value, func(b []byte) []byte { return part(b, partSize) }), 1)
	if long.next == 0 { // an empty text with much room
		j.entry = long.appendNext(j.entry[:0])
		give(Put, j.entry, j.value)
	}
}
