package outbox

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"triggerd/actions"
)

// under is an attempt that is under way in a game.
type under struct {
	lane    *lane
	attempt attempt
	seq     uint64
	ends    time.Time
}

// game plays an endpoint without an outbox, a store or a clock: its gate and its
// lines, with outcomes as they come.
type game struct {
	t     *testing.T
	rnd   *rand.Rand
	ep    *endpoint
	now   time.Time
	lanes map[uint64]*lane
	seq   uint64
	under []under
	last  map[uint64]uint64 // seq of the last job of a lane that is done
}

func newGame(t *testing.T, seed uint64) *game {
	g := &game{t: t, rnd: rand.New(rand.NewPCG(seed, 3)), now: time.Unix(1_800_000_000, 0), lanes: map[uint64]*lane{}, last: map[uint64]uint64{}}
	g.ep = newEndpoint(&host{bounds: defaultBounds}, "0")
	g.ep.setAction(&Action{Concurrency: 1 + g.rnd.IntN(20)})
	if g.rnd.IntN(4) == 0 {
		g.ep.gate.rate = limiter{max: 1 + g.rnd.IntN(20), per: time.Second}
	}
	return g
}

func (g *game) arrive(id uint64) {
	g.seq++
	l := g.lanes[id]
	if l == nil {
		l = &lane{ep: g.ep, id: id}
		g.lanes[id] = l
	}
	l.jobs.push(job{seq: g.seq, born: momentOf(g.now)})
	if l.jobs.len() == 1 && l.place == away && !l.busy {
		g.ep.enqueueLane(l, g.now)
	}
	if l.place == fresh {
		g.ep.markRecent(l, momentOf(g.now))
	}
}

// start begins all attempts whose turn it is, and returns when to look again.
func (g *game) start() time.Time {
	for {
		g.ep.wakeDue(g.now)
		l, a, at := g.ep.nextTurn(g.now)
		if l == nil {
			g.check(at)
			if len(g.ep.asleep) > 0 {
				at = soonest(at, g.ep.asleep[0].wakes.time())
			}
			return at
		}
		if l.busy || l.jobs.len() == 0 {
			g.t.Fatalf("the turn of a lane that is busy (%v), with %d jobs", l.busy, l.jobs.len())
		}
		first := l.jobs.first()
		if first.seq <= g.last[l.id] {
			g.t.Fatalf("job %d of lane %d after %d", first.seq, l.id, g.last[l.id])
		}
		g.ep.lines[l.place].remove(l)
		l.busy = true
		takes := time.Duration(g.rnd.Int64N(int64(10*time.Second))) >> g.rnd.IntN(12)
		g.under = append(g.under, under{l, g.ep.gate.begin(g.now, a), first.seq, g.now.Add(takes)})
	}
}

// soonest is the sooner of two times of which the first may be none.
func soonest(a, b time.Time) time.Time {
	if a.IsZero() {
		return b
	}
	return earlier(a, b)
}

func (g *game) check(at time.Time) {
	gate := &g.ep.gate
	retries, reserved := 0, 0
	for _, u := range g.under {
		if u.attempt.turn == nextFailed {
			retries++
		}
		if u.attempt.reserved {
			reserved++
		}
	}
	if gate.busy != len(g.under) || gate.retries != retries || gate.reserved != reserved || gate.window < 1 || int(gate.window) > gate.slots || gate.busy > gate.slots {
		g.t.Fatalf("gate %+v with %d attempts under way, %d retries, %d reserved", gate, len(g.under), retries, reserved)
	}
	if gate.failures == 0 && gate.unreached > 0 || gate.unreached > gate.failures {
		g.t.Fatalf("%d failed, %d did not reach", gate.failures, gate.unreached)
	}
	if g.ep.inLine() > 0 && len(g.under) == 0 && at.IsZero() {
		g.t.Fatalf("%d lanes wait, and nothing will happen: %+v", g.ep.inLine(), gate)
	}
	if !at.IsZero() && at.Sub(g.now) > maxHold {
		g.t.Fatalf("the next attempt is in %v", at.Sub(g.now))
	}
	failing := 0
	for _, l := range g.lanes {
		if l.laneRecord.failed {
			failing++
		}
		if (l.place == away) != (l.busy || l.jobs.len() == 0) {
			g.t.Fatalf("lane %d is in place %d, busy %v, with %d jobs", l.id, l.place, l.busy, l.jobs.len())
		}
	}
	if failing != g.ep.failing {
		g.t.Fatalf("%d lanes fail, counted %d", failing, g.ep.failing)
	}
}

