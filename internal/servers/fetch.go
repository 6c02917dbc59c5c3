package servers

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

const (
	fetchTimeout = 5 * time.Minute
	versionFile  = "VERSION" // in a server's directory in the cache: its whole version
	maxUnpacked  = 512 << 20 // bytes that one server and its libraries may unpack to; they take about 25 MB
)

// sources says which Debian suites have which server. A suite that moves (sid,
// experimental, testing) may lose the version; then the next one is asked.
var sources = map[string][]string{
	"redict-7.3": {"bookworm-backports"},
	"redis-6.0":  {"bullseye"},
	"redis-7.0":  {"bookworm"},
	"redis-8.0":  {"trixie", "sid"},
	"redis-8.6":  {"experimental", "sid", "testing"},
	"valkey-8.0": {"bookworm-backports"},
	"valkey-8.1": {"trixie"},
	"valkey-9.1": {"sid", "testing"},
}

// Names returns the names of all servers that Get can fetch, sorted.
func Names() []string {
	return slices.Sorted(maps.Keys(sources))
}

// fetch gets the named server into the cache at dir, unless another process
// did while this one waited for the lock.
func fetch(ctx context.Context, dir, name string) (*Program, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	unlock, err := lock(ctx, filepath.Join(dir, ".lock"))
	if err != nil {
		return nil, err
	}
	defer unlock()
	if p, err := cachedProgram(dir, name); !errors.Is(err, fs.ErrNotExist) {
		return p, err
	}
	// Whoever holds the lock owns every unfinished fetch; one that is there was killed.
	left, _ := filepath.Glob(filepath.Join(dir, ".fetch-*"))
	for _, d := range left {
		os.RemoveAll(d)
	}
	tmp, err := os.MkdirTemp(dir, ".fetch-"+name+"-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(tmp)
	// MkdirTemp makes directories private, but a cache may be shared.
	tree := filepath.Join(tmp, "tree")
	if err := fetchTree(ctx, tmp, tree, name); err != nil {
		if ctx.Err() != nil {
			return nil, errors.Join(context.Cause(ctx), err)
		}
		return nil, err
	}
	if err := os.Rename(tree, filepath.Join(dir, name)); err != nil {
		return nil, err
	}
	return cachedProgram(dir, name)
}

// fetchTree makes the server's directory at tree, with tmp for all else.
func fetchTree(ctx context.Context, tmp, tree, name string) error {
	archive, err := findArchive(ctx, tmp)
	if err != nil {
		return err
	}
	var errs []error
	for _, suite := range sources[name] {
		debs, err := archive.download(ctx, suite, name)
		if err != nil {
			errs = append(errs, fmt.Errorf("suite %s: %w", suite, err))
			continue
		}
		return unpackServer(ctx, debs, tree, name)
	}
	return errors.Join(errs...)
}

// unpackServer unpacks debs into tree and makes sure that what came out runs.
func unpackServer(ctx context.Context, debs []string, tree, name string) error {
	family, _, _ := strings.Cut(name, "-")
	place := placing{family: family, bin: filepath.Join(tree, "bin"), lib: filepath.Join(tree, "lib")}
	u := unpacker{target: place.target, left: maxUnpacked}
	for _, d := range []string{place.bin, place.lib} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			return err
		}
	}
	for _, deb := range debs {
		if err := u.unpackDeb(ctx, deb); err != nil {
			return fmt.Errorf("unpack %s: %w", filepath.Base(deb), err)
		}
	}
	p, err := treeProgram(tree, name, "")
	if err != nil {
		return err
	}
	said, version, err := askVersion(ctx, p)
	if err != nil {
		return err
	}
	if said+"-"+minor(version) != name {
		return fmt.Errorf("it says it is %s %s", said, version)
	}
	return os.WriteFile(filepath.Join(tree, versionFile), []byte(version+"\n"), 0o644)
}

