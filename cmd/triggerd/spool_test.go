package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"triggerd/internal/admin"
	"triggerd/internal/redistest"
	"triggerd/internal/servers"
)

// slowLaneRules fire for each write of a lane, after a condition that takes some ten
// milliseconds for each 200 KB.
func slowLaneRules(addr, hook string) string {
	return strings.Replace(laneRules(addr, hook), "key = \"lane:*\"\n", "key = \"lane:*\"\nvalues = false\nwhen = '!(arg(2) matches \"(ax?|a+b)+c$\")'\n", 1)
}

func statusOf(t *testing.T, api string) (s admin.Status) {
	t.Helper()
	resp, err := http.Get("http://" + strings.TrimPrefix(api, "http://") + "/api/v1/status")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(resp.Body).Decode(&s); err != nil {
		t.Fatal(err)
	}
	return s
}

// A rule that takes its time leaves nothing in the server's output buffer: all is
// received at once, and handled when there is time for it, though the process is
// killed meanwhile and the server's backlog holds next to nothing.
//
// How much the server keeps for a moment says how busy the machine is. So the writes
// wait now and then until all of them is received: a reader that does not wait for the
// rule gets far ahead of it all the same.
func TestSlowRule(t *testing.T) {
	redistest.Each(t, judged[1:2], func(t *testing.T, srv *servers.Server) {
		hook, dir := newSink(t), t.TempDir()
		write(t, dir, "rules.toml", slowLaneRules(srv.Addr, hook.URL))
		p := start(t, dir, "--http", "127.0.0.1:0")
		p.logs.await(t, `msg="attached`, 1)
		api := apiOf(t, p)
		c := redistest.Dial(t, srv)
		const n, atOnce = 150, 25
		pad := strings.Repeat("a", 200_000)
		var sent, furthest int64 // furthest is how far receiving was ahead of the rule
		awaitReceived := func() {
			t.Helper()
			sent = masterOffset(t, srv)
			for limit := time.Now().Add(patience); ; time.Sleep(time.Millisecond) { // nobody tells
				s := statusOf(t, api).Source
				if s.BehindSeconds > 0 {
					furthest = max(furthest, s.BehindBytes)
				}
				if s.ReceivedOffset >= sent {
					break
				}
				if time.Now().After(limit) {
					t.Fatalf("not received: %+v", s)
				}
			}
			if kept := replicaBuffer(t, srv); kept > 1<<20 { // it keeps a block or two of what is sent
				t.Errorf("all was received, and the server kept %d bytes for triggerd", kept)
			}
		}
		for i := range n {
			if _, err := c.Do("HSET", laneOf(i), strconv.Itoa(i), pad); err != nil {
				t.Fatal(err)
			}
			if i%atOnce == atOnce-1 {
				awaitReceived()
			}
		}
		if furthest < 20<<20 { // of 30 MB, and more than triggerd's memory holds of them
			t.Errorf("receiving was at most %d bytes ahead of the rule: either it waits for the rule, or the rule is not slow", furthest)
		}
		for limit := time.Now().Add(patience); dirSize(t, filepath.Join(dir, "triggerd-data", "spool")) <= sent; time.Sleep(time.Millisecond) { // the files tell nobody
			if time.Now().After(limit) {
				t.Fatal("not in the spool's files")
			}
		}
		for round := range 3 {
			p.kill()
			p = start(t, dir)
			if round < 2 {
				hook.await(t, "some more", func(ds []delivery) bool { return len(ds) > 20*(round+1) })
			}
		}
		checkDeliveries(t, hook.await(t, "all writes", allOf(n)), n)
		p.logs.await(t, `msg="attached, resuming`, 1)
		if text := p.logs.String(); strings.Contains(text, "changes were missed") || strings.Contains(text, "full resync") {
			t.Error("a gap, or a full resync")
		}
		p.stop()
	}, "--repl-backlog-size", "16kb", "--repl-ping-replica-period", "3600")
}

// replicaBuffer is what the server keeps for its replicas to be sent.
func replicaBuffer(t *testing.T, srv *servers.Server) (n int64) {
	t.Helper()
	list, _ := redistest.Do(t, srv, "CLIENT", "LIST", "TYPE", "replica").(string)
	for _, field := range strings.Fields(list) {
		if v, ok := strings.CutPrefix(field, "omem="); ok {
			k, err := strconv.ParseInt(v, 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			n += k
		}
	}
	return n
}

func dirSize(t *testing.T, dir string) (n int64) {
	t.Helper()
	err := filepath.Walk(dir, func(_ string, info os.FileInfo, err error) error {
		if err == nil && !info.IsDir() {
			n += info.Size()
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// /readyz fails while what is handled is too old.
func TestReadyWhileBehind(t *testing.T) {
	srv := redistest.Start(t, "redis-7.0")
	hook, dir := newSink(t), t.TempDir()
	write(t, dir, "rules.toml", slowLaneRules(srv.Addr, hook.URL)+"\n[http]\nlisten = \"127.0.0.1:0\"\nmax_behind = \"100ms\"\n")
	cmd := command(t, dir)
	p := startWith(t, cmd, "TRIGGERD_HTTP=")
	p.logs.await(t, `msg="attached`, 1)
	api := apiOf(t, p)
	c := redistest.Dial(t, srv)
	pad := strings.Repeat("a", 400_000)
	for i := range 12 {
		if _, err := c.Do("HSET", laneOf(i), strconv.Itoa(i), pad); err != nil {
			t.Fatal(err)
		}
	}
	await := func(what, want string) {
		t.Helper()
		for limit := time.Now().Add(patience); ; time.Sleep(5 * time.Millisecond) { // nobody tells
			if s := statusOf(t, api); strings.Contains(s.Ready, want) {
				return
			} else if time.Now().After(limit) {
				t.Fatalf("waited for %s: ready is %q", what, s.Ready)
			}
		}
	}
	await("not ready", fmt.Sprintf("behind redis://%s by ", srv.Addr))
	await("ready", "ok")
	p.stop()
}
