package main

import (
	"archive/tar"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"triggerd/internal/delivered"
	"triggerd/internal/store"
)

func newStoreBackupCommand() *cobra.Command {
	c := &client{}
	cmd := &cobra.Command{
		Use:   "backup DIR",
		Short: "Copy the running daemon's store to a new directory",
		Long: `Backup asks the running daemon for a copy of its store as it is now, writes it to
a new directory, and checks it as verify does. The daemon goes on meanwhile.

'triggerd store restore' makes a data directory of it. Of a daemon that is
stopped, copy the data directory itself.`,
		Example: `  triggerd store backup /srv/backup/triggerd-$(date +%F)`,
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			dir := filepath.Clean(args[0])
			if err := c.backup(cmd.Context(), dir); err != nil {
				return failed(err)
			}
			return verify(cmd.OutOrStdout(), dir, " in the copy")
		},
	}
	c.addAddress(cmd)
	return cmd
}

// backup writes the daemon's store to a directory that must not be there. It
// has that name only once it is whole and on disk.
func (c *client) backup(ctx context.Context, dir string) error {
	if _, err := os.Lstat(dir); err == nil {
		return fmt.Errorf("%s is there already", dir)
	}
	resp, err := c.send(ctx, "POST", "/api/v1/store/backup", nil, nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	partial, err := os.MkdirTemp(filepath.Dir(dir), "."+filepath.Base(dir)+"-")
	if err != nil {
		return err
	}
	if err := unpack(tar.NewReader(resp.Body), partial); err != nil {
		os.RemoveAll(partial)
		return fmt.Errorf("backup: %w", err)
	}
	if err := os.Rename(partial, dir); err != nil {
		os.RemoveAll(partial)
		return err
	}
	return syncPath(filepath.Dir(dir))
}

// lastOfStore is the file that comes last: without it the archive was cut.
const lastOfStore = "checkpoint"

// sumsName is the file in a backup that says what each of the others was, as
// sha256sum writes it. A database and a spool whose last records are cut off look
// like those of a process that was killed, so they do not tell themselves. A
// directory that is in use has none.
const sumsName = "SHA256SUMS"

// unpack writes the files of an archive, with sumsName, and syncs them.
func unpack(archive *tar.Reader, dir string) error {
	dirs := map[string]bool{dir: true}
	var sums strings.Builder
	for last := ""; ; {
		h, err := archive.Next()
		if errors.Is(err, io.EOF) && last == lastOfStore {
			return errors.Join(writeFile(filepath.Join(dir, sumsName), strings.NewReader(sums.String())), syncPaths(dirs))
		}
		if err != nil {
			return fmt.Errorf("the answer is not a whole archive: %w", err)
		}
		if h.Typeflag != tar.TypeReg || !isStoreFile(h.Name) {
			return fmt.Errorf("the archive has %q, which is no file of a store", h.Name)
		}
		path := filepath.Join(dir, h.Name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			return err
		}
		for d := filepath.Dir(path); !dirs[d]; d = filepath.Dir(d) {
			dirs[d] = true
		}
		last = h.Name
		sum := sha256.New()
		if err := writeFile(path, io.TeeReader(archive, sum)); err != nil {
			return err
		}
		fmt.Fprintf(&sums, "%x  %s\n", sum.Sum(nil), h.Name)
	}
}

// checkSums adds to a report which files of a backup are not as they were made. A
// directory without sumsName is none, or of an earlier version.
func checkSums(dir string, r *store.Report) error {
	text, err := os.ReadFile(filepath.Join(dir, sumsName))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(text)) {
		want, name, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "  ")
		if !isStoreFile(name) {
			r.Add(filepath.Join(dir, sumsName), "it is damaged")
			return nil
		}
		sum := sha256.New()
		switch err := readFile(filepath.Join(dir, name), sum); {
		case errors.Is(err, fs.ErrNotExist):
			r.Add(filepath.Join(dir, name), "it is missing")
		case err != nil:
			return err
		case hex.EncodeToString(sum.Sum(nil)) != want:
			r.Add(filepath.Join(dir, name), "it is not as it was backed up ("+sumsName+")")
		}
	}
	return nil
}

// writeFile writes a new file, and syncs it.
func writeFile(path string, from io.Reader) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, from)
	return errors.Join(err, f.Sync(), f.Close())
}

// readFile reads a file.
func readFile(path string, to io.Writer) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = io.Copy(to, f)
	return err
}

// isStoreFile reports whether a name in an archive is one that a store has: of a
// file beside the database, of one in it, of one with deliveries that are kept,
// or of one that a stream has for its mirror or its spool.
func isStoreFile(name string) bool {
	if !filepath.IsLocal(name) || name != filepath.Clean(name) {
		return false
	}
	switch parts := strings.Split(name, "/"); {
	case len(parts) == 1:
		return true
	case len(parts) == 2:
		return parts[0] == "db" || parts[0] == delivered.DirName
	case len(parts) == 3:
		return parts[0] == "state" || parts[0] == "spool"
	}
	return false
}

func syncPaths(paths map[string]bool) (err error) {
	for p := range paths {
		err = errors.Join(err, syncPath(p))
	}
	return err
}

func syncPath(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
