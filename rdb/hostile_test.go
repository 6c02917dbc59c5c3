package rdb_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"triggerd/rdb"
)

// budget is what reading a small snapshot may allocate in all, whatever is in
// it: the two buffers and little more.
const budget = 1 << 20

// allocated returns how many bytes f allocates.
func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// TestTruncated cuts snapshots everywhere. Both ways of reading have to say
// that the input ended, and where.
func TestTruncated(t *testing.T) {
	cut := func(name string, data []byte, step int) {
		for n := 0; n < len(data); n += step {
			for way, read := range map[string]func(io.Reader) error{
				"decode": func(in io.Reader) error { _, _, err := transcript(in, rdb.Limits{}); return err },
				"skip":   func(in io.Reader) error { _, _, err := skipAll(in); return err },
			} {
				err := read(bytes.NewReader(data[:n]))
				var syn *rdb.SyntaxError
				if !errors.As(err, &syn) || !errors.Is(err, io.ErrUnexpectedEOF) || syn.Offset != int64(n) {
					t.Fatalf("%s, %s: cut to %d bytes: %v", name, way, n, err)
				}
			}
		}
	}
	cut("every type", everyType("REDIS0013"), 1)
	cut("every type, no checksum", everyType("REDIS0004"), 3)
	cut("every type of Valkey", everyType("VALKEY080"), 3)
	for _, file := range corpus(t) {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		cut(file, data, 2999)
	}
}

// TestFlipped changes single bytes. With a checksum nothing may go unnoticed.
func TestFlipped(t *testing.T) {
	masks := []byte{0x01, 0x80, 0xff, 0x40}
	flip := func(name string, data []byte, step int) {
		data = slices.Clone(data)
		for i := 0; i < len(data); i += step {
			mask := masks[i%len(masks)]
			data[i] ^= mask
			_, _, decoded := transcript(bytes.NewReader(data), rdb.Limits{})
			_, _, skipped := skipAll(bytes.NewReader(data))
			for _, err := range []error{decoded, skipped} {
				checkError(t, err, len(data))
				// A version before 5 has no checksum.
				if version := string(data[:9]); err == io.EOF && version >= "REDIS0005" {
					t.Fatalf("%s: byte %d changed by %#x, and nothing noticed", name, i, mask)
				}
			}
			data[i] ^= mask
		}
	}
	flip("every type", everyType("REDIS0013"), 1)
	flip("every type of Valkey", everyType("VALKEY080"), 3)
	for _, file := range corpus(t) {
		if strings.Contains(file, "nocrc") {
			continue
		}
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		flip(file, data, 4999)
	}
}

// TestFlippedUnchecked changes single bytes where no checksum tells: whatever
// is made of it, memory stays bounded and errors keep their form.
func TestFlippedUnchecked(t *testing.T) {
	data := everyType("REDIS0004")
	for i := range data {
		for _, mask := range []byte{0x01, 0x40, 0x80, 0xc0, 0xff} {
			data[i] ^= mask
			used := allocated(func() {
				r := rdb.NewReader(bytes.NewReader(data))
				err := error(nil)
				for err == nil {
					if _, err = r.Next(); err == nil {
						for _, elErr := range r.Elements() {
							err = elErr
						}
					}
				}
				checkError(t, err, len(data))
			})
			if used > budget {
				t.Fatalf("byte %d changed by %#x: %d bytes allocated", i, mask, used)
			}
			data[i] ^= mask
		}
	}
}

