package source

import (
	"testing"
	"time"
)

// TestPacer: only reads that follow one upon the other for long are spaced out, and
// only while each brings little.
func TestPacer(t *testing.T) {
	var p pacer
	for i := range 10 * manyReads {
		if got := p.next(2*shortWait, 100); got != 0 {
			t.Fatalf("a pause of %v after read %d that had waited", got, i)
		}
	}
	for i := range manyReads {
		if got := p.next(0, 100); got != 0 {
			t.Fatalf("a pause of %v after %d reads", got, i+1)
		}
	}
	for _, c := range []struct {
		waited time.Duration
		n      int
		want   time.Duration
	}{
		{0, 100, betweenReads},
		{0, largeRead, 0},
		{shortWait, 100, betweenReads},
		{shortWait + 1, 100, 0}, // from here on it begins anew
		{0, 100, 0},
	} {
		if got := p.next(c.waited, c.n); got != c.want {
			t.Errorf("after a read that waited %v and brought %d bytes a pause of %v, want %v", c.waited, c.n, got, c.want)
		}
	}
}
