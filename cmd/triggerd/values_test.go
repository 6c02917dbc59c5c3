package main

import (
	"fmt"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"triggerd/internal/redistest"
	"triggerd/internal/servers"
)

// valueRules are rules that cannot work without the value before and after.
func valueRules(addr, hook string) string {
	return fmt.Sprintf(`
[source]
url = "redis://%s"
[targets.hook]
type = "webhook"
url = "%s/in"
[[rule]]
name = "sold-out"
key = "stock:{sku}"
when = 'num(before) > 0 && num(after) <= 0'
[[rule.action]]
target = "hook"
[[rule]]
name = "paid"
key = "order:{id}"
when = 'became("status", "paid")'
[[rule.action]]
target = "hook"
[[rule]]
name = "gone"
key = "session:{id}"
event = ["expired", "del"]
[[rule.action]]
target = "hook"
`, addr, hook)
}

// What no notification can tell: that a counter reached zero, that a field of
// a hash changed to something, that a key expired and was not deleted. It goes
// on after a restart, for keys that were there before.
func TestValues(t *testing.T) {
	t.Parallel()
	redistest.Each(t, judged, func(t *testing.T, srv *servers.Server) {
		hook, dir := newSink(t), t.TempDir()
		do := func(line string) { redistest.Do(t, srv, strings.Fields(line)...) }
		do("SET stock:1 2")
		do("HSET order:1 status new")
		write(t, dir, "rules.toml", valueRules(srv.Addr, hook.URL))
		p := start(t, dir)
		p.logs.await(t, `msg="attached`, 1)
		do("DECR stock:1")
		do("DECR stock:1")
		do("DECR stock:1") // it was zero already
		do("HSET order:1 status paid")
		do("HSET order:1 status paid")
		wait := 60 * time.Millisecond // a little longer than the key lives
		if srv.Program.Name == "redis-6.0" {
			// It replicates how long the key lives, and triggerd counts from when it reads that.
			do("DEBUG SET-ACTIVE-EXPIRE 0")
			wait = 2 * time.Second
		}
		do("SET session:a x PX 50")
		time.Sleep(wait)
		do("EXISTS session:a") // the server looks, and removes it
		do("SET session:b x")
		do("DEL session:b")
		want := "sold-out stock:1 incrby, paid order:1 hset, gone session:a expired, gone session:b del"
		ds := hook.await(t, "the first four", func(ds []delivery) bool { return len(ds) >= 4 })
		checkSet(t, ds, want)
		p.stop()

		do("SET stock:2 1") // while nobody looks
		p = start(t, dir)
		p.logs.await(t, `msg="attached`, 1)
		do("DECR stock:2")
		do("INCR stock:1")
		do("INCR stock:1") // 1
		do("DECR stock:1") // 0 again
		ds = hook.await(t, "the others", func(ds []delivery) bool { return len(ds) >= 6 })
		checkSet(t, ds, want+", sold-out stock:2 incrby, sold-out stock:1 incrby")
		p.stop()
	})
}

