package spool

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"triggerd/internal/disk"
)

// Options configures a Log. The zero value is a log in memory.
type Options struct {
	Dir    string // of the files, which Open makes; "": in memory only
	Stream string // whose it is, for the log
	Limit  int64  // bytes of files; default 1 GiB
	Memory int    // bytes of memory; default 16 MiB, at least four blocks of 256 KiB

	// MinFree is how many bytes of the disk are left free; default a twentieth
	// of it, but between 72 MiB and 1.125 GiB.
	MinFree int64

	WriteEvery time.Duration // how long bytes may wait for the file; default 10 ms
	SyncEvery  time.Duration // default 1 s

	Logger *slog.Logger // nil: none

	FS disk.FS // nil: the operating system's; for tests
}

// Dir returns the directory of a stream's log within a data directory.
func Dir(dataDir, stream string) string {
	return filepath.Join(dataDir, "spool", strings.ReplaceAll(url.PathEscape(stream), ".", "%2E"))
}

const (
	blockSize  = 256 << 10
	minRoom    = 16 << 10 // bytes that are read for at least
	minSegment = 1 << 20
	maxSegment = 64 << 20
)

func (o Options) withDefaults() Options {
	o.Limit = cmp.Or(o.Limit, 1<<30)
	o.Memory = max(cmp.Or(o.Memory, 16<<20), 4*blockSize)
	o.WriteEvery = cmp.Or(o.WriteEvery, 10*time.Millisecond)
	o.SyncEvery = cmp.Or(o.SyncEvery, time.Second)
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.FS == nil {
		o.FS = disk.System
	}
	return o
}

// segmentSize is at what size a new segment is begun: so that what is trimmed
// goes soon, and there are few files.
func (o *Options) segmentSize() int64 { return min(max(o.Limit/16, minSegment), maxSegment) }

// Log is a spool. Room, Append and Mark are for the goroutine that receives, a
// Reader is for the one that reads; all else is for any.
type Log struct {
	o   Options
	log *slog.Logger

	recovered time.Time // see Recovered

	base time.Time // when the log was opened: times are counted from it by the monotonic clock

	news   chan struct{} // capacity 1: the reader has something to look at
	room   chan struct{} // capacity 1: Room may find some
	work   chan struct{} // capacity 1: Run has something to do
	demand chan struct{} // capacity 1: at once

	mu       sync.Mutex // guards what follows
	blocks   []*block   // in memory, the oldest first, each going on where the one before ends
	spare    []*block
	segments []*segment // in files, the oldest first
	doomed   []*segment // to be removed
	runs     runs
	end      Address       // of the log
	written  Address       // all before it is in files, or was given up
	writing  Address       // what is before it and behind written is just being written
	synced   Address       // likewise, and outlives the machine
	wanted   Address       // by Sync
	needed   Address       // by Flush; 0: none
	ended    bool          // Run has
	patient  bool          // something was trimmed since the last that was given up
	crowded  time.Time     // since when nothing is received, for what may soon be trimmed; zero: it is
	trimmed  Address       // by Trim
	kept     Address       // what is before it may go: it was trimmed, or given up
	lost     Address       // behind what was given up before it was in a file
	read     Address       // the reader has had all before it
	last     int64         // time of what was appended last, or when the reader last saw that there was nothing
	heard    int64         // when something was appended last
	since    int64         // when what the reader has not had began to come; math.MaxInt64: it has had all
	full     error         // why nothing can be written at present
	failed   error         // why nothing can be done any more
	hole     bool          // what comes next to a file does not go on where that ends
	given    int64         // bytes that went though they were not trimmed
	settled  chan struct{} // closed and replaced when what Sync and Flush wait for has changed
}

// block is a piece of memory that is filled once.
type block struct {
	from     Address
	n        int // bytes of buf that are used; a mark takes one
	buf      []byte
	arrivals []arrival
}

func (b *block) end() Address { return b.from + Address(b.n) }

// Open opens the log of a directory, or makes one. What an earlier process has
// left is read, and checked. What it lost is told in Recovered.
func Open(o Options) (*Log, error) {
	o = o.withDefaults()
	now := time.Now()
	l := &Log{
		o: o, log: o.Logger, base: now.Add(-time.Duration(now.Nanosecond() % 1000)), since: math.MaxInt64,
		news: make(chan struct{}, 1), room: make(chan struct{}, 1), work: make(chan struct{}, 1), demand: make(chan struct{}, 1),
		settled: make(chan struct{}),
	}
	if o.Dir == "" {
		return l, nil
	}
	if err := l.recover(); err != nil {
		return nil, fmt.Errorf("spool: %w", err)
	}
	return l, nil
}

