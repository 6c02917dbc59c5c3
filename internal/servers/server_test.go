package servers_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"triggerd/internal/redistest"
	"triggerd/internal/servers"
)

func TestEveryServer(t *testing.T) {
	for _, name := range servers.Names() {
		t.Run(name, func(t *testing.T) {
			srv := redistest.StartWith(t, servers.Options{Name: name, TLS: true})
			if got := srv.Program.Name; got != name {
				t.Errorf("Program.Name: got %q", got)
			}
			if want := strings.SplitAfter(name, "-")[1] + "."; !strings.HasPrefix(srv.Program.Version, want) {
				t.Errorf("Program.Version: got %q, want %s*", srv.Program.Version, want)
			}
			t.Run("tcp", func(t *testing.T) { checkSetGet(t, dial(t, srv.Addr)) })
			t.Run("unix", func(t *testing.T) { checkSetGet(t, dial(t, srv.Socket)) })
			t.Run("tls", func(t *testing.T) { checkSetGet(t, dialTLS(t, srv)) })
			t.Run("lua", func(t *testing.T) { checkLua(t, dial(t, srv.Addr)) })
			for tool, args := range map[string][]string{"cli": {"-s", srv.Socket, "PING"}, "benchmark": {"-s", srv.Socket, "-n", "10", "-q", "-t", "ping"}} {
				out, err := srv.Program.Command(tool, args...).CombinedOutput()
				if err != nil || !strings.Contains(string(out), "P") {
					t.Errorf("%s: got %q, %v", tool, out, err)
				}
			}
		})
	}
}

func dial(t *testing.T, addr string) *servers.Client {
	t.Helper()
	c, err := servers.Dial(t.Context(), addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func dialTLS(t *testing.T, srv *servers.Server) *servers.Client {
	t.Helper()
	pem, err := os.ReadFile(srv.CAFile)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		t.Fatal("no certificate in CAFile")
	}
	conn, err := tls.Dial("tcp", srv.TLSAddr, &tls.Config{RootCAs: roots})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return servers.NewClient(conn)
}

// checkSetGet writes and reads what is not text.
func checkSetGet(t *testing.T, c *servers.Client) {
	t.Helper()
	const key, value = "k\x00\r\n\xff", "v\r\n$3\r\n\x00\xfe"
	if got, err := c.Do("SET", key, value); got != "OK" || err != nil {
		t.Errorf("SET: got %v, %v", got, err)
	}
	if got, err := c.Do("GET", key); got != value || err != nil {
		t.Errorf("GET: got %q, %v, want %q", got, err, value)
	}
}

// checkLua uses the two modules that a script has and that come from libraries
// of their own in some packages.
func checkLua(t *testing.T, c *servers.Client) {
	t.Helper()
	got, err := c.Do("EVAL", "return cjson.encode({bit.bor(1, 2)})", "0")
	if want := "[3]"; got != want || err != nil {
		t.Errorf("EVAL: got %v, %v, want %s", got, err, want)
	}
}

func TestTLSIsVerified(t *testing.T) {
	srv := redistest.StartWith(t, servers.Options{Name: "redis-7.0", TLS: true})
	_, err := tls.Dial("tcp", srv.TLSAddr, nil)
	if !errors.As(err, new(x509.UnknownAuthorityError)) {
		t.Errorf("without the authority: got %v, want x509.UnknownAuthorityError", err)
	}
}

func TestRestartFindsWhatWasSaved(t *testing.T) {
	srv := redistest.Start(t, "redis-7.0", "--save", "3600 1")
	addr, dir, pid := srv.Addr, srv.Dir, srv.PID()
	redistest.Do(t, srv, "SET", "k", "v")
	if err := srv.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	if srv.Addr != addr || srv.Dir != dir {
		t.Errorf("got %s, %s after the restart; want %s, %s", srv.Addr, srv.Dir, addr, dir)
	}
	if srv.PID() == pid {
		t.Errorf("the process is the same")
	}
	if got := redistest.Do(t, srv, "GET", "k"); got != "v" {
		t.Errorf("GET: got %v, want v", got)
	}
}

func TestKillLosesWhatWasNotSaved(t *testing.T) {
	srv := redistest.Start(t, "redis-7.0", "--save", "3600 1")
	redistest.Do(t, srv, "SET", "k", "v")
	if err := srv.Kill(); err != nil {
		t.Fatal(err)
	}
	if srv.PID() != 0 {
		t.Errorf("PID: got %d after Kill, want 0", srv.PID())
	}
	if _, err := net.Dial("tcp", srv.Addr); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("connect: got %v, want ECONNREFUSED", err)
	}
	if err := srv.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := redistest.Do(t, srv, "GET", "k"); got != nil {
		t.Errorf("GET: got %v, want nil", got)
	}
}

