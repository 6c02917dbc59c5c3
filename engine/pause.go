package engine

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"triggerd/internal/admin"
	"triggerd/internal/firing"
	"triggerd/internal/store"
	"triggerd/internal/tap"
	"triggerd/rules"
)

// ruleState counts what a rule did. It belongs to the rule's name, so that a
// reload does not set it to zero.
type ruleState struct {
	matches, firings, dryRuns, skipped atomic.Int64
	conditionErrors, notNumbers        atomic.Int64 // of rules of this name that a reload has replaced
	conditionTime                      atomic.Int64 // of the same; nanoseconds
	paused                             atomic.Bool
	lastConditionError                 atomic.Pointer[string]
	lastMatch                          atomic.Int64 // nanoseconds of Unix time; 0: none
	lastEvent                          atomic.Pointer[firedEvent]
	matchGate, firingGate              tap.Gate
}

// ruleStates are the states of the rules of the present generation.
type ruleStates struct {
	mu     sync.Mutex // guards what follows
	byName map[string]*ruleState
	paused map[string]pause // by full name; of rules and actions, also of ones that the present rules do not have
}

// replace returns the states for the rules of a set that replaces old. old is
// nil for the first set. States of rules that are gone are dropped.
func (s *ruleStates) replace(set, old *rules.Set) map[*rules.Rule]*ruleState {
	s.mu.Lock()
	defer s.mu.Unlock()
	if old != nil {
		for _, r := range old.Rules {
			s.byName[r.Name].conditionErrors.Add(int64(r.ConditionErrors()))
			s.byName[r.Name].notNumbers.Add(int64(r.NotNumbers()))
			s.byName[r.Name].conditionTime.Add(int64(r.ConditionTime()))
		}
	}
	byName := make(map[string]*ruleState, len(set.Rules))
	byRule := make(map[*rules.Rule]*ruleState, len(set.Rules))
	for _, r := range set.Rules {
		state := s.byName[r.Name]
		if state == nil {
			state = &ruleState{}
			_, paused := s.paused[firing.RuleName(r.Name)]
			state.paused.Store(paused)
		}
		byName[r.Name], byRule[r] = state, state
	}
	s.byName = byName
	return byRule
}

// conditionFailed keeps the text of a failure of a rule's condition.
func (s *ruleStates) conditionFailed(rule, text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if state := s.byName[rule]; state != nil {
		state.lastConditionError.Store(&text)
	}
}

// pause is one that is in force.
type pause struct {
	Since time.Time `json:"since"`
	admin.Pause
}

// parsePause reads the stored form of a pause. An earlier triggerd wrote only
// when it began, in milliseconds since 1970.
func parsePause(b []byte) (p pause) {
	if ms, err := strconv.ParseInt(string(b), 10, 64); err == nil {
		return pause{Since: time.UnixMilli(ms)}
	}
	if json.Unmarshal(b, &p) != nil {
		return pause{Since: time.Now()} // that it is paused is known, and counts
	}
	return p
}

// loadPauses restores what was paused when an earlier process ended, so that a
// crash does not end a pause.
func (e *Engine) loadPauses() error {
	e.states.byName, e.states.paused = map[string]*ruleState{}, map[string]pause{}
	e.pauseEnds = make(chan struct{}, 1)
	for entry, err := range e.store.Scan(store.Pauses, nil, nil) {
		if err != nil {
			return fmt.Errorf("what is paused: %w", err)
		}
		name, p := string(entry.Key), parsePause(entry.Value)
		e.states.paused[name] = p
		e.outbox.SetPaused(name, true)
		e.log.Warn("still paused, as before the restart", append([]any{"name", name, "since", p.Since.UTC()}, p.about()...)...)
	}
	return nil
}

// about is what a log line says of a pause.
func (p *pause) about() (attrs []any) {
	if !p.Until.IsZero() {
		attrs = append(attrs, "until", p.Until.UTC())
	}
	if p.Reason != "" {
		attrs = append(attrs, "reason", p.Reason)
	}
	if p.By != "" {
		attrs = append(attrs, "by", p.By)
	}
	return attrs
}

// Pause stops a rule or an action until Resume, or until p.Until, over restarts
// too. It returns the full name of what it paused.
//
// A paused rule is still matched and counted, but plans no firings; Resume does
// not make up for them. The firings of a paused action wait, and are delivered
// after Resume, in their order. Attempts in flight are not interrupted.
//
// name is the name of a rule or a target, or a full name: "rule/NAME",
// "target/NAME", or "rule/NAME/ACTION" for a rule's own action. Errors are
// admin.ErrUnknown and admin.ErrAmbiguous, and those of the store. After an
// error of the store the pause holds, but only until the process ends.
func (e *Engine) Pause(name string, p admin.Pause) (full string, err error) {
	p.Until = p.Until.Round(0) // by the machine's clock, also after a restart
	return e.setPaused(name, &pause{time.Now(), p})
}

