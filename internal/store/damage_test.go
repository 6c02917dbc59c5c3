package store_test

import (
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"triggerd/internal/store"
)

// Lists leave out what is damaged, tell of it once, and count it once.
func TestDamagedLists(t *testing.T) {
	var log strings.Builder
	s, err := store.Options{Logger: slog.New(slog.NewTextHandler(&log, nil))}.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	b := s.NewBatch()
	for i := range 8 {
		b.Enqueue(job("e", fmt.Sprint(i)))
	}
	commit(t, b)
	for i := range uint64(4) {
		b.SettleListed(store.Settled{Seq: 1 + i, Endpoint: "e", ID: fmt.Sprint(i), At: time.Now()})
		b.Bury(store.DeadLetter{Seq: 5 + i, Endpoint: "e", ID: fmt.Sprint(4 + i), Reason: "attempts", At: time.Now()})
	}
	commit(t, b)
	for _, key := range [][]byte{store.SettledKey(2), store.DeadKey(3)} {
		if err := s.SetValue(key, []byte("something else")); err != nil {
			t.Fatal(err)
		}
	}
	for range 3 {
		var settled, dead []uint64
		for r, err := range s.Settled(0) {
			if err != nil {
				t.Fatal(err)
			}
			settled = append(settled, r.Number)
		}
		for d, err := range s.Dead(0) {
			if err != nil {
				t.Fatal(err)
			}
			dead = append(dead, d.Number)
		}
		equal(t, "settled", settled, []uint64{4, 3, 1})
		equal(t, "dead", dead, []uint64{4, 2, 1})
	}
	if got := s.Stats().Damaged; got != 2 {
		t.Errorf("%d damaged records counted, want 2", got)
	}
	if n := strings.Count(log.String(), "damage in the store"); n != 2 {
		t.Errorf("told of %d times: %s", n, log.String())
	}
}
