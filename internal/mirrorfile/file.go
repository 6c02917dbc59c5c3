package mirrorfile

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"triggerd/internal/wire"
)

const (
	magic      = "triggerdmirror\n"
	version    = 1
	headerSize = len(magic) + 2 + 1 + 8 + 4
	blockHead  = 8 // length and crc
	suffix     = ".mirror"

	// MaxBlock is how long a block may be.
	MaxBlock  = 80 << 20
	maxFooter = 1 << 20
)

const (
	kindBase  = 1
	kindDelta = 2
)

var table = crc32.MakeTable(crc32.Castagnoli)

var (
	// ErrNewer: a later version wrote it.
	ErrNewer = errors.New("a later triggerd wrote it")
	// ErrDamaged: it does not have what was written.
	ErrDamaged = errors.New("damaged")
)

// File names a file that is whole, with what it has.
type File struct {
	Number uint64
	Base   bool
	Bytes  int64  // of all blocks
	Sum    uint32 // of them
}

// Append appends what ParseFile reads.
func (f File) Append(dst []byte) []byte {
	kind := byte(kindDelta)
	if f.Base {
		kind = kindBase
	}
	dst = append(binary.AppendUvarint(dst, f.Number), kind)
	dst = binary.AppendUvarint(dst, uint64(f.Bytes))
	return binary.BigEndian.AppendUint32(dst, f.Sum)
}

// ParseFile undoes Append; errors are the cursor's.
func ParseFile(in *wire.Cursor) File {
	f := File{Number: in.Uvarint()}
	kind := in.Byte()
	f.Base, f.Bytes, f.Sum = kind == kindBase, int64(in.Uvarint()), in.Uint32()
	if kind != kindBase && kind != kindDelta || f.Bytes < 0 {
		in.Reject()
	}
	return f
}

// Meta is what is true of a state as a whole, up to and with a file. All of it
// is opaque to this package, and shown to people.
type Meta struct {
	Position string // that the state belongs to
	Need     string // for which it is complete; "": it is not
	Server   string
	Other    []byte
}

// Append appends what ParseMeta reads.
func (m *Meta) Append(dst []byte) []byte {
	dst = wire.AppendText(dst, m.Position)
	dst = wire.AppendText(dst, m.Need)
	dst = wire.AppendText(dst, m.Server)
	return wire.AppendText(dst, m.Other)
}

// ParseMeta undoes Append; errors are the cursor's.
func ParseMeta(in *wire.Cursor) Meta {
	m := Meta{Position: in.Text(), Need: in.Text(), Server: in.Text()}
	m.Other = append([]byte(nil), in.Bytes()...)
	return m
}

// Dir returns the directory of a stream's files within a data directory.
func Dir(dataDir, stream string) string {
	return filepath.Join(dataDir, "state", strings.ReplaceAll(url.PathEscape(stream), ".", "%2E"))
}

// Path returns where a file is in its directory.
func Path(dir string, number uint64) string {
	return filepath.Join(dir, fmt.Sprintf("%016x%s", number, suffix))
}

// parseName returns the number that a name says.
func parseName(name string) (uint64, bool) {
	digits, ok := strings.CutSuffix(name, suffix)
	n, err := strconv.ParseUint(digits, 16, 64)
	return n, ok && err == nil && len(digits) == 16
}

func appendHeader(dst []byte, f File) []byte {
	from := len(dst)
	dst = append(dst, magic...)
	dst = binary.BigEndian.AppendUint16(dst, version)
	kind := byte(kindDelta)
	if f.Base {
		kind = kindBase
	}
	dst = binary.BigEndian.AppendUint64(append(dst, kind), f.Number)
	return binary.BigEndian.AppendUint32(dst, crc32.Checksum(dst[from:], table))
}

func parseHeader(b []byte) (f File, err error) {
	if !strings.HasPrefix(string(b), magic) {
		return f, fmt.Errorf("%w: it is no file of a mirror", ErrDamaged)
	}
	if v := binary.BigEndian.Uint16(b[len(magic):]); v > version {
		return f, fmt.Errorf("%w: it is of version %d, and this program knows %d", ErrNewer, v, version)
	}
	if crc32.Checksum(b[:headerSize-4], table) != binary.BigEndian.Uint32(b[headerSize-4:]) {
		return f, fmt.Errorf("%w: its header", ErrDamaged)
	}
	kind := b[len(magic)+2]
	f.Base, f.Number = kind == kindBase, binary.BigEndian.Uint64(b[len(magic)+3:])
	if kind != kindBase && kind != kindDelta {
		return f, fmt.Errorf("%w: it is of kind %d", ErrDamaged, kind)
	}
	return f, nil
}

// blockSum is the crc of a block.
func blockSum(file uint64, index int64, block []byte) uint32 {
	var head [16]byte
	binary.BigEndian.PutUint64(head[:], file)
	binary.BigEndian.PutUint64(head[8:], uint64(index))
	return crc32.Update(crc32.Checksum(head[:], table), table, block)
}

