package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
)

func newStoreRestoreCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "restore BACKUP [DIR]",
		Short: "Make a data directory of a backup",
		Long: `Restore copies a backup to DIR, which must not be there or be empty, and checks
the copy as verify does before it has that name: what is damaged or cut restores
nothing. The backup is not changed. Root gives the copy to whoever has DIR, or
the folder that it is in.

A triggerd that is started with DIR then resumes at the backup's position, and
delivers what the backup has not delivered, with the same IDs. Two must not run
from copies of one store: both would deliver.`,
		Example: `  systemctl stop triggerd && mv /var/lib/triggerd /var/lib/triggerd.old
  triggerd store restore /srv/backup/triggerd-2026-11-29 /var/lib/triggerd
  chown -R triggerd: /var/lib/triggerd && systemctl start triggerd`,
		Args: cobra.RangeArgs(1, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			return failed(restore(cmd.OutOrStdout(), filepath.Clean(args[0]), filepath.Clean(dirArgument(args[1:]))))
		},
	}
}

// restore makes a data directory of a backup. It has its name only once it is
// whole and on disk.
func restore(out io.Writer, backup, dir string) (err error) {
	if to, err := filepath.EvalSymlinks(dir); err == nil {
		dir = to // a link to an empty directory stays
	}
	owner, err := placeOf(dir)
	if err != nil {
		return err
	}
	release, err := claim(backup)
	if err != nil {
		return err
	}
	defer release()
	partial, err := os.MkdirTemp(filepath.Dir(dir), "."+filepath.Base(dir)+"-")
	if err != nil {
		return fmt.Errorf("%w: a restore needs the right to make a directory beside %s", err, dir)
	}
	partial = filepath.Clean(partial) // as the paths in it that are told
	defer func() {
		if err != nil {
			os.RemoveAll(partial)
		}
	}()
	if err := copyStore(backup, partial); err != nil {
		return fmt.Errorf("restore %s: %w", backup, err)
	}
	if err := verifyAs(out, partial, backup, ": nothing is restored; 'triggerd store salvage' copies what is whole"); err != nil {
		return err
	}
	if err := os.Remove(filepath.Join(partial, sumsName)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := giveTo(owner, partial); err != nil {
		return err
	}
	// It takes the place of an empty directory in one step, which os.Rename refuses.
	if err := syscall.Rename(partial, dir); err != nil {
		return fmt.Errorf("rename %s to %s: %w: where that is a volume of its own, restore to a new directory in it, and name that with --data-dir", partial, dir, err)
	}
	fmt.Fprintf(out, "%s is restored\n", dir)
	return syncPath(filepath.Dir(dir))
}

// verifyAs verifies a directory, and tells of it as if it were another.
func verifyAs(out io.Writer, dir, name, advice string) error {
	var said bytes.Buffer
	err := verify(&said, dir, advice)
	fmt.Fprint(out, strings.ReplaceAll(said.String(), dir, name))
	if err != nil {
		if exit, ok := errors.AsType[*exitError](err); ok {
			err = exit.err
		}
		return errors.New(strings.ReplaceAll(err.Error(), dir, name))
	}
	return nil
}

// placeOf checks that nothing is in the place of a new directory, and returns who
// should have it.
func placeOf(dir string) (*syscall.Stat_t, error) {
	entries, err := os.ReadDir(dir)
	at := dir
	switch {
	case errors.Is(err, fs.ErrNotExist):
		at = filepath.Dir(dir)
	case err != nil:
		return nil, err
	case len(entries) > 0:
		return nil, fmt.Errorf("%s is not empty: stop the triggerd that it is of, and move it away first", dir)
	}
	info, err := os.Stat(at)
	if err != nil {
		return nil, err
	}
	owner, _ := info.Sys().(*syscall.Stat_t)
	return owner, nil
}

// claim keeps others from using a data directory until release is called, or
// says that one does. One that may not be written to is used by nobody.
func claim(dir string) (release func(), err error) {
	if info, err := os.Stat(dir); err != nil {
		return nil, err
	} else if !info.IsDir() {
		return nil, fmt.Errorf("%s is not a directory", dir)
	}
	lock, err := os.Open(filepath.Join(dir, "LOCK"))
	if errors.Is(err, fs.ErrNotExist) {
		return func() {}, nil
	}
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		lock.Close()
		return nil, fmt.Errorf("%s is in use: 'triggerd store backup' copies the store of a running triggerd", dir)
	}
	return func() { lock.Close() }, nil
}

// copyStore copies the files of a store, and syncs them. It needs a database and
// the file that a store has beside it.
func copyStore(from, to string) error {
	for _, name := range []string{"db", lastOfStore} {
		if _, err := os.Stat(filepath.Join(from, name)); err != nil {
			return fmt.Errorf("it is not a whole backup: %w", err)
		}
	}
	from, err := filepath.EvalSymlinks(from) // the newest backup may have a link
	if err != nil {
		return err
	}
	dirs := map[string]bool{}
	err = filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		target := filepath.Join(to, name)
		switch {
		case d.IsDir():
			dirs[target] = true
			return os.MkdirAll(target, 0o700)
		case name == "LOCK" || name == "ballast":
			return nil
		case !d.Type().IsRegular() || !isStoreFile(filepath.ToSlash(name)):
			return fmt.Errorf("it has %s, which is no file of a store", name)
		}
		return copyFile(path, target)
	})
	return errors.Join(err, syncPaths(dirs))
}

func copyFile(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	return writeFile(to, in)
}

// giveTo gives a directory and all that is in it to an owner, if that is not who
// does it, and if they may.
func giveTo(owner *syscall.Stat_t, dir string) error {
	if owner == nil || os.Geteuid() != 0 || owner.Uid == 0 {
		return nil
	}
	return filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Lchown(path, int(owner.Uid), int(owner.Gid))
	})
}
