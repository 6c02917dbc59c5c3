package outbox

import (
	"fmt"
	"sync"
	"time"

	"triggerd/actions"
	"triggerd/internal/firing"
	"triggerd/internal/store"
)

// intake is the side of the outbox that streams see: what was planned and is
// not on its way to the disk yet, each stream's by itself, and how much room
// there is.
//
// Its lock is the only one that a stream takes. Nothing is read, written or
// logged under it, and it is the last that is taken: whoever holds an
// endpoint's lock may take it.
type intake struct {
	bounds  *bounds
	patient bool // wait for room however long it takes

	mu               sync.Mutex // guards all that follows
	room             *sync.Cond // there is less in the intake or pending, or something ended
	queues           []*streamQueue
	accounts         map[string]*account // by endpoint
	shares           shares
	sharesStale      bool // shares have to be divided anew: endpoints have come or gone
	pending          int  // firings in the intake and in the store
	bytes            int  // bytes of firings that are not on disk
	committableBytes int  // of these, what the keeper commits, whatever the streams do
	firings          int64
	dropped          int64
	dropSummaries    map[string]*dropSummary // that the keeper has not written down yet; nil: none
	droppedBy        map[string]int64        // since the start, by rule
}

// streamQueue is what came of one stream.
type streamQueue struct {
	stream      string
	planned     []planned
	committable int           // of planned, what may be committed: the position is behind it
	openBytes   int           // bytes of the rest
	changes     Changes       // of the stream's state, up to the position
	committing  int           // bytes of changes that are being committed
	position    string        // behind the whole part
	saved       string        // what the store has for it
	savedAt     time.Time     // zero: to be saved at once
	blocked     time.Duration // how long the stream has waited for room since there was plenty
}

// account is how much of the room an endpoint has taken, and what a stream has
// to know of it.
type account struct {
	pending int       // firings in the intake and in the store
	open    int       // of these, in the intake, and not whole
	full    time.Time // since when there has been no room for another; zero: there is
	paused  bool
	down    bool      // its gate is closed: it is down or suspect
	held    time.Time // until when its gate is closed
}

// stuck reports whether the endpoint delivers nothing.
func (a *account) stuck(now time.Time) bool { return a.paused || a.down || now.Before(a.held) }

// planned is a firing that is not on disk yet.
type planned struct {
	endpoint       string
	action         *Action // for the endpoint, if it is not there any more
	lane           uint64
	firing         *actions.Firing
	payload        []byte
	born           time.Time
	account        *account
	replacesOldest bool // the oldest firing of the endpoint goes for it
}

// size is about what a firing takes in the intake: itself, and its payload.
func (p *planned) size() int { return 2*len(p.payload) + 512 }

func newIntake(max int, patient bool, b *bounds) *intake {
	in := &intake{bounds: b, patient: patient, shares: shares{max: max}, accounts: map[string]*account{}, droppedBy: map[string]int64{}}
	in.room = sync.NewCond(&in.mu)
	return in
}

// queueOf returns what came of a stream. The caller holds the lock.
func (in *intake) queueOf(stream string) *streamQueue {
	for _, f := range in.queues {
		if f.stream == stream {
			return f
		}
	}
	f := &streamQueue{stream: stream}
	in.queues = append(in.queues, f)
	return f
}

// account returns the account of an endpoint. The caller holds the lock.
func (in *intake) account(endpoint string) *account {
	a := in.accounts[endpoint]
	if a == nil {
		a = &account{}
		in.accounts[endpoint] = a
		in.sharesStale = true
	}
	return a
}

// openAccount returns the account of an endpoint.
func (in *intake) openAccount(endpoint string) *account {
	in.mu.Lock()
	defer in.mu.Unlock()
	return in.account(endpoint)
}

// closeAccount forgets an account, unless something is pending.
func (in *intake) closeAccount(endpoint string) bool {
	in.mu.Lock()
	defer in.mu.Unlock()
	if a := in.accounts[endpoint]; a != nil && a.pending > 0 {
		return false
	}
	delete(in.accounts, endpoint)
	in.sharesStale = true
	return true
}

// divide divides the room among the endpoints that are there. The caller holds
// the lock.
func (in *intake) divide() {
	in.sharesStale = false
	in.shares.divide(len(in.accounts))
	for _, a := range in.accounts {
		in.shares.count(0, a.pending)
	}
}

// countPending counts firings of an endpoint that came, or went. The caller holds the
// lock.
func (in *intake) countPending(a *account, n int) {
	in.shares.count(a.pending, n)
	a.pending += n
	in.pending += n
	if n < 0 {
		in.room.Broadcast()
	}
}

