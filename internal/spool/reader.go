package spool

import (
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"time"
)

// What ends a Read beside an error of the log.
var (
	// ErrMark: a mark comes next, which Reader.Mark returns.
	ErrMark = errors.New("a mark")
	// ErrWoken: the Reader was woken, and there is nothing to read.
	ErrWoken = errors.New("woken")
)

// DamageError tells of bytes that a file should have, and has not.
type DamageError struct {
	File   string
	Offset int64   // in the file
	Next   Address // where the log goes on
	Err    error
}

func (e *DamageError) Error() string {
	return fmt.Sprintf("spool: %s, byte %d: %v", e.File, e.Offset, e.Err)
}

func (e *DamageError) Unwrap() error { return e.Err }

// Reader reads a log. It is for one goroutine, but Poke.
type Reader struct {
	// Wake returns when a Read that has nothing to read is to end with ErrWoken;
	// the zero time is never. nil: never.
	Wake func() time.Time

	l        *Log
	at       Address
	mark     Mark
	markTime time.Time
	arrivals []arrival // of what was read, from next on
	next     int
	timer    *time.Timer
	waited   bool
	emptyAt  time.Time     // when settle last saw that there was nothing
	poked    chan struct{} // capacity 1

	// Where the reader is in the files; zero while it is not.
	file  *os.File
	seg   *segment
	place int64 // behind the present frame
	frame frame
	buf   []byte
	off   int // of the present frame's bytes, that are read
}

// NewReader returns a reader from an address on, in the place of the one before.
// The error is that the log does not have what comes next.
func (l *Log) NewReader(at Address) (*Reader, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.has(at) {
		return nil, fmt.Errorf("spool: nothing is at address %x", int64(at))
	}
	l.read, l.since = at, math.MaxInt64
	r := &Reader{l: l, at: at, poked: make(chan struct{}, 1), timer: time.NewTimer(time.Hour)}
	r.timer.Stop()
	return r, nil
}

// has reports whether a reader can begin at an address. The caller holds the
// lock.
func (l *Log) has(at Address) bool {
	if at == l.end || l.inMemory(at) {
		return true
	}
	return l.segmentOf(at) != nil
}

// inMemory reports whether the byte or mark at an address is in memory. The
// caller holds the lock.
func (l *Log) inMemory(at Address) bool {
	return len(l.blocks) > 0 && at >= l.blocks[0].from && at < l.end
}

// segmentOf returns the segment that has an address; nil: none has. The caller
// holds the lock.
func (l *Log) segmentOf(at Address) *segment {
	for _, s := range l.segments {
		if at >= s.base && at < s.end {
			return s
		}
	}
	return nil
}

// At returns the address of what is read next.
func (r *Reader) At() Address { return r.at }

// Poke ends a Read that has nothing to read, or the next one. Any goroutine may
// call it.
func (r *Reader) Poke() { signal(r.poked) }

// Waited reports whether the Read that was woken had waited for its time, and
// nothing has come for a while before it.
func (r *Reader) Waited(while time.Duration) bool {
	r.l.mu.Lock()
	defer r.l.mu.Unlock()
	return r.waited && time.Since(r.l.time(r.l.heard)) >= while
}

// AtEnd reports whether the Reader has had all that is in the log now.
func (r *Reader) AtEnd() bool {
	r.l.mu.Lock()
	defer r.l.mu.Unlock()
	return r.at == r.l.end
}

// EmptyAt returns when the Read that was woken saw that there was nothing to
// read: what came before was read, what is read next came later.
func (r *Reader) EmptyAt() time.Time { return r.emptyAt }

// Read reads bytes that come before the next mark. Where there are none it
// waits. Errors are ErrMark, ErrWoken, a *DamageError, and why the log has
// failed.
func (r *Reader) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	r.waited = false
	for {
		n, err := r.take(p)
		if n > 0 || err != nil {
			return n, err
		}
		if !r.wait() {
			return 0, ErrWoken
		}
	}
}

