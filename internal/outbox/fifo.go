package outbox

// fifo is a queue; an item may also be put back to its front, or be taken from
// its end.
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

// pushFront adds an item before the first.
func (q *fifo[T]) pushFront(v T) {
	if q.head == 0 {
		room := len(q.items)/2 + 4
		items := make([]T, room+len(q.items), 2*room+len(q.items))
		copy(items[room:], q.items)
		q.items, q.head = items, room
	}
	q.head--
	q.items[q.head] = v
}

// last returns the last item; there has to be one.
func (q *fifo[T]) last() *T { return &q.items[len(q.items)-1] }

// popLast removes the last item; there has to be one.
func (q *fifo[T]) popLast() T {
	var zero T
	n := len(q.items) - 1
	v := q.items[n]
	q.items[n] = zero
	q.items = q.items[:n]
	if q.head == n {
		q.items, q.head = q.items[:0], 0
	}
	return v
}

// first returns the first item, to be changed in place; there has to be one.
func (q *fifo[T]) first() *T { return &q.items[q.head] }

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

// popSecond removes the item after the first; there has to be one.
func (q *fifo[T]) popSecond() T {
	v := q.items[q.head+1]
	q.items[q.head+1] = q.items[q.head]
	q.pop()
	return v
}

// skip removes the first n items.
func (q *fifo[T]) skip(n int) {
	clear(q.items[q.head : q.head+n])
	q.head += n
	if q.head == len(q.items) {
		q.items, q.head = q.items[:0], 0
	}
}

// all returns the items, first to last, to be read until the next change.
func (q *fifo[T]) all() []T { return q.items[q.head:] }

// filter keeps the items for which keep holds.
func (q *fifo[T]) filter(keep func(T) bool) {
	n := 0
	for _, v := range q.all() {
		if keep(v) {
			q.items[n] = v
			n++
		}
	}
	clear(q.items[n:])
	q.items, q.head = q.items[:n], 0
}
