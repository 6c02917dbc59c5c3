package main

import (
	"fmt"
	"net/http"
	"strings"
	"syscall"
	"testing"

	"triggerd/internal/redistest"
)

// A target that a reload has taken away is called no more. What waits for it is
// shown, after a restart too, and delivered once the target is back.
func TestRemovedTarget(t *testing.T) {
	t.Parallel()
	srv, hook, dir := redistest.Start(t, "redis-7.0"), newSink(t), t.TempDir()
	hook.setReply(func(*delivery) int { return http.StatusServiceUnavailable })
	frame := fmt.Sprintf("[source]\nurl = \"redis://%s\"\n[http]\nlisten = \"127.0.0.1:0\"\n[defaults]\nretry = { backoff = \"10ms\", max_backoff = \"10ms\", max_attempts = 1000 }\n", srv.Addr)
	target := fmt.Sprintf("[targets.crm]\ntype = \"webhook\"\nurl = \"%s\"\n", hook.URL)
	rule := "[[rule]]\nname = \"x\"\nkey = \"k:*\"\naction = [{ %s }]\n"
	with, without := frame+target+fmt.Sprintf(rule, `target = "crm"`), frame+fmt.Sprintf(rule, `type = "log"`)

	write(t, dir, "rules.toml", with)
	p := startWith(t, command(t, dir), "TRIGGERD_HTTP=")
	p.logs.await(t, `msg="attached`, 1)
	redistest.Do(t, srv, "SET", "k:1", "v")
	p.logs.await(t, `msg="delivery failed, trying again"`, 2)
	write(t, dir, "rules.toml", without)
	p.signal(syscall.SIGHUP)
	const told = `msg="firings wait for an action that no rule has any more; they are delivered if it comes back" action=target/crm pending=1 given_up_after=24h`
	p.logs.await(t, told, 1)
	p.logs.await(t, `msg="rules reloaded"`, 1)
	awaitAnswer(t, apiOf(t, p), `(?m)^target/crm +- +1 .* no rule .*no rule has it any more`, "status")
	p.stop() // and with it an attempt that began before the reload
	hook.setReply(func(*delivery) int { return http.StatusOK })
	p = startWith(t, command(t, dir), "TRIGGERD_HTTP=")
	p.logs.await(t, told, 1)
	redistest.Do(t, srv, "SET", "k:2", "v")
	p.logs.await(t, `msg="set k:2"`, 1) // so much time has passed
	awaitAnswer(t, apiOf(t, p), `(?m)^target/crm +- +1 .* no rule .*no rule has it any more`, "status")
	if got := hook.count(); got != 0 {
		t.Errorf("%d deliveries without the target", got)
	}
	write(t, dir, "rules.toml", with)
	p.signal(syscall.SIGHUP)
	hook.await(t, "what waited", func(got []delivery) bool { return len(got) == 1 })
	if strings.Contains(p.logs.String(), "delivery given up") {
		t.Error("given up before its time")
	}
	p.stop()
}
