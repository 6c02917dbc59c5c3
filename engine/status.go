package engine

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"triggerd/actions"
	"triggerd/internal/store"
	"triggerd/source"
)

// reloads keeps a ReloadStatus.
type reloads struct {
	mu   sync.Mutex
	last ReloadStatus // guarded by mu
}

const maxReloadError = 8 << 10 // bytes that are kept of an error

func (r *reloads) note(file string, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.last.At, r.last.OK, r.last.Error = time.Now(), err == nil, ""
	if file != "" {
		r.last.File = file
	}
	if err == nil {
		r.last.LastSuccess = r.last.At
		return
	}
	r.last.Error = err.Error()
	if len(r.last.Error) > maxReloadError {
		r.last.Error = strings.ToValidUTF8(r.last.Error[:maxReloadError], "") + "…"
	}
}

// ReloadFailed notes that rules could not be read, so that Reload was not
// called: the status and the metrics tell of it.
func (e *Engine) ReloadFailed(err error) { e.reloads.note("", err) }

// Ready returns why the engine is not ready to do its work, and nil if it is:
// if it reads the stream and its store takes firings.
func (e *Engine) Ready() error {
	for _, stream := range e.streams {
		s := stream.src.Status()
		switch {
		case s.State == source.Streaming:
		case s.LastError != "":
			return fmt.Errorf("not attached to %s: %s, last error: %s", s.Addr, s.State, s.LastError)
		default:
			return fmt.Errorf("not attached to %s: %s", s.Addr, s.State)
		}
	}
	return e.store.Full()
}

// Status returns how the engine is doing. An error is of the store.
func (e *Engine) Status() (*Status, error) {
	s := &Status{At: time.Now(), Started: e.started, Ready: "ok", MaxPending: e.cfg.MaxPending, Counts: e.Stats()}
	if err := e.Ready(); err != nil {
		s.Ready = err.Error()
	}
	for _, stream := range e.streams {
		s.Streams = append(s.Streams, stream.status())
	}
	if len(s.Streams) == 1 {
		s.Source = &s.Streams[0]
	}
	paused := e.pausedSince()
	s.Rules = e.ruleStatus(paused)
	var err error
	if s.Actions, err = e.actionStatus(paused); err != nil {
		return nil, err
	}
	st := e.store.Stats()
	if s.DeadLetters = int(st.Letters); st.Letters < 0 {
		if s.DeadLetters, s.DeadLettersMore, err = e.countDead(); err != nil {
			return nil, err
		}
	}
	s.Store = StoreStatus{Bytes: st.Bytes, FreeBytes: st.FreeBytes, Commits: st.Commits, Damaged: st.Damaged}
	if err := e.store.Full(); err != nil {
		s.Store.Full = err.Error()
	}
	e.reloads.mu.Lock()
	s.Reload = e.reloads.last
	e.reloads.mu.Unlock()
	return s, nil
}

func (s *stream) status() StreamStatus {
	st := s.src.Status()
	saved, at := s.e.outbox.savedPosition()
	out := StreamStatus{
		Name: s.name, State: string(st.State), Since: st.Since, Server: st.Addr, ReplID: st.ReplID,
		Offset: st.Offset, ReceivedOffset: st.Offset, HandledOffset: s.handled.Load(), LastData: st.LastData, LastError: st.LastError,
		Connects: st.Connects, FullResyncs: st.FullResyncs, PartialResyncs: st.PartialResyncs, Gaps: st.Gaps,
		ProtocolErrors: st.ProtocolErrors, SnapshotErrors: st.SnapshotErrors, BacklogBytes: st.Backlog.Bytes, Stats: s.stats(),
	}
	if saved.IsZero() {
		return out
	}
	if left, known := st.Backlog.Left(saved.Offset, time.Now()); known {
		seconds := left.Seconds()
		out.BacklogSeconds = &seconds
	}
	out.Saved, out.SavedOffset, out.SavedAt = saved.String(), saved.Offset, at
	out.LagBytes = max(0, st.Offset-saved.Offset)
	return out
}

func (o *outbox) savedPosition() (source.Position, time.Time) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.saved, o.savedAt
}

// pausedSince returns what is paused.
func (e *Engine) pausedSince() map[string]time.Time {
	e.states.mu.Lock()
	defer e.states.mu.Unlock()
	paused := make(map[string]time.Time, len(e.states.paused))
	for name, since := range e.states.paused {
		paused[name] = since
	}
	return paused
}

