package main

import (
	"fmt"
	"hash/fnv"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"triggerd/rules"
)

// watchInterval is how often --watch looks.
const watchInterval = time.Second

// fileWatch tells when what rules were read from has changed: their files, the
// files of their secrets, and the .toml files beside them, of which an include
// may want more than before. Links are followed: an orchestrator that changes
// many files at once puts one link in the place of another.
//
// It looks at sizes, times and identities. A change counts once it has been the
// same at two looks in a row, so that no file is read while it is written.
type fileWatch struct {
	config string
	files  []string
	loaded uint64 // what was there just before the rules were read
	last   uint64 // what was there at the last look
}

// newFileWatch returns a watch over a rules file and all that its set was read
// from. What has changed since it was is not seen: it has to be read again.
func newFileWatch(config string, set *rules.Set) *fileWatch {
	w := &fileWatch{config: config}
	w.follow(set)
	w.reading()
	w.last = w.loaded
	return w
}

// follow has the watch look at what a set was read from. Where that is other
// files than before, they are read once more.
func (w *fileWatch) follow(set *rules.Set) {
	w.files = append(append([]string{w.config}, set.Files...), set.SecretFiles...)
}

// reading tells the watch that the rules are about to be read.
func (w *fileWatch) reading() { w.loaded = w.look() }

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
	for _, path := range w.files {
		note(path)
		dir := filepath.Dir(path)
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
