package engine

import (
	"cmp"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"triggerd/actions"
	"triggerd/internal/firing"
	"triggerd/internal/store"
	"triggerd/rules"
)

// bounds are those of what is kept in memory of the jobs that wait in the
// store. With them a backlog of any size takes a bounded index, and one key
// that is stuck does not take the room of the others.
type bounds struct {
	window   int // jobs of an endpoint
	lane     int // jobs of a lane
	chunk    int // jobs read from the store while the lock is held
	cached   int // bytes of firings kept decoded from planning, or read ahead, to their next attempt
	fresh    int // jobs of an endpoint beyond which none is kept from planning on: it would wait long
	ahead    int // jobs of an endpoint that are read at once, before their turn
	intake   int // bytes of firings that are not on disk yet
	unpassed int // firings that are kept back until their position can be committed with them
	changes  int // bytes of changed state that is not on disk yet
}

var defaultBounds = bounds{window: 50_000, lane: 1_000, chunk: 5_000, cached: 8 << 20, fresh: 1_000, ahead: 256, intake: 8 << 20, unpassed: 10_000, changes: 32 << 20}

// endpoint is one action that firings are delivered with: a target, or a
// rule's own action.
//
// Each endpoint has lanes, one for each key that something waits for. The
// first job of a lane is attempted until it is delivered or given up, and only
// then the next. A lane is in one of three places: in its endpoint's ready
// queue, with a worker, or with a timer that will put it back.
type endpoint struct {
	name        string
	action      actions.Action // nil: no rule has it any more; its jobs wait
	spec        *rules.Action  // for jobs whose own rule is gone
	concurrency int
	latestOnly  bool // of the jobs of a lane that wait, only the last is attempted
	paused      bool
	gate        gate
	timer       *time.Timer // dispatches at wake; nil before its first use
	wake        time.Time   // zero: not

	lanes     map[uint64]*lane
	waiting   map[*lane]*time.Timer // those whose first job is not due yet
	ready     fifo[*lane]           // some may be empty, where jobs were dropped
	ages      fifo[aged]            // in the order in which they were indexed, which is nearly that of their age
	workers   int
	pending   int // jobs in the store and on the way there
	tally     tally
	observers [len(outcomes)]prometheus.Observer // of its kind; nil: not looked up yet
	indexed   int                                // jobs in lanes
	loaded    int                                // those of them whose firing is in memory
	reading   bool                               // jobs are being read ahead
	next      uint64
	more      bool // the store has jobs from next on that are not indexed
}

// lane is what keeps its order.
type lane struct {
	ep      *endpoint
	id      uint64 // 0: of one job that need not keep any order, and is in no map
	jobs    fifo[job]
	skipped uint64 // seq of the first job that was left out because the lane is full; 0: none was
	busy    bool   // its first job is being attempted
	dropped uint64 // up to this seq jobs were dropped from behind the first
	alone   uint64 // seq of a job that could not be read together with others
}

// find returns the job with a seq, nil if it is not in the lane.
func (l *lane) find(seq uint64) *job {
	jobs := l.jobs.all()
	i, ok := slices.BinarySearchFunc(jobs, seq, func(j job, seq uint64) int { return cmp.Compare(j.seq, seq) })
	if !ok {
		return nil
	}
	return &jobs[i]
}

// aged is the place of a job.
type aged struct {
	seq  uint64
	lane *lane
}

// gone reports whether the job is not there any more.
func (a aged) gone() bool {
	if a.lane.jobs.len() == 0 {
		return true
	}
	first := a.lane.jobs.first().seq
	return a.seq < first || a.seq > first && a.seq <= a.lane.dropped
}

// attempted reports whether the job, which is there, is being attempted.
func (a aged) attempted() bool { return a.lane.busy && a.seq == a.lane.jobs.first().seq }

// job is what is known of a job without reading it.
type job struct {
	seq       uint64
	firing    *actions.Firing // nil: to be read
	born, due moment
	size      uint32 // bytes of the payload
	attempts  int32
}

