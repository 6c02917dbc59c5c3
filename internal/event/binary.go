package event

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"time"
	"unsafe"
)

// The binary form of an event, in which it waits to be delivered. Texts are
// their length as a uvarint and their bytes, integers are varints:
//
//	version (1) flags name origin cause db key type command args… seconds nanoseconds bytes replid
//	offset index tx.id tx.index tx.size source changed… ttl before after
//
// A list is its length and its elements. A value is its type ("" for one that
// is not known), whether it is cut, its length, and a string's text or its
// elements.
const binaryVersion = 1

const (
	flagKey     = 1 << iota // there is a key
	flagChanged             // there is a list of what changed
	flagArgs                // there is a list of arguments
)

// AppendBinary appends the event in a form that ParseBinary reads back. The
// values are appended as they are: of an Event that was cloned they are cut to
// a bounded size.
func AppendBinary(dst []byte, e *Event) []byte {
	flags := byte(0)
	if e.Key != nil {
		flags |= flagKey
	}
	if e.Changed != nil {
		flags |= flagChanged
	}
	if e.Args != nil {
		flags |= flagArgs
	}
	dst = append(dst, binaryVersion, flags)
	dst = putText(dst, e.Name)
	dst = putText(dst, e.Origin)
	dst = putText(dst, e.Cause)
	dst = putInt(dst, e.DB)
	dst = putText(dst, e.Key)
	dst = putText(dst, e.Type)
	dst = putText(dst, e.Command)
	dst = putTexts(dst, e.Args)
	dst = binary.AppendVarint(dst, e.Time.Unix())
	dst = putInt(dst, e.Time.Nanosecond())
	dst = putInt(dst, e.Bytes)
	dst = putText(dst, e.ReplID)
	dst = binary.AppendVarint(dst, e.Offset)
	dst = putInt(dst, e.Index)
	dst = putText(dst, e.Tx.ID)
	dst = putInt(dst, e.Tx.Index)
	dst = putInt(dst, e.Tx.Size)
	dst = putText(dst, e.Source)
	dst = putTexts(dst, e.Changed)
	dst = binary.AppendVarint(dst, e.TTL)
	dst = putValue(dst, e.Before)
	return putValue(dst, e.After)
}

func putText[T ~string | ~[]byte](dst []byte, s T) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(s))), s...)
}

func putInt(dst []byte, n int) []byte { return binary.AppendVarint(dst, int64(n)) }

func putTexts[T ~string | ~[]byte](dst []byte, list []T) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(list)))
	for _, s := range list {
		dst = putText(dst, s)
	}
	return dst
}

func putValue(dst []byte, v Value) []byte {
	if v == nil {
		return putText(dst, "")
	}
	dst = putText(dst, v.Type())
	if v.Type() == None.Type() {
		return dst
	}
	cut := 0
	if v.Truncated() {
		cut = 1
	}
	dst = putInt(dst, cut)
	dst = putInt(dst, v.Len())
	if v.Type() == "string" {
		return putText(dst, v.Bytes())
	}
	n := 0
	for range v.All() {
		n++
	}
	dst = binary.AppendUvarint(dst, uint64(n))
	for el := range v.All() {
		dst = putText(dst, el.Name)
		dst = putText(dst, el.Value)
		dst = binary.BigEndian.AppendUint64(dst, math.Float64bits(el.Score))
		dst = putTexts(dst, el.Fields)
	}
	return dst
}

var errBinary = errors.New("not an event's binary form")

// ParseBinary reads what AppendBinary wrote. The event owns its bytes.
func ParseBinary(b []byte) (*Event, error) {
	if len(b) < 2 {
		return nil, errBinary
	}
	if b[0] != binaryVersion {
		return nil, fmt.Errorf("%w of this version: %d, want %d", errBinary, b[0], binaryVersion)
	}
	d := &binaryDecoder{rest: bytes.Clone(b[2:])}
	flags := b[1]
	e := &Event{Name: d.str(), Origin: Origin(d.str()), Cause: Cause(d.str()), DB: d.int()}
	e.Key = keep(d.text(), flags&flagKey != 0)
	e.Type, e.Command = d.str(), d.str()
	e.Args = keep(d.texts(), flags&flagArgs != 0)
	e.Time = time.Unix(d.varint(), d.varint())
	e.Bytes, e.ReplID, e.Offset, e.Index = d.int(), d.str(), d.varint(), d.int()
	e.Tx = Tx{ID: d.str(), Index: d.int(), Size: d.int()}
	e.Source = d.str()
	e.Changed = keep(d.texts(), flags&flagChanged != 0)
	e.TTL = d.varint()
	e.Before, e.After = d.value(), d.value()
	if d.bad || len(d.rest) > 0 {
		return nil, errBinary
	}
	return e, nil
}

// keep returns list, or nil if it is not to be there.
func keep[T any](list []T, there bool) []T {
	if !there {
		return nil
	}
	return list
}

// binaryDecoder reads from bytes that are the event's own from then on: what
// it returns are parts of them. No event is changed once it was made, so texts
// may share them with byte slices.
type binaryDecoder struct {
	rest []byte
	bad  bool
}

func (d *binaryDecoder) varint() int64 {
	v, n := binary.Varint(d.rest)
	return v * int64(d.skip(n))
}

func (d *binaryDecoder) int() int { return int(d.varint()) }

// skip drops n bytes. It returns 1, or 0 if the input is wrong.
func (d *binaryDecoder) skip(n int) int {
	if d.bad || n <= 0 {
		d.bad, d.rest = true, nil
		return 0
	}
	d.rest = d.rest[n:]
	return 1
}

// count reads a length of things that take at least size bytes each.
func (d *binaryDecoder) count(size int) int {
	v, n := binary.Uvarint(d.rest)
	if d.skip(n) == 0 || v > uint64(len(d.rest)/size) {
		d.bad, d.rest = true, nil
		return 0
	}
	return int(v)
}

func (d *binaryDecoder) text() []byte {
	n := d.count(1)
	s := d.rest[:n:n]
	d.rest = d.rest[n:]
	return s
}

func (d *binaryDecoder) str() string {
	s := d.text()
	return unsafe.String(unsafe.SliceData(s), len(s))
}

func (d *binaryDecoder) texts() [][]byte {
	list := make([][]byte, d.count(1))
	for i := range list {
		list[i] = d.text()
	}
	return list
}

func (d *binaryDecoder) value() Value {
	typ := d.str()
	switch typ {
	case "":
		return nil
	case None.Type():
		return None
	}
	c := &copied{typ: typ, cut: d.int() != 0, size: d.int()}
	if typ == "string" {
		c.text = d.text()
		return c
	}
	for range d.count(11) {
		el := Element{Name: d.str(), Value: d.str()}
		if len(d.rest) < 8 {
			d.bad = true
			return nil
		}
		el.Score = math.Float64frombits(binary.BigEndian.Uint64(d.rest))
		d.rest = d.rest[8:]
		for _, f := range d.texts() {
			el.Fields = append(el.Fields, string(f))
		}
		c.elements = append(c.elements, el)
	}
	c.index()
	return c
}
