package outbox

import (
	"time"

	"triggerd/actions"
)

// gate decides when an endpoint may be attempted, and whose turn it is: a lane
// that had nothing pending (new), one that is going on, or one whose last
// attempt failed (a retry).
//
// It is a state machine of its own: it takes no lock, looks at no clock, knows
// no lane by name. Whoever uses it hands in the time, asks next, tells begin and
// end, and asks again after each end, after each arrival, and at the time that
// next returned.
//
// What a failure says. That an endpoint cannot be reached says something about
// the endpoint; an answer that refuses says something about the message, and
// little about the next one. So attempts that come as far as the endpoint hold
// up only their own lane, as long as something succeeds between them.
//
// Invariants, between calls:
//
//	1 <= window <= slots, and busy counts the attempts that have begun and not ended, a batch as one
//	retries and reserved count those of them that are of failed lanes, and on a reserved slot
//	failures == 0 exactly if nothing has failed since the last success, and then unreached == 0
//	while something waits, next returns a turn or a time, or an attempt is under way
type gate struct {
	slots  int     // attempts at once, at most: the endpoint's concurrency
	window float64 // attempts at once, at present
	steep  float64 // below it the window grows by one with each success, above it by one in a round

	// The streak: what failed since the last success.
	failures  int       // of lanes whose attempt before had not failed, and of all that did not reach the endpoint
	since     time.Time // when it began
	unreached int       // attempts in a row that did not reach the endpoint
	gone      time.Time // when these began
	lost      int       // attempts without an answer since the last success, or since the window was cut
	slow      time.Time // until when: an attempt has timed out lately

	// The hold: the receiver asked to be left alone.
	asking    int       // lanes that were asked to wait since the last success
	epoch     uint32    // counts successes, to tell lanes that were asked since the last from others
	until     time.Time // no attempt before, but for probes
	held      uint64    // the number of the attempt that was last when the hold began
	heldSince time.Time
	probes    int       // made since then
	probed    time.Time // when the last of them began, or the hold did
	probing   bool
	renewed   uint64 // the number of the attempt that was last when the trouble was forgotten

	busy, retries, reserved int
	number                  uint64    // of the last attempt that began
	turns                   uint      // begun, whoever's
	freshAt, retryAt        time.Time // when the last of each began
	ended                   time.Time // when the last attempt did

	rate limiter
}

// What makes an endpoint down or suspect, and how it is attempted then.
const (
	downAfter    = 3    // attempts in a row that did not reach it
	suspectAfter = 10   // lanes that failed since the last success
	pacedAfter   = 1000 // the same, or so long since the first of them:
	pacedTime    = 10 * time.Second
	heldAfter    = 3 // lanes that were asked to wait since the last success
	maxHold      = time.Hour
	slowTime     = time.Minute // for which a timeout makes the endpoint slow
	justCome     = time.Second // for which a lane is among those that have just come
)

// probePauses are between the probes of an endpoint that is held; the last is
// repeated.
var probePauses = [...]time.Duration{5 * time.Second, 10 * time.Second, 20 * time.Second, 40 * time.Second, time.Minute}

// A tenth of the time since the trouble began is how long is waited between
// attempts: an endpoint that is back is noticed within a tenth of its outage.
func pause(since, at time.Time, least, most time.Duration) time.Duration {
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
		g.window, g.steep = float64(slots), float64(slots)
	}
	g.slots = slots
	g.window, g.steep = min(g.window, float64(slots)), min(g.steep, float64(slots))
}

// renew forgets the trouble: the endpoint is another one now, or somebody says
// that it is back. What is under way stays counted.
func (g *gate) renew() {
	g.failures, g.unreached, g.lost, g.asking = 0, 0, 0, 0
	g.slow, g.until, g.probes = time.Time{}, time.Time{}, 0
	g.epoch++
	g.window, g.steep = float64(g.slots), float64(g.slots)
	g.renewed = g.number
}

