package engine

import "triggerd/source"

// Watch tells whether the loops of an engine turn: those that read the streams,
// and the one that writes to the store. One goroutine may use it.
type Watch struct {
	e     *Engine
	loops []loop
	seen  []uint64 // turns at the last look
}

// loop is one of the loops, as a watchdog sees it: how far it has come, and
// whether it is at a piece of work. What it counts anyway tells both, so that
// being watched costs a loop nothing.
type loop struct {
	name string
	look func() (turns uint64, busy bool)
}

// Watch returns a Watch over the engine's loops.
func (e *Engine) Watch() *Watch {
	w := &Watch{e: e, loops: []loop{{"store", e.keeperLoop}}} // which is the first
	for _, s := range e.streams {
		w.loops = append(w.loops, loop{"stream " + s.name, s.loop})
	}
	w.seen = make([]uint64, len(w.loops))
	return w
}

// Stuck returns the name of a loop that is still at the piece of work that it
// was at when Stuck was called before; "" if there is none. That a server is
// silent, or nothing has to be written, is no work; a stream that waits for a
// full store is not stuck.
func (w *Watch) Stuck() (name string) {
	for i, l := range w.loops {
		turns, busy := l.look()
		if busy && turns == w.seen[i] && (i == 0 || w.e.store.Full() == nil) {
			name = l.name
		}
		w.seen[i] = turns
	}
	return name
}

func (e *Engine) keeperLoop() (turns uint64, busy bool) {
	turns = e.outbox.Turns()
	return turns, turns%2 == 1
}

// loop tells how many records and events the stream has taken, and whether it
// has one that it is not through with.
func (s *stream) loop() (turns uint64, busy bool) {
	handled := s.handled.Load()
	turns = uint64(s.counts.records.Load() + s.counts.events.Load() + handled)
	st := s.src.Status()
	return turns, st.State == source.Streaming && st.Offset > handled
}
