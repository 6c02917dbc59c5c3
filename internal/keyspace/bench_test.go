package keyspace

import (
	"testing"

	"triggerd/internal/event"
)

var benchCommands = map[string][][]byte{
	"SET":           byteArgs("SET", "user:1234:session", "some value", "PXAT", "1795426289586"),
	"DECR":          byteArgs("decr", "stock:42"),
	"DEL5":          byteArgs("DEL", "a", "b", "c", "d", "e"),
	"XGROUP CREATE": byteArgs("XGROUP", "CREATE", "x", "g", "$"),
	"PING":          byteArgs("ping"),
	"JSON.SET":      byteArgs("json.set", "doc", "$", "1"),
	"VADD":          byteArgs("VADD", "v", "VALUES", "1", "1", "e"),
}

func BenchmarkCommand(b *testing.B) {
	for name, args := range benchCommands {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			in := New(Config{})
			dst := make([]event.Event, 0, 16)
			c := Command{Args: args}
			for b.Loop() {
				dst = in.Command(dst[:0], &c)
			}
		})
	}
}

func BenchmarkLookup(b *testing.B) {
	b.ReportAllocs()
	names := byteArgs("SET", "hset", "PEXPIREAT", "ZREMRANGEBYSCORE")
	i := 0
	for b.Loop() {
		if _, ok := Lookup(names[i&3]); !ok {
			b.Fatal(names[i&3])
		}
		i++
	}
}

// TestNoAllocations: an event costs no allocation once its command's name has
// been seen.
func TestNoAllocations(t *testing.T) {
	for name, args := range benchCommands {
		in := New(Config{})
		dst := make([]event.Event, 0, 16)
		c := Command{Args: args}
		if n := testing.AllocsPerRun(100, func() { dst = in.Command(dst[:0], &c) }); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}
