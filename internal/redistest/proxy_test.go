package redistest_test

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"testing"
	"time"

	"triggerd/internal/redistest"
	"triggerd/internal/servers"
)

// patience is how long a test waits for what must come.
const patience = time.Minute

// upstream is a server that sends each connection whatever it says, and
// records what it received and how it ended.
type upstream struct {
	addr string
	say  chan []byte
	ends chan end
}

type end struct {
	got []byte
	err error
}

func startUpstream(t *testing.T) *upstream {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	u := &upstream{addr: l.Addr().String(), say: make(chan []byte), ends: make(chan end, 10)}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() { u.serve(t, conn, &wg) })
		}
	})
	t.Cleanup(func() {
		l.Close()
		wg.Wait()
	})
	return u
}

func (u *upstream) serve(t *testing.T, conn net.Conn, wg *sync.WaitGroup) {
	defer conn.Close()
	ended := make(chan end, 1)
	wg.Go(func() {
		got, err := io.ReadAll(conn)
		ended <- end{got, err}
	})
	for {
		select {
		case b := <-u.say:
			_, _ = conn.Write(b) // the proxy may have been told to cut it
		case e := <-ended:
			u.ends <- e // from now on another connection hears what is said
			return
		case <-t.Context().Done():
			return
		}
	}
}

func dial(t *testing.T, addr string) *net.TCPConn {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	return conn.(*net.TCPConn)
}

func read(t *testing.T, r io.Reader, n int) string {
	t.Helper()
	buf := make([]byte, n)
	if m, err := io.ReadFull(r, buf); err != nil {
		t.Fatalf("read: got %q, %v; want %d bytes", buf[:m], err, n)
	}
	return string(buf)
}

func wantEnd(t *testing.T, ends <-chan end, got string, err error) {
	t.Helper()
	select {
	case e := <-ends:
		if string(e.got) != got || !errors.Is(e.err, err) {
			t.Errorf("upstream: got %q, %v; want %q, %v", e.got, e.err, got, err)
		}
	case <-time.After(patience):
		t.Error("upstream: the connection did not end")
	}
}

func TestProxyForwards(t *testing.T) {
	u := startUpstream(t)
	p := redistest.StartProxy(t, u.addr)
	conn := dial(t, p.Addr)
	big := bytes.Repeat([]byte("0123456789"), 100_000)
	u.say <- big
	if got := read(t, conn, len(big)); got != string(big) {
		t.Error("a megabyte did not come through as it was")
	}
	io.WriteString(conn, "bye")
	conn.CloseWrite()
	wantEnd(t, u.ends, "bye", nil)
	if n, err := conn.Read(make([]byte, 1)); n != 0 || err != io.EOF {
		t.Errorf("after upstream closed: got %d, %v; want EOF", n, err)
	}
	if got := p.Accepted(); got != 1 {
		t.Errorf("Accepted: got %d, want 1", got)
	}
}

func TestProxyForwardsChunks(t *testing.T) {
	u := startUpstream(t)
	p := redistest.StartProxy(t, u.addr)
	conn := dial(t, p.Addr)
	big := bytes.Repeat([]byte("0123456789"), 1000)
	for _, n := range []int{1, 7, 0} {
		p.Chunk(n)
		u.say <- big
		if got := read(t, conn, len(big)); got != string(big) {
			t.Errorf("chunks of %d: ten kilobytes did not come through as they were", n)
		}
	}
}

func TestProxyCut(t *testing.T) {
	u := startUpstream(t)
	p := redistest.StartProxy(t, u.addr)
	conn := dial(t, p.Addr)
	u.say <- []byte("abc")
	read(t, conn, 3)
	p.Cut()
	if n, err := conn.Read(make([]byte, 1)); n != 0 || err != io.EOF {
		t.Errorf("got %d, %v; want EOF", n, err)
	}
	wantEnd(t, u.ends, "", nil)

	conn = dial(t, p.Addr)
	u.say <- []byte("abc")
	read(t, conn, 3)
}

func TestProxyReset(t *testing.T) {
	u := startUpstream(t)
	p := redistest.StartProxy(t, u.addr)
	conn := dial(t, p.Addr)
	u.say <- []byte("abc")
	read(t, conn, 3)
	p.Reset()
	if n, err := conn.Read(make([]byte, 1)); n != 0 || !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("got %d, %v; want ECONNRESET", n, err)
	}
	wantEnd(t, u.ends, "", syscall.ECONNRESET)
}