// A webhook that sends the event has the value before and after of keys that begin
// with a text, also of those that were there before, and after a restart. Of other
// keys, and where the rule says so, they are not known.
func TestValuesByDefault(t *testing.T) {
	t.Parallel()
	srv := redistest.Start(t, "redis-7.0")
	hook, dir := newSink(t), t.TempDir()
	write(t, dir, "rules.toml", fmt.Sprintf(`
[source]
url = "redis://%s"
[targets.hook]
type = "webhook"
url = "%s/in"
[[rule]]
name = "orders"
key = "order:*"
action = [{ target = "hook" }]
[[rule]]
name = "all"
key = "*"
action = [{ target = "hook" }]
[[rule]]
name = "spared"
key = "page:*"
values = false
action = [{ target = "hook" }]
`, srv.Addr, hook.URL))
	redistest.Do(t, srv, "SET", "order:1", "new")
	p := start(t, dir)
	p.logs.await(t, `what="values of order:* (orders: its webhook sends the event)"`, 1)
	p.logs.await(t, `msg="attached`, 1)
	redistest.Do(t, srv, "SET", "order:1", "paid")
	redistest.Do(t, srv, "SET", "page:1", "x")
	hook.await(t, "four", func(ds []delivery) bool { return len(ds) == 4 })
	p.kill()
	p = start(t, dir)
	p.logs.await(t, `msg="attached`, 1)
	redistest.Do(t, srv, "SET", "order:1", "void")
	got := map[string]string{}
	hook.await(t, "those after the restart", func(ds []delivery) bool {
		for _, d := range ds {
			got[d.Data.Rule+" "+d.value()] = fmt.Sprintf("%v %v %v", d.Data.Before, d.Data.After, d.Data.Unknown)
		}
		return got["orders void"] != "" && got["all void"] != ""
	})
	for what, want := range map[string]string{
		"orders paid": "new paid []", "orders void": "paid void []", "all paid": "new paid []", "all x": "<nil> <nil> [before after]", "spared x": "<nil> <nil> [before after]",
	} {
		if got[what] != want {
			t.Errorf("%s: %s, want %s", what, got[what], want)
		}
	}
	p.stop()
}

// checkSet compares deliveries with "rule key event, ...", in any order.
func checkSet(t *testing.T, ds []delivery, want string) {
	t.Helper()
	left := strings.Split(want, ", ")
	for _, d := range ds {
		got := d.Data.Rule + " " + d.Data.Key + " " + d.Data.Event
		found := false
		for i, w := range left {
			if w == got {
				left = append(left[:i], left[i+1:]...)
				found = true
				break
			}
		}
		if !found {
			t.Errorf("unexpected: %s (%s)", got, d.ID)
		}
	}
	if len(left) > 0 {
		t.Errorf("missing: %s", strings.Join(left, ", "))
	}
}

// With on_time a rule hears of an expiry at the deadline, with the last value,
// and only once; a PERSIST in time cancels it.
func TestExpiryOnTime(t *testing.T) {
	t.Parallel()
	redistest.Each(t, []string{"redis-7.0", "redis-8.6", "valkey-9.1"}, func(t *testing.T, srv *servers.Server) {
		hook, dir := newSink(t), t.TempDir()
		write(t, dir, "rules.toml", fmt.Sprintf(`
[source]
url = "redis://%s"
[[rule]]
name = "over"
key = "s:*"
event = "expired"
on_time = true
[[rule.action]]
type = "webhook"
url = "%s/in"
`, srv.Addr, hook.URL))
		p := start(t, dir)
		p.logs.await(t, `msg="attached`, 1)
		// The server does not look for expired keys by itself.
		redistest.Do(t, srv, "DEBUG", "SET-ACTIVE-EXPIRE", "0")
		// At one moment of the server's, so that none has expired before all is said.
		const n = 50
		all := [][]string{{"MULTI"}}
		for i := range n {
			all = append(all, []string{"SET", "s:" + strconv.Itoa(i), "last"}, []string{"PEXPIRE", "s:" + strconv.Itoa(i), "700"})
		}
		pipeline(t, srv, append(all, []string{"PERSIST", "s:0"}, []string{"EXEC"})...)
		ds := hook.await(t, "the expiries", func(ds []delivery) bool { return len(ds) >= n-1 })
		seen := map[string]bool{}
		for _, d := range ds {
			if d.Data.Event != "expired" || d.Data.Key == "s:0" || seen[d.Data.Key] {
				t.Errorf("delivery %+v", d)
			}
			seen[d.Data.Key] = true
		}
		for i := range n { // the server finds out at last
			redistest.Do(t, srv, "EXISTS", "s:"+strconv.Itoa(i))
		}
		redistest.Do(t, srv, "SET", "s:end", "x", "PX", "1")
		ds = hook.await(t, "the last one", func(ds []delivery) bool { return ds[len(ds)-1].Data.Key == "s:end" })
		if len(ds) != n {
			t.Errorf("%d deliveries, want %d: what was told on time is told again", len(ds), n)
		}
		p.stop()
	}, "--enable-debug-command", "yes")
}

