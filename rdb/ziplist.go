package rdb

import "encoding/binary"

// A ziplist (ziplist.c) is its length in bytes (4), the position of its last
// entry (4), its number of entries (2, 65535: not known), the entries and
// 0xff. An entry is the length of the one before it (1 byte, or 0xfe and 4),
// its encoding and its data. Numbers are little-endian, but for the length of
// a long string.
const (
	zlHeader  = 10
	zlUnknown = 65535
	zlEnd     = 0xff
	zlBigPrev = 0xfe
)

// ziplist reads a ziplist and checks what does not need a walk.
func (r *Reader) ziplist() (compact, error) {
	c, err := r.compact("ziplist", zlHeader+1)
	if err != nil {
		return c, err
	}
	if n := binary.LittleEndian.Uint32(c.b); uint64(n) != uint64(len(c.b)) {
		return c, r.compactFault(c, 0, "ziplist of %d bytes says it has %d", len(c.b), n)
	}
	if c.b[len(c.b)-1] != zlEnd {
		return c, r.compactFault(c, len(c.b)-1, "ziplist without end mark")
	}
	return c, nil
}

// zlCount compares the number of entries seen, and the place of the last, with
// what the header says.
func (r *Reader) zlCount(c compact, n, last int) error {
	if want := int(binary.LittleEndian.Uint16(c.b[8:])); want != zlUnknown && want != n {
		return r.compactFault(c, 8, "ziplist of %d entries says it has %d", n, want)
	}
	if want := binary.LittleEndian.Uint32(c.b[4:]); int64(want) != int64(last) {
		return r.compactFault(c, 4, "ziplist's last entry is at %d, not at %d", last, want)
	}
	return nil
}

func (r *Reader) zlFault(c compact, i int) error {
	return r.compactFault(c, i, "ziplist entry: bad encoding or length")
}

// zlNext reads the entry at b[i], where b is the ziplist without its end mark
// and prev the place of the entry before it. The entry is s, or if that is nil,
// v. next is where the following one begins, negative if this one is bad.
func zlNext(b []byte, i, prev int) (s []byte, v int64, next int) {
	if i < 0 || i+1 >= len(b) {
		return nil, 0, -1
	}
	before := i - prev // length of the entry before
	if i == zlHeader {
		before = 0
	}
	if c := b[i]; c < zlBigPrev {
		if int(c) != before {
			return nil, 0, -1
		}
		i++
	} else {
		if c != zlBigPrev || len(b)-i < 6 || int64(binary.LittleEndian.Uint32(b[i+1:])) != int64(before) {
			return nil, 0, -1
		}
		i += 5
	}
	c := b[i]
	if c < 0x40 { // string of up to 63 bytes
		j := i + 1 + int(c)
		if j > len(b) {
			return nil, 0, -1
		}
		return b[i+1 : j : j], 0, j
	}
	return zlLong(b, i)
}

// zlLong is zlNext for the rarer encodings; b[i] is the encoding.
func zlLong(b []byte, i int) (s []byte, v int64, next int) {
	c, rest := b[i], b[i+1:]
	size := 0
	switch {
	case c < 0x80: // string of up to 16383 bytes
		if len(rest) < 1 {
			return nil, 0, -1
		}
		return zlString(b, i+2, int64(c&0x3f)<<8|int64(rest[0]))
	case c == 0x80: // string
		if len(rest) < 4 {
			return nil, 0, -1
		}
		return zlString(b, i+5, int64(binary.BigEndian.Uint32(rest)))
	case c == 0xc0:
		if size = 2; len(rest) >= size {
			v = int64(int16(binary.LittleEndian.Uint16(rest)))
		}
	case c == 0xd0:
		if size = 4; len(rest) >= size {
			v = int64(int32(binary.LittleEndian.Uint32(rest)))
		}
	case c == 0xe0:
		if size = 8; len(rest) >= size {
			v = int64(binary.LittleEndian.Uint64(rest))
		}
	case c == 0xf0:
		if size = 3; len(rest) >= size {
			v = int64(int32(uint32(rest[0])<<8|uint32(rest[1])<<16|uint32(rest[2])<<24) >> 8)
		}
	case c == 0xfe:
		if size = 1; len(rest) >= size {
			v = int64(int8(rest[0]))
		}
	case c > 0xf0 && c < 0xfe: // the encoding itself is an integer, 0 to 12
		v = int64(c&0xf) - 1
	default:
		return nil, 0, -1
	}
	if len(rest) < size {
		return nil, 0, -1
	}
	return nil, v, i + 1 + size
}

func zlString(b []byte, i int, n int64) (s []byte, v int64, next int) {
	if n > int64(len(b)-i) {
		return nil, 0, -1
	}
	j := i + int(n)
	return b[i:j:j], 0, j
}

// listZiplist reads the items of a list.
func (r *Reader) listZiplist(yield yieldFunc) error {
	c, err := r.ziplist()
	if err != nil {
		return err
	}
	el := &r.el
	el.Kind = KindItem
	b := c.b[:len(c.b)-1]
	n, last := 0, zlHeader
	for i := zlHeader; i < len(b); n++ {
		s, v, next := zlNext(b, i, last)
		if next < 0 {
			return r.zlFault(c, i)
		}
		if s == nil {
			s = r.text(0, v)
		}
		el.Member = s
		if !yield(el, nil) {
			return r.stop(nil)
		}
		last, i = i, next
	}
	return r.zlCount(c, n, last)
}

