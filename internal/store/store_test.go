package store_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"triggerd/internal/store"
)

func open(t *testing.T, dir string) *store.Store {
	t.Helper()
	s, err := store.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func TestCheckpoint(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "b")
	s := open(t, dir)
	for _, want := range []string{"", "abc:12/0", "abc:1234567890123/15"} {
		if want != "" {
			if err := s.SaveCheckpoint(want); err != nil {
				t.Fatal(err)
			}
		}
		if got, err := s.Checkpoint(); got != want || err != nil {
			t.Errorf("Checkpoint = %q, %v, want %q", got, err, want)
		}
	}
	s.Close()
	if got, err := open(t, dir).Checkpoint(); got != "abc:1234567890123/15" || err != nil {
		t.Errorf("after reopening: Checkpoint = %q, %v", got, err)
	}
}

func TestLocked(t *testing.T) {
	dir := t.TempDir()
	open(t, dir)
	if _, err := store.Open(dir); !errors.Is(err, store.ErrLocked) || !strings.Contains(err.Error(), dir) {
		t.Errorf("second Open = %v, want ErrLocked with the directory", err)
	}
}

// Whatever byte of the file is changed or cut off, it is an error, and not
// another position or a fresh start.
func TestCheckpointDamaged(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	if err := s.SaveCheckpoint("0123456789abcdef:851576/3"); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "checkpoint")
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	check := func(name string, content []byte) {
		t.Helper()
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		if got, err := s.Checkpoint(); err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: Checkpoint = %q, %v, want an error that names the file", name, got, err)
		}
	}
	for i := range good {
		check("cut", good[:i])
		bad := append([]byte(nil), good...)
		bad[i] ^= 1
		check("flipped", bad)
	}
	check("longer", append(append([]byte(nil), good...), 'x'))
	check("later version", []byte(strings.Replace(string(good), "triggerd 1", "triggerd 2", 1)))
}
