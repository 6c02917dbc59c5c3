package spool

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
)

const (
	magic      = "triggerdspool\n"
	version    = 1
	maxReplID  = 64
	headerSize = len(magic) + 2 + 1 + 1 + 4*8 + 1 + maxReplID + 4

	maxReads  = 16 << 10 // arrivals of one frame
	maxFrame  = frameBody + (maxReads+1)*13 + blockSize
	frameHead = 8         // length and crc
	frameBody = 8 + 1 + 8 // of what follows them: what each frame has
)

// The kinds of frames.
const (
	kindBytes    = 1
	kindAttached = 2
	kindDetached = 3
	kindRenamed  = 4
)

const (
	flagFull = 1 << iota // of kindAttached
	flagBack
)

const (
	flagAttached = 1 << iota // the segment begins while there is a link
	flagKnown                // and where it begins in a history is known
)

var table = crc32.MakeTable(crc32.Castagnoli)

// header is how a segment begins.
type header struct {
	base     Address
	time     int64 // microseconds since 1970
	attached bool
	place    Place // zero: not known
}

func (h *header) append(dst []byte) []byte {
	from := len(dst)
	dst = append(dst, magic...)
	dst = binary.BigEndian.AppendUint16(dst, version)
	flags := byte(0)
	if h.attached {
		flags |= flagAttached
	}
	if h.place.ReplID != "" {
		flags |= flagKnown
	}
	dst = append(dst, 0, flags)
	for _, n := range []int64{int64(h.base), h.time, h.place.Offset, int64(h.place.DB)} {
		dst = binary.BigEndian.AppendUint64(dst, uint64(n))
	}
	var id [maxReplID]byte
	dst = append(dst, byte(copy(id[:], h.place.ReplID)))
	dst = append(dst, id[:]...)
	return binary.BigEndian.AppendUint32(dst, crc32.Checksum(dst[from:], table))
}

// What may be wrong with a segment, beside errors of reading it.
var (
	errForeign = errors.New("it is not a spool segment")
	errHeader  = errors.New("its header is damaged")
	errNewer   = errors.New("it was written by a later version of triggerd")
	errFrame   = errors.New("a frame is damaged")
	errCut     = errors.New("a frame is cut short")
	errAddress = errors.New("a frame is of another place")
)

func parseHeader(b []byte) (h header, err error) {
	if len(b) < len(magic)+2 || string(b[:len(magic)]) != magic {
		return h, errForeign
	}
	if v := binary.BigEndian.Uint16(b[len(magic):]); v > version {
		return h, fmt.Errorf("%w: format %d, this one knows %d", errNewer, v, version)
	}
	if len(b) < headerSize {
		return h, errHeader
	}
	b = b[:headerSize]
	end := headerSize - 4
	if crc32.Checksum(b[:end], table) != binary.BigEndian.Uint32(b[end:]) {
		return h, errHeader
	}
	b = b[len(magic)+2 : end]
	codec, flags := b[0], b[1]
	if codec != 0 {
		return h, fmt.Errorf("%w: codec %d", errNewer, codec)
	}
	number := func(i int) int64 { return int64(binary.BigEndian.Uint64(b[2+8*i:])) }
	h.base, h.time, h.attached = Address(number(0)), number(1), flags&flagAttached != 0
	n := int(b[34])
	if h.base < 0 || h.base > maxAddress || n > maxReplID {
		return h, errHeader
	}
	if flags&flagKnown != 0 {
		h.place = Place{ReplID: string(b[35 : 35+n]), Offset: number(2), DB: int(number(3))}
		if err := h.place.check(); err != nil {
			return h, errHeader
		}
	}
	return h, nil
}

// arrival is what one read of the socket brought, or a mark.
type arrival struct {
	end  Address // behind it
	time int64   // microseconds since 1970
	mark *Mark   // nil: bytes
}

// appendBytes appends a frame of the bytes behind address at, of which arrivals
// tell when they came.
func appendBytes(dst []byte, at Address, b []byte, arrivals []arrival) []byte {
	from := len(dst)
	dst = appendHead(dst, at, kindBytes, arrivals[0].time)
	dst = binary.AppendUvarint(dst, uint64(len(arrivals)))
	last := arrivals[0].time
	for _, a := range arrivals {
		dst = binary.AppendUvarint(dst, uint64(a.end-at))
		dst = binary.AppendUvarint(dst, uint64(a.time-last))
		at, last = a.end, a.time
	}
	return seal(append(dst, b...), from)
}

func appendMark(dst []byte, at Address, time int64, m *Mark) []byte {
	from := len(dst)
	switch m.Kind {
	case Attached:
		dst = appendHead(dst, at, kindAttached, time)
		flags := byte(0)
		if m.Full {
			flags |= flagFull
		}
		if m.Back {
			flags |= flagBack
		}
		dst = appendPlace(append(dst, flags), &m.Place)
	case Renamed:
		dst = appendHead(dst, at, kindRenamed, time)
		dst = appendPlace(dst, &m.Place)
	case Detached:
		dst = appendHead(dst, at, kindDetached, time)
	}
	return seal(dst, from)
}