// What a full resync could not bring is made up for by comparing the mirror
// with the new snapshot: the net change of each key that rules know, and a gap.
func TestGapRepair(t *testing.T) {
	t.Parallel()
	srv := redistest.Start(t, "redis-7.0", "--repl-backlog-size", "16kb")
	proxy := redistest.StartProxy(t, srv.Addr)
	hook, dir := newSink(t), t.TempDir()
	do := func(line string) { redistest.Do(t, srv, strings.Fields(line)...) }
	do("SET stock:1 5")
	do("SET stock:2 5")
	do("SET stock:3 5")
	write(t, dir, "rules.toml", fmt.Sprintf(`
[source]
url = "redis://%s"
[targets.hook]
type = "webhook"
url = "%s/in"
[[rule]]
name = "stock"
key = "stock:*"
when = 'before != after'
[[rule.action]]
target = "hook"
[[rule]]
name = "gap"
event = "gap"
[[rule.action]]
target = "hook"
`, proxy.Addr, hook.URL))
	p := start(t, dir)
	p.logs.await(t, `msg="attached`, 1)
	do("DECR stock:1")
	hook.await(t, "the first change", func(ds []delivery) bool { return len(ds) == 1 })
	proxy.Refuse()
	proxy.Reset()
	do("SET stock:1 0")
	do("DEL stock:2")
	do("SET stock:4 7")
	redistest.Do(t, srv, "SET", "big", strings.Repeat("x", 100_000))
	proxy.Admit()
	p.logs.await(t, "changes were missed", 1)
	ds := hook.await(t, "the net changes", func(ds []delivery) bool { return len(ds) >= 5 })
	got := map[string]string{}
	for _, d := range ds {
		got[d.Data.Rule+" "+d.Data.Key] = fmt.Sprintf("%s %v -> %v (%s)", d.Data.Event, d.Data.Before, d.Data.After, d.Data.Origin)
	}
	want := map[string]string{
		"stock stock:1": "changed 4 -> 0 (resync)",
		"stock stock:2": "del 5 -> <nil> (resync)",
		"stock stock:4": "changed <nil> -> 7 (resync)",
		"gap ":          "gap <nil> -> <nil> (resync)",
	}
	for k, w := range want {
		if got[k] != w {
			t.Errorf("%s: %s, want %s", k, got[k], w)
		}
	}
	if len(ds) != 5 {
		t.Errorf("%d deliveries, want 5: %v", len(ds), got)
	}
	p.stop()
}

// A reload that needs values of keys that were not kept fetches them, and one
// that needs no more does not.
func TestReloadNeedsValues(t *testing.T) {
	t.Parallel()
	srv := redistest.Start(t, "redis-7.0")
	hook, dir := newSink(t), t.TempDir()
	do := func(line string) { redistest.Do(t, srv, strings.Fields(line)...) }
	do("SET stock:1 1")
	rules := valueRules(srv.Addr, hook.URL)
	without, _, _ := strings.Cut(rules, "[[rule]]")
	write(t, dir, "rules.toml", without)
	p := start(t, dir)
	p.logs.await(t, `msg="attached`, 1)
	for i := range 3 {
		write(t, dir, "rules.toml", rules)
		p.signal(syscall.SIGHUP)
		p.logs.await(t, `msg="rules reloaded"`, i+1)
	}
	p.logs.await(t, `msg="snapshot read"`, 1)
	do("DECR stock:1")
	ds := hook.await(t, "the webhook", func(ds []delivery) bool { return len(ds) == 1 })
	if d := ds[0].Data; d.Before != "1" || d.After != "0" {
		t.Errorf("delivery %+v", d)
	}
	p.stop()
	if n := strings.Count(p.logs.String(), `msg="snapshot read"`); n != 1 {
		t.Errorf("%d snapshots for one need:\n%s", n, p.logs)
	}
}

