package spool_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"triggerd/internal/spool"
)

// feed is what a test writes and expects to read: bytes that tell their own
// place, in reads of random size, with marks between.
type feed struct {
	t      testing.TB
	l      *spool.Log
	random *rand.Rand
	now    time.Time
	place  spool.Place

	mu    sync.Mutex // guards steps
	steps []step
}

// step is one read, or a mark.
type step struct {
	bytes []byte
	mark  *spool.Mark
	at    time.Time
}

func newFeed(t testing.TB, l *spool.Log) *feed {
	return &feed{t: t, l: l, random: rand.New(rand.NewPCG(1, 2)), now: time.Now().Add(-time.Hour).Round(0), place: spool.Place{ReplID: "a"}}
}

func (f *feed) add(s step) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.steps = append(f.steps, s)
}

func (f *feed) attach(m spool.Mark) {
	f.now = f.now.Add(time.Millisecond)
	f.place = m.Place
	f.add(step{mark: &m, at: f.now})
	f.l.Mark(m, f.now)
}

func (f *feed) detach() {
	m := spool.Mark{Kind: spool.Detached}
	f.add(step{mark: &m, at: f.now})
	f.l.Mark(m, f.now)
}

// bytes appends about n bytes, in reads of up to size.
func (f *feed) bytes(n, size int) {
	f.t.Helper()
	for n > 0 {
		room, err := f.l.Room(f.t.Context())
		if err != nil {
			f.t.Error(err)
			return
		}
		k := min(1+f.random.IntN(size), len(room), n)
		for i := range room[:k] {
			room[i] = byte(f.place.Offset + int64(i)*7)
		}
		f.now = f.now.Add(time.Duration(f.random.IntN(50)) * time.Microsecond)
		f.add(step{bytes: bytes.Clone(room[:k]), at: f.now})
		f.l.Append(k, f.now)
		f.place.Offset += int64(k)
		n -= k
	}
}

// expect reads what the feed has written from a step on, and compares. It
// returns the step behind.
func (f *feed) expect(r *spool.Reader, from int) int {
	f.t.Helper()
	f.mu.Lock()
	steps := f.steps
	f.mu.Unlock()
	buf := make([]byte, 100_000)
	for i := from; i < len(steps); i++ {
		s := steps[i]
		if s.mark != nil {
			if n, err := r.Read(buf); err != spool.ErrMark {
				f.t.Fatalf("step %d: %d bytes, %v, want a mark", i, n, err)
			}
			if m, at := r.Mark(); m != *s.mark || at.UnixMicro() != s.at.UnixMicro() {
				f.t.Fatalf("step %d: mark %+v at %v, want %+v at %v", i, m, at, *s.mark, s.at)
			}
			continue
		}
		for rest := s.bytes; len(rest) > 0; {
			n, err := r.Read(buf[:min(len(buf), len(rest))])
			if err != nil || !bytes.Equal(buf[:n], rest[:n]) {
				f.t.Fatalf("step %d at %x: %d bytes are others, or %v", i, int64(r.At()), n, err)
			}
			rest = rest[n:]
			if at, _ := r.Time(r.At()); at.UnixMicro() != s.at.UnixMicro() {
				f.t.Fatalf("step %d: came at %v, want %v", i, at, s.at)
			}
		}
	}
	return len(steps)
}

// running runs a log until the function it returns is called.
func running(t testing.TB, l *spool.Log) (stop func() error) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- l.Run(ctx) }()
	stop = sync.OnceValue(func() error { cancel(); return <-done })
	t.Cleanup(func() { stop() })
	return stop
}

