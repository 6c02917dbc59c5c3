package engine

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"
	"time"

	"triggerd/internal/firing"
	"triggerd/internal/store"
)

// wants reports whether q asks for an action and the ID of a firing.
func wants(q *Query, action, id string) bool {
	return (q.Action == "" || q.Action == action) && (q.Rule == "" || q.Rule == firing.ID(id).Rule())
}

// maxScanned bounds how many records one listing looks at.
const maxScanned = 100_000

// Pending lists firings that wait, the oldest first, and returns the Before to
// go on with, 0 at the end.
func (e *Engine) Pending(q Query) (list []Delivery, next uint64, err error) {
	more := false
	for _, action := range e.actionNames(q.Action) {
		of, rest, err := e.pendingOf(action, &q)
		if err != nil {
			return nil, 0, err
		}
		more = more || rest
		list = append(list, of...)
		if q.Rule == "" && len(list) > q.Most() { // else it is not known yet which are asked for
			list, more = oldest(list, q.Most()), true
		}
	}
	kept := list[:0]
	for _, d := range oldest(list, len(list)) {
		next = d.Number
		switch err := e.fill(&d, false); {
		case isMissing(err):
			continue // delivered meanwhile
		case err != nil:
			return nil, 0, err
		}
		if wants(&q, d.Action, d.ID) {
			if kept = append(kept, d); len(kept) == q.Most() {
				return kept, next, nil
			}
		}
	}
	if !more {
		next = 0
	}
	return kept, next, nil
}

// pendingOf returns the first of an action's firings, without what is in their
// payload, and whether there are more.
func (e *Engine) pendingOf(action string, q *Query) (list []Delivery, more bool, err error) {
	n := 0
	for p, err := range e.store.Pending(action, q.Before+1) {
		if err != nil {
			return nil, false, err
		}
		if n == maxScanned || q.Rule == "" && len(list) == q.Most() {
			return list, true, nil
		}
		n++
		if q.Failing && p.Attempts == 0 && p.Error == "" {
			continue
		}
		list = append(list, Delivery{
			Number: p.Seq, State: "pending", Action: action, Attempts: p.Attempts, Planned: p.Born, Due: p.Due, LastError: p.Error, Excerpt: p.Excerpt,
		})
	}
	return list, false, nil
}

// oldest sorts, and leaves the first n.
func oldest(list []Delivery, n int) []Delivery {
	slices.SortFunc(list, func(a, b Delivery) int { return cmp.Compare(a.Number, b.Number) })
	return list[:min(n, len(list))]
}

// actionNames returns the actions that firings may wait for, or the one that
// is named.
func (e *Engine) actionNames(one string) []string {
	if one != "" {
		return []string{one}
	}
	e.outbox.mu.Lock()
	defer e.outbox.mu.Unlock()
	return slices.Sorted(maps.Keys(e.outbox.endpoints))
}

// fill completes a pending delivery from its job.
func (e *Engine) fill(d *Delivery, whole bool) error {
	j, err := e.store.Load(d.Number)
	if err != nil {
		return err
	}
	d.ID, d.Rule = j.ID, firing.ID(j.ID).Rule()
	d.Event, d.Key, d.Firing = showPayload(j, d.Attempts, whole)
	return nil
}

// showPayload returns what a job tells of its event.
func showPayload(j *store.Job, attempts int, whole bool) (name, key string, body json.RawMessage) {
	f, err := firing.ParseBinary(firing.ID(j.ID), j.Payload)
	if err != nil {
		return "", "", nil // the attempt says so
	}
	if whole {
		f.Attempt = max(1, attempts)
		body = f.AppendJSON(nil)
	}
	return f.Event.Name, text(f.Event.Key), body
}

