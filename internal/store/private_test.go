package store_test

import (
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"triggerd/internal/store"
)

// The data directory and all in it are this user's alone, also where they were
// open before.
func TestPrivate(t *testing.T) {
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	var log strings.Builder
	open := func() {
		t.Helper()
		st, err := store.Options{Logger: slog.New(slog.NewTextHandler(&log, nil))}.Open(dir)
		if err != nil {
			t.Fatal(err)
		}
		if err := st.SaveCheckpoint(store.Standalone, "abc:1/0"); err != nil {
			t.Fatal(err)
		}
		if err := st.Close(); err != nil {
			t.Fatal(err)
		}
	}
	open()
	if !strings.Contains(log.String(), "was open to other users") || !strings.Contains(log.String(), "mode=0755 now=0700") {
		t.Errorf("the log does not tell: %s", log.String())
	}
	checkPrivate(t, dir)
	filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		mode := fs.FileMode(0o644)
		if d.IsDir() {
			mode = 0o755
		}
		return os.Chmod(path, mode)
	})
	open()
	checkPrivate(t, dir)
	log.Reset()
	open()
	if strings.Contains(log.String(), "other users") {
		t.Errorf("told again: %s", log.String())
	}
}

func checkPrivate(t *testing.T, dir string) {
	t.Helper()
	files := 0
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		files++
		if mode := info.Mode().Perm(); mode&0o077 != 0 {
			t.Errorf("%s has mode %04o", path, mode)
		}
		return nil
	})
	if err != nil || files < 5 {
		t.Errorf("%d files, %v", files, err)
	}
}

// A directory of somebody else keeps its mode, and what is in it is closed.
func TestPrivateInADirectoryOfAnother(t *testing.T) {
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	defer store.AsUser(os.Geteuid() + 1)()
	var log strings.Builder
	st, err := store.Options{Logger: slog.New(slog.NewTextHandler(&log, nil))}.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	if !strings.Contains(log.String(), "level=WARN") || !strings.Contains(log.String(), "mode=0777") {
		t.Errorf("the log does not warn: %s", log.String())
	}
	for name, want := range map[string]fs.FileMode{"": 0o777, "db": 0o700} {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil || info.Mode().Perm() != want {
			t.Errorf("%q: %v %v, want %v", name, info.Mode(), err, want)
		}
	}
}

// A directory with something else in it, such as a home, keeps its mode, and so
// does all of the other; what is ours is closed.
func TestPrivateAmongOthers(t *testing.T) {
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "bin"), 0o755); err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(dir, "bin", "program")
	for path, mode := range map[string]fs.FileMode{program: 0o755, filepath.Join(dir, "notes"): 0o644} {
		if err := os.WriteFile(path, nil, mode); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(os.Chmod(program, 0o755), os.Chmod(dir, 0o755)); err != nil {
		t.Fatal(err)
	}
	var log strings.Builder
	st, err := store.Options{Logger: slog.New(slog.NewTextHandler(&log, nil))}.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	if !strings.Contains(log.String(), "level=WARN") || !strings.Contains(log.String(), "other=notes") {
		t.Errorf("the log does not warn: %s", log.String())
	}
	for name, want := range map[string]fs.FileMode{"": 0o755, "bin": 0o755, "bin/program": 0o755, "notes": 0o644, "db": 0o700} {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil || info.Mode().Perm() != want {
			t.Errorf("%q: %v %v, want %v", name, info.Mode(), err, want)
		}
	}
}
