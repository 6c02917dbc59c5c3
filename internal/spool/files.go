package spool

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"triggerd/internal/disk"
	"triggerd/internal/failpoint"
)

// minFree is how much of a disk is left free: a little more than the store
// leaves, which is to have the last of it.
func (o *Options) minFree(of int64) int64 {
	if o.MinFree > 0 {
		return o.MinFree
	}
	return min(max(of/20, 64<<20), 1<<30) / 16 * 18
}

const suffix = ".spool"

func segmentPath(dir string, base Address) string {
	return filepath.Join(dir, fmt.Sprintf("%016x%s", int64(base), suffix))
}

// parseName returns the address that a segment's name says.
func parseName(name string) (Address, bool) {
	digits, ok := strings.CutSuffix(name, suffix)
	n, err := strconv.ParseUint(digits, 16, 63)
	return Address(n), ok && err == nil && len(digits) == 16 && n <= maxAddress
}

// segment is a file of the log. Its fields are guarded by the log's lock.
type segment struct {
	path  string
	base  Address
	end   Address
	size  int64
	clean bool      // it is complete, and synced
	named bool      // its name outlives the machine; the syncing goroutine's
	shift int64     // what is added to its times: the machine's clock may have been set back since
	f     disk.File // nil: closed
}

// flusher writes the files of a log, for as long as Run runs.
type flusher struct {
	l       *Log
	current *segment // that is written; nil: none yet
	buf     []byte
	pieces  []piece
	to      Address   // behind what is in buf
	checked time.Time // when the disk was asked last how much is free
	low     bool      // and it was too little
	synced  time.Time
}

// piece is what a frame is made of.
type piece struct {
	at       Address
	bytes    []byte
	arrivals []arrival // of bytes; of a mark that mark
}

// Run writes what is appended to the files until ctx is done, and then the rest.
// Its error is why the log has failed. A log in memory has nothing to write. It
// is to be called again only after it has returned.
func (l *Log) Run(ctx context.Context) error {
	if l.o.Dir == "" {
		<-ctx.Done()
		return nil
	}
	w := &flusher{l: l}
	l.setEnded(false)
	defer l.setEnded(true)
	syncs := make(chan struct{}, 1)
	var syncing sync.WaitGroup
	syncing.Go(func() {
		for range syncs {
			w.sync()
		}
	})
	w.run(ctx, syncs)
	close(syncs)
	syncing.Wait()
	if l.Err() == nil {
		w.flush()
		w.sync()
	}
	w.close()
	w.remove()
	return l.Err()
}

func (l *Log) setEnded(ended bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ended = ended
	l.settle()
}

// spaceRetry is how often a full disk is tried again.
const spaceRetry = time.Second

// run writes until ctx is done, or the log has failed, and asks for syncs.
func (w *flusher) run(ctx context.Context, syncs chan struct{}) {
	l := w.l
	timer := time.NewTimer(l.o.SyncEvery)
	defer timer.Stop()
	for ctx.Err() == nil && l.Err() == nil {
		pause, waits := w.pause()
		timer.Reset(pause)
		work := l.work
		if waits {
			work = nil // there will be more of it
		}
		select {
		case <-ctx.Done():
			return
		case <-l.demand:
		case <-work:
			w.remove()
			continue
		case <-timer.C:
		}
		w.remove()
		if !w.blocked() {
			w.flush()
		}
		if w.due() {
			w.synced = time.Now()
			signal(syncs)
		}
	}
}

// pause is how long to wait for something to do, and whether something waits.
func (w *flusher) pause() (pause time.Duration, waits bool) {
	l := w.l
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.full != nil:
		return spaceRetry, true
	case l.written < l.end:
		return l.o.WriteEvery, true
	case l.synced < l.end:
		return l.o.SyncEvery, false
	}
	return time.Hour, false // it is signalled before
}

// due reports whether it is time to sync.
func (w *flusher) due() bool {
	l := w.l
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.synced < l.written && (l.wanted > l.synced || time.Since(w.synced) >= l.o.SyncEvery)
}

// blocked reports whether the disk is too full to write, as it was a moment ago.
func (w *flusher) blocked() bool {
	l := w.l
	if time.Since(w.checked) >= 50*time.Millisecond {
		w.checked, w.low = time.Now(), false
		free, of, known := l.o.FS.Free(l.o.Dir)
		if least := l.o.minFree(of); known && free < least {
			w.low = true
			w.setFull(fmt.Errorf("%d MB free on the disk of %s, less than %d MB", free>>20, l.o.Dir, least>>20))
		}
	}
	return w.low
}

func (w *flusher) setFull(err error) {
	l := w.l
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case err != nil && l.full == nil:
		l.log.Error("the spool cannot be written: what the server sends stays in memory while there is room", "stream", l.o.Stream, "err", err)
	case err == nil && l.full != nil:
		l.log.Info("the spool is written again", "stream", l.o.Stream)
	}
	if l.full == nil && err != nil {
		l.settle() // nothing is written at present
	}
	l.full = err
	signal(l.room)
}

// flush writes all that waits.
func (w *flusher) flush() {
	for w.l.Err() == nil && w.collect() {
		err := w.write()
		w.done()
		switch {
		case err == nil:
			w.setFull(nil)
		case errors.Is(err, syscall.ENOSPC):
			w.setFull(err)
			return
		default:
			w.l.fail(err)
		}
	}
}

// batch is how many bytes are written at once, at most.
const batch = 4 * blockSize

