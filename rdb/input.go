package rdb

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
)

const (
	// bufSize is the size of each of the two buffers.
	bufSize = 128 << 10
	// maxInPlace is the longest string that is handed out without a copy.
	// Larger ones are gathered in a scratch buffer. It is so much below
	// bufSize that after one turn of the buffers there is room for a string,
	// its header and a number without another turn.
	maxInPlace = bufSize / 2
	// keepScratch is the largest scratch buffer that is kept for the next
	// string, so that one huge element does not occupy memory for good.
	keepScratch = 1 << 20
)

// input reads the snapshot's bytes, counts them and sums them up.
//
// There are two buffers. When the current one has no room left, what is unread
// moves to the other one and reading goes on there: slices into the first stay
// valid until the next turn. So a member may be held while its score is read.
type input struct {
	src    io.Reader
	buf    []byte // the current buffer
	spare  []byte // the other one; made when it is needed
	pos    int    // buf[pos:end] is unread
	end    int    //
	base   int64  // offset of buf[0] in the input
	summed int    // buf[:summed] is in crc
	crc    uint64
	noSum  bool  // the version has no checksum
	srcErr error // what src returned last; io.EOF or worse
	idle   int   // how often in a row it returned nothing

	stop      func() error // see Reader.Stop; nil: reading is never stopped
	maxString uint64
	over      uint64  // what is left to skip of a string over the limit
	slots     [2]slot // two strings can be held at a time
	packed    []byte  // a compressed string too large for buf
	large     bool    // more than keepScratch bytes are in use for a string
	packedAt  int64   // offset of the last compressed string that was read
	packedLen int64   // and its length there
}

// slot is the memory of one string that is not handed out in place.
type slot struct {
	big  []byte
	held []byte   // a copy of a short string, see pair
	num  [24]byte // text of an integer
}

func (in *input) offset() int64 { return in.base + int64(in.pos) }

// fault makes the error for something wrong at the unread position.
func (in *input) fault(format string, args ...any) error {
	return in.faultAt(in.offset(), format, args...)
}

func (in *input) faultAt(off int64, format string, args ...any) error {
	return &SyntaxError{Offset: off, Err: fmt.Errorf(format, args...)}
}

// readErr makes the error for a read that brought less than was needed.
func (in *input) readErr() error {
	off := in.base + int64(in.end)
	if in.srcErr == io.EOF {
		return &SyntaxError{Offset: off, Err: io.ErrUnexpectedEOF}
	}
	return fmt.Errorf("rdb: read at offset %d: %w", off, in.srcErr)
}

// fill makes at least n bytes, n <= maxInPlace+64, unread in buf.
func (in *input) fill(n int) error {
	if in.srcErr != nil && in.end-in.pos < n {
		return in.readErr()
	}
	if in.pos+n > len(in.buf) {
		in.turn()
	}
	for in.end-in.pos < n {
		if in.srcErr != nil {
			return in.readErr()
		}
		in.end += in.read(in.buf[in.end:])
	}
	return nil
}

// read reads into dst and returns how many bytes came; what went wrong is in
// srcErr.
func (in *input) read(dst []byte) int {
	if in.stop != nil {
		if in.srcErr = in.stop(); in.srcErr != nil {
			return 0
		}
	}
	n, err := in.src.Read(dst)
	in.srcErr = err
	switch {
	case n < 0 || n > len(dst):
		n, in.srcErr = 0, errBadCount
	case n > 0:
		in.idle = 0
	case err == nil:
		if in.idle++; in.idle == maxIdle {
			in.srcErr = io.ErrNoProgress
		}
	}
	return n
}

// maxIdle is how often in a row a reader may return nothing and no error.
const maxIdle = 100

var errBadCount = errors.New("reader returned an impossible count")

// turn goes on in the other buffer.
func (in *input) turn() {
	in.sum()
	if in.spare == nil {
		in.spare = make([]byte, bufSize)
	}
	copy(in.spare, in.buf[in.pos:in.end])
	in.base += int64(in.pos)
	in.end -= in.pos
	in.pos, in.summed = 0, 0
	in.buf, in.spare = in.spare, in.buf
}

// sum adds what was read from buf to the checksum.
func (in *input) sum() {
	if !in.noSum {
		in.crc = updateCRC(in.crc, in.buf[in.summed:in.pos])
	}
	in.summed = in.pos
}

