package main

import (
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"triggerd/internal/redistest"
	"triggerd/internal/servers"
)

// timeRules has a rule for each field of time. What a rule waits for is short
// where the test waits for it, and an hour where it must not come.
func timeRules(addr, hook string) string {
	return fmt.Sprintf(`
[source]
url = "redis://%s"
[targets.hook]
type = "webhook"
url = "%s/in"

[[rule]]
name = "throttled"
key = "throttled:{id}"
throttle = { max = 2, per = "1h", by = "params.id" }
action = [{ target = "hook" }]

[[rule]]
name = "counted"
key = "counted:{id}"
count = { over = 3, within = "1h", by = "params.id" }
action = [{ target = "hook" }]

[[rule]]
name = "once"
key = "once:{id}"
once = "params.id"
action = [{ target = "hook" }]

[[rule]]
name = "settled"
key = "settled:{id}"
debounce = { wait = "3s", by = "params.id" }
action = [{ target = "hook" }]

[[rule]]
name = "batched"
key = "batched:{id}"
batch = { max = 3, wait = "3s", by = "params.id" }
action = [{ target = "hook" }]

[[rule]]
name = "silent"
key = "beat:{id}"
event = "write"
absent = { for = "3s", by = "params.id", send_resolved = true, expect = ["never"] }
action = [{ target = "hook" }]

[[rule]]
name = "held"
key = "held:{id}"
when = 'num(after) < 5'
for = "3s"
action = [{ target = "hook" }]

[[rule]]
name = "each-second"
schedule = "@every 1s"
summarize = ["throttled"]
action = [{ target = "hook" }]
`, addr, hook)
}

// Rules with time fields on the real program, which is killed while they count
// and wait: each firing comes, and no other.
func TestTimeRules(t *testing.T) {
	t.Parallel()
	redistest.Each(t, []string{"redis-7.0", "valkey-9.1"}, func(t *testing.T, srv *servers.Server) {
		hook, dir := newSink(t), t.TempDir()
		write(t, dir, "rules.toml", timeRules(srv.Addr, hook.URL))
		p := attach(t, dir)
		do := func(line string, times int) {
			for range times {
				redistest.Do(t, srv, strings.Fields(line)...)
			}
		}
		have := func(what string, n int) {
			t.Helper()
			hook.await(t, fmt.Sprintf("%d times %s", n, what), func(ds []delivery) bool { return len(tally(ds)[what]) >= n })
		}
		have("silent never firing", 1)
		do("INCR throttled:a", 1)
		do("INCR counted:a", 2)
		do("INCR once:a", 2)
		have("throttled a", 1)
		have("once a", 1)
		p.kill() // with the counts at 1, 2 and 1
		do("INCR throttled:a", 1)
		do("INCR settled:a", 3)
		p = attach(t, dir)
		do("INCR settled:a", 1)
		do("INCR throttled:a", 5)
		do("INCR counted:a", 1)
		do("INCR once:a", 2)
		do("INCR beat:a", 3)
		do("INCR held:a", 1)
		do("INCR held:b", 1)
		do("SET held:b 9", 1)
		do("INCR batched:a", 4) // the last: once it is delivered, all before it is stored
		have("batched a 3", 1)
		p.kill() // with timers running
		do("INCR counted:a", 5)
		p = attach(t, dir)
		have("throttled a", 2)
		have("counted a", 1)
		have("settled a 4", 1)
		have("batched a 1", 1)
		have("silent a firing", 1)
		have("held a", 1)
		do("INCR beat:a", 1)
		have("silent a resolved", 1)
		p.kill()
		p = attach(t, dir)
		have("silent a firing", 2)
		do("INCR throttled:b", 1)
		have("throttled b", 1)
		ds := hook.await(t, "a summary", func(ds []delivery) bool {
			fired := 0
			for _, d := range ds {
				for _, l := range d.Data.Summary {
					fired += l.Count
				}
			}
			return fired >= 8
		})
		p.stop()
		want := map[string]int{
			"throttled a": 2, "throttled b": 1, "counted a": 1, "once a": 1, "settled a 4": 1, "batched a 3": 1, "batched a 1": 1,
			"silent never firing": 1, "silent a firing": 2, "silent a resolved": 1, "held a": 1,
		}
		for what, ids := range tally(ds) {
			if what == "each-second" {
				continue
			}
			if len(ids) != want[what] {
				t.Errorf("%d times %q, want %d: %v", len(ids), what, want[what], ids)
			}
		}
	}, bigBacklog...)
}

