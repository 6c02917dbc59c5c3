package source

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"triggerd/internal/resp"
	"triggerd/rdb"
)

// Recording is a Source that reads files in place of a server. Each file is
// what a server sends to a replica, a snapshot, or an append-only file with or
// without a snapshot before it. It cannot resume. Offsets count the bytes of
// all files.
type Recording struct {
	// Logger is told of a file that ends in the midst of a command; nil: none.
	Logger *slog.Logger

	name   string
	parts  []recordingPart
	offset atomic.Int64
}

// recordingPart is one file of a recording.
type recordingPart struct {
	name string
	open func() (io.ReadCloser, error)
	// mayBeCut tells that the file may end in the midst of a command, which is
	// left out then.
	mayBeCut bool
}

// NewRecording returns a Recording of r. name is what errors and Status call
// it. It has to end between two commands.
func NewRecording(r io.Reader, name string) *Recording {
	open := func() (io.ReadCloser, error) { return io.NopCloser(r), nil }
	return &Recording{name: name, parts: []recordingPart{{name: name, open: open}}}
}

// OpenRecording returns a Recording of files, one after another. The manifest
// of an append-only file (appendonly.aof.manifest) stands for the files that it
// names, all of which have to be there; "-" is standard input. A file is opened
// when it is reached.
//
// A file may be cut in the midst of a command or a transaction, of a manifest the
// last one: what is not whole is left out, as servers do when they start with it
// (aof-load-truncated), and Logger is told. A snapshot may not be cut.
func OpenRecording(paths ...string) (*Recording, error) {
	s := &Recording{name: strings.Join(paths, " ")}
	for _, path := range paths {
		files := []string{path}
		if strings.HasSuffix(path, ".manifest") {
			var err error
			if files, err = readManifest(path); err != nil {
				return nil, err
			}
		}
		for i, f := range files {
			s.parts = append(s.parts, recordingPart{f, func() (io.ReadCloser, error) { return openFile(f) }, i == len(files)-1})
		}
	}
	return s, nil
}

func openFile(path string) (io.ReadCloser, error) {
	if path == "-" {
		return io.NopCloser(os.Stdin), nil
	}
	return os.Open(path)
}

// Records implements Source. It ends with the last file. Bytes that cannot be
// parsed are an error that says where they are.
func (s *Recording) Records(ctx context.Context, _ Position, c Consumer) iter.Seq2[*Record, error] {
	return func(yield func(*Record, error) bool) {
		p := player{pos: Position{ReplID: "recording"}, began: time.Now(), offset: &s.offset, stop: ctx.Err, log: s.Logger}
		p.preparer, _ = c.(Preparer)
		if p.log == nil {
			p.log = slog.New(slog.DiscardHandler)
		}
		p.yield = func(r *Record) bool { return ctx.Err() == nil && yield(r, nil) }
		for _, part := range s.parts {
			err := p.play(part)
			if errors.Is(err, errStop) || ctx.Err() != nil {
				return
			}
			if err != nil {
				yield(nil, fmt.Errorf("%s: %w", part.name, err))
				return
			}
		}
	}
}

// player hands out the records of one file after another.
type player struct {
	pos      Position // where the next file begins
	began    time.Time
	offset   *atomic.Int64
	timed    bool // a line has said when something was made
	yield    func(*Record) bool
	preparer Preparer     // nil: nobody is told of what comes
	stop     func() error // an error when no more is wanted
	log      *slog.Logger
	part     recordingPart
	start    int64 // offset of the present file among all of them
}

func (p *player) play(part recordingPart) error {
	f, err := part.open()
	if err != nil {
		return err
	}
	defer f.Close()
	p.part, p.start = part, p.pos.Offset
	in := bufio.NewReaderSize(f, 256<<10)
	magic, _ := in.Peek(6)
	if bytes.HasPrefix(magic, []byte("REDIS")) || bytes.HasPrefix(magic, []byte("VALKEY")) {
		return p.snapshot(in)
	}
	return p.commands(in)
}

