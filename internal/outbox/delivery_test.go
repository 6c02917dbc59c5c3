package outbox

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"triggerd/actions"
	"triggerd/internal/event"
	"triggerd/internal/firing"
	"triggerd/internal/store"
)

// small are bounds that a handful of firings goes beyond.
var small = bounds{window: 20, lane: 3, chunk: 4, cached: 12_000, fresh: 5, ahead: 4, intake: 1 << 20, unsubmitted: 7}

// ended is a model of what a receiver may see: for each key the firings that
// were put, in order, and how each of them ended.
type ended struct {
	t    *testing.T
	mu   sync.Mutex
	put  map[string][]string // key -> IDs
	got  map[string][]string // key -> IDs, in the order in which they ended
	dead map[string]bool
	now  map[string]bool // keys of which an attempt is under way
	rnd  *rand.Rand
}

func (m *ended) chance(p float64) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.rnd.Float64() < p
}

func (m *ended) intN(n int) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.rnd.IntN(n)
}

// do is an attempt with a random outcome.
func (m *ended) do(f *actions.Firing) error {
	key := f.Rule + " " + string(f.Event.Key)
	m.mu.Lock()
	if m.now[key] {
		m.t.Errorf("two attempts of %s at once", key)
	}
	m.now[key] = true
	m.mu.Unlock()
	time.Sleep(time.Duration(m.intN(3000)) * time.Millisecond)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.now[key] = false
	switch x := m.rnd.Float64(); {
	case x < 0.3:
		return errDown
	case x < 0.35:
		return actions.RetryAfter(7*time.Second, errDown)
	case x < 0.4:
		m.got[key] = append(m.got[key], f.ID.String())
		m.dead[f.ID.String()] = true
		return actions.Permanent(errDown)
	}
	m.got[key] = append(m.got[key], f.ID.String())
	return nil
}

// Whatever fails, however often the process is restarted and the rules are
// reloaded, with lanes, windows and chunks far too small for what waits: each
// firing ends once, those of a key in order, and no more than one at a time.
func TestOutboxModel(t *testing.T) {
	for seed := range uint64(30) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { runModel(t, seed, false) })
		})
	}
}

// The same holds for what is delivered in batches.
func TestOutboxModelBatches(t *testing.T) {
	for seed := range uint64(30) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { runModel(t, seed, true) })
		})
	}
}

func runModel(t *testing.T, seed uint64, batches bool) {
	st, err := store.OpenInMemory()
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	m := &ended{t: t, put: map[string][]string{}, got: map[string][]string{}, dead: map[string]bool{}, now: map[string]bool{}, rnd: rand.New(rand.NewPCG(seed, 1))}
	receivers := func() []*receiver { return []*receiver{{do: m.do}, {do: m.do}} }
	const endless = 1000
	patient := spec(func(a *Policy) {
		a.Timeout, a.Retry = time.Hour, Retry{MaxAttempts: endless, Backoff: time.Second, MaxBackoff: 4 * time.Second}
	})
	b := openBounded(t, st, small, 10_000, 3)
	b.batches = batches
	b.usePolicy(patient, 3, receivers()...)
	total := 0
	for i := range 40 {
		for range m.intN(20) {
			endpoint, key := fmt.Sprint(m.intN(2)), fmt.Sprint(m.intN(6))
			if m.chance(0.5) {
				key = "busy"
			}
			id := fmt.Sprintf("%d-%d", seed, total)
			total++
			m.put["r"+endpoint+" "+key] = append(m.put["r"+endpoint+" "+key], id)
			b.put(endpoint, key, id, patient)
		}
		sleep(time.Duration(m.intN(2000)) * time.Millisecond)
		switch i % 10 {
		case 3:
			b.usePolicy(patient, 1+m.intN(4), receivers()...)
		case 6: // the first endpoint is gone for a while: its firings are delivered all the same
			b.usePolicy(patient, 2, nil, receivers()[1])
		case 9:
			sleep(time.Duration(m.intN(500)) * time.Millisecond)
			b.Stop(t.Context(), false)
			b.end()
			b = openBounded(t, st, small, 10_000, 3)
			b.batches = batches
			b.usePolicy(patient, 3, receivers()...)
		}
	}
	b.settleAll(100 * time.Hour)
	b.mu.Lock()
	if b.in.pending != 0 || b.cached.Load() != 0 || b.in.bytes != 0 {
		t.Errorf("%d pending, %d cached, %d bytes in the intake at the end", b.in.pending, b.cached.Load(), b.in.bytes)
	}
	for name, ep := range b.endpoints {
		if ep.indexed != 0 || len(ep.lanes) != 0 || ep.account.pending != 0 || ep.running != 0 || ep.hasUnindexed {
			t.Errorf("endpoint %s at the end: %d indexed, %d lanes, %d pending, %d workers, more %v", name, ep.indexed, len(ep.lanes), ep.account.pending, ep.running, ep.hasUnindexed)
		}
	}
	b.mu.Unlock()
	for _, key := range slices.Sorted(maps.Keys(m.put)) {
		if !slices.Equal(m.got[key], m.put[key]) {
			t.Errorf("seed %d, %s:\ngot  %v\nwant %v", seed, key, m.got[key], m.put[key])
		}
	}
	for d, err := range st.Dead(0) {
		if err != nil || !m.dead[d.ID] {
			t.Errorf("dead letter of %s, %v", d.ID, err)
		}
		delete(m.dead, d.ID)
	}
	if len(m.dead) > 0 {
		t.Errorf("no dead letters of %v", m.dead)
	}
	b.end()
}

