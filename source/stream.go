package source

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"triggerd/internal/resp"
	"triggerd/rdb"
)

// Stream is a Source that reads recordings: what a server sends to a replica,
// a snapshot file, an append-only file with or without a snapshot in front, in
// any order. It cannot resume. Offsets count the bytes of all of them.
type Stream struct {
	name   string
	parts  []part
	offset atomic.Int64
}

// part is one recording.
type part struct {
	name string
	open func() (io.ReadCloser, error)
}

// NewStream returns a Stream of r; name is what to call it.
func NewStream(r io.Reader, name string) *Stream {
	return &Stream{name: name, parts: []part{{name, func() (io.ReadCloser, error) { return io.NopCloser(r), nil }}}}
}

// OpenStream returns a Stream of files, one after another. The manifest of an
// append-only file (appendonly.aof.manifest) stands for the files that it
// names; "-" is standard input. Files are opened when they are reached.
func OpenStream(paths ...string) (*Stream, error) {
	s := &Stream{name: strings.Join(paths, " ")}
	for _, path := range paths {
		files := []string{path}
		if strings.HasSuffix(path, ".manifest") {
			var err error
			if files, err = readManifest(path); err != nil {
				return nil, err
			}
		}
		for _, f := range files {
			s.parts = append(s.parts, part{f, func() (io.ReadCloser, error) { return openFile(f) }})
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

// readManifest returns the files of an append-only file in their order: its
// base, then its increments. What only waits to be deleted is left out.
func readManifest(path string) ([]string, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	type entry struct {
		file string
		seq  int64
	}
	var base, increments []entry
	lines := bufio.NewScanner(f)
	for n := 1; lines.Scan(); n++ {
		words := strings.Fields(lines.Text())
		if len(words) == 0 || strings.HasPrefix(words[0], "#") {
			continue
		}
		about := map[string]string{}
		for i := 0; i+1 < len(words); i += 2 {
			about[words[i]] = strings.Trim(words[i+1], `"`)
		}
		seq, err := strconv.ParseInt(about["seq"], 10, 64)
		if err != nil || about["file"] == "" || strings.ContainsRune(about["file"], '/') {
			return nil, fmt.Errorf("%s:%d: not a line of a manifest: %.100q", path, n, lines.Text())
		}
		e := entry{filepath.Join(filepath.Dir(path), about["file"]), seq}
		switch about["type"] {
		case "b":
			base = append(base, e)
		case "i":
			increments = append(increments, e)
		case "h": // history
		default:
			return nil, fmt.Errorf("%s:%d: unknown type %q", path, n, about["type"])
		}
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if len(base) > 1 || len(base)+len(increments) == 0 {
		return nil, fmt.Errorf("%s: a manifest of %d base files and %d increments", path, len(base), len(increments))
	}
	slices.SortFunc(increments, func(a, b entry) int { return int(a.seq - b.seq) })
	var files []string
	for _, e := range append(base, increments...) {
		files = append(files, e.file)
	}
	return files, nil
}

// Records implements Source. It ends with the recordings; bytes that are not
// what they should be are an error with their place.
func (s *Stream) Records(ctx context.Context, _ Position, _ Consumer) iter.Seq2[*Record, error] {
	return func(yield func(*Record, error) bool) {
		p := player{pos: Position{ReplID: "recording"}, began: time.Now(), offset: &s.offset}
		p.yield = func(r *Record) bool { return ctx.Err() == nil && yield(r, nil) }
		for _, part := range s.parts {
			err := p.play(part)
			if errors.Is(err, errStop) {
				return
			}
			if err != nil {
				yield(nil, fmt.Errorf("%s: %w", part.name, err))
				return
			}
		}
	}
}

// player plays one part after another.
type player struct {
	pos    Position // where the next part begins
	began  time.Time
	offset *atomic.Int64
	yield  func(*Record) bool
}

func (p *player) play(part part) error {
	f, err := part.open()
	if err != nil {
		return err
	}
	defer f.Close()
	in := bufio.NewReaderSize(f, 256<<10)
	magic, _ := in.Peek(6)
	if bytes.HasPrefix(magic, []byte("REDIS")) || bytes.HasPrefix(magic, []byte("VALKEY")) {
		return p.snapshot(in)
	}
	return p.commands(in)
}

// snapshot plays a snapshot, and the commands that may follow it.
func (p *player) snapshot(in io.Reader) error {
	rd := rdb.NewReader(in)
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

// commands plays a stream of commands. An append-only file may say in between
// when they were made, in seconds; parts of a second are read too. What it says
// last gives a Heartbeat if no command follows.
func (p *player) commands(in io.Reader) error {
	stamp := p.began
	d := newDecoder(resp.NewReader(in, resp.Limits{}), p.pos, Config{}.withDefaults().MaxTransaction, func() time.Time { return stamp })
	d.annotate = func(line []byte) bool {
		at, ok := parseStamp(line)
		if ok {
			stamp = at
		}
		return ok
	}
	for last := stamp; ; last = stamp {
		rec, err := d.next()
		if err == io.EOF && !d.tx.open {
			p.pos = d.pos
			if stamp != last && !p.yield(&Record{Kind: Heartbeat, DB: p.pos.DB, ReplID: p.pos.ReplID, Offset: p.pos.Offset, Time: stamp, Pos: p.pos}) {
				return errStop
			}
			return nil
		}
		if err == io.EOF {
			err = fmt.Errorf("inside a transaction: %w", io.ErrUnexpectedEOF)
		}
		if err == io.ErrUnexpectedEOF {
			err = fmt.Errorf("behind byte %d, inside a command: %w", d.offset(), err)
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

// parseStamp reads a note of time: "#TS:" and seconds since 1970.
func parseStamp(line []byte) (time.Time, bool) {
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

// Ack implements Source; there is no one to tell.
func (s *Stream) Ack(Position) {}

// Status implements Source.
func (s *Stream) Status() Status {
	return Status{State: Streaming, Addr: s.name, Offset: s.offset.Load()}
}
