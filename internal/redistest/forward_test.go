package redistest

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// writes records what was written, write by write, and when.
type writes struct {
	text []string
	at   []time.Time
}

func (w *writes) Write(b []byte) (int, error) {
	w.text = append(w.text, string(b))
	w.at = append(w.at, time.Now())
	return len(b), nil
}

func TestForwardChunksAndDelays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &Proxy{}
		p.Chunk(2)
		p.Delay(time.Second)
		p.Flip(4)
		l := &link{proxy: p}
		l.ctx, l.end = context.WithCancel(t.Context())
		start := time.Now()
		var got writes
		pos := int64(0)
		for _, data := range []string{"abc", "def"} {
			if !l.forward(&got, []byte(data), &pos, true) {
				t.Errorf("%q was not forwarded", data)
			}
		}
		if want := []string{"ab", "c", "d\x9a", "f"}; !slices.Equal(got.text, want) {
			t.Errorf("got %q, want %q", got.text, want)
		}
		for i, at := range got.at {
			if want := time.Duration(i+1) * time.Second; at.Sub(start) != want {
				t.Errorf("write %d: after %v, want %v", i, at.Sub(start), want)
			}
		}
		if pos != 6 {
			t.Errorf("position: got %d, want 6", pos)
		}

		l.end()
		if l.forward(&got, []byte("late"), &pos, true) || len(got.text) != 4 {
			t.Errorf("an ended link forwarded: %q", got.text)
		}
	})
}

func TestUpstreamIsChunkedButNotSpoilt(t *testing.T) {
	p := &Proxy{}
	p.Chunk(3)
	p.CutAfter(1)
	p.Flip(0)
	data := []byte("abcd")
	if n, cut := p.shape(data, 0, false); n != 3 || cut || string(data) != "abcd" {
		t.Errorf("got %d, %v, %q; want 3, false, abcd", n, cut, data)
	}
}
