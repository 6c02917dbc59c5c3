package delivered

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"time"

	"triggerd/internal/wire"
)

// Head is what a list shows of a delivery, and is searched by.
type Head struct {
	Number   uint64 // rises in the order of deliveries; given by Add
	Seq      uint64 // the firing's number
	Lane     uint64 // opaque: a hash of what has to stay in order
	At, Born time.Time
	Attempts int
	Endpoint string
	ID       string
	Event    string
	Key      string // raw bytes
	Status   string // what the receiver said, in a few words
}

// Record is a delivery as a whole. What is opaque to this package is what its
// user encodes.
type Record struct {
	Head
	Tries   [][]byte // opaque: each attempt, the oldest first
	Request []byte   // opaque: what was sent
	Payload []byte   // opaque: the firing; nil: it was too large to be kept
}

const (
	magic         = "TGDLVD\x00\x01"
	recordVersion = 1
	frameSize     = 4 + 4
	minBody       = 1 + 5*8
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// ErrNewer is of a record that a later triggerd wrote.
var ErrNewer = errors.New("written by a later triggerd")

// errDamaged is of bytes that are not what was written.
var errDamaged = errors.New("damaged")

// appendRecord appends a record with its frame.
func appendRecord(dst []byte, r *Record) []byte {
	start := len(dst)
	dst = append(dst, make([]byte, frameSize)...)
	dst = append(dst, recordVersion)
	for _, n := range [...]uint64{r.Number, r.Seq, millis(r.At), millis(r.Born), r.Lane} {
		dst = binary.BigEndian.AppendUint64(dst, n)
	}
	dst = binary.AppendUvarint(dst, uint64(r.Attempts))
	for _, text := range [...]string{r.Endpoint, r.ID, r.Event, r.Key, r.Status} {
		dst = wire.AppendText(dst, text)
	}
	dst = binary.AppendUvarint(dst, uint64(len(r.Tries)))
	for _, t := range r.Tries {
		dst = wire.AppendText(dst, t)
	}
	dst = wire.AppendText(dst, r.Request)
	dst = wire.AppendText(dst, r.Payload)
	body := dst[start+frameSize:]
	binary.LittleEndian.PutUint32(dst[start:], uint32(len(body)))
	binary.LittleEndian.PutUint32(dst[start+4:], crc32.Checksum(body, castagnoli))
	return dst
}

func millis(t time.Time) uint64 {
	if t.IsZero() {
		return 0
	}
	return uint64(t.UnixMilli())
}

// readFrame returns the body of the record that b begins with, and the bytes
// that follow it. ok is false if it is cut short; the error is of a wrong
// checksum.
func readFrame(b []byte) (body, rest []byte, ok bool, err error) {
	if len(b) < frameSize {
		return nil, nil, false, nil
	}
	n := int(binary.LittleEndian.Uint32(b))
	if n < minBody || n > len(b)-frameSize {
		return nil, nil, false, nil
	}
	body, rest = b[frameSize:frameSize+n:frameSize+n], b[frameSize+n:]
	if crc32.Checksum(body, castagnoli) != binary.LittleEndian.Uint32(b[4:]) {
		return body, rest, true, fmt.Errorf("%w: a checksum is wrong", errDamaged)
	}
	return body, rest, true, nil
}

// numberOf returns the number in a body.
func numberOf(body []byte) uint64 { return binary.BigEndian.Uint64(body[1:]) }

// seqOf returns the seq in a body.
func seqOf(body []byte) uint64 { return binary.BigEndian.Uint64(body[9:]) }

// atOf returns when the delivery of a body was made.
func atOf(body []byte) time.Time { return timeOf(binary.BigEndian.Uint64(body[17:])) }

func timeOf(ms uint64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(int64(ms))
}

// parseHead parses the head of a body, and returns the cursor after it. The
// texts share the bytes of b.
func parseHead(b []byte, h *Head) (wire.Cursor, error) {
	if b[0] == 0 || b[0] > recordVersion {
		return wire.Cursor{}, fmt.Errorf("%w: record version %d", ErrNewer, b[0])
	}
	c := wire.NewCursor(b[1:])
	h.Number, h.Seq = c.Uint64(), c.Uint64()
	h.At, h.Born = timeOf(c.Uint64()), timeOf(c.Uint64())
	h.Lane, h.Attempts = c.Uint64(), int(c.Uvarint())
	h.Endpoint, h.ID, h.Event, h.Key, h.Status = c.SharedText(), c.SharedText(), c.SharedText(), c.SharedText(), c.SharedText()
	return c, c.Err()
}

// parseRecord parses a whole body. The record owns its bytes.
func parseRecord(b []byte) (*Record, error) {
	r := &Record{}
	c, err := parseHead(clone(b), &r.Head)
	if err != nil {
		return nil, err
	}
	for range c.Count(1) {
		r.Tries = append(r.Tries, c.Bytes())
	}
	r.Request, r.Payload = c.Bytes(), c.Bytes()
	if err := c.End(); err != nil {
		return nil, err
	}
	return r, nil
}

// clone copies b; nil if it is empty.
func clone(b []byte) []byte { return append([]byte(nil), b...) }
