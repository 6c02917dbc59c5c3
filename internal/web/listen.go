package web

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/net/netutil"
)

// MaxConnections is how many connections of a Server are open at once; others wait to be
// accepted. A daemon's own work must not run out of file descriptors because
// somebody opens connections.
const MaxConnections = 256

// unixScheme is what an address of a unix socket begins with.
const unixScheme = "unix://"

// checkListen returns why a Server cannot listen on an address.
func checkListen(addr string) error {
	if path, ok := strings.CutPrefix(addr, unixScheme); ok && !filepath.IsAbs(path) {
		return errors.New("the path of the socket is not absolute, as in unix:///run/triggerd/api.sock")
	} else if ok {
		return nil
	}
	_, _, err := net.SplitHostPort(addr)
	return err
}

// isPrivate reports whether only this machine reaches an address.
func isPrivate(listen string) bool {
	if strings.HasPrefix(listen, unixScheme) {
		return true
	}
	host, _, err := net.SplitHostPort(listen)
	return err == nil && isLoopback(host)
}

// isLoopback reports whether a host, without port, is this machine's own. A
// name other than localhost is not: it may be anything tomorrow.
func isLoopback(host string) bool {
	if host == "localhost" {
		return true
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.Unmap().IsLoopback()
}

// listenOn returns a listener on host:port or unix:///path.
func listenOn(ctx context.Context, addr string) (net.Listener, error) {
	var ln net.Listener
	var err error
	if path, ok := strings.CutPrefix(addr, unixScheme); ok {
		ln, err = listenUnix(ctx, path)
	} else {
		ln, err = (&net.ListenConfig{}).Listen(ctx, "tcp", addr)
		ln = tcpListener{ln}
	}
	if err != nil {
		return nil, err
	}
	return netutil.LimitListener(ln, MaxConnections), nil
}

// maxUnread is about how much of what is written lies in the system until a client
// reads it. Without a limit it may be megabytes: a browser that is slow would be
// shown what happened long ago.
const maxUnread = 256 << 10

// tcpListener is a listener whose connections have bounded buffers.
type tcpListener struct{ net.Listener }

// Accept returns a connection whose writes wait for a slow client before long.
func (l tcpListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if c, ok := conn.(*net.TCPConn); ok {
		_ = c.SetWriteBuffer(maxUnread) // else it works as ever
	}
	return conn, err
}

// unixListener is a socket under its final name.
type unixListener struct {
	net.Listener
	path string
	file fs.FileInfo // as it was made
}

// Close closes the socket, and removes it unless another process has put its
// own in its place.
func (l *unixListener) Close() error {
	err := l.Listener.Close()
	if now, statErr := os.Lstat(l.path); statErr == nil && os.SameFile(now, l.file) {
		err = errors.Join(err, os.Remove(l.path))
	}
	return err
}

// Accept returns a connection whose remote address names the user that made it.
func (l *unixListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &unixConn{conn, userAddr(peerName(conn.(*net.UnixConn)))}, nil
}

// unixConn is a connection over a socket.
type unixConn struct {
	net.Conn
	peer userAddr
}

func (c *unixConn) RemoteAddr() net.Addr { return c.peer }

// userAddr names a user of the machine.
type userAddr string

func (userAddr) Network() string  { return "unix" }
func (a userAddr) String() string { return string(a) }

// userName names the user with a number.
func userName(uid uint32) string {
	number := strconv.FormatUint(uint64(uid), 10)
	if u, err := user.LookupId(number); err == nil && u.Username != "" {
		return "user " + u.Username
	}
	return "user " + number
}

// listenUnix makes a socket that only this user, and root, can connect to. It
// is made in a directory of its own, where nobody else can reach it, and moved
// once its mode is set; so it also takes the place of one that a process has
// left that was killed. One that a living process answers is left alone.
func listenUnix(ctx context.Context, path string) (net.Listener, error) {
	switch old, err := os.Lstat(path); {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return nil, err
	case old.Mode()&fs.ModeSocket == 0:
		return nil, fmt.Errorf("%s is there already, and is no socket", path)
	default:
		conn, err := (&net.Dialer{}).DialContext(ctx, "unix", path)
		if err == nil {
			conn.Close()
			return nil, fmt.Errorf("%s: %w", path, syscall.EADDRINUSE)
		}
	}
	dir, err := os.MkdirTemp(filepath.Dir(path), ".api-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	made := filepath.Join(dir, "s")
	ln, err := (&net.ListenConfig{}).Listen(ctx, "unix", made)
	if err != nil {
		return nil, err
	}
	ln.(*net.UnixListener).SetUnlinkOnClose(false)
	err = os.Chmod(made, 0o600)
	if err == nil {
		err = os.Rename(made, path)
	}
	var file fs.FileInfo
	if err == nil {
		file, err = os.Lstat(path)
	}
	if err != nil {
		ln.Close()
		return nil, err
	}
	return &unixListener{ln, path, file}, nil
}
