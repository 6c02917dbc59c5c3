package wire

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"
	"unsafe"
)

// ErrDamaged is wrapped by the error of a Cursor whose input is not what was
// written.
var ErrDamaged = errors.New("cut short, or damaged")

// Cursor reads one value after the other. The zero Cursor is at the end of an
// empty input. It is for one goroutine at a time.
type Cursor struct {
	rest []byte
	size int // bytes of the whole input
	err  error
}

// NewCursor returns a cursor at the beginning of b, which it borrows.
func NewCursor(b []byte) Cursor { return Cursor{rest: b, size: len(b)} }

// Err returns the first error, nil if there was none.
func (c *Cursor) Err() error { return c.err }

// End returns the first error, or one that says so if something is left.
func (c *Cursor) End() error {
	if c.err == nil && len(c.rest) > 0 {
		return fmt.Errorf("%w: %d bytes are left at byte %d", ErrDamaged, len(c.rest), c.size-len(c.rest))
	}
	return c.err
}

// Rest returns what was not read yet: part of the input, nil after an error.
func (c *Cursor) Rest() []byte { return c.rest[:len(c.rest):len(c.rest)] }

// Len returns how many bytes were not read yet.
func (c *Cursor) Len() int { return len(c.rest) }

// Fail notes an error of what was read, unless there is one already, and drops
// the rest.
func (c *Cursor) Fail(err error) {
	if c.err == nil {
		c.err = fmt.Errorf("%w, before byte %d", err, c.size-len(c.rest))
	}
	c.rest = nil
}

// Reject is Fail for what is not as it was written.
func (c *Cursor) Reject() { c.Fail(ErrDamaged) }

// Byte reads a byte.
func (c *Cursor) Byte() byte {
	if len(c.rest) == 0 {
		c.Reject()
		return 0
	}
	b := c.rest[0]
	c.rest = c.rest[1:]
	return b
}

// Uint32 reads four bytes, the highest first.
func (c *Cursor) Uint32() uint32 {
	if len(c.rest) < 4 {
		c.Reject()
		return 0
	}
	n := binary.BigEndian.Uint32(c.rest)
	c.rest = c.rest[4:]
	return n
}

// Uint64 reads eight bytes, the highest first.
func (c *Cursor) Uint64() uint64 {
	if len(c.rest) < 8 {
		c.Reject()
		return 0
	}
	n := binary.BigEndian.Uint64(c.rest)
	c.rest = c.rest[8:]
	return n
}

// Uvarint reads a uvarint.
func (c *Cursor) Uvarint() uint64 {
	v, n := binary.Uvarint(c.rest)
	if n <= 0 {
		c.Reject()
		return 0
	}
	c.rest = c.rest[n:]
	return v
}

// Varint reads a varint.
func (c *Cursor) Varint() int64 {
	v, n := binary.Varint(c.rest)
	if n <= 0 {
		c.Reject()
		return 0
	}
	c.rest = c.rest[n:]
	return v
}

// Int reads a varint.
func (c *Cursor) Int() int { return int(c.Varint()) }

// Count reads how many things follow that take at least size bytes each: never
// more than there is room for.
func (c *Cursor) Count(size int) int {
	n := c.Uvarint()
	if n > uint64(len(c.rest)/size) {
		c.Reject()
		return 0
	}
	return int(n)
}

// Bytes reads a text as part of the input.
func (c *Cursor) Bytes() []byte {
	n := c.Count(1)
	b := c.rest[:n:n]
	c.rest = c.rest[n:]
	return b
}

// Text reads a text, copied.
func (c *Cursor) Text() string { return string(c.Bytes()) }

// SharedText reads a text that shares the input's bytes: for an input that
// never changes any more.
func (c *Cursor) SharedText() string {
	b := c.Bytes()
	return unsafe.String(unsafe.SliceData(b), len(b))
}

// Time reads a time, in the local zone.
func (c *Cursor) Time() time.Time {
	seconds, nanos := c.Varint(), c.Varint()
	if c.err != nil || nanos < 0 || nanos >= int64(time.Second) {
		c.Reject()
		return time.Time{}
	}
	return time.Unix(seconds, nanos)
}
