package outbox

import (
	"time"

	"triggerd/actions"
)

// gate decides when an endpoint may be attempted, and which kind of lane is
// next: a fresh one, that had nothing pending before; one that is going on; or
// one whose last attempt failed (a retry).
//
// It is a state machine: it takes no lock, reads no clock, and knows no lane by
// name. Its user passes in the time, calls next, reports begin and end, and
// calls next again after each end, after each arrival, and at the time that
// next returned.
//
// What a failure says: that an endpoint cannot be reached says something about
// the endpoint. An answer that refuses says something about the message, and
// little about the next one. So attempts that reach the endpoint hold up only
// their own lane, as long as something succeeds between them.
//
// Invariants, between calls:
//
//	1 <= window <= slots, and busy counts the attempts that have begun and not ended, a batch as one
//	retries and reserved count those of them that are of failed lanes, and on a reserved slot
//	failures == 0 exactly if nothing has failed since the last success, and then unreached == 0
//	while something waits, next returns a turn or a time, or an attempt is under way
type gate struct {
	slots     int     // attempts at once, at most: the endpoint's concurrency
	window    float64 // attempts at once, at present
	fastBelow float64 // while the window is below this, a success widens it by one; above it, a whole window of successes does

	// The streak: what failed since the last success.
	failures       int       // lanes that failed, whose attempt before had not, and attempts that did not reach the endpoint
	since          time.Time // when the streak began
	unreached      int       // attempts in a row that did not reach the endpoint
	unreachedSince time.Time // when they began
	unanswered     int       // attempts without an answer since the last success, or since the window was halved
	slowUntil      time.Time // until then the endpoint counts as slow, since an attempt has timed out

	// The hold: the receiver asked to be left alone.
	askedLanes    int       // lanes that were asked to wait since the last success
	epoch         uint32    // counts successes: a lane that was asked to wait in an earlier epoch counts again
	holdUntil     time.Time // no attempt before, except probes
	holdNumber    uint64    // the last attempt that began before the hold
	heldSince     time.Time
	probes        int       // made since the hold began
	lastProbe     time.Time // when the last probe began, or the hold
	probing       bool      // a probe is being made
	forgottenUpTo uint64    // failures of attempts up to this one do not count, see forgetTrouble

	busy, retries, reserved int
	number                  uint64    // of the last attempt that began
	turnCount               uint      // begun, whoever's
	lastFresh, lastRetry    time.Time // when the last of each began
	lastEnd                 time.Time // when an attempt last ended

	rate limiter
}

// What makes an endpoint down, suspect or held.
const (
	downAfter    = 3    // attempts in a row that did not reach it
	suspectAfter = 10   // lanes that failed since the last success
	pacedAfter   = 1000 // lanes that failed since the last success; or suspectAfter and pacedTime since the first:
	pacedTime    = 10 * time.Second
	heldAfter    = 3 // lanes that were asked to wait since the last success
	maxHold      = time.Hour
	slowTime     = time.Minute // how long a timeout makes the endpoint slow
	justArrived  = time.Second // how long a fresh lane counts as one that has just come
)

// probePauses are the pauses between probes of an endpoint that is held. The
// last one is repeated.
var probePauses = [...]time.Duration{5 * time.Second, 10 * time.Second, 20 * time.Second, 40 * time.Second, time.Minute}

// outagePause returns the pause between attempts of an endpoint in trouble: a
// tenth of the time since the trouble began, within limits. So an endpoint that
// is back is noticed within a tenth of its outage.
func outagePause(since, at time.Time, least, most time.Duration) time.Duration {
	return min(max(at.Sub(since)/10, least), most)
}

func newGate(slots int) gate {
	g := gate{epoch: 1}
	g.resize(slots)
	return g
}

