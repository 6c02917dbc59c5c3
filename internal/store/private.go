package store

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
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
// to somebody else, or has files that are not ours, such as /tmp or somebody's
// home, keeps its mode, which is told; what is ours in it is closed in any case,
// and nothing else is touched.
func (s *Store) makePrivate() error {
	if s.opts.FS != vfs.Default {
		return nil
	}
	s.fs = privateFS{s.opts.FS}
	info, err := os.Stat(s.dir)
	if err != nil {
		return err
	}
	other, err := s.closeFiles()
	if err != nil {
		return err
	}
	switch mode := info.Mode().Perm(); {
	case mode&^privateDir == 0:
	case !ownedByUs(info):
		s.log.Warn("the data directory is open to other users, and belongs to one of them: what is in it is closed to them, but they may remove it", "dir", s.dir, "mode", octal(mode))
	case other != "":
		s.log.Warn("the data directory is open to other users, and is left so, as there is something else in it: what is triggerd's in it is closed to them", "dir", s.dir, "mode", octal(mode), "other", other)
	default:
		if err := os.Chmod(s.dir, privateDir); err != nil {
			return err
		}
		s.log.Info("the data directory was open to other users, and is not any more", "dir", s.dir, "mode", octal(mode), "now", octal(privateDir))
	}
	return nil
}

func octal(mode fs.FileMode) string { return fmt.Sprintf("%04o", mode) }

// ours reports whether something in the data directory is of this program: of
// this package, or of those that Dir is for.
func ours(name string) bool {
	switch name {
	case "LOCK", "db", "spool", "state", "delivered":
		return true
	}
	return strings.HasPrefix(name, "checkpoint") || strings.HasPrefix(name, "ballast")
}

// closeFiles sets the modes of what is ours in the data directory already, and
// returns the name of something else there, "" if there is nothing.
func (s *Store) closeFiles() (other string, err error) {
	if err := os.MkdirAll(s.path("db"), privateDir); err != nil {
		return "", err
	}
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return "", err
	}
	for _, e := range entries {
		switch {
		case ours(e.Name()):
			if err := closeTree(filepath.Join(s.dir, e.Name())); err != nil {
				return "", err
			}
		case e.Name() != "lost+found" && e.Type() != fs.ModeSocket: // of a file system, and of the API
			other = e.Name()
		}
	}
	return other, nil
}

// closeTree sets the modes of a file, or of a directory and all in it.
func closeTree(root string) error {
	return filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return ignoreMissing(err)
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
