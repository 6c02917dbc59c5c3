package spool

import (
	"bytes"
	"io"
)

// File is what a test's disk gives.
type File = file

// Disk is a disk that a test spoils: each function may be nil.
type Disk struct {
	Create func(File) File
	Dir    func() error
	Space  func() int64
}

func (d Disk) create(path string) (file, error) {
	f, err := system{}.create(path)
	if err == nil && d.Create != nil {
		return d.Create(f), nil
	}
	return f, err
}

func (d Disk) remove(path string) error { return system{}.remove(path) }

func (d Disk) syncDir(path string) error {
	if d.Dir != nil {
		return d.Dir()
	}
	return system{}.syncDir(path)
}

func (d Disk) free(string) (int64, int64, bool) {
	if d.Space != nil {
		return d.Space(), 1 << 40, true
	}
	return 0, 0, false
}

// With returns options with a disk.
func (o Options) With(d Disk) Options {
	o.fs = d
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
