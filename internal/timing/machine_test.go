package timing_test

import (
	"errors"
	"fmt"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"
	"unsafe"

	"triggerd/internal/timing"
)

// one returns a machine with one rule.
func one(r timing.Rule) *timing.Machine {
	r.Name = "r"
	r.MaxKeys = max(r.MaxKeys, 1000)
	m := timing.New()
	m.SetRules([]*timing.Rule{&r}, epoch)
	return m
}

func match(m *timing.Machine, by string, at time.Time, data timing.Data) []timing.Release {
	return m.Arrive(nil, &timing.Arrival{State: m.State("r"), At: at, Data: data, Keys: timing.Keys{Once: by, Dedupe: by, Gather: by, Throttle: by, Batch: by}})
}

// The share is as asked for, the same matches are in it each time, and it is
// not the same for another rule.
func TestSample(t *testing.T) {
	rules := []*timing.Rule{{Name: "a", Sample: 0.25}, {Name: "b", Sample: 0.25}}
	passed := map[string]int{}
	for range 2 {
		m := timing.New()
		m.SetRules(rules, epoch)
		for hash := range uint64(10_000) {
			name := ""
			for s := range m.States() {
				if len(m.Arrive(nil, &timing.Arrival{State: s, At: epoch, Hash: hash, Data: nothing{}})) > 0 {
					name += s.Rule().Name
				}
			}
			passed[name]++
			if name != "" {
				passed[fmt.Sprint(name, hash)]++
			}
		}
		for s := range m.States() {
			if n := s.Suppressed().Sample; n < 7000 || n > 8000 {
				t.Errorf("rule %s left out %d of 10000, want about 7500", s.Rule().Name, n)
			}
		}
	}
	if n := passed["ab"] / 2; n < 500 || n > 750 {
		t.Errorf("%d matches passed both rules, want about 625", n)
	}
	for name, n := range passed {
		if n != 2 && len(name) > 2 {
			t.Errorf("match %s passed %d times in two runs", name, n)
		}
	}
}

func TestReloadTellsWhatIsKept(t *testing.T) {
	kept := &timing.Rule{Name: "kept", Shape: "1", Debounce: timing.Debounce{Wait: minute}, MaxKeys: 9}
	changed := &timing.Rule{Name: "changed", Shape: "1", Batch: timing.Batch{Max: 9, Wait: minute}, MaxKeys: 9}
	empty := &timing.Rule{Name: "empty", Shape: "1", Once: true, MaxKeys: 9}
	m := timing.New()
	m.SetRules([]*timing.Rule{kept, changed, empty}, epoch)
	old := m.State("changed")
	for _, s := range []*timing.State{m.State("kept"), old} {
		for _, by := range []string{"a", "a", "b"} {
			m.Arrive(nil, &timing.Arrival{State: s, At: epoch, Data: text("x"), Keys: timing.Keys{Gather: by, Batch: by}})
		}
	}
	entries := map[string]string{}
	m.Changes(func(k, v []byte) { entries[string(k)] = string(v) }, func([]byte) {})

	again, other := *kept, *changed
	other.Shape = "2"
	want := []timing.StateReport{{Rule: "kept", Kept: true, States: 2, Waiting: 2}, {Rule: "changed", States: 2, Waiting: 3}}
	if got := m.SetRules([]*timing.Rule{&again, &other}, epoch); !reflect.DeepEqual(got, want) {
		t.Errorf("reload: %+v, want %+v", got, want)
	}
	if got := m.State("kept").Rule(); got != &again {
		t.Error("the state does not have the new rule")
	}
	if got := m.Arrive(nil, &timing.Arrival{State: old, At: epoch, Data: text("x")}); len(got) > 0 {
		t.Errorf("a match of the old rule fires %+v", got)
	}

	m = timing.New()
	m.SetRules([]*timing.Rule{&again, &other}, epoch)
	for k, v := range entries {
		if err := m.Restore([]byte(k), []byte(v)); err != nil {
			t.Fatal(err)
		}
	}
	got := m.Restored()
	if len(got) == 2 && !got[0].Kept {
		got[0], got[1] = got[1], got[0]
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("restart: %+v, want %+v", got, want)
	}
	m.Changes(func(k, v []byte) {}, func(k []byte) { delete(entries, string(k)) })
	if len(entries) != 2 {
		t.Errorf("after a restart %d entries are left, want 2: %q", len(entries), entries)
	}
}

