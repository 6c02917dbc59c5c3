//go:build !race

package store_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"triggerd/internal/store"
)

// Under the race detector the engine checks each byte that it compacts, and
// this takes minutes.

// The quota stops a store that nothing is settled in, and lets it go on after
// that has changed.
func TestQuota(t *testing.T) {
	const quota = 96 << 20 // well above the logs that the engine keeps to use again, up to 32 MB
	s, err := store.Options{FS: vfs.NewMem(), MaxBytes: quota}.Open("data")
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	payload := make([]byte, 64<<10)
	enqueue := func() (n int, err error) {
		b := s.NewBatch()
		for ; n < 10_000; n++ {
			for i := range payload { // nothing that could be compressed
				payload[i] = byte(n*i + i*i>>3 + i>>7*n)
			}
			b.Enqueue(store.Job{Endpoint: "e", ID: "id", Payload: payload})
			if _, err := b.Commit(); err != nil {
				return n, err
			}
		}
		return n, nil
	}
	n, err := enqueue()
	if !errors.Is(err, store.ErrNoSpace) || n < 100 {
		t.Fatalf("%d jobs, then %v, want ErrNoSpace", n, err)
	}
	if used := s.Stats().Bytes; used > quota*5/4 {
		t.Errorf("%d MB are used, the quota is %d MB", used>>20, quota>>20)
	}
	b := s.NewBatch()
	b.Put(store.Pauses, []byte("p"), nil)
	if _, err := b.Commit(); !errors.Is(err, store.ErrNoSpace) {
		t.Errorf("an entry more: %v", err)
	}
	b.Reset()
	b.Put(store.Holds, []byte("e"), []byte("1")) // the keeper has no way on without these
	b.Put(store.Cancels, []byte("1"), []byte("me"))
	commit(t, b)
	for _, p := range all(t, s.Pending("e", 0)) {
		b.Settle("e", p.Seq, 1)
	}
	commit(t, b)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }() // compacts
	b.Enqueue(job("e", "after"))
	for limit := time.Now().Add(2 * time.Minute); ; {
		_, err := b.Commit()
		if err == nil {
			break
		}
		if !errors.Is(err, store.ErrNoSpace) {
			t.Fatal(err)
		}
		if time.Now().After(limit) {
			t.Fatal("there is no space again: ", err)
		}
		time.Sleep(20 * time.Millisecond) // space comes back without an event
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
