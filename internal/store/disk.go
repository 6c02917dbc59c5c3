package store

import (
	"errors"
	"fmt"
	"log/slog"
	"math"
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// ErrNoSpace is returned by Commit and Full while the store takes no more: its
// quota is used up, or the disk is nearly full.
var ErrNoSpace = errors.New("no space for the store")

const (
	ballastSize = 64 << 20
	leastFree   = 64 << 20 // room for the memtables in memory to become files
	mostFree    = 1 << 30
)

// disk stops the store from growing before the disk is full, since the engine
// ends the process when it is. Something else may fill the disk suddenly. For
// that there is a ballast file, which is deleted when a write fails for want of
// space. The write is then repeated. If that is not enough, a commit is
// repeated until there is space.
type disk struct {
	s       *Store
	log     *slog.Logger
	ballast string

	mu       sync.Mutex // guards what follows
	measured time.Time
	used     int64 // by the database, when it was last measured
	added    int64 // committed since then
	free     int64 // -1: unknown
	total    int64
	debt     int64
	why      error // why the store is full; nil: it is not full
	ended    bool  // a write has failed for want of space, and the ballast is deleted
	tried    time.Time
	compacts time.Time // last time wantsCompaction said yes
}

func newDisk(s *Store) *disk {
	return &disk{s: s, log: s.log, ballast: s.path("ballast"), free: -1}
}

// Full returns an ErrNoSpace that says why the store takes no more jobs, and
// nil if it does. Settling jobs is always possible.
func (s *Store) Full() error {
	if err := s.usable(); err != nil {
		return err
	}
	return s.disk.admit(0)
}

// measureEvery is how old a measurement may be at a commit. In that time a disk
// does not take leastFree bytes.
const measureEvery = 50 * time.Millisecond

// admit returns an error if the store must not grow by that many bytes.
func (d *disk) admit(bytes int) error {
	d.mu.Lock()
	now := time.Now()
	old := now.Sub(d.measured) > measureEvery
	if !old && d.why == nil && d.used+d.added+int64(bytes) > d.s.opts.MaxBytes {
		old = now.Sub(d.tried) > measureEvery // it may be less by now
	}
	if old {
		d.tried = now
	}
	d.mu.Unlock()
	if old {
		d.measure()
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.why == nil {
		d.why = d.judge(int64(bytes))
		d.report()
	}
	return d.why
}

// grow counts bytes that were committed.
func (d *disk) grow(bytes int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.added += int64(bytes)
}

// measure asks the engine and the operating system how much space there is.
func (d *disk) measure() {
	var m *pebble.Metrics
	err := d.s.guard(func() error {
		m = d.s.db.Metrics()
		return nil
	})
	if err != nil {
		return
	}
	usage, err := d.s.fs.GetDiskUsage(d.s.dir)
	if err == nil && d.reclaim(int64(usage.AvailBytes), int64(usage.TotalBytes)) > 0 {
		usage, err = d.s.fs.GetDiskUsage(d.s.dir)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.measured = time.Now()
	d.used, d.added, d.debt = int64(m.DiskSpaceUsage()), 0, int64(m.Compact.EstimatedDebt)
	d.free, d.total = -1, 0
	if err == nil {
		d.free, d.total = int64(usage.AvailBytes), int64(usage.TotalBytes)
	} else if !errors.Is(err, vfs.ErrUnsupported) {
		d.log.Warn("free disk space is not known", "err", err)
	}
	was := d.why
	d.why = d.judge(0)
	if was != nil && d.why == nil {
		d.ended = false
		d.log.Info("the store has space again")
	} else if was == nil {
		d.report()
	}
}

// reclaim has others free what is missing of the space that is left free, and
// returns how much they did.
func (d *disk) reclaim(free, total int64) int64 {
	if d.s.opts.Reclaim == nil {
		return 0
	}
	least := d.s.opts.leastFree(total)
	if missing := least + least/16 - free; missing > 0 {
		return d.s.opts.Reclaim(missing)
	}
	return 0
}

// judge returns why the store would be full once it has grown by so many bytes;
// nil: it would not be. To become not full again it needs a sixteenth more
// space than to become full, so that it does not switch back and forth. The
// caller holds the lock.
func (d *disk) judge(bytes int64) error {
	least, quota := d.minFree(), d.s.opts.MaxBytes
	if d.why != nil {
		least += least / 16
		quota -= quota / 16
	}
	switch {
	case d.free >= 0 && d.free-d.added-bytes < least:
		return fmt.Errorf("%w: %d MB free on the disk of %s, less than %d MB", ErrNoSpace, d.free>>20, d.s.dir, least>>20)
	case d.used+d.added+bytes > quota:
		return fmt.Errorf("%w: it takes %d MB, its quota is %d MB", ErrNoSpace, (d.used+d.added)>>20, d.s.opts.MaxBytes>>20)
	case d.ended && d.free < 0:
		return fmt.Errorf("%w: the disk of %s is full", ErrNoSpace, d.s.dir)
	}
	return nil
}

// report logs that the store has become full. The caller holds the lock.
func (d *disk) report() {
	if d.why != nil {
		d.log.Error("the store is full and takes no more until it has space again", "err", d.why)
	}
}

// minFree returns how much space is left free. The caller holds the lock.
func (d *disk) minFree() int64 { return d.s.opts.leastFree(d.total) }

// leastFree returns how much space is left free of a disk of so many bytes.
func (o *Options) leastFree(total int64) int64 {
	if o.MinFree > 0 {
		return o.MinFree
	}
	return min(max(total/20, leastFree), mostFree)
}

// exhausted is called by the engine when a write found no space. It must not
// call the engine.
func (d *disk) exhausted() {
	err := d.s.fs.Remove(d.ballast)
	if d.s.opts.Reclaim != nil {
		d.s.opts.Reclaim(math.MaxInt64)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.ended = true
	if d.why == nil {
		d.why = fmt.Errorf("%w: the disk of %s is full", ErrNoSpace, d.s.dir)
		d.log.Error("the disk is full; the store takes no more until it has space again", "ballast_freed", err == nil)
	}
}

// await waits a moment for space, and reports whether to try again. It returns
// false if there is no Run that would notice new space.
func (d *disk) await() bool {
	kept := d.s.kept.Load()
	if kept == nil {
		return false
	}
	select {
	case <-*kept:
		return false
	case <-d.s.failed:
		return false
	case <-time.After(spaceRetry):
		return true
	}
}

// makeBallast makes the ballast file if there is none and plenty of space.
func (d *disk) makeBallast() {
	d.mu.Lock()
	plenty := d.why == nil && d.free-d.minFree() > 2*ballastSize
	d.mu.Unlock()
	if !plenty {
		return
	}
	if _, err := d.s.fs.Stat(d.ballast); err == nil {
		return
	}
	f, err := d.s.fs.Create(d.ballast, vfs.WriteCategoryUnspecified)
	if err == nil {
		err = errors.Join(f.Preallocate(0, ballastSize), f.Close())
	}
	if err != nil {
		d.log.Warn("no ballast file", "err", err)
	}
}

// A database is compacted after that many settlements, or when it is nearly
// full, but not all the time.
const (
	manySettled   = 1_000_000
	compactPause  = time.Minute
	compactHurry  = 5 * time.Second
	smallDatabase = 32 << 20
)

// wantsCompaction reports whether a compaction now would free much space.
func (d *disk) wantsCompaction(settled int64) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	pause := compactPause
	nearlyFull := d.why != nil || d.used+d.added > d.s.opts.MaxBytes/8*7
	if nearlyFull && settled > 0 {
		pause = compactHurry
	}
	if time.Since(d.compacts) < pause || !nearlyFull && (settled < manySettled || d.used < smallDatabase) {
		return false
	}
	d.compacts = time.Now()
	return true
}

func (d *disk) figures() (used, free, debt int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.used + d.added, d.free, d.debt
}
