package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"triggerd/internal/redistest"
	"triggerd/internal/servers"
)

func untilRules(addr, hook string) string {
	return fmt.Sprintf(`
[source]
url = "redis://%s"
[http]
listen = "127.0.0.1:0"
[targets.hook]
type = "webhook"
url = "%s/in"

[[rule]]
name = "hot"
key = "cpu:{host}"
when = "num(after) >= 90"
until = "num(after) < 70"
send_resolved = true
action = [{ target = "hook" }]

[[rule]]
name = "low"
key = "stock:{sku}"
when = "num(after) < 5"
for = "100ms"
send_resolved = true
action = [{ target = "hook" }]
`, addr, hook)
}

// told has how often each thing came, by "rule key status cause": each ID once.
func told(ds []delivery) map[string]int {
	n, ids := map[string]int{}, map[string]bool{}
	for _, d := range ds {
		if !ids[d.ID] {
			ids[d.ID] = true
			n[strings.Join([]string{d.Data.Rule, d.Data.Key, d.Data.Status, d.Data.Cause}, " ")]++
		}
	}
	return n
}

// awaitTold waits until all of it came, and checks that nothing else did.
func awaitTold(t *testing.T, hook *sink, want map[string]int) {
	t.Helper()
	total := 0
	for _, n := range want {
		total += n
	}
	ds := hook.await(t, fmt.Sprint(want), func(ds []delivery) bool {
		n := 0
		for _, count := range told(ds) {
			n += count
		}
		return n >= total
	})
	got := told(ds)
	for what, n := range got {
		if n != want[what] {
			t.Errorf("%d times %q, want %d", n, what, want[what])
		}
	}
	if len(got) != len(want) {
		t.Errorf("came %v, want %v", got, want)
	}
	for _, d := range ds {
		if d.Data.Since.IsZero() || (d.Data.Duration != nil) != (d.Data.Status == "resolved") {
			t.Errorf("%s of %s since %v", d.Data.Status, d.Data.Key, d.Data.Since)
		}
	}
}

// What is open on the real program stays so over kill -9, and its end is told
// once: after one in the stream, after one while nobody looked, by FLUSHALL, of a
// paused rule, and by a reload without the rule.
func TestUntil(t *testing.T) {
	t.Parallel()
	redistest.Each(t, []string{"redis-7.0", "valkey-9.1"}, func(t *testing.T, srv *servers.Server) {
		hook, dir := newSink(t), t.TempDir()
		rules := untilRules(srv.Addr, hook.URL)
		write(t, dir, "rules.toml", rules)
		do := func(line string) { redistest.Do(t, srv, strings.Fields(line)...) }
		want := map[string]int{}
		begin := func() *process {
			p := startWith(t, command(t, dir), "TRIGGERD_HTTP=")
			p.logs.await(t, `msg="attached`, 1)
			return p
		}
		p := begin()
		for _, key := range []string{"a", "b", "c", "d", "e"} {
			do("SET cpu:" + key + " 95")
			want["hot cpu:"+key+" firing command"]++
		}
		do("SET stock:1 2")
		want["low stock:1 firing command"]++
		awaitTold(t, hook, want)
		p.kill()

		do("SET cpu:a 60")
		do("SET cpu:b 80")
		want["hot cpu:a resolved command"]++
		p = begin()
		awaitTold(t, hook, want)
		p.kill()

		p = begin()
		do("SET cpu:b 99")
		do("SET cpu:c 5")
		do("SET cpu:c 97")
		do("DEL stock:1")
		want["hot cpu:c resolved command"]++
		want["hot cpu:c firing command"]++
		want["low stock:1 resolved deleted"]++
		awaitTold(t, hook, want)
		api := apiOf(t, p)
		awaitAnswer(t, api, `(?m)^open +4\n(.*\n)*open +0/cpu:b +open for \d`, "status", "--rule", "hot")
		if text := metricsOf(t, api); !strings.Contains(text, `triggerd_rule_open{rule="hot"} 4`) {
			t.Errorf("the metrics do not say how many are open:\n%s", text)
		}
		if _, err := ask(t, api, "pause", "rule/hot"); err != nil {
			t.Fatal(err)
		}
		do("SET cpu:f 95") // is not told of, and opens
		do("SET cpu:d 5")
		want["hot cpu:d resolved command"]++
		awaitTold(t, hook, want)
		if _, err := ask(t, api, "resume", "rule/hot"); err != nil {
			t.Fatal(err)
		}
		do("DEL cpu:f")
		want["hot cpu:f resolved deleted"]++ // nobody can know whether that was told
		awaitTold(t, hook, want)
		p.kill()

		do("SELECT 3")
		redistest.Do(t, srv, "FLUSHALL")
		p = begin()
		for _, key := range []string{"b", "c", "e"} {
			want["hot cpu:"+key+" resolved flushed"]++
		}
		awaitTold(t, hook, want)
		do("SET cpu:z 95")
		want["hot cpu:z firing command"]++
		awaitTold(t, hook, want)
		head, _, _ := strings.Cut(rules, "[[rule]]")
		write(t, dir, "rules.toml", head+"[[rule]]\nname = \"other\"\nkey = \"o\"\naction = { type = \"log\" }\n")
		p.signal(syscall.SIGHUP)
		want["hot cpu:z resolved reload"]++
		awaitTold(t, hook, want)
		p.stop()
	}, bigBacklog...)
}

// A full resync resolves what has ended meanwhile: what the values of keys tell,
// and without them what the snapshot has, or has not. What still holds stays open.
func TestUntilOverResync(t *testing.T) {
	t.Parallel()
	for _, kept := range []bool{true, false} {
		t.Run(fmt.Sprintf("values kept %v", kept), func(t *testing.T) {
			srv := redistest.Start(t, "redis-7.0", "--repl-backlog-size", "16kb")
			hook, dir := newSink(t), t.TempDir()
			do := func(line string) { redistest.Do(t, srv, strings.Fields(line)...) }
			write(t, dir, "rules.toml", untilRules(srv.Addr, hook.URL))
			p := startWith(t, command(t, dir), "TRIGGERD_HTTP=")
			p.logs.await(t, `msg="attached`, 1)
			want := map[string]int{}
			for _, key := range []string{"a", "b", "c", "d"} {
				do("SET cpu:" + key + " 95")
				want["hot cpu:"+key+" firing command"]++
			}
			do("SELECT 1")
			awaitTold(t, hook, want)
			p.stop()
			if !kept {
				if err := os.RemoveAll(filepath.Join(dir, "triggerd-data", "state")); err != nil {
					t.Fatal(err)
				}
			}
			do("SET cpu:a 5")
			do("DEL cpu:b")
			do("SET cpu:c 80")
			redistest.Do(t, srv, "SET", "big", strings.Repeat("x", 100_000))
			p = startWith(t, command(t, dir), "TRIGGERD_HTTP=")
			p.logs.await(t, "changes were missed", 1)
			if kept {
				want["hot cpu:a resolved unknown"]++ // the net change
				want["hot cpu:b resolved unknown"]++
			} else {
				want["hot cpu:a resolved "]++
				want["hot cpu:b resolved resync"]++
			}
			awaitTold(t, hook, want)
			do("SET cpu:c 99")
			do("SET cpu:d 5")
			want["hot cpu:d resolved command"]++
			awaitTold(t, hook, want)
			p.stop()
		})
	}
}
