package engine

import (
	"context"
	"iter"
	"time"

	"triggerd/internal/admin"
	"triggerd/internal/event"
	"triggerd/internal/firing"
	"triggerd/internal/outbox"
	"triggerd/internal/tap"
	"triggerd/source"
)

// Feed iterates over what happens, as q selects it, until ctx is done. The entry
// is nil at the beginning and after a quiet time.
func (e *Engine) Feed(ctx context.Context, q admin.FeedQuery) iter.Seq[*admin.FeedEntry] {
	return e.tap.Read(ctx, q)
}

func (e *Engine) tellEvent(kind, rule string, ev *event.Event) {
	e.tap.Add(admin.FeedEntry{Kind: kind, Rule: rule, Key: printable(ev.Key), Event: ev.Name, Offset: ev.Offset})
}

func (e *Engine) tellFiring(endpoint string, f *firing.Firing) {
	e.tap.Add(admin.FeedEntry{
		Kind: admin.FeedFiring, Rule: f.Rule, Action: endpoint, Key: printable(f.Event.Key), Event: f.Event.Name,
		Offset: f.Event.Offset, ID: f.ID.String(),
	})
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
type watcher struct{ tap *tap.Feed }

// Watched implements outbox.Watcher.
func (w watcher) Watched() bool { return w.tap.Level() != tap.Nobody }

// Attempted implements outbox.Watcher.
func (w watcher) Attempted(a *outbox.Attempt) {
	entry := admin.FeedEntry{
		Kind: admin.FeedAttempt, Action: a.Endpoint, ID: a.ID, Outcome: outcomes[a.Outcome], Text: a.Text, Seconds: a.Took.Seconds(),
	}
	if f := a.Firing; f != nil {
		entry.Rule, entry.Key, entry.Event, entry.Offset, entry.Attempt = f.Rule, printable(f.Event.Key), f.Event.Name, f.Event.Offset, f.Attempt
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
