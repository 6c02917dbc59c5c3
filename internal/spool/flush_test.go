package spool_test

import (
	"context"
	"testing"
	"time"

	"triggerd/internal/spool"
)

// TestFlush: what was flushed is in a file at once, though it is not its time,
// and nobody waits for a log that has ended.
func TestFlush(t *testing.T) {
	l, err := spool.Open(spool.Options{Dir: t.TempDir(), WriteEvery: time.Hour, SyncEvery: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	put := func() spool.Address {
		b, err := l.Room(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		l.Append(copy(b, "some bytes"), time.Now())
		end, _ := l.End()
		return end
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- l.Run(ctx) }()
	for range 100 {
		end := put()
		if err := l.Flush(t.Context(), end); err != nil || l.Stats().Written < end {
			t.Fatalf("%v; %+v", err, l.Stats())
		}
	}
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if err := l.Flush(t.Context(), put()); err != nil {
		t.Fatal(err)
	}
}
