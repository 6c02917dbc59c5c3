package engine

import (
	"archive/tar"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"triggerd/internal/delivered"
)

// Backup implements admin.Daemon.
func (e *Engine) Backup(w io.Writer) error {
	e.trimming.Lock() // what the copy of the store names stays
	defer e.trimming.Unlock()
	out, now := tar.NewWriter(w), time.Now()
	add := func(name string, size int64, content io.Reader) error {
		if err := out.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o600, Size: size, ModTime: now}); err != nil {
			return err
		}
		_, err := io.CopyN(out, content, size)
		return err
	}
	err := e.store.Backup(func(name string, size int64, content io.Reader) error {
		if name == "checkpoint" { // the last: the database is copied
			for _, of := range []string{"state", "spool"} {
				if err := addFiles(e.store.Dir(), of, add); err != nil {
					return err
				}
			}
			if err := e.addKept(add); err != nil {
				return err
			}
		}
		return add(name, size, content)
	})
	if err != nil {
		return err
	}
	return out.Close()
}

// addKept adds what is kept of deliveries.
func (e *Engine) addKept(add func(name string, size int64, content io.Reader) error) error {
	if e.cfg.Kept == nil {
		return nil
	}
	return e.cfg.Kept.Files(func(name string, size int64, content io.Reader) error {
		return add(delivered.DirName+"/"+name, size, content)
	})
}

// addFiles adds all files in a directory of the data directory, as long as they
// are now. One that is removed meanwhile is of no use to the copy.
func addFiles(dataDir, of string, add func(name string, size int64, content io.Reader) error) error {
	if dataDir == "" {
		return nil
	}
	root := filepath.Join(dataDir, of)
	return filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		f, err := os.Open(path)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		defer f.Close()
		info, err := f.Stat()
		if err != nil {
			return err
		}
		name, err := filepath.Rel(dataDir, path)
		if err != nil {
			return err
		}
		return add(filepath.ToSlash(name), info.Size(), f)
	})
}
