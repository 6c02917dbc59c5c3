package store

import (
	"strings"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// failStopFS makes the store fail where the engine would end the process. The
// engine panics, with its locks in a state that no recover mends, if it cannot
// end a log file and begin a new one. So no error of a log file reaches the
// engine: the goroutine is parked, as by engineLogger.Fatalf.
type failStopFS struct {
	vfs.FS
	s *Store
}

func (f failStopFS) Unwrap() vfs.FS { return f.FS }

// stopOn does not return if there is an error.
func (f failStopFS) stopOn(err error) {
	if err != nil {
		f.s.fail(err)
		select {}
	}
}

func (f failStopFS) logFile(name string, file vfs.File, err error) (vfs.File, error) {
	if !strings.HasSuffix(name, ".log") {
		return file, err
	}
	f.stopOn(err)
	return failStopFile{file, f}, nil
}

func (f failStopFS) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	file, err := f.FS.Create(name, category)
	return f.logFile(name, file, err)
}

func (f failStopFS) ReuseForWrite(from, to string, category vfs.DiskWriteCategory) (vfs.File, error) {
	file, err := f.FS.ReuseForWrite(from, to, category)
	return f.logFile(to, file, err)
}

func (f failStopFS) OpenDir(name string) (vfs.File, error) {
	file, err := f.FS.OpenDir(name)
	if err != nil {
		return nil, err
	}
	return failStopFile{file, f}, nil // its sync is part of beginning a log file
}

// failStopFile is a log file that is written, or a directory.
type failStopFile struct {
	vfs.File
	fs failStopFS
}

func (d failStopFile) Write(b []byte) (n int, err error) {
	for {
		wrote, err := d.File.Write(b[n:])
		n += wrote
		if !vfs.IsNoSpaceError(err) || !d.fs.s.disk.await() {
			d.fs.stopOn(err)
			return n, nil
		}
	}
}

func (d failStopFile) Sync() error {
	d.fs.stopOn(d.File.Sync())
	return nil
}

func (d failStopFile) SyncData() error {
	d.fs.stopOn(d.File.SyncData())
	return nil
}

func (d failStopFile) SyncTo(length int64) (fullSync bool, err error) {
	fullSync, err = d.File.SyncTo(length)
	d.fs.stopOn(err)
	return fullSync, nil
}

func (d failStopFile) Close() error {
	d.fs.stopOn(d.File.Close())
	return nil
}