func TestRestoreRefuses(t *testing.T) {
	var key, value []byte
	m := one(timing.Rule{Absent: timing.Absent{For: minute}})
	match(m, "by", epoch, text("data"))
	m.Changes(func(k, v []byte) { key, value = append(key, k...), append(value, v...) }, nil)
	for _, tt := range []struct {
		name       string
		key, value string
		newer      bool
	}{
		{"a key that is cut", string(key[:len(key)-1]), string(value), false},
		{"a key with something behind it", string(key) + "x", string(value), false},
		{"an empty key", "", string(value), false},
		{"a stage that the rule does not have", strings.Replace(string(key), "r\x03", "r\x02", 1), string(value), false},
		{"a stage that there is not", strings.Replace(string(key), "r\x03", "r\x63", 1), string(value), false},
		{"an empty value", string(key), "", false},
		{"a value that is cut", string(key), string(value[:12]), false},
		{"a value of a later version", string(key), "\x02" + string(value[1:]), true},
		{"a value of no version", string(key), "\x00" + string(value[1:]), false},
	} {
		m := one(timing.Rule{Absent: timing.Absent{For: minute}})
		err := m.Restore([]byte(tt.key), []byte(tt.value))
		if err == nil || errors.Is(err, timing.ErrNewer) != tt.newer {
			t.Errorf("%s: %v", tt.name, err)
		}
		if n := m.State("r").Len(); n != 0 {
			t.Errorf("%s: there are %d states", tt.name, n)
		}
	}
	if err := m.Restore(key, value); err == nil {
		t.Error("an entry is restored after a match")
	}
	m = one(timing.Rule{Absent: timing.Absent{For: minute}})
	if err := m.Restore(key, value); err != nil {
		t.Error(err)
	}
	if err := m.Restore(key, value); err == nil {
		t.Error("an entry is restored twice")
	}
}

// closed is a rule that holds what fires until two in the morning.
func closed() timing.Rule {
	return timing.Rule{Hold: true, Mute: []*timing.Window{{Times: []timing.ClockRange{{From: 0, To: 120}}}}}
}

func TestHeldIsBounded(t *testing.T) {
	for _, tt := range []struct {
		name    string
		n, size int
		held    int
	}{
		{"by its number", 10_005, 1, 10_000},
		{"by its bytes", 100, 1 << 20, 63}, // something is kept beside the data
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := one(closed())
			data := text(strings.Repeat("x", tt.size))
			for i := range tt.n {
				match(m, fmt.Sprint(i), epoch.Add(time.Duration(i)*time.Millisecond), data)
			}
			in, _ := m.Inspect("r", timing.Inspected{Limit: 0})
			if want := uint64(tt.n - tt.held); in.Held != tt.held || in.Suppressed.HeldDropped != want {
				t.Errorf("%d are held, %d dropped; want %d, %d", in.Held, in.Suppressed.HeldDropped, tt.held, want)
			}
			if want := epoch.Add(2 * hour); !in.Opens.Equal(want) {
				t.Errorf("they fire at %v, want %v", in.Opens, want)
			}
			fired := advance(m, in.Opens.UnixMilli(), in.Opens.UnixMilli())
			if len(fired) != tt.held || !fired[0].First.Equal(epoch.Add(time.Duration(tt.n-tt.held)*time.Millisecond)) {
				t.Errorf("%d fired, the first of %v; want %d of the last", len(fired), fired[0].First, tt.held)
			}
		})
	}
}

