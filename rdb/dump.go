package rdb

import (
	"encoding/binary"
	"io"
)

// dumpFooter is what follows a value in a DUMP's payload: two bytes of version
// and eight of checksum, little-endian.
const dumpFooter = 10

// NewDumpReader returns a Reader of the one value in payload, which is what
// DUMP returns and RESTORE takes: Next returns an Entry without a name, and
// then io.EOF. A wrong checksum is an ErrChecksum; one of 0 is not checked, as
// servers do that trust the sender. The payload is read where it is and must
// not change while the Reader is used.
func NewDumpReader(payload []byte) (*Reader, error) {
	r := &Reader{started: true, dump: true}
	body := len(payload) - dumpFooter
	r.in = input{buf: payload[:max(0, body):max(0, body)], end: max(0, body), noSum: true, srcErr: io.EOF}
	if body < 2 {
		return nil, &SyntaxError{Offset: int64(len(payload)), Err: io.ErrUnexpectedEOF}
	}
	r.version = int(binary.LittleEndian.Uint16(payload[body:]))
	r.valkey = r.version >= valkeyFirst
	if err := r.checkVersion(int64(body)); err != nil {
		return nil, err
	}
	crc := updateCRC(0, payload[:body+2])
	if want := binary.LittleEndian.Uint64(payload[body+2:]); want != 0 && want != crc {
		return nil, r.in.faultAt(int64(body+2), "%w: %#016x, the bytes have %#016x", ErrChecksum, want, crc)
	}
	return r, nil
}

// nextDump is next for a payload of DUMP.
func (r *Reader) nextDump() error {
	if r.typ != 0 || r.in.pos > 0 { // not the first time
		if r.in.pos < r.in.end {
			return r.in.fault("%d bytes follow the value", r.in.end-r.in.pos)
		}
		return io.EOF
	}
	op, err := r.in.byte()
	if err != nil {
		return err
	}
	kind := &kinds[op]
	if kind.typ == 0 {
		r.in.pos--
		return r.in.fault("type %d: %w", op, ErrUnknown)
	}
	r.typ = op
	r.entry = Entry{Key: []byte{}, Type: kind.typ, Encoding: kind.enc, Idle: -1, Freq: -1}
	if empty, err := r.passEmpty(); err != nil {
		return err
	} else if empty {
		return r.in.fault("%v without elements", r.entry.Type)
	}
	r.unread = true
	return r.noteInt()
}
