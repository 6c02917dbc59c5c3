package rdb

import "encoding/binary"

// A listpack (listpack.c) is its length in bytes (4), its number of entries
// (2, 65535: not known), the entries and 0xff. An entry is its encoding, its
// data and the length of both, which is there to be read from behind. Numbers
// are little-endian.
const (
	lpHeader  = 6
	lpUnknown = 65535
	lpEnd     = 0xff
)

// listpack reads a listpack and checks what does not need a walk.
func (r *Reader) listpack() (compact, error) {
	c, err := r.compact("listpack", lpHeader+1)
	if err != nil {
		return c, err
	}
	if n := binary.LittleEndian.Uint32(c.b); uint64(n) != uint64(len(c.b)) {
		return c, r.compactFault(c, 0, "listpack of %d bytes says it has %d", len(c.b), n)
	}
	if c.b[len(c.b)-1] != lpEnd {
		return c, r.compactFault(c, len(c.b)-1, "listpack without end mark")
	}
	return c, nil
}

// lpCount compares the number of entries seen with the one in the header.
func (r *Reader) lpCount(c compact, n int) error {
	if want := int(binary.LittleEndian.Uint16(c.b[4:])); want != lpUnknown && want != n {
		return r.compactFault(c, 4, "listpack of %d entries says it has %d", n, want)
	}
	return nil
}

func (r *Reader) lpFault(c compact, i int) error {
	return r.compactFault(c, i, "listpack entry: bad encoding or length")
}

// lpNext reads the entry at b[i], where b is the listpack without its end mark.
// The entry is s, or if that is nil, v. next is where the following one begins,
// negative if this one is bad.
func lpNext(b []byte, i int) (s []byte, v int64, next int) {
	if i < 0 || i+1 >= len(b) {
		return nil, 0, -1
	}
	c := b[i]
	switch {
	case c < 0x80: // integer of 7 bits
		if b[i+1] != 1 {
			return nil, 0, -1
		}
		return nil, int64(c), i + 2
	case c < 0xc0: // string of up to 63 bytes
		n := int(c&0x3f) + 1
		if j := i + n; j < len(b) && int(b[j]) == n {
			return b[i+1 : j : j], 0, j + 1
		}
		return nil, 0, -1
	}
	return lpLong(b, i)
}

// lpLong is lpNext for the rarer encodings.
func lpLong(b []byte, i int) (s []byte, v int64, next int) {
	c, rest := b[i], b[i+1:]
	head, size := 1, 0 // of the encoding, of the data
	isInt := true
	switch {
	case c < 0xe0: // 13 bits
		size = 1
		v = int64(int16(uint16(c)<<11|uint16(rest[0])<<3)) >> 3
	case c < 0xf0: // string of up to 4095 bytes
		head, size, isInt = 2, int(c&0xf)<<8|int(rest[0]), false
	case c == 0xf0: // string
		if len(rest) < 4 {
			return nil, 0, -1
		}
		head, size, isInt = 5, int(binary.LittleEndian.Uint32(rest)), false
	case c == 0xf1:
		if size = 2; len(rest) >= size {
			v = int64(int16(binary.LittleEndian.Uint16(rest)))
		}
	case c == 0xf2:
		if size = 3; len(rest) >= size {
			v = int64(int32(uint32(rest[0])<<8|uint32(rest[1])<<16|uint32(rest[2])<<24) >> 8)
		}
	case c == 0xf3:
		if size = 4; len(rest) >= size {
			v = int64(int32(binary.LittleEndian.Uint32(rest)))
		}
	case c == 0xf4:
		if size = 8; len(rest) >= size {
			v = int64(binary.LittleEndian.Uint64(rest))
		}
	default:
		return nil, 0, -1
	}
	if len(b)-i-head < size {
		return nil, 0, -1
	}
	j := i + head + size
	k := lpBackLen(b[j:], head+size)
	if k < 0 {
		return nil, 0, -1
	}
	if isInt {
		return nil, v, j + k
	}
	return b[i+head : j : j], 0, j + k
}

// lpBackLen returns the size of the length n, written to be read from behind,
// that b has to begin with; negative if it does not.
func lpBackLen(b []byte, n int) int {
	size := 5
	switch {
	case n <= 127:
		size = 1
	case n < 1<<14-1:
		size = 2
	case n < 1<<21-1:
		size = 3
	case n < 1<<28-1:
		size = 4
	}
	if len(b) < size {
		return -1
	}
	for k, shift := 0, 7*(size-1); k < size; k, shift = k+1, shift-7 {
		want := byte(n>>shift) & 0x7f
		if k > 0 {
			want |= 0x80
		}
		if b[k] != want {
			return -1
		}
	}
	return size
}

// checksTwice reports whether no element of the listpack may be there twice, and
// makes ready to look: a server that holds most entries at most in a listpack has
// to move what is larger, and looks.
func (r *Reader) checksTwice(c compact, most int) bool {
	n := int(binary.LittleEndian.Uint16(c.b[4:])) // of what is not known, enough
	if !r.valkey && n <= most {
		return false
	}
	r.beginMembers(uint64(n))
	return true
}

