package keyspace

import (
	"encoding/binary"
	"errors"
	"math"
	"math/bits"
	"slices"

	"triggerd/rdb"
)

// opcode says what is done to an element of a value. The journal keeps a value as
// the operations that make it, followed by those that changed it.
type opcode uint8

const (
	opAppend       opcode = iota + 1 // string: the text follows what is there
	opZeros                          // string: so many zero bytes follow
	opSplice                         // string: from an offset on the text, in place of so many bytes
	opPushFront                      // list: the item
	opPushBack                       // list
	opPopFront                       // list: so many items
	opPopBack                        // list
	opSetAt                          // list: at an index the item
	opInsertBefore                   // list: before a pivot an item
	opInsertAfter                    // list
	opRemoveItem                     // list: as LREM counts, of an item
	opAdd                            // set: the member
	opDelete                         // set, hash, zset: the member or field
	opField                          // hash: field, value
	opExpireAt                       // hash: the deadline, 0 for none, of a field
	opScore                          // zset: the score's bits, the member
	opEntry                          // stream: ID, fields and values
	opLastID                         // stream: the ID of the last entry ever
	opTrim                           // stream: the first so many entries go
	opDeleteID                       // stream: an entry
	opGroup                          // stream: a group is made,
	opNoGroup                        // removed;
	opConsumer                       // a consumer of a group is made,
	opNoConsumer                     // removed
	numOps
)

// many is a number of texts that is written in front of them.
const many = -1

// shapes is what follows an op: numbers, then texts.
var shapes = [numOps]struct{ numbers, texts int }{
	opAppend: {0, 1}, opZeros: {1, 0}, opSplice: {2, 1},
	opPushFront: {0, 1}, opPushBack: {0, 1}, opPopFront: {1, 0}, opPopBack: {1, 0},
	opSetAt: {1, 1}, opInsertBefore: {0, 2}, opInsertAfter: {0, 2}, opRemoveItem: {1, 1},
	opAdd: {0, 1}, opDelete: {0, 1}, opField: {0, 2}, opExpireAt: {1, 1}, opScore: {1, 1},
	opEntry: {2, many}, opLastID: {2, 0}, opTrim: {1, 0}, opDeleteID: {2, 0},
	opGroup: {0, 1}, opNoGroup: {0, 1}, opConsumer: {0, 2}, opNoConsumer: {0, 2},
}

// appendOp appends an op; of the numbers only as many as its shape has.
func appendOp[T string | []byte](dst []byte, code opcode, a, b uint64, texts ...T) []byte {
	shape := shapes[code]
	dst = append(dst, byte(code))
	if shape.numbers > 0 {
		dst = binary.AppendUvarint(dst, a)
	}
	if shape.numbers > 1 {
		dst = binary.AppendUvarint(dst, b)
	}
	if shape.texts == many {
		dst = binary.AppendUvarint(dst, uint64(len(texts)))
	}
	for _, t := range texts {
		dst = binary.AppendUvarint(dst, uint64(len(t)))
		dst = append(dst, t...)
	}
	return dst
}

// log notes a change for the journal. Callers ask u.logs first.
func (u *undo) log(code opcode, a, b uint64, texts ...string) {
	u.ops = appendOp(u.ops, code, a, b, texts...)
}

// operation is an op that was read.
type operation struct {
	code    opcode
	numbers [2]uint64
	texts   []string
}

var errOps = errors.New("the changes of a value are damaged")

// readOp reads the first of ops into o, whose texts are used again, and returns
// the rest.
func readOp(ops []byte, o *operation) ([]byte, error) {
	if ops[0] == 0 || opcode(ops[0]) >= numOps {
		return nil, errOps
	}
	o.code, o.numbers, o.texts = opcode(ops[0]), [2]uint64{}, o.texts[:0]
	ops = ops[1:]
	ok := true
	number := func() (n uint64) {
		n, ops, ok = cutNumber(ops, ok)
		return n
	}
	shape := shapes[o.code]
	for i := range shape.numbers {
		o.numbers[i] = number()
	}
	count := uint64(max(shape.texts, 0))
	if shape.texts == many {
		count = number()
	}
	for ; ok && count > 0; count-- {
		n := number()
		if !ok || n > uint64(len(ops)) {
			return nil, errOps
		}
		o.texts = append(o.texts, string(ops[:n]))
		ops = ops[n:]
	}
	if !ok {
		return nil, errOps
	}
	return ops, nil
}

// cutNumber takes a number off the front of b; not if ok is false already.
func cutNumber(b []byte, ok bool) (n uint64, rest []byte, _ bool) {
	n, size := binary.Uvarint(b)
	if !ok || size <= 0 {
		return 0, b, false
	}
	return n, b[size:], true
}

// do makes the item's value what it is after the op. room is how many bytes of
// memory it may grow by: errLimit if that is not enough.
func (it *item) do(o *operation, u *undo, room int64) error {
	ok := false
	switch obj := it.obj.(type) {
	case nil:
		if n := o.numbers[0]; o.code == opZeros && n <= longestText && n > uint64(max(room, 0)) {
			return errLimit
		}
		ok = it.kind == kindString && it.doText(o)
	case *list:
		ok = obj.do(o, u)
	case *set:
		ok = obj.do(o, u)
	case *hash:
		ok = obj.do(o, u)
	case *zset:
		ok = obj.do(o, u)
	case *stream:
		ok = obj.do(o, u)
	}
	if !ok {
		return errOps
	}
	return nil
}

