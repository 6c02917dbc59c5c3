package keyspace

import (
	"bytes"
	"slices"
	"strings"
)

var sortCommands = []command{
	{name: "SORT", arity: -2, acl: "@dangerous @list @set @slow @sortedset @write", keys: firstKey,
		events: madeBy((*call).sortEvents, "sortstore", "del"), follow: (*call).sort, replaces: overwrites, findKeys: sortKeys},
	{name: "SORT_RO", arity: -2, acl: "@dangerous @list @read @set @slow @sortedset", keys: firstKey},
}

// sortKeys: SORT key .. STORE destination. The server's key specification leaves
// the destination open.
func sortKeys(keys []keySpec, args [][]byte) (found [maxRanges]keyRange) {
	ranges := appendFound(found[:0], keys, args)
	if at := sortDestination(args); at > 0 {
		found[len(ranges)] = keyRange{at, at, 1}
	}
	return found
}

// sortDestination returns the index of the key that SORT .. STORE writes, 0 if
// there is none.
func sortDestination(args [][]byte) int {
	at := 0
	for i := 2; i < len(args)-1; i++ {
		switch {
		case is(args[i], "LIMIT"):
			i += 2
		case is(args[i], "GET"), is(args[i], "BY"):
			i++
		case is(args[i], "STORE"):
			i++
			at = i
		}
	}
	return at
}

func (c *call) sortEvents() {
	if at := sortDestination(c.args); at > 0 {
		c.emit(at, "sortstore", "")
	}
}

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
func (c *call) sort() {
	at := sortDestination(c.args)
	if at == 0 {
		return
	}
	dst := c.key(at)
	elements, known := c.key(1).source()
	s, ok := parseSort(c.args[2:])
	if !known || !ok || !dst.needed() {
		c.announce()
		c.lose(dst, maybe, kindList, &c.lost.Source)
		return
	}
	n := 0
	if elements != nil {
		n = elements.len()
	}
	first, last := s.limits(n)
	if first >= last {
		c.storeNothing(dst)
		return
	}
	c.announce()
	items, ok := s.sorted(elements, &c.in.pace)
	if !ok {
		c.lose(dst, yes, kindList, &c.lost.Undecided)
		dst.setDeadline(0, true)
		return
	}
	items = items[first:last]
	stored := newList()
	u := undo{pace: &c.in.pace}
	for _, item := range items {
		for range max(1, s.gets) {
			stored.push(&u, false, item)
		}
	}
	dst.setElements(kindList, stored)
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
func (s *sorting) sorted(elements collection, p *pace) ([]string, bool) {
	if s.external || s.unsorted && s.desc {
		return nil, false
	}
	alpha := s.alpha
	var items []string
	switch o := elements.(type) {
	case *list:
		if items = o.all(); s.unsorted {
			return items, true
		}
	case *set:
		alpha = alpha || s.unsorted // so that the order is the same everywhere
		for member := range o.members {
			if p.stops() {
				return nil, false
			}
			items = append(items, member)
		}
	case *zset:
		o.order.Scan(func(m scored) bool {
			items = append(items, m.member)
			return !p.stops()
		})
		if s.unsorted {
			return items, len(items) == o.len()
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
		if p.stops() {
			return nil, false
		}
		n, ok := floatOf([]byte(item))
		if !ok {
			return nil, false
		}
		numbers[i].score = n
	}
	slices.SortFunc(numbers, func(a, b scored) int {
		if p.stops() {
			return 0
		}
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
