package keyspace

import (
	"slices"

	"triggerd/internal/event"
)

// Need says how much of a key the mirror has to keep.
type Need uint8

// The needs. Each includes those before it.
const (
	NeedNothing Need = iota // events are named by the command alone
	NeedState               // whether it is there, type, deadline and members: what exact names and causes take
	NeedValue               // also its text: Before and After of events
	NeedOnTime              // also an event at its deadline, see Interpreter.Expire
)

// DefaultMaxMirror is Config.MaxMirror where that is 0.
const DefaultMaxMirror = 1 << 30

// mirror holds what is known of the keys that are needed.
type mirror struct {
	need       func(db int, key []byte) Need
	counted    func(db int, key []byte, typ string) []*event.Predicate
	generation int // number of need
	limit      int64
	grace      int64 // ms
	classes    Classes
	clock      *clock
	pace       *pace // the interpreter's
	due        schedule

	dbs     map[int]*database
	beyond  database // always empty
	absent  []cover  // needs by which databases that were never met have no key; nil: nothing is known of them. Their db is not used
	loading []cover  // needs in force since the snapshot that is being read began; nil: none is read, or the mirror came later
	size    int64    // bytes of all keys
	count   int64    // of keys
	losses  *Losses  // the interpreter's
	// sparseMax is the server's hll-sparse-max-bytes; negative: a value has shown
	// that it is not what we took it for.
	sparseMax int
	snapshot  uint32    // number of the one that is being read, or was last
	inside    bool      // of a snapshot: keys that it has not told yet may be others
	removal   removal   // the last of fields in a transaction
	inUse     bool      // it was worked on since it was made
	slotTrim  *slotTrim // that is under way, nil for none

	judges  map[question]event.Judge // of predicates that values count for
	few     int                      // so many elements are counted
	scratch changedElement           // what is counted just now

	prepared prepared
	found    found

	journal *journal // nil: there is none
	lastID  uint32   // of a database
	torn    bool     // what was restored is of several moments
}

// database is the mirror of one database.
type database struct {
	mi   *mirror
	id   uint32 // in the journal
	keys map[string]*keyState
	// cover is how absence is known: a key that has no state is not there if
	// each of these needed it. nil: it is not known.
	cover []cover
	dirty bool // its own entry in the journal has to be written
}

// cover is a need function that was in force, on the database of a number,
// while a database's keys were loaded or written.
type cover struct {
	need       func(db int, key []byte) Need
	generation int // of need
	db         int
}

// maxCover is among how many numbers a database may have been swapped, or how
// often the rules changed, before it is forgotten which keys would have been
// seen.
const maxCover = 32

func newMirror(in *Interpreter) *mirror {
	c := &in.config
	limit := c.MaxMirror
	if limit == 0 {
		limit = DefaultMaxMirror
	}
	sparseMax := c.SparseMax
	if sparseMax == 0 {
		sparseMax = DefaultSparseMax
	}
	return &mirror{
		need: c.Need, counted: c.Counted, limit: limit, grace: c.ExpiryGrace.Milliseconds(), classes: c.Classes, clock: &in.clock, pace: &in.pace,
		dbs: map[int]*database{}, sparseMax: sparseMax, losses: &in.stats.Lost, judges: map[question]event.Judge{}, few: fewElements,
	}
}

// maxDatabases is how many databases are mirrored: a hostile stream of ever
// new numbers costs no memory. Of the others nothing is kept.
const maxDatabases = 1 << 14

// database returns the database of a number, and mi.beyond if there are too
// many.
func (mi *mirror) database(db int) *database {
	d := mi.dbs[db]
	if d != nil {
		return d
	}
	if len(mi.dbs) >= maxDatabases {
		return &mi.beyond
	}
	mi.lastID++
	d = &database{mi: mi, id: mi.lastID, keys: map[string]*keyState{}}
	mi.setCover(d, coverAs(mi.absent, db))
	mi.dbs[db] = d
	return d
}

func (mi *mirror) setCover(d *database, c []cover) {
	d.cover = c
	mi.markDatabase(d)
}

// markDatabase notes that a database's own entry in the journal has changed.
func (mi *mirror) markDatabase(d *database) {
	if mi.journal != nil {
		d.dirty, mi.journal.databases = true, true
	}
}

// covers reports whether a key that has no state is known not to be there.
func (d *database) covers(key []byte) bool {
	for _, c := range d.cover {
		if c.need(c.db, key) == NeedNothing {
			return false
		}
	}
	return d.cover != nil
}

// lacksDatabase reports whether a key of a database never met is known not to be
// there.
func (mi *mirror) lacksDatabase(db int, key []byte) bool {
	for _, c := range mi.absent {
		if c.need(db, key) == NeedNothing {
			return false
		}
	}
	return mi.absent != nil
}

// coverOf is the cover of a database of which all keys that are needed now are
// known.
func (mi *mirror) coverOf(db int) []cover { return []cover{{mi.need, mi.generation, db}} }

