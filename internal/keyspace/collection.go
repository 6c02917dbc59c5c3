package keyspace

import (
	"triggerd/internal/event"
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
	clone(*pace) collection
	equal(other collection, p *pace) bool // which is of the same type and length
	counts() *counted                     // its tallies

	// each gives the elements that a view shows until give returns false.
	each(v *view, give func(event.Element) bool)

	// load adds one element of a snapshot or of a payload of RESTORE.
	load(e *rdb.Element, l *loader) error
	// do does what an op says, and reports whether it could.
	do(o *operation, u *undo) bool
	// appendOps appends the ops that make the collection. Between two of them it
	// calls full with what there is, and goes on with what that returns.
	appendOps(dst []byte, full func([]byte) []byte) []byte
}

// isEmpty reports whether nothing is left of a collection: no server keeps a key
// of which that is so.
func isEmpty(elements collection) bool {
	if elements.len() > 0 {
		return false
	}
	h, ok := elements.(*hash)
	return !ok || len(h.dead) == 0
}

// newCollection makes an empty one.
func newCollection(k kind) collection {
	switch k {
	case kindList:
		return newList()
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
	count    int          // of elements, before
	elements []oldElement // hash, set, zset: the first for a name counts
	patches  []patch      // string: undone from the last to the first
	list     listUndo
	entries  []*streamEntry // stream: removed, and some that the command itself had added
	last     rdb.StreamID   // stream: ID of the last entry ever, before

	unordered bool // entries are not in the order of their IDs

	logs bool   // ops are wanted
	ops  []byte // what was done, for the journal

	pace *pace // asked before an element is changed; nil: nothing is given up
}

// listUndo is that of a list.
type listUndo struct {
	front    []string // removed from the front, in the list's order
	back     []string // removed from the back, in the list's order
	addFront int      // items added after that, in front
	addBack  int      // at the back

	items  []string // all of them as they were, if the list was edited
	edited int      // so many times old was put in somewhere; negative: taken out

	replaced bool // the item at index slot was old
	slot     int
	old      string
}

// oldElement is an element as it was before the command.
type oldElement struct {
	name, value string
	score       float64
	had         bool
}

// patch is a part of a string as it was before it was overwritten in place.
type patch struct {
	at  int
	old []byte
}

const (
	keepUndone = 256      // elements that an undo keeps room for
	keepOps    = 16 << 10 // bytes of ops
)

// reset makes an undo that says nothing, and keeps some of its memory.
func (u *undo) reset() {
	if cap(u.elements) > keepUndone || cap(u.entries) > keepUndone || cap(u.ops) > keepOps {
		*u = undo{pace: u.pace}
		return
	}
	// Of most commands there is nothing to undo, so what was used is reset.
	clear(u.elements)
	clear(u.entries)
	u.count, u.elements, u.patches, u.entries, u.ops = 0, u.elements[:0], nil, u.entries[:0], u.ops[:0]
	u.last, u.unordered, u.logs = rdb.StreamID{}, false, false
	if u.list.used() {
		u.list = listUndo{}
	}
}

// used reports whether something was done to the list.
func (u *listUndo) used() bool {
	return u.front != nil || u.back != nil || u.addFront != 0 || u.addBack != 0 || u.items != nil || u.edited != 0 || u.replaced
}