func open(t testing.TB, o spool.Options) *spool.Log {
	t.Helper()
	l, err := spool.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func reader(t testing.TB, l *spool.Log, at spool.Address) *spool.Reader {
	t.Helper()
	r, err := l.NewReader(at)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	return r
}

func attached(id string, offset int64) spool.Mark {
	return spool.Mark{Kind: spool.Attached, Place: spool.Place{ReplID: id, Offset: offset, DB: 3}}
}

// What was written is read, at whatever pace, with the times at which it came
// and the marks at their places: from memory, and, where the reader is far
// behind, from the files.
func TestReadsWhatWasWritten(t *testing.T) {
	for _, dir := range []string{"", t.TempDir()} {
		for _, ahead := range []bool{false, true} {
			t.Run(fmt.Sprintf("files %v, writer ahead %v", dir != "", ahead), func(t *testing.T) {
				o := spool.Options{Memory: 4 * spool.BlockSize, Limit: 64 << 20}
				if dir != "" {
					o.Dir = filepath.Join(dir, fmt.Sprint(ahead))
				}
				l := open(t, o)
				defer running(t, l)()
				f, r := newFeed(t, l), reader(t, l, 0)
				write := func() {
					f.attach(attached("a", 1000))
					f.bytes(3<<20, 70_000)
					f.detach()
					f.attach(attached("a", f.place.Offset))
					f.bytes(300_000, 60)
					f.attach(attached("b", f.place.Offset))
					f.bytes(1<<20, spool.BlockSize)
				}
				if ahead && dir != "" {
					write()
					f.expect(r, 0)
					return
				}
				var writing sync.WaitGroup
				writing.Go(write)
				var last int
				written := make(chan struct{})
				go func() { writing.Wait(); close(written) }()
				for going := true; going; {
					select {
					case <-written:
						going = false
					default:
					}
					last = f.expect(r, last)
				}
				if s := l.Stats(); s.Unread != 0 || s.End != r.At() || !s.Since.IsZero() {
					t.Errorf("stats %+v, reader at %x", s, int64(r.At()))
				}
			})
		}
	}
}

// The next process reads what this one has left, from wherever it says, as this
// one would have.
func TestNextProcess(t *testing.T) {
	o := spool.Options{Dir: t.TempDir(), Limit: 32 << 20}
	l := open(t, o)
	stop := running(t, l)
	f := newFeed(t, l)
	f.attach(attached("a", 1000))
	f.bytes(5<<20, 50_000) // over several segments
	f.detach()
	f.attach(attached("b", f.place.Offset)) // renamed
	f.bytes(1<<20, 3_000)
	f.attach(spool.Mark{Kind: spool.Attached, Full: true, Place: spool.Place{ReplID: "c", Offset: 7}})
	f.bytes(100_000, 100)
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		l = open(t, o)
		end, place := l.End()
		if place.ReplID != "c" || place.Offset != f.place.Offset || end != l.Stats().Written {
			t.Errorf("the end is %x, %+v, want %+v", int64(end), place, f.place)
		}
		if at, before, ok := l.FindFull(0); !ok || at != spool.Address(6<<20+3) || before.ReplID != "b" || before.Offset != 1000+6<<20 {
			t.Errorf("a full resync at %x behind %v, %v", int64(at), before, ok)
		}
		f.l = l
		at := spool.Address(0)
		offset, id := int64(1000), "a"
		for i, s := range f.steps {
			if i%97 == 0 && s.mark == nil {
				found, ok := l.Find(spool.Place{ReplID: id, Offset: offset})
				if !ok || found != at {
					t.Fatalf("step %d: %s:%d is at %x, %v, want %x", i, id, offset, int64(found), ok, int64(at))
				}
				f.expect(reader(t, l, at), i)
			}
			at, offset = at+spool.Address(len(s.bytes)), offset+int64(len(s.bytes))
			if s.mark != nil {
				at++
				if s.mark.Kind == spool.Attached {
					id, offset = s.mark.Place.ReplID, s.mark.Place.Offset
				}
			}
		}
		// It goes on, and so does the next.
		stop := running(t, l)
		f.attach(attached("c", f.place.Offset))
		f.bytes(1000, 10)
		if err := stop(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestFind(t *testing.T) {
	l := open(t, spool.Options{})
	f, r := newFeed(t, l), reader(t, l, 0)
	f.attach(attached("a", 1000)) // 0
	f.bytes(100, 100)             // 1
	f.detach()                    // 101
	f.attach(attached("b", 1100)) // 102
	f.bytes(50, 50)               // 103
	f.attach(attached("b", 1120)) // 153: what came behind 1120 could not be read
	f.bytes(50, 50)               // 154
	f.attach(spool.Mark{Kind: spool.Attached, Full: true, Place: spool.Place{ReplID: "b", Offset: 5000}})
	f.bytes(10, 10) // 205
	for _, c := range []struct {
		id     string
		offset int64
		want   spool.Address // -1: it is not there
	}{
		{"a", 1000, 1}, {"a", 1099, 100}, {"a", 1100, 101}, {"a", 1101, -1}, {"a", 999, -1},
		{"b", 1100, 103}, {"b", 1119, 122}, {"b", 1120, 154}, {"b", 1150, 184}, {"b", 1170, 204}, {"b", 1171, -1},
		{"b", 1050, 51}, // under the name that it got later
		{"b", 5000, 205}, {"b", 5010, 215}, {"b", 4999, -1}, {"c", 1100, -1},
	} {
		at, ok := l.Find(spool.Place{ReplID: c.id, Offset: c.offset})
		if ok != (c.want >= 0) || ok && at != c.want {
			t.Errorf("%s:%d: %d, %v, want %d", c.id, c.offset, at, ok, c.want)
		}
	}
	if at, ok := l.FindAttached(123, 1120); !ok || at != 153 {
		t.Errorf("the stream goes back at %d, %v", at, ok)
	}
	if at, ok := l.FindAttached(154, 1120); ok {
		t.Errorf("the stream goes back again at %d", at)
	}
	f.expect(r, 0)
	if _, place := l.End(); place != (spool.Place{ReplID: "b", Offset: 5010, DB: -1}) {
		t.Errorf("the end is %+v", place)
	}
}

// A read that has nothing to read ends when it is to be woken, and not while
// there is something.
func TestWake(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := open(t, spool.Options{})
		f, r := newFeed(t, l), reader(t, l, 0)
		began := time.Now()
		r.Wake = func() time.Time { return began.Add(time.Minute) }
		if _, err := r.Read(make([]byte, 10)); err != spool.ErrWoken || time.Since(began) != time.Minute || !r.Waited(time.Second) {
			t.Errorf("%v after %v", err, time.Since(began))
		}
		if _, err := r.Read(make([]byte, 10)); err != spool.ErrWoken || r.Waited(0) {
			t.Errorf("its time is over: %v", err)
		}
		if empty := r.EmptyAt(); !r.AtEnd() || !empty.Equal(began.Add(time.Minute)) {
			t.Errorf("at the end: %v, at %v", r.AtEnd(), empty.Sub(began))
		}
		f.now = began // the clock has been set back, or the machine was busy
		f.bytes(10, 10)
		if r.AtEnd() {
			t.Error("bytes wait, and the reader is said to be at the end")
		}
		r.Poke()
		if n, err := r.Read(make([]byte, 10)); n != 10 || err != nil {
			t.Errorf("%d bytes, %v", n, err)
		}
		if at, _ := r.Time(r.At()); at.Before(began.Add(time.Minute)) {
			t.Errorf("bytes are said to have come at %v, when the reader knew that there was nothing", at.Sub(began))
		}
		r.Wake = nil
		if _, err := r.Read(make([]byte, 10)); err != spool.ErrWoken {
			t.Errorf("poked: %v", err)
		}
		r.Poke()
		r.Wake = func() time.Time { return began }
		if _, err := r.Read(make([]byte, 10)); err != spool.ErrWoken {
			t.Errorf("poked, and its time is over: %v", err)
		}
		r.Wake = nil // and not woken again for what it was poked before
		go func() {
			time.Sleep(time.Hour)
			r.Poke()
		}()
		began = time.Now()
		if _, err := r.Read(make([]byte, 10)); err != spool.ErrWoken || time.Since(began) != time.Hour {
			t.Errorf("poked: %v after %v", err, time.Since(began))
		}
	})
}

// Without files the writer waits when memory is full, and for no longer.
func TestMemoryIsFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := open(t, spool.Options{Memory: 4 * spool.BlockSize})
		f, r := newFeed(t, l), reader(t, l, 0)
		done := false
		go func() {
			f.bytes(5*spool.BlockSize, spool.BlockSize)
			done = true
		}()
		synctest.Wait()
		if s := l.Stats(); done || s.Bytes > s.Limit || s.Bytes < s.Limit-spool.BlockSize {
			t.Fatalf("done %v, stats %+v", done, s)
		}
		n := f.expect(r, 0)
		synctest.Wait()
		if !done {
			t.Fatal("the writer waits still")
		}
		f.expect(r, n)
		ctx, cancel := context.WithCancelCause(t.Context())
		go func() {
			for {
				b, err := l.Room(ctx)
				if err != nil {
					cancel(err)
					return
				}
				l.Append(len(b), time.Now())
			}
		}()
		synctest.Wait()
		why := errors.New("enough")
		cancel(why)
		synctest.Wait()
		if err := context.Cause(ctx); err != why {
			t.Errorf("got %v", err)
		}
	})
}

