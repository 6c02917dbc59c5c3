package engine

import (
	"context"
	"fmt"
	"iter"
	"math/bits"
	"sync"
	"sync/atomic"
	"time"

	"triggerd/internal/admin"
	"triggerd/internal/event"
	"triggerd/internal/firing"
	"triggerd/internal/outbox"
	"triggerd/internal/tap"
	"triggerd/rules"
	"triggerd/source"
)

// maxWatchers is how many may watch at once.
const maxWatchers = 32

// watchers are the conditions by which those who watch look at events.
type watchers struct {
	count atomic.Int32

	mu   sync.Mutex // guards slot and of
	slot [maxWatchers]*rules.Filter
	of   [maxWatchers]asked
	used atomic.Uint64 // a bit for each slot that is in use
}

// asked is what a condition was compiled of, and how many watch by it.
type asked struct {
	set   *rules.Set // whose lists and macros it means
	text  string
	users int
}

// add adds a condition, and returns its bit: that of an equal one, if somebody
// watches by one already. There is a slot for each that may watch.
func (w *watchers) add(f *rules.Filter, set *rules.Set, text string) uint64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	free := -1
	for i := range w.slot {
		switch of := &w.of[i]; {
		case w.slot[i] == nil && free < 0:
			free = i
		case w.slot[i] != nil && of.set == set && of.text == text:
			of.users++
			return 1 << i
		}
	}
	if free < 0 {
		return 0
	}
	w.slot[free], w.of[free] = f, asked{set, text, 1}
	w.used.Store(w.used.Load() | 1<<free)
	return 1 << free
}

func (w *watchers) remove(bit uint64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	i := bits.TrailingZeros64(bit)
	if w.of[i].users--; w.of[i].users > 0 {
		return
	}
	w.slot[i], w.of[i] = nil, asked{}
	w.used.Store(w.used.Load() &^ bit)
}

// holds returns the bits of the conditions that hold for an event.
func (w *watchers) holds(ev *event.Event) (held uint64) {
	used := w.used.Load()
	if used == 0 {
		return 0
	}
	w.mu.Lock()
	slots := w.slot
	w.mu.Unlock()
	for i, f := range slots {
		if f != nil && f.Holds(ev) {
			held |= 1 << i
		}
	}
	return held
}

// Feed iterates over what happens, as q selects it, until ctx is done. The entry
// is nil at the beginning and after a quiet time. The iterator is single-use. The
// error is admin.ErrQuery or admin.ErrBusy.
func (e *Engine) Feed(ctx context.Context, q admin.FeedQuery) (iter.Seq[*admin.FeedEntry], error) {
	var f *rules.Filter
	set := e.gen.Load().set
	if q.When != "" {
		var err error
		if f, err = set.Filter(q.When); err != nil {
			return nil, fmt.Errorf("%w: %w", admin.ErrQuery, err)
		}
	}
	return func(yield func(*admin.FeedEntry) bool) {
		defer e.watchers.count.Add(-1)
		if f != nil {
			if q.Bit = e.watchers.add(f, set, q.When); q.Bit == 0 {
				return
			}
			defer e.watchers.remove(q.Bit)
		}
		for entry := range e.tap.Read(ctx, q) {
			if !yield(entry) {
				return
			}
		}
	}, e.admitWatcher()
}

// admitWatcher counts one more that watches, or returns admin.ErrBusy.
func (e *Engine) admitWatcher() error {
	if e.watchers.count.Add(1) > maxWatchers {
		e.watchers.count.Add(-1)
		return fmt.Errorf("%w: %d watch already", admin.ErrBusy, maxWatchers)
	}
	return nil
}

// maxKeptKey limits the memory that is kept for the text of a key.
const maxKeptKey = 64 << 10

// subject is an event, as the filters of those who watch ask for it. What they
// ask for is found once. It implements tap.Subject.
type subject struct {
	of    *watchers
	ev    *event.Event // borrowed; nil: none
	key   []byte
	keyed bool
	held  uint64
	asked bool
	told  *rules.Rule // of which a match was put last
}

// set has the subject be about an event.
func (s *subject) set(of *watchers, ev *event.Event) {
	if cap(s.key) > maxKeptKey {
		s.key = nil
	}
	*s = subject{of: of, ev: ev, key: s.key[:0]}
}

// KeyText implements tap.Subject.
func (s *subject) KeyText() []byte {
	if !s.keyed {
		s.key, s.keyed = event.AppendText(s.key[:0], s.ev.Key), true
	}
	return s.key
}

// Holds implements tap.Subject.
func (s *subject) Holds() uint64 {
	if !s.asked {
		s.held, s.asked = s.of.holds(s.ev), true
	}
	return s.held
}

