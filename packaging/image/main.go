// Command image writes a container image of triggerd as an OCI archive: the
// program, roots of trust, time zones, and a user, on nothing. Equal input gives an
// equal archive, on any machine: the roots come from a module and the zones from Go,
// not from the machine, and times are that of the commit.
//
//	image -o FILE -version V -created UNIXTIME -revision COMMIT amd64=BINARY [arm64=BINARY]
package main

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"encoding/pem"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"golang.org/x/crypto/x509roots/fallback/bundle"
)

// uid is of the user that the image runs as: nobody's, and not root's.
const uid = 65532

// release is what an image is of.
type release struct {
	version, revision string
	created           time.Time
}

func main() {
	log.SetFlags(0)
	var r release
	out := flag.String("o", "", "archive to write")
	created := flag.Int64("created", 0, "time of everything in it, in seconds of Unix")
	flag.StringVar(&r.version, "version", "", "version of triggerd")
	flag.StringVar(&r.revision, "revision", "", "commit that it was built from")
	flag.Parse()
	r.created = time.Unix(*created, 0).UTC()
	if err := r.write(*out, flag.Args()); err != nil {
		log.Fatalln("image:", err)
	}
}

// write writes an archive of one image for each architecture=binary.
func (r *release) write(out string, binaries []string) error {
	base, err := r.base()
	if err != nil {
		return err
	}
	index := mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
	for _, b := range binaries {
		arch, path, ok := strings.Cut(b, "=")
		if !ok {
			return fmt.Errorf("%q is not architecture=binary", b)
		}
		img, err := r.image(base, arch, path)
		if err != nil {
			return err
		}
		index = mutate.AppendManifests(index, mutate.IndexAddendum{Add: img, Descriptor: v1.Descriptor{
			Platform:    &v1.Platform{OS: "linux", Architecture: arch},
			Annotations: map[string]string{"org.opencontainers.image.ref.name": r.tag()},
		}})
	}
	dir, err := os.MkdirTemp("", "image")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if _, err := layout.Write(dir, index); err != nil {
		return err
	}
	return r.archive(out, dir)
}

// tag is the version as a tag may have it.
func (r *release) tag() string { return strings.ReplaceAll(r.version, "+", "-") }

// base is the layer that all architectures share.
func (r *release) base() (v1.Layer, error) {
	var roots bytes.Buffer
	for root := range bundle.Roots() {
		if err := pem.Encode(&roots, &pem.Block{Type: "CERTIFICATE", Bytes: root.Certificate}); err != nil {
			return nil, err
		}
	}
	zones, err := timeZones()
	if err != nil {
		return nil, err
	}
	return r.layer(append([]file{
		{name: "etc/", mode: 0o755},
		{name: "etc/group", mode: 0o644, content: []byte("root:x:0:\nnogroup:x:65534:\ntriggerd:x:65532:\n")},
		{name: "etc/passwd", mode: 0o644, content: []byte("root:x:0:0:root:/:/sbin/nologin\nnobody:x:65534:65534:nobody:/:/sbin/nologin\ntriggerd:x:65532:65532:triggerd:/var/lib/triggerd:/sbin/nologin\n")},
		{name: "etc/ssl/", mode: 0o755},
		{name: "etc/ssl/certs/", mode: 0o755},
		{name: "etc/ssl/certs/ca-certificates.crt", mode: 0o644, content: roots.Bytes()},
		{name: "etc/triggerd/", mode: 0o755},
		{name: "tmp/", mode: 0o1777},
		{name: "usr/", mode: 0o755},
		{name: "usr/bin/", mode: 0o755},
		{name: "var/", mode: 0o755},
		{name: "var/lib/", mode: 0o755},
		// Any user may keep a store here: an orchestrator often chooses one.
		{name: "var/lib/triggerd/", mode: 0o777, owner: uid},
		{name: "usr/share/", mode: 0o755},
	}, zones...))
}

