package webhook

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"sync/atomic"
	"time"
)

// proxyConn is a connection to a host that may be a proxy. A proxy is first
// asked, with CONNECT or in SOCKS 5, to connect us, and has a limited time for
// that. net/http would give it a minute for CONNECT, and no limit for SOCKS, and
// would count the connection for as long against those that there may be. A
// proxy that was silent for a while would then keep every later attempt waiting.
type proxyConn struct {
	net.Conn
	limit time.Duration // for a proxy, to connect us
	state atomic.Int32  // unasked, asked, connected
}

const (
	unasked int32 = iota
	asked
	connected
)

type dialFunc = func(ctx context.Context, network, address string) (net.Conn, error)

// timingProxies has the connections of dial be proxyConns.
func timingProxies(dial dialFunc, limit time.Duration) dialFunc {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		c, err := dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		return &proxyConn{Conn: c, limit: limit}, nil
	}
}

// asksProxy reports whether what is written is for a proxy: CONNECT, or SOCKS's
// greeting (5), password (1) or request (5). What comes behind it is a request
// or TLS, neither of which begins so.
func asksProxy(p []byte) bool {
	return bytes.HasPrefix(p, []byte("CONNECT ")) || len(p) > 0 && (p[0] == 5 || p[0] == 1)
}

func (c *proxyConn) Write(p []byte) (int, error) {
	if c.state.Load() != connected {
		if !asksProxy(p) {
			if c.state.Swap(connected) == asked {
				_ = c.SetDeadline(time.Time{})
			}
		} else if c.state.CompareAndSwap(unasked, asked) {
			_ = c.SetDeadline(time.Now().Add(c.limit))
		}
	}
	return c.Conn.Write(p)
}

func (c *proxyConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if errors.Is(err, os.ErrDeadlineExceeded) && c.state.Load() == asked {
		err = fmt.Errorf("the proxy has not connected us within %s: %w", c.limit, err)
	}
	return n, err
}
