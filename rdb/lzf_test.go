package rdb

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"testing"
)

// unpackSlowly is unpackLZF as in lzf_d.c, byte by byte: what is right, and the
// floor for what is fast.
func unpackSlowly(dst, src []byte) bool {
	d, s := 0, 0
	for s < len(src) {
		ctrl := int(src[s])
		s++
		if ctrl < 32 {
			for range ctrl + 1 {
				if s >= len(src) || d >= len(dst) {
					return false
				}
				dst[d] = src[s]
				d++
				s++
			}
			continue
		}
		n := ctrl >> 5
		if n == 7 && s < len(src) {
			n += int(src[s])
			s++
		}
		if s >= len(src) {
			return false
		}
		from := d - (ctrl&31)<<8 - int(src[s]) - 1
		s++
		for range n + 2 {
			if from < 0 || d >= len(dst) {
				return false
			}
			dst[d] = dst[from]
			d++
			from++
		}
	}
	return d == len(dst)
}

// lzfOps is n steps of random lengths: literals, and copies from at most dist
// before.
func lzfOps(rng *rand.Rand, n, dist, longest int) (src []byte, size int) {
	for i := range n {
		if i == 0 || rng.IntN(8) == 0 {
			k := 1 + rng.IntN(32)
			src = append(src, byte(k-1))
			for range k {
				src = append(src, byte(rng.Uint32()))
			}
			size += k
			continue
		}
		far := rng.IntN(min(dist, size, 1<<13))
		if k := 1 + rng.IntN(longest); k < 7 {
			src = append(src, byte(k<<5|far>>8), byte(far))
			size += k + 2
		} else {
			src = append(src, byte(7<<5|far>>8), byte(k-7), byte(far))
			size += k + 2
		}
	}
	return src, size
}

func TestLZF(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	in := input{}
	for i := range 3000 {
		src, size := lzfOps(rng, 1+rng.IntN(60), 1+rng.IntN(1<<rng.IntN(14)), 1+rng.IntN(262))
		size += []int{0, 0, 0, 1, -1}[i%5]
		if rng.IntN(4) == 0 {
			src = src[:len(src)-1]
		}
		want, got := make([]byte, size), make([]byte, size)
		right := unpackSlowly(want, src)
		ok, err := in.unpackLZF(got, src)
		if err != nil || ok != right || ok && !bytes.Equal(got, want) {
			t.Fatalf("%x: %v, %v, want %v", src, ok, err, right)
		}
		if n, err := in.lzfSize(src); err != nil || right && n != int64(size) {
			t.Fatalf("%x: size %d, %v, want %d", src, n, err, size)
		}
	}
}

// A large string is not unpacked to its end if the Reader is to stop.
func TestLZFStops(t *testing.T) {
	stop := errors.New("stop")
	src := append([]byte{0, 'a'}, bytes.Repeat([]byte{7 << 5, 255, 0}, 1<<20)...)
	dst := make([]byte, 1+(1<<20)*264)
	asked := 0
	in := input{stop: func() error {
		if asked++; asked == 3 {
			return stop
		}
		return nil
	}}
	if _, err := in.unpackLZF(dst, src); !errors.Is(err, stop) || dst[3*88*lzfStep] != 0 || dst[lzfStep] == 0 {
		t.Errorf("error %v", err)
	}
	in.stop = func() error { return stop }
	if _, err := in.lzfSize(src); !errors.Is(err, stop) {
		t.Errorf("error %v", err)
	}
}

func BenchmarkLZF(b *testing.B) {
	for _, tc := range []struct {
		name          string
		dist, longest int
	}{
		{"text", 1 << 13, 12},
		{"far and long", 1 << 13, 262},
		{"one byte repeated", 1, 262},
		{"three bytes repeated", 3, 262},
		{"short runs", 3, 6},
	} {
		src, size := lzfOps(rand.New(rand.NewPCG(1, 2)), 20_000, tc.dist, tc.longest)
		dst := make([]byte, size)
		in := input{}
		for name, unpack := range map[string]func() bool{
			"fast":         func() bool { ok, _ := in.unpackLZF(dst, src); return ok },
			"byte by byte": func() bool { return unpackSlowly(dst, src) },
		} {
			b.Run(tc.name+"/"+name, func(b *testing.B) {
				b.SetBytes(int64(size))
				for b.Loop() {
					if !unpack() {
						b.Fatal("not unpacked")
					}
				}
			})
		}
	}
}