// resize sets how many attempts may be made at once.
func (g *gate) resize(slots int) {
	slots = max(slots, 1)
	if whole := g.window == float64(g.slots); whole { // nothing has cut it, or there is none yet
		g.window, g.fastBelow = float64(slots), float64(slots)
	}
	g.slots = slots
	g.window, g.fastBelow = min(g.window, float64(slots)), min(g.fastBelow, float64(slots))
}

// forgetTrouble forgets all failures: the endpoint is another one now, or
// somebody says that it is back. Attempts in flight stay counted.
func (g *gate) forgetTrouble() {
	g.failures, g.unreached, g.unanswered, g.askedLanes = 0, 0, 0, 0
	g.slowUntil, g.holdUntil, g.probes = time.Time{}, time.Time{}, 0
	g.epoch++
	g.window, g.fastBelow = float64(g.slots), float64(g.slots)
	g.forgottenUpTo = g.number
}

// evidence is what the outcome of an attempt says about the endpoint.
type evidence uint8

const (
	noEvidence evidence = iota // the attempt was not made, or did not end by itself
	succeeded
	notReached
	notAnswered // in time, or at all
	refused     // an answer that refuses: a status, an exit code
	askedToWait
	refusedForGood // this firing is refused, whenever it is sent
)

var evidences = [...]string{noEvidence: "none", succeeded: "ok", notReached: "unreached", notAnswered: "timeout", refused: "status", askedToWait: "asked", refusedForGood: "permanent"}

// evidenceOf returns what an attempt that ended with err says.
func evidenceOf(err error) evidence {
	if err == nil {
		return succeeded
	}
	_, asked := actions.RetryDelay(err)
	switch {
	case actions.IsUnsent(err), isUnreadable(err):
		return noEvidence
	case actions.IsPermanent(err):
		return refusedForGood
	case asked:
		return askedToWait
	case actions.IsUnreached(err):
		return notReached
	case actions.IsUnanswered(err):
		return notAnswered
	}
	return refused
}

// laneRecord is what a gate remembers of a lane. The zero value is that of a
// new lane.
type laneRecord struct {
	failed     bool   // the last attempt was refused, or not answered
	askedEpoch uint32 // the epoch in which it was last asked to wait
}

// waiting says what waits for a turn.
type waiting struct {
	fresh  int       // lanes that had nothing pending before
	newest time.Time // when the last of these came
	going  int       // lanes whose last attempt succeeded, or which were asked to wait
	failed int       // lanes whose last attempt failed, and which are due
}

func (w *waiting) none() bool { return w.fresh+w.going+w.failed == 0 }

// turn says which lane is next.
type turn uint8

const (
	noTurn turn = iota
	oldestFresh
	newestFresh
	nextGoing
	nextFailed
	urgent // of the lane that an operator asked for
)

// attempt is what end has to know of an attempt again.
type attempt struct {
	turn     turn
	number   uint64
	reserved bool // it is on a slot that is kept for lanes that have just come
	probe    bool // of an endpoint that is held
	inBatch  bool // it shares the slot of the attempt that its batch began with
}

// next returns which lane is next. If none is now, the time says when one may
// be; zero: after the next end or arrival. It changes nothing, see begin.
func (g *gate) next(now time.Time, w waiting) (a attempt, at time.Time) {
	if w.none() {
		return attempt{}, time.Time{}
	}
	a, at = g.choose(now, &w)
	if a.turn == noTurn {
		return attempt{}, at
	}
	if at := g.rate.freeAt(now); !at.IsZero() {
		return attempt{}, at
	}
	return a, time.Time{}
}

// nextInBatch returns which lane is to share a batch with an attempt that has
// just begun, noTurn if none is. Only an endpoint that is up gets batches, and
// only lanes that have not failed are in them: what fails is tried by itself. A
// batch takes one slot, but the rate counts each of its attempts.
func (g *gate) nextInBatch(now time.Time, w waiting) attempt {
	if w.fresh+w.going == 0 || g.condition(now) != up || !g.rate.freeAt(now).IsZero() {
		return attempt{}
	}
	return attempt{turn: g.freshTurn(&w), inBatch: true}
}

