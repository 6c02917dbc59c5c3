package engine

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"triggerd/internal/store"
	"triggerd/rules"
	"triggerd/source"
)

// Status is how an engine is doing at one moment. Its JSON form is that of the
// API. It holds no secrets: of an address only scheme and host are told, of a
// command only its name.
type Status struct {
	At      time.Time `json:"at"`
	Started time.Time `json:"started"` // when the engine was made
	Ready   string    `json:"ready"`   // "ok", or why it is not ready; see Engine.Ready

	Source SourceStatus `json:"source"`
	Counts Stats        `json:"counts"`

	MaxPending int            `json:"max_pending"`
	Rules      []RuleStatus   `json:"rules"`   // in file order
	Actions    []ActionStatus `json:"actions"` // by name

	// DeadLetters counts those that are kept. With DeadLettersMore set, which
	// may be in the first moments of an engine, there are more than it says.
	DeadLetters     int  `json:"dead_letters"`
	DeadLettersMore bool `json:"dead_letters_more,omitempty"`

	Store  StoreStatus  `json:"store"`
	Reload ReloadStatus `json:"reload"`
}

// SourceStatus is how the stream is doing.
//
// A server sends what it has at once, and something every ten seconds, so
// LastData tells if the stream is alive.
type SourceStatus struct {
	State          string    `json:"state"` // connecting, syncing, streaming, waiting, stopped
	Since          time.Time `json:"since"` // when State began
	Server         string    `json:"server"`
	ReplID         string    `json:"replid"`
	Offset         int64     `json:"offset"`       // last byte received
	SavedOffset    int64     `json:"saved_offset"` // what is on disk, as firings and position
	LagBytes       int64     `json:"lag_bytes"`    // received, and not on disk yet
	Saved          string    `json:"saved"`        // the position that the next start resumes at; "" if none is
	SavedAt        time.Time `json:"saved_at,omitzero"`
	LastData       time.Time `json:"last_data,omitzero"`
	LastError      string    `json:"last_error,omitempty"` // why the last connection ended
	Connects       int64     `json:"connects"`
	FullResyncs    int64     `json:"full_resyncs"`
	PartialResyncs int64     `json:"partial_resyncs"`
	Gaps           int64     `json:"gaps"`
	ProtocolErrors int64     `json:"protocol_errors"`
	SnapshotErrors int64     `json:"snapshot_errors"`

	// BacklogBytes is how much of its stream the server keeps, 0 if it does not
	// say. BacklogSeconds is for how long triggerd could be away from now on
	// without a gap, as fast as the server was written to in the last minute;
	// nil: not known, or, where BacklogBytes is, without end.
	BacklogBytes   int64    `json:"backlog_bytes,omitempty"`
	BacklogSeconds *float64 `json:"backlog_seconds,omitempty"`
}

// RuleStatus is how a rule is doing. Counts begin when the process does, and
// go on over reloads.
type RuleStatus struct {
	Name            string    `json:"name"`
	Enabled         bool      `json:"enabled"`
	DryRun          bool      `json:"dry_run"`
	PausedSince     time.Time `json:"paused_since,omitzero"` // zero: it is not paused
	Matches         int64     `json:"matches"`
	Firings         int64     `json:"firings"`  // planned, one for each match and action
	Skipped         int64     `json:"skipped"`  // matches while it was paused
	DryRuns         int64     `json:"dry_runs"` // matches while it only counted
	Dropped         int64     `json:"dropped"`  // firings that there was no room for
	ConditionErrors int64     `json:"condition_errors"`
	ConditionError  string    `json:"condition_error,omitempty"` // the first of the present rules

	// Of a rule with time fields: the values by which it counts or waits now,
	// the timers that run, when its schedule has the next run, and what did not
	// fire, by reason, since the process began.
	States     int              `json:"states,omitempty"`
	Armed      int              `json:"armed,omitempty"`
	NextRun    time.Time        `json:"next_run,omitzero"`
	Suppressed map[string]int64 `json:"suppressed,omitempty"`
	timed      bool             // it has time fields
}

