package resp_test

import (
	"bytes"
	"errors"
	"io"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"triggerd/internal/resp"
)

type command struct {
	args   []string
	offset int64 // just after it
}

// readAll reads commands until an error, and returns both.
func readAll(src io.Reader, lim resp.Limits) (cmds []command, err error) {
	r := resp.NewReader(src, lim)
	for {
		args, err := r.ReadCommand()
		if err != nil {
			return cmds, err
		}
		c := command{offset: r.Offset()}
		for _, a := range args {
			c.args = append(c.args, string(a))
		}
		cmds = append(cmds, c)
	}
}

const mixed = "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$4\r\n\r\n\x00\xff\r\n" + // binary
	"\n" + // keepalive
	"PING\r\n" + // inline
	"*1\r\n$4\r\nping\r\n" +
	"set \"a b\" 'c\\'d' \"\\x00\\n\"\n" +
	"*2\r\n$0\r\n\r\n$0\r\n\r\n" + // empty arguments
	"*0\r\n" +
	"*-1\r\n"

var mixedCommands = []command{
	{[]string{"SET", "k", "\r\n\x00\xff"}, 30},
	{nil, 31},
	{[]string{"PING"}, 37},
	{[]string{"ping"}, 51},
	{[]string{"set", "a b", "c'd", "\x00\n"}, 51 + 26},
	{[]string{"", ""}, 77 + 16},
	{nil, 93 + 4},
	{nil, 97 + 5},
}

func TestReadCommand(t *testing.T) {
	got, err := readAll(strings.NewReader(mixed), resp.Limits{})
	if err != io.EOF {
		t.Fatalf("error = %v, want io.EOF", err)
	}
	checkCommands(t, got, mixedCommands)
}

// Every way to cut the stream into two, and into single bytes, gives the same.
func TestReadCommandSplitAnywhere(t *testing.T) {
	for i := range len(mixed) {
		src := io.MultiReader(strings.NewReader(mixed[:i]), strings.NewReader(mixed[i:]))
		got, err := readAll(src, resp.Limits{})
		if err != io.EOF {
			t.Fatalf("split at %d: error = %v, want io.EOF", i, err)
		}
		checkCommands(t, got, mixedCommands)
	}
	got, err := readAll(iotest.OneByteReader(strings.NewReader(mixed)), resp.Limits{})
	if err != io.EOF {
		t.Fatalf("one byte at a time: error = %v, want io.EOF", err)
	}
	checkCommands(t, got, mixedCommands)
}

// A source that ends inside a command is an unexpected end, and the offset
// stays at the end of the last whole command: that is where to resume.
func TestReadCommandCut(t *testing.T) {
	ends := map[int64]bool{0: true}
	for _, c := range mixedCommands {
		ends[c.offset] = true
	}
	for i := range len(mixed) {
		r := resp.NewReader(strings.NewReader(mixed[:i]), resp.Limits{})
		var err error
		for err == nil {
			_, err = r.ReadCommand()
		}
		want := io.ErrUnexpectedEOF
		if ends[int64(i)] {
			want = io.EOF
		}
		if err != want {
			t.Errorf("cut at %d: error = %v, want %v", i, err, want)
		}
		if !ends[r.Offset()] {
			t.Errorf("cut at %d: offset %d is inside a command", i, r.Offset())
		}
	}
}

