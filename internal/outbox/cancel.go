package outbox

import (
	"context"
	"encoding/binary"
	"fmt"
	"slices"
	"sync"
	"time"

	"triggerd/internal/failpoint"
	"triggerd/internal/store"
)

// A firing that waits can be cancelled: it is a dead letter then, with the
// reason "cancelled", so that a cancel can be undone. An attempt that is in
// flight is not disturbed: if it fails, the firing is cancelled, and if it
// succeeds, the firing is delivered. That it is to end so is in the store until
// it has, so that a process that is killed meanwhile does not bring it back.

// reasonCancelled is the reason of a dead letter that somebody has cancelled.
const reasonCancelled = "cancelled"

// Candidate is a pending firing that was selected.
type Candidate struct {
	Number   uint64
	endpoint string
	id       string
	attempts int
	born     time.Time
}

// Cancelled is what came of a cancel.
type Cancelled struct {
	Count     int      // firings that do not wait any more, and were not delivered
	Ended     []uint64 // of these, those with an attempt in flight, which has failed
	Delivered []uint64 // those with an attempt in flight, which has succeeded
	InFlight  []uint64 // those whose attempt has not ended yet: it ends, or is delivered
	Gone      []uint64 // those that were delivered or given up before their turn came
}

// selectChunk is how many jobs are read at once while firings are selected.
const selectChunk = 256

// SelectPending returns the pending firings that q selects, the oldest first of
// each action. The limit of q does not count.
func (o *Outbox) SelectPending(ctx context.Context, q Query) (list []Candidate, err error) {
	for _, action := range o.names(q.Action) {
		var chunk []store.Pending
		for p, err := range o.store.Pending(action, 0) {
			if err != nil {
				return nil, err
			}
			if q.Failing && p.Attempts == 0 && p.Error == "" || p.Born.Before(q.Since) {
				continue
			}
			if chunk = append(chunk, p); len(chunk) < selectChunk {
				continue
			}
			if list, err = o.appendSelected(list, action, chunk, &q); err != nil {
				return nil, err
			}
			if chunk = chunk[:0]; ctx.Err() != nil {
				return nil, context.Cause(ctx)
			}
		}
		if list, err = o.appendSelected(list, action, chunk, &q); err != nil {
			return nil, err
		}
	}
	return list, nil
}

// appendSelected appends those of an action's firings that q selects.
func (o *Outbox) appendSelected(list []Candidate, action string, chunk []store.Pending, q *Query) ([]Candidate, error) {
	seqs := make([]uint64, len(chunk))
	for i := range chunk {
		seqs[i] = chunk[i].Seq
	}
	i := 0
	for j, err := range o.store.Jobs(seqs) {
		if store.IsDamaged(err) {
			return list, nil // an attempt of it says so
		}
		if err != nil {
			return nil, err
		}
		for chunk[i].Seq != j.Seq {
			i++
		}
		if selects(q, action, j.ID) && selectsKey(q, j) {
			list = append(list, Candidate{Number: j.Seq, endpoint: action, id: j.ID, attempts: chunk[i].Attempts, born: chunk[i].Born})
		}
	}
	return list, nil
}

// PendingByNumber returns pending firings by their numbers. The error is
// store.ErrNotFound if one of them is not pending.
func (o *Outbox) PendingByNumber(numbers []uint64) (list []Candidate, err error) {
	for _, number := range numbers {
		j, err := o.store.Load(number)
		if err == nil {
			var pending bool
			if pending, err = o.store.HasPending(j.Endpoint, number); err == nil && !pending {
				err = store.ErrNotFound
			}
		}
		if isMissing(err) {
			return nil, fmt.Errorf("%w: delivery %d does not wait; 'triggerd deliveries show %d' tells what became of it", store.ErrNotFound, number, number)
		}
		if err != nil {
			return nil, err
		}
		list = append(list, Candidate{Number: number, endpoint: j.Endpoint, id: j.ID, born: j.Born})
	}
	return list, nil
}

// cancelWait is what a cancel waits for: attempts in flight of its firings.
type cancelWait struct {
	by string // who cancels

	mu       sync.Mutex // guards what follows; the last that is taken
	inFlight []uint64
	result   Cancelled
	ended    chan struct{} // capacity 1: an attempt has ended
}

// begin notes an attempt in flight.
func (c *cancelWait) begin(number uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.inFlight = append(c.inFlight, number)
}

// end notes that an attempt has ended.
func (c *cancelWait) end(number uint64, delivered bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.inFlight = slices.DeleteFunc(c.inFlight, func(n uint64) bool { return n == number })
	if delivered {
		c.result.Delivered = append(c.result.Delivered, number)
	} else {
		c.result.Ended = append(c.result.Ended, number)
		c.result.Count++
	}
	select {
	case c.ended <- struct{}{}:
	default:
	}
}

func (c *cancelWait) waiting() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.inFlight) > 0
}

