package outbox

import (
	"fmt"
	"sync"
	"time"

	"triggerd/actions"
	"triggerd/internal/firing"
	"triggerd/internal/store"
)

// intake is the side of the outbox that streams see: for each stream the
// firings that are not on disk yet, and how much room there is for more.
//
// Its lock is the only one that a stream takes. Nothing is read, written or
// logged under it. It is the last to be taken: it may be taken under an
// endpoint's lock, but no other lock under it.
type intake struct {
	bounds  *bounds
	patient bool // a stream waits for room as long as it takes

	mu               sync.Mutex // guards all that follows
	room             *sync.Cond // signals that there is more room, or that something has ended
	queues           []*streamQueue
	accounts         map[string]*account // by endpoint
	shares           shares
	sharesStale      bool // endpoints have come or gone since shares were computed
	pending          int  // firings in the intake and in the store
	bytes            int  // of the firings that are not on disk
	committableBytes int  // of these, of the firings that the keeper can commit whatever the streams do
	firings          int64
	dropped          int64
	dropSummaries    map[string]*dropSummary // that are not written yet; nil: none
	droppedBy        map[string]int64        // firings, by rule, since the start
}

// streamQueue holds what one stream has added and the keeper has not committed.
type streamQueue struct {
	stream      string
	planned     []planned
	committable int           // how many of planned may be committed: the stream has submitted a position after them
	openBytes   int           // bytes of the others
	changes     Changes       // of the stream's state, up to position
	committing  int           // bytes of the changes that are being committed
	done        []func()      // called when the changes are committed
	position    string        // as last submitted
	saved       string        // the position in the store
	savedAt     time.Time     // when that was committed; zero: never
	now         bool          // what was submitted is to be committed at once
	blocked     time.Duration // how long the stream has waited for room since there last was plenty
}

// account is how much room an endpoint has taken, and what streams have to know
// of the endpoint.
type account struct {
	pending int       // firings in the intake and in the store
	open    int       // of these, in the intake and not committable
	full    time.Time // since when there has been no room; zero: there is some
	paused  bool
	down    bool      // its gate is closed: it is down or suspect
	held    time.Time // until when the receiver asked to be left alone
}

// stuck reports whether the endpoint delivers nothing.
func (a *account) stuck(now time.Time) bool { return a.paused || a.down || now.Before(a.held) }

// planned is a firing that is not on disk yet.
type planned struct {
	endpoint       string
	action         *Action // to make the endpoint again with, if a reload has removed it
	lane           uint64
	firing         *actions.Firing
	payload        []byte
	born           time.Time
	account        *account
	replacesOldest bool // the oldest firing of the endpoint is dropped for it
}

// size estimates the memory that a firing takes in the intake.
func (p *planned) size() int { return 2*len(p.payload) + 512 }

func newIntake(max int, patient bool, b *bounds) *intake {
	in := &intake{bounds: b, patient: patient, shares: shares{max: max}, accounts: map[string]*account{}, droppedBy: map[string]int64{}}
	in.room = sync.NewCond(&in.mu)
	return in
}

// queueOf returns the queue of a stream. The caller holds the lock.
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

// openAccount returns the account of an endpoint, and makes it if there is
// none.
func (in *intake) openAccount(endpoint string) *account {
	in.mu.Lock()
	defer in.mu.Unlock()
	return in.account(endpoint)
}

// closeAccount deletes an account, unless firings of its endpoint are pending.
// It reports whether it did.
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

// divide computes the shares of the endpoints anew. The caller holds the lock.
func (in *intake) divide() {
	in.sharesStale = false
	in.shares.divide(len(in.accounts))
	for _, a := range in.accounts {
		in.shares.count(0, a.pending)
	}
}

// countPending adds n, which may be negative, to an endpoint's pending firings.
// The caller holds the lock.
func (in *intake) countPending(a *account, n int) {
	in.shares.count(a.pending, n)
	a.pending += n
	in.pending += n
	if n < 0 {
		in.room.Broadcast()
	}
}

// addPending is countPending for callers that do not hold the lock.
func (in *intake) addPending(a *account, n int) {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.countPending(a, n)
}

// Planned is a firing that is to be delivered.
type Planned struct {
	Stream   string
	Endpoint string
	Action   *Action // the endpoint's, in case a reload has removed the endpoint
	Policy   *Policy
	Firing   *actions.Firing // kept
}