// next returns the next n bytes, n <= maxInPlace+64, valid until the second
// turn from now.
func (in *input) next(n int) ([]byte, error) {
	if in.end-in.pos < n {
		if err := in.fill(n); err != nil {
			return nil, err
		}
	}
	b := in.buf[in.pos : in.pos+n : in.pos+n]
	in.pos += n
	return b, nil
}

func (in *input) byte() (byte, error) {
	if in.pos == in.end {
		if err := in.fill(1); err != nil {
			return 0, err
		}
	}
	b := in.buf[in.pos]
	in.pos++
	return b, nil
}

func (in *input) uint64le() (uint64, error) {
	b, err := in.next(8)
	if err != nil {
		return 0, err
	}
	return binary.LittleEndian.Uint64(b), nil
}

// skip passes over n bytes without keeping them.
func (in *input) skip(n uint64) error {
	for n > uint64(in.end-in.pos) {
		n -= uint64(in.end - in.pos)
		in.pos = in.end
		if err := in.fill(1); err != nil {
			return err
		}
	}
	in.pos += int(n)
	return nil
}

// readFull reads len(dst) bytes into dst, past the buffers.
func (in *input) readFull(dst []byte) error {
	k := copy(dst, in.buf[in.pos:in.end])
	in.pos += k
	if k == len(dst) {
		return nil
	}
	if in.srcErr != nil {
		return in.readErr()
	}
	in.turn() // nothing is left in buf: sums up, and base is the offset of dst[k]
	for k < len(dst) {
		if in.srcErr != nil {
			return in.readErr()
		}
		// In pieces, so that they are still in the cache when they are summed.
		n := in.read(dst[k:min(len(dst), k+bufSize)])
		if !in.noSum {
			in.crc = updateCRC(in.crc, dst[k:k+n])
		}
		k += n
		in.base += int64(n)
	}
	return nil
}

// peekLength returns the length that stands at bytes ahead, and how many bytes
// ahead what follows it is, without reading either. For a special encoding,
// which special tells, n is its number.
func (in *input) peekLength(at int) (n uint64, next int, special bool, err error) {
	if in.end-in.pos <= at {
		if err := in.fill(at + 1); err != nil {
			return 0, 0, false, err
		}
	}
	c := in.buf[in.pos+at]
	if c < 0x40 {
		return uint64(c), at + 1, false, nil
	}
	size := 1
	switch {
	case c < 0x80:
		size = 2
	case c == 0x80:
		size = 5
	case c == 0x81:
		size = 9
	case c < 0xc0: // reading it is an error
		return math.MaxUint64, at + 1, false, nil
	}
	if in.end-in.pos < at+size {
		if err := in.fill(at + size); err != nil {
			return 0, 0, false, err
		}
	}
	pos := in.pos
	in.pos += at + 1
	n, special, err = in.lengthAfter(c)
	in.pos = pos
	return n, at + size, special, err
}

// length reads a length. Special encodings, which only strings have, are
// faults.
func (in *input) length() (uint64, error) {
	if in.pos < in.end {
		if c := in.buf[in.pos]; c < 0x40 {
			in.pos++
			return uint64(c), nil
		}
	}
	return in.longLength()
}

func (in *input) longLength() (uint64, error) {
	c, err := in.byte()
	if err != nil {
		return 0, err
	}
	n, special, err := in.lengthAfter(c)
	if err == nil && special {
		in.pos--
		err = in.fault("a string's encoding %#x where a length is due", c)
	}
	return n, err
}

// lengthAfter reads what follows the first byte c of a length. If special, the
// length is the number of an encoding.
func (in *input) lengthAfter(c byte) (n uint64, special bool, err error) {
	switch {
	case c < 0x40:
		return uint64(c), false, nil
	case c < 0x80:
		d, err := in.byte()
		return uint64(c&0x3f)<<8 | uint64(d), false, err
	case c == 0x80:
		b, err := in.next(4)
		if err != nil {
			return 0, false, err
		}
		return uint64(binary.BigEndian.Uint32(b)), false, nil
	case c == 0x81:
		b, err := in.next(8)
		if err != nil {
			return 0, false, err
		}
		return binary.BigEndian.Uint64(b), false, nil
	case c >= 0xc0:
		return uint64(c & 0x3f), true, nil
	}
	in.pos--
	return 0, false, in.fault("length byte %#x: %w encoding", c, ErrUnknown)
}

// Encodings of a string that is not simply its bytes.
const (
	encInt8  = 0
	encInt16 = 1
	encInt32 = 2
	encLZF   = 3
)

