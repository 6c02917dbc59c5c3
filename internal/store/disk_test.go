package store_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"triggerd/internal/store"
)

// A disk that is nearly full: jobs are refused before there is no space, what
// settles them is not, and jobs are taken again when there is space.
func TestDiskNearlyFull(t *testing.T) {
	mem := vfs.NewMem()
	set := func(free uint64) {
		mem.TestingSetDiskUsage(vfs.DiskUsage{AvailBytes: free, TotalBytes: 100 << 30, UsedBytes: 100<<30 - free})
	}
	set(50 << 30)
	var log logBuffer
	s, err := store.Options{FS: mem, Logger: log.logger()}.Open("data")
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	b := s.NewBatch()
	b.Enqueue(job("e", "1"))
	commit(t, b)
	if _, err := mem.Stat("data/ballast"); err != nil {
		t.Errorf("no ballast: %v", err)
	}

	set(1<<30 - 1)
	maintain(t, s)
	if err := s.Full(); !errors.Is(err, store.ErrNoSpace) {
		t.Errorf("Full = %v, want ErrNoSpace", err)
	}
	b.Enqueue(job("e", "2"))
	b.SetCheckpoint(store.Standalone, "id:2/0")
	for range 2 {
		if _, err := b.Commit(); !errors.Is(err, store.ErrNoSpace) {
			t.Fatalf("Commit = %v, want ErrNoSpace", err)
		}
	}
	other := s.NewBatch()
	other.Settle("e", 1, 1)
	other.Bury(store.DeadLetter{Reason: "dropped", Error: "1 firing"})
	other.SetCheckpoint(store.Standalone, "id:1/0")
	commit(t, other)
	equal(t, "pending", seqs(all(t, s.Pending("e", 0))), nil)

	set(1<<30 + 1<<20) // more than it was refused at, but hardly
	maintain(t, s)
	if err := s.Full(); !errors.Is(err, store.ErrNoSpace) {
		t.Errorf("with a little more space: Full = %v, want ErrNoSpace still", err)
	}
	set(2 << 30)
	maintain(t, s)
	if err := s.Full(); err != nil {
		t.Errorf("with space: Full = %v", err)
	}
	if first := commit(t, b); first != 2 { // the batch is as it was
		t.Errorf("first seq %d, want 2", first)
	}
	if got, _ := s.Checkpoint(store.Standalone); got != "id:2/0" {
		t.Errorf("Checkpoint = %q", got)
	}
	if n := strings.Count(log.String(), "the store is full"); n != 1 {
		t.Errorf("said %d times that it is full: %s", n, log.String())
	}
}

// What can be done without on a disk that is nearly full goes before a job is
// refused: as much as is missing, and only then.
func TestReclaim(t *testing.T) {
	mem := vfs.NewMem()
	free, kept := int64(50<<30), int64(100<<20) // of others
	set := func(bytes int64) {
		free = bytes
		mem.TestingSetDiskUsage(vfs.DiskUsage{AvailBytes: uint64(free), TotalBytes: 100 << 30})
	}
	set(free)
	s, err := store.Options{FS: mem, Reclaim: func(bytes int64) int64 {
		freed := min(bytes, kept)
		kept -= freed
		set(free + freed)
		return freed
	}}.Open("data")
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	const least = 1<<30 + 1<<26 // a sixteenth more than is left free
	for _, test := range []struct {
		free, kept int64
		full       bool
	}{{least, 100 << 20, false}, {least - 40<<20, 60 << 20, false}, {least - 60<<20, 0, false}, {1<<30 - 1, 0, true}} {
		set(test.free)
		maintain(t, s)
		if err := s.Full(); kept != test.kept || (err != nil) != test.full {
			t.Errorf("with %d bytes free: %v, %d are kept, want %d", test.free, err, kept, test.kept)
		}
	}
}

func maintain(t *testing.T, s *store.Store) {
	t.Helper()
	if err := s.Maintain(time.Now()); err != nil {
		t.Fatal(err)
	}
}

// smallDisk is a file system that has space for so many bytes and returns
// ENOSPC above.
type smallDisk struct {
	vfs.FS
	mu      sync.Mutex // guards what follows
	space   int64
	used    map[string]int64
	refused atomic.Int64
}

type smallFile struct {
	vfs.File
	name string
	disk *smallDisk
}

func (d *smallDisk) GetDiskUsage(string) (vfs.DiskUsage, error) {
	return vfs.DiskUsage{}, vfs.ErrUnsupported // so that only ENOSPC tells
}

func (d *smallDisk) take(name string, n int64) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	total := n
	for _, used := range d.used {
		total += used
	}
	if total > d.space {
		d.refused.Add(1)
		return syscall.ENOSPC
	}
	d.used[name] += n
	return nil
}

func (d *smallDisk) wrap(name string, f vfs.File, err error) (vfs.File, error) {
	if err != nil {
		return nil, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.used[name] = 0
	return &smallFile{f, name, d}, nil
}

func (d *smallDisk) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := d.FS.Create(name, c)
	return d.wrap(name, f, err)
}

func (d *smallDisk) ReuseForWrite(from, to string, c vfs.DiskWriteCategory) (vfs.File, error) {
	d.mu.Lock()
	delete(d.used, from)
	d.mu.Unlock()
	f, err := d.FS.ReuseForWrite(from, to, c)
	return d.wrap(to, f, err)
}

func (d *smallDisk) Remove(name string) error {
	err := d.FS.Remove(name)
	if err == nil {
		d.mu.Lock()
		delete(d.used, name)
		d.mu.Unlock()
	}
	return err
}

