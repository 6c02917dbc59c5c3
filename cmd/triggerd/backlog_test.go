package main

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"triggerd/internal/redistest"
)

// A dead endpoint that has all the firings it may have loses its own newest, as
// its rule wishes; another rule loses nothing by it, is not late, and loses
// nothing if triggerd is killed meanwhile.
func TestFullBacklog(t *testing.T) {
	t.Parallel()
	for _, overflow := range []string{"block", "drop_new", "drop_old"} {
		t.Run(overflow, func(t *testing.T) {
			t.Parallel()
			srv := redistest.Start(t, "redis-7.0", bigBacklog...)
			hook, dead, dir := newSink(t), newSink(t), t.TempDir()
			dead.Close()
			write(t, dir, "rules.toml", "[store]\nmax_pending = 1000\n"+laneRules(srv.Addr, hook.URL)+fmt.Sprintf(`
[[rule]]
name = "dead"
key = "dead:*"
overflow = %q
[[rule.action]]
type = "webhook"
url = "%s/in"
`, overflow, dead.URL))
			p := start(t, dir)
			p.logs.await(t, `msg="attached`, 1)
			c := redistest.Dial(t, srv)
			const n, each = 600, 10
			var wrote [n]time.Time
			var killed time.Time
			for i := range n {
				for j := range each {
					c.Send("SET", fmt.Sprint("dead:", i, ":", j), "x")
				}
				wrote[i] = time.Now()
				if _, err := c.Do("SET", laneOf(i), strconv.Itoa(i)); err != nil {
					t.Fatal(err)
				}
				for range each {
					if _, err := c.Receive(); err != nil {
						t.Fatal(err)
					}
				}
				if i == n/2 {
					// What comes in one go is taken in, and the next is dropped.
					for began := time.Now(); !strings.Contains(p.logs.String(), `msg="firings are dropped"`) && time.Since(began) < patience; {
						redistest.Do(t, srv, "SET", "dead:more", "x")
					}
					p.logs.await(t, `msg="firings are dropped"`, 1)
					killed = time.Now()
					p.kill()
					p = start(t, dir)
					p.logs.await(t, `msg="attached`, 1)
				}
			}
			ds := hook.await(t, "all writes of the other rule", allOf(n))
			checkDeliveries(t, ds, n)
			var latest time.Duration
			for _, d := range ds {
				i, _ := strconv.Atoi(d.value())
				if wrote[i].After(killed) || d.arrived.Before(killed) { // and not while it was started again
					latest = max(latest, d.arrived.Sub(wrote[i]))
				}
			}
			if latest > 9*time.Second { // the reader would stand still for ten
				t.Errorf("a firing of the other rule came after %v", latest)
			}
			p.stop()
		})
	}
}
