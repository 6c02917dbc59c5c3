package engine

import (
	"context"
	"sync"
	"time"

	"triggerd/rules"
)

// Conditions are evaluated by the goroutine that reads the stream. A rule that
// takes much of its time holds up all others, which nothing else shows.

const (
	budgetEvery  = 10 * time.Second // how often the rules' times are read
	budgetRounds = 6                // over how many of these a share is told
	// budgetShare is which part of the reader's time one rule may take for a
	// minute before that is warned of.
	budgetShare = 0.2
	// budgetRepeat is how long the same rule is not warned of again.
	budgetRepeat = 10 * time.Minute
)

// budget knows which part of the reader's time the rules' conditions take.
type budget struct {
	mu     sync.Mutex // guards shares
	shares map[string]float64

	// Of the goroutine that runs watchBudget.
	rounds [budgetRounds + 1]budgetRound // the oldest first
	warned map[string]time.Time
}

// budgetRound is what the rules' conditions had taken at one moment.
type budgetRound struct {
	at    time.Time
	taken map[string]time.Duration
}

// share returns which part of the last minute a rule's condition took.
func (b *budget) share(rule string) float64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.shares[rule]
}

// watchBudget looks at what the conditions take until ctx is done.
func (e *Engine) watchBudget(ctx context.Context) {
	tick := time.NewTicker(budgetEvery)
	defer tick.Stop()
	e.lookAtBudget(time.Now())
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			e.lookAtBudget(now)
		}
	}
}

// conditionTimeOf returns what the condition of a rule has taken, also before a
// reload.
func (s *ruleState) conditionTimeOf(r *rules.Rule) time.Duration {
	return time.Duration(s.conditionTime.Load()) + r.ConditionTime()
}

// lookAtBudget tells the shares of the last minute, and warns of rules that have
// taken too much of it.
func (e *Engine) lookAtBudget(now time.Time) {
	gen := e.gen.Load()
	taken := map[string]time.Duration{}
	places := map[string]*rules.Rule{}
	for _, r := range gen.set.Rules {
		if t := gen.states[r].conditionTimeOf(r); t > 0 {
			taken[r.Name], places[r.Name] = t, r
		}
	}
	for rule, share := range e.budget.next(budgetRound{now, taken}) {
		r := places[rule]
		e.log.Warn("the condition of a rule takes much of the time of the goroutine that reads the stream: it holds up all rules", "rule", rule, "file", r.File, "line", r.Line, "share", share)
	}
}

// next takes in a round, and returns the rules to warn of, with their shares.
func (b *budget) next(round budgetRound) (warn map[string]float64) {
	copy(b.rounds[:], b.rounds[1:])
	b.rounds[budgetRounds] = round
	first := 0
	for b.rounds[first].taken == nil {
		first++
	}
	span := round.at.Sub(b.rounds[first].at)
	shares := map[string]float64{}
	for rule, t := range round.taken {
		if took := t - b.rounds[first].taken[rule]; took > 0 && span > 0 {
			shares[rule] = min(float64(took)/float64(span), 1)
		}
	}
	b.mu.Lock()
	b.shares = shares
	b.mu.Unlock()
	if first > 0 {
		return nil // it is not a minute yet
	}
	return b.toWarnOf(shares, round.at)
}

// toWarnOf returns those of the shares that are too large, and were not warned
// of lately.
func (b *budget) toWarnOf(shares map[string]float64, now time.Time) map[string]float64 {
	warn := map[string]float64{}
	if b.warned == nil {
		b.warned = map[string]time.Time{}
	}
	for rule, share := range shares {
		if share < budgetShare || now.Sub(b.warned[rule]) < budgetRepeat {
			continue
		}
		warn[rule], b.warned[rule] = share, now
	}
	return warn
}
