package engine_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"triggerd/engine"
	"triggerd/rdb"
	"triggerd/source"
)

// hot is a rule that opens and resolves.
const hot = `
[[rule]]
name = "hot"
key = "cpu:{host}"
when = "num(after) >= 90"
until = "num(after) < 70"
send_resolved = true
[[rule.action]]
type = "print"
format = "json"
order = "none"
`

// episodes returns "rule status key event cause seconds" of what was printed, and
// checks that no ID comes twice.
func (r *running) episodes(t *testing.T) (got []string) {
	t.Helper()
	ids := map[string]bool{}
	for line := range strings.Lines(r.out.String()) {
		var d struct {
			ID   string
			Data struct {
				Rule, Status, Key, Event, Cause string
				Since                           *time.Time
				Duration                        *int
				Params                          map[string]string
			}
		}
		if err := json.Unmarshal([]byte(line), &d); err != nil {
			t.Fatalf("%v in %s", err, line)
		}
		if ids[d.ID] {
			t.Errorf("%s comes twice", d.ID)
		}
		ids[d.ID] = true
		x := d.Data
		text := fmt.Sprintf("%s %s %s %s %s", x.Rule, x.Status, x.Key, x.Event, x.Cause)
		if (x.Status == "resolved") != (x.Duration != nil) || x.Since == nil || x.Params["host"] != strings.TrimPrefix(x.Key, "cpu:") {
			t.Errorf("%s", line)
		}
		if x.Duration != nil {
			text += fmt.Sprintf(" %v", time.Duration(*x.Duration)*time.Millisecond)
		}
		got = append(got, text)
	}
	r.out.Reset()
	return got
}

func set(offset int64, key, value string) *source.Record {
	return at(cmd(offset, source.Tx{}, "SET", key, value))
}

// A key opens once, whatever it does, and its end is told once: by a value, by
// its removal, or by an event that names no key.
func TestEpisodes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		second := func() { time.Sleep(time.Second) }
		var records []*source.Record
		add := func(rec *source.Record) {
			second()
			records = append(records, rec)
		}
		offset := int64(0)
		do := func(words ...string) {
			offset += 10
			add(at(cmd(offset, source.Tx{}, words...)))
		}
		do("SET", "cpu:a", "95")
		do("SET", "cpu:a", "75")
		do("SET", "cpu:a", "99")
		do("LPUSH", "cpu:x", "1") // a list is no number: nothing can be told
		do("SET", "cpu:a", "busy")
		do("SET", "cpu:a", "60")
		do("SET", "cpu:a", "50")
		do("SET", "cpu:a", "91")
		do("DEL", "cpu:a")
		for _, key := range []string{"cpu:b", "cpu:c"} {
			do("SET", key, "92")
		}
		do("FLUSHALL")
		do("SET", "cpu:b", "93")
		do("SWAPDB", "0", "1")
		r := run(t, hot, nil, append([]*source.Record{attached()}, records...)...)
		check(t, r.episodes(t),
			"hot firing cpu:a set command",
			"hot resolved cpu:a set command 5s",
			"hot firing cpu:a set command",
			"hot resolved cpu:a del deleted 1s",
			"hot firing cpu:b set command",
			"hot firing cpu:c set command",
			"hot resolved cpu:b resolved flushed 2s",
			"hot resolved cpu:c resolved flushed 1s",
			"hot firing cpu:b set command",
			"hot resolved cpu:b resolved flushed 1s")
		r.stop()
	})
}

