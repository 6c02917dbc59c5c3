package webhook

import (
	"context"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// TestProxyConn: what a proxy is asked has to be answered in time, what is sent
// through it has all the time it takes.
func TestProxyConn(t *testing.T) {
	const limit = 5 * time.Second
	dial := func() (ours, theirs net.Conn) {
		ours, theirs = net.Pipe()
		c, err := timingProxies(func(context.Context, string, string) (net.Conn, error) { return ours, nil }, limit)(t.Context(), "tcp", "proxy:1080")
		if err != nil {
			t.Fatal(err)
		}
		go io.Copy(io.Discard, theirs)
		return c, theirs
	}
	for name, asks := range map[string][]string{
		"SOCKS":          {"\x05\x01\x00"},
		"SOCKS password": {"\x05\x02\x00\x02", "\x01\x02me\x02pw"},
		"CONNECT":        {"CONNECT receiver:443 HTTP/1.1\r\n\r\n"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c, theirs := dial()
				defer theirs.Close()
				defer c.Close()
				for _, ask := range asks {
					if _, err := io.WriteString(c, ask); err != nil {
						t.Fatal(err)
					}
				}
				_, err := c.Read(make([]byte, 1))
				if err == nil || !strings.HasPrefix(err.Error(), "the proxy has not connected us within 5s: ") {
					t.Errorf("got %v", err)
				}
			})
		})
		for _, request := range []string{"\x16\x03\x01 a TLS hello", "POST /in HTTP/1.1\r\n\r\n"} {
			t.Run(name+" and then "+request[:4], func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					c, theirs := dial()
					defer theirs.Close()
					defer c.Close()
					for _, p := range append(asks, request, "\x05 is data now") {
						if _, err := io.WriteString(c, p); err != nil {
							t.Fatal(err)
						}
					}
					time.AfterFunc(10*limit, func() { io.WriteString(theirs, "x") })
					if _, err := c.Read(make([]byte, 1)); err != nil {
						t.Error(err)
					}
				})
			})
		}
	}
}
