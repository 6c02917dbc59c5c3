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

	mu   sync.Mutex // guards slot
	slot [maxWatchers]*rules.Filter
	used atomic.Uint64 // a bit for each slot that is in use
}

// add adds a condition, and returns its bit. There is a slot for each that may
// watch.
func (w *watchers) add(f *rules.Filter) uint64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	for i := range w.slot {
		if w.slot[i] == nil {
			w.slot[i] = f
			w.used.Store(w.used.Load() | 1<<i)
			return 1 << i
		}
	}
	return 0
}

func (w *watchers) remove(bit uint64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.slot[bits.TrailingZeros64(bit)] = nil
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
	if q.When != "" {
		var err error
		if f, err = e.gen.Load().set.Filter(q.When); err != nil {
			return nil, fmt.Errorf("%w: %w", admin.ErrQuery, err)
		}
	}
	return func(yield func(*admin.FeedEntry) bool) {
		defer e.watchers.count.Add(-1)
		if f != nil {
			if q.Bit = e.watchers.add(f); q.Bit == 0 {
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

// eventDetail completes an entry with what its event is about.
type eventDetail struct{ ev *event.Event }

// Detail implements tap.Detailer.
func (d eventDetail) Detail(to *admin.FeedEntry) {
	to.DB, to.Command = d.ev.DB, typed(d.ev, maxExcerpt)
	to.Before, to.After = excerptOf(d.ev.Before, maxExcerpt), excerptOf(d.ev.After, maxExcerpt)
}

func (e *Engine) tellEvent(kind, rule string, ev *event.Event) {
	e.tap.AddDetailed(admin.FeedEntry{
		Kind: kind, Rule: rule, Key: printable(ev.Key), Event: ev.Name, Offset: ev.Offset, Holds: e.watchers.holds(ev),
	}, eventDetail{ev})
}

func (e *Engine) tellFiring(endpoint string, f *firing.Firing) {
	e.tap.AddDetailed(admin.FeedEntry{
		Kind: admin.FeedFiring, Rule: f.Rule, Action: endpoint, Key: printable(f.Event.Key), Event: f.Event.Name,
		Offset: f.Event.Offset, ID: f.ID.String(), Holds: e.watchers.holds(f.Event),
	}, eventDetail{f.Event})
}

// tellState tells those who watch what has become of something.
func (e *Engine) tellState(name, state, why string) {
	if e.tap.Level() != tap.Nobody {
		entry := admin.FeedEntry{Kind: admin.FeedState, Name: name, State: state, Text: why}
		entry.Rule, _ = firing.RuleOf(name)
		e.tap.Add(entry)
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
	entry := admin.FeedEntry{
		Kind: admin.FeedAttempt, Action: a.Endpoint, ID: a.ID, Outcome: outcomes[a.Outcome], Text: a.Text, Seconds: a.Took.Seconds(),
	}
	if f := a.Firing; f != nil {
		entry.Rule, entry.Key, entry.Event, entry.Offset, entry.Attempt = f.Rule, printable(f.Event.Key), f.Event.Name, f.Event.Offset, f.Attempt
		entry.Holds = w.of.holds(f.Event)
		w.tap.AddDetailed(entry, eventDetail{f.Event})
		return
	}
	w.tap.Add(entry)
}

// ConditionChanged implements outbox.Watcher.
func (w watcher) ConditionChanged(endpoint, condition, why string) {
	w.tap.Add(admin.FeedEntry{Kind: admin.FeedState, Action: endpoint, Name: endpoint, State: condition, Text: why})
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
