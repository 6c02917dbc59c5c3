package keyspace

import "slices"

// cut tells what has changed of the mirror up to one moment, a piece at a time,
// while the mirror goes on: a key that is about to change is told before it does.
type cut struct {
	sink   func(block []byte) (next []byte) // nil: there is no cut
	epoch  epoch                            // of keys that are to be told
	blocks []*markBlock                     // of these
	at     int                              // marks of the first block that were gone through
	block  []byte                           // what the sink has not got yet
	told   int                              // bytes so far
}

// blockSize is about how many bytes a block of a cut has.
const blockSize = 1 << 20

// Cut begins to tell what has changed of the mirror since the last cut, as it is
// at this moment; whole: all of it, for a store that has nothing. It only takes
// notes: TellCut does the work, in between commands. The sink gets blocks of
// about 1 MiB, at most 65, which it owns, and returns a slice to use for the
// next one, or nil. It is called by whatever method of the Interpreter has
// something to tell, and must not wait.
//
// RestoreBlock takes blocks back: those of a whole cut, and of all cuts since, in
// their order. A cut is of use when TellCut has returned true. One that is under
// way when Cut is called is told first, or, if all is to be told, given up.
func (in *Interpreter) Cut(whole bool, sink func(block []byte) (next []byte)) {
	j, mi := in.journal, in.mirror
	if j == nil {
		return
	}
	for !whole && !in.TellCut(1<<30) {
	}
	if whole {
		inside := j.inside
		j.reset()
		j.inside = inside
		if mi != nil {
			mi.beginWalk(j)
		}
	}
	j.cut = cut{sink: sink, epoch: j.epoch, blocks: j.changed.blocks}
	j.epoch, j.changed = j.epoch.next(), markList{spare: j.changed.spare}
	j.bytes = 0
	if j.wipe {
		j.wipe = false
		j.give(DeleteRange, nil, nil)
	}
	for _, b := range j.removed {
		j.cut.flush()
		j.cut.block = b
		j.cut.told += len(b)
	}
	j.removed = nil
	if mi != nil {
		mi.cutDatabases(j)
	}
}

// cutDatabases tells what is true of the whole, and of databases.
func (mi *mirror) cutDatabases(j *journal) {
	if whole := mi.appendWhole(nil); !slices.Equal(j.whole, whole) {
		j.whole = whole
		j.give(Put, mirrorEntry, whole)
	}
	if !j.databases {
		return
	}
	j.databases = false
	for db, d := range mi.dbs {
		if d.dirty {
			d.dirty = false
			j.value = d.appendCover(j.value[:0])
			j.entry = appendNumber(j.entry[:0], entryDatabase, uint32(db))
			j.give(Put, j.entry, j.value)
		}
	}
}

// TellCut tells about so many bytes of what the cut has still to tell, and
// reports whether that was all: then the sink has all of it, and is called no
// more. One long value is told at once.
func (in *Interpreter) TellCut(bytes int) (done bool) {
	j := in.journal
	if j == nil || j.cut.sink == nil {
		return true
	}
	c := &j.cut
	end := c.told + bytes
	if !j.tellWalk(end) {
		return false
	}
	for len(c.blocks) > 0 {
		b := c.blocks[0]
		for ; c.at < len(b.marks); c.at++ {
			if c.told >= end {
				return false
			}
			m := &b.marks[c.at]
			if c.lacks(m.s) {
				j.save(m.database, b.name(c.at), m.s)
			}
			c.told += 8 // going through the marks of keys that went takes time, too
		}
		j.changed.release(b)
		c.blocks, c.at = c.blocks[1:], 0
	}
	c.flush()
	*c = cut{}
	return true
}

// lacks reports whether a key is still to be told.
func (c *cut) lacks(s *keyState) bool { return s.marks.epoch == c.epoch && c.sink != nil }

// flush gives the sink what there is.
func (c *cut) flush() {
	if len(c.block) > 0 {
		c.block = c.sink(c.block)[:0]
	}
}
