package timing_test

import (
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"triggerd/internal/timing"
)

var seedFlag = flag.Uint64("seed", 0, "the one sequence that TestModel runs")

// TestModel compares the machine with a plain slow model, in random sequences
// of matches, of time that passes and clocks that are set, of reloads, of
// restarts, and of crashes after which what was not written comes again.
//
// TRIGGERD_TEST_ROUNDS says how many sequences.
func TestModel(t *testing.T) {
	if *seedFlag != 0 {
		runSequence(t, *seedFlag)
		return
	}
	rounds := 2000
	if env := os.Getenv("TRIGGERD_TEST_ROUNDS"); env != "" {
		var err error
		if rounds, err = strconv.Atoi(env); err != nil {
			t.Fatal(err)
		}
	}
	first := rand.Uint64()
	t.Logf("seeds from %d", first)
	fired := 0
	for i := range rounds {
		n := runSequence(t, first+uint64(i))
		fired += n
		if t.Failed() {
			return
		}
	}
	t.Logf("%d firings in %d sequences", fired, rounds)
}

// step is one thing that happens: to the model once, to the machine as often as
// a crash makes it come again.
type step struct {
	text  string
	model func(*model) []out
	do    func(*timing.Machine) []timing.Release
}

type sequence struct {
	r     *rand.Rand
	now   int64
	wall  int64
	rules []*timing.Rule
	data  int
	same  string // value of every by in a burst
}

// runSequence runs the sequence of a seed, and returns how much fired.
func runSequence(t *testing.T, seed uint64) int {
	s := &sequence{r: rand.New(rand.NewPCG(seed, 0)), now: epoch.UnixMilli()}
	var log []string
	fail := func(format string, args ...any) {
		t.Errorf("seed %d (-seed=%d)\n%s\n%s", seed, seed, strings.Join(log, "\n"), fmt.Sprintf(format, args...))
	}
	s.rules = s.newRules()
	for _, r := range s.rules {
		log = append(log, describe(r))
	}
	m := timing.New()
	m.SetRules(s.rules, time.UnixMilli(s.now))
	plain := &model{}
	plain.setRules(s.rules, s.now)

	durable := map[string]string{}
	suppressed := map[string]timing.Suppressed{} // by earlier machines
	saved := snapshot{rules: s.rules, now: s.now}
	var pending []step // since saved
	var pendingOuts [][]out
	fired := 0
	save := func() {
		m.Changes(func(k, v []byte) { durable[string(k)] = string(v) }, func(k []byte) { delete(durable, string(k)) })
		if n := m.Dirty(); n != 0 {
			fail("%d changes are left", n)
		}
		saved = snapshot{rules: s.rules, now: s.now, wall: s.wall, suppressed: total(suppressed, m)}
		pending, pendingOuts = nil, nil
	}
	restart := func() bool {
		m = timing.New()
		m.SetWallOffset(time.Duration(saved.wall) * time.Millisecond)
		m.SetRules(saved.rules, time.UnixMilli(saved.now))
		keys := slices.Sorted(maps.Keys(durable))
		s.r.Shuffle(len(keys), func(i, j int) { keys[i], keys[j] = keys[j], keys[i] })
		for _, k := range keys {
			if err := m.Restore([]byte(k), []byte(durable[k])); err != nil {
				fail("restore: %v", err)
				return false
			}
		}
		m.Next() // ends the restoring, for SetWallOffset
		suppressed = saved.suppressed
		return true
	}
	save()
	for range 20 + s.r.IntN(60) {
		if s.r.IntN(8) == 0 {
			switch s.r.IntN(3) {
			case 0:
				log = append(log, "save")
				save()
			case 1:
				log = append(log, "restart")
				save()
				if !restart() {
					return fired
				}
			case 2:
				log = append(log, fmt.Sprintf("crash: %d steps come again", len(pending)))
				if !restart() {
					return fired
				}
				for i, p := range pending {
					if got := outsOf(p.do(m)); !equal(got, pendingOuts[i]) {
						fail("again %s:\n got %+v\nwant %+v", p.text, got, pendingOuts[i])
						return fired
					}
				}
			}
			continue
		}
		p := s.step()
		log = append(log, p.text)
		want := p.model(plain)
		got := outsOf(p.do(m))
		fired += len(want)
		if !equal(got, want) {
			fail(" got %+v\nwant %+v", got, want)
			return fired
		}
		pending, pendingOuts = append(pending, p), append(pendingOuts, want)
	}
	for _, r := range plain.rules {
		if got, want := total(suppressed, m)[r.r.Name+r.r.Shape], r.counts; got != want {
			fail("rule %s suppressed %+v, want %+v", r.r.Name, got, want)
		}
	}
	save()
	m.SetRules(nil, time.UnixMilli(s.now))
	save()
	if len(durable) > 0 {
		fail("without rules there is %q", slices.Collect(maps.Keys(durable)))
	}
	return fired
}

