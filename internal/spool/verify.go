package spool

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// Verify reads all segments of a directory that no process has open, and returns
// what of them is not as it was written, each with file and byte. It changes
// nothing. What a process leaves that ended while it wrote is as it should be.
// err says why it could not look; a directory that is not there has no segments.
func Verify(dir string) (problems []error, err error) {
	names, err := os.ReadDir(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var last error
	for _, e := range names { // sorted by name
		if _, ok := parseName(e.Name()); !ok {
			continue
		}
		if last != nil {
			problems = append(problems, last)
		}
		path := filepath.Join(dir, e.Name())
		s, err := scan(path)
		last = nil
		switch {
		case err == nil:
		case !isDamage(err):
			return problems, err
		case s.torn || s.good == 0 && errors.Is(err, errCut):
			last = fmt.Errorf("%s, byte %d: %w", path, s.good, err) // if it is not the newest
		default:
			problems = append(problems, fmt.Errorf("%s, byte %d: %w", path, s.good, err))
		}
	}
	return problems, nil
}
