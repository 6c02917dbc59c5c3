package main

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"triggerd/internal/redistest"
	"triggerd/internal/servers"
)

// rewindRules are rules that notice whether all of triggerd goes back: values, a
// batch, what waits to be delivered, and the event that tells of it.
func rewindRules(addr, hook, closed, rewound, spool string) string {
	return fmt.Sprintf(`
[source]
url = "redis://%s"
foreign_wait = "1s"
rewound = "%s"
spool = "%s"
[targets.hook]
type = "webhook"
url = "%s/in"
[targets.closed]
type = "webhook"
url = "%s/in"
retry = { max_attempts = 1000, backoff = "50ms", max_backoff = "100ms" }
[[rule]]
name = "stock"
key = "stock:{id}"
when = 'before != after'
[[rule.action]]
target = "hook"
[[rule]]
name = "waits"
key = "waits:{id}"
[[rule.action]]
target = "closed"
[[rule]]
name = "batch"
key = "batch:{id}"
batch = { max = 3, wait = "1h" }
[[rule.action]]
target = "hook"
[[rule]]
name = "lost"
event = "rewound"
[[rule.action]]
target = "hook"
`, addr, rewound, spool, hook, closed)
}

// TestRewound: a replica becomes the primary that has not got the last writes. What
// they fired is told; what waits of it is marked or cancelled; values are what the
// new primary has; and after kill -9 it is the same.
func TestRewound(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, mode, spool, values string }{
		{"redis-7.0", "deliver", "64MiB", "as they were"},
		{"valkey-9.1", "cancel", "64MiB", "as they were"},
		{"redis-7.0", "deliver", "off", "unknown of the keys that it named"},   // nothing was written back
		{"redis-8.6", "deliver", "64MiB", "unknown of the keys that it named"}, // values were written back since
	} {
		name, mode := c.name, c.mode
		t.Run(fmt.Sprint(name, " ", mode, " ", c.spool), func(t *testing.T) {
			t.Parallel()
			primary, replica := redistest.Start(t, name, bigBacklog...), redistest.Start(t, name, bigBacklog...)
			between, url := redistest.StartProxy(t, primary.Addr), redistest.StartProxy(t, primary.Addr)
			follow(t, replica, &servers.Server{Addr: between.Addr})
			hook, closed, dir := newSink(t), newSink(t), t.TempDir()
			closed.setReply(func(*delivery) int { return http.StatusServiceUnavailable })
			redistest.Do(t, primary, "SET", "stock:old", "1")
			write(t, dir, "rules.toml", rewindRules(url.Addr, hook.URL, closed.URL, mode, c.spool))
			p := start(t, dir, "--http", "127.0.0.1:0")
			p.logs.await(t, `msg="attached`, 1)
			do := func(srv *servers.Server, line string) { redistest.Do(t, srv, strings.Fields(line)...) }
			do(primary, "SET stock:1 10")
			do(primary, "SET waits:alive 1")
			do(primary, "SET batch:alive 1")
			of := func(rule string, n int) func([]delivery) bool {
				return func(ds []delivery) bool { return len(ofRule(ds, rule)) >= n }
			}
			hook.await(t, "the first write", of("stock", 1))
			offset := masterOffset(t, primary)
			for !strings.Contains(redistest.Do(t, replica, "INFO", "replication").(string), "slave_repl_offset:"+strconv.FormatInt(offset, 10)) {
				offset = masterOffset(t, primary)
			}
			between.Stall()
			do(primary, "SET stock:1 99")
			do(primary, "SET stock:2 5")
			do(primary, "DEL stock:old")
			do(primary, "SET waits:dead 1")
			do(primary, "SET batch:dead 1")
			dead := hook.await(t, "what will be lost", of("stock", 4))
			if c.name == "redis-8.6" { // rules that are read again have values written back
				api := apiOf(t, p)
				before := statusOf(t, api).Source.Values.Position
				if err := p.cmd.Process.Signal(syscall.SIGHUP); err != nil {
					t.Fatal(err)
				}
				for limit := time.Now().Add(patience); statusOf(t, api).Source.Values.Position == before; time.Sleep(5 * time.Millisecond) {
					if time.Now().After(limit) {
						t.Fatal("values are not written back")
					}
				}
			}
			url.Refuse()
			if err := primary.Kill(); err != nil {
				t.Fatal(err)
			}
			between.Reset()
			do(replica, "REPLICAOF NO ONE")
			url.Move(replica.Addr)
			url.Admit()
			lost := ofRule(hook.await(t, "the event that tells of it", of("lost", 1)), "lost")[0]
			args := lost.Data.Args
			var ids []string
			for _, a := range args[4:] {
				ids = append(ids, a.(string))
			}
			for _, d := range ofRule(dead, "stock")[1:] {
				if !slices.Contains(ids, d.ID) {
					t.Errorf("the event does not tell of %s: %v", d.ID, args)
				}
			}
			if len(ids) != 4 || args[3] != "4" || !slices.ContainsFunc(ids, func(id string) bool { return strings.Contains(id, ":waits/") }) {
				t.Errorf("args = %v, want the IDs of 4 firings", args)
			}
			p.logs.await(t, fmt.Sprintf("values=%q", c.values), 1)
			if c.values != "as they were" {
				p.logs.await(t, `msg="snapshot read"`, 1)
			}
			do(replica, "SET stock:1 11")
			do(replica, "SET stock:2 6")
			do(replica, "SET stock:old 2")
			after := ofRule(hook.await(t, "writes of the new primary", of("stock", 7)), "stock")[4:]
			for _, d := range after { // keys are delivered in any order
				want := map[string]string{"stock:1": "10 11", "stock:2": "<nil> 6", "stock:old": "1 2"}[d.Data.Key]
				if got := fmt.Sprint(d.Data.Before, " ", d.Data.After); got != want {
					t.Errorf("%s: before and after %s, want %s", d.Data.Key, got, want)
				}
			}
			if c.values != "as they were" {
				return
			}
			p.kill()
			p = start(t, dir, "--http", "127.0.0.1:0")
			p.logs.await(t, `msg="attached`, 1)
			p.logs.await(t, `msg="values of keys are as they were"`, 1)
			do(replica, "SET stock:1 12")
			is12 := func(d delivery) bool { return d.Data.After == "12" }
			all := hook.await(t, "a write after the restart", func(ds []delivery) bool { return slices.ContainsFunc(ds, is12) })
			last := all[slices.IndexFunc(all, is12)]
			if last.Data.Before != "11" {
				t.Errorf("before is %v after the restart, want 11", last.Data.Before)
			}
			closed.setReply(nil)
			waited := closed.await(t, "what waited", func(ds []delivery) bool { return len(ds) >= 2 || mode == "cancel" && len(ds) == 1 })
			for _, d := range waited {
				if d.Data.Rewound != (d.Data.Key == "waits:dead") {
					t.Errorf("%s is marked: %v", d.Data.Key, d.Data.Rewound)
				}
			}
			do(replica, "SET batch:new 1")
			do(replica, "SET batch:newer 1")
			batch := ofRule(hook.await(t, "the batch", of("batch", 1)), "batch")[0]
			var keys []string
			for _, e := range batch.Data.Events {
				keys = append(keys, e.Key)
			}
			if batch.Data.Count != len(keys) || len(keys) < 2 || keys[0] != "batch:alive" || slices.Contains(keys, "batch:dead") {
				t.Errorf("batch = %+v, want what lives alone", batch.Data)
			}
			if mode == "cancel" {
				awaitMetric(t, apiOf(t, p), "triggerd_dead_letters 1") // by this process, or the one before
				if len(closed.await(t, "one", func([]delivery) bool { return true })) != 1 {
					t.Error("what was lost was delivered")
				}
			}
			p.stop()
			told := map[string]bool{} // one that was being delivered at the kill comes again
			for _, d := range ofRule(hook.await(t, "all", func([]delivery) bool { return true }), "lost") {
				told[d.ID] = true
			}
			if len(told) != 1 {
				t.Errorf("it is told %d times", len(told))
			}
		})
	}
}

