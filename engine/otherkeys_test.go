package engine_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"triggerd/engine"
	"triggerd/internal/admin"
	"triggerd/internal/event"
	"triggerd/internal/firing"
	"triggerd/source"
)

const overLimit = `
[[rule]]
name = "over"
key = "use:{id}"
when = 'num(after) > num(value("limit:" + params.id), 100)'
[[rule.action]]
type = "log"
message = '{{.key}} is {{.after}} of {{value "limit:" .params.id}}, for {{field "user:" .params.id "name"}}'
`

// A rule sees another key as it is after the command at hand, within MULTI too;
// its templates have what was so when it fired; and the other key fires nothing.
func TestOtherKeys(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tx := func(i int) source.Tx { return source.Tx{ID: "repl:100", Index: i, Size: 5} }
		var fired []string
		r := run(t, overLimit, func(c *engine.Config) {
			c.Store, c.Actions.Logger = memory(t), c.Logger
			c.OnFiring = func(f *firing.Firing) {
				var others []string
				for _, o := range f.Others {
					others = append(others, o.Key+"="+string(event.AppendJSONValue(nil, o.Value)))
				}
				fired = append(fired, fmt.Sprint(string(f.Event.Key), " ", strings.Join(others, " ")))
			}
		},
			attached(),
			at(&source.Record{Kind: source.SnapshotBegin, ReplID: "repl"}),
			at(&source.Record{Kind: source.SnapshotEnd, ReplID: "repl", Pos: pos(5)}),
			at(cmd(10, source.Tx{}, "SET", "use:7", "99")),
			at(cmd(20, source.Tx{}, "SET", "use:7", "101")), // more than where there is no limit
			at(cmd(100, tx(1), "SET", "limit:7", "5")),
			at(cmd(100, tx(2), "SET", "use:7", "6")), // more
			at(cmd(100, tx(3), "SET", "limit:7", "10")),
			at(cmd(100, tx(4), "SET", "use:7", "7")), // less
			at(cmd(100, tx(5), "HSET", "user:7", "name", "ann")),
			at(cmd(110, source.Tx{}, "SET", "use:7", "11")), // more
			at(cmd(120, source.Tx{}, "MOD.SET", "limit:7")), // makes it unknown
			at(cmd(130, source.Tx{}, "SET", "use:7", "12")),
			at(cmd(140, source.Tx{}, "DEL", "limit:7")),
			at(cmd(150, source.Tx{}, "SET", "use:7", "102")),
		)
		time.Sleep(time.Minute)
		if err := r.stop(); err != nil {
			t.Fatal(err)
		}
		want := `use:7 limit:7=null user:7=null, use:7 limit:7="5" user:7=null, use:7 limit:7="10" user:7={"name":"ann"}, use:7 limit:7=null user:7={"name":"ann"}`
		if got := strings.Join(fired, ", "); got != want {
			t.Errorf("fired\n%s, want\n%s", got, want)
		}
		for _, said := range []string{"use:7 is 6 of 5, for ", "use:7 is 11 of 10, for ann", "use:7 is 102 of , for ann", `value(\"limit:7\") is not known`} {
			if !strings.Contains(r.log.String(), said) {
				t.Errorf("the log has no %q:\n%s", said, r.log.String())
			}
		}
		if s, err := r.Status(); err != nil || s.Rules[0].ConditionErrors != 1 {
			t.Errorf("%v, condition errors %+v", err, s.Rules[0])
		}
	})
}

// What was read of another key is stored with the firing: it is delivered so after
// a restart.
func TestOtherKeysAreKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := memory(t)
		keep := func(c *engine.Config) { c.Store, c.Actions.Logger = st, c.Logger }
		r := run(t, strings.Replace(overLimit, `type = "log"`, "type = \"log\"\nname = \"say\"", 1), keep,
			attached(),
			at(&source.Record{Kind: source.SnapshotBegin, ReplID: "repl"}),
			at(&source.Record{Kind: source.SnapshotEnd, ReplID: "repl", Pos: pos(5)}),
		)
		time.Sleep(time.Minute)
		if _, err := r.Pause("rule/over/say", admin.Pause{}); err != nil {
			t.Fatal(err)
		}
		if err := r.stop(); err != nil {
			t.Fatal(err)
		}
		r = run(t, strings.Replace(overLimit, `type = "log"`, "type = \"log\"\nname = \"say\"", 1), keep,
			attached(),
			at(cmd(10, source.Tx{}, "SET", "limit:7", "5")), at(cmd(20, source.Tx{}, "SET", "use:7", "6")), at(cmd(30, source.Tx{}, "SET", "limit:7", "500")))
		time.Sleep(time.Minute)
		if err := r.stop(); err != nil {
			t.Fatal(err)
		}
		r = run(t, strings.Replace(overLimit, `type = "log"`, "type = \"log\"\nname = \"say\"", 1), keep, attached())
		if _, err := r.Resume("rule/over/say"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		if err := r.stop(); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(r.log.String(), "use:7 is 6 of 5, for ") {
			t.Errorf("the log has\n%s", r.log.String())
		}
	})
}