// addPending counts firings of an endpoint that came, or went.
func (in *intake) addPending(a *account, n int) {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.countPending(a, n)
}

// Planned is a firing that is to be delivered.
type Planned struct {
	Stream   string
	Endpoint string
	Action   *Action // of the endpoint, for where a reload has forgotten it meanwhile
	Policy   *Policy
	Firing   *actions.Firing // kept
}

// Add takes a firing in. A stream calls it.
//
// A firing is not committed before Pass has told that the stream is through
// with what made it: committed together with the position behind it, it is
// enqueued once, whenever the process dies. Add returns true if what the stream
// has not passed is much. Then the stream is to pass a part of it as soon as it
// can, since there is no more than so much room.
func (o *Outbox) Add(p Planned) (much bool) {
	entry := planned{endpoint: p.Endpoint, action: p.Action, lane: laneOf(p.Firing, p.Policy.Order), firing: p.Firing, payload: firing.AppendBinary(nil, p.Firing), born: time.Now()}
	in := o.in
	in.mu.Lock()
	defer in.mu.Unlock()
	in.firings++
	if len(entry.payload) > store.MaxPayload || len(p.Firing.ID) > store.MaxName {
		o.drop(p.Firing, tooLarge)
		return false
	}
	f, a := in.queueOf(p.Stream), in.account(p.Endpoint)
	if in.lacksRoom(f, a, p.Policy.Overflow) && !o.makeRoom(f, a, &entry, p.Policy.Overflow) {
		o.drop(p.Firing, noRoom)
		return false
	}
	a = in.account(p.Endpoint) // a reload may have come while there was none
	entry.account = a
	in.countPending(a, 1)
	a.open++
	in.bytes += entry.size()
	f.openBytes += entry.size()
	f.planned = append(f.planned, entry)
	return len(f.planned)-f.committable >= in.bounds.unsubmitted || f.openBytes >= in.bounds.intake/2 ||
		p.Policy.Overflow == firing.Block && in.mayBlock() && in.isFull(a, firing.Block)
}

// markCommittable makes all of a feed whole, so that it may be committed.
func (in *intake) markCommittable(f *streamQueue) {
	for i := range f.planned[f.committable:] {
		f.planned[f.committable+i].account.open--
	}
	f.committable = len(f.planned)
	in.committableBytes += f.openBytes
	f.openBytes = 0
}

// maxBlock is how long the reader may stand still for room, and for how long an
// endpoint may exceed its own: a server cuts off a replica that has left 64 MB
// unread for a minute.
const maxBlock = 10 * time.Second

// bytesFull reports whether the intake has as many bytes as it may. What nobody can
// commit before its stream goes on is not waited for. The caller holds the lock.
func (in *intake) bytesFull() bool { return in.bytes >= in.bounds.intake && in.committableBytes > 0 }

// lacksRoom reports whether a firing may not be taken in. The caller holds the
// lock.
func (in *intake) lacksRoom(f *streamQueue, a *account, overflow firing.Overflow) bool {
	if in.pending <= in.shares.max/2 && in.bytes <= in.bounds.intake/2 {
		f.blocked = 0
	}
	return in.bytesFull() || in.isFull(a, overflow)
}

// maxOverLimit is by how many firings an endpoint may exceed its room.
const maxOverLimit = 10_000

// isFull reports whether an endpoint has as many firings as it may. Those that
// are to wait for room, by their rule, wait in the store, beyond the limit, as
// long as their endpoint delivers and not for longer than maxBlock: the reader,
// which is that of all endpoints, cannot wait for one of them. The caller holds
// the lock.
func (in *intake) isFull(a *account, overflow firing.Overflow) bool {
	if in.sharesStale {
		in.divide()
	}
	limit := in.shares.limit(a.pending)
	if a.pending < limit {
		if a.pending <= limit/2 {
			a.full = time.Time{}
		}
		return false
	}
	if overflow != firing.Block || in.mayBlock() {
		return true
	}
	now := time.Now()
	if a.full.IsZero() {
		a.full = now
	}
	return a.stuck(now) || now.Sub(a.full) >= maxBlock || a.pending >= limit+maxOverLimit
}

// mayBlock reports whether the reader reads for one endpoint, and nobody else
// would wait with it. The caller holds the lock.
func (in *intake) mayBlock() bool { return in.shares.among <= 1 || in.patient }

