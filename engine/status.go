package engine

import (
	"fmt"
	"strings"
	"sync"
	"time"

	"triggerd/internal/admin"
	"triggerd/internal/firing"
	"triggerd/internal/outbox"
	"triggerd/source"
)

// reloads keeps an admin.ReloadStatus.
type reloads struct {
	mu   sync.Mutex
	last admin.ReloadStatus // guarded by mu
}

const maxReloadError = 8 << 10 // bytes that are kept of an error

func (r *reloads) record(file string, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.last.At, r.last.OK, r.last.Error = time.Now(), err == nil, ""
	if file != "" {
		r.last.File = file
	}
	if err == nil {
		r.last.LastSuccess = r.last.At
		r.last.Succeeded++
		return
	}
	r.last.Failed++
	r.last.Error = err.Error()
	if len(r.last.Error) > maxReloadError {
		r.last.Error = strings.ToValidUTF8(r.last.Error[:maxReloadError], "") + "…"
	}
}

// ReloadFailed records that the rules could not be read, so that Reload was not
// called. Status and metrics show it.
func (e *Engine) ReloadFailed(err error) { e.reloads.record("", err) }

// Ready returns why the engine cannot do its work, and nil if it can: all
// streams are being read, and the store takes firings.
func (e *Engine) Ready() error {
	for _, stream := range e.streams {
		s := stream.src.Status()
		if s.State == "" { // its link has not begun yet
			s.State = source.Connecting
		}
		switch {
		case s.State == source.Streaming && e.cfg.MaxBehind > 0 && behind(&s) > e.cfg.MaxBehind:
			return fmt.Errorf("behind %s by %s: %d bytes are received and not handled", s.Addr, behind(&s).Round(time.Second), s.Received-stream.handled.Load())
		case s.State == source.Streaming:
		case s.LastError != "":
			return fmt.Errorf("not attached to %s: %s, last error: %s", s.Addr, s.State, s.LastError)
		default:
			return fmt.Errorf("not attached to %s: %s", s.Addr, s.State)
		}
	}
	return e.store.Full()
}

// Status returns the state of the engine. The error is the store's.
func (e *Engine) Status() (*admin.Status, error) {
	s := &admin.Status{At: time.Now(), Started: e.started, Ready: "ok", MaxPending: e.cfg.MaxPending, Counts: e.Stats()}
	if err := e.Ready(); err != nil {
		s.Ready = err.Error()
	}
	for _, stream := range e.streams {
		s.Streams = append(s.Streams, stream.status())
	}
	if len(s.Streams) == 1 {
		s.Source = &s.Streams[0]
	}
	paused := e.pauses()
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
	s.Store = admin.StoreStatus{Bytes: st.Bytes, FreeBytes: st.FreeBytes, Commits: st.Commits, Damaged: st.Damaged}
	if e.cfg.Kept != nil {
		kept := e.cfg.Kept.Stats()
		s.Store.Delivered = &admin.KeptStatus{Bytes: kept.Bytes, Limit: kept.Limit, Lost: kept.Lost}
	}
	if err := e.store.Full(); err != nil {
		s.Store.Full = err.Error()
	}
	e.reloads.mu.Lock()
	s.Reload = e.reloads.last
	e.reloads.mu.Unlock()
	return s, nil
}

// behind is how long ago the oldest bytes came that are not handled.
func behind(st *source.Status) time.Duration {
	if st.BehindSince.IsZero() {
		return 0
	}
	return max(0, time.Since(st.BehindSince))
}

func (s *stream) status() admin.StreamStatus {
	st := s.src.Status()
	saved, at := s.saved()
	out := admin.StreamStatus{
		Name: s.name, State: string(st.State), Since: st.Since, Server: st.Addr, ReplID: st.ReplID,
		Offset: st.Received, ReceivedOffset: st.Received, HandledOffset: s.handled.Load(), LastData: st.LastData, LastError: st.LastError,
		Connects: st.Connects, FullResyncs: st.FullResyncs, PartialResyncs: st.PartialResyncs, Gaps: st.Gaps,
		Primary: st.Server, Rewinds: st.Rewinds, RewoundBytes: st.RewoundBytes, Foreign: st.Foreign,
		ProtocolErrors: st.ProtocolErrors, SnapshotErrors: st.SnapshotErrors, BacklogBytes: st.Backlog.Bytes, Stats: s.stats(),
		BehindBytes: max(0, st.Received-s.handled.Load()), BehindSeconds: behind(&st).Seconds(),
		Spool: admin.SpoolStatus{Bytes: st.Spool.Bytes, Limit: st.Spool.Limit, Files: st.Spool.Files, GivenUp: st.Spool.GivenUp, Full: st.Spool.Full},
	}
	if of := s.sharedServer.Load(); of != nil {
		out.ServerName, out.ServerVersion = of.name(), of.version.String()
	}
	if st.Backlog.Bytes > 0 {
		out.ServerRole = "primary"
		if st.Backlog.Replica {
			out.ServerRole = "replica"
		}
	}
	if v := s.savedValues.Load(); v != nil {
		out.Values = *v
	}
	out.Values.Forgotten = s.counts.forgotten.Load()
	if st.Backlog.Bytes > 0 {
		out.ServerBytes = max(0, st.Backlog.Offset-st.Received)
	}
	if saved.IsZero() {
		return out
	}
	resumes := saved.Offset
	if st.Spool.Files {
		resumes = max(resumes, st.Received)
	}
	if left, known := st.Backlog.TimeLeft(resumes, time.Now()); known {
		seconds := left.Seconds()
		out.BacklogSeconds = &seconds
	}
	out.Saved, out.SavedOffset, out.SavedAt = saved.String(), saved.Offset, at
	out.LagBytes = max(0, st.Received-saved.Offset)
	return out
}

