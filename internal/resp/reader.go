package resp

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
)

// Limits bounds what a Reader accepts. The zero value of a field means its
// default.
type Limits struct {
	Line    int // bytes in a line or an inline command; default 64 KiB, the server's own
	Bulk    int // bytes in one argument; default 1 GiB
	Args    int // arguments of one command; default 16 Mi
	Command int // bytes of one command with its framing; default 2 GiB - 1
}

func (l Limits) withDefaults() Limits {
	set := func(v *int, def int) {
		if *v <= 0 {
			*v = def
		}
	}
	set(&l.Line, 64<<10)
	set(&l.Bulk, 1<<30)
	set(&l.Args, 16<<20)
	set(&l.Command, math.MaxInt32)
	return l
}

// ProtocolError reports bytes that are not the protocol, or exceed a limit.
type ProtocolError struct {
	Offset int64  // of the wrong byte, counted from the Reader's first
	Msg    string // what is wrong with it
}

func (e *ProtocolError) Error() string {
	return fmt.Sprintf("protocol error at byte %d: %s", e.Offset, e.Msg)
}

const (
	bufferSize = 1 << 20  // read in large pieces: a busy primary sends 150 MB/s
	keepSize   = 8 << 20  // a buffer larger than this is given back when it is no longer needed
	keepArgs   = 1 << 16  // likewise an argument list longer than this
	littleHeld = 4 << 10  // so few bytes are moved to the front before each read
	longBuffer = 64 << 20 // one of this size grows to what its command is expected to take
	maxLength  = 20       // digits in a length line
)

// Reader reads a replication link. It is for one goroutine at a time.
type Reader struct {
	src    io.Reader
	lim    Limits
	buf    []byte
	start  int   // first byte not yet consumed
	end    int   // one past the last byte read
	offset int64 // bytes consumed before buf[start]

	batch  batch
	spans  []span // arguments found so far, relative to start
	args   [][]byte
	inline []byte // unquoted inline arguments
	wasInl bool

	expected int // bytes of the command that is being read, as far as can be told
}

type span struct{ from, to int }

// NewReader returns a Reader of src within lim.
func NewReader(src io.Reader, lim Limits) *Reader {
	return &Reader{src: src, lim: lim.withDefaults(), buf: make([]byte, bufferSize)}
}

// Offset returns the number of bytes consumed so far.
func (r *Reader) Offset() int64 { return r.offset }

// Buffered returns the bytes that were read from the source and not consumed
// yet. They are valid until the next call of any other method.
func (r *Reader) Buffered() []byte { return r.buf[r.start:r.end:r.end] }

// Discard consumes n bytes of Buffered; n must not exceed its length.
func (r *Reader) Discard(n int) {
	r.batch.drop()
	if n < 0 || n > r.end-r.start {
		panic("resp: Discard of more than is buffered")
	}
	r.consume(n)
}

func (r *Reader) consume(n int) {
	r.start += n
	r.offset += int64(n)
}

// Fill reads more bytes into the buffer, at least one, making room for them as
// needed. At the end of the source it returns io.EOF.
func (r *Reader) Fill() error {
	r.batch.drop()
	r.makeRoom()
	for range 100 {
		n, err := r.src.Read(r.buf[r.end:])
		r.end += n
		switch {
		case n > 0:
			return nil
		case err != nil:
			return err
		}
	}
	return io.ErrNoProgress
}

// makeRoom leaves some of the buffer free behind end: it moves what is
// unconsumed to the front, and lengthens the buffer only when that fills it.
func (r *Reader) makeRoom() {
	held, free := r.end-r.start, len(r.buf)-r.end
	switch {
	case held < bufferSize/2 && len(r.buf) > keepSize:
		r.move(make([]byte, bufferSize))
		clear(r.args[:cap(r.args)]) // and nothing else holds the long one
		r.batch = batch{}
	case held == 0:
		r.start, r.end = 0, 0
	case held <= littleHeld && r.start > 0: // the same memory again and again stays in the processor's cache
		r.move(r.buf)
	case free >= len(r.buf)/4, free > 0 && r.start < len(r.buf)/2:
	case r.start >= len(r.buf)/2:
		r.move(r.buf)
	default:
		r.move(make([]byte, r.nextSize()))
	}
}