// Values are kept over kill -9 at any moment, with the position that they
// belong to: what happened before the crash, while nobody looked, and after it
// has its value before and after, and no snapshot is asked for.
func TestKilledWithValues(t *testing.T) {
	t.Parallel()
	redistest.Each(t, []string{"redis-7.0", "valkey-9.1"}, func(t *testing.T, srv *servers.Server) {
		hook, dir := newSink(t), t.TempDir()
		rules := strings.Replace(laneRules(srv.Addr, hook.URL), "[[rule.action]]", fmt.Sprintf("when = 'before == nil || num(before) + %d == num(after)'\n[[rule.action]]", lanes), 1)
		write(t, dir, "rules.toml", rules)
		p := attach(t, dir)
		l := startLoad(t, srv)
		for i := range rounds(t, 6) {
			hook.mu.Lock()
			have := len(hook.got)
			hook.mu.Unlock()
			hook.await(t, "some more", func(ds []delivery) bool { return len(ds) >= have+50+30*i })
			p.kill()
			p = attach(t, dir)
			if log := p.logs.String(); strings.Contains(log, "asking for a snapshot") {
				t.Errorf("a snapshot is asked for:\n%s", log)
			}
		}
		writes := l.stop()
		ds := hook.await(t, "all writes", allOf(writes))
		checkDeliveries(t, ds, writes)
		for _, d := range ds {
			n, _ := strconv.Atoi(d.value())
			if want := strconv.Itoa(n - lanes); n >= lanes && d.Data.Before != want || n < lanes && d.Data.Before != nil {
				t.Errorf("write %d came with %v before", n, d.Data.Before)
			}
		}
		p.stop()
	}, bigBacklog...)
}

// Listen shows the value before and after of the keys that were asked for, from
// the first change on.
func TestListenShowsValues(t *testing.T) {
	t.Parallel()
	redistest.Each(t, []string{"redis-7.0", "valkey-9.1"}, func(t *testing.T, srv *servers.Server) {
		redistest.Do(t, srv, "SET", "stock:7", "2")
		cmd := command(t, t.TempDir(), "listen", "redis://"+srv.Addr, "stock:*", "order:{id}")
		logs, out := newLines(), newLines()
		cmd.Stderr, cmd.Stdout = logs, out
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		defer cmd.Process.Kill()
		logs.await(t, `msg="attached`, 1)
		redistest.Do(t, srv, "DECR", "stock:7")
		redistest.Do(t, srv, "HSET", "order:1", "status", "new")
		redistest.Do(t, srv, "HSET", "order:1", "status", "paid", "by", "card")
		redistest.Do(t, srv, "DEL", "stock:7")
		for _, want := range []string{
			"DECR stock:7 [2 -> 1]\n",
			"[- -> hash(1)] [status: - -> new]\n",
			"[hash(1) -> hash(2)] [status: new -> paid] [by: - -> card]\n",
			" del stock:7 DEL stock:7 [1 -> -]\n",
		} {
			out.await(t, want, 1)
		}
	})
}