// signal sends to a channel with room for one, which is enough.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// micros is a time as the log counts it.
func (l *Log) micros(t time.Time) int64 {
	d := t.Sub(l.base)
	us := d.Microseconds()
	if d < 0 && d%time.Microsecond != 0 {
		us-- // what is before its microsecond's end is in it
	}
	return l.base.UnixMicro() + us
}

// time undoes micros. It has a reading of the monotonic clock, so that it is not
// moved by who sets the machine's clock.
func (l *Log) time(us int64) time.Time {
	return l.base.Add(time.Duration(us-l.base.UnixMicro()) * time.Microsecond)
}

// Room returns where the next bytes are to be read to, at least one: memory of
// the log, to be used until the next call of Append or Mark. It waits while the
// log is full and the reader behind. The error is that of ctx, or why the log
// has failed.
func (l *Log) Room(ctx context.Context) ([]byte, error) {
	for told := false; ; told = true {
		l.mu.Lock()
		b, err := l.space()
		l.mu.Unlock()
		if b != nil || err != nil {
			return b, err
		}
		if !told {
			signal(l.demand)
		}
		timer := time.NewTimer(patience / 4)
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil, context.Cause(ctx)
		case <-l.room:
			timer.Stop()
		case <-timer.C:
		}
	}
}

// space returns free memory, nil if there is none. The caller holds the lock.
func (l *Log) space() ([]byte, error) {
	if l.failed != nil {
		return nil, l.failed
	}
	if n := len(l.blocks); n > 0 {
		if b := l.blocks[n-1]; blockSize-b.n >= minRoom && len(b.arrivals) < maxReads {
			return b.buf[b.n:blockSize:blockSize], nil
		}
	}
	if l.overLimit() {
		if l.mayBeTrimmed() || !l.giveUp() {
			return nil, nil
		}
	}
	l.crowded = time.Time{}
	if len(l.blocks) >= l.o.Memory/blockSize && !l.evict() {
		return nil, nil
	}
	return l.addBlock().buf[:blockSize:blockSize], nil
}

// addBlock makes a block at the end. The caller holds the lock.
func (l *Log) addBlock() *block {
	var b *block
	if n := len(l.spare); n > 0 {
		b, l.spare = l.spare[n-1], l.spare[:n-1]
	} else {
		b = &block{buf: make([]byte, blockSize)}
	}
	b.from, b.n, b.arrivals = l.end, 0, b.arrivals[:0]
	l.blocks = append(l.blocks, b)
	return b
}

// maxSpare is how many blocks are kept for later: where the reader keeps up, the
// same few are used again and again, and stay in the processor's cache.
const maxSpare = 16

// release drops the blocks that nobody needs any more: they are read, and
// written. The caller holds the lock.
func (l *Log) release() {
	done := l.read
	if l.o.Dir != "" {
		done = min(done, l.written)
	}
	n := 0
	for n < len(l.blocks) && l.blocks[n].end() <= done && (n < len(l.blocks)-1 || l.blocks[n].n > blockSize-minRoom) {
		n++
	}
	l.drop(n)
}

// drop frees the first n blocks. The caller holds the lock.
func (l *Log) drop(n int) {
	if n == 0 {
		return
	}
	for _, b := range l.blocks[:n] {
		if len(l.spare) < maxSpare {
			l.spare = append(l.spare, b)
		}
	}
	rest := copy(l.blocks, l.blocks[n:])
	clear(l.blocks[rest:])
	l.blocks = l.blocks[:rest]
	signal(l.room)
}

// evict makes room in memory: what is in a file can be read there. Where the
// disk takes nothing, what was read is given up. The caller holds the lock.
func (l *Log) evict() bool {
	l.release()
	if len(l.blocks) < l.o.Memory/blockSize {
		return true
	}
	first := l.blocks[0].end()
	switch {
	case l.o.Dir != "" && first <= l.written:
	case l.o.Dir != "" && l.full != nil && first <= l.read && l.writing <= l.written:
		l.giveUpTo(first)
	default:
		return false
	}
	l.drop(1)
	return true
}

// Append adds the first n bytes of what Room returned last, which came at a
// time. It waits for nothing.
func (l *Log) Append(n int, at time.Time) {
	l.mu.Lock()
	b := l.blocks[len(l.blocks)-1]
	if n < 0 || n > blockSize-b.n {
		l.mu.Unlock()
		panic("spool: Append of more than Room gave")
	}
	if n > 0 {
		b.n += n
		l.end += Address(n)
		l.runs.grow(l.end)
		l.arrive(b, l.micros(at), nil)
	}
	much := l.o.Dir != "" && l.end-l.written >= blockSize
	l.mu.Unlock()
	signal(l.news)
	if much {
		signal(l.demand)
	}
}

