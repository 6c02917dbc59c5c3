package delivered

import (
	"context"
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
	Seqs   []uint64         // only those of the firings with these numbers, which rise; nil: of any
	Pick   func(*Head) bool // called with a borrowed head; nil: all
}

// Latest iterates over the deliveries that a query selects, the latest first. A
// record is the caller's. What is damaged, or removed meanwhile, is left out. If
// there is an error, it is the last that is yielded, as is that of ctx once that
// is done.
//
// A segment is in memory while its records are yielded. So no more than a few
// goroutines read at once, and the others wait for their turn: do not read
// within a loop over what is read.
func (l *Log) Latest(ctx context.Context, q Query) iter.Seq2[*Record, error] {
	return func(yield func(*Record, error) bool) {
		select {
		case l.readers <- struct{}{}:
			defer func() { <-l.readers }()
		case <-ctx.Done():
			yield(nil, context.Cause(ctx))
			return
		}
		var buf []byte
		list := l.snapshot()
		slices.Reverse(list)
		for i := range list {
			s := &list[i]
			switch {
			case q.Before != 0 && s.first >= q.Before:
				continue
			case !q.Since.IsZero() && !s.lastAt.IsZero() && s.lastAt.Before(q.Since):
				return
			case q.Seqs != nil && s.minSeq != 0 && !s.hasAny(q.Seqs):
				continue
			case ctx.Err() != nil:
				yield(nil, context.Cause(ctx))
				return
			}
			if !l.latestOf(s, &q, &buf, yield) {
				return
			}
		}
	}
}

// latestOf yields what a query selects of a segment, and reports whether to go
// on. It reads the segment into buf.
func (l *Log) latestOf(s *segment, q *Query, buf *[]byte, yield func(*Record, error) bool) bool {
	if int64(cap(*buf)) < s.bytes {
		*buf = make([]byte, s.bytes)
	}
	b, err := readSegment(l.path(s.first), (*buf)[:s.bytes])
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
	var h Head
	for _, body := range slices.Backward(bodies) {
		if q.Before != 0 && numberOf(body) >= q.Before {
			continue
		}
		if q.Seqs != nil {
			if _, is := slices.BinarySearch(q.Seqs, seqOf(body)); !is {
				continue
			}
		}
		if !q.Since.IsZero() && atOf(body).Before(q.Since) {
			continue // they are nearly in the order of time
		}
		if q.Pick != nil {
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

// readSegment reads the beginning of a segment into b, as much as fits.
func readSegment(path string, b []byte) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
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
