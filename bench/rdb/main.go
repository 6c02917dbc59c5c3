// Command rdb measures triggerd/rdb beside its peers: full decode of every key
// and element of snapshots of four shapes, each peer as a process of its own,
// in alternating rounds, all in one table.
//
//	cd bench/rdb && go run .
//
// The snapshots are made once, by a real Redis 7.0 that is given the same
// commands each time, and kept in bench/data (about 660 MB, ignored by git).
// Peers that are Go modules are built in; redis-check-rdb comes with the
// server. Any other program takes part with -peer, which may be repeated:
//
//	go run . -peer 'librdb-json=rdb-cli {} json -o /dev/null'
//
// {} stands for the snapshot. If such a program prints a line {"keys":n, ...}
// with the counts of the built-in peers, they are compared.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "rdb bench:", err)
		os.Exit(1)
	}
}

// external are the programs given with -peer.
type external []string

func (e *external) String() string     { return strings.Join(*e, ", ") }
func (e *external) Set(s string) error { *e = append(*e, s); return nil }

func run(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("rdb", flag.ExitOnError)
	dir := flags.String("dir", "../data", "where the snapshots are kept")
	rounds := flags.Int("rounds", 5, "rounds; each runs every peer once")
	only := flags.String("shapes", "strings,small,big,lzf", "shapes to measure")
	one := flags.String("one", "", "run this built-in peer on one snapshot, in this process, and print what it counted")
	var extra external
	flags.Var(&extra, "peer", "another peer: name=command with {} for the snapshot")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *one != "" {
		return runOne(*one, flags.Arg(0))
	}
	peers, err := allPeers(ctx, extra)
	if err != nil {
		return err
	}
	for _, name := range strings.Split(*only, ",") {
		file, err := snapshot(ctx, *dir, name)
		if err != nil {
			return fmt.Errorf("make %s: %w", name, err)
		}
		if err := measure(ctx, name, file, peers, *rounds); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

// counts is what a peer saw; all have to see the same.
type counts struct {
	Keys     int64 `json:"keys"`
	Elements int64 `json:"elements"`
	Bytes    int64 `json:"bytes"`
	// Mallocs is the number of allocations; not compared.
	Mallocs uint64 `json:"mallocs"`
}

// runOne decodes file with a built-in peer.
func runOne(name, file string) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	decode := builtin[name]
	if decode == nil {
		return fmt.Errorf("no peer %q", name)
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	c, err := decode(f)
	if err != nil {
		return err
	}
	runtime.ReadMemStats(&after)
	c.Mallocs = after.Mallocs - before.Mallocs
	return json.NewEncoder(os.Stdout).Encode(c)
}

// peer is one row of the table.
type peer struct {
	name    string
	command func(file string) *exec.Cmd
	// comparable tells that it decodes everything, so that it is a fair ratio
	// and its counts have to be those of the others.
	comparable bool
}

func allPeers(ctx context.Context, extra external) ([]peer, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	peers := []peer{}
	for _, name := range []string{"triggerd", "triggerd-skip", "triggerd-json", "checksum", "cupcake"} {
		peers = append(peers, peer{name, func(file string) *exec.Cmd {
			return exec.Command(self, "-one", name, file)
		}, name == "triggerd" || name == "cupcake"})
	}
	program, err := server(ctx)
	if err != nil {
		return nil, err
	}
	peers = append(peers, peer{"redis-check-rdb " + program.Version, func(file string) *exec.Cmd {
		return program.Command("check-rdb", file)
	}, false})
	for _, e := range extra {
		name, command, ok := strings.Cut(e, "=")
		words := strings.Fields(command)
		if !ok || len(words) == 0 {
			return nil, fmt.Errorf("-peer %q is not name=command", e)
		}
		peers = append(peers, peer{name, func(file string) *exec.Cmd {
			args := slices.Clone(words)
			for i, a := range args {
				args[i] = strings.ReplaceAll(a, "{}", file)
			}
			return exec.Command(args[0], args[1:]...)
		}, false})
	}
	return peers, nil
}

// result is what the runs of one peer on one snapshot gave.
type result struct {
	wall   []time.Duration
	rss    int64 // greatest, in KiB
	counts *counts
	err    error
}

func (r *result) median() time.Duration {
	slices.Sort(r.wall)
	return r.wall[len(r.wall)/2]
}

func measure(ctx context.Context, shape, file string, peers []peer, rounds int) error {
	info, err := os.Stat(file)
	if err != nil {
		return err
	}
	if err := readOnce(file); err != nil {
		return err
	}
	results := make([]result, len(peers))
	for range rounds {
		for i, p := range peers {
			if err := ctx.Err(); err != nil {
				return err
			}
			results[i].add(p.command(file))
		}
	}
	report(shape, info.Size(), peers, results)
	return compare(peers, results)
}

// readOnce reads file, so that it is in the page cache. It keeps nothing of it:
// a process starts its life with the peak memory of the one that forked it.
func readOnce(file string) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = io.Copy(struct{ io.Writer }{io.Discard}, struct{ io.Reader }{f})
	return err
}

func (r *result) add(cmd *exec.Cmd) {
	if r.err != nil {
		return
	}
	start := time.Now()
	out, err := cmd.Output()
	wall := time.Since(start)
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			err = fmt.Errorf("%w: %s", err, exit.Stderr)
		}
		r.err = err
		return
	}
	r.wall = append(r.wall, wall)
	if usage, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage); ok {
		r.rss = max(r.rss, usage.Maxrss)
	}
	var c counts
	if json.Unmarshal(out, &c) == nil && c.Keys > 0 {
		r.counts = &c
	}
}

