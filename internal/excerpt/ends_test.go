package excerpt

import (
	"bytes"
	"strings"
	"testing"

	"triggerd/internal/secret"
)

func TestEndsHidesSecrets(t *testing.T) {
	var x Ends
	x.Write([]byte("token=abcdef and abcd\x00"))
	if got, want := x.Text(secret.New("abcd", "abcdef"), false), `token=*** and ***\x00`; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// Wherever the middle of what a program wrote begins and ends, no more than
// three bytes of a secret are left at its edges.
func TestEndsIsCutInSecrets(t *testing.T) {
	value := "0123456789abcdefghijklmnopqrstuvwxyz"
	m := secret.New(value)
	for at := range len(value) + 1 {
		var x Ends
		x.Write([]byte(strings.Repeat("#", half-at) + value + strings.Repeat("#", 5000) + value + strings.Repeat("#", half-at)))
		got := strings.NewReplacer("#", "", secret.Mark, "").Replace(x.Text(m, false))
		head, tail, ok := strings.Cut(got, " ...(")
		_, tail, _ = strings.Cut(tail, ")... ")
		if !ok || len(head) > 3 || len(tail) > 3 {
			t.Errorf("cut %d bytes from its end: %q", at, got)
		}
	}
}

// FuzzEnds compares with keeping everything, in writes of any size.
func FuzzEnds(f *testing.F) {
	f.Add([]byte("hello"), 1, 1)
	f.Add([]byte("0123456789abcdef"), 1000, 7)
	f.Add([]byte("0123456789abcdef"), 256, 5000)
	f.Add([]byte("0123456789abcdefg"), 241, 1)
	f.Fuzz(func(t *testing.T, piece []byte, times, size int) {
		if times < 0 || times > 1000 || size < 1 || len(piece) > 100 {
			return
		}
		all := bytes.Repeat(piece, times)
		var x Ends
		for rest := all; len(rest) > 0; {
			n := min(size, len(rest))
			if wrote, err := x.Write(rest[:n]); wrote != n || err != nil {
				t.Fatalf("wrote %d, %v of %d", wrote, err, n)
			}
			rest = rest[n:]
		}
		head := all[:min(len(all), half)]
		tail := all[max(len(head), len(all)-half):]
		kept := string(x.tail[x.next:]) + string(x.tail[:x.next])
		if !bytes.Equal(x.head, head) || kept != string(tail) {
			t.Fatalf("kept %d and %d bytes of %d, or not the right ones", len(x.head), len(kept), len(all))
		}
		left := len(all) - len(head) - len(tail)
		if said := strings.Contains(x.Text(nil, false), " bytes left out)..."); said != (left > 0) && !bytes.Contains(all, []byte("left out")) {
			t.Fatalf("%d bytes are left out, said: %v", left, said)
		}
	})
}
