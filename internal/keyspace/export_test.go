package keyspace

import (
	"fmt"
	"slices"

	"triggerd/internal/event"
	"triggerd/internal/wire"
)

// KeptNames is the number of names of unknown commands that are kept.
func (in *Interpreter) KeptNames() int { return len(in.unknown) }

// CommandNamed returns the name of the entry that a command's name finds.
func CommandNamed(name []byte) (string, bool) {
	if c := commandNamed(name); c != nil {
		return c.name, true
	}
	return "", false
}

// Mirrored is one key of the mirror.
type Mirrored struct {
	DB       int
	Key      string
	Type     string
	There    bool
	Sure     bool        // whether it is there
	Value    event.Value // nil: not known
	ExpireAt int64       // 0: none, -1: not known
	Fields   map[string]int64
	Texts    bool
	Elements string // that Value does not tell: names where texts are not kept, groups
}

// Mirror returns all that the mirror holds.
func (in *Interpreter) Mirror() []Mirrored {
	var all []Mirrored
	for db, d := range in.mirror.dbs {
		for key, s := range d.keys {
			v := s.value
			k := Mirrored{DB: db, Key: key, Type: v.kind.String(), There: v.exists == yes, Sure: v.exists != maybe, ExpireAt: s.expiry.at}
			k.Value = v.view(&view{}, nil)
			k.Texts = v.texts
			if !v.texts && v.known && v.elements != nil {
				kept := v
				kept.texts = true
				k.Elements = fmt.Sprint(elementsOf(kept.view(&view{}, nil)))
			}
			if s, ok := v.elements.(*stream); ok {
				k.Elements += fmt.Sprint(s.groups)
			}
			if !s.expiry.known {
				k.ExpireAt = -1
			}
			if h, ok := v.elements.(*hash); ok {
				k.Fields = h.expires
			}
			all = append(all, k)
		}
	}
	return all
}

func elementsOf(v event.Value) (names []string) {
	for e := range v.All() {
		names = append(names, fmt.Sprint(e))
	}
	if v.Type() != typeList {
		slices.Sort(names)
	}
	return names
}

// Recount returns the mirror's size counted anew, element by element, and the
// number of its keys; Stats has them as they were kept.
func (in *Interpreter) Recount() (size, keys int64) {
	for _, d := range in.mirror.dbs {
		for key, s := range d.keys {
			keys++
			size += int64(keyCost + len(key) + len(s.value.text))
			if s.expiry.onTime {
				size += int64(turnCost + len(key))
			}
			if s.value.elements != nil {
				size += int64(recounted(s.value.elements).bytes() + s.value.elements.counts().bytes())
			}
		}
	}
	return size, keys
}

// recounted is the same collection made element by element.
func recounted(c collection) collection {
	var u undo
	switch c := c.(type) {
	case *list:
		return listOf(c.all(), nil)
	case *set:
		s := newSet()
		for m := range c.members {
			s.add(&u, []byte(m))
		}
		return s
	case *hash:
		h := newHash()
		for f, v := range c.fields {
			h.set(&u, []byte(f), v)
			h.expire(&u, []byte(f), c.expires[f])
		}
		for f := range c.dead {
			h.set(&u, []byte(f), "")
			h.expire(&u, []byte(f), c.expires[f])
			h.bury(&u, []byte(f))
		}
		return h
	case *zset:
		z := newZset()
		for m, s := range c.scores {
			z.set(&u, m, s)
		}
		if n := c.order.Len(); n != len(c.scores) {
			panic("the tree and the map differ")
		}
		return z
	case *stream:
		s := newStream()
		for _, e := range c.entries {
			if !s.append(&u, e) {
				panic("entries are not in order")
			}
		}
		for g, consumers := range c.groups {
			s.addGroup(&u, g)
			for name := range consumers {
				s.addConsumer(&u, g, name)
			}
		}
		return s
	}
	return nil
}

// Scheduled is how many places the schedule has.
func (in *Interpreter) Scheduled() int { return len(in.mirror.due) }

// SlotOf is the slot of a key.
func SlotOf(key string) int { return slotOf(key) }

// Marks is the number of marks of keys that have changed.
func (in *Interpreter) Marks() int { return in.journal.changed.count }

// CountFew makes values of so many elements count, where it is 32 else.
func (in *Interpreter) CountFew(n int) { in.mirror.few = n }

// DropTallies drops the tallies of those values of which drop says so.
func (in *Interpreter) DropTallies(drop func() bool) {
	for _, d := range in.mirror.dbs {
		for key, s := range d.keys {
			if s.value.elements != nil && drop() {
				s.value.elements.counts().tallies = nil
				in.mirror.measure(s, len(key))
			}
		}
	}
}

// Tallies is how many there are.
func (in *Interpreter) Tallies() (n int) {
	for _, d := range in.mirror.dbs {
		for _, s := range d.keys {
			if s.value.elements != nil && s.value.elements.counts().tallies != nil {
				n += len(s.value.elements.counts().list)
			}
		}
	}
	return n
}

// Changes gives, one by one, what has to be done to the entries of the journal so
// that they tell the mirror as it is now: a cut that is told at once.
func (in *Interpreter) Changes(give func(op Op, key, value []byte)) {
	in.Cut(false, func(block []byte) []byte {
		for c := wire.NewCursor(block); c.Len() > 0; {
			op, key, value := readEntry(&c)
			give(op, key, value)
		}
		return block
	})
	for !in.TellCut(1 << 30) {
	}
}