// finish ends an attempt with an outcome of the kinds that the mood makes likely.
func (g *game) finish(u under, mood evidence) {
	ev := mood
	if g.rnd.IntN(5) == 0 {
		ev = evidence(g.rnd.IntN(len(evidences)))
	}
	asked := time.Duration(0)
	if ev == askedToWait {
		asked = time.Duration(g.rnd.Int64N(int64(2 * time.Hour)))
	}
	l := u.lane
	before, held := g.ep.gate.holdUntil, g.ep.gate.holdNumber
	v := g.ep.endAttempt(g.now, l, u.attempt, ev, asked)
	if ev == succeeded && u.attempt.number <= held && !g.ep.gate.holdUntil.Equal(before) {
		g.t.Fatal("a success that began before the hold has ended it")
	}
	l.busy = false
	if ev == succeeded || ev == refusedForGood {
		g.last[l.id] = l.jobs.pop().seq
		if l.jobs.len() == 0 {
			g.ep.forget(l)
			delete(g.lanes, l.id)
			return
		}
		g.ep.enqueueLane(l, g.now)
		return
	}
	first := l.jobs.first()
	first.due = 0
	if v.down {
		g.ep.lineOf(l).pushFront(l)
		return
	}
	first.due = momentOf(g.now.Add(max(asked, time.Duration(g.rnd.Int64N(int64(time.Minute))))))
	g.ep.enqueueLane(l, g.now)
}

// Whatever the outcomes: never two attempts of a lane at once, the jobs of a lane
// in order, no more attempts than slots, the window within its bounds, and
// always something that will happen while something waits.
func TestGateGame(t *testing.T) {
	for seed := range uint64(300) {
		g := newGame(t, seed)
		mood := succeeded
		for range 2000 {
			if g.rnd.IntN(100) == 0 {
				mood = evidence(g.rnd.IntN(len(evidences)))
			}
			switch g.rnd.IntN(300) {
			case 0:
				g.ep.forgetTrouble()
			case 1:
				g.ep.setAction(&Action{Concurrency: g.ep.concurrency, Config: g.seq})
			case 2:
				for _, l := range g.lanes {
					if l.jobs.len() > 0 && g.ep.prioritize(l.jobs.first().seq) {
						break
					}
				}
			}
			if g.rnd.IntN(3) == 0 {
				g.arrive(1 + g.rnd.Uint64N(60))
			}
			at := g.start()
			next := -1
			for i := range g.under {
				if next < 0 || g.under[i].ends.Before(g.under[next].ends) {
					next = i
				}
			}
			switch {
			case next >= 0 && (at.IsZero() || !g.under[next].ends.After(at)):
				u := g.under[next]
				g.under = append(g.under[:next], g.under[next+1:]...)
				g.now = u.ends
				g.finish(u, mood)
			case !at.IsZero():
				g.now = at
			default:
				g.now = g.now.Add(time.Second)
			}
		}
		for i := 0; g.ep.inLine()+len(g.ep.asleep)+len(g.under) > 0; i++ { // all ends, once all succeeds
			if i == 1_000_000 {
				t.Fatalf("seed %d: %d lanes still wait", seed, g.ep.inLine()+len(g.ep.asleep))
			}
			if at := g.start(); len(g.under) == 0 {
				g.now = at
				continue
			}
			u := g.under[0]
			g.under = g.under[1:]
			if u.ends.After(g.now) {
				g.now = u.ends
			}
			g.ep.endAttempt(g.now, u.lane, u.attempt, succeeded, 0)
			u.lane.busy = false
			g.last[u.lane.id] = u.lane.jobs.pop().seq
			if u.lane.jobs.len() > 0 {
				g.ep.enqueueLane(u.lane, g.now)
			} else {
				g.ep.forget(u.lane)
				delete(g.lanes, u.lane.id)
			}
		}
	}
}

