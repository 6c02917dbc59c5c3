package main

import (
	"archive/tar"
	"bytes"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"triggerd/internal/redistest"
	"triggerd/internal/servers"
)

// A copy of the store, made while the daemon ran and wrote, is all that another
// machine needs: after kill -9 of the daemon, and of the one that was restored,
// what waited at the copy and what came since is delivered, with its IDs.
func TestBackupAndRestore(t *testing.T) {
	t.Parallel()
	redistest.Each(t, []string{"redis-7.0"}, func(t *testing.T, srv *servers.Server) {
		const half = 50
		dir, hook := t.TempDir(), newSink(t)
		hook.setReply(func(*delivery) int { return http.StatusServiceUnavailable })
		write(t, dir, "rules.toml", fmt.Sprintf(`
[source]
url = "redis://%s"
[defaults]
retry = { backoff = "100ms", max_backoff = "100ms", max_attempts = 1000 }
[[rule]]
name = "all"
key = "k:*"
[[rule.action]]
type = "webhook"
url = "%s"
`, srv.Addr, hook.URL))
		p := startWith(t, command(t, dir, "run", "--data-dir", "first"), "TRIGGERD_HTTP=127.0.0.1:0")
		p.logs.await(t, `msg="attached`, 1)
		set := func(from, to int) {
			for i := from; i < to; i++ {
				redistest.Do(t, srv, "SET", "k:"+strconv.Itoa(i), strconv.Itoa(i))
			}
		}
		set(0, half)
		api := apiOf(t, p)
		backup := func(to string) (code int, out string) {
			var stdout, stderr bytes.Buffer
			code = run(t.Context(), []string{"store", "backup", "--api", api, to}, &stdout, &stderr)
			return code, stdout.String() + stderr.String()
		}
		copied := filepath.Join(dir, "copy")
		code, out := backup(copied)
		if code != 0 || !strings.Contains(out, "pending firing") {
			t.Fatalf("backup: %d, %s", code, out)
		}
		if code, out := backup(copied); code != 1 || !strings.Contains(out, "there already") {
			t.Errorf("a second one to the same place: %d, %s", code, out)
		}
		if _, err := os.Stat(filepath.Join(dir, "first", "backup")); !os.IsNotExist(err) {
			t.Errorf("the folder of the copy is left: %v", err)
		}
		set(half, 2*half)
		p.kill()
		if err := os.RemoveAll(filepath.Join(dir, "first")); err != nil {
			t.Fatal(err)
		}

		p = start(t, dir, "run", "--data-dir", copied)
		p.logs.await(t, `msg="attached`, 1)
		p.kill()
		hook.setReply(nil)
		p = start(t, dir, "run", "--data-dir", copied)
		ds := hook.await(t, "all", func(ds []delivery) bool {
			seen := map[string]bool{}
			for _, d := range ds {
				seen[d.value()] = true
			}
			return len(seen) == 2*half
		})
		ids := map[string]string{}
		for _, d := range ds {
			if id, ok := ids[d.value()]; ok && id != d.ID {
				t.Errorf("%s came as %s and as %s", d.value(), id, d.ID)
			}
			ids[d.value()] = d.ID
			if d.Data.Event == "gap" {
				t.Error("something was missed")
			}
		}
		p.stop()
	})
}

// What answers need not be a triggerd: nothing is written but into the new
// directory, and nothing is left of what is not whole.
func TestBackupOfAStranger(t *testing.T) {
	t.Parallel()
	archive := func(names ...string) []byte {
		var b bytes.Buffer
		w := tar.NewWriter(&b)
		for _, name := range names {
			w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Size: 1, Mode: 0o600})
			w.Write([]byte("x"))
		}
		w.Close()
		return b.Bytes()
	}
	for name, answer := range map[string][]byte{
		"a path upwards": archive("../evil"),
		"a path":         archive("a/evil"),
		"an absolute":    archive("/tmp/evil"),
		"a path in it":   archive("db/../../evil"),
		"the folder":     archive("db/"),
		"twice":          archive("a", "a", "checkpoint"),
		"no archive":     []byte("hello"),
		"nothing":        nil,
		"half":           archive("a", "b")[:700],
	} {
		t.Run(name, func(t *testing.T) {
			srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Write(answer) }))
			defer srv.Close()
			dir := t.TempDir()
			var out bytes.Buffer
			if code := run(t.Context(), []string{"store", "backup", "--api", srv.URL, filepath.Join(dir, "copy")}, &out, &out); code != 1 {
				t.Errorf("exit code %d: %s", code, &out)
			}
			if left, _ := os.ReadDir(dir); len(left) > 0 {
				t.Errorf("left behind: %v", left)
			}
		})
	}
}