func TestStop(t *testing.T) {
	dir := t.TempDir()
	srv := redistest.StartWith(t, servers.Options{Name: "redis-7.0", Dir: dir, Args: []string{"--save", "3600 1"}})
	redistest.Do(t, srv, "SET", "k", "v")
	for range 2 { // the second time there is nothing to stop
		if err := srv.Stop(); err != nil {
			t.Fatal(err)
		}
	}
	if !strings.Contains(srv.Log(), "bye bye") {
		t.Errorf("it did not end in good order; its log:\n%s", srv.Log())
	}
	if err := srv.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(srv.Socket); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("after Close the private directory is still there: %v", err)
	}
	if _, err := os.Stat(filepath.Join(dir, "dump.rdb")); err != nil {
		t.Errorf("the directory that was given: %v", err)
	}
}

// TestEndsBySelf stops a server that has ended without being told to.
func TestEndsBySelf(t *testing.T) {
	srv := redistest.Start(t, "redis-7.0")
	c := redistest.Dial(t, srv)
	if _, err := c.Do("SHUTDOWN", "NOSAVE"); err == nil {
		t.Error("SHUTDOWN replied")
	}
	if err := srv.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	redistest.Do(t, srv, "PING")
}

func TestStartWithPassword(t *testing.T) {
	srv := redistest.Start(t, "redis-6.0", "--requirepass", "s3cret word")
	c := redistest.Dial(t, srv)
	var reply servers.ReplyError
	if _, err := c.Do("PING"); !errors.As(err, &reply) || !strings.HasPrefix(string(reply), "NOAUTH") {
		t.Errorf("PING: got %v, want NOAUTH", err)
	}
	if _, err := c.Do("AUTH", "s3cret word"); err != nil {
		t.Error(err)
	}
}

func TestStartErrors(t *testing.T) {
	redistest.Start(t, "redis-7.0")   // that it can be had
	tmp, err := os.MkdirTemp("", "t") // t.TempDir is too long a path for a socket on some systems
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(tmp)
	t.Setenv("TMPDIR", tmp)
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	tests := map[string]struct {
		ctx  context.Context
		o    servers.Options
		want []string
	}{
		"unknown name":  {t.Context(), servers.Options{Name: "redis-5.0"}, []string{`no server is called "redis-5.0"; there are`, "redis-6.0"}},
		"bad directive": {t.Context(), servers.Options{Name: "redis-7.0", Args: []string{"--no-such-thing", "1"}}, []string{"start redis-7.0", "it ended (exit status 1)", "no-such-thing"}},
		"no directory":  {t.Context(), servers.Options{Name: "redis-7.0", Dir: "/no/such/dir"}, []string{"start redis-7.0: ", "/no/such/dir"}},
		"cancelled":     {cancelled, servers.Options{Name: "redis-7.0"}, []string{"start redis-7.0", "context canceled"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			srv, err := servers.Start(tt.ctx, tt.o)
			if err == nil {
				srv.Close()
				t.Fatal("it started")
			}
			for _, want := range tt.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("got %q, want %q in it", err, want)
				}
			}
		})
	}
	if left, err := os.ReadDir(tmp); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func TestRestartWaitsForThePort(t *testing.T) {
	srv := redistest.Start(t, "redis-7.0")
	if err := srv.Stop(); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", srv.Addr)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	failed := make(chan error)
	go func() { failed <- srv.Restart(ctx) }()
	awaitLog(t, srv, "in use")
	cancel(errors.New("enough"))
	if err := <-failed; err == nil || !strings.Contains(err.Error(), "enough") || !strings.Contains(err.Error(), "port is taken") {
		t.Errorf("got %v, want that the port is taken", err)
	}
	l.Close()
	if err := srv.Restart(t.Context()); err != nil {
		t.Error(err)
	}
}

