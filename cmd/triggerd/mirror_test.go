package main

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"triggerd/internal/redistest"
	"triggerd/internal/servers"
)

// keptRules deliver each write with the value before, which another rule needs.
func keptRules(addr, hook string) string {
	return laneRules(addr, hook) + `
[[rule]]
name = "keeps"
key = "lane:*"
when = 'before == "no such value"'
[[rule.action]]
type = "log"
`
}

// checkBefore checks that each write was delivered with the value before it, or,
// where that may be, without. It returns with how many it was not.
func checkBefore(t *testing.T, ds []delivery, mayLack bool) (unknown int) {
	t.Helper()
	for _, d := range ds {
		n, _ := strconv.Atoi(d.value())
		if slices.Contains(d.Data.Unknown, "before") {
			if unknown++; !mayLack {
				t.Errorf("write %d came without the value before", n)
			}
			continue
		}
		if want := strconv.Itoa(n - lanes); n >= lanes && d.Data.Before != want || n < lanes && d.Data.Before != nil {
			t.Errorf("write %d came with %v before", n, d.Data.Before)
		}
	}
	return unknown
}

// The process dies between any two steps of writing values back, or of spooling:
// values are known after each restart, and no snapshot is asked for.
func TestFailpointsOfValues(t *testing.T) {
	t.Parallel()
	for _, point := range []string{
		"cut", "file-begun", "told", "file-synced", "written", "matched", "saved", "committed", "published", "files-removed",
		"segment-begun", "spooled", "spool-synced",
	} {
		t.Run(point, func(t *testing.T) {
			srv := redistest.Start(t, "redis-7.0", bigBacklog...)
			hook, dir := newSink(t), t.TempDir()
			write(t, dir, "rules.toml", keptRules(srv.Addr, hook.URL))
			attach(t, dir).stop()
			written := 0
			c := redistest.Dial(t, srv)
			for round := range rounds(t, 3) {
				p := startWith(t, command(t, dir), fmt.Sprintf("TRIGGERD_FAILPOINT=%s:1", point))
				for ended := false; !ended; {
					for range 10 {
						if _, err := c.Do("SET", laneOf(written), strconv.Itoa(written)); err != nil {
							t.Fatal(err)
						}
						written++
					}
					if strings.Contains(p.logs.String(), `msg="attached`) {
						p.cmd.Process.Signal(syscall.SIGHUP) // after a reload values are written back at once
					}
					select {
					case <-p.ended:
						ended = true
					case <-time.After(2 * time.Millisecond):
					}
				}
				if code := p.cmd.ProcessState.ExitCode(); code != 86 {
					t.Fatalf("exit code %d, want that of the failpoint; log:\n%s", code, p.logs)
				}
				if log := p.logs.String(); strings.Contains(log, "asking for a") || strings.Contains(log, "cannot be restored") {
					t.Errorf("round %d: values are not known:\n%s", round, log)
				}
			}
			p := attach(t, dir)
			ds := hook.await(t, "all writes", allOf(written))
			checkDeliveries(t, ds, written)
			checkBefore(t, ds, false)
			p.stop()
			if out, err := runStore(t, "verify", filepath.Join(dir, "triggerd-data")); err != nil {
				t.Errorf("verify: %v, %s", err, out)
			}
		})
	}
}

// Whatever becomes of the files of values and of the spool, no value is wrong: it
// is right, or said not to be known, and known again after a snapshot.
func TestValuesOfDamagedFiles(t *testing.T) {
	t.Parallel()
	chance := rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 1))
	flip := func(t *testing.T, path string) {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		b[chance.IntN(len(b))] ^= 1 << chance.IntN(8)
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	shorten := func(t *testing.T, path string) {
		info, err := os.Stat(path)
		if err == nil {
			err = os.Truncate(path, chance.Int64N(info.Size()))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	remove := func(t *testing.T, path string) {
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
	redistest.Each(t, []string{"redis-7.0"}, func(t *testing.T, srv *servers.Server) {
		for what, damage := range map[string]func(*testing.T, string){"flip": flip, "shorten": shorten, "remove": remove} {
			for _, of := range []string{"spool", "state"} {
				t.Run(what+" "+of, func(t *testing.T) {
					redistest.Do(t, srv, "FLUSHALL")
					hook, dir := newSink(t), t.TempDir()
					write(t, dir, "rules.toml", keptRules(srv.Addr, hook.URL))
					p := attach(t, dir)
					l := startLoad(t, srv)
					for range rounds(t, 3) {
						have := hook.count()
						hook.await(t, "some more", func(ds []delivery) bool { return len(ds) >= have+100 })
						p.kill()
						files, err := filepath.Glob(filepath.Join(dir, "triggerd-data", of, "*", "*"))
						if err != nil {
							t.Fatal(err)
						}
						files = slices.DeleteFunc(files, func(path string) bool { // that was begun, and is empty
							info, err := os.Stat(path)
							return err != nil || info.Size() == 0
						})
						if len(files) > 0 { // none yet, if it was killed at once
							damage(t, files[chance.IntN(len(files))])
						}
						p = attach(t, dir)
					}
					writes := l.stop()
					ds := hook.await(t, "all writes", allOf(writes))
					checkDeliveries(t, ds, writes)
					unknown := checkBefore(t, ds, true)
					t.Logf("%d writes, %d without the value before", writes, unknown)
					p.stop()
				})
			}
		}
	}, bigBacklog...)
}

// A spool that is small for what comes is emptied by writing values back, long
// before the next of its regular times: nothing that the next start needs goes.
func TestValuesWithASmallSpool(t *testing.T) {
	t.Parallel()
	srv := redistest.Start(t, "redis-7.0", bigBacklog...)
	hook, dir := newSink(t), t.TempDir()
	write(t, dir, "rules.toml", strings.Replace(keptRules(srv.Addr, hook.URL), "[source]\n", "[source]\nspool = \"32MiB\"\n", 1))
	p := startWith(t, command(t, dir), "TRIGGERD_HTTP=127.0.0.1:0")
	p.logs.await(t, `msg="attached`, 1)
	c := redistest.Dial(t, srv)
	big := strings.Repeat("x", 10_000)
	do := func(words ...string) {
		if _, err := c.Do(words...); err != nil {
			t.Fatal(err)
		}
	}
	const writes = 1000
	for i := range writes { // 90 MB, nearly three times the spool
		for range 9 {
			do("SET", "other", big)
		}
		do("SET", laneOf(i), strconv.Itoa(i))
		if i%100 == 99 { // a slow machine does not fill the spool: 9 MB are not handled at most
			hook.await(t, "all writes so far", allOf(i+1))
		}
	}
	resp, err := http.Get(apiOf(t, p) + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(b), `triggerd_spool_given_up_bytes_total{stream="standalone"} 0`) {
		t.Errorf("the spool has let something go, or does not tell:\n%s", b)
	}
	p.kill()
	p = attach(t, dir)
	if log := p.logs.String(); strings.Contains(log, "cannot be restored") || !strings.Contains(log, "values of keys are as they were") {
		t.Errorf("values are not known:\n%s", log)
	}
	for i := range lanes {
		redistest.Do(t, srv, "SET", laneOf(writes+i), strconv.Itoa(writes+i))
	}
	ds := hook.await(t, "all writes", allOf(writes+lanes))
	checkDeliveries(t, ds, writes+lanes)
	checkBefore(t, ds, false)
	p.stop()
}