// evidence is what the outcome of an attempt says of the endpoint.
type evidence uint8

const (
	noEvidence evidence = iota // the attempt was not made, or did not end by itself
	succeeded
	notReached
	notAnswered // in time, or at all
	refused     // by a status, an exit code
	askedToWait
	refusedForGood // this firing, whenever it comes
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

// record is what a gate keeps of a lane. The zero value is that of a new one.
type record struct {
	failed bool   // the last attempt was refused, or not answered
	asked  uint32 // the epoch in which it was asked to wait
}

// waiting is what waits for a turn.
type waiting struct {
	fresh  int       // lanes that had nothing pending before
	newest time.Time // when the last of these came
	going  int       // lanes whose last attempt succeeded, or which were asked to wait
	failed int       // lanes whose last attempt failed, and which are due
}

func (w *waiting) none() bool { return w.fresh+w.going+w.failed == 0 }

// turn is whose turn it is.
type turn uint8

const (
	nobody turn = iota
	oldestFresh
	newestFresh
	nextGoing
	nextFailed
	urgent // asked for by hand
)

// attempt is what a gate has to know again at the end of an attempt.
type attempt struct {
	turn     turn
	number   uint64
	reserved bool // on a slot that is kept for lanes that have just come
	probe    bool // of an endpoint that is held
	joined   bool // in one batch with another, in whose slot it is
}

// next returns whose turn it is. If it is nobody's, it may be somebody's at a
// time, if that is not zero, or after the next end or arrival. It changes
// nothing: begin does.
func (g *gate) next(now time.Time, w waiting) (a attempt, at time.Time) {
	if w.none() {
		return attempt{}, time.Time{}
	}
	a, at = g.choose(now, &w)
	if a.turn == nobody {
		return attempt{}, at
	}
	if at := g.rate.free(now); !at.IsZero() {
		return attempt{}, at
	}
	return a, time.Time{}
}

// joins returns whose turn it is to go in one batch with an attempt that has
// just begun, nobody's if none is to. Only an endpoint that is up gets batches,
// and only of lanes that have not failed: what fails is tried by itself. A batch
// takes one slot; the rate counts each of its attempts.
func (g *gate) joins(now time.Time, w waiting) attempt {
	if w.fresh+w.going == 0 || g.condition(now) != up || !g.rate.free(now).IsZero() {
		return attempt{}
	}
	return attempt{turn: g.freshTurn(&w), joined: true}
}

func (g *gate) choose(now time.Time, w *waiting) (attempt, time.Time) {
	switch {
	case now.Before(g.until):
		return g.probe(now, w)
	case g.unreached >= downAfter:
		return g.oneByOne(now, w)
	case g.paced(now):
		return g.pacedTurn(now, w)
	}
	return g.freeTurn(now, w)
}

// probe lets one fresh lane at a time see whether the hold is over.
func (g *gate) probe(now time.Time, w *waiting) (attempt, time.Time) {
	if g.probing || g.busy >= g.slots {
		return attempt{}, time.Time{}
	}
	if w.fresh+w.going == 0 {
		return attempt{}, g.until
	}
	at := g.probed.Add(probePauses[min(g.probes, len(probePauses)-1)])
	if now.Before(at) {
		return attempt{}, sooner(at, g.until)
	}
	a := attempt{turn: newestFresh, probe: true}
	if w.fresh == 0 {
		a.turn = nextGoing
	}
	return a, time.Time{}
}

// oneByOne is how an endpoint that cannot be reached is attempted.
func (g *gate) oneByOne(now time.Time, w *waiting) (attempt, time.Time) {
	if g.busy > 0 {
		return attempt{}, time.Time{}
	}
	if at := g.ended.Add(pause(g.gone, g.ended, 100*time.Millisecond, 30*time.Second)); now.Before(at) {
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

// paced reports whether so much failed, or for so long, that first attempts are
// made one by one too.
func (g *gate) paced(now time.Time) bool {
	return g.failures >= pacedAfter || g.failures >= suspectAfter && now.Sub(g.since) > pacedTime
}

func (g *gate) pacedTurn(now time.Time, w *waiting) (attempt, time.Time) {
	if g.busy > 0 {
		return attempt{}, time.Time{}
	}
	freshAt := g.freshAt.Add(pause(g.since, g.freshAt, 0, 2*time.Second))
	retryAt := g.nextRetry()
	fresh, retry := w.fresh+w.going > 0 && !now.Before(freshAt), w.failed > 0 && !now.Before(retryAt)
	switch {
	case retry && (!fresh || g.turns%4 == 3):
		return attempt{turn: nextFailed}, time.Time{}
	case fresh:
		return attempt{turn: g.freshTurn(w)}, time.Time{}
	case w.failed == 0:
		return attempt{}, freshAt
	case w.fresh+w.going == 0:
		return attempt{}, retryAt
	}
	return attempt{}, sooner(freshAt, retryAt)
}

// nextRetry is when a suspect endpoint gets its next retry.
func (g *gate) nextRetry() time.Time {
	return g.retryAt.Add(pause(g.since, g.retryAt, 200*time.Millisecond, time.Minute))
}

// freeTurn fills the window. Retries take half of it at most, and a quarter is
// kept for lanes that have just come, or are known to be well: whatever fails or
// hangs, these go ahead.
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
		case retry && (!fresh || g.turns%4 == 3):
			return attempt{turn: nextFailed}, time.Time{}
		case fresh:
			return attempt{turn: g.freshTurn(w)}, time.Time{}
		}
	}
	if g.reserved < reserve && g.busy < g.slots {
		hasCome := w.fresh > 0 && (!now.Before(g.slow) || now.Sub(w.newest) <= justCome)
		switch {
		case hasCome && (w.going == 0 || g.turns%2 == 0):
			return attempt{turn: newestFresh, reserved: true}, time.Time{}
		case w.going > 0:
			return attempt{turn: nextGoing, reserved: true}, time.Time{}
		}
	}
	return attempt{}, again
}