// snapshot is what belongs to what is durable.
type snapshot struct {
	rules      []*timing.Rule
	now, wall  int64
	suppressed map[string]timing.Suppressed
}

// total adds what a machine has suppressed to what earlier ones have.
func total(before map[string]timing.Suppressed, m *timing.Machine) map[string]timing.Suppressed {
	sum := map[string]timing.Suppressed{}
	for s := range m.States() {
		name := s.Rule().Name + s.Rule().Shape
		a, b := before[name], s.Suppressed()
		sum[name] = timing.Suppressed{
			Sample: a.Sample + b.Sample, Dedupe: a.Dedupe + b.Dedupe, Outside: a.Outside + b.Outside, Once: a.Once + b.Once,
			Throttle: a.Throttle + b.Throttle, Missed: a.Missed + b.Missed, Evicted: a.Evicted + b.Evicted, HeldDropped: a.HeldDropped + b.HeldDropped,
		}
	}
	return sum
}

func (s *sequence) step() step {
	switch n := s.r.IntN(100); {
	case n < 2:
		prefix, now := s.by()[:s.r.IntN(2)], s.now
		return step{
			text:  "end all of " + prefix,
			model: func(m *model) []out { return m.endAll(now, prefix) },
			do:    func(m *timing.Machine) []timing.Release { return allOf(m.EndAll(prefix, time.UnixMilli(now))) },
		}
	case n < 4:
		return s.snapshot()
	case n < 60:
		return s.matches()
	case n < 85:
		return s.pass()
	case n < 92:
		return s.setRules()
	default:
		return s.setWall()
	}
}

func (s *sequence) snapshot() step {
	var keys []string
	for range s.r.IntN(6) {
		keys = append(keys, s.by())
	}
	now := s.now
	return step{
		text:  fmt.Sprintf("snapshot of %q", keys),
		model: func(m *model) []out { return m.snapshot(now, keys) },
		do: func(m *timing.Machine) []timing.Release {
			m.BeginSnapshot()
			for _, key := range keys {
				m.SeeKey([]byte(key))
			}
			return allOf(m.EndSnapshot(time.UnixMilli(now)))
		},
	}
}

// some returns a random duration, short ones as likely as long ones.
func (s *sequence) some() int64 {
	return []int64{0, s.r.Int64N(1000), 1000 * s.r.Int64N(10), 1000 * s.r.Int64N(120), 60_000 * s.r.Int64N(90), 3600_000 * s.r.Int64N(30)}[s.r.IntN(6)]
}

func (s *sequence) pass() step {
	s.now += s.some()
	now, seen := s.now, s.now
	if s.r.IntN(3) == 0 {
		seen -= s.some()
	}
	return step{
		text:  fmt.Sprintf("advance to %v, seen %v", at(now), at(seen)),
		model: func(m *model) []out { return m.advance(now, seen) },
		do:    func(m *timing.Machine) []timing.Release { return advance(m, now, seen) },
	}
}

func advance(m *timing.Machine, now, seen int64) (firings []timing.Release) {
	for {
		n := len(firings)
		if firings = m.Advance(firings, time.UnixMilli(now), time.UnixMilli(seen)); len(firings) == n {
			return firings
		}
	}
}

func allOf(e *timing.Endings) (firings []timing.Release) {
	for more := true; more; {
		firings, more = e.Next(firings)
	}
	return firings
}

func at(ms int64) time.Duration { return time.UnixMilli(ms).Sub(epoch) }

