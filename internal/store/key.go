package store

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"strings"
	"time"

	"triggerd/internal/wire"
)

// The kinds of records, by the first byte of their keys.
const (
	kindAttempt    = 'a' // a<seq><n>: the n-th attempt of a job that failed, for as long as the job is there
	kindCommit     = 'c' // "c": count of commits, numbers that come next
	kindDead       = 'd' // d<number>: a dead letter, without its payload
	kindIndex      = 'i' // i<endpoint><seq>: a pending job without its payload, see Pending
	kindCheckpoint = 'k' // k<stream>: the position to resume a stream from
	kindJob        = 'p' // p<seq>: the whole of a job, pending or dead
	kindRetry      = 'r' // r<endpoint><seq>: attempts made and when the next is due
	kindSettled    = 's' // s<number>: a delivery that was made
	kindFormat     = 'v' // "v": format version, and the version of each kind
	kindSpace      = 'x' // x<space><key>: an entry of a Space of the whole store, or of the stream Standalone
	kindStream     = 'y' // y<stream><space><key>: an entry of a Space of another stream
)

// kinds are all kinds of records, in the order of their keys.
const kinds = "acdikprsvxy"

// versions has the version in which this program writes each kind of record. It
// reads that version and all before it.
//
// Records of version 0 do not say their version: those of stores of format 2,
// and for ever the format record, so that a program that knows no versions
// finds in it that the store is not for it. In version 1 the fields are those
// of version 0, except that the commit record no longer ends with the
// checkpoint.
var versions = [256]byte{
	kindAttempt: 1, kindCommit: 1, kindDead: 1, kindIndex: 1, kindCheckpoint: 1, kindJob: 1,
	kindRetry: 1, kindSettled: 1, kindFormat: 0, kindSpace: 1, kindStream: 1,
}

func knownKind(kind byte) bool { return strings.IndexByte(kinds, kind) >= 0 }

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

const crcSize = 4

// seal makes the value of a record of its fields, which are what value has:
//
//	<fields> <version, 1 byte> <complement of the CRC-32C of the key and all before, 4 bytes>
//	<fields> <CRC-32C of the key and all before, 4 bytes>                                        version 0
//
// This checksum is apart from pebble's own, which are of blocks. It is made
// with the record, and checked when the record is used. The complement tells a
// record with a version from one without: no bytes can be both.
func seal(key, value []byte) []byte {
	version := versions[key[0]]
	if version == 0 {
		return binary.LittleEndian.AppendUint32(value, checksumOf(key, value))
	}
	value = append(value, version)
	return binary.LittleEndian.AppendUint32(value, ^checksumOf(key, value))
}

func checksumOf(key, value []byte) uint32 {
	return crc32.Update(crc32.Checksum(key, castagnoli), castagnoli, value)
}

// unseal returns the fields of a value, and their version. It returns false if
// the checksum is wrong.
func unseal(key, value []byte) (fields []byte, version byte, ok bool) {
	n := len(value) - crcSize
	if n < 0 {
		return nil, 0, false
	}
	switch checksumOf(key, value[:n]) {
	case binary.LittleEndian.Uint32(value[n:]):
		return value[:n:n], 0, true
	case ^binary.LittleEndian.Uint32(value[n:]):
		if n--; n < 0 || value[n] == 0 {
			return nil, 0, false
		}
		return value[:n:n], value[n], true
	}
	return nil, 0, false
}

func appendNumberKey(dst []byte, kind byte, n uint64) []byte {
	return binary.BigEndian.AppendUint64(append(dst, kind), n)
}

// appendName appends the beginning of the keys of an endpoint's jobs, or of a
// stream's entries. The length before the name keeps the keys of one name apart
// from those of another that begins alike.
func appendName(dst []byte, kind byte, name string) []byte {
	dst = binary.BigEndian.AppendUint16(append(dst, kind), uint16(len(name)))
	return append(dst, name...)
}

func appendEndpointKey(dst []byte, kind byte, endpoint string, seq uint64) []byte {
	return binary.BigEndian.AppendUint64(appendName(dst, kind, endpoint), seq)
}

// splitEndpointKey undoes appendEndpointKey.
func splitEndpointKey(key []byte) (endpoint []byte, seq uint64, ok bool) {
	if len(key) < 1+2+8 || len(key) != 1+2+int(binary.BigEndian.Uint16(key[1:]))+8 {
		return nil, 0, false
	}
	n := len(key) - 8
	return key[3:n:n], binary.BigEndian.Uint64(key[n:]), true
}

