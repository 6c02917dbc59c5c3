package timing_test

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"triggerd/internal/timing"
)

func arrive(m *timing.Machine, role timing.Role, by string, at time.Time, data string) []timing.Release {
	return m.Arrive(nil, &timing.Arrival{State: m.State("r"), Role: role, At: at, Hash: uint64(len(data)), Data: text(data), Keys: timing.Keys{Gather: by, Batch: by}})
}

// shown is what matters of releases, a word each.
func shown(list []timing.Release) (words []string) {
	for _, f := range list {
		what := map[timing.Kind]string{timing.Passed: "passed", timing.Late: "late", timing.Resolved: "resolved", timing.Batched: "batched"}[f.Kind]
		word := fmt.Sprintf("%s:%s", what, f.By)
		if f.Kind == timing.Resolved {
			word += fmt.Sprintf(":%v", f.At.Sub(f.Since))
		}
		if f.Cause != timing.ByMatch {
			word += fmt.Sprintf(":%d:%s", f.Cause, f.Items[0].Data)
		}
		words = append(words, word)
	}
	return words
}

func expect(t *testing.T, what string, got []timing.Release, want ...string) {
	t.Helper()
	if words := shown(got); !reflect.DeepEqual(words, want) {
		t.Errorf("%s: %q, want %q", what, words, want)
	}
}

// An episode fires once, and its end is released once, whatever ends it.
func TestEpisode(t *testing.T) {
	m := one(timing.Rule{Episode: timing.Episode{On: true, Resolved: true}})
	at := func(s int) time.Time { return epoch.Add(time.Duration(s) * second) }
	expect(t, "first", arrive(m, timing.Fires, "0/a", at(0), "x"), "passed:0/a")
	expect(t, "while open", arrive(m, timing.Fires, "0/a", at(1), "x"))
	expect(t, "what is not known", arrive(m, timing.Lapses, "0/a", at(2), "x"))
	expect(t, "ends", arrive(m, timing.Ends, "0/a", at(3), "x"), "resolved:0/a:3s")
	expect(t, "ends again", arrive(m, timing.Ends, "0/a", at(4), "x"))
	for _, by := range []string{"0/a", "0/b", "1/a"} {
		expect(t, by, arrive(m, timing.Fires, by, at(5), "data "+by), "passed:"+by)
	}
	expect(t, "a database is emptied", allOf(m.EndAll("0/", at(6))), "resolved:0/a:1s:1:slim data 0/a", "resolved:0/b:1s:1:slim data 0/b")
	m.BeginSnapshot()
	m.SeeKey([]byte("1/a"))
	expect(t, "its key is in a snapshot", allOf(m.EndSnapshot(at(7))))
	m.BeginSnapshot()
	expect(t, "it is not", allOf(m.EndSnapshot(at(8))), "resolved:1/a:3s:2:slim data 1/a")
}

// What For waits for is no episode yet. What cannot be told ends the wait, and
// not the episode.
func TestEpisodeWithFor(t *testing.T) {
	m := one(timing.Rule{For: minute, Episode: timing.Episode{On: true, Resolved: true}})
	arrive(m, timing.Fires, "0/a", epoch, "x")
	arrive(m, timing.Fires, "0/b", epoch, "long")
	arrive(m, timing.Lapses, "0/a", epoch, "x")
	got := advance(m, epoch.Add(hour).UnixMilli(), 0)
	expect(t, "a minute later", got, "late:0/b")
	if string(got[0].Items[0].Data) != "long" || got[0].Since != epoch.Add(minute) {
		t.Errorf("released %+v", got[0])
	}
	expect(t, "what cannot be told", arrive(m, timing.Lapses, "0/b", epoch.Add(hour), "x"))
	expect(t, "again", arrive(m, timing.Fires, "0/b", epoch.Add(hour), "x"))
	got = arrive(m, timing.Ends, "0/b", epoch.Add(hour), "x")
	expect(t, "ends", got, "resolved:0/b:59m0s")
	if got[0].Tag != int64(len("long")) {
		t.Errorf("it is identified by %d", got[0].Tag)
	}
}

// What waits gives way before what is open, the older before the younger. The end
// of an episode that gives way is released.
func TestEpisodesGiveWay(t *testing.T) {
	m := one(timing.Rule{For: minute, Episode: timing.Episode{On: true, Resolved: true}})
	m.State("r").Rule().MaxKeys = 2
	arrive(m, timing.Fires, "a", epoch, "x")
	advance(m, epoch.Add(minute).UnixMilli(), 0)
	now := epoch.Add(minute)
	arrive(m, timing.Fires, "b", now, "x")
	expect(t, "c comes, and b goes", arrive(m, timing.Fires, "c", now, "x"))
	now = now.Add(minute)
	expect(t, "c opens", advance(m, now.UnixMilli(), 0), "late:c")
	expect(t, "d comes, and a goes", arrive(m, timing.Fires, "d", now, "x"), "resolved:a:1m0s:4:slim x")
	if got := m.State("r").Suppressed().Evicted; got != 2 {
		t.Errorf("%d gave way", got)
	}
}