// A firing is committed with the position behind what made it, or not at all,
// and its position is acknowledged only then.
func TestOutboxCommitsWithPosition(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBox(t, 100, 1, &receiver{})
		numbered := func(i int) *actions.Firing {
			return &actions.Firing{ID: firing.ID(fmt.Sprint(i)), Rule: "r0", Action: "a", Event: &event.Event{Key: []byte("k")}}
		}
		at := func(offset int) string { return fmt.Sprint("at ", offset) }
		check := func(delivered int, want string) {
			t.Helper()
			synctest.Wait()
			saved, err := b.store.Checkpoint("s")
			if err != nil || saved != want || b.acked != want || b.total().Delivered != int64(delivered) {
				t.Errorf("delivered %d, checkpoint %q, acknowledged %v, %v; want %d and %v", b.total().Delivered, saved, b.acked, err, delivered, want)
			}
		}
		b.take("0", spec(nil), numbered(1))
		check(0, "")
		b.Submit(Commit{Stream: "s", Position: at(10), Whole: true})
		check(1, at(10))
		b.take("0", spec(nil), numbered(2)) // in a transaction
		b.Submit(Commit{Stream: "s"})
		b.take("0", spec(nil), numbered(3))
		check(1, at(10))
		b.Submit(Commit{Stream: "s", Position: at(20), Whole: true})
		check(3, at(20))
		b.take("0", spec(nil), numbered(4))
		check(3, at(20))
		b.Submit(Commit{Stream: "s", Whole: true}) // by the clock
		check(4, at(20))
	})
}

// A key that is stuck with more firings than its lane and a chunk of the store
// hold does not keep the others waiting, after a restart either.
func TestOutboxStuckKeyAfterRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st, err := store.OpenInMemory()
		if err != nil {
			t.Fatal(err)
		}
		defer st.Close()
		b := openBounded(t, st, small, 1000, 2, &receiver{})
		b.endpoints["0"].paused = true
		for i := range 50 {
			b.put("0", "stuck", fmt.Sprintf("s%d", i), spec(nil))
		}
		b.put("0", "free", "f", spec(nil))
		synctest.Wait()
		b.end()
		r := &receiver{do: func(f *actions.Firing) error {
			if string(f.Event.Key) == "stuck" {
				return actions.RetryAfter(0, errDown)
			}
			return nil
		}}
		b = openBounded(t, st, small, 1000, 2)
		b.usePolicy(spec(func(a *Policy) { a.Retry.Backoff, a.Retry.MaxBackoff = time.Hour, time.Hour }), 2, r)
		sleep(time.Millisecond)
		if got := r.received(); len(got) != 1 {
			t.Errorf("received %v, want the firing of the free key", got)
		}
		b.end()
	})
}