// TestRefused has snapshots that no server wrote, each with what its error has
// to say, and where.
func TestRefused(t *testing.T) {
	const head = 9 + 1 + 2 // magic, type, key "k"
	longLZF := compress(bytes.Repeat([]byte("abcdefgh"), 100))
	for _, tc := range []struct {
		name   string
		data   []byte // a whole file, or a value for a key "k" of type typ
		typ    byte
		offset int64
		want   string
	}{
		{"nothing", []byte{}, 0, 0, "unexpected EOF"},
		{"another magic", []byte("PK\x03\x04 1234567"), 0, 0, "not an RDB snapshot"},
		{"lz4 envelope", []byte("VCS_STREAM_REPL"), 0, 0, "not an RDB snapshot"},
		{"letters for a version", []byte("REDIS00x9\xff"), 0, 0, "not an RDB snapshot"},
		{"version 0", []byte("REDIS0000\xff"), 0, 0, "unknown RDB version"},
		{"version 16", []byte("REDIS0016\xff"), 0, 0, "unknown RDB version"},
		{"version 9999", []byte("REDIS9999\xff"), 0, 0, "unknown RDB version"},
		{"valkey 079", []byte("VALKEY079\xff"), 0, 0, "unknown RDB version"},
		{"valkey 082", []byte("VALKEY082\xff"), 0, 0, "unknown RDB version"},
		{"no checksum", []byte("REDIS0005\xff1234567"), 0, 17, "unexpected EOF"},
		{"wrong checksum", []byte("REDIS0005\xff12345678"), 0, 10, "wrong checksum"},
		{"opcode 242", []byte("REDIS0015\xf2"), 0, 9, "type or opcode 242: unknown"},
		{"module of a release candidate", []byte("REDIS0008\x06\x01k"), 0, 9, "type or opcode 6: unknown"},
		{"type 29", []byte("REDIS0015\x1d\x01k"), 0, 9, "type or opcode 29: unknown"},
		{"database 2^32", slices.Concat([]byte("REDIS0009\xfe"), length(1<<32)), 0, 19, "database number"},
		{"module aux without when", slices.Concat([]byte("REDIS0009\xf7"), lengths(5, 3)), 0, 12, "module aux opcode 3"},

		{"length byte 0x82", []byte{0x82}, 0, head, "length byte 0x82"},
		{"string encoding 4", []byte{0xc4}, 0, head, "string encoding 4: unknown"},
		{"encoding for a count", []byte{0xc0, 1}, 1, head, "where a length is due"},
		{"string of 2^40 bytes", length(1 << 40), 0, head + 9, "over the limit"},
		{"string of 2^64-1 bytes", length(math.MaxUint64), 0, head + 9, "over the limit"},
		{"string of 2^63 bytes in a list", slices.Concat(length(1), length(1<<63)), 1, head + 10, "over the limit"},
		{"string of 2^30 bytes", length(1 << 30), 0, head + 5, "unexpected EOF"},
		{"list of 2^40", slices.Concat(length(1<<40), str("a")), 1, head + 11, "unexpected EOF"},
		{"hash of 2^64-1", slices.Concat(length(math.MaxUint64), str("a")), 4, head + 11, "unexpected EOF"},
		{"zset of 2^40", slices.Concat(length(1<<40), str("a"), double(1)), 5, head + 19, "unexpected EOF"},
		{"hash metadata of 2^40", slices.Concat(le(8, 1), length(1<<40)), 24, head + 17, "unexpected EOF"},
		{"stream of 2^40 nodes", length(1 << 40), 15, head + 9, "unexpected EOF"},
		{"array of 2^40", lengths(1<<40, 0), 28, head + 10, "unexpected EOF"},
		{"quicklist2 of 2^40", length(1 << 40), 18, head + 9, "unexpected EOF"},
		{"module without end", slices.Concat(length(1), bytes.Repeat(lengths(1, 1), 100)), 7, head + 201, "unexpected EOF"},
		{"stream of 2^60 pending", slices.Concat(length(0), lengths(0, 0, 0), length(1), str("g"), lengths(0, 0), length(1<<60)), 15, head + 18, "unexpected EOF"},
		{"stream of 2^62 of a consumer", slices.Concat(length(0), lengths(0, 0, 0), length(1), str("g"), lengths(0, 0), length(0), length(1), str("c"), le(8, 1), length(1<<62)), 15, head + 30, "unexpected EOF"},

		{"LZF of a terabyte", lzfString([]byte{0, 'a'}, 1<<40), 0, head + 11, "cannot unpack to"},
		{"LZF of 89 for 1", lzfString([]byte{0}, 89), 0, head + 4, "cannot unpack to"},
		{"LZF of nothing", lzfString(nil, 1), 0, head + 3, "of 0 bytes"},
		{"LZF to nothing", lzfString([]byte{0, 'a'}, 0), 0, head + 3, "unpack to 0"},
		{"LZF too long", lzfString(longLZF, 799), 0, head + 4, "does not unpack to 799 bytes"},
		{"LZF too short", lzfString(longLZF, 801), 0, head + 4, "does not unpack to 801 bytes"},
		{"LZF before its start", lzfString([]byte{0, 'a', 0x20, 1}, 4), 0, head + 3, "does not unpack"},
		{"LZF cut in a literal", lzfString([]byte{5, 'a'}, 6), 0, head + 3, "does not unpack"},
		{"LZF cut in a copy", lzfString([]byte{0, 'a', 0x20}, 4), 0, head + 3, "does not unpack"},
		{"LZF cut in a long copy", lzfString([]byte{0, 'a', 0xe0}, 10), 0, head + 3, "does not unpack"},
		{"LZF of 2^40 bytes", slices.Concat([]byte{0xc3}, lengths(1<<40, 1<<41)), 0, head + 19, "over the limit"},

		{"score not a number", slices.Concat(length(1), str("a"), double(math.NaN())), 5, head + 3, "score is not a number"},
		{"score 253", slices.Concat(length(1), str("a"), []byte{253}), 3, head + 4, "score is not a number"},
		{"score in letters", slices.Concat(length(1), str("a"), str("ab")), 3, head + 6, `score "ab"`},
		{"score in a listpack", str(listpack("a", "1x")), 17, head + 1 + 9, `score "1x"`},
		{"score NaN in a ziplist", str(ziplist("a", "nan")), 12, head + 1 + 13, `score "nan"`},

		{"quicklist container 3", slices.Concat(lengths(1, 3), str("a")), 18, head + 2, "quicklist container 3"},
		{"array flag 2", lengths(1, 2), 28, head + 2, "insert flag 2"},
		{"array tag 4", lengths(1, 0, 0, 4), 28, head + 4, "array tag 4"},
		{"module opcode 6", lengths(1, 6), 7, head + 2, "module opcode 6"},

		{"listpack that is an integer", []byte{0xc2, 0xc2, 0xc2, 0xc2, 0xc2}, 20, head, "listpack of 11 bytes says"},
		{"listpack of 6 bytes", str("123456"), 20, head, "listpack of 6 bytes"},
		{"listpack longer than it says", str(listpack("a") + "x"), 20, head + 1, "listpack of 11 bytes says it has 10"},
		{"listpack without end", str(strings.TrimSuffix(listpack("a"), "\xff") + "\xfe"), 20, head + 1 + 9, "without end mark"},
		{"listpack count too high", str(lpRaw(3, lpEntry("a"), lpEntry("b"))), 20, head + 1 + 4, "of 2 entries says it has 3"},
		{"listpack count too low", str(lpRaw(1, lpEntry("a"), lpEntry("b"))), 20, head + 1 + 4, "of 2 entries says it has 1"},
		{"listpack entry too long", str(lpRaw(1, []byte{0x83, 'a'})), 20, head + 1 + 6, "listpack entry"},
		{"listpack entry of 4 GB", str(lpRaw(1, append([]byte{0xf0}, le(4, math.MaxUint32)...), []byte("abc"))), 20, head + 1 + 6, "listpack entry"},
		{"listpack integer cut", str(lpRaw(1, []byte{0xf4, 1, 2, 3})), 20, head + 1 + 6, "listpack entry"},
		{"listpack encoding 0xf5", str(lpRaw(1, []byte{0xf5, 1})), 20, head + 1 + 6, "listpack entry"},
		{"listpack end inside", str(lpRaw(2, lpEntry("a"), []byte{0xff}, lpEntry("b"))), 20, head + 1 + 9, "listpack entry"},
		{"listpack back length", str(lpRaw(1, []byte{0x81, 'a', 3})), 20, head + 1 + 6, "listpack entry"},
		{"listpack back length of a long entry", str(lpRaw(1, append([]byte{0xe0, 200}, bytes.Repeat([]byte("a"), 200)...), []byte{1, 0xcb})), 20, head + 2 + 6, "listpack entry"},
		{"hash listpack of three", str(listpack("a", "b", "c")), 16, head + 1 + 15, "listpack entry"},
		{"zset listpack of one", str(listpack("a")), 17, head + 1 + 9, "listpack entry"},
		{"expiry that is text", slices.Concat(le(8, 1), str(listpack("f", "v", "x"))), 25, head + 8 + 1 + 12, "expiry"},
		{"expiry below zero", str(listpack("f", "v", -1)), 23, head + 1 + 12, "expiry"},
		{"expiry missing", str(listpack("f", "v")), 23, head + 1 + 12, "expiry"},

		{"ziplist of 10 bytes", str("1234567890"), 10, head, "ziplist of 10 bytes"},
		{"ziplist longer than it says", str(ziplist("a") + "x"), 10, head + 1, "ziplist of 15 bytes says it has 14"},
		{"ziplist without end", str(strings.TrimSuffix(ziplist("a"), "\xff") + "\xfe"), 10, head + 1 + 13, "without end mark"},
		{"ziplist tail", str(strings.Replace(ziplist("a", "b"), "\x0d\x00\x00\x00", "\x0a\x00\x00\x00", 1)), 10, head + 1 + 4, "last entry is at 13, not at 10"},
		{"ziplist count", str(strings.Replace(ziplist("a", "b"), "\x02\x00", "\x05\x00", 1)), 10, head + 1 + 8, "of 2 entries says it has 5"},
		{"ziplist previous length", str(strings.Replace(ziplist("a", "b"), "a\x03\x01b", "a\x04\x01b", 1)), 10, head + 1 + 13, "ziplist entry"},
		{"ziplist entry too long", str(strings.Replace(ziplist("a", "b"), "\x03\x01b", "\x03\x07b", 1)), 10, head + 1 + 13, "ziplist entry"},
		{"ziplist encoding 0xff", str(strings.Replace(ziplist("a", "b"), "\x03\x01b", "\x03\xffb", 1)), 10, head + 1 + 13, "ziplist entry"},
		{"ziplist encoding 0xc1", str(strings.Replace(ziplist("a", "bb"), "\x03\x02bb", "\x03\xc1bb", 1)), 10, head + 1 + 13, "ziplist entry"},
		{"hash ziplist of one", str(ziplist("a")), 13, head + 1 + 13, "ziplist entry"},
		{"quicklist with a bad second node", slices.Concat(length(2), str(ziplist("a")), str(ziplist("b")+"x")), 14, head + 1 + 15 + 1, "ziplist of 15 bytes"},

		{"intset of 7 bytes", str("1234567"), 11, head, "intset of 7 bytes"},
		{"intset of 3-byte integers", str(intset(3, 1)), 11, head + 1, "integers of 3 bytes"},
		{"intset longer than it says", str(intset(4, 1) + "x"), 11, head + 1 + 4, "1 integers of 4 bytes in 13"},
		{"intset of 2^32-1", str(string(slices.Concat(le(4, 8), le(4, math.MaxUint32)))), 11, head + 1 + 4, "4294967295 integers"},
		{"intset with one twice", str(intset(4, 1, 2, 2)), 11, head + 1 + 16, "not in ascending order"},

		{"zipmap of 1 byte", str("\xff"), 9, head, "zipmap of 1 bytes"},
		{"zipmap without end", str(zipmap("f", "v")[:6]), 9, head + 1 + 5, "without end mark"},
		{"zipmap count", str("\x02" + zipmap("f", "v")[1:]), 9, head + 1, "of 1 fields says it has 2"},
		{"zipmap field too long", str("\x01\x09f\xff"), 9, head + 1 + 1, "zipmap field"},
		{"zipmap without value", str("\x01\x01f\xff"), 9, head + 1 + 3, "zipmap value"},
		{"zipmap unused space too long", str("\x01\x01f\x01\x09v\xff"), 9, head + 1 + 3, "zipmap value"},

		{"stream node key of 15 bytes", slices.Concat(length(1), str(streamID(1, 1)[:15]), str(streamListpack)), 15, head + 1, "key of 15 bytes"},
		{"stream nodes out of order", slices.Concat(length(2), str(streamID(5, 1)), str(streamListpack), str(streamID(5, 1)), str(streamListpack)), 15, 0, "stream node 5-1 after 5-1"},
		{"stream master without end", streamOf(listpack(0, 0, 1, "f", 1)), 15, 0, "without end"},
		{"stream master of 2^62 fields", streamOf(listpack(0, 0, 1<<62, "f", 0)), 15, 0, "bad master entry"},
		{"stream master count in letters", streamOf(listpack("a", 0, 0, 0)), 15, 0, "bad master entry"},
		{"stream with too few entries", streamOf(listpack(2, 0, 1, "f", 0, 2, 0, 0, "v", 4)), 15, 0, "not as many as it says"},
		{"stream with too many entries", streamOf(listpack(0, 0, 1, "f", 0, 2, 0, 0, "v", 4)), 15, 0, "more entries than it says"},
		{"stream with too few deleted", streamOf(listpack(1, 1, 1, "f", 0, 2, 0, 0, "v", 4)), 15, 0, "not as many as it says"},
		{"stream entry of 2^62 fields", streamOf(listpack(1, 0, 1, "f", 0, 0, 0, 0, 1<<62, "v", 4)), 15, 0, "bad number of fields"},
		{"stream entry flags", streamOf(listpack(1, 0, 1, "f", 0, 4, 0, 0, "v", 4)), 15, 0, "bad head"},
		{"stream entry length", streamOf(listpack(1, 0, 1, "f", 0, 2, 0, 0, "v", 5)), 15, 0, "bad length"},
		{"stream entry cut", streamOf(listpack(1, 0, 2, "f", "g", 0, 2, 0, 0, "v")), 15, 0, "listpack entry"},
		{"consumers with more than their group", slices.Concat(length(0), lengths(0, 0, 0), length(1), str("g"), lengths(0, 0), length(0), length(1), str("c"), le(8, 1), length(1), []byte(streamID(1, 1))), 15, 0, "more entries pending than their group"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			data := tc.data
			wantKey := false
			if tc.offset >= head || tc.typ != 0 {
				wantKey = tc.data == nil || !bytes.HasPrefix(tc.data, []byte("REDIS"))
			}
			if wantKey {
				data = slices.Concat([]byte("REDIS0004"), key(tc.typ, "k", tc.data))
			}
			var err error
			used := allocated(func() { err = readAll(bytes.NewReader(data)) })
			var syn *rdb.SyntaxError
			if !errors.As(err, &syn) {
				t.Fatalf("error %v, want a SyntaxError", err)
			}
			if !strings.Contains(err.Error(), tc.want) {
				t.Errorf("error %q does not say %q", err, tc.want)
			}
			if tc.offset != 0 && syn.Offset != tc.offset {
				t.Errorf("%v: want offset %d", err, tc.offset)
			}
			if wantKey && string(syn.Key) != "k" {
				t.Errorf("%v: key %q, want k", err, syn.Key)
			}
			if used > budget+budget {
				t.Errorf("%d bytes allocated", used)
			}
			if err2 := readAll(iotest.OneByteReader(bytes.NewReader(data))); fmt.Sprint(err2) != fmt.Sprint(err) {
				t.Errorf("read byte by byte: %v, want %v", err2, err)
			}
		})
	}
}

