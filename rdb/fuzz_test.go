package rdb_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"triggerd/rdb"
)

// FuzzFile reads whole snapshots.
func FuzzFile(f *testing.F) {
	for _, file := range corpus(f) {
		data, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	for _, magic := range []string{"REDIS0004", "REDIS0015", "VALKEY080"} {
		f.Add(everyType(magic))
	}
	f.Fuzz(checkFile)
}

// fuzzLimits keep a fuzzer from spending its time on large memory.
var fuzzLimits = rdb.Limits{MaxString: 16 << 20}

// checkFile reads data in several ways and compares what they say.
func checkFile(t *testing.T, data []byte) {
	var text string
	var end int64
	var err error
	used := allocated(func() { text, end, err = transcript(bytes.NewReader(data), fuzzLimits) })
	checkError(t, err, len(data))
	if end > int64(len(data)) {
		t.Fatalf("ended at %d of %d", end, len(data))
	}
	// What LZF unpacks is 88 times the input at most; the transcript quotes it
	// with up to four characters a byte, twice while it grows.
	if most := uint64(budget + 88*16*len(data)); used > most {
		t.Fatalf("%d bytes allocated for an input of %d", used, len(data))
	}
	text1, end1, err1 := transcript(iotest.OneByteReader(bytes.NewReader(data)), fuzzLimits)
	if text1 != text || end1 != end || err1.Error() != err.Error() {
		t.Fatalf("byte by byte it ends at %d with %v, else at %d with %v\n%s", end1, err1, end, err, firstDifference(text1, text))
	}
	_, skipEnd, skipErr := skipAll(bytes.NewReader(data))
	checkError(t, skipErr, len(data))
	if err == io.EOF && (skipErr != io.EOF || skipEnd != end) {
		t.Fatalf("decoding ends at %d; skipping ends at %d with %v", end, skipEnd, skipErr)
	}
	if err == io.EOF {
		checkBreak(t, data, 1+len(data)%5)
	}
	if errors.Is(err, rdb.ErrChecksum) && !errors.Is(skipErr, rdb.ErrChecksum) {
		t.Fatalf("decoding ends with %v, skipping with %v", err, skipErr)
	}
}

// checkBreak ends each loop over elements after n of them: the keys are the same.
func checkBreak(t *testing.T, data []byte, n int) {
	t.Helper()
	want, end, _ := skipAll(bytes.NewReader(data))
	r := rdb.NewReader(bytes.NewReader(data))
	r.Limits = fuzzLimits
	var got []string
	for {
		e, err := r.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatalf("ending loops after %d elements: %v", n, err)
		}
		got = append(got, fmt.Sprintf("%d/%q", e.DB, e.Key))
		left := n
		for _, err := range r.Elements() {
			if err != nil {
				t.Fatalf("ending loops after %d elements: %v", n, err)
			}
			if left--; left == 0 {
				break
			}
		}
	}
	if !slices.Equal(got, want) || r.Offset() != end {
		t.Fatalf("ending loops after %d elements: ended at %d, want %d, keys %q, want %q", n, r.Offset(), end, got, want)
	}
}

// FuzzDump reads payloads of DUMP.
func FuzzDump(f *testing.F) {
	for _, typ := range []byte{15, 19, 21, 26, 27} {
		f.Add(append([]byte{typ}, streamValue(typ)...), uint16(11))
	}
	f.Add(slices.Concat([]byte{18}, length(2), length(2), str(listpack("a", 5)), length(1), packed(strings.Repeat("long", 50))), uint16(80))
	f.Add(slices.Concat([]byte{0, 0xc1}, le(2, 300)), uint16(9))
	f.Fuzz(func(t *testing.T, value []byte, version uint16) {
		payload := binary.LittleEndian.AppendUint16(bytes.Clone(value), version)
		payload = append(payload, make([]byte, 8)...)
		before := bytes.Clone(payload)
		r, err := rdb.NewDumpReader(payload)
		keys := 0
		for err == nil {
			if _, err = r.Next(); err == nil {
				keys++
				for _, elErr := range r.Elements() {
					err = elErr
				}
			}
		}
		checkError(t, err, len(payload))
		if keys > 1 || err == io.EOF && (keys != 1 || r.Offset() != int64(len(value))) {
			t.Fatalf("%d keys, %v", keys, err)
		}
		if !bytes.Equal(payload, before) {
			t.Fatal("the payload was changed")
		}
	})
}

