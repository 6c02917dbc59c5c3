package keyspace

import (
	"sort"

	"github.com/tidwall/btree"

	"triggerd/rdb"
)

// What an element costs in memory beyond its own bytes, as measured by
// TestMemory: headers, the map's or tree's share, the allocator's rounding.
const (
	listCost   = 24
	setCost    = 44
	hashCost   = 76
	expireCost = 48
	zsetCost   = 100
	streamCost = 72
	fieldCost  = 24
)

// collection is a mirrored value that has elements. A change writes what was
// there before into an undo, so that the value before can be seen without
// having been copied.
type collection interface {
	len() int
	bytes() int // of memory, estimated
	clone() collection
}

// newCollection makes an empty one.
func newCollection(k kind) collection {
	switch k {
	case kindList:
		return &list{}
	case kindSet:
		return newSet()
	case kindHash:
		return newHash()
	case kindZset:
		return newZset()
	case kindStream:
		return newStream()
	}
	return nil
}

// undo is what one command has changed of one value: enough to see the value
// as it was. Only the fields of the value's type are used.
type undo struct {
	count    int      // of elements, before
	elements []undone // hash, set, zset: the first for a name counts
	patches  []patch  // string: undone from the last to the first
	front    []string // list: removed from the front, in the list's order
	back     []string // list: removed from the back, in the list's order
	addFront int      // list: elements added after that, in front
	addBack  int      // list: at the back
	items    []string // list: all of it, where nothing less will do
	whole    bool     // items is set
	replaced bool     // list: the item at index slot was old
	slot     int
	old      string
	entries  []*entry     // stream: removed, and some that the command itself had added
	last     rdb.StreamID // stream: ID of the last entry ever, before

	logs bool   // ops are wanted
	ops  []byte // what was done, for the journal
}

// undone is an element as it was before the command.
type undone struct {
	name, value string
	score       float64
	had         bool
}

// patch is a part of a string as it was before it was overwritten in place.
type patch struct {
	at  int
	old []byte
}

// keepUndone is for how many elements an undo keeps room.
const keepUndone = 256

// keepOps is for how many bytes of ops it does.
const keepOps = 16 << 10

func (u *undo) reset() {
	if cap(u.elements) > keepUndone || cap(u.entries) > keepUndone || cap(u.ops) > keepOps {
		*u = undo{}
		return
	}
	clear(u.elements)
	clear(u.entries)
	*u = undo{elements: u.elements[:0], entries: u.entries[:0], ops: u.ops[:0]}
}

// list is a ring, so that both ends are cheap.
type list struct {
	ring []string // its length is a power of two
	head int
	n    int
	size int
}

func (l *list) len() int   { return l.n }
func (l *list) bytes() int { return l.size + 48 }

func (l *list) at(i int) string { return l.ring[(l.head+i)&(len(l.ring)-1)] }

func (l *list) grow() {
	if l.n < len(l.ring) {
		return
	}
	ring := make([]string, max(4, 2*len(l.ring)))
	for i := range l.n {
		ring[i] = l.at(i)
	}
	l.ring, l.head = ring, 0
}

func (l *list) push(u *undo, front bool, item string) {
	l.grow()
	mask := len(l.ring) - 1
	if front {
		l.head = (l.head - 1) & mask
		l.ring[l.head] = item
		u.addFront++
	} else {
		l.ring[(l.head+l.n)&mask] = item
		u.addBack++
	}
	if u.logs {
		u.log(sided(front, opPushFront, opPushBack), 0, 0, item)
	}
	l.n++
	l.size += len(item) + listCost
}

// pop removes n items, which are there.
func (l *list) pop(u *undo, front bool, n int) {
	if u.logs && n > 0 {
		u.log(sided(front, opPopFront, opPopBack), uint64(n), 0)
	}
	mask := len(l.ring) - 1
	if front {
		for range n {
			u.front = append(u.front, l.at(0))
			l.drop(l.head)
			l.head = (l.head + 1) & mask
			l.n--
		}
		return
	}
	for i := l.n - n; i < l.n; i++ {
		u.back = append(u.back, l.at(i))
		l.drop((l.head + i) & mask)
	}
	l.n -= n
}

func sided(front bool, ifFront, ifBack opcode) opcode {
	if front {
		return ifFront
	}
	return ifBack
}

func (l *list) drop(slot int) {
	l.size -= len(l.ring[slot]) + listCost
	l.ring[slot] = ""
}

// replace makes items the list.
func (l *list) replace(u *undo, items []string) {
	u.items, u.whole = l.all(), true
	*l = *newList(items)
}

func (l *list) all() []string {
	items := make([]string, l.n)
	for i := range items {
		items[i] = l.at(i)
	}
	return items
}

