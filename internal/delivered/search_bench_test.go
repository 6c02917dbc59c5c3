package delivered_test

import (
	"fmt"
	"runtime"
	"testing"

	"triggerd/internal/delivered"
)

// BenchmarkSearch searches a full log of the default size for what is not in it,
// by ID, as the command line does for a key or an ID.
func BenchmarkSearch(b *testing.B) {
	l := open(b, b.TempDir(), 256<<20)
	n := uint64(0)
	for stats := l.Stats(); stats.Bytes < stats.Limit-20<<20; stats = l.Stats() {
		for range 1000 {
			n++
			l.Add(record(n, 900))
		}
		l.Flush()
	}
	runtime.GC()
	b.ReportAllocs()
	b.SetBytes(l.Stats().Bytes)
	for b.Loop() {
		for r, err := range l.Latest(b.Context(), delivered.Query{Pick: func(h *delivered.Head) bool { return h.ID == "none" }}) {
			b.Fatal(r, err)
		}
	}
	b.Log(fmt.Sprint(n, " deliveries"))
}
