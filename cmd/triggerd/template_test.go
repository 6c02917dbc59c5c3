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
	t.Parallel()
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

// A template that reads the values has them kept, and its body stays JSON
// whatever is in them.
func TestTemplateReadsValues(t *testing.T) {
	t.Parallel()
	redistest.Each(t, []string{"redis-7.0", "valkey-9.1"}, func(t *testing.T, srv *servers.Server) {
		hook, dir := newSink(t), t.TempDir()
		write(t, dir, "rules.toml", fmt.Sprintf(`
[source]
url = "redis://%s"
[[rule]]
name = "order"
key = "order:*"
[[rule.action]]
type = "log"
message = "was {{.before.status}} is {{.after.status}}."
[[rule.action]]
type = "webhook"
url = "%s/in"
body = '{"id": {{.id}}, "data": {"rule": {{.rule}}, "event": "{{.event}}", "key": "{{.before.status}} -> {{.after.status}} {{.after.nothing}}"}}'
`, srv.Addr, hook.URL))
		p := start(t, dir)
		p.logs.await(t, `msg="attached`, 1)
		redistest.Do(t, srv, "HSET", "order:1", "status", "new")
		redistest.Do(t, srv, "HSET", "order:1", "status", `p"a\id`)
		redistest.Do(t, srv, "DEL", "order:1")
		ds := hook.await(t, "three", func(ds []delivery) bool { return len(ds) >= 3 })
		checkSet(t, ds, `order  -> new  hset, order new -> p"a\id  hset, order p"a\id ->   del`)
		p.logs.await(t, "was new is", 1)
		p.stop()
	})
}

// A field that a template names is there of a hash that is too large to be kept
// as a whole.
func TestTemplateReadsFieldOfLargeHash(t *testing.T) {
	t.Parallel()
	redistest.Each(t, []string{"redis-7.0"}, func(t *testing.T, srv *servers.Server) {
		hook, dir := newSink(t), t.TempDir()
		write(t, dir, "rules.toml", fmt.Sprintf(`
[source]
url = "redis://%s"
[[rule]]
name = "large"
key = "h:*"
when = '"n" in changed'
[[rule.action]]
type = "webhook"
url = "%s/in"
body = '{"id": {{.id}}, "data": {"rule": {{.rule}}, "event": "{{.event}}", "key": "{{.before.n}} {{.after.n}} {{.after.status}} {{with .after}}{{.mail}}{{end}} {{index .before `+"`city`"+`}}"}}'
`, srv.Addr, hook.URL))
		fields := []string{"HSET", "h:1", "mail", "a@b", "status", "paid", "city", "Bern"}
		for i := range 2000 {
			fields = append(fields, fmt.Sprintf("field:%d", i), strings.Repeat("x", 200))
		}
		redistest.Do(t, srv, fields...)
		p := start(t, dir)
		p.logs.await(t, `msg="attached`, 1)
		redistest.Do(t, srv, "HSET", "h:1", "n", "1")
		redistest.Do(t, srv, "HSET", "h:1", "n", "2")
		ds := hook.await(t, "two", func(ds []delivery) bool { return len(ds) >= 2 })
		checkSet(t, ds, "large  1 paid a@b Bern hset, large 1 2 paid a@b Bern hset")
		p.stop()
	})
}

// A template over much data, which would not end, is given up with what it did,
// and holds up nothing else.
func TestTemplateHasAnEnd(t *testing.T) {
	t.Parallel()
	redistest.Each(t, []string{"redis-7.0"}, func(t *testing.T, srv *servers.Server) {
		hook, dir := newSink(t), t.TempDir()
		write(t, dir, "rules.toml", fmt.Sprintf(`
[source]
url = "redis://%s"
[[rule]]
name = "endless"
key = "q:*"
[[rule.action]]
type = "webhook"
url = "%s/in"
concurrency = 1
body = '{"id": {{.id}}, "data": {"rule": {{.rule}}, "event": "{{.event}}", "key": "{{.key}}{{range .args}}{{range $.args}}{{end}}{{end}}"}}'
`, srv.Addr, hook.URL))
		p := start(t, dir)
		p.logs.await(t, `msg="attached`, 1)
		many := []string{"RPUSH", "q:1"}
		for range 100_000 {
			many = append(many, "x")
		}
		redistest.Do(t, srv, many...)
		redistest.Do(t, srv, "RPUSH", "q:2", "x")
		ds := hook.await(t, "the other", func(ds []delivery) bool { return len(ds) >= 1 })
		checkSet(t, ds, "endless q:2 rpush")
		p.logs.await(t, "takes too many steps", 1)
		p.stop()
	})
}