// entry returns an entry of the feed about the event.
func (s *subject) entry(kind, rule string) admin.FeedEntry {
	ev := s.ev
	return admin.FeedEntry{
		Kind: kind, Rule: rule, Key: string(s.KeyText()), Event: ev.Name, Offset: ev.Offset, Holds: s.Holds(),
		DB: ev.DB, Command: typed(ev, maxExcerpt), Before: excerptOf(ev.Before, maxExcerpt), After: excerptOf(ev.After, maxExcerpt),
	}
}

// subjectOf returns the stream's subject, about the event that it handles.
func (s *stream) subjectOf(ev *event.Event) *subject {
	if s.subject.ev != ev {
		s.subject.set(&s.e.watchers, ev)
	}
	return &s.subject
}

// tellEvent tells those who watch of an event.
func (s *stream) tellEvent(ev *event.Event) {
	about := s.subjectOf(ev)
	if s.e.tap.Admits(&s.eventGate, admin.FeedEvent, "", "", about) {
		s.e.tap.Put(about.entry(admin.FeedEvent, ""))
	}
}

// tellMatch tells those who watch of a match.
func (s *stream) tellMatch(rule *rules.Rule, state *ruleState, ev *event.Event) {
	about := s.subjectOf(ev)
	about.told = nil
	if s.e.tap.Admits(&state.matchGate, admin.FeedMatch, rule.Name, "", about) {
		about.told = rule
		s.e.tap.Put(about.entry(admin.FeedMatch, rule.Name))
	}
}

// tellFiring tells those who watch of a firing. That of a rule without time is of
// the event that the stream handles, and of the match that it has just told of.
func (s *stream) tellFiring(rule *rules.Rule, state *ruleState, endpoint string, f *firing.Firing) {
	about := &s.firingSubject
	if s.subject.ev != nil && rule.Time == nil {
		if !s.e.tap.Follow(s.subject.told == rule) {
			return
		}
		about = &s.subject
	} else {
		about.set(&s.e.watchers, f.Event)
		if !s.e.tap.Admits(&state.firingGate, admin.FeedFiring, rule.Name, "", about) {
			return
		}
	}
	entry := about.entry(admin.FeedFiring, rule.Name)
	entry.Action, entry.ID = endpoint, f.ID.String()
	s.e.tap.Put(entry)
}

// tellState tells those who watch what has become of something.
func (e *Engine) tellState(name, state, why string) {
	if e.tap.Level() != tap.Nobody {
		entry := admin.FeedEntry{Kind: admin.FeedState, Name: name, State: state, Text: why}
		if rule, ok := firing.RuleOf(name); ok {
			entry.Rule = rule
		}
		e.tap.Put(entry)
	}
}

// watcher tells those who watch of attempts.
type watcher struct {
	tap *tap.Feed
	of  *watchers
}

// Watched implements outbox.Watcher.
func (w watcher) Watched() bool { return w.tap.Level() != tap.Nobody }

// Attempted implements outbox.Watcher.
func (w watcher) Attempted(a *outbox.Attempt) {
	outcome, rule, about := outcomes[a.Outcome], "", noSubject
	if a.Firing != nil {
		rule = a.Firing.Rule
		about = &subject{of: w.of, ev: a.Firing.Event}
	}
	if !w.tap.FollowFiring(a.ID) && !w.tap.Admits(w.tap.GateOf(admin.FeedAttempt, rule), admin.FeedAttempt, rule, outcome, about) {
		return
	}
	entry := admin.FeedEntry{Kind: admin.FeedAttempt}
	if a.Firing != nil {
		entry = about.entry(admin.FeedAttempt, rule)
		entry.Attempt = a.Firing.Attempt
	}
	entry.Action, entry.ID, entry.Outcome, entry.Text, entry.Seconds = a.Endpoint, a.ID, outcome, a.Text, a.Took.Seconds()
	w.tap.Put(entry)
}

// noSubject is of a firing that could not be read: it has no key, and for no
// condition it is known to hold.
var noSubject = &subject{keyed: true, asked: true}

// ConditionChanged implements outbox.Watcher.
func (w watcher) ConditionChanged(endpoint, condition, why string) {
	w.tap.Put(admin.FeedEntry{Kind: admin.FeedState, Action: endpoint, Name: endpoint, State: condition, Text: why})
}

// lookAtLinks is how often the links' states are looked at for those who watch.
const lookAtLinks = time.Second

// watchLinks tells those who watch of the streams' links, until ctx is done.
func (e *Engine) watchLinks(ctx context.Context) {
	type link struct {
		state    source.State
		connects int64 // a link that is back at once has the same state
	}
	last := make([]link, len(e.streams))
	look := func(tell bool) {
		for i, s := range e.streams {
			st := s.src.Status()
			now := link{st.State, st.Connects}
			if tell && now != last[i] {
				e.tellState(s.name, string(st.State), st.LastError)
			}
			last[i] = now
		}
	}
	look(false)
	ticks := time.NewTicker(lookAtLinks)
	defer ticks.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticks.C:
			look(true)
		}
	}
}
