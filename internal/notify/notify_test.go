package notify_test

import (
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"triggerd/internal/notify"
)

// manager is the socket of a service manager.
func manager(t *testing.T, name string) *net.UnixConn {
	t.Helper()
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: name, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	t.Setenv("NOTIFY_SOCKET", name)
	t.Setenv("WATCHDOG_PID", "")
	t.Setenv("WATCHDOG_USEC", "")
	return conn
}

func receive(t *testing.T, conn *net.UnixConn) string {
	t.Helper()
	conn.SetReadDeadline(time.Now().Add(time.Minute))
	b := make([]byte, 4096)
	n, err := conn.Read(b)
	if err != nil {
		t.Fatal(err)
	}
	return string(b[:n])
}

func TestNotifier(t *testing.T) {
	conn := manager(t, filepath.Join(t.TempDir(), "notify"))
	n := notify.FromEnv()
	for _, tt := range []struct {
		tell func() error
		want string
	}{
		{n.Ready, "READY=1"},
		{n.Stopping, "STOPPING=1"},
		{n.Alive, "WATCHDOG=1"},
		{func() error { return n.Status("not attached:\nrefused\r\nREADY=1") }, "STATUS=not attached: refused READY=1"},
	} {
		if err := tt.tell(); err != nil {
			t.Fatal(err)
		}
		if got := receive(t, conn); got != tt.want {
			t.Errorf("sent %q, want %q", got, tt.want)
		}
	}

	if err := n.Reloading(); err != nil {
		t.Fatal(err)
	}
	first, second, _ := strings.Cut(receive(t, conn), "\n")
	usec, ok := strings.CutPrefix(second, "MONOTONIC_USEC=")
	if at, err := strconv.ParseInt(usec, 10, 64); first != "RELOADING=1" || !ok || err != nil || at <= 0 {
		t.Errorf("reloading sent %q and %q", first, second)
	}
}

// The variables are not for programs that are run later.
func TestFromEnvTakesThemAway(t *testing.T) {
	manager(t, filepath.Join(t.TempDir(), "notify"))
	if notify.FromEnv() == nil {
		t.Fatal("there is a service manager")
	}
	if v, there := os.LookupEnv("NOTIFY_SOCKET"); there {
		t.Errorf("NOTIFY_SOCKET is still %q", v)
	}
}

func TestAbstractSocket(t *testing.T) {
	if _, err := os.Stat("/proc/self"); err != nil {
		t.Setenv("NOTIFY_SOCKET", "")
		return // only Linux has them
	}
	conn := manager(t, "@triggerd-test-"+strconv.Itoa(os.Getpid()))
	if err := notify.FromEnv().Ready(); err != nil {
		t.Fatal(err)
	}
	if got := receive(t, conn); got != "READY=1" {
		t.Errorf("sent %q", got)
	}
}

func TestWatchdogLimit(t *testing.T) {
	own := strconv.Itoa(os.Getpid())
	for _, tt := range []struct {
		pid, usec string
		want      time.Duration
	}{
		{own, "3000000", 3 * time.Second},
		{"", "3000000", 3 * time.Second},
		{"1", "3000000", 0}, // another process's
		{own, "", 0},
		{own, "-1", 0},
		{own, "9223372036854775807", 0},
		{own, "soon", 0},
	} {
		manager(t, filepath.Join(t.TempDir(), "notify"))
		t.Setenv("WATCHDOG_PID", tt.pid)
		t.Setenv("WATCHDOG_USEC", tt.usec)
		if got := notify.FromEnv().WatchdogLimit(); got != tt.want {
			t.Errorf("pid %q, usec %q: %v, want %v", tt.pid, tt.usec, got, tt.want)
		}
	}
}

// Where nobody asks, or nobody listens.
func TestNobody(t *testing.T) {
	t.Setenv("NOTIFY_SOCKET", "")
	n := notify.FromEnv()
	if n != nil {
		t.Fatal("there is a notifier without a socket")
	}
	if err := n.Ready(); err != nil {
		t.Error(err)
	}
	if n.WatchdogLimit() != 0 {
		t.Error("a watchdog without a socket")
	}
	t.Setenv("NOTIFY_SOCKET", filepath.Join(t.TempDir(), "nobody"))
	if err := notify.FromEnv().Ready(); err == nil {
		t.Error("no error, though nobody listens")
	}
}
