package main

import (
	"fmt"
	"strings"
	"syscall"
	"testing"

	"triggerd/internal/redistest"
	"triggerd/internal/servers"
)

// otherRules read a limit that is another key, and, with more, a plan.
func otherRules(addr, more string) string {
	return fmt.Sprintf(`
[source]
url = "redis://%s"
[http]
listen = "127.0.0.1:0"
token = "%s"
read_token = "%s"
[[rule]]
name = "over"
key = "use:{id}"
when = 'num(after) > num(value("limit:" + params.id))'
[[rule.action]]
type = "log"
message = '{{.key}} is {{.after}} of {{value "limit:" .params.id}}'
%s`, addr, strings.Repeat("t", 16), strings.Repeat("r", 16), more)
}

// A rule sees another key: one of the snapshot, one that changed while the
// process was dead, and, after a reload, one that was not kept before. And
// explain asks the daemon what a key is.
func TestOtherKeys(t *testing.T) {
	t.Parallel()
	redistest.Each(t, judged, func(t *testing.T, srv *servers.Server) {
		dir := t.TempDir()
		do := func(line string) { redistest.Do(t, srv, strings.Fields(line)...) }
		do("SET limit:1 5")
		write(t, dir, "rules.toml", otherRules(srv.Addr, ""))
		p := startWith(t, command(t, dir), "TRIGGERD_HTTP=")
		p.logs.await(t, `msg="attached`, 1)
		do("SET use:1 5")
		do("SET use:1 6")
		p.logs.await(t, "use:1 is 6 of 5", 1)
		p.kill()

		do("SET limit:1 50")
		p = startWith(t, command(t, dir), "TRIGGERD_HTTP=")
		p.logs.await(t, `msg="attached`, 1)
		do("SET use:1 49")
		do("SET use:1 51")
		p.logs.await(t, "use:1 is 51 of 50", 1)

		do("HSET plan:1 name gold")
		write(t, dir, "rules.toml", otherRules(srv.Addr, `
[[rule]]
name = "gold"
key = "use:{id}"
when = 'field("plan:" + params.id, "name") == "gold"'
[[rule.action]]
type = "log"
message = '{{.key}} of {{field "plan:" .params.id "name"}}'
`))
		p.signal(syscall.SIGHUP)
		p.logs.await(t, `msg="snapshot read"`, 1) // which has plan:1
		do("SET use:1 52")
		p.logs.await(t, "use:1 of gold", 1)
		if strings.Contains(p.logs.String(), "use:1 is 49") || strings.Contains(p.logs.String(), "limit:1 is") {
			t.Error("it fires for what is no match")
		}

		api := apiOf(t, p)
		explain := func(env string, args ...string) (string, int) {
			cmd := command(t, dir, append([]string{"explain", "over", "--api", api}, args...)...)
			cmd.Env = append(cmd.Env, env)
			out, _ := cmd.CombinedOutput()
			return string(out), cmd.ProcessState.ExitCode()
		}
		reads := "TRIGGERD_TOKEN=" + strings.Repeat("r", 16)
		for _, test := range []struct {
			env  string
			args []string
			code int
			says string
		}{
			{reads, []string{"--live", "limit:1", "--live", "use:1", "INCRBY use:1 1"}, 0, `from "52" to "53"`},
			{reads, []string{"--live", "limit:1", "SET use:1 50"}, 1, `num(value("limit:" + params.id)) is 50`},
			{reads, []string{"--live", "limit:2", "SET use:2 50"}, 1, `no number`},
			{reads, []string{"--live", "other", "SET use:1 50"}, 69, `keeps no value of "other"`},
			{reads, []string{"--live", "use:1", "--before", "5", "SET use:1 50"}, 2, "given already"},
			{"TRIGGERD_TOKEN=" + strings.Repeat("x", 16), []string{"--live", "use:1", "SET use:1 50"}, 69, "the token is missing or wrong"},
		} {
			if out, code := explain(test.env, test.args...); code != test.code || !strings.Contains(out, test.says) {
				t.Errorf("%q ends with %d, want %d and %q:\n%s", test.args, code, test.code, test.says, out)
			}
		}
		cmd := command(t, dir, "send", "log", "--rule", "over", "--api", api, "--live", "limit:1", "--live", "use:1", "INCRBY use:1 1")
		cmd.Env = append(cmd.Env, reads)
		if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), "use:1 is 53") {
			t.Errorf("send --live: %v:\n%s", err, out)
		}
		p.stop()
	})
}
