package engine

import (
	"cmp"
	"iter"
	"slices"
	"time"
	"triggerd/internal/firing"

	"triggerd/actions"
)

// A worker that has to read its job waits for the store once for each job. So
// jobs are read before their turn, many with one pass over the store, by a
// goroutine of their endpoint that is there only while it reads.

// wanted is a job to be read ahead.
type wanted struct {
	seq    uint64
	lane   *lane
	cost   int             // see job.cost
	firing *actions.Firing // once it was read; nil: it could not be
}

// readAhead has more of the endpoint's jobs read if there are few left that
// were. It reports whether the job whose turn it is is among those that are
// being read: then nothing is taken until they are there. One that has just come
// is not waited for, since by then another has; its worker reads it. The caller
// holds the lock.
func (o *outbox) readAhead(l *lane, t turn) (wait bool) {
	ep := l.ep
	first := l.jobs.first()
	missing := first.firing == nil && first.seq != l.alone
	if o.worthReading(ep) && (missing || ep.loaded < min(o.bounds.ahead/4, ep.inLine())) {
		o.startReading(ep)
	}
	return missing && ep.reading && t != newestFresh && t != urgent
}

// worthReading reports whether to read jobs of an endpoint ahead: a few are as
// well read by the workers. The caller holds the lock.
func (o *outbox) worthReading(ep *endpoint) bool {
	return !ep.reading && ep.indexed > o.bounds.ahead/16 && !ep.gate.closed(time.Now())
}

// fewEndpoints is up to how many endpoints are looked at when one has jobs
// read: what the others need soon is near by in the store.
const fewEndpoints = 32

// startReading has jobs of an endpoint read, and of others that can use them.
// The caller holds the lock.
func (o *outbox) startReading(ep *endpoint) {
	list := o.soon(nil, ep)
	if len(list) == 0 {
		return
	}
	if len(o.endpoints) <= fewEndpoints {
		for _, other := range o.endpoints {
			if other != ep && other.workers > 0 && o.worthReading(other) && other.inLine() > 0 && other.loaded < o.bounds.ahead/2 {
				list = o.soon(list, other)
			}
		}
	}
	for i := range list {
		list[i].lane.ep.reading = true
	}
	o.workers++
	o.wg.Go(func() { o.read(list) })
}

// soon appends the next jobs of an endpoint that are to be read, as many as
// there is room for. The caller holds the lock.
func (o *outbox) soon(list []wanted, ep *endpoint) []wanted {
	n, room := o.bounds.ahead, o.bounds.cached-o.cached
	for i := range list {
		room -= list[i].cost
	}
	if ep.gate.rate.max > 0 {
		n = min(n, ep.gate.rate.max)
	}
	each, most := max(1, n/ep.inLine()), len(list)+n
	listed := map[*lane]bool{}
	for l := range ep.soon(n) {
		if listed[l] {
			continue
		}
		listed[l] = true
		jobs := l.jobs.all()
		for i := range jobs[:min(each, len(jobs))] {
			j := &jobs[i]
			if j.firing != nil || j.seq == l.alone {
				continue
			}
			if room -= j.cost(); room < 0 || len(list) == most {
				return list
			}
			list = append(list, wanted{seq: j.seq, lane: l, cost: j.cost()})
		}
	}
	return list
}

// soon iterates over the lanes in line whose turn is likely to come among the
// next n; some of them twice.
func (ep *endpoint) soon(n int) iter.Seq[*lane] {
	return func(yield func(*lane) bool) {
		recent := ep.recent.all()
		for i := range n {
			for place := fresh; place <= failed; place++ {
				line := ep.lines[place].entries.all()
				if i < len(line) && line[i].place == place && !yield(line[i]) {
					return
				}
			}
			if at := len(recent) - 1 - i; at >= 0 && recent[at].place == fresh && !yield(recent[at]) {
				return
			}
		}
	}
}

// read reads jobs, and lets the workers have them.
func (o *outbox) read(list []wanted) {
	slices.SortFunc(list, func(a, b wanted) int { return cmp.Compare(a.seq, b.seq) })
	seqs := make([]uint64, len(list))
	for i := range list {
		seqs[i] = list[i].seq
	}
	i := 0
	for stored, err := range o.store.Jobs(seqs) {
		if err != nil {
			break // the worker whose job it is meets the error too, and tells
		}
		for list[i].seq != stored.Seq {
			i++
		}
		list[i].firing, _ = firing.ParseBinary(firing.ID(stored.ID), stored.Payload) // as for an error
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	for i := range list {
		o.load(&list[i])
	}
	o.workers--
	o.room.Broadcast()
	for i := range list {
		if ep := list[i].lane.ep; ep.reading {
			ep.reading = false
			o.dispatch(ep)
		}
	}
}

// load puts a firing that was read into the index, unless its job is gone or
// being attempted by now. The caller holds the lock.
func (o *outbox) load(w *wanted) {
	j := w.lane.find(w.seq)
	switch {
	case j == nil, j.firing != nil, w.lane.busy && j == w.lane.jobs.first():
	case w.firing == nil:
		w.lane.alone = w.seq
	default:
		j.firing = w.firing
		o.cached += j.cost()
		w.lane.ep.loaded++
	}
}
