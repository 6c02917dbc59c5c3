package main

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"triggerd/internal/doctor"
	"triggerd/internal/redistest"
	"triggerd/internal/servers"
)

// TestSentinel: the whole way. A primary that Sentinels watch is killed and comes
// back empty; triggerd, which was killed too, goes on at the next one.
func TestSentinel(t *testing.T) {
	t.Parallel()
	redistest.Each(t, []string{"valkey-9.1"}, func(t *testing.T, primary *servers.Server) {
		t.Parallel()
		replicas := []*servers.Server{redistest.Start(t, primary.Program.Name), redistest.Start(t, primary.Program.Name)}
		for _, r := range replicas {
			follow(t, r, primary)
		}
		s := redistest.StartSentinels(t, primary, primary.Addr, redistest.SentinelOptions{})
		s.AwaitReplicas(2)
		url := "redis+sentinel://" + strings.Join(s.Addrs, ",") + "/" + redistest.SentinelName
		hook, dir := newSink(t), t.TempDir()
		write(t, dir, "rules.toml", strings.Replace(laneRules("", hook.URL), "redis://", url, 1))
		p := attach(t, dir)
		written := 0
		writes := func(srv *servers.Server, n int) {
			t.Helper()
			c := redistest.Dial(t, srv)
			for range n {
				if _, err := c.Do("SET", laneOf(written), strconv.Itoa(written)); err != nil {
					t.Fatal(err)
				}
				written++
			}
			if got, err := c.Do("WAIT", "1", "5000"); err != nil || got.(int64) < 1 {
				t.Fatalf("WAIT = %v, %v", got, err)
			}
		}
		writes(primary, 100)
		hook.await(t, "some of these writes", func(ds []delivery) bool { return len(ds) >= 10 })
		found, _ := examineAs(t, url)
		if f := found["sentinel"]; f.Severity != doctor.OK {
			t.Errorf("doctor: %+v", f)
		}
		p.kill()
		for _, r := range replicas { // they do not take over that the primary is empty
			redistest.Do(t, r, "CONFIG", "SET", "masterauth", "what the primary does not know")
		}
		if err := primary.Kill(); err != nil {
			t.Fatal(err)
		}
		if err := primary.Restart(t.Context()); err != nil { // empty, and still what the Sentinels name
			t.Fatal(err)
		}
		redistest.Do(t, primary, "SET", "lane:0", "foreign")
		if err := primary.Kill(); err != nil {
			t.Fatal(err)
		}
		for _, r := range replicas {
			redistest.Do(t, r, "CONFIG", "SET", "masterauth", "")
		}
		p = start(t, dir, "--http", "127.0.0.1:0")
		var now *servers.Server
		for limit := time.Now().Add(patience); now == nil; time.Sleep(10 * time.Millisecond) {
			for _, r := range replicas {
				if s.Primary(0) == r.Addr {
					now = r
				}
			}
			if time.Now().After(limit) {
				t.Fatal("no replica was promoted")
			}
		}
		writes(now, 100)
		checkDeliveries(t, hook.await(t, "all writes", allOf(written)), written)
		if got := statusOf(t, apiOf(t, p)).Source; got.Primary != "redis://"+now.Addr || got.Server != url || got.Gaps != 0 || got.FullResyncs != 0 {
			t.Errorf("status %+v", got)
		}
		p.stop()
	})
}