// Add takes a firing from a stream.
//
// It is committed only after the stream has submitted a position after it, and
// together with that position. So it is enqueued once, whenever the process
// dies.
//
// Add returns true if the stream has added much without submitting it. There is
// only so much room for that, so the stream should submit a part as soon as it
// can.
func (o *Outbox) Add(p Planned) (much bool) {
	entry := planned{endpoint: p.Endpoint, action: p.Action, lane: laneOf(p.Firing, p.Policy), firing: p.Firing, payload: firing.AppendBinary(nil, p.Firing), born: time.Now()}
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

// markCommittable makes all firings of a queue committable.
func (in *intake) markCommittable(f *streamQueue) {
	for i := range f.planned[f.committable:] {
		f.planned[f.committable+i].account.open--
	}
	f.committable = len(f.planned)
	in.committableBytes += f.openBytes
	f.openBytes = 0
}

// maxBlock is how long a stream may wait for room, and for how long an endpoint
// may exceed its share. A server disconnects a replica that leaves 64 MB unread
// for a minute.
const maxBlock = 10 * time.Second

// bytesFull reports whether the intake has as many bytes as it may, and waiting
// helps: the keeper can commit some of them. The caller holds the lock.
func (in *intake) bytesFull() bool { return in.bytes >= in.bounds.intake && in.committableBytes > 0 }

// lacksRoom reports whether there is no room for a firing. The caller holds the
// lock.
func (in *intake) lacksRoom(f *streamQueue, a *account, overflow firing.Overflow) bool {
	if in.pending <= in.shares.max/2 && in.bytes <= in.bounds.intake/2 {
		f.blocked = 0
	}
	return in.bytesFull() || in.isFull(a, overflow)
}

// maxOverLimit is by how many firings an endpoint may exceed its share.
const maxOverLimit = 10_000

// isFull reports whether an endpoint has as many firings as it may.
//
// A firing whose rule wants it to wait for room (Block) is taken in beyond the
// limit and waits in the store, since the stream reads for all endpoints and
// cannot wait for one. That ends when the endpoint delivers nothing, or has
// been full for maxBlock. The caller holds the lock.
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

// mayBlock reports whether the stream may wait for room at an endpoint, because
// no other endpoint would wait with it. The caller holds the lock.
func (in *intake) mayBlock() bool { return in.shares.among <= 1 || in.patient }

// makeRoom finds room for a firing in the way of its rule's overflow, and
// reports whether there is some. It waits for the disk, and for an endpoint
// only if that is the only one. The stream waits at most maxBlock in all until
// there is plenty of room again, since many short waits delay it as much as a
// long one. The caller holds the lock.
func (o *Outbox) makeRoom(f *streamQueue, a *account, entry *planned, overflow firing.Overflow) bool {
	in := o.in
	limit := time.AfterFunc(maxBlock, in.room.Broadcast)
	defer limit.Stop()
	for in.lacksRoom(f, a, overflow) {
		bytesFull := in.bytesFull()
		switch {
		case overflow == firing.DropOld && !bytesFull && a.pending > 0:
			entry.replacesOldest = true
			in.countPending(a, -1)
			return true
		case overflow == firing.DropNew, o.attempts.Err() != nil, !bytesFull && !in.mayBlock(), f.blocked >= maxBlock && !in.patient:
			return false
		case !bytesFull && a.pending == a.open: // all firings of the endpoint wait for this stream to go on
			return true
		}
		began := time.Now()
		in.room.Wait()
		f.blocked += time.Since(began)
	}
	return true
}

// Commit is what a stream submits: what is to be committed together.
type Commit struct {
	Stream   string
	Position string   // where the next process resumes the stream; "": unchanged
	Whole    bool     // the firings added before belong to Position, and may be committed
	Now      bool     // commit it at once
	Changes  *Changes // of the stream's state up to Position, since the last Submit; Submit empties it; nil: none
	Done     func()   // called by the keeper once all this is on disk; nil: not
}

// Submit hands the keeper a stream's position, the firings before it, and the
// changes of its state, to be committed together. That is done at once if there
// are firings, and otherwise within the checkpoint interval. Submit waits for
// the disk if that has not kept up with the changes.
func (o *Outbox) Submit(c Commit) {
	in := o.in
	in.mu.Lock()
	defer in.mu.Unlock()
	f := in.queueOf(c.Stream)
	if c.Done != nil {
		f.done = append(f.done, c.Done)
	}
	if c.Changes != nil {
		f.changes.moveFrom(c.Changes)
		if f.changes.Size() >= in.bounds.changes/4 {
			o.wakeKeeper()
		}
		for f.changes.Size()+f.committing >= in.bounds.changes && o.reading.Err() == nil {
			in.room.Wait() // state must not be dropped: the disk sets the pace
		}
	}
	if c.Whole && f.committable < len(f.planned) {
		in.markCommittable(f)
		o.wakeKeeper()
	}
	if c.Position != "" {
		f.position = c.Position
	}
	if c.Now {
		f.now = true
		o.wakeKeeper()
	}
}

// Resume sets the position that the store has of a stream, before it is read.
func (o *Outbox) Resume(stream, position string) {
	in := o.in
	in.mu.Lock()
	defer in.mu.Unlock()
	f := in.queueOf(stream)
	f.position, f.saved = position, position
}

// Saved returns the position that the store has of a stream, and when it was
// committed; the time is zero if this process has committed none.
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

// dropSummary counts the firings of one rule that were dropped for one reason.
type dropSummary struct {
	why         dropReason
	rule        string
	firing      string // the first one's ID
	first, last int64  // offsets
	count       int
}

// drop counts a firing that is not delivered. A dead letter is written for all
// that were dropped since the last such letter. The caller holds the intake's
// lock.
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
