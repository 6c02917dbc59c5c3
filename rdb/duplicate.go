package rdb

import (
	"encoding/binary"
	"hash/maphash"
	"math/bits"
	"math/rand/v2"
)

const (
	// maxDuplicates is among how many keys, the first ones, a duplicate is
	// noticed. To notice all takes memory that grows with the file.
	maxDuplicates = 1 << 16
	// maxMembers is the same for the members of one value, for which 16 MiB are
	// enough.
	maxMembers = 1 << 20
)

// seenSet remembers byte strings by a hash of 64 bits, seeded so that nobody can
// make two of them collide. Two of n collide by chance with a probability of
// n*n/2^65: 1e-10 for the keys of a snapshot, 3e-8 for the largest value.
type seenSet struct {
	seed  maphash.Seed
	keys  [3]uint64 // secret, as the seed is
	slots []uint64  // open addressing, a quarter empty at least; 0: empty
	n     int
}

// reset forgets all, and makes ready for n, as far as memory is there.
func (s *seenSet) reset(n uint64) {
	s.n = 0
	size := 16
	for most := int(min(n, maxMembers)); 3*size < 4*most; size *= 2 {
	}
	s.slots = s.slots[:min(size, cap(s.slots))]
	clear(s.slots)
}

// add adds b, and reports whether it was there already. Strings of another tag
// are others.
func (s *seenSet) add(tag uint64, b []byte) (again bool) {
	if 4*s.n >= 3*len(s.slots) {
		s.grow()
	}
	h := s.hash(tag, b)
	slots := s.slots
	for i := h & uint64(len(slots)-1); i < uint64(len(slots)); i = (i + 1) & uint64(len(slots)-1) {
		if old := slots[i]; old == h {
			return true
		} else if old == 0 {
			slots[i] = h
			s.n++
			return false
		}
	}
	return false // there is always an empty slot
}

// has reports whether b was added.
func (s *seenSet) has(tag uint64, b []byte) bool {
	if len(s.slots) == 0 {
		return false
	}
	h, mask := s.hash(tag, b), uint64(len(s.slots)-1)
	for i := h & mask; s.slots[i] != 0; i = (i + 1) & mask {
		if s.slots[i] == h {
			return true
		}
	}
	return false
}

// hash is never 0. Short strings, which most members are, go through two
// multiplications by secret keys, as wyhash has them; this takes half of the time
// of maphash.
func (s *seenSet) hash(tag uint64, b []byte) uint64 {
	var lo, hi uint64
	switch n := len(b); {
	case n > 16 || n < 4:
		return max(1, maphash.Bytes(s.seed, b)^tag*0x9e3779b97f4a7c15)
	case n >= 8:
		lo, hi = binary.LittleEndian.Uint64(b), binary.LittleEndian.Uint64(b[n-8:])
	default:
		lo, hi = uint64(binary.LittleEndian.Uint32(b)), uint64(binary.LittleEndian.Uint32(b[n-4:]))
	}
	h, l := bits.Mul64(lo^s.keys[0], hi^s.keys[1])
	h, l = bits.Mul64(h^l^s.keys[2], (tag<<8|uint64(len(b)))*2^s.keys[0]|1)
	return max(1, h^l)
}

func (s *seenSet) grow() {
	old := s.slots
	if cap(old) == 0 {
		s.seed, s.keys = maphash.MakeSeed(), [3]uint64{rand.Uint64(), rand.Uint64(), rand.Uint64()}
	}
	s.slots = make([]uint64, max(128, 2*len(old)))
	mask := uint64(len(s.slots) - 1)
	for _, h := range old {
		if h == 0 {
			continue
		}
		i := h & mask
		for s.slots[i] != 0 {
			i = (i + 1) & mask
		}
		s.slots[i] = h
	}
}

// addKey reports whether the database has had the key before.
func (r *Reader) addKey(db int, key []byte) (again bool) {
	if r.seen.n == maxDuplicates {
		r.seen.slots = nil // of no more use
		return false
	}
	return r.seen.add(uint64(db), key)
}

// beginMembers begins a value of so many members.
func (r *Reader) beginMembers(n uint64) {
	if r.Strict {
		r.members.reset(n)
	}
}

// addMember reports whether the current value has had the member before, where
// somebody wants to know. tag tells kinds of members apart.
func (r *Reader) addMember(tag uint64, member []byte) (again bool) {
	return r.Strict && r.members.n < maxMembers && r.members.add(tag, member)
}

// hasMember reports whether the member may have been added.
func (r *Reader) hasMember(tag uint64, member []byte) bool {
	return !r.Strict || r.members.n == maxMembers || r.members.has(tag, member)
}

// twice makes the error for a member, of a value that is a what, which is there
// for the second time at offset off.
func (r *Reader) twice(what string, member []byte, off int64) error {
	return r.in.faultAt(off, "%s %s is there twice", what, quote(member))
}