// matches is one match or, now and then, a burst of them.
func (s *sequence) matches() step {
	rule := s.rules[s.r.IntN(len(s.rules))]
	n, every := 1, int64(0)
	if s.r.IntN(15) == 0 {
		n, every = 1+s.r.IntN(60), s.some()/50
	}
	var burst []step
	text := ""
	s.same = ""
	if n > 1 && s.r.IntN(2) == 0 {
		s.same = s.by()
	}
	for range n {
		burst = append(burst, s.match(rule, every))
		text += burst[len(burst)-1].text + "\n"
	}
	return step{
		text: strings.TrimSpace(text),
		model: func(m *model) (outs []out) {
			for _, b := range burst {
				outs = append(outs, b.model(m)...)
			}
			return outs
		},
		do: func(m *timing.Machine) (firings []timing.Release) {
			for _, b := range burst {
				firings = append(firings, b.do(m)...)
			}
			return firings
		},
	}
}

// by returns a value of one of the few that are much used, or of the many.
func (s *sequence) by() string {
	if s.same != "" && s.r.IntN(20) > 0 {
		return s.same
	}
	if s.r.IntN(20) == 0 {
		return strconv.Itoa(s.r.IntN(60))
	}
	return string("abcd"[s.r.IntN(1+s.r.IntN(4))])
}

func (s *sequence) match(rule *timing.Rule, every int64) step {
	now := s.now
	switch {
	case every > 0:
		now += s.r.Int64N(every)
	case s.r.IntN(4) > 0:
		now += s.some() / 10
	}
	when := now
	if s.r.IntN(5) == 0 {
		when -= s.some()
	}
	keys := timing.Keys{Once: s.by(), Dedupe: s.by(), Gather: s.by(), Throttle: s.by(), Batch: s.by()}
	if s.r.IntN(10) == 0 {
		keys.Gather = ""
	}
	role := timing.Fires
	if s.r.IntN(5) == 0 {
		role = timing.Role(s.r.IntN(4))
	}
	s.data++
	data := strconv.Itoa(s.data)
	if rule.Batch.Max > 0 && s.r.IntN(100) == 0 {
		data += strings.Repeat("x", []int{400_000, 1_100_000}[s.r.IntN(2)])
	}
	hash := s.r.Uint64()
	advances := s.r.IntN(10) > 0
	if advances {
		s.now = now
	}
	return step{
		text: fmt.Sprintf("match of %s, role %d, at %v, keys %v, data %.8s, advance %v", rule.Name, role, at(when), keys, data, advances),
		model: func(m *model) (outs []out) {
			if advances {
				outs = m.advance(now, now)
			}
			return append(outs, m.match(rule.Name, role, when, hash, keys, data)...)
		},
		do: func(m *timing.Machine) (firings []timing.Release) {
			if advances {
				firings = advance(m, now, now)
			}
			return m.Arrive(firings, &timing.Arrival{State: m.State(rule.Name), Role: role, At: time.UnixMilli(when), Hash: hash, Keys: keys, Data: text(data)})
		},
	}
}

func (s *sequence) setWall() step {
	s.wall += []int64{3600_000, -3600_000, s.some(), -s.some(), s.some() * 24, -s.some() * 24}[s.r.IntN(6)]
	wall := s.wall
	return step{
		text:  fmt.Sprintf("wall %v", time.Duration(wall)*time.Millisecond),
		model: func(m *model) []out { m.setWall(wall); return nil },
		do: func(m *timing.Machine) []timing.Release {
			m.SetWallOffset(time.Duration(wall) * time.Millisecond)
			return nil
		},
	}
}

// setRules sets the rules anew: as they were, or some changed, gone, come back
// or in another order.
func (s *sequence) setRules() step {
	rules := make([]*timing.Rule, 0, len(s.rules))
	for _, r := range s.rules {
		again := *r
		switch s.r.IntN(8) {
		case 0:
			if len(s.rules) > 1 && len(rules) > 0 {
				continue
			}
		case 1:
			again = *s.newRule(r.Name)
		}
		rules = append(rules, &again)
	}
	s.r.Shuffle(len(rules), func(i, j int) { rules[i], rules[j] = rules[j], rules[i] })
	s.rules = rules
	now := s.now
	text := "rules"
	for _, r := range rules {
		text += "\n  " + describe(r)
	}
	return step{
		text:  text,
		model: func(m *model) []out { m.setRules(rules, now); return m.ended },
		do: func(m *timing.Machine) []timing.Release {
			m.SetRules(rules, time.UnixMilli(now))
			return m.Ended(nil)
		},
	}
}

func (s *sequence) newRules() (rules []*timing.Rule) {
	for i := range 1 + s.r.IntN(3) {
		rules = append(rules, s.newRule(fmt.Sprintf("r%d", i)))
	}
	return rules
}

