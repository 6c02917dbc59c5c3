package disk

import (
	"errors"
	"io"
	"os"
	"syscall"
)

// FS is what is done to a disk, but for reading. Any goroutine may call its
// methods. Errors are those of package os.
type FS interface {
	Create(path string) (File, error) // to append to; it must not be there
	Remove(path string) error
	SyncDir(path string) error // what was created and removed in it outlives the machine
	// Free returns how many bytes are free, of how many, on the disk that a path
	// is on, as far as that is known.
	Free(path string) (free, of int64, known bool)
}

// File is a file that is written, by one goroutine at a time.
type File interface {
	io.Writer
	Sync() error
	Close() error
	Truncate(size int64) error
}

// System is the operating system's.
var System FS = system{}

type system struct{}

func (system) Create(path string) (File, error) {
	return os.OpenFile(path, os.O_WRONLY|os.O_APPEND|os.O_CREATE|os.O_EXCL, 0o600)
}

func (system) Remove(path string) error { return os.Remove(path) }

func (system) SyncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

func (system) Free(path string) (free, of int64, known bool) {
	var s syscall.Statfs_t
	if err := syscall.Statfs(path, &s); err != nil {
		return 0, 0, false
	}
	return int64(s.Bavail) * int64(s.Bsize), int64(s.Blocks) * int64(s.Bsize), true
}