// Resume undoes Pause, and returns the full name of what it resumed.
func (e *Engine) Resume(name string) (full string, err error) { return e.setPaused(name, nil) }

// setPaused pauses something, or, where p is nil, resumes it.
func (e *Engine) setPaused(name string, p *pause) (full string, err error) {
	e.reload.Lock() // a reload replaces the states
	defer e.reload.Unlock()
	full, err = e.resolve(name)
	if err != nil {
		return "", err
	}
	return full, e.pauseResolved(full, p)
}

// pauseResolved is setPaused for a full name that is known. The caller holds
// e.reload.
func (e *Engine) pauseResolved(full string, p *pause) error {
	s := &e.states
	s.mu.Lock()
	before, was := s.paused[full]
	if p != nil {
		if was {
			p.Since = before.Since
		}
		s.paused[full] = *p
	} else {
		delete(s.paused, full)
	}
	if rule, ok := firing.RuleOf(full); ok && s.byName[rule] != nil {
		s.byName[rule].paused.Store(p != nil)
	}
	s.mu.Unlock()
	e.outbox.SetPaused(full, p != nil)
	b := e.store.NewBatch()
	switch {
	case p != nil:
		e.tellState(full, "paused", p.Reason)
		e.log.Info("paused", append([]any{"name", full}, p.about()...)...)
		stored, err := json.Marshal(p)
		if err != nil {
			return err
		}
		b.Put(store.Pauses, []byte(full), stored)
	case was:
		e.tellState(full, "resumed", "")
		e.log.Info("resumed", "name", full)
		b.Delete(store.Pauses, []byte(full))
	default:
		return nil
	}
	select {
	case e.pauseEnds <- struct{}{}:
	default: // they are about to be looked at
	}
	if _, err := b.Commit(); err != nil {
		return fmt.Errorf("%s is done, but not for after a restart: %w", full, err)
	}
	return nil
}

// lookAtPauses is how long a pause may last beyond its end at most, should the
// machine's clock be set.
const lookAtPauses = time.Minute

// endPauses ends the pauses that end by themselves, until ctx is done.
func (e *Engine) endPauses(ctx context.Context) {
	for {
		next := e.endDuePauses(time.Now())
		timer := time.NewTimer(min(next, lookAtPauses))
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
		case <-e.pauseEnds:
			timer.Stop()
		}
	}
}

// endDuePauses ends the pauses that are due, and returns how long it is until
// the next is.
func (e *Engine) endDuePauses(now time.Time) (next time.Duration) {
	e.reload.Lock()
	defer e.reload.Unlock()
	next = lookAtPauses
	for full, p := range e.pauses() {
		switch {
		case p.Until.IsZero():
		case p.Until.After(now):
			next = min(next, p.Until.Sub(now))
		default:
			e.log.Info("the pause has ended by itself", "name", full, "since", p.Since.UTC())
			if err := e.pauseResolved(full, nil); err != nil {
				e.log.Error("the end of a pause is not stored", "name", full, "err", err)
			}
		}
	}
	return next
}

// pauses returns the pauses in force, by full name.
func (e *Engine) pauses() map[string]pause {
	e.states.mu.Lock()
	defer e.states.mu.Unlock()
	return maps.Clone(e.states.paused)
}

// resolve returns the full name of a rule or an action. The caller holds
// e.reload.
func (e *Engine) resolve(name string) (full string, err error) {
	known := e.pausable()
	if known[name] {
		return name, nil
	}
	rule, target := firing.RuleName(name), firing.OfTarget(name).String()
	switch {
	case known[rule] && known[target]:
		return "", fmt.Errorf("%w: %q is a rule and a target; write %s or %s", admin.ErrAmbiguous, name, rule, target)
	case known[rule]:
		return rule, nil
	case known[target]:
		return target, nil
	}
	return "", fmt.Errorf("%w: no rule or target is called %q; there are %s", admin.ErrUnknown, name, listNames(slices.Sorted(maps.Keys(known))))
}

// pausable returns the full names of everything that can be paused or resumed.
func (e *Engine) pausable() map[string]bool {
	known := map[string]bool{}
	e.states.mu.Lock()
	for name := range e.states.byName {
		known[firing.RuleName(name)] = true
	}
	for name := range e.states.paused {
		known[name] = true
	}
	e.states.mu.Unlock()
	for _, name := range e.outbox.Names() {
		known[name] = true
	}
	return known
}

// listNames joins names for a message, at most the first 20.
func listNames(names []string) string {
	const most = 20
	switch {
	case len(names) == 0:
		return "none"
	case len(names) > most:
		return strings.Join(names[:most], ", ") + fmt.Sprintf(" and %d more", len(names)-most)
	}
	return strings.Join(names, ", ")
}