// ofRule returns the deliveries of a rule.
func ofRule(ds []delivery, name string) (of []delivery) {
	for _, d := range ds {
		if d.Data.Rule == name {
			of = append(of, d)
		}
	}
	return of
}

// TestRewoundOfEarlier: what an earlier process has delivered, or has left waiting, is
// named when a later one finds that the writes are lost. The new primary, which ran
// before the link was lost, is believed at once.
func TestRewoundOfEarlier(t *testing.T) {
	t.Parallel()
	primary, replica := redistest.Start(t, "redis-7.0", bigBacklog...), redistest.Start(t, "redis-7.0", bigBacklog...)
	between, url := redistest.StartProxy(t, primary.Addr), redistest.StartProxy(t, primary.Addr)
	follow(t, replica, &servers.Server{Addr: between.Addr})
	hook, closed, dir := newSink(t), newSink(t), t.TempDir()
	closed.setReply(func(*delivery) int { return http.StatusServiceUnavailable })
	write(t, dir, "rules.toml", strings.Replace(rewindRules(url.Addr, hook.URL, closed.URL, "deliver", "64MiB"), `foreign_wait = "1s"`, `foreign_wait = "1h"`, 1))
	p := start(t, dir, "--http", "127.0.0.1:0")
	p.logs.await(t, `msg="attached`, 1)
	redistest.Do(t, primary, "SET", "stock:1", "10")
	hook.await(t, "the first write", func(ds []delivery) bool { return len(ofRule(ds, "stock")) == 1 })
	for offset := masterOffset(t, primary); !strings.Contains(redistest.Do(t, replica, "INFO", "replication").(string), "slave_repl_offset:"+strconv.FormatInt(offset, 10)); {
		offset = masterOffset(t, primary)
	}
	between.Stall()
	redistest.Do(t, primary, "SET", "stock:1", "99")
	redistest.Do(t, primary, "SET", "waits:dead", "1")
	dead := ofRule(hook.await(t, "what will be lost", func(ds []delivery) bool { return len(ofRule(ds, "stock")) == 2 }), "stock")[1]
	awaitMetric(t, apiOf(t, p), `triggerd_attempts_total{action="target/closed",outcome="retried"} [1-9]`) // what will wait is there, too
	for uptime := 0; uptime < 4; {                                                                         // servers tell whole seconds, so triggerd wants three more than it needs
		if _, err := fmt.Sscanf(after(redistest.Do(t, replica, "INFO", "server").(string), "uptime_in_seconds:"), "%d", &uptime); err != nil {
			t.Fatal(err)
		}
		time.Sleep(20 * time.Millisecond)
	}
	p.stop()
	url.Refuse()
	if err := primary.Kill(); err != nil {
		t.Fatal(err)
	}
	between.Reset()
	redistest.Do(t, replica, "REPLICAOF", "NO", "ONE")
	url.Move(replica.Addr)
	url.Admit()
	p = start(t, dir, "--http", "127.0.0.1:0")
	lost := ofRule(hook.await(t, "the event that tells of it", func(ds []delivery) bool { return len(ofRule(ds, "lost")) >= 1 }), "lost")[0]
	args := fmt.Sprint(lost.Data.Args)
	if len(lost.Data.Args) != 6 || !strings.Contains(args, dead.ID) || !strings.Contains(args, ":waits/") {
		t.Errorf("args = %v, want the IDs of %s and of what waits", args, dead.ID)
	}
	p.stop()
}

// after returns what follows a word in a text.
func after(text, word string) string {
	_, rest, _ := strings.Cut(text, word)
	return rest
}
