package main

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"triggerd/internal/redistest"
	"triggerd/internal/servers"
)

// A command with very many watched keys fires for each of them with what is about
// that key, and what comes behind it is not late. A kill meanwhile changes
// nothing.
func TestCommandsWithManyKeys(t *testing.T) {
	t.Parallel()
	redistest.Each(t, []string{"redis-7.0", "redis-8.6", "valkey-9.1"}, func(t *testing.T, srv *servers.Server) {
		t.Parallel()
		const n, each = 30_000, 1000
		hook, dead, dir := newSink(t), newSink(t), t.TempDir()
		dead.Close()
		write(t, dir, "rules.toml", fmt.Sprintf(`
[source]
url = "redis://%s"
[targets.hook]
type = "webhook"
url = "%s/in"
[[rule]]
name = "all"
key = "k:*"
[[rule.action]]
type = "webhook"
url = "%s/in"
[[rule]]
name = "some"
key = "k:*"
when = "part.size == %d && part.index %% %d == 0 && len(args) <= 2 && args[0] == key"
[[rule.action]]
target = "hook"
[[rule]]
name = "next"
key = "next"
[[rule.action]]
target = "hook"
`, srv.Addr, hook.URL, dead.URL, n, each))
		p := start(t, dir)
		p.logs.await(t, `msg="attached`, 1)
		mset, del := []string{"MSET"}, []string{"DEL"}
		for i := range n {
			key := fmt.Sprint("k:", i+1)
			mset, del = append(mset, key, fmt.Sprint(i+1)), append(del, key)
		}
		for round, command := range [][]string{mset, del} {
			redistest.Do(t, srv, command...)
			redistest.Do(t, srv, "SET", "next", fmt.Sprint(round))
			began := time.Now()
			ds := hook.await(t, "what each thousandth key and the next command fire", func(ds []delivery) bool { return len(ds) == (round+1)*(n/each+1) })
			next := ds[len(ds)-1]
			for _, d := range ds[round*(n/each+1):] {
				if d.Data.Rule == "next" {
					next = d
					continue
				}
				place := d.Data.Part.Index
				want := command[:1:1]
				if round == 0 {
					want = append(want, command[2*place-1], command[2*place])
				} else {
					want = append(want, command[place])
				}
				got := d.Data.Command
				for _, arg := range d.Data.Args {
					got += fmt.Sprint(" ", arg)
				}
				if got != strings.Join(want, " ") || d.Data.Key != want[1] || d.Data.Part.Size != n || !strings.Contains(d.ID, fmt.Sprintf("/%d:", place-1)) {
					t.Errorf("%s of %q, want %q: %+v", got, d.Data.Key, want, d)
				}
			}
			if late := next.arrived.Sub(began); late > time.Minute {
				t.Errorf("what follows %s fires after %v", command[0], late)
			} else {
				t.Logf("what follows %s fires after %v", command[0], late)
			}
		}
		p.kill()
		p = start(t, dir)
		p.logs.await(t, `msg="attached`, 1)
		redistest.Do(t, srv, "SET", "next", "again")
		ds := hook.await(t, "the next command", func(ds []delivery) bool {
			return slices.ContainsFunc(ds, func(d delivery) bool { return d.value() == "again" })
		})
		seen := map[string]bool{}
		for _, d := range ds {
			seen[d.ID] = true
		}
		if len(seen) != 2*(n/each+1)+1 {
			t.Errorf("%d firings", len(seen))
		}
		p.kill()
	}, bigBacklog...)
}