// A rule whose windows never open holds nothing.
func TestHeldForNothing(t *testing.T) {
	r := closed()
	r.Mute[0].Times[0].To = 0 // all day
	m := one(r)
	for range 3 {
		match(m, "a", epoch, text("x"))
	}
	if in, _ := m.Inspect("r", timing.Inspected{Limit: 0}); in.Held != 0 || in.Suppressed.Outside != 3 {
		t.Errorf("%d are held, %d dropped; want none, 3", in.Held, in.Suppressed.Outside)
	}
}

// Many timers that are due together fire in portions, each once and in order.
func TestAdvanceInPortions(t *testing.T) {
	const n = 5000
	m := one(timing.Rule{Absent: timing.Absent{For: minute}, MaxKeys: n})
	for i := range n {
		match(m, fmt.Sprint(i), epoch, text(""))
	}
	var by []string
	for now := epoch.Add(hour); ; {
		portion := m.Advance(nil, now, now)
		if len(portion) == 0 {
			break
		}
		if len(portion) > 2000 {
			t.Errorf("%d fired at once", len(portion))
		}
		for _, f := range portion {
			by = append(by, f.By)
		}
	}
	for i, b := range by {
		if b != fmt.Sprint(i) {
			t.Fatalf("number %d to fire is %q", i, b)
		}
	}
	if deadline, absent := m.Next(); len(by) != n || !deadline.IsZero() || !absent.IsZero() {
		t.Errorf("%d fired, the next is due at %v, %v", len(by), deadline, absent)
	}
}

// From Next to Next it does not take many steps to where something fires, also
// far off, and nothing fires late.
func TestNext(t *testing.T) {
	for _, d := range []time.Duration{time.Millisecond, second, minute, 25 * hour, 400 * 24 * hour} {
		m := one(timing.Rule{Absent: timing.Absent{For: d}, Batch: timing.Batch{Max: 9, Wait: d}})
		match(m, "a", epoch, text(""))
		now, steps := epoch, 0
		for fired := 0; fired == 0; steps++ {
			deadline, absent := m.Next()
			if next := deadline; !absent.IsZero() {
				if !next.IsZero() {
					t.Fatalf("%v: both are waited for", d)
				}
				now = absent
			} else if now = next; now.IsZero() {
				t.Fatalf("%v: nothing is waited for", d)
			}
			fired = len(m.Advance(nil, now, now))
		}
		if want := epoch.Add(2 * d); !now.Equal(want) || steps > 60 {
			t.Errorf("%v: it fires at %v after %d steps, want at %v", d, now, steps, want)
		}
		if deadline, absent := m.Next(); !deadline.IsZero() || !absent.IsZero() {
			t.Errorf("%v: afterwards there is something due at %v, %v", d, deadline, absent)
		}
	}
}

// Values that are too long to be kept are told apart all the same.
func TestLongKeys(t *testing.T) {
	prefix := strings.Repeat("p", 1000)
	for _, pair := range [][2]string{
		{prefix + "a", prefix + "b"},
		{prefix[:256], prefix[:257]},
		{prefix[:23], prefix[:24]},
		{prefix[:24] + "a", prefix[:24] + "b"},
		{"", "\x00"},
	} {
		m := one(timing.Rule{Debounce: timing.Debounce{Wait: minute}, Throttle: timing.Throttle{Max: 1, Per: hour}})
		for _, by := range []string{pair[0], pair[1], pair[0]} {
			match(m, by, epoch, text("x"))
		}
		fired := advance(m, math.MaxInt32*1000, 0)
		if len(fired) != 2 || fired[0].Count+fired[1].Count != 3 || fired[0].By == fired[1].By {
			t.Errorf("of values of %d and %d bytes %+v", len(pair[0]), len(pair[1]), fired)
		}
		for _, f := range fired {
			if len(f.By) > 257 {
				t.Errorf("%d bytes of a value are kept", len(f.By))
			}
		}
	}
}

