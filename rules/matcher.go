package rules

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"triggerd/internal/condition"
	"triggerd/internal/event"
	"triggerd/internal/glob"
	"triggerd/internal/timing"
)

// Matcher tells which rules of a set match an event. It is for one goroutine
// at a time; each may have its own, all of the same set.
type Matcher struct {
	// ConditionError, if not nil, is told of the first error of each rule's
	// condition that any Matcher of the set meets; later ones are only counted.
	// Set it before the first Match.
	ConditionError func(*Rule, *event.Event, error)

	set    *Set
	eval   condition.Evaluator
	values []byte // holds those of Keys

	index  *index
	finder *glob.Finder // of the index
	hits   []int32      // of the finder, for the event at hand
	tried  []uint32     // by rule: the event that it was last checked for
	now    uint32       // number of the event at hand
	kept   int          // what was in the slice before the matches of the event at hand
	digits []byte       // its database in decimal
	costs  costs

	needs      *needIndex   // nil: nothing is needed
	needFinder *glob.Finder // of needs
	needHits   []int32      // of the needFinder, for the key at hand
}

// Matcher returns a new matcher of the set's rules.
func (s *Set) Matcher() *Matcher {
	m := &Matcher{set: s, index: s.index, needs: s.needs, tried: make([]uint32, len(s.patterns)), costs: costs{slow: make([]bool, len(s.patterns))}}
	m.finder = m.index.automaton.Finder()
	if m.needs != nil {
		m.needFinder = m.needs.automaton.Finder()
	}
	return m
}

// Match appends the rules that match ev to dst, in file order, and returns
// the extended slice. The matches borrow ev. It allocates nothing for an event
// that no rule matches, unless a condition has to.
func (m *Matcher) Match(dst []Match, ev *event.Event) []Match {
	m.eval.Begin(ev)
	if m.now++; m.now == 0 { // around once in four thousand million events
		clear(m.tried)
		m.now = 1
	}
	m.kept = len(dst)
	x := m.index
	if !x.any.empty() {
		dst = m.try(dst, ev, &x.any, nil)
	}
	if x.sizes&sizeBit(len(ev.Key)) != 0 {
		if g := x.exact[string(ev.Key)]; g != nil {
			dst = m.try(dst, ev, g, nil)
		}
	}
	if len(x.globs) == 0 {
		return dst
	}
	m.hits = m.finder.Find(m.hits[:0], ev.Key)
	for _, h := range m.hits {
		if m.finder.Confirm(h, ev.Key) {
			g := &x.globs[h]
			dst = m.try(dst, ev, &g.group, g.capturing)
		}
	}
	return dst
}

// Keys fills in the values by which the rule of a match keeps its states apart;
// with the roles Cancels and Ends only Gather. They borrow the event, and are
// valid until the next call of Keys. It reports false if one cannot be told:
// such a match counts for nothing, and was counted and reported as an error of
// the rule's condition.
func (m *Matcher) Keys(k *timing.Keys, match *Match) bool {
	*k = timing.Keys{}
	t := match.pattern().timed
	if t == nil {
		return true
	}
	if err := m.keys(k, t, match); err != nil {
		m.conditionFailed(t.owner, match.Event, err)
		*k = timing.Keys{}
		return false
	}
	return true
}

func (m *Matcher) keys(k *timing.Keys, t *timed, match *Match) (err error) {
	m.eval.Begin(match.Event)
	m.values = m.values[:0]
	captures := match.pattern().captures
	if t.role == timing.Ends {
		m.values = appendPlace(m.values, match.Event)
		k.Gather = text(m.values)
	} else if k.Gather, err = t.gather.of(&m.eval, captures, &m.values); err != nil {
		return err
	}
	if match.Role != timing.Fires {
		return nil
	}
	for _, stage := range [...]struct {
		by *by
		to *string
	}{{&t.once, &k.Once}, {&t.dedupe, &k.Dedupe}, {&t.throttle, &k.Throttle}, {&t.batch, &k.Batch}} {
		if *stage.to, err = stage.by.of(&m.eval, captures, &m.values); err != nil {
			return err
		}
	}
	return nil
}

// Need returns how much the rules of the set need to know of a key, which is
// borrowed. It gives the same answer for the same key each time, and allocates
// nothing but what it learns of new kinds of keys, within bounds.
func (m *Matcher) Need(db int, key []byte) Need {
	x := m.needs
	if x == nil {
		return NeedNothing
	}
	need := x.any.of(db, key, NeedNothing)
	if x.sizes&sizeBit(len(key)) != 0 {
		need = x.exact[string(key)].of(db, key, need)
	}
	if len(x.globs) == 0 || need == NeedOnTime {
		return need
	}
	m.needHits = m.needFinder.Find(m.needHits[:0], key)
	for _, h := range m.needHits {
		g := &x.globs[h]
		if g.wants[0].need > need && m.needFinder.Confirm(h, key) {
			need = g.wants.of(db, key, need)
		}
	}
	return need
}

