package rdb

import (
	"encoding/base64"
	"encoding/binary"
	"io"
	"math"
	"math/bits"
	"strconv"
	"unicode/utf8"
)

// JSONWriter writes keys as JSON, one object on a line:
//
//	{"db":0,"key":B,"type":"hash","encoding":"listpack","expire_ms":null,"value":V}
//
// B is a string, or {"$base64":"..."} where the bytes are not UTF-8. V is
//
//	string  B
//	list    [B,...]                    and so for a set
//	hash    [[field,value],...]        and, in a hash some of whose fields
//	                                   expire, [field,value,ms or null]
//	zset    [[member,"score"],...]     score as strtod reads it; "inf", "-inf"
//	array   [[index,B],...]
//	module  {"module":name,"version":n,"parts":[...]}   parts are numbers and B;
//	                                   a number that JSON has no form for is "nan", "inf" or "-inf"
//	stream  {"entries":[{"id":"ms-seq","fields":[[B,B],...]},...],
//	         "length":n,"last_id":"ms-seq",
//	         "first_id":"ms-seq","max_deleted_id":"ms-seq","entries_added":n,   null before Redis 7.0
//	         "groups":[{"name":B,"last_id":"ms-seq","entries_read":n or null,
//	           "pending":[{"id":"ms-seq","delivered_ms":n,"deliveries":n},...],
//	           "consumers":[{"name":B,"seen_ms":n,"active_ms":n or null,"pending":["ms-seq",...]},...],
//	           "nacked":["ms-seq",...]},...],                                    from Redis 8.8 on
//	         "idmp":{"producers":[{"id":B,"sent":[{"iid":B,"id":"ms-seq"},...]},...],
//	           "duration":n,"max":n,"added":n,"duplicates":n}}                   from Redis 8.6 on
//
// Values are written element by element as they are read: the memory needed is
// a buffer and the largest element's text.
type JSONWriter struct {
	// NoValues leaves "value" out; values are passed over then.
	NoValues bool

	w    io.Writer
	buf  []byte
	line int   // where in buf the line begins; -1: before it
	err  error // of a write in the middle of a string
}

// NewJSONWriter returns a JSONWriter that writes to w. It gathers what it
// writes: call Flush at the end.
func NewJSONWriter(w io.Writer) *JSONWriter {
	return &JSONWriter{w: w, buf: make([]byte, 0, jsonBuffer+jsonBuffer/4)}
}

// jsonBuffer is how much is gathered before it is written.
const jsonBuffer = 64 << 10

// Write writes the key that r is at, and reads its value. The error is r's, as
// of Elements, or w's. After an error of r's the line is taken back, as far as
// it was not written to w yet.
func (j *JSONWriter) Write(r *Reader) error {
	j.line = len(j.buf)
	err := j.write(r)
	if err != nil && j.line >= 0 {
		j.buf = j.buf[:j.line]
	}
	return err
}

func (j *JSONWriter) write(r *Reader) error {
	e := &r.entry
	b := append(j.buf, `{"db":`...)
	b = strconv.AppendInt(b, int64(e.DB), 10)
	b = append(b, `,"key":`...)
	b = appendBytes(b, e.Key)
	b = append(b, `,"type":"`...)
	b = append(b, e.Type.String()...)
	b = append(b, `","encoding":"`...)
	b = append(b, e.Encoding.String()...)
	b = append(b, `","expire_ms":`...)
	b = appendOrNull(b, e.ExpireAt, e.ExpireAt != 0)
	j.buf = b
	if !j.NoValues {
		j.buf = append(j.buf, `,"value":`...)
		if err := j.value(r); err != nil {
			return err
		}
	}
	j.buf = append(j.buf, "}\n"...)
	return j.flushAt(jsonBuffer)
}

// Flush writes what was gathered.
func (j *JSONWriter) Flush() error { return j.flushAt(1) }

// flushAt writes what was gathered if that is at least n bytes.
func (j *JSONWriter) flushAt(n int) error {
	if j.err != nil {
		err := j.err
		j.err = nil
		return err
	}
	if len(j.buf) < n {
		return nil
	}
	_, err := j.w.Write(j.buf)
	j.line = -1
	j.buf = scratch(j.buf, 0)
	if cap(j.buf) == 0 {
		j.buf = make([]byte, 0, jsonBuffer+jsonBuffer/4)
	}
	return err
}

func (j *JSONWriter) value(r *Reader) error {
	switch r.entry.Type {
	case TypeString:
		s, err := r.Bytes()
		if err == nil {
			j.buf = j.text(j.buf, s)
		}
		return err
	case TypeStream:
		return j.stream(r)
	case TypeModule:
		return j.module(r)
	}
	return j.collection(r)
}

