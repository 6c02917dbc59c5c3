package rdb

import "encoding/binary"

// LZF, as in lzf_d.c: a control byte below 32 is followed by that many literal
// bytes and one more. Any other holds the length of a copy in its upper three
// bits (7: a byte follows that is added) and the upper bits of its distance in
// the lower five; the distance's lower byte follows. Lengths count from 2,
// distances from 1.

// longestLZF is how many bytes a control byte and its literals take at most.
const longestLZF = 33

// unpackLZF unpacks src[s:] to dst[d:], and returns how far it came: to the end
// of src, or to a control byte whose literals or copy src does not have whole, or
// dst has no room for.
//
// It has no argument for where to pause, as that costs a third of its speed; src
// is given to it in parts instead.
func unpackLZF(dst, src []byte, d, s int) (int, int) {
	for s < len(src) {
		ctrl := int(src[s])
		s++
		if ctrl < 32 {
			n := ctrl + 1
			if n > len(src)-s || n > len(dst)-d {
				return d, s - 1
			}
			if len(src)-s >= 32 && len(dst)-d >= 32 {
				// A copy of constant size is two vector moves. What it writes
				// beyond n is written again by what follows.
				*(*[16]byte)(dst[d:]) = *(*[16]byte)(src[s:])
				*(*[16]byte)(dst[d+16:]) = *(*[16]byte)(src[s+16:])
			} else {
				copy(dst[d:d+n], src[s:])
			}
			d += n
			s += n
			continue
		}
		n := ctrl >> 5
		if n == 7 {
			if s >= len(src) {
				return d, s - 1
			}
			n += int(src[s])
			s++
		}
		n += 2
		if s >= len(src) {
			return d, s - copyHead(ctrl)
		}
		dist := (ctrl&31)<<8 + int(src[s]) + 1
		s++
		from := d - dist
		if from < 0 || n > len(dst)-d {
			return d, s - copyHead(ctrl) - 1
		}
		if dist >= 8 && len(dst)-d >= n+8 {
			for i := 0; i < n; i += 8 {
				binary.LittleEndian.PutUint64(dst[d+i:], binary.LittleEndian.Uint64(dst[from+i:]))
			}
			d += n
			continue
		}
		repeatLZF(dst, d, n, dist)
		d += n
	}
	return d, s
}

// copyHead returns how many bytes of a copy stand before the lower byte of its
// distance.
func copyHead(ctrl int) int {
	if ctrl>>5 == 7 {
		return 2
	}
	return 1
}

// repeatLZF copies n bytes to dst[d:] from dist before, where they may overlap
// what they make: then that repeats what is there.
func repeatLZF(dst []byte, d, n, dist int) {
	if dist < 8 && d >= 8 && len(dst)-d >= n+8 {
		// The last dist bytes, again and again, make a word that is stored as
		// often as needed. What it writes beyond n is written again.
		run := &lzfRuns[dist]
		word := binary.LittleEndian.Uint64(dst[d-8:]) >> (64 - 8*dist) * run.repeat
		for i := 0; i < n; i += run.step {
			binary.LittleEndian.PutUint64(dst[d+i:], word)
		}
		return
	}
	// What there is to copy from doubles each time.
	for done := 0; done < n; {
		done += copy(dst[d+done:d+n], dst[d-dist:d+done])
	}
}

// lzfRuns has for each distance below 8: a factor that repeats so many bytes over
// a word, and how many bytes of the word are whole repetitions.
var lzfRuns = [8]struct {
	repeat uint64
	step   int
}{
	1: {0x0101010101010101, 8},
	2: {0x0001000100010001, 8},
	3: {0x0001000001000001, 6},
	4: {0x0000000100000001, 8},
	5: {0x0000010000000001, 5},
	6: {0x0001000000000001, 6},
	7: {0x0100000000000001, 7},
}

// lzfSize returns how many bytes src[s:] unpacks to, in addition to size, which
// come before, and how far it came, as unpackLZF does.
func lzfSize(src []byte, size int64, s int) (int64, int) {
	for s < len(src) {
		ctrl := int(src[s])
		s++
		if ctrl < 32 {
			if ctrl+1 > len(src)-s {
				return size, s - 1
			}
			size += int64(ctrl) + 1
			s += ctrl + 1
			continue
		}
		n := ctrl >> 5
		if n == 7 {
			if s >= len(src) {
				return size, s - 1
			}
			n += int(src[s])
			s++
		}
		if s >= len(src) || int64((ctrl&31)<<8+int(src[s])+1) > size {
			return size, s - copyHead(ctrl)
		}
		s++
		size += int64(n) + 2
	}
	return size, s
}
