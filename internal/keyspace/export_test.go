package keyspace

import "triggerd/internal/event"

// KeptNames is the number of names of unknown commands that are kept.
func (in *Interpreter) KeptNames() int { return len(in.unknown) }

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
}

// Mirror returns all that the mirror holds.
func (in *Interpreter) Mirror() []Mirrored {
	var all []Mirrored
	for db, d := range in.mirror.dbs {
		for key, it := range d.items {
			k := Mirrored{DB: db, Key: key, Type: it.kind.String(), There: it.exists == yes, Sure: it.exists != maybe, ExpireAt: it.expireAt}
			k.Value = it.view(&view{}, nil)
			if !it.timed {
				k.ExpireAt = -1
			}
			if h, ok := it.obj.(*hash); ok {
				k.Fields = h.expires
			}
			all = append(all, k)
		}
	}
	return all
}
