package rdb

import (
	"encoding/binary"
	"math/bits"
)

// The checksum is CRC-64/Jones, reflected, with neither an initial value nor a
// final xor: the polynomial of crc64.c in both servers. hash/crc64 knows only
// the inverted form and handles 8 bytes a step, so this file has its own: four
// independent lanes of slicing-by-8, which keep the processor's load units
// busy, joined by the linear map "what a checksum becomes when laneSize zero
// bytes follow it".
const (
	jonesPoly = 0x95AC9329AC4BC9B5
	laneSize  = 1024
	lanes     = 4
)

type crcTables struct {
	slice [8][256]uint64 // slice[k][b]: b followed by k zero bytes
	shift [8][256]uint64 // shift[k][b]: byte k of a checksum, moved on by laneSize zero bytes
}

var crcTab = makeCRCTables()

func makeCRCTables() *crcTables {
	t := new(crcTables)
	for i := range t.slice[0] {
		c := uint64(i)
		for range 8 {
			c = c>>1 ^ (-(c & 1) & jonesPoly)
		}
		t.slice[0][i] = c
	}
	for k := 1; k < 8; k++ {
		for i, c := range t.slice[k-1] {
			t.slice[k][i] = t.slice[0][byte(c)] ^ c>>8
		}
	}
	// The map is linear over GF(2), so its value for each single bit is enough.
	var column [64]uint64
	for bit := range column {
		c := uint64(1) << bit
		for range laneSize {
			c = t.slice[0][byte(c)] ^ c>>8
		}
		column[bit] = c
	}
	for k := range t.shift {
		for b := range t.shift[k] {
			for rest := b; rest != 0; rest &= rest - 1 {
				t.shift[k][b] ^= column[8*k+bits.TrailingZeros(uint(rest))]
			}
		}
	}
	return t
}

// updateCRC returns the checksum of what crc is the checksum of, followed by p.
func updateCRC(crc uint64, p []byte) uint64 {
	t := crcTab
	for len(p) >= lanes*laneSize {
		q := p[: lanes*laneSize : lanes*laneSize]
		p = p[lanes*laneSize:]
		a, b, c, d := crc, uint64(0), uint64(0), uint64(0)
		for i := 0; i < laneSize; i += 8 {
			a = t.step(a ^ binary.LittleEndian.Uint64(q[i:]))
			b = t.step(b ^ binary.LittleEndian.Uint64(q[i+laneSize:]))
			c = t.step(c ^ binary.LittleEndian.Uint64(q[i+2*laneSize:]))
			d = t.step(d ^ binary.LittleEndian.Uint64(q[i+3*laneSize:]))
		}
		crc = t.moveOn(t.moveOn(t.moveOn(a)^b)^c) ^ d
	}
	for len(p) >= 8 {
		crc = t.step(crc ^ binary.LittleEndian.Uint64(p))
		p = p[8:]
	}
	for _, b := range p {
		crc = t.slice[0][byte(crc)^b] ^ crc>>8
	}
	return crc
}

func (t *crcTables) step(x uint64) uint64 {
	return t.slice[7][byte(x)] ^ t.slice[6][byte(x>>8)] ^
		t.slice[5][byte(x>>16)] ^ t.slice[4][byte(x>>24)] ^
		t.slice[3][byte(x>>32)] ^ t.slice[2][byte(x>>40)] ^
		t.slice[1][byte(x>>48)] ^ t.slice[0][x>>56]
}

func (t *crcTables) moveOn(x uint64) uint64 {
	return t.shift[0][byte(x)] ^ t.shift[1][byte(x>>8)] ^
		t.shift[2][byte(x>>16)] ^ t.shift[3][byte(x>>24)] ^
		t.shift[4][byte(x>>32)] ^ t.shift[5][byte(x>>40)] ^
		t.shift[6][byte(x>>48)] ^ t.shift[7][x>>56]
}
