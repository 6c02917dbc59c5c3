package outbox

import (
	"cmp"
	"reflect"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"triggerd/actions"
	"triggerd/internal/delivered/form"
	"triggerd/internal/firing"
	"triggerd/internal/store"
)

// bounds limit what is in memory of the jobs that wait in the store. With them
// a backlog of any size takes a bounded index, and a key that is stuck does not
// take the room of others.
type bounds struct {
	window      int // jobs of an endpoint that are indexed
	lane        int // jobs of a lane that are indexed
	chunk       int // jobs read from the store at once
	cached      int // bytes of firings in memory: kept since they were planned, or read ahead
	fresh       int // with more jobs indexed than this, a new one's firing is not kept: it would wait long
	ahead       int // jobs of an endpoint that are read ahead at once
	intake      int // bytes of firings that are not on disk yet
	unsubmitted int // firings that a stream adds before it has to submit a part
	changes     int // bytes of changed state that is not on disk yet

	interval time.Duration // between checkpoints when nothing fires
}

var defaultBounds = bounds{window: 50_000, lane: 1_000, chunk: 5_000, cached: 8 << 20, fresh: 1_000, ahead: 256, intake: 8 << 20, unsubmitted: 10_000, changes: 32 << 20}

// endpoint is one action that firings are delivered with: a target, or a rule's
// own action.
//
// Each endpoint has lanes, one for each key that something waits for. The first
// job of a lane is attempted until it is delivered or given up, and only then
// the next. A lane is in one of three places: in one of the endpoint's lines,
// being attempted, or asleep until its first job is due. The gate says which
// line is next.
type endpoint struct {
	*host
	name    string
	account *account           // of the intake; nil for a Deliverer
	others  func() []*endpoint // of the same host; nil: there are none

	sentLike atomic.Pointer[form.Like] // what requests that were sent last were like

	mu          sync.Mutex     // guards all that follows, the lanes too
	action      actions.Action // nil: no rule has it any more; its jobs wait
	policy      *Policy        // for jobs whose own rule is gone
	config      any            // what the action was made of
	meter       Meter
	concurrency int
	batches     bool // the action is a Batcher
	latestOnly  bool // of the jobs of a lane that wait, only the last is attempted
	paused      bool
	stopping    bool                // no attempt begins any more
	trimming    bool                // jobs are being deleted: no attempt begins meanwhile
	cancelling  bool                // jobs are being cancelled
	cancelled   map[uint64]struct{} // jobs that reads in flight may still find, and that are cancelled
	reads       int                 // of what waits, in flight
	gate        gate
	published   struct { // what the intake knows
		paused, down bool
		held         time.Time
	}
	timer *time.Timer // dispatches at wake; nil before its first use
	wake  time.Time   // when timer fires; zero: it is not set

	lanes   map[uint64]*lane
	lines   [prioritized + 1]line // by place
	recent  fifo[*lane]           // lanes by when something last came for them; only those that are fresh now count
	asleep  sleepers              // their first job is not due yet
	failing int                   // lanes whose last attempt failed

	byAge         fifo[agedJob] // jobs in the order in which they were indexed, which is nearly that of their age
	running       int           // workers
	crew          []*worker     // each of them
	overdueTimer  *time.Timer   // looks for attempts that should have ended; nil before its first use
	overdueAt     time.Time     // when it fires; zero: it is not set
	tally         tally
	indexed       int       // jobs in lanes
	loaded        int       // those of them whose firing is in memory
	reading       bool      // jobs are being read ahead
	next          uint64    // jobs from this number on are not indexed
	hasUnindexed  bool      // the store has jobs from next on
	lastUnindexed uint64    // the last job that was committed and not indexed
	filling       bool      // readMore is running
	ignoreDue     bool      // jobs that readMore finds are attempted at once, even if they are not due
	toExpel       []string  // so many of the oldest jobs are to be dropped; each text is the rule of the newer firing
	savedHold     time.Time // the end of the hold that the store knows of; zero: it knows of none
}

func newEndpoint(h *host, name string) *endpoint {
	ep := &endpoint{host: h, name: name, gate: newGate(1), lanes: map[uint64]*lane{}}
	for i := range ep.lines {
		ep.lines[i].place = place(i)
	}
	return ep
}

