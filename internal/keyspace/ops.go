package keyspace

import (
	"encoding/binary"
	"errors"
	"math"
	"math/bits"
	"slices"

	"triggerd/internal/wire"
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
	opBury                           // hash: a field that is past its deadline is not there
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
	opGroup: {0, 1}, opNoGroup: {0, 1}, opConsumer: {0, 2}, opNoConsumer: {0, 2}, opBury: {0, 1},
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
		dst = wire.AppendText(dst, t)
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

// readOp reads an op into o, whose texts are used again.
func readOp(in *wire.Cursor, o *operation) error {
	o.code, o.numbers, o.texts = opcode(in.Byte()), [2]uint64{}, o.texts[:0]
	if o.code == 0 || o.code >= numOps {
		return errOps
	}
	shape := shapes[o.code]
	for i := range shape.numbers {
		o.numbers[i] = in.Uvarint()
	}
	count := shape.texts
	if count == many {
		count = in.Count(1)
	}
	for range count {
		o.texts = append(o.texts, in.Text())
	}
	if in.Err() != nil {
		return errOps
	}
	return nil
}

// do makes the value what it is after the op. room is how many bytes of memory
// it may grow by: errLimit if that is not enough.
func (v *value) do(o *operation, u *undo, room int64) error {
	ok := false
	switch {
	case v.elements != nil:
		ok = v.elements.do(o, u)
	case o.code == opZeros && o.numbers[0] <= longestText && o.numbers[0] > uint64(max(room, 0)):
		return errLimit
	default:
		ok = v.kind == kindString && v.doText(o)
	}
	if !ok {
		return errOps
	}
	return nil
}

func (v *value) doText(o *operation) bool {
	n := o.numbers[0]
	switch o.code {
	case opAppend:
		v.text = append(v.text, o.texts[0]...)
	case opZeros:
		if n > longestText {
			return false
		}
		v.text = append(v.text, make([]byte, n)...)
	case opSplice:
		if gone := o.numbers[1]; n > uint64(len(v.text)) || gone > uint64(len(v.text))-n {
			return false
		}
		v.text = slices.Replace(v.text, int(n), int(n+o.numbers[1]), []byte(o.texts[0])...)
	default:
		return false
	}
	return true
}

// textPart is how much of a long string is in one op.
const textPart = 256 << 10

// appendOps appends the ops that make the value. Between two of them it calls
// full with what there is, and goes on with what that returns.
func (v *value) appendOps(dst []byte, full func([]byte) []byte) []byte {
	if v.elements != nil {
		return v.elements.appendOps(dst, full)
	}
	for part := range slices.Chunk(v.text, textPart) {
		dst = full(appendOp(dst, opAppend, 0, 0, part))
	}
	return dst
}

// scoreBits is a score as a number of which small ones take few bytes.
func scoreBits(score float64) uint64 { return bits.ReverseBytes64(math.Float64bits(score)) }

func scoreOf(n uint64) float64 { return math.Float64frombits(bits.ReverseBytes64(n)) }
