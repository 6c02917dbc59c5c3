package outbox

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"triggerd/actions"
)

// Status describes an endpoint at one moment. See admin.ActionStatus.
type Status struct {
	Name                        string
	Config                      any // of its action; nil: no rule has it any more
	Pending, InFlight           int
	BackingOff                  int // lanes whose first job waits for its next attempt
	State, Why                  string
	Since, HeldUntil            time.Time
	NextAttempt                 time.Time
	Window                      int // attempts at once, at present
	FailingLanes, FreshLanes    int
	Reached                     bool // the last attempt that tells reached the endpoint
	Distinct                    int  // lanes that failed, and attempts that did not reach it
	Trouble, Probing            bool // it is down or suspect; and, if Probing, an attempt is being made
	Delivered, Retried, GivenUp int64
	Superseded, Abandoned       int64
	Classes                     map[string]int64
	Statuses                    map[string]int64 // attempts by class of the answer's status: 1xx to 5xx, exit of a program, none
	Took                        time.Duration    // all attempts together
	LastSuccess, LastErrorAt    time.Time
	LastError                   string
}

// tally counts an endpoint's attempts.
type tally struct {
	outcomes    [Outcomes]int64
	evidences   [len(evidences)]int64
	statuses    [len(statuses)]int64
	abandoned   int64         // attempts that did not end
	superseded  int64         // firings that were not attempted, or not again
	took        time.Duration // of all attempts together
	lastError   string
	lastErrorAt time.Time
	lastSuccess time.Time
}

// count adds the outcome of an attempt.
func (t *tally) count(s *settlement) {
	t.outcomes[s.what]++
	t.evidences[s.evidence]++
	t.statuses[s.status]++
	t.took += s.took
	if s.what == Delivered {
		t.lastSuccess = time.Now()
	} else {
		t.lastError, t.lastErrorAt = s.text, time.Now()
	}
}

// classes returns the attempts by class. Classes without any are left out,
// except success.
func (t *tally) classes() map[string]int64 {
	m := map[string]int64{}
	for class, n := range t.evidences {
		if n > 0 || evidence(class) == succeeded {
			m[evidences[class]] = n
		}
	}
	return m
}

// Rewound returns how many firings were delivered that were marked as rewound, and
// how many were cancelled for that.
func (o *Outbox) Rewound() (delivered, cancelled int64) {
	return o.rewoundMarked.Load(), o.rewoundCancelled.Load()
}

// status is the class of an answer's status.
type status uint8

const (
	noStatus status = iota
	exited          // of a program
	status1xx
	status5xx = status1xx + 4
)

var statuses = [...]string{noStatus: "none", exited: "exit", status1xx: "1xx", status1xx + 1: "2xx", status1xx + 2: "3xx", status1xx + 3: "4xx", status5xx: "5xx"}

// answerClassOf returns the class of what an attempt got for an answer.
func answerClassOf(res *actions.Result) status {
	switch class := res.Code / 100; {
	case res.Exit:
		return exited
	case class >= 1 && class <= 5:
		return status1xx + status(class) - 1
	}
	return noStatus
}

// byStatus returns the attempts by class of their answer's status. Classes
// without any are left out.
func (t *tally) byStatus() map[string]int64 {
	m := map[string]int64{}
	for class, n := range t.statuses {
		if n > 0 {
			m[statuses[class]] = n
		}
	}
	return m
}

// States returns the states that an endpoint may be in.
func States() []string {
	return []string{string(up), string(slowed), string(suspect), string(down), string(onHold)}
}

// Endpoints returns the status of all endpoints, by name.
func (o *Outbox) Endpoints() []Status {
	all := o.all()
	list := make([]Status, len(all))
	for i, ep := range all {
		list[i] = ep.status()
		list[i].Pending = o.in.pendingOf(ep.account)
	}
	slices.SortFunc(list, func(a, b Status) int { return strings.Compare(a.Name, b.Name) })
	return list
}

func (ep *endpoint) status() Status {
	ep.mu.Lock()
	defer ep.mu.Unlock()
	now, g, t := time.Now(), &ep.gate, &ep.tally
	state := g.condition(now)
	s := Status{
		Name: ep.name, InFlight: ep.running, BackingOff: len(ep.asleep),
		State: string(state), Why: ep.why(now), Window: int(g.window),
		FailingLanes: ep.failing, FreshLanes: ep.lines[fresh].n + ep.lines[going].n,
		Reached: g.unreached == 0, Distinct: g.failures, Trouble: state == down || state == suspect,
		Delivered: t.outcomes[Delivered], Retried: t.outcomes[Retried], GivenUp: t.outcomes[GivenUp],
		Superseded: t.superseded, Abandoned: t.abandoned, Classes: t.classes(), Statuses: t.byStatus(), Took: t.took,
		LastSuccess: t.lastSuccess, LastError: t.lastError, LastErrorAt: t.lastErrorAt,
	}
	s.Probing = s.Trouble && g.busy > 0
	if ep.action == nil {
		s.State, s.Why = string(onHold), "no rule has it any more"
		return s
	}
	s.Config = ep.config
	if g.failures > 0 {
		s.Since = g.since
	}
	if _, _, at := ep.nextTurn(now); at.After(now) {
		s.NextAttempt = at
	}
	switch state {
	case onHold:
		s.HeldUntil, s.Since = g.holdUntil, g.heldSince
	case down:
		s.HeldUntil, s.Since = s.NextAttempt, g.unreachedSince
	}
	return s
}

// why says, for people, what the endpoint's state comes from.
func (ep *endpoint) why(now time.Time) string {
	g := &ep.gate
	switch g.condition(now) {
	case onHold:
		return fmt.Sprintf("asked to be left alone until %s", g.holdUntil.UTC().Format(time.RFC3339))
	case down:
		return fmt.Sprintf("not reached, %d times in a row", g.unreached)
	case suspect:
		return fmt.Sprintf("%d keys failed, no success for %s", g.failures, now.Sub(g.since).Round(time.Second))
	case slowed:
		return fmt.Sprintf("attempts were not answered: %d at once, of %d", int(g.window), g.slots)
	}
	return ""
}