// Delivered lists deliveries that were made, the latest first, and returns the
// Before to go on with, 0 at the end.
func (e *Engine) Delivered(q Query) (list []Delivery, next uint64, err error) {
	n := 0
	for s, err := range e.store.Settled(q.Before) {
		if err != nil {
			return nil, 0, err
		}
		if n++; n > maxScanned {
			return list, s.Number + 1, nil
		}
		if !wants(&q, s.Endpoint, s.ID) {
			continue
		}
		list = append(list, deliveredOf(&s))
		if len(list) == q.Most() {
			return list, s.Number, nil
		}
	}
	return list, 0, nil
}

func deliveredOf(s *store.Settled) Delivery {
	return Delivery{
		Number: s.Seq, State: "delivered", Action: s.Endpoint, Rule: firing.ID(s.ID).Rule(), ID: s.ID,
		Attempts: s.Attempts, Planned: s.Born, Delivered: s.At, Status: s.Status, Excerpt: s.Excerpt,
	}
}

// Delivery returns one, pending or delivered, by its number or by the firing's
// ID. By its ID a pending one is found only among the first 100,000 of its
// action. The error is ErrUnknown if there is none.
func (e *Engine) Delivery(number uint64, id string) (*Delivery, error) {
	for _, action := range e.actionNames("") {
		d, err := e.pendingOne(action, number, id)
		if d != nil || err != nil {
			return d, err
		}
	}
	n := 0
	for s, err := range e.store.Settled(0) {
		if err != nil {
			return nil, err
		}
		if id == "" && s.Seq == number || id != "" && s.ID == id {
			d := deliveredOf(&s)
			return &d, nil
		}
		if n++; n > maxScanned {
			break
		}
	}
	return nil, fmt.Errorf("%w: no such delivery is pending or kept; it may be a dead letter", ErrUnknown)
}

// pendingOne returns a pending delivery of an action, nil if it has none such.
func (e *Engine) pendingOne(action string, number uint64, id string) (*Delivery, error) {
	if id != "" && !strings.HasSuffix(id, "/"+action[strings.LastIndexByte(action, '/')+1:]) && strings.HasPrefix(action, "rule/") {
		return nil, nil // an action of a rule's own ends its firings' IDs
	}
	n := 0
	for p, err := range e.store.Pending(action, number) {
		if err != nil {
			return nil, err
		}
		if n++; n > maxScanned || id == "" && p.Seq != number {
			return nil, nil
		}
		d := Delivery{Number: p.Seq, State: "pending", Action: action, Attempts: p.Attempts, Planned: p.Born, Due: p.Due, LastError: p.Error, Excerpt: p.Excerpt}
		switch err := e.fill(&d, true); {
		case isMissing(err):
			continue
		case err != nil:
			return nil, err
		}
		if id == "" || d.ID == id {
			return &d, nil
		}
	}
	return nil, nil
}

// RetryNow makes what waits for its next attempt be attempted as soon as its
// turn comes: the pending firing of a number, next and whatever its endpoint's
// state, or, if number is 0, all that an action has. Then what is held against
// the action's endpoint, and against its keys, is forgotten too; its pause is
// not. It returns how many keys go on, each firing that is not in memory counted
// as one, and how many firings wait.
func (e *Engine) RetryNow(action string, number uint64) (n, pending int, err error) {
	o := e.outbox
	o.mu.Lock()
	defer o.mu.Unlock()
	if action == "" {
		return o.retryNumber(number)
	}
	ep := o.endpoints[action]
	if ep == nil {
		return 0, 0, fmt.Errorf("%w: no action is called %q; there are %s", ErrUnknown, action, some(slices.Sorted(maps.Keys(o.endpoints))))
	}
	ep.renew()
	o.noteHold(ep, time.Now())
	n = ep.inLine() + ep.workers + max(ep.pending-ep.indexed, 0)
	o.proceed(ep)
	return n, ep.pending, nil
}

// retryNumber is RetryNow of one firing. The caller holds the lock.
func (o *outbox) retryNumber(number uint64) (n, pending int, err error) {
	for _, ep := range o.endpoints {
		if ep.hurry(number) {
			o.proceed(ep)
			return 1, ep.pending, nil
		}
	}
	return 0, 0, fmt.Errorf("%w: delivery %d does not wait for its next attempt: it is delivered, being attempted, behind another of its key, or one of very many", ErrUnknown, number)
}