// Mark adds a mark, and returns the address behind it. It waits for nothing.
func (l *Log) Mark(m Mark, at time.Time) Address {
	l.mu.Lock()
	defer l.mu.Unlock()
	defer signal(l.news)
	var b *block
	if n := len(l.blocks); n > 0 && l.blocks[n-1].n < blockSize {
		b = l.blocks[n-1]
	} else {
		b = l.addBlock()
	}
	switch m.Kind {
	case Attached, Renamed:
		l.runs.begin(l.end, &m)
	case Detached:
		l.runs.close(l.end)
	}
	b.n++
	l.end++
	l.arrive(b, l.micros(at), &m)
	return l.end
}

// arrive notes when the newest bytes of a block came. Time does not go back. The
// caller holds the lock.
func (l *Log) arrive(b *block, at int64, m *Mark) {
	if l.since == math.MaxInt64 {
		l.since = at
	}
	l.last, l.heard = max(l.last, at), at
	b.arrivals = append(b.arrivals, arrival{end: l.end, time: l.last, mark: m})
	if l.o.Dir != "" {
		signal(l.work)
	}
}

// Trim says that nothing before an address is needed any more. What the reader
// has not had stays.
func (l *Log) Trim(at Address) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if at <= l.trimmed {
		return
	}
	if l.lost > l.trimmed && l.lost <= at {
		l.settle()
	}
	l.trimmed, l.patient = at, true
	l.kept = max(l.kept, at)
	l.trim(l.kept)
}

// trim has the segments removed that end before an address, and what the reader
// has had. The caller holds the lock.
func (l *Log) trim(at Address) {
	at = min(at, l.read)
	l.runs.trim(at)
	n := 0
	for n < len(l.segments)-1 && l.segments[n].end <= at && l.segments[n].clean {
		n++
	}
	if n == 0 {
		return
	}
	l.doomed = append(l.doomed, l.segments[:n]...)
	l.segments = append(l.segments[:0:0], l.segments[n:]...)
	signal(l.work)
	signal(l.room)
}

// size is how many bytes are in files, or wait for them. The caller holds the
// lock.
func (l *Log) size() int64 {
	n := int64(0)
	if l.o.Dir == "" {
		for _, b := range l.blocks {
			n += int64(b.n)
		}
		return n
	}
	for _, s := range l.segments {
		n += s.size
	}
	return n + int64(l.end-l.written)
}

func (l *Log) overLimit() bool { return l.o.Dir != "" && l.size() >= l.o.Limit }

// patience is how long nothing is received for what may soon be trimmed.
const patience = time.Second

// mayBeTrimmed reports whether to wait for room before anything is given up: who
// trims has done so lately. The caller holds the lock.
func (l *Log) mayBeTrimmed() bool {
	if !l.patient {
		return false
	}
	if l.crowded.IsZero() {
		l.crowded = time.Now()
	}
	l.wanted = max(l.wanted, l.written) // what is not synced cannot go
	l.patient = time.Since(l.crowded) < patience
	return l.patient
}

// giveUp lets go of the oldest segments, if they are read. The caller holds the
// lock.
func (l *Log) giveUp() bool {
	if len(l.segments) < 2 || l.segments[0].end > l.read || !l.segments[0].clean {
		return false
	}
	l.giveUpTo(l.segments[0].end)
	return !l.overLimit()
}

// giveUpTo drops what is before an address though it was not trimmed. The caller
// holds the lock.
func (l *Log) giveUpTo(at Address) {
	if at > l.kept {
		if l.given == 0 {
			l.log.Error("the spool is full: the oldest of it goes though it may be needed at the next start, which then asks the server for it", "stream", l.o.Stream, "limit", l.o.Limit, "err", l.full)
		}
		l.given += int64(at - max(l.kept, l.first()))
		l.kept = at
	}
	if at > l.written {
		l.written, l.writing, l.lost = at, at, at
		l.hole = true
	}
	l.trim(at)
}

// first is the oldest address that can be read. The caller holds the lock.
func (l *Log) first() Address {
	switch {
	case len(l.segments) > 0:
		return l.segments[0].base
	case len(l.blocks) > 0:
		return l.blocks[0].from
	}
	return l.end
}

// Find returns the address of a place, the newest if there are several, and
// false if the log does not have it.
func (l *Log) Find(p Place) (Address, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	at, ok := l.runs.find(p)
	return at, ok && at >= l.first()
}

// FindAttached returns the address of the first mark behind an address at which
// a stream goes back to an offset of the same history, after something of it
// could not be read; false: there is none.
func (l *Log) FindAttached(after Address, offset int64) (Address, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := range l.runs {
		r := &l.runs[i]
		switch {
		case r.from <= after:
		case r.full:
			return 0, false
		case !r.follows && !r.back && r.place.Offset == offset:
			return r.from - 1, true
		}
	}
	return 0, false
}

