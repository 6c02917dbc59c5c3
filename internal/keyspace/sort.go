package keyspace

import (
	"bytes"
	"slices"
	"strings"
)

// sorting is a SORT that stores.
type sorting struct {
	alpha, desc   bool
	unsorted      bool // BY a pattern without a star
	external      bool // takes other keys
	gets          int  // of "#", the element itself
	offset, count int64
}

// sort: SORT source [BY p] [LIMIT offset count] [GET p...] [ASC|DESC] [ALPHA] STORE destination.
// How many elements there are is known; which, if no other keys are looked at.
func (mi *mirror) sort(in *Interpreter, m *maker, id ID, p plan) {
	at := sortStore(m.args)
	if at == 0 {
		return
	}
	dst := mi.open(m.c.DB, m.args[at])
	o, known := mi.open(m.c.DB, m.args[1]).source()
	s, ok := parseSort(m.args[2:])
	if !known || !ok || dst.it == nil {
		in.stateless(m, id, p)
		mi.lose(dst, maybe, kindList, &mi.losses.Source)
		return
	}
	n := 0
	if o != nil {
		n = o.len()
	}
	first, last := s.limits(n)
	if first >= last {
		mi.storeEmpty(m, dst)
		return
	}
	in.stateless(m, id, p)
	items, ok := s.sorted(o)
	if !ok {
		mi.lose(dst, yes, kindList, &mi.losses.Undecided)
		dst.setDeadline(0, true)
		return
	}
	items = items[first:last]
	stored := newList(nil)
	var u undo
	for _, item := range items {
		for range max(1, s.gets) {
			stored.push(&u, false, item)
		}
	}
	dst.setObject(kindList, stored)
}

func parseSort(args [][]byte) (sorting, bool) {
	s := sorting{count: -1}
	for i := 0; i < len(args); i++ {
		switch a := args[i]; {
		case is(a, "ASC"):
			s.desc = false
		case is(a, "DESC"):
			s.desc = true
		case is(a, "ALPHA"):
			s.alpha = true
		case is(a, "LIMIT") && i+2 < len(args):
			var ok1, ok2 bool
			s.offset, ok1 = int64Of(args[i+1])
			s.count, ok2 = int64Of(args[i+2])
			if i += 2; !ok1 || !ok2 {
				return s, false
			}
		case is(a, "BY") && i+1 < len(args):
			i++
			s.unsorted = bytes.IndexByte(args[i], '*') < 0
			s.external = s.external || !s.unsorted
		case is(a, "GET") && i+1 < len(args):
			i++
			s.gets++
			s.external = s.external || string(args[i]) != "#"
		case is(a, "STORE") && i+1 < len(args):
			i++
		default:
			return s, false
		}
	}
	return s, true
}

// limits returns which of n elements LIMIT keeps.
func (s *sorting) limits(n int) (first, last int) {
	from := min(max(s.offset, 0), int64(n))
	to := int64(n)
	if s.count >= 0 && s.count < to-from {
		to = from + s.count
	}
	return int(from), int(to)
}

// sorted returns the elements in order: by number and then by bytes, or by
// bytes.
func (s *sorting) sorted(o collection) ([]string, bool) {
	if s.external || s.unsorted && s.desc {
		return nil, false
	}
	alpha := s.alpha
	var items []string
	switch o := o.(type) {
	case *list:
		if items = o.all(); s.unsorted {
			return items, true
		}
	case *set:
		alpha = alpha || s.unsorted // so that the order is the same everywhere
		for member := range o.members {
			items = append(items, member)
		}
	case *zset:
		o.order.Scan(func(m scored) bool {
			items = append(items, m.member)
			return true
		})
		if s.unsorted {
			return items, true
		}
	default:
		return nil, false
	}
	numbers := make([]scored, len(items))
	for i, item := range items {
		numbers[i].member = item
		if alpha {
			continue
		}
		n, ok := floatOf([]byte(item))
		if !ok {
			return nil, false
		}
		numbers[i].score = n
	}
	slices.SortFunc(numbers, func(a, b scored) int {
		c := strings.Compare(a.member, b.member)
		if a.score != b.score {
			c = 1
			if a.score < b.score {
				c = -1
			}
		}
		if s.desc {
			return -c
		}
		return c
	})
	for i := range numbers {
		items[i] = numbers[i].member
	}
	return items, true
}
