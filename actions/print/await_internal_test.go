package print

import (
	"context"
	"testing"
)

// A line that is written counts, though the attempt's time is over: it would be
// written twice.
func TestAwaitWritten(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	written := make(chan error, 1)
	for range 100 {
		written <- nil
		if ended, err := await(ctx, written); !ended || err != nil {
			t.Fatalf("ended %v, %v", ended, err)
		}
	}
	if ended, _ := await(ctx, written); ended {
		t.Error("a write that goes on has ended")
	}
}
