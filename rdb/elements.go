package rdb

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"iter"
	"math"
	"slices"
	"strconv"
)

// Kind tells which fields of an Element are set.
type Kind uint8

// The kinds, and where they occur. A stream's elements come in the order of the
// file: entries, then KindStreamInfo, then each group with its pending entries,
// its consumers and each consumer's pending entries.
const (
	// KindItem: a string's value, a list's item or a set's member, in Member.
	KindItem Kind = iota + 1
	// KindScored: a zset's member, in Member and Score.
	KindScored
	// KindField: a hash's field, in Member, Value and ExpireAt.
	KindField
	// KindIndexed: an array's element, in Index and Member.
	KindIndexed
	// KindStreamEntry: an entry of a stream, in ID and Fields.
	KindStreamEntry
	// KindStreamInfo: what is known of the whole stream, in Info.
	KindStreamInfo
	// KindGroup: a consumer group, in Member (name), ID (last delivered) and
	// Count (entries read, -1 if not known).
	KindGroup
	// KindPending: an entry that the group delivered and nobody acknowledged,
	// in ID, Time (of the last delivery, ms) and Count (deliveries).
	KindPending
	// KindConsumer: a consumer of the group, in Member (name), Time (last
	// attempt to read, ms) and Active (last successful one, ms; 0 if not known).
	KindConsumer
	// KindConsumerPending: one of the group's pending entries, in ID, that is
	// the consumer's.
	KindConsumerPending
	// KindGroupNacked: one of the group's pending entries, in ID, that has no
	// consumer (Redis 8.8).
	KindGroupNacked
	// KindProducer: an idempotent producer of the stream (Redis 8.6), in Member.
	// Producers come after the groups.
	KindProducer
	// KindProduced: what the producer sent: its own ID of it in Member, the
	// entry it became in ID.
	KindProduced
	// KindProducers: the end of a stream that can have producers, in Info, of
	// which what concerns producers is known now.
	KindProducers
	// KindModule: the module's type name in Member and the version of its
	// encoding in Count. Its value follows as parts.
	KindModule
	// KindModulePart: one thing that the module wrote, in Part.
	KindModulePart
)

// Element is one element of a value. It belongs to the Reader and, with all its
// slices, is valid until the loop goes on.
type Element struct {
	Kind Kind
	// Member is the main text; which, Kind tells.
	Member []byte
	// Value is the value of a hash's field.
	Value []byte
	// Score is never NaN.
	Score float64
	// ExpireAt is when a hash's field expires, in milliseconds since 1970; 0:
	// never, or not before the key does.
	ExpireAt int64
	// Index is the place of an array's element.
	Index uint64
	// ID is that of a stream's entry.
	ID StreamID
	// Fields are a stream entry's: field, value, field, value, ... A field may
	// be there more than once. More than 524,288 fields are an ErrLimit.
	Fields [][]byte
	// Info is set for KindStreamInfo and KindProducers.
	Info *StreamInfo
	// Count, Time and Active are numbers of groups, pending entries and
	// consumers.
	Count, Time, Active int64
	// Part is set for KindModulePart.
	Part Part
}

// Clone returns a copy that owns its bytes.
func (el *Element) Clone() *Element {
	c := *el
	c.Member, c.Value, c.Part.String = bytes.Clone(el.Member), bytes.Clone(el.Value), bytes.Clone(el.Part.String)
	c.Fields = slices.Clone(el.Fields)
	for i, f := range c.Fields {
		c.Fields[i] = bytes.Clone(f)
	}
	if el.Info != nil {
		info := *el.Info
		c.Info = &info
	}
	return &c
}

// yieldFunc is the body of a loop over Elements.
type yieldFunc = func(*Element, error) bool