// nextSize returns how long the buffer becomes when it is full. Each copy of a
// very long one is memory that stays taken for a while, so that is to be the
// last; but whoever announces much has to send some of it first.
func (r *Reader) nextSize() int {
	n := len(r.buf)
	if n < longBuffer {
		return 2 * n
	}
	return max(n+n/4, min(r.expected+r.expected/4, 8*n))
}

func (r *Reader) move(to []byte) {
	r.end = copy(to, r.buf[r.start:r.end])
	r.start = 0
	r.buf = to
}

// Read consumes raw bytes, what is buffered first.
func (r *Reader) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	if r.start == r.end {
		if len(p) >= bufferSize {
			n, err := r.src.Read(p)
			r.offset += int64(n)
			return n, err
		}
		if err := r.Fill(); err != nil {
			return 0, err
		}
	}
	n := copy(p, r.buf[r.start:r.end])
	r.Discard(n)
	return n, nil
}

// ReadLine consumes one line, ended by CRLF or LF, and returns it without its
// end. It is valid until the next call.
func (r *Reader) ReadLine() ([]byte, error) {
	line, n, err := r.line()
	if err != nil {
		return nil, err
	}
	r.Discard(n)
	return line, nil
}

// line returns the next line without its end, and its length with it.
func (r *Reader) line() ([]byte, int, error) {
	seen := 0
	for {
		b := r.buf[r.start:r.end]
		if i := bytes.IndexByte(b[seen:], '\n'); i >= 0 {
			n := seen + i + 1
			if n > r.lim.Line {
				return nil, 0, r.fail(r.lim.Line, "line of more than %d bytes", r.lim.Line)
			}
			return bytes.TrimSuffix(b[:n-1:n-1], []byte{'\r'}), n, nil
		}
		if len(b) > r.lim.Line {
			return nil, 0, r.fail(r.lim.Line, "line of more than %d bytes", r.lim.Line)
		}
		seen = len(b)
		if err := r.Fill(); err != nil {
			return nil, 0, r.cut(err)
		}
	}
}

// Inline reports whether the last ReadCommand was an inline command.
func (r *Reader) Inline() bool { return r.wasInl }

// ReadCommand consumes one command and returns its arguments, the name first.
// They are valid until the next call of any method; those of a command of Batch as
// long as that is. A bare newline (a
// keepalive) and an empty array are commands without arguments. io.EOF means
// that the source ended between two commands; inside one it is
// io.ErrUnexpectedEOF, and nothing of it is consumed.
func (r *Reader) ReadCommand() ([][]byte, error) {
	if args := r.nextOfBatch(); args != nil {
		return args, nil
	}
	if cap(r.args) > keepArgs {
		r.args, r.spans = nil, nil
	}
	r.args, r.spans = r.args[:0], r.spans[:0]
	if r.start == r.end {
		if err := r.Fill(); err != nil {
			return nil, err
		}
		if args := r.nextOfBatch(); args != nil {
			return args, nil
		}
	}
	r.wasInl = r.buf[r.start] != '*'
	if r.wasInl {
		return r.readInline()
	}
	count, n, err := r.readArray()
	if err != nil {
		return nil, err
	}
	b := r.buf[r.start : r.start+n]
	r.args = slices.Grow(r.args, max(count, 0))
	at := 0
	for _, s := range r.spans {
		r.args = append(r.args, b[s.from:s.to:s.to])
		at = s.to + 2
	}
	for len(r.args) < count { // what is not in spans
		size, from, _ := parseLength(b, at, '$')
		r.args = append(r.args, b[from:from+size:from+size])
		at = from + size + 2
	}
	r.Discard(n)
	return r.args, nil
}