// twiceIn is twice for a member at c.b[i].
func (r *Reader) twiceIn(what string, member []byte, c compact, i int) error {
	return r.compactFault(c, i, "%s %s is there twice", what, quote(member))
}

// listListpack reads the items of a list or the members of a set.
func (r *Reader) listListpack(yield yieldFunc) error {
	c, err := r.listpack()
	if err != nil {
		return err
	}
	el := &r.el
	el.Kind = KindItem
	b := c.b[:len(c.b)-1]
	check := r.typ == typSetListpack && r.checksTwice(c, smallSet)
	n := 0
	for i := lpHeader; i < len(b); n++ {
		s, v, next := lpNext(b, i)
		if next < 0 {
			return r.lpFault(c, i)
		}
		if s == nil {
			s = r.text(0, v)
		}
		if check && r.addMember(0, s) {
			return r.twiceIn("set member", s, c, i)
		}
		el.Member = s
		if !yield(el, nil) {
			return r.stop(nil)
		}
		i = next
	}
	return r.lpCount(c, n)
}

func (r *Reader) hashListpack(yield yieldFunc) error {
	c, err := r.listpack()
	if err != nil {
		return err
	}
	el := &r.el
	el.Kind, el.ExpireAt = KindField, 0
	b := c.b[:len(c.b)-1]
	check := r.checksTwice(c, 2*smallHash)
	n := 0
	for i := lpHeader; i < len(b); n += 2 {
		field, v, next := lpNext(b, i)
		if next < 0 {
			return r.lpFault(c, i)
		}
		if field == nil {
			field = r.text(0, v)
		}
		if check && r.addMember(0, field) {
			return r.twiceIn("hash field", field, c, i)
		}
		i = next
		value, v, next := lpNext(b, i)
		if next < 0 {
			return r.lpFault(c, i)
		}
		if value == nil {
			value = r.text(1, v)
		}
		i = next
		el.Member, el.Value = field, value
		if !yield(el, nil) {
			return r.stop(nil)
		}
	}
	return r.lpCount(c, n)
}

func (r *Reader) zsetListpack(yield yieldFunc) error {
	c, err := r.listpack()
	if err != nil {
		return err
	}
	el := &r.el
	el.Kind = KindScored
	b := c.b[:len(c.b)-1]
	check := r.checksTwice(c, 2*smallZSet)
	n := 0
	for i := lpHeader; i < len(b); n += 2 {
		member, v, next := lpNext(b, i)
		if next < 0 {
			return r.lpFault(c, i)
		}
		if member == nil {
			member = r.text(0, v)
		}
		if check && r.addMember(0, member) {
			return r.twiceIn("zset member", member, c, i)
		}
		i = next
		score, v, next := lpNext(b, i)
		if next < 0 {
			return r.lpFault(c, i)
		}
		el.Score = float64(v)
		if score != nil {
			var ok bool
			if el.Score, ok = parseScore(score); !ok {
				return r.compactFault(c, i, "score %s", quote(score))
			}
		}
		i = next
		el.Member = member
		if !yield(el, nil) {
			return r.stop(nil)
		}
	}
	return r.lpCount(c, n)
}

// hashListpackEx reads a hash some of whose fields expire: triples of field,
// value and expiry in ms, 0 for none. Formats after Redis 7.4-rc have the
// earliest expiry in front; it is 0 if there is none any more.
func (r *Reader) hashListpackEx(yield yieldFunc) error {
	r.fieldsExpire = true
	if r.typ == typHashListpackEx {
		earliest, err := r.in.uint64le()
		if err != nil {
			return err
		}
		r.fieldsExpire = earliest != 0
	}
	c, err := r.listpack()
	if err != nil {
		return err
	}
	el := &r.el
	el.Kind = KindField
	b := c.b[:len(c.b)-1]
	check := r.checksTwice(c, 3*smallHash)
	n := 0
	for i := lpHeader; i < len(b); n += 3 {
		field, v, next := lpNext(b, i)
		if next < 0 {
			return r.lpFault(c, i)
		}
		if field == nil {
			field = r.text(0, v)
		}
		if check && r.addMember(0, field) {
			return r.twiceIn("hash field", field, c, i)
		}
		i = next
		value, v, next := lpNext(b, i)
		if next < 0 {
			return r.lpFault(c, i)
		}
		if value == nil {
			value = r.text(1, v)
		}
		i = next
		expiry, v, next := lpNext(b, i)
		if next < 0 || expiry != nil || v < 0 || v > maxFieldExpiry+1 {
			return r.compactFault(c, i, "bad expiry of a hash's field")
		}
		i = next
		el.Member, el.Value, el.ExpireAt = field, value, v
		if !yield(el, nil) {
			return r.stop(nil)
		}
	}
	return r.lpCount(c, n)
}
