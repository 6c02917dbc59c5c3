package main

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"triggerd/internal/store"
)

// runStore runs `triggerd store args...` and returns what it printed.
func runStore(t *testing.T, args ...string) (string, error) {
	t.Helper()
	var out bytes.Buffer
	cmd := newStoreCommand()
	cmd.SilenceErrors, cmd.SilenceUsage = true, true
	cmd.SetArgs(append([]string{}, args...)) // nil would be the arguments of the test
	cmd.SetOut(&out)
	cmd.SetErr(&out)
	err := cmd.ExecuteContext(t.Context())
	return out.String(), err
}

func TestStoreCommand(t *testing.T) {
	// Not parallel: a process that another test starts holds this one's lock for
	// a moment.
	dir := filepath.Join(t.TempDir(), "data")
	s, err := store.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	b := s.NewBatch()
	for range 3 {
		b.Enqueue(store.Job{Endpoint: "crm", ID: "id", Born: time.Now(), Payload: []byte("{}")})
	}
	b.SetCheckpoint(store.Standalone, "8d1f:851576/0")
	if _, err := b.Commit(); err != nil {
		t.Fatal(err)
	}
	_, err = runStore(t, "verify", dir)
	if !errors.Is(err, store.ErrLocked) {
		t.Errorf("verify of a directory in use: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}

	want := ": 3 pending firings, 0 dead letters, 0 settled firings, resumes from 8d1f:851576/0\n"
	if out, err := runStore(t, "verify", dir); err != nil || out != dir+want {
		t.Errorf("verify: %v, %q, want %q", err, out, dir+want)
	}

	tables, err := filepath.Glob(filepath.Join(dir, "db", "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range tables { // as a disk that lost a directory's manifest
		if strings.HasPrefix(filepath.Base(name), "MANIFEST") {
			if err := os.Remove(name); err != nil {
				t.Fatal(err)
			}
		}
	}
	out, err := runStore(t, "verify", dir)
	var exit *exitError
	if !errors.As(err, &exit) || exit.code != exitFailed || !strings.Contains(out, "it cannot be opened") || !strings.Contains(err.Error(), "salvage") {
		t.Errorf("verify of a damaged directory: %v, %q", err, out)
	}
	saved := filepath.Join(t.TempDir(), "saved")
	if out, err := runStore(t, "salvage", dir, saved); err != nil || !strings.HasSuffix(out, saved+want) {
		t.Errorf("salvage: %v, %q, want %q at its end", err, out, saved+want)
	}
	if out, err := runStore(t, "verify", saved); err != nil || out != saved+want {
		t.Errorf("verify of what was salvaged: %v, %q", err, out)
	}
	if _, err := runStore(t, "salvage", dir, saved); err == nil {
		t.Error("salvage to a directory that is not empty: no error")
	}
	if _, err := runStore(t, "verify", filepath.Join(dir, "none")); err == nil {
		t.Error("verify of no directory: no error")
	}
}
