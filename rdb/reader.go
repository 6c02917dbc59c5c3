package rdb

import (
	"bytes"
	"encoding/binary"
	"io"
)

// Limits bounds what a Reader takes from its input. The zero value of each
// field means its default.
type Limits struct {
	// MaxString is the length in bytes of the longest string (a key, an
	// element, a compact structure; unpacked) that is read. Longer ones can be
	// skipped, not read. Default: 1 GiB.
	MaxString int
	// MaxValue is what Value may return: the bytes of all its elements and 32
	// more for each. Default: 1 GiB.
	MaxValue int
}

func (l Limits) maxString() uint64 {
	if l.MaxString <= 0 {
		return 1 << 30
	}
	return uint64(l.MaxString)
}

func (l Limits) maxValue() int {
	if l.MaxValue <= 0 {
		return 1 << 30
	}
	return l.MaxValue
}

// What all aux fields together may occupy; more of them are read and passed to
// OnAux, but Aux does not know them. Servers write about a dozen, and for each
// slot of a cluster one of the same name.
const (
	maxAuxFields = 256
	maxAuxBytes  = 1 << 20
)

// Entry is one key of the snapshot with what is known of it before its value
// is read. It belongs to the Reader: the next call of Next changes it.
type Entry struct {
	// DB is the number of the database.
	DB int
	// Key is the key's name, any bytes; valid until the next call of Next.
	Key []byte
	// Type and Encoding say what the value is and how it is stored.
	Type     Type
	Encoding Encoding
	// ExpireAt is when the key expires, in milliseconds since 1970; 0: never.
	// Keys that have expired already may be in a snapshot. Formats before
	// version 3 have whole seconds.
	ExpireAt int64
	// Idle is for how many seconds the key was not used, if the server's
	// maxmemory-policy keeps it (LRU); else -1.
	Idle int64
	// Freq is the logarithmic access counter, 0 to 255, if the server's
	// maxmemory-policy keeps it (LFU); else -1.
	Freq int
}

// Clone returns a copy that owns its key.
func (e *Entry) Clone() *Entry {
	c := *e
	c.Key = bytes.Clone(e.Key)
	return &c
}

// Reader reads one snapshot, key by key.
type Reader struct {
	// Limits may be set before each call.
	Limits Limits
	// NewerVersions may be set before the first call of Next, to read
	// snapshots of a version above those that are known (Redis 15, Valkey 81)
	// too. A new version has something new, at which reading ends with an
	// ErrUnknown; what was there before has always kept its form.
	NewerVersions bool
	// Strict may be set before the first call of Next, to refuse what servers
	// refuse to load though it can be read: members of a value that are there
	// twice, pending entries of a stream that their group does not have. Looking
	// for them takes about 10 ns a member.
	Strict bool
	// OnAux, if set, is called for each aux field while Next passes it:
	// those before the first key, and those between and after keys. The
	// slices are valid during the call only.
	OnAux func(name, value []byte)
	// Stop may be set before the first call of Next. It is asked before each read,
	// and now and then while a large string is unpacked; an error ends the
	// reading, and is wrapped by the Reader's. For a context it is its Err.
	Stop func() error
	// OnFunction, if set, is called for each function library (FUNCTION LOAD,
	// Redis 7.0 and later) with its code, valid during the call only.
	OnFunction func(code []byte)

	in       input
	started  bool
	dump     bool // the input is a payload of DUMP
	valkey   bool
	version  int
	entry    Entry
	keyBuf   []byte
	seen     seenSet
	empty    int64 // keys that were left out
	typ      byte  // value type of entry
	unread   bool  // entry's value was not read yet
	inKey    bool  // what is read belongs to entry.Key
	err      error
	aux      map[string]string
	auxBytes int
	el       Element
	stopped  bool   // the loop over Elements ended
	limit    error  // why, if a string was too large
	minimum  uint64 // see hashMetadata
	ahead    uint64 // of a quicklist whose first nodes were passed: how many are left
	isAhead  bool
	members  seenSet // of the current value
	// strict tells that the current hash may have no field twice; until then
	// firstTwice is the offset of the first that is, -1: none.
	strict     bool
	firstTwice int64
	// fieldsExpire tells that the current hash has fields that expire.
	fieldsExpire bool
	texts        []byte   // integers of a stream's entry as text, or a name that is held
	fields       [][]byte // of a stream's entry
	master       [][]byte // the fields that a node's entries have in common
	// masterTexts has those of them that are integers, as text.
	masterTexts []byte
	lp          lpReader // of a stream's node
	info        StreamInfo
}

// NewReader returns a Reader for the snapshot that r begins with. It reads
// ahead, as a bufio.Reader does: where something else follows the snapshot, r
// should end with it, or Rest be used.
func NewReader(r io.Reader) *Reader {
	return &Reader{in: input{src: r, buf: make([]byte, bufSize)}}
}

