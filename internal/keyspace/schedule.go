package keyspace

import "container/heap"

// deadline is when a key may expire. It is only a hint: the key's item tells
// whether it still holds.
type deadline struct {
	at  int64 // ms
	db  int
	key string
}

// schedule is a heap of deadlines, the next one first.
type schedule struct {
	on    bool // nobody who does not ask pays for it
	queue deadlines
}

type deadlines []deadline

func (d deadlines) Len() int           { return len(d) }
func (d deadlines) Less(i, j int) bool { return d[i].at < d[j].at }
func (d deadlines) Swap(i, j int)      { d[i], d[j] = d[j], d[i] }
func (d *deadlines) Push(x any)        { *d = append(*d, x.(deadline)) }
func (d *deadlines) Pop() any {
	old := *d
	x := old[len(old)-1]
	old[len(old)-1] = deadline{}
	*d = old[:len(old)-1]
	return x
}

func (s *schedule) add(at int64, db int, key []byte) {
	if s.on {
		heap.Push(&s.queue, deadline{at, db, string(key)})
	}
}
