package store

import (
	"bytes"
	"encoding/binary"
	"reflect"
	"strings"
	"testing"
	"time"
)

// FuzzSidecar: a line is either refused with a word, or is one that says what
// was read from it.
func FuzzSidecar(f *testing.F) {
	f.Add(sidecarLine{formatVersion, 12, standalone("8d1f4c40:851576/0")}.text())
	f.Add(sidecarLine{formatVersion, 12, map[string]string{"a": "8d1f4c40:851576/0", "b \"": "\xff"}}.text())
	f.Add("triggerd 2 12 \"8d1f4c40:851576/0\" " + checksum("triggerd 2 12 \"8d1f4c40:851576/0\" ") + "\n")
	f.Add("triggerd 1 8d1f4c40:851576/0 " + checksum("triggerd 1 8d1f4c40:851576/0 ") + "\n")
	f.Add("triggerd 4 anything " + checksum("triggerd 4 anything ") + "\n")
	f.Add("")
	f.Fuzz(func(t *testing.T, text string) {
		for _, text := range []string{text, text + " " + checksum(text+" ") + "\n"} { // as it is, and with a right checksum
			l, what := parseSidecar(text)
			if what != "" {
				continue
			}
			if l.version == 0 || !strings.HasPrefix(text, "triggerd ") {
				t.Fatalf("%q is read as %+v", text, l)
			}
			if l.version <= formatVersion {
				l.version = formatVersion
				if again, what := parseSidecar(l.text()); !reflect.DeepEqual(again, l) || what != "" {
					t.Fatalf("%+v is written and read as %+v, %s", l, again, what)
				}
			}
		}
	})
}

// FuzzRecords: any bytes as the value of any kind of record are read, or
// refused; what is read is written as the same bytes, unless it has times or
// lengths that are written in one way only.
func FuzzRecords(f *testing.F) {
	at := time.UnixMilli(1_764_000_000_123)
	job := &Job{Endpoint: "crm", Lane: 7, ID: "id", Born: at, Payload: []byte("{}")}
	f.Add(appendJob(nil, job))
	f.Add(appendIndex(nil, job))
	f.Add(appendRetry(nil, 3, at, "error", ""))
	f.Add(appendRetry(nil, 3, at, "error", "excerpt"))
	f.Add((&Settled{Seq: 1, Endpoint: "crm", ID: "id", Status: "200", Attempts: 1, Born: at, At: at}).append(nil))
	f.Add((&Settled{Seq: 1, Endpoint: "crm", ID: "id", Status: "exit 0", Excerpt: "done", Attempts: 1, Born: at, At: at}).append(nil))
	f.Add((&DeadLetter{Seq: 1, Endpoint: "crm", Error: "e", At: at}).append(nil))
	f.Add((&commitRecord{1, 2, 3, 4}).append(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		same := func(what string, first, second []byte) {
			t.Helper()
			if !bytes.Equal(first, second) {
				t.Fatalf("%s of %x: %x, then %x", what, b, first, second)
			}
		}
		if j, ok := parseJob(b); ok {
			first := appendJob(nil, j)
			j, ok = parseJob(first)
			same("job", first, appendJob(nil, j))
			if !ok || len(first) > len(b) {
				t.Fatalf("job of %x: %v, %x", b, ok, first)
			}
		}
		var p Pending
		if p.parseIndex(b) {
			var again Pending
			if first := appendIndex(nil, &Job{Lane: p.Lane, Born: p.Born}); !again.parseIndex(first) || again.Lane != p.Lane || !again.Born.Equal(p.Born) || len(b) != len(first) {
				t.Fatalf("index entry of %x: %+v, %+v", b, p, again)
			}
		}
		if p.parseRetry(b) {
			same("retry", b, appendRetry(nil, p.Attempts, p.Due, p.Error, p.Excerpt))
		}
		var r Settled
		if r.parse(b) {
			first := r.append(nil)
			if !r.parse(first) {
				t.Fatalf("settled of %x: %x is refused", b, first)
			}
			same("settled", first, r.append(nil))
		}
		var d DeadLetter
		if d.parse(b) {
			first := d.append(nil)
			if !d.parse(first) {
				t.Fatalf("dead letter of %x: %x is refused", b, first)
			}
			same("dead letter", first, d.append(nil))
		}
		var c commitRecord
		if checkpoint, ok := c.parse(b, 0); ok {
			same("commit with a checkpoint", b, append(c.append(nil), checkpoint...))
		}
		if _, ok := c.parse(b, 1); ok {
			same("commit", b, c.append(nil))
		}
		var format formatRecord
		if format.parse(b) {
			same("format", b, format.append(nil))
			_ = format.newer()
		}
	})
}

// FuzzKeys: no two names and numbers have one key, the keys of an endpoint, and
// those of a stream's space, are together, and one changed bit of key or value
// breaks the seal.
func FuzzKeys(f *testing.F) {
	f.Add("crm", uint64(1), "crm\x00", uint64(1<<56), []byte("value"), uint(3))
	f.Fuzz(func(t *testing.T, a string, m uint64, b string, n uint64, value []byte, bit uint) {
		if len(a) > MaxName || len(b) > MaxName {
			return
		}
		ka, kb := appendEndpointKey(nil, kindIndex, a, m), appendEndpointKey(nil, kindIndex, b, n)
		if name, seq, ok := splitEndpointKey(ka); !ok || string(name) != a || seq != m {
			t.Fatalf("%q %d is split into %q %d %v", a, m, name, seq, ok)
		}
		if bytes.Equal(ka, kb) != (a == b && m == n) {
			t.Fatalf("%q %d and %q %d: %x, %x", a, m, b, n, ka, kb)
		}
		prefix := appendName(nil, kindIndex, a)
		if in := bytes.Compare(prefix, kb) <= 0 && bytes.Compare(kb, prefixEnd(prefix)) < 0; in != (a == b) {
			t.Fatalf("a key of %q is among those of %q: %v", b, a, in)
		}
		sa, sb := Mirror(a), Mirror(b)
		key := appendSpaceKey(nil, sb, value)
		if letter, stream, rest, ok := splitSpaceKey(key); !ok || letter != letterMirror || stream != b || !bytes.Equal(rest, value) {
			t.Fatalf("the key %x of %q is split into %c %q %x %v", key, b, letter, stream, rest, ok)
		}
		if in := bytes.Compare([]byte(sa.prefix), key) <= 0 && bytes.Compare(key, sa.end(nil)) < 0; in != (a == b) {
			t.Fatalf("an entry of %q is among those of %q: %v", b, a, in)
		}
		old := binary.LittleEndian.AppendUint32(bytes.Clone(value), checksumOf(ka, value))
		if v, version, ok := unseal(ka, old); !ok || version != 0 || !bytes.Equal(v, value) {
			t.Fatalf("%x without a version is unsealed as %x, version %d, %v", value, v, version, ok)
		}
		sealed := seal(ka, bytes.Clone(value))
		if v, version, ok := unseal(ka, sealed); !ok || version != 1 || !bytes.Equal(v, value) {
			t.Fatalf("%x is unsealed as %x, version %d, %v", value, v, version, ok)
		}
		bit %= uint(len(sealed)) * 8
		sealed[bit/8] ^= 1 << (bit % 8)
		if _, _, ok := unseal(ka, sealed); ok {
			t.Fatalf("bit %d of %x is flipped, and nothing is noticed", bit, sealed)
		}
		_ = keyName(ka)
		_, _, _, _ = splitSpaceKey(value)
		_ = keyName(value)
	})
}
