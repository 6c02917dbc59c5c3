package main

import (
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"triggerd/internal/redistest"
)

// await waits until a receiver has a body with all of these parts, and returns it.
func (r *received) await(t *testing.T, parts ...string) string {
	t.Helper()
	for began := time.Now(); time.Since(began) < patience; time.Sleep(10 * time.Millisecond) {
		r.mu.Lock()
		bodies := r.bodies
		r.mu.Unlock()
	next:
		for _, body := range bodies {
			for _, part := range parts {
				if !strings.Contains(body, part) {
					continue next
				}
			}
			return body
		}
	}
	t.Fatalf("nothing with %q came: %q", parts, r.bodies)
	return ""
}

// The real program tells a chat what changed, and opens and closes one incident,
// though it is killed while that is open.
func TestServicesAreTold(t *testing.T) {
	t.Parallel()
	srv, dir := redistest.Start(t, "redis-7.0"), t.TempDir()
	got := &received{ids: map[string]bool{}}
	hook := httptest.NewServer(got)
	defer hook.Close()
	write(t, dir, "rules.toml", fmt.Sprintf(`
[source]
url = "redis://%s"
[[rule]]
name = "paid"
key = "order:{id}"
event = "hset"
action = { type = "webhook", format = "slack", url = "%[2]s" }
[[rule]]
name = "silent"
description = "a worker is gone"
severity = "critical"
key = "hb:{worker}"
event = "set"
absent = { for = "2s", by = "params.worker", send_resolved = true }
action = { type = "webhook", format = "pagerduty", url = "%[2]s", routing_key = "R0UT1NGKEY" }
`, srv.Addr, hook.URL))
	p := attach(t, dir)
	redistest.Do(t, srv, "HSET", "order:7", "status", "new", "note", "<!channel> @everyone")
	redistest.Do(t, srv, "HSET", "order:7", "status", "paid")
	got.await(t, `"text":"created: note: &lt;!channel&gt; @everyone, status: new"`)
	got.await(t, `"text":"status: new → paid"`)

	redistest.Do(t, srv, "SET", "hb:api-1", "up")
	type incident struct {
		Action  string `json:"event_action"`
		Key     string `json:"dedup_key"`
		Payload struct{ Summary, Severity string }
	}
	var opened, closed incident
	if err := json.Unmarshal([]byte(got.await(t, `"event_action":"trigger"`)), &opened); err != nil {
		t.Fatal(err)
	}
	p.kill()
	attach(t, dir)
	redistest.Do(t, srv, "SET", "hb:api-1", "up")
	if err := json.Unmarshal([]byte(got.await(t, `"event_action":"resolve"`)), &closed); err != nil {
		t.Fatal(err)
	}
	if opened.Key != "triggerd/silent/api-1" || closed.Key != opened.Key || opened.Payload.Severity != "critical" || opened.Payload.Summary != "silent: api-1 silent for 2s" {
		t.Errorf("opened %+v, closed %+v", opened, closed)
	}
}
