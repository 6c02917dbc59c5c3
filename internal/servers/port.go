package servers

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strconv"
)

// Reserve returns a loopback address at which nobody listens, with a port of
// [from, from+n). No process is given it by Reserve again until the reservation
// is closed or this process ends, also while nobody listens there: a server that
// is down finds its port free. Choose ports below those that the kernel gives to
// outgoing connections. It may be called from several goroutines.
func Reserve(from, n int) (addr string, reservation io.Closer, err error) {
	for range 100 {
		addr = net.JoinHostPort("127.0.0.1", strconv.Itoa(from+rand.IntN(n)))
		// A UDP socket at the same port is the mark: no server here uses it.
		var mark net.PacketConn
		if mark, err = net.ListenPacket("udp", addr); err != nil {
			continue
		}
		var l net.Listener
		if l, err = net.Listen("tcp", addr); err == nil {
			err = l.Close()
		}
		if err == nil {
			return addr, mark, nil
		}
		_ = mark.Close()
	}
	return "", nil, fmt.Errorf("no free port: %w", err)
}

// reserve returns an address for a server. Its cluster bus (port + 10000) is
// below the ports of outgoing connections too.
func reserve() (string, io.Closer, error) { return Reserve(10000, 12000) }