// Elements returns the elements of the current entry's value, read one by one
// as the loop goes, so that the memory does not grow with the collection. The
// order is the snapshot's. The sequence is single-use: the value is read from
// the input. A loop that ends early passes over the rest.
//
// An error comes last, with a nil Element. It is the Reader's last word too, but
// for an ErrLimit: a string in the value is larger than Limits.MaxString, the
// rest of the value is passed over, and the Reader can go on.
func (r *Reader) Elements() iter.Seq2[*Element, error] {
	// A function literal, not the method value r.elements: the compiler looks
	// through it, and the loop needs no memory.
	return func(yield func(*Element, error) bool) { r.elements(yield) }
}

// Bytes returns the value of the current entry, which has to be a string,
// valid until the next call of any method that reads. A string larger than
// Limits.MaxString is passed over; the error is an ErrLimit then and the Reader
// can go on.
func (r *Reader) Bytes() ([]byte, error) {
	if !r.unread || r.typ != typString {
		return nil, r.consumed()
	}
	r.unread, r.limit = false, nil
	r.in.maxString = r.Limits.maxString()
	b, err := r.in.str(0)
	if err = r.pass(err); err != nil {
		return nil, r.fail(err)
	}
	return b, r.limitErr()
}

// pass deals with the error of reading a string of the current value. One that
// is only too large is passed over, and noted: the loop over elements has ended,
// as if it wanted no more (see stop), and the rest is passed over too.
func (r *Reader) pass(err error) error {
	if err == nil || r.err != nil || !errors.Is(err, ErrLimit) {
		return err
	}
	n := r.in.over
	r.in.over = 0
	if skipErr := r.in.skip(n); errors.Is(skipErr, io.ErrUnexpectedEOF) {
		return r.fail(err) // the length was a lie
	} else if skipErr != nil {
		return skipErr
	}
	r.limit, r.stopped = err, true
	return nil
}

// passItems is pass for a string of the current value, which is stored element
// by element, where n elements follow.
func (r *Reader) passItems(err error, n uint64) error {
	if err = r.pass(err); err != nil {
		return err
	}
	return r.skipItems(n)
}

// limitErr returns the error that pass noted.
func (r *Reader) limitErr() error {
	syn, ok := r.limit.(*SyntaxError)
	if !ok {
		return r.limit
	}
	syn.Key = bytes.Clone(r.entry.Key)
	return syn
}

// consumed is the error of asking for a value that is not there.
func (r *Reader) consumed() error {
	if r.err != nil {
		return r.err
	}
	return ErrConsumed
}

func (r *Reader) elements(yield func(*Element, error) bool) {
	if !r.unread {
		yield(nil, r.consumed())
		return
	}
	r.unread, r.stopped, r.fieldsExpire, r.limit = false, false, false, nil
	r.in.maxString = r.Limits.maxString()
	err := r.pass(r.decode(yield))
	if err != nil {
		err = r.fail(err)
	} else if r.limit != nil {
		err = r.limitErr()
	}
	if ended := r.stopped && r.limit == nil; err != nil && !ended {
		yield(nil, err)
	}
}

// decode reads the current value. Every function below it that is given yield
// does the same: when yield wants no more, it notes that (see stop) and passes
// over the rest of what it was to read. yield is only ever given to a function
// that the compiler can see, so that the loop's body needs no memory.
func (r *Reader) decode(yield yieldFunc) error {
	switch r.typ {
	case typString:
		return r.strings(1, yield)
	case typListZiplist:
		return r.listZiplist(yield)
	case typZSetZiplist:
		return r.zsetZiplist(yield)
	case typHashZiplist:
		return r.hashZiplist(yield)
	case typSetIntset:
		return r.intset(yield)
	case typHashZipmap:
		return r.zipmap(yield)
	case typHashListpack:
		return r.hashListpack(yield)
	case typZSetListpack:
		return r.zsetListpack(yield)
	case typSetListpack:
		return r.listListpack(yield)
	case typHashListpackEx0, typHashListpackEx:
		return r.hashListpackEx(yield)
	case typStream, typStream2, typStream3, typStream4, typStream5:
		return r.stream(yield)
	case typModule2:
		return r.module(yield)
	case typArray:
		return r.array(yield)
	}
	return r.decodeCounted(yield)
}