// A success that began before a hold does not end it; one that began after it
// does.
func TestGateHold(t *testing.T) {
	g, now := newGate(4), time.Unix(1_800_000_000, 0)
	early := g.begin(now, attempt{turn: oldestFresh})
	for range heldAfter {
		g.end(now, g.begin(now, attempt{turn: oldestFresh}), &laneRecord{}, askedToWait, time.Hour)
	}
	if c := g.condition(now); c != onHold || !g.holdUntil.Equal(now.Add(time.Hour)) {
		t.Fatalf("%s until %v", c, g.holdUntil)
	}
	if a, at := g.next(now, waiting{fresh: 1}); a.turn != noTurn || !at.Equal(now.Add(probePauses[0])) {
		t.Errorf("%+v, again at %v", a, at)
	}
	g.end(now, early, &laneRecord{}, succeeded, 0)
	if c := g.condition(now); c != onHold {
		t.Errorf("%s after a success that began before", c)
	}
	now = now.Add(probePauses[0])
	probe, _ := g.next(now, waiting{fresh: 1, failed: 5})
	if probe.turn != newestFresh {
		t.Fatalf("%+v", probe)
	}
	g.end(now, g.begin(now, probe), &laneRecord{}, succeeded, 0)
	if c := g.condition(now); c == onHold {
		t.Error("held after a probe succeeded")
	}
}

// A lane that asks to wait again and again is one lane.
func TestGateOneLaneAsks(t *testing.T) {
	g, now := newGate(4), time.Unix(1_800_000_000, 0)
	r := laneRecord{}
	for range 10 {
		g.end(now, g.begin(now, attempt{turn: oldestFresh}), &r, askedToWait, time.Hour)
	}
	if c := g.condition(now); c != up {
		t.Errorf("%s", c)
	}
}

// What somebody does by hand ends every state: pending firings go on at once,
// and it is told how many.
func TestRetryAction(t *testing.T) {
	for name, err := range map[string]error{
		"down": errRefused, "suspect": err500, "held": actions.RetryAfter(time.Hour, err500), "slowed": actions.Unanswered(err500),
	} {
		for _, how := range []string{"action", "resume", "reload", "number"} {
			t.Run(name+", "+how, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					well := false
					r := &receiver{do: func(*actions.Firing) error {
						if well {
							return nil
						}
						return err
					}}
					b := newBox(t, 1000, 4)
					b.bounds = small
					sp := spec(func(a *Policy) {
						a.Retry = Retry{MaxAttempts: 1000, Backoff: time.Hour, MaxBackoff: time.Hour}
					})
					use := func(url string) {
						b.SetActions(map[string]*Action{"0": {Action: r, Concurrency: 4, Policy: sp, Config: url}}, nil)
					}
					use("http://a")
					for i := range 40 {
						b.put("0", fmt.Sprint(i), fmt.Sprint(i), sp)
					}
					sleep(time.Minute)
					well = true
					pending := int(b.total().Pending)
					switch how {
					case "action":
						n, left, ok := b.RetryEndpoint("0")
						if n == 0 && pending > 0 || left != pending || !ok {
							t.Errorf("%d of %d go on, %d said, %v", n, pending, left, ok)
						}
						sleep(time.Second)
						if n := len(r.received()); n != 40 {
							t.Errorf("%d of 40 delivered", n)
						}
					case "resume":
						b.SetPaused("0", true)
						b.SetPaused("0", false)
						if c := b.condition("0"); c != up {
							t.Errorf("%s", c)
						}
					case "reload":
						was := b.condition("0")
						use("http://a")
						if c := b.condition("0"); c != was {
							t.Errorf("%s, then %s by a reload that changes nothing", was, c)
						}
						use("http://b")
						if c := b.condition("0"); c != up {
							t.Errorf("%s", c)
						}
					case "number":
						for p, err := range b.store.Pending("0", 0) {
							if err != nil {
								t.Fatal(err)
							}
							if _, ok := b.RetryFiring(p.Seq); !ok {
								t.Error("it does not wait")
							}
							sleep(time.Millisecond)
							if n := len(r.received()); n == 0 {
								t.Error("the firing was not attempted at once")
							}
							break
						}
					}
				})
			})
		}
	}
}

// A job that cannot be read says nothing of its endpoint.
func TestUnreadableIsNoEvidence(t *testing.T) {
	for err, want := range map[error]evidence{
		nil: succeeded,
		&unreadableError{err: errors.New("damaged")}:               noEvidence,
		&unreadableError{err: actions.Permanent(err500)}:           noEvidence,
		actions.Unsent(err500):                                     noEvidence,
		actions.Permanent(err500):                                  refusedForGood,
		actions.RetryAfter(time.Second, err500):                    askedToWait,
		actions.Unreached(actions.RetryAfter(time.Second, err500)): askedToWait,
		actions.Unreached(timeoutError(time.Second)):               notReached,
		timeoutError(time.Second):                                  notAnswered,
		actions.Unanswered(err500):                                 notAnswered,
		err500:                                                     refused,
	} {
		if got := evidenceOf(err); got != want {
			t.Errorf("%v is %s, want %s", err, evidences[got], evidences[want])
		}
	}
}
