package keyspace

import "encoding/binary"

// The commands of strings that are taken for bits.
var bitmapCommands = []command{
	{name: "BITCOUNT", arity: -2, acl: "@bitmap @read @slow", keys: firstKey},
	{name: "BITFIELD", arity: -2, acl: "@bitmap @slow @write", keys: firstKey,
		events: onKey("setbit", typeString), apply: (*call).bitfield},
	{name: "BITFIELD_RO", arity: -2, acl: "@bitmap @fast @read", keys: firstKey},
	{name: "BITOP", arity: -4, acl: "@bitmap @slow @write", keys: []keySpec{{begin: 2}, {begin: 3, last: -1}},
		events: onKey("set", "", "del"), follow: (*call).bitop, replaces: overwrites},
	{name: "BITPOS", arity: -3, acl: "@bitmap @read @slow", keys: firstKey},
	{name: "GETBIT", arity: 3, acl: "@bitmap @fast @read", keys: firstKey},
	{name: "SETBIT", arity: 4, acl: "@bitmap @slow @write", keys: firstKey,
		events: onKey("setbit", typeString), apply: (*call).setbit},
}

// overflow is what BITFIELD does with a number that does not fit.
type overflow uint8

const (
	wrap overflow = iota
	saturate
	refuse
)

// bitfield: BITFIELD key [GET type offset | [OVERFLOW how] SET|INCRBY type offset number]...
func (c *call) bitfield() {
	k := c.key(1)
	text, known := c.textForWrite(k)
	if !known {
		return
	}
	// The string grows at once to hold all that may be written.
	if end, ok := bitfieldEnd(c.args); !ok {
		c.lose(k, yes, kindString, &c.lost.Mismatch)
		return
	} else if text, ok = c.growText(k, text, end); !ok {
		return
	}
	how := wrap
	for i := 2; i < len(c.args); {
		switch a := c.args; {
		case is(a[i], "GET"):
			i += 3
		case is(a[i], "OVERFLOW"):
			how = overflowOf(a[i+1])
			i += 2
		default:
			f, _ := fieldOf(a[i+1], a[i+2])
			n, ok := int64Of(a[i+3])
			if !ok {
				c.lose(k, yes, kindString, &c.lost.Mismatch)
				return
			}
			result := f.apply(f.read(text), n, is(a[i], "SET"), how)
			if result.ok {
				first, last := f.at>>3, (f.at+f.bits-1)>>3
				written := append([]byte(nil), text[first:last+1]...)
				bitsField{f.signed, f.bits, f.at & 7}.write(written, result.value)
				c.overwrite(k, text, first, written)
			}
			i += 4
		}
	}
	k.editText(text)
}

func overflowOf(b []byte) overflow {
	switch {
	case is(b, "SAT"):
		return saturate
	case is(b, "FAIL"):
		return refuse
	}
	return wrap
}

// bitfieldEnd returns how many bytes the writes of a BITFIELD need, and false
// if it cannot be understood.
func bitfieldEnd(args [][]byte) (int, bool) {
	end := 0
	for i := 2; i < len(args); {
		switch {
		case is(args[i], "GET") && i+2 < len(args):
			i += 3
		case is(args[i], "OVERFLOW") && i+1 < len(args):
			i += 2
		case (is(args[i], "SET") || is(args[i], "INCRBY")) && i+3 < len(args):
			f, ok := fieldOf(args[i+1], args[i+2])
			if !ok {
				return 0, false
			}
			end = max(end, (f.at+f.bits-1)>>3+1)
			i += 4
		default:
			return 0, false
		}
	}
	return end, true
}

// bitsField is a number inside a string: bits of them from bit at on, the
// highest first.
type bitsField struct {
	signed   bool
	bits, at int
}

// fieldOf parses a type, "u8" or "i16", and an offset, "100" or "#3".
func fieldOf(typ, offset []byte) (bitsField, bool) {
	var f bitsField
	if len(typ) < 2 || len(offset) == 0 || typ[0] != 'i' && typ[0] != 'u' {
		return f, false
	}
	f.signed = typ[0] == 'i'
	bits, ok := int64Of(typ[1:])
	if !ok || bits < 1 || bits > 64 || bits == 64 && !f.signed {
		return f, false
	}
	f.bits = int(bits)
	times := int64(1)
	if offset[0] == '#' {
		times, offset = bits, offset[1:]
	}
	at, ok := int64Of(offset)
	const last = 512<<23 - 1
	if !ok || at < 0 || at > last || at*times > last {
		return f, false
	}
	f.at = int(at * times)
	return f, true
}

