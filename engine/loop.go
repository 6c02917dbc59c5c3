package engine

import "sync/atomic"

// loop is one of the loops of an engine, as a watchdog sees it. The loop itself
// marks each piece of its work; a loop that has nothing to do is between two.
type loop struct{ marks atomic.Uint64 } // odd: at work

func (l *loop) begin() { l.marks.Add(1) }
func (l *loop) end()   { l.marks.Add(1) }

// step ends a part of a piece of work, so that a long one is seen to go on.
func (l *loop) step() { l.marks.Add(2) }

// Watch tells whether the loops of an engine turn: those that read the streams,
// and the one that writes to the store. One goroutine may use it.
type Watch struct {
	e     *Engine
	turns []func() uint64 // of each loop: odd while it is at work
	names []string
	seen  []uint64 // turns at the last look
}

// Watch returns a Watch over the engine's loops.
func (e *Engine) Watch() *Watch {
	w := &Watch{e: e, turns: []func() uint64{e.outbox.Turns}, names: []string{"store"}} // which is the first
	for _, s := range e.streams {
		w.turns, w.names = append(w.turns, s.loop.marks.Load), append(w.names, "stream "+s.name)
	}
	w.seen = make([]uint64, len(w.turns))
	return w
}

// Stuck returns the name of a loop that is still at the piece of work that it
// was at when Stuck was called before; "" if there is none. That a server is
// silent, or nothing has to be written, is no work; a stream that waits for a
// full store is not stuck.
func (w *Watch) Stuck() (name string) {
	for i, turns := range w.turns {
		now := turns()
		if now%2 == 1 && now == w.seen[i] && (i == 0 || w.e.store.Full() == nil) {
			name = w.names[i]
		}
		w.seen[i] = now
	}
	return name
}
