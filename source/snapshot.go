package source

import (
	"bytes"
	"fmt"
	"io"
	"strconv"

	"triggerd/internal/resp"
)

// eofMarkLen is the length of the random mark that ends a snapshot of unknown
// length ("$EOF:<mark>").
const eofMarkLen = 40

// payload is the snapshot of a full resync, cut out of the link by its
// framing. Reading it to io.EOF leaves the link at the first byte behind it,
// whatever the bytes within mean.
type payload struct {
	r     *resp.Reader
	left  int64  // bytes, if mark is nil
	mark  []byte // what ends it, if not nil
	clear int    // buffered bytes that are known to hold no mark
	err   error  // of the link, io.EOF at the end
	n     int64  // bytes so far
}

// newPayload reads the line that opens a snapshot; asked is the command that
// the server answers with it.
func newPayload(l *link, asked string) (*payload, error) {
	line, err := l.line()
	if err != nil {
		return nil, fmt.Errorf("wait for the snapshot: %w", err)
	}
	if line[0] == '-' {
		return nil, l.addr.refuse(asked, string(line[1:]))
	}
	if mark, ok := bytes.CutPrefix(line, []byte("$EOF:")); ok && len(mark) == eofMarkLen {
		return &payload{r: l.r, mark: bytes.Clone(mark)}, nil
	}
	n, ok := bytes.CutPrefix(line, []byte("$"))
	size, err := strconv.ParseUint(string(n), 10, 63)
	if !ok || err != nil {
		return nil, fmt.Errorf("wait for the snapshot: line %.60q does not open one", line)
	}
	return &payload{r: l.r, left: int64(size)}, nil
}

func (p *payload) Read(b []byte) (n int, err error) {
	if len(b) == 0 {
		return 0, nil
	}
	if p.err != nil {
		return 0, p.err
	}
	if p.mark == nil {
		n, err = p.readSized(b)
	} else {
		n, err = p.readMarked(b)
	}
	p.n += int64(n)
	p.err = err
	return n, err
}

func (p *payload) readSized(b []byte) (int, error) {
	if p.left == 0 {
		return 0, io.EOF
	}
	n, err := p.r.Read(b[:min(int64(len(b)), p.left)])
	p.left -= int64(n)
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

func (p *payload) readMarked(b []byte) (int, error) {
	for p.clear == 0 {
		buf := p.r.Buffered()
		switch i := bytes.Index(buf, p.mark); {
		case i == 0:
			p.r.Discard(eofMarkLen)
			return 0, io.EOF
		case i > 0:
			p.clear = i
		case len(buf) >= eofMarkLen: // its last bytes may be the first of the mark
			p.clear = len(buf) - eofMarkLen + 1
		default:
			if err := p.r.Fill(); err == io.EOF {
				return 0, io.ErrUnexpectedEOF
			} else if err != nil {
				return 0, err
			}
		}
	}
	n := copy(b, p.r.Buffered()[:p.clear])
	p.r.Discard(n)
	p.clear -= n
	return n, nil
}

// drain reads the rest.
func (p *payload) drain() error {
	if p.err == nil {
		io.Copy(io.Discard, struct{ io.Reader }{p}) // its error is p.err
	}
	if p.err != io.EOF {
		return fmt.Errorf("read the snapshot: %w", p.err)
	}
	return nil
}