// coverAs is a cover, as that of the database of a number.
func coverAs(of []cover, db int) []cover {
	of = slices.Clone(of)
	for i := range of {
		of[i].db = db
	}
	return of
}

// extendCover adds what is in force from now on.
func (mi *mirror) extendCover(d *database, c cover) {
	if to := mi.extended(d.cover, c); len(to) != len(d.cover) {
		mi.setCover(d, to)
	}
}

// extended is a cover and a further need. It is nil if it was, or has become too
// long.
func (mi *mirror) extended(of []cover, c cover) []cover {
	for _, old := range of {
		if old.generation == c.generation && old.db == c.db {
			return of
		}
	}
	switch len(of) {
	case 0:
		return nil
	case maxCover:
		mi.losses.Undecided++
		return nil
	}
	return append(of, c)
}

// narrowed is a cover that has the need of now, which asks for no more, in place
// of the one before.
func (mi *mirror) narrowed(of []cover) []cover {
	for i := range of {
		if c := &of[i]; c.generation == mi.generation-1 {
			c.need, c.generation = mi.need, mi.generation
		}
	}
	return of
}

// wants reports whether a command has to be followed: it names a key that is
// needed, or may reach one.
func (mi *mirror) wants(cmd *command, args [][]byte, db int) bool {
	if cmd.everywhere {
		return true
	}
	if cmd.anyArgument {
		return mi.wantsArguments(args, db)
	}
	d := mi.dbs[db]
	mi.found = found{}
	if cmd.oneKey {
		return len(args) > 1 && mi.wantsKey(d, db, args[1])
	}
	var buf [maxRanges]keyRange
	for _, r := range cmd.appendRanges(buf[:0], args) {
		for i := r.first; i <= r.last; i += r.step {
			if mi.wantsKey(d, db, args[i]) {
				return true
			}
			if mi.pace.stops() {
				return false
			}
		}
	}
	return false
}

// wantsKey reports whether a key of a database, which may be nil, is needed.
func (mi *mirror) wantsKey(d *database, db int, key []byte) bool {
	if d != nil {
		if s := d.keys[string(key)]; s != nil {
			mi.found = found{d, key, s}
			return true
		}
	}
	return mi.need(db, key) != NeedNothing
}

// found is the key that wants has found for the present command, which then need
// not be looked up again.
type found struct {
	database *database
	key      []byte
	state    *keyState // nil: there is none
}

// takeFound returns the state of a key, if it is the one that was found.
func (mi *mirror) takeFound(d *database, key []byte) *keyState {
	f := &mi.found
	if f.state == nil {
		return nil
	}
	s := f.state
	if f.database != d || len(key) == 0 || len(f.key) != len(key) || &f.key[0] != &key[0] {
		s = nil
	}
	*f = found{} // which would hold the command's memory
	return s
}

// newKey begins to keep a key of which so much is needed.
func (mi *mirror) newKey(d *database, key []byte, need Need) *keyState {
	s := &keyState{value: value{texts: need >= NeedValue}, expiry: expiry{onTime: need == NeedOnTime}}
	if d.covers(key) {
		s.value.exists, s.value.known, s.expiry.known = no, true, true
	}
	if mi.journal != nil {
		s.marks.base = mi.journal.base
	}
	d.keys[string(key)] = s
	mi.count++
	return s
}

// Lookup returns a key's value as it is at this moment, which is after the last
// command, also while the events of that command are looked at. It is event.None
// if the key is not there, and nil if that, or the value, is not known or not
// needed; while a snapshot is read it is not known of keys that it has not told
// yet. The value is borrowed: it is valid until the next command. Lookup costs the
// same however long the value is, and allocates nothing in steady state.
func (in *Interpreter) Lookup(db int, key []byte) event.Value {
	mi := in.mirror
	if mi == nil || mi.torn {
		return nil
	}
	d := mi.dbs[db]
	if d == nil {
		if !mi.inside && len(mi.dbs) < maxDatabases && mi.need(db, key) != NeedNothing && mi.lacksDatabase(db, key) {
			return event.None
		}
		return nil
	}
	if s := d.keys[string(key)]; s != nil {
		if mi.inside && s.marks.snapshot != mi.snapshot {
			return nil
		}
		return s.value.view(in.lookups.next(), nil)
	}
	if !mi.inside && mi.need(db, key) != NeedNothing && d.covers(key) {
		return event.None
	}
	return nil
}

// lookups are the views that Lookup has given since the last command.
type lookups struct {
	views []*view
	used  int
}

// next returns a view that is not in use.
func (l *lookups) next() *view {
	if l.used == len(l.views) {
		l.views = append(l.views, &view{})
	}
	l.used++
	return l.views[l.used-1]
}

// release takes all views back.
func (l *lookups) release() {
	const keep = 64
	for _, v := range l.views[:l.used] {
		*v = view{}
	}
	if l.used = 0; len(l.views) > keep {
		l.views = nil
	}
}