// An endpoint that is down for six hours is attempted about once a minute, one
// attempt at a time; nothing is lost, and when it is back all of it arrives in
// order and soon. Another endpoint does not notice.
func TestOutboxOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const outage = 6 * time.Hour
		began := time.Now()
		dead := &receiver{takes: 10 * time.Second, do: func(*actions.Firing) error {
			if time.Since(began) < outage {
				return errDown
			}
			return nil
		}}
		good := &receiver{}
		b := newBox(t, 100_000, 16, dead, good)
		forever := spec(func(a *Policy) {
			a.Timeout, a.Retry = time.Minute, Retry{MaxAttempts: 1000, Backoff: time.Second, MaxBackoff: time.Minute}
		})
		want := map[string]string{}
		const n = 600
		for i := range n {
			key, id := fmt.Sprint("k", i%40), fmt.Sprintf("k%d-%d", i%40, i)
			want[key] += id + " "
			b.put("0", key, id, forever)
			b.put("1", key, id, forever)
			sleep(30 * time.Second) // five hours in all
		}
		if got := len(good.received()); got != n {
			t.Errorf("%d of %d arrived at the good endpoint", got, n)
		}
		if len(dead.received()) > 0 {
			t.Error("delivered to an endpoint that is down")
		}
		tries := dead.tried()
		if limit := 60*6 + 60; tries > limit || tries < 60 {
			t.Errorf("%d attempts in five hours, want between 60 and %d", tries, limit)
		}
		time.Sleep(time.Until(began.Add(outage)))
		if !strings.Contains(b.log.String(), "endpoint fails again and again") {
			t.Errorf("log:\n%s", b.log)
		}
		sleep(5*time.Minute + n/16*10*time.Second)
		got := map[string]string{}
		for _, id := range dead.received() {
			key, _, _ := strings.Cut(id, "-")
			got[key] += id + " "
		}
		if !maps.Equal(got, want) {
			t.Errorf("after the outage:\n%v\nwant\n%v", got, want)
		}
		if dead.mostAtOnce() != 16 {
			t.Errorf("%d attempts at once after the outage, want 16", dead.mostAtOnce())
		}
		if !strings.Contains(b.log.String(), "endpoint answers again") {
			t.Error("its end was not told")
		}
	})
}

// A receiver that asks several keys to leave it alone is left alone by all,
// but for a probe of a key that did not ask yet; after the time, or once a
// probe succeeds, they go on.
func TestOutboxRetryAfterHoldsEndpoint(t *testing.T) {
	for _, early := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			began := time.Now()
			r := &receiver{do: func(f *actions.Firing) error {
				if since := time.Since(began); since < 10*time.Minute && !(early && since > time.Minute) {
					return actions.RetryAfter(10*time.Minute-since, errDown)
				}
				return nil
			}}
			b := newBox(t, 1000, 1, r)
			for i := range 20 {
				b.put("0", fmt.Sprint(i), fmt.Sprint(i), spec(nil))
			}
			sleep(time.Minute)
			if n := r.tried(); n < 4 || n > 3+3 { // and after 5, 15 and 35 s
				t.Errorf("%d attempts in the first minute", n)
			}
			sleep(time.Minute)
			if n := len(r.received()); early != (n > 10) || !early && n > 0 {
				t.Errorf("early %v: %d of 20 delivered within two minutes", early, n)
			}
			sleep(8*time.Minute + time.Second)
			if n := len(r.received()); n != 20 {
				t.Errorf("early %v: %d of 20 delivered after it", early, n)
			}
		})
	}
}

// A receiver that asks one key to wait is not left alone by the others.
func TestOutboxRetryAfterHoldsLane(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &receiver{do: func(f *actions.Firing) error {
			if f.ID == "0" && f.Attempt == 1 {
				return actions.RetryAfter(10*time.Minute, errDown)
			}
			return nil
		}}
		b := newBox(t, 1000, 1, r)
		for i := range 20 {
			b.put("0", fmt.Sprint(i), fmt.Sprint(i), spec(nil))
		}
		sleep(time.Second)
		if n := len(r.received()); n != 19 || r.tried() != 20 {
			t.Errorf("%d of 19 delivered in %d attempts", n, r.tried())
		}
		sleep(10 * time.Minute)
		if n := len(r.received()); n != 20 || r.tried() != 21 {
			t.Errorf("%d of 20 delivered in %d attempts", n, r.tried())
		}
	})
}

