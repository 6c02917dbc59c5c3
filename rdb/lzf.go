package rdb

import "encoding/binary"

// LZF, as in lzf_d.c: a control byte below 32 is followed by that many literal
// bytes and one more. Any other holds the length of a copy in its upper three
// bits (7: a byte follows that is added) and the upper bits of its distance in
// the lower five; the distance's lower byte follows. Lengths count from 2,
// distances from 1.

// unpackLZF unpacks src to fill dst exactly; false if it does not.
func unpackLZF(dst, src []byte) bool {
	d, s := 0, 0
	for s < len(src) {
		ctrl := int(src[s])
		s++
		if ctrl < 32 {
			n := ctrl + 1
			if n > len(src)-s || n > len(dst)-d {
				return false
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
				return false
			}
			n += int(src[s])
			s++
		}
		n += 2
		if s >= len(src) {
			return false
		}
		dist := (ctrl&31)<<8 + int(src[s]) + 1
		s++
		from := d - dist
		if from < 0 || n > len(dst)-d {
			return false
		}
		if dist >= 8 && len(dst)-d >= n+8 {
			for i := 0; i < n; i += 8 {
				binary.LittleEndian.PutUint64(dst[d+i:], binary.LittleEndian.Uint64(dst[from+i:]))
			}
			d += n
			continue
		}
		// The copy may overlap what it makes: it repeats what is there.
		if dist >= n {
			copy(dst[d:d+n], dst[from:])
			d += n
			continue
		}
		for i := range n {
			dst[d+i] = dst[from+i]
		}
		d += n
	}
	return d == len(dst)
}

// lzfSize returns the number of bytes src unpacks to; -1 if it is not valid.
func lzfSize(src []byte) int64 {
	var d int64
	for s := 0; s < len(src); {
		ctrl := int(src[s])
		s++
		if ctrl < 32 {
			if ctrl+1 > len(src)-s {
				return -1
			}
			d += int64(ctrl) + 1
			s += ctrl + 1
			continue
		}
		n := ctrl >> 5
		if n == 7 {
			if s >= len(src) {
				return -1
			}
			n += int(src[s])
			s++
		}
		if s >= len(src) || int64((ctrl&31)<<8+int(src[s])+1) > d {
			return -1
		}
		s++
		d += int64(n) + 2
	}
	return d
}