func (d *smallDisk) Rename(from, to string) error {
	err := d.FS.Rename(from, to)
	if err == nil {
		d.mu.Lock()
		d.used[to] = d.used[from]
		delete(d.used, from)
		d.mu.Unlock()
	}
	return err
}

func (f *smallFile) Write(b []byte) (int, error) {
	if err := f.disk.take(f.name, int64(len(b))); err != nil {
		return 0, err
	}
	return f.File.Write(b)
}

// A disk that is full from one moment to the next, with nothing that would have
// told before: the store refuses, or fails with a reason, and after a restart
// with space all that was committed is there.
func TestDiskFull(t *testing.T) {
	for n := range size(t, "TRIGGERD_DISK_FULL", 10) {
		mem := vfs.NewCrashableMem()
		disk := &smallDisk{FS: mem, space: 300_000 + int64(n)*87_000, used: map[string]int64{}}
		s, err := store.Options{FS: disk}.Open("data")
		if err != nil {
			t.Fatal(err)
		}
		l := newLoad(s, uint64(n), 8_000)
		for g := int64(1); err == nil; g++ {
			if err = l.group(g); err == nil && g%15 == 0 {
				err = s.StartFlush()
			}
		}
		if disk.refused.Load() == 0 || !errors.Is(err, store.ErrNoSpace) && !errors.Is(err, syscall.ENOSPC) {
			t.Errorf("disk of %d bytes: %d writes refused, %v", disk.space, disk.refused.Load(), err)
		}
		s.Close() // may fail as the store did
		clone := mem.CrashClone(vfs.CrashCloneCfg{})
		if err := l.checkClone(clone, l.durable.Load()); err != nil {
			t.Errorf("disk of %d bytes, after a restart: %v", disk.space, err)
		}
	}
}

// The ballast file is what lets a write succeed that found the disk full.
func TestBallast(t *testing.T) {
	mem := vfs.NewMem()
	mem.TestingSetDiskUsage(vfs.DiskUsage{AvailBytes: 50 << 30, TotalBytes: 100 << 30})
	full := &fullOnce{FS: mem}
	var log logBuffer
	s, err := store.Options{FS: full, Logger: log.logger()}.Open("data")
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if _, err := mem.Stat("data/ballast"); err != nil {
		t.Fatal(err)
	}
	full.on.Store(true)
	b := s.NewBatch()
	b.Enqueue(job("e", "id"))
	commit(t, b) // the write that failed was done again
	if _, err := mem.Stat("data/ballast"); err == nil {
		t.Error("the ballast is still there")
	}
	if !strings.Contains(log.String(), "the disk is full") {
		t.Errorf("log: %s", log.String())
	}
	mem.TestingSetDiskUsage(vfs.DiskUsage{TotalBytes: 100 << 30}) // the commit asks, if it comes later than measureEvery
	b.Enqueue(job("e", "id"))
	if _, err := b.Commit(); !errors.Is(err, store.ErrNoSpace) {
		t.Errorf("the next Commit = %v, want ErrNoSpace", err)
	}
	mem.TestingSetDiskUsage(vfs.DiskUsage{AvailBytes: 50 << 30, TotalBytes: 100 << 30})
	maintain(t, s) // there is space, as the system says
	commit(t, b)
	maintain(t, s)
	if _, err := mem.Stat("data/ballast"); err != nil {
		t.Errorf("the ballast is not made again: %v", err)
	}
}

// A commit that finds the disk full, with no ballast left to make room, waits
// for space while Run runs.
func TestCommitAwaitsSpace(t *testing.T) {
	mem := vfs.NewMem()
	mem.TestingSetDiskUsage(vfs.DiskUsage{AvailBytes: 50 << 30, TotalBytes: 100 << 30})
	full := &fullOnce{FS: mem, refused: make(chan struct{}, 1)}
	s, err := store.Options{FS: full}.Open("data")
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	run := func() (stop func()) {
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- s.Run(ctx) }()
		s.AwaitKept()
		return func() {
			cancel()
			<-done
		}
	}
	stop := run()
	fill := func() (committed chan error) {
		t.Helper()
		full.on.Store(true)
		committed = make(chan error, 1)
		go func() {
			b := s.NewBatch()
			b.Enqueue(job("e", "id"))
			_, err := b.Commit()
			committed <- err
		}()
		for range 3 {
			<-full.refused
		}
		return committed
	}
	committed := fill()
	full.on.Store(false)
	if err := <-committed; err != nil {
		t.Fatalf("Commit = %v", err)
	}
	maintain(t, s)
	committed = fill()
	stop()
	if err := <-committed; !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("Commit when Run was told to end = %v", err)
	}
}

// fullOnce has no space for writes to logs while there is a ballast, or at all
// if there is someone who wants to know.
type fullOnce struct {
	vfs.FS
	on      atomic.Bool
	refused chan struct{}
}

type fullFile struct {
	vfs.File
	fs *fullOnce
}

func (f *fullOnce) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	file, err := f.FS.Create(name, c)
	if err == nil && strings.HasSuffix(name, ".log") {
		file = fullFile{file, f}
	}
	return file, err
}

func (f fullFile) Write(b []byte) (int, error) {
	_, err := f.fs.Stat("data/ballast")
	if f.fs.on.Load() && (err == nil || f.fs.refused != nil) {
		select {
		case f.fs.refused <- struct{}{}:
		default: // also where nobody wants to know
		}
		return 0, fmt.Errorf("write: %w", syscall.ENOSPC)
	}
	return f.File.Write(b)
}