// snapshot returns the result so far.
func (c *cancelWait) snapshot() Cancelled {
	c.mu.Lock()
	defer c.mu.Unlock()
	r := c.result
	r.Ended, r.Delivered, r.InFlight = slices.Clone(r.Ended), slices.Clone(r.Delivered), slices.Clone(c.inFlight)
	return r
}

// Cancel has pending firings not attempted any more: they are dead letters when
// it returns, on disk. by says who cancels. It waits for attempts in flight
// until patience is over or ctx is done; those that it does not wait for end by
// themselves, and no other attempt is made of them, whatever happens. The outbox
// has to run.
func (o *Outbox) Cancel(ctx context.Context, list []Candidate, by string, patience time.Duration) (Cancelled, error) {
	c := &cancelWait{by: by, ended: make(chan struct{}, 1)}
	for chunk := range slices.Chunk(list, maxOrderSize) {
		for len(chunk) > 0 {
			n := 1
			for n < len(chunk) && chunk[n].endpoint == chunk[0].endpoint {
				n++
			}
			part := chunk[:n]
			if _, err := o.runOrder(ctx, &keeperOrder{run: func() (int, error) { return o.cancel(part, c) }}); err != nil {
				return c.snapshot(), err
			}
			chunk = chunk[n:]
		}
	}
	limit := time.NewTimer(patience)
	defer limit.Stop()
	for over := false; !over && c.waiting(); {
		select {
		case <-c.ended:
		case <-limit.C:
			over = true
		case <-ctx.Done():
			over = true
		case <-o.keeperDone:
			over = true
		}
	}
	r := c.snapshot()
	if len(r.Ended)+len(r.Delivered) > 0 { // what has ended meanwhile is to be on disk too
		if _, err := o.runOrder(context.WithoutCancel(ctx), &keeperOrder{run: func() (int, error) { return 0, o.syncLedger() }}); err != nil {
			return c.snapshot(), err
		}
	}
	return r, nil
}

// syncLedger writes what has settled, and waits for the disk.
func (o *Outbox) syncLedger() error {
	if err := o.writeLedger(); err != nil {
		return err
	}
	b := o.store.NewBatch()
	b.Sync()
	_, err := b.Commit()
	o.unsynced = time.Time{}
	return err
}

// cancel cancels firings of one endpoint. The keeper calls it, so nothing is
// committed or indexed meanwhile that was not before.
func (o *Outbox) cancel(list []Candidate, c *cancelWait) (int, error) {
	name := list[0].endpoint
	o.mu.Lock()
	ep := o.endpoint(name)
	o.mu.Unlock()
	byNumber := make(map[uint64]*Candidate, len(list))
	for i := range list {
		byNumber[list[i].Number] = &list[i]
	}
	var away []*Candidate // not in memory
	for {
		if err := o.writeLedger(); err != nil {
			return 0, err
		}
		ep.mu.Lock()
		if !o.ledger.hasAny(byNumber) { // else what has settled since is to be written first
			break
		}
		ep.mu.Unlock()
	}
	buried, inFlight := ep.takeWaiting(byNumber, c)
	for _, one := range byNumber {
		away = append(away, one)
	}
	ep.mu.Unlock()
	defer ep.endCancel()
	for _, one := range away {
		pending, err := o.store.HasPending(name, one.Number)
		if err != nil {
			return 0, err
		}
		if !pending {
			c.mu.Lock()
			c.result.Gone = append(c.result.Gone, one.Number)
			c.mu.Unlock()
			continue
		}
		buried = append(buried, *one)
		ep.mu.Lock()
		ep.countDone()
		ep.mu.Unlock()
	}
	if len(buried)+len(inFlight) == 0 {
		return 0, nil
	}
	b, now := o.store.NewBatch(), time.Now()
	for i := range buried {
		d := &buried[i]
		b.Bury(store.DeadLetter{Seq: d.Number, Endpoint: name, ID: d.id, Reason: reasonCancelled, Error: "cancelled by " + c.by, Attempts: d.attempts, Born: d.born, At: now})
	}
	for _, number := range inFlight {
		b.Put(store.Cancels, cancelKey(number), []byte(c.by[:min(len(c.by), store.MaxName)]))
	}
	b.Sync()
	failpoint.Here("cancelling")
	if _, err := b.Commit(); err != nil {
		return 0, err
	}
	failpoint.Here("cancelled")
	c.mu.Lock()
	c.result.Count += len(buried)
	c.mu.Unlock()
	return len(buried), nil
}

// cancelKey is the key of a firing in store.Cancels.
func cancelKey(number uint64) []byte { return binary.BigEndian.AppendUint64(nil, number) }

// buryCancelled carries out the cancels of an earlier process that has ended
// before attempts in flight did. Nothing is attempted meanwhile.
func (o *Outbox) buryCancelled() error {
	b, now := o.store.NewBatch(), time.Now()
	for entry, err := range o.store.Scan(store.Cancels, nil, nil) {
		if err != nil {
			return fmt.Errorf("what is cancelled: %w", err)
		}
		b.Delete(store.Cancels, entry.Key)
		if len(entry.Key) != 8 {
			continue
		}
		d, err := o.cancelledLetter(binary.BigEndian.Uint64(entry.Key), string(entry.Value))
		if err != nil {
			return err
		}
		if d != nil {
			d.At = now
			b.Bury(*d)
		}
	}
	_, err := b.Commit()
	return err
}