func (g *gate) choose(now time.Time, w *waiting) (attempt, time.Time) {
	switch {
	case now.Before(g.holdUntil):
		return g.probe(now, w)
	case g.unreached >= downAfter:
		return g.oneByOne(now, w)
	case g.paced(now):
		return g.pacedTurn(now, w)
	}
	return g.freeTurn(now, w)
}

// probe lets one fresh lane at a time find out whether the hold is over.
func (g *gate) probe(now time.Time, w *waiting) (attempt, time.Time) {
	if g.probing || g.busy >= g.slots {
		return attempt{}, time.Time{}
	}
	if w.fresh+w.going == 0 {
		return attempt{}, g.holdUntil
	}
	at := g.lastProbe.Add(probePauses[min(g.probes, len(probePauses)-1)])
	if now.Before(at) {
		return attempt{}, earlier(at, g.holdUntil)
	}
	a := attempt{turn: newestFresh, probe: true}
	if w.fresh == 0 {
		a.turn = nextGoing
	}
	return a, time.Time{}
}

// oneByOne returns the next turn at an endpoint that cannot be reached.
func (g *gate) oneByOne(now time.Time, w *waiting) (attempt, time.Time) {
	if g.busy > 0 {
		return attempt{}, time.Time{}
	}
	if at := g.lastEnd.Add(outagePause(g.unreachedSince, g.lastEnd, 100*time.Millisecond, 30*time.Second)); now.Before(at) {
		return attempt{}, at
	}
	switch {
	case w.fresh > 0:
		return attempt{turn: oldestFresh}, time.Time{}
	case w.going > 0:
		return attempt{turn: nextGoing}, time.Time{}
	}
	return attempt{turn: nextFailed}, time.Time{}
}

// paced reports whether so much has failed, or for so long, that fresh lanes
// are attempted one by one too.
func (g *gate) paced(now time.Time) bool {
	return g.failures >= pacedAfter || g.failures >= suspectAfter && now.Sub(g.since) > pacedTime
}

func (g *gate) pacedTurn(now time.Time, w *waiting) (attempt, time.Time) {
	if g.busy > 0 {
		return attempt{}, time.Time{}
	}
	freshAt := g.lastFresh.Add(outagePause(g.since, g.lastFresh, 0, 2*time.Second))
	retryAt := g.nextRetry()
	fresh, retry := w.fresh+w.going > 0 && !now.Before(freshAt), w.failed > 0 && !now.Before(retryAt)
	switch {
	case retry && (!fresh || g.turnCount%4 == 3):
		return attempt{turn: nextFailed}, time.Time{}
	case fresh:
		return attempt{turn: g.freshTurn(w)}, time.Time{}
	case w.failed == 0:
		return attempt{}, freshAt
	case w.fresh+w.going == 0:
		return attempt{}, retryAt
	}
	return attempt{}, earlier(freshAt, retryAt)
}

// nextRetry returns when a suspect endpoint gets its next retry.
func (g *gate) nextRetry() time.Time {
	return g.lastRetry.Add(outagePause(g.since, g.lastRetry, 200*time.Millisecond, time.Minute))
}

