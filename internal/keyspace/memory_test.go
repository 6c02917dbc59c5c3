package keyspace_test

import (
	"fmt"
	"runtime"
	"testing"

	"triggerd/internal/keyspace"
)

// TestMemory holds what the mirror says it takes against what the heap says:
// the limit is one of real memory.
func TestMemory(t *testing.T) {
	const keys = 20_000
	for _, test := range []struct {
		name    string
		command func(i int) [][]byte
	}{
		{"small strings", func(i int) [][]byte { return words(fmt.Sprintf("SET stock:%08d %d", i, i)) }},
		{"strings of 100 bytes", func(i int) [][]byte { return words(fmt.Sprintf("SET user:%08d %0100d", i, i)) }},
		{"hashes of 5 fields", func(i int) [][]byte {
			return words(fmt.Sprintf("HSET user:%08d name someone%d mail m%d@example.com age %d city here last 2026-11-23", i, i, i, i%90))
		}},
		{"sets of 3 members", func(i int) [][]byte { return words(fmt.Sprintf("SADD tags:%08d a%d b%d c%d", i, i, i, i)) }},
		{"lists of 3 items", func(i int) [][]byte { return words(fmt.Sprintf("RPUSH list:%08d a%d b%d c%d", i, i, i, i)) }},
		{"zsets of 3 members", func(i int) [][]byte { return words(fmt.Sprintf("ZADD z:%08d 1 a%d 2 b%d 3 c%d", i, i, i, i)) }},
		{"streams of 1 entry", func(i int) [][]byte { return words(fmt.Sprintf("XADD x:%08d 1-1 field value%d", i, i)) }},
		{"one list", func(i int) [][]byte { return words(fmt.Sprintf("RPUSH l item:%08d", i)) }},
		{"one set", func(i int) [][]byte { return words(fmt.Sprintf("SADD s member:%08d", i)) }},
		{"one hash", func(i int) [][]byte { return words(fmt.Sprintf("HSET h field:%08d %d", i, i)) }},
		{"one hash with deadlines", func(i int) [][]byte {
			return words(fmt.Sprintf("HSETEX h PXAT 9999999999999 FIELDS 1 field:%08d %d", i, i))
		}},
		{"one zset", func(i int) [][]byte { return words(fmt.Sprintf("ZADD z %d member:%08d", i*7919%keys, i)) }},
		{"one stream", func(i int) [][]byte { return words(fmt.Sprintf("XADD x %d-1 field value%d", i+1, i)) }},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := newSession(keyspace.Config{})
			before := heap()
			for i := range keys {
				s.in.Command(nil, &keyspace.Command{Args: test.command(i), Time: start})
			}
			s.in.Command(nil, &keyspace.Command{Args: words("PING k"), Time: start})
			took := heap() - before
			says := s.in.Stats().MirrorBytes
			t.Logf("%d bytes a key or element, estimated as %d", took/keys, says/keys)
			if says < took*8/10 || says > took*14/10 {
				t.Errorf("it takes %d bytes and says %d", took, says)
			}
			checkCount(t, s.in)
		})
	}
}

// heap returns how many bytes are in use, after everything unused is freed.
func heap() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
