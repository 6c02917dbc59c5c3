package rdb_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc64"
	"math"
	"slices"
	"strings"
)

// This file writes snapshots, so that tests can have the formats that no server
// at hand writes any more or yet, and ones that no server would write.

func length(n uint64) []byte {
	switch {
	case n < 1<<6:
		return []byte{byte(n)}
	case n < 1<<14:
		return []byte{0x40 | byte(n>>8), byte(n)}
	case n < 1<<32:
		return binary.BigEndian.AppendUint32([]byte{0x80}, uint32(n))
	}
	return binary.BigEndian.AppendUint64([]byte{0x81}, n)
}

func lengths(ns ...uint64) (b []byte) {
	for _, n := range ns {
		b = append(b, length(n)...)
	}
	return b
}

func str(s string) []byte { return append(length(uint64(len(s))), s...) }

func strs(ss ...string) (b []byte) {
	for _, s := range ss {
		b = append(b, str(s)...)
	}
	return b
}

// packed is s, LZF compressed.
func packed(s string) []byte { return lzfString(compress([]byte(s)), uint64(len(s))) }

func lzfString(data []byte, plain uint64) []byte {
	return slices.Concat([]byte{0xc3}, length(uint64(len(data))), length(plain), data)
}

// compress is a simple LZF compressor.
func compress(in []byte) (out []byte) {
	seen := map[string]int{}
	literal := 0
	flush := func(end int) {
		for literal < end {
			n := min(32, end-literal)
			out = append(out, byte(n-1))
			out = append(out, in[literal:literal+n]...)
			literal += n
		}
	}
	for i := 0; i < len(in); {
		if i+3 > len(in) {
			break
		}
		at, ok := seen[string(in[i:i+3])]
		seen[string(in[i:i+3])] = i
		dist := i - at
		if !ok || dist > 1<<13 {
			i++
			continue
		}
		n := 3
		for n < 264 && i+n < len(in) && in[at+n] == in[i+n] {
			n++
		}
		flush(i)
		if dist--; n-2 < 7 {
			out = append(out, byte((n-2)<<5|dist>>8), byte(dist))
		} else {
			out = append(out, byte(7<<5|dist>>8), byte(n-2-7), byte(dist))
		}
		i += n
		literal = i
	}
	flush(len(in))
	return out
}

func le(size int, v int64) []byte {
	return binary.LittleEndian.AppendUint64(nil, uint64(v))[:size:size]
}

func double(f float64) []byte { return le(8, int64(math.Float64bits(f))) }

// lpEntry encodes v, an int or a string, with the encoding a server takes.
func lpEntry(v any) []byte {
	var b []byte
	switch v := v.(type) {
	case int:
		switch n := int64(v); {
		case n >= 0 && n < 128:
			b = []byte{byte(n)}
		case n >= -1<<12 && n < 1<<12:
			b = []byte{0xc0 | byte(n>>8)&0x1f, byte(n)}
		case n >= -1<<15 && n < 1<<15:
			b = append([]byte{0xf1}, le(2, n)...)
		case n >= -1<<23 && n < 1<<23:
			b = append([]byte{0xf2}, le(3, n)...)
		case n >= -1<<31 && n < 1<<31:
			b = append([]byte{0xf3}, le(4, n)...)
		default:
			b = append([]byte{0xf4}, le(8, n)...)
		}
	case string:
		switch n := len(v); {
		case n < 64:
			b = []byte{0x80 | byte(n)}
		case n < 4096:
			b = []byte{0xe0 | byte(n>>8), byte(n)}
		default:
			b = append([]byte{0xf0}, le(4, int64(n))...)
		}
		b = append(b, v...)
	}
	return append(b, backLen(len(b))...)
}

// backLen is lpEncodeBacklen of listpack.c.
func backLen(n int) (b []byte) {
	size := 1
	for _, most := range []int{127, 16382, 2097150, 268435454} {
		if n > most {
			size++
		}
	}
	for i := size - 1; i >= 0; i-- {
		c := byte(n>>(7*i)) & 127
		if i < size-1 {
			c |= 128
		}
		b = append(b, c)
	}
	return b
}

func lpRaw(count int, entries ...[]byte) string {
	body := bytes.Join(entries, nil)
	return string(slices.Concat(le(4, int64(len(body)+7)), le(2, int64(count)), body, []byte{0xff}))
}

func listpack(entries ...any) string {
	var raw [][]byte
	for _, e := range entries {
		raw = append(raw, lpEntry(e))
	}
	return lpRaw(min(len(raw), 65535), raw...)
}