func newList(items []string) *list {
	l := &list{}
	var u undo
	for _, item := range items {
		l.push(&u, false, item)
	}
	return l
}

func (l *list) clone() collection { return newList(l.all()) }

// set is a set.
type set struct {
	members map[string]struct{}
	size    int
}

func newSet() *set { return &set{members: map[string]struct{}{}} }

func (s *set) len() int   { return len(s.members) }
func (s *set) bytes() int { return s.size + 120 }

func (s *set) has(member string) bool {
	_, ok := s.members[member]
	return ok
}

func (s *set) add(u *undo, member []byte) bool {
	if _, ok := s.members[string(member)]; ok {
		return false
	}
	m := string(member)
	s.members[m] = struct{}{}
	s.size += len(m) + setCost
	u.elements = append(u.elements, undone{name: m})
	if u.logs {
		u.log(opAdd, 0, 0, m)
	}
	return true
}

func (s *set) remove(u *undo, member []byte) bool {
	if _, ok := s.members[string(member)]; !ok {
		return false
	}
	u.elements = append(u.elements, undone{name: string(member), had: true})
	delete(s.members, string(member))
	s.size -= len(member) + setCost
	if u.logs {
		u.log(opDelete, 0, 0, string(member))
	}
	return true
}

func (s *set) clone() collection {
	c := &set{members: make(map[string]struct{}, len(s.members)), size: s.size}
	for m := range s.members {
		c.members[m] = struct{}{}
	}
	return c
}

// hash is a hash, whose fields may have deadlines.
type hash struct {
	fields  map[string]string
	expires map[string]int64 // ms; only fields that expire
	size    int
}

func newHash() *hash { return &hash{fields: map[string]string{}} }

func (h *hash) len() int   { return len(h.fields) }
func (h *hash) bytes() int { return h.size + 96 }

// set sets a field. Its deadline stays.
func (h *hash) set(u *undo, name []byte, value string) {
	old, had := h.fields[string(name)]
	n := string(name)
	u.elements = append(u.elements, undone{name: n, value: old, had: had})
	if had {
		h.size += len(value) - len(old)
	} else {
		h.size += len(n) + len(value) + hashCost
	}
	h.fields[n] = value
	if u.logs {
		u.log(opField, 0, 0, n, value)
	}
}

func (h *hash) remove(u *undo, name []byte) bool {
	old, had := h.fields[string(name)]
	if !had {
		return false
	}
	u.elements = append(u.elements, undone{name: string(name), value: old, had: true})
	h.expire(u, name, 0)
	delete(h.fields, string(name))
	h.size -= len(name) + len(old) + hashCost
	if u.logs {
		u.log(opDelete, 0, 0, string(name))
	}
	return true
}

// expire sets a field's deadline; 0 takes it away.
func (h *hash) expire(u *undo, name []byte, at int64) {
	_, had := h.expires[string(name)]
	if u.logs && (had || at != 0) {
		u.log(opExpireAt, uint64(at), 0, string(name))
	}
	switch {
	case at == 0 && had:
		delete(h.expires, string(name))
		h.size -= len(name) + expireCost
	case at != 0:
		if h.expires == nil {
			h.expires = map[string]int64{}
		}
		if !had {
			h.size += len(name) + expireCost
		}
		h.expires[string(name)] = at
	}
}

// deadline returns a field's deadline, 0 if it has none.
func (h *hash) deadline(name []byte) int64 { return h.expires[string(name)] }

func (h *hash) clone() collection {
	c := &hash{fields: make(map[string]string, len(h.fields)), size: h.size}
	for f, v := range h.fields {
		c.fields[f] = v
	}
	if h.expires != nil {
		c.expires = make(map[string]int64, len(h.expires))
		for f, at := range h.expires {
			c.expires[f] = at
		}
	}
	return c
}

// zset is a sorted set: a map for scores and a tree for the order.
type zset struct {
	scores map[string]float64
	order  *btree.BTreeG[scored]
	size   int
}

// scored is a member with its score.
type scored struct {
	score  float64
	member string
}

// before is the servers' order: by score, then by the member's bytes.
func before(a, b scored) bool {
	if a.score != b.score {
		return a.score < b.score
	}
	return a.member < b.member
}

func newZset() *zset {
	return &zset{scores: map[string]float64{}, order: btree.NewBTreeGOptions(before, btree.Options{NoLocks: true})}
}

func (z *zset) len() int   { return len(z.scores) }
func (z *zset) bytes() int { return z.size + 300 }

func (z *zset) set(u *undo, member string, score float64) {
	old, had := z.scores[member]
	u.elements = append(u.elements, undone{name: member, score: old, had: had})
	if had {
		z.order.Delete(scored{old, member})
	} else {
		z.size += len(member) + zsetCost
	}
	z.scores[member] = score
	z.order.Set(scored{score, member})
	if u.logs {
		u.log(opScore, scoreBits(score), 0, member)
	}
}