// A rate is kept over any time, and made use of; a reload changes it at once.
func TestOutboxRateLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		var mu sync.Mutex
		var at []time.Duration
		r := &receiver{do: func(*actions.Firing) error {
			mu.Lock()
			defer mu.Unlock()
			at = append(at, time.Since(began))
			return nil
		}}
		b := newBox(t, 1000, 8, r)
		limit := func(max int, per time.Duration) {
			b.SetActions(map[string]*Action{
				"0": {Action: r, Policy: spec(nil), Concurrency: 8, Rate: Rate{Max: max, Per: per}},
			}, nil)
		}
		limit(5, time.Second)
		for i := range 100 {
			b.put("0", fmt.Sprint(i), fmt.Sprint(i), spec(nil))
		}
		sleep(10 * time.Second)
		mu.Lock()
		if n := len(at); n < 54 || n > 55 {
			t.Errorf("%d attempts in 10 s, want 5 and 5 each second", n)
		}
		for i, from := range at {
			for j := i; j < len(at); j++ {
				if n, most := j-i+1, 5+5*(at[j]-from).Seconds()+1e-6; float64(n) > most {
					t.Fatalf("%d attempts in %v", n, at[j]-from)
				}
			}
		}
		mu.Unlock()
		limit(1, 24*time.Hour)
		sleep(time.Minute)
		slow := r.tried()
		limit(1000, time.Second)
		sleep(time.Minute)
		if slow > 57 || r.tried() != 100 {
			t.Errorf("%d attempts at one a day, %d at 1000 a second", slow, r.tried())
		}
	})
}

// A firing that was matched just before a reload that has no use for its
// endpoint any more is delivered as the old rules say.
func TestOutboxReloadRace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		old := &receiver{}
		b := newBox(t, 10, 1, old, &receiver{})
		b.use(1, nil, &receiver{})
		if _, there := b.endpoints["0"]; there {
			t.Fatal("the endpoint is still there")
		}
		b.Add(Planned{Stream: "s", Endpoint: "0", Action: &Action{Action: old, Policy: spec(nil), Concurrency: 1}, Policy: spec(nil),
			Firing: &actions.Firing{ID: "late", Rule: "r0", Action: "a", Event: &event.Event{}}})
		b.Submit(Commit{Stream: "s", Whole: true})
		synctest.Wait()
		if got := old.received(); len(got) != 1 {
			t.Errorf("received %v", got)
		}
	})
}

// Firings of an endpoint that no rule has wait, over restarts, until it is
// back.
func TestOutboxEndpointComesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st, err := store.OpenInMemory()
		if err != nil {
			t.Fatal(err)
		}
		defer st.Close()
		down := &receiver{do: func(*actions.Firing) error { return errDown }}
		b := openBox(t, st, 100, 1, down)
		for i := range 5 {
			b.put("0", "k", fmt.Sprint(i), spec(func(a *Policy) { a.Retry.Backoff, a.Retry.MaxBackoff = time.Hour, time.Hour }))
		}
		synctest.Wait()
		b.end()
		b = openBox(t, st, 100, 1, nil, &receiver{})
		sleep(time.Hour)
		if b.in.pending != 5 || !strings.Contains(b.log.String(), "firings wait for an action that no rule has any more") {
			t.Errorf("%d pending, log:\n%s", b.in.pending, b.log)
		}
		back := &receiver{}
		b.use(1, back)
		sleep(time.Hour)
		if got := strings.Join(back.received(), " "); got != "0 1 2 3 4" {
			t.Errorf("received %s", got)
		}
		b.end()
	})
}

func (r *receiver) tried() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.attempts)
}

func (r *receiver) mostAtOnce() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.most
}

func (b *box) total() Stats { return b.Stats() }

// settleAll lets time pass until nothing is pending, at most limit.
func (b *box) settleAll(limit time.Duration) {
	for began := time.Now(); time.Since(began) < limit; sleep(time.Minute) {
		if b.Outbox.pending() == 0 {
			break
		}
	}
	sleep(time.Second)
}

// putOver puts a firing with an overflow policy.
func (b *box) putOver(overflow, key, id string) {
	b.take("0", over(firing.Overflow(overflow)), &actions.Firing{ID: firing.ID(id), Rule: "r0", Action: "a", Event: &event.Event{Key: []byte(key)}})
	b.Submit(Commit{Stream: "s", Whole: true})
}