func segments(t testing.TB, dir string) []string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "*.spool"))
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// Files have a limit. While the reader is behind it holds the writer up; when
// all is read, the oldest goes.
func TestLimit(t *testing.T) {
	dir := t.TempDir()
	var log syncBuffer
	l := open(t, spool.Options{Dir: dir, Limit: 20 << 20, Memory: 4 * spool.BlockSize, Logger: slog.New(slog.NewTextHandler(&log, nil))})
	stop := running(t, l)
	f, r := newFeed(t, l), reader(t, l, 0)
	f.attach(attached("a", 0))
	var writing sync.WaitGroup
	var written atomic.Int64
	writing.Go(func() {
		for range 40 {
			f.bytes(1<<20, spool.BlockSize)
			written.Add(1)
		}
	})
	for l.Stats().Full == "" {
		time.Sleep(time.Millisecond) // the disk tells nobody
	}
	if s := l.Stats(); s.Bytes > 21<<20 || s.GivenUp > 0 || written.Load() > 20 {
		t.Errorf("%d MiB are written, stats %+v", written.Load(), s)
	}
	n := f.expect(r, 0)
	for written.Load() < 40 { // with the reader close behind
		n = f.expect(r, n)
	}
	writing.Wait()
	f.expect(r, n)
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	s := l.Stats()
	if s.GivenUp < 15<<20 || s.Bytes > 21<<20 || strings.Count(log.String(), "the spool is full") != 1 {
		t.Errorf("stats %+v; log:\n%s", s, log.String())
	}
	if onDisk := size(t, dir); onDisk > 22<<20 {
		t.Errorf("%d bytes of files", onDisk)
	}
}