// wait waits until there may be something, and reports false if the reader is
// to be woken though there is nothing.
func (r *Reader) wait() bool {
	var at time.Time
	if r.Wake != nil {
		at = r.Wake()
	}
	var due <-chan time.Time
	if !at.IsZero() {
		d := time.Until(at)
		if d <= 0 {
			return !r.wake()
		}
		r.timer.Reset(d)
		defer r.timer.Stop()
		due = r.timer.C
	}
	select {
	case <-r.l.news:
		return true
	case <-r.poked:
	case <-due:
		r.waited = true
	}
	return !r.wake()
}

// wake is settle for a Read that is to be woken. If there is nothing, whoever has
// poked it is answered too, whatever it was woken for: no later Read is.
func (r *Reader) wake() bool {
	if !r.settle() {
		return false
	}
	select {
	case <-r.poked:
	default:
	}
	return true
}

// settle reports whether there is nothing to read. Then what comes later has
// come after now.
func (r *Reader) settle() bool {
	l := r.l
	now := time.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	if r.at < l.end || l.failed != nil {
		return false
	}
	l.last = max(l.last, l.micros(now))
	r.emptyAt = now
	return true
}

// take reads what is there. Nothing without an error means that nothing is.
func (r *Reader) take(p []byte) (int, error) {
	l := r.l
	l.mu.Lock()
	switch {
	case l.failed != nil:
		defer l.mu.Unlock()
		return 0, l.failed
	case r.at == l.end:
		defer l.mu.Unlock()
		return 0, nil
	case l.inMemory(r.at):
		defer l.mu.Unlock()
		r.leaveFiles()
		n, err := r.fromMemory(p)
		r.pass()
		return n, err
	}
	l.mu.Unlock()
	n, err := r.fromFiles(p)
	l.mu.Lock()
	defer l.mu.Unlock()
	r.pass()
	return n, err
}

// pass notes how far the reader is. The caller holds the log's lock.
func (r *Reader) pass() {
	l := r.l
	l.read = r.at
	if r.at == l.end {
		l.since = math.MaxInt64
	}
	l.release()
}

// fromMemory reads from a block. The caller holds the log's lock.
func (r *Reader) fromMemory(p []byte) (int, error) {
	l := r.l
	b := l.blocks[0]
	for _, b = range l.blocks {
		if r.at < b.end() {
			break
		}
	}
	i := len(b.arrivals)
	for i > 0 && b.arrivals[i-1].end > r.at { // from behind: a reader that keeps up is there
		i--
	}
	return r.copy(p, b.buf[r.at-b.from:b.n], b.arrivals[i:], 0)
}

// copy reads from bytes, and marks among them, that arrivals tell of, whose
// times are to be shifted.
func (r *Reader) copy(p, b []byte, arrivals []arrival, shift int64) (int, error) {
	if m := arrivals[0].mark; m != nil {
		r.mark, r.markTime = *m, r.l.time(arrivals[0].time+shift)
		return 0, ErrMark
	}
	if r.next >= len(r.arrivals)/2 {
		r.arrivals, r.next = r.arrivals[:copy(r.arrivals, r.arrivals[r.next:])], 0
	}
	n := 0
	for _, a := range arrivals {
		if a.mark != nil || n == len(p) {
			break
		}
		k := min(int(a.end-r.at), len(p)-n)
		r.at += Address(k)
		n += k
		r.arrivals = append(r.arrivals, arrival{end: r.at, time: a.time + shift})
	}
	return copy(p, b[:n]), nil
}

// Mark returns the mark that ended a Read, and when it was made, and goes behind
// it.
func (r *Reader) Mark() (Mark, time.Time) {
	r.l.mu.Lock()
	defer r.l.mu.Unlock()
	r.at++
	r.pass()
	return r.mark, r.markTime
}

// Time returns when the byte before an address came, which was read, and up to
// which address all that was read came with it. Addresses must not go back from
// call to call.
func (r *Reader) Time(at Address) (t time.Time, end Address) {
	for r.next < len(r.arrivals)-1 && r.arrivals[r.next].end < at {
		r.next++
	}
	if r.next == len(r.arrivals) {
		return r.l.base, at
	}
	a := &r.arrivals[r.next]
	return r.l.time(a.time), a.end
}

// LastTime returns when the bytes came that were read last.
func (r *Reader) LastTime() time.Time {
	if len(r.arrivals) == 0 {
		return r.l.base
	}
	return r.l.time(r.arrivals[len(r.arrivals)-1].time)
}

