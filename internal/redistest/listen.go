package redistest

import (
	"errors"
	"math/rand/v2"
	"net"
	"strconv"
	"syscall"
	"testing"
)

// listen returns a listener on a free loopback port. The port is below those
// that the kernel gives to outgoing connections, so that the listener can be
// closed and its address listened on again.
func listen(t testing.TB) net.Listener {
	t.Helper()
	var err error
	for range 100 {
		var l net.Listener
		if l, err = net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(22000+rand.IntN(10000)))); err == nil {
			return l
		}
	}
	t.Fatalf("listen: %v", err)
	return nil
}

// UnusedAddr returns a loopback address at which nobody listens, for a server that
// is told to listen there, or has it again after a restart: the kernel gives its
// port to no outgoing connection meanwhile.
func UnusedAddr(t testing.TB) string {
	t.Helper()
	l := listen(t)
	defer l.Close()
	return l.Addr().String()
}

// reset closes conn with RST instead of FIN.
func reset(conn *net.TCPConn) error {
	return errors.Join(conn.SetLinger(0), conn.Close())
}

// isReset reports whether err says that the peer reset the connection.
func isReset(err error) bool { return errors.Is(err, syscall.ECONNRESET) }