func countDead(t *testing.T, st *store.Store, reason string) (letters, firings int) {
	t.Helper()
	for d, err := range st.Dead(0) {
		var n int
		if err != nil || d.Reason != reason {
			t.Fatalf("dead letter %+v, %v", d, err)
		}
		if _, err := fmt.Sscanf(d.Error, "%d firings of rule", &n); err != nil {
			t.Fatalf("dead letter %+v: %v", d, err)
		}
		letters, firings = letters+1, firings+n
	}
	return letters, firings
}

// With drop_new the reader never waits; each firing that is not taken in is
// counted and stands in a dead letter; with room again nothing is dropped.
func TestOverflowDropNew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &receiver{takes: 500 * time.Millisecond}
		b := newBox(t, 10, 1, r)
		began := time.Now()
		for i := range 100 {
			b.putOver("drop_new", "k", fmt.Sprint(i))
		}
		if took := time.Since(began); took != 0 {
			t.Errorf("the reader waited %v", took)
		}
		sleep(time.Minute)
		if got := strings.Join(r.received(), " "); got != "0 1 2 3 4 5 6 7 8 9" {
			t.Errorf("received %s", got)
		}
		if letters, n := countDead(t, b.store, "dropped"); n != 90 || letters > 90 || b.total().Dropped != 90 {
			t.Errorf("%d dropped in %d dead letters, counted %d", n, letters, b.total().Dropped)
		}
		b.putOver("drop_new", "k", "later")
		sleep(time.Minute)
		if n := len(r.received()); n != 11 || b.total().Dropped != 90 {
			t.Errorf("%d received, %d dropped, though there was room", n, b.total().Dropped)
		}
	})
}

// With drop_old the newest firings are those that arrive, still in order.
func TestOverflowDropOld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const n, room = 100, 10
		r := &receiver{takes: 500 * time.Millisecond}
		b := newBox(t, room, 1, r)
		began := time.Now()
		for i := range n {
			b.putOver("drop_old", fmt.Sprint("k", i%3), fmt.Sprint(i))
			synctest.Wait()
		}
		if took := time.Since(began); took != 0 {
			t.Errorf("the reader waited %v", took)
		}
		sleep(time.Minute)
		want := []string{"0"} // was being attempted
		for i := n - room + 1; i < n; i++ {
			want = append(want, fmt.Sprint(i))
		}
		got := r.received()
		slices.SortFunc(got, func(a, b string) int { return len(a)*1000 - len(b)*1000 + strings.Compare(a, b) })
		if !slices.Equal(got, want) {
			t.Errorf("received %v, want %v", got, want)
		}
		if _, dropped := countDead(t, b.store, "dropped"); dropped != n-room || b.total().Dropped != n-room || b.in.pending != 0 || b.cached.Load() != 0 || b.endpoints["0"].indexed != 0 || len(b.endpoints["0"].lanes) != 0 {
			t.Errorf("%d dropped, counted %d, %d pending, %d cached", dropped, b.total().Dropped, b.in.pending, b.cached.Load())
		}
	})
}

// drop_old with retries, full lanes and restarts: what was put is delivered or
// dropped, nothing twice, and each key in order.
func TestOverflowDropOldModel(t *testing.T) {
	for seed := range uint64(20) {
		synctest.Test(t, func(t *testing.T) {
			st, err := store.OpenInMemory()
			if err != nil {
				t.Fatal(err)
			}
			defer st.Close()
			m := &ended{t: t, got: map[string][]string{}, dead: map[string]bool{}, now: map[string]bool{}, rnd: rand.New(rand.NewPCG(seed, 2))}
			b := openBounded(t, st, small, 30, 2, &receiver{do: m.do})
			total, dropped := 0, int64(0)
			for i := range 60 {
				for range m.intN(12) {
					b.putOver("drop_old", fmt.Sprint(m.intN(4)), fmt.Sprintf("%04d", total))
					total++
				}
				sleep(time.Duration(m.intN(2000)) * time.Millisecond)
				if i%20 == 19 {
					b.Stop(t.Context(), false)
					b.end() // which commits the rest, and so may drop some
					dropped += b.total().Dropped
					b = openBounded(t, st, small, 30, 2, &receiver{do: m.do})
				}
			}
			b.settleAll(100 * time.Hour)
			dropped += b.total().Dropped
			delivered := 0
			for key, ids := range m.got {
				delivered += len(ids)
				if !slices.IsSorted(ids) || len(slices.Compact(slices.Clone(ids))) != len(ids) {
					t.Errorf("seed %d, %s: %v", seed, key, ids)
				}
			}
			given := 0
			for d, err := range st.Dead(0) {
				if err != nil {
					t.Fatal(err)
				}
				if d.Reason == "attempts" || d.Reason == "age" {
					given++
				}
			}
			if int64(delivered+given)+dropped != int64(total) || dropped == 0 || b.in.pending != 0 {
				t.Errorf("seed %d: %d delivered, %d given up and %d dropped of %d, %d pending", seed, delivered, given, dropped, total, b.in.pending)
			}
			b.end()
		})
	}
}

