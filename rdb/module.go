package rdb

import (
	"encoding/binary"
	"math"
	"strconv"
)

// Part is one thing that a module wrote of its value.
type Part struct {
	Type   PartType
	Int    int64   // PartInt
	Uint   uint64  // PartUint
	Float  float64 // PartFloat, PartDouble; may be NaN or infinite
	String []byte  // PartString; valid as long as the Element, or with a Value the caller's
}

// PartType tells which field of a Part is set.
type PartType uint8

// The types of parts (rdb.h).
const (
	PartInt    PartType = modSInt
	PartUint   PartType = modUInt
	PartFloat  PartType = modFloat // of 32 bits
	PartDouble PartType = modDouble
	PartString PartType = modString
)

// module reads a module's value: which module, and what it wrote.
func (r *Reader) module(yield yieldFunc) error {
	id, err := r.in.length()
	if err != nil {
		return err
	}
	el := &r.el
	r.texts = appendModuleName(r.texts[:0], id)
	el.Kind, el.Member, el.Count = KindModule, r.texts[:len(r.texts):len(r.texts)], int64(id&(1<<10-1))
	for yield(el, nil) {
		op, err := r.in.length()
		if err != nil || op == modEOF {
			return err
		}
		el.Kind = KindModulePart
		if el.Part, err = r.modulePart(op); err != nil {
			if err = r.pass(err); err == nil {
				err = r.skipModuleParts()
			}
			return err
		}
	}
	return r.stop(r.skipModuleParts())
}

// appendModuleName appends the name in a module's ID: nine characters of six
// bits each, above ten bits of version (module.c).
func appendModuleName(dst []byte, id uint64) []byte {
	const charset = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	for shift := 58; shift >= 10; shift -= 6 {
		dst = append(dst, charset[id>>shift&63])
	}
	return dst
}

func (r *Reader) modulePart(op uint64) (p Part, err error) {
	p.Type = PartType(op)
	switch op {
	case modSInt:
		u, err := r.in.length()
		p.Int = int64(u)
		return p, err
	case modUInt:
		p.Uint, err = r.in.length()
	case modFloat:
		b, err := r.in.next(4)
		if err != nil {
			return p, err
		}
		p.Float = float64(math.Float32frombits(binary.LittleEndian.Uint32(b)))
		return p, nil
	case modDouble:
		u, err := r.in.uint64le()
		p.Float = math.Float64frombits(u)
		return p, err
	case modString:
		p.String, err = r.in.str(0)
	default:
		err = r.in.fault("module opcode %d: %w", op, ErrUnknown)
	}
	return p, err
}

// How an array's element is stored (Redis 8.8).
const (
	arrayString = 0
	arrayInt    = 1 // 8 bytes
	arrayDouble = 2 // 8 bytes
	arrayShort  = 3 // a string that the server holds in a pointer
)

// arrayHead reads what precedes an array's elements: how many, and perhaps
// where the server was to insert next.
func (r *Reader) arrayHead() (n uint64, err error) {
	var hasNext uint64
	if err := r.lengths(&n, &hasNext); err != nil {
		return 0, err
	}
	if hasNext > 1 {
		return 0, r.in.fault("array with insert flag %d", hasNext)
	}
	return n, r.skipLengths(hasNext)
}

func (r *Reader) arrayTag() (uint64, error) {
	tag, err := r.in.length()
	if err == nil && tag > arrayShort {
		err = r.in.fault("array tag %d: %w", tag, ErrUnknown)
	}
	return tag, err
}

func (r *Reader) array(yield yieldFunc) error {
	n, err := r.arrayHead()
	if err != nil {
		return err
	}
	el := &r.el
	el.Kind = KindIndexed
	for ; n > 0; n-- {
		if el.Index, err = r.in.length(); err != nil {
			return err
		}
		tag, err := r.arrayTag()
		if err != nil {
			return err
		}
		if el.Member, err = r.arrayItem(tag); err != nil {
			return r.passItems(err, n-1)
		}
		if !yield(el, nil) {
			return r.stop(r.skipItems(n - 1))
		}
	}
	return nil
}

func (r *Reader) arrayItem(tag uint64) ([]byte, error) {
	if tag == arrayString || tag == arrayShort {
		return r.in.str(0)
	}
	u, err := r.in.uint64le()
	if err != nil {
		return nil, err
	}
	if tag == arrayInt {
		return r.text(0, int64(u)), nil
	}
	f := math.Float64frombits(u)
	b := strconv.AppendFloat(r.in.slots[0].num[:0], f, 'g', -1, 64)
	if f == math.Trunc(f) && !math.IsInf(f, 0) && math.Abs(f) < 1e15 {
		// Only what was written with a point is stored as a double.
		b = append(strconv.AppendFloat(b[:0], f, 'f', -1, 64), ".0"...)
	}
	return b, nil
}