func (f bitsField) read(text []byte) int64 {
	var n uint64
	for i := range f.bits {
		at := f.at + i
		n = n<<1 | uint64(text[at>>3]>>(7-at&7)&1)
	}
	return f.extend(n)
}

// extend makes the lowest bits of n a number.
func (f bitsField) extend(n uint64) int64 {
	unused := 64 - f.bits
	if f.signed {
		return int64(n<<unused) >> unused
	}
	return int64(n << unused >> unused)
}

func (f bitsField) write(text []byte, value int64) {
	for i := range f.bits {
		at := f.at + i
		mask := byte(1) << (7 - at&7)
		text[at>>3] &^= mask
		if uint64(value)>>(f.bits-1-i)&1 == 1 {
			text[at>>3] |= mask
		}
	}
}

// applied is a field's new value; not ok: it stays.
type applied struct {
	value int64
	ok    bool
}

// apply sets the field to n, or adds n to old.
func (f bitsField) apply(old, n int64, set bool, how overflow) applied {
	value, by := old, n
	if set {
		value, by = n, 0
	}
	direction := f.overflows(value, by)
	switch {
	case direction == 0 || how == wrap:
		return applied{f.extend(uint64(value) + uint64(by)), true}
	case how == refuse:
		return applied{}
	}
	least, most := f.limits()
	if direction > 0 {
		return applied{most, true}
	}
	return applied{least, true}
}

func (f bitsField) limits() (least, most int64) {
	if f.signed {
		most = int64(uint64(1)<<(f.bits-1) - 1)
		return -most - 1, most
	}
	return 0, int64(uint64(1)<<f.bits - 1)
}

// overflows tells whether value+by is too large (1) or too small (-1).
func (f bitsField) overflows(value, by int64) int {
	least, most := f.limits()
	if !f.signed && value < 0 {
		return 1 // the server takes it for a number beyond
	}
	switch {
	case value > most, by > 0 && value > most-by:
		return 1
	case value < least, by < 0 && (value+by > value || value+by < least): // around the end, or too small
		return -1
	}
	return 0
}

// setbit: SETBIT key offset bit.
func (c *call) setbit() {
	k := c.key(1)
	at, ok := int64Of(c.args[2])
	text, known := k.text()
	var b byte
	if known && at >= 0 && at>>3 < int64(len(text)) {
		b = text[at>>3]
	}
	mask := byte(1) << (7 - at&7)
	b &^= mask
	if len(c.args[3]) == 1 && c.args[3][0] == '1' {
		b |= mask
	}
	c.writeAt(k, at>>3, []byte{b}, ok)
}

// bitop: BITOP operation destination key...
func (c *call) bitop() {
	dst := c.key(2)
	var sources [][]byte
	known := true
	longest := 0
	for _, key := range c.args[3:] {
		text, ok := c.keyIn(c.sent.DB, key).text()
		known = known && ok
		sources = append(sources, text)
		longest = max(longest, len(text))
	}
	switch {
	case !dst.needed():
		c.announce()
	case known && longest == 0:
		c.storeNothing(dst)
	case !known:
		c.announce()
		c.lose(dst, maybe, kindString, &c.lost.Source)
	default:
		c.emit(2, "set", typeString)
		if c.tooLarge(dst, longest) {
			dst.setDeadline(0, true)
			return
		}
		result, ok := bitwise(c.args[1], sources, longest, &c.in.pace)
		if !ok {
			c.lose(dst, yes, kindString, &c.lost.Undecided)
		} else {
			dst.setText(result)
		}
		dst.setDeadline(0, true)
	}
}