func streamOf(lp string) []byte { return slices.Concat(length(1), str(streamID(5, 1)), str(lp)) }

// readAll decodes all that in has.
func readAll(in io.Reader) error {
	r := rdb.NewReader(in)
	r.Strict = true
	for {
		if _, err := r.Next(); err != nil {
			if _, again := r.Next(); again != err {
				return fmt.Errorf("Next after %w: %w", err, again)
			}
			return err
		}
		for _, err := range r.Elements() {
			if err != nil {
				if _, again := r.Next(); again != err {
					return fmt.Errorf("Next after %w: %w", err, again)
				}
				return err
			}
		}
	}
}

// TestDuplicateKeys has a key twice: in one database it is a fault, in two it is
// not, and after very many keys it is not noticed.
func TestDuplicateKeys(t *testing.T) {
	selectDB := func(n uint64) []byte { return append([]byte{254}, length(n)...) }
	k := key(0, "k", str("v"))
	var many [][]byte
	for i := range 1 << 16 {
		many = append(many, key(0, fmt.Sprint("key", i), str("v")))
	}
	for _, tc := range []struct {
		name string
		body [][]byte
		dup  string
	}{
		{"at once", [][]byte{k, k}, "k"},
		{"of another type", [][]byte{k, key(1, "k", length(1), str("item"))}, "k"},
		{"of an empty list", [][]byte{k, key(1, "k", length(0)), key(0, "l", str("v"))}, ""},
		{"in another database", [][]byte{k, selectDB(1), k}, ""},
		{"back in the first", [][]byte{k, selectDB(1), k, selectDB(0), k}, "k"},
		{"the empty key", [][]byte{key(0, "", str("v")), k, key(0, "", str("v"))}, ""},
		{"last of many", append(slices.Clone(many[1:]), key(0, "key9999", str("v"))), "key9999"},
		{"after too many", append(slices.Clone(many), k, k), ""},
	} {
		for way, err := range map[string]error{
			"decode": readAll(bytes.NewReader(snapshot("REDIS0009", tc.body...))),
			"skip":   skipErr(bytes.NewReader(snapshot("REDIS0009", tc.body...))),
		} {
			if tc.dup == "" && tc.name != "the empty key" {
				if err != io.EOF {
					t.Errorf("%s, %s: %v", tc.name, way, err)
				}
				continue
			}
			var syn *rdb.SyntaxError
			if !errors.As(err, &syn) || !strings.Contains(err.Error(), "there twice") || string(syn.Key) != tc.dup || syn.Key == nil {
				t.Errorf("%s, %s: %v", tc.name, way, err)
			}
		}
	}
}