// try checks the rules of a group; capturing is the pattern that the key was
// found by, if it captures.
func (m *Matcher) try(dst []Match, ev *event.Event, g *group, capturing *glob.Pattern) []Match {
	for _, r := range g.rest {
		dst = m.check(dst, ev, r)
	}
	for i := range g.by {
		b := &g.by[i]
		value := m.value(b.of, ev, capturing)
		if sub := b.groups[value]; sub != nil {
			dst = m.try(dst, ev, sub, capturing)
		}
		if b.of.Kind == condition.OfCommand { // a command stands for its subcommands too
			if i := strings.IndexByte(value, ' '); i > 0 {
				if sub := b.groups[value[:i]]; sub != nil {
					dst = m.try(dst, ev, sub, capturing)
				}
			}
		}
	}
	return dst
}

// value returns a value of the event, valid as long as the event is.
func (m *Matcher) value(of condition.Subject, ev *event.Event, capturing *glob.Pattern) string {
	switch of.Kind {
	case condition.OfCommand:
		return ev.Command
	case condition.OfEvent:
		return ev.Name
	case condition.OfType:
		return ev.Type
	case condition.OfDB:
		m.digits = strconv.AppendInt(m.digits[:0], int64(ev.DB), 10)
		return text(m.digits)
	case condition.OfArg:
		if of.Arg < len(ev.Args) {
			return text(ev.Args[of.Arg])
		}
	case condition.OfParam:
		v, _ := capturing.Captured(ev.Key, of.Name)
		return text(v)
	}
	return ""
}

// check checks one rule, once an event, and puts it into its place.
func (m *Matcher) check(dst []Match, ev *event.Event, r ref) []Match {
	if m.tried[r.rule] == m.now {
		return dst
	}
	m.tried[r.rule] = m.now
	rule := m.set.patterns[r.rule]
	if rule.timed != nil {
		return m.checkTimed(dst, ev, rule, r.field)
	}
	if !rule.selects(ev, r.field) || !m.holds(rule, ev) {
		return dst
	}
	i := len(dst)
	dst = append(dst, Match{})
	for i > m.kept && dst[i-1].Rule.index > r.rule {
		dst[i] = dst[i-1]
		i--
	}
	dst[i] = Match{Rule: rule, Event: ev}
	return dst
}

// checkTimed checks a rule with time fields, or a cancel pattern of one. Of a
// rule there is one match: what cancels goes before what fires, and the first
// cancel pattern before the others.
func (m *Matcher) checkTimed(dst []Match, ev *event.Event, rule *Rule, keyFound bool) []Match {
	role, ok := m.concerns(rule, ev, keyFound)
	if !ok {
		return dst
	}
	found := Match{Rule: rule.timed.owner, Event: ev, Role: role}
	if found.Rule != rule {
		found.companion = rule
	}
	i := len(dst)
	for i > m.kept && dst[i-1].Rule.index > found.Rule.index {
		i--
	}
	if i == m.kept || dst[i-1].Rule != found.Rule {
		return slices.Insert(dst, i, found)
	}
	have := &dst[i-1]
	if found.companion != nil && (have.companion == nil || have.companion.index > found.companion.index) {
		*have = found
	}
	return dst
}

// concerns reports whether an event concerns a timed rule, or a companion, and
// what it does to its owner. keyFound tells that one of the keys is known to
// match.
func (m *Matcher) concerns(r *Rule, ev *event.Event, keyFound bool) (timing.Role, bool) {
	switch {
	case r.timed.role != timing.Ends:
		return r.timed.role, r.selects(ev, keyFound) && m.holds(r, ev)
	case !r.Enabled || ev.Key == nil || r.dbs != nil && !slices.Contains(r.dbs, ev.DB) || !r.wantsKey(ev, keyFound):
		return timing.Ends, false
	case isGone(ev) || r.types != nil && !slices.Contains(r.types, ev.Type) || !m.holds(r, ev):
		return timing.Ends, true
	}
	return timing.Fires, r.wantsEvent(ev)
}

// holds evaluates the rule's condition. One that cannot be evaluated does not
// hold.
func (m *Matcher) holds(r *Rule, ev *event.Event) bool {
	if r.cond == nil {
		return true
	}
	if !m.costs.due(r.index) {
		return m.evaluate(r, ev)
	}
	began := time.Now()
	ok := m.evaluate(r, ev)
	m.costs.add(r, time.Since(began))
	return ok
}

func (m *Matcher) evaluate(r *Rule, ev *event.Event) bool {
	ok, err := m.eval.Holds(r.cond, r.captures)
	switch {
	case ok:
	case err != nil:
		m.conditionFailed(r.owner(), ev, err)
	case m.eval.NotNumber():
		r.owner().counts.notNumber.Add(1)
	}
	return ok
}

// conditionFailed counts an error of a rule's condition, or of a by, and
// reports the first.
func (m *Matcher) conditionFailed(r *Rule, ev *event.Event, err error) {
	if r.counts.failed.Add(1) == 1 && m.ConditionError != nil {
		m.ConditionError(r, ev, err)
	}
}
