package rdb

import (
	"hash/crc64"
	"math/rand/v2"
	"testing"
)

func TestCRCKnownValue(t *testing.T) {
	// crc64.c of the servers ends with this self test.
	if got, want := updateCRC(0, []byte("123456789")), uint64(0xe9c6d914c4b8d9ca); got != want {
		t.Errorf("checksum of 123456789 = %#x, want %#x", got, want)
	}
}

func TestCRCAgainstStandardLibrary(t *testing.T) {
	table := crc64.MakeTable(jonesPoly)
	rng := rand.New(rand.NewPCG(1, 2))
	data := make([]byte, 5*lanes*laneSize)
	for i := range data {
		data[i] = byte(rng.Uint32())
	}
	for range 300 {
		lo := rng.IntN(len(data))
		p := data[lo : lo+rng.IntN(len(data)-lo)]
		start := rng.Uint64()
		want := ^crc64.Update(^start, table, p)
		if got := updateCRC(start, p); got != want {
			t.Fatalf("updateCRC(%#x, %d bytes) = %#x, want %#x", start, len(p), got, want)
		}
		cut := rng.IntN(len(p) + 1)
		if got := updateCRC(updateCRC(start, p[:cut]), p[cut:]); got != want {
			t.Fatalf("updateCRC in two parts, %d and %d bytes = %#x, want %#x", cut, len(p)-cut, got, want)
		}
	}
}

func BenchmarkCRC(b *testing.B) {
	data := make([]byte, 256<<10)
	for i := range data {
		data[i] = byte(i * 7)
	}
	b.SetBytes(int64(len(data)))
	var crc uint64
	for b.Loop() {
		crc = updateCRC(crc, data)
	}
	if crc == 0 {
		b.Fatal("no checksum")
	}
}