// readArray finds the arguments of an array of bulk strings, and returns how
// many they are and the number of bytes they take. The first keepArgs are in
// spans: of more it costs less memory to look for them again, now that they are
// known to be there.
func (r *Reader) readArray() (count, n int, err error) {
	count, at, err := r.length(0, '*', r.lim.Args)
	if err != nil {
		return 0, 0, err
	}
	for i := range count {
		size, from, err := r.length(at, '$', r.lim.Bulk)
		if err != nil {
			return 0, 0, err
		}
		if size < 0 {
			return 0, 0, r.fail(at, "negative length of an argument")
		}
		at = from + size + 2
		if at > r.lim.Command {
			return 0, 0, r.fail(from, "command of more than %d bytes", r.lim.Command)
		}
		for r.end-r.start < at {
			r.expected = at
			if i >= 1000 {
				r.expected = max(at, at/(i+1)*count)
			}
			if err := r.Fill(); err != nil {
				return 0, 0, r.cut(err)
			}
		}
		b := r.buf[r.start:r.end]
		if b[at-2] != '\r' || b[at-1] != '\n' {
			return 0, 0, r.fail(at-2, "argument is not followed by CRLF")
		}
		if i < keepArgs {
			r.spans = append(r.spans, span{from, at - 2})
		}
	}
	return count, at, nil
}

// length parses the line "<mark><n>\r\n" at position at, and returns n (-1 for
// any negative one) and the position behind the line.
func (r *Reader) length(at int, mark byte, limit int) (n, next int, err error) {
	for {
		n, next, err = parseLength(r.buf[r.start:r.end], at, mark)
		if err == nil && n > limit {
			return 0, 0, r.fail(at+1, "length %d is over the limit of %d", n, limit)
		}
		if err != errShort {
			if err != nil {
				err = r.fail(next, "%s", err)
			}
			return n, next, err
		}
		if err := r.Fill(); err != nil {
			return 0, 0, r.cut(err)
		}
	}
}

var (
	errShort = errors.New("more bytes are needed")
	errMark  = errors.New("not the start of a length")
	errDigit = errors.New("not a digit of a length")
	errLong  = errors.New("length of too many digits")
)

// parseLength does what Reader.length does within b. On an error other than
// errShort, next is the position of the wrong byte.
func parseLength(b []byte, at int, mark byte) (n, next int, err error) {
	i := at
	if i >= len(b) {
		return 0, 0, errShort
	}
	if b[i] != mark {
		return 0, i, errMark
	}
	i++
	negative := i < len(b) && b[i] == '-'
	if negative {
		i++
	}
	first := i
	for ; i < len(b) && b[i]-'0' <= 9; i++ {
		n = n*10 + int(b[i]-'0')
		if i-first >= maxLength-2 {
			return 0, i, errLong
		}
	}
	switch {
	case i+1 >= len(b):
		if i < len(b) && (b[i] != '\r' || i == first) {
			return 0, i, errDigit
		}
		return 0, 0, errShort
	case i == first, b[i] != '\r':
		return 0, i, errDigit
	case b[i+1] != '\n':
		return 0, i + 1, errDigit
	case negative:
		n = -1
	}
	return n, i + 2, nil
}

func (r *Reader) readInline() ([][]byte, error) {
	line, n, err := r.line()
	if err != nil {
		return nil, err
	}
	r.inline = r.inline[:0]
	r.inline, r.spans, err = splitInline(r.inline, r.spans, line)
	if err != nil {
		return nil, r.fail(0, "inline command: %s", err)
	}
	for _, s := range r.spans {
		r.args = append(r.args, r.inline[s.from:s.to:s.to])
	}
	r.Discard(n)
	return r.args, nil
}

// cut turns the end of the source inside something into io.ErrUnexpectedEOF.
func (r *Reader) cut(err error) error {
	if err == io.EOF && r.end > r.start {
		return io.ErrUnexpectedEOF
	}
	return err
}

// fail reports the byte at position at behind the first unconsumed one.
func (r *Reader) fail(at int, format string, args ...any) error {
	return &ProtocolError{Offset: r.offset + int64(at), Msg: fmt.Sprintf(format, args...)}
}