func size(t testing.TB, dir string) (n int64) {
	for _, name := range segments(t, dir) {
		info, err := os.Stat(name)
		if err != nil {
			t.Fatal(err)
		}
		n += info.Size()
	}
	return n
}

// What is trimmed goes, a segment at a time, but not what is unread.
func TestTrim(t *testing.T) {
	dir := t.TempDir()
	l := open(t, spool.Options{Dir: dir, Limit: 32 << 20})
	stop := running(t, l)
	f, r := newFeed(t, l), reader(t, l, 0)
	f.attach(attached("a", 0))
	f.bytes(10<<20, 100_000)
	end, _ := l.End()
	if err := l.Sync(t.Context(), end); err != nil {
		t.Fatal(err)
	}
	before := len(segments(t, dir))
	l.Trim(end)
	if l.Stats().First != 0 {
		t.Errorf("what is unread was trimmed: %+v", l.Stats())
	}
	f.expect(r, 0)
	l.Trim(5 << 20)
	l.Trim(end)
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	s := l.Stats()
	if after := len(segments(t, dir)); before < 5 || after != 1 || s.First == 0 || s.GivenUp != 0 {
		t.Errorf("%d segments, %d behind; stats %+v", before, after, s)
	}
	if _, ok := l.Find(spool.Place{ReplID: "a", Offset: 100}); ok {
		t.Error("what was trimmed is found")
	}
	if _, err := l.NewReader(10); err == nil {
		t.Error("what was trimmed can be read")
	}
	l = open(t, spool.Options{Dir: dir, Limit: 32 << 20})
	if at, ok := l.Find(spool.Place{ReplID: "a", Offset: f.place.Offset}); !ok || at != end {
		t.Errorf("the end is at %x, %v, want %x", int64(at), ok, int64(end))
	}
}