// freeTurn fills the window. Retries take at most half of it. A quarter is kept
// for lanes that have just come, or that went well before. These go ahead
// whatever else fails or hangs.
func (g *gate) freeTurn(now time.Time, w *waiting) (attempt, time.Time) {
	window := int(g.window)
	reserve := min(window/2, max(window/4, 1))
	again := time.Time{}
	if g.busy-g.reserved < window-reserve {
		retry := w.failed > 0 && g.retries < max(window/2, 1)
		if retry && g.failures >= suspectAfter {
			if at := g.nextRetry(); g.retries > 0 {
				retry = false
			} else if now.Before(at) {
				retry, again = false, at
			}
		}
		fresh := w.fresh+w.going > 0
		switch {
		case retry && (!fresh || g.turnCount%4 == 3):
			return attempt{turn: nextFailed}, time.Time{}
		case fresh:
			return attempt{turn: g.freshTurn(w)}, time.Time{}
		}
	}
	if g.reserved < reserve && g.busy < g.slots {
		hasCome := w.fresh > 0 && (!now.Before(g.slowUntil) || now.Sub(w.newest) <= justArrived)
		switch {
		case hasCome && (w.going == 0 || g.turnCount%2 == 0):
			return attempt{turn: newestFresh, reserved: true}, time.Time{}
		case w.going > 0:
			return attempt{turn: nextGoing, reserved: true}, time.Time{}
		}
	}
	return attempt{}, again
}

