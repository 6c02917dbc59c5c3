package main

import (
	"net"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"triggerd/internal/redistest"
	"triggerd/internal/servers"
)

// serviceManager is the socket of a service manager, and what it was told.
func serviceManager(t *testing.T) (socket string, told *lines) {
	t.Helper()
	socket, told = filepath.Join(t.TempDir(), "notify"), newLines()
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	go func() {
		b := make([]byte, 4096)
		for {
			n, err := conn.Read(b)
			if err != nil {
				return
			}
			told.Write([]byte(strings.ReplaceAll(string(b[:n]), "\n", " ") + "\n"))
		}
	}()
	return socket, told
}

// A service manager is told that the daemon is ready, how it is doing, that its
// loops turn though the server is silent or gone, that it reads its rules again,
// and that it stops.
func TestServiceManager(t *testing.T) {
	t.Parallel()
	redistest.Each(t, []string{"redis-7.0"}, func(t *testing.T, srv *servers.Server) {
		socket, told := serviceManager(t)
		dir := t.TempDir()
		write(t, dir, "rules.toml", `
[source]
url = "redis://`+srv.Addr+`"
[[rule]]
name = "r"
key = "k"
[[rule.action]]
type = "exec"
command = ["sh", "-c", "cat >/dev/null; echo $${NOTIFY_SOCKET-none} > socket"]
`)
		p := startWith(t, command(t, dir), "NOTIFY_SOCKET="+socket, "WATCHDOG_USEC=200000")
		told.await(t, "READY=1", 1)
		told.await(t, "STATUS=reading", 1)
		told.await(t, "WATCHDOG=1", 3) // with nothing to do
		redistest.Do(t, srv, "SET", "k", "v")
		awaitFile(t, filepath.Join(dir, "socket"), "none") // which programs it runs do not get

		p.signal(syscall.SIGHUP)
		told.await(t, "READY=1", 2)
		text := told.String()
		if at := strings.Index(text, "RELOADING=1 MONOTONIC_USEC="); at < 0 || at > strings.LastIndex(text, "READY=1") {
			t.Errorf("no reloading before the second ready in\n%s", text)
		}

		write(t, dir, "rules.toml", "nonsense")
		p.signal(syscall.SIGHUP)
		told.await(t, "READY=1", 3) // it goes on with the old ones
		if err := srv.Stop(); err != nil {
			t.Fatal(err)
		}
		told.await(t, "STATUS=not attached", 1)
		told.await(t, "; there are mistakes in the rules file, the old rules are in use", 1)
		seen := strings.Count(told.String(), "WATCHDOG=1")
		told.await(t, "WATCHDOG=1", seen+3) // a server that is gone is no reason to be restarted
		p.stop()
		told.await(t, "STOPPING=1", 1)
	})
}

// A service manager that does not hear is told of once in the log, and keeps
// the daemon from nothing.
func TestServiceManagerIsGone(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, dir, "rules.toml", "[source]\nurl = \"redis://127.0.0.1:1\"\n")
	p := startWith(t, command(t, dir), "NOTIFY_SOCKET="+filepath.Join(dir, "nobody"), "WATCHDOG_USEC=1000000")
	p.logs.await(t, "the service manager does not hear", 1)
	p.signal(syscall.SIGTERM)
	select {
	case <-p.ended:
	case <-time.After(patience):
		t.Fatal("it does not end")
	}
}
