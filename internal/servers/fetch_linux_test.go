package servers

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// fakeDebian puts a Debian machine on PATH whose apt serves the files of the
// directory "mirror" in the directory it returns: SUITE.madison, SUITE.plan,
// and the packages, which are plain tar files. Each call of a tool is a line
// of the file "calls". Without "online" an update fails.
func fakeDebian(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	script := func(name, text string) {
		text = "#!/bin/sh\nPATH=/usr/bin:/bin\nfake=" + dir + "\necho \"${0##*/} $*\" >>$fake/calls\n" + text
		write(t, filepath.Join(dir, "bin", name), text, 0o755)
	}
	suite := `suite=$(sed -n '1s/.* \([a-z-]*\) main$/\1/p' "$(dirname "$2")/sources.list")` + "\n"
	script("apt-get", `case "$*" in
*--print-uris\ update) echo "'http://mirror.test/debian/dists/bookworm/main/binary-amd64/Packages.xz' x 0"; exit ;;
esac
`+suite+`case "$*" in
*update) [ -e $fake/online ] || { echo "W: ignored" >&2; echo "E: Failed to fetch it: no route" >&2; exit 100; } ;;
*--print-uris\ install*) cat $fake/mirror/$suite.plan ;;
*download*) shift 4; for p; do cp "$fake/mirror/${p%%=*}.deb" . || exit 100; done ;;
*) exit 1 ;;
esac`)
	script("apt-cache", suite+`cat $fake/mirror/$suite.madison`)
	script("dpkg", "echo amd64")
	script("dpkg-deb", `cat "$2"`)
	release := filepath.Join(dir, "os-release")
	write(t, release, "ID=debian\nVERSION_CODENAME=bookworm\n", 0o644)
	old := osReleaseFile
	osReleaseFile = release
	t.Cleanup(func() { osReleaseFile = old })
	t.Setenv("PATH", filepath.Join(dir, "bin"))
	t.Setenv("TRIGGERD_SERVERS", filepath.Join(dir, "cache"))
	write(t, filepath.Join(dir, "online"), "", 0o644)
	return dir
}

func write(t *testing.T, file, text string, mode fs.FileMode) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
}

// publish has the fake mirror serve a redis-server that says it is version.
func publish(t *testing.T, dir, suite, debianVersion, version string) {
	t.Helper()
	mirror := filepath.Join(dir, "mirror")
	write(t, filepath.Join(mirror, suite+".madison"), " redis-server | "+debianVersion+" | http://mirror.test/debian "+suite+"/main amd64 Packages\n", 0o644)
	write(t, filepath.Join(mirror, suite+".plan"), `'http://mirror.test/debian/a' redis-server_5%3a1-1_amd64.deb 10 SHA256:0
'http://mirror.test/debian/b' libc6_2-1_amd64.deb 10 SHA256:0
'http://mirror.test/debian/c' adduser_3_all.deb 10 SHA256:0
`, 0o644)
	write(t, filepath.Join(mirror, "redis-server.deb"), string(tarFile(t,
		file("./usr/bin/redis-check-rdb", "#!/bin/sh\necho Redis server v="+version+" sha=0\n"),
		link("./usr/bin/redis-server", "redis-check-rdb"))), 0o644)
	write(t, filepath.Join(mirror, "libc6.deb"), string(tarFile(t,
		link("./lib64/ld-linux-x86-64.so.2", "/lib/x86_64-linux-gnu/ld-2.31.so"),
		file("./lib/x86_64-linux-gnu/ld-2.31.so", "#!/bin/sh\nshift 2\nexec \"$@\"\n"))), 0o644)
}

type entry struct {
	h    tar.Header
	text string
}

func file(name, text string) entry {
	return entry{tar.Header{Typeflag: tar.TypeReg, Name: name, Size: int64(len(text)), Mode: 0o755}, text}
}

func link(name, target string) entry {
	return entry{tar.Header{Typeflag: tar.TypeSymlink, Name: name, Linkname: target}, ""}
}

func tarFile(t *testing.T, entries ...entry) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, e := range entries {
		if err := w.WriteHeader(&e.h); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(e.text)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func calls(t *testing.T, dir string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, "calls"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	return string(b)
}

func TestFetchOnce(t *testing.T) {
	dir := fakeDebian(t)
	publish(t, dir, "bookworm", "5:7.0.15-1~deb12u7", "7.0.15")
	left := filepath.Join(dir, "cache", ".fetch-redis-7.0-1", "tree", "bin")
	if err := os.MkdirAll(left, 0o755); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			p, err := Get(t.Context(), "redis-7.0")
			if err != nil || p.Version != "7.0.15" {
				t.Errorf("got %+v, %v, want version 7.0.15", p, err)
			}
		})
	}
	wg.Wait()
	if got := strings.Count(calls(t, dir), "download"); got != 1 {
		t.Errorf("it was downloaded %d times, want 1", got)
	}
	entries, err := os.ReadDir(filepath.Join(dir, "cache"))
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	if want := []string{".lock", "redis-7.0"}; err != nil || !slices.Equal(names, want) {
		t.Errorf("the cache has %q, %v, want %q", names, err, want)
	}
	before := calls(t, dir)
	if _, err := Get(t.Context(), "redis-7.0"); err != nil {
		t.Error(err)
	}
	if found := Find(t.Context()); len(found) != 1 || found[0].Name != "redis-7.0" {
		t.Errorf("Find: got %+v", found)
	}
	if after := calls(t, dir); after != before {
		t.Errorf("what is cached was not used: %s", after[len(before):])
	}
}