func (j *JSONWriter) collection(r *Reader) error {
	j.buf = append(j.buf, '[')
	first := true
	for el, err := range r.Elements() {
		if err != nil {
			return err
		}
		b := j.buf
		if !first {
			b = append(b, ',')
		}
		first = false
		switch el.Kind {
		case KindItem:
			b = j.text(b, el.Member)
		case KindScored:
			b = j.text(append(b, '['), el.Member)
			b = append(b, `,"`...)
			b = append(appendScore(b, el.Score), `"]`...)
		case KindField:
			b = j.text(append(b, '['), el.Member)
			b = j.text(append(b, ','), el.Value)
			if r.fieldsExpire {
				b = appendOrNull(append(b, ','), el.ExpireAt, el.ExpireAt != 0)
			}
			b = append(b, ']')
		case KindIndexed:
			b = strconv.AppendUint(append(b, '['), el.Index, 10)
			b = append(j.text(append(b, ','), el.Member), ']')
		}
		j.buf = b
		if len(b) >= jsonBuffer {
			if err := j.Flush(); err != nil {
				return err
			}
		}
	}
	j.buf = append(j.buf, ']')
	return nil
}

func (j *JSONWriter) module(r *Reader) error {
	first := true
	for el, err := range r.Elements() {
		if err != nil {
			return err
		}
		b := j.buf
		if el.Kind == KindModule {
			b = append(b, `{"module":`...)
			b = j.text(b, el.Member)
			b = append(b, `,"version":`...)
			b = strconv.AppendInt(b, el.Count, 10)
			b = append(b, `,"parts":[`...)
		} else {
			if !first {
				b = append(b, ',')
			}
			first = false
			b = j.part(b, &el.Part)
		}
		j.buf = b
		if err := j.flushAt(jsonBuffer); err != nil {
			return err
		}
	}
	j.buf = append(j.buf, "]}"...)
	return nil
}

func (j *JSONWriter) part(b []byte, p *Part) []byte {
	switch p.Type {
	case PartInt:
		return strconv.AppendInt(b, p.Int, 10)
	case PartUint:
		return strconv.AppendUint(b, p.Uint, 10)
	case PartString:
		return j.text(b, p.String)
	}
	if math.IsNaN(p.Float) {
		return append(b, `"nan"`...)
	}
	if math.IsInf(p.Float, 0) {
		return append(appendScore(append(b, '"'), p.Float), '"')
	}
	return appendScore(b, p.Float)
}

// text appends s to b, which is what was gathered. A long s is written in
// pieces, so that there is no second copy of it; an error waits for the next
// flush.
func (j *JSONWriter) text(b, s []byte) []byte {
	if len(s) <= jsonBuffer {
		return appendBytes(b, s)
	}
	const piece = jsonBuffer / 4 * 3 // a multiple of 3, for base64
	isText := utf8.Valid(s)
	if isText {
		b = append(b, '"')
	} else {
		b = append(b, `{"$base64":"`...)
	}
	for ; len(s) > 0 && j.err == nil; s = s[min(len(s), piece):] {
		if p := s[:min(len(s), piece)]; isText {
			b = appendText(b, p, plainText(p))
		} else {
			b = base64.StdEncoding.AppendEncode(b, p)
		}
		j.buf = b
		j.err = j.flushAt(jsonBuffer)
		b = j.buf
	}
	if isText {
		return append(b, '"')
	}
	return append(b, `"}`...)
}

// jsonLevel is an array that is open while a stream is written.
type jsonLevel uint8

const (
	inEntries   jsonLevel = iota // "entries":[
	inInfo                       // all of the stream's own fields, up to "groups":[
	inGroup                      // a group, up to "pending":[
	inConsumers                  // "consumers":[
	inConsumer                   // a consumer, up to "pending":[
	inNacked                     // "nacked":[
	inProducers                  // "idmp":{"producers":[
	inProducer                   // a producer, up to "sent":[
	atEnd                        // all of the stream but its last brace
)

// stream writes a stream, whose elements come flat, as nested objects.
func (j *JSONWriter) stream(r *Reader) error {
	j.buf = append(j.buf, `{"entries":[`...)
	s := streamJSON{level: inEntries, first: true}
	for el, err := range r.Elements() {
		if err != nil {
			return err
		}
		if el.Kind == KindStreamEntry {
			j.buf = j.streamEntry(s.comma(j.buf), el)
		} else {
			j.buf = s.element(j.buf, el, r.typ)
		}
		if err := j.flushAt(jsonBuffer); err != nil {
			return err
		}
	}
	j.buf = append(s.closeTo(j.buf, atEnd, r.typ), '}')
	return nil
}