// ActionStatus is how an action is doing: a target, or a rule's own.
type ActionStatus struct {
	Name          string    `json:"name"`                    // "target/NAME" or "rule/NAME/ACTION"
	Kind          string    `json:"kind,omitempty"`          // webhook, exec, ...; "" if no rule has the action any more
	Destination   string    `json:"destination,omitempty"`   // scheme and host, or the command's name
	PausedSince   time.Time `json:"paused_since,omitzero"`   // zero: it is not paused
	Pending       int       `json:"pending"`                 // firings that wait, those in flight included
	OldestPending time.Time `json:"oldest_pending,omitzero"` // when the oldest of them was planned
	InFlight      int       `json:"in_flight"`
	BackingOff    int       `json:"backing_off"`         // keys whose next firing waits for its next attempt
	Breaker       string    `json:"breaker"`             // closed; open: the state is down or suspect; probing: that, and an attempt is being made
	HeldUntil     time.Time `json:"held_until,omitzero"` // no attempt before: of one that is held or down

	// State is how the endpoint behind the action is doing: up; slowed: it gets
	// fewer attempts at once than it may, since some were not answered; suspect:
	// many keys fail and nothing succeeds; down: it cannot be reached; held: it
	// asked to be left alone. In the last three few attempts are made.
	State        string    `json:"state"`
	Since        time.Time `json:"since,omitzero"`        // when the trouble began; zero: there is none
	Why          string    `json:"why,omitempty"`         // what the state comes from
	Window       int       `json:"window"`                // attempts at once, at present
	NextAttempt  time.Time `json:"next_attempt,omitzero"` // where something waits for its turn, and not for the end of another attempt
	FailingLanes int       `json:"failing_lanes"`         // keys whose last attempt failed
	FreshLanes   int       `json:"fresh_lanes"`           // keys that wait for their turn, and whose last attempt did not
	Evidence     Evidence  `json:"evidence"`
	Abandoned    int64     `json:"abandoned,omitempty"` // attempts that did not end when they should have
	classes      [len(evidences)]int64

	Delivered      int64     `json:"delivered"`
	Retried        int64     `json:"retried"`              // attempts that failed, to be made again
	GivenUp        int64     `json:"given_up"`             // firings that became dead letters
	Superseded     int64     `json:"superseded,omitempty"` // firings that a later one took the place of (latest_only)
	AttemptSeconds float64   `json:"attempt_seconds"`      // all attempts together
	LastSuccess    time.Time `json:"last_success,omitzero"`
	LastError      string    `json:"last_error,omitempty"`
	LastErrorAt    time.Time `json:"last_error_at,omitzero"`
}

// Evidence is what an endpoint's state comes from: what failed since something
// last succeeded.
type Evidence struct {
	Reached  bool `json:"reached"`  // the last attempt that says so came as far as the endpoint
	Distinct int  `json:"distinct"` // keys that failed, and attempts that did not reach it
}

// StoreStatus is how the store is doing.
type StoreStatus struct {
	Bytes     int64  `json:"bytes"`
	FreeBytes int64  `json:"free_bytes"` // -1: not known
	Commits   uint64 `json:"commits"`
	Damaged   int64  `json:"damaged"`        // records
	Full      string `json:"full,omitempty"` // why no more firings are taken in
}

// ReloadStatus tells of the last reading of the rules, at the start or later.
type ReloadStatus struct {
	At          time.Time `json:"at"`
	OK          bool      `json:"ok"`
	File        string    `json:"file,omitempty"`
	Error       string    `json:"error,omitempty"`
	LastSuccess time.Time `json:"last_success"`
}

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
	if s := e.cfg.Source.Status(); s.State != source.Streaming {
		if s.LastError != "" {
			return fmt.Errorf("not attached to %s: %s, last error: %s", s.Addr, s.State, s.LastError)
		}
		return fmt.Errorf("not attached to %s: %s", s.Addr, s.State)
	}
	return e.store.Full()
}

// Status returns how the engine is doing. An error is of the store.
func (e *Engine) Status() (*Status, error) {
	s := &Status{At: time.Now(), Started: e.started, Ready: "ok", MaxPending: e.cfg.MaxPending, Counts: e.Stats()}
	if err := e.Ready(); err != nil {
		s.Ready = err.Error()
	}
	s.Source = e.sourceStatus()
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

func (e *Engine) sourceStatus() SourceStatus {
	st := e.cfg.Source.Status()
	saved, at := e.outbox.savedPosition()
	s := SourceStatus{
		State: string(st.State), Since: st.Since, Server: st.Addr, ReplID: st.ReplID, Offset: st.Offset, LastData: st.LastData, LastError: st.LastError,
		Connects: st.Connects, FullResyncs: st.FullResyncs, PartialResyncs: st.PartialResyncs, Gaps: st.Gaps,
		ProtocolErrors: st.ProtocolErrors, SnapshotErrors: st.SnapshotErrors, BacklogBytes: st.Backlog.Bytes,
	}
	if saved.IsZero() {
		return s
	}
	if left, known := st.Backlog.Left(saved.Offset, time.Now()); known {
		seconds := left.Seconds()
		s.BacklogSeconds = &seconds
	}
	s.Saved, s.SavedOffset, s.SavedAt = saved.String(), saved.Offset, at
	s.LagBytes = max(0, st.Offset-saved.Offset)
	return s
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
	if t := e.timing.Load(); t != nil {
		t.addTo(list)
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
			a.Kind, a.Destination = ep.spec.Kind, destination(ep.spec)
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
	a.Abandoned, a.classes = ep.tally.abandoned, ep.tally.evidences
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

// destination says where an action delivers to, without what may be a secret:
// user, path and query of a URL, arguments of a command.
func destination(a *rules.Action) string {
	switch a.Kind {
	case "webhook":
		raw, _ := a.Fields["url"].(string)
		scheme, rest, _ := strings.Cut(raw, "://") // not parsed: there may be a template behind the host
		if i := strings.IndexAny(rest, "/?#"); i >= 0 {
			rest = rest[:i]
		}
		return scheme + "://" + rest[strings.LastIndexByte(rest, '@')+1:]
	case "exec":
		if argv, _ := a.Fields["command"].([]any); len(argv) > 0 {
			name, _ := argv[0].(string)
			return filepath.Base(name)
		}
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