// Packages that are no server's: what is asked for is fetched with what it needs,
// once, and each file lies where it is put.
func TestFetchPackages(t *testing.T) {
	dir := fakeDebian(t)
	mirror := filepath.Join(dir, "mirror")
	write(t, filepath.Join(mirror, "bookworm.plan"), `'http://mirror.test/debian/a' browser_150.0%7edeb12u1_amd64.deb 10 SHA256:0
'http://mirror.test/debian/b' libfont_2-1_amd64.deb 10 SHA256:0
'http://mirror.test/debian/c' adduser_3_all.deb 10 SHA256:0
`, 0o644)
	write(t, filepath.Join(mirror, "browser.deb"), string(tarFile(t,
		file("./usr/lib/browser/shell", "a program"), file("./usr/lib/browser/data.pak", "data"), file("./usr/share/doc/browser/README", "text"))), 0o644)
	write(t, filepath.Join(mirror, "libfont.deb"), string(tarFile(t,
		file("./usr/lib/x86_64-linux-gnu/libfont.so.1.2", "a library"), link("./usr/lib/x86_64-linux-gnu/libfont.so.1", "libfont.so.1.2"), file("./etc/fonts.conf", "x"))), 0o644)
	var checked string
	p := Packages{
		Names: []string{"browser"}, MaxUnpacked: 1 << 20,
		Skip: func(pkg string) bool { return pkg == "adduser" },
		Place: func(name string) string {
			if strings.HasPrefix(name, "/usr/lib/browser/") {
				return "bin"
			}
			return ""
		},
		Check: func(_ context.Context, root string) error {
			b, err := os.ReadFile(filepath.Join(root, "bin", "shell"))
			checked = string(b)
			return err
		},
	}
	cache := filepath.Join(dir, "cache")
	root, err := FetchPackages(t.Context(), cache, "browser", p)
	if err != nil || root != filepath.Join(cache, "browser") || checked != "a program" {
		t.Fatalf("got %q, %v; the check has read %q", root, err, checked)
	}
	if !strings.Contains(calls(t, dir), " download browser=150.0~deb12u1 libfont=2-1\n") {
		t.Errorf("the tools were called so:\n%s", calls(t, dir))
	}
	var found []string
	for _, name := range []string{"bin/shell", "bin/data.pak", "lib/libfont.so.1.2", "lib/libfont.so.1", "bin/README", "lib/fonts.conf"} {
		if _, err := os.Stat(filepath.Join(root, filepath.FromSlash(name))); err == nil {
			found = append(found, name)
		}
	}
	if want := []string{"bin/shell", "bin/data.pak", "lib/libfont.so.1.2", "lib/libfont.so.1"}; !slices.Equal(found, want) {
		t.Errorf("it has %q, want %q", found, want)
	}

	before := calls(t, dir)
	if _, err := FetchPackages(t.Context(), cache, "browser", p); err != nil || calls(t, dir) != before {
		t.Errorf("what is there was not used: %v, %s", err, calls(t, dir)[len(before):])
	}

	// What does not pass its check, or is too much, leaves nothing behind.
	p.Check = func(context.Context, string) error { return errors.New("it does not run") }
	if _, err := FetchPackages(t.Context(), cache, "other", p); err == nil || err.Error() != "it does not run" {
		t.Errorf("one that does not run: %v", err)
	}
	p.MaxUnpacked = 10
	if _, err := FetchPackages(t.Context(), cache, "large", p); err == nil || !strings.Contains(err.Error(), "unpack browser.deb: ") {
		t.Errorf("one that is too large: %v", err)
	}
	entries, err := os.ReadDir(cache)
	if err != nil || len(entries) != 2 { // and the lock
		t.Errorf("the cache has %v, %v", entries, err)
	}
}

func TestFetchAsksTheNextSuite(t *testing.T) {
	dir := fakeDebian(t)
	publish(t, dir, "experimental", "5:8.8.1-1", "8.8.1")
	publish(t, dir, "sid", "5:8.6.4-2", "8.6.4")
	p, err := Get(t.Context(), "redis-8.6")
	if err != nil || p.Version != "8.6.4" {
		t.Errorf("got %+v, %v, want version 8.6.4", p, err)
	}
}

