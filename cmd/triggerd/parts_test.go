package main

import (
	"errors"
	"fmt"
	"path/filepath"
	"testing"

	"triggerd/internal/redistest"
	"triggerd/internal/servers"
	"triggerd/internal/store"
)

// bulk sends, in one command or one transaction, what changes so many keys.
var bulk = map[string]func(c *servers.Client, keys []string) error{
	"DEL": func(c *servers.Client, keys []string) error {
		_, err := c.Do(append([]string{"DEL"}, keys...)...)
		return err
	},
	"MSET": func(c *servers.Client, keys []string) error {
		_, err := c.Do(appendPairs([]string{"MSET"}, keys)...)
		return err
	},
	"transaction": func(c *servers.Client, keys []string) error {
		_, err := c.Do("MULTI")
		for i := 0; i < len(keys); i += 100 {
			_, failed := c.Do(append([]string{"DEL"}, keys[i:i+100]...)...)
			err = errors.Join(err, failed)
		}
		_, failed := c.Do("EXEC")
		return errors.Join(err, failed)
	},
}

func appendPairs(args, keys []string) []string {
	for _, key := range keys {
		args = append(args, key, "v")
	}
	return args
}

// One command or transaction that fires very often, and a process that dies in
// the midst of taking that in: each firing is enqueued once. A firing has all
// the words of its command, so that those of one command are fewer.
func TestPartsOfACommand(t *testing.T) {
	t.Parallel()
	for how, send := range bulk {
		n := 1_500
		if how == "transaction" {
			n = 30_000
		}
		keys := make([]string, n)
		for i := range keys {
			keys[i] = fmt.Sprintf("bulk:%d", i)
		}
		for _, point := range []string{"matched:1", "committed:2", "matched:4"} {
			t.Run(how+" "+point, func(t *testing.T) {
				srv := redistest.Start(t, "redis-7.0", bigBacklog...)
				hook, dir := newSink(t), t.TempDir()
				write(t, dir, "rules.toml", partsRules(srv.Addr, hook.URL))
				c := redistest.Dial(t, srv)
				if _, err := c.Do(appendPairs([]string{"MSET"}, keys)...); err != nil {
					t.Fatal(err)
				}
				attach(t, dir).stop() // what is written from now on is missed by no later start
				if err := send(c, keys); err != nil {
					t.Fatal(err)
				}
				if _, err := c.Do("SET", "marker", "1"); err != nil {
					t.Fatal(err)
				}
				p := startWith(t, command(t, dir), "TRIGGERD_FAILPOINT="+point)
				if code := p.wait(); code != 86 {
					t.Fatalf("exit code %d, want that of the failpoint; log:\n%s", code, p.logs)
				}
				before := enqueued(t, dir)
				p = attach(t, dir)
				hook.await(t, "the marker", func(ds []delivery) bool { return len(ds) > 0 })
				p.stop()
				twice := 0
				ids := enqueued(t, dir)
				for _, times := range ids {
					twice += times - 1
				}
				if len(ids) != n || twice != 0 {
					t.Errorf("%d of %d enqueued, %d of them twice; %d when it died", len(ids), n, twice, len(before))
				}
				t.Logf("%d were enqueued when it died", len(before))
			})
		}
	}
}

// partsRules are of keys whose firings wait, and of one that is delivered.
func partsRules(addr, hook string) string {
	return fmt.Sprintf(`
[source]
url = "redis://%s"
[store]
dir = "data"
[[rule]]
name = "bulk"
key = "bulk:*"
action = [{ type = "webhook", url = "http://127.0.0.1:1/" }]
[[rule]]
name = "marker"
key = "marker"
action = [{ type = "webhook", url = "%s/in" }]
`, addr, hook)
}

// enqueued returns how often each firing of the rule bulk waits.
func enqueued(t *testing.T, dir string) map[string]int {
	t.Helper()
	st, err := store.Open(filepath.Join(dir, "data"))
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	ids := map[string]int{}
	var seqs []uint64
	for p, err := range st.Pending("rule/bulk/webhook", 0) {
		if err != nil {
			t.Fatal(err)
		}
		seqs = append(seqs, p.Seq)
	}
	for j, err := range st.Jobs(seqs) {
		if err != nil {
			t.Fatal(err)
		}
		ids[j.ID]++
	}
	return ids
}