// skipString passes over a string.
func (in *input) skipString() error {
	if in.pos < in.end {
		if c := in.buf[in.pos]; c < 0x40 && int(c) < in.end-in.pos {
			in.pos += 1 + int(c)
			return nil
		}
	}
	c, err := in.byte()
	if err != nil {
		return err
	}
	n, special, err := in.lengthAfter(c)
	if err != nil {
		return err
	}
	if !special {
		return in.skip(n)
	}
	if n < encLZF {
		return in.skip(1 << n)
	}
	packed, _, err := in.lzfHeader(n)
	if err != nil {
		return err
	}
	return in.skip(packed)
}

// pair reads two strings. Both are valid until the next string; a number may be
// read before.
func (in *input) pair() (a, b []byte, err error) {
	if buf := in.buf[in.pos:in.end]; len(buf) > 2 && buf[0] < 0x40 {
		i := 1 + int(buf[0])
		if i < len(buf) && buf[i] < 0x40 {
			j := i + 1 + int(buf[i])
			if j <= len(buf) {
				in.pos += j
				return buf[1:i:i], buf[i+1 : j : j], nil
			}
		}
	}
	if a, err = in.str(0); err != nil {
		return nil, nil, in.passFirst(err)
	}
	// The second may take more than one turn of the buffers.
	if s := &in.slots[0]; len(a) <= maxInPlace {
		s.held = append(s.held[:0], a...)
		a = s.held[:len(a):len(a)]
	}
	b, err = in.str(1)
	return a, b, err
}

// passFirst deals with the error of reading the first string of a pair: if that
// is only too large, both are passed over.
func (in *input) passFirst(err error) error {
	if !errors.Is(err, ErrLimit) {
		return err
	}
	n := in.over
	in.over = 0
	skipErr := in.skip(n)
	if skipErr == nil {
		skipErr = in.skipString()
	}
	if skipErr == nil {
		return err
	}
	if errors.Is(skipErr, io.ErrUnexpectedEOF) {
		in.over = math.MaxUint64 // more than there is: the error is final
		return err
	}
	return skipErr
}

// str reads a string into slot i, or in place. It is valid until the next
// string; a number may be read before.
func (in *input) str(i int) ([]byte, error) {
	if in.pos < in.end {
		c := int(in.buf[in.pos])
		if c < 0x40 && c < in.end-in.pos {
			p := in.pos + 1
			in.pos = p + c
			return in.buf[p : p+c : p+c], nil
		}
	}
	return in.longString(i)
}

func (in *input) longString(i int) ([]byte, error) {
	c, err := in.byte()
	if err != nil {
		return nil, err
	}
	n, special, err := in.lengthAfter(c)
	if err != nil {
		return nil, err
	}
	switch {
	case !special:
		return in.plainString(i, n)
	case n < encLZF:
		v, err := in.intAfter(n)
		return strconv.AppendInt(in.slots[i].num[:0], v, 10), err
	}
	return in.lzfString(i, n)
}

func (in *input) plainString(i int, n uint64) ([]byte, error) {
	if n > in.maxString {
		in.over = n
		return nil, in.fault("string of %d bytes: %w of %d", n, ErrLimit, in.maxString)
	}
	if n <= maxInPlace {
		return in.next(int(n))
	}
	return in.gather(&in.slots[i].big, int(n))
}

// gather reads n bytes into *buf, which grows as they arrive: a length that is
// a lie costs no more than the bytes that are really there.
func (in *input) gather(buf *[]byte, n int) ([]byte, error) {
	const proof = 16 << 20 // so many bytes seen, the rest of n is believed
	in.large = in.large || n > keepScratch
	b := scratch(*buf, min(n, bufSize))
	*buf = b
	for have := 0; ; {
		if err := in.readFull(b[have:]); err != nil {
			return nil, err
		}
		if have = len(b); have == n {
			return b[:n:n], nil
		}
		size := min(n, 2*have)
		if have >= proof {
			size = n
		}
		if size > cap(b) {
			grown := make([]byte, size)
			copy(grown, b)
			b = grown
			*buf = b
		}
		b = b[:size]
	}
}

// release gives up memory of which a large string took much.
func (in *input) release() {
	for i := range in.slots {
		if cap(in.slots[i].big) > keepScratch {
			in.slots[i].big = nil
		}
	}
	in.packed, in.large = nil, false
}

// scratch returns n bytes, of old's memory if that is large enough and not far
// too large.
func scratch(old []byte, n int) []byte {
	if n <= cap(old) && cap(old) <= max(keepScratch, 4*n) {
		return old[:n]
	}
	return make([]byte, n)
}