// With block the reader waits ten seconds in all, not for each firing, and then
// drops; after there was plenty of room it may wait again.
func TestOverflowBlock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &receiver{takes: 800 * time.Millisecond}
		b := newBox(t, 10, 1, r)
		for round := range 2 {
			began, before := time.Now(), b.total().Dropped
			for i := range 100 {
				b.putOver("block", "k", fmt.Sprint(i))
			}
			if took := time.Since(began); took < maxBlock || took > maxBlock+time.Second {
				t.Errorf("round %d: the reader waited %v, want %v", round, took, maxBlock)
			}
			// one more a delivery while it waited
			if n := b.total().Dropped - before; n < 100-10-14 || n > 100-10-12 {
				t.Errorf("round %d: %d dropped", round, n)
			}
			sleep(time.Hour)
		}
		if n := int64(len(r.received())); n+b.total().Dropped != 200 {
			t.Errorf("%d received and %d dropped of 200", n, b.total().Dropped)
		}
		if _, n := countDead(t, b.store, "dropped"); int64(n) != b.total().Dropped {
			t.Errorf("%d in dead letters, %d counted", n, b.total().Dropped)
		}
	})
}

// A firing that the store could never hold is dropped, with a word, and takes
// nothing else with it.
func TestOutboxTooLarge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &receiver{}
		b := newBox(t, 10, 1, r)
		huge := &event.Event{Key: []byte("k"), Args: [][]byte{make([]byte, store.MaxPayload)}}
		b.take("0", spec(nil), &actions.Firing{ID: "huge", Rule: "r0", Action: "a", Event: huge})
		b.take("0", spec(nil), &actions.Firing{ID: firing.ID(strings.Repeat("x", store.MaxName+1)), Rule: "r0", Action: "a", Event: &event.Event{}})
		b.put("0", "k", "next", spec(nil))
		synctest.Wait()
		if got := r.received(); len(got) != 1 || got[0] != "next" {
			t.Errorf("received %v", got)
		}
		if _, n := countDead(t, b.store, "dropped"); n != 2 || !strings.Contains(b.log.String(), "too large") {
			t.Errorf("%d in dead letters, log:\n%s", n, b.log)
		}
	})
}

// A store without space pauses what is taken in, not what is delivered, and
// goes on by itself; memory is bounded meanwhile, and nothing is lost.
func TestOutboxStoreFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st, err := store.Options{MaxBytes: 96 << 20, MinFree: 1, MaxSettled: 1}.Open(t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		defer st.Close()
		r := &receiver{}
		lim := defaultBounds
		lim.intake = 4 << 20
		b := openBounded(t, st, lim, 1_000_000, 1, r)
		b.endpoints["0"].setPaused(true)
		rnd := rand.NewChaCha8([32]byte{})
		const n = 1700
		put := make(chan struct{})
		go func() {
			defer close(put)
			for i := range n {
				value := make([]byte, 64<<10) // 110 MB in all, which do not compress
				rnd.Read(value)
				b.take("0", spec(nil), &actions.Firing{ID: firing.ID(fmt.Sprint(i)), Rule: "r0", Action: "a", Event: &event.Event{Key: []byte("k"), Args: [][]byte{value}}})
				b.Submit(Commit{Stream: "s", Position: fmt.Sprint(i), Whole: true})
			}
		}()
		sleep(5 * time.Second)
		stuck := b.Outbox.pending()
		b.in.mu.Lock()
		weight := b.in.bytes
		b.in.mu.Unlock()
		b.endpoints["0"].setPaused(false)
		if stuck == n || weight > lim.intake+256<<10 {
			t.Errorf("%d of %d taken in, %d bytes of them in memory", stuck, n, weight)
		}
		if !strings.Contains(b.log.String(), "the store is full") {
			t.Errorf("log:\n%s", b.log)
		}
		ctx := t.Context()
		go st.Run(ctx)
		<-put
		sleep(time.Hour)
		for i, id := range r.received() {
			if id != fmt.Sprint(i) {
				t.Fatalf("delivery %d is of %s", i, id)
			}
		}
		if len(r.received()) != n || b.acked != fmt.Sprint(n-1) || b.total().Dropped != 0 {
			t.Errorf("%d of %d delivered, %d dropped, acknowledged %v", len(r.received()), n, b.total().Dropped, b.acked)
		}
		b.end()
	})
}

