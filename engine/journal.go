package engine

import "triggerd/internal/store"

// changes are what the reader's state has come to: the mirror, and what time
// rules wait for. They are committed with the position that they belong to, so
// that after a crash state and position are of one moment.
type changes struct {
	ops   []change
	bytes []byte // of all keys and values
}

// change is one of them. Its key and value follow those of the change before.
type change struct {
	space      store.Space
	what       changeKind
	key, value int // lengths
}

type changeKind uint8

const (
	putEntry changeKind = iota
	deleteEntry
	deleteFrom // all entries from key on, and before value; to the end of the space where value is empty
)

// changeCost is what a change takes in memory and in a batch beyond its bytes.
const changeCost = 48

// size is about how many bytes the changes take.
func (c *changes) size() int { return len(c.bytes) + changeCost*len(c.ops) }

// add copies key and value.
func (c *changes) add(space store.Space, what changeKind, key, value []byte) {
	c.ops = append(c.ops, change{space, what, len(key), len(value)})
	c.bytes = append(append(c.bytes, key...), value...)
}

// take moves other's changes behind those of c, and leaves other empty.
func (c *changes) take(other *changes) {
	if len(c.ops) == 0 {
		*c, *other = *other, *c
		return
	}
	c.ops = append(c.ops, other.ops...)
	c.bytes = append(c.bytes, other.bytes...)
	other.reset()
}

// reset forgets the changes, and keeps no more than a little memory.
func (c *changes) reset() {
	if cap(c.bytes) > 1<<20 {
		*c = changes{}
		return
	}
	c.ops, c.bytes = c.ops[:0], c.bytes[:0]
}

// apply adds the changes to a batch.
func (c *changes) apply(b *store.Batch) {
	rest := c.bytes
	next := func(n int) []byte {
		part := rest[:n:n]
		rest = rest[n:]
		return part
	}
	for i := range c.ops {
		op := &c.ops[i]
		key, value := next(op.key), next(op.value)
		switch op.what {
		case putEntry:
			b.Put(op.space, key, value)
		case deleteEntry:
			b.Delete(op.space, key)
		case deleteFrom:
			if len(value) == 0 {
				value = nil
			}
			b.DeleteRange(op.space, key, value)
		}
	}
}
