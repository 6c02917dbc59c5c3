package main

import (
	"fmt"
	"strings"
	"testing"

	"triggerd/internal/redistest"
	"triggerd/internal/servers"
)

// A template that reads the type has the key's type kept, so that it tells
// whether a list is still there after LPOP.
func TestTemplateReadsType(t *testing.T) {
	redistest.Each(t, []string{"redis-7.0", "valkey-9.1"}, func(t *testing.T, srv *servers.Server) {
		hook, dir := newSink(t), t.TempDir()
		write(t, dir, "rules.toml", fmt.Sprintf(`
[source]
url = "redis://%s"
[[rule]]
name = "popped"
key = "q:*"
event = "lpop"
[[rule.action]]
type = "log"
message = "popped={{.type}}."
[[rule.action]]
type = "webhook"
url = "%s/in"
body = '{"id": {{json .id}}, "data": {"rule": {{json .rule}}, "event": "lpop", "key": {{json .type}}}}'
`, srv.Addr, hook.URL))
		p := start(t, dir)
		p.logs.await(t, `msg="attached`, 1)
		for _, line := range []string{"RPUSH q:1 a b", "LPOP q:1", "LPOP q:1"} {
			redistest.Do(t, srv, strings.Fields(line)...)
		}
		p.logs.await(t, "popped=", 2)
		ds := hook.await(t, "both", func(ds []delivery) bool { return len(ds) >= 2 })
		checkSet(t, ds, "popped list lpop, popped none lpop")
		p.logs.await(t, "popped=list.", 1)
		p.logs.await(t, "popped=none.", 1)
		p.stop()
	})
}
