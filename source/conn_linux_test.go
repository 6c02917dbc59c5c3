package source

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
)

// tcpPair returns both ends of a connection, the first quickened.
func tcpPair(t *testing.T) (quick *quickConn, peer net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	conn, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	if peer, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(); peer.Close() })
	return quicken(conn).(*quickConn), peer
}

// TestLittleIsRead: a byte is read though a busy connection waits for much, whether
// it is there already, or comes in the pause, or after it.
func TestLittleIsRead(t *testing.T) {
	c, peer := tcpPair(t)
	b := make([]byte, 100)
	for i := range 300 {
		c.soon = manySoon
		if wait := time.Duration(i%3) * readPause; wait > 0 {
			time.AfterFunc(wait, func() { peer.Write([]byte{byte(i)}) })
		} else {
			peer.Write([]byte{byte(i)})
		}
		deadline := time.Now().Add(30 * time.Second)
		c.SetReadDeadline(deadline)
		if n, err := c.Read(b); n != 1 || err != nil || b[0] != byte(i) || c.deadline != deadline {
			t.Fatalf("Read = %d, %v, and byte %d, want %d", n, err, b[0], i)
		}
	}
}

// TestBusy: a connection is busy after many short waits, and a long one ends that.
func TestBusy(t *testing.T) {
	c := new(quickConn)
	wait := func(d time.Duration) {
		c.began = time.Now().Add(-d)
		c.noteWait()
	}
	const soon = -time.Hour // a wait that ends in time, however busy the machine is
	for range 10 * manySoon {
		wait(2 * shortWait)
	}
	for i := range manySoon {
		if c.soon != i {
			t.Fatalf("after %d short waits it counts %d", i, c.soon)
		}
		wait(soon)
		c.began = time.Time{}
		c.noteWait() // a Read that did not wait says nothing
	}
	if wait(soon); c.soon != manySoon {
		t.Errorf("it counts %d", c.soon)
	}
	if wait(2 * shortWait); c.soon != 0 {
		t.Errorf("after a long wait it counts %d", c.soon)
	}
}

// TestQuickRead: it ends as a connection's Read does, and does not allocate.
func TestQuickRead(t *testing.T) {
	c, peer := tcpPair(t)
	b := make([]byte, 1<<20)
	c.soon = manySoon
	c.SetReadDeadline(time.Now().Add(time.Millisecond))
	if n, err := c.Read(b); n != 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("Read of nothing = %d, %v", n, err)
	}
	c.SetReadDeadline(time.Time{})
	want := bytes.Repeat([]byte("0123456789"), 1<<17)
	go func(peer net.Conn) { peer.Write(want); peer.(*net.TCPConn).CloseWrite() }(peer)
	if got, err := io.ReadAll(c); !bytes.Equal(got, want) || err != nil {
		t.Errorf("%d bytes, %v, want %d", len(got), err, len(want))
	}

	c, peer = tcpPair(t)
	if n := testing.AllocsPerRun(100, func() { c.soon = manySoon; peer.Write(b[:10]); c.Read(b) }); n != 0 {
		t.Errorf("%v allocations a read", n)
	}
	conn := c.Conn
	time.AfterFunc(10*time.Millisecond, func() { conn.Close() })
	if n, err := c.Read(b); n != 0 || !errors.Is(err, net.ErrClosed) {
		t.Errorf("Read of what is closed meanwhile = %d, %v", n, err)
	}

	c, peer = tcpPair(t)
	peer.Write(b[:10])
	peer.(*net.TCPConn).SetLinger(0) // a reset, not an end
	peer.Close()
	if _, err := io.ReadAll(c); !errors.Is(err, syscall.ECONNRESET) || !strings.HasPrefix(err.Error(), "read tcp ") {
		t.Errorf("Read of what the peer has reset: %v", err)
	}
}
