package spool

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// recover takes over the segments of the directory.
func (l *Log) recover() error {
	if err := os.MkdirAll(l.o.Dir, 0o700); err != nil {
		return err
	}
	names, err := os.ReadDir(l.o.Dir)
	if err != nil {
		return err
	}
	last := int64(math.MinInt64)
	var paths []string
	for _, e := range names { // sorted by name
		if _, ok := parseName(e.Name()); ok {
			paths = append(paths, filepath.Join(l.o.Dir, e.Name()))
		}
	}
	for i, path := range paths {
		s, err := scan(path)
		if err == nil && s.base < l.end {
			s.good, err = 0, fmt.Errorf("%w: address %x, the segment before it ends at %x", errAddress, int64(s.base), int64(l.end))
		}
		if err != nil && !isDamage(err) {
			return err
		}
		if err != nil {
			l.tell(s, err, i == len(paths)-1)
		}
		if s.end == s.base { // nothing of it is good, or there is nothing
			if err := l.o.FS.Remove(path); err != nil {
				return err
			}
			l.end = max(l.end, s.base)
			continue
		}
		l.takeOver(s)
		last = max(last, s.last)
	}
	if last != math.MinInt64 {
		l.recovered = time.UnixMicro(last)
	}
	return l.endRecovery(last)
}

// Recovered returns when an earlier process noted something last in the log; zero:
// there was none, or it is in memory. Its clock may have been another one.
func (l *Log) Recovered() time.Time { return l.recovered }

// tell logs what is wrong with a segment.
func (l *Log) tell(s *scanned, err error, newest bool) {
	log := l.log.With("stream", l.o.Stream, "file", s.path, "byte", s.good, "err", err)
	switch {
	case s.good == 0 && newest && errors.Is(err, errCut):
		log.Warn("the newest segment of the spool was not written to its first byte")
	case s.good == 0:
		log.Error("a segment of the spool cannot be used, and is removed; the server is asked for what was in it, if that is needed")
	case newest && s.torn:
		log.Warn("the end of the spool is cut short, as a process or a machine leaves it that ends while it is written; the server is asked for the rest")
	default:
		log.Error("the spool is damaged; the server is asked for what comes behind the place, up to the next segment, if that is needed")
	}
}

// takeOver adds a segment that was read.
func (l *Log) takeOver(s *scanned) {
	if n := len(l.segments); n > 0 && l.end != s.base {
		l.runs.close(l.end) // the log has a gap
	}
	if n := len(l.runs); n == 0 || !l.runs[n-1].open {
		if s.first.attached && s.first.place.ReplID != "" {
			l.runs = append(l.runs, run{from: s.base, end: s.base, place: s.first.place, open: true})
		}
	}
	for _, m := range s.marks {
		switch m.mark.Kind {
		case Attached, Renamed:
			l.runs.grow(m.end - 1)
			l.runs.begin(m.end-1, m.mark)
		case Detached:
			l.runs.close(m.end - 1)
		}
	}
	l.runs.grow(s.end)
	l.end = s.end
	l.segments = append(l.segments, &segment{path: s.path, base: s.base, end: s.end, size: s.good, clean: true, named: true})
}

// endRecovery makes the log one that goes on. The last segment is cut behind
// what is good of it; what comes next begins another.
func (l *Log) endRecovery(last int64) error {
	if n := len(l.segments); n > 0 {
		s := l.segments[n-1]
		if err := os.Truncate(s.path, s.size); err != nil {
			return err
		}
	}
	l.runs.close(l.end)
	l.written, l.writing, l.synced = l.end, l.end, l.end
	l.read = l.end
	if first := l.first(); first > l.kept {
		l.kept = first
	}
	if now := l.base.UnixMicro(); last > now {
		for _, s := range l.segments {
			s.shift = now - last
		}
	}
	return nil
}

// scanned is what a segment has.
type scanned struct {
	path  string
	base  Address
	end   Address
	first header
	marks []arrival
	last  int64 // time of its last frame
	good  int64 // bytes of the file that are as they were written; 0: not even its header
	torn  bool  // and behind them is what was just being written
}

// isDamage reports whether an error is of what a file has, and not of reading it.
func isDamage(err error) bool {
	for _, e := range []error{errForeign, errHeader, errNewer, errFrame, errCut, errAddress} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// scan reads a segment. What it returns with an error of what the file has tells
// how far it is good.
func scan(path string) (*scanned, error) {
	base, _ := parseName(filepath.Base(path))
	s := &scanned{path: path, base: base, end: base, last: math.MinInt64}
	f, err := os.Open(path)
	if err != nil {
		return s, err
	}
	defer f.Close()
	return s, s.read(bufio.NewReaderSize(f, blockSize))
}

// read reads the segment from its first byte.
func (s *scanned) read(r io.Reader) error {
	head := make([]byte, headerSize)
	n, err := io.ReadFull(r, head)
	if err != nil && err != io.EOF && err != io.ErrUnexpectedEOF {
		return err
	}
	if n < headerSize && bytes.HasPrefix([]byte(magic), head[:min(n, len(magic))]) {
		return errCut
	}
	if s.first, err = parseHeader(head[:n]); err != nil {
		return err
	}
	if s.first.base != s.base {
		return fmt.Errorf("%w: address %x, its name says %x", errAddress, int64(s.first.base), int64(s.base))
	}
	s.good, s.last = int64(headerSize), s.first.time
	var f frame
	buf := make([]byte, 0, batch)
	for {
		if buf, err = readFrame(r, buf); err == nil {
			err = f.parse(buf, s.end)
		}
		switch {
		case err == io.EOF:
			return nil
		case err != nil:
			s.torn = s.isTorn(r, buf, err)
			return err
		}
		s.add(&f)
	}
}

// readFrame reads the bytes of a frame. io.EOF means that there is none.
func readFrame(r io.Reader, buf []byte) ([]byte, error) {
	buf = buf[:frameHead]
	if _, err := io.ReadFull(r, buf); err == io.ErrUnexpectedEOF {
		return buf, errCut
	} else if err != nil {
		return buf, err
	}
	size, err := frameSize(buf)
	if err != nil {
		return buf, err
	}
	buf = slices.Grow(buf, size-frameHead)[:size]
	if _, err = io.ReadFull(r, buf[frameHead:]); err == io.EOF || err == io.ErrUnexpectedEOF {
		return buf, errCut
	}
	return buf, err
}

// isTorn reports whether a wrong frame, which begins with buf, is where writing
// ended, and not a good one that has become wrong: behind it is no other.
func (s *scanned) isTorn(r io.Reader, buf []byte, err error) bool {
	if !errors.Is(err, errFrame) {
		return errors.Is(err, errCut)
	}
	rest, err := io.ReadAll(io.LimitReader(r, maxSegment))
	if err != nil {
		return false
	}
	rest = append(buf, rest...)
	var f frame
	for i := 1; i+frameHead+frameBody <= len(rest); i++ {
		if at := Address(binary.BigEndian.Uint64(rest[i+frameHead:])); at < s.end || at > s.end+2*maxSegment {
			continue
		}
		if f.parse(rest[i:], anyAddress) == nil {
			return false
		}
	}
	return true
}

func (s *scanned) add(f *frame) {
	s.end = f.end()
	s.good += int64(f.size)
	s.last = max(s.last, f.time)
	if f.mark != nil {
		s.marks = append(s.marks, arrival{end: s.end, time: f.time, mark: f.mark})
	} else {
		s.last = max(s.last, f.arrivals[len(f.arrivals)-1].time)
	}
}