// A link that is lost again and again leaves nothing in memory.
func TestManyMarks(t *testing.T) {
	for _, dir := range []string{"", t.TempDir()} {
		l := open(t, spool.Options{Dir: dir})
		stop := running(t, l)
		f, r := newFeed(t, l), reader(t, l, 0)
		n := 0
		for range 1000 {
			f.attach(attached("a", f.place.Offset))
			f.bytes(10, 10)
			f.detach()
			n = f.expect(r, n)
			l.Trim(r.At())
		}
		if got := spool.Runs(l); got > 2 {
			t.Errorf("%d pieces of history are kept", got)
		}
		if at, ok := l.Find(f.place); !ok || at != r.At()-1 {
			t.Errorf("the end is at %d, %v, want %d", at, ok, r.At()-1)
		}
		if err := stop(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestReset(t *testing.T) {
	dir := t.TempDir()
	l := open(t, spool.Options{Dir: dir})
	stop := running(t, l)
	f := newFeed(t, l)
	f.attach(attached("a", 0))
	f.bytes(1000, 100)
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	end, _ := l.End()
	l.Reset()
	f, r := newFeed(t, l), reader(t, l, end)
	stop = running(t, l)
	f.attach(attached("z", 5))
	f.bytes(1000, 100)
	f.expect(r, 0)
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	l = open(t, spool.Options{Dir: dir})
	if _, ok := l.Find(spool.Place{ReplID: "a", Offset: 5}); ok || len(segments(t, dir)) != 1 {
		t.Error("what was forgotten is there")
	}
	if at, ok := l.Find(spool.Place{ReplID: "z", Offset: 5}); !ok || at != end+1 {
		t.Errorf("the new begins at %x, %v", int64(at), ok)
	}
}

type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// spoiled is a file whose writes and syncs a test decides about.
type spoiled struct {
	spool.File
	write, sync func() error
}

func (s spoiled) Write(p []byte) (int, error) {
	if err := s.write(); err != nil {
		n, _ := s.File.Write(p[:len(p)/2])
		return n, err
	}
	return s.File.Write(p)
}

func (s spoiled) Sync() error {
	if err := s.sync(); err != nil {
		return err
	}
	return s.File.Sync()
}

func fine() error { return nil }

// A full disk holds up nobody while there is memory, or the reader keeps up;
// when there is space again the file goes on, without what could not be kept.
func TestDiskIsFull(t *testing.T) {
	for _, low := range []bool{false, true} {
		t.Run(fmt.Sprintf("low %v", low), func(t *testing.T) {
			var full atomic.Bool
			dir := t.TempDir()
			var log syncBuffer
			disk := spool.Disk{Made: func(f spool.File) spool.File {
				return spoiled{f, func() error {
					if full.Load() && !low {
						return fmt.Errorf("write: %w", syscall.ENOSPC)
					}
					return nil
				}, fine}
			}, Space: func() int64 {
				if full.Load() && low {
					return 1000
				}
				return 1 << 40
			}}
			l := open(t, spool.Options{Dir: dir, Memory: 4 * spool.BlockSize, Logger: slog.New(slog.NewTextHandler(&log, nil))}.With(disk))
			stop := running(t, l)
			f, r := newFeed(t, l), reader(t, l, 0)
			f.attach(attached("a", 0))
			f.bytes(1<<20, 10_000)
			f.expect(r, 0)
			end, _ := l.End()
			if err := l.Sync(t.Context(), end); err != nil {
				t.Fatal(err)
			}
			full.Store(true)
			n := len(f.steps)
			f.bytes(2*spool.BlockSize, 10_000)
			for l.Stats().Full == "" {
				time.Sleep(time.Millisecond) // the disk tells nobody
			}
			n = f.expect(r, n)
			for range 20 { // more than memory, read as it comes
				f.bytes(spool.BlockSize, spool.BlockSize)
				n = f.expect(r, n)
			}
			full.Store(false)
			end, _ = l.End()
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			soon, give := context.WithTimeout(ctx, 10*time.Millisecond)
			if l.Sync(soon, end) == nil {
				t.Error("what was not kept is synced")
			}
			give()
			l.Trim(end)
			if err := l.Sync(ctx, end); err != nil {
				t.Fatal(err)
			}
			place := f.place
			f.bytes(1<<20, 10_000)
			if err := stop(); err != nil {
				t.Fatal(err)
			}
			if s := l.Stats(); s.Full != "" || s.GivenUp < 10*spool.BlockSize {
				t.Errorf("stats %+v", s)
			}
			text := log.String()
			if strings.Count(text, "cannot be written") != 1 || strings.Count(text, "written again") != 1 {
				t.Errorf("log:\n%s", text)
			}
			l = open(t, spool.Options{Dir: dir, Logger: slog.New(slog.NewTextHandler(&log, nil))})
			at, ok := l.Find(place)
			if !ok {
				t.Fatalf("what came behind the gap is not there: %+v; %+v, %v; log:\n%s", place, l.Stats(), segments(t, dir), log.String())
			}
			f.l = l
			f.expect(reader(t, l, at), n)
		})
	}
}

// A disk that fails ends the log: nothing goes on as if it were kept.
func TestDiskFails(t *testing.T) {
	broken := errors.New("input/output error")
	var writes, syncs, dirs atomic.Pointer[error]
	load := func(p *atomic.Pointer[error]) func() error {
		return func() error {
			if e := p.Load(); e != nil {
				return *e
			}
			return nil
		}
	}
	for name, p := range map[string]*atomic.Pointer[error]{"write": &writes, "sync": &syncs, "sync of the directory": &dirs} {
		t.Run(name, func(t *testing.T) {
			p.Store(&broken)
			defer p.Store(nil)
			disk := spool.Disk{Made: func(f spool.File) spool.File { return spoiled{f, load(&writes), load(&syncs)} }, Dir: load(&dirs)}
			l := open(t, spool.Options{Dir: t.TempDir()}.With(disk))
			f, r := newFeed(t, l), reader(t, l, 0)
			f.attach(attached("a", 0))
			f.bytes(1000, 1000)
			done := make(chan error, 1)
			go func() { done <- l.Run(t.Context()) }()
			if err := <-done; !errors.Is(err, broken) {
				t.Errorf("Run: %v", err)
			}
			_, roomErr := l.Room(t.Context())
			_, readErr := r.Read(make([]byte, 10))
			for _, err := range []error{roomErr, readErr, l.Sync(t.Context(), 1), l.Err()} {
				if !errors.Is(err, broken) {
					t.Errorf("it goes on: %v", err)
				}
			}
		})
	}
}

func TestSync(t *testing.T) {
	l := open(t, spool.Options{})
	if err := l.Sync(t.Context(), 0); err != spool.ErrMemory || l.Flush(t.Context(), 0) != err {
		t.Errorf("without files: %v", err)
	}
	var syncs atomic.Int64
	disk := spool.Disk{Made: func(f spool.File) spool.File {
		return spoiled{f, fine, func() error { syncs.Add(1); return nil }}
	}}
	l = open(t, spool.Options{Dir: t.TempDir(), WriteEvery: time.Hour, SyncEvery: time.Hour}.With(disk))
	running(t, l)
	f := newFeed(t, l)
	f.attach(attached("a", 0))
	for i := range int64(5) {
		f.bytes(100, 100)
		end, _ := l.End()
		if err := l.Flush(t.Context(), end); err != nil || l.Stats().Written < end {
			t.Errorf("%v; stats %+v", err, l.Stats())
		}
		if err := l.Sync(t.Context(), end); err != nil || l.Stats().Synced < end || syncs.Load() < i+1 {
			t.Errorf("%v; stats %+v, %d syncs", err, l.Stats(), syncs.Load())
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	f.bytes(100, 100)
	if end, _ := l.End(); l.Sync(ctx, end) == nil && l.Stats().Synced < end {
		t.Error("no error, and not synced")
	}
}

// filled makes a spool of several segments, and returns its files.
func filled(t testing.TB, dir string) (*feed, []string) {
	t.Helper()
	l := open(t, spool.Options{Dir: dir, Limit: 32 << 20})
	stop := running(t, l)
	f := newFeed(t, l)
	f.attach(attached("a", 0))
	for range 8 { // written in between, so that there are some frames
		f.bytes(1<<20, 20_000)
		end, _ := l.End()
		if err := l.Sync(t.Context(), end); err != nil {
			t.Fatal(err)
		}
	}
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	return f, segments(t, dir)
}

// Files that are not what was written: what is good of them is there, what is
// not is told with the file and the place, and nothing else is ever read.
func TestDamage(t *testing.T) {
	edit := func(change func(b []byte) []byte) func(string) error {
		return func(path string) error {
			b, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			return os.WriteFile(path, change(b), 0o600)
		}
	}
	flip := func(at func(b []byte) int) func(string) error {
		return edit(func(b []byte) []byte { b[at(b)] ^= 4; return b })
	}
	cases := []struct {
		name   string
		newest bool // of the newest segment, else of one before
		spoil  func(path string) error
		ends   bool // the log ends there; else there is a gap
		told   string
	}{
		{"torn", true, edit(func(b []byte) []byte { return b[:len(b)-5] }), true, "level=WARN msg=\"the end of the spool is cut short"},
		{"torn in a length", true, edit(func(b []byte) []byte { return append(b, 0, 0, 1) }), true, "level=WARN msg=\"the end of the spool is cut short"},
		{"zeros", true, edit(func(b []byte) []byte { return append(b, make([]byte, 100)...) }), true, "level=WARN msg=\"the end of the spool is cut short"},
		{"flipped in the newest", true, flip(func([]byte) int { return 400 }), true, "level=ERROR msg=\"the spool is damaged"},
		{"flipped length in the newest", true, flip(func([]byte) int { return 122 }), true, "level=ERROR msg=\"the spool is damaged"},
		{"newest without a header", true, edit(func(b []byte) []byte { return b[:5] }), true, "level=WARN msg=\"the newest segment of the spool was not written to its first byte"},
		{"newest empty", true, edit(func(b []byte) []byte { return nil }), true, "level=WARN msg=\"the newest segment of the spool was not written to its first byte"},
		{"flipped", false, flip(func(b []byte) int { return len(b) / 2 }), false, "level=ERROR msg=\"the spool is damaged"},
		{"cut in the middle", false, edit(func(b []byte) []byte { return b[:len(b)/2] }), false, "level=ERROR msg=\"the spool is damaged"},
		{"flipped header", false, flip(func([]byte) int { return 30 }), false, "its header is damaged"},
		{"foreign", false, edit(func(b []byte) []byte { return []byte("#!/bin/sh\n") }), false, "it is not a spool segment"},
		{"later", false, edit(func(b []byte) []byte { binary.BigEndian.PutUint16(b[14:], 9); return b }), false, "it was written by a later version of triggerd: format 9"},
		{"missing", false, os.Remove, false, ""},
		{"of another place", false, func(path string) error {
			b, err := os.ReadFile(filepath.Join(filepath.Dir(path), "0000000000000000.spool"))
			return errors.Join(err, os.WriteFile(path, b, 0o600))
		}, false, "a frame is of another place"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			f, files := filled(t, dir)
			at := len(files) - 1
			if !c.newest {
				at = len(files) / 2
			}
			if err := c.spoil(files[at]); err != nil {
				t.Fatal(err)
			}
			var log syncBuffer
			l := open(t, spool.Options{Dir: dir, Limit: 32 << 20, Logger: slog.New(slog.NewTextHandler(&log, nil))})
			if !strings.Contains(log.String(), c.told) || c.told != "" && !strings.Contains(log.String(), files[at]) {
				t.Errorf("want %q and %s in the log:\n%s", c.told, files[at], log.String())
			}
			r := reader(t, l, 0)
			whole := stream(f.steps)
			got, damage := readAll(t, r, whole)
			end, place := l.End()
			if c.ends {
				if damage != nil || spool.Address(got) != end || place.Offset != int64(got-1) || got >= len(whole) && c.name != "zeros" && c.name != "torn in a length" {
					t.Errorf("read %d of %d bytes, end %d at %+v, %v", got, len(whole), end, place, damage)
				}
			} else {
				if damage == nil || damage.File == "" || got == 0 {
					t.Fatalf("read %d of %d bytes without an error", got, len(whole))
				}
				r.Skip(damage.Next)
				if rest, again := readAll(t, r, whole); again != nil || rest != len(whole) {
					t.Errorf("behind the gap: up to %d of %d, %v", rest, len(whole), again)
				}
				if _, err := l.NewReader(damage.Next - 10); err == nil {
					t.Error("a reader begins in the gap")
				}
				if _, ok := l.Find(spool.Place{ReplID: "a", Offset: int64(damage.Next) + 10}); !ok {
					t.Error("what is behind the gap is not found")
				}
			}
			// What comes next can be read, and by the next process.
			stop := running(t, l)
			f.l, f.steps, f.now = l, nil, time.Now().Add(-time.Millisecond).Round(0)
			f.attach(attached("a", place.Offset))
			f.bytes(10_000, 10_000)
			if err := stop(); err != nil {
				t.Fatal(err)
			}
			l = open(t, spool.Options{Dir: dir, Limit: 32 << 20})
			f.l = l
			f.expect(reader(t, l, end), 0)
		})
	}
}

// stream is what a log has whose marks are a zero byte.
func stream(steps []step) (b []byte) {
	for _, s := range steps {
		if s.mark != nil {
			b = append(b, 0)
		}
		b = append(b, s.bytes...)
	}
	return b
}

// readAll reads to the end, or to damage, compares with what was written, and
// returns how far it came.
func readAll(t *testing.T, r *spool.Reader, whole []byte) (int, *spool.DamageError) {
	t.Helper()
	r.Wake = func() time.Time { return time.Unix(1, 0) }
	buf := make([]byte, 1<<20)
	for {
		at := r.At()
		n, err := r.Read(buf)
		if !bytes.Equal(buf[:n], whole[at:int(at)+n]) {
			t.Fatalf("bytes at %d are others", at)
		}
		var damage *spool.DamageError
		switch {
		case err == nil:
		case err == spool.ErrMark:
			r.Mark()
		case err == spool.ErrWoken:
			return int(r.At()), nil
		case errors.As(err, &damage):
			return int(r.At()), damage
		default:
			t.Fatal(err)
		}
	}
}

// A killed process leaves some prefix of what it wrote: each can be gone on
// from.
func TestKilledAtAnyByte(t *testing.T) {
	dir := t.TempDir()
	l := open(t, spool.Options{Dir: dir})
	stop := running(t, l)
	f := newFeed(t, l)
	f.attach(attached("a", 0))
	for range 6 {
		f.bytes(40, 10)
		f.detach()
		f.attach(attached("a", f.place.Offset))
		end, _ := l.End()
		if err := l.Sync(t.Context(), end); err != nil {
			t.Fatal(err)
		}
	}
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	files := segments(t, dir)
	b, err := os.ReadFile(files[0])
	if err != nil || len(files) != 1 {
		t.Fatal(err, files)
	}
	whole := stream(f.steps)
	for n := range len(b) {
		other := t.TempDir()
		if err := os.WriteFile(filepath.Join(other, filepath.Base(files[0])), b[:n], 0o600); err != nil {
			t.Fatal(err)
		}
		l, err := spool.Open(spool.Options{Dir: other})
		if err != nil {
			t.Fatal(err)
		}
		r := reader(t, l, l.Stats().First)
		got, damage := readAll(t, r, whole)
		if end, _ := l.End(); damage != nil || int(end) != got {
			t.Fatalf("cut at %d: read up to %d of %d, %v", n, got, end, damage)
		}
		r.Close()
	}
}

func FuzzSegment(f *testing.F) {
	dir := f.TempDir()
	l := open(f, spool.Options{Dir: dir})
	stop := running(f, l)
	feed := newFeed(f, l)
	feed.attach(attached("a", 5))
	feed.bytes(300, 50)
	feed.detach()
	l.Mark(spool.Mark{Kind: spool.Attached, Back: true, Place: spool.Place{ReplID: "b", Offset: 100, DB: -1}}, time.Now())
	l.Mark(spool.Mark{Kind: spool.Renamed, Place: spool.Place{ReplID: "c", Offset: 100, DB: -1}}, time.Now())
	if err := stop(); err != nil {
		f.Fatal(err)
	}
	for _, name := range segments(f, dir) {
		b, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
		f.Add(b[:len(b)-3])
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		good, end, err := spool.ScanSegment(b, 0)
		if good < 0 || good > int64(len(b)) || end < 0 || err == nil && good != int64(len(b)) {
			t.Fatalf("%d good bytes of %d, end %d, %v", good, len(b), end, err)
		}
		if good == 0 {
			return
		}
		again, endAgain, err := spool.ScanSegment(b[:good], 0)
		if again != good || endAgain != end || err != nil {
			t.Fatalf("what is good is not: %d of %d, end %d of %d, %v", again, good, endAgain, end, err)
		}
		path := filepath.Join(t.TempDir(), "0000000000000000.spool")
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		l, err := spool.Open(spool.Options{Dir: filepath.Dir(path)})
		if err != nil {
			t.Fatal(err)
		}
		r := reader(t, l, 0)
		r.Wake = func() time.Time { return time.Unix(1, 0) }
		var n spool.Address
		buf := make([]byte, 1000)
		for {
			k, err := r.Read(buf)
			n += spool.Address(k)
			if err == spool.ErrWoken {
				break
			}
			if err == spool.ErrMark {
				r.Mark()
				n++
			} else if err != nil {
				t.Fatal(err)
			}
		}
		if n != end {
			t.Fatalf("read %d of %d", n, end)
		}
		r.Close()
	})
}

// BenchmarkLog is what a byte costs between who receives and who reads.
func BenchmarkLog(b *testing.B) {
	for _, files := range []bool{false, true} {
		b.Run(fmt.Sprintf("files=%v", files), func(b *testing.B) {
			o := spool.Options{Limit: 256 << 20}
			if files {
				o.Dir = b.TempDir()
			}
			l := open(b, o)
			running(b, l)
			r := reader(b, l, 0)
			l.Mark(attached("a", 0), time.Now())
			const chunk = 64 << 10
			data := bytes.Repeat([]byte("*3\r\n$3\r\nSET\r\n$5\r\nkey:1\r\n"), chunk/20)[:chunk]
			b.SetBytes(chunk)
			b.ReportAllocs()
			var writing sync.WaitGroup
			todo := make(chan struct{}, 1000)
			writing.Go(func() {
				for range todo {
					for rest := data; len(rest) > 0; {
						room, err := l.Room(context.Background())
						if err != nil {
							b.Error(err)
							return
						}
						n := copy(room, rest)
						l.Append(n, time.Now())
						rest = rest[n:]
					}
				}
			})
			buf := make([]byte, 1<<20)
			var want, got int64
			for b.Loop() {
				todo <- struct{}{}
				want += chunk
				for got < want-8*chunk {
					n, err := r.Read(buf)
					if err == spool.ErrMark {
						r.Mark()
					} else if err != nil {
						b.Fatal(err)
					}
					got += int64(n)
				}
				l.Trim(r.At())
			}
			close(todo)
			writing.Wait()
		})
	}
}