func (s *sequence) newRule(name string) *timing.Rule {
	r := &timing.Rule{Name: name, MaxKeys: []int{1, 2, 4, 40}[s.r.IntN(4)]}
	one := func(of int) bool { return s.r.IntN(of) == 0 }
	span := func() time.Duration {
		return max(time.Duration(s.some())*time.Millisecond, time.Millisecond+time.Duration(s.r.IntN(3000))*time.Microsecond)
	}
	if one(3) {
		s.windows(r)
	}
	if one(6) {
		r.Schedule = every(time.Duration(1+s.r.IntN(120)) * time.Minute)
		r.Summarize = []string{"r0", "r1", "r2"}[:s.r.IntN(4)]
		r.Summarize = slices.DeleteFunc(slices.Clone(r.Summarize), func(n string) bool { return n == name })
		r.CatchUp = one(2)
		r.Shape = fmt.Sprintf("%+v", *r) + windowsText(r)
		return r
	}
	limit := func() int { return []int{1, 2, 3, 10, 33, 34, 40}[s.r.IntN(1+s.r.IntN(7))] }
	switch s.r.IntN(7) {
	case 0:
		r.Count = timing.Count{Over: limit() - 1, Within: span()}
	case 1:
		r.Absent = timing.Absent{For: span(), Resolved: one(2)}
		if one(2) {
			r.Absent.Repeat = max(span(), time.Second)
		}
		if one(3) {
			r.Absent.Expect = []string{"a", "x"}
		}
	case 2:
		r.Debounce = timing.Debounce{Wait: span()}
		if one(2) {
			r.Debounce.MaxWait = r.Debounce.Wait + span()
		}
	case 3:
		r.For = span()
	case 4:
		r.Episode = timing.Episode{On: true, Resolved: s.r.IntN(4) > 0}
		if one(2) {
			r.For = span()
		}
	}
	if one(3) {
		r.Dedupe = span()
	}
	r.Once = one(5)
	if one(3) {
		r.Throttle = timing.Throttle{Max: limit(), Per: span()}
	}
	if one(3) {
		r.Batch = timing.Batch{Max: 1 + s.r.IntN(5), Wait: span()}
	}
	r.Shape = fmt.Sprintf("%+v", *r) + windowsText(r)
	return r
}

func (s *sequence) windows(r *timing.Rule) {
	for range s.r.IntN(3) {
		r.Active = append(r.Active, &timing.Window{Times: []timing.ClockRange{{From: s.r.IntN(1440), To: s.r.IntN(1441)}}})
	}
	if s.r.IntN(2) == 0 {
		r.Mute = append(r.Mute, &timing.Window{Times: []timing.ClockRange{{From: s.r.IntN(1440), To: s.r.IntN(1441)}}})
	}
	r.Hold = s.r.IntN(2) == 0
	if _, ok := naiveOpens(r, epoch); !ok && s.r.IntN(100) > 0 { // that they never open takes long to find out
		r.Active, r.Mute = nil, nil
	}
}

func windowsText(r *timing.Rule) (text string) {
	for _, w := range append(slices.Clone(r.Active), r.Mute...) {
		text += fmt.Sprintf(" %+v", w.Times)
	}
	return text
}

func describe(r *timing.Rule) string { return fmt.Sprintf("%+v", *r) + windowsText(r) }

func equal(a, b []out) bool { return len(a) == 0 && len(b) == 0 || reflect.DeepEqual(a, b) }

func outsOf(firings []timing.Release) (outs []out) {
	msOf := func(t time.Time) int64 {
		if t.IsZero() {
			return none
		}
		return t.UnixMilli()
	}
	for _, f := range firings {
		o := out{
			Rule: f.Rule.Name, Kind: f.Kind, By: f.By, At: msOf(f.At), Tag: f.Tag,
			Count: f.Count, First: msOf(f.First), Last: msOf(f.Last), Suppressed: f.Suppressed, Since: msOf(f.Since), Cause: f.Cause,
		}
		for _, i := range f.Items {
			o.Items = append(o.Items, outItem{i.Kind, i.By, msOf(i.At), i.Tag, string(i.Data), msOf(i.Since), i.Cause})
		}
		for _, l := range f.Summary {
			o.Summary = append(o.Summary, modelLine{l.Rule, l.Count, l.Suppressed, msOf(l.First), msOf(l.Last), string(l.Data)})
		}
		outs = append(outs, o)
	}
	return outs
}