// lane holds the jobs that have to be delivered in order: those of one key.
type lane struct {
	ep          *endpoint
	id          uint64 // 0: of a single job that needs no order; such a lane is not in the map
	jobs        fifo[job]
	skipped     uint64 // from this job on jobs are not indexed, because the lane was full; 0: all are
	lastSkipped uint64 // the last job that was not indexed
	filling     bool   // readSkipped is running
	droppedUpTo uint64 // jobs after the first, up to this one, were dropped
	readAlone   uint64 // a job that could not be read together with others
	lastArrival moment // when its last job was planned that came while it was fresh
	wakes       moment // when it wakes, if it is asleep
	place       place
	laneRecord
	busy      bool // its first job is being attempted
	attempted bool // a job of it was attempted
	unreached bool // the last attempt did not reach the endpoint
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

// agedJob is a job in the order of age.
type agedJob struct {
	seq  uint64
	lane *lane
}

// gone reports whether the job is no longer in its lane.
func (a agedJob) gone() bool {
	if a.lane.jobs.len() == 0 {
		return true
	}
	first := a.lane.jobs.first().seq
	return a.seq < first || a.seq > first && a.seq <= a.lane.droppedUpTo
}

// attempted reports whether the job is being attempted. It must not be gone.
func (a agedJob) attempted() bool { return a.lane.busy && a.seq == a.lane.jobs.first().seq }

// job is what is known of a job that is indexed.
type job struct {
	seq       uint64
	firing    *actions.Firing // nil: to be read
	born, due moment
	size      uint32 // bytes of the payload
	attempts  int32
	tried     bool // the store has something of an attempt that failed
}

// marks returns how many attempts the store has to be told of when the job is
// removed, so that it removes what it has of them.
func (j *job) marks() int {
	if j.tried {
		return max(int(j.attempts), 2)
	}
	return int(j.attempts)
}

// newJob returns the job that a planned firing has become.
func newJob(seq uint64, p *planned) job {
	return job{seq: seq, born: momentOf(p.born), size: uint32(len(p.payload))}
}

// storedJob returns a job that the store has.
func storedJob(p *store.Pending) job {
	return job{seq: p.Seq, attempts: int32(p.Attempts), tried: p.Attempts > 0 || p.Error != "", born: momentOf(p.Born), due: momentOf(p.Due), size: uint32(p.Size)}
}

// cost estimates the memory that the job's firing takes.
func (j *job) cost() int { return int(j.size) + 1024 }

// maxHeld is the size of a stored form up to which a firing that has just been
// planned keeps it beside its event: it is in what cost adds.
const maxHeld = 1 << 10

// moment is a time in nanoseconds since 1970, 0 for the zero time. It takes a
// third of the memory of a time.Time and has no pointer; there may be many.
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

// laneOf returns the lane of a firing: a hash of its key and database, of its rule
// for an event without a key, or of its rule and what that counts by where the
// policy says so. It is the same after a restart.
func laneOf(f *actions.Firing, p *Policy) uint64 {
	if p.Order == firing.OrderNone {
		return 0
	}
	db, key := f.Event.DB, f.Event.Key
	switch {
	case p.ByValue:
		db, key = 0, []byte("\x00rule\x00"+f.Rule+"\x00"+f.By)
	case key == nil:
		key = []byte("\x00rule\x00" + f.Rule)
	}
	return max(firing.KeyHash(db, key), 1)
}

// setAction sets what the endpoint is attempted with. Where that is something else
// than before, what was held against it is forgotten.
func (ep *endpoint) setAction(a *Action) {
	if ep.config != nil && a.Config != nil && !reflect.DeepEqual(ep.config, a.Config) {
		ep.gate.forgetTrouble()
	}
	ep.action, ep.policy, ep.config, ep.meter = a.Action, a.Policy, a.Config, a.Meter
	ep.concurrency, ep.latestOnly = a.Concurrency, a.LatestOnly
	_, ep.batches = a.Action.(actions.Batcher)
	ep.gate.resize(a.Concurrency)
	ep.gate.rate.max, ep.gate.rate.per = a.Rate.Max, a.Rate.Per
}

// setPaused pauses the endpoint, or ends its pause. After a pause its trouble
// is forgotten: whoever ends the pause says that the endpoint is well.
func (ep *endpoint) setPaused(paused bool) {
	ep.mu.Lock()
	defer ep.mu.Unlock()
	if ep.paused && !paused {
		ep.gate.forgetTrouble()
		ep.updateSavedHold(time.Now())
	}
	ep.paused = paused
	ep.owner.publishCondition(ep, time.Now())
	ep.dispatch()
}

// busy reports whether there are firings that will be attempted soon.
func (ep *endpoint) busy() bool {
	ep.mu.Lock()
	defer ep.mu.Unlock()
	return (ep.inLine() > 0 || ep.filling) && !ep.paused && !ep.standby.Load() && ep.action != nil && !ep.gate.closed(time.Now())
}

// lineOf returns the line in which a lane waits that is due.
func (ep *endpoint) lineOf(l *lane) *line {
	switch {
	case l.laneRecord.failed:
		return &ep.lines[failed]
	case l.attempted:
		return &ep.lines[going]
	}
	return &ep.lines[fresh]
}

// enqueueLane puts a lane, which is away, at the end of its line, or to sleep
// until its first job is due.
func (ep *endpoint) enqueueLane(l *lane, now time.Time) {
	if due := l.jobs.first().due; due > momentOf(now) {
		l.wakes = due
		ep.asleep.push(l)
		return
	}
	ep.lineOf(l).push(l)
}

// maxRecent is how many lanes are remembered in recent.
const maxRecent = 1024

// markRecent makes a fresh lane the newest in recent, since a job came for it.
func (ep *endpoint) markRecent(l *lane, at moment) {
	l.lastArrival = at
	if ep.recent.len() > 0 && *ep.recent.last() == l {
		return
	}
	if ep.recent.len() == maxRecent {
		ep.recent.pop()
	}
	ep.recent.push(l)
}

// wakeDue puts the sleeping lanes that are due in line.
func (ep *endpoint) wakeDue(now time.Time) {
	for at := momentOf(now); len(ep.asleep) > 0 && ep.asleep[0].wakes <= at; {
		if l := ep.asleep.pop(); l.jobs.len() > 0 {
			ep.lineOf(l).push(l)
		}
	}
}

// wakeMatching puts the sleeping lanes that match in line, whenever they are
// due.
func (ep *endpoint) wakeMatching(which func(*lane) bool) {
	for _, l := range ep.asleep.wake(which) {
		if l.jobs.len() > 0 {
			l.jobs.first().due = 0
			ep.lineOf(l).push(l)
		}
	}
}

// waiting returns what is in line, for the gate.
func (ep *endpoint) waiting() waiting {
	w := waiting{fresh: ep.lines[fresh].n, going: ep.lines[going].n, failed: ep.lines[failed].n}
	for ep.recent.len() > 0 && (*ep.recent.last()).place != fresh {
		ep.recent.popLast()
	}
	if ep.recent.len() > 0 {
		w.newest = (*ep.recent.last()).lastArrival.time()
	}
	return w
}

// inLine returns how many lanes wait for their turn.
func (ep *endpoint) inLine() (n int) {
	for i := range ep.lines {
		n += ep.lines[i].n
	}
	return n
}

// nextTurn returns the lane that is next, and its attempt. If there is none
// now, the time says when there may be one; zero: not before something happens.
func (ep *endpoint) nextTurn(now time.Time) (*lane, attempt, time.Time) {
	if ep.lines[prioritized].n > 0 && ep.gate.busy < ep.concurrency {
		return ep.lines[prioritized].first(), attempt{turn: urgent}, time.Time{}
	}
	a, at := ep.gate.next(now, ep.waiting())
	return ep.laneFor(a.turn), a, at
}

// laneFor returns the lane for a turn, nil if it is nobody's.
func (ep *endpoint) laneFor(t turn) *lane {
	switch {
	case t == noTurn:
		return nil
	case t == newestFresh && ep.recent.len() > 0:
		return *ep.recent.last()
	case t == nextGoing:
		return ep.lines[going].first()
	case t == nextFailed:
		return ep.lines[failed].first()
	}
	return ep.lines[fresh].first()
}

// endAttempt tells the gate the outcome of a lane's attempt.
func (ep *endpoint) endAttempt(now time.Time, l *lane, a attempt, ev evidence, asked time.Duration) gateResult {
	if l.laneRecord.failed {
		ep.failing--
	}
	v := ep.gate.end(now, a, &l.laneRecord, ev, asked)
	if l.laneRecord.failed {
		ep.failing++
	}
	l.unreached = ev == notReached
	l.attempted = l.attempted || !v.down
	if v.recovered {
		ep.wakeMatching(func(l *lane) bool { return l.unreached })
	}
	return v
}

// forgetTrouble forgets what earlier failures say against the endpoint and its
// lanes, and has each lane attempted as soon as its turn comes.
func (ep *endpoint) forgetTrouble() {
	ep.gate.forgetTrouble()
	ep.ignoreDue = ep.hasUnindexed
	ep.wakeMatching(func(*lane) bool { return true })
	for q := &ep.lines[failed]; q.n > 0; {
		l := q.first()
		q.remove(l)
		l.laneRecord.failed = false
		ep.failing--
		ep.lineOf(l).push(l)
	}
}

// prioritize makes the lane whose first job has this number the next. It
// reports whether there is such a lane, and it waits.
func (ep *endpoint) prioritize(seq uint64) bool {
	first := func(l *lane) bool { return l.jobs.len() > 0 && l.jobs.first().seq == seq }
	ep.wakeMatching(first)
	for place := fresh; place < prioritized; place++ {
		for _, l := range ep.lines[place].entries.all() {
			if l.place == place && first(l) {
				ep.lines[place].remove(l)
				ep.lines[prioritized].push(l)
				return true
			}
		}
	}
	return false
}

// addJob indexes a job, and reports whether its lane is new and in line. The
// caller holds the lock.
func (ep *endpoint) addJob(id uint64, j job, now time.Time) (added bool) {
	var l *lane
	if id != 0 {
		l = ep.lanes[id]
	}
	if l == nil {
		l = &lane{ep: ep, id: id, attempted: j.attempts > 0}
		if l.laneRecord.failed = j.attempts > 0; l.laneRecord.failed {
			ep.failing++
		}
		if id != 0 {
			ep.lanes[id] = l
		}
		ep.index(l, j)
		ep.enqueueLane(l, now)
		if l.place == fresh {
			ep.markRecent(l, j.born)
		}
		return true
	}
	if l.place == fresh {
		ep.markRecent(l, j.born)
	}
	if l.skipped == 0 && l.jobs.len() >= ep.bounds.lane {
		l.skipped = j.seq
	}
	if l.skipped == 0 {
		ep.index(l, j)
	} else {
		l.lastSkipped = j.seq
	}
	ep.supersede(l)
	return false
}

// supersede settles jobs of a lane of which only the last is wanted, except one
// that is being attempted. The caller holds the lock.
func (ep *endpoint) supersede(l *lane) {
	if !ep.latestOnly {
		return
	}
	for l.jobs.len() > 2 || l.jobs.len() == 2 && !l.busy {
		var gone job
		if l.busy {
			gone = l.jobs.popSecond()
			ep.unindexed(&gone)
			l.droppedUpTo = gone.seq
		} else {
			gone = ep.unindex(l)
		}
		ep.tally.superseded++
		ep.host.superseded.Add(1)
		ep.owner.recordSettlement(&settlement{what: superseded, endpoint: ep.name, job: gone})
		ep.countDone()
	}
}

// countDone counts a job that is settled. If one was to be dropped for a newer
// one, this one counts as that.
func (ep *endpoint) countDone() {
	if n := len(ep.toExpel); n > 0 {
		ep.toExpel = ep.toExpel[:n-1]
		return
	}
	ep.owner.addPending(ep, -1)
}

// index adds a job at the end of its lane. The caller holds the lock.
func (ep *endpoint) index(l *lane, j job) {
	l.jobs.push(j)
	if j.firing != nil {
		ep.cached.Add(int64(j.cost()))
		ep.loaded++
	}
	ep.indexed++
	if ep.byAge.len() > 2*ep.indexed+64 {
		ep.byAge.filter(func(a agedJob) bool { return !a.gone() })
	}
	ep.byAge.push(agedJob{j.seq, l})
}

// unindex removes the first job of a lane. The caller holds the lock.
func (ep *endpoint) unindex(l *lane) job {
	j := l.jobs.pop()
	ep.unindexed(&j)
	for ep.byAge.len() > 0 && ep.byAge.first().gone() {
		ep.byAge.pop()
	}
	return j
}

func (ep *endpoint) unindexed(j *job) {
	ep.indexed--
	ep.unload(j)
}

// unload removes a job's firing from memory, if it is there, and returns it.
// The caller holds the lock.
func (ep *endpoint) unload(j *job) *actions.Firing {
	f := j.firing
	if f != nil {
		j.firing = nil
		ep.cached.Add(-int64(j.cost()))
		ep.loaded--
	}
	return f
}

// unindexOldest removes the oldest job that is not being attempted, and returns
// it with its lane; nil if there is none. The caller holds the lock.
func (ep *endpoint) unindexOldest() (*lane, job) {
	all, kept := ep.byAge.all(), 0
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
		ep.byAge.skip(i + 1 - kept)
		if !a.lane.busy {
			return a.lane, ep.unindex(a.lane)
		}
		a.lane.droppedUpTo = a.seq
		j := a.lane.jobs.popSecond()
		ep.unindexed(&j)
		return a.lane, j
	}
	copy(all[len(all)-kept:], all[:kept])
	ep.byAge.skip(len(all) - kept)
	return nil, job{}
}

// forget deletes a lane that has no more jobs.
func (ep *endpoint) forget(l *lane) {
	if l.place >= fresh && l.place <= prioritized {
		ep.lines[l.place].remove(l)
	}
	if l.laneRecord.failed {
		l.laneRecord.failed = false
		ep.failing--
	}
	if l.id != 0 {
		delete(ep.lanes, l.id)
	}
}