// proceed dispatches, once the outbox has been started. The caller holds the lock.
func (o *outbox) proceed(ep *endpoint) {
	if o.attempts != nil {
		o.dispatch(ep)
	}
}

// DeadLetters lists dead letters, the latest first, and returns the Before to
// go on with, 0 at the end.
func (e *Engine) DeadLetters(q Query) (list []DeadLetter, next uint64, err error) {
	for d, err := range e.AllDead(q, false) {
		if err != nil {
			return nil, 0, err
		}
		list = append(list, *d)
		if len(list) == q.Most() {
			return list, d.Number, nil
		}
	}
	return list, 0, nil
}

// AllDead iterates over the dead letters that q selects, whatever its limit,
// the latest first. With whole set they come with what was to be delivered. An
// error is the last of what it yields.
func (e *Engine) AllDead(q Query, whole bool) iter.Seq2[*DeadLetter, error] {
	return func(yield func(*DeadLetter, error) bool) {
		for d, err := range e.store.Dead(q.Before) {
			if err != nil {
				yield(nil, err)
				return
			}
			if !wants(&q, d.Endpoint, d.ID) || q.Reason != "" && q.Reason != d.Reason {
				continue
			}
			shown, err := e.showDead(&d, whole)
			if isMissing(err) {
				continue // requeued meanwhile
			}
			if !yield(shown, err) || err != nil {
				return
			}
		}
	}
}

// DeadLetter returns one, with what was to be delivered. The error is
// ErrUnknown if it is not there.
func (e *Engine) DeadLetter(number uint64) (*DeadLetter, error) {
	d, err := e.store.DeadLetter(number)
	if err == nil {
		var shown *DeadLetter
		if shown, err = e.showDead(d, true); err == nil {
			return shown, nil
		}
	}
	if isMissing(err) {
		return nil, fmt.Errorf("%w: dead letter %d", ErrUnknown, number)
	}
	return nil, err
}

func (e *Engine) showDead(d *store.DeadLetter, whole bool) (*DeadLetter, error) {
	shown := &DeadLetter{
		Number: d.Number, Action: d.Endpoint, Rule: firing.ID(d.ID).Rule(), ID: d.ID, Reason: d.Reason, Error: d.Error, Excerpt: d.Excerpt,
		Attempts: d.Attempts, Planned: d.Born, GivenUp: d.At,
	}
	if d.Seq == 0 {
		return shown, nil
	}
	j, err := e.store.Load(d.Seq)
	if err != nil {
		return nil, err
	}
	shown.Event, shown.Key, shown.Firing = showPayload(j, d.Attempts, whole)
	return shown, nil
}

// selectDead returns the numbers of the dead letters that q selects, whatever
// its limit, the oldest first, so that what is requeued keeps its order. With
// jobs set those of dropped firings are left out, which have nothing to retry.
func (e *Engine) selectDead(q Query, jobs bool) ([]uint64, error) {
	var numbers []uint64
	for d, err := range e.store.Dead(q.Before) {
		if err != nil {
			return nil, err
		}
		if wants(&q, d.Endpoint, d.ID) && (q.Reason == "" || q.Reason == d.Reason) && (d.Seq != 0 || !jobs) {
			numbers = append(numbers, d.Number)
		}
	}
	slices.Reverse(numbers)
	return numbers, nil
}

// RetryDead makes pending firings of dead letters, as if they had never been
// attempted, and returns of how many. They keep their IDs and are attempted
// after what already waits for their keys. Where one is not there, or is of
// dropped firings, of which nothing was kept, the error is ErrUnknown; those
// before it have been retried. Run has to be running.
func (e *Engine) RetryDead(ctx context.Context, numbers ...uint64) (n int, err error) {
	for chunk := range slices.Chunk(numbers, maxOrder) {
		done, err := e.outbox.request(ctx, &order{numbers: chunk})
		n += done
		if err != nil {
			return n, err
		}
	}
	return n, nil
}