// addSum adds the crc of a block to the sum of all.
func addSum(sum, crc uint32) uint32 {
	var b [4]byte
	binary.BigEndian.PutUint32(b[:], crc)
	return crc32.Update(sum, table, b[:])
}

func appendFooter(dst []byte, f File, blocks int64, m *Meta) []byte {
	body := binary.AppendUvarint(nil, uint64(blocks))
	body = binary.AppendUvarint(body, uint64(f.Bytes))
	body = binary.BigEndian.AppendUint32(body, f.Sum)
	body = m.Append(body)
	dst = binary.BigEndian.AppendUint32(dst, 0)
	dst = binary.BigEndian.AppendUint32(dst, uint32(len(body)))
	dst = binary.BigEndian.AppendUint32(dst, crc32.Checksum(body, table))
	return append(dst, body...)
}

// Read reads a file that a list names, and gives its blocks one by one; each is
// valid during the call. An error of give is returned as it is; all others name
// the file and the byte. What was given is of use only if there is no error.
func Read(dir string, want File, give func(block []byte) error) (Meta, error) {
	path := Path(dir, want.Number)
	have, meta, err := readPath(path, give)
	if err == nil && have != want {
		err = fmt.Errorf("%s: %w: it has other blocks than were noted", path, ErrDamaged)
	}
	return meta, err
}

func readPath(path string, give func(block []byte) error) (File, Meta, error) {
	in, err := os.Open(path)
	if err != nil {
		return File{}, Meta{}, err
	}
	defer in.Close()
	r := &reader{in: bufio.NewReaderSize(in, 1<<20)}
	err = r.read(give)
	var given givenError
	switch {
	case errors.As(err, &given):
		err = given.error
	case err != nil:
		err = fmt.Errorf("%s, byte %d: %w", path, r.at, err)
	}
	return r.file, r.meta, err
}

// givenError is an error of who gets the blocks.
type givenError struct{ error }

// reader is the reading of one file.
type reader struct {
	in   *bufio.Reader
	at   int64 // of what is read at present
	file File
	meta Meta
}

// next reads so many bytes into b, which grows as they come.
func (r *reader) next(b []byte, n int) ([]byte, error) {
	b = b[:0]
	for len(b) < n {
		step := min(n-len(b), 1<<20)
		from := len(b)
		b = append(b, make([]byte, step)...)
		if _, err := io.ReadFull(r.in, b[from:]); err != nil {
			if err == io.EOF || err == io.ErrUnexpectedEOF {
				err = fmt.Errorf("%w: it ends too early", ErrDamaged)
			}
			return nil, err
		}
	}
	return b, nil
}

func (r *reader) read(give func(block []byte) error) error {
	b, err := r.next(nil, headerSize)
	if err != nil {
		return err
	}
	if r.file, err = parseHeader(b); err != nil {
		return err
	}
	r.at = int64(headerSize)
	var block []byte
	for index := int64(0); ; index++ {
		if b, err = r.next(b, 4); err != nil {
			return err
		}
		n := binary.BigEndian.Uint32(b)
		if n == 0 {
			return r.footer(index)
		}
		if n > MaxBlock {
			return fmt.Errorf("%w: a block of %d bytes", ErrDamaged, n)
		}
		if b, err = r.next(b, 4); err != nil {
			return err
		}
		crc := binary.BigEndian.Uint32(b)
		if block, err = r.next(block, int(n)); err != nil {
			return err
		}
		if blockSum(r.file.Number, index, block) != crc {
			return fmt.Errorf("%w: a block", ErrDamaged)
		}
		r.file.Sum = addSum(r.file.Sum, crc)
		r.file.Bytes += int64(n)
		if err := give(block); err != nil {
			return givenError{err}
		}
		r.at += blockHead + int64(n)
	}
}

func (r *reader) footer(blocks int64) error {
	b, err := r.next(nil, 8)
	if err != nil {
		return err
	}
	n, crc := binary.BigEndian.Uint32(b), binary.BigEndian.Uint32(b[4:])
	if n > maxFooter {
		return fmt.Errorf("%w: a footer of %d bytes", ErrDamaged, n)
	}
	if b, err = r.next(b, int(n)); err != nil {
		return err
	}
	if crc32.Checksum(b, table) != crc {
		return fmt.Errorf("%w: its footer", ErrDamaged)
	}
	in := wire.NewCursor(b)
	hasBlocks, bytes, sum := in.Uvarint(), in.Uvarint(), in.Uint32()
	r.meta = ParseMeta(&in)
	if err := in.End(); err != nil {
		return fmt.Errorf("%w: its footer", ErrDamaged)
	}
	if hasBlocks != uint64(blocks) || bytes != uint64(r.file.Bytes) || sum != r.file.Sum {
		return fmt.Errorf("%w: blocks are missing", ErrDamaged)
	}
	if _, err := r.in.ReadByte(); err != io.EOF {
		return fmt.Errorf("%w: something follows its end", ErrDamaged)
	}
	return nil
}

// numbers returns those of all files of a directory.
func numbers(dir string) (list []uint64, err error) {
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	for _, e := range entries {
		if n, ok := parseName(e.Name()); ok {
			list = append(list, n)
		}
	}
	return list, nil
}
