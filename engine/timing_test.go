package engine_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"triggerd/engine"
	"triggerd/internal/store"
	"triggerd/source"
)

// at is a record that comes at the present time.
func at(r *source.Record) *source.Record {
	r.Time = time.Now()
	return r
}

func attached() *source.Record { return at(&source.Record{Kind: source.Attached, ReplID: "repl"}) }

// memory is a store that outlives an engine.
func memory(t *testing.T) *store.Store {
	t.Helper()
	st, err := store.OpenInMemory()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { st.Close() })
	return st
}

const beats = `
[[rule]]
name = "silent"
key = "beat:{id}"
event = "set"
absent = { for = "1m", by = "params.id", send_resolved = true, repeat = "1h" }
[[rule.action]]
type = "print"
format = "json"
order = "none"
[[rule]]
name = "settled"
key = "doc:{id}"
debounce = { wait = "10s", by = "params.id" }
[[rule.action]]
type = "print"
format = "json"
order = "none"
`

// What was due while triggerd was down fires when it is back and has read what
// happened meanwhile, in the order in which it was due.
func TestDueWhileDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := memory(t)
		keep := func(c *engine.Config) { c.Store = st }
		r := run(t, beats, keep, attached(),
			at(cmd(10, source.Tx{}, "SET", "beat:a", "1")), at(cmd(20, source.Tx{}, "SET", "beat:b", "1")), at(cmd(30, source.Tx{}, "SET", "doc:x", "1")))
		if err := r.stop(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(55 * time.Minute)
		// b had a beat that is read only now.
		r = run(t, beats, keep, attached(), at(cmd(40, source.Tx{}, "SET", "beat:b", "2")))
		time.Sleep(100 * time.Millisecond)
		synctest.Wait()
		check(t, r.fired(t),
			"settled doc:x set repl:30/0:settled/print",
			"silent beat:a absent absent:946684860000/2o0ongoiv4rrg:silent/print")
		if r.feed.from != pos(30) {
			t.Errorf("resumed at %v", r.feed.from)
		}
		r.out.Reset()
		time.Sleep(10 * time.Minute) // b is silent from its last beat on; a is told again an hour after the first time
		synctest.Wait()
		got := r.fired(t)
		if len(got) != 2 || !strings.HasPrefix(got[0], "silent beat:b absent") || !strings.HasPrefix(got[1], "silent beat:a absent absent:946688460000/") {
			t.Errorf("fired %q", got)
		}
		r.stop()
	})
}

// While the link is down nothing is absent; what is folded together fires.
func TestNothingIsAbsentWithoutALink(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lost := func(c *engine.Config) { c.Source.(*feed).detached = true }
		r := run(t, beats, lost, attached(),
			at(cmd(10, source.Tx{}, "SET", "beat:a", "1")), at(cmd(30, source.Tx{}, "SET", "doc:x", "1")),
			at(&source.Record{Kind: source.Detached}))
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		check(t, r.fired(t), "settled doc:x set repl:30/0:settled/print")
		r.stop()
	})
}

// A reload keeps the state of rules whose time fields are as they were, and
// says which it drops.
func TestReloadKeepsState(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := run(t, beats, nil, attached(), at(cmd(10, source.Tx{}, "SET", "beat:a", "1")), at(cmd(30, source.Tx{}, "SET", "doc:x", "1")))
		set, err := engine.ParseRules("rules.toml", []byte(strings.Replace(strings.Replace(beats, `"10s"`, `"20s"`, 1), `event = "set"`, `event = "set"`+"\nseverity = \"critical\"", 1)), engine.ActionOptions{Stdout: &r.out})
		if err != nil {
			t.Fatal(err)
		}
		if err := r.Reload(set); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		got := r.fired(t)
		if len(got) != 1 || !strings.HasPrefix(got[0], "silent beat:a absent") {
			t.Errorf("fired %q", got)
		}
		for _, want := range []string{"rule=silent state=kept values=1", `rule=settled state="dropped: the rule is gone, or its time fields have changed" values=1 waiting=1`} {
			if !strings.Contains(r.log.String(), want) {
				t.Errorf("the log does not say %s:\n%s", want, r.log.String())
			}
		}
		r.stop()
	})
}

// A run of a schedule that was missed is made up for once, if the rule asks for
// that.
func TestMissedRun(t *testing.T) {
	const daily = `
[[rule]]
name = "daily"
schedule = "30 0 * * *"
timezone = "UTC"
catch_up = true
[[rule.action]]
type = "print"
format = "json"
`
	for _, tt := range []struct {
		rules string
		want  []string
	}{
		{daily, []string{"daily - schedule clock:946773000000/0:daily/print"}},
		{strings.Replace(daily, "catch_up = true\n", "", 1), nil},
	} {
		synctest.Test(t, func(t *testing.T) { // begins at 2000-01-01 00:00 UTC
			st := memory(t)
			keep := func(c *engine.Config) {
				c.Store = st
				slow(c)
			}
			r := run(t, tt.rules, keep, attached(), at(cmd(10, source.Tx{}, "SET", "k", "1")))
			r.stop()
			time.Sleep(25 * time.Hour) // two runs
			r = run(t, tt.rules, keep, attached())
			time.Sleep(time.Minute)
			synctest.Wait()
			check(t, r.fired(t), tt.want...)
			r.stop()
		})
	}
}

// A run at a time that comes twice, since clocks are put back, is one run, also
// if the process is another one by the second time.
func TestRunOnceOverARestart(t *testing.T) {
	const nightly = `
[[rule]]
name = "nightly"
schedule = "30 2 * * *"
timezone = "Europe/Berlin"
[[rule.action]]
type = "print"
format = "json"
`
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(time.Date(2000, 10, 29, 0, 10, 0, 0, time.UTC))) // 2:10, the first time
		keep := func(st *store.Store) func(c *engine.Config) {
			return func(c *engine.Config) {
				c.Store = st
				slow(c)
			}
		}(memory(t))
		r := run(t, nightly, keep, attached(), at(cmd(10, source.Tx{}, "SET", "k", "1")))
		time.Sleep(time.Hour) // 2:10 again
		synctest.Wait()
		check(t, r.fired(t), "nightly - schedule clock:972779400000/0:nightly/print")
		r.stop()
		r = run(t, nightly, keep, attached())
		time.Sleep(time.Hour)
		synctest.Wait()
		check(t, r.fired(t))
		r.stop()
	})
}

// The examples do what they say.
func TestExamples(t *testing.T) {
	for _, name := range []string{"rules.toml", "time.toml"} {
		set, err := engine.LoadRules("../examples/"+name, engine.ActionOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if len(set.Tests) == 0 {
			t.Errorf("%s has no tests", name)
		}
		for _, test := range set.Tests {
			r := engine.RunTest(t.Context(), set, test, engine.ActionOptions{})
			if d := r.Differences(); d != nil {
				t.Errorf("%s: %s: %s", name, test.Name, strings.Join(d, "; "))
			}
		}
	}
}
