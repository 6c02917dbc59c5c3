package main

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"triggerd/engine"
	"triggerd/internal/delivered"
	"triggerd/internal/spool"
	"triggerd/internal/store"
)

// defaultDataDir is where run keeps its store if nothing else is said.
const defaultDataDir = "triggerd-data"

func newStoreCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "store",
		Short: "Back up, restore or check the store of firings that wait, or save what a damaged one still has",
		Long: `Store looks after a data directory: the firings that wait for delivery, the dead
letters, and the position to resume from. Backup asks the running daemon; the
others are for a directory that no triggerd has open.`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newStoreBackupCommand(), newStoreRestoreCommand(), newStoreVerifyCommand(), newStoreSalvageCommand())
	return cmd
}

func newStoreVerifyCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "verify [DIR]",
		Short: "Read everything in a data directory and report what is damaged",
		Long: `Verify reads every file and every record, of the store, of the spool, of the values
of keys and of deliveries that are kept, checks all checksums and that records fit together, and changes
nothing. It prints a line for each problem.

It ends with 0 if all is whole, and with 1 if not or if it could not look.`,
		Example: `  triggerd store verify /var/lib/triggerd`,
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return verify(cmd.OutOrStdout(), dirArgument(args), "; 'triggerd store salvage' copies what is whole")
		},
	}
}

// verify checks a data directory, and prints what it holds and what is wrong
// with it. If anything is, it is an error, which ends with advice.
func verify(out io.Writer, dir, advice string) error {
	r, err := store.Verify(dir)
	if err != nil {
		return failed(err)
	}
	if err := errors.Join(verifyStreams(dir, r), checkSums(dir, r)); err != nil {
		return failed(err)
	}
	printProblems(out, r)
	fmt.Fprintf(out, "%s: %s\n", dir, summary(r))
	if n := len(r.Problems) + r.Unlisted; n > 0 {
		return failed(fmt.Errorf("%s: %s%s", dir, plural(n, "problem"), advice))
	}
	return nil
}

// verifyStreams adds to a report what is wrong with the files beside the
// database: those of streams, and of deliveries that are kept.
func verifyStreams(dir string, r *store.Report) error {
	whole, damaged, err := delivered.Verify(filepath.Join(dir, delivered.DirName))
	if err != nil {
		return err
	}
	r.Settled += whole
	for _, p := range damaged {
		r.Add(dir, p.Error())
	}
	streams := map[string]bool{store.Standalone: true}
	for stream := range r.State {
		streams[stream] = true
	}
	for _, stream := range slices.Sorted(maps.Keys(streams)) {
		problems, err := spool.Verify(spool.Dir(dir, stream))
		if err != nil {
			return err
		}
		for _, p := range append(problems, engine.VerifyMirror(dir, stream, r.Checkpoints[stream], r.State[stream])...) {
			r.Add(dir, p.Error())
		}
	}
	return nil
}

// copyStreams copies what streams have beside the database, as it is: what is
// damaged of it is found by whoever reads it, and then does without.
func copyStreams(dir, to string) error {
	for _, of := range []string{"state", "spool", delivered.DirName} {
		from := filepath.Join(dir, of)
		if _, err := os.Stat(from); errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err := os.CopyFS(filepath.Join(to, of), os.DirFS(from)); err != nil {
			return err
		}
	}
	return nil
}

func newStoreSalvageCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "salvage DIR NEWDIR",
		Short: "Copy all that is whole in a damaged data directory to a new one",
		Long: `Salvage reads the files of a damaged data directory one by one and copies every
record that is whole to a new directory, with which triggerd can be started. The
spool and the values of keys are copied as they are: what is damaged of them is
read from the server again. So are the deliveries that are kept: what is damaged
of them is left out where they are listed. The damaged one is not changed. It prints a line for each thing that is lost.

Firings that were delivered not long before the damage may be delivered again,
with the IDs that they had.`,
		Example: `  triggerd store salvage /var/lib/triggerd /var/lib/triggerd.new`,
		Args:    cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			r, err := store.Salvage(args[0], args[1])
			if err == nil {
				err = verifyStreams(args[0], r)
			}
			if err == nil {
				err = copyStreams(args[0], args[1])
			}
			if err != nil {
				return failed(err)
			}
			out := cmd.OutOrStdout()
			printProblems(out, r)
			fmt.Fprintf(out, "%s: %s\n", args[1], summary(r))
			return nil
		},
	}
}

func dirArgument(args []string) string {
	if len(args) > 0 {
		return args[0]
	}
	return defaultDataDir
}

func printProblems(w io.Writer, r *store.Report) {
	for _, p := range r.Problems {
		fmt.Fprintf(w, "%s\n", p)
	}
	if r.Unlisted > 0 {
		fmt.Fprintf(w, "and %s more\n", plural(r.Unlisted, "problem"))
	}
}

func summary(r *store.Report) string {
	return fmt.Sprintf("%s, %s, %s, resumes %s",
		plural(r.Jobs, "pending firing"), plural(r.DeadLetters, "dead letter"), plural(r.Settled, "settled firing"), positions(r.Checkpoints))
}

// positions says where each stream is resumed from, and names the streams if
// there are others than the one of a single server.
func positions(checkpoints map[string]string) string {
	one, single := checkpoints[store.Standalone]
	switch {
	case len(checkpoints) == 0:
		return "from the beginning"
	case single && len(checkpoints) == 1:
		return "from " + one
	}
	var list []string
	for _, stream := range slices.Sorted(maps.Keys(checkpoints)) {
		list = append(list, fmt.Sprintf("%q from %s", stream, checkpoints[stream]))
	}
	return strings.Join(list, ", ")
}