func skipErr(in io.Reader) error {
	_, _, err := skipAll(in)
	return err
}

// TestNewerVersions reads a version that is not known, if told so, as far as it
// has nothing new.
func TestNewerVersions(t *testing.T) {
	for magic, want := range map[string]error{"REDIS0016": io.EOF, "VALKEY999": io.EOF, "REDIS0000": rdb.ErrVersion, "VALKEY079": rdb.ErrVersion} {
		r := rdb.NewReader(bytes.NewReader(everyType(magic)))
		r.NewerVersions = true
		var err error
		for err == nil {
			_, err = r.Next()
		}
		if !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", magic, err, want)
		}
	}
	r := rdb.NewReader(bytes.NewReader(append([]byte("REDIS0020"), 200)))
	r.NewerVersions = true
	if _, err := r.Next(); !errors.Is(err, rdb.ErrUnknown) {
		t.Error(err)
	}
}

// TestDump reads payloads of DUMP: good ones, and ones with something wrong.
func TestDump(t *testing.T) {
	payload := func(version uint16, value ...[]byte) []byte {
		b := binary.LittleEndian.AppendUint16(bytes.Join(value, nil), version)
		return binary.LittleEndian.AppendUint64(b, checksum(b))
	}
	list := [][]byte{{18}, length(2), length(2), str(listpack("a", 5)), length(1), str(strings.Repeat("long", 50_000))}
	good := payload(11, list...)
	unchecked := slices.Clone(good)
	clear(unchecked[len(unchecked)-8:])
	for name, data := range map[string][]byte{"checked": good, "unchecked": unchecked} {
		before := bytes.Clone(data)
		r, err := rdb.NewDumpReader(data)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		e, err := r.Next()
		if err != nil || e.Type != rdb.TypeList || e.Encoding != rdb.EncodingQuicklist || len(e.Key) != 0 {
			t.Fatalf("%s: %+v, %v", name, e, err)
		}
		v, err := r.Value()
		if err != nil || len(v.Items) != 3 || string(v.Items[1]) != "5" || len(v.Items[2]) != 200_000 {
			t.Errorf("%s: %d items, %v", name, len(v.Items), err)
		}
		if _, err := r.Next(); err != io.EOF {
			t.Errorf("%s: %v", name, err)
		}
		if !bytes.Equal(data, before) {
			t.Errorf("%s: the payload was changed", name)
		}
	}
	wrong := slices.Clone(good)
	wrong[5] ^= 1
	for _, tc := range []struct {
		name string
		data []byte
		want string
	}{
		{"empty", nil, "unexpected EOF"},
		{"only a footer", payload(11), "unexpected EOF"},
		{"wrong checksum", wrong, "wrong checksum"},
		{"version 16", payload(16, list...), "unknown RDB version"},
		{"version 0", payload(0, list...), "unknown RDB version"},
		{"type 200", payload(11, []byte{200}, str("v")), "type 200: unknown"},
		{"an opcode", payload(11, []byte{254}, str("v")), "type 254: unknown"},
		{"cut", payload(11, []byte{0}, length(100), []byte("short")), "unexpected EOF"},
		{"cut in a long string", payload(11, []byte{0}, length(200_000), []byte("short")), "unexpected EOF"},
		{"too long", payload(11, []byte{0}, str("v"), []byte("more")), "4 bytes follow the value"},
	} {
		before := bytes.Clone(tc.data)
		r, err := rdb.NewDumpReader(tc.data)
		for err == nil {
			if _, err = r.Next(); err == nil {
				_, err = r.Value()
			}
		}
		var syn *rdb.SyntaxError
		if !errors.As(err, &syn) || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v, want %s", tc.name, err, tc.want)
		}
		if !bytes.Equal(tc.data, before) {
			t.Errorf("%s: the payload was changed", tc.name)
		}
	}
}

