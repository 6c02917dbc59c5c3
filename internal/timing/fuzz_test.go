package timing_test

import (
	"bytes"
	"maps"
	"strings"
	"testing"
	"time"

	"triggerd/internal/timing"
)

// fuzzRules have every stage.
func fuzzRules() []*timing.Rule {
	closed := []*timing.Window{{Times: []timing.ClockRange{{From: 60, To: 120}}}}
	rules := []*timing.Rule{
		{Name: "count", Count: timing.Count{Over: 2, Within: minute}, Batch: timing.Batch{Max: 10, Wait: hour}},
		{Name: "slices", Count: timing.Count{Over: 100, Within: minute}, Throttle: timing.Throttle{Max: 50, Per: hour}},
		{Name: "absent", Absent: timing.Absent{For: minute, Repeat: minute, Resolved: true, Expect: []string{"x"}}, Throttle: timing.Throttle{Max: 1, Per: hour}},
		{Name: "debounce", Dedupe: second, Debounce: timing.Debounce{Wait: minute}, Active: closed, Hold: true},
		{Name: "for", For: minute, Once: true},
		{Name: "episode", Episode: timing.Episode{On: true, Resolved: true}, Batch: timing.Batch{Max: 3, Wait: hour}},
		{Name: "latched", For: minute, Episode: timing.Episode{On: true, Resolved: true}, Active: closed, Hold: true},
		{Name: "held", Active: closed, Hold: true},
		{Name: "run", Schedule: every(hour), Summarize: []string{"for", "count"}, CatchUp: true},
	}
	for _, r := range rules {
		r.MaxKeys, r.Shape = 3, r.Name
	}
	return rules
}

// exercise has a machine with all rules do what they can, until end.
func exercise(m *timing.Machine, from, end time.Time) (firings []timing.Release) {
	for at := from; at.Before(end); at = at.Add(11 * minute) {
		firings = append(firings, advance(m, at.UnixMilli(), at.UnixMilli())...)
		for s := range m.States() {
			for i, by := range []string{"a", "a", "b", "a long one, which is not in its node"} {
				x := timing.Arrival{State: s, At: at.Add(time.Duration(i) * second), Data: text("data"), Keys: timing.Keys{Once: by, Dedupe: by, Gather: by, Throttle: by}}
				firings = m.Arrive(firings, &x)
			}
		}
	}
	return firings
}

// entries returns what a machine keeps that has done all it can.
func entries() map[string]string {
	m, kept := timing.New(), map[string]string{}
	m.SetRules(fuzzRules(), epoch)
	exercise(m, epoch, epoch.Add(40*minute))
	m.Changes(func(k, v []byte) { kept[string(k)] = string(v) }, func([]byte) {})
	return kept
}

// Whatever is restored, nothing panics; what was taken is written again as it
// is, and goes on to work.
func FuzzRestore(f *testing.F) {
	for k, v := range entries() {
		f.Add([]byte(k), []byte(v), []byte(k), []byte(v))
	}
	for k, v := range entries() {
		if n := len(k) - 8; strings.HasPrefix(k, "\x04held\n") {
			f.Add([]byte(k[:n-1]+"\x01b"+k[n:]), []byte(v), []byte(k[:n]+"\xff\xff\xff\xff\xff\xff\xff\xff"), []byte(v))
		}
	}
	f.Fuzz(func(t *testing.T, k1, v1, k2, v2 []byte) {
		m := timing.New()
		m.SetRules(fuzzRules(), epoch.Add(40*minute))
		all := map[string]string{}
		for _, e := range [][2][]byte{{k1, v1}, {k2, v2}} {
			before := [2][]byte{bytes.Clone(e[0]), bytes.Clone(e[1])}
			if m.Restore(e[0], e[1]) == nil {
				all[string(e[0])] = string(e[1])
			}
			if !bytes.Equal(e[0], before[0]) || !bytes.Equal(e[1], before[1]) {
				t.Fatal("Restore has changed what it read")
			}
		}
		save := func() {
			m.Changes(func(k, v []byte) { all[string(k)] = string(v) }, func(k []byte) { delete(all, string(k)) })
		}
		save()
		exercise(m, epoch.Add(40*minute), epoch.Add(3*hour))
		for s := range m.States() {
			m.Inspect(s.Rule().Name, timing.Inspected{Limit: 3})
		}
		save()
		again := timing.New()
		again.SetRules(fuzzRules(), epoch.Add(3*hour))
		for k, v := range all {
			if err := again.Restore([]byte(k), []byte(v)); err != nil {
				t.Errorf("what was written is not read: %v", err)
			}
		}
		m.SetRules(nil, epoch.Add(3*hour))
		save()
		if len(all) > 0 {
			t.Errorf("without rules there is %q", maps.Collect(maps.All(all)))
		}
	})
}
