package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/sstable"
	"github.com/cockroachdb/pebble/v2/vfs"
)

const (
	memTableSize = 16 << 20 // also bounds what one log file holds, and so what a damaged one can lose
	cacheSize    = 16 << 20
)

// engineOptions are the options of all databases in a store directory.
//
// The format version is one whose log says up to where it had been synced. So
// damage in the middle of the newest log can be told from a write that a crash
// cut short, and is an error. With older formats the log would silently end
// there.
func (s *Store) engineOptions(fs vfs.FS) *pebble.Options {
	o := &pebble.Options{
		FS:                          fs,
		FormatMajorVersion:          pebble.FormatWALSyncChunks,
		CacheSize:                   cacheSize,
		MemTableSize:                memTableSize,
		MemTableStopWritesThreshold: 3,
		// Most records are removed soon: the later what has been flushed is
		// merged, the less of it is still there. Twice the default.
		L0CompactionThreshold:      8,
		L0StopWritesThreshold:      24,
		CompactionConcurrencyRange: func() (int, int) { return 1, 2 },
		Logger:                     engineLogger{s},
		EventListener: &pebble.EventListener{
			BackgroundError: s.backgroundError,
			DataCorruption: func(info pebble.DataCorruptionInfo) {
				s.damages.tell(s.log, "file "+info.Path, oneLine(info.Details))
			},
			WriteStallBegin: func(info pebble.WriteStallBeginInfo) {
				s.log.Warn("store writes wait for the disk", "why", info.Reason)
			},
		},
	}
	for i := range o.Levels {
		// Jobs are read in their order, and others hardly ever: larger blocks
		// than the default take less work.
		o.Levels[i].BlockSize, o.Levels[i].IndexBlockSize = 16<<10, 256<<10
		// named, since some of the engine's profiles use zstd, which differs with cgo
		o.Levels[i].Compression = func() *sstable.CompressionProfile { return sstable.SnappyCompression }
	}
	return o
}

// engineLogger receives pebble's messages. Fatalf must not return. It makes the
// store fail and parks its goroutine, which may hold locks of the engine. All
// calls that change something go through guard, so they do not wait for these
// locks.
type engineLogger struct{ s *Store }

func (l engineLogger) Infof(string, ...any) {}

func (l engineLogger) Errorf(format string, args ...any) {
	l.s.log.Warn("store engine", "err", fmt.Sprintf(format, args...))
}

func (l engineLogger) Fatalf(format string, args ...any) {
	l.s.fail(fmt.Errorf(format, args...))
	select {}
}

// spaceRetry is how long the engine is delayed after background work that found
// no space. Without that it would retry in a busy loop.
const spaceRetry = 100 * time.Millisecond

// backgroundError is called when a flush or a compaction fails. The engine
// retries them for ever. Any error but a full disk, which may mend itself, ends
// the store: only a restart can find out what is on disk.
func (s *Store) backgroundError(err error) {
	switch {
	case errors.Is(err, pebble.ErrCancelledCompaction), errors.Is(err, context.Canceled), s.closed.Load():
	case vfs.IsNoSpaceError(err):
		s.disk.exhausted()
		time.Sleep(spaceRetry)
	default:
		s.fail(fmt.Errorf("background work: %w", err))
	}
	if s.err() != nil {
		select {} // park the goroutine, or the engine would retry for ever
	}
}

// fail marks the store as failed. The first reason counts.
func (s *Store) fail(err error) error {
	s.failOnce.Do(func() {
		s.failure = fmt.Errorf("the store has failed, and has to be opened again by a new process: %w", err)
		close(s.failed)
	})
	<-s.failed
	return s.failure
}

// err returns why the store has failed, nil if it has not.
func (s *Store) err() error {
	select {
	case <-s.failed:
		return s.failure
	default:
	}
	return nil
}

func (s *Store) usable() error {
	if s.closed.Load() {
		return errClosed
	}
	return s.err()
}

// guard calls f, which may panic or never return once the store has failed.
func (s *Store) guard(f func() error) error {
	done := make(chan error, 1)
	go func() {
		defer func() {
			if p := recover(); p != nil {
				err, ok := p.(error)
				if !ok {
					err = fmt.Errorf("%v", p)
				}
				done <- s.fail(err)
			}
		}()
		done <- f()
	}()
	select {
	case err := <-done:
		return err
	case <-s.failed:
	}
	select {
	case err := <-done: // f had returned before the store failed
		return err
	default:
		return s.failure
	}
}

func (s *Store) takeTurn() error {
	select {
	case <-s.failed:
		return s.failure
	case s.turn <- struct{}{}:
	}
	if err := s.usable(); err != nil {
		s.releaseTurn()
		return err
	}
	return nil
}

func (s *Store) releaseTurn() { <-s.turn }

// apply makes the changes of a batch, closes it, and releases the turn once the
// next batch can no longer overtake it. If sync is set it waits for the disk.
func (s *Store) apply(b *pebble.Batch, sync bool) error {
	return s.guard(func() error {
		var err error
		if sync {
			err = s.db.ApplyNoSyncWait(b, pebble.Sync)
		} else {
			err = s.db.Apply(b, pebble.NoSync)
		}
		s.releaseTurn()
		if err == nil && sync {
			err = b.SyncWait()
		}
		if err != nil {
			return s.fail(err)
		}
		return b.Close()
	})
}

