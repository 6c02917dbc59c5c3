package engine

import (
	"sync"

	"triggerd/source"
)

// watermark finds the position up to which everything has settled, where
// firings settle in any order.
type watermark struct {
	mu    sync.Mutex      // guards all that follows, and the marks
	marks fifo[*mark]     // stretches of the stream that have fired something, oldest first
	done  source.Position // everything before it has settled
	saved source.Position
}

// mark is a stretch of the stream, and how much of what it fired is open.
type mark struct {
	open int
	end  source.Position // zero until reading has passed a place to resume at
}

// add counts a firing of what is being read, and returns what to settle later.
func (w *watermark) add() *mark {
	w.mu.Lock()
	defer w.mu.Unlock()
	if m, ok := w.marks.last(); ok && m.end.IsZero() {
		m.open++
		return m
	}
	m := &mark{open: 1}
	w.marks.push(m)
	return m
}

// settle tells that a firing needs no more attention.
func (w *watermark) settle(m *mark) {
	w.mu.Lock()
	defer w.mu.Unlock()
	m.open--
	w.advance()
}

// pass tells that reading has passed p; a zero p is no place to resume at.
func (w *watermark) pass(p source.Position) {
	if p.IsZero() {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	m, ok := w.marks.last()
	if !ok {
		w.done = p
		return
	}
	m.end = p
	w.advance()
}

func (w *watermark) advance() {
	for {
		m, ok := w.marks.first()
		if !ok || m.open > 0 || m.end.IsZero() {
			return
		}
		w.done = m.end
		w.marks.pop()
	}
}

// position returns the watermark, and whether it differs from what was saved.
func (w *watermark) position() (p source.Position, moved bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.done, w.done != w.saved
}

func (w *watermark) setSaved(p source.Position) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.saved = p
}

// resume starts the watermark at a position that was saved before.
func (w *watermark) resume(p source.Position) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.done, w.saved = p, p
}

// fifo is a queue.
type fifo[T any] struct {
	items []T
	head  int
}

func (q *fifo[T]) len() int { return len(q.items) - q.head }

func (q *fifo[T]) push(v T) {
	if q.head > 64 && q.head > len(q.items)/2 {
		n := copy(q.items, q.items[q.head:])
		clear(q.items[n:])
		q.items, q.head = q.items[:n], 0
	}
	q.items = append(q.items, v)
}

func (q *fifo[T]) first() (v T, ok bool) {
	if q.len() == 0 {
		return v, false
	}
	return q.items[q.head], true
}

func (q *fifo[T]) last() (v T, ok bool) {
	if q.len() == 0 {
		return v, false
	}
	return q.items[len(q.items)-1], true
}

// pop removes the first item; there has to be one.
func (q *fifo[T]) pop() T {
	var zero T
	v := q.items[q.head]
	q.items[q.head] = zero
	q.head++
	if q.head == len(q.items) {
		q.items, q.head = q.items[:0], 0
	}
	return v
}
