package source

import (
	"context"
	"net"
)

// ConnectBy has a replica connect by f, before it is used.
func ConnectBy(s *Replica, f func(ctx context.Context, network, host string) (net.Conn, error)) {
	s.addr.connect = f
}
