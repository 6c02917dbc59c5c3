package keyspace

import (
	"bytes"
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

// Losses counts why values became unknown. A value that is not known is left
// out of events; it is known again once a command sets it whole.
type Losses struct {
	Limit     int64 // Config.MaxMirror was reached, and the value that grew was dropped
	Source    int64 // it was made of keys that are not mirrored, or not known
	Mismatch  int64 // a command that cannot have done what the server did with the value that we have
	Malformed int64 // a command without its arguments
	Undecided int64 // a command whose result only the server knows (XTRIM MAXLEN ~, an unknown module's)
}

// tri is whether a key is there.
type tri uint8

const (
	maybe tri = iota
	no
	yes
)

// item is one mirrored key. A key that is needed and has no item is not there
// if its database is covered, and else not known.
type item struct {
	exists   tri
	kind     kind
	known    bool // text or obj is what the server has
	texts    bool // texts are kept, not only names
	onTime   bool // its expiry is announced at the deadline
	timed    bool // expireAt is known
	dirty    bool // the journal has a mark of it
	stored   bool // the journal's store has an entry of it
	expireAt int64
	text     []byte
	obj      collection
	size     int    // bytes counted for it, with its key
	ref      *ref   // of the present command, if that names the key
	seen     uint32 // number of the snapshot that had it last
	fired    int64  // the deadline at which its expiry was announced
	turn     int64  // when it is looked at next, 0 for never
	saved    *saved // a long value's place in the journal
}

// keyCost is what a key costs beyond its bytes and its value's, as measured by
// TestMemory.
const keyCost = 176

// turnCost is what a key's place in the schedule costs beyond its bytes.
const turnCost = 48

func (it *item) bytes(key int) int {
	n := keyCost + key + cap(it.text)
	if it.onTime {
		n += turnCost + key
	}
	if it.obj != nil {
		n += it.obj.bytes()
	}
	return n
}

// hasValue reports whether the value is kept. Of a string of which only the
// state is needed it is not.
func (it *item) hasValue() bool {
	return it.known && (it.obj != nil || it.kind == kindString && it.texts)
}

// database is the mirror of one database.
type database struct {
	id    uint32 // in the journal
	items map[string]*item
	// cover is how absence is known: a key that has no item is not there if
	// each of these needed it. nil: it is not known.
	cover   []cover
	changed bool // its own entry in the journal has to be written
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

// mirror holds what is known of the keys that are needed.
type mirror struct {
	need       func(db int, key []byte) Need
	generation int // number of need
	limit      int64
	grace      int64 // ms
	classes    Classes
	clock      *clock
	dbs        map[int]*database
	beyond     database // always empty
	// flushed tells that databases never met are empty.
	flushed bool
	size    int64
	keys    int64
	losses  Losses
	// sparseMax is the server's hll-sparse-max-bytes; negative: a value has shown
	// that it is not what we took it for.
	sparseMax int
	snapshot  uint32 // number of the one that is being read, or was last

	journal *journal // nil: there is none
	lastID  uint32   // of a database
	torn    bool     // what was restored is of several moments

	// Of the present command:
	number uint64
	now    int64 // ms, by the primary's clock as far as that is known; 0 if not known
	refs   []*ref
	used   int           // of refs
	plain  []event.Event // without those of the optional classes
	nobody ref           // of a key that is not needed, where there are many
	names  [][]byte

	emptied emptied // by the last command that emptied a hash
	trim    *trim   // that is under way, nil for none
	due     schedule
}

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
	return &mirror{need: c.Need, limit: limit, grace: c.ExpiryGrace.Milliseconds(), classes: c.Classes, dbs: map[int]*database{}, sparseMax: sparseMax, clock: &in.clock}
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
	d = &database{id: mi.lastID, items: map[string]*item{}}
	var c []cover
	if mi.flushed {
		c = mi.coverOf(db)
	}
	mi.setCover(d, c)
	mi.dbs[db] = d
	return d
}

func (mi *mirror) setCover(d *database, c []cover) {
	d.cover = c
	mi.touch(d)
}

// touch notes that a database's own entry in the journal has changed.
func (mi *mirror) touch(d *database) {
	if mi.journal != nil {
		d.changed, mi.journal.databases = true, true
	}
}

func (d *database) covers(key []byte) bool {
	for _, c := range d.cover {
		if c.need(c.db, key) == NeedNothing {
			return false
		}
	}
	return d.cover != nil
}

// coverOf is the cover of a database of which all keys that are needed now are
// known.
func (mi *mirror) coverOf(db int) []cover { return []cover{{mi.need, mi.generation, db}} }

// extend adds what is in force from now on.
func (mi *mirror) extend(d *database, c cover) {
	for _, old := range d.cover {
		if old.generation == c.generation && old.db == c.db {
			return
		}
	}
	switch {
	case d.cover == nil:
	case len(d.cover) == maxCover:
		mi.setCover(d, nil)
	default:
		mi.setCover(d, append(d.cover, c))
	}
}

// ref is one key that the present command names, with its state before.
type ref struct {
	key []byte
	db  int
	d   *database
	it  *item // nil: the key is not needed

	existed tri  // before
	told    bool // the optional classes have seen its first event
	kind    kind // before
	was, is view
	before  event.Value // nil: not known
	after   event.Value
	undo    undo
	changed [2]int // of mirror.names
}

// wanted reports whether a command that names only these keys has to be
// followed.
func (mi *mirror) wanted(id ID, args [][]byte, db int) bool {
	switch id {
	case cmdMove, cmdCopy, cmdSwapdb, cmdFlushall, cmdFlushdb, cmdTrimslots, cmdClusterFlushslot:
		return true
	case 0:
		return len(args) > 1 && mi.needs(db, args[1])
	}
	var buf [maxRanges]keyRange
	d := mi.dbs[db]
	for _, r := range appendRanges(buf[:0], id, args) {
		for i := r.first; i <= r.last; i += r.step {
			if d != nil {
				if _, ok := d.items[string(args[i])]; ok {
					return true
				}
			}
			if mi.need(db, args[i]) != NeedNothing {
				return true
			}
		}
	}
	return false
}

func (mi *mirror) needs(db int, key []byte) bool { return mi.need(db, key) != NeedNothing }

// open returns the ref of a key for the present command, the same each time.
func (mi *mirror) open(db int, key []byte) *ref {
	d := mi.database(db)
	it := d.items[string(key)]
	if it != nil && it.ref != nil {
		return it.ref
	}
	need := NeedNothing
	if it == nil && d != &mi.beyond {
		need = mi.need(db, key)
	}
	const few = 64 // commands that look at more keys look at one after another
	if it == nil && need == NeedNothing && mi.used >= few {
		mi.nobody = ref{key: key, db: db}
		return &mi.nobody
	}
	r := mi.newRef()
	r.key, r.db, r.d = key, db, d
	if it == nil {
		if need == NeedNothing {
			return r
		}
		it = &item{texts: need >= NeedValue, onTime: need == NeedOnTime}
		if d.covers(key) {
			it.exists, it.known, it.timed = no, true, true
		}
		d.items[string(key)] = it
		mi.keys++
	}
	it.ref, r.it = r, it
	r.existed, r.kind = it.exists, it.kind
	r.before = it.view(&r.was, &r.undo)
	switch o := it.obj.(type) {
	case nil:
	case *stream:
		r.undo.count, r.undo.last = o.len(), o.last
	default:
		r.undo.count = o.len()
	}
	r.undo.logs = it.saved != nil && !it.saved.stale
	return r
}

func (mi *mirror) newRef() *ref {
	if mi.used == len(mi.refs) {
		mi.refs = append(mi.refs, &ref{})
	}
	r := mi.refs[mi.used]
	mi.used++
	return r
}

// view makes v a view of the item's value, as it is before u's changes.
func (it *item) view(v *view, u *undo) event.Value {
	switch {
	case it.exists == no:
		return event.None
	case it.exists == maybe || !it.known || !it.texts:
		return nil
	}
	*v = view{kind: it.kind, text: it.text, obj: it.obj, undo: u}
	return v
}

// begin starts a command.
func (mi *mirror) begin(c *Command) {
	mi.number++
	if mi.torn {
		mi.forgetAll()
	}
	mi.now = 0
	if !c.Time.IsZero() {
		mi.now = c.Time.UnixMilli()
		mi.now += mi.clock.at(mi.now)
	}
	for _, r := range mi.refs[:mi.used] {
		if r.it != nil {
			r.it.ref = nil
		}
		u := r.undo
		u.reset()
		*r = ref{undo: u}
	}
	const keepRefs = 1024
	if len(mi.refs) > keepRefs {
		mi.refs, mi.names = slices.Clone(mi.refs[:keepRefs]), nil
	}
	mi.used = 0
	clear(mi.names)
	mi.names = mi.names[:0]
}

// finish gives the command's events what is known of their keys, and takes
// stock of what it changed.
func (mi *mirror) finish(m *maker) {
	for _, r := range mi.refs[:mi.used] {
		if r.it == nil {
			continue
		}
		if r.it.hollow() { // ZADD XX of a key that was not there
			mi.lose(r, maybe, r.it.kind, &mi.losses.Mismatch)
		}
		r.after = r.it.view(&r.is, nil)
	}
	at := 0
	for i := m.base; i < len(m.dst); i++ {
		if r := mi.refOf(&m.dst[i], &at); r != nil {
			mi.attach(&m.dst[i], r)
		}
	}
	for _, r := range mi.refs[:mi.used] {
		if r.it != nil {
			mi.settle(r)
		}
	}
}

// refOf returns the ref of an event's key, nil if it is not needed. Events come
// in the order of the refs, nearly: at is where the last one was.
func (mi *mirror) refOf(ev *event.Event, at *int) *ref {
	if ev.Key == nil {
		return nil
	}
	for n := *at; n < min(*at+2, mi.used); n++ {
		if r := mi.refs[n]; r.it != nil && r.db == ev.DB && bytes.Equal(r.key, ev.Key) {
			*at = n
			return r
		}
	}
	if d := mi.dbs[ev.DB]; d != nil {
		if it := d.items[string(ev.Key)]; it != nil {
			return it.ref
		}
	}
	return nil
}

func (mi *mirror) attach(ev *event.Event, r *ref) {
	it := r.it
	ev.Before, ev.After = r.before, r.after
	if r.changed[1] > r.changed[0] {
		ev.Changed = mi.names[r.changed[0]:r.changed[1]:r.changed[1]]
	}
	switch {
	case it.exists == no:
		ev.Type, ev.TTL = typeNone, event.TTLGone
		return
	case it.exists == maybe:
		return
	case it.kind != kindUnknown:
		ev.Type = it.kind.String()
	}
	switch {
	case !it.timed:
	case it.expireAt == 0:
		ev.TTL = event.TTLNone
	case mi.now != 0:
		ev.TTL = max(1, it.expireAt-mi.now)
	}
}

// settle counts a key's memory, enforces the limit, and forgets a key of which
// nothing has to be kept.
func (mi *mirror) settle(r *ref) {
	it := r.it
	if it.exists == no && r.d.covers(r.key) {
		mi.forget(r.d, r.key, it)
		return
	}
	size := it.bytes(len(r.key))
	grown := size - it.size
	mi.size += int64(grown)
	it.size = size
	if mi.journal != nil {
		mi.journal.note(r, grown)
	}
	if mi.size > mi.limit {
		mi.shrink(r.d, r.key, it)
	}
	mi.wait(it, r.db, r.key)
}

// shrink drops the value of a key that grew beyond the limit, and if that is
// not enough all that is known of it.
func (mi *mirror) shrink(d *database, key []byte, it *item) {
	mi.losses.Limit++
	if it.exists != no {
		it.text, it.obj, it.known = nil, nil, false
		size := it.bytes(len(key))
		mi.size += int64(size - it.size)
		it.size = size
	}
	if mi.size > mi.limit {
		mi.setCover(d, nil)
		mi.forget(d, key, it)
	}
}

func (mi *mirror) forget(d *database, key []byte, it *item) {
	if mi.journal != nil {
		mi.journal.forget(d, key, it)
	}
	mi.size -= int64(it.size)
	it.size = 0
	mi.keys--
	delete(d.items, string(key))
}

// lose makes a key's value unknown. exists says what is known of its being
// there, typ what it is.
func (mi *mirror) lose(r *ref, exists tri, k kind, why *int64) {
	it := r.it
	if it == nil {
		return
	}
	if it.known {
		*why++
	}
	if it.exists == maybe && exists == yes {
		it.timed = false // it may have been made just now
	}
	it.exists, it.kind, it.known, it.text, it.obj = exists, k, false, nil, nil
	it.replaced()
	if exists == no {
		it.known, it.expireAt, it.timed = true, 0, true
	} else if exists == maybe {
		it.timed = false
	}
}

// remove makes a key be not there.
func (r *ref) remove() {
	if it := r.it; it != nil {
		*it = item{
			exists: no, known: true, timed: true, texts: it.texts, onTime: it.onTime, size: it.size,
			ref: it.ref, seen: it.seen, dirty: it.dirty, stored: it.stored, saved: it.saved,
		}
		it.replaced()
	}
}

// setText makes a key a string; its deadline is as it was.
func (r *ref) setText(text []byte) {
	if r.it != nil {
		r.it.replaced()
		r.editText(text)
	}
}

// editText does the same with a text that was changed by what undo.log was told.
func (r *ref) editText(text []byte) {
	if it := r.it; it != nil {
		it.timed = it.timed && it.exists != maybe
		it.exists, it.kind, it.known, it.obj = yes, kindString, true, nil
		if it.texts {
			it.text = text
		}
	}
}

// setDeadline sets when a key expires: 0 for never.
func (r *ref) setDeadline(at int64, known bool) {
	if r.it != nil {
		r.it.expireAt, r.it.timed = at, known
	}
}

// setObject makes a key a collection, without a deadline.
func (r *ref) setObject(k kind, o collection) {
	if it := r.it; it != nil {
		it.exists, it.kind, it.known, it.obj, it.text = yes, k, true, o, nil
		it.replaced()
		it.expireAt, it.timed = 0, true
	}
}

// text returns the text of a key that is needed and is a string, or not there
// (""): false if it is not known.
func (r *ref) text() ([]byte, bool) {
	it := r.it
	switch {
	case it == nil || !it.known:
		return nil, false
	case it.exists == no:
		return nil, true
	}
	return it.text, it.kind == kindString && it.texts
}

// collectionOf returns a key's collection for a command that makes one where
// there is none. false: the key is not needed or not known; it is there then,
// as a k.
func collectionOf[T collection](mi *mirror, r *ref, k kind, make func() T) (T, bool) {
	var none T
	it := r.it
	if it == nil {
		return none, false
	}
	if it.exists == no {
		o := make()
		r.setObject(k, o)
		return o, true
	}
	if it.exists == yes && it.known {
		if o, ok := it.obj.(T); ok {
			return o, true
		}
		mi.lose(r, yes, k, &mi.losses.Mismatch)
		return none, false
	}
	if it.exists == maybe {
		it.timed = false
	}
	it.exists, it.kind = yes, k
	return none, false
}

// present returns the collection of a key that the command can only have
// changed if it is there. false: not needed, not known.
func present[T collection](mi *mirror, r *ref, k kind) (T, bool) {
	var none T
	it := r.it
	if it == nil {
		return none, false
	}
	if it.exists == yes && it.known {
		if o, ok := it.obj.(T); ok {
			return o, true
		}
	}
	if it.known {
		mi.lose(r, maybe, kindUnknown, &mi.losses.Mismatch)
	}
	return none, false
}

// source returns a collection that a command reads: nil if the key is not
// there, false if that is not known. It may be of another type.
func (r *ref) source() (collection, bool) {
	it := r.it
	if it == nil || !it.known {
		return nil, false
	}
	if it.exists == no {
		return nil, true
	}
	return it.obj, it.obj != nil
}

// shrunk follows the removal of elements: a collection that is empty is
// removed, which is announced. known says that o is the value.
func (mi *mirror) shrunk(m *maker, r *ref, o collection, known bool) {
	if known && o.len() == 0 {
		r.remove()
		m.emitKey(notNil(r.key), r.db, "del", typeNone)
		return
	}
	if !known && r.it != nil {
		mi.unsure(r)
	}
}

// unsure: elements of an unknown value were removed, perhaps all of them.
// If it is still there its deadline is as it was.
func (mi *mirror) unsure(r *ref) {
	r.it.exists = maybe
}

// changes notes the elements that a command names: args from first on, each
// step-th.
func (mi *mirror) changes(r *ref, args [][]byte, first, step int) {
	if r.it == nil || first > len(args) {
		return
	}
	from := len(mi.names)
	for i := first; i < len(args); i += step {
		mi.names = append(mi.names, args[i])
	}
	r.changed = [2]int{from, len(mi.names)}
}