// streamJSON is where in a stream's JSON the writer is.
type streamJSON struct {
	level jsonLevel
	first bool // nothing is in the array that is open
}

// comma separates from what is before in the array that is open.
func (s *streamJSON) comma(b []byte) []byte {
	if s.first {
		s.first = false
		return b
	}
	return append(b, ',')
}

func (s *streamJSON) element(b []byte, el *Element, typ byte) []byte {
	switch el.Kind {
	case KindStreamInfo:
		s.level, s.first = inInfo, true
		return appendStreamInfo(b, el.Info)
	case KindGroup:
		b = append(s.comma(s.closeTo(b, inInfo, typ)), `{"name":`...)
		b = appendBytes(b, el.Member)
		b = appendID(append(b, `,"last_id":`...), el.ID)
		b = appendOrNull(append(b, `,"entries_read":`...), el.Count, el.Count >= 0)
		s.level, s.first = inGroup, true
		return append(b, `,"pending":[`...)
	case KindPending:
		b = appendID(append(s.comma(b), `{"id":`...), el.ID)
		b = strconv.AppendInt(append(b, `,"delivered_ms":`...), el.Time, 10)
		b = strconv.AppendInt(append(b, `,"deliveries":`...), el.Count, 10)
		return append(b, '}')
	case KindConsumer:
		b = append(s.comma(s.closeTo(b, inConsumers, typ)), `{"name":`...)
		b = appendBytes(b, el.Member)
		b = strconv.AppendInt(append(b, `,"seen_ms":`...), el.Time, 10)
		b = appendOrNull(append(b, `,"active_ms":`...), el.Active, typ >= typStream3)
		s.level, s.first = inConsumer, true
		return append(b, `,"pending":[`...)
	case KindConsumerPending:
		return appendID(s.comma(b), el.ID)
	case KindGroupNacked:
		return appendID(s.comma(s.closeTo(b, inNacked, typ)), el.ID)
	case KindProducer:
		b = append(s.comma(s.closeTo(b, inProducers, typ)), `{"id":`...)
		b = appendBytes(b, el.Member)
		s.level, s.first = inProducer, true
		return append(b, `,"sent":[`...)
	case KindProduced:
		b = appendBytes(append(s.comma(b), `{"iid":`...), el.Member)
		return append(appendID(append(b, `,"id":`...), el.ID), '}')
	case KindProducers:
		b = append(s.closeTo(b, inProducers, typ), ']')
		b = strconv.AppendUint(append(b, `,"duration":`...), el.Info.IDMPDuration, 10)
		b = strconv.AppendUint(append(b, `,"max":`...), el.Info.IDMPMax, 10)
		b = strconv.AppendUint(append(b, `,"added":`...), el.Info.IIDsAdded, 10)
		b = strconv.AppendUint(append(b, `,"duplicates":`...), el.Info.IIDsRepeated, 10)
		s.level = atEnd
		return append(b, '}')
	}
	return b
}

// closeTo closes what is open and opens what is not written yet, until the
// array of level to is open. It only ever goes forward, or from inside a group,
// consumer or producer back to the array that it is in.
func (s *streamJSON) closeTo(b []byte, to jsonLevel, typ byte) []byte {
	for s.level != to {
		switch s.level {
		case inGroup: // its pending entries
			b = append(b, `],"consumers":[`...)
			s.level, s.first = inConsumers, true
		case inConsumer: // its pending entries
			b = append(b, "]}"...)
			s.level, s.first = inConsumers, false
		case inConsumers:
			if typ >= typStream5 {
				b = append(b, `],"nacked":[`...)
				s.level, s.first = inNacked, true
				continue
			}
			fallthrough
		case inNacked:
			b = append(b, "]}"...)
			s.level, s.first = inInfo, false
		case inInfo: // the groups
			b = append(b, ']')
			if s.level = atEnd; typ >= typStream4 {
				b = append(b, `,"idmp":{"producers":[`...)
				s.level, s.first = inProducers, true
			}
		case inProducer: // what it sent
			b = append(b, "]}"...)
			s.level, s.first = inProducers, false
		default: // inEntries and inProducers end with an element of their own
			return b
		}
	}
	return b
}