// account counts a key's memory, enforces the limit, and forgets a key of which
// nothing has to be kept.
func (mi *mirror) account(k *operand) {
	s := k.keyState
	if s.value.exists == no && k.database.covers(k.key) {
		mi.forget(k.database, k.key, s)
		return
	}
	grown := mi.measure(s, len(k.key))
	if mi.journal != nil {
		mi.journal.recordChange(k, grown)
	}
	if mi.size > mi.limit {
		mi.shrink(k.database, k.key, s)
	}
	mi.scheduleExpiry(s, k.db, k.key)
}

// measure counts a key's memory anew, and returns by how much it has grown.
func (mi *mirror) measure(s *keyState, name int) (grown int) {
	size := s.bytes(name)
	grown = size - s.size
	mi.size += int64(grown)
	s.size = size
	return grown
}

// shrink drops the value of a key that grew beyond the limit, and if that is
// not enough all that is known of it. What is counted for it goes before that: it
// is made again where there is room.
func (mi *mirror) shrink(d *database, key []byte, s *keyState) {
	if s.value.elements != nil {
		if s.value.elements.counts().tallies = nil; mi.measure(s, len(key)) < 0 && mi.size <= mi.limit {
			return
		}
	}
	mi.losses.Limit++
	if s.value.exists != no {
		s.value.drop()
		mi.measure(s, len(key))
	}
	if mi.size > mi.limit {
		mi.setCover(d, nil)
		mi.forget(d, key, s)
	}
}

// forget keeps nothing of a key any more.
func (mi *mirror) forget(d *database, key []byte, s *keyState) {
	if mi.journal != nil {
		mi.journal.forget(d, key, s)
	}
	mi.size -= int64(s.size)
	s.size = 0
	mi.count--
	delete(d.keys, string(key))
	mi.found.state = nil
}

// flush makes a database have no keys.
func (mi *mirror) flush(db int) {
	d := mi.database(db)
	if d == &mi.beyond {
		return
	}
	mi.clear(d)
	mi.setCover(d, mi.coverOf(db))
}

// clear forgets all keys of a database.
func (mi *mirror) clear(d *database) {
	if mi.journal != nil {
		mi.journal.empty(d)
	}
	for _, s := range d.keys {
		if mi.pace.stops() {
			return
		}
		mi.size -= int64(s.size)
	}
	mi.count -= int64(len(d.keys))
	d.keys = map[string]*keyState{}
	mi.found.state = nil
}

// swap exchanges two databases. What is needed of a key may depend on the
// database, so all keys are asked for anew.
func (mi *mirror) swap(a, b int) {
	if a == b {
		return
	}
	da, db := mi.database(a), mi.database(b)
	if da == &mi.beyond || db == &mi.beyond {
		mi.loseAll(&mi.losses.Undecided)
		return
	}
	mi.dbs[a], mi.dbs[b] = db, da
	mi.markDatabase(da)
	mi.markDatabase(db)
	mi.losses.Source += mi.askAnew(da, b) + mi.askAnew(db, a)
}

// askAnew asks for all keys of a database that is number db from now on, or
// whose rules have changed, what is needed of them. It returns of how many keys that
// are there it is the value, which was not kept so far.
func (mi *mirror) askAnew(d *database, db int) (unkept int64) {
	mi.extendCover(d, cover{mi.need, mi.generation, db})
	for key, s := range d.keys {
		if mi.pace.stops() {
			return unkept
		}
		need := mi.need(db, []byte(key))
		if mi.journal != nil {
			mi.journal.touch(d, []byte(key), s)
		}
		s.expiry.onTime, s.expiry.turn = need == NeedOnTime, 0
		switch v := &s.value; {
		case need == NeedNothing:
			mi.forget(d, []byte(key), s)
			continue
		case need == NeedState:
			v.texts, v.text = false, nil
		case !v.texts:
			v.texts = true
			if v.exists == yes && v.known {
				v.drop()
				unkept++
			}
		}
		mi.measure(s, len(key))
		mi.scheduleExpiry(s, db, []byte(key))
	}
	return unkept
}

// loseAll: any key may have changed, or gone, or be there.
func (mi *mirror) loseAll(why *int64) {
	*why += mi.knownValues()
	mi.forgetAll()
}

// knownValues counts what forgetAll would make unknown: values, and that a
// database has no other keys.
func (mi *mirror) knownValues() (n int64) {
	for _, d := range mi.dbs {
		n += d.knownValues()
	}
	if mi.absent != nil {
		n++
	}
	return n
}

func (d *database) knownValues() (n int64) {
	for _, s := range d.keys {
		if d.mi.pace.stops() {
			break
		}
		if s.value.known {
			n++
		}
	}
	if d.cover != nil {
		n++
	}
	return n
}

// forgetAll forgets all keys, and knows of none that it is not there.
func (mi *mirror) forgetAll() {
	for _, d := range mi.dbs {
		mi.clear(d)
		mi.setCover(d, nil)
	}
	mi.absent, mi.torn = nil, false
}