func TestReadCommandBad(t *testing.T) {
	lim := resp.Limits{Line: 20, Bulk: 10, Args: 4, Command: 40}
	tests := []struct {
		name, in string
		offset   int64 // of the wrong byte
	}{
		{"letter in count", "*x\r\n", 1},
		{"no count", "*\r\n", 1},
		{"count of too many digits", "*" + strings.Repeat("1", 30), 1 + 18},
		{"count without LF", "*1\rx", 3},
		{"too many arguments", "*5\r\n", 1},
		{"a terabyte of arguments", "*1099511627776\r\n", 1},
		{"argument without length", "*1\r\nPING\r\n", 4},
		{"negative length", "*1\r\n$-1\r\n", 4},
		{"letter in length", "*1\r\n$1a\r\n", 6},
		{"length of 2^40", "*1\r\n$1099511627776\r\n", 5},
		{"argument longer than said", "*1\r\n$2\r\nPING\r\n", 10},
		{"argument without CRLF", "*1\r\n$2\r\nPI\n\r", 10},
		{"command too long", "*4\r\n$9\r\n123456789\r\n$9\r\n123456789\r\n$9\r\n", 38},
		{"inline too long", strings.Repeat("a", 30) + "\r\n", 20},
		{"inline without end", strings.Repeat("a", 30), 20},
		{"inline with open quotes", "set \"a\r\n", 0},
		{"inline with text behind quotes", "set 'a'b\r\n", 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for _, before := range []string{"", "*1\r\n$4\r\nPING\r\n"} {
				_, err := readAll(strings.NewReader(before+tt.in), lim)
				var pe *resp.ProtocolError
				if !errors.As(err, &pe) {
					t.Fatalf("error = %v, want a ProtocolError", err)
				}
				if want := int64(len(before)) + tt.offset; pe.Offset != want {
					t.Errorf("offset = %d, want %d (%v)", pe.Offset, want, err)
				}
			}
		})
	}
}

func TestReadLineThenRawThenCommand(t *testing.T) {
	const in = "+FULLRESYNC abc 42\r\n$5\nhello*1\r\n$4\r\nPING\r\n"
	for _, src := range []io.Reader{strings.NewReader(in), iotest.OneByteReader(strings.NewReader(in))} {
		r := resp.NewReader(src, resp.Limits{})
		for _, want := range []string{"+FULLRESYNC abc 42", "$5"} {
			if line, err := r.ReadLine(); string(line) != want || err != nil {
				t.Fatalf("ReadLine = %q, %v, want %q", line, err, want)
			}
		}
		raw := make([]byte, 5)
		if _, err := io.ReadFull(r, raw); string(raw) != "hello" || err != nil {
			t.Fatalf("Read = %q, %v", raw, err)
		}
		if args, err := r.ReadCommand(); len(args) != 1 || string(args[0]) != "PING" || err != nil {
			t.Fatalf("ReadCommand = %q, %v", args, err)
		}
		if r.Offset() != int64(len(in)) {
			t.Errorf("Offset = %d, want %d", r.Offset(), len(in))
		}
	}
}

// A command larger than the buffer is read whole, and the memory it took is
// given back.
func TestReadCommandLarge(t *testing.T) {
	big := strings.Repeat("0123456789", 3<<20)
	stream := resp.AppendCommand(nil, "SET", "k", big)
	stream = resp.AppendCommand(stream, "PING")
	got, err := readAll(iotest.HalfReader(bytes.NewReader(stream)), resp.Limits{})
	if err != io.EOF {
		t.Fatalf("error = %v, want io.EOF", err)
	}
	checkCommands(t, got, []command{
		{[]string{"SET", "k", big}, int64(len(stream)) - 14},
		{[]string{"PING"}, int64(len(stream))},
	})
}

// The memory of a large command is given back while commands come one at a time.
func TestLargeIsGivenBack(t *testing.T) {
	const size = 64 << 20
	stream := resp.AppendCommand(nil, "SET", "k", strings.Repeat("x", size))
	stream = append(stream, strings.Repeat("*2\r\n$3\r\nDEL\r\n$1\r\nk\r\n", 100)...)
	large := len(stream)
	var small []byte
	for range 100 {
		small = resp.AppendCommand(small, "INCR", "n")
	}
	one := len(small) / 100
	r := resp.NewReader(io.MultiReader(bytes.NewReader(stream), iotest.OneByteReader(bytes.NewReader(small))), resp.Limits{})
	read := func(until int) {
		for r.Offset() < int64(until) {
			if _, err := r.ReadCommand(); err != nil {
				t.Fatal(err)
			}
		}
	}
	heap := func() int {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int(m.HeapAlloc)
	}
	read(large)
	before := heap()
	read(large + one)
	if freed := before - heap(); freed < size {
		t.Errorf("%d bytes are given back, want %d at least", freed, size)
	}
	runtime.KeepAlive(r)
	runtime.KeepAlive(stream)
}

func TestFillNoProgress(t *testing.T) {
	r := resp.NewReader(iotest.ErrReader(nil), resp.Limits{})
	if err := r.Fill(); err != io.ErrNoProgress {
		t.Errorf("Fill = %v, want io.ErrNoProgress", err)
	}
}

