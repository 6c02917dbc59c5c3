// Package page measures the page: how soon what is written is on the screen, how
// soon a key that is pressed is, how many frames are dropped, and what watching
// costs the daemon.
//
//	cd bench/page && go test -v .
//
// It is a test only since the browser is for tests: it judges nothing. Absolutes
// depend on the machine and on what else it does; those of one run can be compared.
package page

import (
	"bufio"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"triggerd/internal/browser"
	"triggerd/internal/servers"
)

var (
	server  = flag.String("server", "redis-7.0", "server, as internal/servers names it")
	events  = flag.Int("events", 10_000, "changes a second of the browser's case")
	rate    = flag.Int("rate", 100_000, "commands a second of the viewers' case, if the machine makes that many")
	binary  = flag.String("program", "", "triggerd, if another than this checkout's is to be measured")
	rounds  = flag.Int("rounds", 5, "pairs of the viewers' case")
	query   = flag.String("query", "&all=1", "what the viewers ask for")
	seconds = flag.Int("seconds", 10, "how long each case takes")
	profile = flag.String("profiles", "", "directory for CPU profiles of the viewers' case, from which it also tells the reader's part; none by default. Taking them costs CPU")
)

// rules are twelve, and each change matches one.
func rules(addr string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "[source]\nurl = \"redis://%s\"\n", addr)
	for i := range 12 {
		fmt.Fprintf(&b, "[[rule]]\nname = \"rule-%d\"\nkey = \"k%d:*\"\nvalues = true\ndry_run = true\n[[rule.action]]\ntype = \"log\"\n", i, i)
	}
	return b.String()
}

// bench is a daemon that follows a server.
type bench struct {
	t   *testing.T
	srv *servers.Server
	api string
	cmd *exec.Cmd
}

// start starts so many daemons that follow one server.
func start(t *testing.T, daemons int) []*bench {
	t.Helper()
	dir := t.TempDir()
	program := *binary
	if program == "" {
		program = filepath.Join(dir, "triggerd")
		build := exec.CommandContext(t.Context(), "go", "build", "-o", program, "./cmd/triggerd")
		build.Dir = filepath.Join("..", "..")
		if out, err := build.CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	srv, err := servers.Start(t.Context(), servers.Options{Name: *server})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { srv.Close() })
	if err := os.WriteFile(filepath.Join(dir, "rules.toml"), []byte(rules(srv.Addr)), 0o600); err != nil {
		t.Fatal(err)
	}
	list := make([]*bench, daemons)
	for i := range list {
		list[i] = startDaemon(t, srv, program, dir, i)
	}
	return list
}

func startDaemon(t *testing.T, srv *servers.Server, program, dir string, number int) *bench {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	args := []string{"--data-dir", fmt.Sprint("data-", number)}
	if *profile != "" {
		args = append(args, "--pprof")
	}
	b := &bench{t: t, srv: srv, api: "http://" + ln.Addr().String(), cmd: exec.Command(program, args...)}
	ln.Close()
	b.cmd.Dir = dir
	b.cmd.Env = append(os.Environ(), "TRIGGERD_SOURCE=", "TRIGGERD_TOKEN=", "TRIGGERD_HTTP="+strings.TrimPrefix(b.api, "http://"))
	if err := b.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		b.cmd.Process.Signal(os.Interrupt)
		b.cmd.Wait()
	})
	for limit := time.Now().Add(30 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		res, err := http.Get(b.api + "/readyz")
		if err == nil {
			res.Body.Close()
			if res.StatusCode == http.StatusOK {
				return b
			}
		}
		if time.Now().After(limit) {
			t.Fatal("triggerd is not ready in 30 s")
		}
	}
}

// write writes so many changes a second until ctx is done, in pipelines of ten
// milliseconds, and returns how many there were.
func (b *bench) write(ctx context.Context, perSecond int) int {
	conn, err := net.Dial("tcp", b.srv.Addr)
	if err != nil {
		b.t.Error(err)
		return 0
	}
	defer conn.Close()
	var answers sync.WaitGroup
	answers.Go(func() { io.Copy(io.Discard, conn) })
	w := bufio.NewWriterSize(conn, 1<<20)
	began, n := time.Now(), 0
	for ctx.Err() == nil {
		due := int(time.Since(began).Seconds() * float64(perSecond))
		for range min(due-n, perSecond/10) {
			fmt.Fprintf(w, "SET k%d:%d %d\r\n", n%12, n%1000, n)
			n++
		}
		if err := w.Flush(); err != nil {
			b.t.Error(err)
			return n
		}
		time.Sleep(10 * time.Millisecond)
	}
	conn.(*net.TCPConn).CloseWrite() // the server ends once it has dealt with all
	answers.Wait()
	return n
}