// decodeCounted reads a value that is stored element by element, behind their
// number.
func (r *Reader) decodeCounted(yield yieldFunc) error {
	r.minimum = 0
	if r.typ == typHashMetadata {
		u, err := r.in.uint64le()
		if err != nil {
			return err
		}
		r.minimum = u
	}
	r.fieldsExpire = r.minimum != 0 || r.typ == typHash22
	n, err := r.count()
	if err != nil {
		return err
	}
	switch r.typ {
	case typList:
		return r.strings(n, yield)
	case typSet:
		return r.set(n, yield)
	case typListQuicklist:
		return r.quicklist(n, yield)
	case typListQuicklist2:
		return r.quicklist2(n, yield)
	case typHash:
		return r.hash(n, yield)
	case typZSet, typZSet2:
		return r.zset(n, yield)
	case typHash22:
		if r.valkey {
			return r.hashValkey(n, yield)
		}
		return r.hashMetadata(n, yield)
	case typHashMetadata:
		return r.hashMetadata(n, yield)
	}
	return r.in.fault("type %d: %w", r.typ, ErrUnknown)
}

// stop notes that the loop ended and returns what skipping the rest gave.
func (r *Reader) stop(err error) error {
	r.stopped = true
	return err
}

func (r *Reader) strings(n uint64, yield yieldFunc) error {
	el := &r.el
	el.Kind = KindItem
	for ; n > 0; n-- {
		s, err := r.in.str(0)
		if err != nil {
			return r.passItems(err, n-1)
		}
		el.Member = s
		if !yield(el, nil) {
			return r.stop(r.skipStrings(n - 1))
		}
	}
	return nil
}

func (r *Reader) set(n uint64, yield yieldFunc) error {
	el := &r.el
	el.Kind = KindItem
	r.beginMembers(n)
	for ; n > 0; n-- {
		start := r.in.offset()
		s, err := r.in.str(0)
		if err != nil {
			return r.passItems(err, n-1)
		}
		if r.addMember(0, s) {
			return r.twice("set member", s, start)
		}
		el.Member = s
		if !yield(el, nil) {
			return r.stop(r.skipStrings(n - 1))
		}
	}
	return nil
}

func (r *Reader) hash(n uint64, yield yieldFunc) error {
	el := &r.el
	el.Kind, el.ExpireAt = KindField, 0
	r.beginFields(n)
	for ; n > 0; n-- {
		start := r.in.offset()
		field, value, err := r.in.pair()
		if err != nil {
			return r.passItems(err, n-1)
		}
		if err := r.addField(field, value, start); err != nil {
			return err
		}
		el.Member, el.Value = field, value
		if !yield(el, nil) {
			return r.stop(r.skipItems(n - 1))
		}
	}
	return nil
}

// Up to these sizes a server that is not configured otherwise holds a hash in a
// listpack, in which Redis does not look for duplicates. It takes what is stored
// element by element into one, too, and leaves it, which shows the duplicates, at
// the first longer field or value. Valkey 9 looks for them always.
const (
	smallSet   = 128
	smallZSet  = 128
	smallHash  = 512
	smallField = 64
)

// beginFields begins to look for duplicates in a hash of n fields that is stored
// field by field.
func (r *Reader) beginFields(n uint64) {
	r.beginMembers(n)
	r.strict, r.firstTwice = r.valkey || n > smallHash, -1
}

// addField looks whether the field that begins at offset start is there twice.
// What a server holds in a listpack, and so takes, may be.
func (r *Reader) addField(field, value []byte, start int64) error {
	again := r.addMember(0, field)
	if !r.strict && (len(field) > smallField || len(value) > smallField) {
		r.strict = true
		if r.firstTwice >= 0 {
			return r.in.faultAt(r.firstTwice, "a hash's field is there twice")
		}
	}
	switch {
	case !again:
		return nil
	case r.strict:
		return r.twice("hash field", field, start)
	case r.firstTwice < 0:
		r.firstTwice = start
	}
	return nil
}

