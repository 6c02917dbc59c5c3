package timing_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"triggerd/internal/timing"
)

// epoch is when the tests begin: a Monday.
var epoch = time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)

// text is the Data of a match in tests.
type text string

func (d text) Append(dst []byte) []byte     { return append(dst, d...) }
func (d text) AppendSlim(dst []byte) []byte { return append(append(dst, "slim "...), d...) }

// every is a schedule of full multiples of a duration.
type every time.Duration

func (e every) Next(after time.Time) time.Time {
	return after.Truncate(time.Duration(e)).Add(time.Duration(e))
}

// driver tells a machine what a script says. Each line of it is a time, and a
// match: the value of every by. Words before it are its role, or
//
//	reload   the rules are set again
//	restart  there is a new machine with what the old one has kept
//	blind T  nothing was heard since T
//	wall D   the clock on the wall is that far ahead
type driver struct {
	t     *testing.T
	m     *timing.Machine
	rules []*timing.Rule
	kept  map[string]string
	seen  time.Time // zero: as the machine's time
	now   time.Time
	n     int
	out   strings.Builder
}

func newDriver(t *testing.T, rules ...*timing.Rule) *driver {
	d := &driver{t: t, m: timing.New(), rules: rules, kept: map[string]string{}, now: epoch}
	d.m.SetRules(rules, epoch)
	return d
}

func (d *driver) save() {
	d.m.Changes(func(k, v []byte) { d.kept[string(k)] = string(v) }, func(k []byte) { delete(d.kept, string(k)) })
}

func (d *driver) restart() {
	d.save()
	d.m = timing.New()
	d.m.SetRules(d.rules, d.now)
	for k, v := range d.kept {
		if err := d.m.Restore([]byte(k), []byte(v)); err != nil {
			d.t.Fatal(err)
		}
	}
}

func (d *driver) run(script string) {
	for line := range strings.Lines(script) {
		words := strings.Fields(line)
		if len(words) == 0 {
			continue
		}
		d.now = epoch.Add(d.duration(words[0]))
		d.step(words[1:])
	}
}

func (d *driver) duration(word string) time.Duration {
	v, err := time.ParseDuration(word)
	if err != nil {
		d.t.Fatal(err)
	}
	return v
}

func (d *driver) step(words []string) {
	x := &timing.Arrival{State: d.m.State(d.rules[0].Name), At: d.now}
	verb := ""
	if len(words) > 0 {
		verb = words[0]
	}
	switch verb {
	case "restart":
		d.restart()
	case "reload":
		for _, f := range d.m.SetRules(d.rules, d.now) {
			fmt.Fprintf(&d.out, "%v %+v\n", d.now.Sub(epoch), f)
		}
	case "blind":
		d.seen = epoch.Add(d.duration(words[1]))
	case "wall":
		d.m.SetWallOffset(d.duration(words[1]))
	}
	d.advance()
	switch verb {
	case "", "restart", "reload", "blind", "wall":
		return
	case "cancel":
		x.Role = timing.Cancels
	case "ends":
		x.Role = timing.Ends
	}
	by := words[len(words)-1]
	x.Keys = timing.Keys{Once: by, Dedupe: by, Gather: by, Throttle: by, Batch: ""}
	d.n++
	x.Hash = uint64(d.n)
	x.Data = text(fmt.Sprintf("%s%d", by, d.n))
	d.tell(d.m.Arrive(nil, x))
}

func (d *driver) advance() {
	seen := d.seen
	if seen.IsZero() {
		seen = d.now
	}
	for {
		firings := d.m.Advance(nil, d.now, seen)
		if len(firings) == 0 {
			return
		}
		d.tell(firings)
	}
}

var kinds = map[timing.Kind]string{timing.Passed: "passed", timing.Late: "late", timing.Missing: "missing", timing.Resolved: "resolved", timing.Batched: "batch", timing.Run: "run"}

func (d *driver) tell(firings []timing.Release) {
	since := func(t time.Time) string {
		if t.IsZero() {
			return "-"
		}
		return t.Sub(epoch).String()
	}
	for _, f := range firings {
		fmt.Fprintf(&d.out, "%s %s", since(f.At), kinds[f.Kind])
		if f.By != "" {
			fmt.Fprintf(&d.out, " %s", f.By)
		}
		if f.Kind != timing.Run && f.Count != 1 || !f.First.Equal(f.Last) {
			fmt.Fprintf(&d.out, " count=%d first=%s last=%s", f.Count, since(f.First), since(f.Last))
		}
		if f.Suppressed > 0 {
			fmt.Fprintf(&d.out, " suppressed=%d", f.Suppressed)
		}
		for _, i := range f.Items {
			fmt.Fprintf(&d.out, " [%s]", i.Data)
		}
		for _, l := range f.Summary {
			fmt.Fprintf(&d.out, " {%s count=%d suppressed=%d first=%s last=%s %s}", l.Rule, l.Count, l.Suppressed, since(l.First), since(l.Last), l.Data)
		}
		d.out.WriteByte('\n')
	}
}

