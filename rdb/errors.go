package rdb

import (
	"errors"
	"fmt"
)

// What is wrong with an input; found with errors.Is inside a *SyntaxError.
// A snapshot that ends too early is io.ErrUnexpectedEOF.
var (
	// ErrMagic means that the input is no snapshot at all.
	ErrMagic = errors.New("not an RDB snapshot")
	// ErrVersion means a version this package does not know.
	ErrVersion = errors.New("unknown RDB version")
	// ErrUnknown means a type, an opcode or an encoding this package does not
	// know. Nothing after it can be read, for nothing says how long it is.
	ErrUnknown = errors.New("unknown")
	// ErrChecksum means that all was read, but the bytes are not those that
	// the server wrote.
	ErrChecksum = errors.New("wrong checksum")
	// ErrLimit means that something is larger than Limits allows.
	ErrLimit = errors.New("over the limit")
)

// ErrConsumed is returned when a value is asked for that was read already, or
// that was never there: before Next, or after Next returned an error.
var ErrConsumed = errors.New("rdb: no unread value")

// SyntaxError says what is wrong with the input, and where.
type SyntaxError struct {
	// Offset is the position in the input, in bytes from its start, at which
	// the fault was noticed. For a fault inside a compressed string it is the
	// position of that string.
	Offset int64
	// Key is the key whose metadata, name or value was being read, as far as
	// it was known; nil outside a key. The error owns it.
	Key []byte
	// Err is the fault.
	Err error
}

// Error returns the fault with its place.
func (e *SyntaxError) Error() string {
	if e.Key == nil {
		return fmt.Sprintf("rdb: offset %d: %v", e.Offset, e.Err)
	}
	return fmt.Sprintf("rdb: offset %d: key %s: %v", e.Offset, quote(e.Key), e.Err)
}

// Unwrap returns Err.
func (e *SyntaxError) Unwrap() error { return e.Err }

// quote quotes b, which may be hostile and very long, for an error text.
func quote(b []byte) string {
	const most = 128
	if len(b) > most {
		return fmt.Sprintf("%q... (%d bytes)", b[:most], len(b))
	}
	return fmt.Sprintf("%q", b)
}
