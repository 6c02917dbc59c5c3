package browser

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"testing"

	"triggerd/internal/servers"
)

const shell = "chromium-headless-shell"

// program is an unpacked browser.
type program struct {
	file string
	libs string // where its shared libraries are; "": installed on this machine
	root string
}

// find returns the browser that is installed, else the one in the cache, where
// it is put if it is not there.
func find(ctx context.Context) (*program, error) {
	if file := "/usr/lib/chromium/" + shell; isFile(file) {
		return &program{file: file}, nil
	}
	if runtime.GOOS != "linux" {
		return nil, fmt.Errorf("a browser for tests is fetched on Debian only")
	}
	dir, err := cacheDir()
	if err != nil {
		return nil, err
	}
	root, err := servers.FetchPackages(ctx, dir, shell, servers.Packages{
		Names: []string{shell, "fonts-dejavu-core"}, Skip: isNotNeeded, Place: place, MaxUnpacked: 700 << 20, Check: check,
	})
	if err != nil {
		return nil, fmt.Errorf("fetch %s: %w", shell, err)
	}
	return unpacked(root), nil
}

// unpacked returns the browser whose files are below root.
func unpacked(root string) *program {
	return &program{file: filepath.Join(root, "bin", shell), libs: filepath.Join(root, "lib"), root: root}
}

// check returns why an unpacked browser does not run.
func check(ctx context.Context, root string) error {
	tmp, err := os.MkdirTemp("", "triggerd-browser-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	p := unpacked(root)
	cmd := exec.CommandContext(ctx, p.file, "--version")
	if cmd.Env, err = p.environment(tmp); err != nil {
		return err
	}
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("run it: %w: %s", err, strings.TrimSpace(string(out)))
	}
	return nil
}

func isFile(file string) bool {
	st, err := os.Stat(file)
	return err == nil && st.Mode().IsRegular()
}

func cacheDir() (string, error) {
	if dir := os.Getenv("TRIGGERD_BROWSER"); dir != "" {
		return filepath.Abs(dir)
	}
	dir, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("no place to keep a browser: %w; set TRIGGERD_BROWSER", err)
	}
	return filepath.Join(dir, "triggerd", "browser"), nil
}

// isNotNeeded reports whether a package that the browser depends on is of no use
// without a screen, or is this machine's own: its C library has to be the one
// that its loader belongs to.
func isNotNeeded(pkg string) bool {
	for _, prefix := range []string{"libc6", "libgcc-s", "gcc-", "libllvm", "libz3", "libgl1-mesa", "libglx", "xkb-", "x11-", "xdg-", "debconf", "at-spi2-common", "libx11-data"} {
		if strings.HasPrefix(pkg, prefix) {
			return true
		}
	}
	return false
}

// sans has the system's font be one without serifs, whatever its weight.
const sans = `<match target="pattern"><test name="family"><string>system-ui</string></test><edit name="family" mode="assign"><string>DejaVu Sans</string></edit></match>`

// place keeps the browser with what it needs beside it, and fonts.
func place(name string) string {
	dir, base := filepath.Split(name)
	switch {
	case dir == "/usr/lib/chromium/" && (base == shell || regexp.MustCompile(`\.(pak|dat|bin)$`).MatchString(base)):
		return "bin"
	case strings.HasPrefix(dir, "/usr/share/fonts/") && strings.HasSuffix(base, ".ttf"):
		return "fonts"
	case strings.HasSuffix(dir, "/pulseaudio/") && strings.HasPrefix(base, "libpulsecommon"):
		return "lib"
	}
	return ""
}

// environment is what the browser runs in.
func (p *program) environment(tmp string) ([]string, error) {
	env := append(os.Environ(), "HOME="+tmp)
	if p.libs == "" {
		return env, nil
	}
	conf := filepath.Join(tmp, "fonts.conf")
	text := fmt.Sprintf("<?xml version=\"1.0\"?><!DOCTYPE fontconfig SYSTEM \"fonts.dtd\">\n<fontconfig><dir>%s</dir><cachedir>%s</cachedir>%s</fontconfig>\n", filepath.Join(p.root, "fonts"), filepath.Join(tmp, "fontcache"), sans)
	if err := os.WriteFile(conf, []byte(text), 0o644); err != nil {
		return nil, err
	}
	return append(env, "LD_LIBRARY_PATH="+p.libs, "FONTCONFIG_FILE="+conf), nil
}

// arguments are the browser's flags. As root it refuses to run in its sandbox.
func arguments(tmp string) []string {
	args := []string{
		"--headless", "--remote-debugging-pipe", "--user-data-dir=" + filepath.Join(tmp, "profile"), "--no-first-run", "--disable-gpu",
		"--disable-background-networking", "--disable-component-update", "--hide-scrollbars", "--proxy-server=direct://", "--disable-dev-shm-usage",
		"--no-sandbox", // it sees nothing but the page of this program, and needs no user namespaces
	}
	return append(args, "about:blank")
}

// program is looked for once in a test binary.
var programOnce = sync.OnceValues(func() (*program, error) {
	return find(context.Background()) // it serves all tests, so not bound to one
})

// need returns the browser. Without one there is nothing to test: that is a
// failure where CI is set.
func need(t testing.TB) *program {
	t.Helper()
	p, err := programOnce()
	if err == nil {
		return p
	}
	msg := fmt.Sprintf("this test needs a real browser that cannot be had here: %v", err)
	if os.Getenv("CI") != "" {
		t.Fatal(msg)
	}
	t.Skip(msg)
	return nil
}