// What is kept of a match may be of any length, and shorter or longer the next
// time.
func TestKeptLengths(t *testing.T) {
	for _, r := range []timing.Rule{{Absent: timing.Absent{For: minute, Repeat: minute}}, {Debounce: timing.Debounce{Wait: minute}}} {
		m := one(r)
		at := epoch
		for _, n := range []int{10, 100, 1000, 5, 70_000, 0, 600, 30} {
			at = at.Add(second)
			data := text(strings.Repeat("x", n))
			match(m, "a", at, data)
			match(m, "b", at.Add(time.Nanosecond), text(strings.Repeat("y", n)))
			at = at.Add(time.Minute + time.Duration(n)*time.Second)
			fired := advance(m, at.UnixMilli(), at.UnixMilli())
			if len(fired) < 2 {
				t.Fatalf("%d fired", len(fired))
			}
			if got := strings.TrimPrefix(string(fired[0].Items[0].Data), "slim "); got != string(data) {
				t.Errorf("kept %d bytes, want %d", len(got), n)
			}
		}
	}
}

func TestInspect(t *testing.T) {
	m := one(timing.Rule{Count: timing.Count{Over: 100, Within: minute}, Throttle: timing.Throttle{Max: 2, Per: hour}})
	for by, n := range map[string]int{"a": 5, "b": 7, "c": 7, "d": 1} {
		for i := range n {
			match(m, by, epoch.Add(time.Duration(i)*second), text(""))
		}
	}
	in, ok := m.Inspect("r", timing.Inspected{Limit: 3})
	want := []timing.Tally{{Stage: "count", By: "b", Count: 7}, {Stage: "count", By: "c", Count: 7}, {Stage: "count", By: "a", Count: 5}}
	if !ok || in.States != 4 || !reflect.DeepEqual(in.Counts, want) {
		t.Errorf("%+v, want %+v", in, want)
	}
	advance(m, epoch.Add(hour).UnixMilli(), 0)
	if in, _ := m.Inspect("r", timing.Inspected{Limit: 1}); in.Counts[0].Count != 0 {
		t.Errorf("an hour later %+v", in.Counts)
	}

	m = one(timing.Rule{Throttle: timing.Throttle{Max: 2, Per: hour}})
	for range 5 {
		match(m, "a", epoch, text(""))
	}
	if in, _ := m.Inspect("r", timing.Inspected{Limit: 9}); !reflect.DeepEqual(in.Counts, []timing.Tally{{Stage: "throttle", By: "a", Count: 2, Suppressed: 3}}) {
		t.Errorf("%+v", in.Counts)
	}

	m = one(timing.Rule{Absent: timing.Absent{For: minute, Resolved: true}})
	match(m, "late", epoch.Add(2*second), text(""))
	match(m, "soon", epoch, text(""))
	match(m, "gone", epoch.Add(-hour), text(""))
	advance(m, epoch.UnixMilli(), epoch.UnixMilli())
	in, _ = m.Inspect("r", timing.Inspected{Limit: 2})
	soon := epoch.Add(minute)
	timers := []timing.Timer{{Stage: "absent", By: "soon", Due: soon}, {Stage: "absent", By: "late", Due: soon.Add(2 * second)}}
	if in.Armed != 2 || !reflect.DeepEqual(in.Timers, timers) {
		t.Errorf("%+v, want %+v", in, timers)
	}
	if in, _ := m.Inspect("r", timing.Inspected{Limit: 9}); len(in.Timers) != 3 || !in.Timers[2].Fired || !in.Timers[2].Due.IsZero() {
		t.Errorf("%+v", in.Timers)
	}

	m = one(timing.Rule{Schedule: every(hour)})
	if in, _ := m.Inspect("r", timing.Inspected{Limit: 9}); !in.NextRun.Equal(epoch.Add(hour)) {
		t.Errorf("the next run is at %v", in.NextRun)
	}
	if _, ok := m.Inspect("none", timing.Inspected{Limit: 9}); ok {
		t.Error("there is a rule that there is not")
	}
}