// Windows drop the begin of an episode, of which nobody is told then. They never
// drop an end; what waits for them keeps its order.
func TestEpisodesAndWindows(t *testing.T) {
	office := []*timing.Window{{Times: []timing.ClockRange{{From: 60, To: 120}}}}
	for _, hold := range []bool{false, true} {
		m := one(timing.Rule{Episode: timing.Episode{On: true, Resolved: true}, Active: office, Hold: hold})
		expect(t, "inside", arrive(m, timing.Fires, "a", epoch.Add(hour), "x"), "passed:a")
		night := epoch.Add(3 * hour)
		advance(m, night.UnixMilli(), 0)
		got := arrive(m, timing.Fires, "b", night, "x")
		got = append(got, arrive(m, timing.Ends, "b", night, "x")...)
		got = append(got, arrive(m, timing.Ends, "a", night, "x")...)
		later := advance(m, epoch.Add(26*hour).UnixMilli(), 0)
		if hold {
			expect(t, "at night", got)
			expect(t, "in the morning", later, "late:b", "resolved:b:22h0m0s", "resolved:a:24h0m0s")
			continue
		}
		expect(t, "at night", got, "resolved:a:2h0m0s")
		expect(t, "in the morning", later)
	}
}

// What is open of a rule that a reload drops, or that was another one before a
// restart, is resolved; so is what had to be resolved and waited.
func TestEpisodesOfRulesThatAreGone(t *testing.T) {
	rule := func(shape string) *timing.Rule {
		return &timing.Rule{Name: "r", Shape: shape, MaxKeys: 9, Episode: timing.Episode{On: true, Resolved: true}, Batch: timing.Batch{Max: 9, Wait: hour}}
	}
	m := timing.New()
	m.SetRules([]*timing.Rule{rule("1")}, epoch)
	for _, by := range []string{"a", "b"} {
		arrive(m, timing.Fires, by, epoch, "data "+by)
	}
	arrive(m, timing.Ends, "a", epoch.Add(second), "end")
	entries := map[string]string{}
	m.Changes(func(k, v []byte) { entries[string(k)] = string(v) }, func([]byte) {})

	reports := m.SetRules([]*timing.Rule{rule("2")}, epoch.Add(minute))
	expect(t, "reload", m.Ended(nil), "resolved:b:1m0s:3:slim data b", "resolved:a:1s")
	expect(t, "once", m.Ended(nil))
	if len(reports) != 1 || reports[0].Open != 1 || reports[0].Kept {
		t.Errorf("reload reports %+v", reports)
	}
	m.Changes(func(k, v []byte) { t.Errorf("%q is kept", k) }, func([]byte) {})

	for _, rules := range [][]*timing.Rule{{rule("2")}, nil} {
		m = timing.New()
		m.SetRules(rules, epoch.Add(minute))
		for k, v := range entries {
			if err := m.Restore([]byte(k), []byte(v)); err != nil {
				t.Fatal(err)
			}
		}
		got := strings.Join(shown(m.Ended(nil)), " ")
		if !strings.Contains(got, "resolved:b:1m0s:3:slim data b") || !strings.Contains(got, "resolved:a:1s") {
			t.Errorf("restart with %d rules resolves %s", len(rules), got)
		}
		if reports := m.Restored(); len(reports) != 1 || reports[0].Open != 2 {
			t.Errorf("restart reports %+v", reports)
		}
	}
}

// Very many that end at once come in portions.
func TestManyEpisodesEnd(t *testing.T) {
	m := one(timing.Rule{MaxKeys: 5000, Episode: timing.Episode{On: true, Resolved: true}})
	for i := range 2500 {
		arrive(m, timing.Fires, fmt.Sprintf("0/%d", i), epoch, "x")
	}
	ends, n := m.EndAll("0/", epoch.Add(second)), 0
	for more := true; more; {
		var got []timing.Release
		got, more = ends.Next(nil)
		if len(got) > 1024 {
			t.Errorf("%d at once", len(got))
		}
		for _, f := range got {
			if f.By != fmt.Sprintf("0/%d", n) {
				t.Fatalf("%s is number %d", f.By, n)
			}
			n++
		}
	}
	if n != 2500 || m.State("r").Open() != 0 {
		t.Errorf("%d have ended, %d are open", n, m.State("r").Open())
	}
}
