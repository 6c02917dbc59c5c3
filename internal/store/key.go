package store

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"time"
)

// The kinds of keys, by their first byte. Each value ends with a checksum of
// its key and itself, apart from pebble's own of its blocks: it is made when
// the record is, and checked when the record is used.
const (
	kindCommit  = 'c' // "c": count of commits, next job, checkpoint
	kindDead    = 'd' // d<number>: a dead letter, without its payload
	kindIndex   = 'i' // i<endpoint><seq>: what a scheduler has to know of a pending job
	kindJob     = 'p' // p<seq>: the whole of a job, pending or dead
	kindRetry   = 'r' // r<endpoint><seq>: attempts made and when the next is due
	kindSettled = 's' // s<number>: a delivery that was made
	kindFormat  = 'v' // "v": format version
	kindSpace   = 'x' // x<space><key>: an entry of a Space
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

const crcSize = 4

// seal appends the checksum of key and value to value.
func seal(key, value []byte) []byte {
	return binary.LittleEndian.AppendUint32(value, sum(key, value))
}

func sum(key, value []byte) uint32 {
	return crc32.Update(crc32.Checksum(key, castagnoli), castagnoli, value)
}

// unseal returns value without its checksum, and false if that is wrong.
func unseal(key, value []byte) ([]byte, bool) {
	n := len(value) - crcSize
	if n < 0 || sum(key, value[:n]) != binary.LittleEndian.Uint32(value[n:]) {
		return nil, false
	}
	return value[:n:n], true
}

func appendNumberKey(dst []byte, kind byte, n uint64) []byte {
	return binary.BigEndian.AppendUint64(append(dst, kind), n)
}

// appendEndpoint appends what the keys of an endpoint's jobs begin with. The
// length in front keeps one endpoint's keys from being among those of another
// whose name begins alike.
func appendEndpoint(dst []byte, kind byte, endpoint string) []byte {
	dst = binary.BigEndian.AppendUint16(append(dst, kind), uint16(len(endpoint)))
	return append(dst, endpoint...)
}

func appendEndpointKey(dst []byte, kind byte, endpoint string, seq uint64) []byte {
	return binary.BigEndian.AppendUint64(appendEndpoint(dst, kind, endpoint), seq)
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

func appendSpaceKey(dst []byte, space Space, key []byte) []byte {
	return append(append(dst, kindSpace, byte(space)), key...)
}

// after returns the first key behind all that begin with prefix, nil if there
// is none.
func after(prefix []byte) []byte {
	end := append([]byte(nil), prefix...)
	for i := len(end) - 1; i >= 0; i-- {
		if end[i]++; end[i] != 0 {
			return end[:i+1]
		}
	}
	return nil
}

func appendString(dst []byte, s string) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(s))), s...)
}

func appendTime(dst []byte, t time.Time) []byte {
	ms := int64(0)
	if !t.IsZero() {
		ms = t.UnixMilli()
	}
	return binary.BigEndian.AppendUint64(dst, uint64(ms))
}

// fields reads the fields of a value one after another. bad is set by the
// first that is not there.
type fields struct {
	b   []byte
	bad bool
}

func (f *fields) take(n uint64) []byte {
	if f.bad || n > uint64(len(f.b)) {
		f.bad = true
		return nil
	}
	v := f.b[:n:n]
	f.b = f.b[n:]
	return v
}

func (f *fields) uint64() uint64 {
	if b := f.take(8); b != nil {
		return binary.BigEndian.Uint64(b)
	}
	return 0
}

func (f *fields) uint32() uint32 {
	if b := f.take(4); b != nil {
		return binary.BigEndian.Uint32(b)
	}
	return 0
}

func (f *fields) time() time.Time {
	ms := int64(f.uint64())
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms)
}

func (f *fields) string() string {
	n, size := binary.Uvarint(f.b)
	if size <= 0 {
		f.bad = true
		return ""
	}
	f.take(uint64(size))
	return string(f.take(n))
}

// CorruptError tells of a record that is there and cannot be what was written.
// It is never taken for a record that is not there.
type CorruptError struct {
	Key  string // the record's key, bytes that do not print escaped
	What string // what is wrong with it
}

func (e *CorruptError) Error() string {
	return fmt.Sprintf("damaged record %s: %s; 'triggerd store verify' lists all that is damaged, 'triggerd store salvage' copies what is whole", e.Key, e.What)
}

// keyName shows a key to people.
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
	case kindCommit:
		return "checkpoint"
	case kindFormat:
		return "format version"
	}
	return fmt.Sprintf("%q", key[:min(len(key), 200)])
}