func appendPlace(dst []byte, p *Place) []byte {
	dst = binary.AppendVarint(dst, p.Offset)
	dst = binary.AppendVarint(dst, int64(p.DB))
	return append(dst, p.ReplID...)
}

func appendHead(dst []byte, at Address, kind byte, time int64) []byte {
	dst = append(dst, 0, 0, 0, 0, 0, 0, 0, 0)
	dst = binary.BigEndian.AppendUint64(dst, uint64(at))
	dst = append(dst, kind)
	return binary.BigEndian.AppendUint64(dst, uint64(time))
}

func seal(dst []byte, from int) []byte {
	body := dst[from+frameHead:]
	binary.BigEndian.PutUint32(dst[from:], uint32(len(body)))
	binary.BigEndian.PutUint32(dst[from+4:], crc32.Checksum(body, table))
	return dst
}

// frame is a frame that was read. It shares the bytes that it was parsed from.
type frame struct {
	at       Address
	size     int // of the whole frame in the file
	mark     *Mark
	time     int64
	arrivals []arrival // of bytes
	bytes    []byte
}

func (f *frame) end() Address {
	if f.mark != nil {
		return f.at + 1
	}
	return f.at + Address(len(f.bytes))
}

// frameSize returns how many bytes the frame takes that begins b, of which
// frameHead bytes are needed.
func frameSize(b []byte) (int, error) {
	if len(b) < frameHead {
		return 0, errCut
	}
	n := binary.BigEndian.Uint32(b)
	if n < frameBody || n > maxFrame {
		return 0, errFrame
	}
	return frameHead + int(n), nil
}

// anyAddress is no frame's own.
const anyAddress Address = -1

// parse reads the frame that begins b, whose address has to be at. The room of
// f's arrivals is used again.
func (f *frame) parse(b []byte, at Address) error {
	size, err := frameSize(b)
	if err != nil {
		return err
	}
	if len(b) < size {
		return errCut
	}
	body := b[frameHead:size:size]
	if crc32.Checksum(body, table) != binary.BigEndian.Uint32(b[4:]) {
		return errFrame
	}
	f.at, f.size = Address(binary.BigEndian.Uint64(body)), size
	if f.at != at && at != anyAddress || f.at < 0 || f.at > maxAddress {
		return fmt.Errorf("%w: address %x, want %x", errAddress, uint64(f.at), uint64(at))
	}
	kind := body[8]
	f.time = int64(binary.BigEndian.Uint64(body[9:]))
	f.mark, f.bytes, f.arrivals = nil, nil, f.arrivals[:0]
	rest := body[frameBody:]
	switch kind {
	case kindBytes:
		return f.parseBytes(rest)
	case kindAttached:
		return f.parseAttached(rest)
	case kindRenamed:
		f.mark = &Mark{Kind: Renamed}
		return f.parsePlace(rest)
	case kindDetached:
		if len(rest) > 0 {
			return errFrame
		}
		f.mark = &Mark{Kind: Detached}
		return nil
	}
	return errFrame
}

func (f *frame) parseBytes(rest []byte) error {
	next := func() uint64 {
		v, n := binary.Uvarint(rest)
		if n <= 0 {
			rest = nil
			return math.MaxUint64
		}
		rest = rest[n:]
		return v
	}
	reads := next()
	if reads == 0 || reads > maxReads || reads > uint64(len(rest))/2 {
		return errFrame
	}
	end, time := f.at, f.time
	for range reads {
		size, delta := next(), next()
		if size == 0 || size > blockSize || delta > math.MaxInt64 || time > 0 && int64(delta) > math.MaxInt64-time {
			return errFrame
		}
		end, time = end+Address(size), time+int64(delta)
		f.arrivals = append(f.arrivals, arrival{end: end, time: time})
	}
	if Address(len(rest)) != end-f.at || end > maxAddress {
		return errFrame
	}
	f.bytes = rest
	return nil
}

func (f *frame) parseAttached(rest []byte) error {
	if len(rest) == 0 || rest[0] > flagBack {
		return errFrame
	}
	f.mark = &Mark{Kind: Attached, Full: rest[0]&flagFull != 0, Back: rest[0]&flagBack != 0}
	return f.parsePlace(rest[1:])
}

// parsePlace parses the place of the frame's mark.
func (f *frame) parsePlace(rest []byte) error {
	offset, n := binary.Varint(rest)
	if n <= 0 {
		return errFrame
	}
	db, k := binary.Varint(rest[n:])
	if k <= 0 || len(rest) > n+k+maxReplID {
		return errFrame
	}
	f.mark.Place = Place{ReplID: string(rest[n+k:]), Offset: offset, DB: int(db)}
	if f.mark.Place.check() != nil {
		return errFrame
	}
	return nil
}