// fuzzValue fuzzes a string that is the value of a key of one of types.
func fuzzValue(f *testing.F, types []byte, seeds ...string) {
	for _, seed := range seeds {
		for i := range types {
			f.Add(byte(i), []byte(seed))
		}
	}
	f.Fuzz(func(t *testing.T, which byte, value []byte) {
		typ := types[int(which)%len(types)]
		var body []byte
		switch typ {
		case 14:
			body = slices.Concat(length(1), str(string(value)))
		case 15:
			body = slices.Concat(streamOf(string(value)), lengths(0, 0, 0, 0))
		case 18:
			body = slices.Concat(lengths(1, 2), str(string(value)))
		case 25:
			body = slices.Concat(le(8, 1), str(string(value)))
		default:
			body = str(string(value))
		}
		plain := slices.Concat([]byte("REDIS0004"), key(typ, "k", body), []byte{0xff})
		checkFile(t, plain)
		// The same, compressed, has the same elements, and a fault has the same text.
		if !bytes.Contains(body, str(string(value))) || len(value) == 0 {
			return
		}
		squeezed := bytes.Replace(plain, str(string(value)), packed(string(value)), 1)
		text, _, err := transcript(bytes.NewReader(plain), rdb.Limits{})
		text2, _, err2 := transcript(bytes.NewReader(squeezed), rdb.Limits{})
		if text != text2 || (err == io.EOF) != (err2 == io.EOF) {
			t.Fatalf("compressed: %v, not: %v\n%s", err2, err, firstDifference(text2, text))
		}
	})
}

func FuzzListpack(f *testing.F) {
	fuzzValue(f, []byte{16, 17, 18, 20, 23, 25},
		listpack("f", "1.5", 0, "g", -7, 4102444800000),
		listpack(1, 200, -5000, 70000, 1<<30, 1<<40, strings.Repeat("x", 64), strings.Repeat("y", 5000)),
		listpack())
}

func FuzzZiplist(f *testing.F) {
	fuzzValue(f, []byte{10, 12, 13, 14},
		ziplist("f", "1.5", 12, 100, -7, 30000),
		ziplist(1<<20, 1<<30, 1<<40, strings.Repeat("x", 64), "after a long one", strings.Repeat("y", 300), 1, strings.Repeat("z", 20000)),
		ziplist())
}

func FuzzIntset(f *testing.F) {
	fuzzValue(f, []byte{11}, intset(2, -1, 5), intset(4, -70000, 5, 70000), intset(8, -1<<40, 1<<40), intset(2))
}

func FuzzZipmap(f *testing.F) {
	fuzzValue(f, []byte{9}, zipmap("f", "v"), zipmap("f", "", "g", strings.Repeat("x", 300)), zipmap())
}

func FuzzStreamListpack(f *testing.F) {
	fuzzValue(f, []byte{15}, streamListpack,
		listpack(1, 0, 0, 0, 0, 0, 0, 1, "f", 7, 6),
		listpack(0, 0, 1, "f", 0))
}

// FuzzStream fuzzes all of a stream, not only its listpack.
func FuzzStream(f *testing.F) {
	types := []byte{15, 19, 21, 26, 27}
	for i, typ := range types {
		f.Add(byte(i), streamValue(typ))
	}
	f.Fuzz(func(t *testing.T, which byte, value []byte) {
		checkFile(t, slices.Concat([]byte("REDIS0004"), key(types[int(which)%len(types)], "k", value), []byte{0xff}))
	})
}

// FuzzLZF compares with an unpacker that is too simple to be wrong.
func FuzzLZF(f *testing.F) {
	for _, s := range []string{"a", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", strings.Repeat("abcdefg", 100), "no repetition"} {
		f.Add(compress([]byte(s)), uint32(len(s)))
	}
	f.Fuzz(func(t *testing.T, data []byte, size uint32) {
		if len(data) == 0 || size == 0 || size > 1<<22 {
			return
		}
		want := slowUnpack(data)
		r := rdb.NewReader(bytes.NewReader(slices.Concat([]byte("REDIS0004"), key(0, "k", lzfString(data, uint64(size))))))
		if _, err := r.Next(); err != nil {
			t.Fatal(err)
		}
		got, err := r.Bytes()
		if (err == nil) != (want != nil && len(want) == int(size)) {
			t.Fatalf("error %v; it unpacks to %d bytes, said to be %d", err, len(want), size)
		}
		if err == nil && !bytes.Equal(got, want) {
			t.Fatalf("unpacked to %q, want %q", got, want)
		}
	})
}

// slowUnpack returns nil if data is not valid.
func slowUnpack(data []byte) (out []byte) {
	for len(data) > 0 {
		ctrl := int(data[0])
		data = data[1:]
		if ctrl < 32 {
			if len(data) < ctrl+1 {
				return nil
			}
			out = append(out, data[:ctrl+1]...)
			data = data[ctrl+1:]
			continue
		}
		n := ctrl >> 5
		if n == 7 {
			if len(data) == 0 {
				return nil
			}
			n += int(data[0])
			data = data[1:]
		}
		if len(data) == 0 {
			return nil
		}
		at := len(out) - 1 - (ctrl&31<<8 | int(data[0]))
		data = data[1:]
		if at < 0 {
			return nil
		}
		for range n + 2 {
			out = append(out, out[at])
			at++
		}
	}
	return out
}