// TestErrorTypes looks for the sentinels inside the errors.
func TestErrorTypes(t *testing.T) {
	for _, tc := range []struct {
		data []byte
		want error
	}{
		{[]byte("hello world"), rdb.ErrMagic},
		{[]byte("REDIS0099"), rdb.ErrVersion},
		{[]byte("REDIS0009\xf2"), rdb.ErrUnknown},
		{[]byte("REDIS0009\xff12345678"), rdb.ErrChecksum},
		{slices.Concat([]byte("REDIS0009"), key(0, "k", length(1<<40))), rdb.ErrLimit},
		{[]byte("REDIS0009"), io.ErrUnexpectedEOF},
	} {
		if err := readAll(bytes.NewReader(tc.data)); !errors.Is(err, tc.want) {
			t.Errorf("%q: %v, want %v", tc.data, err, tc.want)
		}
	}
}

// TestReadError passes on what the underlying reader says; it is no fault of
// the snapshot.
func TestReadError(t *testing.T) {
	broken := errors.New("cable cut")
	data := everyType("REDIS0013")
	for _, n := range []int{0, 5, 100, len(data) - 4} {
		err := readAll(io.MultiReader(bytes.NewReader(data[:n]), iotest.ErrReader(broken)))
		var syn *rdb.SyntaxError
		if !errors.Is(err, broken) || errors.As(err, &syn) {
			t.Errorf("after %d bytes: %v", n, err)
		}
		if want := fmt.Sprintf("offset %d", n); !strings.Contains(fmt.Sprint(err), want) {
			t.Errorf("after %d bytes: %v does not say %s", n, err, want)
		}
	}
}

