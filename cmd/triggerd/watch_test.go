package main

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const watchedRules = `
include = ["more/*.toml"]
[source]
url = "redis://127.0.0.1:1"
[targets.hook]
type = "webhook"
url = "http://127.0.0.1:1/"
headers = { X = "${file:secret}" }
[[rule]]
name = "NAME"
key = "k"
action = [{ target = "hook" }]
`

// project makes a version of a folder as an orchestrator does: files in a folder
// of the version, a link "..data" to it, and links to the files through that.
func project(t *testing.T, dir, version string, files map[string]string) {
	t.Helper()
	for name, content := range files {
		path := filepath.Join(dir, "..", version, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Dir(path), filepath.Base(path), content)
	}
	if err := os.Symlink(filepath.Join("..", version), filepath.Join(dir, "..data_tmp")); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(filepath.Join(dir, "..data_tmp"), filepath.Join(dir, "..data")); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"rules.toml", "secret", "more"} {
		link := filepath.Join(dir, name)
		if _, err := os.Lstat(link); err == nil {
			continue
		}
		if err := os.Symlink(filepath.Join("..data", name), link); err != nil {
			t.Fatal(err)
		}
	}
}

// --watch reads the rules again when links to them are changed, when a file
// that they include comes, and when a secret does; with a mistake the old ones
// stay, and the next good ones are taken. A file that has become empty is told.
func TestWatch(t *testing.T) {
	t.Parallel()
	base := t.TempDir()
	dir := filepath.Join(base, "etc")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	files := func(name, secret string) map[string]string {
		return map[string]string{"rules.toml": strings.ReplaceAll(watchedRules, "NAME", name), "secret": secret, "more/a.toml": ""}
	}
	project(t, dir, "v1", files("one", "secret-1"))
	p := start(t, base, "run", "--watch", "-c", filepath.Join(dir, "rules.toml"))
	p.logs.await(t, `msg="triggerd starts"`, 1)

	project(t, dir, "v2", files("two", "secret-1"))
	p.logs.await(t, `msg="rules reloaded"`, 1)
	broken := files("three", "secret-1")
	broken["rules.toml"] += "nonsense = true\n"
	project(t, dir, "v3", broken)
	p.logs.await(t, "rules not reloaded, the old ones stay", 1)
	project(t, dir, "v4", files("four", "secret-1"))
	p.logs.await(t, `msg="rules reloaded"`, 2)
	project(t, dir, "v5", files("four", "secret-2"))
	p.logs.await(t, `msg="rules reloaded"`, 3)

	// Not by a link, but into the folder that the include looks at.
	write(t, filepath.Join(base, "v5", "more"), "b.toml", "[[rule]]\nname = \"b\"\nkey = \"b\"\naction = [{ target = \"hook\" }]\n")
	p.logs.await(t, `rules=2`, 1)
	write(t, filepath.Join(base, "v5", "more"), "b.toml", "")
	p.logs.await(t, `level=WARN msg="a rules file has become empty, its rules are gone" file=`, 1)
	p.stop()
}

// What is still being written is not read, and a change is told once.
func TestFileWatch(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	write(t, dir, "secret", "hunter2hunter2")
	path := write(t, dir, "rules.toml", watchedRules)
	w := &fileWatch{}
	load := func() error {
		w.reading()
		_, err := (&runOptions{config: path}).load(slog.New(slog.DiscardHandler), w.reads)
		w.wereRead(err == nil)
		return err
	}
	if err := load(); err != nil {
		t.Fatal(err)
	}
	w.reading()
	w.last = w.loaded
	look := func(what string, want bool) {
		t.Helper()
		if got := w.changed(); got != want {
			t.Errorf("%s: changed = %v", what, got)
		}
		if want {
			w.reading()
		}
	}
	look("nothing", false)
	write(t, dir, "rules.toml", watchedRules+"#")
	look("a change", false)
	write(t, dir, "rules.toml", watchedRules+"##")
	look("it goes on", false)
	look("it has ended", true)
	look("it was read", false)
	os.Remove(filepath.Join(dir, "secret"))
	look("a secret is gone", false)
	write(t, dir, "secret", "hunter3")
	look("and comes back", false)
	look("and stays", true)
	write(t, dir, "other.toml", "")
	look("a file beside it", false)
	look("which stays", true)
	write(t, dir, "other.txt", "")
	look("one of another kind", false)
	look("which stays", false)

	// What an include looks for in a folder that was not there, with a mistake that
	// is mended in a file that was never read.
	if err := os.Mkdir(filepath.Join(dir, "more"), 0o755); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "more"), "a.toml", "include = [\"../deep/b.conf\"]\n")
	look("a file in a new folder", false)
	look("which stays", true)
	if err := load(); err == nil {
		t.Fatal("an include of what is not there is no mistake")
	}
	look("what was read for the first time", false)
	look("is read once more", true)
	if err := load(); err == nil {
		t.Fatal("an include of what is not there is no mistake")
	}
	look("and then no more", false)
	if err := os.Mkdir(filepath.Join(dir, "deep"), 0o755); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "deep"), "b.conf", "")
	look("the file that was missing", false)
	look("which stays", true)
	if err := load(); err != nil {
		t.Error(err)
	}
}
