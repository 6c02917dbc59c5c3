package redistest_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"

	"triggerd/internal/redistest"
)

func TestPrimaryPlaysScripts(t *testing.T) {
	reached := make(chan struct{})
	p := redistest.StartPrimary(t,
		redistest.Script{
			redistest.Expect("ping"),
			redistest.Send("+PONG\r\n"),
			redistest.Expect("REPLCONF", "listening-port", "*"),
			redistest.SendChunks(1, "+OK\r\n"),
			redistest.Expect("REPLCONF", "..."),
			redistest.ExpectAck(20),
			redistest.Reset(),
		},
		redistest.Script{
			redistest.Expect("PSYNC", "?", "-1"),
			redistest.Send("last words"),
		},
		redistest.Script{
			redistest.Expect("PING"),
			redistest.Call(func(context.Context) error { close(reached); return nil }),
			redistest.Hang(),
		},
	)
	conn := dial(t, p.Addr)
	io.WriteString(conn, "*1\r\n$4\r\nPING\r\n")
	read(t, conn, 7)
	io.WriteString(conn, "REPLCONF ACK 5\r\n*3\r\n$8\r\nREPLCONF\r\n$14\r\nlistening-port\r\n$1\r\n7\r\n")
	read(t, conn, 5)
	io.WriteString(conn, "replconf capa eof capa psync2\r\nREPLCONF ACK 0\r\nREPLCONF ACK 20\r\n")
	if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("Reset: got %v, want ECONNRESET", err)
	}

	conn = dial(t, p.Addr)
	io.WriteString(conn, "PSYNC ? -1\r\nREPLCONF ACK 0\r\n") // unread, but must not turn the end into a reset
	if got, err := io.ReadAll(conn); string(got) != "last words" || err != nil {
		t.Errorf("got %q, %v; want last words and EOF", got, err)
	}
	conn.Close()

	conn = dial(t, p.Addr)
	io.WriteString(conn, "PING\r\n")
	<-reached
	p.Wait()
	if _, err := net.Dial("tcp", p.Addr); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("a fourth connection: got %v, want ECONNREFUSED", err)
	}
}

func TestScriptReportsDeviations(t *testing.T) {
	tests := map[string]struct {
		script redistest.Script
		peer   string
		want   []string
	}{
		"another command": {
			redistest.Script{redistest.Expect("PING"), redistest.Expect("AUTH", "*")},
			"PING\r\n*2\r\n$5\r\nPSYNC\r\n$2\r\na\x00\r\n",
			[]string{"step 2 of 2, expect AUTH *:", "got:  PSYNC \"a\\x00\"\nwant: AUTH *", "\n\t< PING\n"},
		},
		"too few arguments":  {redistest.Script{redistest.Expect("A", "b")}, "A\r\n", []string{"got:  A\nwant: A b"}},
		"too many arguments": {redistest.Script{redistest.Expect("A")}, "A b\r\n", []string{"got:  A b\nwant: A"}},
		"case of arguments":  {redistest.Script{redistest.Expect("A", "b")}, "a B\r\n", []string{"got:  a B\nwant: A b"}},
		"ack too high":       {redistest.Script{redistest.ExpectAck(3)}, "REPLCONF ACK 4\r\n", []string{"got:  REPLCONF ACK 4\nwant: REPLCONF ACK 3"}},
		"ack that is none":   {redistest.Script{redistest.ExpectAck(3)}, "REPLCONF ACK x\r\n", []string{"got:  REPLCONF ACK x"}},
		"command in a hang":  {redistest.Script{redistest.Hang()}, "REPLCONF ACK 1\r\nPING\r\n", []string{"got:  PING\nwant: nothing"}},
		"peer closes":        {redistest.Script{redistest.Expect("A")}, "", []string{"read command: EOF"}},
		"bad length":         {redistest.Script{redistest.Expect("A")}, "*1\r\n$x\r\n", []string{"argument 0: got \"$x\", want a length"}},
		"huge length":        {redistest.Script{redistest.Expect("A")}, "*1\r\n$99999999999\r\n", []string{"want a length from 0 to"}},
		"no CRLF":            {redistest.Script{redistest.Expect("A")}, "*1\r\n$1\r\nabc\r\n", []string{"\"a\" is not followed by CRLF"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			here, there := net.Pipe()
			go func() {
				io.WriteString(there, tt.peer)
				there.Close()
			}()
			err := tt.script.Run(t.Context(), here)
			if err == nil {
				t.Fatal("no error")
			}
			for _, want := range tt.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("got:\n%v\nwant in it:\n%s", err, want)
				}
			}
		})
	}
}

func TestScriptTimesOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		here, there := net.Pipe()
		defer there.Close()
		err := redistest.Script{redistest.Expect("PING")}.Run(t.Context(), here)
		if err == nil || !strings.Contains(err.Error(), "nothing within 30s") {
			t.Errorf("got %v, want a timeout", err)
		}
	})
}

// recorder is a testing.TB whose failures are recorded instead of reported.
type recorder struct {
	testing.TB
	errors   chan string
	cleanups []func()
}

func (r *recorder) Errorf(format string, args ...any) { r.errors <- fmt.Sprintf(format, args...) }
func (r *recorder) Cleanup(f func())                  { r.cleanups = append(r.cleanups, f) }

func TestPrimaryFailsTheTest(t *testing.T) {
	r := &recorder{TB: t, errors: make(chan string, 10)}
	p := redistest.StartPrimary(r, redistest.Script{redistest.Expect("PING")})
	conn := dial(t, p.Addr)
	io.WriteString(conn, "PONG\r\n")
	for _, f := range r.cleanups {
		f()
	}
	select {
	case got := <-r.errors:
		if want := "primary: connection 1: step 1 of 1, expect PING:\ngot:  PONG\nwant: PING"; !strings.HasPrefix(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
	default:
		t.Error("the deviation did not fail the test")
	}
}
