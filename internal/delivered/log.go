package delivered

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Options configure a Log. Dir, Limit and Logger have to be set.
type Options struct {
	Dir       string        // made if there is none
	Limit     int64         // bytes of all segments
	Retention time.Duration // how long a delivery is kept at most; 0: as long as there is room
	First     uint64        // the least number that a record may get; 0: 1
	Logger    *slog.Logger
}

// DirName is the name of a log's directory in a data directory.
const DirName = "delivered"

// MinLimit is the least limit of a log.
const MinLimit = 1 << 20

// segments is into how many a log's limit is divided: so much of it goes at
// once. maxSegment is how large one is at most.
const (
	segments   = 16
	maxSegment = 8 << 20
)

// maxReaders is how many goroutines may read at once: each has a segment in
// memory, and is busy with it.
const maxReaders = 2

// Log is what is kept of deliveries that were made. One goroutine at a time may
// call Add and Flush; all other methods may be called by any.
type Log struct {
	dir       string
	limit     int64
	retention time.Duration
	size      int64 // of a segment, from which on the next is begun
	log       *slog.Logger

	next    uint64 // number of the next record; of the goroutine that adds
	pending []byte // records that are not written; of the same goroutine
	first   uint64 // number of the first of them
	ranges  span   // of them

	readers chan struct{} // one for each goroutine that reads

	mu      sync.Mutex // guards what follows
	kept    []*segment // the oldest first; the last is written to, if file is set
	file    *os.File   // nil: the next record begins a segment
	total   int64      // bytes of all
	lost    int64      // records that could not be written
	toldErr time.Time  // when a failure was last logged
}

// segment is a file of records.
type segment struct {
	first uint64 // number of its first record
	bytes int64  // that are known to be whole
	span         // of its records; zero: not known
}

// span is what the records of a part of the log have in common.
type span struct {
	minSeq, maxSeq uint64
	lastAt         time.Time // of the latest
}

func (s *span) add(seq uint64, at time.Time) {
	if s.minSeq == 0 || seq < s.minSeq {
		s.minSeq = seq
	}
	s.maxSeq = max(s.maxSeq, seq)
	if at.After(s.lastAt) {
		s.lastAt = at
	}
}

// hasAny reports whether one of some numbers, which rise, may be of the records.
func (s *span) hasAny(seqs []uint64) bool {
	i, _ := slices.BinarySearch(seqs, s.minSeq)
	return i < len(seqs) && seqs[i] <= s.maxSeq
}

func (s *span) merge(other span) {
	if other.minSeq != 0 {
		s.add(other.minSeq, other.lastAt)
		s.add(other.maxSeq, other.lastAt)
	}
}

// Open opens the log in a directory, and makes one if there is none. What is
// damaged in it is left out when it is read. An error means that the directory
// cannot be used.
func Open(o Options) (*Log, error) {
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("deliveries that are kept: %w", err)
	}
	l := &Log{dir: o.Dir, limit: max(o.Limit, MinLimit), retention: o.Retention, log: o.Logger, next: max(o.First, 1), readers: make(chan struct{}, maxReaders)}
	l.size = min(l.limit/segments, maxSegment)
	names, err := segmentsOf(o.Dir)
	if err != nil {
		return nil, fmt.Errorf("deliveries that are kept: %w", err)
	}
	for _, first := range names {
		info, err := os.Stat(l.path(first))
		if err != nil {
			continue
		}
		l.kept = append(l.kept, &segment{first: first, bytes: info.Size(), span: span{lastAt: info.ModTime()}})
		l.total += info.Size()
	}
	l.reopenLast()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.evict(0)
	return l, nil
}

// Remove removes what a log has kept in a directory.
func Remove(dir string) error {
	names, err := segmentsOf(dir)
	if err != nil || names == nil {
		return err
	}
	for _, first := range names {
		err = errors.Join(err, os.Remove(filepath.Join(dir, nameOf(first))))
	}
	return errors.Join(err, os.Remove(dir))
}

func nameOf(first uint64) string { return fmt.Sprintf("%020d.dlv", first) }

