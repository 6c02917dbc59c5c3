package source

import (
	"strings"
	"testing"
)

// A GETACK is found wherever reads cut the stream.
func TestGetAckFinder(t *testing.T) {
	ask := "*3\r\n$8\r\nREPLCONF\r\n$6\r\nGETACK\r\n$1\r\n*\r\n"
	stream := "*3\r\n$3\r\nSET\r\n$1\r\nK\r\n$6\r\nGETACK\r\n" + ask + "*1\r\n$4\r\nPING\r\n" + ask + ask[:27]
	for size := 1; size <= len(stream); size++ {
		var f getAckFinder
		var got []int
		for at := 0; at < len(stream); at += size {
			if n, ok := f.find([]byte(stream[at:min(at+size, len(stream))])); ok {
				got = append(got, at+n)
			}
		}
		first := strings.Index(stream, ask)
		last := strings.LastIndex(stream, ask)
		if len(got) == 0 || len(got) > 2 || got[len(got)-1] != last || len(got) == 2 && got[0] != first {
			t.Errorf("reads of %d bytes: found at %v, want %d and %d", size, got, first, last)
		}
	}
}
