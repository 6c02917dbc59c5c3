package store

import (
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// Store is an open directory. Its methods may be called from any goroutine,
// SaveCheckpoint from one at a time.
type Store struct {
	dir  string
	lock *os.File
}

// ErrLocked is returned by Open where another process has the directory open.
var ErrLocked = errors.New("in use by another triggerd")

// Open makes the directory if it is not there, and locks it.
func Open(dir string) (*Store, error) {
	s, err := open(dir)
	if err != nil {
		return nil, fmt.Errorf("data directory %s: %w", dir, err)
	}
	return s, nil
}

func open(dir string) (*Store, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	lock, err := os.OpenFile(filepath.Join(dir, "LOCK"), os.O_RDWR|os.O_CREATE, 0o600)
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
	return &Store{dir: dir, lock: lock}, nil
}

// Close unlocks the directory.
func (s *Store) Close() error { return s.lock.Close() }

const magic = "triggerd 1 "

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func (s *Store) path() string { return filepath.Join(s.dir, "checkpoint") }

// Checkpoint returns the position that was saved last, or "" if none was.
func (s *Store) Checkpoint() (string, error) {
	b, err := os.ReadFile(s.path())
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("checkpoint: %w", err)
	}
	line, ended := strings.CutSuffix(string(b), "\n")
	i := strings.LastIndexByte(line, ' ')
	if !strings.HasPrefix(line, magic) {
		return "", s.corrupt("it is not a checkpoint of this version")
	}
	if !ended || i < len(magic) || checksum(line[:i+1]) != line[i+1:] {
		return "", s.corrupt("it is damaged")
	}
	return line[len(magic):i], nil
}

func (s *Store) corrupt(what string) error {
	return fmt.Errorf("checkpoint %s: %s; to start without it, and miss what changed meanwhile, remove the file", s.path(), what)
}

func checksum(line string) string {
	return fmt.Sprintf("%08x", crc32.Checksum([]byte(line), castagnoli))
}

// SaveCheckpoint replaces the saved position. When it returns nil the position
// is on disk. A position has no white space.
func (s *Store) SaveCheckpoint(position string) error {
	line := magic + position + " "
	if err := replace(s.path(), line+checksum(line)+"\n"); err != nil {
		return fmt.Errorf("save checkpoint: %w", err)
	}
	return nil
}

func replace(path, content string) error {
	next := path + ".new"
	f, err := os.OpenFile(next, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.WriteString(content)
	err = errors.Join(err, f.Sync(), f.Close())
	if err != nil {
		return err
	}
	if err := os.Rename(next, path); err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}
