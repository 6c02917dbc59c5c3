package servers

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
)

func parse(s string) (any, error) {
	return readReply(bufio.NewReaderSize(strings.NewReader(s), maxLine), maxDepth)
}

func TestReadReply(t *testing.T) {
	tests := map[string]any{
		"+OK\r\n":                 "OK",
		"+\r\n":                   "",
		"-ERR no\r\n":             ReplyError("ERR no"),
		":-12\r\n":                int64(-12),
		"$5\r\na\r\n\x00\xff\r\n": "a\r\n\x00\xff",
		"$0\r\n\r\n":              "",
		"$-1\r\n":                 nil,
		"*-1\r\n":                 nil,
		"*0\r\n":                  []any{},
		"*4\r\n:1\r\n-E x\r\n$-1\r\n*1\r\n+a\r\n": []any{int64(1), ReplyError("E x"), nil, []any{"a"}},
	}
	for in, want := range tests {
		if got, err := parse(in); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%q: got %#v, %v, want %#v", in, got, err, want)
		}
	}
}

func TestReadReplyErrors(t *testing.T) {
	tests := map[string]struct{ in, want string }{
		"nothing":          {"", "EOF"},
		"half a line":      {"+OK", "unexpected EOF"},
		"empty line":       {"\r\n", "empty line"},
		"no CR":            {"+OK\n", "does not end with CRLF"},
		"unknown type":     {"%1\r\n", "unknown reply type '%'"},
		"no number":        {":x\r\n", "invalid syntax"},
		"negative length":  {"$-2\r\n", "length -2"},
		"huge string":      {"$999999999999\r\nabc", "at most 536870912"},
		"half a string":    {"$500000000\r\nabc", "unexpected EOF"},
		"string too long":  {"$1\r\nabc\r\n", "does not end with CRLF"},
		"half an array":    {"*2000000000\r\n:1\r\n", "unexpected EOF"},
		"too deep":         {strings.Repeat("*1\r\n", maxDepth+1), "more than 16 deep"},
		"line without end": {"+" + strings.Repeat("x", 2*maxLine), "buffer full"},
	}
	for name, tt := range tests {
		if v, err := parse(tt.in); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v, %v, want %q", name, v, err, tt.want)
		}
	}
}

func TestClientPipelines(t *testing.T) {
	here, there := net.Pipe()
	c := NewClient(here)
	defer c.Close()
	const want = "*2\r\n$3\r\nGET\r\n$2\r\n\r\n\r\n*1\r\n$1\r\nX\r\n"
	got := make([]byte, len(want))
	go func() {
		io.ReadFull(there, got)
		io.WriteString(there, "$1\r\na\r\n-ERR X\r\n+half")
		there.Close()
	}()
	for _, args := range [][]string{{"GET", "\r\n"}, {"X"}} {
		if err := c.Send(args...); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.Flush(); err != nil {
		t.Fatal(err)
	}
	if v, err := c.Receive(); v != "a" || err != nil {
		t.Errorf("first reply: got %v, %v, want a", v, err)
	}
	if v, err := c.Receive(); v != nil || err != ReplyError("ERR X") {
		t.Errorf("second reply: got %v, %v, want ERR X", v, err)
	}
	if v, err := c.Receive(); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("half a reply: got %v, %v, want an unexpected EOF", v, err)
	}
	if string(got) != want {
		t.Errorf("sent %q, want %q", got, want)
	}
}

func TestClientTimesOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		here, there := net.Pipe()
		defer there.Close()
		c := NewClient(here)
		defer c.Close()
		var timeout net.Error
		if v, err := c.Receive(); !errors.As(err, &timeout) || !timeout.Timeout() {
			t.Errorf("got %v, %v, want a timeout", v, err)
		}
	})
}

// FuzzReadReply checks that what is read is what was written: the reply,
// written again, takes exactly the bytes that were consumed.
func FuzzReadReply(f *testing.F) {
	for _, s := range []string{"+OK\r\n", "-E\r\n", ":1\r\n", "$3\r\na\r\n\r\n", "$-1\r\n", "*2\r\n*0\r\n*-1\r\n", "*1\r\n"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, in string) {
		src := strings.NewReader(in)
		r := bufio.NewReaderSize(src, maxLine)
		v, err := readReply(r, maxDepth)
		if err != nil {
			return
		}
		again, err := parse(encode(v))
		if err != nil || !reflect.DeepEqual(again, v) {
			t.Errorf("%q: got %#v, written and read again %#v, %v", in, v, again, err)
		}
		consumed := len(in) - src.Len() - r.Buffered()
		if _, err := parse(in[:consumed]); err != nil {
			t.Errorf("%q: its own %d bytes: %v", in, consumed, err)
		}
		if _, err := parse(in[:consumed-1]); err == nil {
			t.Errorf("%q: it is whole with a byte less than the %d it took", in, consumed)
		}
	})
}

// encode writes a reply that Receive could have returned.
func encode(v any) string {
	switch v := v.(type) {
	case nil:
		return "$-1\r\n"
	case int64:
		return fmt.Sprintf(":%d\r\n", v)
	case string:
		return fmt.Sprintf("$%d\r\n%s\r\n", len(v), v)
	case ReplyError:
		return "-" + string(v) + "\r\n"
	case []any:
		s := fmt.Sprintf("*%d\r\n", len(v))
		for _, e := range v {
			s += encode(e)
		}
		return s
	}
	panic(fmt.Sprintf("unknown reply %T", v))
}
