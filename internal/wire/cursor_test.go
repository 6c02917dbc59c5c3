package wire_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"triggerd/internal/wire"
)

func ExampleCursor() {
	b := wire.AppendText(nil, "stock:7")
	b = binary.AppendVarint(b, -3)
	in := wire.NewCursor(b)
	fmt.Println(in.Text(), in.Varint(), in.End())
	in = wire.NewCursor(b[:5])
	fmt.Printf("%q %d %v\n", in.Text(), in.Varint(), in.End())
	// Output:
	// stock:7 -3 <nil>
	// "" 0 cut short, or damaged, before byte 1
}

func TestCursor(t *testing.T) {
	at := time.Unix(1_700_000_000, 999_999_999)
	long := strings.Repeat("x", 300)
	b := []byte{7}
	b = binary.BigEndian.AppendUint32(b, 1<<31)
	b = binary.BigEndian.AppendUint64(b, 1<<63)
	b = binary.AppendUvarint(b, math.MaxUint64)
	b = binary.AppendVarint(b, math.MinInt64)
	b = binary.AppendVarint(b, -5)
	b = binary.AppendUvarint(b, 2)
	b = wire.AppendText(b, long)
	b = wire.AppendText(b, []byte("shared"))
	b = wire.AppendText(b, "")
	b = wire.AppendTime(b, at)
	b = wire.AppendTime(b, time.Time{})
	b = append(b, "rest"...)
	read := func(b []byte) (string, *wire.Cursor) {
		in := wire.NewCursor(b)
		s := fmt.Sprint(in.Byte(), in.Uint32(), in.Uint64(), in.Uvarint(), in.Varint(), in.Int(), in.Count(1), in.Text(), in.SharedText(), len(in.Bytes()),
			in.Time().Equal(at), in.Time().IsZero())
		return s, &in
	}
	got, in := read(b)
	want := fmt.Sprint(byte(7), uint32(1<<31), uint64(1<<63), uint64(math.MaxUint64), int64(math.MinInt64), -5, 2, long, "shared", 0, true, true)
	if got != want || in.Err() != nil || string(in.Rest()) != "rest" {
		t.Errorf("got %s, rest %q, error %v", got, in.Rest(), in.Err())
	}
	if err := in.End(); !errors.Is(err, wire.ErrDamaged) || !strings.Contains(err.Error(), "4 bytes are left") {
		t.Errorf("the end with a rest: %v", err)
	}
	for n := range len(b) - len("rest") {
		if _, in := read(b[:n]); !errors.Is(in.Err(), wire.ErrDamaged) || in.End() != in.Err() || in.Rest() != nil {
			t.Fatalf("cut at %d: error %v, rest %q", n, in.Err(), in.Rest())
		}
	}
}

// TestFirstErrorSticks checks that what comes after an error is zero, and does
// not hide it.
func TestFirstErrorSticks(t *testing.T) {
	mine := errors.New("not for me")
	in := wire.NewCursor([]byte{1, 2, 3})
	in.Byte()
	in.Fail(mine)
	in.Reject()
	if b, n, s := in.Byte(), in.Uvarint(), in.Text(); b != 0 || n != 0 || s != "" || !errors.Is(in.End(), mine) || !strings.Contains(in.Err().Error(), "byte 1") {
		t.Errorf("%d %d %q %v", b, n, s, in.End())
	}
}

func TestDamaged(t *testing.T) {
	for name, test := range map[string]struct {
		b    []byte
		read func(*wire.Cursor)
	}{
		"a uvarint of 11 bytes":       {bytes.Repeat([]byte{0xff}, 11), func(in *wire.Cursor) { in.Uvarint() }},
		"a varint of 11 bytes":        {bytes.Repeat([]byte{0xff}, 11), func(in *wire.Cursor) { in.Varint() }},
		"a length of a lot":           {binary.AppendUvarint(nil, math.MaxUint64), func(in *wire.Cursor) { in.Bytes() }},
		"more elements than fit":      {append(binary.AppendUvarint(nil, 3), 1, 2, 3, 4, 5), func(in *wire.Cursor) { in.Count(2) }},
		"a second of two":             {binary.AppendVarint(binary.AppendVarint(nil, 1), 1e9), func(in *wire.Cursor) { in.Time() }},
		"a second of less than none":  {binary.AppendVarint(binary.AppendVarint(nil, 1), -1), func(in *wire.Cursor) { in.Time() }},
		"a byte of an empty input":    {nil, func(in *wire.Cursor) { in.Byte() }},
		"eight bytes of seven":        {make([]byte, 7), func(in *wire.Cursor) { in.Uint64() }},
		"four bytes of three":         {make([]byte, 3), func(in *wire.Cursor) { in.Uint32() }},
		"a text of an empty input":    {nil, func(in *wire.Cursor) { in.SharedText() }},
		"a text of more than is left": {[]byte{5, 'a'}, func(in *wire.Cursor) { in.Text() }},
	} {
		in := wire.NewCursor(test.b)
		if test.read(&in); !errors.Is(in.Err(), wire.ErrDamaged) || in.Rest() != nil {
			t.Errorf("%s: error %v, rest %q", name, in.Err(), in.Rest())
		}
	}
}

// FuzzCursor reads anybody's bytes in any order, writes what was read, and
// reads that again.
func FuzzCursor(f *testing.F) {
	f.Add([]byte("\x01abc\x05hello\xff"), []byte{0, 1, 2, 3, 4})
	f.Add([]byte{0x80, 0x80, 0x80, 0, 1, 2}, []byte{7, 5, 6})
	f.Fuzz(func(t *testing.T, b, order []byte) {
		out, done := rewrite(t, b, order)
		again, doneAgain := rewrite(t, out, order[:done])
		if doneAgain != done || !bytes.Equal(again, out) {
			t.Fatalf("%d values are written %x, of which %d are read and written %x", done, out, doneAgain, again)
		}
	})
}

// rewrite reads values until one is damaged, and returns them written anew.
func rewrite(t *testing.T, b, order []byte) (out []byte, done int) {
	t.Helper()
	in := wire.NewCursor(b)
	for _, what := range order {
		left, end := len(in.Rest()), len(out)
		switch what % 8 {
		case 0:
			out = append(out, in.Byte())
		case 1:
			out = binary.AppendUvarint(out, in.Uvarint())
		case 2:
			out = binary.AppendVarint(out, in.Varint())
		case 3:
			out = wire.AppendText(out, in.Text())
		case 4:
			out = wire.AppendText(out, in.SharedText())
		case 5:
			out = wire.AppendTime(out, in.Time())
		case 6:
			out = binary.BigEndian.AppendUint32(out, in.Uint32())
		case 7:
			out = binary.BigEndian.AppendUint64(out, in.Uint64())
		}
		if in.Err() != nil {
			return out[:end], done
		}
		if read := left - len(in.Rest()); read < len(out)-end {
			t.Fatalf("%d bytes read, which are %d when written", read, len(out)-end)
		}
		done++
	}
	return out, done
}
