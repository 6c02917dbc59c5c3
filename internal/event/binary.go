package event

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"triggerd/internal/wire"
)

// The binary form of an event, in which it waits to be delivered. Texts are
// their length as a uvarint and their bytes, integers are varints:
//
//	version (1) flags name origin cause db key type command args… seconds nanoseconds bytes replid
//	offset index tx.id tx.index tx.size source changed… ttl before after [part.index part.size]
//
// The version is 2 if there is a part, so that a triggerd that knows none does
// not take the event for another one.
//
// A list is its length and its elements. A value is its type ("" for one that
// is not known), whether it is cut, its length, and a string's text or its
// elements.
const (
	binaryVersion     = 1
	binaryPartVersion = 2
)

const (
	flagKey     = 1 << iota // there is a key
	flagChanged             // there is a list of what changed
	flagArgs                // there is a list of arguments
	flagCut                 // the list of arguments, or of what changed, was cut
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
	if e.Cut {
		flags |= flagCut
	}
	version := byte(binaryVersion)
	if e.Part != (Part{}) {
		version = binaryPartVersion
	}
	dst = append(dst, version, flags)
	dst = wire.AppendText(dst, e.Name)
	dst = wire.AppendText(dst, e.Origin)
	dst = wire.AppendText(dst, e.Cause)
	dst = putInt(dst, e.DB)
	dst = wire.AppendText(dst, e.Key)
	dst = wire.AppendText(dst, e.Type)
	dst = wire.AppendText(dst, e.Command)
	dst = putTexts(dst, e.Args)
	dst = wire.AppendTime(dst, e.Time)
	dst = putInt(dst, e.Bytes)
	dst = wire.AppendText(dst, e.ReplID)
	dst = binary.AppendVarint(dst, e.Offset)
	dst = putInt(dst, e.Index)
	dst = wire.AppendText(dst, e.Tx.ID)
	dst = putInt(dst, e.Tx.Index)
	dst = putInt(dst, e.Tx.Size)
	dst = wire.AppendText(dst, e.Source)
	dst = putTexts(dst, e.Changed)
	dst = binary.AppendVarint(dst, e.TTL)
	dst = putValue(dst, e.Before)
	dst = putValue(dst, e.After)
	if version == binaryPartVersion {
		dst = putInt(putInt(dst, e.Part.Index), e.Part.Size)
	}
	return dst
}

func putInt(dst []byte, n int) []byte { return binary.AppendVarint(dst, int64(n)) }

func putTexts[T ~string | ~[]byte](dst []byte, list []T) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(list)))
	for _, s := range list {
		dst = wire.AppendText(dst, s)
	}
	return dst
}

func putValue(dst []byte, v Value) []byte {
	if v == nil {
		return wire.AppendText(dst, "")
	}
	dst = wire.AppendText(dst, v.Type())
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
		return wire.AppendText(dst, v.Bytes())
	}
	n := 0
	for range v.All() {
		n++
	}
	dst = binary.AppendUvarint(dst, uint64(n))
	for el := range v.All() {
		dst = wire.AppendText(dst, el.Name)
		dst = wire.AppendText(dst, el.Value)
		dst = binary.BigEndian.AppendUint64(dst, math.Float64bits(el.Score))
		dst = putTexts(dst, el.Fields)
	}
	return dst
}

var errBinary = errors.New("not an event's binary form")

// ParseBinary reads what AppendBinary wrote. The event owns its bytes.
func ParseBinary(b []byte) (*Event, error) { return ParseShared(bytes.Clone(b)) }

// ParseShared does the same without a copy: the event keeps b, which may not
// change any more.
func ParseShared(b []byte) (*Event, error) {
	if len(b) < 2 {
		return nil, errBinary
	}
	if b[0] != binaryVersion && b[0] != binaryPartVersion {
		return nil, fmt.Errorf("%w of this version: %d, want %d at most", errBinary, b[0], binaryPartVersion)
	}
	d := binaryDecoder{wire.NewCursor(b[2:])}
	flags := b[1]
	e := &Event{Name: d.SharedText(), Origin: Origin(d.SharedText()), Cause: Cause(d.SharedText()), DB: d.Int(), Cut: flags&flagCut != 0}
	e.Key = keep(d.Bytes(), flags&flagKey != 0)
	e.Type, e.Command = d.SharedText(), d.SharedText()
	e.Args = keep(d.texts(), flags&flagArgs != 0)
	e.Time = d.Time()
	e.Bytes, e.ReplID, e.Offset, e.Index = d.Int(), d.SharedText(), d.Varint(), d.Int()
	e.Tx = Tx{ID: d.SharedText(), Index: d.Int(), Size: d.Int()}
	e.Source = d.SharedText()
	e.Changed = keep(d.texts(), flags&flagChanged != 0)
	e.TTL = d.Varint()
	e.Before, e.After = d.value(), d.value()
	if b[0] == binaryPartVersion {
		e.Part = Part{Index: d.Int(), Size: d.Int()}
	}
	if err := d.End(); err != nil {
		return nil, fmt.Errorf("%w: %w", errBinary, err)
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
type binaryDecoder struct{ wire.Cursor }

func (d *binaryDecoder) texts() [][]byte {
	list := make([][]byte, d.Count(1))
	for i := range list {
		list[i] = d.Bytes()
	}
	return list
}

func (d *binaryDecoder) value() Value {
	typ := d.SharedText()
	switch typ {
	case "":
		return nil
	case None.Type():
		return None
	}
	c := &copied{typ: typ, cut: d.Int() != 0, size: d.Int()}
	if typ == "string" {
		c.text = d.Bytes()
		return c
	}
	for range d.Count(11) {
		el := Element{Name: d.SharedText(), Value: d.SharedText()}
		el.Score = math.Float64frombits(d.Uint64())
		for _, f := range d.texts() {
			el.Fields = append(el.Fields, string(f))
		}
		c.elements = append(c.elements, el)
	}
	return c
}
