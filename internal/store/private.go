package store

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// privateFS is the file system of the operating system, on which no other user
// can read a file that was made.
type privateFS struct{ vfs.FS }

func (f privateFS) Unwrap() vfs.FS { return f.FS }

// Create makes a file, which is empty until its mode is set.
func (f privateFS) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	file, err := f.FS.Create(name, category)
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(name, privateFile); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return file, nil
}

// Lock locks a file, which it makes.
func (f privateFS) Lock(name string) (io.Closer, error) {
	lock, err := f.FS.Lock(name)
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(name, privateFile); err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	return lock, nil
}

const (
	privateFile fs.FileMode = 0o600
	privateDir  fs.FileMode = 0o700
)

// makePrivate takes from other users what they may do with the data directory,
// and with what is in it: keys and values are there. A directory that belongs
// to somebody else keeps its mode, which is told; that of the database in it is
// ours, and is closed in any case.
func (s *Store) makePrivate() error {
	if s.opts.FS != vfs.Default {
		return nil
	}
	s.fs = privateFS{s.opts.FS}
	info, err := os.Stat(s.dir)
	if err != nil {
		return err
	}
	switch mode := info.Mode().Perm(); {
	case mode&^privateDir == 0:
	case ownedByUs(info):
		if err := os.Chmod(s.dir, privateDir); err != nil {
			return err
		}
		s.log.Info("the data directory was open to other users, and is not any more", "dir", s.dir, "mode", octal(mode), "now", octal(privateDir))
	default:
		s.log.Warn("the data directory is open to other users, and belongs to one of them: what is in it is closed to them, but they may remove it", "dir", s.dir, "mode", octal(mode))
	}
	return s.closeFiles()
}

func octal(mode fs.FileMode) string { return fmt.Sprintf("%04o", mode) }

// closeFiles sets the modes of what is in the data directory already.
func (s *Store) closeFiles() error {
	if err := os.MkdirAll(s.path("db"), privateDir); err != nil {
		return err
	}
	return filepath.WalkDir(s.dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || path == s.dir {
			return err
		}
		want := privateFile
		switch {
		case d.IsDir():
			want = privateDir
		case !d.Type().IsRegular():
			return nil
		}
		info, err := d.Info()
		if err != nil || info.Mode().Perm()&^want == 0 || !ownedByUs(info) {
			return ignoreMissing(err)
		}
		return ignoreMissing(os.Chmod(path, want))
	})
}

// ignoreMissing returns nil for a file that is gone by now.
func ignoreMissing(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// userID returns as which user this process runs. Tests run as another.
var userID = os.Geteuid

func ownedByUs(info fs.FileInfo) bool {
	st, ok := info.Sys().(*syscall.Stat_t)
	return ok && int(st.Uid) == userID()
}
