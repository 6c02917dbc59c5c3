package store

import (
	"errors"
	"fmt"
	"io"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// backupName is the folder, in a data directory, in which a copy is made.
const backupName = "backup"

// ErrBusy is returned by Backup while another one is being made.
var ErrBusy = errors.New("a backup is being made already")

// Backup calls add for each file of a copy of the store at one moment. A
// triggerd can be started with the copy. The store goes on to be used
// meanwhile. The copy shares the files that do not change, so it takes little
// space.
//
// Names are relative to the data directory, with slashes; the file "checkpoint"
// comes last. content may be read until add returns. An error of add ends the
// backup and is returned.
func (s *Store) Backup(add func(name string, size int64, content io.Reader) error) error {
	if !s.backup.TryLock() {
		return ErrBusy
	}
	defer s.backup.Unlock()
	if err := s.err(); err != nil {
		return err
	}
	dir := s.fs.PathJoin(s.dir, backupName)
	if err := s.fs.RemoveAll(dir); err != nil { // it may be left by a process that was killed
		return fmt.Errorf("backup: %w", err)
	}
	defer s.fs.RemoveAll(dir)
	// The file "checkpoint" must not claim more commits than the copy of the
	// database has. So it is read before the copy is made.
	line := s.side.line().text()
	if err := s.guard(func() error { return s.db.Checkpoint(dir, pebble.WithFlushedWAL()) }); err != nil {
		return fmt.Errorf("backup: %w", err)
	}
	names, err := s.fs.List(dir)
	if err != nil {
		return fmt.Errorf("backup: %w", err)
	}
	for _, name := range names {
		if err := s.addFile(dir, name, "db/"+name, add); err != nil {
			return fmt.Errorf("backup: %w", err)
		}
	}
	side := newSidecar(s.fs, dir)
	if err := side.replace(line); err != nil {
		return fmt.Errorf("backup: %w", err)
	}
	if err := s.addFile(dir, "checkpoint", "checkpoint", add); err != nil {
		return fmt.Errorf("backup: %w", err)
	}
	return nil
}

func (s *Store) addFile(dir, name, as string, add func(name string, size int64, content io.Reader) error) error {
	f, err := s.fs.Open(s.fs.PathJoin(dir, name), vfs.SequentialReadsOption)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	return add(as, info.Size(), f)
}