// get calls parse with the fields of a key's record, which are valid during the
// call. parse returns false if they cannot be right.
func (s *Store) get(key []byte, parse func(value []byte) bool) error {
	return s.getVersion(key, func(value []byte, _ byte) bool { return parse(value) })
}

// getVersion is get for a kind whose versions have different fields.
func (s *Store) getVersion(key []byte, parse func(value []byte, version byte) bool) error {
	if err := s.usable(); err != nil {
		return err
	}
	sealed, closer, err := s.db.Get(key)
	if errors.Is(err, pebble.ErrNotFound) {
		return ErrNotFound
	}
	if pebble.IsCorruptionError(err) {
		return s.corrupt(key, oneLine(err))
	}
	if err != nil {
		return err
	}
	defer closer.Close()
	v, version, err := s.unseal(key, sealed)
	if err != nil {
		return err
	}
	if !parse(v, version) {
		return s.corrupt(key, "its fields are cut short")
	}
	return nil
}

// unseal returns the fields of a record's value and their version, or an error
// that names the record.
func (s *Store) unseal(key, sealed []byte) (value []byte, version byte, err error) {
	value, version, ok := unseal(key, sealed)
	if !ok {
		return nil, 0, s.corrupt(key, "its checksum is wrong")
	}
	if version > versions[key[0]] {
		return nil, 0, newerRecord(key, version)
	}
	return value, version, nil
}

// value is get for the record that an iterator is at.
func (s *Store) value(it *pebble.Iterator, parse func(key, value []byte) bool) error {
	sealed, err := it.ValueAndErr()
	if err != nil {
		return s.readError(err)
	}
	v, _, err := s.unseal(it.Key(), sealed)
	if err != nil {
		return err
	}
	if !parse(it.Key(), v) {
		return s.corrupt(it.Key(), "its fields are cut short")
	}
	return nil
}

// readError returns the engine's error; if it is damage, as a CorruptError.
func (s *Store) readError(err error) error {
	if pebble.IsCorruptionError(err) {
		return &CorruptError{Key: "somewhere", What: oneLine(err)}
	}
	return err
}

func (s *Store) corrupt(key []byte, what string) error {
	name := keyName(key)
	s.damages.met(name)
	return &CorruptError{Key: name, What: what}
}

// scan calls f for the records from one key up to another, until f returns
// false or an error. Key and value are valid during the call.
func (s *Store) scan(from, to []byte, f func(key, value []byte) (more bool, err error)) error {
	return s.iterate(s.db, &pebble.IterOptions{LowerBound: from, UpperBound: to}, (*pebble.Iterator).First, (*pebble.Iterator).Next, s.withValue(f))
}

// scanBack is scan over the numbered records of a kind, the last first. It
// begins below before; 0 means at the end.
func (s *Store) scanBack(kind byte, before uint64, f func(key, value []byte) (more bool, err error)) error {
	o := &pebble.IterOptions{LowerBound: []byte{kind}, UpperBound: []byte{kind + 1}}
	if before != 0 {
		o.UpperBound = appendNumberKey(nil, kind, before)
	}
	return s.iterate(s.db, o, (*pebble.Iterator).Last, (*pebble.Iterator).Prev, s.withValue(f))
}

// scanKeys is scan without the values, which are then neither read nor checked.
func (s *Store) scanKeys(from, to []byte, f func(key []byte) error) error {
	return s.iterate(s.db, &pebble.IterOptions{LowerBound: from, UpperBound: to}, (*pebble.Iterator).First, (*pebble.Iterator).Next,
		func(it *pebble.Iterator) (bool, error) { return true, f(it.Key()) })
}

func (s *Store) withValue(f func(key, value []byte) (bool, error)) func(*pebble.Iterator) (bool, error) {
	return func(it *pebble.Iterator) (more bool, err error) {
		valueErr := s.value(it, func(key, value []byte) bool {
			more, err = f(key, value)
			return true
		})
		if valueErr != nil {
			return false, valueErr
		}
		return more, err
	}
}

func (s *Store) iterate(r pebble.Reader, o *pebble.IterOptions, start, step func(*pebble.Iterator) bool, f func(*pebble.Iterator) (bool, error)) (err error) {
	if err := s.usable(); err != nil {
		return err
	}
	if len(o.LowerBound) == 0 {
		o.LowerBound = nil // the engine's race build takes another for a key with a byte
	}
	it, err := r.NewIter(o)
	if err != nil {
		return s.readError(err)
	}
	defer func() {
		if closeErr := it.Close(); err == nil && closeErr != nil {
			err = s.readError(closeErr)
		}
	}()
	for ok := start(it); ok; ok = step(it) {
		if more, err := f(it); err != nil || !more {
			return err
		}
	}
	return nil
}

// openError adds to an error what to do about a database that cannot be opened.
func (s *Store) openError(err error) error {
	if pebble.IsCorruptionError(err) {
		return &CorruptError{Key: s.path("db"), What: oneLine(err)}
	}
	if vfs.IsNoSpaceError(err) {
		return fmt.Errorf("%w: free some on the disk first: %w", ErrNoSpace, err)
	}
	return fmt.Errorf("open database: %w", err)
}
