package engine

import "triggerd/source"

// Watch tells whether the loops of an engine get on: the one of each stream,
// and the one that writes to the store. One goroutine may use it.
type Watch struct {
	e         *Engine
	loops     []watchedLoop
	lastTurns []uint64 // by loop, when Stuck was last called
}

// watchedLoop is a loop as a watchdog sees it. progress returns how many turns
// it has made, and whether it is at work. Both come from figures that the loop
// counts anyway, so watching costs it nothing.
type watchedLoop struct {
	name     string
	progress func() (turns uint64, busy bool)
}

// Watch returns a Watch over the engine's loops.
func (e *Engine) Watch() *Watch {
	w := &Watch{e: e, loops: []watchedLoop{{"store", e.keeperProgress}}} // Stuck relies on the store's being the first
	for _, s := range e.streams {
		w.loops = append(w.loops, watchedLoop{"stream " + s.name, s.progress})
	}
	w.lastTurns = make([]uint64, len(w.loops))
	return w
}

// Stuck returns the name of a loop that is still at the work that it was at
// when Stuck was last called; "" if there is none. A loop is not at work while
// its server is silent, or while nothing has to be written. A stream that waits
// for a full store is not stuck.
func (w *Watch) Stuck() (name string) {
	for i, l := range w.loops {
		turns, busy := l.progress()
		if busy && turns == w.lastTurns[i] && (i == 0 || w.e.store.Full() == nil) {
			name = l.name
		}
		w.lastTurns[i] = turns
	}
	return name
}

func (e *Engine) keeperProgress() (turns uint64, busy bool) {
	turns = e.outbox.Turns()
	return turns, turns%2 == 1
}

// progress returns how many records and events the stream has handled, and
// whether there are more to handle.
func (s *stream) progress() (turns uint64, busy bool) {
	handled := s.handled.Load()
	turns = uint64(s.counts.records.Load() + s.counts.events.Load() + handled)
	st := s.src.Status()
	return turns, st.State != source.Syncing && !st.Starved && st.Received > handled
}