func (j *JSONWriter) streamEntry(b []byte, el *Element) []byte {
	b = appendID(append(b, `{"id":`...), el.ID)
	b = append(b, `,"fields":[`...)
	for i := 0; i+1 < len(el.Fields); i += 2 {
		if i > 0 {
			b = append(b, ',')
		}
		b = j.text(append(b, '['), el.Fields[i])
		b = append(j.text(append(b, ','), el.Fields[i+1]), ']')
	}
	return append(b, "]}"...)
}

func appendStreamInfo(b []byte, info *StreamInfo) []byte {
	b = strconv.AppendUint(append(b, `],"length":`...), info.Length, 10)
	b = appendID(append(b, `,"last_id":`...), info.LastID)
	if info.HasHistory {
		b = appendID(append(b, `,"first_id":`...), info.FirstID)
		b = appendID(append(b, `,"max_deleted_id":`...), info.MaxDeletedID)
		b = strconv.AppendUint(append(b, `,"entries_added":`...), info.EntriesAdded, 10)
	} else {
		b = append(b, `,"first_id":null,"max_deleted_id":null,"entries_added":null`...)
	}
	return append(b, `,"groups":[`...)
}

func appendID(b []byte, id StreamID) []byte {
	return append(id.Append(append(b, '"')), '"')
}

func appendOrNull(b []byte, v int64, known bool) []byte {
	if !known {
		return append(b, "null"...)
	}
	return strconv.AppendInt(b, v, 10)
}

// appendScore appends the shortest digits that name f, without an exponent
// where that is readable.
func appendScore(b []byte, f float64) []byte {
	switch a := math.Abs(f); {
	case math.IsInf(f, 1):
		return append(b, "inf"...)
	case math.IsInf(f, -1):
		return append(b, "-inf"...)
	case a != 0 && (a < 1e-6 || a >= 1e21):
		return strconv.AppendFloat(b, f, 'e', -1, 64)
	case f == math.Trunc(f) && a < 1<<53 && (f != 0 || !math.Signbit(f)):
		return strconv.AppendInt(b, int64(f), 10)
	}
	return strconv.AppendFloat(b, f, 'f', -1, 64)
}

// appendBytes appends s as a JSON string, or as {"$base64":"..."} if it is not
// UTF-8.
func appendBytes(b, s []byte) []byte {
	n := plainText(s)
	if n < len(s) && !utf8.Valid(s[n:]) {
		b = append(b, `{"$base64":"`...)
		b = base64.StdEncoding.AppendEncode(b, s)
		return append(b, `"}`...)
	}
	return append(appendText(append(b, '"'), s, n), '"')
}

// appendText appends s, which begins with n bytes of plain text, as it stands
// between the quotes of a JSON string. Pieces of a text may be cut anywhere, in
// the middle of a character too.
func appendText(b, s []byte, n int) []byte {
	b = append(b, s[:n]...)
	for s = s[n:]; len(s) > 0; s = s[n:] {
		if s[0] >= utf8.RuneSelf {
			for n = 1; n < len(s) && s[n] >= utf8.RuneSelf; n++ {
			}
			b = append(b, s[:n]...)
			continue
		}
		b = appendEscaped(b, s[0])
		n = 1 + plainText(s[1:])
		b = append(b, s[1:n]...)
	}
	return b
}

func appendEscaped(b []byte, c byte) []byte {
	switch c {
	case '"', '\\':
		return append(b, '\\', c)
	case '\n':
		return append(b, '\\', 'n')
	case '\r':
		return append(b, '\\', 'r')
	case '\t':
		return append(b, '\\', 't')
	}
	const hex = "0123456789abcdef"
	return append(b, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
}

// plainText returns how many bytes s begins with that a JSON string has as they
// are: ASCII without control characters, quotes and backslashes. It looks at
// eight bytes at a time.
func plainText(s []byte) int {
	const ones, highs = 0x0101010101010101, 0x8080808080808080
	i := 0
	for ; len(s)-i >= 8; i += 8 {
		w := binary.LittleEndian.Uint64(s[i:])
		quote := w ^ ones*'"'
		slash := w ^ ones*'\\'
		// The high bit of each byte that is below 0x20, zero, or above 0x7f;
		// borrows can only mark bytes behind the first that is marked rightly.
		special := ((w - ones*0x20) | (quote - ones) | (slash - ones) | w) & highs
		if special != 0 {
			return i + bits.TrailingZeros64(special)/8
		}
	}
	for ; i < len(s); i++ {
		if c := s[i]; c < 0x20 || c == '"' || c == '\\' || c >= utf8.RuneSelf {
			break
		}
	}
	return i
}
