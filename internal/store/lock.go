package store

import (
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// lockDir locks a directory against other processes, and against other users in
// this process, until it is closed or the process ends.
//
// It uses the engine's lock only if it has to. That one is an fcntl lock, which
// a process loses as soon as it closes any file of that name.
func lockDir(fs vfs.FS, dir string) (io.Closer, error) {
	path := fs.PathJoin(dir, "LOCK")
	if fs != vfs.Default {
		lock, err := fs.Lock(path)
		if errors.Is(err, syscall.EAGAIN) {
			err = ErrLocked
		}
		return lock, err
	}
	lock, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		lock.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, ErrLocked
		}
		return nil, fmt.Errorf("lock: %w", err)
	}
	return lock, nil
}