// FindFull returns the address of the first mark behind an address that tells of
// a snapshot, and the place before it; false: there is none.
func (l *Log) FindFull(after Address) (at Address, before Place, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := range l.runs {
		if r := &l.runs[i]; r.full && r.from > after {
			before, _ = l.runs.at(r.from - 1)
			return r.from - 1, before, true
		}
	}
	return 0, Place{}, false
}

// FindDead returns the first part behind an address that the history went back
// over, as the marks before a limit tell; false: there is none. A reader may be in
// it already.
func (l *Log) FindDead(at, limit Address) (Dead, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.runs.dead(at, limit)
}

// Lineage returns the names that the history at the end of the log has had, the
// newest first, each with the offset up to which it had it; nil: there is none.
func (l *Log) Lineage() []Place {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.runs.lineage()
}

// End returns the end of the log, and its place in a history; zero if there is
// none.
func (l *Log) End() (Address, Place) {
	l.mu.Lock()
	defer l.mu.Unlock()
	p, _ := l.runs.at(l.end)
	return l.end, p
}

// Reset forgets all that the log has. Addresses go on to rise.
func (l *Log) Reset() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.doomed = append(l.doomed, l.segments...)
	l.segments, l.runs = nil, nil
	l.drop(len(l.blocks))
	l.written, l.synced, l.read, l.kept, l.trimmed = l.end, l.end, l.end, l.end, l.end
	l.since = math.MaxInt64
	signal(l.work)
}

// Stats tells how a log is doing.
type Stats struct {
	Bytes   int64     // in files, or on the way there; without files, in memory
	Limit   int64     // of Bytes
	Unread  int64     // bytes that the reader has not had
	Since   time.Time // when what the reader has not had came, at the earliest; zero: it has had all
	GivenUp int64     // bytes that went though they were not trimmed
	Full    string    // why nothing is written at present; "": it is
	Files   bool      // the log has files

	First, End, Written, Synced Address
}

// Stats may be called by any goroutine.
func (l *Log) Stats() Stats {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := Stats{Files: l.o.Dir != "", Bytes: l.size(), Limit: l.o.Limit, Unread: int64(l.end - l.read), GivenUp: l.given, First: l.first(), End: l.end, Written: l.written, Synced: l.synced}
	if l.o.Dir == "" {
		s.Limit = int64(l.o.Memory)
	}
	if l.since != math.MaxInt64 {
		s.Since = l.time(l.since)
	}
	switch {
	case l.full != nil:
		s.Full = l.full.Error()
	case l.overLimit(), l.o.Dir == "" && s.Bytes > s.Limit-blockSize:
		s.Full = fmt.Sprintf("it has %d bytes, its limit is %d", s.Bytes, s.Limit)
	}
	return s
}

// InFiles reports whether the log has files.
func (l *Log) InFiles() bool { return l.o.Dir != "" }

// Err returns why the log has failed; nil: it has not.
func (l *Log) Err() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.failed
}

// ErrMemory is the error of Sync and Flush where there are no files.
var ErrMemory = errors.New("the spool is in memory only")

// Sync waits until all before an address outlives the machine, or is trimmed.
// Run has to be running.
func (l *Log) Sync(ctx context.Context, at Address) error {
	return l.await(ctx, func() bool {
		l.wanted = max(l.wanted, min(at, l.end))
		return l.synced >= at && l.lost <= l.trimmed // what was given up was never in a file
	})
}

// Flush waits until all before an address outlives the process, and has it soon
// outlive the machine. It does not wait while the disk takes nothing, nor when
// Run has ended: who relies on it finds out at the next start what there is.
func (l *Log) Flush(ctx context.Context, at Address) error {
	return l.await(ctx, func() bool {
		at = min(at, l.end)
		l.wanted, l.needed = max(l.wanted, at), max(l.needed, at)
		return l.written >= at || l.full != nil || l.ended
	})
}

// await waits until done, which is called with the lock held.
func (l *Log) await(ctx context.Context, done func() bool) error {
	if l.o.Dir == "" {
		return ErrMemory
	}
	for {
		l.mu.Lock()
		ok, failed, settled := done(), l.failed, l.settled
		l.mu.Unlock()
		signal(l.demand)
		switch {
		case failed != nil:
			return failed
		case ok:
			return nil
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-settled:
		}
	}
}

// fail stops everything.
func (l *Log) fail(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.failed == nil {
		l.failed = fmt.Errorf("spool: %w", err)
		l.settle()
	}
	signal(l.news)
	signal(l.room)
}

// settle wakes who waits in Sync or Flush. The caller holds the lock.
func (l *Log) settle() {
	close(l.settled)
	l.settled = make(chan struct{})
}
