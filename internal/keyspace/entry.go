package keyspace

import (
	"crypto/sha256"
	"encoding/binary"

	"triggerd/internal/wire"
)

// The entries of the journal, by the first byte of their keys. Databases and
// long values have IDs, so that SWAPDB, FLUSHALL and RENAME cost no more than
// they do in memory. Numbers in keys are big-endian; in values they are varints.
//
//	a                        version, flags: what is true of the whole
//	d database(4)            its ID, of which numbers the cover is
//	k ID(4) 0 key            header, value
//	k ID(4) 1 SHA-256        the same for a long key, which is in the header
//	v ID(8) number(4)        part of a long value: kind of part, ops
const (
	entryMirror   = 'a'
	entryDatabase = 'd'
	entryKey      = 'k'
	entryValue    = 'v'
)

// entryVersion is that of all of them.
const entryVersion = 1

// Flags of the whole.
const (
	wholeFlushed = 1 << iota // databases that are not named are empty
	wholeInside              // inside of a snapshot
	wholeUnsure              // hll-sparse-max-bytes is not known
)

var mirrorEntry = []byte{entryMirror}

// longKey is from which length on the entry of a key is named by its hash.
const longKey = 1 << 10

// Forms of a value.
const (
	formNone    = byte(iota) // there is no value, or it is not known
	formInside               // its ops follow the header
	formEntries              // it has entries of its own; its ID follows the header
	formTooLong              // it is too long for the journal
)

// Kinds of parts of a long value.
const (
	partWhole  = iota // of the value when it was written whole
	partChange        // what was done to it since
)

// Flags of a header; the form is above them.
const (
	headerExists = 3 << 0 // a tri
	headerKnown  = 1 << 2
	headerTexts  = 1 << 3
	headerTimed  = 1 << 4
	headerForm   = 5 // bit
)

// appendWhole appends the value of mirrorEntry.
func (mi *mirror) appendWhole(dst []byte) []byte {
	var flags byte
	if mi.absent != nil {
		flags |= wholeFlushed
	}
	if mi.journal.inside {
		flags |= wholeInside
	}
	if mi.sparseMax < 0 {
		flags |= wholeUnsure
	}
	return append(dst, entryVersion, flags)
}

// appendNumber appends a kind of entries and a number.
func appendNumber(dst []byte, kind byte, n uint32) []byte {
	return binary.BigEndian.AppendUint32(append(dst, kind), n)
}

// appendDatabase appends what the entries of a database's keys begin with.
func appendDatabase(dst []byte, id uint32) []byte { return appendNumber(dst, entryKey, id) }

// appendKeyEntry appends the key of the entry of a mirrored key.
func appendKeyEntry(dst []byte, id uint32, key []byte) []byte {
	dst = appendDatabase(dst, id)
	if len(key) < longKey {
		return append(append(dst, 0), key...)
	}
	sum := sha256.Sum256(key)
	return append(append(dst, 1), sum[:]...)
}

// appendValueEntries appends what the entries of a long value begin with.
func appendValueEntries(dst []byte, id uint64) []byte {
	return binary.BigEndian.AppendUint64(append(dst, entryValue), id)
}

// appendNext appends the key of the next entry of a long value.
func (s *longValue) appendNext(dst []byte) []byte {
	dst = binary.BigEndian.AppendUint32(appendValueEntries(dst, s.id), s.next)
	s.next++
	return dst
}

// appendCover appends the value of a database's entry. Needs cannot be kept:
// RestoreEnd is told whether those of the cover are the present ones.
func (d *database) appendCover(dst []byte) []byte {
	dst = binary.AppendUvarint(dst, uint64(d.id))
	for _, c := range d.cover {
		dst = binary.AppendUvarint(dst, uint64(c.db))
	}
	return dst
}

// appendHeader appends what an entry of a key begins with.
func appendHeader(dst []byte, key []byte, s *keyState, form byte) []byte {
	flags := byte(s.value.exists) | form<<headerForm
	for _, f := range [...]struct {
		set bool
		bit byte
	}{{s.value.known, headerKnown}, {s.value.texts, headerTexts}, {s.expiry.known, headerTimed}} {
		if f.set {
			flags |= f.bit
		}
	}
	dst = append(dst, flags, byte(s.value.kind))
	dst = binary.AppendVarint(dst, s.expiry.at)
	dst = binary.AppendVarint(dst, s.expiry.announced)
	if len(key) >= longKey {
		if len(key) > maxSaved-longKey {
			key = nil // no store takes it; Restore says so
		}
		dst = wire.AppendText(dst, key)
	}
	if form == formEntries {
		dst = binary.AppendUvarint(dst, s.marks.long.id)
	}
	return dst
}

// readHeader reads a header into s and returns its key, which is that of the
// entry, or a sub-slice of value, and what follows.
func readHeader(entry, value []byte, s *keyState) (key, rest []byte, form byte, ok bool) {
	if len(entry) < 1 {
		return nil, nil, 0, false
	}
	in := wire.NewCursor(value)
	flags, k := in.Byte(), kind(in.Byte())
	s.value.exists, s.value.kind, form = tri(flags&headerExists), k, flags>>headerForm
	s.value.known, s.value.texts, s.expiry.known = flags&headerKnown != 0, flags&headerTexts != 0, flags&headerTimed != 0
	s.expiry.at, s.expiry.announced = in.Varint(), in.Varint()
	key = entry[1:]
	if entry[0] == 1 {
		if key = in.Bytes(); len(key) < longKey {
			in.Reject()
		}
	}
	ok = in.Err() == nil && s.value.exists <= yes && int(k) < len(kindNames) && form <= formTooLong && entry[0] <= 1
	return key, in.Rest(), form, ok
}