// snapshot hands out a snapshot, and the commands that may follow it.
func (p *player) snapshot(in io.Reader) error {
	rd := rdb.NewReader(in)
	rd.Strict = true
	rd.Stop = p.stop
	rec := Record{Kind: SnapshotBegin, ReplID: p.pos.ReplID, Offset: p.pos.Offset, Time: p.began, RDB: rd}
	if !p.yield(&rec) {
		return errStop
	}
	for {
		e, err := rd.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return err
		}
		rec = Record{Kind: Key, DB: e.DB, ReplID: p.pos.ReplID, Offset: p.pos.Offset, Time: p.began, Entry: e, RDB: rd}
		if !p.yield(&rec) {
			return errStop
		}
	}
	p.pos.Offset += rd.Offset()
	p.pos.DB = 0
	rec = Record{Kind: SnapshotEnd, RDB: rd, ReplID: p.pos.ReplID, Offset: p.pos.Offset, Time: p.began, Pos: p.pos}
	if !p.yield(&rec) {
		return errStop
	}
	rest := bufio.NewReader(rd.Rest())
	if _, err := rest.Peek(1); err == io.EOF {
		return nil
	}
	return p.commands(rest)
}

// commands hands out a stream of commands. In an append-only file, lines
// between the commands may say when they were made. A Heartbeat has the first
// such time of a recording, at which its clock begins, and a time that comes
// last, with no command after it.
func (p *player) commands(in io.Reader) error {
	timestamp := p.began
	d := newDecoder(resp.NewReader(in, resp.Limits{}), p.pos, Config{}.withDefaults().MaxTransaction, func() time.Time { return timestamp })
	if p.preparer != nil {
		d.prepare = p.preparer.Prepare
	}
	heartbeat := func(pos Position) bool {
		return p.yield(&Record{Kind: Heartbeat, DB: pos.DB, ReplID: pos.ReplID, Offset: pos.Offset, Time: timestamp, Pos: pos})
	}
	stopped := false
	d.onAnnotation = func(line []byte) bool {
		at, ok := parseTimestamp(line)
		if ok {
			timestamp = at
		}
		if ok && !p.timed && !d.tx.open {
			p.timed = true
			stopped = !heartbeat(d.pos)
		}
		return ok
	}
	for last := timestamp; ; last = timestamp {
		rec, err := d.next()
		if stopped {
			return errStop
		}
		if p.leavesOut(d, err) {
			p.pos = d.pos
			return nil
		}
		if err == io.EOF && !d.tx.open {
			p.pos = d.pos
			if timestamp != last && !heartbeat(p.pos) {
				return errStop
			}
			return nil
		}
		if err == io.EOF {
			err = fmt.Errorf("inside a transaction: %w", io.ErrUnexpectedEOF)
		}
		if err == io.ErrUnexpectedEOF {
			err = fmt.Errorf("behind byte %d, inside a command: %w", d.offset()-p.start, err)
		}
		if pe, ok := errors.AsType[*resp.ProtocolError](err); ok {
			pe.Offset -= p.start // in the file, not among all
		}
		if err != nil {
			return err
		}
		p.offset.Store(d.offset())
		if !p.yield(rec) {
			return errStop
		}
	}
}

// leavesOut reports whether err is only that the file was cut in the midst of a
// command or transaction, and may be. What is left of an inline command is no sign
// of that, for any bytes look like one.
func (p *player) leavesOut(d *decoder, err error) bool {
	cut := err == io.EOF && d.tx.open || err == io.ErrUnexpectedEOF
	left := d.r.Buffered()
	if !cut || !p.part.mayBeCut || len(left) > 0 && left[0] != '*' && left[0] != '#' {
		return false
	}
	at := d.offset()
	if d.tx.open {
		at = d.pos.Offset
	}
	p.log.Warn("the file is cut in the midst of a command or transaction, which is left out", "file", p.part.name,
		"offset", at-p.start, "bytes", d.offset()-at+int64(len(left)))
	return true
}

// parseTimestamp parses "#TS:" and seconds since 1970, with or without a
// fraction.
func parseTimestamp(line []byte) (time.Time, bool) {
	text, ok := bytes.CutPrefix(line, []byte("#TS:"))
	whole, part, _ := strings.Cut(string(text), ".")
	sec, err := strconv.ParseInt(whole, 10, 64)
	if !ok || err != nil {
		return time.Time{}, false
	}
	ns := int64(0)
	if part != "" {
		if ns, err = strconv.ParseInt((part + "000000000")[:9], 10, 64); err != nil || ns < 0 {
			return time.Time{}, false
		}
	}
	return time.Unix(sec, ns), true
}

// Ack implements Source. A recording has nobody to acknowledge to.
func (s *Recording) Ack(Position) {}

// Status implements Source.
func (s *Recording) Status() Status {
	return Status{State: Streaming, Addr: s.name, Received: s.offset.Load(), HandedOut: s.offset.Load()}
}
