package engine

import (
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
}

// ruleStates are the states of the rules of the present generation.
type ruleStates struct {
	mu     sync.Mutex // guards what follows
	byName map[string]*ruleState
	paused map[string]time.Time // when each was paused, by full name; of rules and actions, also of ones that the present rules do not have
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

// loadPauses restores what was paused when an earlier process ended, so that a
// crash does not end a pause. The store has full names and times.
func (e *Engine) loadPauses() error {
	e.states.byName, e.states.paused = map[string]*ruleState{}, map[string]time.Time{}
	for entry, err := range e.store.Scan(store.Pauses, nil, nil) {
		if err != nil {
			return fmt.Errorf("what is paused: %w", err)
		}
		ms, _ := strconv.ParseInt(string(entry.Value), 10, 64)
		name := string(entry.Key)
		e.states.paused[name] = time.UnixMilli(ms)
		e.outbox.SetPaused(name, true)
		e.log.Warn("still paused, as before the restart", "name", name, "since", time.UnixMilli(ms).UTC())
	}
	return nil
}

// Pause stops a rule or an action until Resume, over restarts too. It returns
// the full name of what it paused.
//
// A paused rule is still matched and counted, but plans no firings; Resume does
// not make up for them. The firings of a paused action wait, and are delivered
// after Resume, in their order. Attempts in flight are not interrupted.
//
// name is the name of a rule or a target, or a full name: "rule/NAME",
// "target/NAME", or "rule/NAME/ACTION" for a rule's own action. Errors are
// admin.ErrUnknown and admin.ErrAmbiguous, and those of the store. After an
// error of the store the pause holds, but only until the process ends.
func (e *Engine) Pause(name string) (full string, err error) { return e.setPaused(name, true) }

// Resume undoes Pause, and returns the full name of what it resumed.
func (e *Engine) Resume(name string) (full string, err error) { return e.setPaused(name, false) }

func (e *Engine) setPaused(name string, pause bool) (full string, err error) {
	e.reload.Lock() // a reload replaces the states
	defer e.reload.Unlock()
	full, err = e.resolve(name)
	if err != nil {
		return "", err
	}
	s := &e.states
	s.mu.Lock()
	since, was := s.paused[full]
	if pause && !was {
		since = time.Now()
		s.paused[full] = since
	} else if !pause {
		delete(s.paused, full)
	}
	if rule, ok := firing.RuleOf(full); ok && s.byName[rule] != nil {
		s.byName[rule].paused.Store(pause)
	}
	s.mu.Unlock()
	e.outbox.SetPaused(full, pause)
	if pause == was {
		return full, nil
	}
	if pause {
		e.log.Info("paused", "name", full)
	} else {
		e.log.Info("resumed", "name", full)
	}
	b := e.store.NewBatch()
	if pause {
		b.Put(store.Pauses, []byte(full), strconv.AppendInt(nil, since.UnixMilli(), 10))
	} else {
		b.Delete(store.Pauses, []byte(full))
	}
	if _, err := b.Commit(); err != nil {
		return full, fmt.Errorf("%s is done, but not for after a restart: %w", full, err)
	}
	return full, nil
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