// cpu returns the CPU time of the daemon so far.
func (b *bench) cpu() time.Duration {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", b.cmd.Process.Pid))
	if err != nil {
		b.t.Fatal(err)
	}
	fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
	ticks := 0
	for _, f := range fields[11:13] { // utime and stime, in hundredths of a second
		n, err := strconv.Atoi(f)
		if err != nil {
			b.t.Fatal(err)
		}
		ticks += n
	}
	return time.Duration(ticks) * 10 * time.Millisecond
}

// records returns how many commands the daemon has dealt with.
func (b *bench) records() int64 {
	res, err := http.Get(b.api + "/api/v1/overview")
	if err != nil {
		b.t.Fatal(err)
	}
	defer res.Body.Close()
	var o struct {
		Counts struct{ Records int64 }
	}
	if err := json.NewDecoder(res.Body).Decode(&o); err != nil {
		b.t.Fatal(err)
	}
	return o.Counts.Records
}

// measure samples, in the page, how old the newest row is in each frame, and how
// long frames take; and what the browser tells of the keys.
const measure = `(() => {
  const m = window.measured = {ages: [], frames: [], keys: []};
  new PerformanceObserver(l => { for (const e of l.getEntries()) if (e.name === "keydown") m.keys.push(e.duration); }).observe({type: "event", durationThreshold: 16});
  let last = 0;
  const top = () => { let best = 0; for (const r of document.querySelectorAll(".rows .row:not([hidden])")) { if (r.at === 0) best = r.shows?.at ? +new Date(r.shows.at) : 0; } return best; };
  const frame = t => { if (last) m.frames.push(t - last); last = t; setTimeout(() => { const at = top(); if (at) m.ages.push(Date.now() - at); }, 0); requestAnimationFrame(frame); };
  requestAnimationFrame(frame);
})()`

func percentile(list []float64, p float64) float64 {
	if len(list) == 0 {
		return 0
	}
	list = slices.Sorted(slices.Values(list))
	return list[min(len(list)-1, int(p*float64(len(list))))]
}

func TestScreen(t *testing.T) {
	b := start(t, 1)[0]
	p := browser.Open(t, browser.Options{})
	p.Go(b.api + "/?all=1")
	p.Wait(`document.querySelector("main").dataset.live === "open"`)
	ctx, stop := context.WithTimeout(t.Context(), time.Duration(*seconds)*time.Second)
	defer stop()
	written := make(chan int, 1)
	go func() { written <- b.write(ctx, *events) }()
	p.Wait(`document.querySelectorAll(".rows .row:not([hidden])").length > 20`)
	p.Eval(measure, nil)
	var before, after struct {
		Metrics []struct {
			Name  string
			Value float64
		}
	}
	p.Call("Performance.enable", map[string]any{"timeDomain": "threadTicks"}, nil)
	p.Call("Performance.getMetrics", nil, &before)
	began := time.Now()
	p.Eval(`document.querySelector("input[name=when]").focus()`, nil)
	for ctx.Err() == nil { // typing goes on, so the filter is never asked
		p.Press("x")
		time.Sleep(100 * time.Millisecond)
	}
	took := time.Since(began)
	p.Call("Performance.getMetrics", nil, &after)
	var m struct{ Ages, Frames, Keys []float64 }
	p.Eval("measured", &m)
	dropped := 0
	for _, f := range m.Frames {
		dropped += max(0, int(f/16.7+0.5)-1)
	}
	busy := 0.0
	for i, x := range after.Metrics {
		if x.Name == "TaskDuration" {
			busy = x.Value - before.Metrics[i].Value
		}
	}
	t.Logf("%d changes/s, %d written; %d frames", *events, <-written, len(m.Frames))
	t.Logf("write to screen  p50 %4.0f ms  p95 %4.0f ms   (wanted: 200)", percentile(m.Ages, 0.5), percentile(m.Ages, 0.95))
	t.Logf("key to screen    p50 %4.0f ms  p95 %4.0f ms   (wanted: 100; %d keys took 16 ms or more)", percentile(m.Keys, 0.5), percentile(m.Keys, 0.95), len(m.Keys))
	t.Logf("dropped frames   %d of %d", dropped, dropped+len(m.Frames))
	t.Logf("main thread      %.0f %% of a core", 100*busy/took.Seconds())
	p.NoProblems()
}