// freshTurn says which of the lanes that have not failed is next: those that
// came first and those that go on in turn, and in trouble every second time the
// one that came last, since what came before it may be what fails.
func (g *gate) freshTurn(w *waiting) turn {
	trouble := g.window < float64(g.slots) || g.failures >= suspectAfter
	switch {
	case w.fresh == 0:
		return nextGoing
	case trouble && g.turns%2 == 1:
		return newestFresh
	case trouble && g.turns%4 == 2 && w.going > 0, !trouble && g.turns%2 == 1 && w.going > 0:
		return nextGoing
	}
	return oldestFresh
}

func sooner(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// begin counts an attempt that next returned, or an urgent one, and returns what
// end has to be told.
func (g *gate) begin(now time.Time, a attempt) attempt {
	g.number++
	a.number = g.number
	if !a.joined {
		g.busy++
	}
	g.turns++
	g.rate.take(now)
	switch a.turn {
	case nextFailed:
		g.retries++
		g.retryAt = now
	case oldestFresh, newestFresh, nextGoing:
		g.freshAt = now
	}
	if a.reserved {
		g.reserved++
	}
	if a.probe {
		g.probes++
		g.probed, g.probing = now, true
	}
	return a
}

// verdicts are what follows from an outcome beyond the gate.
type verdicts struct {
	recovered bool // from down: who could not reach the endpoint need not wait any longer
	down      bool // the attempt is not to count, and its lane keeps its turn
}

// end takes the outcome of an attempt, that of the lane of a record, into
// account. asked is for how long the receiver asked to be left alone.
func (g *gate) end(now time.Time, a attempt, r *record, ev evidence, asked time.Duration) (v verdicts) {
	if !a.joined {
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
	if a.number <= g.renewed && ev != succeeded {
		ev = noEvidence // of what the endpoint was
	}
	fresh := !r.failed
	switch ev {
	case noEvidence:
		return verdicts{}
	case succeeded:
		v.recovered = g.unreached >= downAfter
		r.failed = false
		g.succeed(a)
	case notReached:
		if g.unreached == 0 {
			g.gone = now
		}
		if g.unreached == 0 || !a.joined { // a batch that does not get there is one
			g.unreached++
		}
		g.fail(now)
		g.lose(a)
		v.down = g.unreached >= downAfter
	case notAnswered:
		r.failed = true
		g.slow = now.Add(slowTime)
		if fresh {
			g.fail(now)
		}
		g.lose(a)
	case refused:
		r.failed = true
		g.unreached = 0
		if fresh {
			g.fail(now)
		}
	case askedToWait:
		g.unreached = 0
		if r.asked != g.epoch {
			r.asked = g.epoch
			g.asking++
		}
		if g.asking >= heldAfter {
			g.hold(now, min(asked, maxHold))
		}
	case refusedForGood:
		r.failed = false
		g.unreached = 0
	}
	g.ended = now
	return v
}

func (g *gate) succeed(a attempt) {
	g.failures, g.unreached, g.lost, g.asking = 0, 0, 0, 0
	g.epoch++
	if a.number > g.held { // one that began before says nothing of what came after
		g.until = time.Time{}
	}
	if g.window < g.steep {
		g.window++
	} else {
		g.window += 1 / g.window
	}
	g.window = min(g.window, float64(g.slots))
}

func (g *gate) fail(now time.Time) {
	if g.failures++; g.failures == 1 {
		g.since = now
	}
}

// lose counts an attempt without an answer, a batch as one: a window full of
// them, and nothing else, halves the window.
func (g *gate) lose(a attempt) {
	if a.joined {
		return
	}
	if g.lost++; g.lost >= int(g.window) {
		g.cut()
	}
}

func (g *gate) cut() {
	g.lost = 0
	half := float64(int(g.window) / 2)
	g.window, g.steep = max(half, 1), half
	if half <= 1 {
		g.steep = max(float64(g.slots)/2, 1)
	}
}

func (g *gate) hold(now time.Time, asked time.Duration) {
	if !now.Before(g.until) {
		g.cut()
		g.held, g.heldSince, g.probes, g.probed = g.number, now, 0, now
		g.until = time.Time{}
	}
	if at := now.Add(asked); at.After(g.until) {
		g.until = at
	}
}

// restoreHold takes over a hold of an earlier process.
func (g *gate) restoreHold(now, until time.Time) {
	if until.After(now) {
		g.until, g.heldSince, g.probed = sooner(until, now.Add(maxHold)), now, now
	}
}

// condition is how an endpoint is doing, as its gate sees it.
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
	case now.Before(g.until):
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

// closed reports whether what waits is not attempted at once, whatever it is.
func (g *gate) closed(now time.Time) bool {
	c := g.condition(now)
	return c == onHold || c == down || c == suspect
}

// limiter keeps a rate.
type limiter struct {
	max    int // attempts per period; 0: no limit
	per    time.Duration
	tokens float64
	filled time.Time // zero: full
}

func (l *limiter) at(now time.Time) float64 {
	if l.filled.IsZero() {
		return float64(l.max)
	}
	return min(float64(l.max), l.tokens+float64(now.Sub(l.filled))/float64(l.per)*float64(l.max))
}

// free returns zero if there may be an attempt now, else when.
func (l *limiter) free(now time.Time) time.Time {
	if l.max <= 0 {
		return time.Time{}
	}
	tokens := l.at(now)
	if tokens >= 1 {
		return time.Time{}
	}
	return now.Add(time.Duration((1-tokens)/float64(l.max)*float64(l.per)) + 1)
}

// take counts an attempt.
func (l *limiter) take(now time.Time) {
	if l.max <= 0 {
		return
	}
	l.tokens, l.filled = max(l.at(now)-1, 0), now
}
