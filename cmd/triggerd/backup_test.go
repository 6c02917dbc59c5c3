package main

import (
	"archive/tar"
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"triggerd/internal/delivered"
	"triggerd/internal/redistest"
	"triggerd/internal/servers"
	"triggerd/internal/store"
)

// A copy of the store, made while the daemon ran and wrote, is all that another
// machine needs: after kill -9 of the daemon, and of the one that was restored,
// what waited at the copy and what came since is delivered, with its IDs, and
// what was delivered before is known.
func TestBackupAndRestore(t *testing.T) {
	t.Parallel()
	redistest.Each(t, []string{"redis-7.0"}, func(t *testing.T, srv *servers.Server) {
		const half = 50
		dir, hook := t.TempDir(), newSink(t)
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
		api := apiOf(t, p)
		redistest.Do(t, srv, "SET", "k:early", "early")
		early := []string{"deliveries", "list", "--delivered", "--key", "k:early"}
		awaitAnswer(t, api, `k:early`, early...)
		hook.setReply(func(*delivery) int { return http.StatusServiceUnavailable })
		set(0, half)
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
		verify := func() int { return run(t.Context(), []string{"store", "verify", copied}, io.Discard, io.Discard) }
		kept := filepath.Join(copied, delivered.DirName, "00000000000000000001.dlv")
		whole, err := os.ReadFile(kept)
		if err != nil || os.Truncate(kept, 0) != nil || verify() != 1 || os.Remove(kept) != nil || verify() != 1 || os.WriteFile(kept, whole, 0o600) != nil || verify() != 0 {
			t.Errorf("a file that is cut off, or missing, is not told, or one that is put back is: %v", err)
		}
		set(half, 2*half)
		p.kill()
		if err := os.RemoveAll(filepath.Join(dir, "first")); err != nil {
			t.Fatal(err)
		}

		restored := filepath.Join(dir, "second")
		var out2 bytes.Buffer
		if code := run(t.Context(), []string{"store", "restore", copied, restored}, &out2, &out2); code != 0 || !strings.Contains(out2.String(), copied+": ") || !strings.Contains(out2.String(), restored+" is restored") {
			t.Fatalf("restore: %d, %s", code, &out2)
		}
		if _, err := os.Stat(filepath.Join(restored, sumsName)); !os.IsNotExist(err) {
			t.Errorf("a data directory has the sums of a backup: %v", err)
		}
		p = startWith(t, command(t, dir, "run", "--data-dir", restored), "TRIGGERD_HTTP=127.0.0.1:0")
		p.logs.await(t, `msg="attached`, 1)
		mustAsk(t, apiOf(t, p), "k:early", early...)
		p.kill()
		hook.setReply(nil)
		p = start(t, dir, "run", "--data-dir", restored)
		ds := hook.await(t, "all", func(ds []delivery) bool {
			seen := map[string]bool{}
			for _, d := range ds {
				seen[d.value()] = true
			}
			return len(seen) == 2*half+1
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

// A restore takes no place that somebody has, and makes nothing of what is not
// whole, is no backup, or is in use. It does not write to the backup.
func TestRestore(t *testing.T) {
	backup := func(t *testing.T) string {
		dir := filepath.Join(t.TempDir(), "backup")
		st, err := store.Options{}.Open(dir)
		if err != nil {
			t.Fatal(err)
		}
		b := st.NewBatch()
		b.SetCheckpoint(store.Standalone, "here")
		if _, err := b.Commit(); err != nil {
			t.Fatal(err)
		}
		if err := st.Close(); err != nil {
			t.Fatal(err)
		}
		os.Remove(filepath.Join(dir, "LOCK")) // as a backup that was copied without it
		return dir
	}
	restore := func(t *testing.T, from, to string) (int, string) {
		var out bytes.Buffer
		code := run(t.Context(), []string{"store", "restore", from, to}, &out, &out)
		return code, out.String()
	}
	for name, c := range map[string]struct {
		spoil func(t *testing.T, from, to string)
		want  string // in what is said; "": it is restored
	}{
		"a new place":     {func(*testing.T, string, string) {}, ""},
		"an empty place":  {func(t *testing.T, _, to string) { os.Mkdir(to, 0o755) }, ""},
		"a place with":    {func(t *testing.T, _, to string) { os.Mkdir(to, 0o755); write(t, to, "mine", "x") }, "is not empty"},
		"a file there":    {func(t *testing.T, _, to string) { write(t, filepath.Dir(to), filepath.Base(to), "x") }, "not a directory"},
		"nowhere":         {func(t *testing.T, _, to string) { os.Remove(filepath.Dir(to)) }, "no such file"},
		"no backup":       {func(t *testing.T, from, _ string) { os.RemoveAll(from) }, "no such file"},
		"an empty backup": {func(t *testing.T, from, _ string) { os.RemoveAll(from); os.Mkdir(from, 0o755) }, "not a whole backup"},
		"no database":     {func(t *testing.T, from, _ string) { os.RemoveAll(filepath.Join(from, "db")) }, "not a whole backup"},
		"cut":             {func(t *testing.T, from, _ string) { os.Remove(filepath.Join(from, "checkpoint")) }, "not a whole backup"},
		"damaged":         {func(t *testing.T, from, _ string) { write(t, from, "checkpoint", "triggerd 3 1 x") }, "nothing is restored"},
		"of another kind": {func(t *testing.T, from, _ string) {
			os.MkdirAll(filepath.Join(from, "etc", "x", "y", "z"), 0o700)
			write(t, filepath.Join(from, "etc"), "passwd", "x")
		}, "no file of a store"},
		"a link in it": {func(t *testing.T, from, _ string) { os.Symlink("/etc/passwd", filepath.Join(from, "db", "link")) }, "no file of a store"},
		"a link to it": {func(t *testing.T, from, _ string) {
			os.Rename(from, from+".1")
			os.Symlink(from+".1", from)
		}, ""},
		"a link to an empty place": {func(t *testing.T, _, to string) { os.Symlink(t.TempDir(), to) }, ""},
		"in use": {func(t *testing.T, from, _ string) {
			st, err := store.Options{}.Open(from)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { st.Close() })
		}, "in use"},
		"for reading only": {func(t *testing.T, from, _ string) {
			os.Chmod(filepath.Join(from, "checkpoint"), 0o400)
			os.Chmod(from, 0o500)
		}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			from, to := backup(t), filepath.Join(t.TempDir(), "data")
			c.spoil(t, from, to)
			before, _ := os.ReadDir(filepath.Dir(to))
			code, said := restore(t, from, to)
			if c.want != "" {
				if code != 1 || !strings.Contains(said, c.want) {
					t.Errorf("exit code %d, want %q in: %s", code, c.want, said)
				}
				if after, _ := os.ReadDir(filepath.Dir(to)); len(after) != len(before) {
					t.Errorf("left behind: %v", after)
				}
				return
			}
			if code != 0 {
				t.Fatalf("exit code %d: %s", code, said)
			}
			if _, err := os.Stat(filepath.Join(from, "LOCK")); !os.IsNotExist(err) {
				t.Errorf("the backup was written to: %v", err)
			}
			r, err := store.Verify(to)
			if err != nil || len(r.Problems) > 0 || r.Checkpoints[store.Standalone] != "here" {
				t.Errorf("restored: %v, %+v", err, r)
			}
			if info, err := os.Stat(to); err != nil || info.Mode().Perm() != 0o700 {
				t.Errorf("mode: %v, %v", err, info.Mode())
			}
		})
	}
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
