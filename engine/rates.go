package engine

import (
	"context"
	"slices"
	"sync"
	"time"

	"triggerd/internal/admin"
)

// How much is kept of what happened: for each second of the last ten minutes, and
// for each minute of the last day.
const (
	keptSeconds = 600
	keptMinutes = 1440

	// maxRated is of how many rules rates are kept, 16 KiB each. Those that match
	// first have them.
	maxRated = 1000
	// toldSeconds is how much of its rates a daemon tells in all.
	toldSeconds = 120
	// rateSeconds is of how many seconds the present rate of a rule is the mean.
	rateSeconds = 5
	// sparkSeconds is how many seconds an element of RuleStatus.Rates has.
	sparkSeconds = 10
)

// series counts something in each of the last seconds and minutes. The times are
// those of the rates that it is of.
type series struct {
	seconds [keptSeconds]uint32
	minutes [keptMinutes]uint32
}

// ruleSeries are the rates of one rule.
type ruleSeries struct{ matches, firings series }

// rates are how much happened, sampled once a second.
type rates struct {
	mu      sync.Mutex // guards what follows
	seconds int        // how many have passed
	total   [5]series  // events, matches, firings, delivered, failed
	last    [5]int64
	rules   map[string]*ruleSeries
	counted map[string][2]int64 // matches and firings of each rule at the last second
}

// sampleRates samples once a second until ctx is done.
func (e *Engine) sampleRates(ctx context.Context) {
	ticks := time.NewTicker(time.Second)
	defer ticks.Stop()
	e.rates.sample(e)
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticks.C:
			e.rates.sample(e)
		}
	}
}

// sample ends a second.
func (r *rates) sample(e *Engine) {
	sum, gen := e.Stats(), e.gen.Load()
	r.mu.Lock()
	defer r.mu.Unlock()
	first := r.counted == nil
	if first {
		r.rules, r.counted = map[string]*ruleSeries{}, map[string][2]int64{}
	}
	r.seconds++
	for i, n := range [...]int64{sum.Events, sum.Matches, sum.Firings, sum.Delivered, sum.Failed} {
		r.add(&r.total[i], n-r.last[i], first)
		r.last[i] = n
	}
	for _, rule := range gen.set.Rules {
		st := gen.states[rule]
		now := [2]int64{st.matches.Load(), st.firings.Load()}
		before := r.counted[rule.Name]
		of := r.rules[rule.Name]
		if of == nil && now != before && len(r.rules) < maxRated {
			of = &ruleSeries{}
			r.rules[rule.Name] = of
		}
		if of != nil {
			r.add(&of.matches, now[0]-before[0], first)
			r.add(&of.firings, now[1]-before[1], first)
		}
		if now != before {
			r.counted[rule.Name] = now
		}
	}
	if len(r.counted) > len(gen.set.Rules) {
		r.forget(gen)
	}
}

// add begins a second of a series with how much happened in it. The caller holds
// the lock.
func (r *rates) add(s *series, n int64, first bool) {
	if first || n < 0 { // what an earlier process has counted; a rule that was removed and is back
		n = 0
	}
	s.seconds[r.seconds%keptSeconds] = uint32(n)
	m := r.seconds / 60 % keptMinutes
	if r.seconds%60 == 0 {
		s.minutes[m] = 0
	}
	s.minutes[m] += uint32(n)
}

// forget removes rules that are gone. The caller holds the lock.
func (r *rates) forget(gen *generation) {
	there := map[string]bool{}
	for _, rule := range gen.set.Rules {
		there[rule.Name] = true
	}
	for name := range r.counted {
		if !there[name] {
			delete(r.counted, name)
			delete(r.rules, name)
		}
	}
}

// lastSeconds returns a series' last n seconds. The caller holds the lock.
func (r *rates) lastSeconds(s *series, n int) []int {
	return lastOf(s.seconds[:], r.seconds, min(n, r.seconds))
}

func (r *rates) lastMinutes(s *series) []int {
	return lastOf(s.minutes[:], r.seconds/60, min(keptMinutes, r.seconds/60+1))
}

// lastOf returns the last n elements of a ring of which the latest has an index.
func lastOf(ring []uint32, latest, n int) []int {
	n = min(n, len(ring))
	out := make([]int, n)
	for i := range out {
		out[i] = int(ring[(latest-n+1+i)%len(ring)])
	}
	return out
}

// Rates returns how much happened a second in the last two minutes.
func (e *Engine) Rates() *admin.Rates {
	out := &admin.Rates{Rules: []string{}}
	for _, r := range e.gen.Load().set.Rules {
		out.Rules = append(out.Rules, r.Name)
	}
	r := &e.rates
	r.mu.Lock()
	defer r.mu.Unlock()
	for i, to := range []*[]int{&out.Events, &out.Matches, &out.Firings, &out.Delivered, &out.Failed} {
		*to = r.lastSeconds(&r.total[i], toldSeconds)
	}
	return out
}

// RuleRates returns what a rule did in the last ten minutes and in the last day.
// The error is admin.ErrUnknown if there is no such rule.
func (e *Engine) RuleRates(name string) (*admin.RuleRates, error) {
	if e.ruleNamed(name) == nil {
		return nil, unknownRule(name)
	}
	r := &e.rates
	r.mu.Lock()
	defer r.mu.Unlock()
	of := r.rules[name]
	out := &admin.RuleRates{Kept: of != nil || len(r.rules) < maxRated}
	if of == nil {
		of = &ruleSeries{}
	}
	out.Seconds = admin.Series{Matches: r.lastSeconds(&of.matches, keptSeconds), Firings: r.lastSeconds(&of.firings, keptSeconds)}
	out.Minutes = admin.Series{Matches: r.lastMinutes(&of.matches), Firings: r.lastMinutes(&of.firings)}
	return out, nil
}

// addRates adds to the status of rules what they did lately.
func (e *Engine) addRates(list []admin.RuleStatus) {
	r := &e.rates
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := range list {
		of := r.rules[list[i].Name]
		if of == nil {
			continue
		}
		for _, n := range r.lastSeconds(&of.matches, rateSeconds) {
			list[i].MatchRate += float64(n) / rateSeconds
		}
		seconds := r.lastSeconds(&of.matches, keptSeconds)
		slices.Reverse(seconds)
		for from := 0; from < len(seconds); from += sparkSeconds {
			sum := 0
			for _, n := range seconds[from:min(from+sparkSeconds, len(seconds))] {
				sum += n
			}
			list[i].Rates = append(list[i].Rates, sum)
		}
		slices.Reverse(list[i].Rates)
	}
}