func TestFetchErrors(t *testing.T) {
	tests := map[string]struct {
		prepare func(dir string)
		want    string
	}{
		"no apt":          {func(dir string) { os.Remove(filepath.Join(dir, "bin", "apt-cache")) }, `servers can be fetched on Debian only (exec: "apt-cache": executable file not found in $PATH)`},
		"no codename":     {func(dir string) { os.WriteFile(osReleaseFile, []byte("ID=alpine\n"), 0o644) }, "no VERSION_CODENAME in "},
		"no archive":      {func(dir string) { os.WriteFile(osReleaseFile, []byte("VERSION_CODENAME=jammy\n"), 0o644) }, "apt sources have no Debian archive with jammy main"},
		"unreachable":     {func(dir string) { os.Remove(filepath.Join(dir, "online")) }, "suite bookworm: read the package lists: apt-get: exit status 100; Failed to fetch it: no route"},
		"another version": {func(dir string) { publish(t, dir, "bookworm", "5:7.2.1-1", "7.2.1") }, "suite bookworm: it has no redis-server 7.0 (it has: 7.2.1)"},
		"a liar":          {func(dir string) { publish(t, dir, "bookworm", "5:7.0.15-1", "7.2.1") }, "it says it is redis 7.2.1"},
		"no loader":       {func(dir string) { write(t, filepath.Join(dir, "mirror", "libc6.deb"), string(tarFile(t)), 0o644) }, "found 0 dynamic loaders"},
		"broken package": {func(dir string) {
			write(t, filepath.Join(dir, "mirror", "libc6.deb"), strings.Repeat("x", 1024), 0o644)
		}, "unpack libc6.deb: archive/tar: invalid tar header"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			dir := fakeDebian(t)
			publish(t, dir, "bookworm", "5:7.0.15-1", "7.0.15")
			tt.prepare(dir)
			p, err := Get(t.Context(), "redis-7.0")
			if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.HasPrefix(err.Error(), "fetch redis-7.0: ") {
				t.Errorf("got %+v, %v\nwant %s", p, err, tt.want)
			}
			left, err := os.ReadDir(filepath.Join(dir, "cache"))
			if err != nil || len(left) != 1 {
				t.Errorf("more than a lock is left: %v, %v", left, err)
			}
		})
	}
}

func TestFetchWaitsForTheLock(t *testing.T) {
	dir := fakeDebian(t)
	publish(t, dir, "bookworm", "5:7.0.15-1", "7.0.15")
	cache := filepath.Join(dir, "cache")
	if err := os.MkdirAll(cache, 0o755); err != nil {
		t.Fatal(err)
	}
	unlock, err := lock(t.Context(), filepath.Join(cache, ".lock"))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeoutCause(t.Context(), time.Millisecond, errors.New("long enough"))
	defer cancel()
	if _, err := Get(ctx, "redis-7.0"); err == nil || !strings.Contains(err.Error(), "another process is fetching") || !strings.Contains(err.Error(), "long enough") {
		t.Errorf("got %v, want that another process is fetching", err)
	}
	unlock()
	if _, err := Get(t.Context(), "redis-7.0"); err != nil {
		t.Error(err)
	}
}

func TestBrokenCache(t *testing.T) {
	dir := fakeDebian(t)
	root := filepath.Join(dir, "cache", "redis-7.0")
	write(t, filepath.Join(root, versionFile), "7.0.15\n", 0o644)
	if p, err := Get(t.Context(), "redis-7.0"); err == nil || !strings.Contains(err.Error(), "delete "+root) {
		t.Errorf("got %+v, %v, want what to do", p, err)
	}
}

func TestUnpackIsConfined(t *testing.T) {
	root := t.TempDir()
	place := placing{family: "redis", bin: filepath.Join(root, "bin"), lib: filepath.Join(root, "lib")}
	u := unpacker{target: place.target, left: 100}
	for _, d := range []string{place.bin, place.lib} {
		if err := os.Mkdir(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	err := u.unpackTar(bytes.NewReader(tarFile(t,
		link("./usr/lib/x86_64-linux-gnu/libx.so.1", "/etc/passwd"),
		file("./usr/lib/x86_64-linux-gnu/libx.so.1", "x"),      // replaces the link, does not follow it
		link("./lib/x86_64-linux-gnu/libx.so.1", "libx.so.1"),  // of the same name: is left out
		link("./lib/x86_64-linux-gnu/libx.so.1", "libx.so.99"), // does not replace the file
		link("./lib/x86_64-linux-gnu/liby.so", "../../../../libx.so.1"),
		file("./usr/bin/../../../../../redis-out", "no"),
		file("./usr/bin/other", "no"),
		file("./etc/redis-x.so", "no"),
		file("./usr/lib/x86_64-linux-gnu/gconv/z.so", "no"),
	)))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			text, err := os.ReadFile(path)
			got = append(got, fmt.Sprintf("%s %s %v", strings.TrimPrefix(path, root), text, err))
		}
		return err
	})
	if want := []string{"/lib/libx.so.1 x <nil>", "/lib/liby.so x <nil>"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	err = u.unpackTar(bytes.NewReader(tarFile(t, file("./usr/bin/redis-server", strings.Repeat("x", 100)))))
	if err == nil || !strings.Contains(err.Error(), "more than") {
		t.Errorf("an unbounded package: got %v", err)
	}
}
