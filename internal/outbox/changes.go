package outbox

import "triggerd/internal/store"

// Changes are changes of a stream's state: its mirror, and what time rules wait
// for. They are committed with the position that they belong to. So after a
// crash state and position fit together.
type Changes struct {
	ops   []change
	bytes []byte // of all keys and values
}

// change is one change. Its key and value come after those of the change
// before.
type change struct {
	space      store.Space
	what       ChangeKind
	key, value int // lengths
}

type ChangeKind uint8

const (
	PutEntry ChangeKind = iota
	DeleteEntry
	DeleteFrom // all entries from key on and before value, or to the end of the space if value is empty
)

// changeCost estimates what a change takes in memory and in a batch beside its
// bytes.
const changeCost = 48

// Size estimates the bytes that the changes take.
func (c *Changes) Size() int { return len(c.bytes) + changeCost*len(c.ops) }

// Add adds a change, and copies key and value.
func (c *Changes) Add(space store.Space, what ChangeKind, key, value []byte) {
	c.ops = append(c.ops, change{space, what, len(key), len(value)})
	c.bytes = append(append(c.bytes, key...), value...)
}

// moveFrom appends other's changes to c, and empties other.
func (c *Changes) moveFrom(other *Changes) {
	if len(c.ops) == 0 {
		*c, *other = *other, *c
		return
	}
	c.ops = append(c.ops, other.ops...)
	c.bytes = append(c.bytes, other.bytes...)
	other.reset()
}

// reset drops the changes. It keeps a little memory for the next.
func (c *Changes) reset() {
	if cap(c.bytes) > 1<<20 {
		*c = Changes{}
		return
	}
	c.ops, c.bytes = c.ops[:0], c.bytes[:0]
}

// apply adds the changes to a batch of the store.
func (c *Changes) apply(b *store.Batch) {
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
		case PutEntry:
			b.Put(op.space, key, value)
		case DeleteEntry:
			b.Delete(op.space, key)
		case DeleteFrom:
			if len(value) == 0 {
				value = nil
			}
			b.DeleteRange(op.space, key, value)
		}
	}
}
