// Package disktest is a disk that loses its power.
package disktest

import (
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"

	"triggerd/internal/disk"
)

// Disk is the operating system's disk, and remembers what of it outlives the
// machine. Its zero value is ready. Files that it has not created are not its.
type Disk struct {
	NoSync bool // a mistake: what is synced does not outlive the machine

	mu    sync.Mutex // guards what follows, and the files while they are copied
	files map[string]*state
}

// state is what is known of a file.
type state struct {
	size, synced int64
	named        bool   // its name outlives the machine
	removed      []byte // what it had, if it was removed and that may not outlive the machine; nil: it is there
}

// Create is that of disk.FS.
func (d *Disk) Create(path string) (disk.File, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	f, err := disk.System.Create(path)
	if err != nil {
		return nil, err
	}
	if d.files == nil {
		d.files = map[string]*state{}
	}
	s := &state{}
	d.files[path] = s
	return &file{f, d, s}, nil
}

// Remove is that of disk.FS.
func (d *Disk) Remove(path string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	had, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if s := d.files[path]; s != nil {
		s.removed = append([]byte{}, had...)
	}
	return disk.System.Remove(path)
}

// SyncDir is that of disk.FS.
func (d *Disk) SyncDir(path string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	for name, s := range d.files {
		switch {
		case filepath.Dir(name) != filepath.Clean(path):
		case s.removed != nil:
			delete(d.files, name)
		default:
			s.named = true
		}
	}
	return disk.System.SyncDir(path)
}

// Free is that of disk.FS.
func (d *Disk) Free(path string) (free, of int64, known bool) { return disk.System.Free(path) }

// file is a file of a Disk.
type file struct {
	disk.File
	d *Disk
	s *state
}

func (f *file) Write(b []byte) (int, error) {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	n, err := f.File.Write(b)
	f.s.size += int64(n)
	return n, err
}

func (f *file) Sync() error {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	if !f.d.NoSync {
		f.s.synced = f.s.size
	}
	return nil // nobody takes the power of the real one
}

func (f *file) Truncate(size int64) error {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	f.s.size, f.s.synced = size, min(f.s.synced, size)
	return f.File.Truncate(size)
}

// Cut takes the power: under a directory, which must not be there, it puts what is
// left of the files under another. Of each that is what was synced and some of
// what was not; one whose name was not may be gone, and one that was removed be
// there. At that moment meanwhile is called: what it does is of the same moment.
func (d *Disk) Cut(from, to string, chance *rand.Rand, meanwhile func()) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	meanwhile()
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		return err
	}
	for path, s := range d.files {
		name, err := filepath.Rel(from, path)
		if err != nil || !filepath.IsLocal(name) {
			continue
		}
		left := filepath.Join(to, name)
		switch {
		case s.removed != nil && chance.IntN(2) == 0:
			err = os.WriteFile(left, s.removed, 0o600)
		case s.removed != nil:
			continue
		case !s.named && chance.IntN(2) == 0:
			err = os.Remove(left)
			if err != nil {
				return err
			}
			continue
		}
		if err == nil {
			err = os.Truncate(left, s.synced+chance.Int64N(s.size-s.synced+1))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

var _ io.Writer = (*file)(nil)
