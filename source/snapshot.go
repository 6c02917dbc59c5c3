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

// snapshotReader reads the snapshot of a full resync from a link, up to the end
// that its framing tells. After io.EOF the link is at the first byte after the
// snapshot, even if the snapshot could not be parsed.
type snapshotReader struct {
	r         *resp.Reader
	remaining int64  // bytes to come, if mark is nil
	mark      []byte // ends a snapshot of unknown length; nil: the length is known
	markFree  int    // buffered bytes that cannot be part of the mark
	err       error  // the link's, or io.EOF at the end
	total     int64  // bytes read so far
}

// newSnapshotReader reads the line before a snapshot. asked is the command that
// the server answers with it, for errors.
func newSnapshotReader(l *link, asked string) (*snapshotReader, error) {
	line, err := l.readLine()
	if err != nil {
		return nil, fmt.Errorf("wait for the snapshot: %w", err)
	}
	if line[0] == '-' {
		return nil, l.addr.serverError(asked, string(line[1:]))
	}
	if mark, ok := bytes.CutPrefix(line, []byte("$EOF:")); ok && len(mark) == eofMarkLen {
		return &snapshotReader{r: l.r, mark: bytes.Clone(mark)}, nil
	}
	n, ok := bytes.CutPrefix(line, []byte("$"))
	size, err := strconv.ParseUint(string(n), 10, 63)
	if !ok || err != nil {
		return nil, fmt.Errorf("wait for the snapshot: line %.60q does not open one", line)
	}
	return &snapshotReader{r: l.r, remaining: int64(size)}, nil
}

func (p *snapshotReader) Read(b []byte) (n int, err error) {
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
	p.total += int64(n)
	p.err = err
	return n, err
}

func (p *snapshotReader) readSized(b []byte) (int, error) {
	if p.remaining == 0 {
		return 0, io.EOF
	}
	n, err := p.r.Read(b[:min(int64(len(b)), p.remaining)])
	p.remaining -= int64(n)
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

func (p *snapshotReader) readMarked(b []byte) (int, error) {
	for p.markFree == 0 {
		buf := p.r.Buffered()
		switch i := bytes.Index(buf, p.mark); {
		case i == 0:
			p.r.Discard(eofMarkLen)
			return 0, io.EOF
		case i > 0:
			p.markFree = i
		case len(buf) >= eofMarkLen: // its last bytes may be the beginning of the mark
			p.markFree = len(buf) - eofMarkLen + 1
		default:
			if err := p.r.Fill(); err == io.EOF {
				return 0, io.ErrUnexpectedEOF
			} else if err != nil {
				return 0, err
			}
		}
	}
	n := copy(b, p.r.Buffered()[:p.markFree])
	p.r.Discard(n)
	p.markFree -= n
	return n, nil
}

// drain reads the rest of the snapshot and drops it.
func (p *snapshotReader) drain() error {
	if p.err == nil {
		io.Copy(io.Discard, struct{ io.Reader }{p}) // its error is p.err
	}
	if p.err != io.EOF {
		return fmt.Errorf("read the snapshot: %w", p.err)
	}
	return nil
}