// Which server it is decides about the order of events, and is known after a
// restart too, without a snapshot: of MSETEX Valkey announces set before expire,
// and Redis after it.
func TestServerIsKnown(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{"valkey-9.1": "set", "redis-8.6": "expire"} {
		srv := redistest.Start(t, name)
		hook, dir := newSink(t), t.TempDir()
		write(t, dir, "rules.toml", fmt.Sprintf(`
[source]
url = "redis://%s"
[[rule]]
name = "both"
key = "m:*"
event = ["set", "expire"]
[[rule.action]]
type = "webhook"
url = "%s/in"
`, srv.Addr, hook.URL))
		for i, key := range []string{"m:1", "m:2"} {
			p := attach(t, dir)
			redistest.Do(t, srv, "MSETEX", "1", key, "v", "EX", "100")
			ds := hook.await(t, "the events", func(ds []delivery) bool { return len(ds) >= 2*(i+1) })
			if d := ds[2*i].Data; d.Key != key || d.Event != want {
				t.Errorf("%s: %+v comes first", name, d)
			}
			p.stop()
		}
	}
}

// What the stream cannot tell is not known, is told, and is read anew from a
// snapshot beside the stream; more of it soon after costs no second one.
func TestValuesAreReadAnew(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		server, reason string
		args           []string
		lose           [][]string
	}{
		{"redis-6.0", "script", []string{"--lua-replicate-commands", "no"}, [][]string{
			{"EVAL", "redis.call('SET', 'stock:1', '2')", "0"}}},
		{"redis-6.0", "script", []string{"--lua-replicate-commands", "no"}, [][]string{
			{"SCRIPT", "LOAD", "redis.call('SET', 'stock:1', '2')"}, {"EVALSHA", "", "0"}}},
		{"valkey-9.1", "source", nil, [][]string{
			{"RPUSH", "list", "x"}, {"SET", "w_x", "1"}, {"SORT", "list", "BY", "w_*", "STORE", "stock:1"}, {"MULTI"}, {"DEL", "stock:1"}, {"SET", "stock:1", "2"}, {"EXEC"}}},
	} {
		t.Run(test.server+" "+test.lose[0][0], func(t *testing.T) {
			srv := redistest.Start(t, test.server, append(test.args, "--repl-diskless-sync-delay", "0")...)
			hook, dir := newSink(t), t.TempDir()
			redistest.Do(t, srv, "SET", "stock:1", "10")
			write(t, dir, "rules.toml", fmt.Sprintf(`
[source]
url = "redis://%s"
[[rule]]
name = "known"
key = "stock:*"
event = "incrby"
when = 'before != nil'
[[rule.action]]
type = "webhook"
url = "%s/in"
`, srv.Addr, hook.URL))
			p := attach(t, dir)
			for _, command := range test.lose {
				if command[0] == "EVALSHA" {
					command[1] = loadScript(t, srv, test.lose[0][2])
				}
			}
			pipeline(t, srv, append(test.lose, test.lose...)...) // soon, whatever the machine does
			p.logs.await(t, "reason="+test.reason, 1)
			p.logs.await(t, `msg="snapshot read"`, 1)
			redistest.Do(t, srv, "DECR", "stock:1")
			ds := hook.await(t, "the webhook", func(ds []delivery) bool { return len(ds) == 1 })
			if d := ds[0].Data; d.Before != "2" || d.After != "1" {
				t.Errorf("delivery %+v", d)
			}
			p.stop()
			for _, once := range []string{`msg="snapshot read"`, "reason=" + test.reason} {
				if n := strings.Count(p.logs.String(), once); n != 1 {
					t.Errorf("%s comes %d times:\n%s", once, n, p.logs)
				}
			}
		})
	}
}

// pipeline sends commands at once, and waits for all replies.
func pipeline(t *testing.T, srv *servers.Server, commands ...[]string) {
	t.Helper()
	c := redistest.Dial(t, srv)
	for _, args := range commands {
		c.Send(args...)
	}
	if err := c.Flush(); err != nil {
		t.Fatal(err)
	}
	for _, args := range commands {
		if _, err := c.Receive(); err != nil {
			t.Fatalf("%q: %v", args, err)
		}
	}
}

func loadScript(t *testing.T, srv *servers.Server, script string) string {
	t.Helper()
	sha, _ := redistest.Do(t, srv, "SCRIPT", "LOAD", script).(string)
	return sha
}
