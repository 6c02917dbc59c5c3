package spool

import (
	"bytes"
	"io"

	"triggerd/internal/disk"
)

// File is what a test's disk gives.
type File = disk.File

// Disk is a disk that a test spoils: each function may be nil.
type Disk struct {
	Made  func(File) File
	Dir   func() error
	Space func() int64
}

func (d Disk) Create(path string) (disk.File, error) {
	f, err := disk.System.Create(path)
	if err == nil && d.Made != nil {
		return d.Made(f), nil
	}
	return f, err
}

func (d Disk) Remove(path string) error { return disk.System.Remove(path) }

func (d Disk) SyncDir(path string) error {
	if d.Dir != nil {
		return d.Dir()
	}
	return disk.System.SyncDir(path)
}

func (d Disk) Free(string) (int64, int64, bool) {
	if d.Space != nil {
		return d.Space(), 1 << 40, true
	}
	return 0, 0, false
}

// With returns options with a disk.
func (o Options) With(d Disk) Options {
	o.FS = d
	return o
}

// BlockSize is how much of a log is one piece of memory.
const BlockSize = blockSize

// ScanSegment reads a segment, and returns how many bytes of it are good and
// where they end.
func ScanSegment(b []byte, base Address) (good int64, end Address, err error) {
	s := scanned{base: base, end: base}
	err = s.read(bytes.NewReader(b))
	return s.good, s.end, err
}

var _ io.Writer = File(nil)

// Runs is how many pieces of histories a log knows.
func Runs(l *Log) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.runs)
}
