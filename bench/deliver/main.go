// Command deliver measures how firings are made durable and delivered, all of it
// through the engine as the daemon runs it: a source at one end, an HTTP server
// in the same process at the other, a store on the disk of the directory -dir
// between them.
//
//	go run .              # everything, about seven minutes
//	go run . -only live   # one of enqueue, deliver, pending, failing, live
//	go test triggerd/cmd/triggerd -run '^$' -bench WriteToWebhook   # latency, with a real server
package main

import (
	"flag"
	"fmt"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/pprof"
	"strings"
	"text/tabwriter"
	"time"
)

var (
	only    = flag.String("only", "", "enqueue, deliver, kept, pending, failing or live")
	dir     = flag.String("dir", "", "where stores are made; default that of temporary files")
	pending = flag.Int("pending", 1_000_000, "firings that wait, for pending")
	seconds = flag.Int("seconds", 10, "how long live runs")
	rounds  = flag.Int("rounds", 3, "of deliver and kept, of which the median counts; of kept in pairs, four each")
	keep    = flag.Int64("keep", 256<<20, "bytes of deliveries that are kept whole; 0: none is")
	server  = flag.String("server", "redis-7.0", "of live")
	profile = flag.String("cpuprofile", "", "write a CPU profile to this file")
	memory  = flag.String("memprofile", "", "write a profile of all allocations to this file")
	child   = flag.String("child", "", "(for itself) a step of pending")
)

// figure is one line of the result. A want of 0 asks for nothing.
type figure struct {
	name      string
	got, want float64
	atMost    bool
	unit      string
}

var figures []figure

func report(name string, got float64, unit string) {
	figures = append(figures, figure{name: name, got: got, unit: unit})
}

func atLeast(name string, got, want float64, unit string) {
	figures = append(figures, figure{name, got, want, false, unit})
}

func atMost(name string, got, want float64, unit string) {
	figures = append(figures, figure{name, got, want, true, unit})
}

func main() {
	flag.Parse()
	log.SetFlags(0)
	if *child != "" {
		pendingChild(*child)
		return
	}
	if *profile != "" {
		f, err := os.Create(*profile)
		if err != nil {
			log.Fatal(err)
		}
		if err := pprof.StartCPUProfile(f); err != nil {
			log.Fatal(err)
		}
		defer pprof.StopCPUProfile()
	}
	for _, part := range []struct {
		name string
		run  func(dir string) error
	}{{"enqueue", enqueue}, {"deliver", deliver}, {"kept", kept}, {"pending", waiting}, {"failing", failing}, {"live", live}} {
		if *only != "" && *only != part.name {
			continue
		}
		began := time.Now()
		if err := inDir(part.run); err != nil {
			log.Fatalf("%s: %v", part.name, err)
		}
		log.Printf("%s took %.1f s", part.name, time.Since(began).Seconds())
	}
	if *memory != "" {
		if err := writeAllocations(*memory); err != nil {
			log.Fatal(err)
		}
	}
	if !table() {
		pprof.StopCPUProfile()
		os.Exit(1)
	}
}

func writeAllocations(path string) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close()
	return pprof.Lookup("allocs").WriteTo(f, 0)
}

// inDir runs part in a directory that is removed afterwards.
func inDir(part func(dir string) error) error {
	made, err := os.MkdirTemp(*dir, "triggerd-bench")
	if err != nil {
		return err
	}
	defer os.RemoveAll(made)
	return part(made)
}

// table prints the figures and reports whether all are as they should be.
func table() bool {
	w := tabwriter.NewWriter(os.Stdout, 0, 8, 2, ' ', 0)
	good := true
	for _, f := range figures {
		bar := ""
		if f.want != 0 {
			ok, sign := f.got >= f.want, "≥"
			if f.atMost {
				ok, sign = f.got <= f.want, "≤"
			}
			bar = fmt.Sprintf("%s %.6g", sign, f.want)
			if !ok {
				bar += "  MISSED"
				good = false
			}
		}
		fmt.Fprintf(w, "%s\t%.6g %s\t%s\n", f.name, f.got, f.unit, bar)
	}
	w.Flush()
	return good
}

// rss returns the resident memory of this process now, and at most so far, in MB.
func rss() (now, peak float64) {
	b, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0, 0
	}
	for line := range strings.Lines(string(b)) {
		var kb float64
		switch {
		case strings.HasPrefix(line, "VmRSS:"):
			fmt.Sscanf(line, "VmRSS: %f", &kb)
			now = kb / 1024
		case strings.HasPrefix(line, "VmHWM:"):
			fmt.Sscanf(line, "VmHWM: %f", &kb)
			peak = kb / 1024
		}
	}
	return now, peak
}

// again runs this program as a step of pending, and hands its output on.
func again(step, dir string) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	cmd := exec.Command(self, "-child", step, "-dir", dir, "-pending", fmt.Sprint(*pending))
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return fmt.Errorf("%s: %w\n%s", step, err, out)
	}
	for line := range strings.Lines(string(out)) {
		var f figure
		name, rest, _ := strings.Cut(strings.TrimSpace(line), "|")
		fmt.Sscanf(rest, "%f %f %t %s", &f.got, &f.want, &f.atMost, &f.unit)
		f.name = name
		figures = append(figures, f)
	}
	return nil
}

func data(dir string) string { return filepath.Join(dir, "data") }
