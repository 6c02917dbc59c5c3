package outbox

import (
	"cmp"
	"iter"
	"slices"
	"time"

	"triggerd/actions"
	"triggerd/internal/firing"
)

// A worker that has to read its job waits for the store once for each job. So
// jobs are read before their turn, many with one pass over the store, by a
// goroutine of their endpoint that is there only while it reads.

// jobToRead is a job to be read ahead.
type jobToRead struct {
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
func (ep *endpoint) readAhead(l *lane, t turn) (wait bool) {
	first := l.jobs.first()
	missing := first.firing == nil && first.seq != l.readAlone
	if ep.worthReading() && (missing || ep.loaded < min(ep.bounds.ahead/4, ep.inLine())) {
		ep.startReading()
	}
	return missing && ep.reading && t != newestFresh && t != urgent
}

// worthReading reports whether to read jobs of an endpoint ahead: a few are as
// well read by the workers. The caller holds the lock.
func (ep *endpoint) worthReading() bool {
	return !ep.reading && ep.indexed > ep.bounds.ahead/16 && !ep.gate.closed(time.Now())
}

// fewEndpoints is up to how many endpoints are looked at when one has jobs
// read: what the others need soon is near by in the store.
const fewEndpoints = 32

// startReading has jobs of an endpoint read, and of others that can use them.
// The caller holds the lock.
func (ep *endpoint) startReading() {
	list := ep.appendUpcoming(nil)
	if len(list) == 0 {
		return
	}
	ep.reading = true
	ep.runAside(func() { ep.read(ep.appendOthers(list)) })
}

// appendOthers appends the next jobs of other endpoints that can use them.
func (ep *endpoint) appendOthers(list []jobToRead) []jobToRead {
	if ep.others == nil {
		return list
	}
	all := ep.others()
	if len(all) > fewEndpoints {
		return list
	}
	for _, other := range all {
		if other == ep {
			continue
		}
		other.mu.Lock()
		if n := len(list); other.running > 0 && other.worthReading() && other.inLine() > 0 && other.loaded < ep.bounds.ahead/2 {
			list = other.appendUpcoming(list)
			other.reading = len(list) > n
		}
		other.mu.Unlock()
	}
	return list
}

// appendUpcoming appends the next jobs of an endpoint that are to be read, as many
// as there is room for. The caller holds the lock.
func (ep *endpoint) appendUpcoming(list []jobToRead) []jobToRead {
	n, room := ep.bounds.ahead, ep.bounds.cached-int(ep.cached.Load())
	for i := range list {
		room -= list[i].cost
	}
	if ep.gate.rate.max > 0 {
		n = min(n, ep.gate.rate.max)
	}
	each, most := max(1, n/ep.inLine()), len(list)+n
	listed := map[*lane]bool{}
	for l := range ep.upcoming(n) {
		if listed[l] {
			continue
		}
		listed[l] = true
		jobs := l.jobs.all()
		for i := range jobs[:min(each, len(jobs))] {
			j := &jobs[i]
			if j.firing != nil || j.seq == l.readAlone {
				continue
			}
			if room -= j.cost(); room < 0 || len(list) == most {
				return list
			}
			list = append(list, jobToRead{seq: j.seq, lane: l, cost: j.cost()})
		}
	}
	return list
}

// upcoming iterates over the lanes in line whose turn is likely to come among the
// next n; some of them twice.
func (ep *endpoint) upcoming(n int) iter.Seq[*lane] {
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
func (ep *endpoint) read(list []jobToRead) {
	slices.SortFunc(list, func(a, b jobToRead) int { return cmp.Compare(a.seq, b.seq) })
	seqs := make([]uint64, len(list))
	byEndpoint := map[*endpoint][]*jobToRead{}
	for i := range list {
		seqs[i] = list[i].seq
		of := list[i].lane.ep
		byEndpoint[of] = append(byEndpoint[of], &list[i])
	}
	i := 0
	for stored, err := range ep.source.Jobs(seqs) {
		if err != nil {
			break // the worker whose job it is meets the error too, and tells
		}
		for list[i].seq != stored.Seq {
			i++
		}
		list[i].firing, _ = firing.ParseBinary(firing.ID(stored.ID), stored.Payload) // as for an error
	}
	for of, read := range byEndpoint {
		of.setReadFirings(read)
	}
}

// setReadFirings puts firings that were read into the index.
func (ep *endpoint) setReadFirings(list []*jobToRead) {
	ep.mu.Lock()
	defer ep.mu.Unlock()
	for _, w := range list {
		ep.setReadFiring(w)
	}
	ep.reading = false
	ep.dispatch()
}

// setReadFiring puts a firing that was read into the index, unless its job is gone or
// being attempted by now. The caller holds the lock.
func (ep *endpoint) setReadFiring(w *jobToRead) {
	j := w.lane.find(w.seq)
	switch {
	case j == nil, j.firing != nil, w.lane.busy && j == w.lane.jobs.first():
	case w.firing == nil:
		w.lane.readAlone = w.seq
	default:
		j.firing = w.firing
		ep.cached.Add(int64(j.cost()))
		ep.loaded++
	}
}