func (l *Log) path(first uint64) string { return filepath.Join(l.dir, nameOf(first)) }

// segmentsOf returns the numbers of a directory's segments, rising; nil if there
// is no such directory.
func segmentsOf(dir string) ([]uint64, error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	list := []uint64{}
	for _, e := range entries { // sorted by name
		digits, ok := strings.CutSuffix(e.Name(), ".dlv")
		n, err := strconv.ParseUint(digits, 10, 64)
		if ok && err == nil && nameOf(n) == e.Name() {
			list = append(list, n)
		}
	}
	return list, nil
}

// reopenLast finds the last number that was given, removes what a process that
// was killed has left at the end of the newest segment, and goes on with that.
func (l *Log) reopenLast() {
	if len(l.kept) == 0 {
		return
	}
	s := l.kept[len(l.kept)-1]
	l.next = max(l.next, s.first+1)
	b, err := os.ReadFile(l.path(s.first))
	if err != nil {
		l.log.Warn("what is kept of deliveries cannot be read", "path", l.path(s.first), "err", err)
		return
	}
	parts, end, err := split(b)
	for _, body := range parts {
		l.next = max(l.next, numberOf(body)+1)
		s.add(seqOf(body), atOf(body))
	}
	if err != nil || len(b) < len(magic) {
		l.log.Warn("what is kept of deliveries is damaged, and read as far as it is whole", "path", l.path(s.first), "err", err)
		return // the next record begins another segment
	}
	if l.file, err = os.OpenFile(l.path(s.first), os.O_WRONLY, 0); err == nil {
		err = l.file.Truncate(end)
	}
	if err == nil {
		_, err = l.file.Seek(end, io.SeekStart)
	}
	if err != nil {
		l.closeFile()
		l.log.Warn("what is kept of deliveries cannot be written to", "path", l.path(s.first), "err", err)
		return
	}
	l.total += end - s.bytes
	s.bytes = end
}

// split returns the bodies of a segment's records that are whole, and where the
// last of them ends. The error says what is damaged before the end.
func split(b []byte) (bodies [][]byte, end int64, err error) {
	if len(b) < len(magic) || string(b[:len(magic)]) != magic {
		return nil, 0, fmt.Errorf("%w: it does not begin as such a file does", errDamaged)
	}
	end = int64(len(magic))
	for rest := b[len(magic):]; len(rest) > 0; {
		body, after, ok, bad := readFrame(rest)
		if !ok {
			return bodies, end, err
		}
		if bad != nil {
			err = errors.Join(err, fmt.Errorf("byte %d: %w", len(b)-len(rest), bad))
		} else {
			bodies = append(bodies, body)
		}
		rest = after
		end = int64(len(b) - len(rest))
	}
	return bodies, end, err
}

// maxWaiting limits the bytes that are added and not written.
const maxWaiting = 16 << 20

// Add adds a record, and gives it its number. Flush writes it. It keeps nothing
// of r. A payload that would take much of the log is left out.
func (l *Log) Add(r *Record) {
	r.Number = l.next
	l.next++
	one := *r
	if int64(len(r.Payload)+len(r.Request)) > l.limit/8 {
		one.Payload, one.Request = nil, nil
	}
	if len(l.pending) == 0 {
		l.first = r.Number
	}
	l.pending = appendRecord(l.pending, &one)
	l.ranges.add(r.Seq, r.At)
	if len(l.pending) >= maxWaiting {
		l.Flush()
	}
}

// Flush writes what was added. What cannot be written is lost.
func (l *Log) Flush() {
	if len(l.pending) == 0 {
		return
	}
	l.mu.Lock()
	if err := l.write(); err != nil {
		l.lost += int64(l.next - l.first)
		l.closeFile() // what was written of it is removed when it is read
		if now := time.Now(); now.Sub(l.toldErr) > time.Minute {
			l.toldErr = now
			lost := l.lost
			go l.log.Warn("deliveries are not kept", "err", err, "lost", lost)
		}
	}
	l.mu.Unlock()
	l.ranges = span{}
	if l.pending = l.pending[:0]; cap(l.pending) > 1<<20 {
		l.pending = nil
	}
}