// RetryAllDead is RetryDead for all that q selects, whatever its limit.
func (e *Engine) RetryAllDead(ctx context.Context, q Query) (n int, err error) {
	numbers, err := e.selectDead(q, true)
	if err != nil {
		return 0, err
	}
	return e.RetryDead(ctx, numbers...)
}

// DropDead removes dead letters for good, and returns how many. Where one is
// not there the error is ErrUnknown.
func (e *Engine) DropDead(numbers ...uint64) (n int, err error) {
	for chunk := range slices.Chunk(numbers, maxOrder) {
		b := e.store.NewBatch()
		for _, number := range chunk {
			b.DropDead(number)
		}
		if _, err := b.Commit(); err != nil {
			return n, unknownLetter(err)
		}
		n += len(chunk)
	}
	e.log.Info("dead letters dropped", "count", n)
	return n, nil
}

// DropAllDead is DropDead for all that q selects, whatever its limit.
func (e *Engine) DropAllDead(q Query) (n int, err error) {
	numbers, err := e.selectDead(q, false)
	if err != nil {
		return 0, err
	}
	return e.DropDead(numbers...)
}

func unknownLetter(err error) error {
	if isMissing(err) {
		return fmt.Errorf("%w: %w", ErrUnknown, err)
	}
	return err
}

// maxOrder is how many dead letters are requeued or dropped in one batch.
const maxOrder = 200

// order is what the keeper is asked to do, since it has to stand in one order
// with the jobs that it commits.
type order struct {
	numbers []uint64 // dead letters to requeue
	done    chan int // capacity 1: how many were
	err     error    // set before done
}

var errNotRunning = errors.New("the engine does not run")

// request has the keeper carry out an order.
func (o *outbox) request(ctx context.Context, r *order) (int, error) {
	r.done = make(chan int, 1)
	o.mu.Lock()
	o.orders = append(o.orders, r)
	o.mu.Unlock()
	o.nudge()
	select {
	case n := <-r.done:
		return n, r.err
	case <-o.kept:
		return 0, errNotRunning
	case <-ctx.Done():
		return 0, context.Cause(ctx)
	}
}

// obey carries out what was requested. The keeper calls it.
func (o *outbox) obey() {
	o.mu.Lock()
	orders := o.orders
	o.orders = nil
	o.mu.Unlock()
	for _, r := range orders {
		n := 0
		n, r.err = o.requeue(r.numbers)
		r.done <- n
	}
}

// requeue makes jobs of dead letters: all at once, or, where one of them is
// missing, one by one up to that.
func (o *outbox) requeue(numbers []uint64) (n int, err error) {
	err = o.requeueBatch(numbers)
	if err == nil {
		return len(numbers), nil
	}
	if !isMissing(err) || len(numbers) == 1 {
		return 0, unknownLetter(err)
	}
	for _, number := range numbers {
		if err := o.requeueBatch([]uint64{number}); err != nil {
			return n, unknownLetter(err)
		}
		n++
	}
	return n, nil
}

func (o *outbox) requeueBatch(numbers []uint64) error {
	b := o.store.NewBatch()
	jobs := map[string]int{}
	for _, number := range numbers {
		d, err := o.store.DeadLetter(number)
		if err != nil {
			return err
		}
		jobs[d.Endpoint]++
		b.Requeue(number)
	}
	first, err := b.Commit()
	if err != nil {
		return err
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	for name, n := range jobs {
		ep := o.endpoint(name)
		ep.pending += n
		o.pending += n
		if !ep.more { // refill finds them: no job of the endpoint from here on is indexed
			ep.more, ep.next = true, first
		}
		o.dispatch(ep)
	}
	o.log.Info("dead letters retried", "count", len(numbers))
	return nil
}