// unpacker takes what is needed to run a program out of Debian packages. It
// writes nothing but plain names into the directories of target, so neither a hostile
// path nor the question whether /lib is a link to /usr/lib can do harm.
type unpacker struct {
	target func(name string) string // the directory that a file of a package goes to; "": it is not needed
	left   int64                    // bytes that may still be written
}

// placing says where the files of a server's packages go.
type placing struct {
	family   string
	bin, lib string // directories
}

func (u *unpacker) unpackDeb(ctx context.Context, deb string) error {
	cmd := exec.CommandContext(ctx, "dpkg-deb", "--fsys-tarfile", deb)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	err = u.unpackTar(out)
	if err == nil {
		_, err = io.Copy(io.Discard, out) // what follows the end of the archive, so that dpkg-deb can end
	}
	if err != nil {
		cmd.Process.Kill()
		return errors.Join(err, cmd.Wait())
	}
	if err := cmd.Wait(); err != nil {
		return fmt.Errorf("dpkg-deb: %w: %s", err, firstLine(stderr.String()))
	}
	return nil
}

func (u *unpacker) unpackTar(r io.Reader) error {
	for tr := tar.NewReader(r); ; {
		h, err := tr.Next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		dir := u.target(h.Name)
		if dir == "" {
			continue
		}
		if err := u.unpackFile(h, tr, dir); err != nil {
			return fmt.Errorf("%s: %w", h.Name, err)
		}
	}
}

// target returns the directory that the file called name in a package belongs
// to, "" if it is not needed: programs of the family, and the shared libraries
// that are directly in a library directory, not the plugins below it.
func (u *placing) target(name string) string {
	dir, base := path.Split(path.Clean("/" + name))
	switch dir = strings.TrimPrefix(path.Clean(dir), "/usr"); {
	case dir == "/bin" && strings.HasPrefix(base, u.family+"-"):
		return u.bin
	case isLibrary(dir, base):
		return u.lib
	}
	return ""
}

// isLibrary reports whether a file is a shared library directly in a library
// directory, whose name lacks a leading /usr.
func isLibrary(dir, base string) bool {
	return (dir == "/lib" || dir == "/lib64" || path.Dir(dir) == "/lib" && strings.Contains(dir, "-linux-gnu")) &&
		strings.Contains(base, ".so")
}

func (u *unpacker) unpackFile(h *tar.Header, r io.Reader, dir string) error {
	file := filepath.Join(dir, path.Base(h.Name))
	switch h.Typeflag {
	case tar.TypeReg:
		if u.left -= h.Size; u.left < 0 {
			return errors.New("more than may be unpacked in all")
		}
		// What was there is a link to a file of the same name in another directory.
		if err := os.Remove(file); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, fs.FileMode(h.Mode)&0o755|0o644)
		if err != nil {
			return err
		}
		_, err = io.Copy(f, r)
		return errors.Join(err, f.Close())
	case tar.TypeSymlink, tar.TypeLink:
		target := path.Base(h.Linkname)
		if target == path.Base(h.Name) {
			return nil // /lib64/ld.so -> /lib/.../ld.so: they are one here
		}
		if err := os.Symlink(target, file); !errors.Is(err, fs.ErrExist) {
			return err
		}
	}
	return nil
}

// lock takes the file lock at file, waiting for it until ctx is done.
func lock(ctx context.Context, file string) (unlock func(), err error) {
	f, err := os.OpenFile(file, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, err
	}
	tick := time.NewTicker(100 * time.Millisecond) // flock cannot wait for a context
	defer tick.Stop()
	for {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		switch {
		case err == nil:
			return func() { f.Close() }, nil // closing it lets go of the lock
		case !errors.Is(err, syscall.EWOULDBLOCK) && !errors.Is(err, syscall.EINTR):
			f.Close()
			return nil, &fs.PathError{Op: "lock", Path: file, Err: err}
		}
		select {
		case <-ctx.Done():
			f.Close()
			return nil, fmt.Errorf("another process is fetching (lock %s): %w", file, context.Cause(ctx))
		case <-tick.C:
		}
	}
}