// write writes the records that wait to the newest segment. The caller holds the
// lock.
func (l *Log) write() error {
	l.evict(int64(len(l.pending)))
	if l.file != nil && l.newest().bytes >= l.size {
		l.closeFile()
	}
	if l.file == nil {
		if err := l.begin(); err != nil {
			return err
		}
	}
	s := l.newest()
	n, err := l.file.Write(l.pending)
	if err != nil {
		_ = l.file.Truncate(s.bytes) // so that what follows is found
		return err
	}
	s.bytes += int64(n)
	l.total += int64(n)
	s.merge(l.ranges)
	return nil
}

func (l *Log) newest() *segment { return l.kept[len(l.kept)-1] }

// begin begins a segment. The caller holds the lock.
func (l *Log) begin() error {
	f, err := os.OpenFile(l.path(l.first), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	if _, err := f.WriteString(magic); err != nil {
		f.Close()
		_ = os.Remove(l.path(l.first))
		return err
	}
	l.file = f
	l.kept = append(l.kept, &segment{first: l.first, bytes: int64(len(magic))})
	l.total += int64(len(magic))
	return nil
}

func (l *Log) closeFile() {
	if l.file != nil {
		l.file.Close()
		l.file = nil
	}
}

// evict removes the oldest segments so that there is room for more bytes. The
// caller holds the lock.
func (l *Log) evict(more int64) {
	for len(l.kept) > 0 && (l.total+more > l.limit || l.isOld(l.kept[0])) {
		l.removeOldest()
	}
}

// isOld reports whether all of a segment is older than the retention.
func (l *Log) isOld(s *segment) bool {
	return l.retention > 0 && !s.lastAt.IsZero() && time.Since(s.lastAt) > l.retention
}

func (l *Log) removeOldest() {
	s := l.kept[0]
	if len(l.kept) == 1 {
		l.closeFile()
	}
	_ = os.Remove(l.path(s.first)) // one that stays is removed at the next start
	l.kept = slices.Delete(l.kept, 0, 1)
	l.total -= s.bytes
}

// Shrink removes the oldest of what is kept, at least so many bytes if there are
// as many, and returns how many it has removed.
func (l *Log) Shrink(bytes int64) (removed int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for len(l.kept) > 0 && removed < bytes {
		removed += l.kept[0].bytes
		l.removeOldest()
	}
	return removed
}

// Sweep removes what is older than the retention.
func (l *Log) Sweep() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.evict(0)
}

// Stats are the figures of a log.
type Stats struct {
	Bytes, Limit int64
	Lost         int64 // records that could not be written since it was opened
}

// Stats returns the figures as of now.
func (l *Log) Stats() Stats {
	l.mu.Lock()
	defer l.mu.Unlock()
	return Stats{Bytes: l.total, Limit: l.limit, Lost: l.lost}
}

// Close writes what was added.
func (l *Log) Close() {
	l.Flush()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closeFile()
}

// Files calls add for each segment as it is now, the oldest first. content may
// be read until add returns. One that is removed meanwhile is left out.
func (l *Log) Files(add func(name string, size int64, content io.Reader) error) error {
	for _, s := range l.snapshot() {
		f, err := os.Open(l.path(s.first))
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		err = add(nameOf(s.first), s.bytes, io.LimitReader(f, s.bytes))
		f.Close()
		if err != nil {
			return err
		}
	}
	return nil
}

// snapshot returns copies of the segments, the oldest first.
func (l *Log) snapshot() []segment {
	l.mu.Lock()
	defer l.mu.Unlock()
	list := make([]segment, len(l.kept))
	for i, s := range l.kept {
		list[i] = *s
	}
	return list
}

// know notes the span of a segment that was read whole.
func (l *Log) know(first uint64, s span) {
	l.mu.Lock()
	defer l.mu.Unlock()
	i, ok := slices.BinarySearchFunc(l.kept, first, func(s *segment, n uint64) int {
		switch {
		case s.first < n:
			return -1
		case s.first > n:
			return 1
		}
		return 0
	})
	if ok && l.kept[i].minSeq == 0 {
		l.kept[i].span = s
	}
}