// newJob returns the job that a planned firing has become.
func newJob(seq uint64, p *planned) job {
	return job{seq: seq, born: momentOf(p.born), size: uint32(len(p.payload))}
}

// storedJob returns a job that the store has.
func storedJob(p *store.Pending) job {
	return job{seq: p.Seq, attempts: int32(p.Attempts), born: momentOf(p.Born), due: momentOf(p.Due), size: uint32(p.Size)}
}

// cost is about what the job's firing takes in memory.
func (j *job) cost() int { return int(j.size) + 1024 }

// moment is a time in a third of the room, and without a pointer, of which
// there may be many: in nanoseconds since 1970, 0 for the zero time.
type moment int64

func momentOf(t time.Time) moment {
	if t.IsZero() {
		return 0
	}
	return moment(t.UnixNano())
}

func (m moment) time() time.Time {
	if m == 0 {
		return time.Time{}
	}
	return time.Unix(0, int64(m))
}

// laneOf returns the lane of a firing: its key and database, or for an event
// without a key its rule. It is the same after a restart.
func laneOf(f *actions.Firing, order string) uint64 {
	if order == "none" {
		return 0
	}
	key := f.Event.Key
	if key == nil {
		key = []byte("\x00rule\x00" + f.Rule)
	}
	return max(firing.KeyHash(f.Event.DB, key), 1)
}

// use sets what the endpoint is attempted with.
func (ep *endpoint) use(c endpointConfig) {
	ep.action, ep.spec, ep.concurrency, ep.latestOnly = c.action, c.spec, c.concurrency, c.latestOnly
	ep.gate.max, ep.gate.per = c.rate.Max, c.rate.Per
	clear(ep.observers[:])
}

// put indexes a job, and reports whether its lane became ready by that. The
// caller holds the lock.
func (o *outbox) put(ep *endpoint, id uint64, j job) (l *lane, ready bool) {
	if id != 0 {
		l = ep.lanes[id]
	}
	if l == nil {
		l = &lane{ep: ep, id: id}
		if id != 0 {
			ep.lanes[id] = l
		}
		o.index(l, j)
		return l, true
	}
	if l.skipped == 0 && l.jobs.len() >= o.bounds.lane {
		l.skipped = j.seq
	}
	if l.skipped == 0 {
		o.index(l, j)
	}
	o.supersede(l)
	return l, false
}

// supersede settles the jobs of a lane of which only the last is wanted, but
// for one that is being attempted. The caller holds the lock.
func (o *outbox) supersede(l *lane) {
	if !l.ep.latestOnly {
		return
	}
	for l.jobs.len() > 2 || l.jobs.len() == 2 && !l.busy {
		var gone job
		if l.busy {
			gone = l.jobs.popSecond()
			o.unindexed(l.ep, &gone)
			l.dropped = gone.seq
		} else {
			gone = o.unindex(l)
		}
		l.ep.pending--
		o.pending--
		l.ep.tally.superseded++
		o.stats.Superseded++
		o.settled = append(o.settled, settlement{what: superseded, endpoint: l.ep.name, job: gone})
	}
	o.room.Broadcast()
	o.nudge()
}

// index adds a job to its lane. The caller holds the lock.
func (o *outbox) index(l *lane, j job) {
	l.jobs.push(j)
	ep := l.ep
	if j.firing != nil {
		o.cached += j.cost()
		ep.loaded++
	}
	ep.indexed++
	if ep.ages.len() > 2*ep.indexed+64 {
		ep.ages.filter(func(a aged) bool { return !a.gone() })
	}
	ep.ages.push(aged{j.seq, l})
}

// unindex removes the first job of a lane. The caller holds the lock.
func (o *outbox) unindex(l *lane) job {
	j := l.jobs.pop()
	o.unindexed(l.ep, &j)
	for l.ep.ages.len() > 0 && l.ep.ages.first().gone() {
		l.ep.ages.pop()
	}
	return j
}

