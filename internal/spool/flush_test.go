package spool

import (
	"context"
	"runtime"
	"testing"
	"time"
)

// TestFlush: what was flushed is in a file at once, though it is not its time,
// and nobody waits for a log that does not run.
func TestFlush(t *testing.T) {
	l, err := Open(Options{Dir: t.TempDir(), WriteEvery: time.Hour, SyncEvery: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	put := func() Address {
		b, err := l.Room(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		l.Append(copy(b, "some bytes"), time.Now())
		end, _ := l.End()
		return end
	}
	if err := l.Flush(t.Context(), put()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- l.Run(ctx) }()
	for !l.isRunning() {
		runtime.Gosched()
	}
	for range 100 {
		end := put()
		if err := l.Flush(t.Context(), end); err != nil {
			t.Fatal(err)
		}
		if s := l.Stats(); s.Written < end {
			t.Fatalf("written %d of %d", s.Written, end)
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

func (l *Log) isRunning() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.running
}