func (z *zset) remove(u *undo, member string) bool {
	score, had := z.scores[member]
	if !had {
		return false
	}
	u.elements = append(u.elements, undone{name: member, score: score, had: true})
	delete(z.scores, member)
	z.order.Delete(scored{score, member})
	z.size -= len(member) + zsetCost
	if u.logs {
		u.log(opDelete, 0, 0, member)
	}
	return true
}

func (z *zset) clone() collection {
	c := newZset()
	for m, s := range z.scores {
		c.scores[m] = s
		c.order.Set(scored{s, m})
	}
	c.size = z.size
	return c
}

// stream is a stream's entries, by ID, and who reads it in groups.
type stream struct {
	entries []*entry
	last    rdb.StreamID
	groups  map[string]map[string]struct{} // consumers of each group
	size    int
}

type entry struct {
	id     rdb.StreamID
	fields []string
}

func (e *entry) bytes() int {
	n := streamCost
	for _, f := range e.fields {
		n += len(f) + fieldCost
	}
	return n
}

func (s *stream) len() int   { return len(s.entries) }
func (s *stream) bytes() int { return s.size + 120 }

func less(a, b rdb.StreamID) bool {
	if a.Ms != b.Ms {
		return a.Ms < b.Ms
	}
	return a.Seq < b.Seq
}

// find returns the index of the first entry that is not before id.
func (s *stream) find(id rdb.StreamID) int {
	return sort.Search(len(s.entries), func(i int) bool { return !less(s.entries[i].id, id) })
}

// add appends an entry, whose ID is the greatest; it reports whether it is.
func (s *stream) add(u *undo, e *entry) bool {
	if n := len(s.entries); n > 0 && !less(s.entries[n-1].id, e.id) {
		return false
	}
	s.entries = append(s.entries, e)
	s.size += e.bytes()
	s.last = e.id
	if u.logs {
		u.log(opEntry, e.id.Ms, e.id.Seq, e.fields...)
	}
	return true
}

// trim removes the first n entries.
func (s *stream) trim(u *undo, n int) {
	if u.logs && n > 0 {
		u.log(opTrim, uint64(n), 0)
	}
	for i, e := range s.entries[:n] {
		s.size -= e.bytes()
		u.entries = append(u.entries, e)
		s.entries[i] = nil
	}
	s.entries = s.entries[n:]
}

func (s *stream) remove(u *undo, id rdb.StreamID) bool {
	i := s.find(id)
	if i == len(s.entries) || s.entries[i].id != id {
		return false
	}
	e := s.entries[i]
	u.entries = append(u.entries, e)
	s.size -= e.bytes()
	s.entries = append(s.entries[:i], s.entries[i+1:]...)
	if u.logs {
		u.log(opDeleteID, id.Ms, id.Seq)
	}
	return true
}

// group makes a group known.
func (s *stream) group(u *undo, name string) {
	if _, had := s.groups[name]; had {
		return
	}
	s.groups[name] = map[string]struct{}{}
	s.size += len(name) + setCost
	if u.logs {
		u.log(opGroup, 0, 0, name)
	}
}

// forget removes a group.
func (s *stream) forget(u *undo, name string) {
	consumers, had := s.groups[name]
	if !had {
		return
	}
	for c := range consumers {
		s.leave(u, name, c)
	}
	delete(s.groups, name)
	s.size -= len(name) + setCost
	if u.logs {
		u.log(opNoGroup, 0, 0, name)
	}
}

// leave removes a consumer of a group.
func (s *stream) leave(u *undo, group, name string) {
	if _, had := s.groups[group][name]; !had {
		return
	}
	delete(s.groups[group], name)
	s.size -= len(name) + setCost
	if u.logs {
		u.log(opNoConsumer, 0, 0, group, name)
	}
}

// consumer makes a consumer of a group known, and reports whether it is new.
func (s *stream) consumer(u *undo, group, name string) bool {
	g, ok := s.groups[group]
	if _, had := g[name]; had || !ok {
		return false
	}
	g[name] = struct{}{}
	s.size += len(name) + setCost
	if u.logs {
		u.log(opConsumer, 0, 0, group, name)
	}
	return true
}

func (s *stream) clone() collection {
	c := &stream{entries: append([]*entry(nil), s.entries...), last: s.last, size: s.size, groups: map[string]map[string]struct{}{}}
	for name, consumers := range s.groups {
		c.groups[name] = map[string]struct{}{}
		for consumer := range consumers {
			c.groups[name][consumer] = struct{}{}
		}
	}
	return c
}