func (e *Engine) ruleStatus(paused map[string]time.Time) []RuleStatus {
	gen := e.gen.Load()
	list := make([]RuleStatus, len(gen.set.Rules))
	e.outbox.mu.Lock()
	defer e.outbox.mu.Unlock()
	for i, r := range gen.set.Rules {
		st := gen.states[r]
		list[i] = RuleStatus{
			Name: r.Name, Enabled: r.Enabled, DryRun: r.DryRun, PausedSince: paused[ruleName(r.Name)],
			Matches: st.matches.Load(), Firings: st.firings.Load(), Skipped: st.skipped.Load(), DryRuns: st.dryRuns.Load(),
			Dropped: e.outbox.droppedBy[r.Name], ConditionErrors: st.conditionErrors.Load() + int64(r.ConditionErrors()),
		}
		if text := st.lastConditionError.Load(); text != nil {
			list[i].ConditionError = *text
		}
	}
	for _, s := range e.streams {
		if t := s.shown.Load(); t != nil {
			t.addTo(list)
		}
	}
	return list
}

func (e *Engine) actionStatus(paused map[string]time.Time) ([]ActionStatus, error) {
	list := e.outbox.actionStatus()
	for i := range list {
		a := &list[i]
		a.PausedSince = paused[a.Name]
		if a.Pending == 0 {
			continue
		}
		for p, err := range e.store.Pending(a.Name, 0) {
			if err != nil {
				return nil, err
			}
			a.OldestPending = p.Born
			break
		}
	}
	return list, nil
}

func (o *outbox) actionStatus() []ActionStatus {
	o.mu.Lock()
	defer o.mu.Unlock()
	list := make([]ActionStatus, 0, len(o.endpoints))
	now := time.Now()
	for name, ep := range o.endpoints {
		a := ActionStatus{
			Name: name, Pending: ep.pending, InFlight: ep.workers, BackingOff: len(ep.asleep),
			Delivered: ep.tally.outcomes[delivered], Retried: ep.tally.outcomes[retried], GivenUp: ep.tally.outcomes[givenUp],
			Superseded: ep.tally.superseded, AttemptSeconds: ep.tally.took.Seconds(), LastSuccess: ep.tally.lastSuccess, LastError: ep.tally.lastError, LastErrorAt: ep.tally.lastErrorAt,
		}
		ep.describe(&a, now)
		if ep.action != nil && ep.spec != nil {
			a.Kind, a.Destination = ep.spec.Kind, actions.Destination(ep.action)
		}
		list = append(list, a)
	}
	slices.SortFunc(list, func(a, b ActionStatus) int { return strings.Compare(a.Name, b.Name) })
	return list
}

// describe tells what the endpoint's gate and lines are like.
func (ep *endpoint) describe(a *ActionStatus, now time.Time) {
	g := &ep.gate
	state := g.condition(now)
	a.State, a.Why = string(state), ep.why(now)
	a.Window, a.FailingLanes, a.FreshLanes = int(g.window), ep.failing, ep.lines[fresh].n+ep.lines[going].n
	a.Evidence = Evidence{Reached: g.unreached == 0, Distinct: g.failures}
	a.Abandoned, a.Classes = ep.tally.abandoned, ep.tally.classes()
	if a.Since = g.since; g.failures == 0 {
		a.Since = time.Time{}
	}
	if _, _, at := ep.turn(now); at.After(now) {
		a.NextAttempt = at
	}
	switch state {
	case onHold:
		a.HeldUntil, a.Since = g.until, g.heldSince
	case down:
		a.HeldUntil, a.Since = a.NextAttempt, g.gone
	}
	a.Breaker = "closed"
	if state == down || state == suspect {
		a.Breaker = "open"
		if g.busy > 0 {
			a.Breaker = "probing"
		}
	}
}

// why says what the endpoint's state comes from.
func (ep *endpoint) why(now time.Time) string {
	g := &ep.gate
	switch g.condition(now) {
	case onHold:
		return fmt.Sprintf("asked to be left alone until %s", g.until.UTC().Format(time.RFC3339))
	case down:
		return fmt.Sprintf("not reached, %d times in a row", g.unreached)
	case suspect:
		return fmt.Sprintf("%d keys failed, no success for %s", g.failures, now.Sub(g.since).Round(time.Second))
	case slowed:
		return fmt.Sprintf("attempts were not answered: %d at once, of %d", int(g.window), g.slots)
	}
	return ""
}

// maxCounted is how many dead letters are counted for a status before the store
// has counted them.
const maxCounted = 10_000

func (e *Engine) countDead() (n int, more bool, err error) {
	for _, err := range e.store.Dead(0) {
		if err != nil {
			return n, false, err
		}
		if n == maxCounted {
			return n, true, nil
		}
		n++
	}
	return n, false, nil
}

// isMissing reports whether the store has no such record.
func isMissing(err error) bool { return errors.Is(err, store.ErrNotFound) }