// Next moves to the next key; a value that was not read is passed over by
// walking its encoding. The Entry is valid until the next call. A collection
// without elements is no key: servers leave it out, and so does Next.
//
// The error is io.EOF when the snapshot has been read to its end and its
// checksum, if it has one, is right; a *SyntaxError if something is wrong with
// the snapshot; or the underlying reader's error, wrapped. It stays the same
// from then on.
func (r *Reader) Next() (*Entry, error) {
	if r.err != nil {
		return nil, r.err
	}
	if err := r.next(); err != nil {
		return nil, r.fail(err)
	}
	return &r.entry, nil
}

// Skip passes over the current value, if it was not read yet. Next does so by
// itself; Skip is for knowing, with Offset, where a value ends.
func (r *Reader) Skip() error {
	if r.err != nil {
		return r.err
	}
	if !r.unread {
		return nil
	}
	r.unread = false
	if err := r.skipValue(); err != nil {
		return r.fail(err)
	}
	return nil
}

// Err returns the error that ended the reading, which may be io.EOF; nil while
// the Reader can go on.
func (r *Reader) Err() error { return r.err }

// EmptyKeys returns how many keys Next has left out since their collections are
// empty.
func (r *Reader) EmptyKeys() int64 { return r.empty }

// Entry returns the current entry, as Next returned it.
func (r *Reader) Entry() *Entry { return &r.entry }

// Offset returns how many bytes of the snapshot have been read.
func (r *Reader) Offset() int64 { return r.in.offset() }

// Version returns the version of the format, and whether it is Valkey's own
// numbering (80 and up). It is known once Next has been called; before, 0.
func (r *Reader) Version() (version int, valkey bool) { return r.version, r.valkey }

// Aux returns the value of the aux field called name as it was last read. The
// fields that concern the whole snapshot stand before the first key, so they
// are known when Next has returned once: repl-id, repl-offset and
// repl-stream-db for replication, redis-ver or valkey-ver, ctime, used-mem.
func (r *Reader) Aux(name string) (value string, ok bool) {
	value, ok = r.aux[name]
	return value, ok
}

// Rest returns a reader for what follows the snapshot: the commands of an
// append-only file that has a snapshot for its preamble. It may be used once
// Next has returned io.EOF.
func (r *Reader) Rest() io.Reader {
	rest := bytes.NewReader(r.in.buf[r.in.pos:r.in.end])
	if r.in.srcErr != nil {
		return rest
	}
	return io.MultiReader(rest, r.in.src)
}

// fail keeps err, with its key, as the Reader's last word.
func (r *Reader) fail(err error) error {
	if syn, ok := err.(*SyntaxError); ok && syn.Key == nil && r.inKey {
		syn.Key = bytes.Clone(r.entry.Key)
	}
	r.err = err
	r.unread = false
	return err
}

func (r *Reader) next() error {
	if err := r.Skip(); err != nil {
		return err
	}
	r.inKey = false
	if r.in.large {
		r.in.release()
	}
	if cap(r.members.slots) > keepScratch/8 {
		r.members.slots = nil
	}
	r.in.maxString, r.in.stop = r.Limits.maxString(), r.Stop
	if r.dump {
		return r.nextDump()
	}
	if !r.started {
		if err := r.start(); err != nil {
			return err
		}
	}
	r.entry.ExpireAt, r.entry.Idle, r.entry.Freq = 0, -1, -1
	for {
		op, err := r.in.byte()
		if err != nil {
			return err
		}
		kind := &kinds[op]
		if kind.typ == 0 {
			if err := r.opcode(op); err != nil {
				return err
			}
			continue
		}
		r.typ = op
		r.entry.Type, r.entry.Encoding = kind.typ, kind.enc
		if empty, err := r.key(); err != nil || !empty {
			return err
		}
		r.empty++
		r.inKey = false
		r.entry.ExpireAt, r.entry.Idle, r.entry.Freq = 0, -1, -1
	}
}

// key reads the key's name. If its value is a collection without elements, it
// reads that too.
func (r *Reader) key() (empty bool, err error) {
	start := r.in.offset()
	key, err := r.in.str(0)
	if err != nil {
		return false, err
	}
	r.keyBuf = append(scratch(r.keyBuf, 0), key...)
	r.entry.Key = r.keyBuf[:len(key):len(key)]
	r.inKey = true
	if empty, err = r.passEmpty(); empty || err != nil {
		return empty, err
	}
	r.unread = true
	if r.addKey(r.entry.DB, r.entry.Key) {
		return false, r.in.faultAt(start, "the key is there twice")
	}
	return false, r.noteInt()
}

// noteInt looks whether a string value is an integer.
func (r *Reader) noteInt() error {
	if r.typ != typString {
		return nil
	}
	if r.in.pos == r.in.end {
		if err := r.in.fill(1); err != nil {
			return err
		}
	}
	if c := r.in.buf[r.in.pos]; c >= 0xc0 && c < 0xc0+encLZF {
		r.entry.Encoding = EncodingInt
	}
	return nil
}