func TestProxyCutAfter(t *testing.T) {
	for name, chunk := range map[string]int{"as it comes": 0, "bytewise": 1} {
		t.Run(name, func(t *testing.T) {
			u := startUpstream(t)
			p := redistest.StartProxy(t, u.addr)
			p.Chunk(chunk)
			p.CutAfter(7)
			conn := dial(t, p.Addr)
			u.say <- []byte("01234")
			read(t, conn, 5)
			u.say <- []byte("56789")
			if got, err := io.ReadAll(conn); string(got) != "56" || err != nil {
				t.Errorf("got %q, %v; want 56 and EOF", got, err)
			}
			wantEnd(t, u.ends, "", nil)

			conn = dial(t, p.Addr) // only one connection is cut
			u.say <- []byte("0123456789")
			read(t, conn, 10)
		})
	}
}

func TestProxyFlip(t *testing.T) {
	u := startUpstream(t)
	p := redistest.StartProxy(t, u.addr)
	p.Flip(6)
	conn := dial(t, p.Addr)
	u.say <- []byte("0123")
	read(t, conn, 4)
	u.say <- []byte("4567")
	if got, want := read(t, conn, 4), "45\xc97"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	conn.Close()
	wantEnd(t, u.ends, "", nil)
	conn = dial(t, p.Addr) // only once
	u.say <- []byte("01234567")
	if got, want := read(t, conn, 8), "01234567"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestProxyStall(t *testing.T) {
	u := startUpstream(t)
	p := redistest.StartProxy(t, u.addr)
	before := dial(t, p.Addr)
	u.say <- []byte("a")
	read(t, before, 1)
	p.Stall()
	u.say <- []byte("bc")
	during := dial(t, p.Addr)
	for name, conn := range map[string]*net.TCPConn{"connected before": before, "connected during": during} {
		conn.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
		if n, err := conn.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("%s: got %d, %v; want silence", name, n, err)
		}
		conn.SetReadDeadline(time.Now().Add(patience))
	}
	p.Resume()
	if got := read(t, before, 2); got != "bc" {
		t.Errorf("after Resume: got %q, want bc", got)
	}
	p.Stall()
	for limit := time.Now().Add(patience); p.Accepted() < 2; time.Sleep(time.Millisecond) { // it tells nobody
		if time.Now().After(limit) {
			t.Fatal("a connection was not accepted during the stall")
		}
	}
	p.Reset() // a stalled connection can be cut too
	if _, err := during.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("Reset while stalled: got %v, want ECONNRESET", err)
	}
}

func TestProxyRefuse(t *testing.T) {
	u := startUpstream(t)
	p := redistest.StartProxy(t, u.addr)
	conn := dial(t, p.Addr)
	u.say <- []byte("a")
	read(t, conn, 1)
	p.Refuse()
	if c, err := net.Dial("tcp", p.Addr); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("got %v, %v; want ECONNREFUSED", c, err)
	}
	u.say <- []byte("b") // what is there stays
	read(t, conn, 1)
	p.Admit()
	dial(t, p.Addr)
}

func TestProxyWithoutUpstream(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	conn, err := net.Dial("tcp", redistest.StartProxy(t, l.Addr().String()).Addr)
	if err == nil {
		defer conn.Close()
		_, err = conn.Read(make([]byte, 1))
	}
	if !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("got %v, want ECONNRESET", err)
	}
}

// TestProxyUnderLoad tells a proxy everything at once while clients of a real
// server come and go; the race detector watches. In the end it must be sound.
func TestProxyUnderLoad(t *testing.T) {
	srv := redistest.Start(t, "redis-7.0")
	p := redistest.StartProxy(t, srv.Addr)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 30 {
				c, err := servers.Dial(t.Context(), p.Addr)
				if err != nil {
					continue // refused
				}
				for err == nil {
					if _, err = c.Do("PING"); err == nil {
						_, err = c.Do("INFO")
					}
					p.Reset()
				}
				c.Close()
			}
		})
	}
	for i := range 50 {
		p.Chunk(i % 3 * 100)
		p.CutAfter(int64(i * 10))
		p.Flip(int64(i))
		p.Refuse()
		p.Stall()
		p.Cut()
		p.Admit()
		p.Resume()
	}
	wg.Wait()
	p.Chunk(0)
	p.CutAfter(1 << 40)
	p.Flip(1 << 40)
	c, err := servers.Dial(t.Context(), p.Addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if got, err := c.Do("PING"); got != "PONG" || err != nil {
		t.Errorf("PING: got %v, %v", got, err)
	}
}
