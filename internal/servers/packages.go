package servers

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// Packages are Debian packages of this machine's own release that hold a
// program which is no server, such as a browser for tests.
type Packages struct {
	Names []string // of packages; what they depend on is fetched too

	// Skip reports whether a package that they depend on is left out.
	Skip func(pkg string) bool
	// Place returns the directory, below the root, for a file that is no shared
	// library, by its path in its package; "": the file is left out. Shared
	// libraries go to "lib".
	Place func(name string) string

	MaxUnpacked int64 // bytes

	// Check returns what is wrong with what was unpacked below root.
	Check func(ctx context.Context, root string) error
}

// FetchPackages fetches packages through apt and unpacks them, without
// installing them, into the directory dir/name, unless that is there. It returns
// the directory. Each file there has the name that it has in its package, without
// that one's directories.
func FetchPackages(ctx context.Context, dir, name string, p Packages) (root string, err error) {
	root = filepath.Join(dir, name)
	if _, err := os.Stat(root); err == nil {
		return root, nil
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, fetchTimeout, fmt.Errorf("not done within %v", fetchTimeout))
	defer cancel()
	unlock, err := lock(ctx, filepath.Join(dir, ".lock"))
	if err != nil {
		return "", err
	}
	defer unlock()
	if _, err := os.Stat(root); err == nil {
		return root, nil // another process had the lock, and has fetched them
	}
	tmp, err := os.MkdirTemp(dir, ".fetch-"+name+"-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(tmp)
	debs, err := downloadPackages(ctx, tmp, &p)
	if err != nil {
		return "", err
	}
	tree := filepath.Join(tmp, "tree")
	if err := unpackPackages(ctx, debs, tree, &p); err != nil {
		return "", err
	}
	if err := p.Check(ctx, tree); err != nil {
		return "", err
	}
	return root, os.Rename(tree, root)
}

// downloadPackages returns the files of packages and of what they depend on.
func downloadPackages(ctx context.Context, tmp string, p *Packages) ([]string, error) {
	archive, err := findArchive(ctx, tmp)
	if err != nil {
		return nil, err
	}
	release, err := os.ReadFile(osReleaseFile)
	if err != nil {
		return nil, err
	}
	dir := filepath.Join(tmp, "apt")
	if err := archive.configure(ctx, dir, releaseCodename(string(release))); err != nil {
		return nil, err
	}
	if _, err := archive.apt(ctx, dir, "apt-get", "-q", "update"); err != nil {
		return nil, fmt.Errorf("read the package lists: %w", err)
	}
	plan, err := archive.apt(ctx, dir, "apt-get", append([]string{"-qq", "--print-uris", "install"}, p.Names...)...)
	if err != nil {
		return nil, fmt.Errorf("resolve the packages: %w", err)
	}
	var need []string
	for _, m := range printedDeb.FindAllStringSubmatch(plan, -1) {
		if version, err := url.PathUnescape(m[2]); err == nil && !p.Skip(m[1]) {
			need = append(need, m[1]+"="+version)
		}
	}
	debs := filepath.Join(dir, "debs")
	if err := os.Mkdir(debs, 0o755); err != nil {
		return nil, err
	}
	if _, err := archive.aptIn(ctx, debs, dir, "apt-get", append([]string{"-q", "download"}, need...)...); err != nil {
		return nil, fmt.Errorf("download the packages: %w", err)
	}
	return filepath.Glob(filepath.Join(debs, "*.deb"))
}

func unpackPackages(ctx context.Context, debs []string, tree string, p *Packages) error {
	u := unpacker{left: p.MaxUnpacked}
	made := []string{}
	var placing error
	u.target = func(name string) string {
		dir, base := path.Split(path.Clean("/" + name))
		to := p.Place(path.Join(dir, base))
		if to == "" && isLibrary(strings.TrimPrefix(path.Clean(dir), "/usr"), base) {
			to = "lib"
		}
		if to == "" {
			return ""
		}
		to = filepath.Join(tree, filepath.FromSlash(to))
		if !slices.Contains(made, to) {
			made = append(made, to)
			if err := os.MkdirAll(to, 0o755); err != nil && placing == nil {
				placing = err
			}
		}
		return to
	}
	for _, deb := range debs {
		if err := u.unpackDeb(ctx, deb); err != nil {
			return fmt.Errorf("unpack %s: %w", filepath.Base(deb), err)
		}
	}
	return placing
}