// makeRoom finds room for a firing as its rule wishes, and reports whether
// there is some. The reader waits no longer than maxBlock in all before there
// is plenty of room again: many short pauses would hold it up as one long one
// does. It waits for the disk, and for an endpoint only if that is the only one.
// The caller holds the lock.
func (o *Outbox) makeRoom(f *streamQueue, a *account, entry *planned, overflow firing.Overflow) bool {
	in := o.in
	limit := time.AfterFunc(maxBlock, in.room.Broadcast)
	defer limit.Stop()
	for in.lacksRoom(f, a, overflow) {
		heavy := in.bytesFull()
		switch {
		case overflow == firing.DropOld && !heavy && a.pending > 0:
			entry.replacesOldest = true
			in.countPending(a, -1)
			return true
		case overflow == firing.DropNew, o.attempts.Err() != nil, !heavy && !in.mayBlock(), f.blocked >= maxBlock && !in.patient:
			return false
		case !heavy && a.pending == a.open: // all that there is waits for this stream
			return true
		}
		began := time.Now()
		in.room.Wait()
		f.blocked += time.Since(began)
	}
	return true
}

// Commit is what a stream passes.
type Commit struct {
	Stream   string
	Position string   // where it is resumed once this is committed; "": where it was
	Whole    bool     // what it added before is complete, and may be committed
	Now      bool     // to be committed at once
	Changes  *Changes // of its state since the pass before, up to the position; emptied; nil: none
}

// Submit tells that a stream is through with what it has added, or where it
// stands, or what has changed with it. It is all committed together, at once if
// there are firings, else in a while. Pass waits for the disk where that has
// not kept up with the changes.
func (o *Outbox) Submit(c Commit) {
	in := o.in
	in.mu.Lock()
	defer in.mu.Unlock()
	f := in.queueOf(c.Stream)
	if c.Changes != nil {
		f.changes.moveFrom(c.Changes)
		if f.changes.Size() >= in.bounds.changes/4 {
			o.wakeKeeper()
		}
		for f.changes.Size()+f.committing >= in.bounds.changes && o.reading.Err() == nil {
			in.room.Wait() // there is no dropping state: the disk sets the pace
		}
	}
	if c.Whole && f.committable < len(f.planned) {
		in.markCommittable(f)
		o.wakeKeeper()
	}
	if c.Position == "" {
		return
	}
	f.position = c.Position
	if c.Now {
		f.savedAt = time.Time{}
		o.wakeKeeper()
	}
}

// Resume says what the store has for a stream's position.
func (o *Outbox) Resume(stream, position string) {
	in := o.in
	in.mu.Lock()
	defer in.mu.Unlock()
	f := in.queueOf(stream)
	f.position, f.saved = position, position
}

// Saved returns what the store has for a stream's position, and since when;
// the time is zero if the process has not saved any.
func (o *Outbox) Saved(stream string) (position string, at time.Time) {
	in := o.in
	in.mu.Lock()
	defer in.mu.Unlock()
	f := in.queueOf(stream)
	return f.saved, f.savedAt
}

// dropReason is why firings are dropped.
type dropReason string

const (
	noRoom    dropReason = "too many waited"
	wasOldest dropReason = "they were the oldest where too many waited"
	tooLarge  dropReason = "they were too large"
)

// dropSummary are firings of one rule that were dropped for one reason.
type dropSummary struct {
	why         dropReason
	rule        string
	firing      string // ID of the first
	first, last int64  // offsets
	count       int
}

// drop counts a firing that is not delivered. What was dropped is written down
// as a dead letter that stands for all of it since the last one. The caller
// holds the intake's lock.
func (o *Outbox) drop(f *actions.Firing, why dropReason) {
	in := o.in
	in.dropped++
	in.droppedBy[f.Rule]++
	d := in.dropSummaries[string(why)+f.Rule]
	if in.dropSummaries == nil {
		in.dropSummaries = map[string]*dropSummary{}
	}
	if d == nil {
		d = &dropSummary{why: why, rule: f.Rule, firing: f.ID.String()[:min(len(f.ID), store.MaxName)], first: f.Event.Offset}
		in.dropSummaries[string(why)+f.Rule] = d
		o.wakeKeeper()
	}
	d.count++
	d.last = f.Event.Offset
}

func (d *dropSummary) letter(now time.Time) store.DeadLetter {
	return store.DeadLetter{
		Endpoint: firing.RuleName(d.rule), ID: d.firing, Reason: "dropped", Born: now, At: now,
		Error: fmt.Sprintf("%d firings of rule %s, offsets %d to %d, were dropped: %s", d.count, d.rule, d.first, d.last, d.why),
	}
}
