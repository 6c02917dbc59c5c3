package engine

import (
	"math/rand/v2"
	"testing"

	"triggerd/source"
)

func at(offset int64) source.Position { return source.Position{ReplID: "r", Offset: offset} }

// The watermark against its definition: the highest position passed before
// which every firing has settled, for random orders of everything.
func TestWatermark(t *testing.T) {
	for seed := range uint64(500) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		w := &watermark{}
		type firing struct {
			offset int64 // of the record that fired it
			mark   *mark
		}
		var open []firing
		var passed []int64 // positions, rising
		want := func() (p source.Position) {
			oldest := int64(1 << 62)
			for _, f := range open {
				oldest = min(oldest, f.offset)
			}
			for _, o := range passed {
				if o < oldest {
					p = at(o)
				}
			}
			return p
		}
		check := func() {
			t.Helper()
			if got, _ := w.position(); got != want() {
				t.Fatalf("seed %d: watermark %v, want %v (open %v)", seed, got, want(), open)
			}
		}
		for offset := int64(1); offset < 60; offset++ {
			for range rnd.IntN(3) {
				open = append(open, firing{offset, w.add()})
			}
			if rnd.IntN(4) > 0 { // else inside a transaction: no position
				passed = append(passed, offset)
				w.pass(at(offset))
				check()
			} else {
				w.pass(source.Position{})
			}
			for len(open) > 0 && rnd.IntN(2) == 0 {
				i := rnd.IntN(len(open))
				w.settle(open[i].mark)
				open = append(open[:i], open[i+1:]...)
				check()
			}
		}
	}
}

func TestWatermarkMoved(t *testing.T) {
	w := &watermark{}
	w.resume(at(5))
	if p, moved := w.position(); p != at(5) || moved {
		t.Errorf("after resume: %v, %v", p, moved)
	}
	w.pass(at(6))
	if p, moved := w.position(); p != at(6) || !moved {
		t.Errorf("after pass: %v, %v", p, moved)
	}
	w.setSaved(at(6))
	if _, moved := w.position(); moved {
		t.Error("moved after it was saved")
	}
}

func TestFIFO(t *testing.T) {
	var q fifo[int]
	next, first := 0, 0
	rnd := rand.New(rand.NewPCG(1, 1))
	for range 10000 {
		if rnd.IntN(5) < 2+next%2 {
			q.push(next)
			next++
		} else if q.len() > 0 {
			if v := q.pop(); v != first {
				t.Fatalf("pop = %d, want %d", v, first)
			}
			first++
		}
		if q.len() != next-first {
			t.Fatalf("len = %d, want %d", q.len(), next-first)
		}
		if v, ok := q.first(); ok != (next > first) || ok && v != first {
			t.Fatalf("first = %d, %v", v, ok)
		}
		if v, ok := q.last(); ok != (next > first) || ok && v != next-1 {
			t.Fatalf("last = %d, %v", v, ok)
		}
	}
}

// What the watermark costs a record that fires nothing.
func BenchmarkPass(b *testing.B) {
	b.ReportAllocs()
	w := &watermark{}
	p := at(1)
	for b.Loop() {
		p.Offset++
		w.pass(p)
	}
}