// collect finds what is to be written next, and reports whether there is any.
func (w *flusher) collect() bool {
	l := w.l
	l.mu.Lock()
	defer l.mu.Unlock()
	w.pieces = w.pieces[:0]
	at := l.written
	for _, b := range l.blocks {
		if b.end() <= at {
			continue
		}
		w.gather(b, at)
		if at = b.end(); at-l.written >= batch {
			break
		}
	}
	l.writing = at
	return len(w.pieces) > 0
}

// gather adds the pieces of a block behind an address. What they share with the
// block does not change any more.
func (w *flusher) gather(b *block, at Address) {
	for i := 0; i < len(b.arrivals); {
		a := &b.arrivals[i]
		switch {
		case a.end <= at:
			i++
		case a.mark != nil:
			w.pieces = append(w.pieces, piece{at: at, arrivals: b.arrivals[i : i+1]})
			at = a.end
			i++
		default:
			first := i
			for i < len(b.arrivals) && b.arrivals[i].mark == nil {
				i++
			}
			end := b.arrivals[i-1].end
			w.pieces = append(w.pieces, piece{at: at, bytes: b.buf[at-b.from : end-b.from], arrivals: b.arrivals[first:i]})
			at = end
		}
	}
}

// write writes the pieces, to a new segment where the present one is full.
func (w *flusher) write() error {
	w.buf = w.buf[:0]
	for i := range w.pieces {
		p := &w.pieces[i]
		if w.unfit() {
			if err := w.put(); err != nil {
				return err
			}
			if err := w.begin(p.at, p.arrivals[0].time); err != nil {
				return err
			}
		}
		if p.bytes == nil {
			w.buf = appendMark(w.buf, p.at, p.arrivals[0].time, p.arrivals[0].mark)
		} else {
			w.buf = appendBytes(w.buf, p.at, p.bytes, p.arrivals)
		}
		w.to = p.arrivals[len(p.arrivals)-1].end
	}
	return w.put()
}

// unfit reports whether what comes next has to begin a segment.
func (w *flusher) unfit() bool {
	l := w.l
	l.mu.Lock()
	defer l.mu.Unlock()
	return w.current == nil || w.current.size+int64(len(w.buf)) >= l.o.segmentSize() || l.hole
}

// put writes what is encoded to the present segment. What a write for which
// there was no space has left is removed.
func (w *flusher) put() error {
	if len(w.buf) == 0 {
		return nil
	}
	s, l := w.current, w.l
	if _, err := s.f.Write(w.buf); err != nil {
		return errors.Join(err, s.f.Truncate(s.size))
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	s.size += int64(len(w.buf))
	s.end, l.written = w.to, w.to
	w.buf = w.buf[:0]
	failpoint.Here("spooled")
	return nil
}

// begin makes a segment.
func (w *flusher) begin(at Address, time int64) error {
	l := w.l
	l.mu.Lock()
	h := header{base: at, time: time}
	h.place, h.attached = l.runs.at(at)
	l.mu.Unlock()
	path := segmentPath(l.o.Dir, at)
	f, err := l.o.FS.Create(path)
	if err != nil {
		return err
	}
	s := &segment{path: path, base: at, end: at, f: f}
	b := h.append(nil)
	if _, err := f.Write(b); err != nil {
		return errors.Join(err, f.Close(), l.o.FS.Remove(path))
	}
	s.size = int64(len(b))
	failpoint.Here("segment-begun")
	l.mu.Lock()
	defer l.mu.Unlock()
	l.segments = append(l.segments, s)
	w.current, l.hole = s, false
	return nil
}

// done lets go of the pieces.
func (w *flusher) done() {
	l := w.l
	l.mu.Lock()
	defer l.mu.Unlock()
	l.writing = l.written
	if l.needed > 0 && l.written >= l.needed {
		l.needed = 0
		l.settle()
	}
	l.release()
	signal(l.room)
}

// sync makes what is written outlive the machine.
func (w *flusher) sync() {
	l := w.l
	l.mu.Lock()
	to := l.written
	var list []*segment
	for _, s := range l.segments {
		if !s.clean {
			list = append(list, s)
		}
	}
	last := w.current
	l.mu.Unlock()
	if err := w.syncAll(list); err != nil {
		l.fail(fmt.Errorf("sync: %w", err))
		return
	}
	failpoint.Here("spool-synced")
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, s := range list {
		if s == last {
			continue
		}
		s.f.Close() // it is synced
		s.f, s.clean = nil, true
	}
	l.synced = max(l.synced, to)
	l.settle()
	l.trim(l.kept)
	signal(l.room)
}

func (w *flusher) syncAll(list []*segment) error {
	named := true
	for _, s := range list {
		if err := s.f.Sync(); err != nil {
			return err
		}
		named = named && s.named
		s.named = true
	}
	if named {
		return nil
	}
	return w.l.o.FS.SyncDir(w.l.o.Dir)
}

// remove removes the segments that are trimmed, the oldest first, so that what
// a crash leaves has no gap.
func (w *flusher) remove() {
	l := w.l
	l.mu.Lock()
	list := l.doomed
	l.doomed = nil
	l.mu.Unlock()
	for i, s := range list {
		if err := l.o.FS.Remove(s.path); err != nil && !errors.Is(err, os.ErrNotExist) {
			l.log.Warn("a segment of the spool is not removed, it is tried again", "file", s.path, "err", err)
			l.mu.Lock()
			l.doomed = append(slices.Clone(list[i:]), l.doomed...)
			l.mu.Unlock()
			return
		}
	}
}

// close closes the segment that was written.
func (w *flusher) close() {
	l := w.l
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, s := range l.segments {
		if s.f != nil {
			s.f.Close() // synced, or the log has failed
			s.f, s.clean = nil, true
		}
	}
}
