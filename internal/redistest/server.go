package redistest

import (
	"context"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"triggerd/internal/servers"
)

// All names the servers that triggerd promises to work with.
var All = []string{"redis-6.0", "redis-7.0", "redis-8.0", "redis-8.6", "valkey-8.0", "valkey-9.1"}

// Start starts the named server with further arguments for its command line
// (see [servers.Options]) and closes it when the test ends. If the test
// failed, the end of the server's log is shown.
func Start(t testing.TB, name string, args ...string) *servers.Server {
	t.Helper()
	return StartWith(t, servers.Options{Name: name, Args: args})
}

// StartWith is Start with all options.
func StartWith(t testing.TB, o servers.Options) *servers.Server {
	t.Helper()
	need(t, o.Name)
	srv, err := servers.Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the log of %s on %s ends with:\n%s", srv.Program.Name, srv.Addr, srv.Log())
		}
		if err := srv.Close(); err != nil {
			t.Errorf("close %s: %v", srv.Program.Name, err)
		}
	})
	return srv
}

// Each runs test as a subtest named after the server, once for each of the
// named servers or, if it is set, for those of TRIGGERD_TEST_SERVERS. args are
// Start's.
func Each(t *testing.T, names []string, test func(t *testing.T, srv *servers.Server), args ...string) {
	t.Helper()
	if list := os.Getenv("TRIGGERD_TEST_SERVERS"); list != "" {
		names = strings.Split(list, ",")
	}
	for _, name := range names {
		t.Run(name, func(t *testing.T) { test(t, Start(t, strings.TrimSpace(name), args...)) })
	}
}

// Dial returns a client of srv, which is closed when the test ends. It waits a
// minute for a reply: a busy machine may take long over a large command.
func Dial(t testing.TB, srv *servers.Server) *servers.Client {
	t.Helper()
	c := dial(t, srv)
	t.Cleanup(func() { c.Close() })
	return c
}

func dial(t testing.TB, srv *servers.Server) *servers.Client {
	t.Helper()
	c, err := servers.Dial(t.Context(), srv.Socket)
	if err != nil {
		t.Fatalf("connect to %s: %v", srv.Program.Name, err)
	}
	c.Timeout = time.Minute
	return c
}

// Do sends srv one command on a connection of its own and returns the reply,
// see [servers.Client.Receive]. An error ends the test.
func Do(t testing.TB, srv *servers.Server, args ...string) any {
	t.Helper()
	c := dial(t, srv)
	defer c.Close()
	reply, err := c.Do(args...)
	if err != nil {
		t.Fatalf("%s: %.1000q: %v", srv.Program.Name, args[:min(len(args), 20)], err)
	}
	return reply
}

// need makes sure that the named server is there. Without it there is nothing
// to test: that is a failure where CI is set, and elsewhere the one permitted
// skip of this project.
func need(t testing.TB, name string) {
	t.Helper()
	err := get(name)
	if err == nil {
		return
	}
	msg := fmt.Sprintf("this test needs a real server that cannot be had here: %v", err)
	if os.Getenv("CI") != "" {
		t.Fatal(msg)
	}
	t.Skip(msg)
}

// getters holds a func() error for each name: a server that could not be
// fetched is not tried again by each test of a binary.
var getters sync.Map

func get(name string) error {
	once, _ := getters.LoadOrStore(name, sync.OnceValue(func() error {
		_, err := servers.Get(context.Background(), name) // it serves all tests, so not bound to one
		return err
	}))
	return once.(func() error)()
}
