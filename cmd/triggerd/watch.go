package main

import (
	"fmt"
	"hash/fnv"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"
)

// watchInterval is how often --watch looks.
const watchInterval = time.Second

// fileWatch tells when what rules were read from has changed: their files, what a
// pattern of an include finds, the files of their secrets, and the .toml files
// beside all of these. What was looked for and is not there is among it, so that
// a mistake of that kind is seen to be mended. Links are followed: an
// orchestrator that changes many files at once puts one link in the place of
// another.
//
// It looks at sizes, times and identities. A change counts once it has been the
// same at two looks in a row, so that no file is read while it is written.
type fileWatch struct {
	files  []watched
	read   []watched // what the rules are being read from
	loaded uint64    // what was there just before the rules were read
	last   uint64    // what was there at the last look
}

// watched is a file, or a pattern of some.
type watched struct {
	path      string
	isPattern bool
}

// reads notes that the rules are being read from a file, or from what a pattern
// finds.
func (w *fileWatch) reads(path string, isPattern bool) {
	w.read = append(w.read, watched{path, isPattern})
}

// reading tells the watch that the rules are about to be read.
func (w *fileWatch) reading() { w.loaded, w.read = w.look(), nil }

// wereRead tells the watch that all was noted that the rules were read from, and
// whether they could be used. If not, they may not have been read to the end: what
// was watched before still is. Where that is other files than before, they are
// read once more.
func (w *fileWatch) wereRead(used bool) {
	if used {
		w.files = nil
	}
	for _, f := range w.read {
		if !slices.Contains(w.files, f) {
			w.files = append(w.files, f)
		}
	}
	w.read = nil
}

// changed reports whether something has changed since the rules were read, and
// has not gone on to change since the last look.
func (w *fileWatch) changed() bool {
	now := w.look()
	settled := now == w.last
	w.last = now
	return settled && now != w.loaded
}

// look is what is there now, as one number.
func (w *fileWatch) look() uint64 {
	h := fnv.New64a()
	note := func(path string) {
		fmt.Fprintf(h, "%q", path)
		info, err := os.Stat(path)
		if err != nil {
			return
		}
		fmt.Fprint(h, info.Size(), info.ModTime().UnixNano())
		if s, ok := info.Sys().(*syscall.Stat_t); ok {
			fmt.Fprint(h, " ", s.Dev, " ", s.Ino)
		}
	}
	seen := map[string]bool{}
	for _, f := range w.files {
		if f.isPattern {
			paths, _ := filepath.Glob(f.path) // one that is no pattern finds nothing
			for _, path := range paths {
				note(path)
			}
			continue
		}
		note(f.path)
		dir := filepath.Dir(f.path)
		if seen[dir] {
			continue
		}
		seen[dir] = true
		entries, _ := os.ReadDir(dir) // one that cannot be read has none
		for _, e := range entries {
			if filepath.Ext(e.Name()) == ".toml" {
				note(filepath.Join(dir, e.Name()))
			}
		}
	}
	return h.Sum64()
}