func checkCommands(t *testing.T, got, want []command) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%d commands, want %d", len(got), len(want))
	}
	for i := range got {
		if !slices.Equal(got[i].args, want[i].args) || got[i].offset != want[i].offset {
			t.Errorf("command %d = %.100q at %d, want %.100q at %d", i, got[i].args, got[i].offset, want[i].args, want[i].offset)
		}
	}
}

// FuzzReadCommand checks that chunking never matters, that what was read,
// written and read again is the same, and that offsets add up.
func FuzzReadCommand(f *testing.F) {
	f.Add([]byte(mixed))
	f.Add([]byte("*2\r\n$6\r\nSELECT\r\n$1\r\n0\r\n*1\r\n$5\r\nMULTI\r\n"))
	f.Add([]byte("*1\r\n$1099511627776\r\n"))
	f.Add([]byte("set 'a\\'b' \"\\x4\"\n"))
	f.Fuzz(func(t *testing.T, in []byte) {
		lim := resp.Limits{Line: 100, Bulk: 1000, Args: 100, Command: 2000}
		whole, err := readAll(bytes.NewReader(in), lim)
		bytewise, err1 := readAll(iotest.OneByteReader(bytes.NewReader(in)), lim)
		if (err == nil) != (err1 == nil) || err.Error() != err1.Error() {
			t.Fatalf("whole: %v, byte by byte: %v", err, err1)
		}
		checkCommands(t, bytewise, whole)
		var pe *resp.ProtocolError
		if errors.As(err, &pe) && (pe.Offset < 0 || pe.Offset > int64(len(in))) {
			t.Fatalf("offset %d of the error is outside of %d bytes", pe.Offset, len(in))
		}
		var again []byte
		var want []command
		for _, c := range whole {
			if len(c.args) > 0 {
				again = resp.AppendCommand(again, c.args...)
				want = append(want, command{c.args, int64(len(again))})
			}
		}
		got, err := readAll(bytes.NewReader(again), resp.Limits{})
		if err != io.EOF {
			t.Fatalf("reading what was written: %v", err)
		}
		checkCommands(t, got, want)
	})
}

// BenchmarkReadCommand/floor is the cost of touching the bytes once; the
// reader is to be compared with it.
func BenchmarkReadCommand(b *testing.B) {
	var stream []byte
	for range 10000 {
		stream = resp.AppendCommand(stream, "SET", "key:000000000042", "xxx")
	}
	b.Run("reader", func(b *testing.B) {
		b.SetBytes(int64(len(stream)))
		b.ReportAllocs()
		src := bytes.NewReader(nil)
		r := resp.NewReader(src, resp.Limits{})
		n := 0
		for b.Loop() {
			src.Reset(stream)
			for {
				args, err := r.ReadCommand()
				if err != nil {
					break
				}
				n += len(args)
			}
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(n/3), "ns/command")
	})
	b.Run("floor", func(b *testing.B) {
		b.SetBytes(int64(len(stream)))
		lines := 0
		for b.Loop() {
			for i := 0; i < len(stream); {
				i += bytes.IndexByte(stream[i:], '\n') + 1
				lines++
			}
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(lines/7), "ns/command")
	})
}

// A command of very many arguments takes memory for its bytes and for one list
// of them.
func TestReadCommandOfManyArguments(t *testing.T) {
	const n = 1 << 20
	words := slices.Repeat([]string{"DEL", "key:1234567", ""}, n/3)
	stream := resp.AppendCommand(resp.AppendCommand(nil, words...), "PING")
	r := resp.NewReader(bytes.NewReader(stream), resp.Limits{})
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	args, err := r.ReadCommand()
	runtime.ReadMemStats(&after)
	if err != nil || !slices.EqualFunc(args, words, func(a []byte, b string) bool { return string(a) == b && cap(a) == len(a) }) {
		t.Fatalf("%d arguments, want %d: %v", len(args), len(words), err)
	}
	if allocated := int(after.TotalAlloc - before.TotalAlloc); allocated > 5*len(stream)+30*n {
		t.Errorf("%d bytes with %d arguments took %d", len(stream), len(args), allocated)
	}
	if args, err = r.ReadCommand(); err != nil || len(args) != 1 || string(args[0]) != "PING" {
		t.Errorf("the next command is %q, %v", args, err)
	}
}