func (o *outbox) unindexed(ep *endpoint, j *job) {
	ep.indexed--
	o.unload(ep, j)
}

// unload takes a job's firing out of memory, if it is there, and returns it.
// The caller holds the lock.
func (o *outbox) unload(ep *endpoint, j *job) *actions.Firing {
	f := j.firing
	if f != nil {
		j.firing = nil
		o.cached -= j.cost()
		ep.loaded--
	}
	return f
}

// unindexOldest removes the oldest job of which no attempt is under way, and
// returns it with its lane, or nil if there is none. The caller holds the lock.
func (o *outbox) unindexOldest(ep *endpoint) (*lane, job) {
	all, kept := ep.ages.all(), 0
	for i, a := range all {
		switch {
		case a.gone():
			continue
		case a.attempted():
			all[kept] = a
			kept++
			continue
		}
		copy(all[i+1-kept:i+1], all[:kept])
		ep.ages.skip(i + 1 - kept)
		if !a.lane.busy {
			return a.lane, o.unindex(a.lane)
		}
		a.lane.dropped = a.seq
		j := a.lane.jobs.popSecond()
		o.unindexed(ep, &j)
		return a.lane, j
	}
	copy(all[len(all)-kept:], all[:kept])
	ep.ages.skip(len(all) - kept)
	return nil, job{}
}

// forget drops a lane that has no more jobs.
func (ep *endpoint) forget(l *lane) {
	if l.id != 0 {
		delete(ep.lanes, l.id)
	}
}

// gate says when an endpoint may be attempted: it opens one attempt at a time
// after a run of failures, it holds while the receiver asked to be left alone,
// and it keeps a rate.
type gate struct {
	failures int // in a row, over all lanes
	open     bool
	probing  bool
	pause    time.Duration
	until    time.Time // no attempt before

	max    int // attempts per period; 0: no limit
	per    time.Duration
	tokens float64
	filled time.Time
}

const (
	breakerFailures = 10
	breakerMinPause = time.Second
	breakerMaxPause = time.Minute
)

// pass returns zero if an attempt may be made now, and counts it; else when to
// ask again.
func (g *gate) pass(now time.Time) time.Time {
	if now.Before(g.until) {
		return g.until
	}
	if g.open {
		if g.probing {
			return now.Add(breakerMinPause) // its outcome will come first
		}
		g.probing = true
	}
	if g.max <= 0 {
		return time.Time{}
	}
	if g.filled.IsZero() {
		g.tokens = float64(g.max)
	} else {
		g.tokens = min(float64(g.max), g.tokens+float64(now.Sub(g.filled))/float64(g.per)*float64(g.max))
	}
	g.filled = now
	if g.tokens >= 1 {
		g.tokens--
		return time.Time{}
	}
	g.probing = false
	return now.Add(time.Duration((1 - g.tokens) / float64(g.max) * float64(g.per)))
}

// succeeded closes the breaker. It reports whether it was open.
func (g *gate) succeeded() (was bool) {
	was = g.open
	g.failures, g.open, g.probing, g.pause = 0, false, false, 0
	return was
}

// failed counts a failure that says something about the endpoint, and reports
// whether the breaker opened by it.
func (g *gate) failed(now time.Time, asked time.Duration) (opened bool) {
	if asked > 0 {
		g.hold(now.Add(asked))
	}
	g.failures++
	switch {
	case g.open && g.probing:
		g.pause = min(2*g.pause, breakerMaxPause)
	case !g.open && g.failures >= breakerFailures:
		g.open, g.pause, opened = true, breakerMinPause, true
	default:
		return false
	}
	g.probing = false
	g.hold(now.Add(g.pause))
	return opened
}

func (g *gate) hold(until time.Time) {
	if until.After(g.until) {
		g.until = until
	}
}
