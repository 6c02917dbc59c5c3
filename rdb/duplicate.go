package rdb

import (
	"hash/maphash"
	"slices"
)

// maxDuplicates is among how many keys, the first ones, a duplicate is noticed.
// To notice all takes memory that grows with the file.
const maxDuplicates = 1 << 16

// keySet remembers keys by a hash of 64 bits, seeded so that nobody can make
// two keys collide. Two of the greatest number of keys collide by chance with a
// probability of 1e-10.
type keySet struct {
	seed  maphash.Seed
	slots []uint64 // open addressing, half empty at least; 0: empty
	n     int
}

// add adds a key, the n-th of maxDuplicates at most, and reports whether it was
// there already.
func (s *keySet) add(db int, key []byte) (again bool) {
	if s.n*2 >= len(s.slots) {
		s.grow()
	}
	h := max(1, maphash.Bytes(s.seed, key)^uint64(db)*0x9e3779b97f4a7c15)
	if s.insert(h) {
		return true
	}
	if s.n++; s.n == maxDuplicates {
		s.slots = nil // of no more use
	}
	return false
}

func (s *keySet) insert(h uint64) (again bool) {
	mask := uint64(len(s.slots) - 1)
	for i := h & mask; ; i = (i + 1) & mask {
		switch s.slots[i] {
		case 0:
			s.slots[i] = h
			return false
		case h:
			return true
		}
	}
}

func (s *keySet) grow() {
	old := s.slots
	if old == nil {
		s.seed = maphash.MakeSeed()
	}
	s.slots = make([]uint64, max(128, 2*len(old)))
	for _, h := range slices.DeleteFunc(old, func(h uint64) bool { return h == 0 }) {
		s.insert(h)
	}
}