// TestPortsAreKept: nobody is given the port of a server, up or down, before it
// is closed.
func TestPortsAreKept(t *testing.T) {
	kept := func(addr string) bool {
		_, port, _ := net.SplitHostPort(addr)
		n, _ := strconv.Atoi(port)
		_, r, err := servers.Reserve(n, 1)
		if err == nil {
			r.Close()
		}
		return err != nil
	}
	addr, reservation, err := servers.Reserve(8000, 1000)
	if err != nil || !kept(addr) {
		t.Fatalf("%s, %v: it can be reserved twice", addr, err)
	}
	if err := reservation.Close(); err != nil || kept(addr) {
		t.Errorf("%s, %v: it is kept though it was let go", addr, err)
	}

	srv := redistest.Start(t, "redis-7.0")
	if err := srv.Stop(); err != nil || !kept(srv.Addr) {
		t.Errorf("stopped, %v: its port is free", err)
	}
	if err := srv.Restart(t.Context()); err != nil || !kept(srv.Addr) {
		t.Errorf("started again, %v: its port is free", err)
	}
	if err := srv.Close(); err != nil || kept(srv.Addr) {
		t.Errorf("closed, %v: its port is kept", err)
	}
}

// awaitLog reads the log until it has text; a file has no event to wait for.
func awaitLog(t *testing.T, srv *servers.Server, text string) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(30 * time.Second); !strings.Contains(srv.Log(), text); <-tick.C {
		if time.Now().After(deadline) {
			t.Fatalf("no %q in the log:\n%s", text, srv.Log())
		}
	}
}

func TestManyStartAtOnce(t *testing.T) {
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			srv, err := servers.Start(t.Context(), servers.Options{Name: "redis-7.0"})
			if err != nil {
				t.Error(err)
				return
			}
			if err := srv.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	redistest.Start(t, "redis-7.0")
	wg.Wait()
}

// TestDiesWithItsParent runs this test again in a process of its own, which
// starts a server, tells its process ID and is killed.
func TestDiesWithItsParent(t *testing.T) {
	if os.Getenv("TRIGGERD_TEST_CHILD") != "" {
		srv, err := servers.Start(t.Context(), servers.Options{Name: "redis-7.0"})
		if err != nil {
			t.Fatal(err)
		}
		os.Stdout.WriteString("\npid " + strconv.Itoa(srv.PID()) + " dir " + filepath.Dir(srv.Socket) + "\n")
		select {}
	}
	redistest.Start(t, "redis-7.0") // that it can be had
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestDiesWithItsParent$")
	cmd.Env = append(os.Environ(), "TRIGGERD_TEST_CHILD=1")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var pid int
	var dir string
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if _, err := fmt.Sscanf(lines.Text(), "pid %d dir %s", &pid, &dir); err == nil {
			break
		}
	}
	defer os.RemoveAll(dir)
	c := dial(t, filepath.Join(dir, "sock"))
	if _, err := c.Do("PING"); err != nil {
		t.Fatal(err)
	}
	cmd.Process.Kill()
	cmd.Wait()
	if _, err := c.Receive(); !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("the server's connection: got %v, want its end", err)
	}
}

func TestFind(t *testing.T) {
	redistest.Start(t, "redis-7.0") // that it is there
	t.Setenv("PATH", "")
	var names []string
	for _, p := range servers.Find(t.Context()) {
		names = append(names, p.Name)
	}
	if !slices.Contains(names, "redis-7.0") {
		t.Errorf("got %q, want redis-7.0 among them", names)
	}
}

// TestPath finds servers on PATH, by a name that may not tell what they are.
func TestPath(t *testing.T) {
	bin := t.TempDir()
	script := func(name, text string) {
		if err := os.WriteFile(filepath.Join(bin, name), []byte("#!/bin/sh\n"+text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	script("redis-server", "echo 'Redis server v=7.0.99 sha=00000000:0'")
	script("valkey-server", "echo no version here")
	script("redict-server", "exit 1")
	t.Setenv("PATH", bin)
	t.Setenv("TRIGGERD_SERVERS", t.TempDir())
	found := servers.Find(t.Context())
	if len(found) != 1 || found[0].Name != "redis-7.0" || found[0].Version != "7.0.99" || found[0].Dir != bin {
		t.Errorf("Find: got %+v, want redis 7.0.99 in %s", found, bin)
	}
	p, err := servers.Get(t.Context(), "redis-7.0")
	if err != nil || p.Version != "7.0.99" {
		t.Errorf("Get: got %+v, %v, want redis 7.0.99", p, err)
	}
	script("redis-server", "echo 'Valkey server v=7.2.5 sha=00000000:0'")
	p, err = servers.Get(t.Context(), "valkey-7.2") // which could not be fetched
	if err != nil || p.Version != "7.2.5" {
		t.Errorf("Get: got %+v, %v, want valkey 7.2.5", p, err)
	}
}