// TestViewers measures two daemons that follow one server at once, of which one is
// watched, so that what else the machine does concerns both. They take turns, so
// that what else differs between the two does too.
func TestViewers(t *testing.T) {
	both := start(t, 2)
	for _, viewers := range []int{0, 1, 10} {
		var whole, reader []float64
		for round := range *rounds {
			c := measureCost(both[round%2], both[1-round%2], viewers)
			whole = append(whole, 100*(c.watched/c.plain-1))
			line := fmt.Sprintf("%2d viewers  %5.0f : %5.0f ns of CPU a command  %+6.1f %%  %d KiB read", viewers, c.plain, c.watched, whole[round], c.kib)
			if c.plainReader > 0 {
				reader = append(reader, 100*(c.watchedReader/c.plainReader-1))
				line += fmt.Sprintf("; of the reader  %5.0f : %5.0f  %+6.1f %%", c.plainReader, c.watchedReader, reader[round])
			}
			t.Log(line)
		}
		t.Logf("%2d viewers  %+.1f %%, the median of %d rounds", viewers, percentile(whole, 0.5), *rounds)
		if len(reader) > 0 {
			t.Logf("%2d viewers  %+.1f %% for the reader", viewers, percentile(reader, 0.5))
		}
	}
}

// costs are CPU times a command, in nanoseconds, of a daemon that nobody watches
// and of one with viewers, and what these have read.
type costs struct {
	plain, watched             float64
	plainReader, watchedReader float64 // of the goroutine that reads the stream; 0: not measured
	kib                        int64
}

func measureCost(plain, watched *bench, viewers int) costs {
	t := plain.t
	ctx, stop := context.WithTimeout(t.Context(), time.Duration(*seconds)*time.Second)
	defer stop()
	var reading sync.WaitGroup
	var read atomic.Int64
	for range viewers {
		req, err := http.NewRequestWithContext(ctx, "GET", watched.api+"/api/v1/events?batch=1"+*query, nil)
		if err != nil {
			t.Fatal(err)
		}
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		reading.Go(func() {
			defer res.Body.Close()
			n, _ := io.Copy(io.Discard, res.Body) // until ctx is done
			read.Add(n)
		})
	}
	cpu, from, seen := [2]time.Duration{}, [2]int64{}, [2]time.Duration{}
	both := []*bench{plain, watched}
	var profiling sync.WaitGroup
	for i, b := range both {
		cpu[i], from[i] = b.cpu(), b.records()
		if *profile != "" {
			profiling.Go(func() { seen[i] = b.reader(filepath.Join(*profile, fmt.Sprintf("%d-%d.pprof", viewers, i))) })
		}
	}
	n := plain.write(ctx, *rate)
	stop()
	reading.Wait()
	for i, b := range both {
		for limit := time.Now().Add(time.Minute); b.records() < from[i]+int64(n) && time.Now().Before(limit); {
			time.Sleep(50 * time.Millisecond)
		}
		cpu[i] = b.cpu() - cpu[i]
	}
	profiling.Wait()
	each := func(d time.Duration) float64 { return d.Seconds() / float64(n) * 1e9 }
	return costs{each(cpu[0]), each(cpu[1]), each(seen[0]), each(seen[1]), read.Load() >> 10}
}

// readerFunction is the function of the goroutine that reads a stream.
const readerFunction = `engine\.\(\*stream\)\.run`

// reader profiles the daemon for as long as a case takes, and returns the CPU time
// of the goroutine that reads the stream, as far as samples tell.
func (b *bench) reader(file string) time.Duration {
	res, err := http.Get(fmt.Sprintf("%s/debug/pprof/profile?seconds=%d", b.api, *seconds))
	if err != nil {
		b.t.Error(err)
		return 0
	}
	defer res.Body.Close()
	f, err := os.Create(file)
	if err == nil {
		_, err = io.Copy(f, res.Body)
		f.Close()
	}
	if err != nil {
		b.t.Error(err)
		return 0
	}
	out, err := exec.Command("go", "tool", "pprof", "-top", "-cum", "-unit=ms", "-focus", readerFunction, file).Output()
	if err != nil {
		b.t.Errorf("go tool pprof: %v", err)
		return 0
	}
	found := regexp.MustCompile(`([0-9.]+ms) +[0-9.]+% +[^ ]*` + readerFunction + `\n`).FindSubmatch(out)
	if found == nil {
		b.t.Errorf("%s has no %s:\n%s", file, readerFunction, out)
		return 0
	}
	d, err := time.ParseDuration(string(found[1]))
	if err != nil {
		b.t.Error(err)
	}
	return d
}