// A run of a summary tells what became of other rules since the last.
func TestSummary(t *testing.T) {
	rules := []*timing.Rule{
		{Name: "plain", MaxKeys: 9},
		{Name: "throttled", Throttle: timing.Throttle{Max: 1, Per: 24 * hour}, MaxKeys: 9},
		{Name: "quiet", MaxKeys: 9},
		{Name: "run", Schedule: every(hour), Summarize: []string{"throttled", "quiet", "plain"}, MaxKeys: 9},
	}
	d := newDriver(t, rules...)
	feed := func(at time.Duration) {
		for _, name := range []string{"plain", "throttled"} {
			d.m.Arrive(nil, &timing.Arrival{State: d.m.State(name), At: epoch.Add(at), Data: text(name + at.String())})
		}
	}
	feed(10 * minute)
	feed(20 * minute)
	d.restart()
	feed(30 * minute)
	d.run("1h\n1h10m")
	feed(70 * minute)
	d.run("1h20m restart\n2h\n3h")
	want := `1h0m0s run {throttled count=3 suppressed=2 first=10m0s last=30m0s slim throttled30m0s} {quiet count=0 suppressed=0 first=- last=- } {plain count=3 suppressed=0 first=10m0s last=30m0s slim plain30m0s}
2h0m0s run {throttled count=1 suppressed=1 first=1h10m0s last=1h10m0s slim throttled1h10m0s} {quiet count=0 suppressed=0 first=- last=- } {plain count=1 suppressed=0 first=1h10m0s last=1h10m0s slim plain1h10m0s}
3h0m0s run {throttled count=0 suppressed=0 first=- last=- } {quiet count=0 suppressed=0 first=- last=- } {plain count=0 suppressed=0 first=- last=- }
`
	if got := d.out.String(); got != want {
		t.Errorf("got:\n%swant:\n%s", got, want)
	}
}

// Many runs that were missed are as one, however many.
func TestRunsOfYears(t *testing.T) {
	for _, catchUp := range []bool{false, true} {
		m := one(timing.Rule{Schedule: every(second), CatchUp: catchUp})
		later := epoch.Add(10*365*24*hour + 500*time.Millisecond)
		fired := advance(m, later.UnixMilli(), later.UnixMilli())
		if len(fired) != 1 || !fired[0].At.Equal(later.Truncate(second)) {
			t.Errorf("catch up %v: %+v", catchUp, fired)
		}
	}
}

// A match that is kept is kept as a copy.
func TestMatchIsBorrowed(t *testing.T) {
	m := one(timing.Rule{Debounce: timing.Debounce{Wait: minute}, Batch: timing.Batch{Max: 2, Wait: hour}})
	key := []byte("key")
	for _, by := range []string{"a", "b"} {
		copy(key, by+"xx")
		match(m, unsafe.String(&key[0], len(key)), epoch, text(by))
	}
	clear(key)
	fired := advance(m, epoch.Add(2*hour).UnixMilli(), 0)
	if len(fired) != 2 || fired[0].By != "axx" || fired[1].By != "bxx" {
		t.Errorf("%+v", fired)
	}
}

// far are times of which some make no sense, each at midnight.
func far() []time.Time {
	day := func(sec int64) time.Time { return time.Unix(sec, 0).UTC().Truncate(24 * hour) }
	return []time.Time{{}, day(1 << 40), day(-1 << 40), epoch}
}