// intAfter reads the integer of encoding enc: little-endian, 1, 2 or 4 bytes.
func (in *input) intAfter(enc uint64) (int64, error) {
	b, err := in.next(1 << enc)
	if err != nil {
		return 0, err
	}
	switch enc {
	case encInt8:
		return int64(int8(b[0])), nil
	case encInt16:
		return int64(int16(binary.LittleEndian.Uint16(b))), nil
	}
	return int64(int32(binary.LittleEndian.Uint32(b))), nil
}

// lzfHeader reads the two lengths of a compressed string.
func (in *input) lzfHeader(enc uint64) (packed, plain uint64, err error) {
	if enc != encLZF {
		in.pos--
		return 0, 0, in.fault("string encoding %d: %w", enc, ErrUnknown)
	}
	if packed, err = in.length(); err != nil {
		return 0, 0, err
	}
	if plain, err = in.length(); err != nil {
		return 0, 0, err
	}
	if packed == 0 || plain == 0 {
		return 0, 0, in.fault("compressed string of %d bytes, said to unpack to %d", packed, plain)
	}
	// Three bytes become 264 at most.
	if packed < math.MaxUint64/88 && plain > packed*88 {
		return 0, 0, in.fault("compressed string of %d bytes cannot unpack to %d", packed, plain)
	}
	return packed, plain, nil
}

func (in *input) lzfString(i int, enc uint64) ([]byte, error) {
	packed, plain, err := in.lzfHeader(enc)
	if err != nil {
		return nil, err
	}
	if max(packed, plain) > in.maxString {
		in.over = packed
		return nil, in.fault("compressed string of %d bytes, %d unpacked: %w of %d", packed, plain, ErrLimit, in.maxString)
	}
	start := in.offset()
	in.packedAt, in.packedLen = start, int64(packed)
	var src []byte
	if packed <= maxInPlace {
		src, err = in.next(int(packed))
	} else {
		src, err = in.gather(&in.packed, int(packed))
	}
	if err != nil {
		return nil, err
	}
	// What claims to be large is walked before memory is spent on it.
	if plain > keepScratch {
		size, err := in.lzfSize(src)
		if err != nil {
			return nil, err
		}
		if size != int64(plain) {
			return nil, in.faultAt(start, "compressed string does not unpack to %d bytes", plain)
		}
	}
	in.large = in.large || plain > keepScratch
	dst := scratch(in.slots[i].big, int(plain))
	in.slots[i].big = dst
	ok, err := in.unpackLZF(dst, src)
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, in.faultAt(start, "compressed string does not unpack to %d bytes", plain)
	}
	return dst[:plain:plain], nil
}

// lzfStep is after how many bytes of a compressed string the unpacking may be
// stopped. They become 22 MB at most.
const lzfStep = 256 << 10

// unpackLZF unpacks src to fill dst exactly; false if it does not.
func (in *input) unpackLZF(dst, src []byte) (ok bool, err error) {
	d := 0
	ok, err = in.inParts(src, func(part []byte, s int) int {
		d, s = unpackLZF(dst, part, d, s)
		return s
	})
	return ok && d == len(dst), err
}

// lzfSize returns the number of bytes src unpacks to; -1 if it is not valid.
func (in *input) lzfSize(src []byte) (size int64, err error) {
	ok, err := in.inParts(src, func(part []byte, s int) int {
		size, s = lzfSize(part, size, s)
		return s
	})
	if !ok {
		return -1, err
	}
	return size, nil
}

// inParts has work go through a compressed string, part by part, unless the
// Reader is to stop in between. work goes from part[s] as far as it can; ok tells
// that it came to the end of src.
func (in *input) inParts(src []byte, work func(part []byte, s int) int) (ok bool, err error) {
	for s, end := 0, 0; end < len(src); {
		if err := in.stopped(); err != nil {
			return false, err
		}
		end = min(len(src), s+lzfStep)
		if s = work(src[:end], s); s < end && (end == len(src) || end-s > longestLZF) {
			return false, nil
		}
	}
	return true, nil
}

// stopped returns the error of a Reader that is to stop, while it computes.
func (in *input) stopped() error {
	if in.stop == nil {
		return nil
	}
	if err := in.stop(); err != nil {
		return fmt.Errorf("rdb: stopped at offset %d: %w", in.offset(), err)
	}
	return nil
}