// TestReaders reads the same through readers that give little, or their last
// bytes together with io.EOF, or nothing now and then, or nothing any more.
func TestReaders(t *testing.T) {
	files := corpus(t)
	for _, file := range append(files[:0:0], files[3], files[len(files)-1]) {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		want, _, err := transcript(bytes.NewReader(data), rdb.Limits{})
		if err != io.EOF {
			t.Fatal(err)
		}
		for name, in := range map[string]io.Reader{
			"byte by byte": iotest.OneByteReader(bytes.NewReader(data)),
			"halves":       iotest.HalfReader(bytes.NewReader(data)),
			"eof at once":  iotest.DataErrReader(bytes.NewReader(data)),
			"idle":         &idleReader{in: bytes.NewReader(data)},
		} {
			if got, _, err := transcript(in, rdb.Limits{}); err != io.EOF || got != want {
				t.Errorf("%s, %s: %v, %s", file, name, err, firstDifference(got, want))
			}
		}
	}
	if err := readAll(struct{ io.Reader }{zeroReader{}}); !errors.Is(err, io.ErrNoProgress) {
		t.Errorf("reader that never reads: %v", err)
	}
	big := slices.Concat([]byte("REDIS0004"), key(0, "k", length(1<<20)))
	if err := readAll(io.MultiReader(bytes.NewReader(big), zeroReader{})); !errors.Is(err, io.ErrNoProgress) {
		t.Errorf("reader that stops in a long string: %v", err)
	}
}

// badReader returns counts that cannot be.
type badReader int

func (r badReader) Read(p []byte) (int, error) { return int(r), nil }

func TestBadReader(t *testing.T) {
	for _, n := range []int{-1, 1 << 30} {
		for _, start := range []string{"", "REDIS0009\x00\x01k\x80\x00\x10\x00\x00"} {
			if err := readAll(io.MultiReader(strings.NewReader(start), badReader(n))); err == nil || !strings.Contains(err.Error(), "impossible count") {
				t.Errorf("count %d: %v", n, err)
			}
		}
	}
}

// idleReader reads nothing every other time.
type idleReader struct {
	in   io.Reader
	busy bool
}

func (r *idleReader) Read(p []byte) (int, error) {
	if r.busy = !r.busy; r.busy {
		return 0, nil
	}
	return r.in.Read(p[:min(len(p), 1000)])
}

type zeroReader struct{}

func (zeroReader) Read([]byte) (int, error) { return 0, nil }

// TestBomb unpacks a legal string of 64 MB from 750 KB: the memory is that of
// the string, once. The same with a lie in its last byte takes none.
func TestBomb(t *testing.T) {
	const size = 64 << 20
	bomb := []byte{0, 0}
	for unpacked := 1; unpacked < size; {
		n := min(264, size-unpacked)
		if n < 9 {
			t.Fatalf("%d bytes are left", n)
		}
		bomb = append(bomb, 0xe0, byte(n-9), 0)
		unpacked += n
	}
	data := snapshot("REDIS0009", key(0, "bomb", lzfString(bomb, size)))
	used := allocated(func() {
		if err := readAll(bytes.NewReader(data)); err != io.EOF {
			t.Error(err)
		}
	})
	if used > size+4<<20 {
		t.Errorf("%d bytes allocated for a string of %d", used, size)
	}
	lie := snapshot("REDIS0009", key(0, "bomb", lzfString(bomb, size+1)))
	used = allocated(func() {
		if err := readAll(bytes.NewReader(lie)); err == io.EOF {
			t.Error("a string of the wrong length is accepted")
		}
	})
	if used > 4<<20 {
		t.Errorf("%d bytes allocated for a lie", used)
	}
}

// TestManyFields has stream entries of very many fields, from little input: as
// many as are allowed in bounded memory, and more.
func TestManyFields(t *testing.T) {
	const most = 1 << 19
	listpack := func(nMaster, n int, sameFields bool) string {
		ones := func(n int) []byte { return bytes.Repeat([]byte{1, 1}, n) } // the integer 1, n times
		master := slices.Concat(lpEntry(1), lpEntry(0), lpEntry(nMaster), ones(nMaster), lpEntry(0))
		entry := slices.Concat(lpEntry(0), lpEntry(0), lpEntry(0), lpEntry(n), ones(2*n), lpEntry(4+2*n))
		if sameFields {
			entry = slices.Concat(lpEntry(2), lpEntry(0), lpEntry(0), ones(n), lpEntry(3+n))
		}
		return lpRaw(65535, master, entry)
	}
	for _, tc := range []struct {
		name string
		lp   string
		want error
	}{
		{"same fields", listpack(most, most, true), io.EOF},
		{"own fields", listpack(1, most, false), io.EOF},
		{"too many of the node", listpack(most+1, most+1, true), rdb.ErrLimit},
		{"too many of an entry", listpack(1, most+1, false), rdb.ErrLimit},
		{"far too many", listpack(20*most, 0, true), rdb.ErrLimit},
	} {
		data := slices.Concat([]byte("REDIS0004"), key(15, "k", length(1), str(streamID(1, 1)), packed(tc.lp), lengths(0, 0, 0, 0)), []byte{0xff})
		var err error
		used := allocated(func() { err = readAll(bytes.NewReader(data)) })
		if !errors.Is(err, tc.want) {
			t.Errorf("%s: %v, want %v", tc.name, err, tc.want)
		}
		if used > uint64(len(tc.lp))+64<<20 {
			t.Errorf("%s: %d bytes allocated for a listpack of %d", tc.name, used, len(tc.lp))
		}
	}
}

