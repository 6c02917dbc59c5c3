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
	clone() collection
	equal(other collection) bool // which is of the same type and length

	// each gives the elements that a view shows, all in the same memory, until
	// give returns false.
	each(v *view, give func(*event.Element) bool)

	// load adds one element of a snapshot or of a payload of RESTORE.
	load(e *rdb.Element, l *loader) error
	// do does what an op says, and reports whether it could.
	do(o *operation, u *undo) bool
	// appendOps appends the ops that make the collection. Between two of them it
	// calls full with what there is, and goes on with what that returns.
	appendOps(dst []byte, full func([]byte) []byte) []byte
}

// named is a collection whose elements are found by their names.
type named interface {
	// get returns what an element of a name has; was is what the command has
	// changed of it, nil for nothing.
	get(was *undone, name []byte) (value []byte, ok bool)
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
	entries  []*streamEntry // stream: removed, and some that the command itself had added
	last     rdb.StreamID   // stream: ID of the last entry ever, before

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