func ziplist(entries ...any) string {
	var body []byte
	last, prev := 10, 0
	for _, e := range entries {
		last = 10 + len(body)
		start := len(body)
		if prev < 254 {
			body = append(body, byte(prev))
		} else {
			body = append(append(body, 254), le(4, int64(prev))...)
		}
		switch v := e.(type) {
		case int:
			switch n := int64(v); {
			case n >= 0 && n <= 12:
				body = append(body, 0xf1+byte(n))
			case n >= -128 && n < 128:
				body = append(body, 0xfe, byte(n))
			case n >= -1<<15 && n < 1<<15:
				body = append(append(body, 0xc0), le(2, n)...)
			case n >= -1<<23 && n < 1<<23:
				body = append(append(body, 0xf0), le(3, n)...)
			case n >= -1<<31 && n < 1<<31:
				body = append(append(body, 0xd0), le(4, n)...)
			default:
				body = append(append(body, 0xe0), le(8, n)...)
			}
		case string:
			switch n := len(v); {
			case n < 64:
				body = append(body, byte(n))
			case n < 1<<14:
				body = append(body, 0x40|byte(n>>8), byte(n))
			default:
				body = binary.BigEndian.AppendUint32(append(body, 0x80), uint32(n))
			}
			body = append(body, v...)
		}
		prev = len(body) - start
	}
	return string(slices.Concat(le(4, int64(len(body)+11)), le(4, int64(last)), le(2, int64(min(len(entries), 65535))), body, []byte{0xff}))
}

func intset(size int, vs ...int64) string {
	b := slices.Concat(le(4, int64(size)), le(4, int64(len(vs))))
	for _, v := range vs {
		b = append(b, le(size, v)...)
	}
	return string(b)
}

// zipmap has one unused byte behind every value.
func zipmap(pairs ...string) string {
	b := []byte{byte(min(254, len(pairs)/2))}
	for i, s := range pairs {
		if len(s) < 254 {
			b = append(b, byte(len(s)))
		} else {
			b = append(append(b, 254), le(4, int64(len(s)))...)
		}
		if i%2 == 1 {
			b = append(append(append(b, 1), s...), 0xaa)
		} else {
			b = append(b, s...)
		}
	}
	return string(append(b, 0xff))
}

func streamID(ms, seq uint64) string {
	return string(binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(nil, ms), seq))
}

// key is a key: its type, name and value.
func key(typ byte, name string, value ...[]byte) []byte {
	return slices.Concat([]byte{typ}, str(name), bytes.Join(value, nil))
}

// snapshot is a whole file: from version 5 on with its checksum.
func snapshot(magic string, body ...[]byte) []byte {
	b := slices.Concat([]byte(magic), bytes.Join(body, nil), []byte{0xff})
	if magic < "REDIS0005" {
		return b
	}
	return binary.LittleEndian.AppendUint64(b, checksum(b))
}

func checksum(b []byte) uint64 {
	return ^crc64.Update(^uint64(0), crc64.MakeTable(0x95AC9329AC4BC9B5), b)
}

// A stream of three entries, of which one is deleted, in one listpack.
var streamListpack = listpack(
	2, 1, 2, "name", 7, 0,
	2, 0, 0, "one", 100000, 5,
	3, 5, 0, "gone", "gone", 5,
	0, 10, 3, 1, "other", -5, 6,
)

// streamValue is a value of the stream type typ, with all that it can have.
func streamValue(typ byte) []byte {
	const t1, t2 = 1700000000000, 1700000000001
	b := slices.Concat(length(1), str(streamID(5, 1)), str(streamListpack), lengths(2, 15, 4))
	if typ >= 19 {
		b = append(b, lengths(5, 1, 10, 1, 3)...)
	}
	b = append(b, slices.Concat(length(1), str("group"), lengths(15, 4))...)
	if typ >= 19 {
		b = append(b, length(2)...)
	}
	b = append(b, slices.Concat(length(2),
		[]byte(streamID(5, 1)), le(8, t1), length(3),
		[]byte(streamID(15, 4)), le(8, t2), length(1),
		length(1), str("consumer"), le(8, t1))...)
	if typ >= 21 {
		b = append(b, le(8, t2)...)
	}
	if typ < 27 {
		b = append(b, slices.Concat(length(2), []byte(streamID(5, 1)), []byte(streamID(15, 4)))...)
	} else {
		b = append(b, slices.Concat(length(1), []byte(streamID(5, 1)), length(1), []byte(streamID(15, 4)))...)
	}
	if typ >= 26 {
		b = append(b, slices.Concat(lengths(100, 50, 1), str("producer"), length(1), str("iid"), lengths(5, 1), lengths(7, 8))...)
	}
	return b
}