// cancelledLetter returns the dead letter of a firing that was cancelled during
// an attempt whose end is not known; nil if it does not wait any more.
func (o *Outbox) cancelledLetter(number uint64, by string) (*store.DeadLetter, error) {
	j, err := o.store.Load(number)
	if isMissing(err) || store.IsDamaged(err) {
		return nil, nil // an attempt of what is damaged ends it too
	}
	if err != nil {
		return nil, err
	}
	for p, err := range o.store.Pending(j.Endpoint, number) {
		if err != nil {
			return nil, err
		}
		if p.Seq != number {
			break
		}
		o.log.Info("firing is cancelled: triggerd had ended during an attempt, so it may have been delivered", "action", j.Endpoint, "firing", j.ID, "by", by)
		return &store.DeadLetter{
			Seq: number, Endpoint: j.Endpoint, ID: j.ID, Reason: reasonCancelled, Attempts: p.Attempts + 1, Born: j.Born,
			Error: "cancelled by " + by + " during an attempt, which may have succeeded: triggerd ended before it did",
		}, nil
	}
	return nil, nil
}

// hasAny reports whether something of the firings has settled and is not
// written.
func (g *ledger) hasAny(byNumber map[uint64]*Candidate) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.ContainsFunc(g.settled, func(s settlement) bool { return byNumber[s.job.seq] != nil })
}

// takeWaiting takes firings out of their lanes, and returns them. Those in
// flight it has end with their attempt, and returns their numbers. It removes all these from byNumber: what
// it leaves there is not in memory, and will not be. The caller holds the lock,
// and calls endCancel later.
func (ep *endpoint) takeWaiting(byNumber map[uint64]*Candidate, c *cancelWait) (taken []Candidate, inFlight []uint64) {
	removed, touched := map[uint64]bool{}, map[*lane]bool{}
	for _, a := range ep.byAge.all() {
		one := byNumber[a.seq]
		if one == nil || a.gone() {
			continue
		}
		delete(byNumber, a.seq)
		if a.attempted() {
			ep.endWithAttempt(a, c)
			inFlight = append(inFlight, a.seq)
			continue
		}
		removed[a.seq] = true
		touched[a.lane] = true
		if j := a.lane.find(a.seq); j != nil {
			one.attempts = int(j.attempts)
		}
		taken = append(taken, *one)
	}
	ep.cancelling = true
	if ep.cancelled == nil {
		ep.cancelled = map[uint64]struct{}{}
	}
	for number := range byNumber {
		ep.cancelled[number] = struct{}{}
	}
	for number := range removed {
		ep.cancelled[number] = struct{}{}
	}
	if len(removed) == 0 {
		return nil, inFlight
	}
	for l := range touched {
		l.jobs.filter(func(j job) bool {
			if removed[j.seq] {
				ep.unindexed(&j)
				ep.countDone()
				return false
			}
			return true
		})
	}
	ep.byAge.filter(func(a agedJob) bool { return !removed[a.seq] })
	ep.goOnWithout(touched)
	return taken, inFlight
}

// goOnWithout has lanes go on of which jobs were removed. The caller holds the
// lock.
func (ep *endpoint) goOnWithout(touched map[*lane]bool) {
	now := time.Now()
	for _, l := range ep.asleep.wake(func(l *lane) bool { return touched[l] }) {
		if l.jobs.len() > 0 {
			ep.enqueueLane(l, now) // the pause was that of a job that is gone, or goes on
		}
	}
	for l := range touched {
		switch {
		case l.busy || l.jobs.len() > 0:
		case l.skipped > 0:
			ep.refillLane(l)
		default:
			ep.forget(l)
		}
	}
	ep.dispatch()
}

// endWithAttempt has a job that is being attempted end with that attempt. The
// caller holds the lock.
func (ep *endpoint) endWithAttempt(a agedJob, c *cancelWait) {
	for _, w := range ep.crew {
		for _, one := range append([]*worker{w}, w.batched...) {
			if one.lane == a.lane && one.job.seq == a.seq {
				one.cancels = append(one.cancels, c)
				c.begin(a.seq)
				return
			}
		}
	}
}

// endCancel ends what takeWaiting has begun: the store has no trace left of what
// was taken.
func (ep *endpoint) endCancel() {
	ep.mu.Lock()
	defer ep.mu.Unlock()
	ep.cancelling = false
	if ep.reads == 0 {
		ep.cancelled = nil
	}
}

// isCancelled reports whether a job that a read has found is cancelled. The
// caller holds the lock.
func (ep *endpoint) isCancelled(seq uint64) bool {
	_, is := ep.cancelled[seq]
	return is
}

// endReading ends a read of what waits. The caller holds the lock.
func (ep *endpoint) endReading() {
	if ep.reads--; ep.reads == 0 && !ep.cancelling {
		ep.cancelled = nil
	}
}
