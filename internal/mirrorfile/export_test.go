package mirrorfile

import (
	"fmt"
	"path/filepath"

	"triggerd/internal/disk"
)

// Faults makes what a Writer does to the disk fail: each field is asked before
// the operation is done, and its error is the operation's.
type Faults struct {
	Create, Write, Sync, SyncDir func() error
	Free                         int64 // 0: much
}

// Fail has the faults happen.
func (w *Writer) Fail(f *Faults) { w.fs = &faultySystem{w.fs, f} }

type faultySystem struct {
	disk.FS
	*Faults
}

func do(f func() error) error {
	if f == nil {
		return nil
	}
	return f()
}

func (s *faultySystem) Create(path string) (disk.File, error) {
	if err := do(s.Faults.Create); err != nil {
		return nil, err
	}
	f, err := s.FS.Create(path)
	return &faultyFile{f, s.Faults}, err
}

func (s *faultySystem) SyncDir(path string) error {
	if err := do(s.Faults.SyncDir); err != nil {
		return err
	}
	return s.FS.SyncDir(path)
}

func (s *faultySystem) Free(path string) (free, of int64, known bool) {
	if s.Faults.Free != 0 {
		return s.Faults.Free, 1 << 40, true
	}
	return s.FS.Free(path)
}

type faultyFile struct {
	disk.File
	*Faults
}

func (f *faultyFile) Write(b []byte) (int, error) {
	if err := do(f.Faults.Write); err != nil {
		return 0, err
	}
	return f.File.Write(b)
}

func (f *faultyFile) Sync() error {
	if err := do(f.Faults.Sync); err != nil {
		return err
	}
	return f.File.Sync()
}

// Verify reads the file at a path.
func Verify(path string) (File, Meta, error) {
	f, m, err := readPath(path, func([]byte) error { return nil })
	if n, ok := parseName(filepath.Base(path)); err == nil && (!ok || n != f.Number) {
		err = fmt.Errorf("%s: %w: it says that it is number %x", path, ErrDamaged, f.Number)
	}
	return f, m, err
}