func (it *item) doText(o *operation) bool {
	n := o.numbers[0]
	switch o.code {
	case opAppend:
		it.text = append(it.text, o.texts[0]...)
	case opZeros:
		if n > longestText {
			return false
		}
		it.text = append(it.text, make([]byte, n)...)
	case opSplice:
		if gone := o.numbers[1]; n > uint64(len(it.text)) || gone > uint64(len(it.text))-n {
			return false
		}
		it.text = slices.Replace(it.text, int(n), int(n+o.numbers[1]), []byte(o.texts[0])...)
	default:
		return false
	}
	return true
}

func (l *list) do(o *operation, u *undo) bool {
	n := o.numbers[0]
	switch o.code {
	case opPushFront, opPushBack:
		l.push(u, o.code == opPushFront, o.texts[0])
	case opPopFront, opPopBack:
		if n > uint64(l.n) {
			return false
		}
		l.pop(u, o.code == opPopFront, int(n))
	case opSetAt:
		return l.setAt(u, int64(n), o.texts[0])
	case opInsertBefore, opInsertAfter:
		return l.insert(u, o.code == opInsertBefore, o.texts[0], o.texts[1])
	case opRemoveItem:
		return l.remove(u, int64(n), o.texts[0])
	default:
		return false
	}
	return true
}

func (s *set) do(o *operation, u *undo) bool {
	switch o.code {
	case opAdd:
		s.add(u, []byte(o.texts[0]))
	case opDelete:
		s.remove(u, []byte(o.texts[0]))
	default:
		return false
	}
	return true
}

func (h *hash) do(o *operation, u *undo) bool {
	name := []byte(o.texts[0])
	switch o.code {
	case opField:
		h.set(u, name, o.texts[1])
	case opDelete:
		h.remove(u, name)
	case opExpireAt:
		h.expire(u, name, int64(o.numbers[0]))
	default:
		return false
	}
	return true
}

func (z *zset) do(o *operation, u *undo) bool {
	switch o.code {
	case opScore:
		score := scoreOf(o.numbers[0])
		if score != score {
			return false
		}
		z.set(u, o.texts[0], score)
	case opDelete:
		z.remove(u, o.texts[0])
	default:
		return false
	}
	return true
}

func (s *stream) do(o *operation, u *undo) bool {
	id := rdb.StreamID{Ms: o.numbers[0], Seq: o.numbers[1]}
	switch o.code {
	case opEntry:
		return s.add(u, &entry{id, slices.Clone(o.texts)})
	case opLastID:
		s.last = id
	case opTrim:
		if o.numbers[0] > uint64(len(s.entries)) {
			return false
		}
		s.trim(u, int(o.numbers[0]))
	case opDeleteID:
		return s.remove(u, id)
	case opGroup:
		s.group(u, o.texts[0])
	case opNoGroup:
		s.forget(u, o.texts[0])
	case opConsumer:
		s.consumer(u, o.texts[0], o.texts[1])
	case opNoConsumer:
		s.leave(u, o.texts[0], o.texts[1])
	default:
		return false
	}
	return true
}

// textPart is how much of a long string is in one op.
const textPart = 256 << 10

// appendValue appends the ops that make the item's value. Between two of them
// it calls full with what there is, and goes on with what that returns.
func (it *item) appendValue(dst []byte, full func([]byte) []byte) []byte {
	switch o := it.obj.(type) {
	case nil:
		for part := range slices.Chunk(it.text, textPart) {
			dst = full(appendOp(dst, opAppend, 0, 0, part))
		}
	case *list:
		for i := range o.n {
			dst = full(appendOp(dst, opPushBack, 0, 0, o.at(i)))
		}
	case *set:
		for m := range o.members {
			dst = full(appendOp(dst, opAdd, 0, 0, m))
		}
	case *hash:
		for f, value := range o.fields {
			dst = full(appendOp(dst, opField, 0, 0, f, value))
		}
		for f, at := range o.expires {
			dst = full(appendOp(dst, opExpireAt, uint64(at), 0, f))
		}
	case *zset:
		o.order.Scan(func(s scored) bool {
			dst = full(appendOp(dst, opScore, scoreBits(s.score), 0, s.member))
			return true
		})
	case *stream:
		for _, e := range o.entries {
			dst = full(appendOp(dst, opEntry, e.id.Ms, e.id.Seq, e.fields...))
		}
		for name, consumers := range o.groups {
			dst = full(appendOp(dst, opGroup, 0, 0, name))
			for c := range consumers {
				dst = full(appendOp(dst, opConsumer, 0, 0, name, c))
			}
		}
		dst = full(appendOp[string](dst, opLastID, o.last.Ms, o.last.Seq))
	}
	return dst
}

// scoreBits is a score as a number of which small ones take few bytes.
func scoreBits(score float64) uint64 { return bits.ReverseBytes64(math.Float64bits(score)) }

func scoreOf(n uint64) float64 { return math.Float64frombits(bits.ReverseBytes64(n)) }