// start reads magic and version.
func (r *Reader) start() error {
	r.started = true
	b, err := r.in.next(9)
	if err != nil {
		return err
	}
	digits := b[5:]
	switch {
	case bytes.HasPrefix(b, []byte("REDIS")):
	case bytes.HasPrefix(b, []byte("VALKEY")):
		r.valkey = true
		digits = b[6:]
	default:
		return r.in.faultAt(0, "magic %q: %w", b, ErrMagic)
	}
	for _, d := range digits {
		if d < '0' || d > '9' {
			return r.in.faultAt(0, "magic %q: %w", b, ErrMagic)
		}
		r.version = 10*r.version + int(d-'0')
	}
	r.in.noSum = r.version < 5
	return r.checkVersion(0)
}

// The versions that are known: Redis counts from 1, Valkey from 80.
const (
	redisLast   = 15
	valkeyFirst = 80
	valkeyLast  = 81
)

// checkVersion refuses a version that is not known; it stands at offset off.
func (r *Reader) checkVersion(off int64) error {
	first, last := 1, redisLast
	if r.valkey {
		first, last = valkeyFirst, valkeyLast
	}
	if r.version >= first && (r.version <= last || r.NewerVersions) {
		return nil
	}
	return r.in.faultAt(off, "version %d: %w", r.version, ErrVersion)
}

// The opcodes (rdb.h).
const (
	opRAMLRU     = 107 // Redis Enterprise
	opKeyMeta    = 243 // Redis 8.6; Valkey 9 uses the number for opSlotImport
	opSlotImport = 243
	opSlotInfo   = 244
	opFunction2  = 245
	opFunctionRC = 246
	opModuleAux  = 247
	opIdle       = 248
	opFreq       = 249
	opAux        = 250
	opResizeDB   = 251
	opExpireMS   = 252
	opExpire     = 253
	opSelectDB   = 254
	opEOF        = 255
)

func (r *Reader) opcode(op byte) error {
	switch op {
	case opExpireMS:
		ms, err := r.in.uint64le()
		r.entry.ExpireAt = int64(ms)
		return err
	case opExpire:
		b, err := r.in.next(4)
		if err != nil {
			return err
		}
		r.entry.ExpireAt = 1000 * int64(int32(binary.LittleEndian.Uint32(b)))
		return nil
	case opFreq:
		b, err := r.in.byte()
		r.entry.Freq = int(b)
		return err
	case opIdle:
		n, err := r.in.length()
		r.entry.Idle = int64(n & (1<<63 - 1))
		return err
	case opSelectDB:
		n, err := r.in.length()
		if err == nil && n > 1<<31-1 {
			return r.in.fault("database number %d", n)
		}
		r.entry.DB = int(n)
		return err
	case opResizeDB:
		return r.skipLengths(2)
	case opAux:
		return r.auxField()
	case opSlotInfo:
		return r.skipLengths(3)
	case opFunction2:
		return r.function()
	case opFunctionRC:
		return r.skipFunctionRC()
	case opModuleAux:
		return r.skipModuleAux()
	case opKeyMeta:
		if r.valkey {
			return r.skipSlotImport()
		}
		return r.skipKeyMeta()
	case opRAMLRU:
		return r.skipLengths(1)
	case opEOF:
		return r.end()
	}
	r.in.pos--
	return r.in.fault("type or opcode %d: %w", op, ErrUnknown)
}

// end reads and compares the checksum and returns io.EOF if it is right.
func (r *Reader) end() error {
	if r.in.noSum {
		return io.EOF
	}
	r.in.sum()
	crc := r.in.crc
	want, err := r.in.uint64le()
	if err != nil {
		return err
	}
	if want != 0 && want != crc {
		return r.in.faultAt(r.in.offset()-8, "%w: %#016x, the bytes have %#016x", ErrChecksum, want, crc)
	}
	return io.EOF
}

func (r *Reader) auxField() error {
	name, value, err := r.in.pair()
	if err != nil {
		return err
	}
	if r.OnAux != nil {
		r.OnAux(name, value)
	}
	old, known := r.aux[string(name)]
	if !known && len(r.aux) == maxAuxFields || r.auxBytes+len(name)+len(value) > maxAuxBytes {
		return nil
	}
	if r.aux == nil {
		r.aux = make(map[string]string)
	}
	if known {
		r.auxBytes -= len(name) + len(old)
	}
	r.auxBytes += len(name) + len(value)
	r.aux[string(name)] = string(value)
	return nil
}

func (r *Reader) function() error {
	if r.OnFunction == nil {
		return r.in.skipString()
	}
	code, err := r.in.str(0)
	if err == nil {
		r.OnFunction(code)
	}
	return err
}
