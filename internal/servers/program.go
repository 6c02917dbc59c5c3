package servers

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"
)

// Default is the server that is fetched where any will do.
const Default = "valkey-8.1"

// families lists the server families in the order Find prefers them.
var families = []string{"valkey", "redis", "redict"}

// Program is a server of one version on this machine, ready to be run. A
// Program is not changed after it was made.
type Program struct {
	Name    string // family and minor version: "redis-7.0"
	Version string // the whole version: "7.0.15"
	Dir     string // where its programs are

	prefix string // of the files of its programs: "redis-"
	libs   string // directory of its own libraries; "" for a program of this machine
	loader string // path of its own dynamic loader; "" for a program of this machine
}

// Command returns the command that runs one of the program's tools with args:
// "server", "cli", "benchmark", "check-rdb", "check-aof". That the tool exists
// is only seen when the command is started.
func (p *Program) Command(tool string, args ...string) *exec.Cmd {
	return p.command(context.Background(), tool, args...)
}

func (p *Program) command(ctx context.Context, tool string, args ...string) *exec.Cmd {
	file := filepath.Join(p.Dir, p.prefix+tool)
	var cmd *exec.Cmd
	if p.loader == "" {
		cmd = exec.CommandContext(ctx, file, args...)
	} else {
		cmd = exec.CommandContext(ctx, p.loader, append([]string{"--library-path", p.libs, file}, args...)...)
	}
	// What is preloaded for this machine's programs may not suit the libraries of another release.
	cmd.Env = slices.DeleteFunc(os.Environ(), func(kv string) bool { return strings.HasPrefix(kv, "LD_") })
	if p.libs != "" {
		// Debian's Redis 6.0 has its scripts' modules "cjson" and "bit" from Lua's
		// own path; these are what its packages' links there lead to.
		modules := filepath.Join(p.libs, "liblua5.1-?.so.0")
		cmd.Env = append(cmd.Env, "LUA_CPATH="+modules+";"+strings.Replace(modules, "?", "?op", 1))
	}
	return cmd
}

// CacheDir returns the directory that fetched servers are kept in:
// $TRIGGERD_SERVERS, else triggerd/servers below the user's cache directory.
func CacheDir() (string, error) {
	if dir := os.Getenv("TRIGGERD_SERVERS"); dir != "" {
		return filepath.Abs(dir)
	}
	dir, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("no place to keep servers: %w; set TRIGGERD_SERVERS", err)
	}
	return filepath.Join(dir, "triggerd", "servers"), nil
}

// Find returns the servers that are on this machine already, without using the
// network: those on PATH, then those in the cache, newest first.
func Find(ctx context.Context) []*Program {
	found := onPath(ctx)
	dir, err := CacheDir()
	if err != nil {
		return found
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return found
	}
	var cached []*Program
	for _, e := range entries {
		if p, err := cachedProgram(dir, e.Name()); err == nil {
			cached = append(cached, p)
		}
	}
	slices.SortStableFunc(cached, newestFirst)
	return append(found, cached...)
}

// Get returns the named server, one of Names or of those that Find returned:
// from the cache, else from PATH, else fetched into the cache. What is cached
// costs no network and no time worth speaking of; fetching takes some ten
// seconds a server, and at most five minutes.
func Get(ctx context.Context, name string) (*Program, error) {
	dir, err := CacheDir()
	if err != nil {
		return nil, err
	}
	_, known := sources[name]
	if known {
		if p, err := cachedProgram(dir, name); !errors.Is(err, fs.ErrNotExist) {
			return p, err
		}
	}
	for _, p := range onPath(ctx) {
		if p.Name == name {
			return p, nil
		}
	}
	if !known {
		return nil, fmt.Errorf("no server is called %q; there are %s", name, strings.Join(Names(), ", "))
	}
	ctx, cancel := context.WithTimeoutCause(ctx, fetchTimeout, fmt.Errorf("not done within %v", fetchTimeout))
	defer cancel()
	p, err := fetch(ctx, dir, name)
	if err != nil {
		return nil, fmt.Errorf("fetch %s: %w", name, err)
	}
	return p, nil
}

// cachedProgram returns the named server of the cache at dir. The error is
// fs.ErrNotExist if it is not there.
func cachedProgram(dir, name string) (*Program, error) {
	if strings.HasPrefix(name, ".") {
		return nil, fs.ErrNotExist // being fetched
	}
	root := filepath.Join(dir, name)
	version, err := os.ReadFile(filepath.Join(root, versionFile))
	if err != nil {
		return nil, err
	}
	return treeProgram(root, name, strings.TrimSpace(string(version)))
}

// treeProgram returns the program whose unpacked files are below root.
func treeProgram(root, name, version string) (*Program, error) {
	libs := filepath.Join(root, "lib")
	loaders, err := filepath.Glob(filepath.Join(libs, "ld-linux*.so.*"))
	if err != nil {
		return nil, err
	}
	if len(loaders) != 1 {
		return nil, fmt.Errorf("%s: found %d dynamic loaders in %s, want 1; delete %s to have it fetched anew", name, len(loaders), libs, root)
	}
	family, _, _ := strings.Cut(name, "-")
	return &Program{Name: name, Version: version, Dir: filepath.Join(root, "bin"), prefix: family + "-", libs: libs, loader: loaders[0]}, nil
}

// onPath returns the servers on PATH.
func onPath(ctx context.Context) []*Program {
	var found []*Program
	for _, family := range families {
		file, err := exec.LookPath(family + "-server")
		if err != nil {
			continue
		}
		p := &Program{Dir: filepath.Dir(file), prefix: family + "-"}
		family, version, err := askVersion(ctx, p)
		if err != nil {
			continue // not a server that could be used
		}
		p.Name, p.Version = family+"-"+minor(version), version
		found = append(found, p)
	}
	return found
}

// A server says "Redis server v=7.0.15 sha=...", "Valkey server v=9.1.2 ...".
var versionPattern = regexp.MustCompile(`\b([A-Z][a-z]+) server v=(\d+\.\d+\.\d+)\b`)

// askVersion runs p and returns what it says it is. The program called
// redis-server may be a Valkey.
func askVersion(ctx context.Context, p *Program) (family, version string, err error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	cmd := p.command(ctx, "server", "--version")
	cmd.WaitDelay = waitDelay
	out, err := cmd.CombinedOutput()
	if err != nil {
		return "", "", fmt.Errorf("run %sserver --version: %w: %s", p.prefix, err, firstLine(string(out)))
	}
	m := versionPattern.FindStringSubmatch(string(out))
	if m == nil {
		return "", "", fmt.Errorf("run %sserver --version: no version in %q", p.prefix, firstLine(string(out)))
	}
	return strings.ToLower(m[1]), m[2], nil
}

// minor returns the first two numbers of a version.
func minor(version string) string {
	parts := strings.SplitN(version, ".", 3)
	return strings.Join(parts[:min(2, len(parts))], ".")
}

func newestFirst(a, b *Program) int {
	return slices.CompareFunc(strings.Split(b.Version, "."), strings.Split(a.Version, "."), func(x, y string) int {
		if d := len(x) - len(y); d != 0 {
			return d // numbers without leading zeros
		}
		return strings.Compare(x, y)
	})
}

func firstLine(s string) string {
	s, _, _ = strings.Cut(strings.TrimSpace(s), "\n")
	return s
}
