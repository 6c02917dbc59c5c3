package redistest

import (
	"errors"
	"net"
	"syscall"
	"testing"

	"triggerd/internal/servers"
)

// listen returns a listener on an UnusedAddr.
func listen(t testing.TB) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", UnusedAddr(t))
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// UnusedAddr returns a loopback address at which nobody listens, for a server that
// is told to listen there, or has it again after a restart: until the test ends
// the kernel gives its port to no outgoing connection, and UnusedAddr gives it to
// no other test.
func UnusedAddr(t testing.TB) string {
	t.Helper()
	addr, reservation, err := servers.Reserve(22000, 10000)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = reservation.Close() })
	return addr
}

// reset closes conn with RST instead of FIN.
func reset(conn *net.TCPConn) error {
	return errors.Join(conn.SetLinger(0), conn.Close())
}

// isReset reports whether err says that the peer reset the connection.
func isReset(err error) bool { return errors.Is(err, syscall.ECONNRESET) }