// freshTurn returns which of the lanes that have not failed is next: the oldest
// fresh ones and those going on take turns. In trouble every second turn is
// that of the newest, since what came before it may be what fails.
func (g *gate) freshTurn(w *waiting) turn {
	trouble := g.window < float64(g.slots) || g.failures >= suspectAfter
	switch {
	case w.fresh == 0:
		return nextGoing
	case trouble && g.turnCount%2 == 1:
		return newestFresh
	case trouble && g.turnCount%4 == 2 && w.going > 0, !trouble && g.turnCount%2 == 1 && w.going > 0:
		return nextGoing
	}
	return oldestFresh
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// begin counts an attempt that next returned, or an urgent one, and returns
// what end needs.
func (g *gate) begin(now time.Time, a attempt) attempt {
	g.number++
	a.number = g.number
	if !a.inBatch {
		g.busy++
	}
	g.turnCount++
	g.rate.use(now)
	switch a.turn {
	case nextFailed:
		g.retries++
		g.lastRetry = now
	case oldestFresh, newestFresh, nextGoing:
		g.lastFresh = now
	}
	if a.reserved {
		g.reserved++
	}
	if a.probe {
		g.probes++
		g.lastProbe, g.probing = now, true
	}
	return a
}

// gateResult is what an outcome means outside of the gate.
type gateResult struct {
	recovered bool // the endpoint was down and no longer is: lanes that did not reach it need not wait
	down      bool // the endpoint is down: the attempt does not count, and its lane keeps its turn
}

// end counts the outcome of an attempt. r is the record of its lane, and asked
// how long the receiver asked to be left alone.
func (g *gate) end(now time.Time, a attempt, r *laneRecord, ev evidence, asked time.Duration) (v gateResult) {
	if !a.inBatch {
		g.busy--
	}
	if a.turn == nextFailed {
		g.retries--
	}
	if a.reserved {
		g.reserved--
	}
	if a.probe {
		g.probing = false
	}
	if a.number <= g.forgottenUpTo && ev != succeeded {
		ev = noEvidence // of what the endpoint was before
	}
	fresh := !r.failed
	switch ev {
	case noEvidence:
		return gateResult{}
	case succeeded:
		v.recovered = g.unreached >= downAfter
		r.failed = false
		g.countSuccess(a)
	case notReached:
		if g.unreached == 0 {
			g.unreachedSince = now
		}
		if g.unreached == 0 || !a.inBatch { // a batch that does not reach it counts once
			g.unreached++
		}
		g.countFailure(now)
		g.countUnanswered(a)
		v.down = g.unreached >= downAfter
	case notAnswered:
		r.failed = true
		g.slowUntil = now.Add(slowTime)
		if fresh {
			g.countFailure(now)
		}
		g.countUnanswered(a)
	case refused:
		r.failed = true
		g.unreached = 0
		if fresh {
			g.countFailure(now)
		}
	case askedToWait:
		g.unreached = 0
		if r.askedEpoch != g.epoch {
			r.askedEpoch = g.epoch
			g.askedLanes++
		}
		if g.askedLanes >= heldAfter {
			g.extendHold(now, min(asked, maxHold))
		}
	case refusedForGood:
		r.failed = false
		g.unreached = 0
	}
	g.lastEnd = now
	return v
}

func (g *gate) countSuccess(a attempt) {
	g.failures, g.unreached, g.unanswered, g.askedLanes = 0, 0, 0, 0
	g.epoch++
	if a.number > g.holdNumber { // an attempt that began before the hold says nothing about it
		g.holdUntil = time.Time{}
	}
	if g.window < g.fastBelow {
		g.window++
	} else {
		g.window += 1 / g.window
	}
	g.window = min(g.window, float64(g.slots))
}

func (g *gate) countFailure(now time.Time) {
	if g.failures++; g.failures == 1 {
		g.since = now
	}
}

// countUnanswered counts an attempt without an answer, a batch as one. A window
// full of them, with no success between, halves the window.
func (g *gate) countUnanswered(a attempt) {
	if a.inBatch {
		return
	}
	if g.unanswered++; g.unanswered >= int(g.window) {
		g.halveWindow()
	}
}

func (g *gate) halveWindow() {
	g.unanswered = 0
	half := float64(int(g.window) / 2)
	g.window, g.fastBelow = max(half, 1), half
	if half <= 1 {
		g.fastBelow = max(float64(g.slots)/2, 1)
	}
}

func (g *gate) extendHold(now time.Time, asked time.Duration) {
	if !now.Before(g.holdUntil) {
		g.halveWindow()
		g.holdNumber, g.heldSince, g.probes, g.lastProbe = g.number, now, 0, now
		g.holdUntil = time.Time{}
	}
	if at := now.Add(asked); at.After(g.holdUntil) {
		g.holdUntil = at
	}
}

// restoreHold restores a hold of an earlier process.
func (g *gate) restoreHold(now, until time.Time) {
	if until.After(now) {
		g.holdUntil, g.heldSince, g.lastProbe = earlier(until, now.Add(maxHold)), now, now
	}
}

// condition is the state of an endpoint.
type condition string

const (
	up      condition = "up"
	slowed  condition = "slowed"  // fewer attempts at once than it may have
	suspect condition = "suspect" // much fails, nothing succeeds
	down    condition = "down"    // it cannot be reached
	onHold  condition = "held"    // it asked to be left alone
)

func (g *gate) condition(now time.Time) condition {
	switch {
	case now.Before(g.holdUntil):
		return onHold
	case g.unreached >= downAfter:
		return down
	case g.failures >= suspectAfter:
		return suspect
	case int(g.window) < g.slots:
		return slowed
	}
	return up
}

// closed reports whether the endpoint gets only few attempts, whatever waits.
func (g *gate) closed(now time.Time) bool {
	c := g.condition(now)
	return c == onHold || c == down || c == suspect
}

// limiter limits the rate of attempts with a bucket of tokens.
type limiter struct {
	max    int // attempts per period; 0: no limit
	per    time.Duration
	tokens float64
	filled time.Time // zero: full
}

func (l *limiter) tokensAt(now time.Time) float64 {
	if l.filled.IsZero() {
		return float64(l.max)
	}
	return min(float64(l.max), l.tokens+float64(now.Sub(l.filled))/float64(l.per)*float64(l.max))
}

// freeAt returns zero if an attempt may be made now, and otherwise when.
func (l *limiter) freeAt(now time.Time) time.Time {
	if l.max <= 0 {
		return time.Time{}
	}
	tokens := l.tokensAt(now)
	if tokens >= 1 {
		return time.Time{}
	}
	return now.Add(time.Duration((1-tokens)/float64(l.max)*float64(l.per)) + 1)
}

// use takes the token of an attempt.
func (l *limiter) use(now time.Time) {
	if l.max <= 0 {
		return
	}
	l.tokens, l.filled = max(l.tokensAt(now)-1, 0), now
}
