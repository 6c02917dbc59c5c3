package store_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"triggerd/internal/store"
)

// body is a payload of 400 bytes that compresses about as well as JSON does.
func body(rng *rand.Rand) []byte {
	return fmt.Appendf(nil, "%-400s", fmt.Sprintf(`{"id":"%x","key":"stock:%d","args":["%x","%x"]}`, rng.Uint64(), rng.IntN(1e6), rng.Uint64(), rng.Uint64()))
}

// Enqueue, durable, with a checkpoint, for 20 endpoints; and the floor under
// it: the same bytes appended to a file that is then synced. Each op is a
// group.
func BenchmarkEnqueue(b *testing.B) {
	for _, group := range []int{1, 16, 256} {
		b.Run(fmt.Sprintf("floor/group=%d", group), func(b *testing.B) {
			f, err := os.Create(filepath.Join(b.TempDir(), "floor"))
			if err != nil {
				b.Fatal(err)
			}
			defer f.Close()
			rng := rand.New(rand.NewPCG(1, 1))
			var buf []byte
			b.ReportAllocs()
			for b.Loop() {
				buf = buf[:0]
				for range group {
					buf = append(buf, body(rng)...)
				}
				if _, err := f.Write(buf); err != nil {
					b.Fatal(err)
				}
				if err := f.Sync(); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(group*b.N)/b.Elapsed().Seconds(), "jobs/s")
		})
		b.Run(fmt.Sprintf("store/group=%d", group), func(b *testing.B) {
			s, err := store.Open(b.TempDir())
			if err != nil {
				b.Fatal(err)
			}
			defer s.Close()
			rng := rand.New(rand.NewPCG(1, 1))
			batch := s.NewBatch()
			b.ReportAllocs()
			for n := 0; b.Loop(); n++ {
				for range group {
					enqueueBody(batch, rng)
				}
				batch.SetCheckpoint(store.Standalone, "8d1f4c40a5b8e5f1f7bb1cc5e6d0a1b2c3d4e5f6:"+strconv.Itoa(n)+"/0")
				if _, err := batch.Commit(); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(group*b.N)/b.Elapsed().Seconds(), "jobs/s")
		})
	}
}

func enqueueBody(b *store.Batch, rng *rand.Rand) {
	b.Enqueue(store.Job{
		Endpoint: "endpoint" + strconv.Itoa(rng.IntN(20)), Lane: rng.Uint64(),
		ID: fmt.Sprintf("8d1f4c40a5b8e5f1f7bb1cc5e6d0a1b2c3d4e5f6:%d/0:rule/action", rng.IntN(1e9)), Born: time.Now(), Payload: body(rng),
	})
}

// Enqueue in groups of 256 while what was enqueued is loaded and settled in
// groups of 256.
func BenchmarkSteady(b *testing.B) {
	s, err := store.Open(b.TempDir())
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	rng := rand.New(rand.NewPCG(1, 1))
	batch := s.NewBatch()
	b.ReportAllocs()
	for b.Loop() {
		for range 256 {
			batch.Enqueue(store.Job{Endpoint: "e", ID: "id", Born: time.Now(), Payload: body(rng)})
		}
		first, err := batch.Commit()
		if err != nil {
			b.Fatal(err)
		}
		for seq := first; seq < first+256; seq++ {
			if _, err := s.Load(seq); err != nil {
				b.Fatal(err)
			}
			batch.Settle("e", seq, 1)
		}
		if _, err := batch.Commit(); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(256*b.N)/b.Elapsed().Seconds(), "jobs/s")
	b.ReportMetric(resident(b), "RSS-MB")
	b.ReportMetric(float64(s.Stats().Bytes)/1e6, "disk-MB")
}

// Open a store with a million pending jobs that was not closed, and index them:
// what a restart costs before the first delivery. TRIGGERD_PENDING sets another
// number.
func BenchmarkRestart(b *testing.B) {
	pending := 1_000_000
	if v := os.Getenv("TRIGGERD_PENDING"); v != "" {
		pending, _ = strconv.Atoi(v)
	}
	dir, copied := b.TempDir(), filepath.Join(b.TempDir(), "copy")
	s, err := store.Open(dir)
	if err != nil {
		b.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(1, 1))
	batch := s.NewBatch()
	for range pending / 1000 {
		for range 1000 {
			enqueueBody(batch, rng)
		}
		if _, err := batch.Commit(); err != nil {
			b.Fatal(err)
		}
	}
	if err := os.CopyFS(copied, os.DirFS(dir)); err != nil { // as a killed process leaves it
		b.Fatal(err)
	}
	if err := s.Close(); err != nil {
		b.Fatal(err)
	}
	runtime.GC()
	before := resident(b)
	var opening, indexing time.Duration
	for b.Loop() {
		start := time.Now()
		s, err := store.Open(copied)
		if err != nil {
			b.Fatal(err)
		}
		opened := time.Now()
		n := 0
		ends, err := s.Endpoints()
		if err != nil {
			b.Fatal(err)
		}
		for _, e := range ends {
			for _, err := range s.Pending(e.Name, 0) {
				if err != nil {
					b.Fatal(err)
				}
				n++
			}
		}
		opening += opened.Sub(start)
		indexing += time.Since(opened)
		if n != pending {
			b.Fatalf("%d jobs, want %d", n, pending)
		}
		b.ReportMetric(resident(b)-before, "RSS-growth-MB")
		if err := s.Close(); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(opening.Milliseconds())/float64(b.N), "open-ms")
	b.ReportMetric(float64(indexing.Milliseconds())/float64(b.N), "index-ms")
	b.ReportMetric(resident(b), "RSS-MB")
}

// resident is the process's resident memory in MB, 0 where that is not known.
func resident(b *testing.B) float64 {
	b.Helper()
	text, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	_, rest, _ := strings.Cut(string(text), "VmRSS:")
	kb, _ := strconv.ParseFloat(strings.Fields(rest + " 0")[0], 64)
	return kb / 1000
}