func (r *Reader) hashZiplist(yield yieldFunc) error {
	c, err := r.ziplist()
	if err != nil {
		return err
	}
	el := &r.el
	el.Kind, el.ExpireAt = KindField, 0
	b := c.b[:len(c.b)-1]
	n, last := 0, zlHeader
	r.beginMembers(uint64(binary.LittleEndian.Uint16(c.b[8:])) / 2)
	for i := zlHeader; i < len(b); n += 2 {
		field, v, next := zlNext(b, i, last)
		if next < 0 {
			return r.zlFault(c, i)
		}
		if field == nil {
			field = r.text(0, v)
		}
		if r.addMember(0, field) {
			return r.twiceIn("hash field", field, c, i)
		}
		last, i = i, next
		value, v, next := zlNext(b, i, last)
		if next < 0 {
			return r.zlFault(c, i)
		}
		if value == nil {
			value = r.text(1, v)
		}
		last, i = i, next
		el.Member, el.Value = field, value
		if !yield(el, nil) {
			return r.stop(nil)
		}
	}
	return r.zlCount(c, n, last)
}

func (r *Reader) zsetZiplist(yield yieldFunc) error {
	c, err := r.ziplist()
	if err != nil {
		return err
	}
	el := &r.el
	el.Kind = KindScored
	b := c.b[:len(c.b)-1]
	n, last := 0, zlHeader
	r.beginMembers(uint64(binary.LittleEndian.Uint16(c.b[8:])) / 2)
	for i := zlHeader; i < len(b); n += 2 {
		member, v, next := zlNext(b, i, last)
		if next < 0 {
			return r.zlFault(c, i)
		}
		if member == nil {
			member = r.text(0, v)
		}
		if r.addMember(0, member) {
			return r.twiceIn("zset member", member, c, i)
		}
		last, i = i, next
		score, v, next := zlNext(b, i, last)
		if next < 0 {
			return r.zlFault(c, i)
		}
		el.Score = float64(v)
		if score != nil {
			var ok bool
			if el.Score, ok = parseScore(score); !ok {
				return r.compactFault(c, i, "score %s", quote(score))
			}
		}
		last, i = i, next
		el.Member = member
		if !yield(el, nil) {
			return r.stop(nil)
		}
	}
	return r.zlCount(c, n, last)
}

// A zipmap (zipmap.c) is its number of fields (1 byte, 254: not known),
// for each of them its length, itself, the value's length, a byte of unused
// space behind the value, the value and that space; and 0xff. A length is one
// byte, or 0xfe and 4.
const (
	zmBig = 0xfe
	zmEnd = 0xff
)

func (r *Reader) zipmap(yield yieldFunc) error {
	c, err := r.compact("zipmap", 2)
	if err != nil {
		return err
	}
	if c.b[len(c.b)-1] != zmEnd {
		return r.compactFault(c, len(c.b)-1, "zipmap without end mark")
	}
	el := &r.el
	el.Kind, el.ExpireAt = KindField, 0
	b := c.b[:len(c.b)-1]
	if len(b) == 1 {
		return r.compactFault(c, 0, "zipmap of no fields")
	}
	n := 0
	r.beginMembers(uint64(b[0]))
	for i := 1; i < len(b); n++ {
		field, j := zmString(b, i, 0)
		if j < 0 {
			return r.compactFault(c, i, "zipmap field: bad length")
		}
		if r.addMember(0, field) {
			return r.twiceIn("hash field", field, c, i)
		}
		value, next := zmString(b, j, 1)
		if next < 0 {
			return r.compactFault(c, j, "zipmap value: bad length")
		}
		i = next
		el.Member, el.Value = field, value
		if !yield(el, nil) {
			return r.stop(nil)
		}
	}
	if want := int(b[0]); want != zmBig && want != n {
		return r.compactFault(c, 0, "zipmap of %d fields says it has %d", n, want)
	}
	return nil
}

// zmString reads the string at b[i], between whose length and itself extra (0
// or 1) bytes say how much unused space follows. next is negative if it is bad.
func zmString(b []byte, i, extra int) (s []byte, next int) {
	if i >= len(b) {
		return nil, -1
	}
	n := int64(b[i])
	i++
	switch {
	case n == zmEnd:
		return nil, -1
	case n == zmBig:
		if len(b)-i < 4 {
			return nil, -1
		}
		if n = int64(binary.LittleEndian.Uint32(b[i:])); n < zmBig {
			return nil, -1 // one byte is enough for it
		}
		i += 4
	}
	unused := int64(0)
	if extra == 1 {
		if i >= len(b) {
			return nil, -1
		}
		unused = int64(b[i])
		i++
	}
	if n+unused > int64(len(b)-i) {
		return nil, -1
	}
	j := i + int(n)
	return b[i:j:j], j + int(unused)
}