const (
	second = time.Second
	minute = time.Minute
	hour   = time.Hour
)

func TestStages(t *testing.T) {
	for _, tt := range []struct {
		name         string
		rule         timing.Rule
		script, want string
	}{
		{"without any field everything passes", timing.Rule{}, "1s a\n1s a", "1s passed\n1s passed"},
		{"dedupe: a value counts again when ttl has passed since it counted last", timing.Rule{Dedupe: 10 * second},
			"0s a\n1s b\n9s a\n10s a\n19s a\n20s a", "0s passed\n1s passed\n10s passed\n20s passed"},
		{"count fires when there are more than over, and not again before there were fewer",
			timing.Rule{Count: timing.Count{Over: 2, Within: 10 * second}},
			"0s a\n1s a\n2s a\n3s a\n9s b\n13s a\n14s a\n15s a",
			"2s passed a count=3 first=0s last=2s\n15s passed a count=3 first=13s last=15s"},
		{"count: a match counts for less than within",
			timing.Rule{Count: timing.Count{Over: 1, Within: 10 * second}}, "0s a\n10s a\n19s a", "19s passed a count=2 first=10s last=19s"},
		{"absent fires when nothing came, once", timing.Rule{Absent: timing.Absent{For: 10 * second}},
			"0s a\n5s a\n20s\n40s", "15s missing a [slim a2]"},
		{"absent: a match begins anew", timing.Rule{Absent: timing.Absent{For: 10 * second}},
			"0s a\n30s a\n60s", "10s missing a [slim a1]\n40s missing a [slim a2]"},
		{"absent: a cancelled one is not waited for", timing.Rule{Absent: timing.Absent{For: 10 * second, Resolved: true}},
			"0s a\n5s cancel a\n20s", ""},
		{"absent: not before the stream is known", timing.Rule{Absent: timing.Absent{For: 10 * second}},
			"0s a\n20s blind 5s\n30s blind 10s\n40s", "10s missing a [slim a1]"},
		{"absent: repeat, and resolved", timing.Rule{Absent: timing.Absent{For: 10 * second, Repeat: 5 * second, Resolved: true}},
			"0s a\n10s\n15s\n18s a\n19s a\n29s\n30s cancel a\n50s",
			"10s missing a [slim a1]\n15s missing a [slim a1]\n18s resolved a\n29s missing a [slim a3]\n30s resolved a"},
		{"absent: repetitions that were due meanwhile are left out", timing.Rule{Absent: timing.Absent{For: 10 * second, Repeat: 5 * second}},
			"0s a\n32s\n35s", "10s missing a [slim a1]\n35s missing a [slim a1]"},
		{"absent: expected from the start", timing.Rule{Absent: timing.Absent{For: 10 * second, Expect: []string{"a", "b"}}},
			"3s a\n20s\n30s a\n50s", "10s missing b count=0 first=- last=-\n13s missing a [slim a1]\n40s missing a [slim a2]"},
		{"absent: what is expected is not armed again", timing.Rule{Absent: timing.Absent{For: 10 * second, Expect: []string{"a"}}},
			"3s cancel a\n5s restart\n6s reload\n30s", ""},
		{"debounce fires the last when there is quiet", timing.Rule{Debounce: timing.Debounce{Wait: 2 * second}},
			"0s a\n1s a\n2s b\n10s", "3s late a count=2 first=0s last=1s [a2]\n4s late b [b3]"},
		{"debounce: not later than max_wait after the first", timing.Rule{Debounce: timing.Debounce{Wait: 2 * second, MaxWait: 3 * second}},
			"0s a\n1s a\n2s a\n3s a\n10s", "3s late a count=3 first=0s last=2s [a3]\n5s late a [a4]"},
		{"for fires once what holds for long enough", timing.Rule{For: 10 * second},
			"0s a\n1s b\n4s a\n5s ends b\n10s\n12s a\n14s ends a\n15s a\n40s",
			"10s late a count=2 first=0s last=4s [a3]\n25s late a [a7]"},
		{"active: outside it is dropped", timing.Rule{Active: []*timing.Window{{Times: []timing.ClockRange{{From: 60, To: 120}}}}},
			"59m a\n60m a\n119m a\n120m a", "1h0m0s passed\n1h59m0s passed"},
		{"hold: outside it waits", timing.Rule{Hold: true, Mute: []*timing.Window{{Times: []timing.ClockRange{{From: 0, To: 60}}}}},
			"10m a\n20m b\n30m restart\n61m c", "1h0m0s late [a1]\n1h0m0s late [b2]\n1h1m0s passed"},
		{"windows are looked at by the wall", timing.Rule{Hold: true, Mute: []*timing.Window{{Times: []timing.ClockRange{{From: 0, To: 60}}}}},
			"10m a\n20m wall 10m\n55m b\n60m wall -30m\n61m c\n26h", "50m0s late [a1]\n55m0s passed\n1h30m0s late [c3]"},
		{"once: one firing of a value", timing.Rule{Once: true}, "0s a\n1s a\n2s restart\n3s a\n4s b", "0s passed\n4s passed"},
		{"throttle: at most max in any per", timing.Rule{Throttle: timing.Throttle{Max: 2, Per: 10 * second}},
			"0s a\n1s a\n2s a\n3s a\n4s b\n10s a\n10s a\n11s a",
			"0s passed\n1s passed\n4s passed\n10s passed suppressed=2\n11s passed suppressed=1"},
		{"batch: when it is full, or wait after the first", timing.Rule{Batch: timing.Batch{Max: 3, Wait: 5 * second}},
			"0s a\n1s b\n2s c\n3s d\n20s", "2s batch count=3 first=0s last=2s [a1] [b2] [c3]\n8s batch [d4]"},
		{"batch: it survives a restart", timing.Rule{Batch: timing.Batch{Max: 3, Wait: 5 * second}},
			"0s a\n1s restart\n2s b\n3s restart\n20s", "5s batch count=2 first=0s last=2s [a1] [b2]"},
		{"max_keys: the one idle for longest gives way", timing.Rule{Absent: timing.Absent{For: 10 * second}, MaxKeys: 2},
			"0s a\n1s b\n2s a\n3s c\n20s", "12s missing a [slim a3]\n13s missing c [slim c4]"},
		{"max_keys: what was kept to fire later fires", timing.Rule{Debounce: timing.Debounce{Wait: 10 * second}, MaxKeys: 1},
			"0s a\n1s b\n20s", "1s late a [a1]\n11s late b [b2]"},
		{"the stages are in order: a count behind a dedupe, before a throttle", timing.Rule{Dedupe: 2 * second,
			Count: timing.Count{Over: 1, Within: minute}, Throttle: timing.Throttle{Max: 1, Per: hour}},
			"0s a\n1s a\n2s a\n100s a\n101s a\n102s a", "2s passed a count=2 first=0s last=2s"},
		{"schedule", timing.Rule{Schedule: every(hour)}, "59m\n1h\n1h30m\n2h30s", "1h0m0s run\n2h0m0s run"},
		{"schedule: what was missed is not made up", timing.Rule{Schedule: every(hour)}, "1h\n1h30m restart\n4h30m\n5h", "1h0m0s run\n5h0m0s run"},
		{"schedule: catch_up makes up the last", timing.Rule{Schedule: every(hour), CatchUp: true},
			"1h\n1h30m restart\n4h30m\n5h", "1h0m0s run\n4h0m0s run\n5h0m0s run"},
		{"schedule: by the wall", timing.Rule{Schedule: every(hour), CatchUp: true},
			"1h\n1h10m wall 40m\n1h20m wall 100m\n1h30m wall 0s\n3h", "1h0m0s run\n1h20m0s run\n3h0m0s run"},
		{"schedule: hold puts a run off", timing.Rule{Schedule: every(hour), Hold: true, Active: []*timing.Window{{Times: []timing.ClockRange{{From: 210, To: 300}}}}},
			"1h\n2h\n3h\n3h10m restart\n3h30m\n4h", "3h30m0s run\n4h0m0s run"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := tt.rule
			r.Name = "r"
			if r.MaxKeys == 0 {
				r.MaxKeys = 100
			}
			d := newDriver(t, &r)
			d.run(tt.script)
			if got := strings.TrimSpace(d.out.String()); got != tt.want {
				t.Errorf("script:\n%s\ngot:\n%s\nwant:\n%s", tt.script, got, tt.want)
			}
		})
	}
}