// TestLargeStrings reads strings around the sizes at which the reader changes
// its ways, as values and as fields, which are held while the value is read.
func TestLargeStrings(t *testing.T) {
	sizes := []int{63, 64, 16383, 16384, 64<<10 - 1, 64 << 10, 64<<10 + 1, 128 << 10, 128<<10 + 1, 300_000}
	text := func(c byte, n int) string { return strings.Repeat(string([]byte{c, c + 1, c + 2}), n/3+1)[:n] }
	var body [][]byte
	for _, n := range sizes {
		body = append(body, key(4, fmt.Sprint("hash", n), length(2), strs(text('a', n), text('d', n), "short", text('g', n))))
		body = append(body, key(5, fmt.Sprint("zset", n), length(1), str(text('a', n)), double(float64(n))))
		body = append(body, key(22, fmt.Sprint("valkey", n), length(2), strs(text('a', 100), text('d', n)), le(8, int64(n)), str(text('j', n)), packed(text('k', n)), le(8, -1)))
	}
	data := snapshot("VALKEY080", body...)
	for name, in := range map[string]io.Reader{"whole": bytes.NewReader(data), "halves": iotest.HalfReader(bytes.NewReader(data)), "idle": &idleReader{in: bytes.NewReader(data)}} {
		r := rdb.NewReader(in)
		r.Strict = true
		for _, n := range sizes {
			var got []rdb.Element
			for range 3 {
				if _, err := r.Next(); err != nil {
					t.Fatalf("%s, %d: %v", name, n, err)
				}
				for el, err := range r.Elements() {
					if err != nil {
						t.Fatalf("%s, %d: %v", name, n, err)
					}
					got = append(got, rdb.Element{Member: bytes.Clone(el.Member), Value: bytes.Clone(el.Value), Score: el.Score, ExpireAt: el.ExpireAt})
				}
			}
			want := []struct {
				member, value string
				score         float64
				expireAt      int64
			}{
				{text('a', n), text('d', n), 0, 0},
				{"short", text('g', n), 0, 0},
				{text('a', n), "", float64(n), 0},
				{text('a', 100), text('d', n), 0, int64(n)},
				{text('j', n), text('k', n), 0, 0},
			}
			if len(got) != len(want) {
				t.Fatalf("%s, %d: %d elements, want %d", name, n, len(got), len(want))
			}
			for i, w := range want {
				g := got[i]
				if string(g.Member) != w.member || w.value != "" && string(g.Value) != w.value || g.ExpireAt != w.expireAt || i == 2 && g.Score != w.score {
					t.Fatalf("%s, %d: element %d is %.20q (%d bytes) %.20q (%d bytes) %v %d", name, n, i, g.Member, len(g.Member), g.Value, len(g.Value), g.Score, g.ExpireAt)
				}
			}
		}
		if _, err := r.Next(); err != io.EOF {
			t.Fatalf("%s: %v", name, err)
		}
	}
}

// TestHugeString reads a string so long that its length is believed only after
// a part of it has come.
func TestHugeString(t *testing.T) {
	want := strings.Repeat("0123456789abcde", 18<<20/15)
	data := snapshot("REDIS0009", key(0, "k", str(want)), key(0, "next", str("v")))
	r := rdb.NewReader(bytes.NewReader(data))
	used := allocated(func() {
		if _, err := r.Next(); err != nil {
			t.Fatal(err)
		}
		if got, err := r.Bytes(); err != nil || string(got) != want {
			t.Errorf("%d bytes, %v", len(got), err)
		}
	})
	if used > 64<<20+uint64(len(want)) {
		t.Errorf("%d bytes allocated", used)
	}
	for _, want := range []error{nil, io.EOF} {
		if _, err := r.Next(); err != want {
			t.Fatal(err)
		}
	}
}

// TestHugeStringIsGivenUp looks at the memory in use after a huge string, plain
// or compressed, has been read and the next key is there.
func TestHugeStringIsGivenUp(t *testing.T) {
	const size = 24 << 20
	noise := make([]byte, size)
	for i := range noise {
		noise[i] = byte(i * i >> 8)
	}
	for name, value := range map[string][]byte{"plain": str(string(noise)), "compressed": lzfString(literals(noise), size)} {
		data := snapshot("REDIS0009", key(0, "k", value), key(0, "next", str("v")))
		r := rdb.NewReader(bytes.NewReader(data))
		inUse := func() uint64 {
			runtime.GC()
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			return m.HeapAlloc
		}
		before := inUse()
		if _, err := r.Next(); err != nil {
			t.Fatal(err)
		}
		if b, err := r.Bytes(); err != nil || !bytes.Equal(b, noise) {
			t.Fatal(err)
		}
		if during := inUse(); during < before+size {
			t.Errorf("%s: %d bytes in use, %d more while it is read: this test sees nothing", name, before, during-before)
		}
		if _, err := r.Next(); err != nil {
			t.Fatal(err)
		}
		if after := inUse(); after > before+4<<20 {
			t.Errorf("%s: %d bytes in use before, %d after", name, before, after)
		}
		runtime.KeepAlive(r)
		runtime.KeepAlive(data)
	}
}

// literals is LZF that compresses nothing.
func literals(b []byte) (out []byte) {
	for chunk := range slices.Chunk(b, 32) {
		out = append(append(out, byte(len(chunk)-1)), chunk...)
	}
	return out
}