// everyType has a key of each value type, and each opcode, that a snapshot with
// this magic can have or that is read there all the same.
func everyType(magic string) []byte {
	long := strings.Repeat("long text ", 30)
	body := [][]byte{
		append([]byte{250}, strs("redis-ver", "255.255.255")...),
		append([]byte{250}, slices.Concat(str("repl-stream-db"), []byte{0xc0, 3})...),
		append([]byte{245}, str("#!lua name=mylib\n")...),
		append([]byte{246}, slices.Concat(strs("old", "LUA"), length(1), strs("described", "code"))...),
		append([]byte{247}, slices.Concat(length(moduleID("testmodul", 1)), lengths(2, 1), lengths(5), str("aux"), length(0))...),
		append([]byte{254}, length(3)...),
		append([]byte{251}, lengths(40, 5)...),
		append([]byte{244}, lengths(1, 2, 3)...),
		append([]byte{107}, length(9)...),
		append([]byte{253}, le(4, 2000000000)...), key(0, "string", str("value")),
		append([]byte{252}, le(8, 4102444800000)...), []byte{249, 200}, key(0, "int8", []byte{0xc0, 0x80}),
		append([]byte{248}, length(1000)...), key(0, "int16", []byte{0xc1, 0x00, 0x80}),
		key(0, "int32", []byte{0xc2, 0xff, 0xff, 0xff, 0x7f}),
		key(0, "lzf", packed(long)),
		key(0, "", str("")),
		key(0, long, str("long key")),
		key(1, "list", length(2), str("a"), packed(long)),
		key(2, "set", length(3), strs("a", "b"), []byte{0xc0, 5}),
		key(3, "zset", length(4), str("a"), []byte("\x031.5"), str("b"), []byte{254}, str("c"), []byte{255}, str("d"), []byte("\x02-0")),
		key(4, "hash", length(2), strs("f", "v"), packed(long), packed(long+long)),
		key(5, "zset2", length(2), str("a"), double(1.25), str("b"), double(math.Inf(-1))),
		key(7, "module", length(moduleID("testmodul", 7)), lengths(1), length(1<<64-5), lengths(2, 1<<40), length(3), le(4, int64(math.Float32bits(1.5))), length(4), double(2.5), length(5), str("part"), length(0)),
		key(9, "zipmap", str(zipmap("f", "v", "long", long))),
		key(10, "list-ziplist", str(ziplist("a", 0, 12, -100, 30000, -1<<20, 1<<30, 1<<40, long, "z"))),
		key(11, "intset16", str(intset(2, -300, 0, 300))),
		key(11, "intset32", str(intset(4, -1<<30, 7, 1<<30))),
		key(11, "intset64", packed(intset(8, -1<<60, 7, 1<<60))),
		key(12, "zset-ziplist", str(ziplist("a", "1.5", 7, 3, "i", "inf"))),
		key(13, "hash-ziplist", packed(ziplist("f", "v", 7, 3, "long", long))),
		key(14, "quicklist", length(2), str(ziplist("a", 1)), packed(ziplist("b", long))),
		key(15, "stream", streamValue(15)),
		key(16, "hash-listpack", str(listpack("f", "v", 7, -3, "long", long))),
		key(17, "zset-listpack", packed(listpack("a", "-1.5", 1<<40, 3))),
		key(18, "quicklist2", length(2), length(2), str(listpack("a", 1, -70000, 1<<33, long)), length(1), str("plain")),
		key(19, "stream2", streamValue(19)),
		key(20, "set-listpack", str(listpack("a", 5, 500, 5000))),
		key(21, "stream3", streamValue(21)),
		key(23, "hash-listpack-ex-rc", str(listpack("f", "v", 0, "g", "w", 4102444800000))),
		key(24, "hash-metadata", le(8, 1000), length(2), length(0), strs("f", "v"), length(11), strs("g", "w")),
		key(25, "hash-listpack-ex", le(8, 4102444800000), str(listpack("f", "v", 0, "g", "w", 4102444800000))),
		key(26, "stream4", streamValue(26)),
		key(27, "stream5", streamValue(27)),
		key(28, "array", length(4), lengths(1, 9), lengths(0, 0), str("a"), lengths(3, 1), le(8, -5), lengths(4, 2), double(1.5), lengths(1<<40, 3), str("b")),
	}
	if strings.HasPrefix(magic, "VALKEY") {
		body = append(body,
			append([]byte{243}, slices.Concat(str(strings.Repeat("j", 40)), length(2), lengths(0, 5, 7, 16383))...),
			key(22, "hash-valkey", length(2), strs("f", "v"), le(8, -1), strs("g", "w"), le(8, 4102444800000)))
	} else {
		body = append(body,
			append([]byte{243}, slices.Concat(length(1), []byte("spec"), lengths(2, 7, 5), str("meta"), length(0))...),
			key(22, "hash-rc", length(2), length(0), strs("f", "v"), length(4102444800000), strs("g", "w")))
	}
	return snapshot(magic, body...)
}

// moduleID is a module's name and encoding version as module.c has them.
func moduleID(name string, version uint64) (id uint64) {
	const charset = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	for i := range 9 {
		at := strings.IndexByte(charset, name[i])
		if at < 0 {
			panic(fmt.Sprintf("module name %q", name))
		}
		id = id<<6 | uint64(at)
	}
	return id<<10 | version
}