// timeZones are the files of /usr/share/zoneinfo, which go before those that the
// program has in it: newer ones can be mounted there.
func timeZones() (files []file, err error) {
	root, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		return nil, fmt.Errorf("go env GOROOT: %w", err)
	}
	zones, err := zip.OpenReader(filepath.Join(strings.TrimSpace(string(root)), "lib", "time", "zoneinfo.zip"))
	if err != nil {
		return nil, err
	}
	defer zones.Close()
	const dir = "usr/share/zoneinfo/"
	seen := map[string]bool{}
	folder := func(name string) {
		if !seen[name] {
			seen[name] = true
			files = append(files, file{name: name, mode: 0o755})
		}
	}
	folder(dir)
	slices.SortFunc(zones.File, func(a, b *zip.File) int { return strings.Compare(a.Name, b.Name) })
	for _, z := range zones.File {
		if strings.HasSuffix(z.Name, "/") {
			continue
		}
		for i, c := range z.Name {
			if c == '/' {
				folder(dir + z.Name[:i+1])
			}
		}
		content, err := fs.ReadFile(zones, z.Name)
		if err != nil {
			return nil, err
		}
		files = append(files, file{name: dir + z.Name, mode: 0o644, content: content})
	}
	return files, nil
}

// image is that of one architecture.
func (r *release) image(base v1.Layer, arch, path string) (v1.Image, error) {
	program, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	top, err := r.layer([]file{{name: "usr/bin/triggerd", mode: 0o755, content: program}})
	if err != nil {
		return nil, err
	}
	img := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	for _, layer := range []struct {
		v1.Layer
		by string
	}{{base, "users, roots of trust, time zones, folders"}, {top, "triggerd " + r.version}} {
		if img, err = mutate.Append(img, mutate.Addendum{Layer: layer.Layer, MediaType: types.OCILayer, History: v1.History{Created: v1.Time{Time: r.created}, CreatedBy: layer.by}}); err != nil {
			return nil, err
		}
	}
	c, err := img.ConfigFile()
	if err != nil {
		return nil, err
	}
	c = c.DeepCopy()
	c.OS, c.Architecture, c.Created = "linux", arch, v1.Time{Time: r.created}
	c.Config = v1.Config{
		User:       fmt.Sprintf("%d:%d", uid, uid),
		Entrypoint: []string{"/usr/bin/triggerd"},
		WorkingDir: "/var/lib/triggerd",
		Env: []string{
			"PATH=/usr/bin", "SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt",
			"TRIGGERD_CONFIG=/etc/triggerd/rules.toml", "TRIGGERD_DATA_DIR=/var/lib/triggerd",
		},
		Volumes:    map[string]struct{}{"/var/lib/triggerd": {}},
		StopSignal: "SIGTERM",
		Labels: map[string]string{
			"org.opencontainers.image.title":       "triggerd",
			"org.opencontainers.image.description": "Make things happen when keys change in Redis or Valkey",
			"org.opencontainers.image.version":     r.version,
			"org.opencontainers.image.revision":    r.revision,
			"org.opencontainers.image.created":     r.created.Format(time.RFC3339),
			"org.opencontainers.image.licenses":    "MIT",
		},
	}
	return mutate.ConfigFile(img, c)
}

// file is one of a layer; a name that ends with a slash is a folder's.
type file struct {
	name    string
	mode    int64
	owner   int
	content []byte
}

// layer packs files, in this order.
func (r *release) layer(files []file) (v1.Layer, error) {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, f := range files {
		h := &tar.Header{Typeflag: tar.TypeReg, Name: f.name, Mode: f.mode, Uid: f.owner, Gid: f.owner, Size: int64(len(f.content)), ModTime: r.created, Format: tar.FormatUSTAR}
		if strings.HasSuffix(f.name, "/") {
			h.Typeflag = tar.TypeDir
		}
		if err := w.WriteHeader(h); err != nil {
			return nil, err
		}
		if _, err := w.Write(f.content); err != nil {
			return nil, err
		}
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(b.Bytes())), nil }, tarball.WithMediaType(types.OCILayer))
}

// archive packs an OCI layout, in the order of its names.
func (r *release) archive(out, dir string) (err error) {
	f, err := os.Create(out)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	w := tar.NewWriter(f)
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || path == dir {
			return err
		}
		name, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		h := &tar.Header{Name: filepath.ToSlash(name), ModTime: r.created, Format: tar.FormatUSTAR}
		if d.IsDir() {
			h.Typeflag, h.Mode, h.Name = tar.TypeDir, 0o755, h.Name+"/"
			return w.WriteHeader(h)
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		h.Typeflag, h.Mode, h.Size = tar.TypeReg, 0o644, int64(len(content))
		if err := w.WriteHeader(h); err != nil {
			return err
		}
		_, err = w.Write(content)
		return err
	})
	return errors.Join(err, w.Close())
}