// Skip goes on at an address that is not before the reader's.
func (r *Reader) Skip(to Address) {
	r.leaveFiles()
	r.l.mu.Lock()
	defer r.l.mu.Unlock()
	r.at, r.arrivals, r.next = max(r.at, min(to, r.l.end)), r.arrivals[:0], 0
	r.pass()
}

// fromFiles reads from the segment that has the reader's address.
func (r *Reader) fromFiles(p []byte) (int, error) {
	l := r.l
	for {
		if r.seg == nil {
			if err := r.openSegment(); err != nil {
				return 0, err
			}
		}
		f := &r.frame
		if f.size > 0 && r.at < f.end() {
			if f.mark != nil {
				r.mark, r.markTime = *f.mark, l.time(f.time+r.seg.shift)
				return 0, ErrMark
			}
			i := 0
			for f.arrivals[i].end <= r.at {
				i++
			}
			return r.copy(p, f.bytes[r.at-f.at:], f.arrivals[i:], r.seg.shift)
		}
		l.mu.Lock()
		end, size := r.seg.end, r.seg.size
		l.mu.Unlock()
		if r.at >= end {
			r.leaveFiles()
			continue
		}
		if err := r.readFrame(size); err != nil {
			return 0, r.damaged(err)
		}
	}
}

// openSegment opens the segment that has the reader's address.
func (r *Reader) openSegment() error {
	l := r.l
	l.mu.Lock()
	s := l.segmentOf(r.at)
	l.mu.Unlock()
	if s == nil {
		return r.damaged(errGap)
	}
	f, err := os.Open(s.path)
	if err != nil {
		r.seg = s
		return r.damaged(err)
	}
	r.file, r.seg, r.place, r.frame.size, r.frame.at = f, s, int64(headerSize), 0, s.base
	if r.buf == nil {
		r.buf = make([]byte, 0, batch)
	}
	r.buf, r.off = r.buf[:0], 0
	return nil
}

var errGap = errors.New("the log has a gap")

// damaged makes a DamageError, and tells where to go on.
func (r *Reader) damaged(err error) error {
	l := r.l
	l.mu.Lock()
	defer l.mu.Unlock()
	e := &DamageError{File: l.o.Dir, Next: l.end, Err: err}
	if r.seg != nil {
		e.File, e.Offset = r.seg.path, r.place
	}
	for _, s := range l.segments {
		if s.base > r.at {
			e.Next = s.base
			break
		}
	}
	return e
}

// readFrame reads frames up to the one that has the reader's address, which is
// before the segment's end.
func (r *Reader) readFrame(size int64) error {
	at := r.frame.at
	if r.frame.size > 0 {
		at = r.frame.end()
	}
	for {
		if err := r.need(frameHead, size); err != nil {
			return err
		}
		n, err := frameSize(r.buf[r.off:])
		if err != nil {
			return err
		}
		if err := r.need(n, size); err != nil {
			return err
		}
		if err := r.frame.parse(r.buf[r.off:], at); err != nil {
			return err
		}
		r.off += n
		r.place += int64(n)
		if at = r.frame.end(); at > r.at {
			return nil
		}
	}
}

// need makes sure that the buffer has n bytes of the file, which is of a size.
func (r *Reader) need(n int, size int64) error {
	have := len(r.buf) - r.off
	if have >= n {
		return nil
	}
	copy(r.buf[:have], r.buf[r.off:])
	r.buf, r.off = r.buf[:have], 0
	if n > cap(r.buf) {
		b := make([]byte, have, n)
		copy(b, r.buf)
		r.buf = b
	}
	from := r.place + int64(have)
	k := min(int64(cap(r.buf)-have), size-from)
	if int64(n-have) > k {
		return errCut
	}
	m, err := r.file.ReadAt(r.buf[have:have+int(k)], from)
	r.buf = r.buf[:have+m]
	if m >= n-have {
		return nil
	}
	if err == io.EOF {
		err = errCut
	}
	return err
}

// leaveFiles closes the file that is read, if there is one.
func (r *Reader) leaveFiles() {
	if r.file != nil {
		r.file.Close() // it was read only
	}
	r.file, r.seg, r.frame.size = nil, nil, 0
}

// Close lets go of what the reader holds.
func (r *Reader) Close() { r.leaveFiles() }
