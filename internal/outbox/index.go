package outbox

import (
	"iter"
	"time"

	"triggerd/internal/store"
)

// What waits is in the store, and an endpoint has a window of it in memory, its
// index. When there is room, goroutines that hold no lock read more. What is
// committed while they read is not indexed, and if they have not seen it they
// read on.

// jobSource is where jobs are read that are not in memory, usually a
// *store.Store.
type jobSource interface {
	Pending(endpoint string, from uint64) iter.Seq2[store.Pending, error]
	Jobs(seqs []uint64) iter.Seq2[*store.Job, error]
	Load(seq uint64) (*store.Job, error)
}

// admit indexes jobs that are committed, with numbers from first on.
func (ep *endpoint) admit(jobs []planned, first uint64) {
	ep.mu.Lock()
	defer ep.mu.Unlock()
	now, added := time.Now(), false
	for i := range jobs {
		p := &jobs[i]
		if p.replacesOldest {
			ep.toExpel = append(ep.toExpel, p.firing.Rule)
		}
		seq := first + uint64(i)
		if ep.indexed >= ep.bounds.window && !ep.hasUnindexed {
			ep.hasUnindexed, ep.next = true, max(seq, ep.next)
		}
		if seq < ep.next {
			continue // readMore has found it
		}
		if ep.hasUnindexed {
			ep.lastUnindexed = seq
			continue // readMore will find it
		}
		ep.next = seq + 1
		j := newJob(seq, p)
		if ep.indexed < ep.bounds.fresh && int(ep.cached.Load())+j.cost() <= ep.bounds.cached/2 { // the other half is for reading ahead
			j.firing = p.firing
			if ep.keepDelivered && len(p.payload) <= maxHeld {
				p.firing.SetStored(p.payload)
			}
		}
		added = ep.addJob(p.lane, j, now) || added
	}
	ep.expelOldest()
	if added {
		ep.dispatch()
	}
}

// expelOldest drops the oldest jobs for newer ones that have taken their room,
// as far as there are any that are not being attempted. The caller holds the
// lock.
func (ep *endpoint) expelOldest() {
	for len(ep.toExpel) > 0 {
		l, gone := ep.unindexOldest()
		if l == nil {
			ep.refill()
			return
		}
		n := len(ep.toExpel) - 1
		ep.owner.recordSettlement(&settlement{what: expelled, endpoint: ep.name, job: gone, text: ep.toExpel[n]})
		ep.toExpel = ep.toExpel[:n]
		if l.jobs.len() > 0 {
			continue
		}
		if l.skipped > 0 {
			ep.refillLane(l)
		} else {
			ep.forget(l)
		}
	}
}

// refill starts indexing more of what waits in the store, if there is room. The
// caller holds the lock.
func (ep *endpoint) refill() {
	if !ep.hasUnindexed || ep.filling || ep.indexed > ep.bounds.window/2 || ep.stopping || !ep.started.Load() {
		return
	}
	ep.filling = true
	ep.reads++
	from, most := ep.next, ep.bounds.chunk
	if ep.latestOnly { // what is latest is known at the end
		most = max(most, ep.bounds.window-ep.indexed)
	}
	ep.runAside(func() { ep.readMore(from, most) })
}

// runAside runs do on a goroutine that Close waits for as for workers. The
// caller holds the lock.
func (ep *endpoint) runAside(do func()) {
	ep.workers.Add(1)
	ep.wg.Go(func() {
		do()
		ep.workers.Add(-1)
		ep.signalProgress()
	})
}

// readMore indexes at most a number of jobs, from a place in the store on.
func (ep *endpoint) readMore(from uint64, most int) {
	list := make([]store.Pending, 0, min(most, 1024))
	end := true
	for p, err := range ep.source.Pending(ep.name, from) {
		if err != nil {
			ep.owner.fail(err)
			return
		}
		if len(list) == most {
			end = false
			break
		}
		p.Error, p.Excerpt = p.Error[:min(len(p.Error), 1)], "" // whether there is one is what counts
		list = append(list, p)
	}
	ep.mu.Lock()
	defer ep.mu.Unlock()
	defer ep.endReading()
	now := time.Now()
	for i := range list {
		p := &list[i]
		ep.next = p.Seq + 1
		if ep.isCancelled(p.Seq) {
			continue
		}
		j := storedJob(p)
		if ep.ignoreDue {
			j.due = 0
		}
		ep.addJob(p.Lane, j, now)
	}
	ep.filling = false
	if end && ep.lastUnindexed < ep.next {
		ep.hasUnindexed, ep.ignoreDue = false, false
	}
	ep.expelOldest()
	ep.dispatch()
}

// refillLane starts indexing the skipped jobs of a lane that has no others
// left. The caller holds the lock.
func (ep *endpoint) refillLane(l *lane) {
	if l.filling {
		return
	}
	l.filling = true
	ep.reads++
	if l.place >= fresh && l.place <= prioritized {
		ep.lines[l.place].remove(l)
	}
	from, to, n := l.skipped, ep.next, ep.bounds.lane
	ep.runAside(func() { ep.readSkipped(l, from, to, n) })
}

// readSkipped indexes up to n jobs of a lane, from one part of the store.
func (ep *endpoint) readSkipped(l *lane, from, to uint64, n int) {
	var list []store.Pending
	skipped := to
	for p, err := range ep.source.Pending(ep.name, from) {
		if err != nil {
			ep.owner.fail(err)
			return
		}
		if p.Seq >= to {
			break
		}
		if p.Lane != l.id {
			continue
		}
		if len(list) == n {
			skipped = p.Seq
			break
		}
		p.Error, p.Excerpt = p.Error[:min(len(p.Error), 1)], ""
		list = append(list, p)
	}
	ep.mu.Lock()
	defer ep.mu.Unlock()
	defer ep.endReading()
	l.filling = false
	if l.skipped = skipped; l.lastSkipped < skipped {
		l.skipped = 0
	}
	for i := range list {
		if !ep.isCancelled(list[i].Seq) {
			ep.index(l, storedJob(&list[i]))
		}
	}
	switch {
	case l.jobs.len() > 0:
		if l.place == away {
			ep.enqueueLane(l, time.Now())
		}
	case l.skipped > 0:
		ep.refillLane(l)
	default:
		ep.forget(l)
	}
	ep.supersede(l)
	ep.expelOldest()
	ep.dispatch()
}
