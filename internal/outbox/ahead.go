package outbox

import (
	"cmp"
	"iter"
	"slices"
	"time"

	"triggerd/actions"
	"triggerd/internal/firing"
)

// A worker that reads its own job waits for the store once for each job. So
// jobs are read ahead of their turn, many with one pass over the store. The
// goroutine that does so exists only while it reads.

// jobToRead is a job to be read ahead.
type jobToRead struct {
	seq    uint64
	lane   *lane
	cost   int             // see job.cost
	firing *actions.Firing // nil: it is not read yet, or cannot be read
}

// readAhead starts reading more of the endpoint's jobs if few of those that
// were read are left. It reports whether the job that is next is being read:
// then no attempt begins until it is there. The caller holds the lock.
//
// A job that has only just come is not waited for, since by then another has
// come. Its worker reads it.
func (ep *endpoint) readAhead(l *lane, t turn) (wait bool) {
	first := l.jobs.first()
	missing := first.firing == nil && first.seq != l.readAlone
	if ep.worthReading() && (missing || ep.loaded < min(ep.bounds.ahead/4, ep.inLine())) {
		ep.startReading()
	}
	return missing && ep.reading && t != newestFresh && t != urgent
}

// worthReading reports whether to read jobs of the endpoint ahead. If there are
// only a few, the workers read them as well. The caller holds the lock.
func (ep *endpoint) worthReading() bool {
	return !ep.reading && ep.indexed > ep.bounds.ahead/16 && !ep.gate.closed(time.Now())
}

// fewEndpoints is the largest number of endpoints for which one reads for the
// others too: what they need soon is near by in the store.
const fewEndpoints = 32

// startReading starts reading the next jobs of the endpoint, and of others that
// need some. The caller holds the lock.
func (ep *endpoint) startReading() {
	list := ep.appendUpcoming(nil)
	if len(list) == 0 {
		return
	}
	ep.reading = true
	ep.runAside(func() { ep.read(ep.appendOthers(list)) })
}

// appendOthers appends the next jobs of other endpoints that need some.
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

// appendUpcoming appends the next jobs of the endpoint that are not in memory,
// as many as there is room for. The caller holds the lock.
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

// upcoming iterates over the lanes that are likely to be among the next n; some
// lanes come twice.
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

// read reads jobs, and hands them to their endpoints.
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
			break // the worker of that job meets the error too, and reports it
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

// setReadFirings sets the firings of jobs that were read.
func (ep *endpoint) setReadFirings(list []*jobToRead) {
	ep.mu.Lock()
	defer ep.mu.Unlock()
	for _, w := range list {
		ep.setReadFiring(w)
	}
	ep.reading = false
	ep.dispatch()
}

// setReadFiring sets the firing of a job that was read, unless the job is gone
// or is being attempted by now. The caller holds the lock.
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