// bitwise combines strings; shorter ones are followed by zeros. It returns false
// for an operation that it does not know.
func bitwise(operation []byte, sources [][]byte, n int, p *pace) ([]byte, bool) {
	combine := bitOperation(operation, len(sources))
	if combine == nil {
		return nil, false
	}
	out := make([]byte, n)
	size := min(n, bitBlockSize)
	room := make([]byte, 3*size)
	b := &bitBlock{padded: room[:size], more: room[size : 2*size], both: room[2*size:], sources: sources, pace: p}
	for ; b.from < n && !p.stopsAfter(size); b.from += size {
		b.out = out[b.from:min(b.from+size, n)]
		combine(b)
	}
	return out, true
}

// bitBlockSize is how many bytes of the strings are combined at a time: few enough
// that they stay in the processor's nearest cache.
const bitBlockSize = 4 << 10

// bitBlock is one block of what BITOP combines.
type bitBlock struct {
	out                []byte // begins as zeros
	padded, more, both []byte // room, each at least of the size of out
	sources            [][]byte
	from               int // where the block begins in each source
	pace               *pace
}

// bitOperation returns what combines the sources of a block in its out, or nil
// if there is no such operation of so many sources.
func bitOperation(name []byte, sources int) func(b *bitBlock) {
	and := func(a, b uint64) uint64 { return a & b }
	or := func(a, b uint64) uint64 { return a | b }
	andNot := func(a, b uint64) uint64 { return a &^ b }
	switch {
	case is(name, "AND"):
		return func(b *bitBlock) { b.combine(0, or); b.fold(1, and) }
	case is(name, "OR"):
		return func(b *bitBlock) { b.fold(0, or) }
	case is(name, "XOR"):
		return func(b *bitBlock) { b.fold(0, func(a, b uint64) uint64 { return a ^ b }) }
	case is(name, "NOT") && sources == 1:
		return func(b *bitBlock) { b.combine(0, func(_, b uint64) uint64 { return ^b }) }
	case is(name, "ONE"):
		return (*bitBlock).one
	case sources == 1:
		return nil
	case is(name, "DIFF"):
		return func(b *bitBlock) { b.combine(0, or); b.fold(1, andNot) }
	case is(name, "DIFF1"):
		return func(b *bitBlock) { b.fold(1, or); b.combine(0, andNot) }
	case is(name, "ANDOR"):
		return func(b *bitBlock) { b.fold(1, or); b.combine(0, and) }
	}
	return nil
}

// source returns the part of a source that is in the block.
func (b *bitBlock) source(i int) []byte {
	s := b.sources[i]
	s = s[min(b.from, len(s)):min(b.from+len(b.out), len(s))]
	if len(s) == len(b.out) {
		return s
	}
	clear(b.padded[copy(b.padded, s):])
	return b.padded[:len(b.out)]
}

// combine combines out with one source.
func (b *bitBlock) combine(source int, op func(a, b uint64) uint64) {
	combineWords(b.out, b.source(source), op)
}

// fold combines out with each source from one on, until the pace stops it.
func (b *bitBlock) fold(from int, op func(a, b uint64) uint64) {
	for i := from; i < len(b.sources) && !b.pace.stopsAfter(len(b.out)); i++ {
		b.combine(i, op)
	}
}

// one leaves the bits that are set in exactly one source.
func (b *bitBlock) one() {
	clear(b.more) // the bits that are set in several
	for i := 0; i < len(b.sources) && !b.pace.stopsAfter(len(b.out)); i++ {
		copy(b.both, b.out)
		combineWords(b.both, b.source(i), func(a, b uint64) uint64 { return a & b })
		combineWords(b.more, b.both, func(a, b uint64) uint64 { return a | b })
		b.combine(i, func(a, b uint64) uint64 { return a | b })
	}
	combineWords(b.out, b.more, func(a, b uint64) uint64 { return a &^ b })
}

// combineWords sets each word of dst to what op makes of it and of that of src.
// The longer of the two is left as it is behind the end of the other.
func combineWords(dst, src []byte, op func(a, b uint64) uint64) {
	for len(dst) >= 8 && len(src) >= 8 {
		binary.LittleEndian.PutUint64(dst, op(binary.LittleEndian.Uint64(dst), binary.LittleEndian.Uint64(src)))
		dst, src = dst[8:], src[8:]
	}
	for i := range min(len(dst), len(src)) {
		dst[i] = byte(op(uint64(dst[i]), uint64(src[i])))
	}
}