// tally has the IDs of what was delivered by what it is: what came twice with
// one ID is there once.
func tally(ds []delivery) map[string]map[string]bool {
	n := map[string]map[string]bool{}
	for _, d := range ds {
		what := d.Data.Rule
		if by := d.Data.By; by != "" {
			what += " " + by
		} else if _, id, ok := strings.Cut(d.Data.Key, ":"); ok {
			what += " " + id
		}
		if d.Data.Status != "" {
			what += " " + d.Data.Status
		}
		if d.Data.Rule == "settled" || d.Data.Rule == "batched" {
			what += " " + strconv.Itoa(d.Data.Count)
		}
		if n[what] == nil {
			n[what] = map[string]bool{}
		}
		n[what][d.ID] = true
	}
	return n
}

// What a rule counts and waits for can be looked at while it does.
func TestStatusOfRule(t *testing.T) {
	t.Parallel()
	srv := redistest.Start(t, "redis-7.0")
	dir, hook := t.TempDir(), newSink(t)
	rules := strings.Replace(timeRules(srv.Addr, hook.URL), "[targets.hook]", "[http]\nlisten = \"127.0.0.1:0\"\n[targets.hook]", 1)
	rules = strings.ReplaceAll(rules, `"3s"`, `"1h"`)
	write(t, dir, "rules.toml", rules)
	p := startWith(t, command(t, dir), "TRIGGERD_HTTP=")
	p.logs.await(t, `msg="attached`, 1)
	api := apiOf(t, p)
	for _, key := range []string{"throttled:a", "throttled:a", "throttled:a", "throttled:a", "beat:w", "settled:x", "settled:x"} {
		redistest.Do(t, srv, "INCR", key)
	}
	awaitAnswer(t, api, `(?m)^suppressed throttle 2\n(.*\n)*throttle +a +2 +2$`, "status", "--rule", "throttled")
	awaitAnswer(t, api, `(?m)^states +2, 2 armed timers\n(.*\n)*absent +never +in 59m.*\nabsent +w +in (59m|1h)`, "status", "--rule", "silent")
	awaitAnswer(t, api, `(?m)^debounce +x +in (59m|1h).* +2$`, "status", "--rule", "settled")
	awaitAnswer(t, api, `(?m)^next run +\d{4}-\d\d-\d\d \d\d:\d\d:\d\d, in \ds$`, "status", "--rule", "each-second")
	awaitAnswer(t, api, `(?m)^throttled +on +4 +2 +0 +2 +0 +0$`, "status")
	metrics := metricsOf(t, api)
	for _, want := range []string{
		`triggerd_rule_timers{rule="silent"} 2`, `triggerd_rule_time_states{rule="throttled"} 1`,
		`triggerd_rule_suppressed_total{reason="throttle",rule="throttled"} 2`, `triggerd_rule_next_run_timestamp_seconds{rule="each-second"} `,
	} {
		if !strings.Contains(metrics, want) {
			t.Errorf("the metrics do not have %s:\n%s", want, metrics)
		}
	}
	if _, err := ask(t, api, "status", "--rule", "nosuch"); err == nil || !strings.Contains(err.Error(), `rule "nosuch": not found`) {
		t.Errorf("a rule that is not there: %v", err)
	}
	p.stop()
}

// The process dies between any two steps while timers run: each of them fires,
// and none twice.
func TestFailpointsWithTimers(t *testing.T) {
	t.Parallel()
	for _, point := range []string{"matched", "committed", "delivered"} {
		t.Run(point, func(t *testing.T) {
			srv := redistest.Start(t, "redis-7.0", bigBacklog...)
			hook, dir := newSink(t), t.TempDir()
			write(t, dir, "rules.toml", fmt.Sprintf(`
[source]
url = "redis://%s"
[[rule]]
name = "settled"
key = "doc:{id}"
debounce = { wait = "50ms", by = "params.id" }
[[rule.action]]
type = "webhook"
url = "%s/in"
`, srv.Addr, hook.URL))
			attach(t, dir).stop()
			c := redistest.Dial(t, srv)
			written := 0
			for round := range rounds(t, 3) {
				p := startWith(t, command(t, dir), fmt.Sprintf("TRIGGERD_FAILPOINT=%s:%d", point, 2+5*round))
				for ended := false; !ended; {
					for range 5 {
						if _, err := c.Do("SET", "doc:"+strconv.Itoa(written), strconv.Itoa(written)); err != nil {
							t.Fatal(err)
						}
						written++
					}
					select {
					case <-p.ended:
						ended = true
					case <-time.After(5 * time.Millisecond):
					}
				}
			}
			p := attach(t, dir)
			ids := map[string]map[string]bool{}
			hook.await(t, "all timers", func(ds []delivery) bool {
				ids = tally(ds)
				return len(ids) >= written
			})
			p.stop()
			for what, ids := range ids {
				if len(ids) != 1 {
					t.Errorf("%s fired as %v", what, ids)
				}
			}
			t.Logf("%d timers", written)
		})
	}
}

func metricsOf(t *testing.T, api string) string {
	t.Helper()
	resp, err := http.Get("http://" + strings.TrimPrefix(api, "http://") + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
