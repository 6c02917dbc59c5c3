package outbox

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"triggerd/internal/store"
)

// damagedStore leaves a store with jobs, a part of which lies in a file that has
// a flipped bit.
func damagedStore(t *testing.T, n int) (dir string, ids []string) {
	t.Helper()
	dir = t.TempDir()
	st, err := store.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	ids = enqueueJobs(t, st, n, n, -1)
	for range 2 { // what is in the log becomes a table when it is opened again
		if err := st.Close(); err != nil {
			t.Fatal(err)
		}
		if st, err = store.Open(dir); err != nil {
			t.Fatal(err)
		}
	}
	if err := st.Close(); err != nil {
		t.Fatal(err)
	}
	tables, err := filepath.Glob(filepath.Join(dir, "db", "*.sst"))
	if err != nil || len(tables) == 0 {
		t.Fatalf("no table: %v", err)
	}
	var largest string
	size := int64(0)
	for _, name := range tables {
		if info, err := os.Stat(name); err == nil && info.Size() > size {
			largest, size = name, info.Size()
		}
	}
	b, err := os.ReadFile(largest)
	if err != nil {
		t.Fatal(err)
	}
	b[len(b)/2] ^= 1
	if err := os.WriteFile(largest, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return dir, ids
}

// What of the store cannot be read is a dead letter at once, is counted once,
// and harms neither its endpoint, nor the others, nor the lists.
func TestDamagedJobs(t *testing.T) {
	const n = 1200
	dir, _ := damagedStore(t, n)
	synctest.Test(t, func(t *testing.T) {
		log := &lockedBuffer{}
		st, err := store.Options{Logger: slog.New(slog.NewTextHandler(log, nil))}.Open(dir)
		if err != nil {
			t.Fatal(err)
		}
		defer st.Close()
		pending := 0
		for _, err := range st.Pending("0", 0) {
			if err != nil {
				t.Fatal(err)
			}
			pending++
		}
		r := &receiver{}
		b := openBounded(t, st, defaultBounds, n, 4)
		listed := 0
		for q := (Query{Limit: 500}); ; {
			list, next, err := b.Pending(t.Context(), q)
			if err != nil {
				t.Fatalf("the list of what waits: %v", err)
			}
			listed += len(list)
			if q.Before = next; next == 0 {
				break
			}
		}
		b.use(4, r)
		b.settleAll(time.Hour)
		letters, _, err := b.DeadLetters(t.Context(), Query{Limit: n})
		if err != nil {
			t.Fatalf("the list of dead letters: %v", err)
		}
		if len(letters) == 0 || len(r.received())+len(letters) != n || listed != n || pending != n {
			t.Fatalf("%d delivered, %d dead letters, %d listed, of %d", len(r.received()), len(letters), listed, pending)
		}
		for _, l := range letters {
			if l.Reason != "damaged" || l.Attempts > 1 || !strings.Contains(l.Error, "damaged record job ") {
				t.Fatalf("%+v", l)
			}
		}
		if got := st.Stats().Damaged; got != int64(len(letters)) {
			t.Errorf("%d damaged records counted, %d are", got, len(letters))
		}
		text := log.String() + b.log.String()
		if strings.Contains(text, "goroutine") || strings.Contains(text, ".go:") || strings.Contains(text, "fails again and again") {
			t.Errorf("the log: %.3000s", text)
		}
		if lines := strings.Count(text, "\n"); lines > len(letters)+5 {
			t.Errorf("%d lines for %d records: %.3000s", lines, len(letters), text)
		}
		if numbers, err := b.SelectDead(t.Context(), Query{}, true); err != nil || len(numbers) != 0 {
			t.Errorf("to retry: %d, %v", len(numbers), err)
		}
	})
}
