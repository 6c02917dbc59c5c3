package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"triggerd/internal/redistest"
	"triggerd/internal/servers"
)

// A data directory that an earlier program left is gone on with where that
// stopped, though this process is killed at once: each firing that waited is
// delivered, what was paused stays so, dead letters are there, values of keys
// are known without a snapshot, and time goes on.
func TestEarlierDataDirectory(t *testing.T) {
	t.Parallel()
	fixture := filepath.Join("..", "..", "internal", "store", "testdata", "format2")
	dir, srvDir := t.TempDir(), t.TempDir()
	if err := os.CopyFS(filepath.Join(dir, "data"), os.DirFS(filepath.Join(fixture, "data"))); err != nil {
		t.Fatal(err)
	}
	for from, to := range map[string]string{"rules.toml": dir, "dump.rdb": srvDir} {
		b, err := os.ReadFile(filepath.Join(fixture, from))
		if err != nil {
			t.Fatal(err)
		}
		// All of then waits, and there has to be room for what fires at once now.
		write(t, to, from, strings.Replace(string(b), "max_pending = 60", "max_pending = 600", 1))
	}
	var had struct {
		Jobs, Letters, Settled []struct{ Endpoint, ID string }
	}
	b, err := os.ReadFile(filepath.Join(fixture, "golden.json"))
	if err == nil {
		err = json.Unmarshal(b, &had)
	}
	if err != nil {
		t.Fatal(err)
	}

	// The server of then: a snapshot has a history's name and place, and a server
	// that loads it goes on with it.
	srv := redistest.StartWith(t, servers.Options{Name: "redis-7.0", Dir: srvDir})
	begin := func(hook *sink) *process {
		p := startWith(t, command(t, dir, "run", "--data-dir", "data"), "TRIGGERD_SOURCE=redis://"+srv.Addr, "HOOK="+hook.URL, "TRIGGERD_HTTP=")
		p.logs.await(t, `msg="attached`, 1)
		return p
	}
	refuses := newSink(t) // one of its own: what is on its way at the kill is refused too
	refuses.setReply(func(*delivery) int { return 503 })
	p := begin(refuses)
	for _, want := range []string{"the store was written by an earlier triggerd", "values of keys are as they were", "complete=true"} {
		if !strings.Contains(p.logs.String(), want) {
			t.Errorf("the log lacks %q", want)
		}
	}
	p.kill()
	hook := newSink(t)
	p = begin(hook)
	if strings.Contains(p.logs.String(), "written by an earlier") || strings.Contains(p.logs.String(), "full resync") {
		t.Errorf("carried over again, or read afresh")
	}
	api := apiOf(t, p)

	waits := map[string]bool{}
	held := 0
	for _, j := range had.Jobs {
		if waits[j.ID] = true; j.Endpoint == "target/held" {
			held++
			delete(waits, j.ID)
		}
	}
	await := func(what string, ids map[string]bool, more func(d *delivery) bool) {
		t.Helper()
		hook.await(t, what, func(ds []delivery) bool {
			left := len(ids)
			seen := map[string]bool{}
			other := more == nil
			for i := range ds {
				if ids[ds[i].ID] && !seen[ds[i].ID] {
					seen[ds[i].ID] = true
					left--
				}
				other = other || more(&ds[i])
			}
			return left == 0 && other
		})
	}
	fires := func(rule, key string, more func(d *delivery) bool) {
		t.Helper()
		await(rule+" for "+key, nil, func(d *delivery) bool {
			return d.Data.Rule == rule && d.Data.Key == key && (more == nil || more(d))
		})
	}
	await("all that waited", waits, nil)
	fires("batched", "batched:1", func(d *delivery) bool { return len(d.Data.Events) == 3 })
	await("a summary", nil, func(d *delivery) bool {
		return len(d.Data.Summary) == 2 && d.Data.Summary[0].Rule == "throttled" && d.Data.Summary[0].Count == 2
	})

	// What time rules waited for.
	fires("batched", "batched:1", func(d *delivery) bool { return len(d.Data.Events) == 1 })
	fires("settled", "settled:1", nil)
	fires("lasting", "lasting:1", nil)
	fires("silent", "beat:1", nil)

	// Values of keys, before what comes now.
	do := func(line string) { redistest.Do(t, srv, strings.Fields(line)...) }
	for key, v := range map[string]struct {
		command string
		before  any
	}{
		"v:string":   {"INCR v:string", "42"},
		"v:list":     {"RPUSH v:list d", []any{"a", "b", "a", "c"}},
		"v:ints":     {"SADD v:ints 5", []any{"1", "2", "3", "4"}},
		"v:zset":     {"ZADD v:zset 4 more", []any{[]any{"low", 1.5}, []any{"high", 2.0}, []any{"top", 3.0}}},
		"v:hash":     {"HSET v:hash status done", map[string]any{"status": "paid", "total": "12"}},
		"v:stream":   {"XADD v:stream 3-1 f v", []any{[]any{"1-1", []any{"field", "value"}}, []any{"2-1", []any{"field", "again"}}}},
		"v:expiring": {"PERSIST v:expiring", "x"},
	} {
		do(v.command)
		fires("value", key, func(d *delivery) bool {
			if set, ok := d.Data.Before.([]any); ok && key == "v:ints" {
				slices.SortFunc(set, func(a, b any) int { return strings.Compare(fmt.Sprint(a), fmt.Sprint(b)) })
			}
			if !reflect.DeepEqual(d.Data.Before, v.before) {
				t.Errorf("before %s: %v, want %v", v.command, d.Data.Before, v.before)
			}
			return true
		})
	}
	do("SET beat:never x") // told as silent by the process before
	fires("silent", "beat:never", func(d *delivery) bool { return d.Data.Status == "resolved" })
	do("DEL e:1")
	fires("gone", "e:1", nil)

	// What has happened once is not forgotten.
	do("INCR once:1")
	do("INCR once:3")
	fires("once", "once:3", nil)
	for _, d := range hook.await(t, "", func([]delivery) bool { return true }) {
		if d.Data.Rule == "once" && d.Data.Key == "once:1" {
			t.Errorf("fires again: %s", d.ID)
		}
	}

	// What people see and do.
	mustAsk(t, api, "rule/quiet goes on", "resume", "quiet")
	mustAsk(t, api, "16 firings of rule dropped", "dlq", "show", "3")
	mustAsk(t, api, "2 dead letters pending again", "dlq", "retry", "1", "2")
	letters := map[string]bool{}
	for _, d := range had.Letters[1:] {
		letters[d.ID] = true
	}
	await("dead letters", letters, nil)
	mustAsk(t, api, "delivered", "deliveries", "show", had.Settled[len(had.Settled)-1].ID)
	out := mustAsk(t, api, "target/held", "deliveries", "list", "--json", "--action", "held")
	if n := strings.Count(out, `"state":"pending"`); n != held {
		t.Errorf("%d firings wait for what is paused, want %d: %s", n, held, out)
	}
	mustAsk(t, api, "target/held goes on", "resume", "held")
	clear(waits)
	for _, j := range had.Jobs {
		if j.Endpoint == "target/held" {
			waits[j.ID] = true
		}
	}
	await("what was held", waits, nil)
	p.stop()
	if out, err := runStore(t, "verify", filepath.Join(dir, "data")); err != nil {
		t.Errorf("verify: %v\n%s", err, out)
	}

	// No step of it has doubled anything: there was one kill, before which all
	// was refused.
	times := map[string]int{}
	for _, d := range hook.await(t, "", func([]delivery) bool { return true }) {
		if times[d.ID]++; times[d.ID] > 1 {
			t.Errorf("delivered again: %s", d.ID)
		}
	}
}
