package keyspace

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"
)

// bitOperations are what BITOP can do, said of one byte of each source.
var bitOperations = map[string]func(bytes []byte) byte{
	"AND": func(bs []byte) byte {
		all := bs[0]
		for _, b := range bs {
			all &= b
		}
		return all
	},
	"or": anyOf,
	"XOR": func(bs []byte) (out byte) {
		for _, b := range bs {
			out ^= b
		}
		return out
	},
	"NOT":   func(bs []byte) byte { return ^bs[0] },
	"diff":  func(bs []byte) byte { return bs[0] &^ anyOf(bs[1:]) },
	"DIFF1": func(bs []byte) byte { return anyOf(bs[1:]) &^ bs[0] },
	"ANDOR": func(bs []byte) byte { return bs[0] & anyOf(bs[1:]) },
	"ONE": func(bs []byte) (out byte) {
		for bit := byte(1); bit != 0; bit <<= 1 {
			n := 0
			for _, b := range bs {
				if b&bit != 0 {
					n++
				}
			}
			if n == 1 {
				out |= bit
			}
		}
		return out
	},
}

func anyOf(bs []byte) (out byte) {
	for _, b := range bs {
		out |= b
	}
	return out
}

// TestBitwise holds what is combined in blocks of words against the same byte by
// byte, for strings that end before, at and behind the ends of words and blocks.
func TestBitwise(t *testing.T) {
	seed := rand.Uint64()
	r := rand.New(rand.NewPCG(seed, 1))
	lengths := []int{0, 1, 7, 8, 9, 100, bitBlockSize - 1, bitBlockSize, bitBlockSize + 1, 2*bitBlockSize + 13}
	for name, op := range bitOperations {
		for range 15 {
			sources := make([][]byte, 1+r.IntN(5))
			if name == "NOT" {
				sources = sources[:1]
			}
			longest := 0
			for i := range sources {
				sources[i] = make([]byte, lengths[r.IntN(len(lengths))])
				for j := range sources[i] {
					sources[i][j] = byte(r.Uint32())
				}
				longest = max(longest, len(sources[i]))
			}
			what := fmt.Sprintf("seed %d: %s of %d strings of up to %d bytes", seed, name, len(sources), longest)
			got, ok := bitwise([]byte(name), sources, longest, &pace{})
			if few := len(sources) == 1 && (name == "diff" || name == "DIFF1" || name == "ANDOR"); ok == few {
				t.Fatalf("%s: known %v", what, ok)
			} else if few {
				continue
			}
			want, column := make([]byte, longest), make([]byte, len(sources))
			for i := range want {
				for j, s := range sources {
					if column[j] = 0; i < len(s) {
						column[j] = s[i]
					}
				}
				want[i] = op(column)
			}
			if !bytes.Equal(got, want) {
				t.Fatalf("%s\n got %x\nwant %x", what, got, want)
			}
		}
	}
	if _, ok := bitwise([]byte("NAND"), [][]byte{{1}, {2}}, 1, &pace{}); ok {
		t.Error("NAND is known")
	}
}

// TestBitwiseStops: a BITOP of very many strings can be given up.
func TestBitwiseStops(t *testing.T) {
	sources := make([][]byte, 100_000)
	for i := range sources {
		sources[i] = make([]byte, 10)
	}
	asked := 0
	p := &pace{stopped: func() bool { asked++; return asked > 2 }}
	bitwise([]byte("OR"), sources, 10, p)
	if asked != 3 || !p.gaveUp {
		t.Errorf("asked %d times whether to stop, gave up %v", asked, p.gaveUp)
	}
}

// BenchmarkBitwise is beside a copy, the least that can be done with each byte.
func BenchmarkBitwise(b *testing.B) {
	sources := [][]byte{bytes.Repeat([]byte("abcdefgh"), 1<<17), bytes.Repeat([]byte("ABCDEFG"), 1<<17), make([]byte, 1<<20)}
	for name := range bitOperations {
		from := sources
		if name == "NOT" {
			from = sources[:1]
		}
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(from)) << 20)
			for b.Loop() {
				bitwise([]byte(name), from, 1<<20, &pace{})
			}
		})
	}
	b.Run("copy", func(b *testing.B) {
		b.SetBytes(int64(len(sources)) << 20)
		for b.Loop() {
			out := make([]byte, 1<<20)
			for _, s := range sources {
				copy(out, s)
			}
		}
	})
}