// saved returns the stream's position in the store, and when it was committed.
func (s *stream) saved() (source.Position, time.Time) {
	text, at := s.e.outbox.Saved(s.name)
	p, err := source.ParsePosition(text)
	if err != nil {
		return source.Position{}, time.Time{} // none was committed yet
	}
	return p, at
}

// Rules returns the rules whose name or text has something in it, with what they
// did lately; total is how many there are.
func (e *Engine) Rules(having string) (list []admin.RuleStatus, total int) {
	set := e.gen.Load().set
	all := e.ruleStatus(e.pauses())
	kept := all[:0]
	for i := range all {
		if having != "" && !strings.Contains(all[i].Name, having) {
			r := e.ruleNamed(all[i].Name)
			if r == nil || !strings.Contains(set.Text(r), having) {
				continue
			}
		}
		kept = append(kept, all[i])
	}
	e.addRates(kept)
	return kept, len(all)
}

func (e *Engine) ruleStatus(paused map[string]pause) []admin.RuleStatus {
	gen := e.gen.Load()
	list := make([]admin.RuleStatus, len(gen.set.Rules))
	dropped := e.outbox.Dropped()
	for i, r := range gen.set.Rules {
		st := gen.states[r]
		list[i] = admin.RuleStatus{
			Name: r.Name, Enabled: r.Enabled, DryRun: r.DryRun, File: r.File, Line: r.Line, LastMatch: st.lastMatchOf(),
			Matches: st.matches.Load(), Firings: st.firings.Load(), Skipped: st.skipped.Load(), DryRuns: st.dryRuns.Load(),
			Dropped: dropped[r.Name], ConditionErrors: st.conditionErrors.Load() + int64(r.ConditionErrors()),
			NotNumbers:       st.notNumbers.Load() + int64(r.NotNumbers()),
			ConditionSeconds: st.conditionTimeOf(r).Seconds(), ConditionShare: e.budget.share(r.Name),
		}
		for _, a := range r.Actions {
			list[i].Targets = append(list[i].Targets, actionName(r, a))
		}
		if p, ok := paused[firing.RuleName(r.Name)]; ok {
			list[i].PausedSince, list[i].Pause = p.Since, &p.Pause
		}
		if text := st.lastConditionError.Load(); text != nil {
			list[i].ConditionError = *text
		}
	}
	for _, s := range e.streams {
		if t := s.sharedTiming.Load(); t != nil {
			t.addStatus(list)
		}
	}
	return list
}

func (e *Engine) actionStatus(paused map[string]pause) ([]admin.ActionStatus, error) {
	all := e.outbox.Endpoints()
	list := make([]admin.ActionStatus, len(all))
	for i := range all {
		list[i] = actionStatusOf(&all[i])
		a := &list[i]
		if p, ok := paused[a.Name]; ok {
			a.PausedSince, a.Pause = p.Since, &p.Pause
		}
		if a.Pending == 0 {
			continue
		}
		var err error
		if a.OldestPending, err = e.outbox.OldestPending(a.Name); err != nil {
			return nil, err
		}
	}
	return list, nil
}

func actionStatusOf(s *outbox.Status) admin.ActionStatus {
	a := admin.ActionStatus{
		Name: s.Name, Pending: s.Pending, InFlight: s.InFlight, BackingOff: s.BackingOff, Breaker: "closed",
		State: s.State, Since: s.Since, Why: s.Why, HeldUntil: s.HeldUntil, NextAttempt: s.NextAttempt, Window: s.Window,
		FailingLanes: s.FailingLanes, FreshLanes: s.FreshLanes, Evidence: admin.Evidence{Reached: s.Reached, Distinct: s.Distinct},
		Abandoned: s.Abandoned, Classes: s.Classes, Statuses: s.Statuses, Delivered: s.Delivered, Retried: s.Retried, GivenUp: s.GivenUp,
		Superseded: s.Superseded, AttemptSeconds: s.Took.Seconds(), LastSuccess: s.LastSuccess, LastError: s.LastError, LastErrorAt: s.LastErrorAt,
	}
	switch {
	case s.Probing:
		a.Breaker = "probing"
	case s.Trouble:
		a.Breaker = "open"
	}
	if c, ok := s.Config.(actionConfig); ok {
		a.Kind, a.Destination = c.kind, c.destination
	}
	return a
}

// maxCounted is up to how many dead letters a status counts itself, if the
// store has not counted them yet.
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