func (r *Reader) zset(n uint64, yield yieldFunc) error {
	el := &r.el
	el.Kind = KindScored
	r.beginMembers(n)
	for ; n > 0; n-- {
		start := r.in.offset()
		s, err := r.in.str(0)
		if err != nil {
			if err = r.pass(err); err == nil {
				_, err = r.score()
			}
			return r.passItems(err, n-1)
		}
		if el.Score, err = r.score(); err != nil {
			return err
		}
		if r.addMember(0, s) {
			return r.twice("zset member", s, start)
		}
		el.Member = s
		if !yield(el, nil) {
			return r.stop(r.skipItems(n - 1))
		}
	}
	return nil
}

func (r *Reader) score() (float64, error) {
	if r.typ == typZSet2 {
		return r.binaryScore()
	}
	return r.textScore()
}

func (r *Reader) binaryScore() (float64, error) {
	u, err := r.in.uint64le()
	f := math.Float64frombits(u)
	if f != f && err == nil {
		err = r.in.faultAt(r.in.offset()-8, "score is not a number")
	}
	return f, err
}

// hashMetadata reads fields with expiries: absolute, or, if the hash has the
// earliest of them in front, counted from one less than it. 0 is none.
func (r *Reader) hashMetadata(n uint64, yield yieldFunc) error {
	el := &r.el
	el.Kind = KindField
	r.beginFields(n)
	for ; n > 0; n-- {
		at := r.in.offset()
		expiry, err := r.in.length()
		if err != nil {
			return err
		}
		if el.ExpireAt, err = r.fieldExpiry(expiry, at); err != nil {
			return err
		}
		at = r.in.offset()
		field, value, err := r.in.pair()
		if err != nil {
			return r.passItems(err, n-1)
		}
		if err := r.addField(field, value, at); err != nil {
			return err
		}
		el.Member, el.Value = field, value
		if !yield(el, nil) {
			return r.stop(r.skipItems(n - 1))
		}
	}
	return nil
}

// maxFieldExpiry is the latest time that Redis can have for a hash's field. In a
// listpack it takes one more.
const maxFieldExpiry = 1<<48 - 1

// fieldExpiry returns the expiry that is stored as v at offset off; 0: none.
func (r *Reader) fieldExpiry(v uint64, off int64) (int64, error) {
	if v == 0 {
		return 0, nil
	}
	from := uint64(0)
	if r.typ == typHashMetadata {
		from, v = r.minimum, v-1
	}
	if from > maxFieldExpiry || v > maxFieldExpiry-from {
		return 0, r.in.faultAt(off, "expiry of a hash's field is %d after %d", v, from)
	}
	return int64(max(1, from+v)), nil // 1970 is as long past as its first millisecond
}

// hashValkey reads fields with expiries as Valkey has them: after the value,
// -1 is none.
func (r *Reader) hashValkey(n uint64, yield yieldFunc) error {
	el := &r.el
	el.Kind = KindField
	r.beginMembers(n)
	for ; n > 0; n-- {
		start := r.in.offset()
		field, value, err := r.in.pair()
		if err != nil {
			if err = r.pass(err); err == nil {
				err = r.in.skip(8)
			}
			return r.passItems(err, n-1)
		}
		at := r.in.offset()
		u, err := r.in.uint64le()
		if err != nil {
			return err
		}
		switch expiry := int64(u); {
		case expiry < -1:
			return r.in.faultAt(at, "expiry of a hash's field is %d", expiry)
		case expiry == -1:
			el.ExpireAt = 0
		default:
			el.ExpireAt = max(1, expiry) // 1970 is as long past as its first millisecond
		}
		if r.addMember(0, field) {
			return r.twice("hash field", field, start)
		}
		el.Member, el.Value = field, value
		if !yield(el, nil) {
			return r.stop(r.skipItems(n - 1))
		}
	}
	return nil
}

// quicklist reads n ziplists.
func (r *Reader) quicklist(n uint64, yield yieldFunc) error {
	for ; n > 0; n-- {
		if err := r.pass(r.listZiplist(yield)); err != nil {
			return err
		}
		if r.stopped {
			return r.skipItems(n - 1)
		}
	}
	return nil
}