// TestMemoryIsFlat reads a set of a million members, and what follows a string
// of 20 MB, in bounded memory.
func TestMemoryIsFlat(t *testing.T) {
	const members = 3_000_000
	set := length(members)
	for i := range members {
		set = append(set, str(fmt.Sprintf("member:%d", i))...)
	}
	data := snapshot("REDIS0009", key(2, "set", set))
	used := allocated(func() {
		if err := readAll(bytes.NewReader(data)); err != io.EOF {
			t.Error(err)
		}
	})
	// To look for duplicates takes 16 MiB at most, twice while that grows.
	if used > budget+32<<20 {
		t.Errorf("%d bytes allocated for a set of %d members", used, members)
	}
}

// TestLimits sets limits: what is over them is refused or passed over, and the
// reader can go on where that is promised.
func TestLimits(t *testing.T) {
	long := strings.Repeat("long", 1000)
	data := snapshot("REDIS0009",
		key(0, "big", str(long)), key(0, "lzf", packed(long)),
		key(1, "list", length(1000), bytes.Repeat(str("item"), 1000)),
		key(0, "small", str("ok")))
	r := rdb.NewReader(bytes.NewReader(data))
	r.Limits = rdb.Limits{MaxString: 100, MaxValue: 500}
	next := func() {
		t.Helper()
		if _, err := r.Next(); err != nil {
			t.Fatal(err)
		}
	}
	next()
	if _, err := r.Bytes(); !errors.Is(err, rdb.ErrLimit) {
		t.Errorf("Bytes of a long string: %v", err)
	}
	next()
	_, err := r.Value()
	var syn *rdb.SyntaxError
	if !errors.As(err, &syn) || !errors.Is(err, rdb.ErrLimit) || string(syn.Key) != "lzf" {
		t.Errorf("Value of a long compressed string: %v", err)
	}
	next()
	if _, err := r.Value(); !errors.Is(err, rdb.ErrLimit) {
		t.Errorf("Value of a long list: %v", err)
	}
	next()
	if v, err := r.Value(); err != nil || string(v.String) != "ok" {
		t.Errorf("Value after those over the limits: %q, %v", v.String, err)
	}
	if _, err := r.Next(); err != io.EOF {
		t.Error(err)
	}
}

// TestConsumed asks for values that are not there.
func TestConsumed(t *testing.T) {
	data := snapshot("REDIS0009", key(0, "k", str("v")), key(1, "l", length(1), str("a")))
	r := rdb.NewReader(bytes.NewReader(data))
	ask := func(when string) {
		t.Helper()
		if _, err := r.Bytes(); err != rdb.ErrConsumed {
			t.Errorf("Bytes %s: %v", when, err)
		}
		if _, err := r.Value(); err != rdb.ErrConsumed {
			t.Errorf("Value %s: %v", when, err)
		}
		n := 0
		for el, err := range r.Elements() {
			if n++; el != nil || err != rdb.ErrConsumed {
				t.Errorf("Elements %s: %v, %v", when, el, err)
			}
		}
		if n != 1 {
			t.Errorf("Elements %s: %d times, want once", when, n)
		}
	}
	ask("before Next")
	if _, err := r.Next(); err != nil {
		t.Fatal(err)
	}
	if b, err := r.Bytes(); string(b) != "v" || err != nil {
		t.Errorf("Bytes: %q, %v", b, err)
	}
	ask("after Bytes")
	if _, err := r.Next(); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Bytes(); err != rdb.ErrConsumed {
		t.Errorf("Bytes of a list: %v", err)
	}
	if v, err := r.Value(); len(v.Items) != 1 || err != nil {
		t.Errorf("Value: %v, %v", v, err)
	}
	ask("after Value")
	if _, err := r.Next(); err != io.EOF {
		t.Fatal(err)
	}
	if _, err := r.Value(); err != io.EOF {
		t.Errorf("Value after the end: %v", err)
	}
}

// TestAux has more aux fields than are kept.
func TestAux(t *testing.T) {
	var body [][]byte
	for i := range 1000 {
		body = append(body, append([]byte{250}, strs(fmt.Sprint("name", i), "v")...))
	}
	body = append(body, append([]byte{250}, strs("name1", "again")...), append([]byte{250}, strs("huge", strings.Repeat("x", 2<<20))...))
	r := rdb.NewReader(bytes.NewReader(snapshot("REDIS0009", body...)))
	seen := 0
	r.OnAux = func(name, value []byte) { seen++ }
	if _, err := r.Next(); err != io.EOF {
		t.Fatal(err)
	}
	if seen != 1002 {
		t.Errorf("OnAux was called %d times, want 1002", seen)
	}
	if v, ok := r.Aux("name1"); v != "again" || !ok {
		t.Errorf("name1 is %q, %v", v, ok)
	}
	for _, name := range []string{"name999", "huge", "nothing"} {
		if v, ok := r.Aux(name); ok {
			t.Errorf("%s is kept: %.10q", name, v)
		}
	}
}

// TestRest reads what follows a snapshot, as in an append-only file.
func TestRest(t *testing.T) {
	const tail = "*1\r\n$4\r\nPING\r\n"
	data := append(everyType("REDIS0012"), tail...)
	for name, in := range map[string]io.Reader{"whole": bytes.NewReader(data), "byte by byte": iotest.OneByteReader(bytes.NewReader(data)), "eof at once": iotest.DataErrReader(bytes.NewReader(data))} {
		r := rdb.NewReader(in)
		r.Strict = true
		for {
			if _, err := r.Next(); err == io.EOF {
				break
			} else if err != nil {
				t.Fatal(err)
			}
		}
		if got, err := io.ReadAll(r.Rest()); err != nil || string(got) != tail {
			t.Errorf("%s: rest is %q, %v", name, got, err)
		}
	}
}