// What fires, and when, does not depend on the century.
func TestFarTimes(t *testing.T) {
	type firing struct {
		rule               string
		kind               timing.Kind
		by                 string
		after, first, last time.Duration
		count, suppressed  int
		items, lines       int
	}
	run := func(began time.Time) (fired []firing) {
		m := timing.New()
		m.SetRules(fuzzRules(), began)
		firings := exercise(m, began, began.Add(3*hour))
		for s := range m.States() {
			for i := range 110 { // a burst
				firings = m.Arrive(firings, &timing.Arrival{State: s, At: began.Add(3*hour + time.Duration(i)*time.Millisecond), Data: text("data")})
			}
		}
		firings = append(firings, advance(m, began.Add(6*hour).UnixMilli(), began.Add(6*hour).UnixMilli())...)
		for _, f := range firings {
			x := firing{rule: f.Rule.Name, kind: f.Kind, by: f.By, after: f.At.Sub(began), count: f.Count, suppressed: f.Suppressed, items: len(f.Items), lines: len(f.Summary)}
			if f.Count > 0 {
				x.first, x.last = f.First.Sub(began), f.Last.Sub(began)
			}
			fired = append(fired, x)
		}
		return fired
	}
	want := run(epoch)
	seen := map[string]bool{}
	for _, f := range want {
		seen[f.rule] = true
	}
	if len(seen) != len(fuzzRules()) {
		t.Errorf("only %v fire", seen)
	}
	for _, began := range far() {
		got := run(began)
		if len(got) != len(want) {
			t.Errorf("in %d: %d firings, want %d", began.Year(), len(got), len(want))
		}
		for i := range min(len(got), len(want)) {
			if got[i] != want[i] {
				t.Fatalf("in %d: %+v, want %+v", began.Year(), got[i], want[i])
			}
		}
	}
}

// Times that jump by ages and back do no harm: what is kept is bounded, and all
// of it is read again.
func TestTimesJump(t *testing.T) {
	for _, r := range fuzzRules() {
		m, kept := timing.New(), map[string]string{}
		m.SetRules([]*timing.Rule{r}, epoch)
		for _, at := range far() {
			for _, role := range []timing.Role{timing.Fires, timing.Ends, timing.Cancels} {
				for i := range 2 * r.MaxKeys {
					by := fmt.Sprint(i)
					x := timing.Arrival{State: m.State(r.Name), Role: role, At: at, Data: text("x"), Keys: timing.Keys{Once: by, Dedupe: by, Gather: by, Throttle: by, Batch: by}}
					for _, f := range m.Arrive(nil, &x) {
						if f.Rule != r || f.Kind == 0 {
							t.Errorf("%s in %d: %+v", r.Name, at.Year(), f)
						}
					}
				}
			}
			if r.Schedule == nil {
				advance(m, at.UnixMilli(), at.UnixMilli())
			}
			m.Changes(func(k, v []byte) { kept[string(k)] = string(v) }, func(k []byte) { delete(kept, string(k)) })
			again := timing.New()
			again.SetRules([]*timing.Rule{r}, epoch)
			for k, v := range kept {
				if err := again.Restore([]byte(k), []byte(v)); err != nil {
					t.Errorf("%s in %d: %v", r.Name, at.Year(), err)
				}
			}
			again.Restored()
			in, _ := m.Inspect(r.Name, timing.Inspected{Limit: 100})
			restored, _ := again.Inspect(r.Name, timing.Inspected{Limit: 100})
			if in.States > 4*(r.MaxKeys+1) || in.States != restored.States || in.Armed != restored.Armed || in.Held != restored.Held {
				t.Errorf("%s in %d: %+v, and after a restart %+v", r.Name, at.Year(), in, restored)
			}
			if at.Equal(epoch) && r.Schedule == nil { // the last: let all that waits come
				end := far()[1].Add(48 * hour).UnixMilli()
				got, want := outsOf(advance(again, end, end)), outsOf(advance(m, end, end))
				if !equal(got, want) || len(want) == 0 && in.Armed > 0 {
					t.Errorf("%s: after a restart %+v, want %+v", r.Name, got, want)
				}
			}
		}
	}
}
