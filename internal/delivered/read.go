package delivered

import (
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// Query says which deliveries are wanted. The zero value is all.
type Query struct {
	Before uint64           // only numbers below this one; 0: from the latest on
	Since  time.Time        // only those made at this time or later; zero: whenever
	Seq    uint64           // only those of the firing with this number; 0: of any
	Pick   func(*Head) bool // called with a borrowed head; nil: all
}

// Latest iterates over the deliveries that a query selects, the latest first. A
// record is the caller's. What is damaged, or removed meanwhile, is left out. If
// there is an error, it is the last that is yielded. A segment is in memory
// while its records are yielded.
func (l *Log) Latest(q Query) iter.Seq2[*Record, error] {
	return func(yield func(*Record, error) bool) {
		list := l.snapshot()
		slices.Reverse(list)
		for i := range list {
			s := &list[i]
			switch {
			case q.Before != 0 && s.first >= q.Before:
				continue
			case !q.Since.IsZero() && !s.lastAt.IsZero() && s.lastAt.Before(q.Since):
				return
			case q.Seq != 0 && s.minSeq != 0 && (q.Seq < s.minSeq || q.Seq > s.maxSeq):
				continue
			}
			if !l.latestOf(s, &q, yield) {
				return
			}
		}
	}
}

// latestOf yields what a query selects of a segment, and reports whether to go
// on.
func (l *Log) latestOf(s *segment, q *Query, yield func(*Record, error) bool) bool {
	b, err := readSegment(l.path(s.first), s.bytes)
	if errors.Is(err, os.ErrNotExist) {
		return true
	}
	if err != nil {
		yield(nil, fmt.Errorf("deliveries that are kept: %w", err))
		return false
	}
	bodies, _, _ := split(b) // what is damaged is told by Verify
	if s.minSeq == 0 {
		known := span{}
		for _, body := range bodies {
			known.add(seqOf(body), atOf(body))
		}
		l.know(s.first, known)
	}
	for _, body := range slices.Backward(bodies) {
		if q.Before != 0 && numberOf(body) >= q.Before || q.Seq != 0 && seqOf(body) != q.Seq {
			continue
		}
		if !q.Since.IsZero() && atOf(body).Before(q.Since) {
			continue // they are nearly in the order of time
		}
		if q.Pick != nil {
			h := Head{}
			if _, err := parseHead(body, &h); err != nil || !q.Pick(&h) {
				continue
			}
		}
		r, err := parseRecord(body)
		if err != nil {
			continue
		}
		if !yield(r, nil) {
			return false
		}
	}
	return true
}

// readSegment reads so many bytes of a segment.
func readSegment(path string, size int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b := make([]byte, size)
	n, err := io.ReadFull(f, b)
	if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
		err = nil
	}
	return b[:n], err
}

// Verify reads everything in a directory, and returns how many records are whole
// and what is damaged. What a process that was killed leaves at the end of the
// newest segment is no damage. err says why it could not look; a directory that
// is not there has nothing.
func Verify(dir string) (whole int, problems []error, err error) {
	names, err := segmentsOf(dir)
	if err != nil {
		return 0, nil, err
	}
	for i, first := range names {
		path := filepath.Join(dir, nameOf(first))
		b, err := os.ReadFile(path)
		if err != nil {
			return whole, problems, err
		}
		bodies, end, bad := split(b)
		if bad != nil && (len(b) >= len(magic) || i < len(names)-1) {
			problems = append(problems, fmt.Errorf("%s: %w", path, bad))
		}
		if bad == nil && end < int64(len(b)) && i < len(names)-1 {
			problems = append(problems, fmt.Errorf("%s: byte %d: %w: it is cut short", path, end, errDamaged))
		}
		for _, body := range bodies {
			if _, err := parseRecord(body); err != nil {
				problems = append(problems, fmt.Errorf("%s: delivery %d: %w", path, numberOf(body), err))
				continue
			}
			whole++
		}
	}
	return whole, problems, nil
}