// A reload that keeps the rule keeps what is open. One that drops, disables or
// changes it resolves that, with the actions that were told of it.
func TestEpisodesOverReloads(t *testing.T) {
	other := "[[rule]]\nname = \"other\"\nkey = \"o\"\naction = { type = \"log\" }\n"
	for name, test := range map[string]struct {
		rules string
		want  []string
	}{
		"kept":     {strings.Replace(hot, "send_resolved", "severity = \"page\"\nmax_keys = 9\nsend_resolved", 1), nil},
		"changed":  {strings.Replace(hot, "< 70", "< 60", 1), []string{"hot resolved cpu:a resolved reload 1m0s"}},
		"disabled": {strings.Replace(hot, "send_resolved", "enabled = false\nsend_resolved", 1), []string{"hot resolved cpu:a resolved reload 1m0s"}},
		"gone":     {other, []string{"hot resolved cpu:a resolved reload 1m0s"}},
		"mute":     {strings.Replace(hot, "send_resolved = true\n", "", 1), []string{"hot resolved cpu:a resolved reload 1m0s"}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := run(t, hot, nil, attached(), set(10, "cpu:a", "95"), set(20, "cpu:b", "95"), set(30, "cpu:b", "5"))
				check(t, r.episodes(t), "hot firing cpu:a set command", "hot firing cpu:b set command", "hot resolved cpu:b set command 0s")
				time.Sleep(time.Minute)
				next, err := engine.ParseRules("rules.toml", []byte(test.rules), engine.ActionOptions{Stdout: &r.out})
				if err != nil {
					t.Fatal(err)
				}
				if err := r.Reload(next); err != nil {
					t.Fatal(err)
				}
				time.Sleep(50 * time.Millisecond) // at once, not with the next record
				synctest.Wait()
				check(t, r.episodes(t), test.want...)
				r.stop()
			})
		})
	}
}

// What is open is kept over a restart. If the rule is another one by then it is
// resolved; if the rule is gone that is logged.
func TestEpisodesOverRestarts(t *testing.T) {
	for name, test := range map[string]struct {
		rules, log string
		want       []string
	}{
		"the same": {hot, "state=kept", []string{"hot resolved cpu:a set command 2m0s"}},
		"changed":  {strings.Replace(hot, "< 70", "< 60", 1), "state=\"dropped", []string{"hot resolved cpu:a resolved reload 1m0s"}},
		"no time":  {strings.Replace(strings.Replace(hot, "until = \"num(after) < 70\"\n", "", 1), "send_resolved = true\n", "", 1), "state=\"dropped", []string{"hot resolved cpu:a resolved reload 1m0s"}},
		"gone":     {strings.ReplaceAll(hot, `"hot"`, `"hotter"`), `msg="a rule with open keys is gone`, nil},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				st := memory(t)
				keep := func(c *engine.Config) { c.Store = st }
				r := run(t, hot, keep, attached(), set(10, "cpu:a", "95"))
				check(t, r.episodes(t), "hot firing cpu:a set command")
				r.stop()
				time.Sleep(time.Minute)
				again := set(20, "cpu:a", "5")
				again.Time = again.Time.Add(time.Minute)
				r = run(t, test.rules, keep, attached(), set(15, "cpu:a", "80"), again)
				check(t, r.episodes(t), test.want...)
				if !strings.Contains(r.log.String(), test.log) {
					t.Errorf("the log does not say %s:\n%s", test.log, r.log.String())
				}
				r.stop()
			})
		})
	}
}

// A full resync judges what is open, though nothing was known of the keys: what
// is not in its snapshot is resolved. What it does not tell stays open, and so
// does everything if it breaks off.
func TestEpisodesAreJudgedBySnapshots(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		key := func(name string) *source.Record {
			return at(&source.Record{Kind: source.Key, ReplID: "new", Offset: 9, Entry: &rdb.Entry{Key: []byte(name), Type: rdb.TypeString}})
		}
		begin := func() *source.Record { return at(&source.Record{Kind: source.SnapshotBegin, ReplID: "new", Offset: 9}) }
		end := func(incomplete bool) *source.Record {
			return at(&source.Record{Kind: source.SnapshotEnd, ReplID: "new", Offset: 9, Pos: source.Position{ReplID: "new", Offset: 9}, Incomplete: incomplete})
		}
		st := memory(t)
		keep := func(c *engine.Config) { c.Store = st }
		r := run(t, hot, keep, attached(), set(10, "cpu:a", "95"), set(20, "cpu:b", "95"))
		r.episodes(t)
		r.stop()
		// The mirror of an engine without a data directory is gone with it.
		r = run(t, hot, keep, begin(), key("cpu:a"), end(true), attached())
		check(t, r.episodes(t))
		r.stop()
		r = run(t, hot, keep, begin(), key("cpu:a"), end(false), attached())
		check(t, r.episodes(t), "hot resolved cpu:b resolved resync 0s")
		r.stop()
	})
}