func report(shape string, size int64, peers []peer, results []result) {
	fmt.Printf("%s: %d MB, %d rounds, %d CPUs, %s\n", shape, size/1e6, len(results[0].wall), runtime.NumCPU(), runtime.Version())
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "\tmedian s\tbest s\tMB/s\tx triggerd\tpeak MB\tkeys\telements\tbytes\tmallocs/key\t")
	ours := results[0].median().Seconds()
	for i, p := range peers {
		r := &results[i]
		if r.err != nil {
			fmt.Fprintf(w, "%s\t-\t-\t-\t-\t-\t\t\t\t\t\n", p.name)
			continue
		}
		med := r.median().Seconds()
		fmt.Fprintf(w, "%s\t%.3f\t%.3f\t%.0f\t%.2f\t%.1f\t", p.name, med, r.wall[0].Seconds(),
			float64(size)/1e6/med, med/ours, float64(r.rss)/1024)
		if c := r.counts; c != nil {
			fmt.Fprintf(w, "%d\t%d\t%d\t%.3f\t\n", c.Keys, c.Elements, c.Bytes, float64(c.Mallocs)/float64(c.Keys))
		} else {
			fmt.Fprint(w, "\t\t\t\t\n")
		}
	}
	w.Flush()
	for i, p := range peers {
		if err := results[i].err; err != nil {
			fmt.Printf("%s failed: %s\n", p.name, firstLine(err))
		}
	}
	fmt.Println()
}

func firstLine(err error) string {
	s, _, _ := strings.Cut(err.Error(), "\n")
	return s[:min(len(s), 120)]
}

// compare makes sure that all who decode everything saw the same.
func compare(peers []peer, results []result) error {
	want := results[0].counts
	if want == nil {
		return fmt.Errorf("%s: %v", peers[0].name, results[0].err)
	}
	for i, p := range peers {
		c := results[i].counts
		if c == nil || !p.comparable {
			continue
		}
		if c.Keys != want.Keys || c.Elements != want.Elements || c.Bytes != want.Bytes {
			return fmt.Errorf("%s counted %+v, %s %+v", p.name, *c, peers[0].name, *want)
		}
	}
	return nil
}