// The containers of a quicklist's node.
const (
	nodePlain  = 1 // one item
	nodePacked = 2 // a listpack
)

// quicklist2 reads n nodes, each an item or a listpack.
func (r *Reader) quicklist2(n uint64, yield yieldFunc) error {
	for ; n > 0; n-- {
		container, err := r.in.length()
		if err != nil {
			return err
		}
		switch container {
		case nodePlain:
			err = r.plainNode(yield)
		case nodePacked:
			err = r.pass(r.listListpack(yield))
		default:
			err = r.in.fault("quicklist container %d: %w", container, ErrUnknown)
		}
		if err != nil {
			return err
		}
		if r.stopped {
			return r.skipItems(n - 1)
		}
	}
	return nil
}

// plainNode reads an item that is a node by itself.
func (r *Reader) plainNode(yield yieldFunc) error {
	s, err := r.in.str(0)
	if err != nil {
		return r.pass(err)
	}
	if len(s) == 0 {
		return r.in.fault("quicklist node of one item, which is empty")
	}
	r.el.Kind, r.el.Member = KindItem, s
	if !yield(&r.el, nil) {
		return r.stop(nil)
	}
	return nil
}

// compact is a string that is a structure of its own.
type compact struct {
	b          []byte
	start, end int64 // offsets of it in the input, with its length, and behind it
}

// compact reads the string of a compact structure called what, of at least
// least bytes.
func (r *Reader) compact(what string, least int) (compact, error) {
	start := r.in.offset()
	b, err := r.in.str(0)
	if err == nil && len(b) < least {
		err = r.in.faultAt(start, "%s of %d bytes", what, len(b))
	}
	return compact{b, start, r.in.offset()}, err
}

// compactFault makes the error for a fault at c.b[i].
func (r *Reader) compactFault(c compact, i int, format string, args ...any) error {
	at := c.end - int64(len(c.b)) + int64(i)
	switch {
	case c.end-r.in.packedLen == r.in.packedAt: // it was compressed
		at = r.in.packedAt
	case c.end-int64(len(c.b)) <= c.start: // it was an integer
		at = c.start
	}
	return r.in.faultAt(at, format, args...)
}

// text returns v as text, in the memory of slot i.
func (r *Reader) text(i int, v int64) []byte {
	b := strconv.AppendInt(r.in.slots[i].num[:0], v, 10)
	return b[:len(b):len(b)]
}

// intset reads a set of integers: their size, how many, and they themselves,
// in ascending order.
func (r *Reader) intset(yield yieldFunc) error {
	c, err := r.compact("intset", 8)
	if err != nil {
		return err
	}
	size := uint64(binary.LittleEndian.Uint32(c.b))
	n := uint64(binary.LittleEndian.Uint32(c.b[4:]))
	if size != 2 && size != 4 && size != 8 {
		return r.compactFault(c, 0, "intset of integers of %d bytes", size)
	}
	if 8+n*size != uint64(len(c.b)) {
		return r.compactFault(c, 4, "intset of %d integers of %d bytes in %d bytes", n, size, len(c.b))
	}
	if n == 0 {
		return r.compactFault(c, 4, "intset of no integers")
	}
	el := &r.el
	el.Kind = KindItem
	last := int64(math.MinInt64)
	for i := 8; i < len(c.b); i += int(size) {
		var v int64
		switch size {
		case 2:
			v = int64(int16(binary.LittleEndian.Uint16(c.b[i:])))
		case 4:
			v = int64(int32(binary.LittleEndian.Uint32(c.b[i:])))
		default:
			v = int64(binary.LittleEndian.Uint64(c.b[i:]))
		}
		if i > 8 && v <= last {
			return r.compactFault(c, i, "intset not in ascending order: %d after %d", v, last)
		}
		last = v
		el.Member = r.text(0, v)
		if !yield(el, nil) {
			return r.stop(nil)
		}
	}
	return nil
}