// splitNumberKey undoes appendNumberKey.
func splitNumberKey(key []byte) (n uint64, ok bool) {
	if len(key) != 1+8 {
		return 0, false
	}
	return binary.BigEndian.Uint64(key[1:]), true
}

func appendAttemptKey(dst []byte, seq uint64, n int) []byte {
	return binary.BigEndian.AppendUint32(appendNumberKey(dst, kindAttempt, seq), uint32(n))
}

// splitAttemptKey undoes appendAttemptKey.
func splitAttemptKey(key []byte) (seq uint64, n int, ok bool) {
	if len(key) != 1+8+4 {
		return 0, 0, false
	}
	return binary.BigEndian.Uint64(key[1:]), int(binary.BigEndian.Uint32(key[9:])), true
}

func appendSpaceKey(dst []byte, space Space, key []byte) []byte {
	return append(append(dst, space.prefix...), key...)
}

// splitSpaceKey undoes appendSpaceKey. It returns false if the key is not of a
// Space that this program knows.
func splitSpaceKey(key []byte) (letter byte, stream string, rest []byte, ok bool) {
	switch {
	case len(key) >= 2 && key[0] == kindSpace:
		letter, rest = key[1], key[2:]
		if !isShared(letter) {
			stream = Standalone
		}
	case len(key) >= 1+2 && key[0] == kindStream:
		n := 1 + 2 + int(binary.BigEndian.Uint16(key[1:]))
		if len(key) <= n {
			return 0, "", nil, false
		}
		letter, stream, rest = key[n], string(key[3:n]), key[n+1:]
	default:
		return 0, "", nil, false
	}
	return letter, stream, rest, stream == "" && isShared(letter) || strings.IndexByte(streamLetters, letter) >= 0
}

func appendCheckpointKey(dst []byte, stream string) []byte {
	return append(append(dst, kindCheckpoint), stream...)
}

// prefixEnd returns the first key after all that begin with prefix, nil if
// there is none.
func prefixEnd(prefix []byte) []byte {
	end := append([]byte(nil), prefix...)
	for i := len(end) - 1; i >= 0; i-- {
		if end[i]++; end[i] != 0 {
			return end[:i+1]
		}
	}
	return nil
}

func appendTime(dst []byte, t time.Time) []byte {
	ms := int64(0)
	if !t.IsZero() {
		ms = t.UnixMilli()
	}
	return binary.BigEndian.AppendUint64(dst, uint64(ms))
}

// valueReader reads the fields of a value one after another.
type valueReader struct{ wire.Cursor }

func newValueReader(b []byte) valueReader { return valueReader{wire.NewCursor(b)} }

// time reads what appendTime has written.
func (f *valueReader) time() time.Time {
	ms := int64(f.Uint64())
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms)
}

// CorruptError says that a record is damaged. A damaged record never counts as
// missing.
type CorruptError struct {
	Key  string // the record's key, bytes that do not print escaped
	What string // what is wrong with it
}

func (e *CorruptError) Error() string {
	return fmt.Sprintf("damaged record %s: %s; 'triggerd store verify' lists all that is damaged, 'triggerd store salvage' copies what is whole", e.Key, e.What)
}

// keyName returns a key in a form for people.
func keyName(key []byte) string {
	if len(key) == 0 {
		return `""`
	}
	switch key[0] {
	case kindIndex, kindRetry:
		if endpoint, seq, ok := splitEndpointKey(key); ok {
			return fmt.Sprintf("%s of endpoint %q, job %d", map[byte]string{kindIndex: "index entry", kindRetry: "retry state"}[key[0]], endpoint, seq)
		}
	case kindJob, kindDead, kindSettled:
		if n, ok := splitNumberKey(key); ok {
			return fmt.Sprintf("%s %d", map[byte]string{kindJob: "job", kindDead: "dead letter", kindSettled: "settled delivery"}[key[0]], n)
		}
	case kindAttempt:
		if seq, n, ok := splitAttemptKey(key); ok {
			return fmt.Sprintf("attempt %d of job %d", n, seq)
		}
	case kindCommit:
		return "commit record"
	case kindCheckpoint:
		return fmt.Sprintf("checkpoint of stream %q", key[1:])
	case kindFormat:
		return "format version"
	case kindSpace, kindStream:
		letter, stream, rest, ok := splitSpaceKey(key)
		switch {
		case ok && stream == "":
			return fmt.Sprintf("entry %q of space %c", rest[:min(len(rest), 200)], letter)
		case ok:
			return fmt.Sprintf("entry %q of space %c of stream %q", rest[:min(len(rest), 200)], letter, stream)
		}
	}
	return fmt.Sprintf("%q", key[:min(len(key), 200)])
}