// What the receiver said is kept of what waits, was given up and, in short,
// was delivered.
func TestOutboxExcerpt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fail := map[string]error{"later": errDown, "bad": actions.Permanent(errDown)}
		r := &receiver{says: strings.Repeat("é", 1000), do: func(f *actions.Firing) error { return fail[f.ID.String()] }}
		b := newBox(t, 100, 4, r)
		for _, id := range []string{"later", "bad", "good"} {
			b.put("0", id, id, spec(func(a *Policy) { a.Retry.Backoff, a.Retry.MaxBackoff = time.Hour, time.Hour }))
		}
		sleep(time.Second)
		for p, err := range b.store.Pending("0", 0) {
			if err != nil || p.Excerpt != r.says {
				t.Errorf("waiting: %+v, %v", p, err)
			}
		}
		for d, err := range b.store.Dead(0) {
			if err != nil || d.ID != "bad" || d.Excerpt != r.says {
				t.Errorf("given up: %+v, %v", d, err)
			}
		}
		for s, err := range b.store.Settled(0) {
			if err != nil || s.ID != "good" || s.Excerpt != r.says[:maxDeliveredExcerpt] {
				t.Errorf("delivered: %+v, %v", s, err)
			}
		}
		if n := b.total(); n.Delivered != 1 || n.GivenUp != 1 || n.Pending != 1 {
			t.Errorf("%+v", n)
		}
		b.end()
	})
}

// With latest_only a firing that comes takes the place of one of its key that
// waits, be it for the first attempt or for another.
func TestOutboxLatestOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &receiver{takes: time.Second, do: func(f *actions.Firing) error {
			if strings.HasPrefix(f.ID.String(), "bad") {
				return errDown
			}
			return nil
		}}
		st, err := store.OpenInMemory()
		if err != nil {
			t.Fatal(err)
		}
		defer st.Close()
		patient := spec(func(a *Policy) { a.Timeout = time.Minute })
		latest := func(b *box) {
			b.SetActions(map[string]*Action{"0": {Action: r, Concurrency: 3, Policy: patient, LatestOnly: true}}, nil)
		}
		b := openBox(t, st, 100_000, 3)
		latest(b)
		put := func(key string, ids ...string) {
			for _, id := range ids {
				b.put("0", key, id, patient)
			}
			synctest.Wait()
		}
		put("a", "a1")
		put("a", "a2", "a3", "a4")
		put("b", "b1")
		put("bad", "bad1")
		put("bad", "bad2", "good3")
		sleep(time.Hour)
		b.check(t, r, "a1 a4 b1 good3", 4)
		b.end()

		r.got = nil
		enqueueJobs(t, st, 9000, 2, -1)
		b = openPrepared(t, st, defaultBounds, 100_000, latest)
		sleep(time.Hour)
		b.check(t, r, "8998 8999", 8998)
		b.end()
	})
}

// check looks at what was received, and that nothing else is left.
func (b *box) check(t *testing.T, r *receiver, got string, superseded int64) {
	t.Helper()
	all := r.received()
	slices.Sort(all)
	if text := strings.Join(all, " "); text != got {
		t.Errorf("received %s, want %s", text, got)
	}
	left, err := b.store.Endpoints()
	if n := b.total(); err != nil || len(left) != 0 || n.Pending != 0 || n.Superseded != superseded || n.GivenUp != 0 {
		t.Errorf("left %v, %v; %+v, want %d superseded", left, err, n, superseded)
	}
	if ep := b.endpoints["0"]; ep.indexed != 0 || len(ep.lanes) != 0 || b.cached.Load() != 0 {
		t.Errorf("%d indexed in %d lanes, %d bytes", ep.indexed, len(ep.lanes), b.cached.Load())
	}
}
