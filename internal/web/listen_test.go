package web_test

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"triggerd/engine"
	"triggerd/internal/web"
)

// listenOn runs a server on an address, and returns its log and how to end it.
func listenOn(t *testing.T, addr string) (log signal, stop func() error) {
	t.Helper()
	e := start(t, openStore(t), rulesFor("http://127.0.0.1:1", fewAttempts), nil).engine
	return serveOn(t, e, addr)
}

func serveOn(t *testing.T, e *engine.Engine, addr string) (log signal, stop func() error) {
	t.Helper()
	log = signal{make(chan string, 100)}
	srv, err := web.New(web.Config{Listen: addr, Daemon: e, Logger: slog.New(slog.NewTextHandler(log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- srv.Run(ctx) }()
	return log, func() error {
		cancel()
		return <-ended
	}
}

// overSocket asks over a unix socket.
func overSocket(path, host, url string) (int, error) {
	client := &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", path)
		},
		DisableKeepAlives: true,
	}}
	req, err := http.NewRequest("GET", "http://"+host+url, nil)
	if err != nil {
		return 0, err
	}
	resp, err := client.Do(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	_, err = io.Copy(io.Discard, resp.Body)
	return resp.StatusCode, err
}

// A unix socket is for its user alone, needs no token, takes the place of one
// that was left behind, and is gone afterwards.
func TestUnixSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "api.sock")
	left, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	left.(*net.UnixListener).SetUnlinkOnClose(false)
	left.Close()

	log, stop := listenOn(t, "unix://"+path)
	log.await(t, "url=unix://"+path)
	info, err := os.Lstat(path)
	if err != nil || info.Mode() != os.ModeSocket|0o600 {
		t.Errorf("the socket is %v, %v", info, err)
	}
	for _, host := range []string{"triggerd", "anything.example"} {
		if status, err := overSocket(path, host, "/api/v1/status"); status != 200 {
			t.Errorf("status as %s: %d, %v", host, status, err)
		}
	}
	if files, _ := os.ReadDir(filepath.Dir(path)); len(files) != 1 {
		t.Errorf("in its directory: %v", files)
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
	if _, err := os.Lstat(path); !os.IsNotExist(err) {
		t.Errorf("the socket was left: %v", err)
	}
}

// The socket of a living process, and a file that is none, are left alone.
func TestUnixSocketInUse(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "api.sock")
	other, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	log, stop := listenOn(t, "unix://"+path)
	log.await(t, "address already in use")
	other.Close()
	log.await(t, `msg="status, metrics and API"`)
	if err := stop(); err != nil {
		t.Error(err)
	}
	file := filepath.Join(dir, "rules.toml")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	log, stop = listenOn(t, "unix://"+file)
	log.await(t, "is no socket")
	if err := stop(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(file); err != nil {
		t.Error(err)
	}
}

// However many connections are opened, a bounded number is served at once; the
// next is when one of them has gone.
func TestConnectionsAreCapped(t *testing.T) {
	path := filepath.Join(t.TempDir(), "api.sock")
	log, stop := listenOn(t, "unix://"+path)
	log.await(t, "url=unix://")
	var held []net.Conn
	const request = "GET /healthz HTTP/1.1\r\nHost: triggerd\r\n\r\n"
	answer := make([]byte, len("HTTP/1.1 200"))
	for range web.MaxConnections {
		conn, err := net.Dial("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		held = append(held, conn)
		if _, err := io.WriteString(conn, request); err != nil { // one that asks nothing is closed before long
			t.Fatal(err)
		}
		conn.SetReadDeadline(time.Now().Add(patience))
		if _, err := io.ReadFull(conn, answer); err != nil {
			t.Fatal(err)
		}
	}
	more, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer more.Close()
	if _, err := io.WriteString(more, request); err != nil {
		t.Fatal(err)
	}
	more.SetReadDeadline(time.Now().Add(300 * time.Millisecond))
	if n, err := io.ReadFull(more, answer); err == nil {
		t.Errorf("answered beyond the cap: %s", answer[:n])
	}
	held[0].Close()
	more.SetReadDeadline(time.Now().Add(patience))
	if _, err := io.ReadFull(more, answer); err != nil || string(answer) != "HTTP/1.1 200" {
		t.Errorf("once another has gone: %q, %v", answer, err)
	}
	for _, conn := range held {
		conn.Close()
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
}
